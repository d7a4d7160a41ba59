#!/usr/bin/python3
"""The HTTP API: the table of PROTOCOL.md, its errors, and the names of the metrics."""
import http.client
import json
import re
import subprocess
import time

from holdfast_client import Client, check_shape
from holdfast_fixture import Fixture
from holdfast_server import Server
from holdfast_test import check, check_equal, check_in, main, test, wait_until
from raw_ws import Wire

on = Fixture(workers=2)
server, fresh, client = on.server, on.fresh, on.client


def refused(status, method, path, body=None, headers=None, code=None):
    """The request is refused with this status, and an answer that says why."""
    answer = server().api(method, path, body, headers)
    statuses = status if isinstance(status, tuple) else (status,)
    check_in(answer.status, statuses, f'{method} {path} {body!r}: {answer}; status')
    check(isinstance(answer.json.get('code'), str) and answer.json.get('reason'), f'{method} {path} {body!r}: code and reason: {answer}')
    check('json' in answer.headers.get('Content-Type', ''), f'Content-Type of {answer}')
    if code:
        check_equal(answer.json['code'], code, f'code of {answer}')
    return answer


# publish

@test
def publish_answers_with_the_place(t):
    room = fresh()
    first = server().publish(room, {'text': 'hello'})
    check_equal(sorted(first), ['channel', 'epoch', 'offset'], 'members')
    check_equal((first['channel'], first['offset']), (room, 1), 'channel and offset')
    second = server().publish(room, 'again')
    check_equal((second['epoch'], second['offset']), (first['epoch'], 2), 'the second')


@test
def publish_reaches_subscribers(t):
    room = fresh()
    c = client(t)
    c.subscribe(room, wait=True)
    server().publish(room, {'n': 1}, id='my-id')
    message = c.wait_for('data')
    check_equal((message['payload'], message['id'], message['offset']), ({'n': 1}, 'my-id', 1), 'message')
    check('from' not in message, f'a backend is no user: {message}')


@test
def publish_by_curl(t):
    # As the README tells it; curl sends application/x-www-form-urlencoded unless told otherwise.
    room = fresh()
    done = subprocess.run(['curl', '-sS', '-d', f'{{"channel":"{room}","payload":{{"text":"hello"}}}}', f'http://127.0.0.1:{server().api_port}/api/publish'],
                          capture_output=True, timeout=20, check=False)
    check_equal(json.loads(done.stdout)['offset'], 1, f'offset in the answer ({done.stderr})')


@test
def publish_repeated_key_gets_the_first_answer(t):
    room = fresh()
    first = server().publish(room, 'once', key='k1')
    server().publish(room, 'between')
    for _ in range(20):  # on whichever worker
        check_equal(server().publish(room, 'once', key='k1'), first, 'the repeat')
    check_equal(server().post('/api/history', {'channel': room})['offset'], 2, 'head')
    check_equal(server().publish(room, 'once', key='k2')['offset'], 3, 'another key')


@test
def publish_repeated_key_with_another_body_is_409(t):
    room = fresh()
    server().publish(room, 'once', key='c1')
    for body in ({'channel': room, 'payload': 'other', 'key': 'c1'}, {'channel': room, 'payload': 'once', 'id': 'x', 'key': 'c1'}):
        refused(409, 'POST', '/api/publish', body)
    check_equal(server().post('/api/history', {'channel': room})['offset'], 1, 'head')


@test(deadline=90)
def publish_key_survives_kill_of_workers(t):
    mine = t.own(Server(workers=2).start())
    rooms = [fresh() for _ in range(8)]
    first = [mine.publish(room, 1, key=f'key-{room}') for room in rooms]
    for pid in mine.worker_pids():
        mine.kill_worker(pid)
        mine.wait_workers(without=[pid])
    mine.wait_ready()
    for room, answer in zip(rooms, first):
        check_equal(mine.publish(room, 1, key=f'key-{room}'), answer, 'the repeat after kill -9')


@test(deadline=60)
def publish_key_is_forgotten_after_its_time(t):
    mine = t.own(Server(workers=1, idempotency_age='1s').start())
    room = fresh()
    mine.publish(room, 1, key='k')

    def applied_again():
        return mine.publish(room, 1, key='k')['offset'] > 1
    wait_until(applied_again, 'the key is forgotten', step_s=0.3)


@test
def payload_passes_as_written(t):
    for payload in ('1e400', '-0', '123456789012345678901234567890.5', '"\\u0000"', '"\\ud800"', 'null', '{"a":1,"a":2}', '[[[]]]', '"é😀\\n"', '"\\/"'):
        room = fresh()
        c = client(t)
        c.subscribe(room, wait=True)
        answer = server().api('POST', '/api/publish', f'{{"payload" : {payload} ,"channel":"{room}"}}'.encode())
        check_equal(answer.status, 200, f'payload {payload}: {answer}; status')
        text = c.ws.recv_text()
        check(f'"payload":{payload}' in text, f'payload {payload} to a subscriber: {text}')
        answer = server().api('POST', '/api/history', {'channel': room})
        check(f'"payload":{payload}'.encode() in answer.body, f'payload {payload} in the history: {answer}')


@test
def payload_size_is_limited(t):
    room = fresh()
    check_equal(server().publish(room, 'x' * 65534)['offset'], 1, 'exactly maxMessage')
    refused((413, 400), 'POST', '/api/publish', {'channel': room, 'payload': 'x' * 65535}, code='too_large')
    refused(413, 'POST', '/api/publish', {'channel': room, 'payload': 'x' * 5000000})
    check_equal(server().post('/api/history', {'channel': room})['offset'], 1, 'head')


@test
def body_in_pieces_is_taken(t):
    room = fresh()
    body = json.dumps({'channel': room, 'payload': 'x' * 1000}).encode()
    head = f'POST /api/publish HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n'.encode()
    wire = t.own(Wire(server().api_port))
    wire.send_cut(head + body, range(1, len(head + body), 13), pause_s=0.0005)
    check(b' 200 ' in wire.take_until(b'\r\n'), 'status')
    wire = t.own(Wire(server().api_port))
    chunks = b''.join(b'%x\r\n%b\r\n' % (len(body[n:n + 100]), body[n:n + 100]) for n in range(0, len(body), 100)) + b'0\r\n\r\n'
    wire.send(b'POST /api/publish HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n' + chunks)
    check(b' 200 ' in wire.take_until(b'\r\n'), 'status of a chunked body')


@test
def keep_alive_serves_many_requests(t):
    room = fresh()
    connection = http.client.HTTPConnection('127.0.0.1', server().api_port, timeout=10)
    t.own(connection)
    for n in range(1, 201):
        connection.request('POST', '/api/publish', json.dumps({'channel': room, 'payload': n}))
        answer = connection.getresponse()
        check_equal((answer.status, json.loads(answer.read())['offset']), (200, n), f'request {n} on one connection')


# broadcast

@test
def broadcast_answers_in_order(t):
    rooms = [fresh() for _ in range(20)]
    server().publish(rooms[3], 'before')
    results = server().post('/api/broadcast', {'channels': rooms, 'payload': {'to': 'all'}})['results']
    check_equal([result['channel'] for result in results], rooms, 'channels')
    check_equal([result['offset'] for result in results], [2 if n == 3 else 1 for n in range(20)], 'offsets')
    check(all(isinstance(result['epoch'], str) for result in results), f'epochs: {results[:2]}')


@test
def broadcast_tells_which_failed(t):
    room = fresh()
    results = server().post('/api/broadcast', {'channels': [room, '', 'n' * 256, room], 'payload': 1})['results']
    check_equal([result.get('offset') for result in results], [1, None, None, 2], 'offsets')
    for result in results[1:3]:
        check(result.get('code') == 'bad_message' and result.get('reason'), f'code and reason: {result}')


@test
def broadcast_repeated_key_is_applied_once(t):
    rooms = [fresh() for _ in range(5)]
    body = {'channels': rooms, 'payload': 1, 'key': f'broadcast-{rooms[0]}'}
    first = server().post('/api/broadcast', body)
    for _ in range(5):
        check_equal(server().post('/api/broadcast', body), first, 'the repeat')
    check_equal(server().post('/api/history', {'channel': rooms[4]})['offset'], 1, 'head')


# history

@test
def history_pages(t):
    room = fresh()
    for n in range(1, 151):
        epoch = server().publish(room, n)['epoch']

    def page(**members):
        answer = server().post('/api/history', {'channel': room, **members})
        check_equal((answer['epoch'], answer['offset']), (epoch, 150), 'epoch and head')
        for message in answer['messages']:
            check_shape({**message, 'type': 'data', 'channel': room})
        return [message['payload'] for message in answer['messages']]
    check_equal(page(), list(range(1, 101)), 'the oldest 100')
    check_equal(page(limit=1000), list(range(1, 151)), 'all')
    check_equal(page(since={'epoch': epoch, 'offset': 148}), [149, 150], 'since')
    check_equal(page(reverse=True, limit=2), [150, 149], 'reverse')
    check_equal(page(reverse=True, since={'epoch': epoch, 'offset': 3}), [2, 1], 'reverse and since')
    check_equal(page(since={'epoch': 'other', 'offset': 100}, limit=1), [1], 'another epoch')


@test
def history_of_an_unknown_channel_is_empty(t):
    answer = server().post('/api/history', {'channel': fresh()})
    check_equal((answer['offset'], answer['messages']), (0, []), 'answer')


@test
def history_is_bounded_by_count_bytes_and_age(t):
    small = t.own(Server(workers=1, history_messages=5).start())
    for n in range(1, 21):
        small.publish('a', n)
    check_equal([m['offset'] for m in small.post('/api/history', {'channel': 'a'})['messages']], [16, 17, 18, 19, 20], 'kept by count')
    few = t.own(Server(workers=1, history_bytes='1000').start())
    for n in range(20):
        few.publish('a', 'x' * 98)
    kept = few.post('/api/history', {'channel': 'a'})['messages']
    check(0 < len(kept) <= 10 and kept[-1]['offset'] == 20, f'kept by bytes: {len(kept)}')
    young = t.own(Server(workers=1, history_age='1s').start())
    first = young.publish('a', 1)
    wait_until(lambda: not young.post('/api/history', {'channel': 'a'})['messages'], 'the old one goes')
    second = young.publish('a', 2)
    check_equal(second['offset'], 2 if second['epoch'] == first['epoch'] else 1, 'the offsets go on, or a new epoch begins')


# channels

@test
def channels_are_listed_in_pages(t):
    prefix = fresh('list')
    rooms = sorted(f'{prefix}/{n:03}' for n in range(25))
    for n, room in enumerate(rooms):
        for _ in range(n % 3 + 1):
            server().publish(room, n)
    c = client(t)
    c.subscribe(rooms[7], wait=True)
    got, after, pages = [], '', 0
    while after is not None:
        answer = server().api('GET', f'/api/channels?prefix={prefix}/&limit=10&after={after}')
        check_equal(answer.status, 200, 'status')
        got += answer.json['channels']
        after, pages = answer.json.get('next'), pages + 1
        check(pages <= 4, 'pages come to an end')
    check_equal([entry['channel'] for entry in got], rooms, 'channels, in order, each once')
    check_equal([entry['offset'] for entry in got], [n % 3 + 1 for n in range(25)], 'offsets')
    check_equal([entry['subscribers'] for entry in got], [int(n == 7) for n in range(25)], 'subscribers')
    check(all(entry['epoch'] for entry in got), 'epochs')


@test
def channels_are_found_by_a_part_of_their_names(t):
    prefix = fresh('find')
    rooms = sorted([f'{prefix}/{n:03}/{"even" if n % 2 == 0 else "odd"}' for n in range(90)])
    for room in reversed(rooms):  # so that each one belongs before all that the page has so far
        server().publish(room, 1)
    for query, wanted in ((f'search={prefix}', rooms), ('search=/even', rooms[::2]), (f'search=/01&prefix={prefix}', rooms[10:20]), ('search=dd/', [])):
        got, after = [], ''
        while after is not None:
            page = server().api('GET', f'/api/channels?{query}&limit=7&after={after}').json
            got += [entry['channel'] for entry in page['channels']]
            after = page.get('next')
            check_equal(len(page['channels']) == 7 or after is None, True, 'a page that has a next is full')
        check_equal([room for room in got if room.startswith(prefix)], wanted, f'channels with {query}, in order')


@test
def channels_names_are_escaped_in_the_query(t):
    room = fresh('a b&c=d/é+%')
    server().publish(room, 1)
    from urllib.parse import quote
    answer = server().api('GET', f'/api/channels?prefix={quote(room, safe="")}')
    check_equal([entry['channel'] for entry in answer.json['channels']], [room], 'channels')


# disconnect

@test
def disconnect_ends_the_session(t):
    c = client(t)
    server().post('/api/disconnect', {'session': c.welcome['session']})
    c.expect_close(4003)
    c.connect()
    check_equal(c.welcome['resumed'], False, '"4003 by default, which ends the session"')


@test
def disconnect_with_another_code_leaves_the_session(t):
    for _ in range(6):  # from and to whichever worker
        c = client(t)
        server().post('/api/disconnect', {'session': c.welcome['session'], 'code': 4321})
        c.expect_close(4321)
        c.connect()
        check_equal(c.welcome['resumed'], True, '"another code ends the connection only"')


@test
def disconnect_of_nobody_is_404(t):
    refused(404, 'POST', '/api/disconnect', {'session': 'nobody'}, code='not_found')
    for body in ({}, {'session': 7}, {'session': 'x', 'code': 1}, {'session': 'x', 'code': 1005}, {'session': 'x', 'code': 'y'}):
        refused((400, 404), 'POST', '/api/disconnect', body)


# Bad requests

@test
def malformed_bodies_are_400(t):
    for path in ('/api/publish', '/api/broadcast', '/api/history'):
        for body in (b'', b'{', b'[]', b'7', b'null', b'"x"', b'{}', b'{"channel":"a","payload":1,}', b'{"channel":"a" "payload":1}', b'\xff\xfe', b'{"channel":"\xff","payload":1}',
                     b'{"channel":7,"payload":1}', b'{"channels":"a","payload":1}', b'{"channels":[7],"payload":1}', b'{"channel":"a","payload":1}x'):
            if path == '/api/history' and body.endswith(b'"payload":1}x') is False and b'"channel":"a","payload":1}' in body:
                continue
            refused(400, 'POST', path, body, code='bad_message')


@test
def missing_and_wrong_members_are_400(t):
    for body in ({'channel': 'a'}, {'payload': 1}, {'channel': '', 'payload': 1}, {'channel': 'n' * 256, 'payload': 1}, {'channel': 'a\nb', 'payload': 1},
                 {'channel': 'a', 'payload': 1, 'id': 7}, {'channel': 'a', 'payload': 1, 'key': 7}, {'channel': 'a', 'payload': 1, 'key': ''},
                 {'channel': 'a', 'payload': 1, 'key': 'k' * 256}):
        refused(400, 'POST', '/api/publish', body, code='bad_message')
    for body in ({'channel': 'a', 'limit': -1}, {'channel': 'a', 'limit': 'x'}, {'channel': 'a', 'since': 7}, {'channel': 'a', 'since': {'offset': 1}}, {'channel': 'a', 'reverse': 'yes'}):
        refused(400, 'POST', '/api/history', body, code='bad_message')
    for query in ('limit=x', 'limit=-1', 'prefix=%zz'):
        refused(400, 'GET', f'/api/channels?{query}')


@test
def unknown_members_are_ignored(t):
    check_equal(server().publish(fresh(), 1, unknown={'deep': [1]})['offset'], 1, 'offset')


@test
def unknown_paths_are_404_and_wrong_methods_405(t):
    for path in ('/api', '/api/', '/api/nothing', '/api/publish/', '/metricsx', '/ws'):
        refused(404, 'GET', path)
        refused(404, 'POST', path, {})
    for method, path in (('GET', '/api/publish'), ('PUT', '/api/publish'), ('DELETE', '/api/history'), ('POST', '/api/stats'), ('POST', '/metrics'), ('POST', '/api/channels')):
        answer = refused(405, method, path, b'{}' if method != 'GET' else None)
        check('Allow' in answer.headers, f'Allow in {answer} (RFC 9110 section 15.5.6)')


@test
def key_is_asked_for(t):
    mine = t.own(Server(workers=1, api_key='secret-key'))
    mine.start(ready=False)
    wait_until(lambda: mine.api('GET', '/healthz').status in (200, 401), 'it answers')
    body = {'channel': 'a', 'payload': 1}
    for headers in ({}, {'Authorization': 'Bearer'}, {'Authorization': 'Bearer wrong'}, {'Authorization': 'Bearer secret-key2'}, {'Authorization': 'Bearer secret-ke'},
                    {'Authorization': 'Basic secret-key'}, {'Authorization': 'secret-key'}):
        answer = mine.api('POST', '/api/publish', body, headers)
        check_equal((answer.status, answer.json.get('code')), (401, 'unauthorized'), f'answer with {headers}')
    for scheme in ('Bearer', 'bearer'):  # RFC 9110 section 11.1: the scheme is case-insensitive
        check_equal(mine.api('POST', '/api/publish', body, {'Authorization': f'{scheme} secret-key'}).status, 200, f'status with the key ({scheme})')
    check('secret-key' not in mine.log(), 'the key is not in the log')


# What tells about the server

@test
def health_and_readiness(t):
    for path in ('/healthz', '/readyz'):
        check_equal(server().api('GET', path).status, 200, f'GET {path}')


@test
def stats_tell_the_workers(t):
    stats = server().api('GET', '/api/stats').json
    check_equal(sorted(worker['pid'] for worker in stats['workers']), server().worker_pids(), 'pids')
    check(isinstance(stats['total'], dict) and stats['total'], f'total: {stats}')


@test
def stats_may_be_brief_about_workers(t):
    told = {'slot', 'pid', 'running', 'restarts', 'silent_ms', 'connections', 'connections_blocked', 'sessions_attached', 'subscriptions', 'connections_opened_total',
            'publishes_total', 'deliveries_total', 'bytes_received_total', 'bytes_sent_total', 'busy_seconds'}
    c = client(t)
    c.subscribe(fresh(), wait=True)
    whole = server().api('GET', '/api/stats').json
    check(told < set(whole['workers'][0]), f'without an argument all is told: {told - set(whole["workers"][0])} is missing')
    check('buckets' not in whole['workers'][0]['histograms']['loop_turn_seconds'], 'buckets are told of the total alone')
    brief = server().api('GET', '/api/stats?workers=brief').json
    check_equal([set(worker) for worker in brief['workers']], [told, told], 'members of each worker')
    check_equal(set(brief['total']), set(whole['total']), 'members of the total')
    check_equal([worker['pid'] for worker in brief['workers']], [worker['pid'] for worker in whole['workers']], 'pids')
    check_equal(sum(worker['subscriptions'] for worker in brief['workers']), brief['total']['subscriptions'], 'subscriptions')
    check(all(worker['busy_seconds'] > 0 for worker in brief['workers']), f'busy_seconds: {brief["workers"]}')
    one = server().api('GET', '/api/stats?workers=brief&worker=1').json['workers']
    check_equal(set(one[0]), told, 'members of the other one')
    check_equal(set(one[1]), set(whole['workers'][1]), 'members of the one that is asked for')
    turns = one[1]['histograms']['loop_turn_seconds']
    check_equal(sum(count for _, count in turns['buckets']), turns['count'], 'what its buckets count')
    for query in ('worker=2', 'worker=-1', 'worker=x', 'workers=all', 'workers=brief&worker=2'):
        refused(400, 'GET', f'/api/stats?{query}', code='bad_message')


COUNTERS = ('holdfast_connections_opened_total', 'holdfast_closes_total', 'holdfast_resumes_total', 'holdfast_publishes_total', 'holdfast_deliveries_total',
            'holdfast_gap_messages_total', 'holdfast_bad_messages_total', 'holdfast_heartbeats_missed_total')
GAUGES = ('holdfast_connections', 'holdfast_sessions', 'holdfast_subscriptions')


@test
def metrics_have_the_names_of_the_contract(t):
    answer = server().api('GET', '/metrics')
    check_equal(answer.status, 200, 'status')
    check(answer.headers['Content-Type'].startswith('text/plain'), f'Content-Type: {answer.headers["Content-Type"]}')
    text = answer.body.decode()
    for name in COUNTERS:
        check(f'# TYPE {name} counter' in text, f'# TYPE {name} counter')
    for name in GAUGES:
        check(f'# TYPE {name} gauge' in text, f'# TYPE {name} gauge')
    line = re.compile(r'(# (HELP|TYPE) [a-zA-Z_:][a-zA-Z0-9_:]* .+|[a-zA-Z_:][a-zA-Z0-9_:]*(\{[a-zA-Z_]\w*="[^"\\\n]*"(,[a-zA-Z_]\w*="[^"\\\n]*")*\})? -?[0-9.e+]+)')
    wrong = [one for one in text.splitlines() if one and not line.fullmatch(one)]
    check_equal(wrong, [], 'lines that are no Prometheus text format')
    keys = [one.rpartition(' ')[0] for one in text.splitlines() if one and one[0] != '#']
    check_equal(len(keys), len(set(keys)), 'each series once')


@test
def metrics_count(t):
    mine = t.own(Server(workers=2).start())
    room = fresh()
    clients = [t.own(Client(mine.port)).connect() for _ in range(3)]
    for c in clients:
        c.subscribe(room, wait=True)
    for n in range(5):
        clients[0].publish(room, n)
    mine.publish(room, 5)
    for c in clients:
        c.pump_count(room, 6)
    want = {'holdfast_connections': 3, 'holdfast_sessions': 3, 'holdfast_subscriptions': 3, 'holdfast_connections_opened_total': 3,
            'holdfast_publishes_total': 6, 'holdfast_deliveries_total': 18}
    wait_until(lambda: {name: mine.metric(name) for name in want} == want, f'the metrics are {want}')
    clients[0].ws.send_close(1000)
    clients[0].expect_close(1000)
    clients[1].cut()
    wait_until(lambda: mine.metric('holdfast_connections') == 1, 'connections fall')
    check_equal(mine.metric('holdfast_sessions'), 3, 'the sessions stay')
    check(mine.metrics().get('holdfast_closes_total{code="1000"}') == 1, f'closes by code: {[k for k in mine.metrics() if "closes" in k]}')


@test(deadline=60)
def metrics_survive_kill_of_a_worker(t):
    mine = t.own(Server(workers=2).start())
    for n in range(40):
        mine.publish(fresh(), n)
    check_equal(mine.metric('holdfast_publishes_total'), 40, 'publishes before')
    for pid in mine.worker_pids():
        mine.kill_worker(pid)
        mine.wait_workers(without=[pid])
    mine.wait_ready()
    check_equal(mine.metric('holdfast_publishes_total'), 40, 'publishes after both were killed')


@test
def slow_and_broken_requests_hinder_nobody(t):
    held = [t.own(Wire(server().api_port)) for _ in range(20)]
    for n, wire in enumerate(held):
        wire.send((b'POST /api/publish HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{"chan', b'GET /met', b'\x16\x03\x01\x00', b'')[n % 4])
    began = time.monotonic()
    for _ in range(20):
        check_equal(server().api('GET', '/healthz').status, 200, 'status meanwhile')
    check(time.monotonic() - began < 5, 'and at once')


if __name__ == '__main__':
    main()
