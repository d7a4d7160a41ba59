/** history_card.ts - what a channel keeps, newest first, and what comes; older messages by a button. */
import { ApiError, reasonOf } from '../api.js';
import { button, make, setLink, setText } from '../dom.js';
import { exact, moment, visible } from '../format.js';
import { Messages } from '../messages.js';
import { card, Notice } from '../parts.js';
import { payloadLine, payloadText } from '../payload.js';
import type { Poll } from '../poll.js';
import { formatRoute } from '../router.js';
import type { Stage } from '../stage.js';
import type { History, Message } from '../types.js';

const everyMs = 1000;
const limit = 50;

export class HistoryCard {
  readonly element: HTMLElement;
  private readonly messages = new Messages();
  private readonly list = make('ol', 'messages');
  private readonly nothing = make('p', 'nothing', 'Asking …');
  private readonly notice = new Notice();
  private readonly older: HTMLButtonElement;
  private readonly live = make('input');
  private readonly poll: Poll;
  /** More comes than is shown: then what follows is not worth the question. */
  private busy = false;
  private rows = new Map<string, HTMLElement>();

  constructor(
    private readonly stage: Stage,
    private readonly channel: string,
  ) {
    this.live.type = 'checkbox';
    this.live.checked = true;
    this.live.addEventListener('change', () => this.poll.kick());
    this.older = button('more', 'Older messages', () => void this.askOlder());
    this.older.hidden = true;
    this.element = card('history', 'History', this.nothing, this.list, this.notice.element, this.older);
    this.element.querySelector('.head')?.append(make('label', 'check', this.live, make('span', '', 'follow')));
    this.poll = stage.poll(everyMs, () => this.ask(), (error) => this.fail(error));
  }

  /** Something was published just now. */
  look(): void {
    this.poll.kick();
  }

  private async ask(): Promise<void> {
    if (!this.live.checked) return;
    if (this.busy || !(await this.askForNext())) {
      const before = this.messages.newest;
      this.messages.begin(await this.history({ reverse: true }));
      this.busy = before > 0 && this.messages.newest >= before + limit;
    }
    this.notice.say('');
    this.show();
  }

  /** Returns false where the newest ones must be asked for. */
  private async askForNext(): Promise<boolean> {
    const { epoch, newest } = this.messages;
    return epoch !== null && newest > 0 && this.messages.takeNext(await this.history({ since: { epoch, offset: newest } }), limit);
  }

  private async askOlder(): Promise<void> {
    const { epoch, oldest } = this.messages;
    if (epoch === null) return;
    this.older.disabled = true;
    try {
      this.messages.takeOlder(await this.history({ reverse: true, since: { epoch, offset: oldest } }));
      this.show();
    } catch (error) {
      if (!this.stage.signal.aborted) this.fail(error);
    }
    this.older.disabled = false;
  }

  private history(query: { reverse?: boolean; since?: { epoch: string; offset: number } }): Promise<History> {
    return this.stage.parts.api.history({ channel: this.channel, limit, ...query }, this.stage.signal);
  }

  private fail(error: unknown): void {
    if (error instanceof ApiError && error.kind === 'absent') this.show();
    else this.notice.say(reasonOf(error), 'bad');
  }

  private show(): void {
    const { list, epoch, olderThere } = this.messages;
    const kept = new Map<string, HTMLElement>();
    let place = this.list.firstElementChild;
    for (const message of list) {
      const key = `${epoch ?? ''} ${message.offset}`;
      const row = this.rows.get(key) ?? messageRow(message);
      if (row === place) place = place.nextElementSibling;
      else this.list.insertBefore(row, place);
      kept.set(key, row);
    }
    for (const [key, row] of this.rows) if (!kept.has(key)) row.remove();
    this.rows = kept;
    setText(this.nothing, 'It keeps no message.');
    this.nothing.hidden = list.length > 0;
    this.older.hidden = !olderThere;
  }
}

function messageRow(message: Message): HTMLElement {
  const time = make('time', '', moment(message.timestamp));
  time.dateTime = new Date(message.timestamp).toISOString();
  const from = make('a', 'from name');
  if (message.from) setLink(from, formatRoute({ page: 'sessions', search: message.from }), visible(message.from));
  const summary = make('summary', '', make('span', 'offset', exact(message.offset)), make('span', 'line', payloadLine(message)), time);
  const details = make('details', '', summary);
  // Only when it is opened: there may be five hundred of them.
  details.addEventListener('toggle', () => {
    if (!details.open || details.childElementCount > 1) return;
    const about = make('p', 'about', `id ${visible(message.id)}`, message.from ? ' · from ' : null, message.from ? from : null);
    details.append(make('pre', '', payloadText(message)), about);
  });
  return make('li', '', details);
}
