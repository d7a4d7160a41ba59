#!/usr/bin/python3
"""
The binary form of the protocol (docs/protocol.md "The binary form"): our codec against the golden vectors, then the server: what it picks, each type of message in both directions,
raw bytes, subscribers of both encodings beside each other, sessions that change their encoding, and what is malformed. The files test_messages, test_resume
and test_crash run in this encoding as well.
"""
import base64
import json
import os

from holdfast_binary import CLIENT, PROTOCOL, SERVER, TYPES, BinaryWs, Malformed, encode, put_bytes, put_varint, split_records, take_body
from holdfast_client import Client, check_shape
from holdfast_fixture import Fixture, expect
from holdfast_server import Server
from holdfast_test import check, check_equal, main, test, wait_until
from raw_ws import BINARY, TEXT, RawWs, Refused, frame

on = Fixture(workers=2, compression='true', compression_min=16, heartbeat_min='1s')
server, fresh, publish = on.server, on.fresh, on.publish

VECTORS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'vectors', 'binary')


def client(t, transport=BinaryWs, **options):
    return on.client(t, transport=transport, **options)


def raw(t, **options):
    """A connection in the binary form without any help; its welcome has been read."""
    ws = t.own(BinaryWs.open(server().port, **options))
    check_equal(ws.recv_json()['type'], 'welcome', 'the first message')
    return ws


def send_record(ws, kind, **fields):
    ws.send_frame(BINARY, encode(kind, fields))


def expect_ack(ws, seq):
    """The ack that covers this seq; acks are cumulative, so that others may come before it."""
    while True:
        answer = ws.recv_json()
        check_shape(answer)
        check_equal(answer['type'], 'ack', 'type')
        if answer['seq'] >= seq:
            return answer


def subscribed(ws, room):
    """Subscribe, and return the cid."""
    send_record(ws, 'subscribe', channel=room)
    return ws.recv_fields('subscribed')['cid']


# The codec against the golden vectors

def vectors(name, side):
    with open(os.path.join(VECTORS, name + '.json'), encoding='utf-8') as f:
        found = [vector for vector in json.load(f)['vectors'] if vector['from'] == side]
    check(found, f'vectors of the {side} in {name}')
    return found


def meaning_of_payload(fields, meaning):
    raw_bytes, payload = meaning.pop('raw', False), meaning.pop('payload', None)
    if payload is not None:
        meaning.update({'payloadBase64': base64.b64encode(payload).decode()} if raw_bytes else {'payloadText': payload.strip(b' \t\r\n').decode()})
    if 'info' in meaning:
        meaning['infoText'] = meaning.pop('info').decode()
    return meaning


def meaning_of(kind, fields, side):
    """Fields of ours as the vectors have them: see tests/vectors/meaning.h."""
    meaning = meaning_of_payload(fields, {'type': kind, **fields})
    if kind == 'welcome':
        meaning.setdefault('lastSeq', None)
    if kind == 'gap':
        meaning = {'from': None, 'to': None, **meaning}
    if kind == 'history' and not meaning.get('reverse'):
        meaning.pop('reverse', None)
    if 'acks' in meaning:
        meaning['acks'] = [{'cid': cid, 'offset': offset} for cid, offset in meaning['acks']]
    if 'messages' in meaning:
        meaning['messages'] = [meaning_of('data', message, side) for message in meaning['messages']]
    if 'members' in meaning:
        meaning['members'] = [meaning_of_payload(member, dict(member)) for member in meaning['members']]
    return meaning


def same_but_nulls(got, want, what):
    """A member that is null is absent."""
    check_equal(*({name: value for name, value in one.items() if value is not None} for one in (got, want)), what)


@test
def our_codec_reads_what_the_vectors_say(t):
    for name in ('from_client', 'from_server', 'lenient'):
        side = name[5:] if name.startswith('from') else None
        for vector in [v for s in ('client', 'server') if side in (s, None) for v in vectors(name, s)]:
            table = CLIENT if vector['from'] == 'client' else SERVER
            records = [(TYPES[number - 1], body) for number, body in split_records(bytes.fromhex(vector['hex']))
                       if 1 <= number <= len(TYPES)]
            check_equal(len(records), len(vector['records']), f'records of {vector["name"]}')
            for (kind, body), want in zip(records, vector['records']):
                fields = take_body(table[kind], body, vector['from'] == 'server', kind)
                same_but_nulls(meaning_of(kind, fields, vector['from']), want['message'], vector['name'])


def fields_of(meaning):
    """The other way round, of a client's message."""
    fields = {name: value for name, value in meaning.items() if name not in ('type', 'payloadText', 'payloadBase64')}
    if 'payloadText' in meaning:
        fields['payload'] = meaning['payloadText'].encode()
    if 'payloadBase64' in meaning:
        fields.update(raw=True, payload=base64.b64decode(meaning['payloadBase64']))
    if 'acks' in meaning:
        fields['acks'] = [(ack['cid'], ack['offset']) for ack in meaning['acks']]
    return fields


@test
def our_codec_writes_what_the_vectors_say(t):
    for vector in vectors('from_client', 'client'):
        message = vector['records'][0]['message']
        check_equal(encode(message['type'], fields_of(message)).hex(), vector['hex'], vector['name'])


@test
def our_codec_sees_broken_framing(t):
    for vector in vectors('malformed', 'client') + vectors('malformed', 'server'):
        broken = any('framing' in record for record in vector['records'])
        try:
            split_records(bytes.fromhex(vector['hex']))
            check(not broken, f'{vector["name"]}: the framing is broken')
        except Malformed:
            check(broken, f'{vector["name"]}: the framing is whole')


# Opening

@test
def binary_is_picked_where_it_is_offered(t):
    for offered, picked in (([PROTOCOL], PROTOCOL), ([PROTOCOL, 'holdfast.v1.json'], PROTOCOL), (['holdfast.v1.json', PROTOCOL], PROTOCOL),
                            (['hf.attempt.1', 'chat', PROTOCOL], PROTOCOL), (['holdfast.v1.json'], 'holdfast.v1.json'), (None, None)):
        ws = t.own(RawWs.open(server().port, protocols=offered))
        check_equal(ws.protocol, picked, f'of {offered}')
        opcode, welcome = ws.recv_message()
        check_equal(opcode, BINARY if picked == PROTOCOL else TEXT, f'kind of the welcome, offered {offered}')
        check(welcome[0] == (1 if picked == PROTOCOL else ord('{')), f'it begins as it must: {welcome[:10]}')
    try:
        RawWs.open(server().port, protocols=['holdfast.v1', 'holdfast.v2.bin'])
        check(False, 'a server that speaks neither is not to be talked to')
    except Refused as refused:
        check_equal(refused.status, 400, 'status')
        check(PROTOCOL in refused.response.body.decode(), f'the refusal says what to offer: {refused.response}')


@test
def the_other_kind_of_message_is_1003_and_the_session_stays(t):
    c = client(t)
    c.ws.send_frame(TEXT, '{"type":"ping"}')
    c.expect_close(1003)
    c.connect()
    check_equal(c.welcome['resumed'], True, 'resumed')
    j = client(t, transport=RawWs)
    j.ws.send_frame(BINARY, encode('ping', {}))
    j.expect_close(1003)


@test
def connections_in_binary_are_counted(t):
    before, open_before = (server().metric(f'holdfast_{name}') for name in ('binary_connections_total', 'connections_binary'))
    c = client(t)
    client(t, transport=RawWs)
    check_equal(server().metric('holdfast_binary_connections_total'), before + 1, 'holdfast_binary_connections_total')
    c.cut()
    wait_until(lambda: server().metric('holdfast_connections_binary') <= open_before, 'holdfast_connections_binary falls again')
    c.connect()
    wait_until(lambda: 0 < server().metric('holdfast_connections_binary') < server().metric('holdfast_connections'), 'one of two is binary')


# Each type of message

@test
def each_message_of_a_client_has_its_answer(t):
    room, other = fresh(), fresh()
    ws = raw(t)
    ws.send_json({'type': 'ping'})
    expect(ws, 'pong', id=None)
    ws.send_json({'type': 'ping', 'id': 'p'})
    expect(ws, 'pong', id='p')
    ws.send_json({'type': 'heartbeat', 'interval': 20000})
    expect(ws, 'heartbeat', interval=20000)
    ws.send_json({'type': 'subscribe', 'channel': room})
    epoch = ws.recv_json()['epoch']
    for by_cid in (False, True):  # a record in turns: see BinaryWs
        ws.sent = int(not by_cid)
        ws.send_json({'type': 'data', 'channel': room, 'payload': {'by cid': by_cid}, 'id': f'mine-{by_cid}', 'timestamp': 5})
        got = [ws.recv_json(), ws.recv_json()]
        got.sort(key=lambda message: message['type'])
        same_but_nulls(got[0], {'type': 'ack', 'id': f'mine-{by_cid}', 'offsets': [1 + by_cid]}, 'the ack')
        same_but_nulls(got[1], {'type': 'data', 'channel': room, 'offset': 1 + by_cid, 'id': f'mine-{by_cid}', 'timestamp': 5,
                                'payload': {'by cid': by_cid}}, 'the message')
        ws.sent = int(not by_cid)
        ws.send_json({'type': 'sync_request', 'channel': room, 'offset': by_cid})
        for offset in range(1 + by_cid, 2 + by_cid):
            expect(ws, 'data', offset=offset)
        ws.sent = int(not by_cid)
        ws.send_json({'type': 'history', 'id': 'h', 'channel': room, 'since': {'epoch': epoch, 'offset': 0}, 'limit': 1, 'reverse': by_cid})
        answer = expect(ws, 'history', id='h', channel=room, epoch=epoch, offset=1 + by_cid)
        check_equal([message['offset'] for message in answer['messages']], [] if by_cid else [1], 'exclusive of since')
        ws.sent = int(not by_cid)
        ws.send_json({'type': 'ack', 'channel': room, 'ackId': f'mine-{by_cid}'})
    ws.send_json({'type': 'pong', 'acks': {room: 2}})
    ws.send_json({'type': 'data', 'channel': other, 'payload': None, 'seq': 1})
    expect(ws, 'ack', seq=1, offsets=[1])
    ws.send_json({'type': 'presence', 'id': 'x', 'channel': room})
    members = expect(ws, 'presence', id='x', channel=room)['members']
    check_equal([(len(member['session']), member['user']) for member in members], [(16, '')], 'the only one who is there')
    ws.send_json({'type': 'call', 'id': 'x', 'method': 'm', 'payload': 1})
    expect(ws, 'error', code='not_found', re='call', id='x')
    ws.send_json({'type': 'refresh', 'token': 'abc'})
    expect(ws, 'error', code='not_found', re='refresh')
    ws.send_json({'type': 'unsubscribe', 'channel': room})
    expect(ws, 'unsubscribed', channel=room)
    ws.send_json({'type': 'bye'})
    ws.expect_closed_whole(1000)


@test
def acknowledgements_by_name_by_cid_and_in_a_pong_count(t):
    """What was acknowledged is told on a resume."""
    for way in ('name', 'cid', 'ackId', 'pong'):
        room = fresh()
        c = client(t)
        c.subscribe(room, wait=True)
        publish(room, 3)
        c.pump_count(room, 3)
        cid = c.ws.names.cids[room]
        send_record(c.ws, *{'name': ['ack'], 'cid': ['ack'], 'ackId': ['ack'], 'pong': ['pong']}[way],
                    **{'name': {'channel': room, 'offset': 2}, 'cid': {'cid': cid, 'offset': 2},
                       'ackId': {'cid': cid, 'ackId': c.channels[room].messages[1]['id']}, 'pong': {'acks': [(cid, 2), (cid + 1, 2)]}}[way])
        c.channels[room].sent_ack = 2
        c.settle()
        c.cut()
        c.connect()
        check_equal([entry['offset'] for entry in c.welcome['channels']], [2], f'acknowledged by {way}')


@test
def heartbeats_of_the_server_are_records(t):
    ws = raw(t)
    ws.send_json({'type': 'heartbeat', 'interval': 1000})
    expect(ws, 'heartbeat', interval=1000)
    expect(ws, 'ping')
    ws.send_json({'type': 'pong'})
    ws.expect_close(4004)


@test
def an_unknown_cid_is_not_found(t):
    room = fresh()
    ws = raw(t)
    unknown = subscribed(ws, room) + (1 << 40)
    ignored = server().metric('holdfast_acks_ignored_total')
    for cid in (unknown, 1 << 52, (1 << 53) - 1):
        for kind, fields in (('unsubscribe', {}), ('sync_request', {'offset': 1}), ('history', {'id': 'h'})):
            send_record(ws, kind, cid=cid, **fields)
            expect(ws, 'error', code='not_found', re=kind)
        send_record(ws, 'data', cid=cid, payload=b'1')
        expect(ws, 'error', code='not_found', re='data')
        send_record(ws, 'data', cid=cid, payload=b'1', id='i')
        expect(ws, 'nack', code='not_found', id='i')
        send_record(ws, 'ack', cid=cid, offset=1)
    send_record(ws, 'data', cid=unknown, payload=b'1', seq=1)
    expect(ws, 'nack', code='not_found', seq=1)
    send_record(ws, 'data', channel=room, payload=b'1', seq=2)
    expect(ws, 'ack', seq=2)
    check_equal(server().metric('holdfast_acks_ignored_total'), ignored + 3, 'acks that were ignored')


@test
def a_cid_serves_a_publisher_that_is_not_subscribed_any_more(t):
    room = fresh()
    ws = raw(t)
    cid = subscribed(ws, room)
    send_record(ws, 'unsubscribe', cid=cid)
    check_equal(ws.recv_fields('unsubscribed'), {'channel': room}, 'the answer names the channel')
    send_record(ws, 'data', cid=cid, payload=b'1', seq=1)
    expect(ws, 'ack', seq=1, offsets=[1])
    send_record(ws, 'history', id='h', cid=cid)
    check_equal(ws.recv_fields('history')['channel'], room, 'the answer names the channel')


@test
def history_tells_the_cid_of_a_channel_that_is_not_subscribed(t):
    room = fresh()
    publish(room, 3)
    ws = raw(t)
    ws.send_json({'type': 'history', 'id': 'h', 'channel': room})
    answer = expect(ws, 'history', channel=room, offset=3)  # our codec knows the cid of its messages from it alone
    check_equal([(message['channel'], message['payload']) for message in answer['messages']], [(room, 1), (room, 2), (room, 3)], 'messages')
    check_equal([message['id'] for message in answer['messages']], [f'{answer["epoch"]}-{n}' for n in (1, 2, 3)], 'ids')
    ws.send_json({'type': 'history', 'id': 'h', 'channel': fresh()})
    expect(ws, 'history', epoch='', offset=0, messages=[])


# Several records in a message

@test
def records_of_one_message_are_handled_in_order(t):
    """Channels have to be made by another worker on the way, so that records wait and others behind them with them."""
    rooms = [fresh() for _ in range(40)]
    ws = raw(t)
    messages = [message for n, room in enumerate(rooms, 1) for message in (
        {'type': 'subscribe', 'channel': room}, {'type': 'data', 'channel': room, 'payload': n, 'id': f'{n}'}, {'type': 'ping', 'id': f'{n}'})]
    ws.send_all(*messages)
    answers = [ws.recv_json() for _ in range(4 * len(rooms))]
    check_equal([m['channel'] for m in answers if m['type'] == 'subscribed'], rooms, 'subscribed, in order')
    check_equal([m['id'] for m in answers if m['type'] == 'pong'], [f'{n}' for n in range(1, 41)], 'pongs, in order')
    check_equal(sorted(int(m['id']) for m in answers if m['type'] == 'ack'), list(range(1, 41)), 'acks')
    check_equal(sorted(m['payload'] for m in answers if m['type'] == 'data'), list(range(1, 41)), 'messages')
    sent = [m['type'] for m in answers if m['type'] in ('subscribed', 'pong')]
    check_equal(sent, ['subscribed', 'pong'] * 40, 'no record is handled before the one in front of it')


@test
def records_wait_for_who_does_not_take_their_answers(t):
    """A message of small requests for much: the server holds no more answers than it does of messages one by one."""
    room = fresh()
    for _ in range(10):
        server().publish(room, 'x' * 60000)
    ws = t.own(BinaryWs.open(server().port, receive_buffer=4096))
    check_equal(ws.recv_json()['type'], 'welcome', 'the first message')
    handled = server().metric('holdfast_messages_received_total')
    request = encode('history', {'id': 'h', 'channel': room})
    count = 2 * 65536 // len(request) - 1
    check(count > 4000, f'requests in a message: {count}')
    ws.send_frame(BINARY, request * count)
    for n in range(1, 30):
        check_equal(len(ws.recv_fields('history')['messages']), 10, 'messages in an answer')
        ahead = server().metric('holdfast_messages_received_total') - handled - n
        check(ahead < 100, f'after {n} answers of 600 kB {ahead} requests more have been answered')
    ws.rst()


@test
def unknown_types_and_trailing_fields_are_passed_over(t):
    ws = raw(t)
    ws.send_frame(BINARY, bytes([100]) + put_bytes(b'from the future') + encode('ping', {'id': '1'}))
    expect(ws, 'pong', id='1')
    room = fresh()
    body = put_varint(1 << 20) + put_bytes(room.encode()) + b'\xff\xfe more'
    ws.send_frame(BINARY, bytes([TYPES.index('subscribe') + 1]) + put_bytes(body))
    expect(ws, 'subscribed', channel=room)
    ws.send_frame(BINARY, bytes([0]) + put_bytes(b'') + bytes([127]) + put_bytes(b'x'))
    ws.send_json({'type': 'ping', 'id': '2'})
    expect(ws, 'pong', id='2')


# What is malformed

@test
def malformed_records_are_answered_as_the_vectors_say(t):
    bad = 0
    for vector in vectors('malformed', 'client'):
        ws = raw(t)
        ws.send_frame(BINARY, bytes.fromhex(vector['hex']))
        for record in vector['records']:
            if 'message' in record:
                check_equal(record['message']['type'], 'ping', f'{vector["name"]}: this test knows what answers a ping')
                expect(ws, 'pong')
                continue
            bad += 1
            answer = ws.recv_json()
            check_shape(answer)
            if 'seq' in record:  # beyond the next, which is 1
                check_equal((answer['type'], answer['code'], answer['expected']), ('error', 'bad_seq', 1), f'{vector["name"]}: {answer}')
                continue
            check_equal((answer['type'], answer['code']), ('error', 'bad_message'), f'{vector["name"]}: {answer}')
            check_equal(answer['re'] if 're' in answer and answer['re'] else None, record.get('type'), f'{vector["name"]}: re of {answer}')
            check('id' not in record or answer.get('id') == record['id'], f'{vector["name"]}: id of {answer}')
        ws.send_json({'type': 'ping', 'id': 'end'})
        expect(ws, 'pong', id='end')
        ws.close()
    check(bad > 20, f'there are such vectors: {bad}')


@test
def a_malformed_publish_whose_seq_can_be_read_is_refused(t):
    room = fresh()
    ws = raw(t)
    wrong = (encode('data', {'seq': 1, 'channel': room, 'payload': b'{"a":'}), encode('data', {'seq': 2, 'channel': 'a\nb', 'payload': b'1'}),
             encode('data', {'seq': 3, 'channel': room, 'id': 'x' * 256, 'payload': b'1'}))
    ws.send_frame(BINARY, b''.join(wrong) + encode('data', {'seq': 4, 'channel': room, 'payload': b'4'}))
    for seq in (1, 2, 3):
        expect(ws, 'nack', code='bad_message', seq=seq)
    check_equal(expect_ack(ws, 4)['offsets'][-1], 1, 'the offset of the one that is right')
    ws.send_frame(BINARY, encode('data', {'seq': 5, 'channel': room, 'payload': b'5'})[:-1])  # ends beyond its message
    expect(ws, 'error', code='bad_message')
    send_record(ws, 'data', seq=0, channel=room, payload=b'1')
    expect(ws, 'error', code='bad_message', re='data')
    send_record(ws, 'data', seq=5, channel=room, payload=b'5')
    expect(ws, 'ack', seq=5, offsets=[2])


@test
def after_32_malformed_records_1008_and_the_session_survives(t):
    c = client(t)
    malformed = bytes([TYPES.index('subscribe') + 1]) + put_bytes(b'\0')
    before = server().metric('holdfast_bad_messages_total')
    c.ws.send_frame(BINARY, malformed * 20 + b'\x80')  # with that 21, and what would follow is lost
    c.ws.send_frame(BINARY, malformed * 10)
    for _ in range(31):
        c.wait_for('error', code='bad_message')
    c.settle()
    c.ws.send_frame(BINARY, malformed + encode('ping', {'id': 'lost'}))
    c.expect_close(1008)
    check_equal(server().metric('holdfast_bad_messages_total'), before + 32, 'holdfast_bad_messages_total')
    c.connect()
    check_equal(c.welcome['resumed'], True, 'the session stays')


@test
def too_large_payloads_are_refused_and_too_large_messages_closed(t):
    room = fresh()
    ws = raw(t)
    for n, payload in enumerate((b'"' + b'x' * 65535 + b'"', b'\xff' * 65537), 1):
        send_record(ws, 'data', channel=room, seq=n, payload=payload, raw=payload[0] == 0xff)
        expect(ws, 'nack', code='too_large', seq=n)
    send_record(ws, 'data', channel=room, seq=3, payload=b'\xff' * 65536, raw=True)
    check_equal(expect_ack(ws, 3)['offsets'][-1], 1, 'the offset of the largest')
    ws.send(frame(BINARY, encode('data', {'channel': room, 'seq': 4, 'payload': b'x' * 131072, 'raw': True})))
    ws.expect_close(1009)


# Payloads and encodings beside each other

@test
def subscribers_of_both_encodings_get_the_same(t):
    room = fresh()
    readers = [client(t), client(t), client(t, transport=RawWs), client(t, transport=RawWs)]
    writers = [client(t), client(t, transport=RawWs)]
    for c in readers:
        c.subscribe(room, wait=True)
    for n in range(200):
        writers[n % 2].publish(room, {'n': n, 'text': 'ä€😀' * (n % 50)}, **({'id': f'id "{n}"'} if n % 3 == 0 else {}))
        if n % 10 == 0:
            writers[n % 2].wait_acked()
    for c in readers:
        c.pump_count(room, 200)
    want = readers[3].channels[room].messages
    for c in readers:
        check_equal(c.channels[room].messages, want, 'all members of all messages')
        check_equal(c.channels[room].offsets(), list(range(1, 201)), 'offsets')


@test
def payloads_of_json_pass_as_written(t):
    """A text keeps each byte, whoever publishes and reads it, but for the white space around it."""
    room = fresh()
    written = ['1', 'null', '1.000', '1e400', '-0', '123456789012345678901234567890', '"\\u0000 \\ud800 \\/"', '{"a":1,"a":2}', '[ 1 , "  c\\n " ]',
               '"ä€😀\u2028"', '[' * 100 + ']' * 100]
    binary, text = raw(t), on.raw(t)
    cid = subscribed(binary, room)
    text.send_json({'type': 'subscribe', 'channel': room})
    expect(text, 'subscribed')
    for n, payload in enumerate(written):
        send_record(binary, 'data', channel=room, payload=b' \t' + payload.encode() + b'\r\n')
        check_equal(binary.recv_fields('data')['payload'], payload.encode(), 'payload from a binary publisher')
        check(f'"payload":{payload}}}' in text.recv_text(), f'{payload} in JSON')
        text.send_text(f'{{"type":"data","channel":"{room}","payload": {payload} }}')
        fields = binary.recv_fields('data')
        check_equal((fields['cid'], fields['offset'], fields['payload'], fields['raw']), (cid, 2 * n + 2, payload.encode(), False), 'from a JSON publisher')
        check(f'"payload":{payload}}}' in text.recv_text(), f'{payload} in JSON')


@test
def bytes_reach_everybody(t):
    room = fresh()
    binary, text, writer, latest = raw(t), on.raw(t), raw(t), client(t)
    subscribed(binary, room)
    text.send_json({'type': 'subscribe', 'channel': room})
    expect(text, 'subscribed')
    latest.subscribe(room, mode='latest', wait=True)
    every = [b'', b'\0', b'"', b'1', bytes(range(256)), os.urandom(65535), os.urandom(65536)]
    for n, payload in enumerate(every, 1):
        coded = base64.b64encode(payload).decode()
        if n % 2:
            send_record(writer, 'data', channel=room, payload=payload, raw=True, id='mine')
            expect(writer, 'ack', id='mine', offsets=[n])
        elif n % 4:
            text.send_json({'type': 'data', 'channel': room, 'payloadBase64': coded})
        else:
            server().post('/api/publish', {'channel': room, 'payloadBase64': coded, 'id': 'mine'})
        got = binary.recv_fields('data')
        check_equal((got['offset'], got['raw'], got['payload']), (n, True, payload), f'{len(payload)} bytes in binary')
        message = text.recv_json()
        check_shape(message)
        check_equal((message['offset'], message['payloadBase64'], 'payload' in message), (n, coded, False), f'{len(payload)} bytes in JSON')
    latest.pump(lambda: latest.channels[room].position == len(every), 'the newest bytes')
    check_equal(latest.channels[room].messages[-1]['payloadBase64'], base64.b64encode(every[-1]).decode(), 'the newest')
    want = [base64.b64encode(payload).decode() for payload in every]
    history = server().post('/api/history', {'channel': room})['messages']
    check_equal([message['payloadBase64'] for message in history], want, 'history by HTTP')
    for ws in (binary, text):
        ws.send_json({'type': 'history', 'id': 'h', 'channel': room})
        check_equal([message['payloadBase64'] for message in expect(ws, 'history')['messages']], want, 'history by WebSocket')


@test
def payload_base64_of_the_api_is_checked(t):
    room = fresh()
    for body, what in (({'payloadBase64': 'A'}, 'base64'), ({'payloadBase64': 'Zh=='}, 'base64'), ({'payloadBase64': 'Zm9v', 'payload': 1}, 'both'),
                       ({}, 'missing'), ({'payloadBase64': 5}, 'string'), ({'payload': 1, 'payloadBase64': ''}, 'both')):
        answer = server().api('POST', '/api/publish', {'channel': room, **body})
        check_equal(answer.status, 400, f'status of {body}')
        check(what in answer.json['reason'], f'{body}: {answer.json}')
    answer = server().api('POST', '/api/publish', {'channel': room, 'payloadBase64': base64.b64encode(b'x' * 65537).decode()})
    check_equal((answer.status, answer.json['code']), (413, 'too_large'), 'one byte too many')
    check_equal(server().post('/api/publish', {'channel': room, 'payloadBase64': '', 'key': f'k {room}'})['offset'], 1, 'no bytes at all')
    check_equal(server().post('/api/publish', {'channel': room, 'payloadBase64': '', 'key': f'k {room}'})['offset'], 1, 'repeated')
    check_equal(server().api('POST', '/api/publish', {'channel': room, 'payloadBase64': 'MQ==', 'key': f'k {room}'}).status, 409, 'other bytes')
    server().post('/api/publish', {'channel': room, 'payload': 1, 'key': f'l {room}'})
    check_equal(server().api('POST', '/api/publish', {'channel': room, 'payloadBase64': 'MQ==', 'key': f'l {room}'}).status, 409,
                'the bytes of a JSON text are no JSON text')


@test
def compressed_messages_of_both_encodings(t):
    room = fresh()
    readers = [client(t, transport=offering(kind)) for kind in (BinaryWs, RawWs, BinaryWs, RawWs)]
    for c in readers:
        c.subscribe(room, wait=True)
    for n in range(50):
        readers[n % 4].publish(room, 'the same again and again ' * n)
    server().post('/api/publish', {'channel': room, 'payloadBase64': base64.b64encode(b'\xff' * 5000).decode()})
    for c in readers:
        c.pump_count(room, 51)
        check_equal(sorted(message.get('payload', '') for message in c.channels[room].messages), sorted(['the same again and again ' * n for n in range(50)] + ['']),
                    'payloads')
        check(c.ws.last_compressed[0] and c.ws.last_compressed[1] < 1000, f'5,000 equal bytes come compressed: {c.ws.last_compressed}')
        c.wait_acked()
        check_equal(c.channels[room].messages, readers[0].channels[room].messages, 'all have the same')


def offering(kind):
    class Offering(kind):
        offer = 'permessage-deflate'
    return Offering


# Sessions

@test
def a_session_changes_its_encoding(t):
    rooms = [fresh() for _ in range(5)]
    c = client(t, transport=RawWs)
    for room in rooms:
        c.subscribe(room, wait=True)
    for turn in range(1, 7):
        for room in rooms:
            c.publish(room, turn)
        for room in rooms:
            c.pump_count(room, 2 * turn - 1)
        c.wait_acked()
        for room in rooms[:turn]:
            c.ack(room)
        c.settle()
        c.cut()
        for room in rooms:
            publish(room, 1, first=-turn)
        c.transport = (BinaryWs, RawWs)[turn % 2 == 0]
        c.connect()
        check_equal(c.welcome['resumed'], True, 'resumed in the other encoding')
        for room in rooms:
            c.pump_count(room, 2 * turn)
    for room in rooms:
        check_equal(c.channels[room].payloads(), [n for turn in range(1, 7) for n in (turn, -turn)], 'each once and in order')
        check_equal(c.channels[room].offsets(), list(range(1, 13)), 'offsets')


@test
def gaps_tell_the_cid(t):
    """Those at the start are control messages, that of a connection which is too far behind is gathered with its messages."""
    mine = t.own(Server(workers=2, history_messages=10, message_max='1KiB', shards=1, segment='80KiB', segments=4).start())
    room = fresh()
    c = t.own(Client(mine.port, transport=BinaryWs)).connect()
    c.subscribe(room, wait=True)
    cid = c.ws.names.cids[room]
    c.cut()
    for n in range(1, 1001):
        mine.publish(room, [n, 'x' * 800])
    c.connect()
    c.pump(lambda: c.channels[room].position == 1000, 'the newest message')
    check_equal([(gap['from'], gap['code']) for gap in c.channels[room].gaps], [(1, 'evicted')], 'gaps on the resume')
    ws = t.own(BinaryWs.open(mine.port))
    ws.recv_json()
    ws.send_json({'type': 'subscribe', 'channel': room, 'since': {'epoch': 'other', 'offset': 3}})
    check_equal(ws.recv_fields('subscribed')['cid'], cid, 'the cid')
    gap = ws.recv_fields('gap')
    check_equal((gap['code'], gap['cid'], gap['channel'], 'from' in gap), ('epoch', cid, room, False), 'the first gap')
    gap = ws.recv_fields('gap')
    check_equal((gap['code'], gap['cid'], gap['from']), ('evicted', cid, 1), 'the second gap')
    check_equal(ws.recv_fields('data')['offset'], gap['to'] + 1, 'the first message')


@test
def a_browser_is_told_in_binary_that_the_server_is_full(t):
    mine = t.own(Server(workers=1, connections_max=1).start())
    t.own(BinaryWs.open(mine.port))
    ws = t.own(BinaryWs.open(mine.port, headers=[('Origin', 'https://example.com')]))
    message = ws.recv_json()
    check_equal((message['type'], message['code']), ('reconnect', 'overloaded'), 'what it is told')
    ws.expect_closed_whole(1013)


main()
