"""
backend_fixture.py - an application's backend for the tests of the hooks: it checks each request's signature, notes it, and answers what the test says.

    backend = t.own(Backend())
    backend.answers['call'] = lambda request: {'payload': request['payload']}
    server = t.own(Server(**backend.keys('call'))).start()

An answer is a dict (200, JSON), a Status, or Bytes that go out as they are. Whoever answers runs in a thread of the request's connection, and may wait there.
"""
import hashlib
import hmac
import http.server
import json
import socket
import threading
import time

from holdfast_server import free_port
from holdfast_test import check_equal, wait_until

SECRET = 'a secret of the tests, long enough'.replace(' ', '-')
HOOKS = ('connect', 'subscribe', 'publish', 'call', 'disconnect')


class Status:
    """Another status than 200, with this body."""

    def __init__(self, status, body=b'{}'):
        self.status, self.body = status, body


class Bytes:
    """Bytes in place of an answer; then the connection ends."""

    def __init__(self, data):
        self.data = data


def signature_fault(headers, body, now_s=None):
    """What docs/hooks.md asks a backend to check; None: it is in order."""
    timestamp = headers.get('Holdfast-Timestamp', '')
    want = hmac.new(SECRET.encode(), timestamp.encode() + b'.' + body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(want, headers.get('Holdfast-Signature', '')):
        return f'the signature is wrong: {dict(headers)}'
    if abs((now_s or time.time()) - int(timestamp)) > 300:
        return f'the timestamp is old: {timestamp}'
    return None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        backend = self.server.backend
        fault = signature_fault(self.headers, body)
        request = json.loads(body)
        with backend.lock:
            if fault:
                backend.faults.append(fault)
            backend.requests.append(request)
            backend.peers.append(self.client_address)
        self.reply(backend.answers[request['hook']](request))

    def reply(self, answer):
        if isinstance(answer, Bytes):
            self.wfile.write(answer.data)
            self.close_connection = True
            return
        status, body = (answer.status, answer.body) if isinstance(answer, Status) else (200, json.dumps(answer).encode())
        self.send_response(status)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass

    def handle(self):
        try:
            super().handle()
        except OSError:  # the server went away: its tests do that
            pass


class Listener(http.server.ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True
    block_on_close = False

    def __init__(self, backend):
        self.backend = backend
        self.open = set()
        super().__init__(('127.0.0.1', backend.port), Handler)

    def process_request(self, request, client_address):
        with self.backend.lock:
            self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        with self.backend.lock:
            self.open.discard(request)
        super().shutdown_request(request)


class Backend:
    def __init__(self, up=True):
        self.port = free_port()
        self.lock = threading.Lock()
        self.requests, self.peers, self.faults = [], [], []
        self.answers = {hook: lambda request: {'allow': True} for hook in HOOKS}
        self.answers['call'] = lambda request: {'payload': request['payload']}
        self.listener = None
        if up:
            self.start()

    def start(self):
        self.listener = Listener(self)
        threading.Thread(target=self.listener.serve_forever, kwargs={'poll_interval': 0.05}, daemon=True).start()
        return self

    def stop(self):
        """Down: nobody listens any more, and what was connected is cut."""
        if self.listener is None:
            return
        listener, self.listener = self.listener, None
        listener.shutdown()
        listener.server_close()
        with self.lock:
            connections = list(listener.open)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.stop()
        check_equal(self.faults, [], 'faulty signatures')

    def keys(self, *hooks, **more):
        """For Server(): these hooks are asked here. more: keys of the section hooks, with _ in place of dots."""
        options = {f'hooks_{hook}_url': f'http://127.0.0.1:{self.port}/{hook}' for hook in hooks}
        return {'hooks_secret': SECRET, **options, **{f'hooks_{name}': value for name, value in more.items()}}

    def of(self, hook):
        with self.lock:
            return [request for request in self.requests if request['hook'] == hook]

    def wait(self, hook, count=1):
        """Until so many requests of that hook have come; returns them."""
        wait_until(lambda: len(self.of(hook)) >= count, f'{count} requests of {hook} have come')
        return self.of(hook)


def closed_port():
    """A port on which nobody listens."""
    return free_port()
