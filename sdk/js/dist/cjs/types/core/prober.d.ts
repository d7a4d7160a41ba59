import { BadMessage, type CodecKind } from './codec.js';
import type { Link } from './link.js';
import type { ServerMessage } from './message.js';
import type { Session } from './session.js';
export declare class Prober {
    private readonly s;
    private readonly link;
    /** When its state has lasted long enough; Infinity: there is none. */
    at: number;
    private state;
    /** Begun so far; the last one's number. */
    private count;
    /** Its silence. */
    private gapMs;
    private silentFrom;
    constructor(s: Session, link: Link);
    /** Nothing will be known of it; does nothing where there is none. */
    abandon(now: number): void;
    /** The live connection has been answered: a probe is judged, or begins if one is wanted. */
    networkGood(now: number): void;
    connected(): void;
    opened(codec: CodecKind): void;
    message(message: ServerMessage | BadMessage, now: number): void;
    lost(now: number): void;
    tick(now: number): void;
    private move;
    private end;
    /** No pong, or no connection: is the network to blame? Only if the live connection is answered now. */
    private judge;
    /** Ask the server to be silent for longer than the gap. */
    private ask;
    private beSilent;
    /** The network bears the gap. The server may forget the probe's session at once. */
    private survived;
}
