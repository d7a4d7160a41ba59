#!/usr/bin/python3
"""The demo's side in the server (docs/demo.md): its page, its feed, and the harm that it does, seen by clients that are not browsers."""
import itertools
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from holdfast_client import Client
from holdfast_server import Server, SharedServer, run_holdfast
from holdfast_test import check, check_equal, main, test, wait_until

demo = SharedServer(workers=2, arguments=('--demo',))
numbers = itertools.count(1)


def fresh():
    return f'room-{next(numbers)}'


def client(t, **options):
    return t.own(Client(demo().port, **options)).connect()


def harm(path, session, **options):
    """POST until the rate of the harm allows it."""
    def done():
        answer = demo().api('POST', f'/demo/{path}', {'session': session}, **options)
        return answer if answer.status != 429 else None
    return wait_until(done, f'POST /demo/{path} is not refused for its rate')


@test
def the_page_is_served_with_its_files(t):
    page = demo().api('GET', '/')
    check_equal((page.status, page.headers['Content-Type']), (200, 'text/html; charset=utf-8'), 'GET /')
    text = page.body.decode()
    for path in ('/demo/style.css', '/demo/page.js', '/demo/icon.svg'):
        check(f'"{path}"' in text, f'the page names {path}')
        check_equal(demo().api('GET', path).status, 200, f'GET {path}')
    for asset in (text, demo().api('GET', '/demo/style.css').body.decode()):
        check('//' not in asset.replace('http://www.w3.org/', ''), 'an address of another host stands in the page')
    server = demo().api('GET', '/demo/server').json
    check_equal((server['scheme'], server['host'], server['port'], server['workers']), ('ws', '127.0.0.1', demo().port, 2), 'where clients connect')


@test
def the_feed_comes(t):
    reader = client(t)
    reader.subscribe('demo.chart', mode='latest')
    got = []
    wait_until(lambda: got.append(reader.wait_for('data', channel='demo.chart')['payload']) or len(got) >= 5, 'five values of the chart')
    check(all(a['at'] < b['at'] for a, b in zip(got, got[1:])), f'they are in order: {got}')


@test
def a_dropped_connection_ends_without_a_word_and_resumes(t):
    for _ in range(4):  # the request and the connection may have come to different workers
        one = client(t)
        channel = fresh()
        one.subscribe(channel, wait=True)
        check_equal(harm('drop', one.welcome['session']).status, 200, 'POST /demo/drop')
        one.ws.expect_end()
        for path in ('drop', 'freeze', 'kill-worker'):  # The session is there, its connection is not.
            check_equal(harm(path, one.welcome['session']).status, 404, f'POST /demo/{path} of a parked session')
        demo().publish(channel, 'missed')
        one.connect()
        check(one.welcome['resumed'], 'the session is resumed')
        check_equal(one.pump_count(channel, 1), ['missed'], 'what was missed')


@test(deadline=90)
def a_frozen_connection_swallows_both_ways_and_thaws(t):
    one, channel = client(t), fresh()
    one.subscribe(channel, wait=True)
    check_equal(harm('freeze', one.welcome['session']).status, 200, 'POST /demo/freeze')
    began = time.monotonic()
    one.publish(channel, 'on the way in')
    demo().publish(channel, 'on the way out')
    check_equal(one.pump_count(channel, 2, deadline_s=60), ['on the way out', 'on the way in'], 'what comes when it thaws')
    frozen_s = time.monotonic() - began
    check(18 < frozen_s, f'it was frozen for {frozen_s:.1f} s')


@test
def a_session_leaves_its_frozen_connection(t):
    one, channel = client(t), fresh()
    one.subscribe(channel, wait=True)
    check_equal(harm('freeze', one.welcome['session']).status, 200, 'POST /demo/freeze')
    one.publish(channel, 'swallowed')
    one.connect()
    check(one.welcome['resumed'], 'the session is resumed beside the frozen connection')
    check_equal(one.pump_count(channel, 1), ['swallowed'], 'the publish was sent again, and applied once')


@test
def the_worker_that_holds_the_session_is_killed(t):
    one, channel = client(t), fresh()
    one.subscribe(channel, wait=True)
    mine = demo().worker_of(one.ws.sock)
    check_equal(harm('kill-worker', one.welcome['session']).status, 200, 'POST /demo/kill-worker')
    demo().wait_workers(without=[mine])
    demo.workers_changed()
    one.reconnect()
    check(one.welcome['resumed'], 'the session is resumed')
    demo().publish(channel, 'after')
    check_equal(one.pump_count(channel, 1), ['after'], 'what comes after it')
    check('event=worker_died' in demo().log() and 'signal=9' in demo().log(), 'the log tells of it')


@test
def kills_have_a_rate(t):
    one = client(t)
    before = demo().worker_of(one.ws.sock)
    check_equal(harm('kill-worker', one.welcome['session']).status, 200, 'POST /demo/kill-worker')
    answer = demo().api('POST', '/demo/kill-worker', {'session': one.welcome['session']})
    check_equal((answer.status, answer.json['code']), (429, 'rate_limited'), 'another one at once')
    demo().wait_workers(without=[before])
    demo.workers_changed()


@test
def a_killed_worker_is_replaced_at_once_each_time(t):
    lonely = t.own(Server(workers=1, arguments=('--demo',))).start()
    for deaths in (1, 2, 3):  # As fast as the rate allows: none of them lives long enough to count as stable.
        one = t.own(Client(lonely.port)).connect()

        def killed():
            return lonely.api('POST', '/demo/kill-worker', {'session': one.welcome['session']}).status == 200
        before = lonely.worker_of(one.ws.sock)
        wait_until(killed, 'POST /demo/kill-worker is not refused for its rate')
        lonely.wait_workers(without=[before])
        waits = [line.split('restart_in_ms=')[1].split()[0] for line in lonely.log().splitlines() if 'event=worker_died' in line]
        check_equal(waits, ['0'] * deaths, 'how long a successor was kept waiting')


@test
def harm_is_refused_to_other_pages_and_for_nobody(t):
    one = client(t)
    body = {'session': one.welcome['session']}
    for path in ('drop', 'freeze', 'kill-worker'):
        answer = demo().api('POST', f'/demo/{path}', body, headers={'Origin': 'http://evil.example'})
        check_equal((answer.status, answer.json['code']), (403, 'forbidden'), f'{path} from another page')
        check_equal(harm(path, 'ffffffffffffffff').status, 404, f'{path} of a session that there is not')
        check_equal(demo().api('GET', f'/demo/{path}').status, 405, f'GET /demo/{path}')
    one.settle()  # It stands.
    own = {'Origin': f'http://127.0.0.1:{demo().api_port}'}
    check_equal(harm('drop', body['session'], headers=own).status, 200, 'from its own page')
    one.ws.expect_end()


@test
def without_the_demo_there_is_nothing_of_it(t):
    plain = t.own(Server(workers=1)).start()
    one = t.own(Client(plain.port)).connect()
    for method, path in (('GET', '/demo/page.js'), ('POST', '/demo/drop'), ('POST', '/demo/freeze'), ('POST', '/demo/kill-worker')):
        answer = plain.api(method, path, {'session': one.welcome['session']} if method == 'POST' else None)
        check_equal(answer.status, 404, f'{method} {path}')
    check_equal(plain.post('/api/disconnect', {'session': one.welcome['session'], 'code': 4000})['disconnected'], 1, 'the API is as ever')
    for code in (1, 2):
        answer = plain.api('POST', '/api/disconnect', {'session': one.welcome['session'], 'code': code})
        check_equal(answer.status, 400, f'harm {code} is no close code')
    names = [channel['channel'] for channel in plain.api('GET', '/api/channels').json['channels']]
    check('demo.chart' not in names, 'there is no feed')
    check('serve --demo' in plain.log(), 'the ready text names the demo')


@test
def an_address_that_others_reach_is_refused(t):
    status, _, said = run_holdfast('serve', '--demo', '--listen', '0.0.0.0:1')
    check_equal((status, said.count('\n')), (2, 1), 'exit status, lines')
    check('0.0.0.0:1' in said and 'demo.remote=true' in said, f'it says what to do: {said}')


if __name__ == '__main__':
    main()
