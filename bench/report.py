"""
report.py - docs/performance.md and its plots, from the results of `bench/run` and `bench/million`, and the template bench/performance.md.in.
"""
import json
import os
import re
import statistics

import plot

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
TEMPLATE = os.path.join(HERE, 'performance.md.in')
PAGE = os.path.join(ROOT, 'docs', 'performance.md')
PLOTS = os.path.join(ROOT, 'docs', 'performance')
MILLION = os.path.join(HERE, 'results', 'million.json')
NONE = 'not measured'


def at(result, path):
    for name in path.split('.'):
        result = result.get(name) if isinstance(result, dict) else None
    return result


class Results:
    def __init__(self, results):
        self.results = results

    def values(self, measurement, who, path):
        rows = self.results['measurements'].get(measurement, {}).get(who, [])
        return [v for v in (at(row, path) for row in rows) if v is not None]

    def median(self, measurement, path, who='Holdfast'):
        values = self.values(measurement, who, path)
        return statistics.median(values) if values else None

    def spread(self, measurement, who, path):
        """(median, lowest, highest), or None."""
        values = self.values(measurement, who, path)
        return (statistics.median(values), min(values), max(values)) if values else None

    def ratios(self, measurement, who='Holdfast', to='raw loop', path='server.cpu_us_per_unit'):
        """Of one contestant to another, within each round."""
        pairs = zip(self.values(measurement, who, path), self.values(measurement, to, path))
        return [a / b for a, b in pairs if b > 0]

    def contestants(self, measurement):
        rows = self.results['measurements'].get(measurement, {})
        return [who for who, runs in rows.items() if runs]

    def total(self, path, who='Holdfast'):
        return sum(sum(self.values(m, who, path)) for m in self.results['measurements'])


def table(head, rows):
    if not rows:
        return f'*{NONE}*\n'
    lines = ['| ' + ' | '.join(head) + ' |', '| ' + ' | '.join('---' for _ in head) + ' |']
    return '\n'.join(lines + ['| ' + ' | '.join(row) + ' |' for row in rows]) + '\n'


def scatter(three, form):
    """A median and its spread."""
    if three is None:
        return '–'
    median, low, high = (form.format(v) for v in three)
    return median if low == high else f'{median} ({low}–{high})'


def ratio_text(ratios):
    if not ratios:
        return NONE
    return f'{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})'


# --- one table for each kind of load ---

def load_table(r, measurements, unit_form='{:.3g}'):
    """measurements: (name in the results, heading). For each contestant its CPU time for each unit, and the throughput."""
    names = []
    for name, _ in measurements:
        names += [who for who in r.contestants(name) if who not in names]
    rows = []
    for who in names:
        row = [f'**{who}**' if who == 'Holdfast' else who]
        for name, _ in measurements:
            cpu = r.spread(name, who, 'server.cpu_us_per_unit')
            rate = r.median(name, 'units_per_second', who)
            row.append('–' if cpu is None else f'{scatter(cpu, unit_form)} µs · {rate:,.0f}/s')
        rows.append(row)
    return table([''] + [heading for _, heading in measurements], rows)


def ratio_table(r):
    names = ['echo-100', 'echo-1000', 'echo-10000', 'echo-64-in-flight', 'fanout-100', 'fanout-1000', 'fanout-10000', 'one-100', 'one-1000']
    return table(['', 'Holdfast ÷ raw loop'], [[n, ratio_text(r.ratios(n))] for n in names if r.ratios(n)])


def idle_table(r):
    rows = []
    for who in r.contestants('idle'):
        rows.append([who, scatter(r.spread('idle', who, 'server.bytes_per_connection'), '{:,.0f}'),
                     scatter(r.spread('idle', who, 'server.opening_cpu_us_per_connection'), '{:.1f}')])
    return table(['', 'bytes for each connection', 'µs of CPU to open and subscribe it'], rows)


def latency_table(r):
    rows = []
    for name, what in (('round-trip', 'one connection, 1,000 echoes/s'), ('rate-10000', '10,000 messages/s to 1,000 subscribers on 100 channels'),
                       ('stuck-none', '5 messages/s to 10,000 subscribers'), ('stuck-tenth', 'the same, a tenth of them does not read')):
        row = [what] + [scatter(r.spread(name, 'Holdfast', f'latency_us.{q}'), '{:,.0f}') for q in ('p50', 'p99', 'p999', 'max')]
        if r.values(name, 'Holdfast', 'latency_us.p50'):
            rows.append(row)
    return table(['', 'p50 µs', 'p99 µs', 'p99.9 µs', 'largest µs'], rows)


# --- the goals ---

def at_most(value, limit):
    return None if value is None else value <= limit


def mark(reached):
    return '–' if reached is None else 'yes' if reached else '**no**'


def told(value, form):
    return NONE if value is None else form.format(value)


def ratio_goal(r, what, names, limit):
    rows = []
    for name, heading in names:
        ratios = r.ratios(name)
        reached = statistics.median(ratios) <= limit if ratios else None
        rows.append([f'{what} {heading}', f'≤ {limit:.2f} × the raw loop', ratio_text(ratios), mark(reached)])
    return rows


def value_goal(r, what, measurement, path, limit, form):
    value = r.median(measurement, path)
    return [what, '≤ ' + form.format(limit), told(value, form), mark(at_most(value, limit))]


def goals(r):
    rows = ratio_goal(r, 'echo 64 B, one in flight,', [('echo-100', '100 connections'), ('echo-1000', '1,000'), ('echo-10000', '10,000')], 1.05)
    rows += ratio_goal(r, 'echo 64 B,', [('echo-64-in-flight', '64 in flight on 100 connections')], 1.15)
    rows += ratio_goal(r, 'fan-out 128 B flat out,', [('fanout-100', '100 subscribers'), ('fanout-1000', '1,000'), ('fanout-10000', '10,000')], 1.0)
    rows += ratio_goal(r, 'fan-out 128 B, each message by itself,', [('one-100', '100 subscribers'), ('one-1000', '1,000')], 1.05)
    cpu = 'server.cpu_us_per_unit'
    rows.append(value_goal(r, 'handshake with session and subscription', 'churn', cpu, 60, '{:.1f} µs'))
    rows.append(value_goal(r, 'handshake, bare', 'churn-bare', cpu, 40, '{:.1f} µs'))
    rows.append(value_goal(r, 'publish by HTTP, keep-alive', 'publish', cpu, 25, '{:.1f} µs'))
    rows.append(value_goal(r, 'idle session with one subscription', 'idle', 'server.bytes_per_connection', 700, '{:,.0f} B'))
    own = r.median('idle-own', 'server.bytes_per_connection')
    rows.append(['… each on a channel of its own, the channel included', '', told(own, '{:,.0f} B'), '–'])
    rows.append(value_goal(r, 'heartbeat', 'heartbeats', cpu, 12, '{:.1f} µs'))
    rows.append(value_goal(r, 'idle TLS connection', 'tls-idle', 'server.bytes_per_connection', 12288, '{:,.0f} B'))
    rows.append(value_goal(r, 'TLS handshake, full', 'tls-churn', cpu, 250, '{:.0f} µs'))
    rows.append(value_goal(r, 'TLS handshake, resumed', 'tls-churn-resumed', cpu, 120, '{:.0f} µs'))
    rows.append(value_goal(r, 'echo of 16 KiB over TLS', 'tls-echo-16k', cpu, 30, '{:.1f} µs'))
    rows += [storm_goal(r), witness_goal(r), stuck_goal(r)]
    return table(['what', 'goal', 'measured: median (spread)', 'reached'], rows + million_goals())


def storm_goal(r):
    rate = r.median('storm-50000', 'units_per_second')
    return ['resume storm: 50,000 sessions back at once, 4 workers on one core', '≥ 12,000/s', told(rate, '{:,.0f}/s'), mark(None if rate is None else rate >= 12000)]


def witness_goal(r):
    p99 = r.median('storm-50000', 'beside.latency_us.p99')
    return ['… p99 of established traffic meanwhile', '< 100 ms', told(None if p99 is None else p99 / 1000, '{:.1f} ms'), mark(at_most(p99, 100000))]


def stuck_goal(r):
    ratios = r.ratios('stuck-tenth', to='Holdfast', path='latency_us.p99')
    before, after = r.median('stuck-none', 'latency_us.p99'), r.median('stuck-tenth', 'latency_us.p99')
    ratio = after / before if ratios and before else None
    return ['a tenth of 10,000 subscribers stops reading: p99 of the others', '≤ 1.5 × of before', told(ratio, '{:.2f} ×'), mark(at_most(ratio, 1.5))]


# --- the million ---

def million():
    try:
        with open(MILLION, encoding='utf-8') as f:
            return json.load(f)
    except OSError:
        return None


def million_goals():
    m = million()
    if m is None:
        return [['1,000,000 sessions', '≤ 0.8 GB of user memory', NONE, '–']]
    what = f"{m['sessions']:,} sessions, {m['minutes']:g} min of heartbeats, broadcast, a worker's `kill -9`"
    good = m['good'] and m['sessions'] >= 1000000
    return [[what, 'all alive, reached and resumed', 'all' if m['good'] else m.get('problem', 'not all'), mark(good if m['sessions'] >= 1000000 else None)],
            ['… user memory of the server', '≤ 0.8 GB', f"{m['pss_bytes'] / 1e9:.2f} GB", mark(m['pss_bytes'] <= 0.8e9) if m['sessions'] >= 1000000 else '–']]


def million_table():
    m = million()
    return f'*{NONE}*\n' if m is None else table(['', ''], [[k, v] for k, v in m['told']])


# --- the founding document ---

def of_page(name, pattern):
    """A figure that another page has, which another program wrote; None: it has not."""
    try:
        with open(os.path.join(os.path.dirname(PLOTS), name), encoding='utf-8') as f:
            found = re.search(pattern, f.read(), re.S)
    except OSError:
        return None
    return found and found[1]


def founding(r):
    m = million()
    opening, trip = r.median('tls-opening', 'opening_us.p99'), r.median('round-trip', 'latency_us.p99')
    rate, idle = r.median('rate-10000', 'published'), r.median('idle', 'server.bytes_per_connection')
    seconds, storm = r.median('rate-10000', 'seconds'), r.median('storm-50000', 'connections')
    units, lost = r.total('units'), r.total('lost')
    back = r.median('storm-50000', 'units')
    rows = [
        ['connection set-up with TLS', '< 100 ms', told(None if opening is None else opening / 1000, '{:.2f} ms (p99)')],
        ['round trip', '< 30 ms', told(None if trip is None else trip / 1000, '{:.3f} ms (p99)')],
        ['messages a second', '10,000', told(None if rate is None else rate / seconds, '{:,.0f} published, each to 10 subscribers, none lost')],
        ['connections', '50,000', told(storm, '{:,.0f} on one core; see the million below')],
        ['memory for a connection', '5 KB', told(idle, '{:,.0f} B, with session and subscription')],
        ['fewer heartbeats', 'by half', told(of_page('heartbeats.md', r'mean of the paths \| (\d+) % fewer'),
                                             '{} % fewer when idle, tolerance 120 s, in the mean of paths that forget after 30 s to 15 min: docs/heartbeats.md')],
        ['throughput by a connection pool', '3 to 5 ×', told(of_page('pool.md', r'each way.*?\n\| 3 \|(?:[^|]*\|){2} ([\d.]+) \|'),
                                                           '{} × by 3 members over a path of 20 ms each way: docs/pool.md')],
        ['loss', '< 0.01 %', f'{lost:,.0f} of {units:,.0f} messages, in all measurements here' if units else NONE],
        ['reconnects that succeed', '', told(None if back is None else 100 * back / storm, '{:.3f} % of 50,000 at once')],
        ['connections by several processes', '10 ×', NONE if m is None else f"{m['sessions']:,} over {m['workers']} workers: {m['workers']} × one process's"],
    ]
    return table(['row', 'asked', 'measured'], rows)


# --- the page ---

def machine_text(results):
    m = results['machine']
    where = 'the server has one of them, the load generator the other' if m['pinned'] else 'server and load generator share it'
    return (f"{m['model']}, {m['cpus']} processors ({where}), {m['memory_gib']} GiB, Linux {m['kernel']}; commit {results['commit']}, {results['began'][:10]}; "
            f"{results['rounds']} round{'' if results['rounds'] == 1 else 's'} of {results['seconds']:g} s for each measurement.")


def versions_text(results):
    there = [f'- {name}: {version}' for name, version in results['versions'].items() if version]
    absent = [f'- {name}: left out ({why})' for name, why in results['absent'].items()]
    return '\n'.join(there + absent) + '\n'


def draw(r, name, title, measurement):
    rows = [(who, *r.spread(measurement, who, 'server.cpu_us_per_unit')) for who in r.contestants(measurement)]
    if not rows:
        return ''
    with open(os.path.join(PLOTS, name + '.svg'), 'w', encoding='utf-8') as f:
        f.write(plot.bars(title + ': CPU of the server for each, lower is better', 'µs', rows))
    return f'![{title}](performance/{name}.svg)\n'


def draw_idle(r):
    rows = [(who, *r.spread('idle', who, 'server.bytes_per_connection')) for who in r.contestants('idle')]
    if not rows:
        return ''
    with open(os.path.join(PLOTS, 'idle.svg'), 'w', encoding='utf-8') as f:
        f.write(plot.bars('Memory of the server for an idle connection, lower is better', 'B', rows))
    return '![Memory of an idle connection](performance/idle.svg)\n'


def draw_storm(r):
    runs = r.results['measurements'].get('storm-50000', {}).get('Holdfast', [])
    if not runs:
        return ''
    series = [(f'run {i + 1}', [(s + 1, n) for s, n in enumerate(run.get('curve', []))]) for i, run in enumerate(runs[:5])]
    if all(len(line) < 2 for _, line in series):
        return ''
    with open(os.path.join(PLOTS, 'storm.svg'), 'w', encoding='utf-8') as f:
        f.write(plot.lines('50,000 sessions come back at once', 'seconds', 'sessions back in that second', series))
    return '![Resume storm](performance/storm.svg)\n'


def faults_text(results):
    if not results['faults']:
        return 'In all these runs no message was lost, duplicated or out of order, and no connection failed.\n'
    return 'These runs had faults:\n\n' + '\n'.join(f'- {fault}' for fault in results['faults']) + '\n'


def parts(results):
    r = Results(results)
    return {
        'machine': machine_text(results),
        'versions': versions_text(results),
        'faults': faults_text(results),
        'goals': goals(r),
        'founding': founding(r),
        'ratios': ratio_table(r),
        'echo': load_table(r, [('echo-100', '100 connections'), ('echo-1000', '1,000'), ('echo-10000', '10,000'), ('echo-64-in-flight', '100, 64 in flight')]),
        'echo-plot': draw(r, 'echo', 'Echo of 64 bytes, 100 connections', 'echo-100'),
        'fanout': load_table(r, [('fanout-100', '100 subscribers'), ('fanout-1000', '1,000'), ('fanout-10000', '10,000')]),
        'fanout-plot': draw(r, 'fanout', 'Fan-out of 128 bytes to 1,000 subscribers', 'fanout-1000'),
        'one': load_table(r, [('one-100', '100 subscribers'), ('one-1000', '1,000')]),
        'churn': load_table(r, [('churn-bare', 'handshake and close'), ('churn', 'with session and subscription'), ('tls-churn', 'over TLS'), ('tls-churn-resumed', 'over TLS, resumed')], '{:.1f}'),
        'idle': idle_table(r),
        'idle-plot': draw_idle(r),
        'latency': latency_table(r),
        'storm-plot': draw_storm(r),
        'million': million_table(),
    }


def write(results):
    os.makedirs(PLOTS, exist_ok=True)
    with open(TEMPLATE, encoding='utf-8') as f:
        page = f.read()
    for name, text in parts(results).items():
        page = page.replace('{{' + name + '}}', text.rstrip('\n'))
    with open(PAGE, 'w', encoding='utf-8') as f:
        f.write(page)
