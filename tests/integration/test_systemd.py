#!/usr/bin/python3
"""Under a service manager: what systemd is told (NOTIFY_SOCKET, WATCHDOG_USEC), the sockets that it hands over (LISTEN_FDS), and the unit files. The test plays systemd."""
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from holdfast_client import Client
from holdfast_server import HOLDFAST, ROOT, Server, start_process, SERVERS, free_port
from holdfast_test import DEADLINE_S, Skip, check, check_equal, check_in, main, test, wait_until
from raw_ws import RawWs
from service_manager import Manager, listening

def managed(t, server=None, **options):
    manager = t.own(Manager(**options))
    mine = t.own(server or Server(workers=2))
    manager.launch(mine)
    return manager, mine


# What is told

@test
def ready_is_told_when_all_workers_serve_and_stopping_when_it_drains(t):
    for abstract in (False, True):
        manager, mine = managed(t, abstract=abstract)
        manager.wait_said('READY=1')
        check_equal(len(mine.wait_workers()), 2, 'workers at READY')
        c = t.own(Client(mine.port)).connect()
        mine.terminate()
        said = manager.wait_said('STOPPING=1')
        check(any(line.startswith('STATUS=Draining 1 ') for line in said), f'status: {said}')
        check(any(line.startswith('EXTEND_TIMEOUT_USEC=') and int(line.partition('=')[2]) > 5000000 for line in said), f'more time is asked for: {said}')
        manager.wait_said('STATUS=Draining: 1 of 1', 'progress')
        c.ws.close()
        check_equal(mine.wait_exit(), 0, 'exit status')
        check_equal(sum(line == 'READY=1' for said in manager.read() for line in said), 1, 'READY is told once')


@test
def reload_is_told_with_its_beginning_and_end(t):
    manager, mine = managed(t)
    manager.wait_said('READY=1')
    os.kill(mine.process.pid, signal.SIGHUP)
    said = manager.wait_said('RELOADING=1')
    check(any(line.startswith('MONOTONIC_USEC=') for line in said), f'with its time, as sd_notify(3) asks: {said}')
    wait_until(lambda: manager.read() and [line for said in manager.said[manager.said.index(said):] for line in said if line == 'READY=1'], 'READY ends it')


@test
def status_tells_connections(t):
    manager, mine = managed(t)
    manager.wait_said('READY=1')
    sockets = [t.own(RawWs.open(mine.port)) for _ in range(3)]
    check_equal(len(sockets), 3, 'connections')
    manager.wait_said('STATUS=2 workers serve 3 connections.', deadline_s=5 + DEADLINE_S)


def signs(manager):
    return sum('WATCHDOG=1' in said for said in manager.read())


@test
def signs_of_life_come_and_stop_when_a_worker_hangs(t):
    manager, mine = managed(t, watchdog_ms=3000)
    manager.wait_said('READY=1')
    wait_until(lambda: signs(manager) >= 3, 'signs of life')
    victim = mine.wait_workers()[0]
    os.kill(victim, signal.SIGSTOP)
    # Half of the time a loop may stand still; then there is none until the supervisor has replaced it, which it does after ten seconds.
    last = [signs(manager), time.monotonic()]

    def silent_for_a_whole_period():
        now = signs(manager)
        if now != last[0]:
            last[:] = [now, time.monotonic()]
        return time.monotonic() - last[1] >= 3
    wait_until(silent_for_a_whole_period, 'no sign for 3 s', 10 + DEADLINE_S)
    before = signs(manager)
    mine.wait_workers(without=[victim])
    wait_until(lambda: signs(manager) > before, 'signs of life when it has been replaced')


@test
def without_a_watchdog_there_are_no_signs_and_workers_have_no_part_in_it(t):
    manager, mine = managed(t)
    manager.wait_said('READY=1')

    def sockets(pid):
        links = [os.readlink(f'/proc/{pid}/fd/{fd}') for fd in os.listdir(f'/proc/{pid}/fd')]
        return {link for link in links if link.startswith('socket:')}
    for pid in mine.wait_workers():  # what it has of its supervisor's: libcurl's pair is its own
        check_equal(len(sockets(pid) & sockets(mine.process.pid)), 2, f"a worker's sockets: the clients' and the API's: {sockets(pid)}")
    manager.wait_said('STATUS=', deadline_s=5 + DEADLINE_S)
    check_equal(signs(manager), 0, 'signs of life')


@test
def notify_socket_that_is_none_is_refused(t):
    mine = t.own(Server(workers=1))
    mine.process = start_process(mine.arguments, stdin=subprocess.DEVNULL, stdout=mine.log_file, stderr=mine.log_file,
                                 env={**os.environ, 'NOTIFY_SOCKET': 'relative/path'})
    SERVERS.append(mine)
    check_equal(mine.wait_exit(), 2, 'exit status')
    check_in('NOTIFY_SOCKET', mine.log(), 'the reason')


# Sockets that are handed over

def activated(t, sockets, names=None, listen=(), api=None, pid_off=0, **options):
    """A server with these sockets; listen: addresses that its configuration names."""
    mine = Server(**{'workers': 2, **options})
    mine.arguments = [word for at, word in enumerate(mine.arguments) if '--listen' not in mine.arguments[max(at - 1, 0):at + 1]]
    for address in listen:
        mine.arguments += ['--listen', address]
    if api:
        at = mine.arguments.index('--api')
        mine.arguments[at + 1] = api
    return managed(t, mine, sockets=sockets, names=names, pid_off=pid_off)


def port_of(s):
    return s.getsockname()[1]


@test
def socket_is_found_by_its_address(t):
    s = listening()
    t.cleanup(s.close)
    manager, mine = activated(t, [s], names=['holdfast.socket'], listen=[f'127.0.0.1:{port_of(s)}'])
    manager.wait_said('READY=1')
    check_in('event=socket_inherited', mine.log(), 'the log')
    serves_on(t, mine, port_of(s))


def serves_on(t, mine, port, count=20):
    """Clients come, all workers take some of many, and what is published arrives."""
    clients = [t.own(Client(port)).connect() for _ in range(count)]
    for c in clients:
        c.subscribe('room', wait=True)
    mine.publish('room', 'hello')
    for c in clients:
        c.pump_count('room', 1)
        c.ws.close()


@test
def socket_is_taken_by_the_name_of_a_key_whatever_its_address(t):
    s, api = listening(), listening()
    for each in (s, api):
        t.cleanup(each.close)
    manager, mine = activated(t, [api, s], names=['api.listen', 'listen'], listen=['127.0.0.1:1'])
    manager.wait_said('READY=1')
    mine.api_port = port_of(api)
    check_equal(mine.api('GET', '/readyz').status, 200, 'the API on the socket that was handed over')
    wait_until(lambda: f'ws://127.0.0.1:{port_of(s)}/ws' in mine.log(), 'the ready text names where it really listens')
    check_in(f'http://127.0.0.1:{port_of(api)}/admin/', mine.log(), 'the address of the admin page')
    serves_on(t, mine, port_of(s))


@test
def socket_that_others_reach_needs_keys_like_an_address(t):
    s = listening('0.0.0.0')
    t.cleanup(s.close)
    _, mine = activated(t, [s], names=['listen'], listen=['127.0.0.1:1'])
    check_equal(mine.wait_exit(), 2, 'exit status')
    check_in(f'auth.keys: none, so that everybody who reaches 0.0.0.0:{port_of(s)}', mine.log(), 'the reason')


@test
def ipv6_and_unix_sockets_are_taken(t):
    folder = tempfile.TemporaryDirectory(prefix='holdfast-socket-')
    t.cleanup(folder.cleanup)
    path = f'{folder.name}/api'
    api = socket.socket(socket.AF_UNIX)
    api.bind(path)
    api.listen(64)
    try:
        s = listening('::1', socket.AF_INET6)
    except OSError:
        raise Skip('this machine has no IPv6') from None
    for each in (s, api):
        t.cleanup(each.close)
    # The address is ::1, which the configuration does not know for this machine's own in that spelling.
    manager, mine = activated(t, [s, api], listen=[f'[0:0:0:0:0:0:0:1]:{port_of(s)}'], api=f'unix:{path}', arguments=['--set', 'auth.anonymous=true'])
    manager.wait_said('READY=1')
    with socket.create_connection(('::1', port_of(s))) as c:
        c.sendall(b'GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n'
                  b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n')
        check_in(b'101', c.recv(4096), 'the answer')
    with socket.socket(socket.AF_UNIX) as c:
        c.connect(path)
        c.sendall(b'GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n')
        check_in(b'200', c.recv(4096), "the API's answer")
    mine.stop()
    check(os.path.exists(path), 'the file of a socket that is not ours stays')


@test
def socket_that_nobody_wants_is_refused(t):
    s = listening()
    t.cleanup(s.close)
    _, mine = activated(t, [s], listen=[f'127.0.0.1:{free_port()}'])
    check_equal(mine.wait_exit(), 2, 'exit status')
    check_in(f'127.0.0.1:{port_of(s)}', mine.log(), 'the address in the reason')
    check_in('FileDescriptorName=listen', mine.log(), 'what to do')


@test
def socket_for_everybody_asks_for_tokens_as_an_address_does(t):
    s = listening('0.0.0.0')
    t.cleanup(s.close)
    _, mine = activated(t, [s], names=['listen'], listen=['127.0.0.1:1'])
    check_equal(mine.wait_exit(), 2, 'exit status')
    check_in('auth.anonymous=true', mine.log(), 'the reason')
    check_in(f'0.0.0.0:{port_of(s)}', mine.log(), 'the address in the reason')


@test
def socket_for_everybody_keeps_its_keys_over_a_reload(t):
    # What the configuration says is a loopback address; what counts is where the socket is bound.
    s = listening('0.0.0.0')
    t.cleanup(s.close)
    folder = tempfile.TemporaryDirectory(prefix='holdfast-socket-')
    t.cleanup(folder.cleanup)
    secret, path = f'{folder.name}/secret', f'{folder.name}/holdfast.yaml'

    def write(name, text):
        with open(name, 'w', encoding='ascii') as file:
            file.write(text)
    write(secret, 's' * 64)
    write(path, f'auth: {{keys: ["HS256:{secret}"]}}\n')
    manager, mine = activated(t, [s], names=['listen'], listen=['127.0.0.1:1'], arguments=['--config', path])
    manager.wait_said('READY=1')
    write(path, 'auth: {}\n')
    mine.terminate(signal.SIGHUP)
    wait_until(lambda: 'event=config_kept' in mine.log(), 'the reload is refused')
    check_in(f'0.0.0.0:{port_of(s)}', mine.log(), 'the address in the reason')
    ws = t.own(RawWs(port_of(s)))
    check_equal(ws.upgrade('/ws', ['holdfast.v1.json']).status, 401, 'a stranger without a token')


@test
def what_is_no_listening_socket_is_refused(t):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(('127.0.0.1', 0))
    t.cleanup(s.close)
    _, mine = activated(t, [s], listen=['127.0.0.1:1'])
    check_equal(mine.wait_exit(), 2, 'exit status')
    check_in('no listening stream socket', mine.log(), 'the reason')


@test
def sockets_for_another_process_are_left_alone(t):
    s = listening()
    t.cleanup(s.close)
    manager, mine = activated(t, [s], listen=[f'127.0.0.1:{free_port()}'], pid_off=1)
    manager.wait_said('READY=1')
    check('socket_inherited' not in mine.log(), 'LISTEN_PID names another one')


@test
def who_comes_while_the_server_is_restarted_waits_and_is_served(t):
    s = listening()
    t.cleanup(s.close)
    manager, mine = activated(t, [s], listen=[f'127.0.0.1:{port_of(s)}'], drain_timeout='1s')
    manager.wait_said('READY=1')
    stays = t.own(Client(port_of(s))).connect()
    mine.terminate()
    check_equal(stays.wait_for('reconnect')['code'], 'draining', 'code of the advice')
    # A worker that has not heard of it yet would still take the newcomer.
    wait_until(lambda: mine.log().count('event=draining ') == 2, 'both workers drain')
    waiting = t.own(RawWs(port_of(s)))
    waiting.send(b'GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n'
                 b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n')
    check_equal(mine.wait_exit(1 + DEADLINE_S), 0, 'exit status')
    manager, successor = activated(t, [s], listen=[f'127.0.0.1:{port_of(s)}'])
    check_equal(waiting.read_response().status, 101, 'the answer comes from the successor')
    manager.wait_said('READY=1')
    check(successor.is_alive(), 'it serves')


# Memory that outlives the server

def restarted(t, manager, s, **options):
    """The next server, with what the last one has left; and its own manager."""
    manager.read()
    check_equal([each.name for each in manager.kept], ['holdfast-memory'], 'what is kept')
    return activated(t, [s, *manager.kept], names=['listen', 'holdfast-memory'], listen=['127.0.0.1:1'], **options)


def with_memory(t):
    s = listening()
    t.cleanup(s.close)
    manager, mine = activated(t, [s], names=['listen'], listen=['127.0.0.1:1'], drain_timeout='1s')
    manager.wait_said('READY=1')
    c = t.own(Client(port_of(s))).connect()
    c.subscribe('room', wait=True)
    c.publish('room', 'before')
    c.pump_count('room', 1)
    c.wait_acked()
    return s, manager, mine, c


@test(deadline=90)
def sessions_and_histories_outlive_a_restart_and_a_crash(t):
    for end in ('restart', 'crash'):
        s, manager, mine, c = with_memory(t)
        epoch = c.channels['room'].epoch
        if end == 'restart':
            mine.terminate()
            check_equal(mine.wait_exit(1 + DEADLINE_S), 0, 'exit status')
        else:
            os.kill(mine.process.pid, signal.SIGKILL)
            workers_gone(mine)
        manager, successor = restarted(t, manager, s)
        manager.wait_said('READY=1')
        check_in('event=memory_adopted', successor.log(), 'the log')
        successor.publish('room', 'after')
        c.reconnect()
        check_equal(c.welcome['resumed'], True, f'resumed after a {end}')
        c.publish('room', 'mine')
        check_equal(c.pump_count('room', 3), ['before', 'after', 'mine'], 'payloads')
        check_equal((c.channels['room'].gaps, c.channels['room'].epoch), ([], epoch), 'gaps and epoch')
        check_equal(manager.kept, [], 'the manager has it already')
        check('level=error' not in successor.log(), f'no errors: {successor.log_tail()}')
        successor.stop()


def workers_gone(server):
    server.process.wait()
    wait_until(lambda: not connects(server.api_port), 'nobody listens on the port of the API any more')


def connects(port):
    with socket.socket() as s:
        return s.connect_ex(('127.0.0.1', port)) == 0


@test(deadline=90)
def memory_of_another_configuration_is_not_taken(t):
    s, manager, mine, c = with_memory(t)
    mine.terminate()
    check_equal(mine.wait_exit(1 + DEADLINE_S), 0, 'exit status')
    manager, successor = restarted(t, manager, s, workers=3)
    manager.wait_said('READY=1')
    check_in('event=memory_not_adopted', successor.log(), 'the log')
    check_equal(len(manager.kept), 1, 'new memory is given to the manager')
    check(any('FDSTOREREMOVE=1' in said for said in manager.said), 'in place of the old one')
    c.reconnect()
    check_equal(c.welcome['resumed'], False, 'resumed')


@test
def what_is_no_memory_of_ours_is_not_taken(t):
    s = listening()
    t.cleanup(s.close)
    junk = tempfile.TemporaryFile()
    junk.write(b'x' * 100000)
    junk.flush()
    t.cleanup(junk.close)
    manager, mine = activated(t, [s, junk], names=['listen', 'holdfast-memory'], listen=['127.0.0.1:1'])
    manager.wait_said('READY=1')
    check_in('event=memory_not_adopted', mine.log(), 'the log')
    serves_on(t, mine, port_of(s))


@test(deadline=90)
def workers_with_shared_sockets_are_replaced(t):
    s = listening()
    t.cleanup(s.close)
    manager, mine = activated(t, [s], listen=[f'127.0.0.1:{port_of(s)}'], drain_timeout='3s')
    manager.wait_said('READY=1')
    clients = [t.own(Client(port_of(s))).connect() for _ in range(8)]
    before = mine.wait_workers()
    os.kill(mine.process.pid, signal.SIGUSR2)
    wait_until(lambda: 'event=rolling_restart_done' in mine.log(), 'all workers are replaced', 6 * DEADLINE_S)
    check(not set(before) & set(mine.wait_workers()), 'all processes are new')
    for c in clients:
        c.reconnect()
        check_equal(c.welcome['resumed'], True, 'resumed')
    serves_on(t, mine, port_of(s))
    check('level=error' not in mine.log(), f'no errors: {mine.log_tail()}')


# The unit files

def unit(name):
    return f'{ROOT}/packaging/systemd/{name}'


def analyze(*arguments):
    if not shutil.which('systemd-analyze'):
        raise Skip('there is no systemd-analyze here')
    return subprocess.run(['systemd-analyze', *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE_S * 3, check=False)


@test
def units_are_as_systemd_wants_them(t):
    with tempfile.TemporaryDirectory(prefix='holdfast-unit-') as folder:
        for name in ('holdfast.service', 'holdfast.socket'):
            with open(unit(name), encoding='utf-8') as file:
                text = file.read().replace('/usr/bin/holdfast', HOLDFAST).replace('Documentation=', '#')
            with open(f'{folder}/{name}', 'w', encoding='utf-8') as file:
                file.write(text)
        done = analyze('verify', f'{folder}/holdfast.service', f'{folder}/holdfast.socket')
    complaints = [line for line in done.stdout.decode().splitlines() if 'holdfast' in line]
    check_equal((done.returncode, complaints), (0, []), 'what systemd-analyze verify says')


@test
def unit_is_hardened(t):
    done = analyze('security', '--offline=yes', '--threshold=25', unit('holdfast.service'))
    check_equal(done.returncode, 0, f'exposure at most 2.5: {done.stdout.decode()[-300:]}')


main()
