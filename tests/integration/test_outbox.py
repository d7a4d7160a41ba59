#!/usr/bin/python3
"""A publisher whose outbox is a file dies by kill -9, again and again, beside servers that die too: nothing is lost, and nothing doubled."""
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading

from holdfast_fixture import Fixture
from holdfast_server import COMMANDS, HOLDFAST, Command, Server, kill_group, run_holdfast, start_process, url_of
from holdfast_test import DEADLINE_S, Skip, check, check_equal, check_in, main, test, wait_until

BUILD = os.path.dirname(os.path.abspath(HOLDFAST))
PUBLISHER = os.path.join(BUILD, 'examples', 'durable_publisher')
BLOCKING_PUBLISHER = os.path.join(BUILD, 'tests', 'integration', 'blocking_publisher')

on = Fixture(workers=2)
fresh = on.fresh


class Publisher(Command):
    """examples/durable_publisher under way: it publishes the numbers up to `count`, each as a message of that number."""

    def __init__(self, *arguments, wrap=()):  # pylint: disable=super-init-not-called
        self.name = 'durable_publisher'
        self.process = start_process([*wrap, PUBLISHER, *map(str, arguments)], stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.lines, self.error_lines = [], []
        self.threads = [threading.Thread(target=self.gather, args=(stream, lines), daemon=True)
                        for stream, lines in ((self.process.stdout, self.lines), (self.process.stderr, self.error_lines))]
        COMMANDS.append(self)
        for thread in self.threads:
            thread.start()

    def kill(self):
        self.process.kill()
        self.process.wait()
        for thread in self.threads:
            thread.join(5)

    def told(self, outcome):
        return {int(line.split()[1]) for line in list(self.lines) if line.startswith(outcome + ' ')}


def bytes_written(process):
    """To files and sockets, by write calls (proc(5), io)."""
    with open(f'/proc/{process.process.pid}/io', encoding='ascii') as f:
        return next(int(line.split()[1]) for line in f if line.startswith('wchar'))


def folder(t):
    name = tempfile.mkdtemp(prefix='holdfast-test-outbox-')
    t.cleanup(lambda: shutil.rmtree(name))
    return name


def outbox(t):
    return os.path.join(folder(t), 'outbox')


def published(server, channel):
    """All messages of a channel, from the oldest kept on."""
    found, since = [], None
    while True:
        answer = server.post('/api/history', {'channel': channel, 'limit': 1000, **({'since': since} if since else {})})
        found += [message['payload'] for message in answer['messages']]
        if not answer['messages']:
            return found
        since = {'epoch': answer['epoch'], 'offset': answer['messages'][-1]['offset']}


def large_server(t, **options):
    return t.own(Server(workers=2, history_messages=200000, history_bytes='256MiB', history_age='1h', segments=32, **options).start())


def kill_at_random(rng, publisher, total):
    """Kill it when it has been told a random number of results, or it has come to its end. Returns whether it has."""
    wanted = rng.choice([0, 1, rng.randrange(1, 40), rng.randrange(1, max(2, total // 12))])
    wait_until(lambda: publisher.process.poll() is not None or (len(publisher.lines) >= wanted and (wanted or publisher.error_lines)),
               f'{wanted} results, or the end', 3 * DEADLINE_S, step_s=0.001)
    if publisher.process.poll() is None:
        publisher.kill()
        return False
    check_equal(publisher.wait(), 0, 'exit status')
    return True


@test(deadline=240)
def kill_in_mid_stream(t):
    """kill -9 of the publisher, round after round, and of the workers now and then."""
    mine, room, file, total = large_server(t), fresh(), outbox(t), 12000
    rng = random.Random(4)
    acknowledged, rounds, done = set(), 0, False
    while not done:
        publisher = t.own(Publisher(url_of(mine.port), room, total, file))
        if rounds % 5 == 3:
            mine.kill_worker(mine.wait_workers()[rounds % 2])
        done = kill_at_random(rng, publisher, total)
        check_equal(publisher.told('uncertain') | publisher.told('refused'), set(), 'uncertain or refused')
        acknowledged |= publisher.told('acknowledged')
        rounds += 1
    check(rounds >= 12, f'only {rounds} rounds')
    check_equal(published(mine, room), list(range(1, total + 1)), 'the channel')
    check_equal(acknowledged - set(range(1, total + 1)), set(), 'acknowledged beyond')


@test(deadline=300)
def kill_with_the_server(t):
    """The server dies as well, and its memory with it: what it had is told as uncertain, or was acknowledged; nothing is published twice."""
    mine, room, file, total = large_server(t), fresh(), outbox(t), 8000
    rng = random.Random(11)
    seen, seen_twice, told, rounds, done = set(), [], {}, 0, False

    def look():
        now = published(mine, room)
        check_equal(now, sorted(set(now)), 'in order, none twice')
        return set(now)
    while not done:
        publisher = t.own(Publisher(url_of(mine.port), room, total, file))
        done = kill_at_random(rng, publisher, total)
        for outcome in ('acknowledged', 'uncertain', 'refused'):
            for n in publisher.told(outcome):
                told.setdefault(n, set()).add(outcome)
        rounds += 1
        if rounds % 3 == 0 and not done:
            had = look()
            seen_twice += sorted(seen & had)
            seen |= had
            kill_group(mine.process)
            mine.close()
            mine.start()
    had = look()
    seen_twice += sorted(seen & had)
    check_equal(seen_twice, [], 'published twice')
    check(rounds >= 9, f'only {rounds} rounds')
    check_equal(set(range(1, total + 1)) - set(told) - seen - had, set(), 'lost without a word')
    check_equal({n for n, outcomes in told.items() if 'refused' in outcomes}, set(), 'refused')
    # What was never told to a process that died is told to the next: only what was acknowledged may be missing, with the server's memory.
    unseen = set(range(1, total + 1)) - seen - had
    check_equal({n for n in unseen if not told.get(n)}, set(), 'neither published nor told')


@test(deadline=120)
def the_session_expires_between_two_lives(t):
    """The tombstone knows what the expired session had: no publish is uncertain, none doubled."""
    mine, room, file, total = large_server(t, session_ttl='1s'), fresh(), outbox(t), 30000
    for wanted in (1, 3000):
        publisher = t.own(Publisher(url_of(mine.port), room, total, file))
        wait_until(lambda p=publisher, n=wanted: len(p.lines) >= n, 'results', step_s=0.001)
        publisher.kill()
        wait_until(lambda: mine.metric('holdfast_sessions') == 0, 'the session has expired', 3 * DEADLINE_S)
    publisher = t.own(Publisher(url_of(mine.port), room, total, file))
    check_equal(publisher.wait(6 * DEADLINE_S), 0, 'exit status')
    check_equal(publisher.told('uncertain'), set(), 'uncertain')
    check_equal(published(mine, room), list(range(1, total + 1)), 'the channel')


@test(deadline=120)
def nobody_knows_the_session_any_more(t):
    """Another server at the same place: what may have been sent is uncertain and not sent again; the rest is sent."""
    first, room, file, total = large_server(t), fresh(), outbox(t), 30000
    publisher = t.own(Publisher(url_of(first.port), room, total, file))
    wait_until(lambda: len(publisher.lines) >= 1000, 'results', step_s=0.001)
    for pid in first.worker_pids():
        os.kill(pid, signal.SIGSTOP)
    before = bytes_written(publisher)
    wait_until(lambda: bytes_written(publisher) > before + 2 * 1024 * 1024, 'it has published and sent some more', step_s=0.001)
    publisher.kill()
    for pid in first.worker_pids():
        os.kill(pid, signal.SIGCONT)
    had = set(published(first, room))
    second = large_server(t)
    successor = t.own(Publisher(url_of(second.port), room, total, file))
    check_equal(successor.wait(6 * DEADLINE_S), 0, 'exit status')
    uncertain, sent = successor.told('uncertain'), published(second, room)
    check(len(uncertain) > 0, 'something is uncertain')
    check_equal(sorted(had & set(sent)), [], 'published twice')
    check_equal(sent, list(range(max(uncertain) + 1, total + 1)), 'the channel')
    check_equal(set(range(1, max(uncertain) + 1)) - had - uncertain, set(), 'lost without a word')


@test
def two_publishers_do_not_share_a_file(t):
    file = outbox(t)
    first = t.own(Publisher(url_of(on.server().port), fresh(), 10 ** 9, file))
    wait_until(lambda: len(first.lines) >= 10, 'results')
    second = t.own(Publisher(url_of(on.server().port), fresh(), 10, file))
    check_equal(second.wait(), 1, 'exit status')
    check('in use by another client' in second.error_lines[-1], second.error_lines)
    status, _, err = run_holdfast('pub', '--outbox', file, '--url', url_of(on.server().port), fresh(), 'x')
    check_equal(status, 1, 'exit status of pub')
    check('in use by another client' in err, err)
    first.kill()


@test
def a_file_that_is_none_is_left_alone(t):
    file = outbox(t)
    with open(file, 'w', encoding='utf-8') as f:
        f.write('dear diary\n')
    status, _, err = run_holdfast('pub', '--outbox', file, '--url', url_of(on.server().port), fresh(), 'x')
    check_equal(status, 1, 'exit status')
    check('damaged, or is none' in err, err)
    with open(file, encoding='utf-8') as f:
        check_equal(f.read(), 'dear diary\n', 'the file')


@test(deadline=120)
def a_full_disk_holds_back_and_loses_nothing(t):
    """A small file system that fills while the server is away: what was accepted is sent when it comes, and then the rest."""
    if os.geteuid() != 0:
        raise Skip('needs root for a mount namespace')
    place, room, total = folder(t), fresh(), 20000
    mine = large_server(t)
    port = mine.port
    mine.stop()
    mine.close()
    wrap = ['unshare', '--mount', 'sh', '-c', f'mount -t tmpfs -o size=8320k none {place} && exec "$@"', 'sh']
    publisher = t.own(Publisher(url_of(port), room, total, os.path.join(place, 'outbox'), wrap=wrap))
    wait_until(lambda: any('no space is left' in line for line in publisher.error_lines) or publisher.process.poll() is not None,
               'the disk is full')
    check_equal(publisher.process.poll(), None, f'it waits for room: {publisher.error_lines}')
    check_equal(publisher.lines, [], 'results')
    mine.start()
    check_equal(publisher.wait(4 * DEADLINE_S), 0, 'exit status')
    check_equal(publisher.told('acknowledged'), set(range(1, total + 1)), 'acknowledged')
    check_equal(published(mine, room), list(range(1, total + 1)), 'the channel')


@test
def pub_sends_what_an_earlier_one_left(t):
    file, room = outbox(t), fresh()
    nowhere = 'ws://127.0.0.1:9/ws'
    for n in (1, 2):
        status, _, err = run_holdfast('pub', '--json', '--outbox', file, '--timeout', '0.3', '--url', nowhere, room, str(n))
        check_equal(status, 1, 'exit status')
        check('they stay in the outbox' in err, err)
    status, _, err = run_holdfast('pub', '--json', '--outbox', file, '--url', url_of(on.server().port), room, '3')
    check_equal(status, 0, f'exit status: {err}')
    check('2 messages left in the outbox' in err, err)
    check_equal(on.payloads_of(room), [1, 2, 3], 'the channel')
    status, _, err = run_holdfast('pub', '--json', '--outbox', file, '--url', url_of(on.server().port), room, '4')
    check_in(status, [0], f'exit status: {err}')
    check_equal(on.payloads_of(room), [1, 2, 3, 4], 'the channel')


def run_blocking_publisher(*arguments):
    process = start_process([BLOCKING_PUBLISHER, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    out, _ = process.communicate(timeout=3 * DEADLINE_S)
    check_equal(process.returncode, 0, 'exit status')
    return out.decode().splitlines()


@test
def a_publish_waits_for_room(t):
    """An outbox of five: each publish that finds it full waits, each is told its own result, and in a callback nothing can wait."""
    room = fresh()
    lines = run_blocking_publisher(url_of(on.server().port), room, 300, 10000)
    check_equal(lines[:2], ['in a callback: the outbox is full, and waiting for room is not possible in a callback', 'accepted 300: success'], 'said')
    told, by_all = int(lines[2].split()[1]), int(lines[2].split()[5])
    check_equal(told, 300, 'told to the publishes themselves')
    check(by_all > told, 'those that the callback published are told as well')
    check_equal(on.payloads_of(room), ['\u00e4 "text"'] * by_all, 'the channel')


@test
def a_wait_for_room_ends(t):
    """Nobody takes anything: after outbox_block_ms, at once without it, or when hf_client_stop() says so."""
    nowhere = 'ws://127.0.0.1:9/ws'
    check_equal(run_blocking_publisher(nowhere, 'x', 10, 200)[0], 'accepted 5: timed out', 'with 200 ms')
    check('not now' in run_blocking_publisher(nowhere, 'x', 10, 0)[0], 'without waiting')
    check('accepted 5: not now' in run_blocking_publisher(nowhere, 'x', 0, 3600000)[0], 'stopped from another thread')


if __name__ == '__main__':
    main()
