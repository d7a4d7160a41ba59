"""
holdfast_client.py - a strict reference client of the JSON form of PROTOCOL.md, that checks the server's promises.

It does what the protocol asks of a client (resume, send again what is unacknowledged, drop what it has, acknowledge),
and raises CheckFailed as soon as the server breaks a promise: a message of the wrong shape, an offset that does not
follow without a gap having been told, an ack that does not fit, a position on resume behind which something is lost.

Synchronous: the test says when to read (recv, wait_for, pump). Two transports: our own raw client, and Debian's
python3-websockets, which we did not write.
"""
import asyncio
import json
import os
import time

from holdfast_binary import BinaryWs
from holdfast_test import CheckFailed, DEADLINE_S, check, check_equal, check_in, shorten
from raw_ws import Closed, ConnectionEnded, RawWs, Refused

CODES = ('bad_message', 'bad_seq', 'unauthorized', 'forbidden', 'not_found', 'too_large', 'rate_limited', 'limit', 'overloaded',
         'unavailable', 'timeout', 'internal')


class ForeignWs:
    """The interface of RawWs that the client needs, on python3-websockets."""

    def __init__(self, ws, loop):
        self.ws, self.loop = ws, loop

    @classmethod
    def open(cls, port, path='/ws', protocols=None, headers=()):
        import websockets
        loop = asyncio.new_event_loop()

        async def connect():
            return await websockets.connect(f'ws://127.0.0.1:{port}{path}', subprotocols=protocols, extra_headers=list(headers),
                                            max_size=None, ping_interval=None, compression=None, open_timeout=DEADLINE_S)
        return cls(loop.run_until_complete(connect()), loop)

    def send_text(self, text):
        self.run(self.ws.send(text))

    def recv_text(self, deadline_s=DEADLINE_S):
        async def receive():
            return await asyncio.wait_for(self.ws.recv(), max(deadline_s, 0.001))
        try:
            return self.run(receive())
        except asyncio.TimeoutError:
            raise CheckFailed(f'no message within {deadline_s:g} s') from None

    def run(self, coroutine):
        import websockets
        try:
            return self.loop.run_until_complete(coroutine)
        except websockets.ConnectionClosed as closed:
            if closed.rcvd is None:
                raise ConnectionEnded('rst') from None
            raise Closed(closed.rcvd.code, closed.rcvd.reason) from None

    def rst(self):
        self.ws.transport.abort()
        self.loop.run_until_complete(asyncio.sleep(0))

    def close(self):
        if not self.loop.is_closed():
            self.ws.transport.abort()
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()


def is_int(value):
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53


def is_str(value):
    return isinstance(value, str)


def is_bool(value):
    return isinstance(value, bool)


def is_int_or_null(value):
    return value is None or is_int(value)


def is_any(value):
    return True


def is_code(value):
    return value in CODES


def is_position(value):
    return isinstance(value, dict) and is_str(value.get('channel')) and is_str(value.get('epoch')) and is_int(value.get('offset'))


def is_refusal(value):
    return isinstance(value, dict) and is_int(value.get('seq')) and is_code(value.get('code')) and is_str(value.get('reason'))


def is_member(value):
    return isinstance(value, dict) and is_str(value.get('session')) and is_str(value.get('user'))


def list_of(each):
    return lambda value: isinstance(value, list) and all(each(one) for one in value)


def is_heartbeat(value):
    return isinstance(value, dict) and all(is_int(value.get(name)) and value[name] > 0 for name in ('interval', 'min', 'max'))


# The table "Server to client" of PROTOCOL.md; a name that ends in '?' may be absent.
SHAPES = {
    'welcome': {'session': is_str, 'ticket': is_str, 'resumed': is_bool, 'lastSeq': is_int_or_null, 'ttl': is_int,
                'serverId': is_str, 'serverTime': is_int, 'heartbeat': is_heartbeat, 'lossSpread': is_int, 'maxMessage': is_int,
                'address': is_str, 'channels': list_of(is_position), 'refusals?': list_of(is_refusal)},
    'subscribed': {'channel': is_str, 'epoch': is_str, 'offset': is_int, 'recovered': is_bool},
    'unsubscribed': {'channel': is_str, 'code?': is_code, 'reason?': is_str},
    'data': {'channel': is_str, 'offset': is_int, 'id': is_str, 'payload?': is_any, 'payloadBase64?': is_str, 'timestamp': is_int,
             'from?': is_str},
    'gap': {'channel': is_str, 'epoch': is_str, 'from': is_int_or_null, 'to': is_int_or_null,
            'code': lambda value: value in ('evicted', 'slow', 'epoch')},
    'ack': {'seq?': is_int, 'offsets': list_of(is_int_or_null), 'id?': is_str},
    'nack': {'seq?': is_int, 'id?': is_str, 'code': is_code, 'reason': is_str},
    'ping': {},
    'pong': {'id?': is_str, 'serverTime': is_int, 'serverId': is_str},
    'heartbeat': {'interval': is_int},
    'reconnect': {'after': lambda value: list_of(is_int)(value) and len(value) == 2 and value[0] <= value[1],
                  'code': lambda value: value in ('draining', 'rebalance', 'max_age', 'overloaded'), 'url?': is_str},
    'history': {'id': is_str, 'channel': is_str, 'epoch': is_str, 'offset': is_int,
                'messages': list_of(lambda value: isinstance(value, dict))},
    'presence': {'id': is_str, 'channel': is_str, 'members': list_of(is_member)},
    'join': {'channel': is_str, 'session': is_str, 'user': is_str, 'info?': is_any},
    'leave': {'channel': is_str, 'session': is_str, 'user': is_str, 'info?': is_any},
    'reply': {'id': is_str, 'payload?': is_any, 'code?': is_str, 'reason?': is_str},
    'error': {'code': is_code, 'reason': is_str, 're?': is_str, 'id?': is_str, 'channel?': is_str, 'expected?': is_int},
}


def check_shape(message):
    check(isinstance(message, dict) and message.get('type') in SHAPES, f'a known message: {shorten(message)}')
    for name, right in SHAPES[message['type']].items():
        optional, name = name.endswith('?'), name.rstrip('?')
        if name not in message:
            check(optional, f'{message["type"]}.{name} is there: {shorten(message)}')
        else:
            check(right(message[name]), f'{message["type"]}.{name} is of the right kind: {shorten(message)}')
    if message['type'] == 'data':
        check(('payload' in message) != ('payloadBase64' in message), f'data has one payload: {shorten(message)}')


class Channel:
    """What the client knows of one subscription."""

    def __init__(self, name, mode='all'):
        self.name, self.mode = name, mode
        self.epoch = None
        self.position = None  # all up to here has been received, or told by a gap
        self.sent_ack = None  # the newest offset that was acknowledged
        self.wire = None  # the last offset that this connection has brought or skipped by a gap
        self.first_between = None  # where wire is None: bounds of the next offset
        self.asked = None  # the subscribe that has no answer yet
        self.told_gap = False  # a gap came since then
        self.owed_gap = None  # the since of a "recovered: false" whose gap has not come yet
        self.may_go_back_to = None  # after a sync_request, until the first message of the repetition
        self.subscribed = False
        self.messages = []  # data messages, each once
        self.gaps = []
        self.duplicates = 0

    def payloads(self):
        return [message.get('payload') for message in self.messages]

    def offsets(self):
        return [message['offset'] for message in self.messages]

    def take_data(self, message):
        offset = message['offset']
        if self.may_go_back_to is not None and offset == self.may_go_back_to + 1:
            self.wire, self.may_go_back_to = self.may_go_back_to, None
        check(self.owed_gap is None, f'{self.name}: data after recovered:false before its gap: {shorten(message)}')
        if self.wire is None:
            check(self.first_between, f'{self.name}: data before "subscribed": {shorten(message)}')
            check(self.first_between[0] <= offset <= self.first_between[1] or self.mode == 'latest',
                  f'{self.name}: the first offset {offset} is within {self.first_between}')
        elif self.mode == 'latest':
            check(offset > self.wire, f'{self.name}: offset {offset} ascends above {self.wire}')
        else:
            # "Offsets of a channel ascend, each at most once per connection […]; what is missing has been told by a gap."
            check_equal(offset, self.wire + 1, f'{self.name}: the offset that follows on this connection')
        self.wire = offset
        if self.position is not None and offset <= self.position:
            self.duplicates += 1  # "a client drops what it already has"
            return False
        self.position = offset
        self.messages.append(message)
        return True

    def take_gap(self, gap):
        self.gaps.append(gap)
        # "recovered: all since the asked position follows […]. If not, a gap comes first": before "subscribed" or right after it.
        since = self.owed_gap or (self.asked or {}).get('since')
        if since and not self.told_gap:  # the cursor has moved to where we asked for
            self.owed_gap = None
            self.epoch, self.wire = since['epoch'], since['offset']
            self.position = max(self.position or 0, since['offset'])
            self.sent_ack = since['offset'] if self.sent_ack is None else self.sent_ack
        self.told_gap = True
        if gap['code'] == 'epoch':
            check(gap['from'] is None and gap['to'] is None, f'"from and to are null": {gap}')
            self.epoch, self.position, self.wire, self.sent_ack = gap['epoch'], 0, 0, 0
            return
        check(gap['epoch'] == self.epoch, f'{self.name}: the gap is of epoch {self.epoch}: {gap}')
        check(is_int(gap['from']) and is_int(gap['to']) and gap['from'] <= gap['to'], f'a gap has two ends: {gap}')
        if self.wire is not None:
            check_equal(gap['from'], self.wire + 1, f'{self.name}: the gap begins where the messages end')
        self.wire = gap['to']
        self.position = max(self.position or 0, gap['to'])

    def take_resumed(self, entry):
        """An entry of welcome.channels."""
        if self.epoch == entry['epoch'] and self.mode == 'all':
            # "Each subscription goes on behind the last offset that the client acknowledged." Never above it.
            told = max([gap['to'] for gap in self.gaps if gap['to'] is not None], default=0)
            check(entry['offset'] <= max(self.sent_ack, told),
                  f'{self.name}: resumed at {entry["offset"]}, though acknowledged up to {self.sent_ack}')
        if self.epoch is None:  # its "subscribed" was lost with the connection
            self.epoch, self.position, self.sent_ack = entry['epoch'], entry['offset'], entry['offset']
        self.wire, self.subscribed = entry['offset'], True


# Whole files of tests run in either encoding; a connection that a test opens by itself is in JSON all the same.
DEFAULT_TRANSPORT = {'json': RawWs, 'binary': BinaryWs}[os.environ.get('HF_TEST_ENCODING', 'json')]


class Client:
    """One session, over as many connections as the test likes."""

    def __init__(self, port, transport=None, ack_every=0):
        self.port, self.transport = port, transport or DEFAULT_TRANSPORT
        self.ack_every = ack_every  # acknowledge after so many messages of a channel; 0: only when the test says so
        self.ws = None
        self.welcome = None
        self.ticket = None
        self.channels = {}
        self.pending = {}  # seq: message, published and not answered
        self.offsets = {}  # seq: offset, or None (refused, or no longer known)
        self.nacks = {}  # seq: nack
        self.uncertain = []  # publishes of which a lost session does not tell whether they were applied
        self.next_seq = 1
        self.ack_seq = 0  # the last ack's seq, or on a new connection lastSeq
        self.seen = []  # all messages of this connection
        self.connections = 0
        self.pings = 0

    # Connecting

    def connect(self, resume='protocol', attempt=None, port=None):
        """
        Open a connection and read the welcome; with a ticket, take the session up again. resume: how the ticket
        travels: 'protocol', 'header' or 'query'; None: a new session.
        """
        path, protocols, headers = self.opening(resume, attempt)
        self.adopt(self.transport.open(port or self.port, path=path, protocols=protocols, headers=headers))
        return self

    def opening(self, resume='protocol', attempt=None):
        """What the upgrade request says: (path, protocols, headers)."""
        path, protocols, headers = '/ws', ['holdfast.v1.json'], []
        for name, value in (('resume', self.ticket if resume else None), ('attempt', attempt)):
            if value is None:
                continue
            if resume == 'header':
                headers.append((f'Holdfast-{name.capitalize()}', str(value)))
            elif resume == 'query':
                path += f'{"&" if "?" in path else "?"}{name}={value}'
            else:
                protocols.append(f'hf.{name}.{value}')
        return path, protocols, headers

    def reconnect(self, deadline_s=DEADLINE_S):
        """Resume, however often it takes: the server may be about to replace the worker."""
        end = time.monotonic() + deadline_s
        while True:
            try:
                return self.connect()
            except (OSError, ConnectionEnded, Closed, Refused) as error:
                check(not isinstance(error, Refused) or error.status in (429, 503), f'a refusal that passes: {error}')
                check(time.monotonic() < end, f'connected again within {deadline_s:g} s; last: {error}')
                time.sleep(0.01)

    def adopt(self, ws):
        """Go on over this open WebSocket, whose welcome has not been read yet."""
        self.abandon()
        self.ws = ws
        self.seen = []
        self.connections += 1
        for channel in self.channels.values():
            channel.wire = channel.first_between = channel.may_go_back_to = channel.owed_gap = None
        self.take_welcome(self.read())

    def take_welcome(self, welcome):
        check_equal(welcome['type'], 'welcome', 'the first message of every connection')
        known = self.welcome
        self.welcome, self.ticket = welcome, welcome['ticket']
        if welcome['resumed']:
            check(known is not None, 'a session that was asked for')
            check_equal(welcome['session'], known['session'], 'session after a resume')
            check_equal(welcome['ticket'], known['ticket'], '"A ticket is good as long as its session, and does not change"')
            self.take_resumed(welcome)
        elif known is not None:
            check(welcome['session'] != known['session'], 'resumed:false brings a new session')
            self.take_lost(welcome)

    def take_resumed(self, welcome):
        last = welcome['lastSeq'] or 0
        done = max([*self.offsets, *self.nacks, 0])
        check(done <= last < self.next_seq, f'lastSeq {last} is between what was answered ({done}) and what was sent ({self.next_seq - 1})')
        self.drop_covered(last)
        self.ack_seq = last
        for entry in welcome['channels']:
            channel = self.channels.setdefault(entry['channel'], Channel(entry['channel']))
            channel.take_resumed(entry)
        listed = {entry['channel'] for entry in welcome['channels']}
        for channel in self.channels.values():
            check(not channel.subscribed or channel.name in listed, f'the subscription of {channel.name} survived the resume')
        for seq in sorted(self.pending):
            self.ws.send_text(self.pending[seq])

    def take_lost(self, welcome):
        """The session is gone: subscribe again with since, send again what is surely not applied."""
        if welcome['lastSeq'] is None:
            self.uncertain += [json.loads(self.pending[seq]) for seq in sorted(self.pending)]
            again = []
        else:
            self.drop_covered(welcome['lastSeq'])
            again = [json.loads(self.pending[seq]) for seq in sorted(self.pending)]
        self.pending, self.offsets, self.nacks, self.next_seq, self.ack_seq = {}, {}, {}, 1, 0
        for channel in self.channels.values():
            if channel.subscribed:
                self.subscribe(channel.name, since=(channel.epoch, channel.position), mode=channel.mode)
        for message in again:
            del message['seq']
            self.publish(**{name: value for name, value in message.items() if name != 'type'})

    def drop_covered(self, last):
        for seq in [seq for seq in self.pending if seq <= last]:
            del self.pending[seq]
            self.offsets.setdefault(seq, None)

    def abandon(self):
        if self.ws:
            self.ws.close()
            self.ws = None

    close = abandon

    def cut(self):
        """Lose the connection without a word."""
        self.ws.rst()
        self.ws = None

    # Sending

    def send(self, message):
        self.ws.send_text(json.dumps(message, ensure_ascii=False))

    def subscribe(self, name, since=None, last=None, mode=None, wait=False):
        channel = self.channels.setdefault(name, Channel(name))
        message = {'type': 'subscribe', 'channel': name}
        if since is not None:
            message['since'] = {'epoch': since[0], 'offset': since[1]}
        if last is not None:
            message['last'] = last
        if mode is not None:
            message['mode'] = channel.mode = mode
        channel.asked, channel.told_gap = message, False
        self.send(message)
        if wait:
            self.wait_for('subscribed', channel=name)
        return channel

    def publish(self, channel, payload, **members):
        seq, self.next_seq = self.next_seq, self.next_seq + 1
        message = {'type': 'data', 'channel': channel, 'payload': payload, 'seq': seq, **members}
        self.pending[seq] = json.dumps(message, ensure_ascii=False)
        self.ws.send_text(self.pending[seq])
        return seq

    def ack(self, name, offset=None):
        channel = self.channels[name]
        offset = channel.position if offset is None else offset
        self.send({'type': 'ack', 'channel': name, 'offset': offset})
        channel.sent_ack = max(channel.sent_ack or 0, offset)

    def sync_request(self, name, offset):
        self.channels[name].may_go_back_to = offset
        self.send({'type': 'sync_request', 'channel': name, 'offset': offset})

    # Receiving

    def read(self, deadline_s=DEADLINE_S):
        text = self.ws.recv_text(deadline_s)
        try:
            message = json.loads(text)
        except ValueError:
            raise CheckFailed(f'the server sent no JSON: {shorten(text)}') from None
        check_shape(message)
        self.seen.append(message)
        return message

    def recv(self, deadline_s=DEADLINE_S):
        """The next message, checked and taken into account."""
        message = self.read(deadline_s)
        take = getattr(self, f'take_{message["type"]}', None)
        check(message['type'] != 'welcome', 'a second welcome')
        if take:
            take(message)
        return message

    def wait_for(self, kind, deadline_s=DEADLINE_S, **members):
        """Take messages until one of this type with these members comes, and return it."""
        end = time.monotonic() + deadline_s
        while True:
            left = end - time.monotonic()
            check(left > 0, f'{kind} {members} within {deadline_s:g} s; last: {shorten(self.seen[-3:])}')
            message = self.recv(left)
            if message['type'] == kind and all(message.get(name) == value for name, value in members.items()):
                return message

    def pump(self, until, what, deadline_s=DEADLINE_S):
        """Take messages until the condition holds."""
        end = time.monotonic() + deadline_s
        while not until():
            left = end - time.monotonic()
            check(left > 0, f'not within {deadline_s:g} s: {what}; last: {shorten(self.seen[-3:])}')
            self.recv(left)

    def pump_count(self, name, count, deadline_s=DEADLINE_S):
        channel = self.channels[name]
        self.pump(lambda: len(channel.messages) >= count, f'{count} messages on {name} (have {len(channel.messages)})', deadline_s)
        return channel.payloads()

    def settle(self, deadline_s=DEADLINE_S):
        """A round trip: all that the server sent before it answered our ping has been taken."""
        self.pings += 1
        self.send({'type': 'ping', 'id': f'settle-{self.pings}'})
        return self.wait_for('pong', deadline_s, id=f'settle-{self.pings}')

    # What each message means

    def take_subscribed(self, message):
        channel = self.channels.setdefault(message['channel'], Channel(message['channel']))  # pushed, where the backend made it
        asked, channel.asked = channel.asked or {}, None
        if 'since' in asked:
            self.take_subscribed_since(channel, message, asked['since'])
        elif 'last' in asked or channel.mode == 'latest':
            # "the newest n, or what there is": the first one's offset is known within bounds only.
            count = asked.get('last', 1)
            channel.wire = None
            channel.first_between = (max(0, message['offset'] - count) + 1, message['offset'] + 1)
        elif not (channel.subscribed and channel.epoch == message['epoch']):
            channel.wire = channel.position = message['offset']  # "nothing: from the head on"
        channel.epoch, channel.subscribed = message['epoch'], True
        if channel.sent_ack is None and not channel.owed_gap:
            channel.sent_ack = channel.position if channel.wire is not None else channel.first_between[0] - 1

    @staticmethod
    def take_subscribed_since(channel, message, since):
        if not message['recovered']:
            channel.owed_gap = None if channel.told_gap else since
            return
        check_equal(message['epoch'], since['epoch'], 'recovered in the epoch that was asked for')
        check(since['offset'] <= message['offset'], f'recovered from {since} though the head is {message["offset"]}')
        channel.wire = since['offset']
        channel.position = max(channel.position or 0, since['offset'])

    def take_unsubscribed(self, message):
        self.channels.pop(message['channel'], None)

    def take_data(self, message):
        channel = self.channels.get(message['channel'])
        check(channel is not None, f'data of a channel that was asked for: {shorten(message)}')
        if channel.take_data(message) and self.ack_every and len(channel.messages) % self.ack_every == 0:
            self.ack(channel.name)

    def take_gap(self, message):
        self.channels[message['channel']].take_gap(message)

    def take_ack(self, message):
        if 'seq' not in message:
            check('id' in message, f'an ack names what it acknowledges: {message}')
            return
        seq, offsets = message['seq'], message['offsets']
        check(seq < self.next_seq, f'an ack of a publish that was sent: {message}')
        if seq <= self.ack_seq:  # of one that was sent twice
            return
        # "The last of offsets belongs to seq, the one before to seq-1, and so on back to the ack before."
        check_equal(len(offsets), seq - self.ack_seq, f'number of offsets in {shorten(message)} after ack {self.ack_seq}')
        for at, offset in enumerate(offsets, self.ack_seq + 1):
            if offset is not None:
                check(at not in self.nacks, f'publish {at} was refused and has an offset: {message}')
            self.offsets[at] = offset
            self.pending.pop(at, None)
        self.ack_seq = seq

    def take_nack(self, message):
        if 'seq' in message:
            check(message['seq'] > self.ack_seq or message['seq'] in self.nacks or message['seq'] in self.offsets,
                  f'"A nack comes before the ack that covers it": {message}')
            check(message['seq'] < self.next_seq, f'a nack of a publish that was sent: {message}')
            self.nacks[message['seq']] = message
            self.pending.pop(message['seq'], None)

    def take_ping(self, message):
        self.send({'type': 'pong'})

    def wait_acked(self, deadline_s=DEADLINE_S):
        """All that was published has been answered."""
        self.pump(lambda: not self.pending, f'all publishes are answered ({len(self.pending)} are not)', deadline_s)

    def expect_close(self, code, deadline_s=DEADLINE_S):
        """Take messages until the server closes; with this code."""
        end = time.monotonic() + deadline_s
        codes = code if isinstance(code, (tuple, list)) else (code,)
        while True:
            try:
                self.recv(end - time.monotonic())
            except Closed as closed:
                check_in(closed.code, codes, 'close code')
                return closed
            except ConnectionEnded as ended:
                raise CheckFailed(f'the connection ended by {ended.how} without the close frame {code}') from None
