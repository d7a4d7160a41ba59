/**
 * session.ts - the reliable session as a client keeps it: one pure state machine over the connections that break, the same as src/session/client_session.h in C. No socket and no
 * clock: a driver makes the connections, carries the messages and says what time it is. Its states, and what may follow what, are in state.ts.
 *
 * A session has two slots for connections: the one it lives on, and one that is being made to follow it (make before break), or that is being closed. A third one is for probes of
 * the network, where a heartbeat policy wants them. How a driver uses it:
 *
 *   for each slot, after every call, obey want(slot):
 *     - its connection in that slot has another attempt number: close that at once, and report nothing;
 *     - `connect` and none yet: make one, with the subprotocols of request(slot); report opened(), refused() or lost().
 *       A driver that can dial without asking reports connected() first, and asks when `carry` comes. One that cannot makes nothing while `held`;
 *     - `carry`: what comes is message(), what output() has is to be sent, and told by sent(); on its end closed() or lost();
 *     - `close`: send what output() has, close it with closeCode, report lost();
 *   when deadline() has passed, deliver what has come first, then call tick().
 *
 * What is told comes by onEvent, during one of these calls. In it the driver may call publish(), subscribe(), unsubscribe(), close() and the requests, and nothing else.
 * Times are milliseconds of one clock that never goes back.
 */
import { closeCodes } from '../codes.js';
import { notHere } from '../errors.js';
import * as has from '../features.js';
import type { Output } from './link.js';
import { isHeaderToken } from './message.js';
import type { RequestWhat } from './requests.js';
import { requestUpgrade, spareMs } from './session_attempt.js';
import { deadline, tick } from './session_clock.js';
import { SessionCore } from './session_core.js';
import { attemptEnded, giveUpNext, liveEnded, onClosed, refusalIsFinal } from './session_ending.js';
import { obey, received } from './session_recv.js';
import { putHeartbeat } from './session_send.js';
import { disturbed, network, signalled } from './session_signal.js';
import { probeSlot, type NetworkFacts, type Want, type Wish } from './session_types.js';
import { isConnected } from './state.js';

const tokenMax = 4096;

export class Session extends SessionCore {
  /* --- for the application --- */

  /** Say goodbye: the server forgets the session. `ended` follows, at the latest after two seconds. */
  close(now: number): void {
    this.within(now, () => {
      this.closeWanted = true; // In an event the call that it came from is finished first.
    });
  }

  /** Whether nobody is looking: then delays after failures grow up to 300 s and not to 30 s. Coming to the foreground is a signal. */
  background(background: boolean, now: number): void {
    this.within(now, () => {
      this.backoff.background(background);
      if (!background) signalled(this, 'foreground', now);
    });
  }

  /** Shown from now on; the connection that stands gets it too. */
  setToken(token: string, now: number): boolean {
    if (!isHeaderToken(token, tokenMax)) return false;
    this.within(now, () => {
      this.token = token;
      if (isConnected(this.state)) this.put({ type: 'refresh', token });
    });
    return true;
  }

  /** The network in use has this key; empty: not known. To be told before network() at each change. @only takesParts */
  setNetwork(key: string, now: number): void {
    this.config.policy?.setNetwork?.(key, now);
    this.prober?.abandon(now);
  }

  /** The policy was given another tolerance: the server is asked anew. @only takesParts */
  heartbeatChanged(now: number): void {
    this.within(now, () => {
      if (isConnected(this.state)) putHeartbeat(this);
    });
  }

  /** As Questions.ask(). @only asks */
  ask(what: RequestWhat, now: number): number {
    if (this.questions === null) throw notHere(`${what.type}()`);
    return this.questions.ask(what, now);
  }

  /* --- signals --- */

  /**
   * Something on the way to the server changed, and this is how things stand now. It verifies a connection that stands, by a ping with a deadline of the round trip's size, and brings
   * a waiting attempt forward to within 100 ms; only where the server had named the time, to 30 s at the soonest.
   */
  network(facts: NetworkFacts, now: number): void {
    this.within(now, () => network(this, facts, now));
  }

  /** The machine slept: a signal. */
  wokeUp(now: number): void {
    this.within(now, () => signalled(this, 'woke_up', now));
  }

  /** The driver has closed all connections, because the page is left or frozen: that says nothing about the network. wokeUp() goes on. */
  suspended(evidence: string, now: number): void {
    this.within(now, () => {
      disturbed(this, now);
      for (const slot of [0, 1]) this.lost(slot, evidence, now);
    });
  }

  /* --- for the driver --- */

  want(slot: number): Want {
    const link = this.link(slot);
    const wish: Wish =
      link.state === 'idle' ? 'none' : link.state === 'dialing' ? 'connect' : link.state === 'closing' ? 'close' : 'carry';
    const isProbe = has.takesParts && slot === probeSlot;
    return {
      wish,
      attempt: wish === 'none' ? 0 : link.attempt,
      /** @only prepares */
      until: isProbe ? (this.prober?.at ?? Infinity) : this.attemptUntil,
      /** @only prepares */
      held: slot === this.next && this.nextHeld,
      closeCode: link.closeCode,
    };
  }

  /** The wanted connection stands, and nothing has been said on it. @only prepares */
  connected(slot: number, now: number): void {
    if (slot === probeSlot) this.prober?.connected();
    if (slot !== this.next || this.link(slot).state !== 'dialing') return;
    this.within(now, () => {
      this.offline = false; // There is a way: the system was wrong.
      this.link(slot).connected();
      if (this.nextHeld) this.attemptUntil = this.state === 'doubtful' ? Infinity : now + spareMs;
      else requestUpgrade(this, now);
    });
  }

  /** Whether the request is to go out now on a connection that stands: carry, and it has not. @only prepares */
  requestDue(slot: number): boolean {
    return this.link(slot).state === 'opening';
  }

  /** The subprotocols to ask for. From here on the server may have got them. */
  request(slot: number, now: number): string[] {
    const link = this.link(slot);
    if (link.state === 'dialing')
      this.within(now, () => {
        if (has.keepsOutbox && slot !== probeSlot) this.publishing.saveAttempt(now);
        link.request();
      });
    const isProbe = has.takesParts && slot === probeSlot;
    const list = this.config.codecs.map((codec) => codec.protocol);
    if (this.token !== null) list.push(`hf.token.${this.token}`);
    if (!isProbe && this.ticket !== '') list.push(`hf.resume.${this.ticket}`);
    // "numbers them (`hf.attempt.<n>`, rising)" (PROTOCOL.md "Resume" 4)
    if (!isProbe) list.push(`hf.attempt.${link.attempt}`);
    return list;
  }

  /** The upgrade was accepted, with this subprotocol. */
  opened(slot: number, protocol: string, now: number): void {
    const link = this.link(slot);
    if (!(has.prepares && link.state === 'opening') && !(link.state === 'dialing' && link.requested)) return;
    this.within(now, () => {
      const codec = this.config.codecs.find((kind) => kind.protocol === protocol);
      if (has.takesParts && slot === probeSlot) {
        if (codec === undefined) this.prober?.abandon(now);
        else this.prober?.opened(codec);
      } else if (codec === undefined) {
        link.end(closeCodes.protocolError);
        attemptEnded(
          this,
          { cause: 'protocol_error', evidence: `the server does not speak ${this.config.codecs.map((kind) => kind.protocol).join(' or ')}`, final: this.connections === 0 },
          now,
        );
      } else {
        if (link.state === 'dialing') this.offline = false; // There is a way: the system was wrong.
        link.open(codec.create());
      }
    });
  }

  /** The answer was another than 101; status 0: it was no HTTP at all. @only seesStatus */
  refused(slot: number, status: number, retryAfterS: number, now: number): void {
    if (slot === probeSlot) this.prober?.abandon(now);
    if (slot !== this.next) return;
    this.within(now, () => {
      const final = refusalIsFinal(this, status);
      this.link(slot).end();
      attemptEnded(
          this,
        {
          cause: retryAfterS > 0 ? 'retry_after' : status === 0 ? 'protocol_error' : 'refused',
          httpStatus: status,
          minMs: retryAfterS * 1000,
          final,
        },
        now,
      );
    });
  }

  /**
   * What came in one WebSocket message. True: it was the application's alone, as most are, and neither a wish nor the output has changed by it, nor has the deadline moved
   * nearer: where the application has called nothing meanwhile, there is nothing to obey.
   */
  message(slot: number, data: string | Uint8Array, now: number): boolean {
    const link = this.link(slot);
    const { codec } = link;
    if (link.state !== 'open' || codec === null) return true;
    const { state, ackAt } = this;
    const { outBytes } = link;
    let quiet = has.shortcuts && slot === this.live;
    this.within(now, () => {
      if (slot === this.live) received(this, now);
      for (const each of codec.decode(data)) {
        if (has.takesParts && slot === probeSlot) this.prober?.message(each, now);
        else obey(this, slot, each, now);
        if (has.shortcuts && (!('type' in each) || each.type !== 'data')) quiet = false;
        if (link.state !== 'open' || this.failed !== null) break;
      }
    });
    return has.shortcuts && quiet && state === this.state && ackAt === this.ackAt && outBytes === link.outBytes && link.state === 'open';
  }

  /** The server closed the connection, with this code. */
  closed(slot: number, code: number, reason: string, now: number): void {
    const link = this.link(slot);
    if (has.takesParts && slot === probeSlot) {
      this.prober?.lost(now);
      return;
    }
    if (link.state === 'closing' || link.state === 'idle') {
      link.drop();
      return;
    }
    this.within(now, () => {
      if (slot === this.live) received(this, now);
      if (link.state === 'open') link.close(code);
      else link.end();
      onClosed(this, slot, code, reason, now);
    });
  }

  /** It could not be made, or has ended without a word. */
  lost(slot: number, evidence: string, now: number): void {
    const link = this.link(slot);
    if (link.state === 'idle') return;
    this.within(now, () => {
      if (slot === this.live && this.superseded) {
        link.drop();
      } else if (slot === this.live) {
        this.heartbeat.lost(now);
        liveEnded(this, { cause: 'connection_lost', evidence }, now);
      } else if (slot === this.next) {
        giveUpNext(this, { cause: 'unreachable', evidence }, now);
      } else if (has.takesParts && slot === probeSlot) {
        this.prober?.lost(now);
      } else {
        link.drop();
      }
    });
  }

  /** What is to be sent. sent() tells when the socket has taken it. */
  output(slot: number, now: number): Output[] {
    const link = this.link(slot);
    this.within(now, () => {
      if (slot === this.live && isConnected(this.state) && !this.superseded) this.publishing.put(now);
      if (slot === this.live && link.outBytes > 0 && this.outputFrom === Infinity) this.outputFrom = now;
    });
    return link.takeOutput();
  }

  /** The socket has taken so many bytes of the output. */
  sent(slot: number, bytes: number, now: number): void {
    const link = this.link(slot);
    link.sent(bytes);
    if (slot !== this.live) return;
    if (bytes > 0) this.heartbeat.dataSent(now);
    this.outputFrom = link.outBytes > 0 ? now : Infinity;
    if (link.outBytes > 0) this.heartbeat.outputMoved(now);
  }

  /** The store has what it was last given, or has not. @only keepsOutbox */
  saved(ok: boolean, now: number): void {
    this.within(now, () => this.publishing.saved(ok, now));
  }

  /** Nothing more will be asked of it. @only keepsOutbox */
  saveLast(now: number): void {
    this.within(now, () => this.publishing.saveLast(now));
  }

  /** When to call tick(); Infinity: never. */
  deadline(): number {
    return deadline(this);
  }

  tick(now: number): void {
    this.within(now, () => tick(this, now));
  }

  /** After so much silence behind a ping a connection is dead; it follows the measured round trip. @only explains */
  hardMs(): number {
    return this.heartbeat.hardMs();
  }
}
