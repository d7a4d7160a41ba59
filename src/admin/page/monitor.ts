/** monitor.ts - the question that is asked once a second, on every view: its answers are what the charts draw, and what the page knows of the server's being there. */
import { ApiError } from './api.js';
import type { Api } from './api.js';
import type { KeyStore } from './key.js';
import type { Link } from './link.js';
import { Poll } from './poll.js';
import type { Recorder, Scope } from './recorder.js';
import type { Rights } from './rights.js';
import type { Stats } from './types.js';

const everyMs = 1000;
/** Whether it drains is asked with every fifth. */
const readyEvery = 5;

export interface Parts {
  readonly api: Api;
  readonly keys: KeyStore;
  readonly rights: Rights;
  readonly link: Link;
  readonly recorder: Recorder;
}

export class Monitor {
  private readonly poll: Poll;
  private readonly listeners = new Set<() => void>();
  /** What this key may is asked anew with each key, and with each life of the server. */
  private accessOf: string | null = null;
  private scope: Scope = null;
  private asked = 0;
  private draining = false;

  constructor(private readonly parts: Parts) {
    this.poll = new Poll(everyMs, () => this.ask());
  }

  /** Tell of this worker in full, too. */
  lookAt(scope: Scope): void {
    this.scope = scope;
  }

  /** Called behind each answer. Returns how to stop that. */
  onAnswer(call: () => void): () => void {
    this.listeners.add(call);
    return () => this.listeners.delete(call);
  }

  useKey(key: string | null): void {
    this.parts.keys.set(key);
    this.accessOf = null;
    this.poll.kick();
  }

  askNow(): void {
    this.poll.kick();
  }

  private async ask(): Promise<number | undefined> {
    const { api, keys, link, recorder } = this.parts;
    const key = keys.value;
    try {
      const stats = await this.statsOf(api);
      await this.learnRights(stats, key);
      if (this.asked++ % readyEvery === 0) this.draining = !(await api.ready());
      // Another key was entered meanwhile: this answer is to the old one.
      if (keys.value !== key) return 0;
      recorder.take(stats);
      link.answered(this.draining);
    } catch (error) {
      if (keys.value !== key) return 0;
      if (error instanceof ApiError && error.kind === 'unauthorized') this.parts.rights.learn(null);
      this.asked = 0;
      return link.failed(error, key !== null);
    }
    for (const call of this.listeners) call();
    return undefined;
  }

  /** The worker that is looked at may be one that there is no more: another life of the server, with fewer of them. */
  private async statsOf(api: Api): Promise<Stats> {
    try {
      return await api.stats(this.scope);
    } catch (error) {
      if (this.scope === null || !(error instanceof ApiError) || error.status !== 400) throw error;
      return api.stats(null);
    }
  }

  private async learnRights(stats: Stats, key: string | null): Promise<void> {
    const of = `${stats.serverId} ${stats.started} ${key ?? ''}`;
    if (this.accessOf === of) return;
    this.parts.rights.learn(await this.parts.api.access());
    this.accessOf = of;
  }
}
