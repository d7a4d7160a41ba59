#!/usr/bin/python3
"""`holdfast serve`: command line, configuration and its errors, signals, and what the supervisor does for its workers."""
import json
import os
import signal
import socket
import tempfile
import time

from holdfast_client import Client
from holdfast_server import KEYS, Command, Server, free_port, is_alive, run_holdfast, url_of
from holdfast_test import DEADLINE_S, PATIENCE, check, check_equal, check_in, main, test, wait_until
from raw_ws import Closed, ConnectionEnded, RawWs, Refused


def start(t, **options):
    return t.own(Server(**options)).start()


def arguments(*more):
    return ('serve', '--listen', f'127.0.0.1:{free_port()}', '--api', f'127.0.0.1:{free_port()}', '--workers', '1', *more)


def refuses(*args, words=()):
    """Exit status 2 and exactly one line on standard error that holds all these words."""
    status, out, err = run_holdfast(*args)
    check_equal(status, 2, f'exit status of holdfast {" ".join(args)} ({err!r})')
    lines = err.splitlines()
    check_equal(len(lines), 1, f'lines on standard error: {err!r}')
    check_equal(out, '', 'standard output')
    for word in words:
        check(word in lines[0], f'{word!r} in {lines[0]!r}')
    return lines[0]


def config_file(t, text):
    f = tempfile.NamedTemporaryFile('w', suffix='.yaml', prefix='holdfast-')
    f.write(text)
    f.flush()
    return t.own(f).name


# The command line

@test
def version_and_help(t):
    for args in (['--version'], ['--help'], ['serve', '--help']):
        status, out, err = run_holdfast(*args)
        check_equal((status, err), (0, ''), f'holdfast {" ".join(args)}')
        check('holdfast' in out, f'output of {args}: {out!r}')
    check('--workers' in run_holdfast('serve', '--help')[1], 'the options stand in the help')


@test
def wrong_command_lines_are_refused(t):
    for args in ([], ['nonsense'], ['serve', '--nonsense'], ['serve', 'left-over'], ['serve', '--workers'], ['serve', '--listen'], ['sub'], ['pub'],
                 ['pub', '--nonsense', 'a']):
        status, out, err = run_holdfast(*args)
        check_equal(status, 2, f'exit status of holdfast {" ".join(args)}')
        check(err and not out, f'it is said on standard error: {err!r} {out!r}')
    refuses('serve', '--nonsense', words=['--nonsense'])
    refuses('nonsense', words=['nonsense'])


@test
def wrong_values_are_refused(t):
    refuses('serve', '--workers', '0', words=['workers', '0'])
    refuses('serve', '--workers', 'many', words=['workers', 'many'])
    refuses('serve', '--workers', '257', words=['workers', '257'])
    for address in ('nonsense', '127.0.0.1', '127.0.0.1:', '127.0.0.1:99999', ':x', '300.1.1.1:80'):
        refuses('serve', '--listen', address, words=['listen', address])
    refuses(*arguments('--set', 'no.such.key=1'), words=['no.such.key', 'unknown'])
    refuses(*arguments('--set', 'nonsense'), words=['nonsense'])
    refuses(*arguments('--set', f'{KEYS["heartbeat_interval"]}=1ms'), words=[KEYS['heartbeat_interval'], '1ms'])
    refuses(*arguments('--set', f'{KEYS["heartbeat_interval"]}=soon'), words=[KEYS['heartbeat_interval'], 'soon'])
    refuses(*arguments('--set', f'{KEYS["heartbeat_interval"]}=9s'), words=[KEYS['heartbeat_interval']])  # below its min
    refuses(*arguments('--set', f'{KEYS["log_format"]}=xml'), words=[KEYS['log_format'], 'xml'])


# The file

@test
def file_is_read_and_options_come_over_it(t):
    name = config_file(t, 'heartbeat:\n  interval: 20s\nsession:\n  ttl: 7s\n')
    mine = t.own(Server(workers=1, arguments=['--config', name, '--set', f'{KEYS["session_ttl"]}=9s'])).start()
    c = t.own(Client(mine.port)).connect()
    check_equal((c.welcome['heartbeat']['interval'], c.welcome['ttl']), (20000, 9000), 'interval of the file, ttl of --set')


@test
def bad_file_tells_file_line_and_key(t):
    for text, line, words in (('heartbeat:\n  interval: soon\n', 2, ['heartbeat.interval', 'soon']), ('workers: 1\n\nnonsense: 1\n', 3, ['nonsense']),
                              ('heartbeat:\n  min: 10s\n  interval: 1ms\n', 3, ['heartbeat.interval', '1ms']), ('heartbeat:\n  nonsense: 1\n', 2, ['heartbeat.nonsense']),
                              ('workers: 1\nworkers: 2\n', 2, ['workers']), ('workers: [1\n', None, []), ('heartbeat: 7\n', 1, ['heartbeat']),
                              ('workers:\n  - 1\n', None, ['workers']), ('a: b: c\n', 1, [])):
        name = config_file(t, text)
        message = refuses('serve', '--config', name, words=[name, *words])
        if line:
            check(f'{name}:{line}' in message, f'line {line} in {message!r}')


@test
def missing_file_is_told(t):
    refuses('serve', '--config', '/nonexistent/holdfast.yaml', words=['/nonexistent/holdfast.yaml'])
    refuses('serve', '--config', '/', words=['/'])


@test
def empty_file_is_fine(t):
    t.own(Server(workers=1, arguments=['--config', config_file(t, '# nothing\n')])).start().stop()


# Ports and descriptors

@test
def port_in_use_is_told(t):
    mine = start(t, workers=1)
    refuses('serve', '--listen', f'127.0.0.1:{mine.port}', '--api', f'127.0.0.1:{free_port()}', words=[str(mine.port)])
    refuses('serve', '--listen', f'127.0.0.1:{free_port()}', '--api', f'127.0.0.1:{mine.api_port}', words=[str(mine.api_port)])
    c = t.own(Client(mine.port)).connect()
    c.settle()


@test
def port_in_use_by_another_program_is_told(t):
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        s.listen()
        refuses('serve', '--listen', f'127.0.0.1:{s.getsockname()[1]}', '--api', f'127.0.0.1:{free_port()}', words=[str(s.getsockname()[1])])


@test
def too_few_descriptors_are_told(t):
    status, _, err = run_holdfast(*arguments(), descriptors=12)
    check_equal(status, 2, f'exit status with 12 descriptors ({err!r})')
    check_equal(len(err.splitlines()), 1, f'lines: {err!r}')


@test
def openssl_without_sha1_is_told(t):
    """Every handshake needs it, so a configuration of OpenSSL that withholds it is told at the start."""
    name = config_file(t, 'openssl_conf = all\n[all]\nproviders = providers\n[providers]\nnull = null\n[null]\nactivate = 1\n')
    status, _, err = run_holdfast(*arguments(), env={**os.environ, 'OPENSSL_CONF': name})
    check_equal(status, 2, f'exit status without SHA-1 ({err!r})')
    check('SHA-1' in err and 'OPENSSL_CONF' in err, f'what is wrong and what to do: {err!r}')


@test
def several_addresses_are_served(t):
    second = free_port()
    mine = t.own(Server(workers=2, arguments=['--listen', f'127.0.0.1:{second}'])).start()
    for port in (mine.port, second):
        t.own(Client(port)).connect().settle()


@test
def ready_text_tells_the_addresses(t):
    mine = start(t, workers=1)
    wait_until(lambda: f'127.0.0.1:{mine.port}' in mine.log() and f'127.0.0.1:{mine.api_port}' in mine.log(), 'both addresses are printed')


@test
def api_none_serves_no_api(t):
    mine = t.own(Server(workers=1))
    mine.arguments[mine.arguments.index('--api') + 1] = 'none'
    mine.start(ready=False)
    wait_until(lambda: t.own(Client(mine.port)).connect(), 'it serves clients')
    with socket.socket() as s:
        check(s.connect_ex(('127.0.0.1', mine.api_port)) != 0, 'the API port is closed')


# The log

@test
def log_lines_are_structured_and_not_one_per_message(t):
    mine = start(t, workers=1, log_format='json')
    c = t.own(Client(mine.port)).connect()
    before = len(mine.log().splitlines())
    for n in range(300):
        c.publish('room', n)
    c.wait_acked()
    check(len(mine.log().splitlines()) - before < 50, 'no line per message')
    mine.stop()
    lines = [line for line in mine.log().splitlines() if line.startswith('{')]
    check(lines, f'there are JSON lines: {mine.log()[:300]!r}')
    for line in lines:
        json.loads(line)
    check(c.ticket not in mine.log(), 'no ticket in the log')


@test
def tickets_in_the_query_are_not_logged(t):
    mine = start(t, workers=1)
    c = t.own(Client(mine.port)).connect()
    c.cut()
    c.connect(resume='query')
    RawWs(mine.port).upgrade(f'/nothing?resume={c.ticket}')
    mine.stop()
    check(c.ticket not in mine.log(), 'the ticket is not in the log')


# Signals

@test
def idle_server_ends_at_once(t):
    for signum in (signal.SIGTERM, signal.SIGINT):
        mine = start(t, workers=2)
        workers = mine.worker_pids()
        began = time.monotonic()
        mine.terminate(signum)
        check_equal(mine.wait_exit(), 0, f'exit status after signal {signum}')
        check(time.monotonic() - began < 3 * PATIENCE, f'it has nothing to wait for: {time.monotonic() - began:.1f} s')
        check(not any(is_alive(pid) for pid in workers), 'no worker is left')


@test
def drain_advises_closes_and_ends_with_0(t):
    mine = start(t, workers=2, drain_timeout='3s')
    clients = [t.own(Client(mine.port)).connect() for _ in range(10)]
    began = time.monotonic()
    mine.terminate()
    for c in clients:
        advice = c.wait_for('reconnect')
        check_equal(advice['code'], 'draining', 'code of the advice')
        check(advice['after'][0] <= advice['after'][1], f'window: {advice}')
    for c in clients:
        closed = c.expect_close((1001, 1012, 1013))
        check(closed.code, f'close: {closed}')
    check_equal(mine.wait_exit(), 0, 'exit status')
    check(time.monotonic() - began < 3 + 3 * PATIENCE, f'the drain is bounded: {time.monotonic() - began:.1f} s')


@test
def drain_serves_what_is_there_and_refuses_what_is_new(t):
    mine = start(t, workers=1, drain_timeout='5s')
    c = t.own(Client(mine.port)).connect()
    c.subscribe('room', wait=True)
    fresh_tcp = t.own(RawWs(mine.port))
    mine.worker_of(fresh_tcp.sock)
    mine.terminate()
    c.wait_for('reconnect')
    try:
        c.publish('room', 'late')
        c.wait_acked()
        check_equal(c.pump_count('room', 1), ['late'], 'a publish during the drain')
    except (Closed, ConnectionEnded):
        pass  # drained already
    try:
        response = fresh_tcp.upgrade()
        check_equal(response.status, 503, 'status of a new connection while draining')
        check('retry-after' in response.headers, f'Retry-After: {response}')
    except ConnectionEnded:
        pass
    check_equal(mine.wait_exit(2 * DEADLINE_S), 0, 'exit status')


@test
def browser_gets_reconnect_and_1013_while_draining(t):
    mine = start(t, workers=1, drain_timeout='5s')
    c = t.own(Client(mine.port)).connect()
    tcp = t.own(RawWs(mine.port))
    mine.worker_of(tcp.sock)
    mine.terminate()
    c.wait_for('reconnect')
    try:
        response = tcp.upgrade(headers=[('Origin', 'http://127.0.0.1')])
        check_equal(response.status, 101, 'status for a client with an Origin')
        advice = tcp.recv_json()
        check_equal(advice['type'], 'reconnect', f'the advice: {advice}')
        tcp.expect_close(1013)
    except ConnectionEnded:
        pass  # drained already
    check_equal(mine.wait_exit(2 * DEADLINE_S), 0, 'exit status')


@test
def readyz_is_503_while_draining(t):
    mine = start(t, workers=1, drain_timeout='5s')
    c = t.own(Client(mine.port)).connect()
    mine.terminate()
    c.wait_for('reconnect')
    try:
        check_in(mine.api('GET', '/readyz').status, (503,), 'GET /readyz')
    except OSError:
        pass  # drained already
    check_equal(mine.wait_exit(2 * DEADLINE_S), 0, 'exit status')


@test
def drain_is_bounded_though_a_peer_reads_nothing(t):
    mine = start(t, workers=1, drain_timeout='1s')
    ws = t.own(RawWs.open(mine.port, receive_buffer=4096, auto_pong=False))
    ws.send_json({'type': 'subscribe', 'channel': 'flood'})
    wait_until(lambda: mine.metric('holdfast_subscriptions') == 1, 'it is subscribed')
    for _ in range(100):
        mine.publish('flood', 'x' * 60000)
    mine.terminate()
    check_equal(mine.wait_exit(1 + DEADLINE_S), 0, 'exit status')


@test
def second_signal_ends_at_once(t):
    mine = start(t, workers=2, drain_timeout='10m')
    clients = [t.own(RawWs.open(mine.port)) for _ in range(3)]
    clients[0].recv_json()
    mine.terminate()
    check_equal(clients[0].recv_json()['type'], 'reconnect', 'the first signal drains')
    workers = mine.worker_pids()
    began = time.monotonic()
    mine.terminate()
    mine.wait_exit()
    check(time.monotonic() - began < 2 * PATIENCE, f'at once: {time.monotonic() - began:.1f} s')
    wait_until(lambda: not any(is_alive(pid) for pid in workers), 'no worker is left')


@test
def workers_end_when_their_supervisor_is_killed(t):
    mine = start(t, workers=2)
    workers = mine.worker_pids()
    os.kill(mine.process.pid, signal.SIGKILL)
    wait_until(lambda: not any(is_alive(pid) for pid in workers), 'no worker is left')


@test
def pub_and_sub_end_on_signals(t):
    mine = start(t, workers=1)
    for signum in (signal.SIGTERM, signal.SIGINT):
        sub = t.own(Command('sub', '--url', url_of(mine.port), 'room'))
        wait_until(lambda: mine.metric('holdfast_subscriptions') == 1, 'it is subscribed')
        sub.process.send_signal(signum)
        sub.wait()
        wait_until(lambda: mine.metric('holdfast_subscriptions') == 0, 'it has said goodbye')


# Workers

@test
def dead_worker_is_replaced_within_a_second(t):
    mine = start(t, workers=2)
    # Two that a process dies of as of SIGSEGV, which a sanitizer would report as a fault of ours.
    for signum in (signal.SIGKILL, signal.SIGXCPU, signal.SIGABRT):
        victim = mine.worker_pids()[0]
        mine.kill_worker(victim, signum)
        died = time.monotonic()
        mine.wait_workers(without=[victim])
        check(time.monotonic() - died < 1 * PATIENCE, f'after {signum}: {time.monotonic() - died:.2f} s')
        mine.wait_ready()
        t.own(Client(mine.port)).connect().settle()
    check(str(victim) in mine.log(), 'the log tells which one died')


@test
def other_workers_connections_stand(t):
    mine = start(t, workers=2)
    victim = mine.worker_pids()[0]
    other = t.own(Client(mine.port))
    ws = t.own(mine.open_on(lambda: RawWs(mine.port), lambda pid: pid != victim, 'the other worker'))
    response = ws.upgrade(protocols=['holdfast.v1.json'])
    check_equal(response.status, 101, 'status')
    other.adopt(ws)
    for _ in range(3):
        mine.kill_worker(victim)
        victim = next(pid for pid in mine.wait_workers(without=[victim]) if pid != mine.worker_of(ws.sock))
        other.publish('room', 1)
        other.wait_acked()


@test(deadline=90)
def worker_that_keeps_dying_is_backed_off(t):
    mine = start(t, workers=2)
    stands = mine.worker_pids()[1]
    replaced, began = 0, time.monotonic()
    victim = mine.worker_pids()[0]
    while time.monotonic() - began < 8 and replaced < 200:
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            pass
        found = []

        def another():
            found[:] = [pid for pid in mine.worker_pids() if pid not in (victim, stands)]
            return found or time.monotonic() - began > 8
        wait_until(another, 'a replacement', 40 * PATIENCE, step_s=0.005)
        if found:
            victim, replaced = found[0], replaced + 1
    check(2 <= replaced <= 40, f'replaced {replaced} times in 8 s')
    mine.wait_workers(deadline_s=40 * PATIENCE)
    t.own(Client(mine.port)).connect().settle()
    check(is_alive(stands), 'the other worker is left in peace')


@test
def stopped_worker_is_no_end_of_service(t):
    mine = start(t, workers=2)
    victim = mine.worker_pids()[0]
    ws = t.own(mine.open_on(lambda: RawWs(mine.port), lambda pid: pid != victim, 'the other worker'))
    os.kill(victim, signal.SIGSTOP)
    try:
        check_equal(ws.upgrade().status, 101, 'status on the other worker')
        check_equal(ws.recv_json()['type'], 'welcome', 'the first message')
    finally:
        os.kill(victim, signal.SIGCONT)


@test
def connections_are_limited(t):
    mine = start(t, workers=1, connections_max=5)
    clients = [t.own(Client(mine.port)).connect() for _ in range(5)]
    try:
        t.own(Client(mine.port)).connect()
        check(False, 'the sixth is refused')
    except Refused as refused:
        check_equal(refused.status, 503, 'status of the sixth')
        check('retry-after' in refused.response.headers, f'Retry-After: {refused.response}')
    clients[0].cut()
    t.own(Client(mine.port)).reconnect().settle()


if __name__ == '__main__':
    main()
