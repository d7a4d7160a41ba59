/** metrics.ts - the charts of the overview: which of the server's numbers each one draws. What a number means is told in docs/operations.md. */

/** Where the points of a line come from. */
export type Source =
  | { readonly of: 'gauge'; readonly name: string }
  /** A second. */
  | { readonly of: 'rate'; readonly name: string }
  /** Percent of another number. */
  | { readonly of: 'share'; readonly part: string; readonly whole: string }
  /** ms, of what was measured in the last ten seconds. */
  | { readonly of: 'quantile'; readonly histogram: string; readonly share: number }
  /** Percent of the time in which the workers did not wait. */
  | { readonly of: 'busy' };

export interface Line {
  /** Of the points in the recorder. */
  readonly key: string;
  readonly label: string;
  readonly source: Source;
}

/** All counters whose names begin so, one line each, shown once they have counted something. */
export interface Family {
  readonly prefix: string;
  readonly labels: Readonly<Record<string, string>>;
}

export type Unit = 'count' | 'rate' | 'bytes' | 'ms' | 'percent' | 'events';

export interface ChartSpec {
  readonly id: string;
  readonly title: string;
  readonly hint: string;
  /** events: drawn a second, and told as how many in the time that is shown. */
  readonly unit: Unit;
  readonly lines: readonly Line[];
  readonly families?: readonly Family[];
  /** What is told where it has no lines. */
  readonly empty?: string;
}

export interface ChartGroup {
  readonly title: string;
  readonly charts: readonly ChartSpec[];
}

const gauge = (name: string, label: string): Line => ({ key: name, label, source: { of: 'gauge', name } });
const rate = (name: string, label: string): Line => ({ key: name, label, source: { of: 'rate', name } });

function quantiles(histogram: string, shares: readonly number[] = [0.5, 0.9, 0.99]): Line[] {
  return shares.map((share) => {
    const label = `p${Math.round(share * 100)}`;
    return { key: `${histogram}.${label}`, label, source: { of: 'quantile', histogram, share } };
  });
}

export const families = {
  resumes: {
    prefix: 'resumes_total_',
    labels: { resumed: 'resumed', unknown: 'too late: unknown', tombstone: 'too late: remembered', stale_attempt: 'stale attempt', other_user: 'of another user', unavailable: 'worker did not answer' },
  },
  disconnects: {
    prefix: 'disconnects_total_',
    labels: {
      client: 'by the client',
      lost: 'lost without a word',
      heartbeat: 'heartbeat missed',
      slow: 'too slow',
      superseded: 'superseded',
      backend: 'by the backend',
      token: 'token ended',
      shutdown: 'shutdown',
      refused: 'refused',
      protocol: 'protocol broken',
      server: 'no memory',
      other: 'other',
    },
  },
  gaps: { prefix: 'gap_messages_total_', labels: { evicted: 'gap: no longer kept', epoch: 'gap: channel began anew' } },
  refused: { prefix: 'handshakes_refused_total_', labels: {} },
  forbidden: { prefix: 'forbidden_total_', labels: { subscribe: 'forbidden subscribe', publish: 'forbidden publish', history: 'forbidden history', presence: 'forbidden presence' } },
  unsubscribed: { prefix: 'subscriptions_refused_total_', labels: { session: 'subscription: session full', channels: 'subscription: no more channels' } },
} satisfies Record<string, Family>;

export const groups: readonly ChartGroup[] = [
  {
    title: 'Traffic',
    charts: [
      { id: 'messages', title: 'Messages', hint: 'a second', unit: 'rate', lines: [rate('publishes_total', 'Publishes'), rate('deliveries_total', 'Deliveries')] },
      { id: 'traffic', title: 'Bytes', hint: 'a second, with clients', unit: 'bytes', lines: [rate('bytes_received_total', 'In'), rate('bytes_sent_total', 'Out')] },
      {
        id: 'connections',
        title: 'Connections and sessions',
        hint: 'now',
        unit: 'count',
        lines: [gauge('connections', 'Connections'), gauge('sessions_attached', 'Attached'), gauge('sessions_waiting', 'Waiting')],
      },
    ],
  },
  {
    title: 'Latency',
    charts: [
      { id: 'delivery', title: 'Publish to delivery', hint: 'written to the subscriber', unit: 'ms', lines: quantiles('delivery_latency_seconds'), empty: 'Nothing was delivered live' },
      { id: 'heartbeat', title: 'Heartbeat round trip', hint: 'server to client and back', unit: 'ms', lines: quantiles('heartbeat_rtt_seconds'), empty: 'No heartbeat was answered' },
      { id: 'lag', title: 'Loop lag', hint: 'how late timers run', unit: 'ms', lines: quantiles('loop_lag_seconds'), empty: 'Nothing was measured' },
    ],
  },
  {
    title: 'Coming and going',
    charts: [
      { id: 'opened', title: 'Opened and resumed', hint: 'by result', unit: 'events', lines: [rate('connections_opened_total', 'opened')], families: [families.resumes] },
      { id: 'disconnects', title: 'Disconnects', hint: 'by cause', unit: 'events', lines: [], families: [families.disconnects], empty: 'No connection has ended' },
      { id: 'heartbeats', title: 'Heartbeats', hint: 'saved: traffic proved the path', unit: 'events', lines: [rate('heartbeats_sent_total', 'sent'), rate('heartbeats_saved_total', 'saved'), rate('heartbeats_missed_total', 'missed')] },
    ],
  },
  {
    title: 'Lost, refused, held back',
    charts: [
      {
        id: 'drops',
        title: 'Drops and gaps',
        hint: 'messages, by cause',
        unit: 'events',
        lines: [],
        families: [
          families.gaps,
          { prefix: 'deliveries_skipped_total', labels: { '': 'skipped (latest)' } },
          { prefix: 'publishes_refused_total', labels: { '': 'publish refused' } },
          { prefix: 'publishes_rate_limited_total', labels: { '': 'publish rate-limited' } },
          { prefix: 'presence_missed_total', labels: { '': 'presence left out' } },
        ],
        empty: 'Nothing was lost or left out',
      },
      { id: 'refused', title: 'Refused', hint: 'by cause', unit: 'events', lines: [], families: [families.refused, families.forbidden, families.unsubscribed], empty: 'Nobody was refused' },
      {
        id: 'held',
        title: 'Held back',
        hint: 'by cause',
        unit: 'events',
        lines: [],
        families: [
          { prefix: 'log_full_total', labels: { '': 'log full' } },
          { prefix: 'ring_full_total', labels: { '': 'ring full' } },
          { prefix: 'stalled_connections_total', labels: { '': 'connection not read' } },
          { prefix: 'accept_errors_total', labels: { '': 'accept failed' } },
          { prefix: 'workers_full_total', labels: { '': 'worker full' } },
        ],
        empty: 'Nobody had to wait',
      },
    ],
  },
  {
    title: 'Resources',
    charts: [
      {
        id: 'fill',
        title: 'Logs and rings',
        hint: 'full logs are usual',
        unit: 'percent',
        lines: [
          { key: 'log_fill', label: 'Logs', source: { of: 'share', part: 'log_bytes', whole: 'log_capacity_bytes' } },
          { key: 'ring_fill', label: 'Fullest ring', source: { of: 'share', part: 'ring_peak_bytes', whole: 'ring_capacity_bytes' } },
        ],
        empty: 'Told of all workers together',
      },
      { id: 'busy', title: 'Workers busy', hint: 'share of the time', unit: 'percent', lines: [{ key: 'busy', label: 'Busy', source: { of: 'busy' } }] },
    ],
  },
];

/** With what only a tile tells. */
export const allLines: readonly Line[] = [...groups.flatMap(({ charts }) => charts.flatMap(({ lines }) => lines)), gauge('connections_blocked', 'Blocked')];
const allFamilies: readonly Family[] = groups.flatMap(({ charts }) => charts.flatMap((chart) => chart.families ?? []));

/** The lines of a family among these counters, in their order. */
export function membersOf(family: Family, counters: Iterable<string>): Line[] {
  const lines: Line[] = [];
  for (const name of counters) {
    if (!name.startsWith(family.prefix)) continue;
    const cause = name.slice(family.prefix.length);
    lines.push(rate(name, family.labels[cause] ?? cause.replaceAll('_', ' ')));
  }
  return lines;
}

export function isOfFamily(name: string): boolean {
  return allFamilies.some(({ prefix }) => name.startsWith(prefix));
}
