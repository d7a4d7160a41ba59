/** sessions.ts - all sessions, with a search by the beginning of an id or a part of a user's name. */
import { reasonOf } from '../api.js';
import { button, make, setText } from '../dom.js';
import { counted, exact, span, visible } from '../format.js';
import { Listing } from '../listing.js';
import type { ListingState } from '../listing.js';
import { Notice, Pill } from '../parts.js';
import { formatRoute } from '../router.js';
import { SearchBox } from '../search_box.js';
import type { Stage, View } from '../stage.js';
import { linkCell, Table, textCell } from '../table.js';
import type { Cell, Column } from '../table.js';
import { numberOf } from '../types.js';
import type { Session } from '../types.js';

export function stateCell<T extends Session>(): Cell<T> {
  const pill = new Pill();
  return { node: pill.element, show: ({ state }) => pill.say(state, state === 'attached' ? 'good' : state === 'waiting' ? 'warn' : '') };
}

const sessionLink = ({ session }: Session): string => formatRoute({ page: 'session', session });

const columns: readonly Column<Session>[] = [
  { head: 'Session', cell: () => linkCell(sessionLink, ({ session }) => session, 'id') },
  { head: 'User', kind: 'wide', cell: () => textCell(({ user }) => (user ? visible(user) : 'anonymous'), 'name') },
  { head: 'State', cell: stateCell },
  { head: 'Worker', kind: 'number', cell: () => textCell(({ worker }) => (worker === undefined ? '–' : String(worker))) },
  { head: 'Subscriptions', kind: 'number', cell: () => textCell(({ subscriptions }) => exact(subscriptions ?? 0)) },
  { head: 'Waiting', kind: 'number', cell: () => textCell(({ waitingMs }) => (waitingMs === undefined ? '–' : span(waitingMs))) },
];

export class Sessions implements View {
  readonly element: HTMLElement;
  readonly title = 'Sessions';
  private readonly table = new Table<Session>('Sessions', columns, ({ session }) => session, '');
  private readonly notice = new Notice();
  private readonly count = make('p', 'hint');
  private readonly more: HTMLButtonElement;
  private readonly box: SearchBox;

  constructor(stage: Stage, search: string) {
    this.box = new SearchBox('Beginning of a session, or part of a user', search, (text) => {
      stage.navigation.replace({ page: 'sessions', search: text });
      listing.find(text);
    });
    stage.onLeave(() => this.box.close());
    this.more = button('more', 'Show more', () => listing.more());
    this.more.hidden = true;
    const listing = new Listing<Session, number>(
      stage,
      {
        ask: async (text, after, limit, signal) => {
          const page = await stage.parts.api.sessions({ search: text, limit, ...(after === undefined ? {} : { after }) }, signal);
          return { items: page.sessions, next: page.next };
        },
        show: (state) => this.show(state),
        failed: (error) => this.notice.say(reasonOf(error), 'bad'),
      },
      search,
    );
    this.element = make('div', 'view', make('div', 'bar', make('h1', '', 'Sessions'), this.count, this.box.element), make('section', 'card', this.table.element, this.notice.element, this.more));
    stage.onAnswer(() => {
      const total = stage.parts.recorder.newest?.total;
      setText(this.count, `${counted(numberOf(total, 'sessions') ?? 0, 'session')}, ${exact(numberOf(total, 'sessions_waiting') ?? 0)} waiting`);
    });
  }

  private show({ items, more, asking }: ListingState<Session>): void {
    this.table.say(asking ? 'Searching …' : this.box.text === '' ? 'There is no session.' : 'No session is found. One that has ended is found by its whole id in the address: #/sessions/ID');
    this.table.show(items);
    this.more.hidden = !more;
    this.more.disabled = asking;
    setText(this.more, asking ? 'Searching …' : 'Show more');
    if (!asking) this.notice.say('');
  }
}
