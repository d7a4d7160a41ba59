#!/usr/bin/python3
"""The library's adaptive heartbeat against a real server: probes come, prove or die, and the live connection never notices. Times are short: the
tolerance is, and with it interval and gaps."""
import os
import subprocess
import tempfile
import time

from fault_proxy import FaultProxy
from holdfast_server import Server, start_process, kill_group
from holdfast_test import check, check_equal, main, test, wait_until

CLIENT = os.environ['HEARTBEAT_CLIENT']
TOLERANCE_MS = 2500  # a probe's silence is then at most 2.8 s, and the interval 2.25 s to 2.5 s


class Client:
    def __init__(self, t, port, *arguments):
        self.out = t.own(tempfile.TemporaryFile())
        self.process = start_process([CLIENT, f'ws://127.0.0.1:{port}/ws', *map(str, arguments)], stdin=subprocess.PIPE,
                                     stdout=self.out, stderr=self.out)
        t.cleanup(lambda: kill_group(self.process))

    def lines(self):
        return os.pread(self.out.fileno(), 1 << 20, 0).decode('utf-8', 'replace').splitlines()

    def end(self):
        self.process.stdin.close()
        check_equal(self.process.wait(10), 0, f'exit status of the client: {self.lines()}')


def start(t):
    server = t.own(Server(workers=1))
    server.start()
    return server


@test(deadline=60)
def probe_comes_proves_its_gap_and_goes(t):
    server = start(t)
    client = Client(t, server.port, TOLERANCE_MS)
    wait_until(lambda: server.metric('holdfast_connections_opened_total') == 2, 'a probe has come', 20)
    wait_until(lambda: server.metric('holdfast_sessions') == 1, 'and has said goodbye', 20)
    wait_until(lambda: server.metric('holdfast_sessions_expired_total') == 1, 'its session is forgotten', 20)
    check_equal(client.lines(), ['connected 1'], 'what the application hears of it')
    check_equal(server.metric('holdfast_heartbeats_sent_total'), 0, 'pings of the server: it was asked to bear the silence')
    client.end()
    check_equal(server.metric('holdfast_connections_opened_total'), 2, 'connections: the gap is proven, no other probe is wanted')


@test(deadline=120)
def probe_dies_and_the_live_connection_does_not(t):
    server = start(t)
    proxy = t.own(FaultProxy(server.port))
    # Twice the time of the other tests, so that a pause of the machine does not make the live connection forgotten as well.
    proxy.forget_s = 5.3  # longer than the interval (4.5 s to 5 s), shorter than the probe's silence (5.6 s)
    client = Client(t, proxy.port, 2 * TOLERANCE_MS)
    wait_until(lambda: proxy.forgotten == 1, 'the path has forgotten the probe', 40)
    forgotten_at = time.monotonic()
    wait_until(lambda: proxy.moved_at() > forgotten_at + 8, 'the live connection is used after the probe has been given up', 40)
    check_equal(client.lines(), ['connected 1'], 'what the application hears of it')
    client.end()
    check_equal(proxy.connections, 2, 'connections through the path')


@test(deadline=60)
def unusable_memory_is_told(t):
    server = start(t)
    folder = tempfile.TemporaryDirectory()
    t.cleanup(folder.cleanup)
    path = f'{folder.name}/heartbeat'
    with open(path, 'w', encoding='ascii') as file:
        file.write('rubbish\n')
    client = Client(t, server.port, TOLERANCE_MS, path)
    wait_until(lambda: len(client.lines()) >= 2, 'two lines', 20)
    check(any(line.startswith(f'problem heartbeat_memory: {path}: ') for line in client.lines()), f'the problem is told: {client.lines()}')
    client.end()


@test
def tolerance_without_sense_is_refused(t):
    client = Client(t, 1, 0)
    check_equal(client.process.wait(10), 1, 'exit status')
    check_equal(client.lines(), ['refused: invalid argument'], 'what it says')


main()
