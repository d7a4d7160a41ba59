/** tiles.ts - the numbers that are looked at first, each with its last two minutes. */
import { make, setText } from '../dom.js';
import { bytes, exact, milliseconds, short } from '../format.js';
import type { Recorder, Scope } from '../recorder.js';
import { Sparkline } from '../sparkline.js';

const seconds = 120;

interface TileSpec {
  readonly label: string;
  /** What is drawn. */
  readonly key: string;
  readonly colour: number;
  value(of: (key: string) => number | null): string;
  note(of: (key: string) => number | null): string;
}

const whole = (n: number | null): string => (n === null ? '–' : n < 100_000 ? exact(n) : short(n));

const specs: readonly TileSpec[] = [
  { label: 'Connections', key: 'connections', colour: 0, value: (of) => whole(of('connections')), note: (of) => `${short(of('connections_blocked'))} blocked` },
  {
    label: 'Sessions',
    key: 'sessions_attached',
    colour: 1,
    value: (of) => whole(of('sessions_attached')),
    note: (of) => (of('sessions_waiting') === null ? 'attached' : `and ${short(of('sessions_waiting'))} waiting`),
  },
  { label: 'Publishes', key: 'publishes_total', colour: 2, value: (of) => short(of('publishes_total')), note: () => 'a second' },
  { label: 'Deliveries', key: 'deliveries_total', colour: 3, value: (of) => short(of('deliveries_total')), note: () => 'a second' },
  {
    label: 'Delivery latency',
    key: 'delivery_latency_seconds.p99',
    colour: 4,
    value: (of) => milliseconds(of('delivery_latency_seconds.p99')),
    note: (of) => `p99; half in ${milliseconds(of('delivery_latency_seconds.p50'))}`,
  },
  { label: 'Sent to clients', key: 'bytes_sent_total', colour: 5, value: (of) => bytes(of('bytes_sent_total')), note: (of) => `a second; in ${bytes(of('bytes_received_total'))}` },
];

class Tile {
  readonly element: HTMLElement;
  readonly spark: Sparkline;
  private readonly value = make('dd', 'value');
  private readonly note = make('dd', 'note');

  constructor(readonly spec: TileSpec) {
    this.spark = new Sparkline(spec.colour);
    this.element = make('dl', 'tile', make('dt', '', spec.label), this.value, this.note, make('dd', 'graph', this.spark.element));
  }

  show(of: (key: string) => number | null): void {
    setText(this.value, this.spec.value(of));
    setText(this.note, this.spec.note(of));
  }
}

export class Tiles {
  readonly element: HTMLElement;
  private readonly tiles = specs.map((spec) => new Tile(spec));

  constructor() {
    this.element = make('section', 'tiles', ...this.tiles.map(({ element }) => element));
    this.element.setAttribute('aria-label', 'Now');
  }

  show(recorder: Recorder, scope: Scope): void {
    const frame = recorder.frame(scope, seconds);
    for (const tile of this.tiles) {
      tile.show((key) => recorder.latest(scope, key));
      tile.spark.show(frame.times, frame.values(tile.spec.key), frame.from, frame.to);
    }
  }

  repaint(): void {
    for (const { spark } of this.tiles) spark.repaint();
  }

  close(): void {
    for (const { spark } of this.tiles) spark.close();
  }
}
