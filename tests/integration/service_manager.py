"""
service_manager.py - the side of systemd of one server: what it is told (NOTIFY_SOCKET, WATCHDOG_USEC), the sockets and the memory that it hands over (LISTEN_FDS) and keeps (FDSTORE).
"""
import os
import socket
import subprocess
import sys
import tempfile

from holdfast_server import SERVERS, free_port, start_process
from holdfast_test import DEADLINE_S, wait_until

# Moves the descriptors named by its first argument to 3, 4, … and becomes the rest, as systemd does it.
ACTIVATE = '''
import fcntl, os, sys
fds = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 100) for fd in sys.argv[1].split(',') if fd]
for place, fd in enumerate(fds):
    os.dup2(fd, 3 + place, inheritable=True)
    os.close(fd)
os.environ['LISTEN_PID'] = str(os.getpid() + int(os.environ.pop('PID_OFF', '0')))
os.environ['WATCHDOG_PID'] = os.environ['LISTEN_PID']
os.execv(sys.argv[2], sys.argv[2:])
'''


class Kept:
    """A descriptor that the server has given to the manager."""

    def __init__(self, fd, said):
        self.fd = fd
        self.name = next(line.partition('=')[2] for line in said if line.startswith('FDNAME='))

    def fileno(self):
        return self.fd


class Manager:
    """The side of systemd of one server."""

    def __init__(self, sockets=(), names=None, watchdog_ms=None, abstract=False, pid_off=0):
        self.folder = tempfile.TemporaryDirectory(prefix='holdfast-notify-')
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = f'{self.folder.name}/notify'
        self.notify.bind(f'\0{path}' if abstract else path)
        self.notify.setblocking(False)
        self.said, self.kept = [], []
        self.sockets = sockets
        self.env = {**os.environ, 'NOTIFY_SOCKET': f'@{path}' if abstract else path, 'LISTEN_FDS': str(len(sockets)), 'PID_OFF': str(pid_off)}
        if names is not None:
            self.env['LISTEN_FDNAMES'] = ':'.join(names)
        if watchdog_ms:
            self.env['WATCHDOG_USEC'] = str(watchdog_ms * 1000)

    def launch(self, server):
        fds = [s.fileno() for s in self.sockets]
        server.process = start_process([sys.executable, '-c', ACTIVATE, ','.join(map(str, fds)), *server.arguments], server.descriptors,
                                       stdin=subprocess.DEVNULL, stdout=server.log_file, stderr=server.log_file, env=self.env, pass_fds=fds)
        SERVERS.append(server)
        return server

    def read(self):
        """All that has been said by now, as lists of lines."""
        while True:
            try:
                text, fds, _, _ = socket.recv_fds(self.notify, 4096, 4)  # its flags go nowhere in Python 3.11
                self.said.append(text.decode().split('\n'))
                for fd in fds:
                    self.kept.append(Kept(fd, self.said[-1]))
            except BlockingIOError:
                return self.said

    def wait_said(self, line, what=None, deadline_s=DEADLINE_S):
        def told():
            return next((said for said in self.read() if any(one.startswith(line) for one in said)), None)
        return wait_until(told, what or f'{line} is told; said: {self.said[-5:]}', deadline_s)

    def close(self):
        self.notify.close()
        for each in self.kept:
            os.close(each.fd)
        self.folder.cleanup()


def listening(host='127.0.0.1', family=socket.AF_INET):
    s = socket.socket(family)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((host, free_port()))
    s.listen(4096)
    return s
