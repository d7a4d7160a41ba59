#!/usr/bin/python3
"""How the server is run: the drain's pace and what it tells, workers that are replaced one after the other under load, and what a deploy costs a session."""
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from holdfast_client import Client
from holdfast_server import HOLDFAST, Command, Server, start_process, url_of
from holdfast_test import DEADLINE_S, PATIENCE, Skip, check, check_equal, check_in, main, test, wait_until
from raw_ws import Closed, ConnectionEnded, RawWs

LOAD = os.environ.get('DEPLOY_LOAD', 'build/bench/deploy_load')


def start(t, **options):
    return t.own(Server(**options)).start()


def events(server, name):
    """The log's lines with this event, each as {key: value}."""
    lines = [line for line in server.log().splitlines() if f' event={name} ' in f'{line} ']
    return [dict(re.findall(r'(\w+)=("[^"]*"|\S+)', line)) for line in lines]


class Load(Command):
    """deploy_load: sessions that are subscribed, and publishers, and what they have seen in the end."""

    def __init__(self, port, sessions, channels=10, interval_ms=50):
        super().__init__('--url', url_of(port), '--sessions', str(sessions), '--channels', str(channels), '--interval', str(interval_ms),
                         stdin=subprocess.PIPE)
        self.name = 'deploy_load'
        wait_until(lambda: 'ready' in self.lines, f'all sessions are connected and have had a message: {self.error_lines[-3:]}', 3 * DEADLINE_S)

    def launch(self, arguments, **options):
        return start_process([LOAD, *arguments], **options)

    def begin(self):
        self.write(b'deploy\n')

    def finish(self):
        self.write(b'finish\n')
        check_equal(self.wait(60 * PATIENCE), 0, 'exit status of deploy_load')
        return json.loads(self.lines[-1])


def check_nothing_lost(report, new_sessions=0):
    for name in ('lost', 'doubled', 'gaps', 'uncertain', 'refused', 'not_back'):
        check_equal(report[name], 0, f'{name} in {report}')
    check_equal(report['new_sessions'], new_sessions, f'sessions that were not resumed, in {report}')


def roll(server):
    """Replace all workers, and return the event that says it is done."""
    done = len(events(server, 'rolling_restart_done'))
    before = server.wait_workers()
    os.kill(server.process.pid, signal.SIGUSR2)
    wait_until(lambda: len(events(server, 'rolling_restart_done')) > done, 'all workers are replaced', 6 * DEADLINE_S)
    check(not set(before) & set(server.wait_workers()), 'all processes are new')
    return events(server, 'rolling_restart_done')[-1]


# Drain

@test
def drain_window_is_connections_by_the_admission_rate(t):
    # 70 of 100 handshakes a second are for resumes: 280 connections want four seconds.
    mine = start(t, workers=2, admission_rate=100, admission_burst=1000)
    sockets = [t.own(RawWs.open(mine.port)) for _ in range(280)]
    for ws in sockets:
        ws.recv_json()
    mine.terminate()
    told = [ws.recv_json() for ws in sockets]
    check_equal({message['code'] for message in told}, {'draining'}, 'codes')
    check(all(message['after'][0] == 0 for message in told), 'windows begin at once')
    # A connection that is told a little later has that much less of it.
    longest = max(message['after'][1] for message in told)
    check(3000 < longest <= 4000, f'the longest window: {longest}')
    stopping = events(mine, 'stopping')[0]
    check_equal((stopping['connections'], stopping['window_ms']), ('280', '4000'), 'what the log says')
    check_equal(events(mine, 'drain_short'), [], 'the time is enough')
    mine.terminate()
    mine.wait_exit()


@test
def drain_says_when_its_time_is_too_short(t):
    mine = start(t, workers=2, admission_rate=10, admission_burst=1000, drain_timeout='3s')
    sockets = [t.own(RawWs.open(mine.port)) for _ in range(70)]
    for ws in sockets:
        ws.recv_json()
    mine.terminate()
    for ws in sockets:
        check(ws.recv_json()['after'][1] <= 1500, 'the window is within the time that there is')
    wait_until(lambda: events(mine, 'drain_short'), 'the log says so')
    check_equal(mine.wait_exit(3 + DEADLINE_S), 0, 'exit status')


@test
def drain_shows_its_progress(t):
    mine = start(t, workers=2, drain_timeout='10m')
    clients = [t.own(RawWs.open(mine.port)) for _ in range(20)]
    for ws in clients:
        ws.recv_json()
    mine.terminate()
    first = wait_until(lambda: events(mine, 'drain_progress'), 'progress is told')[0]
    check_equal((first['left'], first['of']), ('20', '20'), 'connections that are left')
    for ws in clients[:15]:
        ws.close()
    wait_until(lambda: events(mine, 'drain_progress')[-1]['left'] == '5' or not mine.is_alive(), 'those that have gone are counted')
    check_equal(events(mine, 'drain_progress')[-1]['of'], '20', 'of how many')
    mine.terminate()
    mine.wait_exit()


@test
def drain_is_over_when_all_have_left(t):
    mine = start(t, workers=2, drain_timeout='10m')
    clients = [t.own(Client(mine.port)).connect() for _ in range(10)]
    mine.terminate()
    for c in clients:
        c.wait_for('reconnect')
        c.ws.close()
    check_equal(mine.wait_exit(), 0, 'exit status')


@test
def newcomers_are_told_that_the_server_drains(t):
    mine = start(t, workers=2, drain_timeout='10m')
    c = t.own(Client(mine.port)).connect()
    mine.terminate()
    c.wait_for('reconnect')
    wait_until(lambda: len(events(mine, 'draining')) == 2, 'both workers drain')
    # On whatever worker they come, the one with a connection or the one without.
    for _ in range(8):
        response = t.own(RawWs(mine.port)).upgrade()
        check_equal(response.status, 503, 'status of a new connection')
        check('retry-after' in response.headers, f'Retry-After: {response}')
    check_equal({mine.api('GET', '/readyz').status for _ in range(8)}, {503}, 'GET /readyz')
    mine.terminate()
    mine.wait_exit()


# Replacing workers

@test
def worker_is_replaced_and_its_sessions_stay(t):
    mine = start(t, workers=2)
    clients = [t.own(Client(mine.port)).connect() for _ in range(10)]
    for n, c in enumerate(clients):
        c.subscribe(f'room-{n}', wait=True)
    before = mine.wait_workers()
    os.kill(mine.process.pid, signal.SIGUSR2)
    # A client that does as it is told, each time it is told: the first worker's move to the second, whose all move back.
    def moved(c):
        try:
            advice = c.wait_for('reconnect', 6 * DEADLINE_S)
            check_equal(advice['code'], 'rebalance', 'code of the advice')
        except (Closed, ConnectionEnded):
            pass
        c.reconnect()
        check_equal(c.welcome['resumed'], True, 'resumed')
    for c in clients:
        moved(c)
    wait_until(lambda: events(mine, 'rolling_restart_done'), 'all workers are replaced', 6 * DEADLINE_S)
    check(not set(before) & set(mine.wait_workers()), 'all processes are new')
    for n, c in enumerate(clients):
        mine.publish(f'room-{n}', 'after')
        try:
            c.pump_count(f'room-{n}', 1)
        except (Closed, ConnectionEnded):
            c.reconnect()
            c.pump_count(f'room-{n}', 1)
        check_equal(c.channels[f'room-{n}'].payloads(), ['after'], 'payloads')


@test
def one_that_stays_is_closed_with_1012_and_resumes(t):
    mine = start(t, workers=2, drain_timeout='2s')
    c = t.own(Client(mine.port)).connect()
    c.subscribe('room', wait=True)
    os.kill(mine.process.pid, signal.SIGUSR2)
    check_equal(c.wait_for('reconnect')['code'], 'rebalance', 'code of the advice')
    check_equal(c.expect_close(1012, 2 + DEADLINE_S).code, 1012, 'close code')
    mine.publish('room', 'missed')
    c.reconnect()
    check_equal(c.welcome['resumed'], True, 'resumed')
    check_equal(c.pump_count('room', 1), ['missed'], 'payloads')


@test
def readyz_stays_200_while_a_worker_is_replaced(t):
    mine = start(t, workers=2, drain_timeout='3s')
    c = t.own(Client(mine.port)).connect()
    os.kill(mine.process.pid, signal.SIGUSR2)
    c.wait_for('reconnect')
    seen = []
    while not events(mine, 'rolling_restart_done'):
        try:
            seen.append(mine.api('GET', '/readyz'))
        except (OSError, http.client.HTTPException):
            continue  # its worker ended between the connection and the answer, or within it
        time.sleep(0.02)
    # In the moment of its end a worker answers what it has not read to its end yet with 503 "the server stops".
    check({answer.status for answer in seen} <= {200, 503} and len([a for a in seen if a.status == 200]) > len(seen) / 2, f'GET /readyz meanwhile: {seen}')
    check(not any(b'draining' in answer.body for answer in seen), f'GET /readyz meanwhile: {seen}')


@test
def second_request_is_told_that_one_is_under_way(t):
    mine = start(t, workers=2, admission_rate=1, admission_burst=1000, drain_timeout='10m')
    clients = [t.own(Client(mine.port)).connect() for _ in range(30)]  # 30 s or more of time to move: the first replacement is still under way
    os.kill(mine.process.pid, signal.SIGUSR2)
    wait_until(lambda: events(mine, 'draining'), 'the first one drains')
    os.kill(mine.process.pid, signal.SIGUSR2)
    wait_until(lambda: events(mine, 'rolling_restart_not_begun'), 'the log says so')
    for c in clients:
        c.ws.close()
    wait_until(lambda: events(mine, 'rolling_restart_done'), 'the first one goes on', 3 * DEADLINE_S)
    check_equal(len(events(mine, 'rolling_restart')), 1, 'begun once')


@test
def sigterm_ends_a_server_that_replaces_its_workers(t):
    mine = start(t, workers=2, drain_timeout='10m')
    c = t.own(Client(mine.port)).connect()
    os.kill(mine.process.pid, signal.SIGUSR2)
    check_equal(c.wait_for('reconnect')['code'], 'rebalance', 'code of the first advice')
    mine.terminate()
    check_equal(c.wait_for('reconnect')['code'], 'draining', 'code of the second advice')
    c.ws.close()
    check_equal(mine.wait_exit(), 0, 'exit status')


@test(deadline=120)
def killed_worker_does_not_stop_the_replacing(t):
    # So many that no worker is without one: it would have left before it is killed. And at so low a rate that they have time.
    mine = start(t, workers=3, admission_rate=1, admission_burst=1000, drain_timeout='8s')
    clients = [t.own(Client(mine.port)).connect() for _ in range(60)]
    before = mine.wait_workers()
    os.kill(mine.process.pid, signal.SIGUSR2)
    wait_until(lambda: events(mine, 'draining'), 'the first one drains')
    mine.kill_worker(int(events(mine, 'draining')[0]['pid']))
    wait_until(lambda: events(mine, 'rolling_restart_done'), 'all workers are replaced', 6 * DEADLINE_S)
    check(not set(before) & set(mine.wait_workers()), 'all processes are new')
    for c in clients:
        c.reconnect()
        check_equal(c.welcome['resumed'], True, 'resumed')


# Privileges and system calls

def status_of(pid):
    with open(f'/proc/{pid}/status', encoding='ascii') as file:
        return dict(line.rstrip('\n').split(':\t', 1) for line in file if ':\t' in line)


def become(*command):
    """Whether somebody else can run this."""
    return subprocess.run(['setpriv', '--reuid=12345', '--regid=12345', '--clear-groups', *command], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, timeout=DEADLINE_S, check=False).returncode == 0


def as_root():
    if os.geteuid() != 0:
        raise Skip('only root can become somebody else')
    if not shutil.which('setpriv') or not become('true'):
        raise Skip('there is no setpriv(1), or this root may not become somebody else')


def refused(t, *settings):
    """Standard error of a server that must not start."""
    mine = t.own(Server(workers=1, arguments=[word for setting in settings for word in ('--set', setting)]))
    mine.start(ready=False)
    check_equal(mine.wait_exit(), 2, 'exit status')
    return mine.log()


@test
def root_becomes_somebody_else_for_good(t):
    as_root()
    for settings, uid, gid in ((['process.user=nobody'], 65534, 65534), (['process.user=12345', 'process.group=nogroup'], 12345, 65534),
                               (['process.user=12345'], 12345, 12345)):
        mine = start(t, workers=2, arguments=[word for setting in settings for word in ('--set', setting)])
        for pid in [mine.process.pid, *mine.wait_workers()]:
            status = status_of(pid)
            check_equal((status['Uid'].split(), status['Gid'].split()), ([str(uid)] * 4, [str(gid)] * 4), f'who process {pid} is')
            check_equal(status['CapEff'].strip('0'), '', 'capabilities')
            check('0' not in status['Groups'].split(), f'groups: {status["Groups"]}')
        mine.publish('room', 'hello')
        os.kill(mine.process.pid, signal.SIGHUP)
        victim = mine.wait_workers()[0]
        mine.kill_worker(victim)
        mine.wait_workers(without=[victim])
        check_equal(mine.api('GET', '/healthz').status, 200, 'it serves on')
        mine.stop()


@test
def api_socket_belongs_to_whom_it_becomes(t):
    as_root()
    folder = tempfile.TemporaryDirectory(prefix='holdfast-socket-')
    t.cleanup(folder.cleanup)
    mine = Server(workers=1, arguments=['--set', f'api.listen=unix:{folder.name}/api', '--set', 'process.user=nobody'])
    at = mine.arguments.index('--api')
    del mine.arguments[at:at + 2]
    t.own(mine).start(ready=False)
    wait_until(lambda: events(mine, 'ready'), 'it serves')
    st = os.stat(f'{folder.name}/api')
    check_equal((st.st_uid, oct(st.st_mode & 0o777)), (65534, '0o600'), 'owner and mode')


@test
def strangers_are_refused(t):
    as_root()
    check_in('there is no such user', refused(t, 'process.user=nobody-of-that-name'), 'the reason')
    check_in('there is no such group', refused(t, 'process.group=nobody-of-that-name'), 'the reason')


@test
def who_is_not_root_cannot_become_another_one(t):
    as_root()
    if not become(HOLDFAST, '--version'):
        raise Skip('nobody but root can run what is built here')
    mine = Server(workers=1, arguments=['--set', 'process.user=daemon'])
    mine.arguments = ['setpriv', '--reuid=12345', '--regid=12345', '--clear-groups', *mine.arguments]
    t.own(mine).start(ready=False)
    check_equal(mine.wait_exit(), 2, 'exit status')
    check_in('only root can become somebody else', mine.log(), 'the reason')


@test
def root_that_stays_root_is_warned(t):
    as_root()
    mine = start(t, workers=1)
    check_equal(len(events(mine, 'running_as_root')), 1, 'lines that say so')


@test
def workers_are_confined_as_configured(t):
    for mode in ('auto', 'on', 'off'):
        mine = Server(workers=1, arguments=['--set', f'process.seccomp={mode}'])
        t.own(mine).start(ready=False)
        wait_until(lambda: events(mine, 'worker_started') or mine.process.poll() is not None, 'it has begun, or not')
        if mode == 'on' and mine.process.poll() is not None:
            check_in("sanitizer's build", mine.log(), 'only such a build refuses it here')
            continue
        mode_of_worker = status_of(mine.wait_workers()[0])['Seccomp']
        if mode == 'off':
            check_equal(mode_of_worker, '0', 'Seccomp of a worker when it is off')
        elif mode == 'on':
            check_equal(mode_of_worker, '2', 'Seccomp of a worker when it is on')
        mine.stop()


# Deploy under load

@test(deadline=200)
def workers_are_replaced_under_load_and_nothing_is_lost(t):
    mine = start(t, workers=3)
    load = t.own(Load(mine.port, 300))
    load.begin()
    done = roll(mine)
    check_equal(done['connections'], '300', 'connections in the end')
    # Those that one worker has too many of go to the others.
    wait_until(lambda: balanced(mine, 300, 3), 'the connections are spread evenly', 3 * DEADLINE_S)
    report = load.finish()
    check_nothing_lost(report)
    check(report['connects'] >= 300, f'every session has moved: {report}')
    # Make before break: a session is without a connection only where the machine is too busy for it.
    check_equal(report['without_connection_ms']['median'], 0, f'time without a connection: {report}')
    check(report['attempts_per_session']['median'] <= 4, f'attempts: {report}')


def balanced(server, connections, workers):
    stats = server.api('GET', '/api/stats').json
    each = [worker['connections'] for worker in stats['workers']]
    return sum(each) == connections and max(each) < 1.5 * connections / workers


@test(deadline=200)
def lone_worker_is_replaced_under_load_and_nothing_is_lost(t):
    mine = start(t, workers=1)
    load = t.own(Load(mine.port, 100))
    load.begin()
    roll(mine)
    wait_until(lambda: mine.metric('holdfast_connections') == 100, 'all are back', 3 * DEADLINE_S)
    report = load.finish()
    check_nothing_lost(report)


main()
