/** channels.ts - all channels by name, with a search by a part of the name. */
import { reasonOf } from '../api.js';
import { button, make, setLink, setText } from '../dom.js';
import { counted, exact, visible } from '../format.js';
import { Listing } from '../listing.js';
import type { ListingState } from '../listing.js';
import { Notice } from '../parts.js';
import { formatRoute } from '../router.js';
import { SearchBox } from '../search_box.js';
import type { Stage, View } from '../stage.js';
import { linkCell, Table, textCell } from '../table.js';
import type { Column } from '../table.js';
import { numberOf } from '../types.js';
import type { Channel } from '../types.js';

const columns: readonly Column<Channel>[] = [
  { head: 'Channel', kind: 'wide', cell: () => linkCell(({ channel }) => formatRoute({ page: 'channel', channel }), ({ channel }) => visible(channel), 'name') },
  { head: 'Subscribers', kind: 'number', cell: () => textCell(({ subscribers }) => exact(subscribers)) },
  { head: 'Newest offset', kind: 'number', cell: () => textCell(({ offset }) => exact(offset)) },
  { head: 'Epoch', cell: () => textCell(({ epoch }) => epoch, 'id') },
];

export class Channels implements View {
  readonly element: HTMLElement;
  readonly title = 'Channels';
  private readonly table = new Table<Channel>('Channels', columns, ({ channel }) => channel, '');
  private readonly notice = new Notice();
  private readonly count = make('p', 'hint');
  private readonly open = make('a', 'open');
  private readonly more: HTMLButtonElement;
  private readonly box: SearchBox;

  constructor(stage: Stage, search: string) {
    this.box = new SearchBox('Part of a channel’s name', search, (text) => {
      stage.navigation.replace({ page: 'channels', search: text });
      listing.find(text);
    });
    stage.onLeave(() => this.box.close());
    this.more = button('more', 'Show more', () => listing.more());
    this.more.hidden = true;
    this.open.hidden = true;
    const listing = new Listing<Channel, string>(
      stage,
      {
        ask: async (text, after, limit, signal) => {
          const page = await stage.parts.api.channels({ search: text, limit, ...(after === undefined ? {} : { after }) }, signal);
          return { items: page.channels, next: page.next };
        },
        show: (state) => this.show(state),
        failed: (error) => this.notice.say(reasonOf(error), 'bad'),
      },
      search,
    );
    this.element = make('div', 'view', make('div', 'bar', make('h1', '', 'Channels'), this.count, this.box.element), make('section', 'card', this.table.element, this.open, this.notice.element, this.more));
    stage.onAnswer(() => setText(this.count, counted(numberOf(stage.parts.recorder.newest?.total, 'channels') ?? 0, 'channel')));
  }

  private show({ items, more, asking }: ListingState<Channel>): void {
    const { text } = this.box;
    this.table.say(asking ? 'Searching …' : text === '' ? 'There is no channel.' : 'No channel has this in its name.');
    this.table.show(items);
    this.more.hidden = !more;
    this.more.disabled = asking;
    // A channel is made by the first one who publishes or subscribes.
    this.open.hidden = asking || text === '' || items.some(({ channel }) => channel === text);
    setLink(this.open, formatRoute({ page: 'channel', channel: text }), `Look at “${visible(text)}” all the same`);
    if (!asking) this.notice.say('');
  }
}
