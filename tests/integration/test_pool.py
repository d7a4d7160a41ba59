#!/usr/bin/python3
"""
The pool and the threaded client (programs of tests/threads) against a real server, from many threads, while workers are killed, the server is
restarted and sessions are ended: nothing lost, nothing doubled, order per key holds. Once more under ThreadSanitizer where it is built.
"""
import asyncio
import base64
import collections
import json
import os
import subprocess
import threading

import websockets

from fault_proxy import UP, FaultProxy
from holdfast_server import Command, Server, free_port, start_process, url_of
from holdfast_test import DEADLINE_S, PATIENCE, Skip, check, check_equal, fail, main, test, wait_until

THREADS, KEYS, MEMBERS = 6, 5, 3
CHANNEL = 'pool'


def much_randomised():
    """gcc 12's ThreadSanitizer does not know the layouts that a kernel makes which randomises more bits of addresses than was usual."""
    try:
        with open('/proc/sys/vm/mmap_rnd_bits', encoding='ascii') as f:
            return int(f.read()) > 28
    except OSError:
        return False


class Program(Command):
    """A program of tests/threads under way; tsan: the one built for ThreadSanitizer."""

    def __init__(self, program, *arguments, tsan=False):
        path = os.environ.get(f'HF_{program.upper()}{"_TSAN" if tsan else ""}')
        if not path:
            raise Skip('no ThreadSanitizer in this build' if tsan else f'no program {program} (run by Meson)')
        self.path = path
        self.tsan = tsan
        super().__init__(program, *[str(a) for a in arguments], stdin=subprocess.PIPE)

    def launch(self, arguments, **options):
        environment = {**os.environ, 'TSAN_OPTIONS': 'halt_on_error=0:exitcode=66'}
        prefix = ['setarch', '--addr-no-randomize'] if self.tsan and much_randomised() else []
        return start_process([*prefix, self.path, *arguments[1:]], env=environment, **options)

    def order(self, line, answer, fits=lambda line: True, deadline_s=DEADLINE_S):
        """Give an order and wait for the line that begins with `answer` and fits; returns that."""
        begun = len(self.lines)
        self.write(f'{line}\n'.encode())
        return wait_until(lambda: next((got for got in self.lines[begun:] if got.startswith(answer) and fits(got)), None) or self.gone(),
                          f'{self.name} answers {line!r}', deadline_s)

    def gone(self):
        if self.process.poll() is not None and 'fault' in ' '.join(self.lines):
            fail(f'{self.name} found a fault: {self.lines[-3:]}')
        return None

    def finish(self, deadline_s):
        status = self.wait(deadline_s)
        races = [line for line in self.error_lines if 'ThreadSanitizer' in line]
        check_equal(races[:3], [], f'what ThreadSanitizer says: {self.error_lines[:40] if races else ""}')
        check_equal(status, 0, f'exit status of {self.name} (output {self.lines[-3:]}, stderr {self.error_lines[-5:]})')


def value_of(message):
    """What a message says; each fourth one of a pool's is bytes, which are that JSON."""
    value = message['payload'] if 'payload' in message else json.loads(base64.b64decode(message['payloadBase64']))
    check_equal('payload' not in message, value['n'] % 4 == 3, f'{message} is bytes')
    return value


class Pool(Program):
    """pool_load; what it published and what must have arrived is counted here."""

    def __init__(self, url, *more, members=MEMBERS, threads=THREADS, keys=KEYS, tsan=False):
        super().__init__('pool_load', url, CHANNEL, members, threads, keys, *more, tsan=tsan)
        self.threads_count, self.keys_count, self.each = threads, keys, 0
        self.members = members

    def publish(self, each):
        self.order(f'publish {each}', 'publishing')
        self.each += each

    @property
    def count(self):
        return self.each * self.threads_count * self.keys_count

    def settle(self, deadline_s=60 * PATIENCE):
        """All have their results: (acked, refused, uncertain)."""
        words = self.order('settle', 'settled', deadline_s=deadline_s).split()
        return tuple(int(n) for n in words[2::2])

    def statistics(self):
        """One dictionary for each member, and that for all."""
        self.order('statistics', 'all')
        tables = [line.split() for line in self.lines if line.startswith(('member', 'all '))][-1 - self.members:]
        tables = [dict(zip(words[1::2], map(int, words[2::2]))) for words in tables]
        return tables[:-1], tables[-1]

    def sessions(self):
        """The ids of all sessions so far, each once."""
        return list(dict.fromkeys(line.split()[2] for line in self.lines if line.startswith('session ')))

    def told_uncertain(self):
        payloads = [json.loads(line.partition(' ')[2]) for line in self.lines if line.startswith('uncertain ')]
        return {(payload['key'], payload['n']) for payload in payloads}

    def close_it(self):
        self.write(b'close\n')
        self.finish(60 * PATIENCE)


class Subscriber:
    """`holdfast sub` with the keys and numbers of what arrived."""

    def __init__(self, t, server):
        self.command = t.own(Command('sub', '--url', url_of(server.port), '--json', CHANNEL))
        wait_until(lambda: any(entry['channel'] == CHANNEL and entry['subscribers'] > 0
                               for entry in server.api('GET', f'/api/channels?prefix={CHANNEL}').json['channels']), 'sub has subscribed')

    @property
    def got(self):
        return len(self.command.lines)

    def by_key(self):
        numbers = collections.defaultdict(list)
        for line in self.command.lines:
            payload = value_of(json.loads(line))
            numbers[payload['key']].append(payload['n'])
        return numbers

    def check_all(self, pool, deadline_s=60 * PATIENCE):
        """Each key's messages have come, every one once and in order."""
        try:
            wait_until(lambda: self.got >= pool.count, f'{pool.count} messages', deadline_s, step_s=0.05)
        finally:
            numbers = self.by_key()
            for key in sorted(numbers):
                check_ascending(key, numbers[key])
        check_equal(len(numbers), pool.threads_count * pool.keys_count, 'keys')
        for key, got in numbers.items():
            check_equal(len(got), pool.each, f'messages of {key}')
        gaps = [line for line in self.command.error_lines if 'gap' in line.lower()]
        check_equal(gaps, [], 'gaps')


def check_ascending(key, numbers):
    at = next((n for n in range(1, len(numbers)) if numbers[n] <= numbers[n - 1]), None)
    check(at is None, f'order of {key}: {numbers[max(0, (at or 0) - 3):(at or 0) + 3]}')


def start(t, **options):
    return t.own(Server(**{'workers': 3, 'history_messages': 100000, 'history_bytes': '64MiB', **options})).start()


def publish_while_workers_die(mine, pool, sub, rounds, each):
    """In each round a share is published and, when it has begun to arrive, the next worker killed."""
    for n in range(rounds):
        before = pool.count
        pool.publish(each)
        wait_until(lambda: sub.got > before, 'a message of this round', 60 * PATIENCE, step_s=0.001)
        mine.kill_worker(mine.wait_workers(deadline_s=30 * PATIENCE)[n % mine.workers])


@test(deadline=60)
def keys_keep_their_order_and_members_share(t):
    mine = start(t)
    sub = Subscriber(t, mine)
    pool = t.own(Pool(url_of(mine.port)))
    pool.publish(200)
    check_equal(pool.settle(), (pool.count, 0, 0), 'results')
    sub.check_all(pool)
    members, everything = pool.statistics()
    check_equal(len(members), MEMBERS, 'members')
    check_equal((everything['connected'], everything['acknowledged'], everything['queued']), (MEMBERS, pool.count, 0), f'sums of {everything}')
    check_equal(sum(m['published'] for m in members), pool.count, 'published by the members')
    check(all(m['published'] > pool.count / 20 for m in members), f'every member has its share: {members}')
    check_equal(mine.metric('holdfast_sessions'), MEMBERS + 1, 'sessions at the server')
    pool.close_it()
    wait_until(lambda: mine.metric('holdfast_sessions') == 1, 'the sessions have ended')


@test(deadline=200)
def workers_are_killed_meanwhile(t):
    mine = start(t)
    sub = Subscriber(t, mine)
    pool = t.own(Pool(url_of(mine.port)))
    publish_while_workers_die(mine, pool, sub, 8, 300)
    check_equal(pool.settle(120 * PATIENCE), (pool.count, 0, 0), 'results')
    sub.check_all(pool)
    check(pool.statistics()[1]['reconnects'] >= MEMBERS, f'members were cut off: {pool.statistics()[1]}')
    pool.close_it()


@test(deadline=200)
def the_server_is_away_and_comes_back(t):
    """What is published while nothing is connected waits, in the outboxes and the queue; the sessions begin anew."""
    mine = start(t)
    sub = Subscriber(t, mine)
    pool = t.own(Pool(url_of(mine.port)))
    pool.publish(50)
    check_equal(pool.settle(), (pool.count, 0, 0), 'results')
    sub.check_all(pool)
    mine.stop()
    before = pool.each
    wait_until(lambda: pool.statistics()[1]['connected'] == 0, 'all members have noticed')
    pool.publish(300)  # in all far more than the queue takes
    waiting = wait_until(lambda: (lambda s: s if s['queued'] == 100 else None)(pool.statistics()[1]), 'the queue is full')
    check_equal(waiting['published'], before * THREADS * KEYS, 'given to members while nothing is connected')
    mine.close()
    mine.start()
    check_equal(pool.settle(120 * PATIENCE), (pool.count, 0, 0), 'results')
    wait_until(lambda: sub.got >= pool.count, f'{pool.count} messages', 60 * PATIENCE, step_s=0.05)
    for key, numbers in sub.by_key().items():
        check_equal(numbers, list(range(pool.each)), f'numbers of {key}')
    pool.close_it()


@test(deadline=200)
def the_server_is_killed_in_mid_stream(t):
    """Its memory is gone, and with it what it had not told: nothing is doubled, order holds, and each publish has one result."""
    mine = start(t)
    sub = Subscriber(t, mine)
    pool = t.own(Pool(url_of(mine.port)))
    pool.publish(2000)
    wait_until(lambda: sub.got >= pool.count // 4, 'a quarter has arrived', 60 * PATIENCE)
    mine.close()
    mine.start()
    acked, refused, uncertain = pool.settle(120 * PATIENCE)
    check_equal((acked + uncertain, refused), (pool.count, 0), 'results')
    numbers = sub.by_key()
    for key in numbers:
        check_ascending(key, numbers[key])
    check_equal(len(pool.told_uncertain()), uncertain, 'uncertain ones that were told')
    # What came after the restart is complete: from each key's first such number on there is no hole.
    last = mine.post('/api/history', {'channel': CHANNEL, 'limit': 1000, 'reverse': True})['messages']
    told = pool.told_uncertain()
    tails = collections.defaultdict(list)
    for message in reversed(last):
        tails[value_of(message)['key']].append(value_of(message)['n'])
    for key, tail in tails.items():
        missing = [n for n in range(tail[0], pool.each) if n not in set(tail) and (key, n) not in told]
        check_equal(missing, [], f'acknowledged messages of {key} that the new server does not have')
    pool.close_it()


@test(deadline=200)
def connections_are_cut(t):
    mine = start(t)
    sub = Subscriber(t, mine)
    proxy = t.own(FaultProxy(mine.port, seed=61))
    proxy.cut_each((1000, 100000), how='mix', direction=UP, times=12)
    pool = t.own(Pool(url_of(proxy.port)))
    pool.publish(500)
    check_equal(pool.settle(150 * PATIENCE), (pool.count, 0, 0), 'results')
    sub.check_all(pool)
    check(proxy.cuts >= 6, f'connections were cut: {proxy.cuts}')
    pool.close_it()


def end_sessions(t, each, tsan=False):
    """The backend ends sessions in mid-stream: others take their places, and take over what was not sent."""
    mine = start(t)
    sub = Subscriber(t, mine)
    pool = t.own(Pool(url_of(mine.port), tsan=tsan))
    pool.publish(each)
    for n in range(4):
        sessions = wait_until(lambda: (lambda found: found if len(found) > n else None)(pool.sessions()), f'session {n}', 60 * PATIENCE)
        wait_until(lambda: sub.got >= n * pool.count // 6, f'{n} of 6 parts have arrived', 60 * PATIENCE)
        mine.post('/api/disconnect', {'session': sessions[n]})
        wait_until(lambda: sum(line.startswith('ended ') for line in pool.lines) > n, 'the pool has noticed', 60 * PATIENCE)
    acked, refused, uncertain = pool.settle(150 * PATIENCE)
    check_equal((acked + uncertain, refused), (pool.count, 0), 'results')
    # An uncertain one has come or not; each other one has.
    told = pool.told_uncertain()
    wait_until(lambda: sub.got >= acked, f'{acked} messages', 60 * PATIENCE)
    for key, numbers in sub.by_key().items():
        check_ascending(key, numbers)
        check_equal([n for n in range(pool.each) if n not in set(numbers) and (key, n) not in told], [], f'missing of {key}')
    wait_until(lambda: pool.statistics()[1]['replaced'] >= 4, 'sessions were replaced')
    pool.order('answered', 'answered ', deadline_s=60 * PATIENCE)
    pool.close_it()


@test(deadline=200)
def members_whose_session_is_ended_are_replaced(t):
    end_sessions(t, 1000)


class Forgetful:
    """
    A stand-in for a server. Its first session takes `swallowed` publishes without a word, and is then ended as the backend ends one; those that
    follow answer each publish.
    """

    def __init__(self, swallowed):
        self.swallowed, self.port = swallowed, free_port()
        self.seen = []  # for each session: its publishes
        self.loop = asyncio.new_event_loop()
        self.listening = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        check(self.listening.wait(DEADLINE_S), 'the stand-in listens')

    def run(self):
        async def serve():
            self.ended = asyncio.Event()
            async with websockets.serve(self.serve_one, '127.0.0.1', self.port, subprotocols=['holdfast.v1.json']):
                self.listening.set()
                await self.ended.wait()
        self.loop.run_until_complete(serve())

    def close(self):
        self.loop.call_soon_threadsafe(lambda: self.ended.set())
        self.thread.join(DEADLINE_S)

    async def serve_one(self, ws, _path=None):
        number = len(self.seen)
        self.seen.append([])
        await ws.send(json.dumps({
            'type': 'welcome', 'session': f's{number}', 'ticket': f't{number}', 'resumed': False, 'lastSeq': None, 'ttl': 120000, 'serverId': 'x',
            'serverTime': 0, 'heartbeat': {'interval': 25000, 'min': 10000, 'max': 60000}, 'lossSpread': 0, 'maxMessage': 65536, 'address': '127.0.0.1',
            'channels': []}))
        async for text in ws:
            message = json.loads(text)
            await self.answer(ws, number, message)
            if number == 0 and len(self.seen[0]) == self.swallowed:
                await ws.close(4003)
                return

    async def answer(self, ws, number, message):
        answers = {'ping': {'type': 'pong', 'id': message.get('id'), 'serverTime': 0, 'serverId': 'x'},
                   'subscribe': {'type': 'subscribed', 'channel': message.get('channel'), 'epoch': 'e', 'offset': 0, 'recovered': True},
                   'unsubscribe': {'type': 'unsubscribed', 'channel': message.get('channel')}}
        if message['type'] == 'data':
            self.seen[number].append((message['seq'], value_of(message)['n']))
            if number > 0:
                await ws.send(json.dumps({'type': 'ack', 'seq': message['seq'], 'offsets': [message['seq']]}))
        elif message['type'] == 'bye':
            await ws.close(1000)
        elif message['type'] in answers:
            await ws.send(json.dumps(answers[message['type']]))


@test(deadline=100)
def what_an_ended_session_may_have_got_is_told_and_not_repeated(t):
    """A thousand are on their way, as many as the window takes, when the session is ended; the rest goes on with the next session, in order."""
    stand_in = t.own(Forgetful(1000))
    pool = t.own(Pool(url_of(stand_in.port), members=1, threads=1, keys=1))
    pool.publish(3000)
    check_equal(pool.settle(), (2000, 0, 1000), 'acked, refused, uncertain')
    check_equal(pool.told_uncertain(), {('0-0', n) for n in range(1000)}, 'those that are uncertain')
    check_equal(stand_in.seen[1], [(n - 999, n) for n in range(1000, 3000)], 'what the second session got')
    check_equal(pool.statistics()[1]['replaced'], 1, 'sessions replaced')
    pool.close_it()


@test(deadline=100)
def channels_go_on_when_their_members_session_is_ended(t):
    mine = start(t)
    pool = t.own(Pool(url_of(mine.port), members=3, threads=1, keys=1))
    channels = [f'room-{n}' for n in range(6)]
    for channel in channels:
        pool.order(f'subscribe {channel}', f'subscribed {channel}')
    for n in range(300):
        for channel in channels:
            mine.publish(channel, n)
        if n in (50, 100, 150):
            ended = pool.sessions()[n // 50 - 1]
            mine.post('/api/disconnect', {'session': ended})
    want = {channel: [(n + 1, str(n)) for n in range(300)] for channel in channels}

    def got():
        found = {channel: [] for channel in channels}
        for line in list(pool.lines):
            if line.startswith('message '):
                _, channel, offset, payload = line.split(' ', 3)
                found[channel].append((int(offset), payload))
        return found
    wait_until(lambda: all(len(messages) >= 300 for messages in got().values()), 'all messages', 30 * PATIENCE, step_s=0.1)
    check_equal(got(), want, 'messages')
    check_equal([line for line in pool.lines if line.startswith('gap')], [], 'gaps')
    check_equal(pool.statistics()[1]['replaced'], 3, 'sessions replaced')
    pool.order(f'unsubscribe {channels[0]}', f'unsubscribed {channels[0]}')
    pool.order(f'unsubscribe {channels[0]}', f'problem {channels[0]} not_found')
    pool.order(f'subscribe {channels[1]}', f'problem {channels[1]} exists')
    pool.order(f'subscribe {channels[0]}', f'subscribed {channels[0]}')
    pool.close_it()


def newest(pool, order, channel):
    """Ask for history, and wait for this channel's answer: its words behind the number."""
    return pool.order(order, ('history ', 'history refused'), lambda line: channel in line or 'refused' in line).split(' ', 2)[2]


@test(deadline=100)
def states_history_and_pings_come_through_a_pool(t):
    mine = start(t)
    for n in range(5):
        mine.publish('room', n)
    pool = t.own(Pool(url_of(mine.port)))
    wait_until(lambda: len(pool.sessions()) == MEMBERS, 'all members are connected')
    for member in range(MEMBERS):
        told = [line for line in pool.lines if line.split(' ')[:2] in (['state', str(member)], ['session', str(member)])]
        check_equal(told[:2], [f'state {member} waiting connecting started', f'state {member} connecting live welcomed'], f'states of member {member}')
        check(told[2].startswith(f'session {member} '), f'the state comes before what else is told of it: {told}')
    wait_until(lambda: all(any(line.startswith(f'caught {member} ') for line in pool.lines) for member in range(MEMBERS)), 'all have caught up')
    for _ in range(MEMBERS + 1):  # each member is asked once
        check_equal(newest(pool, 'history room 3', ' room '), 'room ok 4 3 2', 'the newest three')
    check_equal(newest(pool, 'history nobody 3', ' nobody '), 'nobody ok', 'history of a channel that is not there')
    check_equal(pool.order('history room 1001', 'history refused'), 'history refused: invalid argument', 'too much at once')
    check_equal(pool.order(f'ping {MEMBERS}', 'pong refused'), 'pong refused: invalid argument', 'no such member')
    pool.order('ping 1', 'pong 1 ')
    mine.post('/api/disconnect', {'session': next(line.split()[2] for line in pool.lines if line.startswith('session 1 '))})
    wait_until(lambda: 'state 1 live ended ended_by_server' in pool.lines, 'the end of its session is a state')
    pool.order('ping 1', 'pong 1 ', deadline_s=60 * PATIENCE)  # by the next session
    check_equal(pool.lines.count('state 1 waiting connecting started'), 2, 'its second session began anew')
    for pid in mine.worker_pids():
        mine.kill_worker(pid)
    wait_until(lambda: all(any(line.startswith(f'state {member} live waiting ') for line in pool.lines) for member in range(MEMBERS)), 'all have lost theirs')
    pool.order('history room 1', 'history ', deadline_s=60 * PATIENCE)
    wait_until(lambda: all([line for line in pool.lines if line.startswith(f'state {member} ')][-1].endswith(' live welcomed') for member in range(MEMBERS)),
               'all are back', 60 * PATIENCE)
    pool.order('answered', 'answered ')
    pool.close_it()
    check_equal([line for line in pool.lines if ' closing closed' in line], [f'state {member} live closing closed' for member in range(MEMBERS)], 'goodbyes')


@test(deadline=100)
def history_and_pings_wait_for_a_connection(t):
    mine = start(t)
    pool = t.own(Pool(url_of(mine.port)))
    wait_until(lambda: len(pool.sessions()) == MEMBERS, 'all members are connected')
    mine.stop()
    wait_until(lambda: pool.statistics()[1]['connected'] == 0, 'all members have noticed')
    before = len(pool.lines)
    pool.write(b'history room 2\nping 2\n')
    pool.statistics()
    check_equal([line for line in pool.lines[before:] if line.startswith(('history', 'pong'))], [], 'answers without a connection')
    mine.close()
    mine.start()
    for answer in ('history ', 'pong 2 '):
        wait_until(lambda: any(line.startswith(answer) for line in pool.lines[before:]), f'{answer}after the server is back', 60 * PATIENCE)
    pool.close_it()


class Deaf(Forgetful):
    """
    The first session that is asked for the history of `room` gives no answer, and is closed with this code: at once, or when it has been pinged as well, which
    it does not answer either. The others answer.
    """

    def __init__(self, code, at='history'):
        self.code, self.at, self.asked, self.pings = code, at, [], 0
        super().__init__(-1)

    async def answer(self, ws, number, message):
        is_ping = message['type'] == 'ping' and str(message.get('id')).startswith('r')
        if is_ping and self.at == 'ping' and self.asked == [number]:
            self.pings += 1
            await ws.close(self.code)
        elif message['type'] != 'history':
            await super().answer(ws, number, message)
        else:
            await self.answer_history(ws, number, message)

    async def answer_history(self, ws, number, message):
        if message['channel'] == 'room':
            self.asked.append(number)
            if len(self.asked) == 1:
                if self.at == 'history':
                    await ws.close(self.code)
                return
        await ws.send(json.dumps({'type': 'history', 'id': message['id'], 'channel': message['channel'], 'epoch': 'e', 'offset': 1, 'messages': [
            {'type': 'data', 'channel': message['channel'], 'epoch': 'e', 'offset': 1, 'id': 'e-1', 'timestamp': 1, 'payload': f'from {number}'}]}))


@test(deadline=60)
def history_is_asked_of_another_member_where_a_connection_breaks(t):
    stand_in = t.own(Deaf(1011))
    pool = t.own(Pool(url_of(stand_in.port), members=2, threads=1, keys=1))
    wait_until(lambda: len(pool.sessions()) == 2, 'both members are connected')
    answer = newest(pool, 'history room 1', ' room ')
    first, second = stand_in.asked[:2]
    check_equal(second, 1 - first, 'who was asked next')
    check_equal(answer, f'room ok "from {second}"', 'the answer')
    # The one that was cut off asks again when it is back, and its answer is not told a second time.
    wait_until(lambda: len(stand_in.asked) == 3, 'the first one has asked again', 60 * PATIENCE)
    pool.order('ping 0', 'pong 0 ')
    pool.order('ping 1', 'pong 1 ')
    check_equal(sum(' room ' in line for line in pool.lines), 1, 'answers that were told')
    pool.close_it()


@test(deadline=60)
def what_an_ended_session_was_asked_its_successor_answers(t):
    """The onlooker of pool_load pings all the time."""
    stand_in = t.own(Deaf(4003, at='ping'))
    pool = t.own(Pool(url_of(stand_in.port), members=1, threads=1, keys=1))
    wait_until(lambda: len(pool.sessions()) == 1, 'the member is connected')
    check_equal(newest(pool, 'history room 1', ' room '), 'room ok "from 1"', 'the answer')
    check_equal(stand_in.asked, [0, 1], 'who was asked')
    check_equal(stand_in.pings, 1, 'pings without an answer of the first session')
    pool.order('answered', 'answered ')
    pool.close_it()


@test(deadline=60)
def several_urls_are_used_and_a_dead_one_is_left(t):
    mine = start(t)
    sub = Subscriber(t, mine)
    # The second answers 404, which no repetition changes: its member's session ends, and the next is made elsewhere.
    pool = t.own(Pool(url_of(mine.port), url_of(mine.port), f'ws://127.0.0.1:{mine.port}/nowhere'))
    pool.publish(100)
    check_equal(pool.settle(), (pool.count, 0, 0), 'results')
    sub.check_all(pool)
    check(pool.statistics()[1]['replaced'] >= 1, f'a session was replaced: {pool.statistics()[1]}')
    check_equal(pool.statistics()[1]['connected'], MEMBERS, 'connected')
    pool.close_it()


@test(deadline=30)
def bad_options_are_refused(t):
    for arguments in ((url_of(1), CHANNEL, 0, 1, 1), (url_of(1), CHANNEL, 65, 1, 1), ('http://x', CHANNEL, 1, 1, 1),
                      (url_of(1), CHANNEL, 1, 1, 1, url_of(1), 'nonsense')):
        program = t.own(Program('pool_load', *arguments))
        check_equal(program.wait(), 2, f'exit status with {arguments}')
        check_equal(program.error_lines, ['pool_load: invalid argument'], f'what is said of {arguments}')


def threaded(t, mine, messages, kills, tsan=False):
    client = t.own(Program('threaded_load', url_of(mine.port), 'threaded', 6, messages, tsan=tsan))
    if kills:
        wait_until(lambda: 'half' in client.lines or client.process.poll() is not None, 'half of all has come', 100 * PATIENCE)
        for pid in mine.worker_pids():
            mine.kill_worker(pid)
    client.finish(150 * PATIENCE)


@test(deadline=120)
def a_threaded_client_is_used_by_many(t):
    threaded(t, start(t), 3000, kills=False)


@test(deadline=200)
def a_threaded_client_outlives_the_workers(t):
    threaded(t, start(t), 15000, kills=True)


@test(deadline=200)
def no_race_in_a_threaded_client(t):
    threaded(t, start(t), 3000, kills=True, tsan=True)


@test(deadline=200)
def no_race_in_a_pool(t):
    mine = start(t)
    sub = Subscriber(t, mine)
    pool = t.own(Pool(url_of(mine.port), tsan=True))
    publish_while_workers_die(mine, pool, sub, 4, 50)
    check_equal(pool.settle(120 * PATIENCE), (pool.count, 0, 0), 'results')
    sub.check_all(pool)
    pool.order('answered', 'answered ', deadline_s=60 * PATIENCE)
    pool.close_it()


@test(deadline=200)
def no_race_where_sessions_are_replaced(t):
    end_sessions(t, 600, tsan=True)


if __name__ == '__main__':
    main()
