#!/usr/bin/python3
"""What the server tells of itself: the text of /metrics, the histograms, causes and gauges, GET /api/stats and GET /api/top."""
import prometheus_text
from holdfast_client import Client
from holdfast_fixture import Fixture
from holdfast_server import Server
from holdfast_test import PATIENCE, CheckFailed, check, check_equal, main, test, wait_until
from raw_ws import RawWs

on = Fixture(workers=2)
server, fresh, client = on.server, on.fresh, on.client

HISTOGRAMS = ('delivery_latency_seconds', 'heartbeat_rtt_seconds', 'connection_lifetime_seconds', 'loop_turn_seconds', 'loop_lag_seconds')


def stats(of=None):
    answer = (of or server()).api('GET', '/api/stats')
    check_equal(answer.status, 200, 'GET /api/stats')
    return answer.json


def total(of=None):
    return stats(of)['total']


def counted(name, of=None):
    return total(of)['histograms'][name]['count']


def top(of=None, query=''):
    answer = (of or server()).api('GET', '/api/top' + query)
    check_equal(answer.status, 200, f'GET /api/top: {answer}')
    return answer.json


def text_of(which):
    return which.api('GET', '/metrics').body.decode()


# the text

@test
def the_text_is_what_the_format_allows(t):
    c = client(t)
    room = fresh()
    c.subscribe(room, wait=True)
    server().publish(room, 1)
    c.wait_for('data')
    families = prometheus_text.read(text_of(server()))
    for name in HISTOGRAMS:
        check_equal(families[f'holdfast_{name}'].kind, 'histogram', name)
    check(all(name.startswith('holdfast_') for name in families), f'names: {list(families)}')
    check_equal(len(families['holdfast_worker_up'].samples), 2, 'workers')


@test
def the_check_of_the_text_sees_faults(t):
    del t
    good = text_of(server())
    prometheus_text.read(good)
    faults = {
        'a family twice': good + good,
        'no HELP': good.replace('# HELP holdfast_sessions ', '# HELP holdfast_session ', 1),
        'a strange type': good.replace('# TYPE holdfast_sessions gauge', '# TYPE holdfast_sessions number', 1),
        'a sample twice': good.replace('\nholdfast_sessions_waiting ', '\nholdfast_sessions 1\nholdfast_sessions ', 1),
        'a broken label': good.replace('{code="1000"}', '{code=1000}', 1),
        'a label set twice': good.replace('{code="1001"}', '{code="1000"}', 1),
        'no number': good.replace('\nholdfast_log_capacity_bytes ', '\nholdfast_log_capacity_bytes x', 1),
        'a counter without _total': good.replace('holdfast_writes_total', 'holdfast_writes'),
        'no +Inf': '\n'.join(line for line in good.splitlines() if '+Inf' not in line) + '\n',
        'a count that is another': good.replace('holdfast_loop_turn_seconds_count ', 'holdfast_loop_turn_seconds_count 1', 1),
        'bounds out of order': good.replace('le="0.000003"', 'le="0.5"', 1),
        'buckets that fall': good.replace('holdfast_loop_turn_seconds_bucket{le="0.000001"} ', 'holdfast_loop_turn_seconds_bucket{le="0.000001"} 99999999', 1),
        'no end of line': good[:-1],
    }
    for name, text in faults.items():
        check(text != good, f'{name}: the fault is planted')
        try:
            prometheus_text.read(text)
        except CheckFailed:
            continue
        raise CheckFailed(f'the check sees {name}')


# JSON

@test
def json_and_text_tell_the_same(t):
    mine = t.own(Server(workers=2).start())
    c = t.own(Client(mine.port)).connect()
    c.subscribe('room', wait=True)
    for n in range(20):
        mine.publish('room', n)
    c.pump_count('room', 20)
    wait_until(lambda: total(mine)['deliveries_total'] == 20, 'all deliveries are counted')
    answer, families = stats(mine), prometheus_text.read(text_of(mine))
    check_equal(sum(worker['deliveries_total'] for worker in answer['workers']), 20, 'deliveries, by worker')
    check_equal(families['holdfast_deliveries_total'].value(), 20, 'deliveries, in text')
    check_equal([families['holdfast_worker_deliveries_total'].value(worker=str(n)) for n in range(2)],
                [worker['deliveries_total'] for worker in answer['workers']], 'deliveries, by worker in text')
    told = answer['total']['histograms']['delivery_latency_seconds']
    text = families['holdfast_delivery_latency_seconds']
    check_equal(told['count'], 20, 'deliveries in the histogram')
    check_equal(sum(worker['histograms']['delivery_latency_seconds']['count'] for worker in answer['workers']), 20, 'and by worker')
    check_equal(told['sum'], text.samples[(text.name + '_sum', ())], 'sum')
    check_equal(sum(count for _, count in told['buckets']), 20, 'its buckets')
    below = 0
    for bound, count in told['buckets']:
        below += count
        check_equal([number for (name, labels), number in text.samples.items() if labels and float(labels[0][1]) == bound], [below], f'bucket {bound}')
    check(0 < told['p50'] <= told['p90'] <= told['p99'] <= told['buckets'][-1][0], f'quantiles: {told}')
    check(told['sum'] / 20 <= told['buckets'][-1][0], f'mean: {told}')


@test
def the_shape_of_the_stats(t):
    mine = t.own(Server(workers=2).start())
    wait_until(lambda: all(worker['running'] for worker in stats(mine)['workers']), 'both workers run')
    answer = stats(mine)
    check_equal(sorted(answer), ['serverId', 'started', 'time', 'total', 'version', 'workers'], 'members')
    check(answer['started'] <= answer['time'], f'started {answer["started"]} before {answer["time"]}')
    for worker in answer['workers']:
        check(worker['running'] and worker['pid'] in mine.worker_pids(), f'worker {worker["slot"]} runs')
        check_equal(sorted(worker['histograms']), sorted(HISTOGRAMS), 'histograms of a worker')
        check_equal(worker['histograms']['heartbeat_rtt_seconds'], {'count': 0, 'sum': 0, 'p50': None, 'p90': None, 'p99': None}, 'an empty one')
    for name in ('sessions_max', 'log_capacity_bytes', 'ring_capacity_bytes'):
        check(answer['total'][name] > 0, name)
    check(set(answer['workers'][0]) - {'slot', 'pid', 'running', 'silent_ms'} <= set(answer['total']), 'the total has what a worker has')


@test(deadline=60)
def what_was_counted_survives_a_worker(t):
    mine = t.own(Server(workers=1).start())
    c = t.own(Client(mine.port)).connect()
    c.subscribe('room', wait=True)
    for n in range(10):
        mine.publish('room', n)
    c.pump_count('room', 10)
    wait_until(lambda: counted('delivery_latency_seconds', mine) == 10, 'all are measured')
    pid = mine.worker_pids()[0]
    mine.kill_worker(pid)
    mine.wait_workers(without=[pid])
    mine.wait_ready()
    after = stats(mine)
    check_equal(after['workers'][0]['restarts'], 1, 'restarts')
    check(after['total']['histograms']['delivery_latency_seconds']['count'] >= 10, f'deliveries after kill -9: {after["total"]["deliveries_total"]}')
    check_equal([after['total'][name] for name in ('connections', 'sessions_attached', 'connections_blocked')], [0, 0, 0], 'gauges of a dead worker')


# what is measured

@test
def catching_up_is_no_latency(t):
    room = fresh()
    for n in range(5):
        server().publish(room, n)
    c = client(t)
    live, delivered = counted('delivery_latency_seconds'), total()['deliveries_total']
    c.subscribe(room, last=5, wait=True)
    c.pump_count(room, 5)
    wait_until(lambda: total()['deliveries_total'] == delivered + 5, 'five from the history')
    check_equal(counted('delivery_latency_seconds'), live, 'deliveries measured')
    server().publish(room, 'live')
    c.pump_count(room, 6)
    wait_until(lambda: counted('delivery_latency_seconds') == live + 1, 'the sixth is measured')


@test(deadline=120)
def heartbeats_are_measured_and_saved(t):
    ms = int(1000 * PATIENCE)
    mine = t.own(Server(workers=1, heartbeat_interval=f'{ms}ms', heartbeat_min=f'{ms}ms', heartbeat_max=f'{ms}ms').start())
    c = t.own(Client(mine.port)).connect()
    c.wait_for('ping', deadline_s=10 * PATIENCE)  # The client answers it.
    wait_until(lambda: counted('heartbeat_rtt_seconds', mine) >= 1, 'its answer is measured')
    check(total(mine)['heartbeats_sent_total'] >= 1, 'heartbeats sent')
    saved = total(mine)['heartbeats_saved_total']

    def busy():
        c.send({'type': 'ping'})
        c.wait_for('pong')
        return total(mine)['heartbeats_saved_total'] > saved
    wait_until(busy, 'traffic saves heartbeats', deadline_s=20 * PATIENCE, step_s=0.05)


@test
def the_ends_of_connections_have_causes(t):
    mine = t.own(Server(workers=1).start())

    def cause(name):
        return total(mine)[f'disconnects_total_{name}']

    def one_more(name, action):
        before, lived = cause(name), counted('connection_lifetime_seconds', mine)
        action()
        wait_until(lambda: cause(name) == before + 1, f'cause {name}')
        check_equal(counted('connection_lifetime_seconds', mine), lived + 1, 'its life is measured')

    def connect():
        return t.own(Client(mine.port)).connect()

    def superseded():
        c = connect()
        t.own(RawWs.open(mine.port, protocols=['holdfast.v1.json', f'hf.resume.{c.ticket}'])).recv_json()
    one_more('client', lambda: connect().ws.send_close(1000))
    one_more('client', lambda: connect().send({'type': 'bye'}))
    one_more('lost', lambda: connect().cut())
    one_more('protocol', lambda: connect().ws.send_frame(2, b'x'))
    one_more('backend', lambda: mine.post('/api/disconnect', {'session': connect().welcome['session']}))
    one_more('superseded', superseded)
    now = total(mine)
    check_equal(sum(value for name, value in now.items() if name.startswith('disconnects_total_')),
                sum(value for name, value in now.items() if name.startswith('closes_total_')), 'each end has one cause and one code')


@test
def sessions_are_attached_or_wait(t):
    mine = t.own(Server(workers=2).start())
    ours = [t.own(Client(mine.port)).connect() for _ in range(5)]

    def told():
        answer = stats(mine)
        return [answer['total'][name] for name in ('sessions', 'sessions_attached', 'sessions_waiting')] + [sum(w['sessions_attached'] for w in answer['workers'])]
    check_equal(told(), [5, 5, 0, 5], 'sessions, attached, waiting, attached by worker')
    for c in ours[:2]:
        c.cut()
    wait_until(lambda: told() == [5, 3, 2, 3], 'two wait')
    ours[0].connect()
    check_equal(ours[0].welcome['resumed'], True, 'one came back')
    wait_until(lambda: told() == [5, 4, 1, 4], 'one waits')


@test
def skipped_messages_of_latest_are_counted(t):
    mine = t.own(Server(workers=1).start())
    ws = t.own(RawWs.open(mine.port, protocols=['holdfast.v1.json'], receive_buffer=4096))
    ws.recv_json()
    ws.send_json({'type': 'subscribe', 'channel': 'quotes', 'mode': 'latest'})
    check_equal(ws.recv_json()['type'], 'subscribed', 'answer')

    def skips():
        for _ in range(20):
            mine.publish('quotes', 'x' * 20000)
        return total(mine)['connections_blocked'] == 1
    wait_until(skips, 'its socket is full')
    last = 0
    while last < total(mine)['publishes_total']:
        last = ws.recv_json()['offset']
    wait_until(lambda: total(mine)['deliveries_total'] + total(mine)['deliveries_skipped_total'] == last, 'each message was delivered or skipped')
    check(total(mine)['deliveries_skipped_total'] > 0, 'some were skipped')


# top

@test
def top_tells_the_busiest_channels(t):
    busy, quiet = fresh('busy'), fresh('quiet')
    subscribers = [client(t) for _ in range(3)]
    for c in subscribers:
        c.subscribe(busy, wait=True)
    subscribers[0].subscribe(quiet, wait=True)

    def told():
        server().publish(quiet, 0)
        for n in range(20):
            server().publish(busy, n)
        listed = {entry['channel']: entry for entry in top(query='?limit=100')['channels']}
        # A second of one worker may end amid these, or before those of another one.
        return (busy in listed and quiet in listed and listed[busy]['publishes'] > listed[quiet]['publishes']
                and listed[busy]['deliveries'] > listed[busy]['publishes'] and len(top(query='?limit=1')['channels']) == 1)
    wait_until(told, 'both channels are told of, the busy one with more publishes, and its three subscribers; and limit holds')
    wait_until(lambda: not top()['channels'], 'a quiet second has no busy channel')


@test
def top_tells_who_is_slow(t):
    mine = t.own(Server(workers=2).start())
    ws = t.own(RawWs.open(mine.port, protocols=['holdfast.v1.json'], receive_buffer=4096))
    session = ws.recv_json()['session']
    ws.send_json({'type': 'subscribe', 'channel': 'flood'})
    check_equal(ws.recv_json()['type'], 'subscribed', 'answer')

    def flooded():
        for _ in range(10):
            mine.publish('flood', 'x' * 50000)
        return top(mine)['slow']
    wait_until(flooded, 'somebody is slow')
    answer = wait_until(lambda: next((a for a in [top(mine)] if a['slow'] and a['slow'][0]['blocked_ms'] > 0), None), 'its socket takes nothing')
    slow = answer['slow'][0]
    check_equal((slow['session'], slow['channel'], answer['connections_blocked']), (session, 'flood', 1), 'who it is')
    check(slow['behind'] > 0 and slow['lag_ms'] > 0 and slow['worker'] in (0, 1), f'how far behind: {slow}')
    last = total(mine)['publishes_total']
    while ws.recv_json()['offset'] < last:
        pass
    wait_until(lambda: not top(mine)['slow'] and top(mine)['connections_blocked'] == 0, 'it has caught up')


@test
def top_refuses_what_it_does_not_know(t):
    del t
    for query in ('?limit=0', '?limit=101', '?limit=x', '?limit='):
        answer = server().api('GET', '/api/top' + query)
        check_equal((answer.status, answer.json['code']), (400, 'bad_message'), f'GET /api/top{query}')


if __name__ == '__main__':
    main()
