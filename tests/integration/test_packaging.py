#!/usr/bin/python3
"""The Grafana dashboard and the alert rules: well-formed, and every metric that they name is one that a running server tells."""
import json
import os
import re
import shutil
import subprocess
import tempfile

import prometheus_text
import yaml
from holdfast_server import ROOT, SharedServer
from holdfast_test import CheckFailed, Skip, check, check_equal, main, test

server = SharedServer(workers=1)
DASHBOARD = os.path.join(ROOT, 'packaging', 'grafana', 'holdfast.json')
RULES = os.path.join(ROOT, 'packaging', 'prometheus', 'holdfast.rules.yml')
NAME = re.compile(r'holdfast_[a-z0-9_]+')
MATCHER = re.compile(r'(holdfast_[a-z0-9_]+)\{([^}]*)\}')


def read(path):
    with open(path, encoding='utf-8') as file:
        return file.read()


def families():
    return prometheus_text.read(server().api('GET', '/metrics').body.decode())


def told_names(of):
    return {name for family in of.values() for name, _ in family.samples}


def told_values(of, name, label):
    return {dict(labels).get(label) for family in of.values() for (sample, labels) in family.samples if sample == name}


def check_expression(expression, of):
    """Its metrics exist, and so do the labels and values that it asks for; `instance` and `job` are given by Prometheus."""
    names = NAME.findall(expression)
    check(names or expression.startswith('up{'), f'a metric of ours in {expression!r}')
    for name in names:
        check(name in told_names(of), f'{name} in {expression!r} is a metric of the server')
    for name, matchers in MATCHER.findall(expression):
        for label, operator, value in re.findall(r'([a-z_]+)(=~|!~|!=|=)"([^"]*)"', matchers):
            if label in ('instance', 'job'):
                continue
            for one in value.split('|') if '~' in operator else [value]:
                check(one in told_values(of, name, label), f'{label}="{one}" of {name} in {expression!r} is told by the server')
    for labels in re.findall(r'by \(([^)]*)\)', expression):
        for label in labels.replace(' ', '').split(','):
            check(label in ('instance', 'le') or any(None not in told_values(of, name, label) for name in names), f'label {label} in {expression!r}')
    for left, right in ('()', '{}', '[]'):
        check_equal(expression.count(left), expression.count(right), f'{left} and {right} in {expression!r}')


def expressions_of_dashboard(text):
    board = json.loads(text)
    check(board['title'] and board['uid'], 'title and uid')
    panels = [panel for panel in board['panels'] if panel['type'] != 'row']
    check_equal(len({panel['id'] for panel in board['panels']}), len(board['panels']), 'each panel has an id of its own')
    for panel in panels:
        check(panel['title'] and panel['targets'] and panel['fieldConfig']['defaults']['unit'], f'title, unit and targets of {panel["id"]}')
        place = panel['gridPos']
        check(0 <= place['x'] and place['x'] + place['w'] <= 24 and place['h'] > 0, f'place of {panel["title"]}')
    return [target['expr'] for panel in panels for target in panel['targets']]


def expressions_of_rules(text):
    rules = [rule for group in yaml.safe_load(text)['groups'] for rule in group['rules']]
    check_equal(len({rule['alert'] for rule in rules}), len(rules), 'each alert has a name of its own')
    for rule in rules:
        check(set(rule) <= {'alert', 'expr', 'for', 'labels', 'annotations'}, f'members of {rule["alert"]}: {sorted(rule)}')
        check(rule['labels']['severity'] in ('warning', 'critical'), f'severity of {rule["alert"]}')
        check(rule['annotations']['summary'] and rule['annotations']['action'], f'{rule["alert"]} says what it is and what to do')
        check(re.fullmatch(r'\d+[smh]', rule.get('for', '1s')), f'for of {rule["alert"]}')
    return [rule['expr'] for rule in rules]


def check_all(expressions, of):
    for expression in expressions:
        check_expression(expression.replace('$__rate_interval', '1m'), of)


@test
def the_dashboard_names_what_there_is(t):
    del t
    expressions = expressions_of_dashboard(read(DASHBOARD))
    check(len(expressions) > 30, f'{len(expressions)} expressions')
    check_all(expressions, families())


@test
def the_alerts_name_what_there_is(t):
    del t
    expressions = expressions_of_rules(read(RULES))
    check(len(expressions) > 8, f'{len(expressions)} rules')
    check_all(expressions, families())


@test
def planted_faults_are_seen(t):
    del t
    of = families()
    board, rules = read(DASHBOARD), read(RULES)
    faults = {
        'a wrong name in the dashboard': (expressions_of_dashboard, board.replace('holdfast_deliveries_total', 'holdfast_delivered_total')),
        'a wrong histogram in the dashboard': (expressions_of_dashboard, board.replace('holdfast_loop_lag_seconds_bucket', 'holdfast_loop_lag_bucket')),
        'a label that there is not': (expressions_of_dashboard, board.replace('by (cause)', 'by (reason)')),
        'a dashboard that is no JSON': (expressions_of_dashboard, board.replace(',', ',,', 1)),
        'a wrong name in the rules': (expressions_of_rules, rules.replace('holdfast_gap_messages_total', 'holdfast_gaps_total')),
        'a value that there is not': (expressions_of_rules, rules.replace('unknown|tombstone', 'unknown|grave')),
        'rules that are no YAML': (expressions_of_rules, rules.replace('groups:', 'groups: [')),
        'an alert twice': (expressions_of_rules, rules.replace('alert: HoldfastRingsFull', 'alert: HoldfastLogFull')),
    }
    for name, (expressions, text) in faults.items():
        check(text not in (board, rules), f'{name}: it is planted')
        try:
            check_all(expressions(text), of)
        except (CheckFailed, ValueError, yaml.YAMLError):
            continue
        raise CheckFailed(f'the check sees {name}')


@test
def the_manual_names_what_there_is(t):
    """The first column of its table, line by line."""
    del t
    of, manual = families(), read(os.path.join(ROOT, 'docs', 'operations.md'))
    rows = re.findall(r'^\| (`.*?) \|', manual.partition('### The metrics')[2], re.M)
    told = re.findall(r'`([a-z0-9_]+)(?:\{([a-z_,]*)\})?`', ' '.join(rows))
    check(len(told) > 60, f'{len(told)} metrics in the manual')
    for name, labels in told:
        if name == 'tls_ticket_key_age_seconds':  # of a server with TLS
            continue
        check('holdfast_' + name in of, f'{name} is a metric of the server')
        has = {label for _, pairs in of['holdfast_' + name].samples for label, _ in pairs} - {'le', 'worker'}
        check_equal(sorted(has), sorted(filter(None, labels.split(','))), f'labels of {name}')


# Prometheus's own word. Debian's package `prometheus` has promtool, and 95 MB with it: where it is not there these checks are left out.

PROMTOOL = os.environ.get('PROMTOOL') or shutil.which('promtool')


def promtool(*arguments, **options):
    """Its exit status and all that it says."""
    if not PROMTOOL:
        raise Skip('promtool is not there: Debian has it in `prometheus`')
    run = subprocess.run([PROMTOOL, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False, text=True, **options)
    return run.returncode, run.stdout


def recorded(expressions):
    """Expressions as a file of rules, which is what it reads; as JSON, which is YAML."""
    rules = [{'record': f'test:expression:{i}', 'expr': expression.replace('$__rate_interval', '1m')} for i, expression in enumerate(expressions)]
    return json.dumps({'groups': [{'name': 'test', 'rules': rules}]})


def rules_fault(text):
    """None where Prometheus takes them, else what it says."""
    with tempfile.NamedTemporaryFile('w', suffix='.yml', encoding='utf-8') as file:
        file.write(text)
        file.flush()
        status, said = promtool('check', 'rules', file.name)
    return None if status == 0 and 'SUCCESS' in said else said


@test
def prometheus_takes_the_rules_and_the_dashboard(t):
    del t
    rules, expressions = read(RULES), expressions_of_dashboard(read(DASHBOARD))
    check_equal(rules_fault(rules), None, 'the rules')
    check_equal(rules_fault(recorded(expressions)), None, 'the expressions of the dashboard')
    for name, text in {'a function that there is not': rules.replace('rate(', 'speed('), 'a range that is none': rules.replace('[5m]', '[5]'),
                       'a time that is none': rules.replace('for: ', 'for: about ', 1), 'a broken expression': recorded([*expressions, 'rate(x[1m)'])}.items():
        check(text != rules, f'{name}: it is planted')
        check(rules_fault(text) is not None, f'the check sees {name}')


@test
def prometheus_takes_the_metrics(t):
    """Form alone: what its lint thinks of names that are a contract is told with exit status 3."""
    del t
    text = server().api('GET', '/metrics').body.decode()
    status, said = promtool('check', 'metrics', input=text)
    check(status in (0, 3) and 'error while linting' not in said, f'/metrics: {status} {said}')
    status, said = promtool('check', 'metrics', input=text + 'holdfast_connections one\n')
    check(status not in (0, 3), f'the check sees a value that is none: {status} {said}')


if __name__ == '__main__':
    main()
