#!/usr/bin/python3
"""Clients that we did not write against the real server, with and without compression: python3-websockets, npm's ws, curl, Chromium."""
import json
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'integration'))

from foreign_clients import Target, chromium_visit, curl_upgrade, node_ws, with_websockets
from holdfast_server import SharedServer
from holdfast_test import check, check_equal, main, test
from tls_fixture import Certificates, TlsServer

plain = SharedServer(workers=1, echo=True)
packing = SharedServer(workers=1, echo=True, compression='true')
ANSWER = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover'


def text_of(size):
    rng = random.Random(size)
    return ''.join(rng.choice(('price ', 'käse ', '€ ', '😀 ', 'online ', str(rng.randrange(10000)))) for _ in range(size // 4))


MESSAGES = ['', 'short', *(text_of(size) for size in (100, 300, 2000, 65000)), 'a' * 100000]
PAYLOADS = MESSAGES[:5] + [text_of(20000)]


def grown(server, name, work):
    """What work() returns, and by how much it made a metric grow."""
    before = server.metric(f'holdfast_{name}')
    result = work()
    return result, server.metric(f'holdfast_{name}') - before


# python3-websockets

def echo_all(target, **options):
    async def work(ws):
        for text in MESSAGES:
            for data in (text, text.encode()):
                await ws.send(data)
                check_equal(await ws.recv(), data, f'echo of {len(data)}')
        for n in range(1, 5):
            await ws.send([text_of(1000)] * n)  # in fragments
            check_equal(await ws.recv(), text_of(1000) * n, f'echo of {n} fragments')
        return ws.extensions, ws.response_headers.get('Sec-WebSocket-Extensions')
    return with_websockets(target, work, **options)


@test
def websockets_by_default(t):
    for server, answer in ((plain(), None), (packing(), ANSWER)):
        (extensions, header), inflated = grown(server, 'inflated_messages_total', lambda s=server: echo_all(Target(s.port)))
        check_equal(header, answer, 'answer')
        check_equal(len(extensions), 1 if answer else 0, 'extensions')
        check((inflated > 10) == (answer is not None), f'{inflated} messages came compressed')


@test
def websockets_without_compression(t):
    for server in (plain(), packing()):
        (extensions, header), inflated = grown(server, 'inflated_messages_total', lambda s=server: echo_all(Target(s.port), compression=None))
        check_equal((extensions, header, inflated), ([], None, 0), 'extensions, answer, messages inflated')


@test
def websockets_with_every_window(t):
    from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
    for bits in range(8, 16):
        factory = ClientPerMessageDeflateFactory(server_max_window_bits=bits, client_max_window_bits=max(bits, 9), server_no_context_takeover=True)
        _, header = echo_all(Target(packing().port), extensions=[factory], compression=None)
        check_equal(header, f'{ANSWER}; server_max_window_bits={bits}', 'answer')


@test
def websockets_subscribe(t):
    async def work(ws):
        check_equal(json.loads(await ws.recv())['type'], 'welcome', 'the first message')
        await ws.send(json.dumps({'type': 'subscribe', 'channel': 'websockets'}))
        for n, payload in enumerate(PAYLOADS):
            await ws.send(json.dumps({'type': 'data', 'channel': 'websockets', 'seq': n + 1, 'payload': payload}))
        got = []
        while len(got) < len(PAYLOADS):
            message = json.loads(await ws.recv())
            if message['type'] == 'data':
                got.append(message['payload'])
        return got
    server = packing()
    got, shared = grown(server, 'deflate_deliveries_total',
                        lambda: with_websockets(Target(server.port), work, path='/ws', subprotocols=['holdfast.v1.json']))
    check_equal(got, PAYLOADS, 'payloads')
    check_equal(shared, 4, 'of them came compressed')  # those of 300 characters and more, and that of 100, which the envelope makes longer


# npm's ws

@test
def npm_ws_echoes(t):
    for server in (plain(), packing()):
        for deflate in (False, True, {'threshold': 0}, {'threshold': 0, 'serverMaxWindowBits': 10, 'clientMaxWindowBits': 9},
                        {'threshold': 0, 'serverNoContextTakeover': True, 'clientNoContextTakeover': True, 'serverMaxWindowBits': 8}):
            seen = node_ws(Target(server.port), 'echo', MESSAGES, deflate=deflate)
            check_equal((seen['wrong'], len(seen['received']), seen['closed']), ([], 2 * len(MESSAGES), 1000), f'{deflate}: wrong, echoed, close code')
            agreed = server is packing() and deflate is not False
            check_equal(seen['extensions'], 'permessage-deflate' if agreed else '', f'extensions with {deflate}')
            check_equal((seen['header'] or '').startswith(ANSWER), agreed, f'answer with {deflate}: {seen["header"]}')


@test
def npm_ws_subscribes(t):
    for name, server in (('plain', plain()), ('packing', packing())):
        for deflate in (False, True, {'threshold': 0}):
            channel = f'npm-{name}-{json.dumps(deflate)}'
            seen = node_ws(Target(server.port), 'session', PAYLOADS, deflate=deflate, channel=channel)
            check_equal((seen['wrong'], seen['protocol'], seen['closed']), ([], 'holdfast.v1.json', 1000), 'wrong, protocol, close code')
            check_equal(seen['received'], PAYLOADS, f'payloads with {deflate}')


# curl: Debian's speaks no WebSocket, but can ask for one

@test
def curl_asks(t):
    for server, answer in ((plain(), None), (packing(), ANSWER)):
        for offer, want in (((), None), (('Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits',), answer)):
            status, fields = curl_upgrade(Target(server.port), headers=offer)
            check_equal((status, fields['sec-websocket-accept']), (101, 's3pplmbitxaq9kygzzhzrbk+xoo='), 'answer')
            check_equal(fields.get('sec-websocket-extensions'), want, f'extensions for {offer}')
    check_equal(curl_upgrade(Target(packing().port), headers=['Sec-WebSocket-Extensions: permessage-deflate;'])[0], 400, 'status of a malformed offer')


# Chromium

@test(deadline=200)
def chromium_talks(t):
    for server, extensions in ((plain(), ''), (packing(), ANSWER)):
        seen, inflated = grown(server, 'inflated_messages_total',
                               lambda s=server: chromium_visit(t, Target(s.port), PAYLOADS, 'chromium'))
        check_equal(seen['wrong'], [], f'what went wrong in {seen["agent"]}')
        check_equal((seen['echoed'], seen['received']), (2 * len(PAYLOADS), PAYLOADS), 'what came back')
        check_equal((seen['extensions'], seen['sessionExtensions']), (extensions, extensions), 'ws.extensions')
        check_equal((seen['protocol'], seen['echoClosed'], seen['sessionClosed']), ('holdfast.v1.json', [1000, True], [1000, True]), 'protocol, closes')
        check((inflated > 0) == (extensions != ''), f'{inflated} messages came compressed')


# Over TLS

def secure_target(t):
    """(target, server): compression is on, as whoever has both would have it."""
    one = Certificates(t).make('one', 'localhost')
    server = t.own(TlsServer([one], workers=2, echo=True, compression='true')).start()
    return Target(server.tls_port, 'wss', 'localhost', one.pem), server


@test
def websockets_npm_ws_and_curl_over_tls(t):
    target, server = secure_target(t)
    check_equal(echo_all(target)[1], ANSWER, 'answer to python3-websockets')
    seen = node_ws(target, 'echo', MESSAGES)
    check_equal((seen['wrong'], len(seen['received']), seen['closed']), ([], 2 * len(MESSAGES), 1000), 'wrong, echoed, close code')
    seen = node_ws(target, 'session', PAYLOADS, channel='npm')
    check_equal((seen['wrong'], seen['received']), ([], PAYLOADS), 'wrong, payloads')
    check_equal(curl_upgrade(target)[0], 101, 'status')
    check_equal((server.tls_count('handshakes', version='1.3'), server.tls_count('handshakes_failed')), (4, 0), 'handshakes, failed ones')


@test(deadline=200)
def chromium_talks_over_tls(t):
    target, server = secure_target(t)
    seen = chromium_visit(t, target, PAYLOADS, 'chromium')
    check_equal((seen['wrong'], seen['received'], seen['extensions']), ([], PAYLOADS, ANSWER), 'wrong, payloads, extensions')
    check_equal((seen['echoClosed'], seen['sessionClosed']), ([1000, True], [1000, True]), 'closes')
    check_equal(server.tls_count('handshakes', version='1.3', resumed='yes'), 1, 'its second connection resumes')


if __name__ == '__main__':
    main()
