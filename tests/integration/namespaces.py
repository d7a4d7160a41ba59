"""
namespaces.py - three machines on one: a client with two interfaces, a router, and a server, each a network namespace, joined by veth pairs.

    client  c0 10.70.1.2 ---- 10.70.1.1 r0  router  r9 10.70.9.1 ---- 10.70.9.2 s0  server
            c1 10.70.2.2 ---- 10.70.2.1 r1

The client's default route leads by c0. What a test breaks is broken in these namespaces only, and they go with the test. It needs root and Debian's
iproute2; where a namespace cannot be made the test is skipped, and says so.
"""
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from holdfast_server import HOLDFAST, Answer, Command, Server, start_process
from holdfast_test import DEADLINE_S, Skip, check, wait_until

SERVER_ADDRESS = '10.70.9.2'
GATEWAYS = {'c0': '10.70.1.1', 'c1': '10.70.2.1'}


def run(*arguments, text=None):
    done = subprocess.run(arguments, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=DEADLINE_S)
    check(done.returncode == 0, f'{" ".join(arguments)}: status {done.returncode}: {done.stdout}')
    return done.stdout


class Net:
    """The machines. Their names hold the process id, so that several runs do not meet."""

    def __init__(self):
        if os.geteuid() != 0:
            raise Skip('network namespaces need root')
        if not shutil.which('ip'):
            raise Skip('network namespaces need the command `ip` (Debian: iproute2)')
        self.names = {machine: f'hf{os.getpid()}-{machine}' for machine in ('client', 'router', 'server')}
        self.made = []
        try:
            self.build()
        except BaseException:
            self.close()
            raise

    def build(self):
        for name in self.names.values():
            done = subprocess.run(['ip', 'netns', 'add', name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=DEADLINE_S)
            if done.returncode != 0:
                raise Skip(f'no network namespace can be made here: {done.stdout.strip()}')
            self.made.append(name)
        for machine, near, near_ip, far_ip, far in (('client', 'c0', '10.70.1.2', '10.70.1.1', 'r0'), ('client', 'c1', '10.70.2.2', '10.70.2.1', 'r1'),
                                                    ('server', 's0', '10.70.9.2', '10.70.9.1', 'r9')):
            run('ip', 'link', 'add', near, 'netns', self.names[machine], 'type', 'veth', 'peer', 'name', far, 'netns', self.names['router'])
            self.ip(machine, f'addr add {near_ip}/24 dev {near}')
            self.ip('router', f'addr add {far_ip}/24 dev {far}')
            self.ip(machine, f'link set {near} up')
            self.ip('router', f'link set {far} up')
        for machine in self.names:
            self.ip(machine, 'link set lo up')
        self.inside('router', 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward')
        self.ip('server', 'route add default via 10.70.9.1')
        self.default_route('c0')

    def words(self, machine):
        """What to put in front of a command so that it runs on this machine."""
        return ['ip', 'netns', 'exec', self.names[machine]]

    def ip(self, machine, what):
        return run('ip', '-n', self.names[machine], *what.split())

    def inside(self, machine, *arguments, text=None):
        return run(*self.words(machine), *arguments, text=text)

    def default_route(self, interface):
        self.ip('client', f'route replace default via {GATEWAYS[interface]} dev {interface}')

    def drop(self):
        """The router forwards nothing from now on, and tells nobody."""
        if not shutil.which('nft'):
            raise Skip('dropping packets needs the command `nft` (Debian: nftables)')
        self.inside('router', 'nft', '-f', '-', text='add table inet hf\nadd chain inet hf forward { type filter hook forward priority 0; policy drop; }\n')

    def forward(self):
        self.inside('router', 'nft', 'delete', 'table', 'inet', 'hf')

    def close(self):
        for name in self.made:
            subprocess.run(['ip', 'netns', 'del', name], timeout=DEADLINE_S)
        self.made = []


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, deadline_s):
        super().__init__('localhost', timeout=deadline_s)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class NetServer(Server):
    """`holdfast serve` on the machine `server`. Its API is on a Unix socket, which no namespace keeps apart."""

    def __init__(self, net, **options):
        super().__init__(**options)
        self.folder = tempfile.TemporaryDirectory(prefix='holdfast-test-')
        self.api_path = os.path.join(self.folder.name, 'api')
        self.arguments[self.arguments.index('--listen') + 1] = f'{SERVER_ADDRESS}:{self.port}'
        self.arguments[self.arguments.index('--api') + 1] = f'unix:{self.api_path}'
        self.arguments = net.words('server') + self.arguments + ['--set', 'auth.anonymous=true']
        self.url = f'ws://{SERVER_ADDRESS}:{self.port}/ws'

    def api(self, method, path, body=None, headers=None, deadline_s=DEADLINE_S):
        connection = UnixConnection(self.api_path, deadline_s)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def freeze(self):
        """All of it stops, as on a host that has."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def thaw(self):
        os.killpg(self.process.pid, signal.SIGCONT)

    def close(self):
        super().close()
        self.folder.cleanup()


class NetCommand(Command):
    """A `holdfast` subcommand on one of the machines; times[i] is when line i of its output came (time.monotonic())."""

    def __init__(self, net, machine, *arguments, **options):
        self.times = []
        self.words = net.words(machine)
        super().__init__(*arguments, **options)

    def launch(self, arguments, **options):
        return start_process([*self.words, HOLDFAST, *arguments], **options)

    def gather(self, stream, lines):
        for line in stream:
            if lines is self.lines:
                self.times.append(time.monotonic())
            lines.append(line.decode('utf-8', 'replace').rstrip('\n'))

    def own_addresses(self):
        """The addresses from which it has connections, as text."""
        found = []
        with open(f'/proc/{self.process.pid}/net/tcp', encoding='ascii') as f:
            for line in f.readlines()[1:]:
                fields = line.split()
                if fields[3] == '01' and int(fields[9]):
                    found.append(socket.inet_ntoa(bytes.fromhex(fields[1].partition(':')[0])[::-1]))
        return found

    def said(self, pattern):
        return [line for line in self.error_lines if re.search(pattern, line)]

    def wait_said(self, pattern, deadline_s=DEADLINE_S):
        wait_until(lambda: self.said(pattern), f'`holdfast {self.name}` says {pattern!r}', deadline_s)
