/** busiest.ts - the busiest channels and the slowest sessions of the last second. */
import { reasonOf } from '../api.js';
import { make } from '../dom.js';
import { exact, milliseconds, short, visible } from '../format.js';
import { card, Notice } from '../parts.js';
import { formatRoute } from '../router.js';
import type { Stage } from '../stage.js';
import { linkCell, Table, textCell } from '../table.js';
import type { Column } from '../table.js';
import type { BusyChannel, SlowSession } from '../types.js';

const everyMs = 1000;

const channelLink = (channel: string | null): string | null => (channel === null ? null : formatRoute({ page: 'channel', channel }));
const channelText = (channel: string | null): string => (channel === null ? '(forgotten)' : visible(channel));

const channelColumns: readonly Column<BusyChannel>[] = [
  { head: 'Channel', kind: 'wide', cell: () => linkCell(({ channel }) => channelLink(channel), ({ channel }) => channelText(channel), 'name') },
  { head: 'Publishes/s', kind: 'number', cell: () => textCell(({ publishes }) => short(publishes)) },
  { head: 'Deliveries/s', kind: 'number', cell: () => textCell(({ deliveries }) => short(deliveries)) },
];

const slowColumns: readonly Column<SlowSession>[] = [
  { head: 'Session', cell: () => linkCell(({ session }) => formatRoute({ page: 'session', session }), ({ session }) => session, 'id') },
  { head: 'Behind', kind: 'number', cell: () => textCell(({ behind }) => exact(behind)) },
  { head: 'Lag', kind: 'number', cell: () => textCell(({ lag_ms }) => milliseconds(lag_ms)) },
  { head: 'Blocked', kind: 'number', cell: () => textCell(({ blocked_ms }) => milliseconds(blocked_ms)) },
  { head: 'Channel', kind: 'wide', cell: () => linkCell(({ channel }) => channelLink(channel), ({ channel }) => channelText(channel), 'name') },
];

export class Busiest {
  readonly element: HTMLElement;

  constructor(stage: Stage) {
    const channels = new Table<BusyChannel>('Busiest channels', channelColumns, ({ channel }) => JSON.stringify(channel), 'Nothing was published in the last second.');
    const slow = new Table<SlowSession>('Slow sessions', slowColumns, ({ session }) => session, 'Nobody is behind.');
    const notice = new Notice();
    this.element = make('div', 'pair', card('', 'Busiest channels', channels.element), card('', 'Slow sessions', slow.element, notice.element));
    stage.poll(
      everyMs,
      async () => {
        const top = await stage.parts.api.top();
        channels.show(top.channels);
        slow.show(top.slow);
        notice.say('');
      },
      (error) => notice.say(reasonOf(error), 'bad'),
    );
  }
}
