#!/usr/bin/python3
"""
The network itself breaks, between machines that are namespaces (namespaces.py): the path goes dead with and without a word, the client's address changes, its
default route moves, the server's host vanishes. Numbers are published all the time, and each must arrive once and in order. Printed is how long after
the path was good again the first missed message came; asserted are deadlines only, that follow from the hard deadline of the heartbeats.
"""
import statistics
import subprocess
import threading
import time

from holdfast_test import DEADLINE_S, PATIENCE, Skip, check, check_equal, comment, main, shorten, test, wait_until
from namespaces import GATEWAYS, Net, NetCommand, NetServer

HARD_S = 10  # the hard deadline's upper limit (heartbeat.h); with these round trips it is 3 s
ATTEMPT_S = 8  # how long an attempt without an answer is waited for
RECOVERY_S = (HARD_S + ATTEMPT_S) * PATIENCE
BACKOFF_S = 30 * PATIENCE  # the longest pause between two attempts
PER_S = 20


class Ticker:
    """`holdfast pub` that is fed numbers, each with the time at which it was."""

    def __init__(self, t, net, machine, url):
        self.pub = t.own(NetCommand(net, machine, 'pub', '--url', url, 'demo', stdin=subprocess.PIPE))
        self.count = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while not self.ended.wait(1 / PER_S):
                self.pub.write(b'%d %.6f\n' % (self.count, time.monotonic()))
                self.count += 1
            self.pub.end_input()
        except (BrokenPipeError, ValueError):
            pass  # it has ended; its exit status will tell

    def wait_more(self, seconds):
        """Until as much as comes in so many seconds has been published."""
        until = self.count + seconds * PER_S
        wait_until(lambda: self.count >= until, 'the publisher is fed', seconds * 2 + RECOVERY_S)

    def end(self):
        self.ended.set()
        self.thread.join()
        check_equal(self.pub.wait(RECOVERY_S + BACKOFF_S), 0, f'exit status of pub ({self.pub.error_lines[-5:]})')


class Scene:
    """The machines, a server, a subscriber on the client, and a publisher on another machine."""

    def __init__(self, t, publisher='server', heartbeat='1s', before_sub=lambda scene: None):
        self.net = t.own(Net())
        self.server = t.own(NetServer(self.net, workers=2, heartbeat_min='500ms', heartbeat_interval=heartbeat)).start()
        before_sub(self)
        self.sub = t.own(NetCommand(self.net, 'client', 'sub', '--url', self.server.url, '--verbose', 'demo'))
        self.sub.wait_said('following from')  # It may have moved to another connection before it says more.
        wait_until(self.is_subscribed, 'sub has subscribed')
        self.ticker = Ticker(t, self.net, publisher, self.server.url)
        wait_until(lambda: len(self.sub.lines) >= 5, 'messages flow')
        self.took = []

    def is_subscribed(self):
        return any(entry['subscribers'] > 0 for entry in self.server.api('GET', '/api/channels?prefix=demo').json['channels'])

    def wait_flow(self):
        """Until what is published now has arrived."""
        count = self.ticker.count
        wait_until(lambda: len(self.sub.lines) > count, f'message {count} arrives ({self.sub.error_lines[-3:]})', RECOVERY_S + BACKOFF_S)

    def measure(self, mend):
        """mend() makes the path good: note how long the first missed message takes from then on."""
        had = len(self.sub.lines)
        began = time.monotonic()
        mend()
        wait_until(lambda: len(self.sub.lines) > had, f'the first missed message ({self.sub.error_lines[-3:]})', RECOVERY_S + BACKOFF_S)
        self.took.append(self.sub.times[had] - began)
        self.wait_flow()

    def rounds(self, count, fault, mend, outage_s):
        for _ in range(count):
            fault()
            wait_until(self.is_silent, 'nothing arrives any more')
            self.ticker.wait_more(outage_s)
            self.measure(mend)

    def is_silent(self):
        """Published for a quarter of a second, and nothing has come."""
        had, until = len(self.sub.lines), self.ticker.count + PER_S / 4
        wait_until(lambda: self.ticker.count >= until, 'the publisher is fed', RECOVERY_S)
        return len(self.sub.lines) == had

    def delays(self):
        """Of each message, from its publish to its arrival, in seconds."""
        return [at - float(line.split()[1]) for line, at in zip(self.sub.lines, self.sub.times)]

    def finish(self, what, limit_s):
        """All arrived once and in order; tell the times, none above the limit."""
        self.ticker.end()
        count = self.ticker.count
        wait_until(lambda: len(self.sub.lines) >= count, f'{count} messages', RECOVERY_S + BACKOFF_S)
        self.sub.process.terminate()
        self.sub.wait()
        numbers = [int(line.split()[0]) for line in self.sub.lines]
        check(numbers == list(range(count)), f'each number once and in order: {shorten(numbers)}')
        check_equal(self.sub.said('gap'), [], 'gaps that sub told')
        check_equal(self.server.log_complaints(), [], 'complaints of the server')
        if self.took:
            times = ' '.join(f'{1000 * one:.0f}' for one in sorted(self.took))
            comment(f'{what}: path good again -> first missed message: median {1000 * statistics.median(self.took):.0f} ms of {len(self.took)} ({times})')
            check(max(self.took) < limit_s, f'the longest took {max(self.took):.1f} s, above {limit_s:.0f} s')


def link_down(scene, rounds, outage_s):
    scene.rounds(rounds, lambda: scene.net.ip('router', 'link set r0 down'), lambda: scene.net.ip('router', 'link set r0 up'), outage_s)


@test(deadline=150)
def the_far_side_of_the_link_goes_down(t):
    """The old connection sends into the dead link, so that Linux is just asking for the gateway's address when the link is back, and asks again only a second later."""
    scene = Scene(t)
    link_down(scene, 7, 1.5)
    scene.finish('link down on the far side', RECOVERY_S)


@test(deadline=150)
def the_far_side_of_the_link_goes_down_where_arp_is_fast(t):
    """The same, less that second: what is left is the client's part."""
    scene = Scene(t)
    scene.net.inside('client', 'sh', '-c', 'echo 20 > /proc/sys/net/ipv4/neigh/c0/retrans_time_ms')
    link_down(scene, 7, 1.5)
    scene.finish('link down on the far side, fast ARP', RECOVERY_S)


@test(deadline=150)
def a_long_outage_with_a_signal(t):
    """The session is dead when the link comes back: no pause of the backoff is waited out."""
    scene = Scene(t)
    link_down(scene, 5, 6)
    check(scene.sub.said('connection lost'), f'the session noticed the outage: {scene.sub.error_lines}')
    scene.finish('link down for 6 s', RECOVERY_S)


@test(deadline=200)
def packets_are_dropped_without_a_word(t):
    scene = Scene(t)
    scene.rounds(5, scene.net.drop, scene.net.forward, 6)
    check(scene.sub.said('connection lost'), f'the session noticed the outage: {scene.sub.error_lines}')
    scene.finish('packets dropped', RECOVERY_S + BACKOFF_S)


@test(deadline=100)
def acknowledgements_that_do_not_arrive_are_noticed(t):
    """No heartbeat is due, and nobody owes the subscriber an answer: only TCP knows."""
    scene = Scene(t, heartbeat='60s')
    began = time.monotonic()
    scene.net.drop()
    scene.sub.wait_said('connection lost', 2 * HARD_S * PATIENCE)
    comment(f'the dead path was noticed after {time.monotonic() - began:.1f} s')
    scene.measure(scene.net.forward)
    scene.finish('packets dropped, without heartbeats', RECOVERY_S + BACKOFF_S)


@test(deadline=150)
def the_address_changes(t):
    scene = Scene(t)
    for last in range(3, 12):
        scene.net.ip('client', f'addr del 10.70.1.{last - 1}/24 dev c0')
        wait_until(scene.is_silent, 'nothing arrives any more')

        def mend():
            scene.net.ip('client', f'addr add 10.70.1.{last}/24 dev c0')
            scene.net.default_route('c0')
        scene.measure(mend)
        wait_until(lambda: scene.sub.own_addresses() == [f'10.70.1.{last}'], 'the connection is from the new address')
    scene.finish('another address', RECOVERY_S)


@test(deadline=100)
def the_default_route_moves_while_the_old_way_is_good(t):
    scene = Scene(t)
    for interface, address in (('c1', '10.70.2.2'), ('c0', '10.70.1.2')) * 3:
        scene.net.default_route(interface)
        wait_until(lambda: scene.sub.own_addresses() == [address], f'the connection has moved to {interface} ({scene.sub.own_addresses()})', RECOVERY_S)
        scene.wait_flow()
    # Also where the end of the old connection came before the new one's welcome.
    check_equal(scene.sub.said('connection lost'), [], 'the new connection was made before the old one broke')
    comment(f'default route moved: the longest delay of a message {1000 * max(scene.delays()):.0f} ms')
    scene.finish('default route moved', RECOVERY_S)
    check(max(scene.delays()) < HARD_S * PATIENCE, f'no message is delayed beyond the hard deadline: {max(scene.delays()):.1f} s')


@test(deadline=150)
def the_default_route_moves_as_the_old_way_dies(t):
    scene = Scene(t)
    for old, new in (('0', '1'), ('1', '0')) * 4:
        scene.net.ip('router', f'link set r{old} down')
        wait_until(scene.is_silent, 'nothing arrives any more')
        scene.measure(lambda: scene.net.default_route(f'c{new}'))
        scene.net.ip('router', f'link set r{old} up')
    scene.finish('default route moved as the old way died', RECOVERY_S)
    check(max(scene.delays()) < 2 * HARD_S * PATIENCE, f'no message is delayed beyond the outage and the hard deadline: {max(scene.delays()):.1f} s')


def lead_the_port_by_c1(scene):
    scene.net.ip('client', f'route add default via {GATEWAYS["c1"]} dev c1 table 100')
    rule = subprocess.run([*scene.net.words('client'), 'ip', 'rule', 'add', 'ipproto', 'tcp', 'dport', str(scene.server.port), 'table', '100'],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=DEADLINE_S)
    if rule.returncode != 0:
        raise Skip(f'no routing by port here: {rule.stdout.strip()}')


@test(deadline=100)
def a_rule_for_the_port_is_no_move(t):
    """Connections to the server's port leave by c1; the kernel, asked without a port, says c0: each new connection would look as one on an old way."""
    scene = Scene(t, before_sub=lead_the_port_by_c1)
    check_equal(scene.sub.own_addresses(), ['10.70.2.2'], 'the rule leads the connection by c1')

    def opened():
        return scene.server.metric('holdfast_connections_opened_total')
    scene.ticker.wait_more(4)  # a move is told each 300 ms, if it is
    check_equal(opened(), 3, 'connections: the publisher, and two of the subscriber, whose first move may be true')
    scene.net.ip('client', 'link set c0 down')
    scene.net.ip('client', 'link set c0 up')
    scene.net.default_route('c0')
    scene.ticker.wait_more(4)
    check(4 <= opened() <= 6, f'a network that changes is looked at anew: {opened():.0f} connections')
    scene.finish('a rule for the port', RECOVERY_S)


@test(deadline=200)
def the_host_of_the_server_vanishes_and_comes_back(t):
    """Publisher and subscriber both lose it; what is published meanwhile waits in the outbox."""
    scene = Scene(t, publisher='router')

    def vanish():
        scene.net.ip('server', 'link set s0 down')
        scene.server.freeze()

    def come_back():
        scene.server.thaw()
        scene.net.ip('server', 'link set s0 up')
        scene.net.ip('server', 'route replace default via 10.70.9.1')
    scene.rounds(4, vanish, come_back, 5)
    check(scene.sub.said('connection lost'), f'the session noticed the outage: {scene.sub.error_lines}')
    scene.finish('host gone for 5 s', RECOVERY_S + BACKOFF_S)


@test(deadline=60)
def without_a_route_it_waits_for_one(t):
    net = t.own(Net())
    server = t.own(NetServer(net, workers=1)).start()
    net.ip('client', 'route del default')
    sub = t.own(NetCommand(net, 'client', 'sub', '--url', server.url, '--verbose', 'demo'))
    sub.wait_said('no connection')
    began = time.monotonic()
    wait_until(lambda: time.monotonic() > began + 1, 'the lack of a route has lasted long enough to be told', 10)
    tried = len(sub.said('no connection'))
    wait_until(lambda: time.monotonic() > began + 5, 'some seconds pass, in which a client without the signal would try several times', 10)
    check_equal(len(sub.said('no connection')), tried, f'attempts, of which there is none without a way: {sub.error_lines}')
    began = time.monotonic()
    net.default_route('c0')
    sub.wait_said('began', RECOVERY_S)
    comment(f'connected {1000 * (time.monotonic() - began):.0f} ms after there was a route')


if __name__ == '__main__':
    main()
