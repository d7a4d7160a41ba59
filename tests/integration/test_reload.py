#!/usr/bin/python3
"""The configuration, read anew on SIGHUP: what changes, what needs a restart, a bad file, and all of it while messages flow."""
import os
import signal
import tempfile
import threading

from backend_fixture import Backend, SECRET, tls_context
from holdfast_client import Client
from holdfast_fixture import expect
from holdfast_server import Server, run_holdfast
from holdfast_test import check, check_equal, main, test, wait_until
from raw_ws import RawWs, Refused
from tls_fixture import Certificates

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
    for line in ('history.messages: 5  # line 1', 'history.age: 1h  # environment', 'history.bytes: 1MiB  # default', 'memory.shards: 16  # default; a change needs a restart', 'hooks.timeout: 5s  # default',
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


# Hooks

def hooks(*lines, secret=SECRET, **urls):
    """The section hooks of a file, for the URLs of these hooks, with more lines."""
    return '\n'.join(['hooks:', f'  secret: {secret}', *[f'  {hook}: {{url: "{url}"}}' for hook, url in urls.items()], *[f'  {line}' for line in lines]]) + '\n'


def call(ws, id, method='echo'):
    ws.send_json({'type': 'call', 'id': id, 'method': method, 'payload': id})


def answer_of(ws, id, method='echo'):
    call(ws, id, method)
    return expect(ws, 'reply', id=id)


def named(backend, name):
    """Its answers say who has given them."""
    backend.answers['call'] = lambda request: {'payload': name}
    return backend


def held(t, backend, name):
    """The same, for calls of the method `slow` when the event is set."""
    event = threading.Event()
    t.cleanup(event.set)

    def answer(request):
        if request['method'] == 'slow':
            event.wait(60)
        return {'payload': name}
    backend.answers['call'] = answer
    return event


def wait_for_answer(ws, want, what):
    """Its worker follows a moment later than the supervisor says."""
    ids = iter(range(1, 1 << 30))
    wait_until(lambda: answer_of(ws, f'{what} {next(ids)}').get('payload') == want, what)


@test
def a_hook_comes_and_goes(t):
    one = named(t.own(Backend(host='localhost')), 'one')  # whose name is looked up by a thread that a confined worker begins
    on = Configured(t, '', workers=2)
    clients = [connect(t, on.server) for _ in range(6)]
    for ws in clients:
        call(ws, 'early')
        expect(ws, 'error', code='not_found')
    on.reload(hooks(call=one.url('call')))
    check('event=config_changed key=hooks.call.url from=' in on.server.log(), 'it is told')
    check(SECRET not in on.server.log(), 'but the secret')

    def is_offered(ws):
        call(ws, 'x')
        return ws.recv_json()['type'] == 'reply'
    for ws in clients:
        wait_until(lambda ws=ws: is_offered(ws), 'calls are offered')
    on.reload('')
    for ws in clients:
        wait_until(lambda ws=ws: not is_offered(ws), 'and no longer')
    check('seccomp_violation' not in on.server.log(), 'the log')


@test
def what_is_under_way_ends_under_the_old_settings(t):
    one, two = t.own(Backend()), named(t.own(Backend(secret='another-secret-of-the-tests')), 'two')
    gate = held(t, one, 'one')
    on = Configured(t, hooks('concurrency: 1', 'call.timeout: 60s', call=one.url('call')), workers=1)
    ws = connect(t, on.server)
    call(ws, 'under way', 'slow')
    one.wait('call')
    call(ws, 'waits')
    # The one that waits goes to the URL that it was asked for with, signed with the secret of its turn: both backends' would do for that.
    one.secret = two.secret
    on.reload(hooks('concurrency: 2', 'call.timeout: 30s', secret=two.secret, call=two.url('call')))
    expect(ws, 'reply', id='waits', payload='one')
    wait_for_answer(ws, 'two', 'the new backend is asked')
    check_equal(len(one.of('call')), 2, 'what the old one was asked')
    gate.set()
    expect(ws, 'reply', id='under way', payload='one')
    check_equal(on.server.metric('holdfast_hook_failures_total'), 0, 'failures')


@test
def a_pause_stays_with_its_url(t):
    one, two = t.own(Backend(up=False)), named(t.own(Backend()), 'two')
    text = ('failures: 1', 'pause: 10m')
    on = Configured(t, 'log: {level: debug}\n' + hooks(*text, call=one.url('call')), workers=1)
    ws = connect(t, on.server)
    check_equal(answer_of(ws, '1')['code'], 'unavailable', 'it is down')
    named(one, 'one').start()
    on.reload('log: {level: debug}\n' + hooks(*text, 'call.timeout: 9s', call=one.url('call')))
    wait_until(lambda: on.server.log().count('event=config_followed') == 1, 'the worker follows')
    check_equal(answer_of(ws, '2')['code'], 'unavailable', 'the pause goes on, though it is back')
    check_equal(one.of('call'), [], 'it is not asked')
    on.reload(hooks(*text, call=two.url('call')))
    wait_for_answer(ws, 'two', 'another one is asked at once')
    check('event=hook_resumed hook=call' in on.server.log(), 'it is logged')


@test
def a_private_ca_is_read_anew(t):
    certs = Certificates(t)
    old, new = certs.make('old'), certs.make('new')
    backend = named(t.own(Backend(tls=tls_context(certs.make('backend', ca=new)))), 'it')
    shown = os.path.join(certs.folder, 'shown.pem')

    def show(text):
        with open(shown, 'w', encoding='ascii') as f:
            f.write(text)

    def text_of(certificate):
        with open(certificate.pem, encoding='ascii') as f:
            return f.read()
    show(text_of(old))
    text = hooks(f'tls.ca: {shown}', call=backend.url('call'))
    on = Configured(t, text, workers=2)
    clients = [connect(t, on.server) for _ in range(4)]
    for ws in clients:
        check_equal(answer_of(ws, '1')['code'], 'unavailable', 'nobody known has signed it')
    show(text_of(old) + text_of(new))  # what a change of CAs looks like, under the old name
    on.reload(text)
    for ws in clients:
        wait_for_answer(ws, 'it', 'the new CA is believed')
    show('nonsense')
    on.hup()
    wait_until(lambda: on.server.metrics()['holdfast_tls_reloads_total{result="failed"}'] == 1, 'a bad file is counted')
    wait_until(lambda: f'event=certificates_kept why="hooks.tls.ca: {shown}: has no certificate' in on.server.log(), 'it is told why')
    for ws in clients:
        check_equal(answer_of(ws, '2').get('payload'), 'it', 'the old one stays in force')
    on.server.kill_worker(on.server.worker_pids()[0])  # a new worker has what the supervisor has read
    on.server.wait_ready()
    check_equal(answer_of(connect(t, on.server), '1').get('payload'), 'it', 'in a new worker too')


@test(deadline=240)
def hooks_change_under_load(t):
    """Callers and publishers that ask the backend, and its URL, secret, bounds and times change all the while: each is answered, once, and nothing is lost."""
    backends = [named(t.own(Backend()), 'one'), named(t.own(Backend()), 'two')]
    count = 120
    rules = 'namespaces:\n  "*": {allow: {subscribe: all, publish: backend, history: all, presence: all}}\n'

    def text(n):
        backend = backends[n % 2]
        return rules + hooks(f'concurrency: {1 + n % 3 * 20}', f'queue: {2000 + n}', f'timeout: {40 + n % 5}s', f'call.timeout: {40 + n % 7}s',
                             call=backend.url('call'), publish=backend.url('publish'))
    on = Configured(t, text(0), workers=2)
    subscriber = t.own(Client(on.server.port)).connect()
    names = ['a', 'b']
    for name in names:
        subscriber.subscribe(name, wait=True)
    publishers = [t.own(Client(on.server.port)).connect() for _ in names]
    callers = [connect(t, on.server) for _ in range(4)]
    stop, faults, reloads = threading.Event(), [], [0]

    def keep_reloading():
        try:
            while not stop.is_set():
                reloads[0] += 1
                on.reload(text(reloads[0]))
        except Exception as error:  # told by the test's own thread
            faults.append(error)

    reloader = threading.Thread(target=keep_reloading)
    reloader.start()
    try:
        for n in range(count):
            for client, name in zip(publishers, names):
                client.publish(name, n)
            for ws in callers:
                check(answer_of(ws, str(n)).get('payload') in ('one', 'two'), 'each call is answered')
        for client in publishers:
            client.wait_acked()
        wait_until(lambda: faults or reloads[0] >= 6, 'there were some reloads')
    finally:
        stop.set()
        reloader.join()
    check_equal(faults, [], 'the reloads')
    for name in names:
        subscriber.pump_count(name, count)
        check_equal(subscriber.channels[name].payloads(), list(range(count)), f'the messages of {name}')
    asked = sum(len(backend.of('call')) for backend in backends)
    check_equal(asked, count * len(callers), 'calls, each asked once')
    check(all(backend.of('call') and backend.of('publish') for backend in backends), 'both backends were asked')
    check_equal(on.server.metric('holdfast_hook_failures_total'), 0, 'failures')


# Limits, compression, idempotency

def refusal(t, server):
    """The status with which a newcomer is refused, or None."""
    try:
        connect(t, server)
        return None
    except Refused as refused:
        return refused.response.status


@test
def the_bound_of_an_address_changes(t):
    on = Configured(t, '', workers=2)
    before = connect(t, on.server)
    on.reload('limits: {connections_per_address: 2}\n')
    # "those that came while there was none are not counted"; and its worker may follow a moment later than the supervisor says.
    wait_until(lambda: refusal(t, on.server) == 429, 'the third one is refused')
    on.reload('limits: {connections_per_address: 100}\n')
    wait_until(lambda: refusal(t, on.server) is None, 'there is room again')
    on.reload('')
    wait_until(lambda: refusal(t, on.server) is None, 'no bound')
    before.send_json({'type': 'ping', 'id': 'p'})
    expect(before, 'pong', id='p')


@test
def the_bound_of_a_workers_memory_changes(t):
    on = Configured(t, '', workers=1)
    before = connect(t, on.server)
    on.reload('limits: {worker_memory: 1}\n')  # less than any process has
    wait_until(lambda: refusal(t, on.server) == 503, 'new ones are refused')
    on.reload('limits: {worker_memory: 3GiB}\n')
    wait_until(lambda: refusal(t, on.server) is None, 'new ones come in')
    before.send_json({'type': 'ping', 'id': 'p'})
    expect(before, 'pong', id='p')


@test
def compression_comes_changes_and_goes(t):
    debug = 'log: {level: debug}\n'
    on = Configured(t, debug, workers=2)
    told = 'the same again and again ' * 40

    def offering():
        ws = t.own(RawWs.open(on.server.port, protocols=['holdfast.v1.json'], offer='permessage-deflate'))
        expect(ws, 'welcome')
        subscribe(ws, 'c')
        return ws

    def hears(ws, compressed):
        expect(ws, 'data', channel='c', payload=told)
        check_equal(ws.last_compressed[0], compressed, 'whether it came compressed')
    def agrees():
        with_offer = offering()
        with_offer.close()
        return with_offer.terms is not None
    first = offering()
    check_equal(first.terms, None, 'it is not agreed on')
    on.reload(debug + 'compression: {enabled: true}\n')
    wait_until(agrees, 'newcomers may have it')
    wait_until(lambda: on.server.log().count('event=config_followed') == 2, 'both workers follow')
    second = offering()
    on.server.publish('c', told)
    hears(first, False)
    hears(second, True)
    on.reload(debug + 'compression: {enabled: true, level: 9, memory: 1, cache: 64KiB, min: 64B}\n')
    on.server.publish('c', told)
    hears(first, False)
    hears(second, True)
    on.reload(debug)
    wait_until(lambda: not agrees(), 'newcomers have none')

    def plain_again():
        on.server.publish('c', told)
        expect(second, 'data', channel='c', payload=told)
        return not second.last_compressed[0]
    wait_until(plain_again, 'those that have agreed on it hear plain messages')
    second.send_compressed(1, '{"type":"ping","id":"p"}')
    expect(second, 'pong', id='p')  # and may go on sending compressed ones


@test
def how_long_and_how_many_keys_are_known_changes(t):
    on = Configured(t, 'memory: {shards: 1}\n', workers=1)
    first = on.server.publish('r', 1, key='k1')
    check_equal(on.server.publish('r', 1, key='k1'), first, 'the repeat')
    on.reload('memory: {shards: 1}\nidempotency: {keys: 0}\n')

    def newest_only():
        newest = on.server.publish('r', 1, key='k2')
        return on.server.publish('r', 1, key='k1')['offset'] > first['offset'] and newest['offset'] > 0
    wait_until(newest_only, 'of two keys the older one is forgotten')
    on.reload('memory: {shards: 1}\nidempotency: {age: 1s}\n')
    last = on.server.publish('r', 1, key='k3')
    wait_until(lambda: on.server.publish('r', 1, key='k3')['offset'] > last['offset'], 'a key grows old', step_s=0.3)


main()
