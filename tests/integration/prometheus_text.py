"""
prometheus_text.py - a strict reader of the Prometheus text format 0.0.4 ("Exposition formats"), for the tests of GET /metrics.

It takes nothing that the format does not allow: each family once and in one piece, HELP and TYPE before its samples, each label set once, names and labels
well-formed, counters named *_total and never negative, histograms cumulative, with +Inf, a count that equals it, and a sum.
"""
import math
import re

from holdfast_test import check, check_equal

NAME = r'[a-zA-Z_:][a-zA-Z0-9_:]*'
SAMPLE = re.compile(rf'({NAME})(?:\{{(.*)\}})? (\S+)')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')
TYPES = ('counter', 'gauge', 'histogram')


class Family:
    def __init__(self, name, kind, text):
        self.name, self.kind, self.help = name, kind, text
        self.samples = {}  # (name, ((label, value), …)): number, in their order

    def value(self, **labels):
        return self.samples[(self.name, tuple(sorted(labels.items())))]


def read_labels(text, line):
    labels, at = {}, 0
    while text and at < len(text):
        found = LABEL.match(text, at)
        check(found, f'labels of {line!r}')
        check(found[1] not in labels, f'a label twice in {line!r}')
        labels[found[1]] = found[2]
        at = found.end()
    return labels


def read_number(text, line):
    check(re.fullmatch(r'[+-]?(\d+(\.\d+)?([eE][+-]?\d+)?|Inf)|NaN', text), f'number of {line!r}')
    return float(text)


def add_sample(family, line):
    found = SAMPLE.fullmatch(line)
    check(found, f'a sample: {line!r}')
    name, number = found[1], read_number(found[3], line)
    endings = ('_bucket', '_sum', '_count') if family.kind == 'histogram' else ('',)
    check(name in [family.name + ending for ending in endings], f'{line!r} within the family {family.name}')
    key = (name, tuple(sorted(read_labels(found[2], line).items())))
    check(key not in family.samples, f'twice: {line!r}')
    check(family.kind == 'gauge' or number >= 0, f'a {family.kind} is not negative: {line!r}')
    family.samples[key] = number


def check_histogram(family):
    """One without further labels, as all of ours are."""
    below, last_bound, plus_inf = 0, -math.inf, None
    for (name, labels), number in family.samples.items():
        if not name.endswith('_bucket'):
            continue
        check_equal([label for label, _ in labels], ['le'], f'labels of {name}')
        bound = read_number(labels[0][1], labels)
        check(bound > last_bound, f'bounds of {family.name} ascend: {bound} behind {last_bound}')
        check(number >= below, f'buckets of {family.name} are cumulative: {number} behind {below}')
        last_bound, below = bound, number
        plus_inf = number if bound == math.inf else None
    check(plus_inf is not None, f'{family.name} ends with +Inf')
    check_equal(family.samples[(family.name + '_count', ())], plus_inf, f'count of {family.name}')
    check((family.name + '_sum', ()) in family.samples, f'sum of {family.name}')


def check_family(family):
    check(family.samples, f'samples of {family.name}')
    check_equal(family.name.endswith('_total'), family.kind == 'counter', f'{family.name} is a {family.kind}; its name ends with _total')
    check(family.kind != 'histogram' or family.name.endswith('_seconds'), f'the unit in the name of {family.name}')
    if family.kind == 'histogram':
        check_histogram(family)


def read(text):
    """{name: Family} of a whole answer."""
    check(text.endswith('\n'), 'the last line ends')
    families, family, helped = {}, None, None
    for line in text.splitlines():
        if line.startswith('# HELP '):
            helped = line[7:].partition(' ')
            check(re.fullmatch(NAME, helped[0]) and helped[2].strip(), f'a name and a text: {line!r}')
        elif line.startswith('# TYPE '):
            name, _, kind = line[7:].partition(' ')
            check(kind in TYPES, f'a type: {line!r}')
            check(helped is not None and helped[0] == name, f'HELP stands right before {line!r}')
            check(name not in families, f'the family {name} once, in one piece')
            family = families[name] = Family(name, kind, helped[2])
            helped = None
        else:
            check(family is not None and helped is None and not line.startswith('#'), f'a sample, behind its TYPE: {line!r}')
            add_sample(family, line)
    for each in families.values():
        check_family(each)
    return families
