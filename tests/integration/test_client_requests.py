#!/usr/bin/python3
"""
What the C library asks besides history: tokens of its application, presence, calls; by the client, the threaded client and the pool (asking_client.c), against a real server, through breaks and killed
workers.
"""
import json
import os
import subprocess
import tempfile
import threading
import time

import jwt

from backend_fixture import Backend
from fault_proxy import FaultProxy
from holdfast_client import Client
from holdfast_server import Command, Server, free_port, start_process, url_of
from holdfast_test import DEADLINE_S, PATIENCE, Skip, check, check_equal, check_in, main, test, wait_until

KINDS = ('client', 'threaded', 'pool')
FOLDER = tempfile.TemporaryDirectory(prefix='holdfast-test-')
SECRET = 's' * 64
SHORT_S = 8 + 6 * PATIENCE  # how long a short token is good: three clients must have come in by then
SECRET_FILE = os.path.join(FOLDER.name, 'secret')
with open(SECRET_FILE, 'w', encoding='ascii') as f:
    f.write(SECRET)


def token(user='alice', seconds=3600, secret=SECRET, **claims):
    return jwt.encode({'sub': user, 'exp': time.time() + seconds, **claims}, secret, algorithm='HS256', headers={'kid': 'k'})


def start(t, **options):
    return t.own(Server(**{'workers': 2, 'auth_keys': f'k=HS256:{SECRET_FILE}', 'auth_leeway': '0ms', **options})).start()


class Asking(Command):
    """asking_client under way."""

    def __init__(self, kind, server_or_url, *arguments, encoding='binary', call_timeout_ms=120_000):
        if 'ASKING_CLIENT' not in os.environ:
            raise Skip('no program asking_client (run by Meson)')
        self.environment = {**os.environ, 'HF_TEST_ENCODING': encoding, 'CALL_TIMEOUT_MS': str(call_timeout_ms)}
        url = server_or_url if isinstance(server_or_url, str) else url_of(server_or_url.port)
        super().__init__(kind, url, *arguments, stdin=subprocess.PIPE)

    def launch(self, arguments, **options):
        return start_process([os.environ['ASKING_CLIENT'], *arguments], env=self.environment, **options)

    def order(self, line):
        self.write(f'{line}\n'.encode())

    def count(self, *beginnings):
        return sum(line.startswith(beginnings) for line in self.lines)

    def expect(self, beginning, count=1, deadline_s=DEADLINE_S):
        """Wait until that many lines begin so; returns the last of them."""
        wait_until(lambda: self.count(beginning) >= count, f'{self.name} says {beginning!r} {count} times; it said {self.lines[-8:]} {self.error_lines[-3:]}', deadline_s)
        return [line for line in self.lines if line.startswith(beginning)][count - 1]

    def finish(self):
        self.order('close')
        self.expect('ordered ok')
        if self.name.startswith('client'):
            check_equal(self.wait(), 0, f'exit status: {self.error_lines[-20:]}')
        else:
            self.end_input()
            check_equal(self.wait(), 0, f'exit status: {self.error_lines[-20:]}')
        check_equal(self.count('fault'), 0, 'faults')


def asking(t, kind, server, *arguments, **options):
    return t.own(Asking(kind, server, *arguments, **options))


def members_of(kind):
    return 3 if kind == 'pool' else 1


class TokenClient(Client):
    def __init__(self, port, made, **options):
        super().__init__(port, **options)
        self.token = made

    def opening(self, resume='protocol', attempt=None):
        path, protocols, headers = super().opening(resume, attempt)
        return path, [*protocols, f'hf.token.{self.token}'], headers


def other(t, server, user='bob', **claims):
    """Somebody else, by the reference client."""
    return t.own(TokenClient(server.port, token(user, **claims))).connect()


# Tokens

@test
def a_token_is_asked_for_and_given_later(t):
    server = start(t)
    for kind in KINDS:
        c = asking(t, kind, server)
        c.expect('token first')
        c.order('no_token nobody-there')
        check_equal(c.expect('problem'), 'problem unauthorized no token: nobody-there', 'what is told')
        check_equal(c.expect('disconnected'), 'disconnected 0 0 no token to show was given in time | ', 'the attempt')
        c.expect('token first', 2)  # by the next attempt
        check_equal(c.count('connected'), 0, 'connections')
        c.order(f'token {token()}')
        c.expect('connected new', members_of(kind))
        c.finish()
        check_equal(c.count('token'), 2, f'questions of {kind}, for all members: {c.lines}')


@test
def a_token_may_be_given_at_once(t):
    """Within the callback, which may come before hf_threaded_start() and hf_pool_start() return."""
    server = start(t)
    for kind in KINDS:
        c = asking(t, kind, server, 'self')
        c.order(f'next {token()}')
        c.expect('connected new', members_of(kind))
        c.order('publish room 1')
        check_equal(c.expect('result'), 'result 1 0', 'the publish')
        c.finish()
        check_equal(c.count('token'), 1, f'questions of {kind}')


@test
def a_token_is_renewed_on_the_connection_that_stands(t):
    """All at once, because it takes half of the token's time. The connection outlives its first token, and its worker is killed with the second."""
    server = start(t)
    seconds = SHORT_S
    clients = [asking(t, kind, server, token(seconds=seconds)) for kind in KINDS]
    began = time.monotonic()
    for c, kind in zip(clients, KINDS):
        c.expect('connected new', members_of(kind))
        c.order('subscribe room')
        c.expect('subscribed room')
    for c in clients:
        c.expect('token renewal', deadline_s=seconds + 3 * DEADLINE_S)
        c.order(f'token {token()}')
    wait_until(lambda: time.monotonic() - began > seconds + 1, 'the first token has ended', seconds + 3 * DEADLINE_S)
    server.publish('room', 'after the end')
    for c in clients:
        check_equal(c.expect('message room'), 'message room 1 "after the end"', 'a message')
        check_equal(c.count('disconnected', 'ended'), 0, f'breaks: {c.lines}')
    for pid in server.worker_pids():
        server.kill_worker(pid)
        server.wait_workers(without=[pid])
    for c, kind in zip(clients, KINDS):
        c.expect('connected resumed', members_of(kind))
    server.publish('room', 'after the kill')
    for c in clients:
        check_equal(c.expect('message room', 2), 'message room 2 "after the kill"', 'a message')
        check_equal(c.count('token'), 1, 'questions')
        c.finish()


@test
def after_4002_the_session_goes_on_with_the_next_token(t):
    """Nobody renews the token; the server ends the connection, and meanwhile a worker is killed: nothing is lost, nothing comes twice."""
    server = start(t)
    clients = [asking(t, kind, server, token(seconds=SHORT_S)) for kind in KINDS]
    for c, kind in zip(clients, KINDS):
        c.expect('connected new', members_of(kind))
        c.order('subscribe room')
        c.expect('subscribed room')
    server.publish('room', 1)
    for c, kind in zip(clients, KINDS):
        check_in('the token has expired', c.expect('disconnected 4002 0', members_of(kind), deadline_s=SHORT_S + 3 * DEADLINE_S), 'the end of the connection')
        c.order('publish room "mine"')  # waits in the outbox
    pid = server.worker_pids()[0]
    server.kill_worker(pid)
    server.wait_workers(without=[pid])
    server.publish('room', 2)
    for c, kind in zip(clients, KINDS):
        check_equal(c.count('connected'), members_of(kind), f'connections without a token: {c.lines}')
        c.order(f'token {token()}')
        c.expect('connected resumed', members_of(kind))
        check_equal(c.expect('result'), 'result 1 0', 'the publish that waited')
    for c in clients:
        c.expect('message room', 5)
        check_equal([line.split(' ')[2] for line in c.lines if line.startswith('message')], ['1', '2', '3', '4', '5'], 'offsets')
        check_equal(c.count('connected new') + c.count('ended'), members_of(c.name.split(' ')[0]), 'the same sessions')
        c.finish()


@test
def a_refusal_tells_its_reason_and_asks_for_another_token(t):
    server = start(t)
    for kind in ('client', 'threaded'):
        c = asking(t, kind, server, token(secret='o' * 64))
        line = c.expect('disconnected 0 401')
        check_in('signature', line.split(' | ')[1], 'the reason that came with the 401')
        c.expect('token expired')
        c.order(f'token {token()}')
        c.expect('connected new')
        c.finish()


@test
def three_refused_tokens_end_the_session(t):
    server = start(t)
    c = asking(t, 'client', server, 'self')
    c.order(f'next {token(secret="o" * 64)}')
    check_in('signature', c.expect('ended 0 401').split(' | ')[1], 'the reason')
    check_equal(c.wait(), 0, 'exit status')
    check_equal([line for line in c.lines if line.startswith('token')], ['token first', 'token expired', 'token expired'], 'questions')


# Presence

@test
def who_is_there_and_who_comes_and_goes(t):
    server = start(t)
    for kind in KINDS:
        for encoding in ('binary', 'json'):
            room = f'{kind}-{encoding}'
            c = asking(t, kind, server, token(info={'name': 'Alice'}), encoding=encoding)
            c.expect('connected new', members_of(kind))
            c.order(f'presence {room}')
            check_equal(c.expect('members 1'), 'members 1 ', 'nobody yet')
            c.order(f'watch {room}')
            c.expect(f'subscribed {room}')
            b = other(t, server, info={'name': 'Bob'})
            b.subscribe(room, wait=True)
            check_equal(c.expect('join'), f'join {room} {b.welcome["session"]}=bob{{"name":"Bob"}}', 'a join')
            c.order(f'presence {room}')
            line = c.expect('members 2')
            check_equal(len(line.split(' ')), 5, f'two members and a code: {line}')
            check_in(f'{b.welcome["session"]}=bob{{"name":"Bob"}}', line, 'Bob is there')
            check_in('=alice{"name":"Alice"}', line, 'and Alice')
            b.send({'type': 'unsubscribe', 'channel': room})
            check_equal(c.expect('leave'), f'leave {room} {b.welcome["session"]}=bob{{"name":"Bob"}}', 'a leave')
            c.finish()
            check_equal(c.count('join') + c.count('leave'), 2, f'events: {c.lines}')


@test
def after_a_break_the_members_are_asked_anew(t):
    server = start(t)
    proxy = t.own(FaultProxy(server.port))
    c = asking(t, 'client', url_of(proxy.port), token())
    c.expect('connected new')
    c.order('watch room')
    c.expect('subscribed room')
    proxy.cut_now()
    check_equal(c.expect('missed'), 'missed room =', 'what is told')
    c.expect('connected resumed')
    b = other(t, server)
    b.subscribe('room', wait=True)
    c.expect('join room')
    c.finish()


@test
def a_presence_query_waits_for_a_connection(t):
    server = start(t)
    proxy = t.own(FaultProxy(server.port))
    b = other(t, server)
    b.subscribe('room', wait=True)
    for kind in KINDS:
        proxy.refuse(False)
        c = asking(t, kind, url_of(proxy.port), token())
        c.expect('connected new', members_of(kind))
        proxy.refuse()
        proxy.cut_now()
        c.expect('disconnected', members_of(kind))
        c.order('presence room')
        c.expect('ordered ok')
        proxy.refuse(False)
        check_equal(c.expect('members 1', deadline_s=3 * DEADLINE_S), f'members 1  {b.welcome["session"]}=bob', 'the answer')
        c.finish()


# Calls

def with_backend(t):
    backend = t.own(Backend())
    return backend, start(t, **backend.keys('call', call_timeout='60s'))


@test
def a_call_is_answered_or_refused(t):
    backend, server = with_backend(t)
    backend.answers['call'] = lambda request: ({'payload': {'to': request['user'], 'got': request['payload']}} if request['method'] == 'echo'
                                               else {'code': 'no_such_room', 'reason': 'there is none'})
    for kind in KINDS:
        for encoding in ('binary', 'json'):
            c = asking(t, kind, server, token(), encoding=encoding)
            c.order('call echo {"n": [1, "ü"]}')
            line = c.expect('reply 1')
            check_equal(line[:9], 'reply 1  ', 'no code')
            check_equal(json.loads(line[9:]), {'to': 'alice', 'got': {'n': [1, 'ü']}}, 'the answer')
            c.order('call other null')
            check_equal(c.expect('reply 2'), 'reply 2 no_such_room  there is none', 'the refusal')
            c.finish()


@test
def without_a_backend_a_call_is_refused(t):
    server = start(t)
    for kind in KINDS:
        c = asking(t, kind, server, token())
        c.order('call echo 1')
        check_in('reply 1 not_found', c.expect('reply 1'), 'the refusal')
        c.order('call echo nonsense')
        check_equal(c.expect('ordered', 2), 'ordered invalid argument', 'no JSON')
        c.finish()


@test
def a_call_that_is_broken_off_is_uncertain_and_not_made_again(t):
    backend, server = with_backend(t)
    gate = threading.Event()


    def answer(request):
        if request['payload'] == 'wait':
            gate.wait(20 * DEADLINE_S)
        return {'payload': 'late' if request['payload'] == 'wait' else 'quick'}

    backend.answers['call'] = answer
    try:
        for count, kind in enumerate(KINDS):
            c = asking(t, kind, server, token())
            c.expect('connected new', members_of(kind))
            c.order('call slow "wait"')
            backend.wait('call', 2 * count + 1)
            for pid in server.worker_pids():
                server.kill_worker(pid)
            server.wait_workers()
            check_in('reply 1 uncertain', c.expect('reply 1', deadline_s=3 * DEADLINE_S), 'what is told')
            c.order('call slow "quick"')
            check_equal(c.expect('reply 2', deadline_s=3 * DEADLINE_S), 'reply 2  "quick" ', 'the next one')
            c.finish()
            check_equal(len(backend.of('call')), 2 * count + 2, 'calls that the backend got')
    finally:
        gate.set()


@test
def a_call_has_its_time(t):
    """Without a connection, and with one to a backend that does not answer."""
    backend, server = with_backend(t)
    gate = threading.Event()
    backend.answers['call'] = lambda request: {'payload': gate.wait(20 * DEADLINE_S)}
    try:
        for kind in KINDS:
            c = asking(t, kind, url_of(free_port()), token(), call_timeout_ms=300)
            c.order('call m 1')
            check_equal(c.expect('reply 1'), 'reply 1 timeout  there was no connection in time: the call was not made', f'what {kind} tells')
            c = asking(t, kind, server, token(), call_timeout_ms=300)
            c.expect('connected new', members_of(kind))
            c.order('call m 1')
            check_in('reply 1 timeout  ', c.expect('reply 1'), f'what {kind} tells')
            c.order('presence room')
            check_equal(c.expect('members 2'), 'members 2 ', 'the connection stands')
            c.finish()
            check_equal(c.count('disconnected'), 0, 'breaks')
    finally:
        gate.set()


# The pool

@test
def what_the_backend_subscribes_for_a_user_comes_once(t):
    """It subscribes each session of the user, and a pool has three: one keeps the channel."""
    server = start(t)
    c = asking(t, 'pool', server, token())
    c.expect('connected new', 3)
    wait_until(lambda: server.post('/api/subscribe', {'user': 'alice', 'channel': 'news'})['subscribed'] >= 3, 'the backend has subscribed three sessions')
    c.expect('subscribed news')
    wait_until(lambda: len(server.post('/api/presence', {'channel': 'news'})['members']) == 1, 'one session follows the channel')
    for n in range(20):
        server.publish('news', n)
    c.expect('message news', 20)
    server.publish('room', 'no subscriber')
    # Once more: those who were left out hear of it again.
    server.post('/api/subscribe', {'user': 'alice', 'channel': 'news'})
    wait_until(lambda: len(server.post('/api/presence', {'channel': 'news'})['members']) == 1, 'one session follows the channel')
    server.publish('news', 'last')
    c.expect('message news 21')
    check_equal([line for line in c.lines if line.startswith('message news')], [f'message news {n + 1} {n}' for n in range(20)] + ['message news 21 "last"'], 'each once, in order')
    server.post('/api/unsubscribe', {'user': 'alice', 'channel': 'news'})
    check_equal(c.expect('unsubscribed'), 'unsubscribed news forbidden', 'the end')
    c.finish()
    check_equal(c.count('unsubscribed'), 1, 'ends')


if __name__ == '__main__':
    main()
