#!/usr/bin/python3
"""Sessions for those who run the server: the list with its search, and what happened to one ("why was it disconnected?")."""
import time

from holdfast_client import Client
from holdfast_fixture import Fixture
from holdfast_server import Server
from holdfast_test import check, check_equal, main, test, wait_until

on = Fixture(workers=2)
server, fresh, client = on.server, on.fresh, on.client


def ask(path, where=None):
    answer = (where or server()).api('GET', path)
    check_equal(answer.status, 200, f'{path}: {answer}')
    return answer.json


def id_of(c):
    return c.welcome['session']


def listed(where=None, **query):
    text = '&'.join(f'{name}={value}' for name, value in query.items())
    return ask('/api/sessions' + ('?' + text if text else ''), where)


def detail(session, where=None):
    return ask(f'/api/session?session={session}', where)


def events_of(session, where=None):
    return [event['event'] for event in detail(session, where)['events']]


@test
def a_session_is_listed_and_found_by_its_id(t):
    c = client(t)
    c.subscribe(fresh(), wait=True)
    found = listed(search=id_of(c))['sessions']
    check_equal([(s['session'], s['state'], s['subscriptions']) for s in found], [(id_of(c), 'attached', 1)], 'the whole id')
    check(id_of(c) in [s['session'] for s in listed(search=id_of(c)[:8])['sessions']], 'the beginning of an id')
    check_equal(listed(search='nobody-is-called-so')['sessions'], [], 'nobody')


@test
def where_a_session_comes_from_is_listed(t):
    some = [client(t) for _ in range(6)]  # on whichever workers
    for _ in range(3):
        for c in some:
            found = listed(search=id_of(c))['sessions']
            check_equal([s['address'] for s in found], [c.welcome['address']], 'the address of its newest connection')
            began = time.time()
            wait_until(lambda: time.time() - began > 0.003, 'the next millisecond: events of two workers in the same one have no order', step_s=0.001)
            c.cut()
            c.connect()
            check_equal(c.welcome['resumed'], True, 'resumed')
    shown = {s['session']: s['address'] for s in listed()['sessions'] if 'address' in s}
    check_equal({id_of(c): shown.get(id_of(c)) for c in some}, {id_of(c): c.welcome['address'] for c in some}, 'in a page of many')


@test
def pages_show_each_session_once(t):
    every = [id_of(client(t)) for _ in range(7)]
    seen, after = [], 0
    for _ in range(100):
        page = listed(limit=2, after=after)
        check(len(page['sessions']) <= 2, f'at most the limit: {page}')
        seen += [s['session'] for s in page['sessions']]
        if 'next' not in page:
            break
        after = page['next']
    check('next' not in page, 'the last page has no next')
    check_equal(len(seen), len(set(seen)), 'each once')
    check(set(every) <= set(seen), f'all of them: {every} in {seen}')


@test
def a_broken_connection_is_told_and_so_is_its_resume(t):
    c = client(t)
    room = fresh()
    c.subscribe(room, wait=True)
    c.ws.rst()
    wait_until(lambda: detail(id_of(c))['state'] == 'waiting', 'the session waits for its client')
    waiting = detail(id_of(c))
    check_equal(waiting['events'][0]['by'], 'path', 'nobody said goodbye')
    check_equal(waiting['positions'][0]['channel'], room, 'its subscription stays')
    check(waiting['events'][-1]['event'] == 'session began' and waiting['events'][-1]['address'].startswith('127.0.0.1'), f'the beginning: {waiting}')
    c.reconnect()
    check_equal(events_of(id_of(c)), ['resumed', 'cut without a word', 'session began'], 'newest first')


@test
def an_ended_session_is_still_told(t):
    c = client(t)
    session = id_of(c)
    server().post('/api/disconnect', {'session': session})
    wait_until(lambda: detail(session)['state'] == 'ended', 'it has ended')
    check_equal(events_of(session), ['session ended by the backend', 'session began'], 'what is known of it')


@test
def events_outlive_the_worker(t):
    own = t.own(Server(workers=1)).start()
    c = t.own(Client(own.port)).connect()
    before = own.worker_pids()
    own.kill_worker(before[0])
    own.wait_workers(without=before)
    c.reconnect()
    check_equal(events_of(id_of(c), own)[0], 'resumed', 'the newest')
    check_equal(events_of(id_of(c), own)[-1], 'session began', 'from before the death')


@test
def what_cannot_be_answered_is_refused_with_a_reason(t):
    for path, status in (('/api/session', 400), ('/api/session?session=', 404), ('/api/session?session=0123456789abcdef', 404),
                         ('/api/session?session=nonsense', 404), ('/api/sessions?limit=0', 400), ('/api/sessions?after=x', 400), ('/api/sessions?search=%ff', 400)):
        answer = server().api('GET', path)
        check_equal(answer.status, status, f'{path}: {answer}')
        check(answer.json.get('reason'), f'{path}: {answer}')


main()
