#!/usr/bin/python3
"""
bench_local.py - how fast this machine is with the real processes over loopback: a first look, no comparison.

  one to one    `pub` reads lines, one `sub` writes them: each message published, acknowledged, delivered and acknowledged
  fan-out       the same with many subscribers: deliveries, not publishes, are counted
  latency       one publish at a time over HTTP, until the WebSocket client has it; this client's own time is in it
  idle          memory of all server processes per idle connection

The clients share the processors with the server. Everything runs against the binary that HOLDFAST names (build/holdfast).
"""
import http.client
import json
import os
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'tests', 'integration'))

from holdfast_server import HOLDFAST, Server, kill_group, start_process  # noqa: E402
from raw_ws import RawWs  # noqa: E402

WAIT_S = 120


def tell(name, text):
    print(f'{name:24} {text}', flush=True)


class Counter:
    """A `sub` whose lines are counted, not kept."""

    def __init__(self, server, channel):
        self.process = start_process([HOLDFAST, 'sub', '--url', f'ws://127.0.0.1:{server.port}/ws', channel],
                                     stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.count = 0
        self.changed = threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while data := os.read(self.process.stdout.fileno(), 1 << 20):
            with self.changed:
                self.count += data.count(b'\n')
                self.changed.notify_all()

    def wait(self, count):
        with self.changed:
            if not self.changed.wait_for(lambda: self.count >= count, WAIT_S):
                sys.exit(f'only {self.count} of {count} messages came within {WAIT_S} s')


def pub(server, channel, lines):
    """Publish these lines; returns when all are acknowledged."""
    process = start_process([HOLDFAST, 'pub', '--url', f'ws://127.0.0.1:{server.port}/ws', channel],
                            stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process.communicate(lines, timeout=WAIT_S)
    if process.returncode:
        sys.exit(f'pub ended with status {process.returncode}')


def bench_fan_out(server, name, subscribers, messages):
    channel = f'bench-{subscribers}'
    subs = [Counter(server, channel) for _ in range(subscribers)]
    # A first message, again and again until all have it, tells that all are subscribed.
    for sub in subs:
        while sub.count == 0:
            server.publish(channel, 'ready')
            time.sleep(0.05)
    time.sleep(0.2)
    before = [sub.count for sub in subs]
    lines = b''.join(b'%063d\n' % i for i in range(messages))
    begun = time.monotonic()
    pub(server, channel, lines)
    published = time.monotonic()
    for sub, count in zip(subs, before):
        sub.wait(count + messages)
    ended = time.monotonic()
    for sub in subs:
        kill_group(sub.process)
    tell(name, f'{messages / (published - begun):12,.0f} acknowledged/s {subscribers * messages / (ended - begun):12,.0f} delivered/s')


def bench_latency(server, count):
    client = RawWs.open(server.port, protocols=['holdfast.v1.json'])
    client.send_json({'type': 'subscribe', 'channel': 'latency'})
    times_us = []
    connection = http.client.HTTPConnection('127.0.0.1', server.api_port)
    while client.recv_json()['type'] != 'subscribed':
        pass
    for i in range(count):
        begun = time.perf_counter()
        connection.request('POST', '/api/publish', json.dumps({'channel': 'latency', 'payload': i}))
        while client.recv_json()['type'] != 'data':
            pass
        times_us.append((time.perf_counter() - begun) * 1e6)
        connection.getresponse().read()
    client.close()
    times_us.sort()
    tell('latency', ' '.join(f'p{p:g} {times_us[min(count - 1, int(count * p / 100))]:,.0f} µs' for p in (50, 99, 99.9)))


def memory_bytes(server):
    """What all its processes take in memory; what they share counts once (Pss of smaps_rollup)."""
    total = 0
    for pid in [server.process.pid, *server.worker_pids()]:
        with open(f'/proc/{pid}/smaps_rollup', encoding='ascii') as f:
            total += sum(int(line.split()[1]) * 1024 for line in f if line.startswith('Pss:'))
    return total


def bench_idle(server, count):
    before = memory_bytes(server)
    clients = [RawWs.open(server.port, protocols=['holdfast.v1.json']) for _ in range(count)]
    for client in clients:
        client.send_json({'type': 'subscribe', 'channel': 'idle'})
    for client in clients:
        while client.recv_json()['type'] != 'subscribed':
            pass
    tell('idle', f'{(memory_bytes(server) - before) / count:12,.0f} bytes for each of {count:,} subscribed connections')
    for client in clients:
        client.close()


def main():
    server = Server(workers=os.cpu_count())
    server.start()
    try:
        tell('machine', f'{os.cpu_count()} processors, {server.workers} workers, payload 63 bytes')
        bench_fan_out(server, 'one to one', 1, 200000)
        bench_fan_out(server, 'fan-out to 20', 20, 20000)
        bench_latency(server, 5000)
        bench_idle(server, 400)
        server.stop()
    finally:
        server.close()


main()
