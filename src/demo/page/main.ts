/**
 * main.ts - the demo's page: it sends itself numbered messages, counts what comes back, and lets whoever looks at it break the connection.
 * All that it knows of the server's side is /demo/server; all the rest goes through the client library, as in any application.
 */
import { Holdfast, webSocketTransport } from '../../../sdk/js/src/index.js';
import type { Client, Message, State } from '../../../sdk/js/src/index.js';
import { Breaks } from './breaks.js';
import { Chart } from './chart.js';
import { Chat } from './chat.js';
import type { ChatLine } from './chat.js';
import { byId, duration, setText } from './dom.js';
import { Harm } from './harm.js';
import { Ledger } from './ledger.js';
import { Story } from './story.js';
import { PluggedTransport } from './wire.js';

/** What GET /demo/server answers. */
interface Server {
  readonly scheme: 'ws' | 'wss';
  /** Empty: it listens on all addresses, so the one of this page is good. */
  readonly host: string;
  readonly port: number;
  readonly workers: number;
  readonly freezeMs: number;
  readonly version: string;
}

type Channels = {
  'demo.chat': ChatLine;
  'demo.chart': { readonly at: number; readonly value: number };
  [own: `demo.count.${string}`]: { readonly n: number };
};

const beatMs = 50;
/** A page that is offline for long stops counting up here, well below the outbox's bound. */
const pendingMax = 5000;
const paintMs = 100;

const stateWords: Readonly<Record<State, string>> = {
  waiting: 'reconnecting',
  connecting: 'connecting',
  live: 'connected',
  doubtful: 'checking',
  offline: 'offline',
  closing: 'closing',
  ended: 'ended',
};

function chooseTheme(): void {
  const root = document.documentElement;
  const dark = (): boolean => (root.dataset['theme'] ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')) === 'dark';
  const kept = (() => {
    try {
      return localStorage.getItem('holdfast-demo-theme');
    } catch {
      return null;
    }
  })();
  if (kept === 'dark' || kept === 'light') root.dataset['theme'] = kept;
  byId('theme', HTMLButtonElement).addEventListener('click', () => {
    root.dataset['theme'] = dark() ? 'light' : 'dark';
    try {
      localStorage.setItem('holdfast-demo-theme', root.dataset['theme']);
    } catch {
      // It is the system's again when the page is loaded anew.
    }
  });
}

/** The counters, painted ten times a second. */
function paint(ledger: Ledger, breaks: Breaks): void {
  const number = (n: number): string => n.toLocaleString('en');
  const fields = { sent: ledger.sent, waiting: ledger.pending, received: ledger.received, lost: ledger.lost, doubled: ledger.doubled, late: ledger.late, breaks: breaks.count, resumed: breaks.resumed };
  for (const [id, value] of Object.entries(fields)) {
    const element = byId(id, HTMLElement);
    setText(element, number(value));
  }
  byId('lost', HTMLElement).closest('.tile')?.classList.toggle('broken', ledger.lost > 0);
  byId('doubled', HTMLElement).closest('.tile')?.classList.toggle('broken', ledger.doubled + ledger.late > 0);
}

function follow(client: Client<Channels>, breaks: Breaks, story: Story, chart: Chart): void {
  const pill = byId('state', HTMLElement);
  client.onState((change) => {
    pill.dataset['state'] = change.to;
    setText(byId('state-text', HTMLElement), stateWords[change.to]);
    if (change.to === 'doubtful') {
      breaks.doubted(Date.now());
      story.tell('warn', 'Is the connection alive?', change.evidence);
    } else if (change.to === 'live' && change.cause === 'proven') {
      breaks.proven();
    }
  });
  client.on('disconnected', (event) => {
    breaks.broke(Date.now());
    story.tell('warn', 'Connection lost', event.evidence);
  });
  client.on('connected', (event) => {
    breaks.connected(Date.now(), event.resumed);
    setText(byId('session', HTMLElement), event.session);
    setText(byId('encoding', HTMLElement), event.encoding);
    if (event.connections === 1) story.tell('good', 'Connected', `session ${event.session}`);
    else if (!event.resumed) story.tell('warn', 'The server has forgotten the session: a new one', `session ${event.session}`);
  });
  client.on('caughtUp', (event) => {
    const recovery = breaks.caughtUp(Date.now(), event.messages);
    if (!recovery) return;
    const [amount, unit] = duration(recovery.recoveryMs);
    const silence = duration(recovery.silenceMs).join(' ');
    setText(byId('recovery', HTMLElement), amount);
    setText(byId('recovery-unit', HTMLElement), unit);
    setText(byId('silence', HTMLElement), `silent ${silence}`);
    story.tell('good', `Back in ${amount} ${unit}`, `${event.messages} missed ${event.messages === 1 ? 'message' : 'messages'} came with it; nothing came for ${silence} in all`);
    chart.redraw();
  });
  client.on('gap', (gap) => story.tell('bad', `Gap in ${gap.channel}`, gap.from === null ? gap.code : `${gap.from} to ${gap.to}: ${gap.code}`));
  client.on('problem', ({ error }) => story.tell('bad', 'Problem', error.message));
  client.on('ended', (event) => story.tell('bad', 'The session has ended: load the page again', event.evidence));
}

function run(server: Server): void {
  const page = crypto.getRandomValues(new Uint32Array(2)).join('-');
  const ledger = new Ledger();
  const breaks = new Breaks();
  const story = new Story();
  const chart = new Chart(byId('chart', HTMLCanvasElement), breaks.outages);
  const transport = new PluggedTransport(webSocketTransport(WebSocket));
  const host = server.host || location.hostname;
  const client = new Holdfast<Channels>(`${server.scheme}://${host}:${server.port}/ws`, { transport });
  const own = `demo.count.${page}` as const;

  follow(client, breaks, story, chart);
  client.subscribe(own, (message) => {
    ledger.take(message.payload.n);
    breaks.message(Date.now());
  });
  client.subscribe('demo.chart', { mode: 'latest' }, ({ payload }: Message<Channels['demo.chart']>) => {
    chart.add(payload.at, payload.value);
    setText(byId('price', HTMLElement), payload.value.toFixed(2));
  });
  // The minute before this page. Without it the chart fills from the right.
  client.history('demo.chart', { limit: 1000, reverse: true }).then(
    ({ messages }) => chart.prepend(messages.map(({ payload }) => payload)),
    () => undefined,
  );
  const chat = new Chat(page, (line) => client.publish('demo.chat', line));
  client.subscribe('demo.chat', { last: 50 }, (message) => chat.take(message.payload));
  new Harm({ freezeMs: server.freezeMs, transport, session: () => client.session, done: (what) => story.tell('', what) });

  setInterval(() => {
    // What became of each is seen by what comes back.
    if (ledger.pending < pendingMax) client.publish(own, { n: ledger.next() }).catch((error: unknown) => story.tell('bad', 'A publish failed', String(error)));
  }, beatMs);
  setInterval(() => {
    paint(ledger, breaks);
    if (breaks.outages.at(-1)?.to === null) chart.redraw();
  }, paintMs);
  let before = 0;
  setInterval(() => {
    setText(byId('rate', HTMLElement), String(ledger.received - before));
    before = ledger.received;
  }, 1000);
  const workers = server.workers === 1 ? 'one worker' : `${server.workers} workers`;
  setText(byId('about', HTMLElement), `Holdfast ${server.version}, ${workers}`);
}

async function start(): Promise<void> {
  chooseTheme();
  try {
    const answer = await fetch('/demo/server');
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    run((await answer.json()) as Server);
  } catch (error) {
    new Story().tell('bad', 'The server cannot be reached: load the page again', String(error));
  }
}

void start();
