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
import ssl
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


def signature_fault(headers, body, now_s=None, secret=SECRET):
    """What docs/hooks.md asks a backend to check; None: it is in order."""
    timestamp = headers.get('Holdfast-Timestamp', '')
    want = hmac.new(secret.encode(), timestamp.encode() + b'.' + body, hashlib.sha256).hexdigest()
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
        fault = signature_fault(self.headers, body, secret=backend.secret)
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

    def get_request(self):
        request, address = super().get_request()
        if self.backend.tls:  # The handshake waits for the request's thread.
            request = self.backend.tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
        return request, address

    def process_request(self, request, client_address):
        with self.backend.lock:
            self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        with self.backend.lock:
            self.open.discard(request)
        super().shutdown_request(request)


def tls_context(certificate, clients_by=None):
    """Of a backend with this certificate (tls_fixture.py); clients_by: it asks for one that this CA has signed."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate.pem, certificate.key)
    if clients_by:
        made.load_verify_locations(clients_by.pem)
        made.verify_mode = ssl.CERT_REQUIRED
    return made


class Backend:
    """tls: a context with which it speaks TLS; host: how its URLs name it; secret: with which requests must be signed."""

    def __init__(self, up=True, tls=None, host='127.0.0.1', secret=SECRET):
        self.port, self.tls, self.host, self.secret = free_port(), tls, host, secret
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
        options = {f'hooks_{hook}_url': self.url(hook) for hook in hooks}
        return {'hooks_secret': self.secret, **options, **{f'hooks_{name}': value for name, value in more.items()}}

    def url(self, hook):
        return f'http{"s" if self.tls else ""}://{self.host}:{self.port}/{hook}'

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
