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
/** RFC 5382 REQ-5 lets a network forget after 2 h 4 min: none needs more. */
export declare const gapMsMax: number;
export declare class HeartbeatMemory {
    /** Since this was last set to false: worth writing down. */
    changed: boolean;
    private networks;
    /** What is known of a network; undefined: nothing, or it was last seen too long ago. */
    find(key: string, now: number): Network | undefined;
    /** Remember it. `changed` if it says more than that the network was seen again within the hour. */
    put(network: Network): void;
    drop(key: string): void;
    /** The text to keep; unix is the wall clock at `now`. */
    encode(now: number, unix: number): string;
    /**
     * Replace all by what the text says. What is too old is left out; a time in the future (the wall clock was set) counts as now. False: it is no such text, and
     * nothing is remembered.
     */
    decode(text: string, now: number, unix: number): boolean;
    /** Where a new one goes: behind the others, or into the place of the one longest unseen. */
    private newPlace;
}
