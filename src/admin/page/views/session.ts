/** session.ts - one session: why it was disconnected, what happened to it lately, where it stands in its channels, and the button that ends it. */
import { ApiError, reasonOf } from '../api.js';
import { make } from '../dom.js';
import { exact, span, visible } from '../format.js';
import { card, Facts, findingItem, Notice, Pill } from '../parts.js';
import { formatRoute } from '../router.js';
import type { Stage, View } from '../stage.js';
import { linkCell, Table, textCell } from '../table.js';
import type { Column } from '../table.js';
import type { Position, SessionDetail } from '../types.js';
import { verdict } from '../why.js';
import { disconnectButtons } from './disconnect.js';
import { Timeline } from './timeline.js';

const everyMs = 1500;

const columns: readonly Column<Position>[] = [
  { head: 'Channel', kind: 'wide', cell: () => linkCell(({ channel }) => formatRoute({ page: 'channel', channel }), ({ channel }) => visible(channel), 'name') },
  { head: 'Acknowledged', kind: 'number', cell: () => textCell(({ acknowledged, offset }) => `${exact(acknowledged)} of ${exact(offset)}`) },
  { head: 'Mode', cell: () => textCell(({ mode }) => mode) },
];

export class SessionView implements View {
  readonly element: HTMLElement;
  readonly title: string;
  private readonly pill = new Pill();
  private readonly facts = new Facts();
  private readonly findings = make('ul', 'findings');
  private readonly timeline = new Timeline();
  private readonly positions = new Table<Position>('Where it stands in its channels', columns, ({ channel, epoch }) => `${epoch} ${channel}`, 'It is subscribed to no channel.');
  private readonly notice = new Notice();
  private readonly actions = make('div', 'actions');
  private readonly told = new Notice();
  private readonly body: HTMLElement;
  private shownFindings = '';
  private actionsFor: string | null = null;

  constructor(
    private readonly stage: Stage,
    private readonly session: string,
  ) {
    this.title = `Session ${session}`;
    const back = make('a', 'up', 'Sessions');
    back.href = formatRoute({ page: 'sessions', search: '' });
    const head = make('div', 'bar', make('div', 'titles', back, make('h1', 'id', visible(session))), this.pill.element, this.actions);
    this.body = make('div', 'columns', make('div', 'main', card('', 'Why was it disconnected?', this.findings), card('', 'What happened, newest first', this.timeline.element)), make('div', 'side', card('', 'Session', this.facts.element), card('', 'Channels', this.positions.element)));
    this.body.hidden = true;
    this.element = make('div', 'view', head, this.told.element, this.notice.element, this.body);
    stage.poll(everyMs, () => this.ask(), (error) => this.fail(error));
  }

  private async ask(): Promise<void> {
    const detail = await this.stage.parts.api.session(this.session, this.stage.signal);
    this.notice.say('');
    this.body.hidden = false;
    this.show(detail);
  }

  private fail(error: unknown): void {
    const gone = error instanceof ApiError && error.kind === 'absent';
    if (!gone) {
      this.notice.say(reasonOf(error), 'bad');
      return;
    }
    this.pill.say('unknown', '');
    this.actions.replaceChildren();
    this.actionsFor = null;
    this.body.hidden = true;
    this.notice.say('There is no such session, and nothing is remembered of it: workers keep their newest 4,096 events, until the server is restarted.', 'warn');
  }

  private show(detail: SessionDetail): void {
    this.pill.say(detail.state, detail.state === 'attached' ? 'good' : detail.state === 'waiting' ? 'warn' : '');
    this.facts.show('User', detail.user ? visible(detail.user) : detail.state === 'ended' ? null : 'anonymous');
    this.facts.show('Address', detail.address ?? detail.events.find(({ address }) => address !== undefined)?.address ?? null);
    this.facts.show('Worker', detail.worker === undefined ? null : String(detail.worker));
    this.facts.show('Subscriptions', detail.subscriptions === undefined ? null : exact(detail.subscriptions));
    this.facts.show('Waiting for', detail.waitingMs === undefined ? null : span(detail.waitingMs));
    const heartbeat = detail.events.find(({ heartbeatMs }) => heartbeatMs !== undefined)?.heartbeatMs;
    this.facts.show('Heartbeat', heartbeat === undefined ? null : `every ${span(heartbeat)}`);
    this.showFindings(detail);
    this.timeline.show(detail.events);
    this.positions.show(detail.positions);
    this.showActions(detail);
  }

  private showFindings(detail: SessionDetail): void {
    const said = verdict(detail.state, detail.events);
    const key = JSON.stringify([said, detail.findings]);
    if (key === this.shownFindings) return;
    this.shownFindings = key;
    const nothing = detail.findings.length === 0 ? 'Nothing in what is remembered asks for a change.' : '';
    this.findings.replaceChildren(findingItem(said.mood === '' ? 'good' : said.mood, said.text, nothing), ...detail.findings.map(({ finding, advice }) => findingItem('warn', capital(finding), capital(advice))));
  }

  /** They stay the same elements as long as they say the same: who has the focus there keeps it. */
  private showActions({ session, state, user }: SessionDetail): void {
    const wanted = this.stage.parts.rights.mayChange && state !== 'ended' ? `${state} ${user ?? ''}` : '';
    if (wanted === this.actionsFor) return;
    this.actionsFor = wanted;
    this.actions.replaceChildren(...(wanted === '' ? [] : disconnectButtons(this.stage, { session, connected: state === 'attached', user: user ?? '' }, this.told)));
  }
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

