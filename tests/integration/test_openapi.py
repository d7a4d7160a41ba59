#!/usr/bin/python3
"""
The description of the HTTP API (docs/openapi.yaml) against the server: the same routes; and requests made of the schemas, right ones and wrong
ones, get answers that the description knows, none of them a fault of the server.

The requests come from Hypothesis, always the same ones (derandomize), and a failure names the smallest that it found.
"""
import http.client
import json
import os
import re
import urllib.parse

import jsonschema
import yaml
from hypothesis import HealthCheck, given, settings, strategies as st

from holdfast_client import Client
from holdfast_fixture import Fixture
from holdfast_server import ROOT
from holdfast_test import check, check_equal, main, test

on = Fixture(workers=2)
server = on.server

with open(os.path.join(ROOT, 'docs', 'openapi.yaml'), encoding='utf-8') as f:
    DOCUMENT = yaml.safe_load(f)

OPERATIONS = {operation['operationId']: (method.upper(), path, operation)
              for path, item in DOCUMENT['paths'].items() for method, operation in item.items()}
# What the server answers when it is full or closing is no fault of its own, but not to be seen here: it is neither.
FAULT = 500
EXAMPLES = settings(derandomize=True, database=None, deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))


def resolve(node):
    """The node itself, or what its $ref names."""
    while '$ref' in node:
        at = DOCUMENT
        for part in node['$ref'].removeprefix('#/').split('/'):
            at = at[part]
        node = at
    return node


def validate(value, schema, what):
    whole = dict(schema, components=DOCUMENT['components'])
    problems = [error.message for error in jsonschema.Draft202012Validator(whole).iter_errors(value)]
    check(not problems, f'{what}: {value!r:.400}: {problems}')


# --- What to ask ---

def any_json():
    leaves = st.none() | st.booleans() | st.integers(-2**53, 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts()
    return st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts(), inner, max_size=3), max_leaves=6)


def texts(low=0, high=40):
    """Unicode, but no half of a surrogate pair: that is no UTF-8. Most bytes of one character: 4."""
    return st.text(st.characters(blacklist_categories=('Cs',)), min_size=low, max_size=high)


def strings(schema):
    if 'pattern' in schema:
        return st.from_regex(schema['pattern'], fullmatch=True).filter(lambda s: schema.get('minLength', 0) <= len(s) <= 60)
    return texts(schema.get('minLength', 0), min(schema.get('maxLength', 40), 40))


def values(schema):
    """A strategy for what the schema allows. It knows as much of JSON Schema as the description uses."""
    schema = resolve(schema)
    if 'const' in schema:
        return st.just(schema['const'])
    if 'anyOf' in schema:
        return st.one_of([values(one) for one in schema['anyOf']])
    if 'enum' in schema:
        return st.sampled_from(schema['enum'])
    kinds = schema.get('type')
    kinds = [kinds] if isinstance(kinds, str) else kinds or [None]
    made = {'string': lambda: strings(schema),
            'integer': lambda: st.integers(schema.get('minimum', -2**53), schema.get('maximum', 2**53)),
            'boolean': st.booleans, 'null': st.none, None: any_json,
            'array': lambda: st.lists(values(schema.get('items', {})), min_size=schema.get('minItems', 0), max_size=min(schema.get('maxItems', 3), 8)),
            'object': lambda: objects(schema)}
    return st.one_of([made[kind]() for kind in kinds])


def objects(schema):
    required = set(schema.get('required', []))
    members = {name: values(member) for name, member in schema.get('properties', {}).items()}
    choices = [required | set(one['required']) for one in schema.get('oneOf', [])] or [required]
    excluded = [set(one.get('not', {}).get('required', [])) for one in schema.get('oneOf', [])] or [set()]

    def with_members(choice):
        must, never = choice
        return st.fixed_dictionaries({name: members[name] for name in must},
                                     optional={name: s for name, s in members.items() if name not in must | never})
    return st.sampled_from(list(zip(choices, excluded))).flatmap(with_members)


@st.composite
def damaged(draw, schema):
    """A body that is wrong in one way, or something else altogether."""
    body = draw(objects(schema))
    way = draw(st.sampled_from(['replace', 'drop', 'other', 'text']))
    if way == 'replace' and body:
        body[draw(st.sampled_from(sorted(body)))] = draw(any_json())
    elif way == 'drop' and body:
        del body[draw(st.sampled_from(sorted(body)))]
    elif way == 'other':
        return json.dumps(draw(any_json())).encode()
    elif way == 'text':
        whole = json.dumps(body).encode()
        at = draw(st.integers(0, len(whole)))
        return whole[:at] + draw(st.binary(max_size=4)) + whole[at + draw(st.integers(0, 3)):]
    return json.dumps(body).encode()


# --- What may come back ---

def ask(method, path, body=None):
    connection = http.client.HTTPConnection('127.0.0.1', server().api_port, timeout=30)
    try:
        connection.request(method, path, body, {'Connection': 'close'})
        answer = connection.getresponse()
        return answer.status, answer.headers.get_content_type(), answer.read()
    finally:
        connection.close()


def check_answer(operation, asked, status, kind, body):
    answers = operation['responses']
    what = f'{asked}: HTTP {status} {body[:300]!r}'
    check(status < FAULT, f'{what}: a fault of the server')
    declared = resolve(answers.get(str(status)) or answers['default'])
    check(kind in declared['content'], f'{what}: Content-Type {kind}')
    if kind == 'application/json':
        validate(json.loads(body), declared['content'][kind]['schema'], what)


def body_schema(operation):
    return resolve(resolve(operation['requestBody'])['content']['application/json']['schema'])


def try_body(name, body):
    method, path, operation = OPERATIONS[name]
    status, kind, answer = ask(method, path, body)
    check_answer(operation, f'{method} {path} {body!r:.300}', status, kind, answer)
    return status


# --- Tests ---

@test
def every_route_is_described_and_every_described_route_is_there(t):
    with open(os.path.join(ROOT, 'src', 'api', 'routes.c'), encoding='utf-8') as f:
        table = re.findall(r'\{"([^"]+)", "([A-Z]+)", (HF_API_[A-Z_]+)', f.read())
    check(table, 'src/api/routes.c has a table')
    routes = {(method, path) for path, method, right in table if right not in ('HF_API_DEMO', 'HF_API_ADMIN')}
    described = {(method, path) for method, path, _ in OPERATIONS.values()}
    check_equal(sorted(described ^ routes), [], 'routes that only one of the two has')


@test
def the_description_is_whole(t):
    def walk(node, where):
        if isinstance(node, dict):
            if '$ref' in node:
                resolve(node)
            for name, inner in node.items():
                walk(inner, f'{where}/{name}')
        elif isinstance(node, list):
            for i, inner in enumerate(node):
                walk(inner, f'{where}/{i}')
    walk(DOCUMENT, '#')
    for name, schema in DOCUMENT['components']['schemas'].items():
        jsonschema.Draft202012Validator.check_schema(schema)
    for method, path, operation in OPERATIONS.values():
        check(operation.get('summary') and 'default' in operation['responses'], f'{method} {path}: a summary, and an answer for all else')


@test(deadline=200)
def right_bodies_are_taken(t):
    for name, (_, _, operation) in OPERATIONS.items():
        if 'requestBody' not in operation:
            continue
        taken = []

        @EXAMPLES
        @given(objects(body_schema(operation)))
        def one(body):
            status = try_body(name, json.dumps(body).encode())
            # A key may have been used before, a session is nobody's, and a name may have more bytes than characters.
            taken.append(status)
            check(status in (200, 400, 404, 409), f'{name} {body!r:.300}: HTTP {status}')
        one()
        good = sum(status in (200, 404, 409) for status in taken)
        check(good > 0.9 * len(taken), f'{name}: only {good} of {len(taken)} bodies that the description allows were taken')


@test(deadline=200)
def wrong_bodies_are_refused_in_a_known_way(t):
    for name, (_, _, operation) in OPERATIONS.items():
        if 'requestBody' not in operation:
            continue
        statuses = []

        @EXAMPLES
        @given(damaged(body_schema(operation)))
        def one(body):
            statuses.append(try_body(name, body))
        one()
        check(400 in statuses, f'{name}: not one of {len(statuses)} damaged bodies was refused')


@test(deadline=200)
def queries_and_plain_requests_are_answered_as_described(t):
    for name, (method, path, operation) in OPERATIONS.items():
        if method != 'GET':
            continue
        schema = {parameter['name']: values(parameter['schema']) | texts() for parameter in operation.get('parameters', [])}

        @EXAMPLES
        @given(st.fixed_dictionaries({}, optional=schema))
        def one(query):
            text = urllib.parse.urlencode(query)
            status, kind, answer = ask(method, path + ('?' + text if text else ''))
            check_answer(operation, f'{method} {path}?{text:.200}', status, kind, answer)
        one()


@test
def the_server_is_as_well_as_before(t):
    c = t.own(Client(server().port)).connect()
    c.subscribe('after', wait=True)
    server().publish('after', 'all is well')
    check_equal(c.wait_for('data')['payload'], 'all is well', 'a message after all that')


main()
