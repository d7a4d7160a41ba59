#!/usr/bin/python3
"""`holdfast top` as a user meets it: live in a terminal under load, one frame as text, JSON, and what it says where there is no server."""
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import tempfile
import termios
import threading
import types

from holdfast_client import Client
from holdfast_server import HOLDFAST, Server, free_port, start_process
from holdfast_test import DEADLINE_S, PATIENCE, check, check_equal, check_in, main, test, wait_until
from raw_ws import RawWs


class Terminal:
    """`holdfast top` on a pseudo-terminal, and the screen that it draws: it knows the few controls that the program uses, and no others."""

    def __init__(self, *arguments, rows=24, columns=80):
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.process = start_process([HOLDFAST, 'top', *arguments], stdin=slave, stdout=slave, stderr=slave, env={**os.environ, 'TERM': 'xterm'})
        os.close(slave)
        self.bytes = b''

    def resize(self, rows, columns):
        self.rows, self.columns = rows, columns
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))

    def read(self):
        while select.select([self.master], [], [], 0)[0]:
            try:
                got = os.read(self.master, 65536)
            except OSError:  # the other end is closed
                return
            if not got:
                return
            self.bytes += got

    def frame(self):
        """The lines of the last whole frame, without colours; None where there is none yet."""
        self.read()
        whole = self.bytes.rpartition(b'\033[J')[0].rpartition(b'\033[H')[2]
        if not whole:
            return None
        text = re.sub(r'\033\[[0-9;]*m', '', whole.decode().replace('\033[K', ''))
        check('\033' not in text, f'controls that are known: {text!r}')
        return re.split(r'\r+\n', text)  # The terminal adds one to each end of line.

    def frame_with(self, pattern, what):
        found = []

        def looks():
            check_equal(self.process.poll(), None, f'it runs ({self.bytes[-300:]!r})')
            found[:] = self.frame() or []
            return re.search(pattern, '\n'.join(found), re.S)
        wait_until(looks, what, step_s=0.05)
        return found

    def press(self, key):
        os.write(self.master, key)

    def wait(self):
        status = wait_until(lambda: (self.process.poll(),) if self.process.poll() is not None else None, 'it ends')[0]
        self.read()
        return status

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(DEADLINE_S)
        os.close(self.master)


class Load:
    """Publishes until it is closed."""

    def __init__(self, server, channels):
        self.server, self.channels, self.over = server, channels, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        n = 0
        while not self.over.wait(0.002):
            n += 1
            try:
                self.server.api('POST', '/api/publish', {'channel': self.channels[n % len(self.channels)], 'payload': 'x' * 100})
            except OSError:  # The server may be ended by the test.
                pass

    def close(self):
        self.over.set()
        self.thread.join(DEADLINE_S)


def api_of(server):
    return f'http://127.0.0.1:{server.api_port}'


def wait_running(server, key):
    """Its workers, all of them."""
    headers = {'Authorization': f'Bearer {key}'}
    wait_until(lambda: all(worker['running'] for worker in server.api('GET', '/api/stats', headers=headers).json['workers']), 'all workers run')


def run_top(*arguments, env=None, deadline_s=DEADLINE_S * 2):
    done = subprocess.run([HOLDFAST, 'top', *arguments], capture_output=True, text=True, timeout=deadline_s, check=False,
                          env={**os.environ, **(env or {})})
    return done.returncode, done.stdout, done.stderr


@test(deadline=120)
def a_live_view_under_load(t):
    server = t.own(Server(workers=2).start())
    readers = [t.own(RawWs.open(server.port, protocols=['holdfast.v1.json'])) for _ in range(3)]
    for ws in readers:
        ws.send_json({'type': 'subscribe', 'channel': 'market/eur'})
    t.own(Load(server, ['market/eur', 'market/eur', 'chat/1']))
    top = t.own(Terminal('--api', api_of(server), '-i', '0.5'))
    frame = top.frame_with(r'runs.*runs.*market/eur.*SLOW SESSIONS', 'a frame with both workers and the busiest channel')
    print('# the screen of `holdfast top` under load, 80 x 24:')
    for line in frame:
        print(f'#   |{line}')
    check(len(frame) <= 24, f'{len(frame)} lines')
    check(all(len(line) <= 80 for line in frame), f'widths: {[len(line) for line in frame]}')
    text = '\n'.join(frame)
    check(re.match(r'holdfast \S+ at http://127.0.0.1:\d+, up 0:\d\d:\d\d', frame[0]), f'the head: {frame[0]}')
    check(frame[1].startswith('health: '), f'health: {frame[1]}')
    check('connections 3' in text, f'connections: {text}')
    for number, pid in enumerate(server.worker_pids()):
        check(re.search(rf'^ +\d +{pid} .* runs$', text, re.M), f'worker {number} of pid {pid}: {text}')
    top.resize(12, 50)
    top.process.send_signal(signal.SIGWINCH)
    wait_until(lambda: len(top.frame()) <= 12 and all(len(line) <= 50 for line in top.frame()), 'a frame of 12 x 50')
    top.press(b'x')
    top.press(b'q')
    check_equal(top.wait(), 0, 'exit status after q')
    check(b'\033[?1049h' in top.bytes and top.bytes.rstrip().endswith(b'\033[?1049l'), f'the other screen comes back: {top.bytes[-40:]!r}')


@test(deadline=120)
def it_outlives_the_server_and_ends_by_a_signal(t):
    server = t.own(Server(workers=1).start())
    top = t.own(Terminal('--api', api_of(server), '-i', '0.2'))
    top.frame_with('health: good', 'a frame')
    server.stop()
    wait_until(lambda: top.read() or b'no answer from' in top.bytes.rpartition(b'\033[2J')[2], 'it says that there is no answer')
    check_equal(top.process.poll(), None, 'it goes on')
    top.process.terminate()
    check_equal(top.wait(), 0, 'exit status after SIGTERM')


@test(deadline=120)
def a_dead_worker_is_seen(t):
    server = t.own(Server(workers=2).start())
    top = t.own(Terminal('--api', api_of(server), '-i', '0.2'))
    top.frame_with('health: good', 'all is well')
    server.kill_worker(server.worker_pids()[0])
    wait_until(lambda: top.read() or re.search(rb'health: (?!good)[^\033]*worker', top.bytes), 'the health line tells of it')


@test(deadline=120)
def once_is_plain_text(t):
    server = t.own(Server(workers=2, api_key='secret').start(ready=False))
    wait_until(lambda: server.api('GET', '/healthz').status == 200, 'the API answers')
    wait_running(server, 'secret')
    c = t.own(Client(server.port)).connect()
    c.subscribe('a', wait=True)
    status, out, err = run_top('--once', '-i', '0.3', '--api', api_of(server), env={'HOLDFAST_API_KEY': 'secret'})
    check_equal((status, err), (0, ''), 'exit status, standard error')
    check('\033' not in out and 'connections 1' in out and 'BUSIEST CHANNELS' in out, f'text: {out}')
    status, out, err = run_top('--once', '--json', '-i', '0.3', '--api', api_of(server), '--key', 'secret')
    check_equal((status, err), (0, ''), 'exit status, standard error')
    told = json.loads(out)
    check_equal((told['connections'], told['subscriptions'], len(told['workers'])), (1, 1, 2), 'numbers')
    # On a machine that is busy enough a worker may have hung for three seconds.
    check_equal([problem for problem in told['problems'] if 'hangs' not in problem], [], 'problems')
    check(0.2 <= told['seconds'] <= 10 * PATIENCE and told['delivery_ms'] == {'p50': None, 'p99': None}, f'over an interval: {told}')


@test(deadline=120)
def json_goes_on_line_by_line(t):
    server = t.own(Server(workers=1).start())
    t.own(Load(server, ['a']))
    process = start_process([HOLDFAST, 'top', '--json', '-i', '0.2', '--api', api_of(server)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines = [json.loads(process.stdout.readline()) for _ in range(4)]
    while not any(line['publishes'] > 0 for line in lines):  # until the test's deadline
        lines.append(json.loads(process.stdout.readline()))
    process.terminate()
    check_equal(process.wait(DEADLINE_S), 0, 'exit status')


@test
def what_is_wrong_is_said(t):
    nobody = f'http://127.0.0.1:{free_port()}'
    status, out, err = run_top('--once', '--api', nobody)
    check_equal((status, out), (1, ''), f'exit status without a server: {err}')
    check(nobody in err and 'api.listen' in err and len(err.splitlines()) == 1, f'one line that says what to do: {err}')
    server = t.own(Server(workers=1, api_key='secret').start(ready=False))
    wait_until(lambda: server.api('GET', '/healthz').status == 200, 'the API answers')
    for arguments in ((), ('--key', 'wrong')):
        status, _, err = run_top('--once', '--api', api_of(server), *arguments)
        check_equal(status, 1, f'exit status without the key: {err}')
        check('HOLDFAST_API_KEY' in err, f'how to give it: {err}')
    status, _, err = run_top('--once', '--api', f'http://127.0.0.1:{server.port}')
    check_equal(status, 1, f'exit status at the port for clients: {err}')
    check('api.listen' in err, f'it is not the API: {err}')
    for arguments, said in (((), '--once'), (('--api', 'localhost:1', '--once'), 'http://HOST:PORT'), (('--interval', '0', '--once'), '0.1'),
                            (('x', '--once'), 'x'), (('--nothing',), '--nothing')):
        status, out, err = run_top(*arguments)
        check_equal((status, out), (2, ''), f'exit status of {arguments}: {err}')
        check(said in err and len(err.splitlines()) == 1, f'{arguments}: {err}')
    status, out, _ = run_top('--help')
    check_equal(status, 0, 'exit status of --help')
    check('--once' in out, 'its help')


def folder(t):
    made = tempfile.TemporaryDirectory(prefix='holdfast-test-')
    t.own(types.SimpleNamespace(close=made.cleanup))
    return made.name


@test
def it_reads_a_unix_socket(t):
    path = os.path.join(folder(t), 'api')
    server = t.own(Server(workers=1))
    server.arguments[server.arguments.index('--api') + 1] = f'unix:{path}'
    server.start(ready=False)
    wait_until(lambda: run_top('--once', '-i', '0.1', '--api', f'unix:{path}')[0] == 0, 'a frame by the socket')


if __name__ == '__main__':
    main()
