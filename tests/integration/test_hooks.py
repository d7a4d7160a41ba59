#!/usr/bin/python3
"""The hooks: what a server asks of the application's backend, and what happens where that is slow, down, or answers nonsense."""
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

from backend_fixture import Backend, Bytes, SECRET, Status, tls_context
from holdfast_binary import BinaryWs
from holdfast_client import Client
from holdfast_fixture import expect
from holdfast_server import Server, free_port, kill_group, run_holdfast, start_process
from holdfast_test import check, check_equal, check_in, main, test, wait_until
from raw_ws import TEXT, RawWs, frame, upgrade_request
from tls_fixture import Certificates

JSON = ['holdfast.v1.json']


def start(t, backend, *hooks, workers=1, arguments=(), **more):
    """A server that asks this backend."""
    return t.own(Server(workers=workers, arguments=arguments, **backend.keys(*hooks, **more))).start()


def connect(t, server):
    ws = t.own(RawWs.open(server.port, protocols=JSON))
    ws.welcome = expect(ws, 'welcome')
    return ws


def call(ws, method='echo', payload=None, id='1'):
    ws.send_text(json.dumps({'type': 'call', 'id': id, 'method': method, 'payload': payload}))


def call_and_wait(ws, **options):
    call(ws, **options)
    return expect(ws, 'reply', id=options.get('id', '1'))


def failures(server, cause):
    return int(server.metrics()[f'holdfast_hook_failures_total{{cause="{cause}"}}'])


class Gate:
    """Answers wait until it is opened, and in the end anyway."""

    def __init__(self, t, answer=None):
        self.event, self.answer = threading.Event(), answer
        t.cleanup(self.event.set)

    def __call__(self, request):
        self.event.wait(60)
        return self.answer(request) if self.answer else {'payload': request['payload']}

    def open(self):
        self.event.set()


# Calls

@test
def a_call_is_answered_by_the_backend(t):
    backend = t.own(Backend())
    backend.answers['call'] = lambda request: {'payload': {'you said': request['payload'], 'method': request['method']}}
    server = start(t, backend, 'call')
    ws = connect(t, server)
    reply = call_and_wait(ws, method='grüße', payload={'n': [1, None, 'ü']})
    check_equal(reply['payload'], {'you said': {'n': [1, None, 'ü']}, 'method': 'grüße'}, 'payload')
    request = backend.of('call')[0]
    check_equal(request['session'], ws.welcome['session'], 'session')
    check('user' not in request, f'an anonymous session has no user: {request}')
    check(abs(request['time'] / 1000 - time.time()) < 300, f'time: {request}')
    check_equal(int(server.metrics()['holdfast_hook_requests_total{hook="call"}']), 1, 'counted')


@test
def a_backend_is_found_by_its_name(t):
    """The name is looked up in a thread, which the filter of system calls must let be."""
    backend = t.own(Backend())
    keys = backend.keys('call')
    server = t.own(Server(workers=1, **{**keys, 'hooks_call_url': keys['hooks_call_url'].replace('127.0.0.1', 'localhost')})).start()
    check_equal(call_and_wait(connect(t, server), payload='hi')['payload'], 'hi', 'payload')
    check('seccomp_violation' not in server.log(), 'the log')


@test
def payloads_go_through_as_they_are_written(t):
    backend = t.own(Backend())
    big = '123456789012345678901234567890.10'
    raw = b'{"payload":[%s,"\\u0000",null]}' % big.encode()
    backend.answers['call'] = lambda request: Status(200, raw)
    server = start(t, backend, 'call')
    ws = connect(t, server)
    ws.send_text('{"type":"call","id":"1","method":"m","payload":%s}' % big)
    check(f'"payload":[{big},"\\u0000",null]' in ws.recv_text(), 'the digits of a number stay')


@test
def the_binary_form_calls_too(t):
    backend = t.own(Backend())
    server = start(t, backend, 'call')
    ws = t.own(BinaryWs.open(server.port, protocols=['holdfast.v1.bin']))
    expect(ws, 'welcome')
    call(ws, payload={'a': 1})
    check_equal(expect(ws, 'reply', id='1')['payload'], {'a': 1}, 'payload')


@test
def requests_are_signed(t):
    """backend_fixture.py checks each signature; that it sees a wrong one is shown here."""
    from backend_fixture import signature_fault
    backend = t.own(Backend())
    server = start(t, backend, 'call')
    call_and_wait(connect(t, server), payload='x' * 1000)
    check_equal(backend.faults, [], 'faults')
    check(signature_fault({'Holdfast-Timestamp': str(int(time.time())), 'Holdfast-Signature': '00'}, b'{}'), 'a wrong one is seen')
    check_equal(server.log().count(SECRET), 0, 'the secret is in no log')


@test
def a_backend_may_refuse_a_call(t):
    backend = t.own(Backend())
    backend.answers['call'] = lambda request: {'code': 'no_such_room', 'reason': 'there is no room of that name'}
    server = start(t, backend, 'call')
    reply = call_and_wait(connect(t, server))
    check_equal((reply['code'], reply['reason']), ('no_such_room', 'there is no room of that name'), 'its own code')
    check('payload' not in reply, f'{reply}')


@test
def calls_run_beside_each_other_and_beside_the_rest(t):
    backend = t.own(Backend())
    gate = Gate(t)
    backend.answers['call'] = lambda request: gate(request) if request['method'] == 'slow' else {'payload': 'quick'}
    server = start(t, backend, 'call')
    ws = connect(t, server)
    call(ws, method='slow', id='s', payload='late')
    backend.wait('call')
    check_equal(call_and_wait(ws, method='quick', id='q')['payload'], 'quick', 'another call overtakes it')
    ws.send_text('{"type":"ping","id":"p"}')
    expect(ws, 'pong', id='p')
    gate.open()
    expect(ws, 'reply', id='s', payload='late')


@test
def two_hundred_calls_at_a_time(t):
    backend = t.own(Backend())
    gate = Gate(t)
    backend.answers['call'] = gate
    server = start(t, backend, 'call', concurrency=200, call_timeout='60s')
    sockets = [connect(t, server) for _ in range(10)]
    for i, ws in enumerate(sockets):
        for n in range(20):
            call(ws, id=str(n), payload=[i, n])
    backend.wait('call', 200)
    gate.open()
    for i, ws in enumerate(sockets):
        replies = {reply['id']: reply['payload'] for reply in (expect(ws, 'reply') for _ in range(20))}
        check_equal(replies, {str(n): [i, n] for n in range(20)}, 'each has its own answer')


@test
def a_connection_has_so_many_calls(t):
    backend = t.own(Backend())
    gate = Gate(t)
    backend.answers['call'] = gate
    server = start(t, backend, 'call', call_concurrency=2, call_timeout='60s')
    ws = connect(t, server)
    for n in range(3):
        call(ws, id=str(n))
    expect(ws, 'reply', id='2', code='limit')
    check_equal(server.metric('holdfast_calls_refused_total'), 1, 'counted')
    gate.open()
    check_equal({expect(ws, 'reply')['id'] for _ in range(2)}, {'0', '1'}, 'the others are answered')
    call_and_wait(ws, id='3', payload=None)


@test
def what_finds_no_room_is_told(t):
    backend = t.own(Backend())
    gate = Gate(t)
    backend.answers['call'] = gate
    server = start(t, backend, 'call', concurrency=1, queue=1, call_timeout='60s')
    ws = connect(t, server)
    call(ws, id='0')
    backend.wait('call')
    call(ws, id='1')
    call(ws, id='2')
    expect(ws, 'reply', id='2', code='overloaded')
    check_equal(failures(server, 'full'), 1, 'counted')
    gate.open()
    expect(ws, 'reply', id='0')
    expect(ws, 'reply', id='1')
    check_equal(len(backend.of('call')), 2, 'the refused one was not asked')


@test
def what_waits_too_long_for_its_turn_is_not_sent(t):
    backend = t.own(Backend())
    gate = Gate(t)
    backend.answers['call'] = gate
    server = start(t, backend, 'call', concurrency=1, call_timeout='1s', failures=1000)
    ws = connect(t, server)
    call(ws, id='0')
    backend.wait('call')
    call(ws, id='1')
    replies = {reply['id']: reply['code'] for reply in (expect(ws, 'reply') for _ in range(2))}
    check_equal(replies['0'], 'timeout', 'the one that was under way')
    # Its turn may come at the very moment at which its own time is over.
    check_in(replies['1'], ('overloaded', 'timeout', 'unavailable'), 'the one that waited')


@test
def a_call_of_someone_who_has_gone_is_not_sent(t):
    backend = t.own(Backend())
    gate = Gate(t)
    backend.answers['call'] = gate
    server = start(t, backend, 'call', concurrency=1, call_timeout='60s')
    first, second = connect(t, server), connect(t, server)
    call(first, id='0')
    backend.wait('call')
    call(second, id='never', method='never')
    call(second, id='ping')
    second.send_text('{"type":"ping","id":"p"}')
    expect(second, 'pong', id='p')
    second.rst()
    wait_until(lambda: server.metric('holdfast_connections') == 1, 'it has gone')
    gate.open()
    expect(first, 'reply', id='0')
    call_and_wait(first, id='1')
    check_equal([request['method'] for request in backend.of('call')], ['echo', 'echo'], 'what was asked')
    check_equal(server.metric('holdfast_hook_answers_unclaimed_total'), 2, 'nobody waited for two of them')


@test
def an_answer_finds_nobody_after_a_break(t):
    """"A call is reported as uncertain": it is answered to nobody else."""
    backend = t.own(Backend())
    gate = Gate(t)
    backend.answers['call'] = lambda request: gate(request) if request['method'] == 'slow' else {'payload': 1}
    server = start(t, backend, 'call', call_timeout='60s')
    ws = connect(t, server)
    call(ws, method='slow', id='1')
    backend.wait('call')
    again = t.own(RawWs.open(server.port, protocols=[*JSON, f'hf.resume.{ws.welcome["ticket"]}']))
    check_equal(expect(again, 'welcome')['resumed'], True, 'resumed')
    gate.open()
    wait_until(lambda: server.metric('holdfast_hook_answers_unclaimed_total') == 1, 'the answer came to nobody')
    call_and_wait(again, id='2')


@test
def without_the_hook_a_call_is_not_offered(t):
    server = t.own(Server(workers=1)).start()
    ws = connect(t, server)
    call(ws)
    expect(ws, 'error', code='not_found', re='call', id='1')


@test
def the_example_answers(t):
    """examples/backend.py, as its own text says."""
    port, secret = free_port(), 'a-secret-of-the-example'
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'examples', 'backend.py')
    process = start_process([sys.executable, path, str(port)], env={**os.environ, 'HOOKS_SECRET': secret}, stdout=subprocess.PIPE)
    t.cleanup(lambda: kill_group(process))
    check(process.stdout.readline(), 'it says that it listens')
    server = t.own(Server(workers=1, hooks_secret=secret, hooks_call_url=f'http://127.0.0.1:{port}/')).start()
    ws = connect(t, server)
    check_equal(call_and_wait(ws, method='add', payload=[1, 2, 3.5])['payload'], 6.5, 'add')
    check_equal(call_and_wait(ws, method='fly', id='2')['code'], 'no_such_method', 'what it has not')
    other = t.own(Server(workers=1, hooks_secret='another-secret-of-ours', hooks_call_url=f'http://127.0.0.1:{port}/')).start()
    check_equal(call_and_wait(connect(t, other))['code'], 'internal', 'it takes what is signed with its secret alone')


@test
def malformed_calls(t):
    backend = t.own(Backend())
    server = start(t, backend, 'call', workers=1)
    ws = connect(t, server)
    check_equal(call_and_wait(ws, method='')['code'], 'bad_message', 'no method')
    check_equal(call_and_wait(ws, method='m' * 256)['code'], 'bad_message', 'a long one')
    call(ws, payload='x' * 70000)
    expect(ws, 'reply', id='1', code='too_large')
    check_equal(backend.of('call'), [], 'nothing was asked')


# Connecting

def knock(t, server, protocols=(), **options):
    """One handshake: (the connection, its answer)."""
    ws = t.own(RawWs(server.port))
    return ws, ws.upgrade('/ws', [*JSON, *protocols], **options)


def resume(t, server, ws, protocols=()):
    again = t.own(RawWs.open(server.port, protocols=[*JSON, f'hf.resume.{ws.welcome["ticket"]}', *protocols]))
    again.welcome = expect(again, 'welcome')
    return again


@test
def the_backend_says_who_comes_in(t):
    backend = t.own(Backend())
    users = {'ann-token': {'allow': True, 'user': 'ann', 'info': {'name': 'Ann'}, 'claims': {'role': 'admin'}}}
    backend.answers['connect'] = lambda request: users.get(request.get('token'), {'allow': False, 'code': 'unauthorized', 'reason': 'who are you?'})
    server = start(t, backend, 'connect', 'call', workers=2)
    ws, response = knock(t, server, ['hf.token.nobody'])
    check_equal((response.status, json.loads(response.body)), (401, {'code': 'unauthorized', 'reason': 'who are you?'}), 'refused')
    ws, response = knock(t, server, ['hf.token.ann-token'], headers=[('Cookie', 'a=b; c=d'), ('Origin', 'https://example.org')])
    check_equal(response.status, 101, 'let in')
    ws.welcome = expect(ws, 'welcome')
    request = backend.of('connect')[-1]
    check_equal((request['cookie'], request['origin'], request['resume']), ('a=b; c=d', 'https://example.org', False), 'what it is told')
    check(request['address'].startswith('127.0.0.1:'), f'address: {request}')
    call_and_wait(ws)
    called = backend.of('call')[0]
    check_equal((called['user'], called['info'], called['claims']['role']), ('ann', {'name': 'Ann'}, 'admin'), 'whose call it is')
    again = resume(t, server, ws)
    check_equal(again.welcome['resumed'], True, 'resumed')
    check_equal(len(backend.of('connect')), 2, 'its ticket is enough')
    call_and_wait(again, id='2')
    called = backend.of('call')[1]
    check_equal((called['user'], called['info']), ('ann', {'name': 'Ann'}), 'she is still who she was')


@test
def browsers_are_told_by_a_close_code(t):
    backend = t.own(Backend())
    server = start(t, backend, 'connect')
    for code, close in (('unauthorized', 4002), ('forbidden', 4003), ('rate_limited', 1013)):
        backend.answers['connect'] = lambda request, code=code: {'allow': False, 'code': code}
        ws, response = knock(t, server, headers=[('Origin', 'https://example.org')])
        check_equal(response.status, 101, 'a browser cannot see another status')
        if close == 1013:
            check_equal(expect(ws, 'reconnect')['code'], 'overloaded', 'later')
        ws.expect_close(close)


@test
def resumes_are_asked_for_where_that_is_wanted(t):
    backend = t.own(Backend())
    server = start(t, backend, 'connect', connect_resumes='true', workers=2)
    ws = connect(t, server)
    again = resume(t, server, ws)
    check_equal(again.welcome['resumed'], True, 'resumed')
    request = backend.of('connect')[-1]
    check_equal(request['resume'], True, 'it is told')
    backend.answers['connect'] = lambda request: {'allow': False}
    ws, response = knock(t, server, [f'hf.resume.{again.welcome["ticket"]}'])
    check_equal(response.status, 403, 'refused')


@test
def subscriptions_to_begin_with(t):
    """Of channels that are made for it, on whichever worker, and though no rule would allow them; what was sent meanwhile comes behind them."""
    names = [f'gift-{n}' for n in range(20)]
    backend = t.own(Backend())
    gate = Gate(t, lambda request: {'allow': True, 'channels': names})
    backend.answers['connect'] = gate
    server = t.own(Server(workers=3, arguments=config(t, 'namespaces: {"other:*": {allow: all}}'), **backend.keys('connect'))).start()
    ws = t.own(RawWs(server.port))
    ws.send(upgrade_request('/ws', JSON) + frame(TEXT, b'{"type":"ping","id":"early"}'))
    backend.wait('connect')
    gate.open()
    check_equal(ws.read_response().status, 101, 'let in')
    ws.welcome = expect(ws, 'welcome')
    for name in names:
        expect(ws, 'subscribed', channel=name)
    expect(ws, 'pong', id='early')
    server.publish(names[7], 'hello')
    expect(ws, 'data', channel=names[7], payload='hello')
    ws.send_text('{"type":"subscribe","channel":"gift-x"}')
    expect(ws, 'error', code='forbidden')
    again = resume(t, server, ws)
    check_equal(sorted(entry['channel'] for entry in again.welcome['channels']), sorted(names), 'they stay')


@test
def a_gate_whose_keeper_is_away(t):
    backend = t.own(Backend(up=False))
    server = start(t, backend, 'connect')
    ws, response = knock(t, server)
    check_equal((response.status, json.loads(response.body)['code']), (503, 'unavailable'), 'refused')
    check(1 <= int(response.headers['retry-after']) <= 61, f'Retry-After: {response.headers}')
    ws, response = knock(t, server, headers=[('Origin', 'https://example.org')])
    expect(ws, 'reconnect', code='overloaded')
    ws.expect_close(1013)
    check_equal(int(server.metrics()['holdfast_handshakes_refused_total{cause="hook"}']), 2, 'counted')
    open_server = start(t, backend, 'connect', connect_fail='open')
    connect(t, open_server)


@test
def who_goes_while_the_backend_thinks_leaves_nothing(t):
    backend = t.own(Backend())
    gate = Gate(t, lambda request: {'allow': True})
    backend.answers['connect'] = gate
    server = start(t, backend, 'connect', timeout='60s')
    for n in range(3):
        ws = t.own(RawWs(server.port))
        ws.send(upgrade_request('/ws', JSON))
        backend.wait('connect', n + 1)
        ws.rst()
    gate.open()

    def all_over():
        """Whose answer came before his end was seen has had a session, which waits for him."""
        metrics = server.metrics()
        return metrics['holdfast_connections'] == 0 and metrics['holdfast_hook_answers_unclaimed_total'] + metrics['holdfast_sessions'] == 3
    wait_until(all_over, 'each is known to have gone')
    connect(t, server)


# Ends

@test
def the_end_of_a_session_is_told(t):
    backend = t.own(Backend())
    backend.answers['connect'] = lambda request: {'allow': True, 'user': 'ann'}
    server = start(t, backend, 'connect', 'disconnect', workers=2)
    ws = connect(t, server)
    ws.send_text('{"type":"bye"}')
    told = backend.wait('disconnect')[0]
    check_equal((told['session'], told['user']), (ws.welcome['session'], 'ann'), 'whose')
    gone = connect(t, server)
    server.post('/api/disconnect', {'session': gone.welcome['session']})
    check_equal(backend.wait('disconnect', 2)[1]['session'], gone.welcome['session'], 'ended by the backend')


@test
def a_session_that_expires_is_told_even_when_its_worker_was_killed(t):
    backend = t.own(Backend())
    server = t.own(Server(workers=2, session_ttl='1s', **backend.keys('disconnect'))).start()
    ws = connect(t, server)
    pid = server.worker_of(ws.sock)
    server.kill_worker(pid)
    server.wait_workers(without=[pid])
    check_equal([told['session'] for told in backend.wait('disconnect')], [ws.welcome['session']], 'told once')


@test
def ends_that_cannot_be_told_are_counted(t):
    backend = t.own(Backend(up=False))
    server = start(t, backend, 'disconnect')
    ws = connect(t, server)
    ws.send_text('{"type":"bye"}')
    wait_until(lambda: server.metric('holdfast_hook_disconnects_lost_total') == 1, 'counted')


# Messages that have to be allowed

RULES = '''
namespaces:
  "ask:*": {allow: {subscribe: backend, publish: backend, history: all}}
  "open:*": {allow: all}
'''


def config(t, text):
    file = tempfile.NamedTemporaryFile('w', prefix='holdfast-test-', suffix='.yaml')
    t.cleanup(file.close)
    file.write(text)
    file.flush()
    return ('--config', file.name)


def start_asking(t, backend, *hooks, workers=2, **more):
    return t.own(Server(workers=workers, arguments=config(t, RULES), **backend.keys('subscribe', 'publish', *hooks, **more))).start()


@test
def a_rule_without_its_hook_is_refused_at_the_start(t):
    status, _, err = run_holdfast('serve', *config(t, RULES))
    check_equal(status, 2, 'status')
    check("namespaces.ask:*.allow.subscribe: 'backend' has nobody to ask: set hooks.subscribe.url" in err, err)


@test
def publishes_keep_their_order_while_the_backend_thinks(t):
    backend = t.own(Backend())

    def judge(request):
        time.sleep(0.01 * (request['payload'] % 3))  # Each takes another time.
        return {'allow': request['payload'] % 5 != 0}
    backend.answers['publish'] = judge
    server = start_asking(t, backend)
    client = t.own(Client(server.port)).connect()
    for n in range(1, 41):
        client.publish('ask:room', n)
    client.wait_acked()
    kept = server.post('/api/history', {'channel': 'ask:room', 'limit': 1000})['messages']
    check_equal([message['payload'] for message in kept], [n for n in range(1, 41) if n % 5], 'in their order, each once')
    check_equal(sorted(client.nacks), [n for n in range(1, 41) if n % 5 == 0], 'the others are refused')
    check_equal([request['payload'] for request in backend.of('publish')], list(range(1, 41)), 'one was asked after the other')


@test
def others_go_on_while_one_waits(t):
    backend = t.own(Backend())
    gate = Gate(t, lambda request: {'allow': True})
    backend.answers['publish'] = backend.answers['subscribe'] = gate
    server = start_asking(t, backend, workers=1, timeout='60s')
    slow, other = connect(t, server), connect(t, server)
    slow.send_text('{"type":"data","channel":"ask:a","payload":1,"seq":1}')
    backend.wait('publish')
    other.send_text('{"type":"data","channel":"open:a","payload":1,"seq":1}')
    expect(other, 'ack', seq=1)
    other.send_text('{"type":"subscribe","channel":"ask:a"}')
    backend.wait('subscribe')
    gate.open()
    expect(slow, 'ack', seq=1)
    expect(other, 'subscribed', channel='ask:a')


@test(deadline=120)
def publishes_are_applied_once_though_workers_die(t):
    """The worker is killed again and again while the backend is asked; the client resumes and sends again: nothing lost, nothing doubled, nothing out of order."""
    backend = t.own(Backend())

    def judge(request):
        time.sleep(0.005)
        return {'allow': True}
    backend.answers['publish'] = judge
    server = start_asking(t, backend)
    client = t.own(Client(server.port)).connect()
    sent = 0
    for _ in range(4):
        asked = len(backend.of('publish'))
        for _ in range(15):
            sent += 1
            client.publish('ask:log', sent)
        backend.wait('publish', asked + 3)
        pid = server.worker_of(client.ws.sock)
        server.kill_worker(pid)
        server.wait_workers(without=[pid])
        client.reconnect()
        check_equal(client.welcome['resumed'], True, 'resumed')
    client.wait_acked()
    kept = server.post('/api/history', {'channel': 'ask:log', 'limit': 1000})['messages']
    check_equal([message['payload'] for message in kept], list(range(1, sent + 1)), 'each once, in order')


@test
def what_a_backend_that_is_down_means_for_messages(t):
    backend = t.own(Backend(up=False))
    closed, opened = start_asking(t, backend), start_asking(t, backend, subscribe_fail='open', publish_fail='open')
    ws = connect(t, closed)
    ws.send_text('{"type":"subscribe","channel":"ask:a"}')
    expect(ws, 'error', code='unavailable', re='subscribe', channel='ask:a')
    ws.send_text('{"type":"data","channel":"ask:a","payload":1,"seq":1}')
    expect(ws, 'nack', seq=1, code='unavailable')
    ws = connect(t, opened)
    ws.send_text('{"type":"subscribe","channel":"ask:a"}')
    expect(ws, 'subscribed', channel='ask:a')
    ws.send_text('{"type":"data","channel":"ask:a","payload":1,"seq":1}')
    check_equal({ws.recv_json()['type'] for _ in range(2)}, {'ack', 'data'}, 'applied')


@test
def nonsense_is_no_yes(t):
    """Not even where a backend that is down counts as one."""
    backend = t.own(Backend())
    server = start_asking(t, backend, subscribe_fail='open', publish_fail='open')
    ws = connect(t, server)
    for answer in (Status(200, b'{}'), Status(200, b'{"allow":"true"}'), Status(500, b'{"allow":true}'), Status(200, b'yes')):
        backend.answers['subscribe'] = backend.answers['publish'] = lambda request, answer=answer: answer
        ws.send_text('{"type":"subscribe","channel":"ask:a"}')
        expect(ws, 'error', code='internal', re='subscribe')
        ws.send_text('{"type":"data","channel":"ask:a","payload":1,"id":"x"}')
        expect(ws, 'nack', id='x', code='internal')


# A backend that is not well

@test
def a_backend_that_is_down(t):
    backend = t.own(Backend(up=False))
    server = start(t, backend, 'call', failures=3, pause='2s')
    ws = connect(t, server)
    for n in range(3):
        check_equal(call_and_wait(ws, id=str(n))['code'], 'unavailable', 'code')
    check_equal(failures(server, 'down'), 3, 'it was tried')
    check_equal(server.metric('holdfast_hook_pauses_total'), 1, 'and is left alone now')
    wait_until(lambda: 'event=hook_paused hook=call failures=3' in server.log(), 'the log says so')

    def refused_at_once():
        check_equal(call_and_wait(ws, id='p')['code'], 'unavailable', 'answered')
        return failures(server, 'paused') >= 1  # A pause may have ended meanwhile; the next one begins with one failure.
    wait_until(refused_at_once, 'without being tried')
    backend.start()

    def answered():
        return 'payload' in call_and_wait(ws, id='again', payload=1)
    wait_until(answered, 'it is back', step_s=0.1)
    check('event=hook_resumed hook=call' in server.log(), 'the log says that too')
    check_equal(call_and_wait(ws, id='z', payload=2)['payload'], 2, 'and all is well')


@test
def a_pause_is_for_one_hook(t):
    """Nobody stops the others by calls that fail."""
    backend = t.own(Backend())
    gateway = Status(503, b'down')
    backend.answers['call'] = lambda request: gateway
    server = start(t, backend, 'call', 'connect', failures=1, pause='60s')
    ws = connect(t, server)
    check_equal(call_and_wait(ws, id='0')['code'], 'unavailable', 'its gateway says that it is down')
    check_equal(call_and_wait(ws, id='1')['code'], 'unavailable', 'paused')
    check_equal(len(backend.of('call')), 1, 'asked once')
    connect(t, server)
    check_equal(len(backend.of('connect')), 2, 'connects are still asked for')


@test
def a_backend_that_is_slow(t):
    backend = t.own(Backend())
    backend.answers['call'] = Gate(t)
    server = start(t, backend, 'call', call_timeout='300ms', failures=1000)
    reply = call_and_wait(connect(t, server))
    check_equal(reply['code'], 'timeout', 'what became of it is unknown')
    check_equal(failures(server, 'timeout'), 1, 'counted')


@test
def a_backend_that_swallows_connections(t):
    """It neither takes nor refuses them: a listening socket whose queue is full."""
    port = free_port()
    deaf = socket.socket()
    t.cleanup(deaf.close)
    deaf.bind(('127.0.0.1', port))
    deaf.listen(0)
    waiting = [socket.socket() for _ in range(4)]
    for one in waiting:
        t.cleanup(one.close)
        one.setblocking(False)
        one.connect_ex(('127.0.0.1', port))
    backend = t.own(Backend(up=False))
    backend.port = port
    server = start(t, backend, 'call', call_timeout='500ms', failures=1000)
    ws = connect(t, server)
    call(ws)
    ws.send_text('{"type":"ping","id":"p"}')
    expect(ws, 'pong', id='p')  # The worker goes on meanwhile.
    expect(ws, 'reply', id='1', code='unavailable')


ILL = {
    'no JSON': Status(200, b'hello'),
    'a list': Status(200, b'[]'),
    'nothing': Status(200, b''),
    'neither': Status(200, b'{}'),
    'both': Status(200, b'{"payload":1,"code":"x"}'),
    'twice': Status(200, b'{"payload":1,"payload":2}'),
    'a code that is none': Status(200, b'{"code":7}'),
    'an empty code': Status(200, b'{"code":""}'),
    'bytes that are no UTF-8': Status(200, b'{"payload":"\xff"}'),
    'a rest': Status(200, b'{"payload":1}x'),
    'another status': Status(404, b'{"payload":1}'),
    'a redirect': Status(302, b'{"payload":1}'),
    'an error': Status(500, b'{"payload":1}'),
    'too much': Status(200, b'{"payload":"' + b'x' * 20000 + b'"}'),
    'a deep one': Status(200, b'{"payload":' + b'[' * 2000 + b']' * 2000 + b'}'),
}


@test
def a_backend_that_answers_nonsense(t):
    backend = t.own(Backend())
    server = start(t, backend, 'call', failures=1, answer='16KiB')
    ws = connect(t, server)
    for name, answer in ILL.items():
        backend.answers['call'] = lambda request, answer=answer: answer
        reply = call_and_wait(ws, id=name)
        check_equal(reply['code'], 'internal', f'{name}: {reply}')
    check_equal(failures(server, 'too_large'), 1, 'too much')
    check_equal(failures(server, 'invalid'), len(ILL) - 1, 'the others')
    check_equal(server.metric('holdfast_hook_pauses_total'), 0, 'it is there, so it is asked again')
    check('event=hook_answer_invalid hook=call' in server.log(), 'in the log')


@test
def a_backend_that_closes_in_mid_answer(t):
    backend = t.own(Backend())
    cuts = {
        'before': b'', 'in the head': b'HTTP/1.1 200 OK\r\nContent-Le',
        'in the body': b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"payload":1}',
        'no HTTP': b'\x00\x01\x02 what?\r\n\r\n',
    }
    server = start(t, backend, 'call', failures=1000)
    ws = connect(t, server)
    for name, data in cuts.items():
        backend.answers['call'] = lambda request, data=data: Bytes(data)
        reply = call_and_wait(ws, id=name)
        # A head of which only the status has come is an answer without a body to libcurl, and as such is no valid one.
        check_equal(reply['code'], 'internal' if name == 'in the head' else 'timeout', f'{name}: {reply}')
    check_equal(failures(server, 'broken'), len(cuts) - 1, 'counted')
    check_equal(len(backend.of('call')), len(cuts), 'a call is sent once, whatever becomes of it')


@test
def a_kept_connection_that_breaks_repeats_no_call(t):
    backend = t.own(Backend())
    backend.answers['call'] = lambda request: Bytes(b'') if request['method'] == 'cut' else {'payload': 1}
    server = start(t, backend, 'call', failures=1000)
    ws = connect(t, server)
    call_and_wait(ws, id='0')
    call_and_wait(ws, id='1')
    check_equal(len(set(backend.peers)), 1, 'both went over one connection')
    check_equal(call_and_wait(ws, id='2', method='cut')['code'], 'timeout', 'unknown')
    check_equal(backend.peers[2], backend.peers[0], 'the same connection')
    check_equal(len(backend.of('call')), 3, 'not sent again')


@test
def a_worker_dies_while_it_asks(t):
    backend = t.own(Backend())
    gate = Gate(t)
    backend.answers['call'] = lambda request: gate(request) if request['method'] == 'slow' else {'payload': 1}
    server = start(t, backend, 'call', workers=2, call_timeout='60s')
    ws = connect(t, server)
    call(ws, method='slow')
    backend.wait('call')
    pid = server.worker_of(ws.sock)
    server.kill_worker(pid)
    server.wait_workers(without=[pid])
    gate.open()
    again = t.own(RawWs.open(server.port, protocols=[*JSON, f'hf.resume.{ws.welcome["ticket"]}']))
    check_equal(expect(again, 'welcome')['resumed'], True, 'resumed')
    call_and_wait(again, id='2')
    check_equal(len(backend.of('call')), 2, 'nobody asked again')


@test
def a_server_stops_while_it_asks(t):
    backend = t.own(Backend())
    backend.answers['call'] = Gate(t)
    server = start(t, backend, 'call', call_timeout='60s', arguments=['--set', 'drain.timeout=100ms'])
    ws = connect(t, server)
    call(ws)
    backend.wait('call')
    server.stop()
    check_equal(server.log_complaints(), [], 'the log')


# TLS

def refused(t, backend, why, ca):
    """A call to this backend fails before anything of it has gone out, and the log says why."""
    server = start(t, backend, 'call', tls_ca=ca.pem)
    reply = call_and_wait(connect(t, server))
    check_equal(reply['code'], 'unavailable', f'{why}: {reply}')
    check_equal(backend.of('call'), [], 'the backend has heard nothing')
    check_equal(failures(server, 'down'), 1, 'counted')
    lines = [line for line in server.log().splitlines() if 'event=hook_failed' in line]
    check(len(lines) == 1 and 'hook=call' in lines[0] and 'signed by a CA of hooks.tls.ca' in lines[0], f'{why}: {lines}')
    return lines[0]


@test
def a_backend_of_a_private_ca(t):
    certs = Certificates(t)
    ca, other = certs.make('ca'), certs.make('other')
    backend = t.own(Backend(tls=tls_context(certs.make('backend', 'localhost', ca=ca))))
    server = start(t, backend, 'call', tls_ca=ca.pem)
    check_equal(call_and_wait(connect(t, server), payload='hi')['payload'], 'hi', 'payload')
    refused(t, t.own(Backend(tls=tls_context(certs.make('of-other', ca=other)))), 'another CA', ca)
    refused(t, t.own(Backend(tls=tls_context(certs.make('self-signed')))), 'signed by nobody', ca)


@test
def a_backend_of_another_name(t):
    """Its CA is the right one, and it is somebody else."""
    certs = Certificates(t)
    ca = certs.make('ca')
    tls = tls_context(certs.make('backend', 'backend.test', ip='127.0.0.2', ca=ca))
    for host in ('127.0.0.1', 'localhost'):
        line = refused(t, t.own(Backend(tls=tls, host=host)), host, ca)
        check(f"no alternative certificate subject name matches target host name '{host}'" in line, f'what is wrong: {line}')


@test
def a_backend_that_nobody_vouches_for(t):
    """Without hooks.tls.ca the system's certificates count, and they have none of a test's."""
    certs = Certificates(t)
    backend = t.own(Backend(tls=tls_context(certs.make('backend'))))
    server = start(t, backend, 'call')
    check_equal(call_and_wait(connect(t, server))['code'], 'unavailable', 'the reply')
    check('a CA of the system, or of hooks.tls.ca' in server.log(), 'the log says what to do')
    check_equal(backend.of('call'), [], 'the backend has heard nothing')


@test
def a_backend_asks_who_we_are(t):
    certs = Certificates(t)
    ca = certs.make('ca')
    backend = t.own(Backend(tls=tls_context(certs.make('backend', ca=ca), clients_by=ca)))
    own = certs.make('own', ca=ca)
    server = start(t, backend, 'call', tls_ca=ca.pem, tls_certificate=own.pem, tls_key=own.key)
    check_equal(call_and_wait(connect(t, server), payload=1)['payload'], 1, 'with our certificate')
    server = start(t, backend, 'call', tls_ca=ca.pem)
    before = len(backend.of('call'))
    check_in(call_and_wait(connect(t, server))['code'], ('unavailable', 'timeout'), 'without one')
    check_equal(len(backend.of('call')), before, 'the backend has heard nothing')
    check('event=hook_failed hook=call' in server.log(), 'it is logged')


@test
def bad_files_of_tls_end_the_start(t):
    certs = Certificates(t)
    one, other = certs.make('one'), certs.make('other')
    url = ('--set', f'hooks.secret={SECRET}', '--set', 'hooks.call.url=https://127.0.0.1:1/')
    for keys, why in ((('hooks.tls.ca=/nowhere.pem',), 'hooks.tls.ca: /nowhere.pem: cannot be read: No such file or directory'),
                      ((f'hooks.tls.ca={one.key}',), f'hooks.tls.ca: {one.key}: has no certificate that can be read'),
                      ((f'hooks.tls.certificate={one.pem}', f'hooks.tls.key={other.key}'), f'{other.key} does not belong to it'),
                      ((f'hooks.tls.key={one.key}',), 'hooks.tls.key: needs hooks.tls.certificate')):
        status, _, err = run_holdfast('serve', *url, *[word for key in keys for word in ('--set', key)])
        check(status != 0 and why in err, f'{keys}: {status} {err}')


main()
