#!/usr/bin/python3
"""
RFC 6455 sections 5 to 8 against the real server, on /echo (and where it matters on /ws). With HF_TEST_DEFLATE=1 all of it again on
connections that have agreed on compression, whose plain messages must be treated as those of others.
"""
import asyncio
import os
import random
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'integration'))

from holdfast_server import SharedServer
from holdfast_test import DEADLINE_S, PATIENCE, check, check_equal, main, test
from raw_ws import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, ConnectionEnded, RawWs, close_frame, frame

DEFLATE = os.environ.get('HF_TEST_DEFLATE') == '1'
if DEFLATE:
    RawWs.offer = 'permessage-deflate; client_max_window_bits'
server = SharedServer(workers=1, echo=True, **({'compression': 'true', 'compression_min': 0} if DEFLATE else {}))
PATHS = ('/echo', '/ws')


def echo(t):
    return t.own(RawWs.open(server().port, '/echo', auto_pong=False))


def dies(t, data, code, what, path='/echo', cut=()):
    """These bytes end the connection with this close code."""
    ws = t.own(RawWs.open(server().port, path))
    try:
        ws.send_cut(data, cut)
    except ConnectionEnded:
        pass  # it had seen enough
    try:
        ws.expect_closed_whole(code)
    except AssertionError as error:
        raise AssertionError(f'{what} on {path}: {error}') from None
    ws.close()


# Messages

@test
def echo_of_every_length_form(t):
    ws = echo(t)
    for size in (0, 1, 2, 3, 4, 5, 124, 125, 126, 127, 128, 1000, 65534, 65535, 65536, 65537, 100000):
        for opcode, data in ((TEXT, b'x' * size), (BINARY, os.urandom(size))):
            ws.send_frame(opcode, data)
            check_equal(ws.recv_message(), (opcode, data), f'echo of {size} bytes')


@test
def every_mask_works(t):
    ws = echo(t)
    data = bytes(range(256))
    for mask in (b'\0\0\0\0', b'\xff\xff\xff\xff', b'\1\2\3\4', b'\x80\0\0\0'):
        ws.send_frame(BINARY, data, mask=mask)
        check_equal(ws.recv_message(), (BINARY, data), f'mask {mask}')


@test
def stream_cut_at_every_byte(t):
    whole = b''.join((frame(TEXT, 'héllo'), frame(BINARY, os.urandom(130)), frame(TEXT, 'a', fin=False), frame(PING, b'p'),
                      frame(CONTINUATION, 'b'), frame(TEXT, '€' * 50), frame(BINARY, b'')))
    want = None
    for cut in (range(1, len(whole)), [], *([n] for n in range(1, len(whole), 3))):
        ws = echo(t)
        ws.send_cut(whole, cut, pause_s=0.0005)
        got = [(f.opcode, f.payload) for f in (ws.recv_frame() for _ in range(6))]
        want = want or got
        check_equal(got, want, f'answers with cuts at {list(cut)[:3]}')
        ws.close()
    check_equal([opcode for opcode, _ in want], [TEXT, BINARY, PONG, TEXT, TEXT, BINARY], 'opcodes')


@test
def many_messages_in_one_write(t):
    ws = echo(t)
    rng = random.Random(1)
    messages = [os.urandom(rng.choice((0, 3, 125, 126, 700))) for _ in range(500)]
    ws.send(b''.join(frame(BINARY, data) for data in messages))
    for n, data in enumerate(messages):
        check_equal(ws.recv_message(), (BINARY, data), f'message {n}')


@test
def fragments_are_joined(t):
    for opcode in (TEXT, BINARY):
        for pieces in (('', ''), ('a', 'b'), ('', 'ab'), ('ab', ''), ('a',) * 200, ('', '', 'x', '', '')):
            ws = echo(t)
            for n, piece in enumerate(pieces):
                ws.send_frame(CONTINUATION if n else opcode, piece, fin=n == len(pieces) - 1)
            check_equal(ws.recv_message(), (opcode, ''.join(pieces).encode()), f'{len(pieces)} fragments')
            ws.close()


@test
def control_frames_between_fragments(t):
    ws = echo(t)
    ws.send_frame(TEXT, 'one ', fin=False)
    ws.send_frame(PING, b'between')
    check_equal((ws.recv_frame().payload), b'between', 'the pong comes before the message has ended')
    ws.send_frame(CONTINUATION, 'two ', fin=False)
    ws.send_frame(PONG, b'unasked')
    ws.send_frame(CONTINUATION, 'three')
    check_equal(ws.recv_message(), (TEXT, b'one two three'), 'message')


@test
def close_between_fragments(t):
    ws = echo(t)
    ws.send_frame(TEXT, 'one ', fin=False)
    ws.send_close(1000)
    ws.expect_close(1000)


# Ping and pong

@test
def ping_is_answered_with_its_data(t):
    for path in PATHS:
        ws = t.own(RawWs.open(server().port, path, auto_pong=False))
        for size in (0, 1, 125):
            data = os.urandom(size)
            ws.send_frame(PING, data)
            got = ws.recv_frame()
            while got.opcode == TEXT:  # welcome
                got = ws.recv_frame()
            check_equal((got.opcode, got.payload), (PONG, data), f'answer to a ping of {size} bytes')


@test
def unasked_pong_is_ignored(t):
    ws = echo(t)
    ws.send_frame(PONG, b'unasked')
    ws.send_text('x')
    check_equal(ws.recv_text(), 'x', 'echo')


@test
def many_pings_are_answered_in_order(t):
    ws = echo(t)
    ws.send(b''.join(frame(PING, b'%d' % n) for n in range(300)))
    last = -1
    while last != 299:  # RFC 6455 section 5.5.3 allows to answer only the most recent ping
        got = ws.recv_frame()
        check(got.opcode == PONG and int(got.payload) > last, f'a later pong: {got}')
        last = int(got.payload)


# Faults of framing: 1002

@test
def framing_faults_are_1002(t):
    faults = {
        **({} if DEFLATE else {'reserved bit 1': frame(TEXT, 'x', rsv=4)}), 'reserved bit 2': frame(TEXT, 'x', rsv=2), 'reserved bit 3': frame(TEXT, 'x', rsv=1),
        'reserved bit on a ping': frame(PING, b'', rsv=4),
        **{f'opcode {n:#x}': frame(n, b'') for n in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
        'an unmasked text': frame(TEXT, 'x', masked=False), 'an unmasked ping': frame(PING, b'', masked=False),
        'an unmasked close': frame(CLOSE, struct.pack('>H', 1000), masked=False),
        'a fragmented ping': frame(PING, b'x', fin=False), 'a fragmented close': frame(CLOSE, b'', fin=False), 'a fragmented pong': frame(PONG, b'', fin=False),
        'a long ping': frame(PING, b'x' * 126), 'a long close': frame(CLOSE, struct.pack('>H', 1000) + b'x' * 124),
        'a continuation of nothing': frame(CONTINUATION, 'x'), 'an open continuation of nothing': frame(CONTINUATION, 'x', fin=False),
        'a text within a text': frame(TEXT, 'x', fin=False) + frame(TEXT, 'y'), 'a binary within a text': frame(TEXT, 'x', fin=False) + frame(BINARY, 'y'),
        'a continuation after the end': frame(TEXT, 'x', fin=False) + frame(CONTINUATION, 'y') + frame(CONTINUATION, 'z'),
        '16 bits for 125': frame(TEXT, 'x' * 125, length_form=16), '16 bits for 0': frame(TEXT, '', length_form=16),
        '64 bits for 65535': frame(BINARY, b'x' * 65535, length_form=64), '64 bits for 1': frame(TEXT, 'x', length_form=64),
        'the top bit of a length': bytes([0x82, 0xff]) + b'\x80' + b'\0' * 7 + b'\0' * 4,
        'a ping of 16 bits': frame(PING, b'x', length_form=16),
    }
    for what, data in faults.items():
        for path in PATHS:
            dies(t, data, 1002, what, path)


@test
def faults_are_seen_however_they_are_cut(t):
    for data in (frame(TEXT, 'x', rsv=2), frame(TEXT, 'x' * 125, length_form=16), frame(PING, b'x' * 126)):
        for n in range(1, 8):
            dies(t, data, 1002, f'cut at {n}', cut=[n])


# Sizes: 1009

@test
def message_too_big_is_1009_as_soon_as_its_length_is_known(t):
    for path in PATHS:
        dies(t, bytes([0x82 if path == '/echo' else 0x81, 0xff]) + struct.pack('>Q', 64 << 20) + b'\0\0\0\0', 1009, 'a length of 64 MiB', path)
        dies(t, bytes([0x81, 0xff]) + struct.pack('>Q', (1 << 63) - 1) + b'\0\0\0\0', 1009, 'the largest length', path)


@test
def fragments_that_are_too_big_together_are_1009(t):
    for path in PATHS:
        data = frame(TEXT, 'x' * 60000, fin=False) + frame(CONTINUATION, 'x' * 60000, fin=False) * 20
        dies(t, data, 1009, 'fragments of 1,260,000 bytes', path)


# UTF-8: 1007

GOOD_UTF8 = ['κόσμε', '\u0000', '\u007f', '\u0080', '\u07ff', '\u0800', '\ud7ff', '\ue000', '\ufffd', '\uffff', '\U00010000', '\U0010ffff', 'a😀b€cé']
BAD_UTF8 = [b'\x80', b'\xbf', b'\xc0\x80', b'\xc1\xbf', b'\xc3(', b'\xe0\x80\x80', b'\xe0\x9f\xbf', b'\xed\xa0\x80', b'\xed\xbf\xbf', b'\xe2\x82', b'\xe2(\xa1',
            b'\xf0\x80\x80\x80', b'\xf0\x8f\xbf\xbf', b'\xf4\x90\x80\x80', b'\xf5\x80\x80\x80', b'\xf8\x88\x80\x80\x80', b'\xfc\x84\x80\x80\x80\x80', b'\xfe',
            b'\xff', b'\xf0\x9f\x98', b'ok\xc3', 'κόσμε'.encode() + b'\xed\xa0\x80edited']


@test
def text_is_cut_within_characters(t):
    data = ''.join(GOOD_UTF8).encode()
    ws = echo(t)
    for n in range(len(data) + 1):
        ws.send_frame(TEXT, data[:n], fin=False)
        ws.send_frame(CONTINUATION, data[n:])
        check_equal(ws.recv_message(), (TEXT, data), f'two fragments, cut at {n}')
    for n in range(len(data)):
        ws.send_frame(CONTINUATION if n else TEXT, data[n:n + 1], fin=n == len(data) - 1)
    check_equal(ws.recv_message(), (TEXT, data), 'fragments of one byte')
    ws.send_cut(frame(TEXT, data), range(1, len(data) + 6), pause_s=0.0003)
    check_equal(ws.recv_message(), (TEXT, data), 'pieces of one byte')


@test
def bad_utf8_is_1007(t):
    for data in BAD_UTF8:
        for path in PATHS:
            dies(t, frame(TEXT, data), 1007, f'{data!r}', path)


@test
def bad_utf8_is_1007_however_it_is_cut(t):
    for data in BAD_UTF8:
        fragments = b''.join(frame(CONTINUATION if n else TEXT, data[n:n + 1], fin=n == len(data) - 1) for n in range(len(data)))
        dies(t, fragments, 1007, f'fragments of one byte of {data!r}')
        whole = frame(TEXT, data)
        dies(t, whole, 1007, f'pieces of {data!r}', cut=range(6, len(whole)))


@test
def bad_utf8_fails_before_the_message_ends(t):
    # RFC 6455 section 8.1 with section 7.1.7: what cannot become UTF-8 any more need not be waited for.
    for data in (b'ok\xc3(', b'\xed\xa0', b'\xf4\x90', b'\xff'):
        dies(t, frame(TEXT, data, fin=False), 1007, f'an open fragment of {data!r}')
        whole = frame(TEXT, data + b'x' * 100)
        dies(t, whole[:-50], 1007, f'half a frame with {data!r}')


@test
def bad_utf8_in_binary_is_fine(t):
    ws = echo(t)
    for data in BAD_UTF8:
        ws.send_frame(BINARY, data)
        check_equal(ws.recv_message(), (BINARY, data), 'echo')


# Close

@test
def close_codes_are_echoed(t):
    for path in PATHS:
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4001, 4999):
            ws = t.own(RawWs.open(server().port, path))
            ws.send_close(code, 'because €')
            ws.expect_close(code)
            ws.expect_end()
            ws.close()


@test
def close_without_code_is_answered(t):
    ws = echo(t)
    ws.send_frame(CLOSE)
    ws.expect_close((None, 1000))
    ws.expect_end()


@test
def close_codes_that_may_not_be_sent_are_1002(t):
    for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
        dies(t, close_frame(code), 1002, f'close code {code}')


@test
def close_payload_of_one_byte_is_1002(t):
    dies(t, frame(CLOSE, b'\x03'), 1002, 'one byte')


@test
def close_reason_must_be_utf8(t):
    dies(t, close_frame(1000, b'\xc3('), 1007, 'a reason that is no UTF-8')
    dies(t, close_frame(1000, 'é'.encode()[:1]), 1007, 'a reason that ends in mid-character')


@test
def nothing_is_read_after_close(t):
    ws = echo(t)
    ws.send(frame(TEXT, 'before') + close_frame(1000) + frame(TEXT, 'after') + frame(PING, b'after'))
    check_equal(ws.recv_text(), 'before', 'echo of what came before')
    ws.expect_close(1000)
    rest, _ = ws.read_to_end()
    check_equal(rest, b'', 'bytes after the close frame')


@test(deadline=60)
def peer_that_never_answers_our_close_is_ended(t):
    # RFC 6455 section 7.1.1: the server ends TCP; a peer that keeps it open must not hold it for ever.
    ws = echo(t)
    ws.send_frame(TEXT, 'x', masked=False)
    ws.expect_close(1002)
    ws.expect_end(30 * PATIENCE)


@test
def fin_and_rst_without_close_are_taken(t):
    for n in range(20):
        ws = echo(t)
        ws.send(frame(TEXT, 'x' * 100)[:n * 5 + 1])
        ws.rst() if n % 2 else ws.fin()
        if n % 2 == 0:
            ws.read_to_end()
    ws = echo(t)
    ws.send_text('still there')
    check_equal(ws.recv_text(), 'still there', 'echo')


# Debian's python3-websockets as a client that we did not write

def with_websockets(work, path='/echo', **options):
    import websockets

    async def run():
        async with websockets.connect(f'ws://127.0.0.1:{server().port}{path}', max_size=None, open_timeout=DEADLINE_S, **options) as ws:
            return await asyncio.wait_for(work(ws), 6 * DEADLINE_S)
    return asyncio.run(run())


@test
def foreign_client_echoes_every_size(t):
    async def work(ws):
        for size in (*range(0, 140), 65534, 65535, 65536, 65537, 100000):
            for data in ('é' * (size // 2), os.urandom(size)):
                await ws.send(data)
                check_equal(await ws.recv(), data, f'echo of {size}')
    with_websockets(work)


@test
def foreign_client_offers_deflate(t):
    async def work(ws):
        check_equal(len(ws.extensions), 1 if DEFLATE else 0, 'extensions')
        await ws.send('x' * 5000)
        check_equal(await ws.recv(), 'x' * 5000, 'echo')
    with_websockets(work, compression='deflate')


@test
def foreign_client_pings(t):
    async def work(ws):
        for n in range(50):
            await asyncio.wait_for(await ws.ping(b'%d' % n), DEADLINE_S)
    with_websockets(work)


@test
def foreign_client_sends_fragments(t):
    async def work(ws):
        await ws.send(['one ', 'two ', 'three €'])
        check_equal(await ws.recv(), 'one two three €', 'echo')
        await ws.send(iter([b'a', b'', b'b']))
        check_equal(await ws.recv(), b'ab', 'echo')
    with_websockets(work)


@test
def foreign_client_closes(t):
    async def work(ws):
        await ws.close(4321, 'enough')
        check_equal((ws.close_code, ws.close_reason == 'enough' or ws.close_reason == ''), (4321, True), 'close as seen by the client')
    with_websockets(work)


@test
def foreign_clients_at_once(t):
    async def work(ws):
        async def one(number):
            import websockets
            async with websockets.connect(f'ws://127.0.0.1:{server().port}/echo', open_timeout=DEADLINE_S) as mine:
                for n in range(20):
                    await mine.send(f'{number}-{n}')
                    check_equal(await mine.recv(), f'{number}-{n}', 'echo')
        await asyncio.gather(*(one(number) for number in range(50)))
    with_websockets(work)


if __name__ == '__main__':
    main()
