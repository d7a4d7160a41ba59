/**
 * prober.ts - probes of the network for the heartbeat policy: how much silence does it bear? (src/session/client_session_probe.c)
 * A probe is a second connection, with a session of its own that subscribes to nothing and ends with the probe. The server is asked not to ping in the meantime; then both sides
 * are silent for the gap; then it is pinged. Nothing is lost with it, and the live connection is not concerned.
 *
 *   none    -> dialing   the policy wants one, and the live connection has just been answered
 *   dialing -> asking    it stands: the upgrade is out, then the server is asked for a longer interval
 *   asking  -> silent    the server has granted it
 *   silent  -> pinged    the gap is over
 *   pinged  -> none      the pong has come: the network bears it
 *   silent, pinged -> judging   there is no pong, or the connection is gone without a word
 *   judging -> none      the live connection has been answered since: the network is good, and the silence to blame
 *   any     -> none      something else came between: nothing is known
 */
import { closeCodes } from '../codes.js';
import { BadMessage, type CodecKind } from './codec.js';
import type { ProbeOutcome } from './heartbeat.js';
import { boundRoomMs } from './heartbeat_adaptive.js';
import type { Link } from './link.js';
import type { ServerMessage } from './message.js';
import type { SessionCore } from './session_core.js';

/** Up to the granted interval; as long as a repeated attempt of the session has. */
const openMs = 8000;
/** The live connection must be answered within its longest hard deadline. */
const judgeMs = 10_000;

type ProbeState = 'none' | 'dialing' | 'asking' | 'silent' | 'pinged' | 'judging';

export class Prober {
  /** When its state has lasted long enough; Infinity: there is none. */
  at = Infinity;
  private state: ProbeState = 'none';
  /** Begun so far; the last one's number. */
  private count = 0;
  /** Its silence. */
  private gapMs = 0;
  private silentFrom = 0;

  constructor(
    private readonly s: SessionCore,
    private readonly link: Link,
  ) {}

  /** Nothing will be known of it; does nothing where there is none. */
  abandon(now: number): void {
    if (this.state !== 'none') this.end('unknown', now);
  }

  /** The live connection has been answered: a probe is judged, or begins if one is wanted. */
  networkGood(now: number): void {
    const { policy } = this.s.config;
    if (policy === null || this.s.state !== 'live' || this.s.hasNext) return;
    if (this.state === 'judging') this.end('dead', now);
    if (this.state !== 'none' || this.link.state !== 'idle') return;
    this.gapMs = policy.probeGapMs?.(now) ?? 0;
    if (this.gapMs === 0) return;
    this.link.dial(++this.count);
    this.move('dialing', now + openMs);
  }

  connected(): void {
    if (this.state !== 'dialing' || this.link.state !== 'dialing') return;
    this.link.connected();
    this.move('asking', this.at);
    this.link.request();
  }

  opened(codec: CodecKind): void {
    if (this.state === 'dialing') this.move('asking', this.at);
    this.link.open(codec.create());
  }

  message(message: ServerMessage | BadMessage, now: number): void {
    if (message instanceof BadMessage) this.abandon(now);
    else if (this.state === 'asking' && message.type === 'welcome') this.ask();
    else if (this.state === 'asking' && message.type === 'heartbeat') this.beSilent(message.interval, now);
    else if (this.state === 'pinged' && message.type === 'pong') this.survived(now);
    // It was to be silent; or it wants us to leave, and says so on the live connection, too.
    else if (this.state !== 'pinged' || message.type !== 'ping') this.abandon(now);
  }

  lost(now: number): void {
    // What the network did not bear is shorter than what was asked.
    if (this.state === 'silent') this.gapMs = now - this.silentFrom;
    if (this.state === 'silent' || this.state === 'pinged') this.judge(now);
    else this.abandon(now);
    this.link.drop();
  }

  tick(now: number): void {
    if (now < this.at) return;
    if (this.state === 'silent') {
      this.move('pinged', now + this.s.heartbeat.hardMs());
      this.link.put({ type: 'ping', id: '1' });
    } else if (this.state === 'pinged') {
      this.judge(now);
    } else {
      this.abandon(now);
    }
  }

  private move(to: ProbeState, at: number): void {
    this.state = to;
    this.at = at;
  }

  private end(outcome: ProbeOutcome, now: number): void {
    if (this.link.state !== 'closing') this.link.drop();
    this.move('none', Infinity);
    this.s.config.policy?.probeEnded?.(this.gapMs, outcome, now);
  }

  /** No pong, or no connection: is the network to blame? Only if the live connection is answered now. */
  private judge(now: number): void {
    this.link.drop();
    this.move('judging', now + judgeMs);
    this.s.heartbeat.doubted();
  }

  /** Ask the server to be silent for longer than the gap. */
  private ask(): void {
    this.link.put({ type: 'heartbeat', interval: this.gapMs + boundRoomMs });
  }

  private beSilent(intervalMs: number, now: number): void {
    if (intervalMs <= this.gapMs) {
      this.abandon(now);
      return;
    }
    this.silentFrom = now;
    this.move('silent', now + this.gapMs);
  }

  /** The network bears the gap. The server may forget the probe's session at once. */
  private survived(now: number): void {
    this.link.put({ type: 'bye' });
    this.link.close(closeCodes.normal);
    this.end('alive', now);
  }
}
