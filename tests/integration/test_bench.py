#!/usr/bin/python3
"""`holdfast bench`: each mode against a real server, and against servers that lose, double, reorder, refuse or hang up."""
import asyncio
import json
import os
import resource
import signal
import ssl
import subprocess
import tempfile
import threading

import websockets

from holdfast_server import HOLDFAST, Server, free_port, run_holdfast, start_process
from holdfast_test import DEADLINE_S, PATIENCE, check, check_equal, main, test, wait_until

BRIEF = ('--seconds', '0.5', '--warmup', '0.1')


def start(t, **options):
    return t.own(Server(**options)).start()


def url(server, path='ws'):
    return f'ws://127.0.0.1:{server.port}/{path}'


def run_bench(*arguments):
    """Returns the exit status and the result's object."""
    status, out, err = run_holdfast('bench', *arguments, '--json', deadline_s=40 * PATIENCE)
    check(out, f'a result: {err!r}')
    return status, json.loads(out)


def measured(*arguments):
    """A run that must be without a fault."""
    status, result = run_bench(*arguments)
    check_equal((status, result['good'], result.get('problem')), (0, True, None), f'the outcome of {arguments}')
    check_equal([result[name] for name in ('failed', 'lost', 'duplicated', 'not_resumed')], [0, 0, 0, 0], 'faults')
    return result


def faulty(*arguments):
    """A run that must have met a fault."""
    status, result = run_bench(*arguments)
    check_equal((status, result['good']), (1, False), f'the outcome of {arguments}: {result}')
    return result


class FaultyServer:
    """A WebSocket server that hands on what /pub gets; `fault(n, message)` returns what the first subscriber gets for message n."""

    def __init__(self, fault=lambda n, message: [message], hang_up=False, tls=None):
        self.port, self.fault, self.hang_up, self.tls = free_port(), fault, hang_up, tls
        self.subscribers, self.count = [], 0
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(self.serve(),), daemon=True)
        self.thread.start()
        check(self.ready.wait(DEADLINE_S), 'the faulty server listens')

    async def serve(self):
        self.ended = asyncio.Event()
        async with websockets.serve(self.handle, '127.0.0.1', self.port, compression=None, ping_interval=None, ssl=self.tls):
            self.ready.set()
            await self.ended.wait()

    async def handle(self, socket, path):
        try:
            if path == '/pub':
                async for message in socket:
                    await self.hand_on(message)
            elif path == '/echo':
                async for message in socket:
                    self.count += 1
                    for answer in self.fault(self.count, message):
                        await socket.send(answer)
            else:
                self.subscribers.append(socket)
                await socket.wait_closed()
        except websockets.ConnectionClosed:
            pass

    async def hand_on(self, message):
        self.count += 1
        for i, subscriber in enumerate(self.subscribers):
            for one in self.fault(self.count, message) if i == 0 else [message]:
                await subscriber.send(one)
        if self.hang_up and self.count == 5:
            await self.subscribers.pop(0).close()

    def close(self):
        self.loop.call_soon_threadsafe(self.ended.set)
        self.thread.join(DEADLINE_S)


def fan_out(server, *more):
    return ('fanout', '--protocol', 'text', '--url', f'ws://127.0.0.1:{server.port}/sub', '--publish-url', f'ws://127.0.0.1:{server.port}/pub',
            '--subscribers', '3', '--timeout', '1', *BRIEF, *more)


# Each mode

@test
def echo_in_a_closed_loop(t):
    server = start(t, echo=True)
    for more in ((), ('--inflight', '64'), ('--size', '1'), ('--size', '70000', '--connections', '3'), ('--connections', '30', '--processes', '3')):
        result = measured('echo', '--url', url(server, 'echo'), *BRIEF, *more)
        check(result['units'] > 0, f'messages came back: {result}')
        check(result['latency_us']['count'] >= result['units'] * 0.9, f'each has a latency: {result}')


@test
def echo_at_a_rate(t):
    server = start(t, echo=True)
    result = measured('echo', '--url', url(server, 'echo'), '--rate', '500', '--seconds', '1', '--warmup', '0.1')
    check(400 <= result['units'] <= 600, f"about 500 messages: {result['units']}")


@test
def fan_out_to_every_subscriber(t):
    server = start(t)
    for more in ((), ('--one',), ('--window', '1000'), ('--processes', '3'), ('--size', '34'), ('--size', '30000', '--subscribers', '5')):
        result = measured('fanout', '--url', url(server), '--subscribers', '20', *BRIEF, *more)
        check(result['units'] > 0 and result['published'] > 0, f'messages came: {result}')


@test
def rate_from_publishers_to_subscribers(t):
    server = start(t)
    result = measured('rate', '--url', url(server), '--rate', '400', '--publishers', '3', '--channels', '6', '--subscribers', '12', '--processes', '2',
                      '--seconds', '1', '--warmup', '0.1')
    check(300 <= result['published'] <= 500, f"about 400 messages: {result['published']}")
    check(abs(result['units'] - 2 * result['published']) < 50, f"each to two subscribers: {result['units']}")


@test
def idle_answers_heartbeats(t):
    server = start(t, heartbeat_interval='300ms', heartbeat_min='300ms')
    for more in ((), ('--shared',), ('--processes', '2')):
        result = measured('idle', '--url', url(server), '--connections', '40', '--seconds', '1.5', '--settle', '0', *more)
        check(result['units'] >= 40, f"heartbeats: {result['units']}")


@test
def churn_opens_and_closes(t):
    server = start(t)
    for more in ((), ('--bare',), ('--rate', '200'), ('--processes', '2'), ('--warmup', '0')):
        result = measured('churn', '--url', url(server), '--connections', '8', *BRIEF, *more)
        check(result['units'] > 0, f'handshakes: {result}')


@test
def storm_resumes_every_session(t):
    server = start(t, workers=3)
    result = measured('resume-storm', '--url', url(server), '--connections', '300', '--settle', '0', '--warmup', '0.2', '--processes', '2')
    check_equal((result['units'], sum(result['curve'])), (300, 300), 'sessions that are back')


@test
def publish_by_http(t):
    server = start(t)
    for more in ((), ('--rate', '200'), ('--pipeline', '5'), ('--pipeline', '64', '--connections', '1')):
        result = measured('publish', '--url', f'http://127.0.0.1:{server.api_port}/api/publish', '--connections', '4', *BRIEF, *more)
        check(result['units'] > 0, f'publishes: {result}')


@test
def server_figures_are_told(t):
    server = start(t, workers=2)
    result = measured('idle', '--url', url(server), '--connections', '200', '--seconds', '0.3', '--settle', '0', '--server-pid', str(server.process.pid))
    check_equal(result['server']['processes'], 3, 'the supervisor and its workers')
    check(result['server']['pss_open'] > 1 << 20, f"memory: {result['server']}")
    check(result['server']['opening_cpu_us_per_connection'] > 0, f"processor time: {result['server']}")


@test
def text_report_is_for_people(t):
    server = start(t, echo=True)
    status, out, err = run_holdfast('bench', 'echo', '--url', url(server, 'echo'), '--server-pid', str(server.process.pid), *BRIEF)
    check_equal((status, err), (0, ''), 'outcome; no progress is shown where there is no terminal')
    for word in ('throughput', 'latency', 'p99', 'server'):
        check(word in out, f'{word!r} in {out!r}')


# TLS

def make_certificate(folder):
    """Files of a certificate of our own for 127.0.0.1, and its key."""
    certificate, key = f'{folder}/certificate.pem', f'{folder}/key.pem'
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=localhost',
                    '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', certificate], check=True, stderr=subprocess.DEVNULL)
    return certificate, key


@test
def tls_is_spoken_and_checked(t):
    folder = tempfile.TemporaryDirectory(prefix='holdfast-test-')
    t.cleanup(folder.cleanup)
    certificate, key = make_certificate(folder.name)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    server = t.own(FaultyServer(tls=tls))
    echo = ('echo', '--url', f'wss://127.0.0.1:{server.port}/echo', '--connections', '3', *BRIEF)
    for more in (('--ca', certificate), ('--insecure',), ('--ca', certificate, '--size', '100000', '--inflight', '8')):
        result = measured(*echo, *more)
        check(result['tls'] and result['units'] > 0, f'messages over TLS: {result}')
    churn = ('churn', '--bare', '--protocol', 'text', '--url', f'wss://127.0.0.1:{server.port}/', '--connections', '2', '--insecure', *BRIEF)
    check_equal(measured(*churn)['tls_resumed'], 0, 'TLS sessions resumed without --tls-resume')
    result = measured(*churn, '--tls-resume')
    check(result['tls_resumed'] >= result['units'], f'TLS sessions resumed: {result}')
    result = faulty(*echo)  # the system's certificates do not know it
    check('certificate' in result['problem'], f'the reason: {result}')
    status, _, err = run_holdfast('bench', *echo, '--ca', f'{folder.name}/nothing')
    check_equal(status, 1, 'a file of certificates that is not there')
    check('certificates' in err, f'the reason: {err!r}')


# Faults of a server that must be seen

@test
def innocent_server_passes(t):
    server = t.own(FaultyServer())
    check(measured(*fan_out(server))['units'] > 0, 'messages came')


@test
def dropped_message_is_seen(t):
    server = t.own(FaultyServer(lambda n, message: [] if n == 20 else [message]))
    check_equal(faulty(*fan_out(server))['lost'], 1, 'lost messages')


@test
def last_message_dropped_is_seen(t):
    server = t.own(FaultyServer(lambda n, message: [] if n >= 20 else [message]))
    check(faulty(*fan_out(server))['lost'] > 0, 'lost messages')


@test
def doubled_message_is_seen(t):
    server = t.own(FaultyServer(lambda n, message: [message, message] if n == 20 else [message]))
    check_equal(faulty(*fan_out(server))['duplicated'], 1, 'duplicated messages')


@test
def reordered_messages_are_seen(t):
    held = []

    def swap(n, message):
        if n == 20:
            held.append(message)
            return []
        return [message, held[0]] if n == 21 else [message]
    result = faulty(*fan_out(t.own(FaultyServer(swap))))
    check_equal((result['lost'], result['duplicated']), (1, 1), 'messages out of order')


@test
def subscriber_cut_off_is_seen(t):
    result = faulty(*fan_out(t.own(FaultyServer(hang_up=True))))
    check(result['failed'] >= 1 and 'closed' in result['problem'], f'the failure: {result}')
    check(result['units'] > 0 and not result['timed_out'], f'the others go on: {result}')


@test
def lost_echo_is_seen(t):
    server = t.own(FaultyServer(lambda n, message: [] if n == 20 else [message]))
    result = faulty('echo', '--url', url(server, 'echo'), '--connections', '2', '--timeout', '1', *BRIEF)
    check_equal(result['lost'], 1, 'lost echoes')


@test
def echo_that_comes_twice_is_seen(t):
    server = t.own(FaultyServer(lambda n, message: [message, message] if n == 20 else [message]))
    result = faulty('echo', '--url', url(server, 'echo'), '--connections', '2', '--timeout', '1', '--rate', '100', '--seconds', '1')
    check(result['duplicated'] >= 1, f'doubled echoes: {result}')


@test
def expired_sessions_are_seen(t):
    server = start(t, session_ttl='100ms')
    result = faulty('resume-storm', '--url', url(server), '--connections', '20', '--settle', '0', '--warmup', '2')
    check(result['not_resumed'] > 0, f'sessions that were lost: {result}')


@test
def killed_worker_breaks_idle_connections(t):
    server = start(t, workers=2)
    for resume, status in (((), 1), (('--resume',), 0)):
        process = start_process([HOLDFAST, 'bench', 'idle', '--url', url(server), '--connections', '40', '--seconds', '600', '--settle', '0', '--json', '--watch',
                                 *resume], stdout=subprocess.PIPE, text=True)
        wait_until(lambda: json.loads(process.stdout.readline()).get('open') == 40, 'all are open')
        server.kill_worker(server.worker_pids()[0])
        fault = 'broken' if resume else 'failed'
        wait_until(lambda: (lambda now: now.get(fault, 0) > 0 and (not resume or now['open'] == 40))(json.loads(process.stdout.readline())), fault)
        process.send_signal(signal.SIGINT)
        result = json.loads(process.stdout.read().splitlines()[-1])
        check_equal((process.wait(DEADLINE_S), result['good']), (status, status == 0), f'outcome: {result}')
        server.wait_workers()


@test
def refused_connections_are_a_fault(t):
    server = start(t, workers=1, connections_max=5)
    result = faulty('idle', '--url', url(server), '--connections', '10', '--seconds', '0.3', '--settle', '0', '--timeout', '1')
    check(result['refused'] >= 5 and '5 of 10' in result['problem'], f'refusals: {result}')


@test
def server_that_is_not_there_is_a_fault(t):
    result = faulty('echo', '--url', f'ws://127.0.0.1:{free_port()}/echo', '--connections', '2', *BRIEF)
    check('refused' in result['problem'], f'the reason: {result}')


@test
def wrong_path_is_a_fault(t):
    server = start(t)
    check('404' in faulty('idle', '--url', url(server, 'nowhere'), '--connections', '2', '--seconds', '0.2')['problem'], 'the reason names the status')


@test
def refused_publish_is_a_fault(t):
    server = start(t)
    result = faulty('publish', '--url', f'http://127.0.0.1:{server.api_port}/api/nothing', '--connections', '2', *BRIEF)
    check('404' in result['problem'], f'the reason: {result}')


# Options and limits

@test
def wrong_command_lines_are_refused(t):
    for arguments in ([], ['nonsense'], ['echo', '--nonsense'], ['rate'], ['echo', '--size', '0'], ['echo', '--url', 'x']):
        status, out, err = run_holdfast('bench', *arguments)
        check_equal((status, out, len(err.splitlines())), (2, '', 1), f'holdfast bench {arguments}: {err!r}')
    check_equal(run_holdfast('bench', '--help')[0], 0, 'status of --help')


@test
def missing_descriptors_are_told_exactly(t):
    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (1000, 1000))
    done = subprocess.run([HOLDFAST, 'bench', 'echo', '--connections', '1000', '--processes', '1'], preexec_fn=few, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=DEADLINE_S, check=False)
    check_equal((done.returncode, done.stdout), (1, ''), 'outcome')
    check('RLIMIT_NOFILE' in done.stderr and '1000' in done.stderr, f'what is missing: {done.stderr!r}')


@test
def few_descriptors_make_more_processes(t):
    server = start(t, echo=True)

    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (400, 400))
    done = subprocess.run([HOLDFAST, 'bench', 'echo', '--json', '--connections', '200', '--url', url(server, 'echo'), *BRIEF], preexec_fn=few,
                          stdout=subprocess.PIPE, text=True, timeout=DEADLINE_S, check=False)
    result = json.loads(done.stdout)
    check_equal((done.returncode, result['good']), (0, True), f'outcome: {result}')
    check(result['processes'] >= 2, f"client processes: {result['processes']}")


@test
def interrupted_load_ends_with_its_processes(t):
    server = start(t, echo=True)
    process = start_process([HOLDFAST, 'bench', 'echo', '--url', url(server, 'echo'), '--seconds', '600', '--processes', '2'], stdout=subprocess.PIPE, text=True)
    children = wait_until(lambda: (lambda pids: pids if len(pids) == 2 else None)(
        open(f'/proc/{process.pid}/task/{process.pid}/children', encoding='ascii').read().split()), 'two client processes')
    process.send_signal(signal.SIGINT)
    check_equal(process.wait(DEADLINE_S), 1, 'exit status: not all was measured')
    wait_until(lambda: not any(os.path.exists(f'/proc/{pid}') for pid in children), 'no client process is left')


if __name__ == '__main__':
    main()
