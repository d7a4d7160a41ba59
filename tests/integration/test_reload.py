#!/usr/bin/python3
"""The configuration, read anew on SIGHUP: what changes, what needs a restart, a bad file, and all of it while messages flow."""
import os
import signal
import tempfile
import threading

from holdfast_client import Client
from holdfast_fixture import expect
from holdfast_server import Server, run_holdfast
from holdfast_test import check, check_equal, main, test, wait_until
from raw_ws import RawWs

OPEN = 'namespaces:\n  "a:*": {allow: all}\n  "b:*": {allow: all}\n'
A_ONLY = 'namespaces:\n  "a:*": {allow: all}\n'


class Configured:
    """A server with a file that can be written anew."""

    def __init__(self, t, text, **options):
        self.folder = tempfile.TemporaryDirectory(prefix='holdfast-test-')
        t.cleanup(self.folder.cleanup)
        self.path = os.path.join(self.folder.name, 'holdfast.yaml')
        self.reloads = 0
        self.write(text)
        self.server = t.own(Server(arguments=('--config', self.path), **options)).start()

    def write(self, text):
        """Whole at once, as an editor does."""
        with open(self.path + '.new', 'w', encoding='utf-8') as f:
            f.write(text)
        os.rename(self.path + '.new', self.path)

    def hup(self):
        self.server.terminate(signal.SIGHUP)

    def count(self, result='ok'):
        return int(self.server.metrics()[f'holdfast_config_reloads_total{{result="{result}"}}'])

    def reload(self, text):
        """Returns when the supervisor has taken it."""
        before, told = self.count(), self.told()
        self.write(text)
        self.hup()
        wait_until(lambda: self.count() == before + 1 and self.told() == told + 1, 'the configuration is reloaded')

    def told(self):
        """The last line of a reload comes a moment after it is counted."""
        log = self.server.log()
        return log.count('event=config_reloaded') + log.count('event=nothing_to_reload')


def connect(t, server):
    ws = t.own(RawWs.open(server.port, protocols=['holdfast.v1.json']))
    check_equal(ws.recv_json()['type'], 'welcome', 'the first message')
    return ws


def subscribe(ws, channel):
    ws.send_json({'type': 'subscribe', 'channel': channel})
    return expect(ws, 'subscribed', channel=channel)


@test
def rules_change_and_end_what_they_do_not_allow(t):
    on = Configured(t, OPEN, workers=3)
    clients = [connect(t, on.server) for _ in range(8)]
    for ws in clients:
        subscribe(ws, 'a:1')
        subscribe(ws, 'b:1')
    on.reload(A_ONLY)
    for ws in clients:  # in whichever worker
        expect(ws, 'unsubscribed', channel='b:1', code='forbidden')
    on.server.publish('b:1', 'to nobody')
    on.server.publish('a:1', 'to all')
    for ws in clients:
        expect(ws, 'data', channel='a:1', payload='to all')
        ws.send_json({'type': 'subscribe', 'channel': 'b:1'})
        expect(ws, 'error', code='forbidden', channel='b:1')
    log = on.server.log()
    check('event=config_changed key=namespaces.b:* from="{allow: {subscribe: all, ' in log and '}" to=none' in log, 'the change is in the log')
    on.reload(OPEN)
    for ws in clients:
        # Its worker may follow a moment later than the supervisor says.
        def open_again():
            ws.send_json({'type': 'subscribe', 'channel': 'b:1'})
            return ws.recv_json()['type'] == 'subscribed'
        wait_until(open_again, 'b:1 is open again')


@test
def a_bad_file_leaves_the_old_one_in_force(t):
    on = Configured(t, A_ONLY, workers=2)
    for text, why in (('namespaces:\n  "a:*": {allow: sombody}\n', f'{on.path}:2: namespaces.a:*.allow: '),
                      ('heartbeat: {interval: 1h}\n', f'{on.path}:1: heartbeat.interval: 1h is not between'),
                      ('memory: {segment: 64KiB}\nlimits: {message: 16KiB}\n', f'{on.path}:1: memory.segment: 64KiB is too small'),
                      ('a: [\n', f'{on.path}:2: not valid YAML')):
        failed = on.count('failed')
        on.write(text)
        on.hup()
        wait_until(lambda: on.count('failed') == failed + 1, f'{text!r} is refused')
        wait_until(lambda why=why: f'event=config_kept why="{why}' in on.server.log(), f'it is told why: {why}')
    os.unlink(on.path)
    failed = on.count('failed')
    on.hup()
    wait_until(lambda: on.count('failed') == failed + 1, 'a file that is gone')
    check_equal(on.count(), 0, 'none was taken')
    ws = connect(t, on.server)
    subscribe(ws, 'a:1')
    ws.send_json({'type': 'subscribe', 'channel': 'b:1'})
    expect(ws, 'error', code='forbidden')


@test
def what_needs_a_restart_is_told(t):
    on = Configured(t, 'memory: {shards: 4}\nlog: {level: info}\n', workers=2)
    on.reload('memory: {shards: 8}\nlog: {level: debug}\nheartbeat: {interval: 20s}\nhistory: {messages: 2}\n')
    log = on.server.log()
    for line in ('event=config_needs_restart key=memory.shards from=4 to=8', 'event=config_changed key=log.level from=info to=debug',
                 'event=config_changed key=heartbeat.interval from=25s to=20s', 'changed=3 need_restart=1'):
        check(line in log, f'in the log: {line}')
    wait_until(lambda: on.server.log().count('event=config_followed version=') == 2, 'both workers follow')
    for n in range(5):
        on.server.publish('room', n)
    check_equal(len(on.server.post('/api/history', {'channel': 'room'})['messages']), 2, 'history.messages')
    ws = t.own(RawWs.open(on.server.port, protocols=['holdfast.v1.json']))
    check_equal(ws.recv_json()['heartbeat']['interval'], 20000, 'heartbeat.interval')


@test
def the_command_line_stays_above_the_file(t):
    on = Configured(t, '', workers=1, history_messages=3)
    on.reload('history: {messages: 100}\nheartbeat: {interval: 20s}\n')
    for n in range(5):
        on.server.publish('room', n)
    wait_until(lambda: 'heartbeat.interval from=25s' in on.server.log(), 'the rest of the file counts')
    check_equal(len(on.server.post('/api/history', {'channel': 'room'})['messages']), 3, '--set')


@test
def the_environment_stands_between_file_and_command_line(t):
    names = {'HOLDFAST_HISTORY_MESSAGES': '3', 'HOLDFAST_HEARTBEAT_INTERVAL': '30s', 'HOLDFAST_HISTORY_MESSAGE': '9'}
    os.environ.update(names)
    for name in names:
        t.cleanup(lambda name=name: os.environ.pop(name))
    on = Configured(t, 'history: {messages: 100}\n', workers=1, heartbeat_interval='20s')
    ws = t.own(RawWs.open(on.server.port, protocols=['holdfast.v1.json']))
    check_equal(ws.recv_json()['heartbeat']['interval'], 20000, 'the command line over the environment')
    on.reload('history: {messages: 50}\n')
    for n in range(5):
        on.server.publish('room', n)
    check_equal(len(on.server.post('/api/history', {'channel': 'room'})['messages']), 3, 'the environment over the file')
    check('event=environment_unknown variable=HOLDFAST_HISTORY_MESSAGE did_you_mean=HOLDFAST_HISTORY_MESSAGES' in on.server.log(), 'told')


@test
def check_tells_what_would_be_in_force(t):
    folder = tempfile.TemporaryDirectory(prefix='holdfast-test-')
    t.cleanup(folder.cleanup)
    path = os.path.join(folder.name, 'a.yaml')

    def look(text):
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)
        return run_holdfast('check', path)
    os.environ['HOLDFAST_HISTORY_AGE'] = '1h'
    os.environ['HOLDFAST_HISTORY_AGES'] = '1h'
    for name in ('HOLDFAST_HISTORY_AGE', 'HOLDFAST_HISTORY_AGES'):
        t.cleanup(lambda name=name: os.environ.pop(name))
    status, out, err = look('history: {messages: 5}\nnamespaces:\n  "a:*": {allow: {subscribe: user}}\n')
    check_equal(status, 0, 'exit status')
    for line in ('history.messages: 5  # line 1', 'history.age: 1h  # environment', 'history.bytes: 1MiB  # default',
                 '  "a:*": {allow: {subscribe: user, publish: none, history: none, presence: none}, presence: true, mode: all}'):
        check(line in out.splitlines(), f'it prints {line}: {out}')
    check(f'warning: {path}:3: namespaces.a:* has rules for users, and without auth.keys nobody has a name' in err, err)
    check('warning: the variable HOLDFAST_HISTORY_AGES names no key; did you mean HOLDFAST_HISTORY_AGE?' in err, err)
    status, out, err = look('history: {message: 5}\n')
    check_equal((status, out), (2, ''), 'a bad file')
    check_equal(err, f'holdfast check: {path}:1: history.message: unknown key; did you mean history.messages?\n', 'what it says')
    status, _, err = look('heartbeat: {interval: 1h}\n')
    check(status == 2 and f'{path}:1: heartbeat.interval: 1h is not between' in err, f'what does not go together: {status} {err}')
    check_equal(run_holdfast('check')[0], 2, 'without a file')
    check_equal(run_holdfast('check', path, path)[0], 2, 'with two')
    check_equal(run_holdfast('check', '--no')[0], 2, 'an unknown option')


@test
def a_worker_that_starts_later_has_the_newest(t):
    on = Configured(t, OPEN, workers=2)
    on.reload(A_ONLY)
    old = on.server.wait_workers()
    for pid in old:
        on.server.kill_worker(pid)
    on.server.wait_workers(without=old)
    on.server.wait_ready()
    for _ in range(6):
        ws = connect(t, on.server)
        ws.send_json({'type': 'subscribe', 'channel': 'b:1'})
        expect(ws, 'error', code='forbidden')
    on.reload(OPEN)  # and follows the next one
    for _ in range(6):
        ws = connect(t, on.server)

        def is_open():
            ws.send_json({'type': 'subscribe', 'channel': 'b:1'})
            return ws.recv_json()['type'] == 'subscribed'
        wait_until(is_open, 'b:1 is open')


@test(deadline=120)
def a_reload_under_load_loses_nothing(t):
    """Two publishers, subscribers in each worker, and a reload whenever the last one is done: all arrives, once and in order."""
    count, channels = 1500, ('a:1', 'a:2')
    on = Configured(t, OPEN, workers=3)
    subscribers = [t.own(Client(on.server.port)).connect() for _ in range(6)]
    for client in subscribers:
        for name in channels:
            client.subscribe(name, wait=True)
    publishers = [t.own(Client(on.server.port)).connect() for _ in channels]
    stop = threading.Event()
    faults, reloads = [], [0]

    def keep_reloading():
        try:
            while not stop.is_set():
                on.reload(A_ONLY if reloads[0] % 2 == 0 else OPEN)
                reloads[0] += 1
        except Exception as error:  # told by the test's own thread
            faults.append(error)

    reloader = threading.Thread(target=keep_reloading)
    reloader.start()
    try:
        for n in range(count):
            for client, name in zip(publishers, channels):
                client.publish(name, n)
        for client in publishers:
            client.wait_acked()
        wait_until(lambda: faults or reloads[0] >= 6, 'there were some reloads')
    finally:
        stop.set()
        reloader.join()
    check_equal(faults, [], 'the reloads')
    for client in subscribers:
        for name in channels:
            client.pump_count(name, count)
            check_equal(client.channels[name].payloads(), list(range(count)), f'the messages of {name}')
    check_equal(on.server.metric('holdfast_publishes_total'), 2 * count, 'applied, each once')
    check_equal(on.count('failed'), 0, 'reloads that failed')


main()
