#!/usr/bin/python3
"""The commands `presence` and `call`, and --token-command, as a user meets them; and that a refusal is told with its reason."""
import json
import os
import signal
import tempfile
import time

import jwt

from backend_fixture import Backend
from fault_proxy import FaultProxy
from holdfast_client import Client
from holdfast_server import Command, Server, free_port, run_holdfast, url_of
from holdfast_test import PATIENCE, check, check_equal, check_in, main, test, wait_until

FOLDER = tempfile.TemporaryDirectory(prefix='holdfast-test-')
SECRET = 's' * 64


def write(name, text):
    path = os.path.join(FOLDER.name, name)
    with open(path + '.new', 'w', encoding='ascii') as f:
        f.write(text)
    os.rename(path + '.new', path)
    return path


SECRET_FILE = write('secret', SECRET)


def token(user='alice', seconds=3600, secret=SECRET, **claims):
    return jwt.encode({'sub': user, 'exp': time.time() + seconds, **claims}, secret, algorithm='HS256', headers={'kid': 'k'})


class TokenClient(Client):
    def __init__(self, port, made, **options):
        super().__init__(port, **options)
        self.token = made

    def opening(self, resume='protocol', attempt=None):
        path, protocols, headers = super().opening(resume, attempt)
        return path, [*protocols, f'hf.token.{self.token}'], headers


def with_tokens(t, **options):
    return t.own(Server(workers=2, auth_keys=f'k=HS256:{SECRET_FILE}', auth_leeway='0ms', **options)).start()


def member(t, server, room, user='bob', **claims):
    c = t.own(TokenClient(server.port, token(user, **claims))).connect()
    c.subscribe(room, wait=True)
    return c


def run(server, *arguments, **options):
    return run_holdfast(arguments[0], '--url', url_of(server.port), *arguments[1:], **options)


def expect(command, line):
    wait_until(lambda: line in command.lines, f'{command.name} writes {line!r}; it wrote {command.lines[-8:]} {command.error_lines[-3:]}')


# presence

@test
def presence_writes_who_is_there(t):
    server = with_tokens(t)
    b = member(t, server, 'room', info={'name': 'Bob'})
    c = member(t, server, 'room', user='carol')
    for encoding in ('binary', 'json'):
        status, out, err = run(server, 'presence', '--token', token(), '--encoding', encoding, 'room')
        check_equal((status, sorted(out.splitlines())), (0, sorted([f'{b.welcome["session"]}\tbob\t{{"name":"Bob"}}', f'{c.welcome["session"]}\tcarol'])), f'members: {err}')
        status, out, err = run(server, 'presence', '--token', token(), '--encoding', encoding, '--json', 'room')
        lines = sorted((json.loads(line) for line in out.splitlines()), key=lambda line: line['user'])
        check_equal(lines, [{'type': 'member', 'channel': 'room', 'session': b.welcome['session'], 'user': 'bob', 'info': {'name': 'Bob'}},
                            {'type': 'member', 'channel': 'room', 'session': c.welcome['session'], 'user': 'carol'}], 'JSON')
    check_equal(run(server, 'presence', '--token', token(), 'empty')[:2], (0, ''), 'nobody')


@test
def presence_of_strangers_has_no_user(t):
    server = t.own(Server(workers=1)).start()
    c = t.own(Client(server.port)).connect()
    c.subscribe('room', wait=True)
    check_equal(run(server, 'presence', 'room')[:2], (0, c.welcome['session'] + '\n'), 'a session without a user')


@test
def presence_follows_who_comes_and_goes(t):
    """Through a break, during which one comes and one goes."""
    server = with_tokens(t)
    proxy = t.own(FaultProxy(server.port))
    b = member(t, server, 'room')
    command = t.own(Command('presence', '--url', url_of(proxy.port), '--token', token(), '--follow', 'room'))
    expect(command, f'member\t{b.welcome["session"]}\tbob')
    c = member(t, server, 'room', user='carol')
    expect(command, f'join\t{c.welcome["session"]}\tcarol')
    proxy.refuse()
    proxy.cut_now()
    wait_until(lambda: any('connection lost' in line for line in command.error_lines), 'the break')
    b.send({'type': 'unsubscribe', 'channel': 'room'})
    b.wait_for('unsubscribed', channel='room')
    d = member(t, server, 'room', user='dave')
    proxy.refuse(False)
    expect(command, f'join\t{d.welcome["session"]}\tdave')
    expect(command, f'leave\t{b.welcome["session"]}\tbob')
    c.send({'type': 'unsubscribe', 'channel': 'room'})
    expect(command, f'leave\t{c.welcome["session"]}\tcarol')
    command.process.send_signal(signal.SIGINT)
    check_equal(command.wait(), 0, f'exit status: {command.error_lines}')
    check_equal(sorted(line.split('\t')[0] for line in command.lines), ['join', 'join', 'leave', 'leave', 'member'], f'each once, and not itself: {command.lines}')


@test
def presence_wants_sense_and_an_answer(t):
    server = t.own(Server(workers=1)).start()
    for arguments, words in [([], 'no channel given'), (['a', 'b'], 'one channel at a time, not also b'), (['a\nb'], 'no valid name of a channel'),
                             (['--follow', 'a\nb'], 'no valid name of a channel'), (['--nonsense', 'a'], 'unknown option --nonsense')]:
        status, out, err = run(server, 'presence', *arguments)
        check_equal(status, 2, f'exit status of {arguments}')
        check_in(words, err, f'{arguments}')
    for more, what in [([], 'no answer for 0.3 s: given up'), (['--follow'], 'no connection for 0.3 s: given up')]:
        status, out, err = run_holdfast('presence', '--url', url_of(free_port()), '--timeout', '0.3', *more, 'room')
        check_equal((status, out), (1, ''), 'no server')
        check_in(what, err, 'why')


@test
def presence_that_is_forbidden_says_so(t):
    rules = write('rules.yaml', 'namespaces:\n  "secret:*":\n    allow: {subscribe: user}\n')
    server = with_tokens(t, arguments=['--config', rules])
    status, out, err = run(server, 'presence', '--token', token(), 'secret:room')
    check_equal((status, out), (1, ''), f'it fails: {err}')
    check_in('secret:room: no members: forbidden: ', err, 'why')


# call

@test
def call_writes_the_backends_answer(t):
    backend = t.own(Backend())
    backend.answers['call'] = lambda request: ({'code': 'no_such_room', 'reason': 'there is none'} if request['method'] == 'refuse'
                                               else {'payload': [request['user'], request['payload']] if request['method'] == 'echo' else 'a "text"'})
    server = with_tokens(t, **backend.keys('call'))
    status, out, err = run(server, 'call', '--token', token(), 'echo', '{"n":1}')
    check_equal((status, json.loads(out)), (0, ['alice', {'n': 1}]), f'the answer: {err}')
    check_equal(json.loads(run(server, 'call', '--token', token(), 'echo')[1]), ['alice', None], 'without a payload')
    check_equal(run(server, 'call', '--token', token(), 'text')[:2], (0, 'a "text"\n'), 'a text')
    check_equal(run(server, 'call', '--token', token(), '--json', 'text')[:2], (0, '"a \\"text\\""\n'), 'the same as JSON')
    status, out, err = run(server, 'call', '--token', token(), 'refuse')
    check_equal((status, out), (1, ''), 'a refusal')
    check_in('refuse: no_such_room: there is none', err, 'why')


@test
def call_wants_sense_and_an_answer(t):
    server = t.own(Server(workers=1)).start()
    for arguments, words in [([], 'no method given'), (['a', '1', '2'], 'one payload at a time, not also 2'), (['a', 'nonsense'], 'the payload is no JSON (a text has quotes within it: \'"text"\'): nonsense'),
                             (['', '1'], 'a method has 1 to 255 bytes of UTF-8, and not: '), (['m' * 256, '1'], 'a method has 1 to 255 bytes of UTF-8, and not: mmm')]:
        status, out, err = run(server, 'call', *arguments)
        check_equal(status, 2, f'exit status of {arguments}')
        check_in(words, err, f'{arguments}')
    status, out, err = run(server, 'call', 'a')
    check_equal((status, out), (1, ''), 'no backend')
    check_in('a: not_found: ', err, 'why')
    status, out, err = run_holdfast('call', '--url', url_of(free_port()), '--timeout', '0.3', 'a')
    check_equal((status, out), (1, ''), 'no server')
    check_in('a: timeout: there was no connection in time: the call was not made', err, 'why')


# tokens

@test
def a_refused_token_is_told_with_its_reason(t):
    server = with_tokens(t)
    for name, arguments in [('history', ['room']), ('presence', ['room']), ('sub', ['room']), ('pub', ['room', 'x']), ('ping', ['-c', '1'])]:
        status, out, err = run(server, name, '--token', token(secret='o' * 64), *arguments)
        check_equal((status, out.strip().startswith('---') or out == ''), (1, True), f'{name} fails: {out}')
        check_in('HTTP 401: ', err, f'what {name} says')
        check_in('signature', err, f'what {name} says')
    status, out, err = run(server, 'history', 'room')
    check_in('HTTP 401: ', err, 'without a token')


@test
def a_command_brings_the_token_and_a_fresh_one_in_time(t):
    """sub and pub outlive their first token; the command is run again before its end."""
    server = with_tokens(t)
    seconds = 8 + 6 * PATIENCE
    made = write('token', token(seconds=seconds) + '\n')
    count = os.path.join(FOLDER.name, 'count')
    began = time.monotonic()
    sub = t.own(Command('sub', '--url', url_of(server.port), '-v', '--token-command', f'echo x >> {count}; cat {made}', 'room'))
    wait_until(lambda: any('following' in line for line in sub.error_lines), f'it is subscribed: {sub.error_lines}')
    write('token', token())
    wait_until(lambda: time.monotonic() - began > seconds + 1, 'the first token has ended', seconds + 30)
    server.publish('room', 'still there')
    expect(sub, 'still there')
    check(not any('lost' in line or 'no connection' in line for line in sub.error_lines), f'no break: {sub.error_lines}')
    with open(count, encoding='ascii') as f:
        check_equal(f.read(), 'x\nx\n', 'runs of the command')
    sub.process.terminate()
    check_equal(sub.wait(), 0, 'exit status')


@test
def a_command_that_brings_none_is_told_and_tried_again(t):
    server = with_tokens(t)
    for command, words in [('exit 3', 'no token: it ended with status 3'), ('true', 'no token: it wrote nothing'), ('echo a b', 'no token: what it wrote is none'),
                           ('kill -9 $$', 'no token: it was ended by signal 9'), ('yes', 'no token: it wrote more than a token')]:
        status, out, err = run(server, 'presence', '--timeout', '0.5', '--token-command', command, 'room')
        check_equal((status, out), (1, ''), f'{command} fails')
        check_in(f'--token-command: {words}', err, f'what is said of {command}')
    made = os.path.join(FOLDER.name, 'later')
    ping = t.own(Command('ping', '--url', url_of(server.port), '-c', '1', '--timeout', '0', '--token-command', f'cat {made}'))
    wait_until(lambda: any('--token-command: no token' in line for line in ping.error_lines), 'there is none yet')
    write('later', token())
    check_equal(ping.wait(60 * PATIENCE), 0, f'exit status: {ping.error_lines}')


@test
def a_command_that_goes_on_behind_its_output_holds_nobody_up(t):
    server = with_tokens(t)
    left = os.path.join(FOLDER.name, 'left')
    command = f'echo $$ > {left}; exec >&-; exec sleep 3600'
    ping = t.own(Command('ping', '--url', url_of(server.port), '-c', '1', '--timeout', '0', '--token-command', command))
    wait_until(lambda: os.path.exists(left) and open(left, encoding='ascii').read().endswith('\n'), 'the command has begun')
    ping.process.terminate()
    check_equal(ping.wait(60 * PATIENCE), 1, f'exit status: {ping.error_lines}')
    with open(left, encoding='ascii') as f:
        check(not os.path.exists(f'/proc/{f.read().strip()}'), 'the command is gone as well')


if __name__ == '__main__':
    main()
