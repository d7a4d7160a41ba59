"""
fault_proxy.py - a TCP relay on loopback that breaks connections in the ways that networks do.

    proxy = FaultProxy(server.port, seed=7)
    proxy.cut_each((1, 5000), how='rst', times=10)   # each new connection dies after so many bytes, either way
    proxy.freeze(); proxy.thaw()                      # bytes stop, connections stay
    proxy.half_open()                                 # the server's side hears no more of the client's end
    proxy.forget_s = 2.5                              # a connection that is silent for longer carries nothing from then on
    proxy.delay_s = 0.05                              # each piece of bytes arrives later
    proxy.cut_now('fin')                              # all that are open

One thread relays; the tests' thread gives commands. A bounded buffer per direction carries back-pressure through.
"""
import collections
import random
import select
import socket
import struct
import threading
import time

UP, DOWN = 0, 1  # client to server, server to client
BUFFER_MAX = 1 << 16


class Direction:
    """Bytes on their way from one socket to the other."""

    def __init__(self, source, target):
        self.source, self.target = source, target
        self.pieces = collections.deque()  # (time when due, bytes)
        self.size = 0
        self.total = 0  # bytes handed on
        self.source_ended = False
        self.target_told = False

    def push(self, data, due):
        self.pieces.append((due, data))
        self.size += len(data)


class Link:
    def __init__(self, client, server, cut):
        self.client, self.server = client, server
        self.ways = (Direction(client, server), Direction(server, client))
        self.cut = cut  # None or (direction, after bytes, how)
        self.deaf = False  # half-open: ends are not handed on, bytes vanish
        self.moved_at = time.monotonic()
        self.dead = False


class FaultProxy:
    def __init__(self, target_port, seed=0, listen_port=0, buffer_max=BUFFER_MAX):
        self.buffer_max = buffer_max  # bytes under way in each direction of a connection
        self.target_port = target_port
        self.random = random.Random(seed)
        self.delay_s = 0.0
        self.forget_s = None
        self.forgotten = 0
        self.connections = 0
        self.cuts = 0
        self.frozen = False
        self.refusing = False
        self.cut_plan = None
        self.links = []
        self.lock = threading.Lock()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(('127.0.0.1', listen_port))
        self.listener.listen(128)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.wake_in, self.wake_out = socket.socketpair()
        self.wake_in.setblocking(False)
        self.running = True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    # Commands

    def cut_each(self, bytes_range, how='mix', direction=None, times=None):
        """
        Every connection that is opened from now on is cut after a random number of bytes in that range, counted in a
        random direction (or the given one), by FIN, RST or either ('mix'); after `times` cuts no more.
        """
        with self.lock:
            self.cut_plan = (bytes_range, how, direction, times)

    def cut_none(self):
        with self.lock:
            self.cut_plan = None
            for link in self.links:
                link.cut = None

    def cut_now(self, how='rst'):
        with self.lock:
            for link in self.links:
                self.kill(link, how)
        self.wake()

    def freeze(self):
        self.frozen = True
        self.wake()

    def thaw(self):
        self.frozen = False
        self.wake()

    def half_open(self):
        """From now on the present connections carry nothing, and neither side hears of the other's end."""
        with self.lock:
            for link in self.links:
                link.deaf = True
        self.wake()

    def refuse(self, on=True):
        """New connections are ended at once."""
        self.refusing = on

    def moved_at(self):
        """When something last came on a connection that still carries it."""
        with self.lock:
            return max((link.moved_at for link in self.links if not link.dead and not link.deaf), default=0)

    def open_links(self):
        with self.lock:
            return sum(not link.dead for link in self.links)

    def close(self):
        self.running = False
        self.wake()
        self.thread.join(5)
        for link in self.links:
            self.kill(link, 'rst')
        for sock in (self.listener, self.wake_in, self.wake_out):
            sock.close()

    # The relay

    def wake(self):
        try:
            self.wake_out.send(b'!')
        except OSError:
            pass

    def run(self):
        while self.running:
            self.links = [link for link in self.links if not link.dead]
            readers, writers, timeout = self.interests()
            readable, writable, _ = select.select(readers, writers, [], timeout)
            if self.wake_in in readable:
                try:
                    self.wake_in.recv(4096)
                except BlockingIOError:
                    pass
            with self.lock:
                for link in self.links:
                    self.relay(link, readable, writable)
                if self.listener in readable:
                    self.accept()

    def interests(self):
        readers, writers, timeout = [self.listener, self.wake_in], [], 1.0
        now = time.monotonic()
        with self.lock:
            for link in self.links:
                if link.dead or (self.frozen and not link.deaf):
                    continue
                for way in link.ways:
                    if not way.source_ended and way.size < self.buffer_max:
                        readers.append(way.source)
                    if way.pieces and way.pieces[0][0] <= now:
                        writers.append(way.target)
                    elif way.pieces:
                        timeout = min(timeout, way.pieces[0][0] - now)
        return readers, writers, timeout

    def accept(self):
        try:
            client, _ = self.listener.accept()
        except BlockingIOError:
            return
        if self.refusing:
            client.close()
            return
        server = socket.socket()
        try:
            server.connect(('127.0.0.1', self.target_port))
        except OSError:
            client.close()
            server.close()
            return
        for sock in (client, server):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setblocking(False)
        self.connections += 1
        self.links.append(Link(client, server, self.plan_cut()))

    def plan_cut(self):
        if self.cut_plan is None or (self.cut_plan[3] is not None and self.cuts >= self.cut_plan[3]):
            return None
        bytes_range, how, direction, _ = self.cut_plan
        return (self.random.choice((UP, DOWN)) if direction is None else direction, self.random.randint(*bytes_range),
                self.random.choice(('fin', 'rst')) if how == 'mix' else how)

    def relay(self, link, readable, writable):
        for index, way in enumerate(link.ways):
            if link.dead:
                return
            if way.source in readable:
                self.receive(link, way)
            if not link.dead and (way.target in writable or link.deaf):
                self.hand_on(link, index, way)
            if not link.dead and way.source_ended and not way.pieces and not way.target_told and not link.deaf:
                way.target_told = True
                self.shut(way.target)
        if all(way.target_told for way in link.ways):
            self.kill(link, 'fin')

    def receive(self, link, way):
        try:
            data = way.source.recv(BUFFER_MAX)
        except BlockingIOError:
            return
        except OSError:
            if link.deaf:
                way.source_ended = True
            else:
                self.kill(link, 'rst')
            return
        now = time.monotonic()
        if data and not link.deaf and self.forget_s is not None and now - link.moved_at > self.forget_s:
            link.deaf = True
            self.forgotten += 1
        link.moved_at = now
        if data:
            way.push(data, now + self.delay_s)
        else:
            way.source_ended = True

    def hand_on(self, link, index, way):
        if link.deaf:
            way.pieces.clear()
            way.size = 0
            return
        now = time.monotonic()
        while way.pieces and way.pieces[0][0] <= now:
            due, data = way.pieces.popleft()
            left = self.left_before_cut(link, index, way)
            try:
                sent = way.target.send(data[:left])
            except BlockingIOError:
                sent = 0
            except OSError:
                self.kill(link, 'rst')
                return
            way.size -= sent
            way.total += sent
            if left is not None and sent == left:
                self.cuts += 1
                self.kill(link, link.cut[2])
                return
            if sent < len(data):
                way.pieces.appendleft((due, data[sent:]))
                return

    @staticmethod
    def left_before_cut(link, index, way):
        return max(0, link.cut[1] - way.total) if link.cut and link.cut[0] == index else None

    @staticmethod
    def shut(sock):
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    @staticmethod
    def kill(link, how):
        if link.dead:
            return
        link.dead = True
        for sock in (link.client, link.server):
            if how == 'rst':
                try:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                except OSError:
                    pass
            sock.close()
