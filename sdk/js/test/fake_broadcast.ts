/** fake_broadcast.ts - BroadcastChannels between the pages of a test. What a page that is not running should hear is lost to it, as far as a killed one goes, and kept for a frozen one. */
import type { Broadcast } from '../src/shared/wire.js';
import type { Page } from './page.js';

export class FakeBroadcasts {
  private readonly all = new Set<{ readonly name: string; readonly page: Page; readonly broadcast: Broadcast }>();

  of(page: Page): (name: string) => Broadcast {
    return (name) => {
      let isClosed = false;
      const own = {
        name,
        page,
        broadcast: {
          onmessage: null,
          postMessage: (data: unknown) => {
            if (isClosed) throw new DOMException('the channel is closed', 'InvalidStateError');
            if (page.runs && this.all.has(own)) this.post(own, structuredClone(data));
          },
          close: () => {
            isClosed = true;
            this.all.delete(own);
          },
        } as Broadcast,
      };
      this.all.add(own);
      page.whenKilled(() => this.all.delete(own));
      return own.broadcast;
    };
  }

  private post(from: { readonly name: string; readonly broadcast: Broadcast }, data: unknown): void {
    for (const each of this.all)
      if (each.name === from.name && each.broadcast !== from.broadcast) setTimeout(() => this.deliver(each, data));
  }

  private deliver(to: { readonly page: Page; readonly broadcast: Broadcast }, data: unknown): void {
    if (to.page.isFrozen && to.page.isAlive) setTimeout(() => this.deliver(to, data), 5);
    else if (to.page.isAlive) to.broadcast.onmessage?.({ data });
  }
}
