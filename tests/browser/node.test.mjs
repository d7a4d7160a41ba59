/** node.test.mjs - the client library in Node with npm's ws as its transport: the scenes of the browser that need no page. */
import { WebSocket } from 'ws';
import { bundle } from './bundle.mjs';
import * as scenes from './scenarios.mjs';
import { Proxy, Server } from './server.mjs';
import { run, test } from './tap.mjs';

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

const stage = {
  server,
  proxy,
  async actor(t, who, url) {
    const actor = t.own(new NodeActor(who));
    actor.actor.open(url, { transport: webSocketTransport(WebSocket) });
    return actor;
  },
  /** Node tells nothing of the network: a path that refuses is all that there is. */
  async setOffline(actor, offline) {
    proxy.refuse(offline);
    if (offline) proxy.reset();
  },
  freshServer: () => new Server({ workers: 1, options: ['--set', 'drain.timeout=500ms'] }).start(),
};

test('two chat', (t) => scenes.twoChat(t, stage));
test('offline and online', (t) => scenes.offlineAndOnline(t, stage));
test('connections are reset in the middle of everything', (t) => scenes.resets(t, stage));
test('each worker is killed', (t) => scenes.workersKilled(t, stage));
test('the path swallows everything', (t) => scenes.frozenPath(t, stage));
test('the server is restarted', (t) => scenes.serverRestarted(t, stage));

await run(async () => {
  await proxy.close();
  await server.stop();
});
