#!/usr/bin/python3
"""The JSON form of PROTOCOL.md on one connection: opening, subscriptions, acks, heartbeat requests, history, bye."""
import json
import time

import raw_ws
from holdfast_client import ForeignWs, check_shape
from holdfast_fixture import Fixture, expect
from holdfast_test import check, check_equal, main, shorten, test
from raw_ws import RawWs

on = Fixture(workers=2)
server, fresh, client, raw, publish = on.server, on.fresh, on.client, on.raw, on.publish


# welcome

@test
def welcome_has_all_its_fields(t):
    ws = t.own(RawWs.open(server().port, protocols=['holdfast.v1.json']))
    before = time.time()
    welcome = expect(ws, 'welcome', resumed=False, channels=[])
    check(abs(welcome['serverTime'] / 1000 - before) < 60, f'serverTime is in ms: {welcome["serverTime"]}')
    check('127.0.0.1' in welcome['address'], f'the client\'s address: {welcome["address"]}')
    check(welcome['session'] and welcome['serverId'], 'session and serverId are not empty')
    check(len(welcome['ticket']) >= 22, f'a ticket cannot be guessed (128 bits at least): {len(welcome["ticket"])} characters')
    check(welcome['lastSeq'] in (None, 0), f'nothing is known of a new session: {welcome["lastSeq"]}')
    # PROTOCOL.md "Heartbeats" and "Limits" name these defaults.
    check_equal(welcome['heartbeat'], {'interval': 25000, 'min': 10000, 'max': 60000}, 'heartbeat')
    check_equal(welcome['ttl'], 120000, 'ttl')
    check_equal(welcome['maxMessage'], 65536, 'maxMessage')


@test
def sessions_and_tickets_differ(t):
    welcomes = [client(t).welcome for _ in range(20)]
    for name in ('session', 'ticket'):
        check_equal(len({welcome[name] for welcome in welcomes}), 20, f'number of different values of {name}')


@test
def welcome_comes_in_the_write_of_the_101(t):
    ws = t.own(RawWs.open(server().port))
    expect(ws, 'welcome')
    first = ws.record[0][1]
    check(first.startswith(b'HTTP/1.1 101') and b'"welcome"' in first, f'the first bytes hold both: {shorten(first)}')


@test
def ticket_is_a_subprotocol_token(t):
    # It travels in Sec-WebSocket-Protocol, whose elements are tokens (RFC 9110 section 5.6.2).
    allowed = set("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    check(set(client(t).ticket) <= allowed, 'characters of the ticket')


# Opening

@test
def subprotocol_json_is_chosen_and_hf_entries_never_echoed(t):
    for offer in (['holdfast.v1.json'], ['other', 'holdfast.v1.json'], ['hf.attempt.1', 'holdfast.v1.json'],
                  ['holdfast.v1.json', 'hf.resume.nothing', 'hf.attempt.7']):
        ws = t.own(RawWs.open(server().port, protocols=offer))
        check_equal(ws.protocol, 'holdfast.v1.json', f'the answer to {offer}')


@test
def no_subprotocol_header_is_json(t):
    ws = t.own(RawWs.open(server().port))
    check_equal(ws.protocol, None, 'subprotocol')
    expect(ws, 'welcome')


@test
def subprotocol_header_without_ours_is_400(t):
    for offer in (['chat'], ['hf.attempt.1'], ['holdfast.v2.json'], ['HOLDFAST.V1.JSON']):
        ws = t.own(RawWs(server().port))
        response = ws.upgrade(protocols=offer)
        check_equal(response.status, 400, f'status for {offer}')
        check('reason' in json.loads(response.body), f'the body gives a reason: {response.body!r}')


@test
def binary_message_on_json_is_1003(t):
    ws = raw(t)
    ws.send_frame(raw_ws.BINARY, b'{"type":"ping"}')
    ws.expect_closed_whole(1003)


# subscribe, unsubscribe

@test
def subscribe_goes_on_from_the_head(t):
    room = fresh()
    publish(room, 3)
    c = client(t)
    c.subscribe(room)
    answer = c.wait_for('subscribed', channel=room)
    check_equal((answer['offset'], answer['recovered']), (3, True), 'head and recovered')
    publish(room, 2, first=4)
    check_equal(c.pump_count(room, 2), [4, 5], 'payloads')
    check_equal(c.channels[room].offsets(), [4, 5], 'offsets')


@test
def subscribe_to_an_empty_channel(t):
    c = client(t)
    room = fresh()
    c.subscribe(room)
    check_equal(c.wait_for('subscribed', channel=room)['offset'], 0, 'head of a new channel')
    publish(room, 1)
    check_equal(c.pump_count(room, 1), [1], 'payloads')


@test
def subscribe_since_recovers(t):
    room = fresh()
    epoch = server().publish(room, 1)['epoch']
    publish(room, 9, first=2)
    for offset in (0, 4, 9, 10):
        c = client(t)
        c.subscribe(room, since=(epoch, offset))
        answer = c.wait_for('subscribed', channel=room)
        check_equal((answer['epoch'], answer['offset'], answer['recovered']), (epoch, 10, True), f'the answer to since {offset}')
        check_equal(c.pump_count(room, 10 - offset), list(range(offset + 1, 11)), f'payloads since {offset}')
        c.settle()
        check_equal(len(c.channels[room].messages), 10 - offset, 'no more than that')


@test
def subscribe_since_another_epoch_is_a_gap(t):
    room = fresh()
    epoch = publish_three(room)
    c = client(t)
    c.subscribe(room, since=('no-such-epoch', 2))
    answer = c.wait_for('subscribed', channel=room)
    check_equal((answer['epoch'], answer['recovered']), (epoch, False), 'the answer')
    # "delivery goes on from its offset 1"
    check_equal(c.pump_count(room, 3), [1, 2, 3], 'payloads')
    check_equal([(gap['code'], gap['epoch'], gap['from'], gap['to']) for gap in c.channels[room].gaps],
                [('epoch', epoch, None, None)], 'the gap that came before them')


def publish_three(room):
    epoch = server().publish(room, 1)['epoch']
    publish(room, 2, first=2)
    return epoch


@test
def subscribe_since_above_the_head_counts_as_another_epoch(t):
    room = fresh()
    epoch = publish_three(room)
    c = client(t)
    c.subscribe(room, since=(epoch, 4))
    check_equal(c.wait_for('subscribed', channel=room)['recovered'], False, 'recovered')
    check_equal(c.pump_count(room, 3), [1, 2, 3], 'payloads')
    check_equal([gap['code'] for gap in c.channels[room].gaps], ['epoch'], 'codes of the gaps')


@test
def subscribe_last(t):
    room = fresh()
    publish(room, 10)
    for last, want in ((0, []), (1, [10]), (3, [8, 9, 10]), (10, list(range(1, 11))), (1000000, list(range(1, 11)))):
        c = client(t)
        c.subscribe(room, last=last)
        answer = c.wait_for('subscribed', channel=room)
        check_equal((answer['offset'], answer['recovered']), (10, True), f'the answer to last {last}')
        check_equal(c.pump_count(room, len(want)), want, f'payloads of last {last}')
        c.settle()
        check_equal(len(c.channels[room].messages), len(want), 'no more than that')
        check_equal(c.channels[room].gaps, [], '"or what there is" is no gap')


@test
def subscribe_latest_gets_the_newest_at_once(t):
    room = fresh()
    publish(room, 5)
    c = client(t)
    c.subscribe(room, mode='latest')
    c.wait_for('subscribed', channel=room)
    check_equal(c.pump_count(room, 1), [5], 'the newest value at once')
    publish(room, 1, first=6)
    check_equal(c.pump_count(room, 2), [5, 6], 'then the next')
    check_equal(c.channels[room].gaps, [], '"What `latest` skips is no gap"')


@test
def subscribing_again_answers_again_and_moves_nothing(t):
    room = fresh()
    c = client(t)
    c.subscribe(room, wait=True)
    publish(room, 2)
    c.pump_count(room, 2)
    c.subscribe(room)
    check_equal(c.wait_for('subscribed', channel=room)['offset'], 2, 'head')
    publish(room, 1, first=3)
    check_equal(c.pump_count(room, 3), [1, 2, 3], 'payloads')
    check_equal(c.channels[room].duplicates, 0, 'duplicates')


@test
def subscribing_again_with_since_moves_the_cursor(t):
    room = fresh()
    c = client(t)
    epoch = c.subscribe(room) and c.wait_for('subscribed', channel=room)['epoch']
    publish(room, 4)
    c.pump_count(room, 4)
    c.subscribe(room, since=(epoch, 1))
    c.wait_for('subscribed', channel=room)
    c.pump(lambda: c.channels[room].duplicates == 3, 'offsets 2, 3 and 4 come again')
    c.subscribe(room, last=1)
    c.pump(lambda: c.channels[room].duplicates == 4, 'offset 4 comes again')
    publish(room, 1, first=5)
    check_equal(c.pump_count(room, 5), [1, 2, 3, 4, 5], 'payloads')


@test
def unsubscribe_ends_delivery(t):
    room, other = fresh(), fresh()
    ws = raw(t)
    for channel in (room, other):
        ws.send_json({'type': 'subscribe', 'channel': channel})
        expect(ws, 'subscribed', channel=channel)
    ws.send_json({'type': 'unsubscribe', 'channel': room})
    answer = expect(ws, 'unsubscribed', channel=room)
    check('code' not in answer, f'a code stands only "where the server decided": {answer}')
    publish(room, 1)
    publish(other, 1)
    ws.send_json({'type': 'ping'})
    got = [ws.recv_json(), ws.recv_json()]
    check_equal(sorted(message['type'] for message in got), ['data', 'pong'], 'nothing of the left channel comes')
    check_equal({message.get('channel') for message in got}, {other, None}, 'channels')


@test
def unsubscribe_without_subscription_is_answered(t):
    room = fresh()
    ws = raw(t)
    ws.send_json({'type': 'unsubscribe', 'channel': room})
    answer = ws.recv_json()
    check(answer['type'] in ('unsubscribed', 'error') and answer.get('channel') == room, f'an answer: {answer}')


@test
def subscribing_anew_after_unsubscribe_starts_at_the_head(t):
    room = fresh()
    c = client(t)
    c.subscribe(room, wait=True)
    publish(room, 1)
    c.pump_count(room, 1)
    c.send({'type': 'unsubscribe', 'channel': room})
    c.wait_for('unsubscribed', channel=room)
    publish(room, 2, first=2)
    c.subscribe(room)
    check_equal(c.wait_for('subscribed', channel=room)['offset'], 3, 'head')
    publish(room, 1, first=4)
    check_equal(c.pump_count(room, 1), [4], 'payloads')


@test
def subscriptions_are_limited_to_256(t):
    ws = raw(t)
    prefix = fresh('many')
    for n in range(256):
        ws.send_json({'type': 'subscribe', 'channel': f'{prefix}-{n}'})
    for n in range(256):
        expect(ws, 'subscribed', channel=f'{prefix}-{n}')
    ws.send_json({'type': 'subscribe', 'channel': f'{prefix}-256'})
    expect(ws, 'error', code='limit', re='subscribe', channel=f'{prefix}-256')
    ws.send_json({'type': 'subscribe', 'channel': f'{prefix}-3'})
    expect(ws, 'subscribed', channel=f'{prefix}-3')  # a repeated one needs no place
    ws.send_json({'type': 'unsubscribe', 'channel': f'{prefix}-3'})
    expect(ws, 'unsubscribed', channel=f'{prefix}-3')
    ws.send_json({'type': 'subscribe', 'channel': f'{prefix}-256'})
    expect(ws, 'subscribed', channel=f'{prefix}-256')


# ack

@test
def ack_moves_the_acknowledged_offset(t):
    room = fresh()
    c = client(t)
    c.subscribe(room, wait=True)
    publish(room, 6)
    c.pump_count(room, 6)
    c.ack(room, 4)
    c.settle()
    check_equal(resumed_at(c, room), 4, 'the resume goes on behind')
    c.pump(lambda: c.channels[room].duplicates == 2, '5 and 6 come again')


def resumed_at(c, room):
    """Cut and resume; the offset in welcome.channels."""
    c.cut()
    c.connect()
    check_equal(c.welcome['resumed'], True, 'resumed')
    return next(entry['offset'] for entry in c.welcome['channels'] if entry['channel'] == room)


@test
def ack_by_id(t):
    room = fresh()
    c = client(t)
    c.subscribe(room, wait=True)
    for n in range(1, 4):
        c.publish(room, n, id=f'id-{n}')
    c.pump_count(room, 3)
    c.wait_acked()
    c.send({'type': 'ack', 'channel': room, 'ackId': 'id-2'})
    c.channels[room].sent_ack = 2
    c.settle()
    check_equal(resumed_at(c, room), 2, 'the resume goes on behind id-2')


@test
def ack_by_default_id(t):
    room = fresh()
    c = client(t)
    c.subscribe(room, wait=True)
    publish(room, 3)
    c.pump_count(room, 3)
    c.send({'type': 'ack', 'channel': room, 'ackId': c.channels[room].messages[1]['id']})
    c.channels[room].sent_ack = 2
    c.settle()
    check_equal(resumed_at(c, room), 2, 'the resume goes on behind "epoch-2"')


@test
def ack_in_pong(t):
    room, other = fresh(), fresh()
    c = client(t)
    for name in (room, other):
        c.subscribe(name, wait=True)
        publish(name, 5)
        c.pump_count(name, 5)
    c.send({'type': 'pong', 'acks': {room: 3, other: 5}})
    c.channels[room].sent_ack, c.channels[other].sent_ack = 3, 5
    c.settle()
    check_equal(resumed_at(c, room), 3, 'the resume goes on behind')
    check_equal(next(e['offset'] for e in c.welcome['channels'] if e['channel'] == other), 5, 'and the other channel')


@test
def ack_never_goes_back(t):
    room = fresh()
    c = client(t)
    c.subscribe(room, wait=True)
    publish(room, 5)
    c.pump_count(room, 5)
    c.ack(room, 4)
    c.ack(room, 2)
    c.settle()
    check_equal(resumed_at(c, room), 4, 'the resume goes on behind')


@test
def ack_above_what_was_sent_is_ignored(t):
    room = fresh()
    c = client(t)
    c.subscribe(room, wait=True)
    publish(room, 3)
    c.pump_count(room, 3)
    c.ack(room, 2)
    c.send({'type': 'ack', 'channel': room, 'offset': 4})
    c.send({'type': 'ack', 'channel': room, 'offset': 9007199254740991})
    c.send({'type': 'pong', 'acks': {room: 77}})
    c.send({'type': 'ack', 'channel': fresh(), 'offset': 1})
    c.settle()
    check(not any(message['type'] == 'error' and message['code'] == 'bad_message' for message in c.seen), 'that is no bad message')
    check_equal(resumed_at(c, room), 2, 'the resume goes on behind')


@test
def sync_request_sends_again(t):
    room = fresh()
    c = client(t)
    c.subscribe(room, wait=True)
    publish(room, 5)
    c.pump_count(room, 5)
    c.sync_request(room, 2)
    c.pump(lambda: c.channels[room].duplicates == 3, '3, 4 and 5 come again')
    publish(room, 1, first=6)
    check_equal(c.pump_count(room, 6), [1, 2, 3, 4, 5, 6], 'payloads')


@test
def sync_request_of_a_foreign_channel_is_an_error(t):
    ws = raw(t)
    room = fresh()
    ws.send_json({'type': 'sync_request', 'channel': room, 'offset': 0})
    expect(ws, 'error', re='sync_request', channel=room)


# ping, pong, heartbeat

@test
def ping_is_answered_at_once(t):
    ws = raw(t)
    ws.send_json({'type': 'ping', 'id': 'p "1"'})
    answer = expect(ws, 'pong', id='p "1"')
    check(abs(answer['serverTime'] / 1000 - time.time()) < 60, f'serverTime: {answer}')
    ws.send_json({'type': 'ping'})
    check('id' not in expect(ws, 'pong'), 'no id where none was given')


@test
def pong_serverId_is_that_of_the_welcome(t):
    c = client(t)
    check_equal(c.settle()['serverId'], c.welcome['serverId'], 'serverId')


@test
def heartbeat_interval_is_kept_within_bounds(t):
    ws = raw(t)
    for asked, want in ((30000, 30000), (10000, 10000), (60000, 60000), (1, 10000), (9999, 10000), (60001, 60000), (9007199254740991, 60000)):
        ws.send_json({'type': 'heartbeat', 'interval': asked})
        expect(ws, 'heartbeat', interval=want)


# history

def history(ws, room, **members):
    ws.send_json({'type': 'history', 'id': 'h', 'channel': room, **members})
    return expect(ws, 'history', id='h', channel=room)


@test
def history_pages(t):
    room = fresh()
    epoch = server().publish(room, 1)['epoch']
    publish(room, 249, first=2)
    ws = raw(t)

    def offsets(**members):
        answer = history(ws, room, **members)
        check_equal((answer['epoch'], answer['offset']), (epoch, 250), 'epoch and head')
        for message in answer['messages']:
            check_shape({**message, 'type': 'data', 'channel': room})
        check_equal([m['payload'] for m in answer['messages']], [m['offset'] for m in answer['messages']], 'payloads')
        return [m['offset'] for m in answer['messages']]

    def since(offset):
        return {'epoch': epoch, 'offset': offset}
    check_equal(offsets(), list(range(1, 101)), 'without anything: the oldest 100')
    check_equal(offsets(limit=3), [1, 2, 3], 'limit')
    check_equal(offsets(limit=1000), list(range(1, 251)), 'all')
    check_equal(offsets(since=since(248)), [249, 250], 'exclusive of since')
    check_equal(offsets(since=since(250)), [], 'since the head')
    check_equal(offsets(since=since(10), limit=2), [11, 12], 'since and limit')
    check_equal(offsets(reverse=True, limit=3), [250, 249, 248], 'reverse: from the newest down')
    check_equal(offsets(reverse=True, since=since(4)), [3, 2, 1], 'reverse, exclusive of since')
    check_equal(offsets(since={'epoch': 'other', 'offset': 200}, limit=2), [1, 2], 'another epoch: from the beginning')


@test
def history_limit_is_at_most_1000(t):
    room = fresh()
    publish(room, 1)
    ws = raw(t)
    ws.send_json({'type': 'history', 'id': 'h', 'channel': room, 'limit': 1001})
    answer = ws.recv_json()
    check_shape(answer)
    check(answer['type'] == 'history' or (answer['code'] in ('limit', 'bad_message') and answer['id'] == 'h'), f'kept or refused: {answer}')


@test
def history_of_an_unknown_channel_is_empty(t):
    answer = history(raw(t), fresh())
    check_equal((answer['offset'], answer['messages']), (0, []), 'offset and messages')


# What a server answers that has no backend and asks for no tokens

@test
def call_and_refresh_are_not_found_where_there_is_nothing_for_them(t):
    ws = raw(t)
    for message in ({'type': 'call', 'id': '2', 'method': 'm', 'payload': None},
                    {'type': 'refresh', 'token': 'a.b.c'}):
        ws.send_json(message)
        answer = ws.recv_json()
        check_shape({**answer, 'type': 'error'})
        check_equal((answer['code'], answer.get('id')), ('not_found', message.get('id')), f'answer to {message["type"]}: {answer}')


# bye

@test
def bye_is_answered_by_1000_and_ends_the_session(t):
    c = client(t)
    c.send({'type': 'bye'})
    c.expect_close(1000)
    c.connect()
    check_equal(c.welcome['resumed'], False, 'resumed after bye')


# A client that we did not write

@test
def python3_websockets_speaks_it_too(t):
    room = fresh()
    writer = client(t, transport=ForeignWs)
    reader = client(t, transport=ForeignWs)
    reader.subscribe(room, wait=True)
    for n in range(200):
        writer.publish(room, {'n': n, 'text': 'ü' * n})
    writer.wait_acked()
    check_equal([p['n'] for p in reader.pump_count(room, 200)], list(range(200)), 'payloads')
    reader.ack(room, 150)
    reader.settle()
    reader.cut()
    reader.connect()
    check_equal(reader.welcome['resumed'], True, 'resumed')
    reader.pump(lambda: reader.channels[room].duplicates == 50, 'what was not acknowledged comes again')


if __name__ == '__main__':
    main()
