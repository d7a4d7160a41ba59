/** workers_table.ts - each worker and what it does now. */
import { make } from '../dom.js';
import { bytes, exact, percent, short } from '../format.js';
import { Pill } from '../parts.js';
import type { Recorder } from '../recorder.js';
import { formatRoute } from '../router.js';
import { linkCell, Table, textCell } from '../table.js';
import type { Cell, Column } from '../table.js';
import { numberOf } from '../types.js';
import type { Stats, Worker } from '../types.js';

const silentMs = 3000;

export class WorkersTable {
  readonly element = make('div');
  private readonly table: Table<Worker>;
  private recorder: Recorder | null = null;

  constructor() {
    this.table = new Table<Worker>('Workers', this.columns(), ({ slot }) => String(slot), 'The server has told of no worker yet.');
    this.element.append(this.table.element);
  }

  show(stats: Stats, recorder: Recorder): void {
    this.recorder = recorder;
    this.table.show(stats.workers);
  }

  private columns(): Column<Worker>[] {
    const count = (head: string, name: string): Column<Worker> => ({ head, kind: 'number', cell: () => textCell((worker) => exact(numberOf(worker, name) ?? 0)) });
    const point = (head: string, key: string, text: (n: number | null) => string): Column<Worker> => ({
      head,
      kind: 'number',
      cell: () => textCell((worker) => text(this.recorder?.latest(worker.slot, key) ?? null)),
    });
    return [
      { head: 'Worker', cell: () => linkCell(({ slot }) => formatRoute({ page: 'overview', worker: slot }), ({ slot }) => `Worker ${slot}`) },
      { head: 'State', cell: stateCell },
      { head: 'PID', kind: 'number', cell: () => textCell(({ pid }) => String(pid)) },
      point('Busy', 'busy', percent),
      count('Connections', 'connections'),
      count('Subscriptions', 'subscriptions'),
      point('Publishes/s', 'publishes_total', short),
      point('Deliveries/s', 'deliveries_total', short),
      point('In/s', 'bytes_received_total', bytes),
      point('Out/s', 'bytes_sent_total', bytes),
      { head: 'Replaced', kind: 'number', cell: () => textCell(({ restarts }) => exact(restarts)) },
    ];
  }
}

function stateCell(): Cell<Worker> {
  const pill = new Pill();
  return {
    node: pill.element,
    show: ({ running, silent_ms }) => {
      if (!running) pill.say('down', 'bad');
      else if (silent_ms > silentMs) pill.say('hangs', 'bad');
      else pill.say('runs', 'good');
    },
  };
}
