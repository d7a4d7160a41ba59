/** holdfast.ts - the client: what the application calls, and the session's events in the application's terms. */
import type { State } from './codes.js';
import type { AnyChannels, ChannelMap, ChannelName, Client, ClientEvents, History, HistoryOptions, HoldfastOptions, Member, Message, Off, Payload, Platform, Published, PublishOptions, StateChange, SubscribeOptions, Subscription } from './types.js';
/** A client as `Client` in types.ts describes it. The platform comes from the entry point that the program imports. */
export declare class HoldfastClient<M extends ChannelMap = AnyChannels> implements Client<M> {
    private readonly options;
    private readonly platform;
    private readonly emitter;
    private readonly subscriptions;
    /** Subscribed to anew while the channel's last subscription is not over yet. */
    private readonly following;
    private readonly publishes;
    private readonly requests;
    private readonly connectedWaiters;
    private readonly closeWaiters;
    private readonly tokens;
    private readonly memory;
    private memorySavedAt;
    private readonly adaptive;
    private tolerance;
    private readonly backgroundTolerance;
    private isBackground;
    private readonly requestTimeout;
    private readonly hasStore;
    private cancelRenewal;
    /** null: the outbox is being read, and what is called waits in `early`. */
    private driver;
    private early;
    private isStarted;
    /** The outbox could not be read, or the client was closed before it was. */
    private stillborn;
    constructor(url: string | readonly string[], options: HoldfastOptions, platform: Platform);
    get state(): State;
    get session(): string;
    get unanswered(): number;
    on<E extends keyof ClientEvents>(event: E, handler: (event: ClientEvents[E]) => void): Off;
    onState(handler: (change: StateChange) => void): Off;
    connect(): void;
    connected(): Promise<void>;
    subscribe<C extends ChannelName<M>>(channel: C, first?: SubscribeOptions | ((message: Message<Payload<M, C>>) => void), second?: (message: Message<Payload<M, C>>) => void): Subscription<Payload<M, C>>;
    subscription<C extends ChannelName<M>>(channel: C): Subscription<Payload<M, C>> | undefined;
    publish<C extends ChannelName<M>>(channel: C, payload: Payload<M, C>, options?: PublishOptions): Promise<Published>;
    history<C extends ChannelName<M>>(channel: C, options?: HistoryOptions): Promise<History<Payload<M, C>>>;
    presence(channel: ChannelName<M>): Promise<readonly Member[]>;
    ping(): Promise<number>;
    call<R = unknown>(method: string, payload?: unknown): Promise<R>;
    setToken(token: string): void;
    setTolerance(tolerance: number): void;
    setBackground(background: boolean): void;
    close(): Promise<void>;
    private begin;
    /** Now, or when the outbox has been read. */
    private later;
    private loadOutbox;
    private checkEarly;
    private askToken;
    private planRenewal;
    private currentTolerance;
    private toleranceChanged;
    private loadMemory;
    private saveMemory;
    private publishTo;
    private historyOf;
    private ask;
    private answered;
    private requestTimedOut;
    private follow;
    private leave;
    private channelEnded;
    /** The one that a channel's events are for: one that the backend made is made here, too. */
    private subscriptionOf;
    private onEvent;
    private onConnected;
    private onEnding;
    private onGap;
    /** The promise of a publish; undefined: another page made it. */
    private published;
    private uncertain;
    private problem;
    /** Nothing more will come: what waits is told so. */
    private hasEnded;
    /** Those that may have been sent are uncertain; with a store all stay there for the next page. */
    private settleUnanswered;
}
