#!/usr/bin/python3
"""Where the server listens: IPv6, all addresses, and a Unix socket for the API."""
import http.client
import os
import socket
import stat
import tempfile

from holdfast_client import Client
from holdfast_fixture import expect
from holdfast_server import Command, Server, free_port, run_holdfast
from holdfast_test import Skip, check, check_equal, main, test, wait_until
from raw_ws import RawWs

JSON = ['holdfast.v1.json']


def need_ipv6():
    with socket.socket(socket.AF_INET6) as s:
        try:
            s.bind(('::1', 0))
        except OSError:
            raise Skip('this machine has no IPv6') from None


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__('localhost', timeout=10)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def ask(path, method, url, body=None, headers=None):
    connection = UnixConnection(path)
    try:
        connection.request(method, url, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def on_unix(t, **options):
    """A server whose API is on a Unix socket, not started; and the socket's path."""
    folder = t.own(Folder())
    path = os.path.join(folder.name, 'api')
    server = t.own(Server(**options))
    server.arguments[server.arguments.index('--api') + 1] = f'unix:{path}'
    return server, path


class Folder:
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix='holdfast-test-')
        self.name = self.folder.name

    def close(self):
        self.folder.cleanup()


def start(server, path):
    server.start(ready=False)
    wait_until(lambda: ask(path, 'GET', '/readyz')[0] == 200, 'the API answers')
    return server


# IPv6

@test
def clients_and_the_api_by_ipv6(t):
    need_ipv6()
    server = t.own(Server(workers=2, arguments=['--listen', f'[::1]:{free_port()}']))
    port6 = int(server.arguments[-1].rpartition(':')[2])
    api = free_port()
    server.arguments[server.arguments.index('--api') + 1] = f'[::1]:{api}'
    server.start(ready=False)

    def ready():
        connection = http.client.HTTPConnection('::1', api, timeout=5)
        connection.request('GET', '/readyz')
        return connection.getresponse().status == 200
    wait_until(ready, 'the API answers on ::1')
    ws = t.own(RawWs(port6, host='::1'))
    check_equal(ws.upgrade('/ws', JSON).status, 101, 'status')
    check_equal(expect(ws, 'welcome')['address'], f'[::1]:{ws.sock.getsockname()[1]}', 'its address')
    t.own(Client(server.port)).connect().settle()
    out = t.own(Command('sub', '--url', f'ws://[::1]:{port6}/ws', '--last', '1', 'room'))
    connection = http.client.HTTPConnection('::1', api, timeout=5)
    connection.request('POST', '/api/publish', '{"channel":"room","payload":"by ipv6"}')
    check_equal(connection.getresponse().status, 200, 'published')
    wait_until(lambda: any('by ipv6' in line for line in out.lines), 'our own client gets it by IPv6')


@test
def all_addresses_are_two_lines(t):
    need_ipv6()
    server = t.own(Server(workers=2, auth_anonymous='true'))
    server.arguments[server.arguments.index('--listen') + 1] = f'[::]:{server.port}'
    server.start()
    ws = t.own(RawWs(server.port, host='::1'))
    check_equal(ws.upgrade('/ws', JSON).status, 101, 'by IPv6')
    with socket.socket() as s:
        check(s.connect_ex(('127.0.0.1', server.port)) != 0, '[::] is IPv6 alone')
    both = t.own(Server(workers=2, auth_anonymous='true'))
    both.arguments[both.arguments.index('--listen') + 1] = f'[::]:{both.port}'
    both.arguments += ['--listen', f'0.0.0.0:{both.port}']
    both.start()
    for host, shown in (('::1', '[::1]'), ('127.0.0.1', '127.0.0.1')):
        ws = t.own(RawWs(both.port, host=host))
        check_equal(ws.upgrade('/ws', JSON).status, 101, f'by {host}')
        check_equal(expect(ws, 'welcome')['address'], f'{shown}:{ws.sock.getsockname()[1]}', 'its address')


@test
def wrong_addresses_are_told(t):
    for value, words in (('127.0.0.1:0', 'port from 1 to 65535'), ('[::1%lo]:80', 'numeric'), ('unix:/tmp/x', 'ADDR:PORT'), ('192.0.2.1:80', 'cannot')):
        status, _, err = run_holdfast('serve', '--workers', '1', '--listen', value, '--api', 'none', '--set', 'auth.anonymous=true')
        check_equal(status, 2, f'exit status of --listen {value}')
        check(words in err and len(err.splitlines()) == 1, f'{value}: {err!r}')
    for value in ('unix:relative', 'unix:', 'unix:/' + 'a' * 120):
        status, _, err = run_holdfast('serve', '--workers', '1', '--listen', f'127.0.0.1:{free_port()}', '--api', value)
        check_equal(status, 2, f'exit status of --api {value}')
        check('unix:' in err and len(err.splitlines()) == 1, f'{value}: {err!r}')


# The API's Unix socket

@test
def the_api_on_a_unix_socket(t):
    server, path = on_unix(t, workers=3)
    start(server, path)
    check_equal(stat.S_IMODE(os.stat(path).st_mode), 0o600, 'for its own user alone')
    c = t.own(Client(server.port)).connect()
    c.subscribe('room', wait=True)
    for n in range(10):
        status, body = ask(path, 'POST', '/api/publish', '{"channel":"room","payload":%d}' % n)
        check_equal(status, 200, f'publish: {body}')
    c.pump_count('room', 10)
    wait_until(lambda: 'unix:' in server.log(), 'the ready text tells it')
    server.stop()
    check(not os.path.exists(path), 'the socket goes with the server')


@test
def pages_of_others_do_not_pass_by_it(t):
    # ssh -L 9000:/run/holdfast/api puts a browser in front of it.
    server, path = on_unix(t, workers=1)
    start(server, path)
    publish = ('POST', '/api/publish', '{"channel":"room","payload":1}')
    check_equal(ask(path, *publish, {'Host': 'localhost:9000', 'Origin': 'http://localhost:9000'})[0], 200, "the admin page's own origin")
    for headers in ({'Host': 'localhost:9000', 'Origin': 'https://evil.example'}, {'Host': 'localhost:9000', 'Origin': 'http://localhost:3000'},
                    {'Host': 'evil.example:9000', 'Origin': 'http://evil.example:9000'}, {'Host': 'evil.example:9000'}):
        status, body = ask(path, *publish, headers)
        check_equal(status, 403, f'publish with {headers}: {body}')
    wait_until(lambda: 'is serving' in server.log(), 'the ready text is there')
    check('/admin/' not in server.log(), 'the ready text names no page that a browser cannot open')


@test
def its_mode_and_key(t):
    server, path = on_unix(t, workers=1, socket_mode='0660', api_key='secret')
    start(server, path)
    check_equal(stat.S_IMODE(os.stat(path).st_mode), 0o660, 'mode')
    check_equal(ask(path, 'GET', '/api/stats')[0], 401, 'a key that is configured is asked for here too')
    check_equal(ask(path, 'GET', '/api/stats', headers={'Authorization': 'Bearer secret'})[0], 200, 'with the key')


@test
def a_socket_that_was_left_is_replaced(t):
    server, path = on_unix(t, workers=1)
    start(server, path)
    server.close()  # kill -9
    check(os.path.exists(path), 'it is left behind')
    again = t.own(Server(workers=1))
    again.arguments[again.arguments.index('--api') + 1] = f'unix:{path}'
    start(again, path)


@test
def a_socket_in_use_or_another_file_is_not(t):
    server, path = on_unix(t, workers=1)
    start(server, path)

    def fails(at, words):
        status, _, err = run_holdfast('serve', '--workers', '1', '--listen', f'127.0.0.1:{free_port()}', '--api', f'unix:{at}')
        check_equal(status, 2, 'exit status')
        check(words in err and at in err and len(err.splitlines()) == 1, f'it is told: {err!r}')
    fails(path, 'another process')
    check_equal(ask(path, 'GET', '/readyz')[0], 200, 'the first one goes on')
    with open(path + '.txt', 'w', encoding='ascii') as f:
        f.write('precious')
    fails(path + '.txt', 'no socket')
    with open(path + '.txt', encoding='ascii') as f:
        check_equal(f.read(), 'precious', 'the file')
    fails('/nonexistent/folder/api', 'No such file')


main()
