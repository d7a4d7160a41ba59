"""
dial_fixture.py - what stands between a client and its server before the first byte: a name server, addresses that do not answer, an HTTP proxy.

    dns = t.own(NameServer({'one.test': ['127.0.0.1']}))
    hole = t.own(BlackHole('::1', server.port))
    proxy = t.own(Proxy({'one.test': ('127.0.0.1', server.port)}))
"""
import select
import socket
import struct
import threading
import time

from holdfast_test import Skip

A, AAAA = 1, 28
KINDS = {A: 'A', AAAA: 'AAAA'}
NXDOMAIN, SERVFAIL = 3, 2


def read_question(packet):
    """(name, type, end of the question) of a query; RFC 1035 section 4.1."""
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode('ascii').lower())
        at += 1 + packet[at]
    kind, = struct.unpack_from('!H', packet, at + 1)
    return '.'.join(labels), kind, at + 5


class NameServer:
    """
    A DNS server on a loopback port. names: name -> addresses; a name without addresses exists all the same. What may be changed while it runs: names,
    ttl, delay_s (by 'A' and 'AAAA'; None: no answer at all), failing (all is SERVFAIL).
    """

    def __init__(self, names, ttl=0):
        self.names, self.ttl, self.delay_s, self.failing = dict(names), ttl, {'A': 0.0, 'AAAA': 0.0}, False
        self.asked = []  # (name, 'A' or 'AAAA')
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(('127.0.0.1', 0))
        self.at = f'127.0.0.1:{self.sock.getsockname()[1]}'
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def answer(self, packet):
        """The answer and when it is due; None: never."""
        name, kind, end = read_question(packet)
        self.asked.append((name, KINDS.get(kind, str(kind))))
        delay = self.delay_s.get(KINDS.get(kind), 0.0)
        if delay is None:
            return None
        family = socket.AF_INET6 if kind == AAAA else socket.AF_INET
        found = [a for a in self.names.get(name, ()) if (':' in a) == (kind == AAAA)]
        code = SERVFAIL if self.failing else 0 if name in self.names else NXDOMAIN
        records = b'' if code else b''.join(
            struct.pack('!HHHIH', 0xc00c, kind, 1, self.ttl, len(data)) + data for data in (socket.inet_pton(family, a) for a in found))
        head = packet[:2] + struct.pack('!HHHHH', 0x8180 | code, 1, 0 if code else len(found), 0, 0)
        return time.monotonic() + delay, head + packet[12:end] + records

    def serve(self):
        due = []  # (when, packet, to)
        while not self.ended.is_set():
            wait = min([0.05] + [max(0, when - time.monotonic()) for when, _, _ in due])
            if select.select([self.sock], [], [], wait)[0]:
                packet, source = self.sock.recvfrom(1500)
                answer = self.answer(packet)
                if answer:
                    due.append((*answer, source))
            for one in [one for one in due if one[0] <= time.monotonic()]:
                due.remove(one)
                self.sock.sendto(one[1], one[2])

    def close(self):
        self.ended.set()
        self.thread.join(5)
        self.sock.close()


class BlackHole:
    """An address and port where a SYN gets no answer: the queue of a listener that accepts nothing is full."""

    def __init__(self, address, port):
        family = socket.AF_INET6 if ':' in address else socket.AF_INET
        self.socks = [socket.socket(family)]
        self.socks[0].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self.socks[0].bind((address, port))
        except OSError as error:
            self.close()
            raise Skip(f'{address} cannot be used: {error}') from None
        self.socks[0].listen(0)
        for _ in range(4):  # one or two fill the queue
            filler = socket.socket(family)
            filler.setblocking(False)
            self.socks.append(filler)
            filler.connect_ex((address, port))
        if select.select([], [self.socks[-1]], [], 0.2)[1]:
            self.close()
            raise Skip('a full listen queue takes connections all the same')

    def close(self):
        for sock in self.socks:
            sock.close()


class Proxy:
    """
    An HTTP proxy for CONNECT. to: host -> (address, port) where the host's tunnels lead; others get 502. mode: 'serve', or how it answers otherwise:
    an HTTP status, 'silent', 'close', 'drop' (200, and then the end), or bytes. user: "name:password" that it wants.
    """

    def __init__(self, to, user=None):
        self.to, self.user, self.mode = dict(to), user, 'serve'
        self.requests = []  # (request line, {header: value})
        self.tunnels = []  # (host, the two sockets)
        self.held = []
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.at = f'127.0.0.1:{self.listener.getsockname()[1]}'
        self.ended = threading.Event()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while not self.ended.is_set():
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.held.append(sock)
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        try:
            self.answer(sock)
        except OSError:
            sock.close()

    def answer(self, sock):
        head = b''
        while not head.endswith(b'\r\n\r\n'):
            data = sock.recv(1)  # so that nothing of what follows is taken
            if not data:
                sock.close()
                return
            head += data
        lines = head.decode('latin-1').split('\r\n')
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(':') for line in lines[1:] if line)}
        self.requests.append((lines[0], headers))
        host = lines[0].split(' ')[1].rpartition(':')[0]
        if self.mode == 'silent':
            return
        if self.mode == 'close':
            sock.close()
        elif self.mode == 'drop':
            sock.sendall(b'HTTP/1.1 200 OK\r\n\r\n')
            sock.recv(65536)  # what it hears first, so that its end is no reset
            sock.close()
        elif isinstance(self.mode, bytes):
            sock.sendall(self.mode)
        elif self.mode != 'serve':
            self.refuse(sock, self.mode)
        elif self.user and headers.get('proxy-authorization') != self.user:
            self.refuse(sock, 407)
        elif host not in self.to:
            self.refuse(sock, 502)
        else:
            self.carry(host, sock)

    @staticmethod
    def refuse(sock, status):
        sock.sendall(f'HTTP/1.1 {status} No\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody'.encode())
        sock.close()

    def carry(self, host, sock):
        other = socket.create_connection(self.to[host])
        self.tunnels.append((host, (sock, other)))
        # In two pieces: whoever takes an answer for whole that is not, fails.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(b'HTTP/1.1 200 Conn')
        sock.sendall(b'ection established\r\nVia: test\r\n\r\n')
        threading.Thread(target=self.pump, args=(other, sock), daemon=True).start()
        self.pump(sock, other)

    @staticmethod
    def pump(source, sink):
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    break
                sink.sendall(data)
        except OSError:
            pass
        for sock in (source, sink):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        """End all tunnels that are there now; the next may come before this is over."""
        tunnels, self.tunnels = self.tunnels, []
        for _, pair in tunnels:
            for sock in pair:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close(self):
        self.ended.set()
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.cut()
        for sock in self.held:
            sock.close()
