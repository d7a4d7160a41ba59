"""
raw_ws.py - a WebSocket client of our own on a plain socket, for what a well-behaved client never does.

It can send any bytes, cut anywhere, end a connection by FIN or by RST, read slowly or not at all, and it records what
arrives with its time. What the server sends is checked strictly against RFC 6455, and RFC 7692 where it was agreed on: a
fault is a CheckFailed.
"""
import base64
import hashlib
import json
import os
import select
import socket
import struct
import time
import zlib

from holdfast_test import CheckFailed, DEADLINE_S, check, check_equal, shorten

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xa
GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'  # RFC 6455 section 1.3


class ConnectionEnded(Exception):
    """The TCP connection ended (how: 'fin' or 'rst') without a close frame."""

    def __init__(self, how):
        super().__init__(f'the connection ended by {how.upper()}')
        self.how = how


class Closed(Exception):
    """The server sent a close frame."""

    def __init__(self, code, reason):
        super().__init__(f'closed with {code} {reason!r}')
        self.code, self.reason = code, reason


class Refused(CheckFailed):
    """The upgrade was answered with something else than 101. Fails a test that did not expect it."""

    def __init__(self, response):
        super().__init__(f'the upgrade was refused: {response}')
        self.response, self.status = response, response.status


class Wire:
    """A TCP connection that remembers all it received."""

    def __init__(self, port, host='127.0.0.1', receive_buffer=None):
        self.sock = socket.socket()
        if receive_buffer:  # before connect, so that the window is never larger
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(DEADLINE_S)
        self.sock.connect((host, port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()  # received and not taken yet
        self.record = []  # (monotonic time, bytes) of each receive
        self.ended = None  # 'fin' or 'rst'

    def send(self, data):
        try:
            self.sock.sendall(data)
        except (ConnectionResetError, BrokenPipeError):
            raise ConnectionEnded('rst') from None

    def send_cut(self, data, places, pause_s=0.001):
        """Send data in pieces that end at these places; the pause keeps the kernel from joining them."""
        begin = 0
        for place in [*places, len(data)]:
            if place > begin:
                self.send(data[begin:place])
                time.sleep(pause_s)
                begin = place

    def fill(self, deadline_s=DEADLINE_S, size=1 << 16):
        """Wait for bytes. False at the deadline; raises ConnectionEnded."""
        if self.ended:
            raise ConnectionEnded(self.ended)
        if not select.select([self.sock], [], [], max(0, deadline_s))[0]:
            return False
        try:
            data = self.sock.recv(size)
            if not data:
                self.ended = 'fin'
        except ConnectionResetError:
            data, self.ended = b'', 'rst'
        if self.ended:
            raise ConnectionEnded(self.ended)
        self.record.append((time.monotonic(), data))
        self.buffer += data
        return True

    def take(self, count, deadline_s=DEADLINE_S):
        end = time.monotonic() + deadline_s
        while len(self.buffer) < count:
            if not self.fill(end - time.monotonic()):
                raise CheckFailed(f'no answer within {deadline_s:g} s; wanted {count} bytes, have {shorten(bytes(self.buffer))}')
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def take_until(self, mark, deadline_s=DEADLINE_S):
        end = time.monotonic() + deadline_s
        while mark not in self.buffer:
            if not self.fill(end - time.monotonic()):
                raise CheckFailed(f'no {mark!r} within {deadline_s:g} s; have {shorten(bytes(self.buffer))}')
        return self.take(self.buffer.index(mark) + len(mark))

    def read_to_end(self, deadline_s=DEADLINE_S):
        """All that comes until the server ends the connection: (bytes, 'fin' or 'rst')."""
        end = time.monotonic() + deadline_s
        try:
            while self.fill(end - time.monotonic()):
                pass
        except ConnectionEnded as ended:
            return bytes(self.buffer), ended.how
        raise CheckFailed(f'the server does not end the connection within {deadline_s:g} s')

    def fin(self):
        """Half-close: no more bytes from us."""
        self.sock.shutdown(socket.SHUT_WR)

    def rst(self):
        """End by RST: linger of zero seconds."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()


class Response:
    """An HTTP answer to an upgrade request."""

    def __init__(self, head):
        lines = head.decode('latin-1').split('\r\n')
        parts = lines[0].split(' ', 2)
        check(len(parts) == 3 and parts[0] == 'HTTP/1.1', f'a status line of HTTP/1.1: {lines[0]!r}')
        self.status, self.reason = int(parts[1]), parts[2]
        self.headers = {}
        for line in lines[1:]:
            if line:
                name, colon, value = line.partition(':')
                check(colon and name.lower() not in self.headers, f'header lines are whole and given once: {line!r}')
                self.headers[name.lower()] = value.strip()
        self.body = b''

    def __repr__(self):
        return f'HTTP {self.status} {self.headers} {shorten(self.body)}'


def upgrade_request(path='/ws', protocols=None, headers=(), key='dGhlIHNhbXBsZSBub25jZQ==', host='127.0.0.1', leave_out=()):
    """The bytes of an upgrade request. headers: more (name, value) pairs; leave_out: names of standard ones."""
    lines = [('Host', host), ('Upgrade', 'websocket'), ('Connection', 'Upgrade'), ('Sec-WebSocket-Key', key),
             ('Sec-WebSocket-Version', '13')]
    lines = [line for line in lines if line[0] not in leave_out]
    if protocols:
        lines.append(('Sec-WebSocket-Protocol', ', '.join(protocols)))
    lines += headers
    return f'GET {path} HTTP/1.1\r\n'.encode() + b''.join(f'{n}: {v}\r\n'.encode() for n, v in lines) + b'\r\n'


def mask_bytes(data, mask):
    repeated = (mask * (len(data) // 4 + 1))[:len(data)]
    return (int.from_bytes(data, 'big') ^ int.from_bytes(repeated, 'big')).to_bytes(len(data), 'big')


def frame(opcode, payload=b'', fin=True, rsv=0, mask=None, masked=True, length_form=None):
    """
    The bytes of a frame. length_form: 7, 16 or 64 bits, to write a length that is not minimal; masked=False is a fault
    for a client.
    """
    if isinstance(payload, str):
        payload = payload.encode()
    form = length_form or (7 if len(payload) < 126 else 16 if len(payload) < 65536 else 64)
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0x80 if masked else 0
    if form == 7:
        head = bytes([first, bit | len(payload)])
    elif form == 16:
        head = bytes([first, bit | 126]) + struct.pack('>H', len(payload))
    else:
        head = bytes([first, bit | 127]) + struct.pack('>Q', len(payload))
    if not masked:
        return head + payload
    mask = os.urandom(4) if mask is None else mask
    return head + mask + mask_bytes(payload, mask)


def close_frame(code=1000, reason='', **options):
    payload = b'' if code is None else struct.pack('>H', code) + (reason if isinstance(reason, bytes) else reason.encode())
    return frame(CLOSE, payload, **options)


# RFC 7692 section 7.2: a message ends with an empty block, of which these bytes are left out
DEFLATE_TAIL = b'\0\0\xff\xff'


def deflate(data, level=6, window_bits=15, strategy=zlib.Z_DEFAULT_STRATEGY):
    """A message as its own DEFLATE stream."""
    z = zlib.compressobj(level, zlib.DEFLATED, -window_bits, 8, strategy)
    data = z.compress(data.encode() if isinstance(data, str) else data) + z.flush(zlib.Z_SYNC_FLUSH)
    check(data.endswith(DEFLATE_TAIL), 'what zlib flushes ends with an empty block')
    return data[:-4]


def inflate(data, window_bits=15):
    z = zlib.decompressobj(-window_bits)
    try:
        return z.decompress(data + DEFLATE_TAIL)
    except zlib.error as error:
        raise CheckFailed(f'a window of {window_bits} bits does not inflate it: {error}: {shorten(data)}') from None


def compressed_frame(opcode, payload, **options):
    """A message in one frame, compressed."""
    return frame(opcode, deflate(payload), rsv=4, **options)


class Frame:
    def __init__(self, fin, opcode, payload, rsv1=False):
        self.fin, self.opcode, self.payload, self.rsv1 = fin, opcode, payload, rsv1

    def __repr__(self):
        return f'frame(fin={self.fin}, opcode={self.opcode:#x}, {shorten(self.payload)})'


class RawWs(Wire):
    """
    A WebSocket on a Wire. Pings of the server are answered unless auto_pong is False. offer: the value of
    Sec-WebSocket-Extensions, or None.
    """

    offer = None  # for all that are made; a test that wants another for one of its own gives it

    def __init__(self, port, auto_pong=True, offer=None, **options):
        super().__init__(port, **options)
        self.offer = offer or self.offer
        self.terms = None  # parameters of permessage-deflate, when it was agreed on
        self.last_compressed = None  # whether the last message came compressed, and how many bytes it took
        self.auto_pong = auto_pong
        self.protocol = None
        self.nacked = set()  # seqs of refused publishes, for holdfast_fixture.expect()

    # The handshake

    def read_response(self, deadline_s=DEADLINE_S):
        response = Response(self.take_until(b'\r\n\r\n', deadline_s))
        if response.status != 101 and 'content-length' in response.headers:
            response.body = self.take(int(response.headers['content-length']), deadline_s)
        return response

    def upgrade(self, path='/ws', protocols=None, headers=(), deadline_s=DEADLINE_S):
        """Send a request and read the answer, which is checked if it is a 101."""
        key = base64.b64encode(os.urandom(16)).decode()
        if self.offer:
            headers = [*headers, ('Sec-WebSocket-Extensions', self.offer)]
        self.send(upgrade_request(path, protocols, headers, key))
        return self.check_accepted(self.read_response(deadline_s), key, protocols)

    def check_accepted(self, response, key, protocols):
        if response.status == 101:
            # RFC 6455 section 4.1, what the client must check.
            want = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
            check_equal(response.headers.get('sec-websocket-accept'), want, 'Sec-WebSocket-Accept')
            check_equal(response.headers.get('upgrade', '').lower(), 'websocket', 'Upgrade')
            check_equal(response.headers.get('connection', '').lower(), 'upgrade', 'Connection')
            self.take_extensions(response.headers.get('sec-websocket-extensions'))
            self.protocol = response.headers.get('sec-websocket-protocol')
            check(self.protocol is None or self.protocol in (protocols or ()), f'the subprotocol {self.protocol} was offered')
        return response

    def take_extensions(self, answer):
        if answer is None:
            return
        check(self.offer is not None, f'no extension that was not asked for: {answer}')
        name, *params = [part.strip() for part in answer.split(';')]
        check_equal(name, 'permessage-deflate', 'the extension')
        self.terms = {name: int(value) if value else None for name, _, value in (param.partition('=') for param in params)}
        check_equal(len(self.terms), len(params), f'parameters once each: {answer}')
        known = {'server_no_context_takeover', 'client_no_context_takeover', 'server_max_window_bits'}
        check(set(self.terms) <= known, f'parameters: {answer}')
        check('server_no_context_takeover' in self.terms and 'client_no_context_takeover' in self.terms, f'no context takeover: {answer}')
        check('server_max_window_bits' not in self.terms or 'server_max_window_bits' in self.offer, f'nothing that was not offered: {answer}')

    @classmethod
    def open(cls, port, path='/ws', protocols=None, headers=(), **options):
        ws = cls(port, **options)
        response = ws.upgrade(path, protocols, headers)
        if response.status != 101:
            ws.close()
            raise Refused(response)
        return ws

    # Sending

    def send_frame(self, opcode, payload=b'', **options):
        self.send(frame(opcode, payload, **options))

    def send_compressed(self, opcode, payload, **options):
        self.send(compressed_frame(opcode, payload, **options))

    def send_text(self, text):
        self.send_frame(TEXT, text)

    def send_json(self, message):
        self.send_text(json.dumps(message, ensure_ascii=False))

    def send_close(self, code=1000, reason=''):
        self.send(close_frame(code, reason))

    # Receiving

    def parse_frame(self):
        """A whole frame from the buffer, or None. Strict: RFC 6455 sections 5.1 and 5.2 bind the server too."""
        data = self.buffer
        if len(data) < 2:
            return None
        rsv1 = data[0] & 0x70 == 0x40 and self.terms is not None and data[0] & 0x0f in (TEXT, BINARY)
        check(not data[0] & 0x70 or rsv1, f'no reserved bits are set by the server ({data[0]:#x})')
        check(not data[1] & 0x80, 'the server does not mask')
        opcode, length, at = data[0] & 0x0f, data[1] & 0x7f, 2
        check(opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG), f'a known opcode ({opcode:#x})')
        if length >= 126:
            size, smallest = (2, 126) if length == 126 else (8, 65536)
            if len(data) < 2 + size:
                return None
            length = int.from_bytes(data[2:2 + size], 'big')
            check(length >= smallest, f'the length {length} is minimal')
            at += size
        if opcode & 0x8:
            check(data[0] & 0x80 and length <= 125, 'control frames are short and whole')
        if len(data) < at + length:
            return None
        got = Frame(bool(data[0] & 0x80), opcode, bytes(data[at:at + length]), rsv1)
        del data[:at + length]
        return got

    def recv_frame(self, deadline_s=DEADLINE_S):
        """The next frame. CheckFailed at the deadline."""
        end = time.monotonic() + deadline_s
        while True:
            got = self.parse_frame()
            if got:
                return got
            if not self.fill(end - time.monotonic()):
                raise CheckFailed(f'no frame within {deadline_s:g} s; have {shorten(bytes(self.buffer))}')

    def recv_message(self, deadline_s=DEADLINE_S):
        """The next data message: (opcode, payload). Answers pings and skips pongs on the way; raises Closed."""
        end = time.monotonic() + deadline_s
        opcode, parts, compressed = None, [], False
        while True:
            got = self.recv_frame(end - time.monotonic())
            if got.opcode == PING and self.auto_pong:
                self.send_frame(PONG, got.payload)
            elif got.opcode == CLOSE:
                raise self.closed_by(got)
            elif got.opcode in (CONTINUATION, TEXT, BINARY):
                check((got.opcode == CONTINUATION) == (opcode is not None), f'fragments are in order: {got}')
                opcode = opcode or got.opcode
                compressed = compressed or got.rsv1
                parts.append(got.payload)
                if got.fin:
                    return opcode, self.whole(b''.join(parts), compressed)

    def whole(self, payload, compressed):
        self.last_compressed = (compressed, len(payload))
        if not compressed:
            return payload
        return inflate(payload, self.terms.get('server_max_window_bits', 15))

    @staticmethod
    def closed_by(got):
        check_equal(len(got.payload) == 1, False, 'a close payload of one byte')
        if not got.payload:
            return Closed(None, '')
        return Closed(struct.unpack('>H', got.payload[:2])[0], got.payload[2:].decode('utf-8'))

    def recv_text(self, deadline_s=DEADLINE_S):
        opcode, payload = self.recv_message(deadline_s)
        check_equal(opcode, TEXT, 'opcode of the message')
        return payload.decode('utf-8')

    def recv_json(self, deadline_s=DEADLINE_S):
        text = self.recv_text(deadline_s)
        try:
            return json.loads(text)
        except ValueError as error:
            raise CheckFailed(f'the server sent no JSON ({error}): {shorten(text)}') from None

    def expect_close(self, code, deadline_s=DEADLINE_S):
        """Skip data until the server's close frame; it must have this code (or one of these). Returns Closed."""
        end = time.monotonic() + deadline_s
        codes = code if isinstance(code, (tuple, list)) else (code,)
        while True:
            try:
                self.recv_message(end - time.monotonic())
            except Closed as closed:
                check(closed.code in codes, f'close code {closed.code} {closed.reason!r}, want {code}')
                return closed
            except ConnectionEnded as ended:
                raise CheckFailed(f'the connection ended by {ended.how} without the close frame {code}') from None

    def expect_end(self, deadline_s=DEADLINE_S):
        """Nothing but the end of the TCP connection may follow."""
        rest, how = self.read_to_end(deadline_s)
        check_equal(rest, b'', 'bytes after the end')
        return how

    def expect_closed_whole(self, code, deadline_s=DEADLINE_S):
        """A close frame, then the end of TCP, as RFC 6455 section 7.1.1 asks of a server."""
        closed = self.expect_close(code, deadline_s)
        try:
            self.send_close(code if isinstance(code, int) else closed.code)
        except ConnectionEnded:
            pass
        self.expect_end(deadline_s)
        return closed
