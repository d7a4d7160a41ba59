#!/usr/bin/python3
"""The commands `history` and `ping`, what all commands share (tokens, colours, progress, completion), as a user meets them."""
import asyncio
import json
import os
import pty
import re
import subprocess
import tempfile
import threading
import time

import websockets

from fault_proxy import FaultProxy
from holdfast_server import HOLDFAST, Command, Server, free_port, run_holdfast, url_of
from holdfast_test import DEADLINE_S, check, check_equal, check_in, main, test, wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def start(t, **options):
    return t.own(Server(workers=2, **options)).start()


def publish_lines(t, server, channel, count):
    pub = t.own(Command('pub', '--url', url_of(server.port), channel, stdin=subprocess.PIPE))
    pub.write(b''.join(b'line %d\n' % n for n in range(count)))
    pub.end_input()
    check_equal(pub.wait(), 0, f'exit status of pub: {pub.error_lines}')


def run(server, *arguments, **options):
    return run_holdfast(arguments[0], '--url', url_of(server.port), *arguments[1:], **options)


# history

@test
def history_reads_all_pages_either_way(t):
    server = start(t, history_messages=3000)
    publish_lines(t, server, 'room', 2345)
    want = [f'line {n}' for n in range(2345)]
    status, out, err = run(server, 'history', 'room')
    check_equal((status, out.splitlines()), (0, want), 'all of it')
    status, out, err = run(server, 'history', '--reverse', '--limit', '1500', 'room')
    check_equal((status, out.splitlines()), (0, want[::-1][:1500]), 'the newest 1,500, backwards')
    status, out, err = run(server, 'history', '--limit', '2', '--json', 'room')
    first, second = (json.loads(line) for line in out.splitlines())
    check_equal([first['offset'], second['offset'], first['payload'], first['channel']], [1, 2, 'line 0', 'room'], 'JSON')
    epoch = first['id'].rsplit('-', 1)[0]
    status, out, err = run(server, 'history', '--since', f'{epoch}:2340', 'room')
    check_equal(out.splitlines(), want[2340:], 'behind a position')
    status, out, err = run(server, 'history', '--since', f'{epoch}:3', '--reverse', 'room')
    check_equal(out.splitlines(), ['line 1', 'line 0'], 'before a position, backwards')


@test
def history_of_large_messages_comes_in_smaller_pages(t):
    server = start(t, history_bytes='60MiB', message_max='600KiB', segment='4MiB')
    pub = t.own(Command('pub', '--url', url_of(server.port), 'room', stdin=subprocess.PIPE))
    for n in range(40):  # 20 MB: more than the client takes at once
        pub.write(b'%d ' % n + b'x' * 500000 + b'\n')
    pub.end_input()
    check_equal(pub.wait(), 0, f'exit status of pub: {pub.error_lines}')
    status, out, err = run(server, 'history', 'room', deadline_s=60)
    check_equal((status, [line.split(' ')[0] for line in out.splitlines()]), (0, [str(n) for n in range(40)]), f'all of them: {err}')


@test
def history_of_nothing_is_empty_and_of_nobody_fails(t):
    server = start(t)
    status, out, err = run(server, 'history', '-v', 'empty')
    check_equal((status, out), (0, ''), 'a channel without messages')
    check_in('empty: no message yet', err, 'with --verbose')
    status, out, err = run_holdfast('history', '--url', url_of(free_port()), '--timeout', '0.3', 'room')
    check_equal((status, out), (1, ''), 'no server')
    check_in('no answer for 0.3 s: given up', err, 'why')


@test
def history_wants_sense(t):
    server = start(t)
    for arguments, words in [([], 'no channel given'), (['a', 'b'], 'one channel at a time, not also b'),
                             (['--limit', '0', 'a'], '--limit wants a number from 1 on, not 0'),
                             (['--since', 'x', 'a'], '--since wants EPOCH:OFFSET, not x'), (['a\nb'], 'no valid name of a channel'),
                             (['--nonsense', 'a'], 'unknown option --nonsense'), (['--limit'], 'a value is missing behind --limit')]:
        status, out, err = run(server, 'history', *arguments)
        check_equal(status, 2, f'exit status of {arguments}')
        check_in(words, err, f'{arguments}')


# ping

def cpu_seconds(pid):
    """What the process has used so far."""
    with open(f'/proc/{pid}/stat', encoding='ascii') as f:
        fields = f.read().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


@test
def ping_measures_and_sums_up(t):
    server = start(t)
    status, out, err = run(server, 'ping', '-c', '4', '-i', '0.02')
    lines = out.splitlines()
    check_equal(status, 0, f'exit status: {err}')
    for n in range(4):
        check(re.fullmatch(rf'pong from {re.escape(url_of(server.port))}: seq={n + 1} time=\d+\.\d{{3}} ms', lines[n]), lines[n])
    check_equal(lines[5], '4 sent, 4 answered, 0 reconnects', 'summary')
    low, mean, high, _ = (float(x) for x in re.fullmatch(r'rtt min/avg/max/mdev = (.*) ms', lines[6]).group(1).split('/'))
    check(0 < low <= mean <= high, lines[6])
    status, out, err = run(server, 'ping', '--json', '--count', '2', '--interval', '0.02')
    lines = [json.loads(line) for line in out.splitlines()]
    check_equal([lines[0]['seq'], lines[1]['seq'], lines[2]['sent'], lines[2]['answered']], [1, 2, 2, 2], 'JSON')


@test
def ping_goes_on_through_a_break(t):
    server = start(t)
    proxy = t.own(FaultProxy(server.port))
    ping = t.own(Command('ping', '--url', url_of(proxy.port), '-c', '30', '-i', '0.05'))
    wait_until(lambda: len(ping.lines) >= 3, 'three pongs')
    proxy.cut_now()
    check_equal(ping.wait(), 0, f'exit status: {ping.error_lines}')
    wait_until(lambda: len(ping.lines) >= 33, 'all lines')
    sequence = [int(re.search(r'seq=(\d+)', line).group(1)) for line in ping.lines[:30]]
    check_equal(sequence, list(range(1, 31)), 'each is answered once, in order')
    check_equal(ping.lines[31], '30 sent, 30 answered, 1 reconnect', 'summary')


@test
def ping_rests_while_64_wait(t):
    """Nothing is answered, so that no more can be asked: it tries again with the interval, and not all the time."""
    server = start(t)
    proxy = t.own(FaultProxy(server.port))
    ping = t.own(Command('ping', '--url', url_of(proxy.port), '-i', '0.01'))
    wait_until(lambda: len(ping.lines) >= 3, 'three pongs')
    proxy.freeze()
    began, before = time.monotonic(), cpu_seconds(ping.process.pid)
    wait_until(lambda: time.monotonic() - began > 2.7, 'the time up to the hard deadline, after which there is no connection to ask on', 10)
    used = cpu_seconds(ping.process.pid) - before
    check(used < 0.2, f'{used:.2f} s of CPU time for 64 pings in 2.7 s')
    ping.process.terminate()
    ping.wait()


@test
def ping_gives_up_and_says_so(t):
    server = start(t)
    status, out, err = run_holdfast('ping', url_of(free_port()), '--timeout', '0.3')
    check_equal(status, 1, 'no server')
    check_in('no answer for 0.3 s: given up', err, 'why')
    check_in('0 sent, 0 answered', out, 'summary')
    for arguments, words in [(['--interval', '0'], '--interval wants seconds, at least 0.01, not 0'), (['-c', 'x'], '--count wants a number'),
                             (['a', 'b'], 'one server at a time, not also b'), (['http://x/'], 'no URL of a server')]:
        status, out, err = run(server, 'ping', *arguments)
        check_equal(status, 2, f'exit status of {arguments}')
        check_in(words, err, f'{arguments}')


# sub

class Backend:
    """A server whose backend subscribes each session to `extra` as well, takes that away again, and then publishes to what was asked for."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.port = None
        self.intervals = []  # what heartbeat each session asked for
        self.ready = threading.Event()
        threading.Thread(target=self.run, daemon=True).start()
        self.ready.wait(DEADLINE_S)

    def run(self):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(websockets.serve(self.serve, '127.0.0.1', 0, subprotocols=['holdfast.v1.json'], compression=None))
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        self.loop.run_forever()

    async def serve(self, ws, path=None):
        try:
            await self.talk(ws)
        except websockets.exceptions.ConnectionClosedError:
            pass  # a client that wants no JSON

    async def talk(self, ws):
        async def say(**message):
            await ws.send(json.dumps(message))
        await say(type='welcome', session='s', ticket='t', resumed=False, lastSeq=None, ttl=1000, serverId='x', serverTime=1,
                  heartbeat={'interval': 25000, 'min': 10000, 'max': 60000}, lossSpread=0, maxMessage=1000, address='::1', channels=[])
        async for text in ws:
            message = json.loads(text)
            if message['type'] == 'bye':
                await ws.close(1000)
                return
            if message['type'] == 'heartbeat':
                self.intervals.append(message['interval'])
            if message['type'] == 'ping':
                await say(type='pong', id=message['id'], serverTime=1, serverId='x')
            if message['type'] == 'subscribe':
                for channel in (message['channel'], 'extra'):
                    await say(type='subscribed', channel=channel, epoch='e', offset=0, recovered=True)
                await say(type='unsubscribed', channel='extra', code='forbidden', reason='no longer')
                await say(type='data', channel=message['channel'], offset=1, id='e-1', payload='still here', timestamp=1)

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)


@test
def sub_ends_with_its_own_channels_only(t):
    backend = t.own(Backend())
    status, out, err = run_holdfast('sub', '--url', url_of(backend.port), '--count', '1', 'mine')
    check_equal((status, out), (0, 'still here\n'), f'what was asked for goes on: {err}')


# the encoding

def binary_connections(server):
    return server.metric('holdfast_binary_connections_total')


@test
def each_encoding_tells_the_same(t):
    server = start(t)
    for arguments in (['room', 'text'], ['--json', 'room', '{"a": [1, 2.50]}'], ['--bytes', '--encoding', 'binary', 'room', '{"a'],
                      ['--bytes', '--encoding', 'json', 'room', '{"a'], ['--id', 'mine', '--encoding', 'binary', 'room', 'x']):
        check_equal(run(server, 'pub', *arguments)[0], 0, f'exit status of pub {arguments}')
    before, told = binary_connections(server), {}
    for encoding in ('json', 'binary', 'auto'):
        for command in (['sub', '--last', '5', '--count', '5'], ['history']):
            for form in ([], ['--json']):
                status, out, err = run(server, command[0], '--encoding', encoding, *command[1:], *form, 'room')
                check_equal(status, 0, f'exit status of {command} in {encoding}: {err}')
                told.setdefault(tuple(command + form), []).append(out)
    check_equal(binary_connections(server) - before, 8, 'connections in the binary form, of twelve')
    for command, outputs in told.items():
        check(outputs[0] == outputs[1] == outputs[2], f'{command} tells the same in each encoding: {outputs}')
    check_equal(told['history',][0].splitlines(), ['text', '{"a": [1, 2.50]}', '{"a', '{"a', 'x'], 'as text')
    messages = [json.loads(line) for line in told['history', '--json'][0].splitlines()]
    check_equal([m.get('payloadBase64') for m in messages], [None, None, 'eyJh', 'eyJh', None], 'bytes in base64')
    epoch = messages[0]['id'].rsplit('-', 1)[0]
    check_equal([m['id'] for m in messages], [f'{epoch}-{n}' for n in range(1, 5)] + ['mine'], 'ids')
    status, out, err = run(server, 'ping', '--encoding', 'binary', '-c', '2', '-i', '0.01')
    check_equal(status, 0, f'ping: {err}')


@test
def an_encoding_that_the_server_has_not_is_no_connection(t):
    backend = t.own(Backend())
    status, out, err = run_holdfast('sub', '--url', url_of(backend.port), '--encoding', 'binary', '--timeout', '5', 'mine')
    check_equal((status, out), (1, ''), 'a server that speaks JSON alone')
    check_in('holdfast.v1.bin', err, 'why')
    status, out, err = run_holdfast('sub', '--url', url_of(backend.port), '--count', '1', 'mine')
    check_equal((status, out), (0, 'still here\n'), f'by default JSON does as well: {err}')
    for arguments, words in ((['--encoding', 'xml', 'room', 'x'], '--encoding wants auto, binary or json, not xml'),
                             (['--json', '--bytes', 'room', '1'], 'a message is JSON or bytes: not --json with --bytes')):
        status, out, err = run_holdfast('pub', *arguments)
        check_equal(status, 2, f'exit status of pub {arguments}')
        check_in(words, err, 'why')


@test
def lines_of_any_bytes_are_published(t):
    server = start(t)
    pub = t.own(Command('pub', '--url', url_of(server.port), '--bytes', 'room', stdin=subprocess.PIPE))
    pub.write(b'\xff\x00{\n\nlast')
    pub.end_input()
    check_equal(pub.wait(), 0, f'exit status of pub: {pub.error_lines}')
    for encoding in ('json', 'binary'):
        process = subprocess.run([HOLDFAST, 'history', '--url', url_of(server.port), '--encoding', encoding, 'room'], capture_output=True, timeout=DEADLINE_S)
        check_equal(process.stdout, b'\xff\x00{\n\nlast\n', f'in {encoding}')


# sub and pub: how they know that their connection lives

@test
def a_tolerance_makes_the_heartbeat(t):
    backend = t.own(Backend())
    for command in (('sub', '--count', '1', 'mine'), ('pub', '--timeout', '0', 'mine')):
        for seconds in ('12', '40.5'):
            before = len(backend.intervals)
            running = t.own(Command(command[0], '--url', url_of(backend.port), '--heartbeat-tolerance', seconds, *command[1:], stdin=subprocess.PIPE))
            wait_until(lambda: len(backend.intervals) > before, f'{command[0]} asks for a heartbeat')
            check_equal(backend.intervals[before], float(seconds) * 1000, f'the interval that {command[0]} asks for with a tolerance of {seconds} s')
            running.end_input()
            running.process.terminate()
            running.wait()
    for wrong in ('0', '3600.001', 'x', '-1', ''):
        for command in ('sub', 'pub'):
            status, out, err = run_holdfast(command, '--heartbeat-tolerance', wrong, 'room')
            check_equal(status, 2, f'{command} with a tolerance of {wrong!r}')
            check_in(f'--heartbeat-tolerance wants seconds, 0.001 to 3600, not {wrong}', err, 'why')


@test
def a_heartbeat_memory_is_used_and_its_faults_are_told(t):
    server = start(t)
    folder = t.own(Folder())
    with open(f'{folder.path}/rubbish', 'w', encoding='ascii') as file:
        file.write('rubbish\n')
    for command in (('sub', '--timeout', '5', 'room'), ('pub', 'room', 'x')):
        for path in (f'{folder.path}/rubbish', folder.path):
            running = t.own(Command(command[0], '--url', url_of(server.port), '--heartbeat-memory', path, *command[1:]))
            wait_until(lambda: any(f'--heartbeat-memory: {path}: ' in line for line in running.error_lines), f'{command[0]} complains of {path}')
            running.process.terminate()
            running.wait()
            check(not any('the server reports' in line for line in running.error_lines), f'it is no word of the server: {running.error_lines}')
        status, out, err = run_holdfast(command[0], '--no-watch-network', '--heartbeat-memory', f'{folder.path}/new', *command[1:])
        check_equal(status, 2, f'{command[0]} with a memory of networks that it cannot tell apart')
        check_in('--heartbeat-memory tells networks apart by what the system says: not with --no-watch-network', err, 'why')


class Folder:
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = self.folder.name

    def close(self):
        self.folder.cleanup()


def netlink_sockets(pid):
    """How many of a process's descriptors are netlink sockets."""
    links = [os.readlink(f'/proc/{pid}/fd/{fd}') for fd in os.listdir(f'/proc/{pid}/fd')]
    with open(f'/proc/{pid}/net/netlink', encoding='ascii') as file:
        inodes = {line.split()[-1] for line in file.read().splitlines()[1:]}
    return sum(link.startswith('socket:[') and link[8:-1] in inodes for link in links)


@test
def the_network_is_watched_unless_told_otherwise(t):
    server = start(t)
    for command in ('sub', 'pub'):
        for more, want in (((), True), (('--no-watch-network',), False)):
            running = t.own(Command(command, '--url', url_of(server.port), '--verbose', *more, 'room', stdin=subprocess.PIPE))
            wait_until(lambda: any('began session' in line for line in running.error_lines), f'{command} is connected')
            check_equal(netlink_sockets(running.process.pid) > 0, want, f'{command} {more} has a netlink socket')
            running.end_input()
            running.process.terminate()
            running.wait()


# shared

@test
def a_token_is_shown_and_checked(t):
    listener = t.own(TokenListener())
    sub = t.own(Command('sub', '--url', url_of(listener.port), '--token', 'head.claims.sign', 'room'))
    wait_until(lambda: b'hf.token.head.claims.sign' in listener.request, f'the token in the request: {listener.request}')
    sub.process.terminate()
    sub.wait()
    status, out, err = run_holdfast('pub', '--token', 'two words', 'room', 'x')
    check_equal(status, 2, 'a token that is none')
    check_in('--token: no token', err, 'why')


class TokenListener:
    """Takes one connection and keeps what it says first."""

    def __init__(self):
        import socket
        self.request = b''
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        try:
            while b'hf.token' not in self.request:
                link, _ = self.listener.accept()
                with link:
                    self.request += link.recv(4096)
        except OSError:
            pass  # closed

    def close(self):
        self.listener.close()


def on_terminal(*arguments, input=b'', env=None):
    """Run with standard error, and output, on a terminal of our own; returns what was written there."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([HOLDFAST, *arguments], stdin=subprocess.PIPE, stdout=theirs, stderr=theirs,
                               env={**os.environ, 'TERM': 'xterm', **(env or {})})
    os.close(theirs)
    written = []

    def read():
        try:
            while data := os.read(ours, 4096):
                written.append(data)
        except OSError:
            pass  # the other end is closed
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    return process, ours, written, reader


@test
def colours_and_progress_are_for_terminals(t):
    server = start(t)
    server.publish('a', 'one')
    server.publish('b', 'two')
    for env, want in [({}, '\x1b[36ma:\x1b[0m one'), ({'NO_COLOR': '1'}, 'a: one'), ({'TERM': 'dumb'}, 'a: one')]:
        process, ours, written, reader = on_terminal('sub', '--url', url_of(server.port), '--last', '1', '--count', '2', 'a', 'b', env=env)
        process.stdin.close()
        check_equal(process.wait(DEADLINE_S), 0, 'exit status')
        reader.join(DEADLINE_S)
        os.close(ours)
        check_in(want, b''.join(written).decode(), f'on a terminal with {env}')
    status, out, err = run(server, 'sub', '--last', '1', '--count', '2', 'a', 'b')
    check('\x1b' not in out + err, f'no colour in a file: {out}')
    process, ours, written, reader = on_terminal('pub', '--url', url_of(server.port), 'room')
    process.stdin.write(b'1\n')
    process.stdin.flush()
    wait_until(lambda: b'1 published, 1 acknowledged' in b''.join(written), 'a progress line')
    process.stdin.close()
    check_equal(process.wait(DEADLINE_S), 0, 'exit status')
    reader.join(DEADLINE_S)
    os.close(ours)
    check_in(b'\r\x1b[Kholdfast', b''.join(written).replace(b'\x1b[33m', b''), 'the progress line is gone at the end')


def complete_in_bash(*words):
    script = f'''
        source {ROOT}/completions/holdfast.bash
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _holdfast; printf '%s\\n' "${{COMPREPLY[@]}}"'''
    done = subprocess.run(['bash', '-c', script, 'bash', HOLDFAST, *words], stdout=subprocess.PIPE, check=True, timeout=DEADLINE_S)
    return done.stdout.decode().split()


@test
def bash_completes_commands_options_and_keys(t):
    check_equal(complete_in_bash('hi'), ['history'], 'a command')
    check_equal(sorted(complete_in_bash('')), sorted(['serve', 'check', 'pub', 'sub', 'history', 'presence', 'call', 'ping', 'top', 'bench', 'token', '--help', '--version']), 'all commands')
    check_equal(complete_in_bash('history', '--rev'), ['--reverse'], 'an option')
    check_equal(sorted(complete_in_bash('sub', '--heartbeat-')), ['--heartbeat-memory', '--heartbeat-tolerance'], 'options with a word between')
    check_equal(complete_in_bash('pub', '--heartbeat-memory', f'{ROOT}/READ'), [f'{ROOT}/README.md'], 'a file')
    check_equal(complete_in_bash('bench', 'fan'), ['fanout'], 'a mode')
    check_equal(complete_in_bash('serve', '--set', 'api.k'), ['api.key=', 'api.keys='], 'keys')


@test
def zsh_can_read_its_completion(t):
    done = subprocess.run(['zsh', '-n', f'{ROOT}/completions/_holdfast'], stderr=subprocess.PIPE, timeout=DEADLINE_S)
    check_equal((done.returncode, done.stderr), (0, b''), 'zsh -n')


main()
