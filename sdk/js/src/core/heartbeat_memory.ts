/**
 * heartbeat_memory.ts - what a client has learnt about the networks that it was in: how much silence each bears. A small table, and its form as text, which is that of
 * the C client's file (src/session/heartbeat_memory.h):
 *
 *   holdfast-heartbeat 1
 *   KEY LO HI PROBED SEEN
 *
 * KEY in 16 hexadecimal digits, LO and HI in milliseconds, the times in Unix seconds. Of damaged input nothing is taken: a wrong number here would cost connections or
 * battery for a week.
 */

/** One network. Times are of the session's clock and may lie before its zero. Invariant: lo <= gapMsMax, and hi is 0 or above lo. */
export interface Network {
  /** 16 hexadecimal digits; empty: not known. */
  key: string;
  /** The longest silence that a connection has survived; 0: none yet. */
  lo: number;
  /** The shortest that has killed one; 0: none yet. */
  hi: number;
  /** When a probe last tried. */
  probedAt: number;
  seenAt: number;
}

/** Home, work, some trains and cafes; when full, the one longest unseen goes. A guess. */
const networksMax = 32;
/** RFC 5382 REQ-5 lets a network forget after 2 h 4 min: none needs more. */
export const gapMsMax = 2 * 3600 * 1000;
/** A network not seen for that long may be another one by now. */
const forgetMs = 7 * 24 * 3600 * 1000;
const seenAgainMs = 3600 * 1000;
const head = 'holdfast-heartbeat 1';
const line = /^([0-9a-f]{1,16}) (\d{1,8}) (\d{1,8}) (\d{1,12}) (\d{1,12})$/;

export class HeartbeatMemory {
  /** Since this was last set to false: worth writing down. */
  changed = false;
  private networks: Network[] = [];

  /** What is known of a network; undefined: nothing, or it was last seen too long ago. */
  find(key: string, now: number): Network | undefined {
    const known = this.networks.find((network) => network.key === key);
    return known !== undefined && now - known.seenAt <= forgetMs ? { ...known } : undefined;
  }

  /** Remember it. `changed` if it says more than that the network was seen again within the hour. */
  put(network: Network): void {
    const at = this.networks.findIndex((other) => other.key === network.key);
    const known = this.networks[at];
    if (
      known !== undefined &&
      known.lo === network.lo &&
      known.hi === network.hi &&
      known.probedAt === network.probedAt &&
      network.seenAt - known.seenAt < seenAgainMs
    )
      return;
    this.networks[known !== undefined ? at : this.newPlace()] = { ...network };
    this.changed = true;
  }

  drop(key: string): void {
    const before = this.networks.length;
    this.networks = this.networks.filter((network) => network.key !== key);
    this.changed ||= this.networks.length < before;
  }

  /** The text to keep; unix is the wall clock at `now`. */
  encode(now: number, unix: number): string {
    const seconds = (at: number): number => Math.max(0, Math.floor((unix - (now - at)) / 1000));
    const lines = this.networks.map(
      (n) => `${n.key.padStart(16, '0')} ${n.lo} ${n.hi} ${seconds(n.probedAt)} ${seconds(n.seenAt)}`,
    );
    return [head, ...lines, ''].join('\n');
  }

  /**
   * Replace all by what the text says. What is too old is left out; a time in the future (the wall clock was set) counts as now. False: it is no such text, and
   * nothing is remembered.
   */
  decode(text: string, now: number, unix: number): boolean {
    const lines = text.split('\n');
    const taken: Network[] = [];
    const keys = new Set<string>();
    const time = (seconds: string | undefined): number => now - Math.max(0, unix - Number(seconds) * 1000);
    this.networks = [];
    this.changed = false;
    if (lines.shift() !== head || lines.pop() !== '' || lines.length > networksMax) return false;
    for (const each of lines) {
      const [, digits, lo, hi, probed, seen] = line.exec(each) ?? [];
      const key = (digits ?? '').padStart(16, '0');
      const network = { key, lo: Number(lo), hi: Number(hi), probedAt: time(probed), seenAt: time(seen) };
      if (digits === undefined || /^0+$/.test(key) || keys.has(key)) return false;
      if (network.lo > gapMsMax || network.hi > gapMsMax || (network.hi !== 0 && network.hi <= network.lo)) return false;
      keys.add(key);
      if (now - network.seenAt <= forgetMs) taken.push(network);
    }
    this.networks = taken;
    return true;
  }

  /** Where a new one goes: behind the others, or into the place of the one longest unseen. */
  private newPlace(): number {
    if (this.networks.length < networksMax) return this.networks.length;
    let oldest = 0;
    this.networks.forEach((network, i) => {
      if (network.seenAt < (this.networks[oldest]?.seenAt ?? Infinity)) oldest = i;
    });
    return oldest;
  }
}
