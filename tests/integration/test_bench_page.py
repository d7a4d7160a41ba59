#!/usr/bin/python3
"""docs/performance.md as `make bench` writes it: from results that are made up, so that what it must say is known."""
import json
import os
import sys
import tempfile
import xml.etree.ElementTree as xml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, 'bench'))

import plot  # noqa: E402
import report  # noqa: E402
from holdfast_test import check, check_equal, main, test  # noqa: E402

MEASUREMENTS = ('echo-100', 'echo-1000', 'echo-10000', 'echo-64-in-flight', 'fanout-100', 'fanout-1000', 'fanout-10000', 'one-100', 'one-1000', 'churn', 'churn-bare',
                'publish', 'idle', 'idle-own', 'heartbeats', 'round-trip', 'rate-10000', 'stuck-none', 'stuck-tenth', 'storm-50000', 'tls-churn', 'tls-churn-resumed',
                'tls-opening', 'tls-idle', 'tls-echo-16k')


def result(cpu_us, **more):
    times = {'count': 10, 'p50': 100, 'p99': 200, 'p999': 300, 'max': 400}
    return {'units': 1000, 'units_per_second': 20000, 'published': 100, 'seconds': 1, 'lost': 0, 'connections': 1000, 'latency_us': times, 'opening_us': times,
            'curve': [500, 500], 'beside': {'latency_us': times},
            'server': {'cpu_us_per_unit': cpu_us, 'bytes_per_connection': 600, 'opening_cpu_us_per_connection': 20}, **more}


def results(ours=(1.0, 1.0, 1.0), raw=(1.0, 1.0, 1.0), faults=()):
    rows = {name: {'Holdfast': [result(cpu) for cpu in ours], 'raw loop': [result(cpu) for cpu in raw]} for name in MEASUREMENTS}
    return {'began': '2026-01-01T00:00:00', 'commit': 'abc', 'rounds': 3, 'seconds': 2, 'versions': {'Holdfast': 'holdfast 1'}, 'absent': {'nats-server': 'not there'},
            'machine': {'cpus': 2, 'model': 'M', 'memory_gib': 24, 'kernel': '6', 'pinned': True}, 'measurements': rows, 'faults': list(faults)}


def page(t, made_up, million=None):
    """Write the page and its plots into a folder of their own; returns the page and that folder."""
    folder = tempfile.TemporaryDirectory(prefix='holdfast-test-')
    t.cleanup(folder.cleanup)
    report.PAGE, report.PLOTS = os.path.join(folder.name, 'performance.md'), os.path.join(folder.name, 'performance')
    report.MILLION = os.path.join(folder.name, 'million.json')
    if million:
        with open(report.MILLION, 'w', encoding='utf-8') as f:
            json.dump(million, f)
    report.write(made_up)
    with open(report.PAGE, encoding='utf-8') as f:
        return f.read(), folder.name


def line_of(text, start):
    found = [line for line in text.split('\n') if line.startswith(start)]
    check(found, f'a line that starts with {start!r}')
    return found[0]


@test
def every_place_is_filled(t):
    text, folder = page(t, results())
    check('{{' not in text and '}}' not in text, 'no place of the template is left')
    for name in os.listdir(os.path.join(folder, 'performance')):
        check(f'performance/{name}' in text, f'{name} is shown')
        xml.parse(os.path.join(folder, 'performance', name))
    check('nats-server: left out (not there)' in text, 'an absent peer is told')


@test
def goals_are_judged(t):
    text, _ = page(t, results())
    check('| yes |' in line_of(text, '| echo 64 B, one in flight, 100 connections'), 'a goal that is reached')
    text, _ = page(t, results(ours=(1.0, 1.2, 1.3)))
    line = line_of(text, '| echo 64 B, one in flight, 100 connections')
    check('1.20 (1.00–1.30)' in line and '**no**' in line, f'a goal that is not: {line}')


@test
def ratios_are_taken_within_a_round(t):
    # The machine was slower in the second and third round, for both.
    text, _ = page(t, results(ours=(1.0, 4.0, 8.0), raw=(1.0, 4.0, 8.0)))
    check('1.00 (1.00–1.00)' in line_of(text, '| fanout-100 '), 'the ratio')
    text, _ = page(t, results(ours=(1.0, 4.0, 8.0), raw=(1.0, 8.0, 4.0)))
    check('1.00 (0.50–2.00)' in line_of(text, '| fanout-100 '), 'the spread of the ratios, not the ratio of the spreads')


@test
def faults_and_what_is_missing_are_told(t):
    made_up = results(faults=['echo-100, npm ws: it died'])
    del made_up['measurements']['publish']
    text, _ = page(t, made_up)
    check('echo-100, npm ws: it died' in text, 'the fault')
    check('not measured' in line_of(text, '| publish by HTTP'), 'what was not measured')


@test
def million_is_judged_only_where_it_is_one(t):
    short = {'good': True, 'sessions': 1000, 'minutes': 1, 'workers': 2, 'pss_bytes': 10, 'told': [['a', 'b']]}
    text, _ = page(t, results(), short)
    check(line_of(text, '| 1,000 sessions').endswith('| – |'), 'a short run reaches nothing')
    text, _ = page(t, results(), dict(short, sessions=1000000, pss_bytes=0.9e9))
    check(line_of(text, '| 1,000,000 sessions').endswith('| yes |'), 'a whole run')
    check('**no**' in line_of(text, '| … user memory of the server'), 'too much memory')


@test
def names_are_escaped_in_plots(t):
    chart = xml.fromstring(plot.bars('a < b', 'µs', [('x & y', 1, 0.5, 2)]))
    check_equal([node.text for node in chart.iter() if node.text], ['a < b', 'x & y', '1 µs'], 'texts')


if __name__ == '__main__':
    main()
