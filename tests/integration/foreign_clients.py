"""
foreign_clients.py - clients that we did not write: Debian's python3-websockets, npm's `ws`, curl and headless Chromium.

Each takes a Target: scheme, port and, for wss, the file with the certificate to trust. tools/deps.sh installs them all.
"""
import asyncio
import base64
import hashlib
import http.server
import json
import os
import shutil
import ssl
import subprocess
import tempfile
import threading

from holdfast_server import ROOT, kill_group, start_process
from holdfast_test import CheckFailed, DEADLINE_S, check, check_equal, shorten, wait_until

FOREIGN = os.path.join(ROOT, 'tests', 'foreign')
CHROMIUM_DEADLINE_S = 6 * DEADLINE_S  # it takes seconds to start


class Target:
    """Where to connect to. ca: a PEM file with the certificate that a client shall trust, for wss."""

    def __init__(self, port, scheme='ws', host='127.0.0.1', ca=None):
        self.port, self.scheme, self.host, self.ca = port, scheme, host, ca

    def url(self, path='/echo'):
        return f'{self.scheme}://{self.host}:{self.port}{path}'

    def http_url(self, path='/echo'):
        return self.url(path).replace('ws', 'http', 1)

    def ssl_context(self):
        return ssl.create_default_context(cafile=self.ca) if self.scheme == 'wss' else None

    def __repr__(self):
        return self.url('')


def with_websockets(target, work, path='/echo', **options):
    """Connect with python3-websockets and run work(ws), a coroutine."""
    import websockets

    async def run():
        if target.scheme == 'wss':
            options['ssl'] = target.ssl_context()
        async with websockets.connect(target.url(path), max_size=None, open_timeout=DEADLINE_S, **options) as ws:
            return await asyncio.wait_for(work(ws), 6 * DEADLINE_S)
    return asyncio.run(run())


def run_to_end(arguments, given, deadline_s=DEADLINE_S):
    """A command with this on its standard input: its status, output and complaints."""
    process = start_process(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, err = process.communicate(given.encode(), timeout=deadline_s)
    except subprocess.TimeoutExpired:
        kill_group(process)
        raise CheckFailed(f'{arguments[0]} does not end within {deadline_s:g} s') from None
    return process.returncode, out, err.decode('utf-8', 'replace')


def node_ws(target, what, messages, path=None, deflate=True, channel=None):
    """tests/foreign/ws_client.js: what it saw. deflate: False, True, or options of perMessageDeflate."""
    check(os.path.isdir(os.path.join(FOREIGN, 'node_modules', 'ws')), "npm's ws is installed: run `make deps`")
    task = {'url': target.url(path or ('/echo' if what == 'echo' else '/ws')), 'ca': target.ca, 'deflate': deflate, 'what': what,
            'messages': messages, 'channel': channel}
    status, out, err = run_to_end(['node', os.path.join(FOREIGN, 'ws_client.js')], json.dumps(task), 3 * DEADLINE_S)
    check_equal(status, 0, f'status of node: {shorten(err)}')
    return json.loads(out)


def curl_upgrade(target, path='/echo', headers=()):
    """An upgrade request by curl: (status, headers in lower case). Accepted, curl would wait for an end that does not come: it is ended."""
    arguments = ['curl', '-s', '-v', '--http1.1', '--max-time', str(DEADLINE_S), '-H', 'Connection: Upgrade', '-H', 'Upgrade: websocket',
                 '-H', 'Sec-WebSocket-Version: 13', '-H', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==']
    for header in headers:
        arguments += ['-H', header]
    if target.ca:
        arguments += ['--cacert', target.ca]
    process = start_process([*arguments, target.http_url(path)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    head, told = [], []
    for line in process.stderr:  # "< " is what came; standard output would be kept back until there is more of it
        told.append(line.decode('latin-1').rstrip('\r\n'))
        if told[-1].startswith('<'):
            head.append(told[-1][2:])
        if told[-1] == '< ':
            break
    kill_group(process)
    check(head and head[0].startswith('HTTP/1.1 '), f'an HTTP answer to curl: {told}')
    fields = dict(line.lower().split(': ', 1) for line in head[1:] if ': ' in line)
    return int(head[0].split(' ')[1]), fields


def key_hash(ca):
    """The hash of a certificate's public key, as Chromium's --ignore-certificate-errors-spki-list takes it."""
    pem = subprocess.run(['openssl', 'x509', '-in', ca, '-noout', '-pubkey'], check=True, stdout=subprocess.PIPE).stdout
    der = subprocess.run(['openssl', 'pkey', '-pubin', '-outform', 'der'], input=pem, check=True, stdout=subprocess.PIPE).stdout
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


class Page:
    """Serves tests/foreign/page.html with a task in it, and takes what the page has seen."""

    def __init__(self, task):
        self.seen = None
        with open(os.path.join(FOREIGN, 'page.html'), encoding='utf-8') as f:
            text = f.read().replace('TASK;', json.dumps(task).replace('<', '\\u003c') + ';').encode()
        page = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer(200 if self.path == '/' else 404, text if self.path == '/' else b'')

            def do_POST(self):
                page.seen = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
                self.answer(200, b'')

            def answer(self, status, body):
                self.send_response(status)
                self.send_header('Content-Type', 'text/html; charset=utf-8')
                self.send_header('Content-Length', str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass
        self.http = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self.http.server_address[1]}/'
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()


def chromium_visit(t, target, messages, channel):
    """Headless Chromium opens a page that talks to the target on /echo and /ws; returns what the page has seen."""
    binary = shutil.which('chromium')
    check(binary is not None, 'chromium is installed: run `make deps`')
    page = t.own(Page({'echo': target.url('/echo'), 'session': target.url('/ws'), 'messages': messages, 'channel': channel}))
    profile = tempfile.TemporaryDirectory(prefix='holdfast-chromium-', ignore_cleanup_errors=True)
    t.cleanup(profile.cleanup)
    arguments = [binary, '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-dev-shm-usage',
                 '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-extensions', '--no-proxy-server',
                 f'--user-data-dir={profile.name}', '--remote-debugging-port=0']
    if target.ca:
        arguments.append(f'--ignore-certificate-errors-spki-list={key_hash(target.ca)}')
    log = tempfile.NamedTemporaryFile(prefix='holdfast-chromium-', suffix='.log')
    process = start_process([*arguments, page.url], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    t.cleanup(lambda: kill_group(process))

    def seen():
        if process.poll() is not None:
            with open(log.name, encoding='utf-8', errors='replace') as f:
                raise CheckFailed(f'chromium ended with status {process.returncode}: {shorten(f.read())}')
        return page.seen
    return wait_until(seen, 'the page tells what it has seen', CHROMIUM_DEADLINE_S)
