/**
 * driver.ts - joins a session with the world: connections by a transport, time and signals by a platform. It obeys the session's wishes and decides nothing itself, but for
 * what only a program in a browser meets: timers that fire late, and pages that are left and come back.
 */
import { Session } from './core/session.js';
import type { NetworkFacts, Path, SessionConfig } from './core/session_types.js';
import type { Connection, Platform, Transport } from './types.js';
import * as has from './features.js';

/** A timer that fires later than that is late: what has come in the meantime is delivered first. */
const lateMs = 500;
const graceMs = 50;
/** One that is so late has slept; hidden pages are woken once a minute at worst. */
const sleptMs = 3000;
const sleptHiddenMs = 75_000;
/** Look again whether the socket has taken what it was given. */
const drainMs = 50;

interface Slot {
  connection: Connection | null;
  attempt: number;
  opened: boolean;
  /** Given to the connection, and of it what the session knows to be taken. */
  handed: number;
  told: number;
}

export interface DriverOptions {
  readonly platform: Platform;
  readonly transport: Transport;
  readonly urls: readonly string[];
  /** Whether a token must be had before the next attempt. It is called again when session.setToken() was. */
  tokenMissing(): boolean;
  /** The server has refused the connection with this HTTP status. @only seesStatus */
  refused(status: number): void;
  /** Before the session is told. */
  backgroundChanged(background: boolean): void;
  /** The page is left, and may not come back. */
  leaving(): void;
}

export class Driver {
  readonly session: Session;
  private readonly slots: readonly Slot[] = (has.takesParts ? [0, 1, 2] : [0, 1]).map(() => ({
    connection: null,
    attempt: 0,
    opened: false,
    handed: 0,
    told: 0,
  }));
  private depth = 0;
  private pumpPlanned = false;
  /** Within a message: the application has called the session. @only shortcuts */
  private asked = false;
  private cancelTimer: (() => void) | null = null;
  /** For when the timer is set. */
  private timerAt = Infinity;
  private graced = false;
  /** The page is left: no connection is made. */
  private asleep = false;
  /** start() was called; before that no time passes for the session. */
  private started = false;
  private isBackground: boolean;
  private urlIndex = 0;
  private readonly unwatch: () => void;

  constructor(
    private readonly options: DriverOptions,
    config: SessionConfig,
  ) {
    const { platform } = options;
    this.isBackground = config.background;
    this.session = new Session(config, platform.now());
    if (!platform.online()) this.session.network({ offline: true, paths: ['same', 'same', 'same'] }, platform.now());
    this.unwatch = platform.watch({
      network: (online, moved) => this.run((now) => this.session.network(facts(online, moved), now)),
      background: (background) => this.background(background),
      wokeUp: () => this.wakeUp(),
      leaving: () => this.fallAsleep(),
    });
  }

  get url(): string {
    return this.options.urls[this.urlIndex] ?? '';
  }

  /** "An attempt that fails moves on to the next one … a broken connection is tried again where it was, first" (holdfast.h, urls). */
  nextUrl(): void {
    this.urlIndex = (this.urlIndex + 1) % this.options.urls.length;
  }

  /** Call the session, then do what it wishes. */
  run<T>(call: (now: number) => T): T {
    this.depth++;
    try {
      return call(this.options.platform.now());
    } finally {
      this.depth--;
      if (this.depth === 0) this.pump();
      else if (has.shortcuts) this.asked = true;
    }
  }

  /** The same for calls of the application's, and messages, of which more may follow at once: what they have to send goes out together. */
  soon<T>(call: (now: number) => T): T {
    this.depth++;
    try {
      return call(this.options.platform.now());
    } finally {
      this.depth--;
      if (has.shortcuts) this.asked = true;
      this.planPump();
    }
  }

  /** Most messages leave nothing to be done but the application's own: then there is no look at all that could. */
  private message(slot: number, data: string | Uint8Array): void {
    if (!has.shortcuts) {
      this.soon((now) => this.session.message(slot, data, now));
      return;
    }
    // One that comes within another, from a transport that calls back at once, is no reason to forget what that has asked for.
    if (this.depth++ === 0) this.asked = false;
    let quiet = false;
    try {
      quiet = this.session.message(slot, data, this.options.platform.now());
    } finally {
      this.depth--;
      this.asked ||= !quiet;
      if (this.asked) this.planPump();
    }
  }

  private planPump(): void {
    if (this.depth > 0 || this.pumpPlanned) return;
    this.pumpPlanned = true;
    queueMicrotask(() => {
      this.pumpPlanned = false;
      if (this.depth === 0) this.pump();
    });
  }

  /** Connections may be made. */
  start(): void {
    if (this.started) return;
    this.started = true;
    this.soon(() => undefined);
  }

  background(background: boolean): void {
    this.isBackground = background;
    this.options.backgroundChanged(background);
    this.run((now) => this.session.background(background, now));
  }

  /** The session has ended, and its last connection may still be closing. */
  private release(): void {
    this.unwatch();
    this.cancelTimer?.();
    this.cancelTimer = null;
    this.timerAt = Infinity;
  }

  /* --- wishes --- */

  private pump(): void {
    if (!this.started && this.session.state !== 'ended') return;
    this.depth++;
    const now = this.options.platform.now();
    if (this.session.deadline() <= 0) this.session.tick(now); // A doubt asks at once.
    for (let slot = 0; slot < this.slots.length; slot++) this.obey(slot, now);
    this.depth--;
    if (this.session.state === 'ended' && this.slots.every((slot) => slot.connection === null)) this.release();
    else this.arm(now);
  }

  private obey(slot: number, now: number): void {
    const place = this.slots[slot] as Slot;
    const want = this.session.want(slot);
    if (place.connection !== null && place.attempt !== want.attempt) {
      place.connection.close();
      place.connection = null;
    }
    if (want.wish === 'connect' && !(has.prepares && want.held) && place.connection === null && !this.asleep && !this.options.tokenMissing())
      this.open(slot, place, want.attempt, now);
    else if (want.wish === 'carry') this.carry(slot, place, now);
    else if (want.wish === 'close') {
      this.carry(slot, place, now);
      place.connection?.close([0, 1005, 1006].includes(want.closeCode) ? undefined : want.closeCode);
      place.connection = null;
      this.session.lost(slot, 'closed', now);
    }
  }

  private open(slot: number, place: Slot, attempt: number, now: number): void {
    const { url } = this;
    const mine = (): boolean => place.connection !== null && place.attempt === attempt;
    place.attempt = attempt;
    place.opened = false;
    place.handed = place.told = 0;
    place.connection = this.options.transport.open(
      { url, protocols: this.session.request(slot, now) },
      {
        opened: (protocol) => {
          if (!mine()) return;
          place.opened = true;
          this.run((at) => this.session.opened(slot, protocol, at));
        },
        message: (data) => {
          if (mine()) this.message(slot, typeof data === 'string' ? data : new Uint8Array(data));
        },
        refused: (status, retryAfter) => {
          if (!has.seesStatus || !mine()) return;
          place.connection = null;
          this.options.refused(status);
          this.run((at) => this.session.refused(slot, status, retryAfter, at));
        },
        closed: (code, reason) => {
          if (!mine()) return;
          place.connection = null;
          this.run((at) => {
            if (!place.opened) this.session.lost(slot, `${url} could not be reached${reason === '' ? '' : `: ${reason}`}`, at);
            else if (code === 1006) this.session.lost(slot, reason || 'the connection ended without a word', at);
            else this.session.closed(slot, code, reason, at);
          });
        },
      },
    );
  }

  /** Give the connection what there is to send, and tell the session what it has taken. */
  private carry(slot: number, place: Slot, now: number): void {
    const { connection } = place;
    if (connection === null || !place.opened) return;
    this.tellTaken(slot, place, connection, now);
    for (const frame of this.session.output(slot, now)) {
      place.handed += frame.bytes;
      connection.send(frame.data);
    }
    this.tellTaken(slot, place, connection, now);
  }

  private tellTaken(slot: number, place: Slot, connection: Connection, now: number): void {
    const taken = Math.max(place.told, place.handed - connection.bufferedAmount);
    if (taken === place.told) return;
    this.session.sent(slot, taken - place.told, now);
    place.told = taken;
  }

  /* --- time --- */

  private arm(now: number): void {
    if (this.graced) return;
    let at = this.session.deadline();
    if (this.slots.some((slot) => slot.connection !== null && slot.handed > slot.told)) at = Math.min(at, now + drainMs);
    if (at >= this.timerAt && this.cancelTimer !== null) return; // It is called early then, and looks again.
    this.setTimer(at, now);
  }

  private setTimer(at: number, now: number): void {
    this.cancelTimer?.();
    this.cancelTimer = null;
    this.timerAt = at;
    if (at === Infinity) return;
    this.cancelTimer = this.options.platform.timer(Math.max(0, at - now), () => this.timerFired());
  }

  private timerFired(): void {
    const now = this.options.platform.now();
    const late = now - this.timerAt;
    this.cancelTimer = null;
    if (!this.graced && late > lateMs) {
      // The page was frozen, or busy: what has come meanwhile waits behind us.
      this.graced = true;
      this.setTimer(now + graceMs, now);
      if (late > (this.isBackground ? sleptHiddenMs : sleptMs)) this.run((at) => this.session.wokeUp(at));
      return;
    }
    this.graced = false;
    this.timerAt = Infinity;
    this.run((at) => {
      if (at >= this.session.deadline()) this.session.tick(at);
    });
  }

  /* --- the page --- */

  private fallAsleep(): void {
    if (this.asleep) return;
    this.asleep = true;
    if (has.takesParts) this.options.leaving();
    for (const place of this.slots) {
      place.connection?.close();
      place.connection = null;
    }
    this.run((now) => this.session.suspended('the page was left', now));
  }

  private wakeUp(): void {
    this.asleep = false;
    this.run((now) => this.session.wokeUp(now));
  }
}

function facts(online: boolean, moved: boolean): NetworkFacts {
  const path: Path = moved ? 'moved' : 'same';
  return { offline: !online, paths: [path, path, path] };
}
