#!/usr/bin/python3
"""Who is subscribed to a channel, and who comes and goes: exact on all workers, through breaks, resumes, kills and expiry."""
import random

from holdfast_client import Channel, Client
from holdfast_fixture import Fixture
from holdfast_server import Server
from holdfast_test import DEADLINE_S, check, check_equal, main, test, wait_until
from raw_ws import Closed, ConnectionEnded

on = Fixture(workers=2)
server, fresh, client = on.server, on.fresh, on.client
TTL_S = 2


class Watcher(Client):
    """A client that asks for presence events, and keeps the members by them: no join of a member, no leave of somebody else."""

    def __init__(self, port, room, **options):
        super().__init__(port, **options)
        self.room, self.members, self.events, self.missed, self.asked = room, None, [], 0, 0

    def start(self, **options):
        self.connect(**options)
        self.watch()
        return self

    def watch(self):
        channel = self.channels.setdefault(self.room, Channel(self.room))
        channel.asked, channel.told_gap = {}, False
        self.send({'type': 'subscribe', 'channel': self.room, 'presence': True})
        self.wait_for('subscribed', channel=self.room)
        return self.ask()

    def ask(self):
        self.asked += 1
        self.send({'type': 'presence', 'id': f'p{self.asked}', 'channel': self.room})
        return sessions_of(self.wait_for('presence', 3 * DEADLINE_S, id=f'p{self.asked}')['members'])

    def take_presence(self, message):
        check_equal(message['channel'], self.room, 'the channel of the answer')
        self.members = sessions_of(message['members'])

    def take_join(self, message):
        self.take_event(message)
        if self.members is not None:
            check(message['session'] not in self.members, f'a join of one who is no member: {message}')
            self.members.add(message['session'])

    def take_leave(self, message):
        self.take_event(message)
        if self.members is not None:
            check(message['session'] in self.members, f'a leave of a member: {message}')
            self.members.remove(message['session'])

    def take_event(self, message):
        check_equal(message['channel'], self.room, 'the channel of the event')
        check(message['session'] != self.welcome['session'], f'"never about themselves": {message}')
        self.events.append((message['type'], message['session']))

    def take_error(self, message):
        if message.get('re') == 'presence' and 'id' not in message:
            self.missed, self.members = self.missed + 1, None

    def expect_members(self, sessions, deadline_s=DEADLINE_S):
        """By the events alone it comes to these."""
        self.pump(lambda: self.members == set(sessions), f'members {sorted(sessions)}, have {self.members and sorted(self.members)}', deadline_s)


def sessions_of(members):
    sessions = [member['session'] for member in members]
    check_equal(len(sessions), len(set(sessions)), '"one entry per session"')
    return set(sessions)


def session(c):
    return c.welcome['session']


def watcher(t, room, port=None, **options):
    return t.own(Watcher(port or server().port, room)).start(**options)


def member(t, room, port=None):
    c = client(t, port)
    c.subscribe(room, wait=True)
    return c


def by_api(room, to=None):
    return sessions_of((to or server()).post('/api/presence', {'channel': room})['members'])


# The members

@test
def all_subscribers_on_all_workers(t):
    room = fresh()
    clients = [member(t, room) for _ in range(12)]
    others = [client(t) for _ in range(3)]
    for other in others:
        other.subscribe(fresh(), wait=True)
    want = {session(c) for c in clients}
    for c in clients + others:  # whoever asks, subscribed or not, on whichever worker
        c.send({'type': 'presence', 'id': 'x', 'channel': room})
        answer = c.wait_for('presence', id='x')
        check_equal(sessions_of(answer['members']), want, 'members')
        check_equal([one['user'] for one in answer['members']], [''] * 12, 'anonymous users')
    check_equal(by_api(room), want, 'members by the API')


@test
def what_was_answered_is_seen_at_once(t):
    """Read your writes, on any worker: who has his `subscribed` is a member, who has his `unsubscribed` is none."""
    room = fresh()
    asks = [watcher(t, room) for _ in range(4)]
    mine = {session(c) for c in asks}
    for turn in range(20):
        c = member(t, room)
        for one in asks:
            check_equal(one.ask(), mine | {session(c)}, f'members in turn {turn}')
        c.send({'type': 'unsubscribe', 'channel': room})
        c.wait_for('unsubscribed', channel=room)
        for one in asks:
            check_equal(one.ask(), mine, f'members after turn {turn}')
        c.close()


@test
def a_channel_that_nobody_has(t):
    c = client(t)
    c.send({'type': 'presence', 'id': '1', 'channel': fresh()})
    check_equal(c.wait_for('presence', id='1')['members'], [], 'members')


@test
def a_broken_connection_is_no_leave(t):
    room = fresh()
    w = watcher(t, room)
    clients = [member(t, room) for _ in range(8)]
    want = {session(c) for c in clients} | {session(w)}
    w.expect_members(want)
    seen = len(w.events)
    for _ in range(3):
        for c in clients:
            c.cut()
        check_equal(w.ask(), want, 'members while they are away')
        check_equal(by_api(room), want, 'by the API')
        for c in clients:
            c.reconnect()
            check_equal(c.welcome['resumed'], True, 'resumed')
        check_equal(w.ask(), want, 'members after they came back')
    w.settle()
    check_equal(w.events[seen:], [], 'events for breaks and resumes')


# Events

@test
def joins_and_leaves_on_all_workers(t):
    room = fresh()
    watchers = [watcher(t, room) for _ in range(6)]
    want = {session(w) for w in watchers}
    clients = []
    for n in range(6):
        c = member(t, room)
        clients.append(c)
        want.add(session(c))
        for w in watchers:
            w.expect_members(want)
    for n, c in enumerate(clients):
        if n % 3 == 0:
            c.send({'type': 'unsubscribe', 'channel': room})
        elif n % 3 == 1:
            c.send({'type': 'bye'})
        else:
            server().post('/api/disconnect', {'session': session(c)})
        want.remove(session(c))
        for w in watchers:
            w.expect_members(want)
    for w in watchers:
        check_equal(w.ask(), want, 'what the events added up to')
        check_equal(w.missed, 0, 'nothing was left out')


@test
def no_events_without_asking(t):
    room = fresh()
    quiet = member(t, room)
    w = watcher(t, room)
    c = member(t, room)
    w.expect_members({session(quiet), session(w), session(c)})
    quiet.settle()
    check(not any(m['type'] in ('join', 'leave') for m in quiet.seen), 'no event for one who did not ask')
    # "Again on a subscribed channel: […] mode and presence are replaced"
    w.send({'type': 'subscribe', 'channel': room, 'presence': False})
    w.wait_for('subscribed', channel=room)
    before = len(w.events)
    quiet.send({'type': 'subscribe', 'channel': room, 'presence': True})
    quiet.wait_for('subscribed', channel=room)
    d = member(t, room)
    quiet.wait_for('join', session=session(d))
    w.settle()
    check_equal(len(w.events), before, 'events after presence was given up')


@test(deadline=60)
def expiry_is_told(t):
    mine = t.own(Server(workers=2, session_ttl=f'{TTL_S}s').start())
    room = fresh()
    watchers = [watcher(t, room, mine.port) for _ in range(4)]
    want = {session(w) for w in watchers}
    clients = [member(t, room, mine.port) for _ in range(6)]
    for w in watchers:
        w.expect_members(want | {session(c) for c in clients})
    for c in clients:
        c.cut()
    for w in watchers:
        w.expect_members(want, 3 * DEADLINE_S)
        check_equal(w.ask(), want, 'asked')
    check_equal(by_api(room, mine), want, 'by the API')


@test
def watching_goes_on_after_a_resume(t):
    """What happened during the break is not told: the client asks, and events go on from the answer."""
    room = fresh()
    w = watcher(t, room)
    first = member(t, room)
    w.expect_members({session(w), session(first)})
    w.cut()
    second = member(t, room)
    first.send({'type': 'bye'})
    first.expect_close(1000)
    w.reconnect()
    check_equal(w.welcome['resumed'], True, 'resumed')
    w.members = None
    check_equal(w.ask(), {session(w), session(second)}, 'asked after the resume')
    third = member(t, room)
    w.expect_members({session(w), session(second), session(third)})


@test(deadline=120)
def a_watcher_that_does_not_read_is_told_what_it_missed(t):
    """Its socket is full: joins and leaves beyond a bound are left out, it is told so, and what it asks then is right."""
    room = fresh()
    w = watcher(t, room)
    me = {session(w)}
    talker = client(t)
    c = client(t)
    payload = 'x' * 60000
    for n in range(200):  # more than two sockets hold
        talker.publish(room, payload)
        if n % 20 == 19:
            talker.wait_acked()
    talker.wait_acked()
    for n in range(400):
        c.send({'type': 'subscribe', 'channel': room})
        c.channels.setdefault(room, Channel(room))
        c.wait_for('subscribed', channel=room)
        c.send({'type': 'unsubscribe', 'channel': room})
        c.wait_for('unsubscribed', channel=room)
    w.members = None
    w.pump(lambda: w.missed > 0, 'it is told that events were left out', 3 * DEADLINE_S)
    check_equal(w.ask(), me, 'members')
    d = member(t, room)
    w.expect_members(me | {session(d)})


# The backend's orders

@test
def subscribed_by_the_backend(t):
    for _ in range(6):  # from and to whichever worker
        room = fresh()
        w = watcher(t, room)
        c = client(t)
        c.channels[room] = Channel(room)
        check_equal(server().post('/api/subscribe', {'session': session(c), 'channel': room}), {'subscribed': 1}, 'answer')
        c.wait_for('subscribed', channel=room)
        w.expect_members({session(w), session(c)})
        check_equal(server().post('/api/subscribe', {'session': session(c), 'channel': room}), {'subscribed': 1}, 'again')
        server().publish(room, 'x')
        check_equal(c.pump_count(room, 1), ['x'], 'payloads')
        check_equal(server().post('/api/unsubscribe', {'session': session(c), 'channel': room}), {'unsubscribed': 1}, 'answer')
        told = c.wait_for('unsubscribed', channel=room)
        check(told.get('code') and told.get('reason'), f'"with code where the server decided": {told}')
        w.expect_members({session(w)})
        check_equal(server().post('/api/unsubscribe', {'session': session(c), 'channel': room}), {'unsubscribed': 0}, 'again')
        c.settle()
        check_equal(sum(m['type'] == 'subscribed' for m in c.seen), 1, 'pushed once')


@test
def orders_reach_a_session_without_a_connection(t):
    for _ in range(6):
        room, left = fresh(), fresh()
        w = watcher(t, room)
        c = member(t, left)
        c.cut()
        check_equal(server().post('/api/subscribe', {'session': session(c), 'channel': room}), {'subscribed': 1}, 'subscribe')
        check_equal(server().post('/api/unsubscribe', {'session': session(c), 'channel': left}), {'unsubscribed': 1}, 'unsubscribe')
        w.expect_members({session(w), session(c)})
        check_equal(by_api(left), set(), 'members of the other')
        server().publish(room, 'x')
        server().publish(left, 'y')
        c.channels.pop(left)
        c.reconnect()
        check_equal(c.welcome['resumed'], True, 'resumed')
        check_equal([one['channel'] for one in c.welcome['channels']], [room], 'subscriptions')
        check_equal(c.pump_count(room, 1), ['x'], 'payloads since the subscription')


@test
def orders_that_are_no_good(t):
    c = client(t)
    for path in ('/api/subscribe', '/api/unsubscribe'):
        for body in ({}, {'session': session(c)}, {'channel': 'a'}, {'session': session(c), 'user': 'u', 'channel': 'a'},
                     {'session': 7, 'channel': 'a'}, {'session': session(c), 'channel': ''}, {'session': session(c), 'channel': 'a\n'}, []):
            answer = server().api('POST', path, body)
            check_equal((answer.status, answer.json['code']), (400, 'bad_message'), f'{path} {body}')
    answer = server().api('POST', '/api/subscribe', {'session': '0123456789abcdef', 'channel': 'a'})
    check_equal((answer.status, answer.json['code']), (404, 'not_found'), 'a session that there is not')
    check_equal(server().post('/api/subscribe', {'user': 'nobody', 'channel': 'a'}), {'subscribed': 0}, 'a user without sessions')
    check_equal(server().post('/api/disconnect', {'user': 'nobody'}), {'disconnected': 0}, 'a user without sessions')
    for body in ({}, {'channel': 7}, {'channel': 'a', 'limit': 0}, {'channel': 'a', 'limit': 10001}, {'channel': 'a', 'after': 7}):
        answer = server().api('POST', '/api/presence', body)
        check_equal((answer.status, answer.json['code']), (400, 'bad_message'), f'presence {body}')


@test
def a_subscription_too_many(t):
    mine = t.own(Server(workers=2, subscriptions_max=2).start())
    connected, parked = client(t, mine.port), client(t, mine.port)
    for c in (connected, parked):
        for _ in range(2):
            c.subscribe(fresh(), wait=True)
    parked.cut()
    for c in (connected, parked):
        answer = mine.api('POST', '/api/subscribe', {'session': session(c), 'channel': fresh()})
        check_equal((answer.status, answer.json['code']), (507, 'limit'), 'beyond session.subscriptions')


@test
def members_in_pages(t):
    room = fresh()
    want = {session(member(t, room)) for _ in range(7)}
    got, after, pages = [], None, 0
    while True:
        body = {'channel': room, 'limit': 3, **({'after': after} if after else {})}
        answer = server().post('/api/presence', body)
        check_equal(answer['total'], 7, 'total')
        got += [one['session'] for one in answer['members']]
        after, pages = answer.get('next'), pages + 1
        if after is None:
            break
    check_equal((got, pages), (sorted(want), 3), 'members, in order, each once')


# Kills

@test(deadline=240)
def exact_when_workers_die(t):
    """Sessions come, go, break and move between workers, which are killed in turn. At rest everybody has the same members, and events have told of all."""
    mine = t.own(Server(workers=2, session_ttl='60s').start())
    room = fresh()
    rng = random.Random(int.from_bytes(__import__('os').urandom(4), 'big'))
    watchers = [watcher(t, room, mine.port) for _ in range(4)]
    clients = {}
    for turn in range(60):
        if turn % 12 == 6:
            mine.kill_worker(rng.choice(mine.wait_workers()))
        what = rng.randrange(4)
        if what == 0 or len(clients) < 4:
            c = client_that_comes(t, mine)
            if keep(c, lambda c=c: c.subscribe(room, wait=True)):
                clients[session(c)] = c
        else:
            c = rng.choice(list(clients.values()))
            if what == 1:
                clients.pop(session(c))
                leave(c, room)
            else:
                c.cut()
                c.reconnect(3 * DEADLINE_S)
                check_equal(c.welcome['resumed'], True, 'resumed')
    mine.wait_workers()
    want = {session(w) for w in watchers} | set(clients)
    wait_until(lambda: by_api(room, mine) == want, f'the API has {len(want)} members', 3 * DEADLINE_S)
    for w in watchers:
        keep(w, lambda w=w: w.expect_members(want, 3 * DEADLINE_S))
        check_equal(keep(w, w.ask), want, 'members')


def client_that_comes(t, to):
    c = t.own(Client(to.port))
    c.reconnect(3 * DEADLINE_S)
    return c


def leave(c, room):
    """Until it is certain that it has gone."""
    def unsubscribe():
        c.send({'type': 'unsubscribe', 'channel': room})
        return c.wait_for('unsubscribed', channel=room)
    keep(c, unsubscribe)
    c.close()


def keep(c, work):
    """Do the work; when its connection breaks, resume, ask anew, and do it again."""
    for _ in range(20):
        try:
            return work()
        except (ConnectionEnded, Closed):
            c.reconnect(3 * DEADLINE_S)
            check_equal(c.welcome['resumed'], True, 'resumed')
            if isinstance(c, Watcher):
                keep_asking(c)
    raise AssertionError('broken 20 times')


def keep_asking(w):
    w.members = None
    try:
        w.ask()
    except (ConnectionEnded, Closed):
        pass  # The work will find the connection broken as well.


if __name__ == '__main__':
    main()
