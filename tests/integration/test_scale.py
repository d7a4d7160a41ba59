#!/usr/bin/python3
"""Many workers, few descriptors, bounds that hold for all workers together."""
import re

from holdfast_client import Client
from holdfast_server import Server, free_port, run_holdfast
from holdfast_test import check, check_equal, main, test, wait_until
from raw_ws import ConnectionEnded, RawWs, Refused

MANY = 64


def start(t, **options):
    return t.own(Server(**options)).start()


def workers_of(mine):
    return mine.api('GET', '/api/stats').json['workers']


def shared_kib(mine):
    """Of the memory that all processes share: what is touched, each page once."""
    kib = 0
    for pid in [mine.process.pid, *mine.worker_pids()]:
        with open(f'/proc/{pid}/smaps', encoding='utf-8', errors='replace') as f:
            for area in re.split(r'^(?=[0-9a-f]+-[0-9a-f]+ )', f.read(), flags=re.M):
                if 'memfd:holdfast' in area:
                    kib += int(re.search(r'^Pss: +(\d+)', area, re.M)[1])
    return kib


def seconds_of(mine):
    """Processor time of all its processes, and how often they were given a processor."""
    total, switches = 0, 0
    for pid in [mine.process.pid, *mine.worker_pids()]:
        with open(f'/proc/{pid}/schedstat', encoding='ascii') as f:
            total += int(f.read().split()[0]) / 1e9
        with open(f'/proc/{pid}/status', encoding='utf-8', errors='replace') as f:
            switches += sum(int(n) for n in re.findall(r'ctxt_switches:\s+(\d+)', f.read()))
    return total, switches


# Many workers

@test(deadline=180)
def many_workers_cost_little_and_reach_everybody(t):
    mine = start(t, workers=MANY)
    wait_until(lambda: sum(worker['running'] for worker in workers_of(mine)) == MANY, 'all workers run')
    # The square would be 64 * 63 * 2 rings with a page each: 32 MiB.
    check(shared_kib(mine) < 4096, f'shared memory of {MANY} idle workers: {shared_kib(mine)} KiB')
    clients = [t.own(Client(mine.port)).connect() for _ in range(3 * MANY)]
    for c in clients:
        c.subscribe('everybody', wait=True)
    homes = sum(worker['connections'] > 0 for worker in workers_of(mine))
    check(homes > MANY / 2, f'connections are spread over {homes} workers')
    for c in clients[::10]:  # From many workers to the one that owns the channel, and from there to all.
        c.publish('everybody', 'hello')
    count = len(clients[::10])
    for c in clients:
        check_equal(c.pump_count('everybody', count), ['hello'] * count, 'payloads')
    entry = mine.api('GET', '/api/channels?prefix=everybody').json['channels'][0]
    check_equal(entry['subscribers'], len(clients), 'subscribers')
    # 64 talk to one and one to 64: two rings each, of whose pages a few are touched.
    check(shared_kib(mine) < 16384, f'shared memory of {MANY} workers that talk: {shared_kib(mine)} KiB')


@test(deadline=180)
def many_idle_workers_sleep(t):
    mine = start(t, workers=MANY)
    wait_until(lambda: sum(worker['running'] for worker in workers_of(mine)) == MANY, 'all workers run')
    busy, before = seconds_of(mine)
    ended = wait_until(lambda: (lambda now: now if now[1] - before >= 3 * MANY else None)(seconds_of(mine)),
                       'the workers woke up three times each', 60)
    # A wake-up is worth some 20 microseconds; a millisecond would be a search through something large.
    check((ended[0] - busy) / (ended[1] - before) < 0.001, f'{ended[0] - busy} s of processor for {ended[1] - before} wake-ups')


def is_broken(c):
    try:
        c.settle()
        return False
    except ConnectionEnded:
        return True


@test(deadline=180)
def many_workers_die_one_after_the_other(t):
    mine = start(t, workers=8)
    clients = [t.own(Client(mine.port)).connect() for _ in range(48)]
    for c in clients:
        c.subscribe('everybody', wait=True)
    for turn in range(4):
        before = mine.worker_pids()
        largest = max(workers_of(mine), key=lambda worker: worker['connections'])
        home = largest['pid']
        mine.kill_worker(home)
        broken = [c for c in clients if is_broken(c)]
        check_equal(len(broken), largest['connections'], 'connections that broke')
        for c in broken:
            c.reconnect()
            check_equal(c.welcome['resumed'], True, 'resumed')
        mine.wait_workers(without=[home])
        check_equal(len(set(before) - set(mine.worker_pids())), 1, 'one worker was replaced')
        mine.publish('everybody', turn)
        for c in clients:
            check_equal(c.pump_count('everybody', turn + 1), list(range(turn + 1)), 'payloads')
        wait_until(lambda: mine.api('GET', '/api/channels?prefix=everybody').json['channels'][0]['subscribers'] == len(clients),
                   'each subscriber is counted once')


# Bounds

@test(deadline=120)
def the_bound_on_sessions_is_one_for_all_workers(t):
    # A sixteenth of all would be a worker's slice.
    mine = start(t, workers=16, session_max=64, session_ttl='300ms')
    clients, refused = [], 0
    while refused < 20:
        c = t.own(Client(mine.port))
        try:
            clients.append(c.connect())
        except Refused as answer:
            check_equal(answer.response.status, 503, 'status of the refusal')
            refused += 1
        check(len(clients) <= 64 + 16 * 16, 'the bound is enforced')
    check(len(clients) >= 64, f'sessions before the first refusal: {len(clients)}')
    check_equal(int(mine.metrics()['holdfast_sessions']), len(clients), 'holdfast_sessions')
    for c in clients:
        c.cut()
    wait_until(lambda: mine.metrics()['holdfast_sessions'] == 0, 'they expire')
    check_equal(mine.metrics()['holdfast_sessions_waiting'], 0, 'holdfast_sessions_waiting')
    t.own(Client(mine.port)).connect().settle()


@test(deadline=120)
def a_full_worker_leaves_new_connections_to_the_others(t):
    # With 300 descriptors and 4 workers there is room for 195 connections each; from 183 on a worker is full. The kernel's hash alone would give one of
    # them more than that long before all have as many.
    mine = start(t, workers=4, descriptors=300, echo=True)
    for _ in range(725):
        t.own(RawWs.open(mine.port, path='/echo'))
    each = [worker['connections'] for worker in workers_of(mine)]
    check_equal(sum(each), 725, 'connections')
    check(max(each) <= 195, f'connections of each worker: {each}')
    check(mine.metrics()['holdfast_workers_full_total'] >= 1, 'it is counted')
    check('event=worker_full' in mine.log(), 'it is logged')
    # A worker that is replaced has room again, and gets some.
    full = max(workers_of(mine), key=lambda worker: worker['connections'])['pid']
    mine.kill_worker(full)
    mine.wait_workers(without=[full])
    for _ in range(100):
        t.own(RawWs.open(mine.port, path='/echo'))


# How many workers

def refusal(*arguments, descriptors=None):
    status, _, err = run_holdfast('serve', '--listen', f'127.0.0.1:{free_port()}', '--api', f'127.0.0.1:{free_port()}', *arguments,
                                  descriptors=descriptors)
    check_equal(status, 2, f'exit status ({err!r})')
    check_equal(len(err.splitlines()), 1, f'lines: {err!r}')
    return err


@test
def workers_auto_starts_as_many_as_it_takes(t):
    mine = t.own(Server(workers='auto', descriptors=400, connections_max=1500)).start()
    told = refusal('--workers', '2', '--set', 'limits.connections=1500', descriptors=400)
    needed = int(re.search(r'start (\d+) workers', told)[1])
    check_equal(len(workers_of(mine)), needed, 'workers')
    check(needed > 4, f'workers: {needed}')


@test
def what_is_missing_is_told(t):
    told = refusal('--workers', '2', '--set', 'limits.connections=1500', descriptors=400)
    enough = int(re.search(r'descriptors to (\d+)', told)[1])
    mine = t.own(Server(workers=2, descriptors=enough, connections_max=1500)).start()
    check_equal(len(workers_of(mine)), 2, 'workers with as many descriptors as were told')
    check('limit on descriptors' in refusal('--set', 'limits.connections=1000000', descriptors=400), 'the limit is named')
    check('start fewer workers' in refusal('--workers', '100', descriptors=200), 'sockets of many workers')


if __name__ == '__main__':
    main()
