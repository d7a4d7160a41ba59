#!/usr/bin/python3
"""The opening handshake (RFC 6455 section 4 over RFC 9112): what is accepted, and each refusal with its HTTP status."""
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'integration'))

import raw_ws
from holdfast_server import Server, SharedServer
from holdfast_test import DEADLINE_S, check, check_equal, check_in, main, test
from raw_ws import ConnectionEnded, RawWs, Response, upgrade_request

server = SharedServer(workers=1, echo=True)
KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
GOOD = upgrade_request('/echo')


def answer_to(t, request, port=None):
    """Send these bytes; the answer, and for a refusal the checks that hold for every one."""
    ws = t.own(RawWs(port or server().port))
    ws.send(request)
    response = ws.read_response()
    if response.status != 101:
        check_refusal(ws, response)
    ws.close()
    return response


def check_refusal(ws, response):
    options = [option.strip().lower() for option in response.headers.get('connection', '').split(',')]
    check('close' in options, f'Connection of {response}')  # RFC 9110 section 7.8: with "upgrade" where there is an Upgrade
    check('content-length' in response.headers, f'Content-Length of {response}')
    body = json.loads(response.body)
    check(isinstance(body.get('code'), str) and isinstance(body.get('reason'), str), f'body of {response}')
    check_equal(ws.expect_end(), 'fin', f'the end after {response}')


def refused(t, status, request, what):
    response = answer_to(t, request)
    check_in(response.status, status if isinstance(status, tuple) else (status,), f'status for {what}')
    return response


def with_line(line):
    """The good request with one more line of bytes, as it is."""
    return GOOD[:-2] + line + b'\r\n'


# Accepted

@test
def sample_of_the_rfc(t):
    # RFC 6455 section 1.3: this key gives this answer.
    response = answer_to(t, GOOD)
    check_equal(response.status, 101, 'status')
    check_equal(response.headers['sec-websocket-accept'], 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=', 'Sec-WebSocket-Accept')
    check_equal(response.headers['upgrade'].lower(), 'websocket', 'Upgrade')
    check_equal(response.headers['connection'].lower(), 'upgrade', 'Connection')


@test
def what_may_vary_is_accepted(t):
    requests = {
        'names in lower case': GOOD.replace(b'Host', b'host').replace(b'Upgrade:', b'upgrade:').replace(b'Sec-WebSocket', b'sec-websocket'),
        'values in other case': GOOD.replace(b'Connection: Upgrade', b'Connection: uPGRADE').replace(b'websocket\r', b'WebSocket\r'),
        'a list in Connection': GOOD.replace(b'Connection: Upgrade', b'Connection: keep-alive, Upgrade'),
        'Connection twice': with_line(b'Connection: keep-alive\r\n'),
        'a list in Upgrade': GOOD.replace(b'Upgrade: websocket', b'Upgrade: h2c, websocket'),
        'white space around values': GOOD.replace(b'Host: ', b'Host: \t ').replace(b'13\r\n', b'13 \t\r\n'),
        'no white space': GOOD.replace(b': ', b':'),
        'a query': upgrade_request('/echo?a=b&c'),
        'extensions': with_line(b'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-unknown\r\n'),
        'an Origin': with_line(b'Origin: http://127.0.0.1\r\n'),
        'Content-Length 0': with_line(b'Content-Length: 0\r\n'),
        'an empty value': with_line(b'X-Empty:\r\n'),
        'bytes above 127 in a value': with_line(b'X-Name: \xe9\xff\r\n'),
    }
    for what, request in requests.items():
        response = answer_to(t, request)
        check_equal(response.status, 101, f'status with {what}')
        check('sec-websocket-extensions' not in response.headers, 'no extension')


@test
def request_cut_at_every_byte(t):
    for pieces in (range(1, len(GOOD)), range(0, len(GOOD), 7)):
        ws = t.own(RawWs(server().port))
        ws.send_cut(GOOD, pieces, pause_s=0.0005)
        check_equal(ws.read_response().status, 101, 'status')
        ws.send_text('after')
        check_equal(ws.recv_text(), 'after', 'echo')


@test
def frames_right_behind_the_request(t):
    # A client that resumes may send before the answer is there; nothing of it may be lost.
    frames = raw_ws.frame(raw_ws.TEXT, 'one') + raw_ws.frame(raw_ws.BINARY, b'\x00two')
    whole = GOOD + frames
    for cut in ([], [len(GOOD) - 1], [len(GOOD)], [len(GOOD) + 1], [len(GOOD) - 3, len(GOOD) + 5]):
        ws = t.own(RawWs(server().port))
        ws.send_cut(whole, cut)
        check_equal(ws.read_response().status, 101, 'status')
        check_equal([ws.recv_message(), ws.recv_message()], [(raw_ws.TEXT, b'one'), (raw_ws.BINARY, b'\x00two')], f'cut at {cut}')


# Refused

@test
def wrong_path_is_404(t):
    for path in ('/', '/nothing', '/ws/', '/WS', '/ws/x', '/wsx', '/echo/..', '//ws', '/%77s'):
        refused(t, 404, upgrade_request(path), f'path {path}')


@test
def echo_is_404_where_it_is_off(t):
    plain = t.own(Server(workers=1).start())
    check_equal(answer_to(t, GOOD, plain.port).status, 404, 'status of /echo without --echo')


@test
def wrong_method_is_405(t):
    for method in (b'POST', b'HEAD', b'PUT', b'OPTIONS', b'get'):
        ws = t.own(RawWs(server().port))
        ws.send(GOOD.replace(b'GET', method))
        response = Response(ws.take_until(b'\r\n\r\n'))
        check_in(response.status, (405, 501) if method != b'get' else (400, 405, 501), f'status for {method}')
        if response.status == 405:
            check_equal(response.headers.get('allow'), 'GET', 'Allow')


@test
def wrong_http_version(t):
    refused(t, 505, GOOD.replace(b'HTTP/1.1', b'HTTP/2.0'), 'HTTP/2.0')
    refused(t, (400, 426, 505), GOOD.replace(b'HTTP/1.1', b'HTTP/1.0'), 'HTTP/1.0')
    for version in (b'HTTP/1.', b'HTTP/11', b'http/1.1', b'HTTP/1.1 ', b'FTP/1.1', b''):
        refused(t, (400, 505), GOOD.replace(b'HTTP/1.1', version), f'version {version}')


@test
def plain_http_is_426(t):
    response = refused(t, 426, b'GET /echo HTTP/1.1\r\nHost: x\r\n\r\n', 'a request for no upgrade')
    # RFC 9110 section 15.5.22: "The server MUST send an Upgrade header field in a 426 response".
    check_equal(response.headers.get('upgrade', '').lower(), 'websocket', 'Upgrade')
    refused(t, (400, 426), upgrade_request('/echo', leave_out=('Upgrade',)), 'no Upgrade')
    refused(t, (400, 426), upgrade_request('/echo', leave_out=('Connection',)), 'no Connection')
    refused(t, (400, 426), GOOD.replace(b'Upgrade: websocket', b'Upgrade: websockets'), 'another Upgrade')


@test
def wrong_websocket_version_is_426(t):
    for version in (b'8', b'12', b'14', b'013', b'-13', b'13x', b'', b'x'):
        response = refused(t, (426, 400) if version in (b'', b'x', b'13x', b'-13', b'013') else 426,
                           GOOD.replace(b'Version: 13', b'Version: ' + version), f'version {version}')
        if response.status == 426:
            # RFC 6455 section 4.4
            check_equal(response.headers.get('sec-websocket-version'), '13', 'Sec-WebSocket-Version')
    refused(t, (400, 426), upgrade_request('/echo', leave_out=('Sec-WebSocket-Version',)), 'no version')


@test
def wrong_host_is_400(t):
    refused(t, 400, upgrade_request('/echo', leave_out=('Host',)), 'no Host')
    refused(t, 400, with_line(b'Host: other\r\n'), 'two Hosts')


@test
def wrong_key_is_400(t):
    refused(t, 400, upgrade_request('/echo', leave_out=('Sec-WebSocket-Key',)), 'no key')
    refused(t, 400, with_line(b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'), 'two keys')
    for key in (b'', b'short', b'dGhlIHNhbXBsZSBub25jZQ', b'dGhlIHNhbXBsZSBub25jZQ=', b'dGhlIHNhbXBsZSBub25jZQ===', b'!!hlIHNhbXBsZSBub25jZQ==',
                b'dGhlIHNhbXBsZSBub25jZTE=', b'dGhlIHNhbXBsZSBub25jZTEy', b'dGhl IHNhbXBsZSBub25jZQ=='):
        refused(t, 400, GOOD.replace(b'dGhlIHNhbXBsZSBub25jZQ==', key), f'key {key}')


@test
def body_is_400(t):
    refused(t, 400, with_line(b'Content-Length: 5\r\n') + b'hello', 'a body')
    refused(t, 400, with_line(b'Transfer-Encoding: chunked\r\n') + b'0\r\n\r\n', 'a chunked body')
    refused(t, 400, with_line(b'Content-Length: x\r\n'), 'a broken Content-Length')


@test
def malformed_head_is_400(t):
    lines = {'a folded line': b'X-A: b\r\n c\r\n', 'white space before the colon': b'X-A : b\r\n', 'no colon': b'nonsense\r\n',
             'an empty name': b': b\r\n', 'NUL': b'X-A: b\x00c\r\n', 'a bare LF': b'X-A: b\nX-B: c\r\n', 'a bare CR': b'X-A: b\rX-B: c\r\n',
             'a name with a bracket': b'X(A): b\r\n', 'a control character': b'X-A: b\x01\r\n', 'a name with a byte above 127': b'X\xe9: b\r\n'}
    for what, line in lines.items():
        refused(t, 400, with_line(line), what)
    heads = {'two spaces': b'GET  /echo HTTP/1.1', 'no target': b'GET HTTP/1.1', 'no slash': b'GET echo HTTP/1.1', 'a space first': b' GET /echo HTTP/1.1',
             'a tab': b'GET\t/echo HTTP/1.1', 'bytes above 127 in the target': b'GET /echo\xff HTTP/1.1', 'NUL in the target': b'GET /ec\x00ho HTTP/1.1'}
    for what, line in heads.items():
        refused(t, (400, 404, 505), GOOD.replace(b'GET /echo HTTP/1.1', line), what)


@test
def bad_query_and_holdfast_headers_are_400_or_ignored(t):
    # Neither may be served as if the ticket were good; a broken escape in a known key is malformed.
    refused(t, 400, upgrade_request('/ws?resume=%zz'), 'a broken escape')
    refused(t, 400, upgrade_request('/ws', protocols=['holdfast.v1.json', 'hf.attempt.x']), 'an attempt that is no number')
    refused(t, 400, upgrade_request('/ws', headers=[('Holdfast-Attempt', '-1')]), 'a negative attempt')


@test
def too_large_a_head_is_431(t):
    refused(t, 431, with_line(b'X-Long: ' + b'x' * 20000 + b'\r\n'), 'a long line')
    refused(t, 431, with_line(b''.join(b'X-%d: y\r\n' % n for n in range(1000))), 'many lines')
    refused(t, (414, 431), upgrade_request('/echo?' + 'x' * 20000), 'a long target')


@test
def endless_head_is_refused_before_its_end(t):
    ws = t.own(RawWs(server().port))
    ws.send(GOOD[:-2])
    try:
        for _ in range(100):
            ws.send(b'X-More: ' + b'y' * 1000 + b'\r\n')
    except ConnectionEnded:
        pass
    data, _ = read_all(ws)
    check(b' 431 ' in data.split(b'\r\n')[0] or not data, f'431, or the answer was lost to our own flood: {data[:80]}')


def read_all(ws):
    try:
        return ws.read_to_end()
    except ConnectionEnded as ended:
        return bytes(ws.buffer), ended.how


@test
def what_is_no_http_is_refused_at_once(t):
    for name, data in (('TLS', b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'), ('binary', b'\x00\x00\x00\x00'), ('SSH', b'SSH-2.0-OpenSSH_9.2\r\n')):
        ws = t.own(RawWs(server().port))
        began = time.monotonic()
        ws.send(data)
        got, _ = read_all(ws)
        check(not got or got.startswith(b'HTTP/1.1 400') or got.startswith(b'HTTP/1.1 505'), f'answer to {name}: {got[:60]}')
        check(time.monotonic() - began < DEADLINE_S / 2, f'{name} is refused without waiting for the deadline')


@test(deadline=60)
def slow_handshake_is_408(t):
    slow = t.own(Server(workers=1, handshake_timeout='500ms').start())
    for what, sent in (('half a request', GOOD[:60]), ('all but the last byte', GOOD[:-1])):
        ws = t.own(RawWs(slow.port))
        began = time.monotonic()
        ws.send(sent)
        response = ws.read_response()
        check_equal(response.status, 408, f'status after {what}')
        check_refusal(ws, response)
        check(time.monotonic() - began > 0.4, 'not before the deadline')
    silent = t.own(RawWs(slow.port))
    data, how = silent.read_to_end()
    check(not data or data.startswith(b'HTTP/1.1 408'), f'one that says nothing is ended too: {data[:60]}')
    dripping = t.own(RawWs(slow.port))
    try:
        for byte in GOOD * 20:  # one byte each 20 ms does not move the deadline
            dripping.send(bytes([byte]))
            if dripping.fill(0.02):
                break
    except ConnectionEnded:
        pass
    check(len(dripping.record) > 0 and dripping.record[0][1].startswith(b'HTTP/1.1 408'), 'dripping bytes end by 408')
    check_equal(answer_to(t, GOOD, slow.port).status, 404, 'the server still answers')


@test
def many_half_open_handshakes_hinder_nobody(t):
    held = [t.own(RawWs(server().port)) for _ in range(300)]
    for ws in held:
        ws.send(GOOD[:20])
    check_equal(answer_to(t, GOOD).status, 101, 'status meanwhile')


if __name__ == '__main__':
    main()
