/** channel.ts - one channel: who is there, what it keeps, what comes, and a box that publishes. */
import { reasonOf } from '../api.js';
import { make } from '../dom.js';
import { exact, short, visible } from '../format.js';
import { card, Facts, Notice } from '../parts.js';
import { PublishBox } from '../publish_box.js';
import { formatRoute } from '../router.js';
import type { Stage, View } from '../stage.js';
import type { Channel } from '../types.js';
import { HistoryCard } from './history_card.js';
import { PresenceCard } from './presence_card.js';

const everyMs = 2000;

export class ChannelView implements View {
  readonly element: HTMLElement;
  readonly title: string;
  private readonly facts = new Facts();
  private readonly notice = new Notice();
  private before: { readonly channel: Channel; readonly at: number } | null = null;

  constructor(
    private readonly stage: Stage,
    private readonly channel: string,
  ) {
    this.title = `Channel ${channel}`;
    const back = make('a', 'up', 'Channels');
    back.href = formatRoute({ page: 'channels', search: '' });
    const history = new HistoryCard(stage, channel);
    const presence = new PresenceCard(stage, channel);
    const box = stage.parts.rights.mayChange ? card('', 'Publish', new PublishBox(stage, channel, () => history.look()).element) : null;
    const side = make('div', 'side', card('', 'Channel', this.facts.element, this.notice.element), box, presence.element);
    this.element = make('div', 'view', make('div', 'bar', make('div', 'titles', back, make('h1', 'name', visible(channel)))), make('div', 'columns of-channel', make('div', 'main', history.element), side));
    stage.poll(everyMs, () => this.ask(), (error) => this.notice.say(reasonOf(error), 'bad'));
  }

  /** Names are sorted: the one that is the whole prefix comes first. */
  private async ask(): Promise<void> {
    const { channels } = await this.stage.parts.api.channels({ prefix: this.channel, limit: 1 }, this.stage.signal);
    const found = channels.find(({ channel }) => channel === this.channel);
    this.notice.say(found ? '' : 'There is no such channel now: the first one who publishes or subscribes makes it.');
    this.facts.show('Subscribers', found ? exact(found.subscribers) : null);
    this.facts.show('Newest offset', found ? exact(found.offset) : null);
    this.facts.show('Publishes a second', found ? short(this.rate(found)) : null);
    this.facts.show('Epoch', found ? found.epoch : null);
    this.before = found ? { channel: found, at: performance.now() } : null;
  }

  private rate(now: Channel): number | null {
    const { before } = this;
    if (!before || before.channel.epoch !== now.epoch || now.offset < before.channel.offset) return null;
    return (now.offset - before.channel.offset) / ((performance.now() - before.at) / 1000);
  }
}
