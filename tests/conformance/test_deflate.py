#!/usr/bin/python3
"""
RFC 7692 against the real server: what is negotiated, what compressed messages may look like, and what they may not. Our own suite; its
clients are raw, so that they can also do what no library does.
"""
import json
import os
import random
import sys
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'integration'))

from holdfast_server import Server, SharedServer
from holdfast_test import check, check_equal, main, test, wait_until
from raw_ws import (BINARY, CONTINUATION, DEFLATE_TAIL, PING, PONG, TEXT, ConnectionEnded, RawWs, Response, compressed_frame, deflate, frame,
                    upgrade_request)

PMD = 'permessage-deflate'
BOTH = f'{PMD}; server_no_context_takeover; client_no_context_takeover'
HELLO = bytes.fromhex('f248cdc9c90700')  # RFC 7692 section 7.2.3.1

# Everything from 16 bytes on is worth a try, an echo (for one receiver only) from 64, so that small messages show what is done with
# large ones.
server = SharedServer(workers=1, echo=True, compression='true', compression_min=16)
MESSAGE_MAX = 131072  # a message's limit is twice that of its payload, which is 64 KiB


def echo(t, offer=PMD, **options):
    return t.own(RawWs.open(server().port, '/echo', offer=offer, **options))


def text_of(size, seed=1):
    rng = random.Random(seed)
    words = ['price', 'volume', 'bid', 'ask', 'online', 'käse', '€', 'hello']
    text = ''
    while len(text) < size:
        text += rng.choice(words) + str(rng.randrange(1000)) + ' '
    return text[:size]


def dies(t, data, code, what, cut=(), path='/echo'):
    """These bytes end a connection that has agreed on compression with this close code."""
    ws = t.own(RawWs.open(server().port, path, offer=PMD))
    try:
        ws.send_cut(data, cut)
    except ConnectionEnded:
        pass
    try:
        ws.expect_closed_whole(code)
    except AssertionError as error:
        raise AssertionError(f'{what}: {error}') from None
    ws.close()


# Negotiation (RFC 6455 section 9.1, RFC 7692 sections 5 and 7.1)

def answer_to(t, *offers, port=None):
    """The answer to these header lines: (status, value of Sec-WebSocket-Extensions or None)."""
    ws = t.own(RawWs(port or server().port))
    ws.send(upgrade_request('/echo', headers=[('Sec-WebSocket-Extensions', offer) for offer in offers]))
    response = Response(ws.take_until(b'\r\n\r\n'))
    ws.close()
    return response.status, response.headers.get('sec-websocket-extensions')


@test
def offers_that_are_taken(t):
    for offer in (PMD, BOTH, f'{PMD}; client_max_window_bits', f'{PMD};client_max_window_bits=9', f'{PMD} ; server_no_context_takeover',
                  f'{PMD}; client_no_context_takeover', f'x-unknown, {PMD}', f'{PMD}, x-unknown; a=b', f'{PMD}; unknown, {PMD}',
                  f'x; y="z", {PMD}; client_max_window_bits="10"'):
        check_equal(answer_to(t, offer), (101, BOTH), f'answer to {offer}')
    check_equal(answer_to(t, 'x-unknown', f'{PMD}; unknown', PMD), (101, BOTH), 'answer to three lines')


@test
def every_window_of_the_server_is_answered(t):
    for bits in range(8, 16):
        for offer in (f'{PMD}; server_max_window_bits={bits}', f'{PMD}; server_max_window_bits="{bits}"; client_max_window_bits'):
            check_equal(answer_to(t, offer), (101, f'{BOTH}; server_max_window_bits={bits}'), f'answer to {offer}')


@test
def offers_that_are_passed_over(t):
    bad = ['x-webkit-deflate-frame', 'permessage-deflatex', f'{PMD}; unknown', f'{PMD}; server_no_context_takeover=1',
           f'{PMD}; client_no_context_takeover="x"', f'{PMD}; server_max_window_bits', f'{PMD}; server_max_window_bits=7',
           f'{PMD}; server_max_window_bits=16', f'{PMD}; server_max_window_bits=010', f'{PMD}; server_max_window_bits=ten',
           f'{PMD}; client_max_window_bits=7', f'{PMD}; client_max_window_bits=16', f'{PMD}; client_max_window_bits; client_max_window_bits',
           f'{PMD}; server_no_context_takeover; server_no_context_takeover']
    for offer in bad:
        check_equal(answer_to(t, offer), (101, None), f'answer to {offer}')
    check_equal(answer_to(t, ', '.join(bad)), (101, None), 'answer to all of them')
    check_equal(answer_to(t, ', '.join([*bad, PMD])), (101, BOTH), 'answer to all of them and a good one')
    check_equal(answer_to(t), (101, None), 'answer to no offer')


@test
def malformed_offers_are_400(t):
    for offer in ('', ',', ';', f'{PMD};', f'{PMD}; ;', f'{PMD} x', f'{PMD}=1', f'{PMD}; =1', f'{PMD}; server_max_window_bits=',
                  f'{PMD}; server_max_window_bits="9', f'{PMD}; server_max_window_bits=""', f'{PMD}; x="a b"', f'"{PMD}"', f'{PMD}, (x)'):
        check_equal(answer_to(t, offer), (400, None), f'answer to {offer!r}')


@test
def nothing_is_agreed_on_where_it_is_off(t):
    plain = t.own(Server(workers=1, echo=True).start())
    check_equal(answer_to(t, BOTH, port=plain.port), (101, None), 'answer')
    check_equal(answer_to(t, f'{PMD};', port=plain.port), (400, None), 'answer to a malformed one')
    ws = t.own(RawWs.open(plain.port, '/echo', offer=PMD))
    ws.send(frame(TEXT, HELLO, rsv=4))
    ws.expect_closed_whole(1002)
    ws = t.own(RawWs.open(server().port, '/echo'))  # nor by a client that does not ask for it
    ws.send(frame(TEXT, HELLO, rsv=4))
    ws.expect_closed_whole(1002)


# Messages (section 7.2)

@test
def examples_of_the_rfc(t):
    ws = echo(t)
    examples = {'7.2.3.1': HELLO, '7.2.3.3, no compression': bytes.fromhex('000500faff48656c6c6f00'),
                '7.2.3.4, BFINAL': bytes.fromhex('f348cdc9c9070000'), '7.2.3.5, two blocks': bytes.fromhex('f248050000 00ffffcac9c90700')}
    for what, data in examples.items():
        ws.send_frame(TEXT, data, rsv=4)
        check_equal(ws.recv_message(), (TEXT, b'Hello'), what)
    ws.send_frame(TEXT, HELLO[:3], rsv=4, fin=False)
    ws.send_frame(CONTINUATION, HELLO[3:])
    check_equal(ws.recv_message(), (TEXT, b'Hello'), '7.2.3.1, two frames')
    ws.send_frame(TEXT, b'\0', rsv=4)
    check_equal(ws.recv_message(), (TEXT, b''), '7.2.3.6, an empty message')


@test
def every_size_and_level(t):
    for offer in (PMD, *(f'{PMD}; server_max_window_bits={bits}' for bits in range(8, 16))):
        ws = echo(t, offer)
        for size in (0, 1, 15, 16, 17, 125, 126, 127, 128, 255, 256, 257, 513, 4096, 32768, 65535, 65536, 65537, 100000):
            for opcode, data in ((TEXT, text_of(size // 2, size).encode()), (BINARY, os.urandom(size)), (BINARY, b'\0' * size)):
                ws.send_compressed(opcode, data)
                check_equal(ws.recv_message(), (opcode, data), f'echo of {size} bytes, {offer}')
                longest = 1 << ws.terms.get('server_max_window_bits', 15)
                worth = opcode == TEXT and 200 < len(data) and (len(data) <= longest or longest == 32768)
                check(not worth or ws.last_compressed[0], f'{len(data)} bytes of text come compressed, {offer}')
                check(ws.last_compressed[1] <= len(data), f'not longer than plain: {ws.last_compressed} for {len(data)}')
    for level in range(10):
        for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE, zlib.Z_FIXED):
            ws.send_frame(TEXT, deflate(text_of(3000), level=level, strategy=strategy), rsv=4)
            check_equal(ws.recv_text(), text_of(3000), f'level {level}, strategy {strategy}')


@test
def windows_of_the_client(t):
    for bits in range(9, 16):
        ws = echo(t, f'{PMD}; client_max_window_bits={bits}')
        data = text_of(50000)
        ws.send_frame(TEXT, deflate(data, window_bits=bits), rsv=4)
        check_equal(ws.recv_text(), data, f'a window of {bits} bits')


@test
def context_is_not_taken_over(t):
    ws = echo(t)
    data = text_of(2000)
    sizes = set()
    for _ in range(5):
        ws.send_compressed(TEXT, data)
        check_equal(ws.recv_text(), data, 'echo')
        sizes.add(ws.last_compressed)
    check_equal(len(sizes), 1, f'the same message takes the same bytes each time: {sizes}')
    # RFC 7692 section 7.2.3.2: the second message of a pair refers to the first.
    dies(t, frame(TEXT, HELLO, rsv=4) + frame(TEXT, bytes.fromhex('f200110000'), rsv=4), 1007, 'a reference to the message before')


@test
def compressed_messages_in_fragments(t):
    ws = echo(t)
    data = text_of(400)
    packed = deflate(data)
    for n in range(len(packed) + 1):
        ws.send_frame(TEXT, packed[:n], rsv=4, fin=False)
        ws.send_frame(CONTINUATION, packed[n:])
        check_equal(ws.recv_text(), data, f'cut at {n}')
    for n in range(len(packed)):
        ws.send_frame(CONTINUATION if n else TEXT, packed[n:n + 1], rsv=0 if n else 4, fin=n == len(packed) - 1)
    check_equal(ws.recv_text(), data, 'fragments of one byte')
    ws.send_cut(compressed_frame(TEXT, data), range(1, len(packed) + 8), pause_s=0.0003)
    check_equal(ws.recv_text(), data, 'pieces of one byte')


@test
def characters_cut_between_fragments(t):
    # The cut is one of the compressed bytes; of characters nothing is known before all is there.
    ws = echo(t)
    data = '€😀é' * 30
    for level in (0, 1, 9):
        packed = deflate(data, level=level)
        for n in range(0, len(packed), 3):
            ws.send_frame(TEXT, packed[:n], rsv=4, fin=False)
            ws.send_frame(CONTINUATION, packed[n:])
            check_equal(ws.recv_text(), data, f'level {level}, cut at {n}')


@test
def control_frames_between(t):
    ws = echo(t, auto_pong=False)
    data = text_of(300)
    packed = deflate(data)
    ws.send_frame(TEXT, packed[:10], rsv=4, fin=False)
    ws.send_frame(PING, b'between')
    got = ws.recv_frame()
    check_equal((got.opcode, got.payload, got.rsv1), (PONG, b'between', False), 'the pong, before the message has ended')
    ws.send_frame(CONTINUATION, packed[10:20], fin=False)
    ws.send_frame(PONG, b'unasked')
    ws.send_frame(CONTINUATION, packed[20:])
    check_equal(ws.recv_text(), data, 'message')
    ws.send_frame(TEXT, packed[:10], rsv=4, fin=False)
    ws.send_close(1000)
    ws.expect_close(1000)


@test
def compressed_and_plain_mixed(t):
    ws = echo(t)
    rng = random.Random(5)
    sent = []
    for n in range(200):
        opcode, data = rng.choice(((TEXT, text_of(rng.randrange(1, 2000), n).encode()), (BINARY, os.urandom(rng.randrange(300)))))
        sent.append((opcode, data))
        ws.send(rng.choice((frame, compressed_frame))(opcode, data))
    for n, want in enumerate(sent):
        check_equal(ws.recv_message(), want, f'message {n}')


@test
def small_and_incompressible_messages_come_plain(t):
    ws = echo(t)
    for data, compressed in ((b'a' * 63, False), (b'a' * 64, True), (os.urandom(5000), False), (b'', False), (b'a' * 5000, True)):
        ws.send_compressed(BINARY, data)
        check_equal(ws.recv_message(), (BINARY, data), 'echo')
        check_equal(ws.last_compressed[0], compressed, f'{data[:20]}, {len(data)} bytes, comes compressed')


@test
def final_blocks(t):
    def finished(data):
        z = zlib.compressobj(6, zlib.DEFLATED, -15)
        return z.compress(data) + z.flush(zlib.Z_FINISH)
    ws = echo(t)
    a, b = text_of(500, 1).encode(), text_of(700, 2).encode()
    # Section 7.2.3.4: behind a final block comes at least an empty one, whose first byte is 0.
    for what, packed, want in (('one final block', finished(a) + b'\0', a), ('two', finished(a) + finished(b) + b'\0', a + b),
                               ('a final one, then others', finished(a) + deflate(b), a + b), ('fifty', finished(a) * 50 + b'\0', a * 50),
                               ('only an empty one', finished(b'') + b'\0', b'')):
        ws.send_frame(TEXT, packed, rsv=4)
        check_equal(ws.recv_message(), (TEXT, want), what)
    dies(t, frame(TEXT, finished(a), rsv=4), 1007, 'nothing behind a final block')


# Faults

@test
def reserved_bits_are_1002(t):
    packed = deflate(text_of(100))
    faults = {
        'RSV2': frame(TEXT, packed, rsv=2), 'RSV3': frame(TEXT, packed, rsv=1), 'RSV1 and 2': frame(TEXT, packed, rsv=6),
        'RSV1 and 3': frame(BINARY, packed, rsv=5), 'all of them': frame(TEXT, packed, rsv=7),
        'RSV1 on a ping': frame(PING, b'', rsv=4), 'on a pong': frame(PONG, b'', rsv=4), 'on a close': frame(8, b'\x03\xe8', rsv=4),
        'RSV1 on a later fragment': frame(TEXT, packed[:5], rsv=4, fin=False) + frame(CONTINUATION, packed[5:], rsv=4),
        'RSV1 on a later fragment only': frame(TEXT, 'x', fin=False) + frame(CONTINUATION, packed, rsv=4),
        'RSV1 on a ping between fragments': frame(TEXT, packed[:5], rsv=4, fin=False) + frame(PING, b'', rsv=4),
        'a new message between fragments': frame(TEXT, packed[:5], rsv=4, fin=False) + compressed_frame(TEXT, 'x'),
        'RSV1 with a reserved opcode': frame(3, packed, rsv=4),
    }
    for what, data in faults.items():
        for path in ('/echo', '/ws'):
            dies(t, data, 1002, what, path=path)
        dies(t, data, 1002, f'{what}, in pieces', cut=range(1, len(data)))


@test
def bad_data_is_1007(t):
    packed = deflate(text_of(100))
    faults = {
        'no byte at all': b'', 'the reserved block type': b'\xff' * 10, 'plain text': b'Hello world', 'noise': random.Random(2).randbytes(200),
        "zlib's header": b'\x78\x9c' + packed, "gzip's header": b'\x1f\x8b\x08\0\0\0\0\0\0\3' + packed,
        'the tail left in': packed + DEFLATE_TAIL, 'half of it left in': packed + DEFLATE_TAIL[:2], 'the last byte missing': packed[:-1],
        'half of it': packed[:len(packed) // 2], 'only the first byte': packed[:1], 'a wrong length of a stored block': b'\0\5\0\xfb\xffHello\0',
        'a stored block cut': b'\0\x50\0\xaf\xffHello\0', 'a reference to before the beginning': b'\x4a\x04\x21\0', 'rubbish at the end': packed + b'rubbish',
    }
    for what, data in faults.items():
        for path in ('/echo', '/ws'):
            dies(t, frame(TEXT, data, rsv=4), 1007, what, path=path)
        dies(t, frame(BINARY, data[:3], rsv=4, fin=False) + frame(CONTINUATION, data[3:]), 1007, f'{what}, fragmented')


@test
def utf8_is_checked_behind_the_compression(t):
    for data in (b'\x80', b'\xc0\x80', b'\xed\xa0\x80', b'\xe2\x82', b'\xf4\x90\x80\x80', b'\xff', b'fine until here ' * 50 + b'\xc3', b'a' * 5000 + b'\xf0\x9f\x98'):
        for level in (0, 6):
            packed = deflate(data, level=level)
            dies(t, frame(TEXT, packed, rsv=4), 1007, f'{data[-20:]} at level {level}')
            ws = echo(t)
            ws.send_frame(BINARY, packed, rsv=4)
            check_equal(ws.recv_message(), (BINARY, data), 'the same as binary')
            ws.close()


@test
def expansion_is_bounded(t):
    ws = echo(t)
    largest = b'a' * MESSAGE_MAX
    ws.send_compressed(BINARY, largest)
    check_equal(ws.recv_message(), (BINARY, largest), 'the largest message')
    before = server().metrics()['holdfast_inflate_refused_total{cause="too_big"}']
    dies(t, compressed_frame(BINARY, largest + b'a'), 1009, 'one byte more')
    for megabytes in (1, 16, 120):
        bomb = deflate(bytes(megabytes << 20), level=9)
        dies(t, frame(BINARY, bomb, rsv=4), 1009, f'{megabytes} MiB in {len(bomb)} bytes')
        dies(t, frame(TEXT, bomb[:50], rsv=4, fin=False) + frame(CONTINUATION, bomb[50:]), 1009, f'{megabytes} MiB in fragments')
    check_equal(server().metrics()['holdfast_inflate_refused_total{cause="too_big"}'], before + 7, 'refused expansions')
    dies(t, bytes([0xc2, 0xff]) + (MESSAGE_MAX + 1).to_bytes(8, 'big') + b'\0\0\0\0', 1009, 'a compressed form above the limit')


def resident_kb(pid):
    with open(f'/proc/{pid}/status', encoding='ascii') as f:
        return next(int(line.split()[1]) for line in f if line.startswith('VmRSS'))


@test
def bombs_take_no_memory(t):
    pid = server().worker_pids()[0]
    bomb = frame(BINARY, deflate(bytes(120 << 20), level=9), rsv=4)
    dies(t, bomb, 1009, 'a bomb')
    before = resident_kb(pid)
    for _ in range(20):
        dies(t, bomb, 1009, 'a bomb')
    # One alone would be 120 MiB. A sanitizer keeps what was freed for a while, hence the margin.
    check(resident_kb(pid) < before + 32768, f'resident memory: {before} kB before, {resident_kb(pid)} kB after twenty bombs')


# The protocol over it

def session(t, port, offer):
    ws = t.own(RawWs.open(port, '/ws', protocols=['holdfast.v1.json'], offer=offer))
    check_equal(ws.recv_json()['type'], 'welcome', 'the first message')
    return ws


@test
def a_broadcast_is_compressed_once(t):
    shared = t.own(Server(workers=1, compression='true').start())
    offers = [PMD] * 10 + [f'{PMD}; server_max_window_bits=10'] * 5 + [f'{PMD}; server_max_window_bits=8'] * 2 + [None] * 5
    all_of_them = [session(t, shared.port, offer) for offer in offers]
    for ws in all_of_them:
        ws.send_json({'type': 'subscribe', 'channel': 'room'})
        check_equal(ws.recv_json()['type'], 'subscribed', 'answer')
    before = shared.metric('holdfast_deflated_messages_total')
    payloads = [text_of(size, size) for size in (10, 300, 700, 20000)]
    for payload in payloads:
        shared.publish('room', payload)
    for offer, ws in zip(offers, all_of_them):
        for payload in payloads:
            check_equal(ws.recv_json()['payload'], payload, f'payload of {len(payload)}, offer {offer}')
            small = len(payload) == 10
            bits = (ws.terms or {}).get('server_max_window_bits', 15)
            compressed = offer is not None and not small and (bits == 15 or len(payload.encode()) + 200 < 1 << bits)
            check_equal(ws.last_compressed[0], compressed, f'{len(payload)} come compressed to {offer}')
    check_equal(shared.metric('holdfast_deflated_messages_total') - before, 3, 'messages compressed')
    check_equal(shared.metric('holdfast_deflate_deliveries_total'), 10 * 3 + 5 * 2, 'compressed deliveries')


@test
def publishes_come_compressed_too(t):
    ws = session(t, server().port, PMD)
    ws.send_compressed(TEXT, json.dumps({'type': 'subscribe', 'channel': 'packed'}))
    check_equal(ws.recv_json()['type'], 'subscribed', 'answer')
    for n in range(1, 50):
        data = {'type': 'data', 'channel': 'packed', 'seq': n, 'payload': text_of(n * 100, n)}
        (ws.send_compressed(TEXT, json.dumps(data)) if n % 3 else ws.send_json(data))
    seen = []
    while len(seen) < 49:
        message = ws.recv_json()
        if message['type'] == 'data':
            seen.append(message['payload'])
    check_equal(seen, [text_of(n * 100, n) for n in range(1, 50)], 'payloads in order')


@test
def too_large_a_payload_is_nacked_compressed_or_not(t):
    for send in ('send_json', 'compressed'):
        ws = session(t, server().port, PMD)
        data = {'type': 'data', 'channel': 'large', 'seq': 1, 'payload': 'x' * 70000}
        ws.send_json(data) if send == 'send_json' else ws.send_compressed(TEXT, json.dumps(data))
        answer = ws.recv_json()
        check_equal((answer['type'], answer['code']), ('nack', 'too_large'), f'answer by {send}')


@test(deadline=120)
def slow_readers_of_compressed_messages(t):
    # Frames are cut wherever the socket is full; the rest of a frame must outlive the cache that it lay in.
    small = t.own(Server(workers=1, compression='true', compression_cache='64KiB', history_messages=100000, history_bytes='64MiB').start())
    readers = [session(t, small.port, PMD) for _ in range(2)]
    slow = t.own(RawWs.open(small.port, '/ws', protocols=['holdfast.v1.json'], offer=PMD, receive_buffer=4096))
    check_equal(slow.recv_json()['type'], 'welcome', 'the first message')
    for ws in (*readers, slow):
        ws.send_json({'type': 'subscribe', 'channel': 'fast'})
        check_equal(ws.recv_json()['type'], 'subscribed', 'answer')
    count = 600
    for n in range(count):
        small.publish('fast', [n, text_of(6000, n)])
        for ws in readers:
            check_equal(ws.recv_json()['payload'][0], n, 'a reader keeps up')
    for n in range(count):
        check_equal(slow.recv_json()['payload'], [n, text_of(6000, n)], f'message {n} of the slow one')
    check(small.metric('holdfast_deflate_deliveries_total') > 2 * count, 'they came compressed')


@test
def counters_add_up(t):
    def value(name):
        return server().metrics().get(f'holdfast_{name}', 0)
    names = ('deflate_connections_total', 'inflated_messages_total', 'deflated_messages_total', 'inflate_bytes_total{form="plain"}',
             'deflate_bytes_total{form="plain"}', 'inflate_refused_total{cause="malformed"}')
    before = {name: value(name) for name in names}
    ws = echo(t)
    for _ in range(3):
        ws.send_compressed(TEXT, 'a' * 1000)
        check_equal(ws.recv_text(), 'a' * 1000, 'echo')
    dies(t, frame(TEXT, b'\xff', rsv=4), 1007, 'bad data')
    wait_until(lambda: value(names[5]) == before[names[5]] + 1, 'the refusal is counted')
    grown = [value(name) - before[name] for name in names]
    check_equal(grown, [2, 3, 3, 3000, 3000, 1], f'growth of {names}')


@test
def refused_messages_are_told_a_second_together(t):
    def told(cause):
        lines = [line for line in server().log().splitlines() if f'event=inflate_refused cause={cause} ' in line]
        return len(lines), sum(int(line.rpartition('count=')[2]) for line in lines)

    def refused(cause):
        return server().metrics()[f'holdfast_inflate_refused_total{{cause="{cause}"}}']
    bomb = deflate(bytes(MESSAGE_MAX + 1))
    for cause, code, data in (('malformed', 1007, b'\xff'), ('too_big', 1009, bomb)):
        wait_until(lambda: told(cause)[1] == refused(cause), 'what was before is told')
        lines, count = told(cause)
        for _ in range(40):
            dies(t, frame(BINARY, data, rsv=4), code, cause)
        wait_until(lambda: told(cause)[1] == count + 40, f'40 refusals ({cause}) are in the log')
        check(told(cause)[0] - lines < 20, f'in few lines: {told(cause)[0] - lines}')


if __name__ == '__main__':
    main()
