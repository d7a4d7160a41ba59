#!/usr/bin/python3
"""Behind proxies: the PROXY header, Forwarded and X-Forwarded-For, and that nobody else is believed."""
import socket
import struct

from holdfast_fixture import expect
from holdfast_server import Server
from holdfast_test import check, check_equal, main, test, wait_until
from raw_ws import ConnectionEnded, RawWs

JSON = ['holdfast.v1.json']
SIGNATURE = b'\r\n\r\n\0\r\nQUIT\n'
TRUSTED = {'proxy_trusted': '127.0.0.1/32,10.0.0.0/8,::1'}


def start(t, **options):
    return t.own(Server(**options)).start()


def header(source, port=4711, command=0x21, tlvs=b''):
    family = socket.AF_INET6 if ':' in source else socket.AF_INET
    zero = '::' if ':' in source else '0.0.0.0'
    block = socket.inet_pton(family, source) + socket.inet_pton(family, zero) + struct.pack('>HH', port, 8000) + tlvs
    return SIGNATURE + bytes([command, 0x21 if ':' in source else 0x11]) + struct.pack('>H', len(block)) + block


def local():
    return SIGNATURE + b'\x20\0\0\0'


def address(ws, headers=()):
    """What the server says of who we are."""
    check_equal(ws.upgrade('/ws', JSON, headers).status, 101, 'status')
    return expect(ws, 'welcome')['address']


def own_address(ws):
    return '%s:%d' % ws.sock.getsockname()


def refused(server):
    return int(server.metrics()['holdfast_handshakes_refused_total{cause="proxy_header"}'])


def with_header(t, server, data, **options):
    ws = t.own(RawWs(server.port, **options))
    ws.send(data)
    return ws


# PROXY

@test
def the_header_names_the_client(t):
    server = start(t, workers=2, proxy_protocol='true', **TRUSTED)
    check_equal(address(with_header(t, server, header('192.0.2.1'))), '192.0.2.1:4711', 'IPv4')
    check_equal(address(with_header(t, server, header('2001:db8::1'))), '[2001:db8::1]:4711', 'IPv6')
    check_equal(address(with_header(t, server, header('192.0.2.1', tlvs=b'\4\0\3abc'))), '192.0.2.1:4711', 'with a TLV')
    own = with_header(t, server, local())
    check_equal(address(own), own_address(own), 'LOCAL is the proxy itself')
    check_equal(address(with_header(t, server, SIGNATURE + b'\x21\x31\0\xd8' + bytes(216))), 'unix', 'a Unix socket')


@test
def cut_at_every_place(t):
    server = start(t, workers=1, proxy_protocol='true', **TRUSTED)
    data = header('192.0.2.1')
    for place in range(1, len(data)):
        ws = t.own(RawWs(server.port))
        ws.send_cut(data, [place])
        check_equal(address(ws), '192.0.2.1:4711', f'cut behind {place} bytes')
    ws = t.own(RawWs(server.port))
    ws.send_cut(data, range(1, len(data)))
    check_equal(address(ws), '192.0.2.1:4711', 'byte by byte')


@test
def what_is_no_header_is_ended(t):
    server = start(t, workers=1, proxy_protocol='true', **TRUSTED)
    broken = [b'GET /ws HTTP/1.1\r\n\r\n', b'PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n', header('192.0.2.1', command=0x31),
              header('192.0.2.1', tlvs=b'\4\xff\xff'), header('192.0.2.1', tlvs=b'\3\0\4abcd'), SIGNATURE + b'\x21\x11\0\4abcd',
              SIGNATURE + b'\x21\x11\xff\xff']
    for data in broken:
        check_equal(with_header(t, server, data).read_to_end()[0], b'', f'no word to {data!r}')
    check_equal(refused(server), len(broken), 'counted by cause')
    for end in range(len(header('192.0.2.1'))):  # it never comes whole
        ws = with_header(t, server, header('192.0.2.1')[:end])
        ws.fin()
        check_equal(ws.read_to_end()[0], b'', f'no word after {end} bytes')
    check_equal(refused(server), len(broken), 'an end is no fault')
    wait_until(lambda: 'event=handshakes_refused cause=proxy_header' in server.log(), 'it is in the log')
    address(with_header(t, server, header('192.0.2.1')))


@test
def only_proxies_may_send_it(t):
    server = start(t, workers=1, proxy_protocol='true', **TRUSTED)
    direct = t.own(RawWs(server.port, source='127.0.0.2'))
    check_equal(address(direct), own_address(direct), 'others connect without')
    forged = with_header(t, server, header('192.0.2.1'), source='127.0.0.2')
    check(forged.read_to_end()[0].startswith(b'HTTP/1.1 400 '), 'and from them it is no HTTP')
    plain = start(t, workers=1, **TRUSTED)
    check(with_header(t, plain, header('192.0.2.1')).read_to_end()[0].startswith(b'HTTP/1.1 400 '), 'nor where it is off')


@test
def a_header_that_does_not_come_times_out(t):
    server = start(t, workers=1, proxy_protocol='true', handshake_timeout='300ms', **TRUSTED)
    for data in (b'', SIGNATURE):
        ws = with_header(t, server, data)
        ws.read_to_end()
    check_equal(server.metric('holdfast_handshakes_timed_out_total'), 2, 'both are counted')


@test
def limits_are_by_the_clients_address(t):
    server = start(t, workers=2, proxy_protocol='true', address_max=3, **TRUSTED)
    inside = [with_header(t, server, header('192.0.2.1', port)) for port in range(1, 4)]
    for ws in inside:
        address(ws)
    check_equal(with_header(t, server, header('192.0.2.1')).upgrade('/ws', JSON).status, 429, 'the fourth of an address')
    address(with_header(t, server, header('192.0.2.2')))
    for i in range(3):
        address(with_header(t, server, header(f'2001:db8:0:1::{i + 1}')))
    check_equal(with_header(t, server, header('2001:db8:0:1:ffff::9')).upgrade('/ws', JSON).status, 429, 'the fourth of a /64')
    address(with_header(t, server, header('2001:db8:0:2::1')))


# Headers of HTTP

@test
def the_last_address_that_is_no_proxy_counts(t):
    server = start(t, workers=1, **TRUSTED)

    def told(value, name='X-Forwarded-For', **options):
        return address(t.own(RawWs(server.port, **options)), [(name, one) for one in ([value] if isinstance(value, str) else value)])
    check_equal(told('192.0.2.1'), '192.0.2.1', 'one')
    check_equal(told('6.6.6.6, 192.0.2.1'), '192.0.2.1', 'what the client wrote itself is passed over')
    check_equal(told('6.6.6.6, 192.0.2.1, 10.1.2.3'), '192.0.2.1', 'through two proxies')
    check_equal(told(['6.6.6.6', '192.0.2.1', '10.1.2.3']), '192.0.2.1', 'in several lines')
    check_equal(told('2001:db8::1'), '2001:db8::1', 'IPv6')
    ws = t.own(RawWs(server.port))
    check_equal(address(ws, [('X-Forwarded-For', 'unknown')]), own_address(ws), 'nobody is named')
    ws = t.own(RawWs(server.port))
    check_equal(address(ws, [('Forwarded', 'for=192.0.2.1')]), own_address(ws), 'another header is not believed')
    ws = t.own(RawWs(server.port, source='127.0.0.2'))
    check_equal(address(ws, [('X-Forwarded-For', '192.0.2.1')]), own_address(ws), 'nor is another peer')


@test
def forwarded_of_rfc_7239(t):
    server = start(t, workers=1, proxy_header='forwarded', **TRUSTED)

    def told(*values):
        return address(t.own(RawWs(server.port)), [('Forwarded', value) for value in values])
    check_equal(told('for=192.0.2.1;proto=https;by=203.0.113.43'), '192.0.2.1', 'one')
    check_equal(told('for=6.6.6.6', 'for="[2001:db8:cafe::17]:4711", for=10.0.0.1'), '[2001:db8:cafe::17]:4711', 'two lines, two proxies')
    ws = t.own(RawWs(server.port))
    check_equal(address(ws, [('Forwarded', 'for="192.0.2.1')]), own_address(ws), 'a malformed one is not believed')
    check_equal(server.metric('holdfast_forwarded_malformed_total'), 1, 'but counted')


@test
def nobody_is_believed_without_configuration(t):
    server = start(t, workers=1)
    ws = t.own(RawWs(server.port))
    check_equal(address(ws, [('X-Forwarded-For', '192.0.2.1'), ('Forwarded', 'for=192.0.2.1')]), own_address(ws), 'the peer itself')


main()
