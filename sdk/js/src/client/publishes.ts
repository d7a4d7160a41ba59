/** client/publishes.ts - the promises of an application's publishes, by their publish ids. */
import type { SessionEvent } from '../core/events.js';
import { closedError, PublishRefused, PublishUncertain } from '../errors.js';
import * as has from '../features.js';
import { serverError } from '../subscription.js';
import type { Published, PublishOptions } from '../types.js';
import type { Host } from './host.js';
import { rawPayload } from './options.js';

export interface Settle<T> {
  resolve(value: T): void;
  reject(error: unknown): void;
}

type EventOf<T extends SessionEvent['type']> = Extract<SessionEvent, { type: T }>;

function uncertain({ channel, id, payload }: Pick<EventOf<'uncertain'>, 'channel' | 'id' | 'payload'>): PublishUncertain {
  return new PublishUncertain(channel, id, typeof payload === 'string' ? JSON.parse(payload) : payload);
}

export class Publishes {
  private readonly all = new Map<number, Settle<Published>>();

  constructor(private readonly host: Host) {}

  publish(channel: string, payload: unknown, options: PublishOptions = {}): Promise<Published> {
    return new Promise((resolve, reject) => {
      const raw = rawPayload(payload);
      this.host.later(() => {
        const { driver } = this.host;
        if (driver === null) {
          reject(closedError());
          return;
        }
        try {
          this.all.set(driver.soon(() => driver.session.publishing.publish(channel, raw, options.id)), { resolve, reject });
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  acked({ publishId, channel, offset }: EventOf<'acked'>): void {
    this.take(publishId)?.resolve({ channel, offset: offset === 0 ? null : offset, publishId });
  }

  refused({ publishId, channel, code, reason }: EventOf<'refused'>): void {
    const error = serverError(code, reason);
    this.take(publishId)?.reject(new PublishRefused(channel, error.code, error.message, code));
  }

  uncertain({ publishId, channel, id, payload }: EventOf<'uncertain'>): void {
    const error = uncertain({ channel, id, payload });
    const settle = this.take(publishId);
    if (settle === undefined) this.host.problem(error, channel);
    else settle.reject(error);
  }

  /** Nothing more will be answered. Those that may have been sent are uncertain; with a store all stay there for the next page. */
  end(): void {
    const { driver, options } = this.host;
    const outbox = driver?.session.publishing.outbox;
    const isKept = has.keepsOutbox && options.storage?.outbox !== undefined;
    const sentId = outbox === undefined ? 0 : outbox.firstId + outbox.sent - 1;
    if (has.keepsOutbox && isKept) driver?.run((now) => driver.session.saveLast(now));
    for (const [publishId, { reject }] of this.all) {
      // By its number: what was refused is settled, and lies in the outbox all the same.
      const item = has.keepsOutbox && isKept ? undefined : outbox?.byId(publishId);
      if (item !== undefined && publishId <= sentId)
        reject(uncertain(item));
      else reject(closedError());
    }
    this.all.clear();
    if (!has.keepsOutbox || !isKept) while (outbox?.take() !== undefined);
  }

  /** The promise of a publish; undefined: another page made it. */
  private take(publishId: number): Settle<Published> | undefined {
    const settle = this.all.get(publishId);
    this.all.delete(publishId);
    return settle;
  }
}
