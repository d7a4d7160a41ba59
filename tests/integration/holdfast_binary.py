"""
holdfast_binary.py - the binary form of the protocol, written from docs/protocol.md "The binary form" and from nothing else: records to
and from the objects that the JSON form has, and a WebSocket that speaks it behind the interface of the others, so that the reference
client, which knows JSON, checks the same promises in it.
"""
import base64
import json

from holdfast_test import CheckFailed, DEADLINE_S, check, check_equal, shorten
from raw_ws import BINARY, RawWs

PROTOCOL = 'holdfast.v1.bin'

# "Numbers of types", "Numbers of codes": a name's place in the list, counted from 1.
TYPES = ('welcome subscribe subscribed unsubscribe unsubscribed data gap ack nack sync_request ping pong heartbeat reconnect history '
         'presence join leave call reply error refresh bye').split()
CODES = ('bad_message bad_seq unauthorized forbidden not_found too_large rate_limited limit overloaded unavailable timeout internal '
         'evicted slow epoch draining rebalance max_age').split()

# "Records of the server", "Records of the client", as the tables have them.
SERVER = {
    'welcome': 'resumed!0 lastSeq/1 session ticket ttl serverId serverTime heartbeat lossSpread maxMessage address channels refusals/2',
    'subscribed': 'recovered!0 channel cid epoch offset',
    'unsubscribed': 'channel code/0 reason/1',
    'data': 'cid offset timestamp id/0 from/1 raw!2 payload',
    'gap': 'channel cid epoch from/0 to/1 code',
    'ack': 'seq/0 id/1 offsets',
    'nack': 'seq/0 id/1 code reason',
    'ping': '',
    'pong': 'id/0 serverTime serverId',
    'heartbeat': 'interval',
    'reconnect': 'after code url/0',
    'history': 'id channel cid epoch offset messages',
    'presence': 'id channel members',
    'join': 'cid session user info/0',
    'leave': 'cid session user info/0',
    'reply': 'id code/0 reason/1 raw!2 payload/3',
    'error': 'code reason re id/0 channel/1 expected/2',
}
CLIENT = {
    'subscribe': 'channel since/0 last/1 mode/2 presence/3',
    'unsubscribe': 'channel|cid/0',
    'data': 'seq/0 id/1 channel|cid/2 timestamp/3 raw!4 payload',
    'ack': 'channel|cid/0 offset/1 ackId/2',
    'sync_request': 'channel|cid/0 offset',
    'ping': 'id/0',
    'pong': 'acks/0',
    'heartbeat': 'interval',
    'history': 'id channel|cid/0 since/1 limit/2 reverse!3',
    'presence': 'id channel|cid/0',
    'call': 'id method raw!0 payload',
    'refresh': 'token',
    'bye': '',
}
# Elements of lists that are like bodies.
ELEMENTS = {'channels': 'channel cid epoch offset', 'members': 'session user info/0'}

TEXTS = set('channel id ackId epoch session ticket serverId address user reason method token url'.split())
MODES = ['all', 'latest']


class Malformed(Exception):
    pass


def put_varint(n):
    check(0 <= n < 1 << 53, f'a number below 2^53: {n}')
    out = bytearray()
    while n > 0x7f:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def put_bytes(data):
    return put_varint(len(data)) + data


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def left(self):
        return len(self.data) - self.at

    def varint(self):
        n = 0
        for i in range(8):
            if self.left() == 0:
                raise Malformed('a varint is cut')
            byte = self.data[self.at]
            self.at += 1
            n |= (byte & 0x7f) << 7 * i
            if byte < 0x80:
                if (byte == 0 and i > 0) or n >= 1 << 53:
                    raise Malformed('a varint is not in its shortest form, or too large')
                return n
        raise Malformed('a varint has more than 8 bytes')

    def take(self, count):
        if count > self.left():
            raise Malformed(f'{count} bytes are not there')
        self.at += count
        return self.data[self.at - count:self.at]

    def bytes(self):
        return self.take(self.varint())

    def text(self):
        try:
            return self.bytes().decode('utf-8')
        except UnicodeDecodeError:
            raise Malformed('a text is no UTF-8') from None


def parts(spec):
    """What a table's row says: (name, how: '', '/' or '!', bit)."""
    for part in spec.split():
        for how in '/!':
            name, found, bit = part.partition(how)
            if found:
                yield name, how, int(bit)
                break
        else:
            yield part, '', None


# Records

def split_records(data):
    """The records of a WebSocket message: [(type's number, body)]; Malformed where the framing is broken, with those before it."""
    reader, records = Reader(data), []
    if not data:
        raise Malformed('a message without a record')
    while reader.left():
        number = reader.take(1)[0]
        if number & 0x80:
            raise Malformed("a type's high bit is set")
        records.append((number, reader.bytes()))
    return records


def put_record(kind, body):
    return bytes([TYPES.index(kind) + 1]) + put_bytes(body)


# Fields

def take_number_or_text(reader, names):
    number = reader.varint()
    if number == 0:
        return reader.text()
    return names[number - 1] if number <= len(names) else 'unknown'


def take_list(name, data):
    reader, found = Reader(data), []
    while reader.left():
        if name == 'offsets':
            found.append(reader.varint() or None)
        elif name == 'acks':
            found.append((reader.varint(), reader.varint()))
        elif name == 'refusals':
            element = Reader(reader.bytes())
            element.varint()  # flags
            found.append({'seq': element.varint(), 'code': element.text(), 'reason': element.text()})
        elif name == 'messages':
            number, body = reader.take(1)[0], reader.bytes()
            if number == TYPES.index('data') + 1:
                found.append(take_body(SERVER['data'], body, from_server=True))
        else:
            found.append(take_body(ELEMENTS[name], reader.bytes(), from_server=True))
    return found


def take_field(name, reader, from_server, kind):
    if name in ('code', 're'):
        return take_number_or_text(reader, CODES if name == 'code' else TYPES)
    if name in TEXTS or (name == 'from' and kind == 'data'):
        return reader.text()
    if name == 'mode' or (name == 'presence' and not from_server):
        n = reader.varint()
        if n > 1:
            raise Malformed(f'{name} is {n}')
        return MODES[n] if name == 'mode' else bool(n)
    if name == 'since':
        return {'epoch': reader.text(), 'offset': reader.varint()}
    if name == 'heartbeat':
        return {'interval': reader.varint(), 'min': reader.varint(), 'max': reader.varint()}
    if name == 'after':
        return [reader.varint(), reader.varint()]
    if name in ('payload', 'info'):
        return reader.bytes()
    if name in ('offsets', 'acks', 'channels', 'refusals', 'members', 'messages'):
        return take_list(name, reader.bytes())
    return reader.varint()


def take_body(spec, body, from_server, kind=None):
    """The fields of a body by their names. A server's data is known by its cid."""
    reader = Reader(body)
    flags = reader.varint() if body else 0
    fields = {}
    kind = kind or ('data' if spec == SERVER['data'] else None)
    for name, how, bit in parts(spec):
        given = bit is not None and bool(flags >> bit & 1)
        if how == '!':
            fields[name] = given
        elif name == 'channel|cid':
            name = 'cid' if given else 'channel'
            fields[name] = take_field(name, reader, from_server, kind)
        elif how == '' or given:
            fields[name] = take_field(name, reader, from_server, kind)
    return fields


def put_field(name, value, from_server, kind):
    if name in ('code', 're'):
        names = CODES if name == 'code' else TYPES
        return put_varint(names.index(value) + 1) if value in names else put_varint(0) + put_bytes(value.encode())
    if name in TEXTS or (name == 'from' and kind == 'data'):
        return put_bytes(value if isinstance(value, bytes) else value.encode())
    if name == 'mode':
        return put_varint(MODES.index(value))
    if name == 'presence' and not from_server:
        return put_varint(int(value))
    if name == 'since':
        return put_bytes(value['epoch'].encode()) + put_varint(value['offset'])
    if name in ('payload', 'info'):
        return put_bytes(value)
    if name == 'acks':
        return put_bytes(b''.join(put_varint(cid) + put_varint(offset) for cid, offset in value))
    return put_varint(value)


def encode(kind, fields):
    """A client's record, canonical. fields: as take_body() gives them."""
    flags, body = 0, b''
    for name, how, bit in parts(CLIENT[kind]):
        if how == '!':
            flags |= bool(fields.get(name)) << bit
            continue
        if name == 'channel|cid':
            name = 'cid' if 'cid' in fields else 'channel'
            flags |= (name == 'cid') << bit
        elif how == '/':
            if fields.get(name) is None:
                continue
            flags |= 1 << bit
        body += put_field(name, fields[name], False, kind)
    return put_record(kind, put_varint(flags) + body if body or flags else b'')


# From and to the objects of the JSON form

def payload_of(message):
    if 'payloadBase64' in message:
        return {'raw': True, 'payload': base64.b64decode(message['payloadBase64'], validate=True)}
    return {'payload': json.dumps(message['payload'], ensure_ascii=False, separators=(',', ':')).encode()}


def client_record(message, cids=None):
    """The record for a client's message of the JSON form. cids: of the channels that are to be named by their number."""
    fields = {name: value for name, value in message.items() if name not in ('type', 'payload', 'payloadBase64')}
    if message['type'] in ('data', 'call'):
        fields.update(payload_of(message))
    if cids and fields.get('channel') in cids and 'cid' in CLIENT[message['type']]:
        fields['cid'] = cids[fields['channel']]
    if 'acks' in fields:
        fields['acks'] = [((cids or {}).get(name), offset) for name, offset in fields['acks'].items()]
    return encode(message['type'], fields)


class Names:
    """What a connection was told about cids."""

    def __init__(self):
        self.by_cid = {}  # cid: (channel, epoch)
        self.cids = {}  # channel: cid, of those that are subscribed

    def learn(self, channel, cid, epoch, subscribed=True):
        check(cid > 0, f'a cid above 0: {cid}')
        self.by_cid[cid] = (channel, epoch)
        if subscribed:
            self.cids[channel] = cid

    def message(self, number, body):
        """A server's record as the object of the JSON form; None: a type that is not known."""
        if not 1 <= number <= len(TYPES):
            return None
        kind = TYPES[number - 1]
        check(kind in SERVER, f'{kind} is not a record of the server')
        try:
            fields = take_body(SERVER[kind], body, True, kind)
        except Malformed as malformed:
            raise CheckFailed(f'the server sent a malformed {kind} ({malformed}): {body.hex()}') from None
        return {'type': kind, **getattr(self, f'of_{kind}', self.unchanged)(fields)}

    @staticmethod
    def unchanged(fields):
        return fields

    def of_welcome(self, fields):
        for entry in fields['channels']:
            self.learn(entry['channel'], entry.pop('cid'), entry['epoch'])
        return {'lastSeq': None, **fields}

    def of_subscribed(self, fields):
        self.learn(fields['channel'], fields.pop('cid'), fields['epoch'])
        return fields

    def of_unsubscribed(self, fields):
        self.cids.pop(fields['channel'], None)
        return fields

    def of_gap(self, fields):
        self.learn(fields['channel'], fields.pop('cid'), fields['epoch'], fields['channel'] in self.cids)
        return {'from': None, 'to': None, **fields}

    def of_data(self, fields):
        cid = fields.pop('cid')
        check(cid in self.by_cid, f'the cid {cid} was told before: {shorten(fields)}')
        channel, epoch = self.by_cid[cid]
        payload, raw = fields.pop('payload'), fields.pop('raw')
        data = {'channel': channel, 'id': f'{epoch}-{fields["offset"]}', **fields}
        if raw:
            data['payloadBase64'] = base64.b64encode(payload).decode()
        else:
            data['payload'] = json.loads(payload)
        return data

    def of_join(self, fields):
        cid = fields.pop('cid')
        check(cid in self.by_cid, f'the cid {cid} was told before: {shorten(fields)}')
        return {'channel': self.by_cid[cid][0], **fields}

    of_leave = of_join

    @staticmethod
    def of_reply(fields):
        raw = fields.pop('raw', False)
        check(not raw, f'a backend answers JSON: {shorten(fields)}')
        if 'payload' in fields:
            fields['payload'] = json.loads(fields['payload'])
        return fields

    def of_history(self, fields):
        cid = fields.pop('cid')
        if cid == 0:
            check_equal((fields['epoch'], fields['messages']), ('', []), '0, and no messages: there is no such channel')
        else:
            self.learn(fields['channel'], cid, fields['epoch'], fields['channel'] in self.cids)
        fields['messages'] = [{'type': 'data', **self.of_data(message)} for message in fields['messages']]
        return fields


class BinaryWs(RawWs):
    """
    A RawWs that speaks the binary form under the same interface: texts of JSON go in and come out. Channels are named by name and by cid in
    turns.
    """

    def __init__(self, port, **options):
        super().__init__(port, **options)
        self.names = Names()
        self.waiting = []  # records of the last WebSocket message that have not been asked for
        self.sent = 0

    @classmethod
    def open(cls, port, path='/ws', protocols=None, headers=(), **options):
        protocols = [PROTOCOL if name == 'holdfast.v1.json' else name for name in protocols or [PROTOCOL]]
        ws = super().open(port, path, protocols, headers, **options)
        check_equal(ws.protocol, PROTOCOL, 'the subprotocol that the server picked')
        return ws

    def encoded(self, message):
        self.sent += 1
        return client_record(message, self.names.cids if self.sent % 2 or 'acks' in message else None)

    def send_text(self, text):
        self.send_frame(BINARY, self.encoded(json.loads(text)))

    def send_all(self, *messages):
        """Several messages as the records of one WebSocket message."""
        self.send_frame(BINARY, b''.join(self.encoded(message) for message in messages))

    def recv_record(self, deadline_s=DEADLINE_S):
        """The next record: (type's number, body)."""
        while not self.waiting:
            opcode, data = self.recv_message(deadline_s)
            check_equal(opcode, BINARY, 'opcode of the message')
            try:
                self.waiting = split_records(data)
            except Malformed as malformed:
                raise CheckFailed(f'the server broke the framing of records ({malformed}): {data.hex()}') from None
        return self.waiting.pop(0)

    def recv_fields(self, kind, deadline_s=DEADLINE_S):
        """The fields of the next record, which must be of this type, as they are on the wire."""
        number, body = self.recv_record(deadline_s)
        message = self.names.message(number, body)
        check_equal(message and message['type'], kind, f'type of {shorten(message)}')
        return take_body(SERVER[kind], body, True, kind)

    def recv_text(self, deadline_s=DEADLINE_S):
        message = None
        while message is None:
            message = self.names.message(*self.recv_record(deadline_s))
        return json.dumps(message, ensure_ascii=False)
