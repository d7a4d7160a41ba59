/** feed.test.ts - one channel for several tabs: each is told what it has not, and nothing else, wherever it begins and whatever comes in between. */
import { describe, expect, it } from 'vitest';
import type { DataMessage } from '../src/core/message.js';
import { Feed, type FeedHost, type HistoryAnswer, type Listener } from '../src/shared/feed.js';
import type { SubscribeOptions } from '../src/types.js';

class Tab implements Listener {
  readonly heard: string[] = [];

  send(message: object): void {
    this.sendText(JSON.stringify(message));
  }

  sendText(text: string): void {
    const m = JSON.parse(text) as Record<string, unknown>;
    const words: Readonly<Record<string, string>> = {
      data: `${String(m['offset'])}`,
      gap: `gap ${String(m['epoch'])} ${String(m['from'])}-${String(m['to'])} ${String(m['code'])}`,
      subscribed: `subscribed ${String(m['epoch'])}:${String(m['offset'])}${m['recovered'] === true ? '' : ' not recovered'}`,
      unsubscribed: `unsubscribed ${String(m['code'])}`,
      error: `error ${String(m['code'])}`,
      join: `join ${String(m['user'])}`,
    };
    this.heard.push(words[String(m['type'])] ?? text);
  }

  /** And forget it. */
  take(): string[] {
    return this.heard.splice(0);
  }
}

/** The server's side: what the feed asks for is noted, and answered by the test. */
class Host implements FeedHost {
  readonly asked: string[] = [];
  readonly laters: (() => void)[] = [];
  readonly histories: { answer: (answer: HistoryAnswer) => void; refused: (code: string, reason: string) => void }[] = [];

  follow(channel: string, options: SubscribeOptions): void {
    this.asked.push(`follow ${channel} ${JSON.stringify(options)}`);
  }

  unfollow(channel: string): void {
    this.asked.push(`unfollow ${channel}`);
  }

  isCurrent = true;

  watch(channel: string, presence: boolean): void {
    this.asked.push(`watch ${channel} ${String(presence)}`);
  }

  history(...[what, answer, refused]: Parameters<FeedHost['history']>): void {
    this.asked.push(`history ${what.since === undefined ? 'newest' : `${what.since.epoch}:${what.since.offset}`} ${what.limit}`);
    this.histories.push({ answer, refused });
  }

  later(call: () => void): void {
    this.asked.push('later');
    this.laters.push(call);
  }

  idle(): void {
    this.asked.push('idle');
  }

  take(): string[] {
    return this.asked.splice(0);
  }

  /** Of the oldest history that was asked for. */
  answer(epoch: string, offset: number, from: number, to: number): void {
    const messages = Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => data(from + i));
    this.histories.shift()?.answer({ epoch, offset, messages });
  }
}

const data = (offset: number): DataMessage => ({ type: 'data', channel: 'c', offset, id: `${offset}`, payload: offset, timestamp: 1 });

/** A feed that stands behind e:10, and its first tab. */
function active(options: SubscribeOptions = {}): { host: Host; feed: Feed; first: Tab } {
  const host = new Host();
  const feed = new Feed('c', host);
  const first = new Tab();
  feed.subscribe(first, options);
  feed.subscribed('e', 10, true);
  first.take();
  host.take();
  return { host, feed, first };
}

describe('a feed', () => {
  it('passes on as many bytes as a server takes', () => {
    const { feed, first } = active();
    const payload = new Uint8Array(1 << 20).fill(7);
    feed.message({ ...data(11), payload }, 'e');
    expect(first.take()).toEqual(['11']);
  });

  it('follows with the first tab, and leaves with the last', () => {
    const host = new Host();
    const feed = new Feed('c', host);
    const [one, two] = [new Tab(), new Tab()];
    feed.subscribe(one, { since: { epoch: 'e', offset: 4 } });
    feed.subscribe(two, {});
    expect(host.take()).toEqual(['follow c {"since":{"epoch":"e","offset":4},"presence":false}']);
    feed.subscribed('e', 4, true);
    for (const offset of [5, 6]) feed.message(data(offset), 'e');
    expect(one.take()).toEqual(['subscribed e:4', '5', '6']);
    expect(two.take()).toEqual(['subscribed e:4', '5', '6']);
    expect([feed.unsubscribe(one), feed.unsubscribe(one)]).toEqual([true, false]);
    feed.unsubscribe(two);
    expect(host.take()).toEqual(['unfollow c']);
    feed.unsubscribed('', '');
    expect(host.take()).toEqual(['idle']);
  });

  it('tells nobody what he has, and nothing before he is told that he is subscribed', () => {
    const { feed, first } = active();
    const ahead = new Tab();
    const behind = new Tab();
    feed.subscribe(ahead, { since: { epoch: 'e', offset: 12 } });
    feed.subscribe(behind, { since: { epoch: 'e', offset: 8 } });
    for (const offset of [11, 12, 13]) feed.message(data(offset), 'e');
    expect(first.take()).toEqual(['11', '12', '13']);
    expect(ahead.take()).toEqual(['subscribed e:12', '13']);
    expect(behind.take()).toEqual([]);
  });

  it('brings a tab to where it stands, though that moves on', () => {
    const { host, feed } = active();
    const tab = new Tab();
    feed.subscribe(tab, { since: { epoch: 'e', offset: 8 } });
    feed.message(data(11), 'e');
    expect(host.take()).toEqual(['history e:8 1000']);
    host.answer('e', 10, 9, 10); // It was written before 11 came.
    expect(tab.take()).toEqual(['subscribed e:10', '9', '10']);
    expect(host.take()).toEqual(['history e:10 1000']);
    feed.message(data(12), 'e');
    host.answer('e', 12, 11, 12);
    feed.message(data(13), 'e');
    expect(tab.take()).toEqual(['11', '12', '13']);
    expect(host.take()).toEqual([]);
  });

  it('tells what history has not any more', () => {
    const { host, feed } = active();
    const [evicted, other, all] = [new Tab(), new Tab(), new Tab()];
    feed.subscribe(evicted, { since: { epoch: 'e', offset: 2 } });
    host.answer('e', 10, 8, 10);
    expect(evicted.take()).toEqual(['gap e 3-7 evicted', 'subscribed e:10 not recovered', '8', '9', '10']);
    feed.subscribe(other, { since: { epoch: 'old', offset: 2 } });
    host.answer('e', 10, 9, 10);
    expect(other.take()).toEqual(['gap e null-null epoch', 'gap e 1-8 evicted', 'subscribed e:10 not recovered', '9', '10']);
    feed.subscribe(all, { since: { epoch: 'e', offset: 2 } });
    host.answer('e', 10, 1, 0);
    expect(all.take()).toEqual(['gap e 3-10 evicted', 'subscribed e:10 not recovered']);
  });

  it('begins with the newest where that is asked', () => {
    const { host, feed } = active();
    const [last, latest] = [new Tab(), new Tab()];
    feed.subscribe(last, { last: 2 });
    feed.subscribe(latest, { mode: 'latest' });
    expect(host.take()).toEqual(['history newest 2', 'history newest 1']);
    host.histories.shift()?.answer({ epoch: 'e', offset: 10, messages: [data(10), data(9)] });
    host.histories.shift()?.answer({ epoch: 'e', offset: 10, messages: [data(10)] });
    feed.message(data(11), 'e');
    expect(last.take()).toEqual(['subscribed e:10', '9', '10', '11']);
    expect(latest.take()).toEqual(['subscribed e:10', '10', '11']);
  });

  it('passes gaps and new epochs on', () => {
    const { feed, first } = active();
    feed.gap('e', 11, 14, 'slow');
    const [late, later] = [new Tab(), new Tab()];
    feed.subscribe(late, {});
    expect(late.take()).toEqual(['subscribed e:14']);
    feed.message(data(15), 'e');
    feed.gap('f', 0, 0, 'epoch');
    feed.subscribe(later, {});
    expect(later.take()).toEqual(['subscribed f:0']);
    feed.message(data(1), 'f');
    expect(first.take()).toEqual(['gap e 11-14 slow', '15', 'gap f null-null epoch', '1']);
  });

  it('wants presence while a tab does, and tells that one alone', () => {
    const { host, feed, first } = active();
    const tab = new Tab();
    feed.subscribe(tab, { presence: true });
    expect(host.take()).toEqual(['watch c true']);
    feed.presenceChanged('join', { session: 's', user: 'ann' });
    feed.message(data(11), 'e');
    expect(first.take()).toEqual(['11']);
    expect(tab.take()).toEqual(['subscribed e:10', 'join ann', '11']);
    expect([feed.watch(first, true), feed.watch(new Tab(), true)]).toEqual([true, false]);
    expect(first.take()).toEqual(['subscribed e:11']);
    feed.presenceLost('overloaded', 'the connection was broken', true);
    expect([first.take(), tab.take()]).toEqual([['error overloaded'], ['error overloaded']]);
    feed.watch(first, true);
    expect(host.take()).toEqual([]);
    // It may be the wish for it that was refused.
    feed.presenceLost('rate_limited', 'too much at once');
    expect([first.take(), tab.take()]).toEqual([['subscribed e:11', 'error rate_limited'], ['error rate_limited']]);
    feed.watch(first, true);
    feed.watch(tab, true);
    expect(host.take()).toEqual(['watch c true']);
    expect([first.take(), tab.take()]).toEqual([['subscribed e:11'], ['subscribed e:11']]);
    feed.unsubscribe(tab);
    expect(host.take()).toEqual([]);
    feed.watch(first, false);
    expect(host.take()).toEqual(['watch c false']);
    feed.presenceLost('overloaded', 'left out');
    expect(first.take()).toEqual(['subscribed e:11']);
  });

  it('asks for presence with the first subscribe where a tab wants it by then, and behind its answer where one comes meanwhile', () => {
    const host = new Host();
    const feed = new Feed('c', host);
    feed.subscribe(new Tab(), {});
    feed.subscribe(new Tab(), { presence: true });
    expect(host.take()).toEqual(['follow c {"presence":false}']);
    feed.subscribed('e', 10, true);
    expect(host.take()).toEqual(['watch c true']);
  });

  it('is followed in mode latest while all tabs want that, and in mode all when one does not', () => {
    const host = new Host();
    const feed = new Feed('c', host);
    const [one, two, all] = [new Tab(), new Tab(), new Tab()];
    feed.subscribe(one, { mode: 'latest' });
    expect(host.take()).toEqual(['follow c {"mode":"latest","presence":false}']);
    feed.subscribed('e', 0, true, 10);
    feed.message(data(10), 'e');
    feed.message(data(14), 'e'); // What a slow connection misses is no gap.
    feed.subscribe(two, { mode: 'latest' });
    expect(host.take()).toEqual(['history newest 1']);
    host.histories.shift()?.answer({ epoch: 'e', offset: 14, messages: [data(14)] });
    expect(one.take()).toEqual(['subscribed e:9', '10', '14']);
    expect(two.take()).toEqual(['subscribed e:14', '14']);
    feed.subscribe(all, {});
    expect(host.take()).toEqual(['unfollow c']);
    feed.message(data(17), 'e'); // It was on its way.
    feed.unsubscribed('', '');
    expect(host.take()).toEqual(['follow c {"since":{"epoch":"e","offset":17},"presence":false}']);
    feed.subscribed('e', 17, true, 18);
    feed.message(data(18), 'e');
    feed.message(data(19), 'e');
    expect([one.take(), two.take()]).toEqual([['17', '18', '19'], ['17', '18', '19']]);
    expect(all.take()).toEqual(['subscribed e:18', '19']);
  });

  it('loses no newest value where a tab that wants all comes before it', () => {
    const host = new Host();
    const feed = new Feed('c', host);
    const [latest, all] = [new Tab(), new Tab()];
    feed.subscribe(latest, { mode: 'latest' });
    feed.subscribe(all, {});
    host.take();
    feed.subscribed('e', 0, true, 10);
    expect(host.take()).toEqual(['unfollow c']);
    feed.unsubscribed('', '');
    expect(host.take()).toEqual(['follow c {"since":{"epoch":"e","offset":9},"presence":false}']);
    feed.subscribed('e', 9, true, 10);
    feed.message(data(10), 'e');
    feed.message(data(11), 'e');
    host.answer('e', 11, 11, 11);
    feed.message(data(12), 'e');
    expect(all.take()).toEqual(['subscribed e:10', '11', '12']);
    expect(latest.take()).toEqual(['subscribed e:11', '11', '12']);
  });

  it('asks where the channel stands for a tab that begins at its head, while nobody knows that here', () => {
    const { host, feed, first } = active();
    const plain = new Tab();
    host.isCurrent = false; // The connection is broken, or what it had missed is still to come.
    feed.subscribe(plain, {});
    expect(host.take()).toEqual(['history newest 1']);
    feed.gap('e', 11, 14, 'evicted');
    feed.message(data(15), 'e');
    host.histories.shift()?.answer({ epoch: 'e', offset: 16, messages: [data(16)] });
    feed.message(data(16), 'e');
    feed.message(data(17), 'e');
    expect(first.take()).toEqual(['gap e 11-14 evicted', '15', '16', '17']);
    expect(plain.take()).toEqual(['subscribed e:16', '17']);
  });

  it('tells of a gap only what lies behind the beginning of a tab', () => {
    const host = new Host();
    const feed = new Feed('c', host);
    const [since, plain] = [new Tab(), new Tab()];
    feed.subscribe(since, { since: { epoch: 'e', offset: 3 } });
    feed.subscribe(plain, {});
    feed.subscribed('e', 3, true, 6);
    feed.gap('e', 4, 5, 'evicted');
    feed.message(data(6), 'e');
    feed.gap('e', 7, 8, 'slow');
    expect(since.take()).toEqual(['subscribed e:3', 'gap e 4-5 evicted', '6', 'gap e 7-8 slow']);
    expect(plain.take()).toEqual(['subscribed e:6', 'gap e 7-8 slow']);
  });

  it('ends with what the server says', () => {
    const { host, feed, first } = active();
    const tab = new Tab();
    feed.subscribe(tab, { last: 1 });
    host.histories.shift()?.refused('unavailable', 'later');
    expect(tab.take()).toEqual(['error unavailable']);
    feed.unsubscribed('forbidden', 'rights changed');
    expect(first.take()).toEqual(['unsubscribed forbidden']);
    const other = new Feed('c', host);
    other.subscribe(tab, {});
    other.unsubscribed('forbidden', 'no');
    expect(tab.take()).toEqual(['error forbidden']);
  });

  it('keeps a tab where its history is refused for now', () => {
    const { host, feed, first } = active();
    feed.sync(first, 9);
    host.histories.shift()?.refused('overloaded', 'too many requests');
    expect(first.take()).toEqual([]);
    for (const call of host.laters.splice(0)) call();
    host.answer('e', 10, 10, 10);
    feed.message(data(11), 'e');
    expect(first.take()).toEqual(['10', '11']);
  });

  it('begins at the head for a tab that asks so, while another catches up', () => {
    const host = new Host();
    const feed = new Feed('c', host);
    const [since, plain] = [new Tab(), new Tab()];
    feed.subscribe(since, { since: { epoch: 'e', offset: 3 } });
    feed.subscribe(plain, {});
    feed.subscribed('e', 3, true, 5);
    for (const offset of [4, 5, 6]) feed.message(data(offset), 'e');
    expect(since.take()).toEqual(['subscribed e:3', '4', '5', '6']);
    expect(plain.take()).toEqual(['subscribed e:5', '6']);
  });

  it('sends again what a tab has lost', () => {
    const { host, feed, first } = active();
    for (const offset of [11, 12]) feed.message(data(offset), 'e');
    first.take();
    feed.sync(first, 10);
    feed.message(data(13), 'e');
    host.answer('e', 13, 11, 13);
    feed.message(data(14), 'e');
    expect(first.take()).toEqual(['11', '12', '13', '14']);
  });
});
