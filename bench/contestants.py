"""
contestants.py - the servers that `bench/run` measures: how each is started, how the load generator drives it, and why it is left out where
it is not there. All listen on loopback, run on the server's core, and end with this program, whatever happens.
"""
import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
HOLDFAST = os.environ.get('HOLDFAST', os.path.join(ROOT, 'build', 'holdfast'))
RAW_LOOP = os.path.join(os.path.dirname(HOLDFAST), 'bench', 'raw_loop')
NCHAN = '/usr/lib/nginx/modules/ngx_nchan_module.so'
START_S = 20
PR_SET_PDEATHSIG = 1  # linux/prctl.h
LIBC = ctypes.CDLL(None)


def free_port():
    """Below the ephemeral range, so that no outgoing connection takes it meanwhile."""
    while True:
        port = random.SystemRandom().randrange(12000, 32000)
        with socket.socket() as s:
            try:
                s.bind(('127.0.0.1', port))
                return port
            except OSError:
                continue


def pinned(cpu):
    return [] if cpu is None else ['taskset', '-c', str(cpu)]


class Contestant:
    """One server. name is what the tables call it; start() returns when it listens."""
    name = ''
    protocol = 'text'
    kinds = ()  # of echo, fanout, idle, churn and so on: what it can do

    def __init__(self):
        self.process = None
        self.folder = None
        self.port = self.api_port = self.tls_port = None

    def missing(self):
        """Why it cannot run here, or None."""
        return None

    def version(self):
        return ''

    def command(self, kind):
        raise NotImplementedError

    def url(self, kind):
        return f'ws://127.0.0.1:{self.port}/' + ('echo' if kind == 'echo' else '')

    def arguments(self, kind, size):
        """For `holdfast bench`, beside the mode's own. size: of the payload."""
        return ['--protocol', self.protocol, '--url', self.url(kind)]

    def start(self, kind, cpu):
        self.folder = tempfile.mkdtemp(prefix='holdfast-bench-')
        self.port, self.api_port, self.tls_port = free_port(), free_port(), free_port()
        with open(os.path.join(self.folder, 'log'), 'w', encoding='utf-8') as log:
            self.process = subprocess.Popen(pinned(cpu) + self.command(kind), stdout=log, stderr=log, cwd=self.folder,
                                            start_new_session=True, preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
        self.wait_until_it_listens()

    def log(self):
        with open(os.path.join(self.folder, 'log'), encoding='utf-8', errors='replace') as f:
            return f.read()

    def wait_until_it_listens(self):
        end = time.monotonic() + START_S
        while time.monotonic() < end and self.process.poll() is None:
            try:
                socket.create_connection(('127.0.0.1', self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        log = self.log()
        self.stop()
        raise RuntimeError(f'{self.name} does not start: {log[-500:]}')

    def stop(self):
        """Its process group is its own. First politely, so that shared memory and pid files go."""
        if self.process is not None:
            for how in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(self.process.pid, how)
                    self.process.wait(5)
                    break
                except subprocess.TimeoutExpired:
                    continue
                except ProcessLookupError:
                    break
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process = None
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None


def first_line(command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20, check=False)
        return done.stdout.strip().split('\n')[0]
    except OSError:
        return ''


class Holdfast(Contestant):
    name = 'Holdfast'
    protocol = 'holdfast'
    kinds = ('echo', 'fanout', 'one', 'idle', 'churn', 'bare', 'publish', 'storm', 'rate', 'tls')
    workers = 1
    options = ()

    def version(self):
        return first_line([HOLDFAST, '--version'])

    def command(self, kind):
        command = [HOLDFAST, 'serve', '--listen', f'127.0.0.1:{self.port}', '--api', f'127.0.0.1:{self.api_port}', '--workers', str(self.workers),
                   '--echo', '--set', 'log.level=warning', *self.options]
        if kind.startswith('tls'):
            certificate, key = make_certificate(self.folder)
            command += ['--set', f'tls.listen=127.0.0.1:{self.tls_port}', '--set', f'tls.certificates={certificate}:{key}']
        return command

    def url(self, kind):
        if kind.startswith('tls'):
            return f'wss://127.0.0.1:{self.tls_port}/' + ('echo' if kind == 'tls-echo' else 'ws')
        if kind == 'publish':
            return f'http://127.0.0.1:{self.api_port}/api/publish'
        return f'ws://127.0.0.1:{self.port}/' + ('echo' if kind == 'echo' else 'ws')

    def arguments(self, kind, size):
        arguments = super().arguments('tls-echo' if kind == 'tls-echo' else kind, size)
        if kind in ('echo', 'tls-echo'):
            arguments[1] = 'text'
        if kind == 'publish':
            arguments = arguments[2:]
        return arguments + (['--insecure'] if kind.startswith('tls') else [])


class RawLoop(Contestant):
    name = 'raw loop'
    protocol = 'bytes'
    kinds = ('echo', 'fanout', 'one')
    envelope = 170  # bytes of Holdfast's frame beside the payload; bench/run measures it

    def missing(self):
        return None if os.path.exists(RAW_LOOP) else 'build/bench/raw_loop is not built'

    def command(self, kind):
        return [RAW_LOOP, 'echo' if kind == 'echo' else 'fanout', str(self.port)]

    def arguments(self, kind, size):
        # As many bytes as Holdfast gets and sends: a masked frame has a header of 6, or 8 from 126 bytes on.
        more = (6 if size < 126 else 8) if kind == 'echo' else self.envelope
        return super().arguments(kind, size) + ['--size', str(size + more)]


class Node(Contestant):
    module = script = ''
    kinds = ('echo', 'fanout', 'one', 'idle', 'bare')

    def missing(self):
        if not shutil.which('node'):
            return 'no node: install the package nodejs'
        if not os.path.isdir(os.path.join(HERE, 'node_modules', self.module)):
            return f'npm has not installed {self.module}: run `npm ci` in bench/'
        return None

    def version(self):
        at = os.path.join(HERE, 'node_modules', self.module, 'package.json')
        return first_line(['node', '-p', f'"{self.module} " + require({at!r}).version + ", node " + process.version'])

    def command(self, kind):
        return ['node', os.path.join(HERE, 'peers', self.script), str(self.port)]


class Ws(Node):
    name, module, script = 'npm ws', 'ws', 'ws_server.js'


class SocketIo(Node):
    name, module, script, protocol = 'socket.io', 'socket.io', 'socket_io_server.js', 'socket.io'

    def url(self, kind):
        return f'ws://127.0.0.1:{self.port}/socket.io/?EIO=4&transport=websocket'


class Nchan(Contestant):
    name = 'nginx nchan'
    kinds = ('fanout', 'one', 'idle', 'bare')

    def missing(self):
        if not shutil.which('nginx'):
            return 'no nginx: install the package nginx-light'
        return None if os.path.exists(NCHAN) else 'no nchan: install the package libnginx-mod-nchan'

    def version(self):
        return first_line(['nginx', '-v']).replace('nginx version: ', '') + ', nchan ' + first_line(['dpkg-query', '-W', '-f', '${Version}', 'libnginx-mod-nchan'])

    def command(self, kind):
        at = os.path.join(self.folder, 'nginx.conf')
        with open(at, 'w', encoding='utf-8') as f:
            f.write(f'''
worker_processes 1;
daemon off;
pid {self.folder}/pid;
error_log stderr error;
load_module {NCHAN};
events {{ worker_connections 19000; multi_accept on; }}
http {{
    access_log off;
    client_body_temp_path {self.folder}/b; proxy_temp_path {self.folder}/p; fastcgi_temp_path {self.folder}/f;
    uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
    nchan_shared_memory_size 512M;
    server {{
        listen 127.0.0.1:{self.port} backlog=4096;
        location = /sub {{ nchan_subscriber websocket; nchan_channel_id bench; }}
        location = /pub {{ nchan_publisher websocket; nchan_channel_id bench; nchan_message_buffer_length 1024; }}
    }}
}}
''')
        return ['nginx', '-c', at, '-p', self.folder]

    def url(self, kind):
        return f'ws://127.0.0.1:{self.port}/sub'

    def arguments(self, kind, size):
        publish = ['--publish-url', f'ws://127.0.0.1:{self.port}/pub'] if kind in ('fanout', 'one') else []
        return super().arguments(kind, size) + publish


class Nats(Contestant):
    name = 'nats-server'
    protocol = 'nats'
    kinds = ('fanout', 'one', 'idle', 'bare')

    def missing(self):
        return None if shutil.which('nats-server') else 'no nats-server: install the package nats-server'

    def version(self):
        return first_line(['nats-server', '--version'])

    def command(self, kind):
        at = os.path.join(self.folder, 'nats.conf')
        with open(at, 'w', encoding='utf-8') as f:
            f.write(f'listen: "127.0.0.1:{self.api_port}"\nmax_connections: 200000\n'
                    f'websocket {{ listen: "127.0.0.1:{self.port}", no_tls: true, compression: false }}\n')
        return ['nats-server', '-c', at]


class Websockets(Contestant):
    name = 'python3-websockets'
    kinds = ('echo', 'fanout', 'one', 'idle', 'bare')

    def missing(self):
        found = first_line(['/usr/bin/python3', '-c', 'import websockets; print("there")'])
        return None if found == 'there' else 'no python3-websockets: install the package'

    def version(self):
        return first_line(['/usr/bin/python3', '-c', 'import sys, websockets.version as v; print("websockets", v.version + ", Python", sys.version.split()[0])'])

    def command(self, kind):
        return ['/usr/bin/python3', os.path.join(HERE, 'peers', 'websockets_server.py'), str(self.port)]


def make_certificate(folder):
    """A certificate of our own for 127.0.0.1, P-256, as most servers have one today."""
    certificate, key = os.path.join(folder, 'certificate.pem'), os.path.join(folder, 'key.pem')
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=localhost',
                    '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost', '-keyout', key, '-out', certificate],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return certificate, key


ALL = [Holdfast, RawLoop, Ws, SocketIo, Nchan, Nats, Websockets]
