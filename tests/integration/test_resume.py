#!/usr/bin/python3
"""Sessions over breaks: the section "Resume" of PROTOCOL.md, on the same worker, on another, and when workers die."""
import json
import random
import time

import raw_ws
from fault_proxy import FaultProxy
from holdfast_client import Channel, Client
from holdfast_fixture import Fixture
from holdfast_server import Server
from holdfast_test import PATIENCE, check, check_equal, check_in, main, test, wait_until
from raw_ws import Closed, ConnectionEnded, RawWs, Refused, upgrade_request

on = Fixture(workers=2)
server, fresh, client, publish, payloads_of = on.server, on.fresh, on.client, on.publish, on.payloads_of


def open_tcp(t, wanted, what, of=None):
    """A TCP connection that the wanted worker has accepted; nothing has been sent on it."""
    of = of or server()
    return t.own(of.open_on(lambda: RawWs(of.port), wanted, what))


def send_resume(c, ws, attempt=None):
    """The one thing that a client sends to resume."""
    path, protocols, headers = c.opening('protocol', attempt)
    ws.send(upgrade_request(path, protocols, headers))


def take_answer(c, ws):
    """The 101 and the welcome of a resume, on a connection that the test has opened itself."""
    response = ws.read_response()
    if response.status != 101:
        raise Refused(response)
    c.adopt(ws)


# The ways of the ticket

@test
def ticket_by_protocol_header_and_query(t):
    for way in ('protocol', 'header', 'query'):
        room = fresh()
        c = client(t)
        c.subscribe(room, wait=True)
        c.publish(room, 'mine')
        c.pump_count(room, 1)
        c.wait_acked()
        c.ack(room)
        c.settle()
        c.cut()
        publish(room, 3)
        c.connect(resume=way)
        check_equal((c.welcome['resumed'], c.welcome['lastSeq']), (True, 1), f'resumed and lastSeq by {way}')
        check_equal(c.welcome['channels'], [{'channel': room, 'epoch': c.channels[room].epoch, 'offset': 1}], 'channels')
        check_equal(c.pump_count(room, 4), ['mine', 1, 2, 3], 'payloads')


@test
def attempt_by_header_and_query(t):
    for way in ('header', 'query'):
        c = client(t)
        c.cut()
        c.connect(resume=way, attempt=3)
        c.cut()
        status = refused_with(lambda: c.connect(resume=way, attempt=3))
        check_equal(status, 409, f'status of the same attempt by {way}')


@test
def resumes_many_times(t):
    room = fresh()
    c = client(t)
    c.subscribe(room, wait=True)
    ticket = c.ticket
    for n in range(30):
        c.publish(room, n)
        if n % 3:
            c.settle()
        c.cut()
        c.connect()
        check_equal((c.welcome['resumed'], c.ticket), (True, ticket), f'resume {n}')
    c.wait_acked()
    check_equal(c.pump_count(room, 30), list(range(30)), 'payloads')


@test
def fin_rst_and_close_all_leave_the_session(t):
    ends = {'RST': lambda c: c.cut(), 'FIN': lambda c: c.abandon(), 'close 1001': lambda c: (c.ws.send_close(1001), c.expect_close(1001)),
            'close 4000': lambda c: (c.ws.send_close(4000), c.expect_close(4000)), 'a protocol fault': lambda c: (c.ws.send(b'\xff' * 14), c.expect_close(1002))}
    for what, end in ends.items():
        room = fresh()
        c = client(t)
        c.subscribe(room, wait=True)
        end(c)
        publish(room, 2)
        c.connect()
        check_equal(c.welcome['resumed'], True, f'resumed after {what}')
        check_equal(c.pump_count(room, 2), [1, 2], 'payloads')


@test
def all_256_subscriptions_are_resumed(t):
    prefix = fresh('many')
    rooms = [f'{prefix}-{n}' for n in range(256)]
    c = client(t)
    for room in rooms:
        c.subscribe(room)
    c.pump(lambda: all(c.channels[room].subscribed for room in rooms), 'all are subscribed')
    c.cut()
    for room in rooms[::16]:
        publish(room, 1)
    c.connect()
    check_equal(sorted(entry['channel'] for entry in c.welcome['channels']), sorted(rooms), 'channels of the welcome')
    c.pump(lambda: all(c.channels[room].messages for room in rooms[::16]), 'what was published meanwhile')


@test
def latest_mode_is_resumed(t):
    room = fresh()
    publish(room, 3)
    c = client(t)
    c.subscribe(room, mode='latest', wait=True)
    c.pump_count(room, 1)
    c.cut()
    publish(room, 5, first=4)
    c.connect()
    c.pump_count(room, 2)
    c.settle()
    check_equal(c.channels[room].payloads(), [3, 8], '"the newest value at once, also on a resume"')
    check_equal(c.channels[room].gaps, [], 'gaps')


@test
def unsubscribed_stays_unsubscribed(t):
    room = fresh()
    c = client(t)
    c.subscribe(room, wait=True)
    c.send({'type': 'unsubscribe', 'channel': room})
    c.wait_for('unsubscribed')
    c.cut()
    c.connect()
    check_equal(c.welcome['channels'], [], 'channels')


# One round trip

@test
def missed_messages_come_in_the_flight_of_the_101_on_another_worker(t):
    for _ in range(5):
        room = fresh()
        c = client(t)
        home = server().worker_of(c.ws.sock)
        c.subscribe(room, wait=True)
        publish(room, 2)
        c.pump_count(room, 2)
        c.ack(room, 1)
        c.settle()
        c.cut()
        publish(room, 20, first=3)
        ws = open_tcp(t, lambda pid: pid != home, 'the other worker')
        check_equal(ws.record, [], 'nothing came before the request')
        send_resume(c, ws)  # one write; from here on nothing more is sent
        take_answer(c, ws)
        check_equal(c.welcome['resumed'], True, 'resumed')
        check_equal(c.pump_count(room, 22), list(range(1, 23)), 'payloads')
        first = ws.record[0][1]
        for sign in (b'HTTP/1.1 101', b'"welcome"', b'"offset":2,', b'"offset":22,'):
            check(sign in first, f'the first write holds {sign}: {first[-200:]}')


@test
def resume_takes_one_round_trip_over_a_slow_path(t):
    # The path needs 300 ms each way: the answer and all that was missed are there after one round trip, not after two.
    proxy = t.own(FaultProxy(server().port))
    room = fresh()
    c = client(t)
    c.subscribe(room, wait=True)
    c.cut()
    publish(room, 50)
    proxy.delay_s = 0.3
    ws = t.own(RawWs(proxy.port))
    began = time.monotonic()
    send_resume(c, ws)
    take_answer(c, ws)
    c.pump_count(room, 50)
    took = time.monotonic() - began
    check(0.6 <= took < 1.1, f'one round trip of 0.6 s: {took:.2f} s')


# Takeover and generations

@test
def takeover_closes_the_older_with_4001(t):
    for same in (True, False):
        room = fresh()
        old = client(t)
        old.subscribe(room, wait=True)
        home = server().worker_of(old.ws.sock)
        new = takeover(t, old, lambda pid: (pid == home) == same)
        check_equal(new.welcome['resumed'], True, 'resumed')
        check_equal(old.ws and close_of(old), 4001, f'close code of the older connection, on {"the same" if same else "another"} worker')
        publish(room, 2)
        check_equal(new.pump_count(room, 2), [1, 2], 'payloads on the newer')


def takeover(t, old, wanted, attempt=None):
    """A second client object with the session of the first, on a connection of its own."""
    new = t.own(Client(old.port))
    new.ticket, new.welcome, new.next_seq, new.ack_seq, new.offsets = old.ticket, old.welcome, old.next_seq, old.ack_seq, dict(old.offsets)
    for channel in old.channels.values():
        copy = new.channels[channel.name] = Channel(channel.name, channel.mode)
        copy.epoch, copy.position, copy.sent_ack, copy.subscribed = channel.epoch, channel.position, channel.sent_ack, True
    ws = open_tcp(t, wanted, 'the wanted worker')
    send_resume(new, ws, attempt)
    take_answer(new, ws)
    return new


def close_of(c):
    try:
        while True:
            c.recv()
    except Closed as closed:
        return closed.code
    except ConnectionEnded as ended:
        return ended.how


@test
def takeover_flushes_the_older(t):
    # "Its older connection, if any, gets its output flushed as far as the socket takes it and is closed with 4001."
    room = fresh()
    old = client(t)
    old.subscribe(room, wait=True)
    publish(room, 30)
    takeover(t, old, lambda pid: True)
    check_equal(close_of(old), 4001, 'close code')
    check_equal(old.channels[room].payloads(), list(range(1, 31)), 'what the older got before')


@test
def takeover_ping_pong_keeps_one_connection(t):
    room = fresh()
    holders = [client(t)]
    holders[0].subscribe(room, wait=True)
    for _ in range(12):
        holders.append(takeover(t, holders[-1], lambda pid: True))
    for old in holders[:-1]:
        check_equal(close_of(old), 4001, 'close code')
    publish(room, 1)
    check_equal(holders[-1].pump_count(room, 1), [1], 'payloads')


def refused_with(connect):
    try:
        connect()
    except Refused as refused:
        body = json.loads(refused.response.body)
        check(body.get('code') and body.get('reason'), f'a body that tells: {body}')
        return refused.status
    return None


@test
def attempt_that_is_not_the_newest_is_409(t):
    room = fresh()
    c = client(t)
    c.subscribe(room, wait=True)
    c.cut()
    c.connect(attempt=5)
    for attempt in (5, 4, 1):
        other = t.own(Client(server().port))
        other.ticket, other.welcome = c.ticket, c.welcome
        check_equal(refused_with(lambda: other.connect(attempt=attempt)), 409, f'status of attempt {attempt}')
    c.settle()  # the refused ones have not disturbed it
    c.connect(attempt=6)
    check_equal(c.welcome['resumed'], True, 'resumed by attempt 6')
    publish(room, 1)
    check_equal(c.pump_count(room, 1), [1], 'payloads')


@test
def refused_attempt_is_409_on_every_worker(t):
    c = client(t)
    c.cut()
    c.connect(attempt=9)
    home = server().worker_of(c.ws.sock)
    for wanted in (lambda pid: pid == home, lambda pid: pid != home):
        ws = open_tcp(t, wanted, 'the wanted worker')
        send_resume(c, ws, attempt=9)
        check_equal(ws.read_response().status, 409, 'status')


@test
def superseded_connection_is_not_applied(t):
    # "Every resume raises the session's generation: what a superseded connection still sends is not applied."
    for same in (True, False):
        room = fresh()
        proxy = t.own(FaultProxy(server().port))
        old = t.own(Client(proxy.port)).connect()
        home = server().worker_of(direct_socket(proxy))
        proxy.freeze()
        for n in range(20):
            old.publish(room, f'old {n}')
        new = t.own(Client(server().port))
        new.ticket, new.welcome = old.ticket, old.welcome
        ws = open_tcp(t, lambda pid: (pid == home) == same, 'the wanted worker')
        send_resume(new, ws)
        take_answer(new, ws)
        for n in range(20):
            new.publish(room, f'new {n}')
        proxy.thaw()
        check_in(close_of(old), (4001, 'fin', 'rst'), 'the end of the older')  # our late bytes may have met a closed socket
        new.wait_acked()
        check_equal(payloads_of(room), [f'new {n}' for n in range(20)], 'the channel')


def direct_socket(proxy):
    with proxy.lock:
        return proxy.links[-1].server


# What is lost when a connection dies with publishes under way

@test(deadline=120)
def publishes_survive_cuts_at_random_bytes(t):
    rng = random.Random(20)
    room = fresh()
    c = client(t)
    c.subscribe(room, wait=True)
    sent = 0
    for _ in range(25):
        stream = b''
        for _ in range(20):
            c.pending[c.next_seq] = json.dumps({'type': 'data', 'channel': room, 'payload': sent, 'seq': c.next_seq})
            stream += raw_ws.frame(raw_ws.TEXT, c.pending[c.next_seq])
            c.next_seq, sent = c.next_seq + 1, sent + 1
        c.ws.send(stream[:rng.randrange(len(stream))])
        c.cut() if rng.random() < 0.5 else c.abandon()
        c.connect()
        check_equal(c.welcome['resumed'], True, 'resumed')
        if rng.random() < 0.5:
            c.settle()
            c.ack(room)
    c.wait_acked()
    check_equal(c.pump_count(room, sent), list(range(sent)), 'payloads')
    check_equal(payloads_of(room), list(range(sent)), 'the channel')


@test
def last_32_refusals_are_told_on_resume(t):
    room = fresh()
    c = client(t)
    for _ in range(40):
        c.publish(room, 'x' * 66000)
    c.pump(lambda: len(c.nacks) == 40, 'all are refused')
    c.cut()
    c.connect()
    check_equal(c.welcome['lastSeq'], 40, '"lastSeq: the highest seq applied or refused"')
    c.settle()
    told = [message for message in c.seen if message['type'] == 'nack']
    check_equal([nack['seq'] for nack in told], list(range(9, 41)), 'seqs of the nacks')
    check_equal({nack['code'] for nack in told}, {'too_large'}, 'codes')


@test
def lost_nack_is_told_on_resume(t):
    room = fresh()
    c = client(t)
    c.publish(room, 1)
    c.publish(room, 'x' * 66000)
    c.publish(room, 3)
    wait_until(lambda: payloads_of(room) == [1, 3], 'they have been handled')
    c.cut()
    c.connect()
    c.settle()
    check_equal((c.welcome['lastSeq'], list(c.nacks)), (3, [2]), 'lastSeq and nacks')


# The end of a session

def short_lived(t, **more):
    return t.own(Server(workers=2, session_ttl='300ms', **more).start())


def wait_expired(of):
    wait_until(lambda: of.metric('holdfast_sessions') == 0, 'the sessions expire', 30 * PATIENCE)


@test
def expired_session_leaves_a_tombstone(t):
    mine = short_lived(t)
    room = fresh()
    c = client(t, mine.port)
    check_equal(c.welcome['ttl'], 300, 'ttl')
    c.subscribe(room, wait=True)
    for n in range(7):
        c.publish(room, n)
    c.wait_acked()
    c.pump_count(room, 7)
    c.cut()
    wait_expired(mine)
    publish(room, 3, first=7, to=mine)
    c.connect()
    check_equal((c.welcome['resumed'], c.welcome['lastSeq'], c.welcome['channels']), (False, 7, []), 'the welcome')
    # The client has subscribed again with since, and begun its numbers anew.
    check_equal(c.pump_count(room, 10), list(range(10)), 'payloads')
    check_equal((c.channels[room].gaps, c.uncertain), ([], []), 'gaps and uncertain publishes')
    check_equal(c.publish(room, 10), 1, 'the new session\'s first seq')
    c.wait_acked()
    check_equal(c.pump_count(room, 11), list(range(11)), 'payloads')


@test
def tombstone_decides_what_is_sent_again(t):
    mine = short_lived(t)
    room = fresh()
    c = client(t, mine.port)
    for n in range(5):
        c.publish(room, n)
    wait_until(lambda: len(payloads_of(room, mine)) == 5, 'all five are applied')
    c.cut()  # none of the acks was read
    for n in (5, 6):
        c.pending[c.next_seq] = json.dumps({'type': 'data', 'channel': room, 'payload': n, 'seq': c.next_seq})
        c.next_seq += 1
    wait_expired(mine)
    c.connect()
    check_equal((c.welcome['resumed'], c.welcome['lastSeq']), (False, 5), 'resumed and lastSeq')
    c.wait_acked()
    check_equal(payloads_of(room, mine), list(range(7)), 'the channel')


@test
def tombstone_tells_the_refusals(t):
    mine = short_lived(t)
    room = fresh()
    c = client(t, mine.port)
    for n in range(3):
        c.publish(room, 'x' * 66000)
        c.publish(room, n)
    wait_until(lambda: payloads_of(room, mine) == [0, 1, 2], 'they have been handled')  # The last is no refusal, which nothing tells.
    c.cut()  # none of the answers was read
    wait_expired(mine)
    c.connect()
    check_equal((c.welcome['resumed'], c.welcome['lastSeq']), (False, 6), 'resumed and lastSeq')
    check_equal([(refusal['seq'], refusal['code']) for refusal in c.welcome['refusals']], [(seq, 'too_large') for seq in (1, 3, 5)],
                'the refusals, by the old session\'s numbers')
    check_equal(c.publish(room, 3), 1, 'the new session\'s first seq')
    c.wait_acked()
    check_equal(payloads_of(room, mine), [0, 1, 2, 3], 'the channel')
    check('refusals' not in client(t, mine.port).welcome, 'a new session has none')


@test(deadline=90)
def after_the_tombstone_nothing_is_known(t):
    mine = short_lived(t, session_tombstone='1s')
    room = fresh()
    c = client(t, mine.port)
    c.publish(room, 1)
    c.wait_acked()
    c.cut()
    wait_expired(mine)

    def forgotten():
        ticket, other = c.ticket, t.own(Client(mine.port))
        other.ticket, other.welcome, other.next_seq = ticket, c.welcome, 2
        other.connect()
        check_equal(other.welcome['resumed'], False, 'resumed')
        check_in(other.welcome['lastSeq'], (1, None), 'lastSeq')
        return other.welcome['lastSeq'] is None
    wait_until(forgotten, 'the tombstone is forgotten', 30 * PATIENCE, step_s=0.2)


@test
def connected_session_does_not_expire(t):
    mine = short_lived(t)
    idle, c = client(t, mine.port), client(t, mine.port)
    c.cut()
    wait_until(lambda: mine.metric('holdfast_sessions') == 1, 'the one without a connection expires', 30 * PATIENCE)
    idle.settle()
    idle.cut()
    idle.connect()
    check_equal(idle.welcome['resumed'], True, 'resumed')


@test
def wrong_tickets_begin_anew(t):
    c = client(t)
    good = c.ticket
    wrong = ['x', 'A' * len(good), good[:-1], good + 'A', good[:-1] + ('A' if good[-1] != 'A' else 'B'), ('A' if good[0] != 'A' else 'B') + good[1:],
             good.swapcase(), 'n' * 3000]
    for ticket in wrong:
        other = t.own(Client(server().port))
        other.ticket, other.welcome = ticket, {'session': 'unknown', 'ticket': ticket}
        other.connect()
        check_equal((other.welcome['resumed'], other.welcome['lastSeq']), (False, None), f'the welcome for ticket {ticket[:40]}')
        check_equal(other.welcome['session'] == c.welcome['session'], False, 'the foreign session')
    c.settle()  # nobody took it over


@test
def ticket_of_another_server_begins_anew(t):
    other = t.own(Server(workers=1).start())
    c = client(t, other.port)
    c.publish(fresh(), 1)
    c.wait_acked()
    c.cut()
    c.connect(port=server().port)
    check_equal((c.welcome['resumed'], c.welcome['lastSeq']), (False, None), 'the welcome')


@test
def bye_then_resume(t):
    room = fresh()
    c = client(t)
    c.subscribe(room, wait=True)
    c.publish(room, 1)
    c.wait_acked()
    c.send({'type': 'bye'})
    c.expect_close(1000)
    for _ in range(2):
        other = t.own(Client(server().port))
        other.ticket, other.welcome, other.next_seq = c.ticket, c.welcome, 2
        other.connect()
        check_equal((other.welcome['resumed'], other.welcome['lastSeq']), (False, 1), 'the welcome: the tombstone knows')


def small_log(t):
    """A server that keeps 10 messages, and whose log has room for some 400 of 800 bytes: then they are surely gone."""
    return t.own(Server(workers=2, history_messages=10, message_max='1KiB', shards=1, segment='80KiB', segments=4).start())


@test
def evicted_messages_are_a_gap(t):
    mine = small_log(t)
    room = fresh()
    c = client(t, mine.port)
    c.subscribe(room, wait=True)
    for n in range(1, 6):
        mine.publish(room, [n, 'x' * 800])
    c.pump_count(room, 5)
    c.ack(room)
    c.settle()
    c.cut()
    for n in range(6, 1001):
        mine.publish(room, [n, 'x' * 800])
    c.connect()
    channel = c.channels[room]
    c.pump(lambda: channel.position == 1000, 'the newest message')
    check_equal([(gap['from'], gap['code']) for gap in channel.gaps], [(6, 'evicted')], 'gaps')
    lost = channel.gaps[0]['to']
    check(500 < lost <= 990, f'what is kept by the count is kept, what has no room is not: lost up to {lost}')
    check_equal([p[0] for p in channel.payloads()[5:]], list(range(lost + 1, 1001)), 'payloads behind the gap')
    check_equal(mine.metric('holdfast_gap_messages_total'), lost - 5, 'holdfast_gap_messages_total')


@test
def subscribe_since_evicted_is_a_gap(t):
    mine = small_log(t)
    room = fresh()
    epoch = mine.publish(room, [1, ''])['epoch']
    for n in range(2, 1001):
        mine.publish(room, [n, 'x' * 800])
    c = client(t, mine.port)
    c.subscribe(room, since=(epoch, 3))
    answer = c.wait_for('subscribed')
    check_equal((answer['recovered'], answer['offset']), (False, 1000), 'the answer')
    channel = c.channels[room]
    c.pump(lambda: channel.position == 1000, 'the newest message')
    check_equal([(gap['from'], gap['code']) for gap in channel.gaps], [(4, 'evicted')], 'gaps')
    c.subscribe(room, since=('other', 3))
    check_equal(c.wait_for('subscribed')['recovered'], False, 'recovered of another epoch')
    c.pump(lambda: len(channel.gaps) == 3, 'two more gaps')
    # "a second gap tells what of that is evicted"
    check_equal([(gap['from'], gap['code']) for gap in channel.gaps[1:]], [(None, 'epoch'), (1, 'evicted')], 'gaps of another epoch')


@test
def resumes_are_counted(t):
    def counted(result):
        return server().metrics().get(f'holdfast_resumes_total{{result="{result}"}}', 0)
    names_before = {name for name in server().metrics() if name.startswith('holdfast_resumes_total')}
    before = server().metric('holdfast_resumes_total')
    c = client(t)
    c.cut()
    c.connect()
    wait_until(lambda: server().metric('holdfast_resumes_total') == before + 1, 'holdfast_resumes_total rises by one')
    check(all('result=' in name for name in names_before), f'it has a label "result": {names_before}')


if __name__ == '__main__':
    main()
