"""
holdfast_server.py - start, watch, kill and stop real `holdfast` processes.

The binary comes from the environment variable HOLDFAST, else from build/holdfast. Everything listens on loopback, on
ports that are free now. Each process runs in a process group of its own and dies with the test, whatever happens.
"""
import atexit
import ctypes
import http.client
import json
import os
import random
import resource
import signal
import socket
import subprocess
import tempfile
import threading
import time

import holdfast_test
from holdfast_test import CheckFailed, DEADLINE_S, check, check_equal, wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HOLDFAST = os.environ.get('HOLDFAST', os.path.join(ROOT, 'build', 'holdfast'))

# The one place where the names of configuration keys stand: the tests use the names on the left.
KEYS = {
    'workers': 'workers',
    'heartbeat_interval': 'heartbeat.interval',
    'heartbeat_min': 'heartbeat.min',
    'heartbeat_max': 'heartbeat.max',
    'session_ttl': 'session.ttl',
    'session_max': 'session.max',
    'session_tombstone': 'session.tombstone',
    'history_messages': 'history.messages',
    'history_bytes': 'history.bytes',
    'history_age': 'history.age',
    'subscriptions_max': 'session.subscriptions',
    'message_max': 'limits.message',
    'handshake_timeout': 'limits.handshake',
    'drain_timeout': 'drain.timeout',
    'api_key': 'api.key',
    'api_keys': 'api.keys',
    'auth_keys': 'auth.keys',
    'auth_audience': 'auth.audience',
    'auth_issuer': 'auth.issuer',
    'auth_leeway': 'auth.leeway',
    'auth_anonymous': 'auth.anonymous',
    'auth_origins': 'auth.origins',
    'log_format': 'log.format',
    'inflight_max': 'limits.inflight',
    'connections_max': 'limits.connections',
    'shards': 'memory.shards',
    'segment': 'memory.segment',
    'segments': 'memory.segments',
    'idempotency_age': 'idempotency.age',
    'compression': 'compression.enabled',
    'compression_min': 'compression.min',
    'compression_level': 'compression.level',
    'compression_cache': 'compression.cache',
    'admission_rate': 'admission.rate',
    'admission_burst': 'admission.burst',
    'address_max': 'limits.connections_per_address',
    'address_bits_v4': 'limits.address_bits_v4',
    'handshakes_max': 'limits.handshakes',
    'header_bytes': 'limits.header_bytes',
    'headers_max': 'limits.headers',
    'write_timeout': 'limits.write',
    'worker_memory': 'limits.worker_memory',
    'publish_rate': 'limits.publish_rate',
    'publish_burst': 'limits.publish_burst',
    'proxy_trusted': 'proxy.trusted',
    'proxy_protocol': 'proxy.protocol',
    'proxy_header': 'proxy.header',
    'api_listen': 'api.listen',
    'socket_mode': 'api.socket_mode',
    'hooks_connect_url': 'hooks.connect.url',
    'hooks_subscribe_url': 'hooks.subscribe.url',
    'hooks_publish_url': 'hooks.publish.url',
    'hooks_call_url': 'hooks.call.url',
    'hooks_disconnect_url': 'hooks.disconnect.url',
    'hooks_connect_fail': 'hooks.connect.fail',
    'hooks_subscribe_fail': 'hooks.subscribe.fail',
    'hooks_publish_fail': 'hooks.publish.fail',
    'hooks_connect_resumes': 'hooks.connect.resumes',
    'hooks_call_timeout': 'hooks.call.timeout',
    'hooks_call_concurrency': 'hooks.call.concurrency',
    'hooks_secret': 'hooks.secret',
    'hooks_timeout': 'hooks.timeout',
    'hooks_concurrency': 'hooks.concurrency',
    'hooks_queue': 'hooks.queue',
    'hooks_answer': 'hooks.answer',
    'hooks_failures': 'hooks.failures',
    'hooks_pause': 'hooks.pause',
    'hooks_tls_ca': 'hooks.tls.ca',
    'hooks_tls_certificate': 'hooks.tls.certificate',
    'hooks_tls_key': 'hooks.tls.key',
}

PR_SET_PDEATHSIG = 1  # linux/prctl.h
LIBC = ctypes.CDLL(None)
PROCESSES = []  # all Popen objects of this test file, for the end


PORTS_HELD = []  # A socket for each port that was given out.


def free_port():
    """
    A port that nothing listens on and that no test has been given, this one or another that runs beside it: each is held by a name of its own
    among the abstract sockets until this process ends. Below the ephemeral range, so that no outgoing connection takes it meanwhile.
    """
    for _ in range(1000):
        port = random.SystemRandom().randrange(18000, 32000)
        held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            held.bind(f'\0holdfast-test-port-{port}')
            with socket.socket() as s:
                s.bind(('127.0.0.1', port))
        except OSError:
            held.close()
            continue
        PORTS_HELD.append(held)
        return port
    raise CheckFailed('no free port on loopback')


def start_process(arguments, descriptors=None, **options):
    """Popen in a new process group; the kernel kills it when this test dies. descriptors: how many it may have open."""
    parent = os.getpid()

    def in_child():
        if descriptors:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before prctl
            os._exit(1)
    process = subprocess.Popen(arguments, start_new_session=True, preexec_fn=in_child, **options)
    PROCESSES.append(process)
    return process


def kill_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        pass


@atexit.register
def kill_all():
    for process in PROCESSES:
        kill_group(process)


def stat_fields(pid):
    """Fields of /proc/PID/stat from the state on, or None when the process is gone."""
    try:
        with open(f'/proc/{pid}/stat', encoding='utf-8', errors='replace') as f:
            return f.read().rpartition(')')[2].split()
    except OSError:
        return None


def is_alive(pid):
    fields = stat_fields(pid)
    return fields is not None and fields[0] not in 'ZX'


def children_of(parent):
    found = []
    for name in os.listdir('/proc'):
        if name.isdigit():
            fields = stat_fields(name)
            if fields and int(fields[1]) == parent and fields[0] not in 'ZX':
                found.append(int(name))
    return sorted(found)


def socket_inode(local_port, remote_port):
    """The inode of the established connection whose own end is local_port; None while nobody has accepted it."""
    with open('/proc/net/tcp', encoding='ascii') as f:
        for line in f.readlines()[1:]:
            fields = line.split()
            if int(fields[1].partition(':')[2], 16) == local_port and int(fields[2].partition(':')[2], 16) == remote_port:
                return int(fields[9]) or None
    return None


def holds_socket(pid, inode):
    try:
        for name in os.listdir(f'/proc/{pid}/fd'):
            try:
                if os.readlink(f'/proc/{pid}/fd/{name}') == f'socket:[{inode}]':
                    return True
            except OSError:
                continue
    except OSError:
        pass
    return False


class Answer:
    """One answer of the HTTP API."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            raise CheckFailed(f'HTTP {self.status}: the body is no JSON: {holdfast_test.shorten(self.body)}') from None

    def __repr__(self):
        return f'HTTP {self.status} {holdfast_test.shorten(self.body)}'


class Server:
    """One `holdfast serve` with its workers."""

    def __init__(self, workers=2, echo=False, arguments=(), descriptors=None, **config):
        self.port, self.api_port, self.workers = free_port(), free_port(), workers
        self.descriptors = descriptors  # of each of its processes; None: as many as this test may have
        self.arguments = [HOLDFAST, 'serve', '--listen', f'127.0.0.1:{self.port}', '--api', f'127.0.0.1:{self.api_port}',
                          '--workers', str(workers)]
        if echo:
            self.arguments.append('--echo')
        for name, value in config.items():
            self.arguments += ['--set', f'{KEYS[name]}={value}']
        self.arguments += arguments
        self.log_file = tempfile.NamedTemporaryFile(prefix='holdfast-test-', suffix='.log')
        self.process = None

    def start(self, ready=True):
        check(os.path.exists(HOLDFAST), f'no holdfast binary at {HOLDFAST} (environment variable HOLDFAST)')
        self.process = start_process(self.arguments, self.descriptors, stdin=subprocess.DEVNULL, stdout=self.log_file, stderr=self.log_file)
        SERVERS.append(self)
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self):
        def ready():
            if self.process.poll() is not None:
                raise CheckFailed(f'the server ended at start with status {self.process.returncode}')
            return self.api('GET', '/readyz', deadline_s=2).status == 200
        wait_until(ready, 'GET /readyz answers 200')

    # The log

    def log(self):
        with open(self.log_file.name, encoding='utf-8', errors='replace') as f:
            return f.read()

    def log_tail(self, lines=40):
        name = f'server {self.process.pid if self.process else "(not started)"}'
        return [f'--- log of {name}, last {lines} lines:'] + self.log().splitlines()[-lines:]

    def log_complaints(self):
        """What must never be in a log: a sanitizer's or an assertion's report."""
        words = ('AddressSanitizer', 'LeakSanitizer', 'runtime error:', 'assertion', 'Assertion')
        return [f'in the log: {line}' for line in self.log().splitlines() if any(word in line for word in words)][:5]

    # Its processes

    def worker_pids(self):
        return children_of(self.process.pid)

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def worker_of(self, sock, deadline_s=DEADLINE_S):
        """The pid of the worker that has accepted this client socket."""
        mine = sock.getsockname()[1]
        port = sock.getpeername()[1]

        def holder():
            inode = socket_inode(port, mine)
            return next((pid for pid in self.worker_pids() if inode and holds_socket(pid, inode)), None)
        return wait_until(holder, f'a worker has accepted the connection from port {mine}', deadline_s)

    def open_on(self, make, wanted, what, tries=300):
        """make() opens a TCP connection; repeat until wanted(pid of its worker). The kernel spreads them by a hash."""
        for _ in range(tries):
            connection = make()
            if wanted(self.worker_of(connection.sock)):
                return connection
            connection.close()
        raise CheckFailed(f'no connection in {tries} came to {what}')

    def kill_worker(self, pid, signum=signal.SIGKILL):
        """Kill one worker and wait until it is gone."""
        check(pid in self.worker_pids(), f'{pid} is a worker of this server')
        os.kill(pid, signum)
        wait_until(lambda: not is_alive(pid), f'worker {pid} is gone', step_s=0.001)

    def wait_workers(self, without=(), deadline_s=DEADLINE_S):
        """Wait until all workers run and none of `without` is among them; returns their pids."""
        return wait_until(lambda: (lambda pids: pids if len(pids) == self.workers and not set(pids) & set(without) else None)
                          (self.worker_pids()), f'{self.workers} workers run', deadline_s)

    # The end

    def terminate(self, signum=signal.SIGTERM):
        self.process.send_signal(signum)

    def wait_exit(self, deadline_s=DEADLINE_S):
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise CheckFailed(f'the server does not end within {deadline_s:g} s') from None

    def stop(self):
        """SIGTERM, a drain, exit status 0, no process left."""
        workers = self.worker_pids()
        self.terminate()
        check_equal(self.wait_exit(DEADLINE_S * 3), 0, 'exit status after SIGTERM')
        wait_until(lambda: not any(is_alive(pid) for pid in workers), 'the workers end with their supervisor')

    def close(self):
        if self.process:
            kill_group(self.process)
        if self in SERVERS:
            SERVERS.remove(self)

    # The HTTP API

    def api(self, method, path, body=None, headers=None, deadline_s=DEADLINE_S):
        """One request on a connection of its own. body: bytes, or anything that becomes JSON."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        connection = http.client.HTTPConnection('127.0.0.1', self.api_port, timeout=deadline_s)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def post(self, path, body=None, **options):
        answer = self.api('POST', path, body, **options)
        check_equal(answer.status, 200, f'POST {path} {holdfast_test.shorten(body, 200)}: {answer}; status')
        return answer.json

    def publish(self, channel, payload, **members):
        return self.post('/api/publish', {'channel': channel, 'payload': payload, **members})

    def metrics(self):
        """GET /metrics as {name or name{labels}: value}."""
        answer = self.api('GET', '/metrics')
        check_equal(answer.status, 200, 'GET /metrics')
        lines = [line for line in answer.body.decode().splitlines() if line and not line.startswith('#')]
        return {line.rpartition(' ')[0]: float(line.rpartition(' ')[2]) for line in lines}

    def metric(self, name):
        """The sum of a metric over all its labels."""
        return sum(value for key, value in self.metrics().items() if key.partition('{')[0] == name)


SERVERS = []  # those of this file that have been started and not closed
COMMANDS = []  # as well


def log_tails():
    for server in SERVERS:
        yield from server.log_tail()
    for command in COMMANDS:
        yield from command.tail()


holdfast_test.LOG_TAILS.append(log_tails)


class SharedServer:
    """
    One server for many tests of a file. A failed test ends it, so that the next begins with a fresh one; a test that
    leaves a dead worker or a sanitizer's report behind has failed, even where all its own checks held.
    """

    def __init__(self, **options):
        self.options = options
        self.server = None
        self.pids = None
        holdfast_test.AFTER_TEST.append(self.after_test)
        holdfast_test.AT_END.append(self.at_end)

    def __call__(self):
        if self.server is None:
            self.server = Server(**self.options)
            self.server.start()
            self.pids = self.server.wait_workers()
        return self.server

    def workers_changed(self):
        """A test that kills workers itself says so here, when all run again."""
        self.pids = self.server.worker_pids()

    def after_test(self, failed):
        if self.server is None:
            return []
        complaints = self.server.log_complaints()
        if not self.server.is_alive():
            complaints.append(f'the server died with status {self.server.process.returncode}')
        elif not failed and self.server.worker_pids() != self.pids:
            complaints.append(f'workers died: had {self.pids}, have {self.server.worker_pids()}')
        if complaints:
            for line in self.server.log_tail():
                holdfast_test.comment(line)
        if failed or complaints:
            self.server.close()
            self.server = None
        return complaints

    def at_end(self):
        name = 'the shared server ends with status 0 on SIGTERM'
        if self.server is None:
            return name, None
        try:
            self.server.stop()
            complaints = self.server.log_complaints()
            return name, complaints[0] if complaints else None
        except CheckFailed as error:
            return name, str(error)


def url_of(port):
    return f'ws://127.0.0.1:{port}/ws'


class Command:
    """A `holdfast` subcommand under way (pub, sub, …); its standard output and error are gathered by threads."""

    def __init__(self, *arguments, stdin=subprocess.DEVNULL):
        self.name = ' '.join(arguments[:2])
        self.process = self.launch(arguments, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.lines, self.error_lines = [], []
        self.threads = [threading.Thread(target=self.gather, args=(stream, lines), daemon=True)
                        for stream, lines in ((self.process.stdout, self.lines), (self.process.stderr, self.error_lines))]
        COMMANDS.append(self)
        for thread in self.threads:
            thread.start()

    def launch(self, arguments, **options):
        return start_process([HOLDFAST, *arguments], **options)

    @staticmethod
    def gather(stream, lines):
        for line in stream:
            lines.append(line.decode('utf-8', 'replace').rstrip('\n'))

    def write(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def end_input(self):
        self.process.stdin.close()

    def wait(self, deadline_s=DEADLINE_S):
        """Its exit status, when all its output has been gathered."""
        try:
            status = self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise CheckFailed(f'{self.name} does not end within {deadline_s:g} s; {len(self.lines)} lines so far, '
                              f'stderr: {self.error_lines[-5:]}') from None
        for thread in self.threads:
            thread.join(5)
        return status

    def tail(self):
        return [f'--- holdfast {self.name}, status {self.process.poll()}: {len(self.lines)} lines of output, the last {self.lines[-1:]}; stderr:',
                *self.error_lines[-12:]]

    def close(self):
        kill_group(self.process)
        COMMANDS.remove(self)


def run_holdfast(*arguments, deadline_s=DEADLINE_S, **options):
    """Run a command line to its end: (status, stdout, stderr) as text."""
    process = start_process([HOLDFAST, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            **options)
    began = time.monotonic()
    try:
        out, err = process.communicate(timeout=deadline_s)
    except subprocess.TimeoutExpired:
        kill_group(process)
        raise CheckFailed(f'holdfast {" ".join(arguments)}: still running after {time.monotonic() - began:.1f} s') from None
    return process.returncode, out.decode('utf-8', 'replace'), err.decode('utf-8', 'replace')
