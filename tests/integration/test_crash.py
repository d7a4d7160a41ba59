#!/usr/bin/python3
"""Workers die by kill -9: sessions, histories, epochs and publish numbers survive them, and nothing is lost or doubled."""
import random

from holdfast_client import Client
from holdfast_fixture import Fixture
from holdfast_server import Server
from holdfast_test import DEADLINE_S, check_equal, main, test
from raw_ws import Closed, ConnectionEnded

on = Fixture(workers=2)
fresh, client, publish, payloads_of = on.fresh, on.client, on.publish, on.payloads_of


@test(deadline=120)
def session_survives_kill_of_its_worker(t):
    mine = t.own(Server(workers=2).start())
    room = fresh()
    c = client(t, mine.port)
    c.subscribe(room, wait=True)
    count = 0
    for turn in range(6):
        for _ in range(10):
            c.publish(room, count)
            count += 1
        if turn % 2:
            c.wait_acked()
            c.ack(room)
            c.settle()
        home = mine.worker_of(c.ws.sock)
        mine.kill_worker(home)
        c.reconnect()
        check_equal(c.welcome['resumed'], True, f'resumed after kill {turn}')
        mine.wait_workers(without=[home])
    c.wait_acked(3 * DEADLINE_S)
    check_equal(c.pump_count(room, count), list(range(count)), 'payloads')
    check_equal(c.channels[room].gaps, [], 'gaps')


@test(deadline=120)
def parked_sessions_survive_kill_of_their_worker(t):
    mine = t.own(Server(workers=2).start())
    clients = [client(t, mine.port) for _ in range(20)]
    rooms = [fresh() for _ in clients]
    for c, room in zip(clients, rooms):
        c.subscribe(room, wait=True)
        c.cut()
    for room in rooms:
        publish(room, 2, to=mine)
    before = mine.worker_pids()
    for pid in before:
        mine.kill_worker(pid)
        mine.wait_workers(without=[pid])
    for c, room in zip(clients, rooms):
        c.reconnect()
        check_equal(c.welcome['resumed'], True, 'resumed')
        check_equal(c.pump_count(room, 2), [1, 2], 'payloads')


@test(deadline=120)
def history_and_dedupe_survive_kill_of_all_owners(t):
    # With two workers and 16 channels each worker owns shards of some.
    mine = t.own(Server(workers=2).start())
    rooms = [fresh() for _ in range(16)]
    c = client(t, mine.port)
    for n in range(160):
        c.publish(rooms[n % 16], n)
    c.wait_acked()
    epochs = {room: mine.post('/api/history', {'channel': room})['epoch'] for room in rooms}
    for pid in mine.worker_pids():
        mine.kill_worker(pid)
        mine.wait_workers(without=[pid])
    mine.wait_ready()
    for at, room in enumerate(rooms):
        answer = mine.post('/api/history', {'channel': room})
        check_equal([m['payload'] for m in answer['messages']], list(range(at, 160, 16)), 'the channel')
        check_equal(answer['epoch'], epochs[room], 'epoch')
    # All are sent again as if no ack had come; none may be applied twice.
    again = t.own(Client(mine.port))
    again.ticket, again.welcome, again.next_seq = c.ticket, c.welcome, c.next_seq
    again.reconnect()
    check_equal((again.welcome['resumed'], again.welcome['lastSeq']), (True, 160), 'resumed and lastSeq')
    for n in range(160):
        again.send({'type': 'data', 'channel': rooms[n % 16], 'payload': n, 'seq': n + 1})
    again.publish(rooms[0], 160)
    again.wait_acked()
    check_equal(payloads_of(rooms[1], mine), list(range(1, 160, 16)), 'no publish was applied twice')
    check_equal(payloads_of(rooms[0], mine), [*range(0, 160, 16), 160], 'and the new one once')


@test(deadline=240)
def kill_under_publish_load(t):
    """A writer and a reader on many channels, while the workers are killed in turn: each message once, in order."""
    mine = t.own(Server(workers=2).start())
    rooms = [fresh() for _ in range(16)]
    reader, writer = client(t, mine.port, ack_every=20), client(t, mine.port)
    for room in rooms:
        reader.subscribe(room, wait=True)
    rng = random.Random(5)
    sent = {room: [] for room in rooms}
    kills = 0
    for turn in range(120):
        if turn % 15 == 7:
            victim = mine.wait_workers()[kills % 2]
            mine.kill_worker(victim)
            kills += 1
        for _ in range(50):
            room = rng.choice(rooms)
            sent[room].append((turn, len(sent[room])))
            keep_going(writer, lambda: writer.publish(room, sent[room][-1]))
        keep_going(writer, lambda: writer.pump(lambda: len(writer.pending) < 500, 'acks', 3 * DEADLINE_S))
        keep_going(reader, reader.settle)
    keep_going(writer, lambda: writer.wait_acked(3 * DEADLINE_S))
    total = sum(map(len, sent.values()))
    keep_going(reader, lambda: reader.pump(lambda: sum(len(c.messages) for c in reader.channels.values()) >= total,
                                           f'{total} messages', 3 * DEADLINE_S))
    check_equal(kills, 8, 'workers killed')
    for room in rooms:
        check_equal(reader.channels[room].payloads(), [list(one) for one in sent[room]], f'payloads of {room}')
        check_equal(reader.channels[room].gaps, [], 'gaps')
        check_equal(payloads_of(room, mine), [list(one) for one in sent[room]], f'history of {room}')


def keep_going(c, work):
    """Do the work; when its connection breaks, resume and do the rest. A publish that broke lies in c.pending and is sent again."""
    for _ in range(20):
        published = c.next_seq
        try:
            return work()
        except (ConnectionEnded, Closed):
            c.reconnect()
            check_equal(c.welcome['resumed'], True, 'resumed')
            if c.next_seq > published:
                return None
    raise AssertionError('broken 20 times')


if __name__ == '__main__':
    main()
