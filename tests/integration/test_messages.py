#!/usr/bin/python3
"""Publishes of the JSON form of PROTOCOL.md: seq, acks and refusals, sizes, names, bad messages, payloads passed as written."""
import json
import time

import raw_ws
from holdfast_client import check_shape
from holdfast_fixture import Fixture, expect
from holdfast_test import check, check_equal, main, shorten, test, wait_until
from raw_ws import ConnectionEnded

on = Fixture(workers=2)
server, fresh, client, raw, publish = on.server, on.fresh, on.client, on.raw, on.publish


# data

@test
def data_has_all_its_fields(t):
    room = fresh()
    c = client(t)
    epoch = c.subscribe(room) and c.wait_for('subscribed', channel=room)['epoch']
    c.publish(room, {'a': 1})
    message = c.wait_for('data')
    check_equal(message['id'], f'{epoch}-1', 'id of a message without one: "epoch-offset"')
    check(abs(message['timestamp'] / 1000 - time.time()) < 60, f'timestamp is in ms: {message["timestamp"]}')
    c.publish(room, 2, id='my own "id"')
    check_equal(c.wait_for('data')['id'], 'my own "id"', 'id: the publisher\'s')
    c.publish(room, 3, timestamp=1234567890123)
    check_equal(c.wait_for('data')['payload'], 3, 'a message with a timestamp')
    c.wait_acked()


@test
def publisher_that_is_subscribed_gets_its_own_and_others_the_same(t):
    room = fresh()
    writer, reader = client(t), client(t)
    for c in (writer, reader):
        c.subscribe(room, wait=True)
    for n in range(50):
        writer.publish(room, n)
    for c in (writer, reader):
        check_equal(c.pump_count(room, 50), list(range(50)), 'payloads')
    writer.wait_acked()
    check_equal([writer.offsets[seq] for seq in range(1, 51)], list(range(1, 51)), 'offsets in the acks')
    same = [{**a, 'type': 0} == {**b, 'type': 0} for a, b in zip(writer.channels[room].messages, reader.channels[room].messages)]
    check(all(same), 'all subscribers get the same message')


@test
def acks_tell_the_offset_of_each_seq_over_many_channels(t):
    rooms = [fresh() for _ in range(7)]
    c = client(t)
    want = {}
    counts = dict.fromkeys(rooms, 0)
    for n in range(140):
        room = rooms[n * n % 7]
        counts[room] += 1
        want[c.publish(room, n)] = counts[room]
    c.wait_acked()
    check_equal(c.offsets, want, 'offset of each seq')


@test
def repeated_seq_is_acked_again_and_not_applied(t):
    room = fresh()
    ws = raw(t)
    for seq in (1, 2, 3):
        ws.send_json({'type': 'data', 'channel': room, 'payload': seq, 'seq': seq})
    acked = 0
    while acked < 3:
        acked = expect(ws, 'ack')['seq']
    for seq in (3, 1, 2):
        ws.send_json({'type': 'data', 'channel': room, 'payload': 'again', 'seq': seq})
        answer = expect(ws, 'ack')
        check(answer['seq'] >= seq, f'the ack covers {seq}: {answer}')
        if answer['seq'] == seq and answer['offsets']:
            # "null for […] where a repeated one's offset is no longer known"
            check(answer['offsets'][-1] in (seq, None), f'the first offset or null: {answer}')
    history = server().post('/api/history', {'channel': room})
    check_equal([message['payload'] for message in history['messages']], [1, 2, 3], 'the channel')


@test
def seq_beyond_the_next_is_bad_seq(t):
    room = fresh()
    ws = raw(t)
    ws.send_json({'type': 'data', 'channel': room, 'payload': 'a', 'seq': 2})
    expect(ws, 'error', code='bad_seq', re='data', expected=1)
    ws.send_json({'type': 'data', 'channel': room, 'payload': 'b', 'seq': 1})
    expect(ws, 'ack', seq=1, offsets=[1])
    ws.send_json({'type': 'data', 'channel': room, 'payload': 'c', 'seq': 9007199254740991})
    expect(ws, 'error', code='bad_seq', re='data', expected=2)
    check_equal(server().post('/api/history', {'channel': room})['offset'], 1, 'head: only one was applied')


@test
def seq_zero_and_wrong_types_are_refused(t):
    room = fresh()
    ws = raw(t)
    for seq in ('0', '-1', '1.5', '1e0', '9007199254740992', '"1"', 'true', '[1]'):
        ws.send_text(f'{{"type":"data","channel":"{room}","payload":1,"seq":{seq}}}')
        answer = ws.recv_json()
        check_shape(answer)
        check(answer['type'] in ('error', 'nack') and answer['code'] in ('bad_message', 'bad_seq'), f'refusal of seq {seq}: {answer}')
    check_equal(server().post('/api/history', {'channel': room})['offset'], 0, 'head: none was applied')


@test
def next_seq_is_always_answered_whatever_is_wrong(t):
    room = fresh()
    ws = raw(t)
    wrong = ('"channel":7,"payload":1', '"channel":"' + room + '"', '"payload":1', '"channel":"' + room + '","payload":1,"id":7',
             '"channel":"' + room + '","payload":1,"timestamp":"now"')
    for seq, members in enumerate(wrong, 1):
        ws.send_text(f'{{"type":"data",{members},"seq":{seq}}}')
        expect(ws, 'nack', seq=seq, code='bad_message')
    ws.send_text(f'{{"seq":{len(wrong) + 1},"type":"data","channel":"{room}","payload":1')  # broken at its end
    expect(ws, 'nack', seq=len(wrong) + 1, code='bad_message')
    ws.send_json({'type': 'data', 'channel': room, 'payload': 'good', 'seq': len(wrong) + 2})
    ack = expect(ws, 'ack', seq=len(wrong) + 2)
    check_equal(ack['offsets'][-1], 1, 'offset of the good one')
    check(not any(ack['offsets'][:-1]), f'the refused ones before it: {ack}')


@test
def id_without_seq_gets_an_ack_of_its_own(t):
    room = fresh()
    ws = raw(t)
    ws.send_json({'type': 'data', 'channel': room, 'payload': 1, 'id': 'first'})
    answer = expect(ws, 'ack', id='first', offsets=[1])
    check('seq' not in answer, f'no seq: {answer}')


@test
def no_seq_and_no_id_gets_no_answer(t):
    room = fresh()
    ws = raw(t)
    ws.send_json({'type': 'data', 'channel': room, 'payload': 1})
    ws.send_json({'type': 'data', 'channel': room, 'payload': 2, 'id': 'second'})
    expect(ws, 'ack', id='second', offsets=[2])


# Sizes

def payload_of(size):
    return '"' + 'x' * (size - 2) + '"'


@test
def payload_of_exactly_max_message_passes(t):
    room = fresh()
    c = client(t)
    size = c.welcome['maxMessage']
    c.subscribe(room, wait=True)
    c.publish(room, 'x' * (size - 2))
    check_equal(len(c.pump_count(room, 1)[0]), size - 2, 'length of the payload')
    c.wait_acked()


@test
def payload_above_max_message_is_nacked(t):
    room = fresh()
    ws = raw(t)
    for seq, size in enumerate((65537, 100000, 2 * 65536 - 200), 1):
        ws.send_text(f'{{"type":"data","channel":"{room}","seq":{seq},"payload":{payload_of(size)}}}')
        expect(ws, 'nack', seq=seq, code='too_large')
    ws.send_text(f'{{"type":"data","channel":"{room}","id":"mine","payload":{payload_of(65537)}}}')
    expect(ws, 'nack', id='mine', code='too_large')
    ws.send_json({'type': 'data', 'channel': room, 'payload': 1, 'seq': 4})
    ack = expect(ws, 'ack', seq=4)
    check_equal(ack['offsets'][-1], 1, 'the first that was applied')


@test
def message_above_twice_max_message_is_1009(t):
    ws = raw(t)
    ws.send_text(f'{{"type":"data","channel":"{fresh()}","seq":1,"payload":{payload_of(2 * 65536 + 1)}}}')
    ws.expect_close(1009)


@test
def max_message_counts_the_payload_as_written(t):
    # 11,000 times "\\u0041" are 66,000 bytes as written, though 11,000 as a value.
    ws = raw(t)
    ws.send_text(f'{{"type":"data","channel":"{fresh()}","seq":1,"payload":"{chr(92)}u0041{(chr(92) + "u0041") * 10999}"}}')
    expect(ws, 'nack', seq=1, code='too_large')


# Channel names

@test
def channel_names(t):
    c = client(t)
    for name in ('x', 'a b', 'ünï/cödé:日本', '🎈', '"quoted\\"', 'n' * 255, 'é' * 127 + 'x', '{}', '__proto__', '%00', '\u2028', "<'&>"):
        c.subscribe(name, wait=True)
        seq = c.publish(name, name)
        c.pump_count(name, 1)
        check_equal(c.channels[name].payloads(), [name], f'the message on {shorten(name)}')
        c.pump(lambda: seq in c.offsets, 'ack')


@test
def bad_channel_names(t):
    for name in ('', 'n' * 256, 'é' * 128, 'a\nb', 'a\x00b', '\x7f', 'tab\t'):
        ws = raw(t)
        for message in ({'type': 'subscribe'}, {'type': 'data', 'payload': 1, 'seq': 1}, {'type': 'history', 'id': 'h'}):
            ws.send_text(json.dumps({**message, 'channel': name}))
            expect(ws, 'nack' if 'seq' in message else 'error', code='bad_message')


# Bad messages

BAD = ['', ' ', '[]', '"ping"', 'null', '7', '{', '{}', '{"type"}', '{"type":7}', '{"type":null}', '{"type":"nonsense"}',
       '{"type":"ping"', '{"type":"ping"}}', '{"type":"ping",}', "{'type':'ping'}", '{"type":"ping","id":7}', '{"type":"subscribe"}',
       '{"type":"subscribe","channel":7}', '{"type":"subscribe","channel":"a","since":7}',
       '{"type":"subscribe","channel":"a","mode":"most"}', '{"type":"ack","channel":"a","offset":-1}',
       '{"type":"ack","channel":"a","offset":1.0}', '{"type":"heartbeat"}', '{"type":"ping","x":01}', '{"type":"ping","x":"\n"}',
       '{"type":"ping","x":"\\x"}', '{"type":"welcome"}']


@test
def bad_messages_are_told_and_the_connection_stands(t):
    for text in BAD:
        ws = raw(t)
        ws.send_text(text)
        answer = ws.recv_json()
        check_shape(answer)
        check_equal((answer['type'], answer['code']), ('error', 'bad_message'), f'answer to {text!r}')
        ws.send_json({'type': 'ping'})
        expect(ws, 'pong')
        ws.close()


@test
def after_32_bad_messages_1008_and_the_session_survives(t):
    c = client(t, transport=raw_ws.RawWs)  # text that is written by hand
    room = fresh()
    c.subscribe(room, wait=True)
    for n in range(31):
        c.ws.send_text('{"type":"nonsense"}')
    for n in range(31):
        c.wait_for('error', code='bad_message')
    c.settle()
    c.ws.send_text('{"type":"nonsense"}')
    c.expect_close(1008)
    c.connect()
    check_equal(c.welcome['resumed'], True, 'the session stays')
    publish(room, 1)
    check_equal(c.pump_count(room, 1), [1], 'payloads')


@test
def bad_messages_are_counted(t):
    before = server().metric('holdfast_bad_messages_total')
    ws = raw(t)
    for _ in range(3):
        ws.send_text('{"type":"nonsense"}')
        expect(ws, 'error')
    wait_until(lambda: server().metric('holdfast_bad_messages_total') >= before + 3, 'holdfast_bad_messages_total rises by 3')


@test
def unknown_fields_are_ignored(t):
    room = fresh()
    ws = raw(t)
    ws.send_text(f'{{"x":{{"type":"bye","deep":[1,2,{{"channel":"no"}}]}},"type":"subscribe","y":null,"channel":"{room}","z":1e999}}')
    expect(ws, 'subscribed', channel=room)


@test
def optional_null_is_absent(t):
    room = fresh()
    ws = raw(t)
    ws.send_json({'type': 'subscribe', 'channel': room, 'since': None, 'last': None, 'mode': None})
    expect(ws, 'subscribed', channel=room)


@test
def member_order_escapes_and_white_space_do_not_matter(t):
    room = fresh()
    ws = raw(t)
    escaped = ''.join(f'\\u{ord(c):04x}' for c in room)
    ws.send_text(f' \r\n\t{{ "ch\\u0061nnel" :\t"{escaped}" , "type" : "subscr\\u0069be" }} \n')
    expect(ws, 'subscribed', channel=room)


# Payloads

VERBATIM = ['null', 'true', 'false', '0', '-0', '-0.0', '1.0', '1e5', '1E+400', '-1e-400', '123456789012345678901234567890.123456789012345678901234567890',
            '9007199254740993', '""', '"\\u0000"', '"\\ud83d\\ude00"', '"😀"', '"\\ud800"', '"\\/"', '"/"', '"\\u2028\u2028"', '"\x7f"', '"\\"\\\\"',
            '[]', '{}', '[[[[[[[[[[]]]]]]]]]]', '{"a":1,"a":2}', '{"type":"bye","channel":"x"}', '"},{\\"type\\":\\"bye\\"}"', '[1,[2,{"3":[4]}],"5"]',
            '"' + 'é' * 1000 + '"', '[' + ','.join(['0.1'] * 5000) + ']']


def raw_payload(text):
    """The payload as the bytes of the message have it: what lies between "payload": and the member or end that follows."""
    begin = text.index('"payload":') + len('"payload":')
    decoder = json.JSONDecoder(parse_float=str, parse_int=str)
    while text[begin] in ' \t\r\n':
        begin += 1
    return text[begin:decoder.raw_decode(text, begin)[1]]


@test
def payloads_pass_as_written(t):
    room = fresh()
    c = client(t, transport=raw_ws.RawWs)  # text that is written by hand
    c.subscribe(room, wait=True)
    for n, payload in enumerate(VERBATIM, 1):
        c.ws.send_text(f'{{"type":"data","channel":"{room}","seq":{n},"payload":{payload}}}')
    got = []
    while len(got) < len(VERBATIM):
        text = c.ws.recv_text()
        if '"payload"' in text:
            got.append(raw_payload(text))
    for want, have in zip(VERBATIM, got):
        check_equal(have, want, 'payload as written')


@test
def white_space_around_a_payload_may_go_but_nothing_within_strings(t):
    room = fresh()
    c = client(t)
    c.subscribe(room, wait=True)
    c.ws.send_text(f'{{"type":"data","channel":"{room}","seq":1,"payload": \n {{ "a b" : [ 1 , "  c\\n " ] }} \t}}')
    text = c.ws.recv_text()
    while '"payload"' not in text:
        text = c.ws.recv_text()
    check_equal(json.loads(raw_payload(text)), {'a b': [1, '  c\n ']}, 'payload')


@test
def nesting_is_bounded_and_answered(t):
    room = fresh()
    ws = raw(t)
    ws.send_text(f'{{"type":"data","channel":"{room}","seq":1,"payload":{"[" * 30000}{"]" * 30000}}}')
    expect(ws, 'nack', seq=1)
    ws.send_text(f'{{"type":"data","channel":"{room}","seq":2,"payload":{"[" * 64}{"]" * 64}}}')
    expect(ws, 'ack', seq=2)


@test
def connection_that_ends_in_mid_message_harms_nobody(t):
    room = fresh()
    c = client(t)
    c.subscribe(room, wait=True)
    whole = raw_ws.frame(raw_ws.TEXT, json.dumps({'type': 'data', 'channel': room, 'payload': 'x' * 300, 'seq': 1}))
    for cut in (1, 2, 4, 8, 40, len(whole) - 1):
        ws = raw(t)
        ws.send(whole[:cut])
        ws.rst() if cut % 2 else ws.close()
    publish(room, 1)
    check_equal(c.pump_count(room, 1), [1], 'only the whole message came')
    try:
        c.settle()
    except ConnectionEnded:
        check(False, 'the other connection stands')



@test
def many_long_answers_to_one_write_all_come(t):
    """More than a connection may have waiting: the requests behind are read when the answers before them have gone."""
    room, count = fresh(), 100
    for _ in range(16):
        server().publish(room, 'x' * 50000)
    ws = raw(t)
    text = [json.dumps({'type': 'history', 'id': str(n), 'channel': room, 'limit': 1000}).encode() for n in range(count)]
    ws.send(b''.join(raw_ws.frame(1, request) for request in text))
    for n in range(count):
        answer = ws.recv_json()
        check_equal((answer['type'], answer['id'], len(answer['messages'])), ('history', str(n), 16), 'answers in the order of the requests')


if __name__ == '__main__':
    main()
