/** node.test.mjs - the client library in Node with npm's ws as its transport: the scenes of the browser that need no page. */
import { WebSocket } from 'ws';
import { bundle } from './bundle.mjs';
import * as scenes from './scenarios.mjs';
import { Proxy, Server } from './server.mjs';
import { checkEqual, run, test } from './tap.mjs';

const { Actor, webSocketTransport } = await import(bundle('actor.ts', { forNode: true }));
const server = await new Server({ workers: 2 }).start();
const proxy = await new Proxy(server.port).start();

class NodeActor {
  constructor(who) {
    this.who = who;
    this.actor = new Actor(who);
  }

  async call(method, ...args) {
    return this.actor[method](...args);
  }

  close() {
    return this.actor.close();
  }
}

/** encoding: 'auto', which comes to binary, or 'json'. */
const stageOf = (encoding) => ({
  server,
  proxy,
  async actor(t, who, url) {
    const actor = t.own(new NodeActor(who));
    actor.actor.open(url, { transport: webSocketTransport(WebSocket), encoding });
    return actor;
  },
  /** Node tells nothing of the network: a path that refuses is all that there is. */
  async setOffline(actor, offline) {
    proxy.refuse(offline);
    if (offline) proxy.reset();
  },
  freshServer: () => new Server({ workers: 1, options: ['--set', 'drain.timeout=500ms'] }).start(),
});

for (const [encoding, want] of [['auto', 'binary'], ['json', 'json']]) {
  const stage = stageOf(encoding);
  test(`${want}: it is spoken`, async (t) => {
    const ann = await stage.actor(t, 'ann', server.url);
    await ann.call('follow', `spoken-${want}`);
    checkEqual((await ann.call('report')).connected, [{ resumed: false, encoding: want }], 'the first connection');
  });
  test(`${want}: two chat`, (t) => scenes.twoChat(t, stage));
  test(`${want}: offline and online`, (t) => scenes.offlineAndOnline(t, stage));
  test(`${want}: connections are reset in the middle of everything`, (t) => scenes.resets(t, stage));
  test(`${want}: each worker is killed`, (t) => scenes.workersKilled(t, stage));
  test(`${want}: the path swallows everything`, (t) => scenes.frozenPath(t, stage));
  test(`${want}: the server is restarted`, (t) => scenes.serverRestarted(t, stage));
}

await run(async () => {
  await proxy.close();
  await server.stop();
});
