#!/usr/bin/python3
"""TLS on the clients' port and the API's: versions, names, tickets, reload, refusals, slow and foreign clients."""
import json
import os
import signal
import socket
import ssl
import subprocess
import threading

from holdfast_client import Client
from holdfast_server import Command, run_holdfast
from holdfast_test import DEADLINE_S, check, check_equal, main, test, wait_until
from raw_ws import ConnectionEnded, RawWs, Wire, upgrade_request
from tls_fixture import Certificates, TlsServer, TlsWs, context, hello_of, tls_transport

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def start(t, names=('one.test', 'localhost'), **options):
    """(server, its certificate), with one certificate."""
    one = Certificates(t).make('one', *names)
    return t.own(TlsServer([one], **options)).start(), one


def client_of(t, server, certificate, **options):
    return t.own(Client(server.tls_port, transport=tls_transport(certificate, **options))).connect()


# Versions, names, protocols

@test
def both_versions_carry_the_protocol(t):
    server, one = start(t, workers=2)
    for version, label in ((V12, '1.2'), (V13, '1.3')):
        c = client_of(t, server, one, version=version)
        check_equal(c.ws.sock.selected_alpn_protocol(), 'http/1.1', 'ALPN')
        c.subscribe(f'room-{label}', wait=True)
        for n in range(100):
            c.publish(f'room-{label}', {'n': n, 'text': 'x' * 300 * n})
        c.wait_acked()
        check_equal([p['n'] for p in c.pump_count(f'room-{label}', 100)], list(range(100)), 'payloads')
        check_equal(server.tls_count('handshakes', version=label, resumed='no'), 1, f'full handshakes of {label}')


@test
def the_asked_name_selects_the_certificate(t):
    certs = Certificates(t)
    one, two, wild = certs.make('one', 'one.test'), certs.make('two', 'two.test'), certs.make('wild', '*.wild.test')
    server = t.own(TlsServer([one, two, wild], workers=1)).start()
    for name, want in (('one.test', one), ('two.test', two), ('TWO.test', two), ('a.wild.test', wild), ('a.b.wild.test', one), ('elsewhere.test', one)):
        ws = t.own(TlsWs(server.tls_port, tls=context(want), server_name=name))
        check_equal(ws.certificate(), want.der(), f'certificate for {name}')
        check_equal(ws.upgrade().status, 101, 'status')


@test
def a_wrong_protocol_is_refused(t):
    server, _ = start(t, workers=1)
    try:
        TlsWs(server.tls_port, tls=context(alpn=['h2']))
        check(False, 'h2 alone is refused')
    except ssl.SSLError as error:
        check('application protocol' in str(error).lower(), f'alert no_application_protocol: {error}')
    check_equal(server.tls_count('handshakes_failed', cause='alpn'), 1, 'counted')
    for alpn in (['h2', 'http/1.1'], None):
        check_equal(t.own(TlsWs(server.tls_port, tls=context(alpn=alpn))).upgrade().status, 101, f'with {alpn}')


@test
def min_version_is_kept(t):
    server, one = start(t, workers=1, arguments=['--set', 'tls.min_version=1.3'])
    try:
        TlsWs(server.tls_port, tls=context(version=V12))
        check(False, 'TLS 1.2 is refused')
    except ssl.SSLError as error:
        check('protocol' in str(error).lower() and 'version' in str(error).lower(), f'alert protocol_version: {error}')
    check_equal(server.tls_count('handshakes_failed', cause='version'), 1, 'counted')
    client_of(t, server, one, version=V13)


# Tickets

def connect(server, tls=None, session=None):
    """
    (a connection that is upgraded, the slot of its worker). The workers' own counts tell which it is: nobody else may connect meanwhile, but
    nothing has to be searched for in the system's tables.
    """
    before = handshakes_by_slot(server)
    ws = TlsWs(server.tls_port, tls=tls, session=session)
    check_equal(ws.upgrade().status, 101, 'status')
    grown = [slot for slot, count in handshakes_by_slot(server).items() if count > before[slot]]
    check_equal(len(grown), 1, 'workers that have a new connection')
    return ws, grown[0]


def handshakes_by_slot(server):
    answer = server.api('GET', '/api/stats')
    return {worker['slot']: sum(n for name, n in worker.items() if name.startswith('tls_handshakes_total')) for worker in answer.json['workers']}


def resumed(t, server, tls, session, elsewhere_than=None):
    """Connect with this session, to another worker than that in the given slot: whether it was resumed."""
    for _ in range(300):
        ws, slot = connect(server, tls, session)
        if slot != elsewhere_than:
            return t.own(ws).sock.session_reused
        ws.close()
    check(False, 'no connection came to another worker')
    return None


@test
def a_ticket_is_good_on_every_worker(t):
    server, _ = start(t, workers=3)
    for version, label in ((V12, '1.2'), (V13, '1.3')):
        tls = context(version=version)
        ws, slot = connect(server, tls)
        t.own(ws)
        check_equal(resumed(t, server, tls, ws.sock.session, slot), True, f'TLS {label} resumed on another worker')
        check(server.tls_count('handshakes', version=label, resumed='yes') >= 1, 'counted')
    for victim in server.worker_pids():
        server.kill_worker(victim)
    server.wait_workers()
    check_equal(resumed(t, server, tls, ws.sock.session), True, 'and after all were replaced')


@test
def a_ticket_survives_one_rotation(t):
    server, _ = start(t, workers=2, arguments=['--set', 'tls.ticket_rotation=4s'])

    def age():
        return server.metrics()['holdfast_tls_ticket_key_age_seconds']
    tls = context(version=V13)
    wait_until(lambda: age() == 2, 'the key is two seconds old')
    ws = t.own(TlsWs(server.tls_port, tls=tls))
    check_equal(ws.upgrade().status, 101, 'status')
    session = ws.sock.session
    wait_until(lambda: age() < 2, 'a new key')
    check_equal(resumed(t, server, tls, session), True, 'resumed with the previous key')
    wait_until(lambda: age() >= 2, 'the new key is two seconds old')
    wait_until(lambda: age() < 2, 'another new key')
    check_equal(resumed(t, server, tls, session), False, 'resumed with a key that is out of use')


@test
def openssl_resumes_too(t):
    server, one = start(t, workers=2)
    saved = one.pem + '.session'

    def s_client(*more):
        process = subprocess.run(['openssl', 's_client', '-connect', f'127.0.0.1:{server.tls_port}', '-CAfile', one.pem, '-alpn', 'http/1.1',
                                  '-ign_eof', *more], input=upgrade_request(headers=[('Connection', 'close')]).replace(b'Upgrade: websocket\r\n', b''),
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE_S, check=False)
        return process.stdout.decode('utf-8', 'replace')
    first = s_client('-sess_out', saved)
    check('Verification: OK' in first and 'New, TLSv1.3' in first and 'HTTP/1.1 4' in first, first)
    check('Reused, TLSv1.3' in s_client('-sess_in', saved), 'openssl s_client has resumed')


# What is no handshake, or none that ends

@test
def plain_http_is_told_to_use_tls(t):
    server, _ = start(t, workers=1)
    ws = t.own(RawWs(server.tls_port))
    ws.send(upgrade_request())
    response = ws.read_response()
    check_equal(response.status, 400, 'status')
    check(b'wss://' in response.body, f'it says what to do: {response.body}')
    ws.fin()
    check_equal(ws.read_to_end()[1], 'fin', 'how it ends')
    check_equal(server.tls_count('handshakes_failed', cause='plain_http'), 1, 'counted')
    wait_until(lambda: 'event=tls_failed' in server.log() and 'plain HTTP' in server.log(), 'logged')


@test
def tls_on_the_plain_port_is_refused(t):
    server, _ = start(t, workers=1)
    try:
        TlsWs(server.port)
        check(False, 'the plain port speaks no TLS')
    except ssl.SSLError:
        pass
    check_equal(server.metric('holdfast_tls_on_plain_port_total'), 1, 'counted')


@test
def garbage_is_refused(t):
    server, one = start(t, workers=1)
    for data in (b'\x00' * 100, b'\x16\x03\x01\x40\x01' + b'x' * 100, b'\x16\x03\x01\x00\x05\x01\xff\xff\xff\xff', b'\x15\x03\x01\x00\x02\x02\x28',
                 b'\x16\x00\x00\x00\x00', b'\x80\x2e\x01\x00\x02', os.urandom(3000)):
        w = t.own(Wire(server.tls_port))
        w.send(data)
        w.fin()
        try:
            w.read_to_end()
        except ConnectionEnded:
            pass
    check(server.tls_count('handshakes_failed') >= 6, 'counted')
    client_of(t, server, one)


@test
def a_hello_in_single_bytes_is_taken(t):
    server, one = start(t, workers=1)
    tls = context(one)
    hello, made, incoming, outgoing = hello_of(tls)
    wire = t.own(Wire(server.tls_port))
    wire.send_cut(hello, range(1, len(hello)), pause_s=0.0005)
    while True:
        try:
            made.do_handshake()
            break
        except ssl.SSLWantReadError:
            check(wire.fill(), 'the server answers')
            incoming.write(wire.take(len(wire.buffer)))
    finished = outgoing.read()
    wire.send_cut(finished, range(1, len(finished)), pause_s=0.0005)
    made.write(upgrade_request())
    wire.send(outgoing.read())
    answer = b''
    while b'\r\n\r\n' not in answer:
        try:
            answer += made.read(65536)
        except ssl.SSLWantReadError:
            check(wire.fill(), 'the server answers')
            incoming.write(wire.take(len(wire.buffer)))
    check(answer.startswith(b'HTTP/1.1 101'), f'upgraded: {answer[:60]}')


@test
def a_handshake_has_its_deadline(t):
    server, one = start(t, workers=1, handshake_timeout='500ms')
    hello = hello_of(context(one))[0]
    for sent in (b'', hello[:100], hello, None):
        if sent is None:  # TLS is complete; the upgrade request is not
            w = t.own(TlsWs(server.tls_port, tls=context(one)))
            w.send(b'GET /ws HTTP/1.1\r\n')
            check_equal(w.read_response().status, 408, 'status')
            continue
        w = t.own(Wire(server.tls_port))
        w.send(sent)
        check_equal(w.read_to_end()[1], 'fin', f'how it ends after {len(sent)} bytes')
        w.close()
    wait_until(lambda: server.tls_count('handshakes_failed', cause='unfinished') == 3, 'counted')
    check_equal(server.metric('holdfast_handshakes_timed_out_total'), 4, 'timed out')


# Slow readers, cuts

@test(deadline=120)
def a_slow_reader_gets_everything_in_order(t):
    server, one = start(t, workers=2, arguments=['--set', 'history.bytes=64MiB'])
    slow = client_of(t, server, one, receive_buffer=4096)
    slow.subscribe('bulk', wait=True)
    for n in range(300):
        server.publish('bulk', {'n': n, 'text': chr(97 + n % 26) * 30000})
    quick = client_of(t, server, one)
    quick.subscribe('other', wait=True)
    server.publish('other', 1)
    check_equal(quick.pump_count('other', 1), [1], 'another connection goes on')
    payloads = slow.pump_count('bulk', 300)
    check_equal([p['n'] for p in payloads], list(range(300)), 'payloads')
    check(all(p['text'] == chr(97 + p['n'] % 26) * 30000 for p in payloads), 'no byte is changed')


@test(deadline=120)
def a_slow_reader_is_cut_and_resumes(t):
    server, one = start(t, workers=2, arguments=['--set', 'history.bytes=64MiB'])
    slow = client_of(t, server, one, receive_buffer=4096)
    slow.subscribe('bulk', wait=True)
    for n in range(200):
        server.publish('bulk', {'n': n, 'text': 'x' * 20000})
        if n % 40 == 30:
            slow.pump_count('bulk', n // 3)
            slow.ack('bulk')
            if n == 70:
                for pid in server.worker_pids():
                    server.kill_worker(pid)
                slow.abandon()
                server.wait_workers()
            else:
                slow.cut()
            slow.reconnect()
            check_equal(slow.welcome['resumed'], True, 'resumed')
    check_equal([p['n'] for p in slow.pump_count('bulk', 200)], list(range(200)), 'payloads')


@test
def a_latest_subscription_skips_but_tears_no_record(t):
    server, one = start(t, workers=1)
    slow = client_of(t, server, one, receive_buffer=4096)
    slow.subscribe('quotes', mode='latest', wait=True)
    for n in range(400):
        server.publish('quotes', {'n': n, 'text': 'x' * 20000})
    slow.pump(lambda: slow.channels['quotes'].payloads()[-1:] and slow.channels['quotes'].payloads()[-1]['n'] == 399, 'the newest arrives')
    seen = [p['n'] for p in slow.channels['quotes'].payloads()]
    check(seen == sorted(seen) and len(seen) < 400, f'some are skipped, none comes late: {len(seen)}')


@test
def a_large_message_in_small_fragments(t):
    server, one = start(t, workers=1, echo=True)
    ws = t.own(TlsWs.open(server.tls_port, path='/echo', tls=context(one)))
    text = 'äöü' * 9000
    data = text.encode()
    for at in range(0, len(data), 100):
        ws.send_frame(1 if at == 0 else 0, data[at:at + 100], fin=at + 100 >= len(data))
    check_equal(ws.recv_text(), text, 'the echo')


@test
def close_notify_and_half_close(t):
    server, one = start(t, workers=1)
    c = client_of(t, server, one)
    c.ws.send_close(1000)
    c.ws.expect_close(1000)
    check_equal(c.ws.read_to_end()[1], 'fin', 'close_notify comes before the end: Python calls its lack an error')
    c = client_of(t, server, one)
    c.ws.plain_of_tls().shutdown(socket.SHUT_WR)  # FIN without close_notify
    wait_until(lambda: server.tls_count('connections_broken', cause='truncated') == 1, 'counted')


# Reload

def hup(server):
    os.kill(server.process.pid, signal.SIGHUP)


def served(server, certificate):
    """Whether new connections to each worker get this certificate."""
    missing = set(handshakes_by_slot(server))
    while missing:
        ws, slot = connect(server)
        got = ws.certificate()
        ws.close()
        if got != certificate.der():
            return False
        missing.discard(slot)
    return True


@test(deadline=120)
def reload_under_load_loses_nothing(t):
    certs = Certificates(t)
    one = certs.make('one', 'one.test')
    server = t.own(TlsServer([one], workers=2)).start()
    readers = [client_of(t, server, one) for _ in range(4)]
    for reader in readers:
        reader.subscribe('room', wait=True)
    ticket = t.own(TlsWs(server.tls_port, tls=context(version=V13)))
    check_equal(ticket.upgrade().status, 101, 'status')
    stop, published = threading.Event(), []

    def publish():
        while not stop.is_set():
            server.publish('room', len(published))
            published.append(len(published))
    thread = threading.Thread(target=publish)
    thread.start()
    try:
        for _ in range(3):
            old = one.der()
            certs.make('one', 'one.test')
            check(one.der() != old, 'a new certificate')
            hup(server)
            wait_until(lambda: served(server, one), 'new connections get the new certificate')
            for reader in readers:
                seen = len(reader.channels['room'].payloads())
                reader.pump_count('room', seen + 5)
    finally:
        stop.set()
        thread.join()
    for reader in readers:
        check_equal(reader.pump_count('room', len(published)), published, 'payloads')
        check_equal(reader.connections, 1, 'connections of a reader')
    check_equal(server.metrics()['holdfast_tls_reloads_total{result="ok"}'], 3, 'counted')
    for slot in (0, 1):  # whose keys they did not choose anew
        check_equal(resumed(t, server, ticket.sock.context, ticket.sock.session, slot), True, 'resumed after the reload')
    victim = server.worker_pids()[0]
    server.kill_worker(victim)
    server.wait_workers(without=[victim])
    check(served(server, one), 'a worker that starts later has the new one')


@test
def bad_files_leave_the_old_in_force(t):
    certs = Certificates(t)
    one, other = certs.make('one', 'one.test'), certs.make('other', 'other.test')
    server = t.own(TlsServer([one], workers=2)).start()
    old = one.der()
    with open(one.pem, 'rb') as f:
        good = f.read()
    for n, (text, words) in enumerate(((b'nonsense', 'no certificate can be read'), (open(other.pem, 'rb').read(), 'does not belong to the certificate'),
                                       (b'', 'no certificate can be read')), 1):
        with open(one.pem, 'wb') as f:
            f.write(text)
        hup(server)
        wait_until(lambda: server.metrics()['holdfast_tls_reloads_total{result="failed"}'] == n, 'counted')
        kept = [line for line in server.log().splitlines() if 'event=certificates_kept' in line]
        check(len(kept) == n and words in kept[-1] and one.pem in kept[-1], f'the log says why: {kept}')
        check_equal(t.own(TlsWs(server.tls_port)).certificate(), old, 'the certificate')
    with open(one.pem, 'wb') as f:
        f.write(good)
    hup(server)
    wait_until(lambda: server.metrics()['holdfast_tls_reloads_total{result="ok"}'] == 1, 'counted')
    check_equal(t.own(TlsWs(server.tls_port)).certificate(), old, 'the certificate')


@test
def reload_without_tls_changes_nothing(t):
    from holdfast_server import Server
    server = t.own(Server(workers=1)).start()
    hup(server)
    wait_until(lambda: 'event=nothing_to_reload' in server.log(), 'logged')
    check_equal(server.api('GET', '/readyz').status, 200, 'it serves')


@test
def bad_certificates_are_told_at_the_start(t):
    certs = Certificates(t)
    one, two = certs.make('one', 'one.test'), certs.make('two', 'two.test')

    def refuses(value, *words):
        status, _, err = run_holdfast('serve', '--set', 'tls.listen=127.0.0.1:1', '--set', f'tls.certificates={value}')
        check_equal((status, len(err.splitlines())), (2, 1), f'exit status and lines ({err!r})')
        for word in words:
            check(word in err, f'{word!r} in {err!r}')
    refuses('/nonexistent.pem', '/nonexistent.pem', 'No such file')
    refuses(f'{one.pem}:{two.key}', two.key, 'does not belong')
    refuses(one.pem, one.pem, 'no private key')
    refuses('none', 'tls.listen', 'tls.certificates')


@test
def a_key_that_others_can_read_is_told(t):
    certs = Certificates(t)
    one = certs.make('one', 'one.test', days=3)
    os.chmod(one.key, 0o644)
    server = t.own(TlsServer([one], workers=1)).start()
    log = server.log()
    check('event=certificate_doubtful' in log and 'can be read by everybody' in log and 'expires within 14 days' in log, log)


# Clients that we did not write, and ours

@test
def python3_websockets_resumes_over_wss(t):
    server, one = start(t, workers=2)
    c = client_of(t, server, one, foreign=True)
    c.subscribe('room', wait=True)
    for n in range(50):
        c.publish('room', {'n': n, 'text': 'ü' * n * 100})
    c.wait_acked()
    check_equal([p['n'] for p in c.pump_count('room', 50)], list(range(50)), 'payloads')
    c.cut()
    server.publish('room', {'n': 50})
    c.connect()
    check_equal(c.welcome['resumed'], True, 'resumed')
    check_equal([p['n'] for p in c.pump_count('room', 51)], list(range(51)), 'payloads')


@test
def our_own_commands_speak_wss(t):
    server, one = start(t, workers=2)
    url = f'wss://localhost:{server.tls_port}/ws'
    sub = t.own(Command('sub', '--url', url, '--ca', one.pem, '--count', '300', '-v', 'room'))
    wait_until(lambda: any('room' in line for line in sub.error_lines), 'subscribed')
    pub = t.own(Command('pub', '--url', url, '--ca', one.pem, 'room', stdin=subprocess.PIPE))
    for n in range(300):
        pub.write(f'{n} {"x" * (n * 50)}\n'.encode())
        if n == 150:  # a connection of each is lost, and both resume
            for pid in server.worker_pids():
                server.kill_worker(pid)
            server.wait_workers()
    pub.end_input()
    check_equal(pub.wait(DEADLINE_S * 3), 0, 'exit status of pub')
    check_equal(sub.wait(DEADLINE_S * 3), 0, 'exit status of sub')
    check_equal([int(line.split(' ')[0]) for line in sub.lines], list(range(300)), 'lines')
    check(server.tls_count('handshakes', resumed='yes') >= 1, 'a reconnect resumes TLS as well')


@test
def our_own_commands_check_the_certificate(t):
    server, one = start(t, names=('one.test',), workers=1)
    other = Certificates(t).make('other', 'other.test')

    def pub(url, *more):
        status, _, err = run_holdfast('pub', '--timeout', '0.3', '--url', url, *more, 'room', 'hello')
        check(status != 0, f'{url} {more} fails')
        return err
    port = server.tls_port
    check('CA file' in pub(f'wss://127.0.0.1:{port}/ws'), 'an unknown authority: it says what to do')
    check('CA file' in pub(f'wss://127.0.0.1:{port}/ws', '--ca', other.pem), 'another authority')
    check('must name the server' in pub(f'wss://localhost:{port}/ws', '--ca', one.pem), 'another name')
    check('ws:// may be meant' in pub(f'wss://127.0.0.1:{server.port}/ws', '--ca', one.pem), 'no TLS there')
    check('cannot be read' in pub(f'wss://127.0.0.1:{port}/ws', '--ca', '/nonexistent'), 'no CA file')
    check('no certificate' in pub(f'wss://127.0.0.1:{port}/ws', '--ca', one.key), 'no CA in the file')
    check_equal(run_holdfast('pub', '--url', f'wss://127.0.0.1:{port}/ws', '--ca', one.pem, 'room', 'hello')[0], 0, 'exit status with the right one')


# The API

def curl(server, certificate, path, *more, scheme='https'):
    run = subprocess.run(['curl', '-sS', '-m', str(DEADLINE_S), '--cacert', certificate.pem, '-w', '\n%{http_code}', *more,
                          f'{scheme}://127.0.0.1:{server.api_port}{path}'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    body, _, status = run.stdout.decode().rpartition('\n')
    return int(status or 0), body, run.stderr.decode()


def start_api(t, arguments=(), **options):
    one = Certificates(t).make('one', 'one.test')
    server = t.own(TlsServer([one], arguments=['--set', 'api.tls=true', *arguments], **options))
    server.start(ready=False)
    wait_until(lambda: curl(server, one, '/readyz')[0] == 200, 'GET /readyz answers 200')
    return server, one


@test
def the_api_speaks_tls(t):
    server, one = start_api(t, workers=2)
    body = one.pem + '.body'
    for size in (10, 5000, 60000):
        with open(body, 'w', encoding='ascii') as f:
            f.write('{"channel":"room","payload":"%s"}' % ('x' * size))
        status, text, err = curl(server, one, '/api/publish', '-d', f'@{body}')
        check_equal(status, 200, f'status of a publish of {size} bytes ({text} {err})')
    status, text, _ = curl(server, one, '/api/history', '-d', '{"channel":"room","limit":10}')
    check(status == 200 and text.count('x') > 65000, f'history: {status}, {len(text)} bytes')
    many = [arg for _ in range(20) for arg in (f'https://127.0.0.1:{server.api_port}/healthz',)]
    run = subprocess.run(['curl', '-sS', '-m', str(DEADLINE_S), '--cacert', one.pem, '-w', '%{num_connects} ', *many], stdout=subprocess.PIPE, check=False)
    check_equal(run.stdout.count(b'0 '), 19, f'a connection is kept and reused: {run.stdout}')
    status, text, _ = curl(server, one, '/healthz', scheme='http')
    check(status == 400 and 'https://' in text, f'plain HTTP is told what to do: {status} {text}')


@test
def the_api_holds_back_who_is_too_fast(t):
    server, one = start_api(t, workers=2, arguments=['--set', 'history.bytes=16MiB'])
    body = b'{"channel":"room","payload":"' + b'x' * 50000 + b'"}'
    request = b'POST /api/publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s' % (len(body), body)
    ws = t.own(TlsWs(server.api_port, tls=context(one)))
    for _ in range(60):  # one behind the other, without waiting for an answer; the answers fit into the sockets' buffers
        ws.send(request)
    offsets = [json.loads(response.body)['offset'] for response in (ws.read_response() for _ in range(60))]
    check_equal(offsets, list(range(1, 61)), 'offsets')
    # And the other way: who reads slowly gets all of it.
    slow = t.own(TlsWs(server.api_port, tls=context(one), receive_buffer=4096))
    query = b'{"channel":"room","limit":1000}'
    slow.send(b'POST /api/history HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s' % (len(query), query))
    wait_until(lambda: curl(server, one, '/healthz')[0] == 200, 'others are answered meanwhile')
    messages = json.loads(slow.read_response(DEADLINE_S * 3).body)['messages']
    check_equal(len(messages), 60, 'messages')
    check(all(len(message['payload']) == 50000 for message in messages), 'whole')


@test
def the_api_keeps_its_limits_behind_tls(t):
    server, one = start_api(t, workers=1, handshake_timeout='1s', arguments=['--set', 'api.key=secret'])
    check_equal(curl(server, one, '/api/stats')[0], 401, 'status without the key')
    silent = t.own(Wire(server.api_port))
    check_equal(silent.read_to_end()[1], 'fin', 'who says nothing is ended')
    idle = t.own(TlsWs(server.api_port))
    check_equal(idle.read_to_end()[1], 'fin', 'who shakes hands and says nothing too')
    crowd = [t.own(Wire(server.api_port)) for _ in range(300)]  # more than there is room for, none of which speaks
    status, _, err = curl(server, one, '/healthz')
    check_equal(status, 200, f'status in a crowd ({err})')
    for one_of in crowd:
        one_of.close()


if __name__ == '__main__':
    main()
