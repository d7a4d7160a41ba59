"""
holdfast_fixture.py - what most test files need around one shared server: channels that nobody else uses, clients, messages.

    on = Fixture(workers=2)
    server, fresh, client, raw, publish = on.server, on.fresh, on.client, on.raw, on.publish
"""
import itertools

from holdfast_client import Client, check_shape
from holdfast_server import SharedServer
from holdfast_test import check, check_equal, shorten
from raw_ws import RawWs


class Fixture:
    def __init__(self, **options):
        self.server = SharedServer(**options)
        self.names = itertools.count(1)

    def fresh(self, prefix='room'):
        """The name of a channel that no other test uses."""
        return f'{prefix}-{next(self.names)}'

    def client(self, t, port=None, **options):
        """A reference client, connected."""
        return t.own(Client(port or self.server().port, **options)).connect()

    def raw(self, t, protocols=('holdfast.v1.json',)):
        """A connection without any help; its welcome has been read."""
        ws = t.own(RawWs.open(self.server().port, protocols=list(protocols)))
        check_equal(ws.recv_json()['type'], 'welcome', 'the first message')
        return ws

    def publish(self, channel, count, first=1, to=None):
        """Messages by HTTP, whose payloads are numbers; returns their offsets."""
        return [(to or self.server()).publish(channel, n)['offset'] for n in range(first, first + count)]

    def payloads_of(self, channel, of=None):
        answer = (of or self.server()).post('/api/history', {'channel': channel, 'limit': 1000})
        return [message['payload'] for message in answer['messages']]


def is_ack_of_refusals(message):
    """A refused publish "counts as done", so that an ack may cover it as well; its offset is null."""
    return message['type'] == 'ack' and 'seq' in message and not any(message['offsets'])


def expect(ws, kind, **members):
    """The next message of a raw connection must be this one; acks that cover nothing but refusals are passed over."""
    message = ws.recv_json()
    check_shape(message)
    while is_ack_of_refusals(message) and (kind != 'ack' or message['seq'] in ws.nacked):
        check(message['seq'] in ws.nacked, f'"A nack comes before the ack that covers it": {message}')
        message = ws.recv_json()
        check_shape(message)
    if message['type'] == 'nack':
        ws.nacked.add(message.get('seq'))
    check_equal(message['type'], kind, f'type of {shorten(message)}')
    for name, value in members.items():
        check_equal(message.get(name), value, f'{name} of {shorten(message)}')
    return message
