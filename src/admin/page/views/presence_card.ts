/** presence_card.ts - who is subscribed to a channel. */
import { ApiError, reasonOf } from '../api.js';
import { button, make, setText } from '../dom.js';
import { counted, visible } from '../format.js';
import { card, Notice } from '../parts.js';
import { formatRoute } from '../router.js';
import type { Stage } from '../stage.js';
import { linkCell, Table, textCell } from '../table.js';
import type { Column } from '../table.js';
import type { Member } from '../types.js';

const everyMs = 2000;
const pageMembers = 20;
/** What is read again every two seconds. */
const membersMax = 500;

const columns: readonly Column<Member>[] = [
  { head: 'Session', cell: () => linkCell(({ session }) => formatRoute({ page: 'session', session }), ({ session }) => session, 'id') },
  { head: 'User', kind: 'wide', cell: () => textCell(({ user }) => (user === '' ? 'anonymous' : visible(user)), 'name') },
  { head: 'Info', kind: 'wide', cell: () => textCell(({ info }) => (info === undefined ? '–' : visible(JSON.stringify(info))), 'name') },
];

export class PresenceCard {
  readonly element: HTMLElement;
  private readonly table = new Table<Member>('Presence', columns, ({ session }) => session, 'Nobody is subscribed.');
  private readonly count = make('span', 'hint');
  private readonly notice = new Notice();
  private readonly more: HTMLButtonElement;
  private limit = pageMembers;

  constructor(
    private readonly stage: Stage,
    private readonly channel: string,
  ) {
    const poll = stage.poll(everyMs, () => this.ask(), (error) => this.fail(error));
    this.more = button('more', 'Show more', () => {
      this.limit = Math.min(membersMax, this.limit * 2);
      poll.kick();
    });
    this.more.hidden = true;
    this.element = card('presence', 'Presence', this.table.element, this.notice.element, this.more);
    this.element.querySelector('.head')?.append(this.count);
  }

  private async ask(): Promise<void> {
    const { members, total } = await this.stage.parts.api.presence({ channel: this.channel, limit: this.limit }, this.stage.signal);
    this.table.show(members);
    setText(this.count, counted(total, 'session'));
    this.notice.say(total > membersMax && members.length === membersMax ? `The first ${membersMax} are shown.` : '');
    this.more.hidden = members.length >= total || this.limit >= membersMax;
  }

  private fail(error: unknown): void {
    if (error instanceof ApiError && error.kind === 'absent') this.table.show([]);
    else this.notice.say(reasonOf(error), 'bad');
  }
}
