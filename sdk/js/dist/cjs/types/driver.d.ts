/**
 * driver.ts - joins a session with the world: connections by a transport, time and signals by a platform. It obeys the session's wishes and decides nothing itself, but for
 * what only a program in a browser meets: timers that fire late, and pages that are left and come back.
 */
import { Session, type SessionConfig } from './core/session.js';
import type { Platform, Transport } from './types.js';
export interface DriverOptions {
    readonly platform: Platform;
    readonly transport: Transport;
    readonly urls: readonly string[];
    /** Whether a token must be had before the next attempt. It is called again when session.setToken() was. */
    tokenMissing(): boolean;
    /** The server has refused the connection with this HTTP status. */
    refused(status: number): void;
    /** Before the session is told. */
    backgroundChanged(background: boolean): void;
    /** The page is left, and may not come back. */
    leaving(): void;
}
export declare class Driver {
    private readonly options;
    readonly session: Session;
    private readonly slots;
    private depth;
    private pumpPlanned;
    private cancelTimer;
    /** For when the timer is set. */
    private timerAt;
    private graced;
    /** The page is left: no connection is made. */
    private asleep;
    /** start() was called; before that no time passes for the session. */
    private started;
    private isBackground;
    private urlIndex;
    private readonly unwatch;
    constructor(options: DriverOptions, config: SessionConfig);
    get url(): string;
    /** "An attempt that fails moves on to the next one … a broken connection is tried again where it was, first" (holdfast.h, urls). */
    nextUrl(): void;
    /** Call the session, then do what it wishes. */
    run<T>(call: (now: number) => T): T;
    /** The same for calls of the application's, of which more may follow at once: what they have to send goes out together. */
    soon<T>(call: (now: number) => T): T;
    /** Connections may be made. */
    start(): void;
    background(background: boolean): void;
    /** The session has ended, and its last connection may still be closing. */
    private release;
    private pump;
    private obey;
    private open;
    /** Give the connection what there is to send, and tell the session what it has taken. */
    private carry;
    private tellTaken;
    private arm;
    private setTimer;
    private timerFired;
    private fallAsleep;
    private wakeUp;
}
