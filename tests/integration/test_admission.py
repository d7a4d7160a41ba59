#!/usr/bin/python3
"""Admission and limits: who comes in when there are too many, what the others are told, and that nobody is cut who is in."""
import json
import resource
import time

from holdfast_client import Client
from holdfast_fixture import expect
from holdfast_server import Command, Server, free_port, url_of
from holdfast_test import DEADLINE_S, Skip, check, check_equal, main, test, wait_until
from raw_ws import CONTINUATION, TEXT, ConnectionEnded, RawWs, Wire, frame, upgrade_request

JSON = ['holdfast.v1.json']


def start(t, **options):
    return t.own(Server(**options)).start()


def refused(server, cause):
    return int(server.metrics()[f'holdfast_handshakes_refused_total{{cause="{cause}"}}'])


def knock(t, server, protocols=(), headers=(), **options):
    """One handshake: (the connection, its answer)."""
    ws = t.own(RawWs(server.port, **options))
    response = ws.upgrade('/ws', [*JSON, *protocols], headers)
    if response.status != 101:
        ws.close()
    return ws, response


def check_busy(response, status=503, code='overloaded'):
    check_equal(response.status, status, 'status')
    check_equal(json.loads(response.body)['code'], code, 'code')
    check(1 <= int(response.headers['retry-after']) <= 61, f'Retry-After: {response.headers}')


def session(t, server, **options):
    """A connection with its session's ticket."""
    ws, response = knock(t, server, **options)
    check_equal(response.status, 101, 'status')
    return ws, expect(ws, 'welcome')


# The rate

@test
def too_many_are_told_when_to_come(t):
    server = start(t, workers=2, admission_rate=10, admission_burst=20)
    answers = [knock(t, server)[1] for _ in range(60)]
    inside = [one for one in answers if one.status == 101]
    outside = [one for one in answers if one.status != 101]
    # New ones have 30 % of the burst, and an eighth of the rest.
    check(7 <= len(inside) <= 40, f'{len(inside)} of 60 came in at 10 a second with a burst of 20')
    for one in outside:
        check_busy(one)
    waits = [int(one.headers['retry-after']) for one in outside]
    # 7 a second of the rate are for resumes: the line of the others moves at 3.
    check(max(waits) >= len(outside) / 3 / 2, f'they are spread by the length of the line: {waits}')
    check_equal(refused(server, 'rate'), len(outside), 'counted by cause')
    wait_until(lambda: 'event=handshakes_refused cause=rate' in server.log(), 'it is in the log')
    wait_until(lambda: knock(t, server)[1].status == 101, 'later the others come in')


@test
def resumes_come_first(t):
    server = start(t, workers=2, admission_rate=100, admission_burst=100)
    tickets = []

    def have_sixty():
        ws, response = knock(t, server)
        if response.status == 101:
            tickets.append(expect(ws, 'welcome')['ticket'])
            ws.rst()
        return len(tickets) == 60
    wait_until(have_sixty, '60 sessions', step_s=0.005)
    wait_until(lambda: server.metric('holdfast_connections') == 0, 'all have gone')
    # The others have just taken all that they can get: of the 70 tokens for resumes an eighth, so that 61 are left.
    began, new, resumed = time.monotonic(), 0, 0
    for ticket in tickets:
        for _ in range(4):
            new += knock(t, server)[1].status == 101
        resumed += knock(t, server, [f'hf.resume.{ticket}'])[1].status == 101
    took = time.monotonic() - began
    check_equal(resumed, 60, 'resumes that came in, among four times as many others')
    check(new + resumed <= 101 + 100 * took, f'{new} of 240 others came in within {took:.2f} s')


@test
def a_made_up_ticket_is_no_resume(t):
    server = start(t, workers=1, admission_rate=10, admission_burst=100)
    ticket = 'A' * len(session(t, server)[1]['ticket'])
    inside = sum(knock(t, server, [f'hf.resume.{ticket}'])[1].status == 101 for _ in range(120))
    # New ones have 30 tokens, and of the 70 others an eighth.
    check(35 <= inside <= 60, f'{inside} came in')


@test
def browsers_are_told_within_the_websocket(t):
    server = start(t, workers=1, admission_rate=1, admission_burst=2)
    while knock(t, server)[1].status == 101:
        pass
    before = refused(server, 'rate')
    ws, response = knock(t, server, headers=[('Origin', 'https://example.com')])
    check_equal(response.status, 101, 'a browser sees nothing but a 101')
    message = ws.recv_json()
    check_equal((message['type'], message['code']), ('reconnect', 'overloaded'), 'what it is told')
    least, most = message['after']
    check(1000 <= least < most <= 62000, f'the window: {message}')
    ws.expect_closed_whole(1013)
    check_equal(refused(server, 'rate'), before + 1, 'it is counted')
    wait_until(lambda: server.metric('holdfast_connections') <= 2, 'and is no connection')


@test
def our_client_comes_back_when_it_is_told(t):
    server = start(t, workers=1, admission_rate=1, admission_burst=2)
    while knock(t, server)[1].status == 101:
        pass
    before = refused(server, 'rate')
    command = t.own(Command('sub', '--url', url_of(server.port), 'room'))
    began = time.monotonic()

    def arrived():
        return server.metric('holdfast_subscriptions') == 1
    wait_until(arrived, 'it comes in', DEADLINE_S * 4)
    tries, took = refused(server, 'rate') - before, time.monotonic() - began
    check(tries <= 1 + took, f'{tries} refusals in {took:.1f} s')
    server.publish('room', 'hello')
    wait_until(lambda: any('hello' in line for line in command.lines), 'and gets its message')


@test
def the_loss_spread_is_connections_by_rate(t):
    server = start(t, workers=2, admission_rate=100, admission_burst=1000)
    for _ in range(30):
        _, welcome = session(t, server)
    check(280 <= welcome['lossSpread'] <= 320, f'30 connections at 100 a second: {welcome["lossSpread"]} ms')


# Connections

@test
def connections_of_all_workers_are_limited(t):
    server = start(t, workers=2, connections_max=20)
    inside = [session(t, server)[0] for _ in range(20)]
    for _ in range(10):
        check_busy(knock(t, server)[1], code='limit')
    check_equal(refused(server, 'connections'), 10, 'counted by cause')
    inside.pop().close()
    wait_until(lambda: knock(t, server)[1].status == 101, 'one goes, another comes')


@test
def one_address_cannot_take_it_all(t):
    server = start(t, workers=2, address_max=10)
    inside = [session(t, server)[0] for _ in range(10)]
    for _ in range(30):
        check_busy(knock(t, server)[1], 429, 'limit')
    for i in range(2, 12):
        session(t, server, source=f'127.0.0.{i}')
    check_equal(refused(server, 'address'), 30, 'counted by cause')
    for ws in inside:
        ws.send_json({'type': 'ping', 'id': 'still'})
        expect(ws, 'pong', id='still')
    for ws in inside[:5]:
        ws.close()
    for _ in range(5):
        wait_until(lambda: knock(t, server)[1].status == 101, 'those who go make room')
    check_busy(knock(t, server)[1], 429, 'limit')


@test
def a_prefix_counts_as_one_address(t):
    server = start(t, workers=2, address_max=4, address_bits_v4=24)
    for i in range(1, 5):
        session(t, server, source=f'127.0.0.{i}')
    check_busy(knock(t, server, source='127.0.0.9')[1], 429, 'limit')
    session(t, server, source='127.0.1.1')


@test
def a_dead_worker_gives_its_addresses_back(t):
    server = start(t, workers=2, address_max=12)
    for _ in range(12):
        session(t, server)
    pids = server.worker_pids()
    for pid in pids:
        server.kill_worker(pid)
    server.wait_workers(without=pids)
    for _ in range(12):
        wait_until(lambda: knock(t, server)[1].status == 101, 'there is room again')
    check_busy(knock(t, server)[1], 429, 'limit')


# Handshakes

@test
def slow_handshakes_make_way(t):
    server = start(t, workers=1, handshakes_max=16, handshake_timeout='60s')
    old, _ = session(t, server)
    slow = [t.own(Wire(server.port)) for _ in range(40)]
    for wire in slow:
        wire.send(b'GET /ws HTTP/1.1\r\nHost: a\r\n')
    for _ in range(8):
        session(t, server)
    old.send_json({'type': 'ping', 'id': 'still'})
    expect(old, 'pong', id='still')
    wait_until(lambda: refused(server, 'handshakes') >= 24, 'the slowest are ended')
    rest, _ = slow[0].read_to_end()
    check(rest.startswith(b'HTTP/1.1 503 ') and b'Retry-After: ' in rest, f'and are told why: {rest!r}')
    check_equal(server.metric('holdfast_handshakes_timed_out_total'), 0, 'none had to wait for the deadline')


@test
def heads_are_bounded(t):
    server = start(t, workers=1, header_bytes='1KiB', headers_max=10)
    check_equal(knock(t, server, headers=[('X-Long', 'a' * 500)])[1].status, 101, 'a head of less than 1 KiB')
    check_equal(knock(t, server, headers=[('X-Long', 'a' * 1100)])[1].status, 431, 'a longer one')
    check_equal(knock(t, server, headers=[(f'X-{i}', 'a') for i in range(12)])[1].status, 431, 'more than ten headers')
    check_equal(refused(server, 'request'), 2, 'counted by cause')
    larger = start(t, workers=1, header_bytes='32KiB', headers_max=200)
    check_equal(knock(t, larger, headers=[(f'X-{i}', 'a' * 100) for i in range(180)])[1].status, 101, 'the bounds can be raised')


# Descriptors and memory

@test(deadline=120)
def without_descriptors_the_old_are_served(t):
    server = start(t, workers=1, descriptors=160, handshake_timeout='60s')
    old = t.own(Client(server.port)).connect()
    old.subscribe('room', wait=True)
    inside = []
    for _ in range(200):
        ws, response = knock(t, server)
        if response.status != 101:
            break
        expect(ws, 'welcome')
        inside.append(ws)
    check_busy(response, code='limit')
    check(60 < len(inside) < 160, f'{len(inside)} connections with 160 descriptors')
    check(refused(server, 'descriptors') >= 1, 'counted by cause')
    # Now as many as it has descriptors, who say nothing: the API is served, and so is whoever was there.
    silent = [t.own(Wire(server.port)) for _ in range(100)]
    for n in range(20):
        server.publish('room', n)
    old.pump_count('room', 20)
    check_equal(server.api('GET', '/readyz').status, 200, 'the API answers')
    for ws in inside:
        ws.send_json({'type': 'ping', 'id': 'still'})
        expect(ws, 'pong', id='still')
    for wire in silent:
        wire.close()
    for ws in inside[:20]:
        ws.close()
    wait_until(lambda: knock(t, server)[1].status == 101, 'when some have gone, others come in')
    check_equal(server.metric('holdfast_closes_total'), server.metrics()['holdfast_closes_total{code="1006"}'], 'nobody was closed')


@test
def listeners_are_tried_again_when_descriptors_have_run_out(t):
    second = free_port()
    server = start(t, workers=1, arguments=['--listen', f'127.0.0.1:{second}'])
    old = t.own(Client(server.port)).connect()
    old.subscribe('room', wait=True)
    pid = server.worker_pids()[0]
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    new = [t.own(RawWs(port)) for port in (server.port, second) for _ in range(4)]
    for ws in new:
        ws.send(upgrade_request(protocols=JSON))
    # A try every 100 ms, each with its line; an idle worker's turns would be a second apart. The API would need a descriptor.
    wait_until(lambda: server.log().count('event=accept_paused') >= 12, 'it tries again, and again')
    for n in range(20):
        old.publish('room', n)
    old.pump_count('room', 20)
    check(not any(ws.buffer or ws.fill(0) for ws in new), 'nobody was answered without a descriptor')
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    for ws in new:
        check_equal(ws.read_response().status, 101, 'those who waited in the backlog, of either listener')
        expect(ws, 'welcome')
    check(server.metric('holdfast_accept_errors_total') >= 12, 'counted')
    for port in (server.port, second):
        ws = t.own(RawWs(port))
        check_equal(ws.upgrade(protocols=JSON).status, 101, 'and whoever comes later')
    check_equal(server.worker_pids(), [pid], 'the worker lives')


def address_space(pid):
    with open(f'/proc/{pid}/statm', encoding='ascii') as f:
        have = int(f.read().split()[0]) * resource.getpagesize()
    if have > 1 << 40:
        raise Skip('a sanitizer takes all address space beforehand, and gives no memory back')
    return have


def limit_memory(pid, more_bytes):
    have = address_space(pid)
    resource.prlimit(pid, resource.RLIMIT_AS, (have + more_bytes, resource.RLIM_INFINITY))


@test(deadline=120)
def without_memory_the_old_are_served(t):
    server = start(t, workers=1, admission_rate=0)
    old = t.own(Client(server.port)).connect()
    old.subscribe('room', wait=True)
    pid = server.worker_pids()[0]
    limit_memory(pid, 4 << 20)
    inside = []
    while server.metric('holdfast_accept_errors_total') == 0:
        for _ in range(50):
            ws = t.own(RawWs(server.port))
            inside.append(ws)
            try:
                # A head that is never whole holds memory without a session.
                ws.send(b'GET /ws HTTP/1.1\r\nX: ' + b'a' * 7000)
            except ConnectionEnded:
                pass
    check('event=accept_paused' in server.log(), 'new ones wait')
    for n in range(20):
        old.publish('room', n)
    old.pump_count('room', 20)
    for ws in inside:
        ws.close()
    check_equal(knock(t, server)[1].status, 101, 'when they have gone, others come in')
    check_equal(server.worker_pids(), [pid], 'the worker lives')


@test
def a_worker_with_enough_memory_takes_no_more(t):
    server = start(t, workers=1, worker_memory='24MiB')
    address_space(server.worker_pids()[0])
    old = t.own(Client(server.port)).connect()
    old.subscribe('room', wait=True)
    half = [session(t, server)[0] for _ in range(400)]
    for ws in half:  # each holds the beginning of a message
        ws.send(frame(TEXT, b'x' * 100000, fin=False))
    wait_until(lambda: knock(t, server)[1].status == 503, 'new ones are refused')
    check(refused(server, 'memory') >= 1, 'counted by cause')
    for n in range(20):
        old.publish('room', n)
    old.pump_count('room', 20)
    for ws in half:
        ws.send(frame(CONTINUATION, b'', fin=True))
        ws.close()
    wait_until(lambda: knock(t, server)[1].status == 101, 'when it is given back, new ones come in')


@test
def logs_that_do_not_fit_the_machine_are_refused(t):
    server = t.own(Server(workers=1, segment='16MiB', segments=4095, shards=256))
    server.start(ready=False)
    check_equal(server.wait_exit(), 2, 'exit status')
    check('memory.segments' in server.log() and 'MiB' in server.log(), f'it is told: {server.log()}')


# Standing connections

@test
def subscriptions_of_a_session_are_limited(t):
    server = start(t, workers=1, subscriptions_max=3)
    ws, _ = session(t, server)
    for n in range(5):
        ws.send_json({'type': 'subscribe', 'channel': f'room-{n}'})
        if n < 3:
            expect(ws, 'subscribed', channel=f'room-{n}')
        else:
            expect(ws, 'error', code='limit', re='subscribe', channel=f'room-{n}')
    check_equal(server.metrics()['holdfast_subscriptions_refused_total{cause="session"}'], 2, 'counted by cause')


@test
def a_session_publishes_so_many_a_second(t):
    server = start(t, workers=2, publish_rate=5, publish_burst=10)
    ws, _ = session(t, server)
    for seq in range(1, 31):
        ws.send_json({'type': 'data', 'channel': 'room', 'payload': seq, 'seq': seq})
    nacks, offsets, seq = [], [], 0
    while seq < 30:
        message = ws.recv_json()
        if message['type'] == 'nack':
            check_equal(message['code'], 'rate_limited', 'code')
            nacks.append(message['seq'])
        elif message['type'] == 'ack':
            seq, offsets = message['seq'], offsets + message['offsets']
    check_equal([n for n, offset in enumerate(offsets, 1) if offset is None], nacks, 'every refused one is null in the acks')
    check(10 <= 30 - len(nacks) <= 14, f'{30 - len(nacks)} were applied')
    kept = [m['payload'] for m in server.post('/api/history', {'channel': 'room', 'limit': 100})['messages']]
    check_equal(kept, [n for n in range(1, 31) if n not in nacks], 'those that were not refused are in the channel')
    check_equal(server.metric('holdfast_publishes_rate_limited_total'), len(nacks), 'counted')
    ws.send_json({'type': 'data', 'channel': 'room', 'payload': 1, 'seq': 1})
    expect(ws, 'ack', seq=1)  # a repeated one costs nothing

    def applied():
        nonlocal seq
        seq += 1
        ws.send_json({'type': 'data', 'channel': 'room', 'payload': seq, 'seq': seq})
        answer = ws.recv_json()
        if answer['type'] == 'nack':
            expect(ws, 'ack', seq=seq)
        return answer['type'] == 'ack'
    wait_until(applied, 'later it may publish again', step_s=0.3)


@test
def a_repeated_publish_costs_nothing(t):
    server = start(t, workers=1, publish_rate=1, publish_burst=2)
    ws, _ = session(t, server)
    first = {'type': 'data', 'channel': 'room', 'payload': 0, 'seq': 1}
    ws.send_json(first)
    expect(ws, 'ack', seq=1)
    for _ in range(20):
        ws.send_json(first)
        expect(ws, 'ack', seq=1)
    ws.send_json({**first, 'seq': 2})
    expect(ws, 'ack', seq=2)
    check_equal(server.metric('holdfast_publishes_rate_limited_total'), 0, 'none was refused')


@test
def another_session_is_not_held_back(t):
    server = start(t, workers=1, publish_rate=1)
    first, _ = session(t, server)
    second, _ = session(t, server)
    for seq in (1, 2):
        first.send_json({'type': 'data', 'channel': 'room', 'payload': 0, 'seq': seq})
    second.send_json({'type': 'data', 'channel': 'room', 'payload': 0, 'seq': 1})
    expect(second, 'ack', seq=1)
    for n in range(20):
        server.publish('room', n)  # nor is the backend


@test
def who_takes_nothing_is_ended(t):
    server = start(t, workers=1, write_timeout='1s')
    slow = t.own(RawWs(server.port, receive_buffer=4096))
    check_equal(slow.upgrade('/ws', JSON).status, 101, 'status')
    slow.send_json({'type': 'subscribe', 'channel': 'room'})
    wait_until(lambda: server.metric('holdfast_subscriptions') == 1, 'it has subscribed')
    quick = t.own(Client(server.port)).connect()
    quick.subscribe('room', wait=True)
    began = time.monotonic()
    for n in range(150):
        server.publish('room', 'x' * 60000)
    quick.pump_count('room', 150)

    def ended():
        try:
            slow.send_json({'type': 'ping'})  # it is not silent, so that no heartbeat ends it
        except ConnectionEnded:
            pass
        return server.metrics()['holdfast_closes_total{code="4005"}'] == 1
    wait_until(ended, 'the slow one is ended')
    check(0.9 <= time.monotonic() - began, 'not before its time')
    check_equal(server.metric('holdfast_connections'), 1, 'the quick one is not')
    wait_until(lambda: 'event=connections_ended cause=too_slow' in server.log(), 'it is in the log')


@test
def who_takes_little_by_little_is_not_ended(t):
    server = start(t, workers=1, write_timeout='1s')
    slow = t.own(RawWs(server.port, receive_buffer=4096))
    check_equal(slow.upgrade('/ws', JSON).status, 101, 'status')
    slow.send_json({'type': 'subscribe', 'channel': 'room'})
    wait_until(lambda: server.metric('holdfast_subscriptions') == 1, 'it has subscribed')
    for n in range(150):
        server.publish('room', 'x' * 60000)
    end = time.monotonic() + 4
    taken = 0
    while time.monotonic() < end:  # a pace, and no wait for something to happen
        slow.fill()
        taken += len(slow.buffer)
        del slow.buffer[:]
        time.sleep(0.02)
    check(taken > 0 and server.metrics()['holdfast_closes_total{code="4005"}'] == 0, f'{taken} bytes were taken, and it stands')


main()
