#!/usr/bin/python3
"""Heartbeats of the server: on idle connections only, as messages for Holdfast clients and as protocol pings for others."""
import json
import time

from holdfast_client import Client
from holdfast_server import SharedServer
from holdfast_test import PATIENCE, check, check_equal, main, test, wait_until
from raw_ws import CLOSE, PING, TEXT, RawWs, frame

# Seconds; the server is started with these. Long enough for a slow machine to be in time, short enough for a test.
INTERVAL = 1.0 * PATIENCE
MS = int(INTERVAL * 1000)
server = SharedServer(workers=1, echo=True, heartbeat_interval=f'{MS}ms', heartbeat_min=f'{MS // 2}ms', heartbeat_max=f'{MS * 4}ms')
EARLY = 0.06 + INTERVAL / 10  # a wheel's tick of 50 ms; and the server spreads the phases of its heartbeats over a tenth of the interval


def raw(t):
    ws = t.own(RawWs.open(server().port, auto_pong=False))
    welcome = ws.recv_json()
    check_equal(welcome['heartbeat'], {'interval': MS, 'min': MS // 2, 'max': MS * 4}, 'heartbeat of the welcome')
    return ws


def next_frame_after(ws, since, deadline_s=4 * INTERVAL):
    got = ws.recv_frame(deadline_s)
    return got, time.monotonic() - since


@test
def silence_is_pinged_after_an_interval(t):
    ws = raw(t)
    began = time.monotonic()
    got, after = next_frame_after(ws, began)
    check_equal((got.opcode, json.loads(got.payload)), (TEXT, {'type': 'ping'}), 'the heartbeat is a message')
    check(INTERVAL - EARLY <= after <= 1.8 * INTERVAL, f'after one interval: {after:.2f} s')


@test
def silence_for_two_intervals_is_4004(t):
    before = server().metric('holdfast_heartbeats_missed_total')
    c = t.own(Client(server().port)).connect()
    c.take_ping = lambda message: None
    began = time.monotonic()
    c.expect_close(4004)
    after = time.monotonic() - began
    check(2 * INTERVAL - EARLY <= after <= 3.5 * INTERVAL, f'after two intervals: {after:.2f} s')
    check_equal(sum(message['type'] == 'ping' for message in c.seen), 1, 'pings before')
    wait_until(lambda: server().metric('holdfast_heartbeats_missed_total') == before + 1, 'it is counted')
    c.connect()
    check_equal(c.welcome['resumed'], True, 'the session survives')


@test
def pong_keeps_the_connection(t):
    ws = raw(t)
    for _ in range(3):
        check_equal(ws.recv_json(4 * INTERVAL)['type'], 'ping', 'heartbeat')
        ws.send_json({'type': 'pong'})
    ws.send_json({'type': 'ping', 'id': 'x'})
    check_equal(ws.recv_json()['type'], 'pong', 'it stands')


@test
def any_byte_received_postpones_the_ping(t):
    # "Heartbeats go out on idle connections only: any byte received proves the path."
    ws = raw(t)
    end = time.monotonic() + 3 * INTERVAL
    drip = b''.join(frame(TEXT, '{"type":"ack","channel":"none","offset":0}') for _ in range(40))
    sent = 0
    while time.monotonic() < end:  # single bytes of a frame count as well
        ws.send(drip[sent:sent + 1])
        sent += 1
        check(not ws.fill(INTERVAL / 4), f'no heartbeat while bytes come: {bytes(ws.buffer)[:80]}')
    got, after = next_frame_after(ws, time.monotonic())
    check(b'"ping"' in got.payload and after > INTERVAL / 2, f'it comes after the last byte: {got} after {after:.2f} s')


@test
def what_the_server_sends_postpones_nothing(t):
    # Only what is received proves that the peer lives.
    ws = raw(t)
    ws.send_json({'type': 'subscribe', 'channel': 'busy'})
    began = time.monotonic()
    kinds = [ws.recv_json()['type']]
    while 'ping' not in kinds and time.monotonic() - began < 3 * INTERVAL:
        server().publish('busy', 1)
        kinds.append(ws.recv_json()['type'])
    check('ping' in kinds and 'data' in kinds, f'a heartbeat among the data: {set(kinds)}')


@test
def interval_can_be_asked_for(t):
    ws = raw(t)
    ws.send_json({'type': 'heartbeat', 'interval': MS * 2})
    check_equal(ws.recv_json(), {'type': 'heartbeat', 'interval': MS * 2}, 'answer')
    _, after = next_frame_after(ws, time.monotonic())
    check(2 * INTERVAL - EARLY <= after <= 2.8 * INTERVAL, f'the longer interval: {after:.2f} s')
    ws.send_json({'type': 'heartbeat', 'interval': 1})
    check_equal(ws.recv_json(), {'type': 'heartbeat', 'interval': MS // 2}, 'answer, within the bounds')
    _, after = next_frame_after(ws, time.monotonic())
    check(INTERVAL / 2 - EARLY <= after <= 1.3 * INTERVAL, f'the shorter interval: {after:.2f} s')


@test
def plain_client_gets_protocol_pings_and_4004(t):
    ws = t.own(RawWs.open(server().port, '/echo', auto_pong=False))
    began = time.monotonic()
    got, after = next_frame_after(ws, began)
    check_equal(got.opcode, PING, 'opcode of the heartbeat')
    check(INTERVAL - EARLY <= after <= 1.8 * INTERVAL, f'after one interval: {after:.2f} s')
    got, after = next_frame_after(ws, began)
    check_equal((got.opcode, got.payload[:2]), (CLOSE, (4004).to_bytes(2, 'big')), 'then the end')
    check(2 * INTERVAL - EARLY <= after <= 3.5 * INTERVAL, f'after two intervals: {after:.2f} s')


@test
def plain_client_that_answers_stays(t):
    ws = t.own(RawWs.open(server().port, '/echo'))
    end = time.monotonic() + 3 * INTERVAL
    while time.monotonic() < end:
        got = ws.recv_frame(4 * INTERVAL)
        check_equal(got.opcode, PING, 'opcode')
        ws.send_frame(0xa, got.payload)
    ws.send_text('still')
    check_equal(ws.recv_text(), 'still', 'echo')


@test
def many_idle_connections_are_all_pinged(t):
    many = [raw(t) for _ in range(200)]
    for ws in many:
        check_equal(ws.recv_json(4 * INTERVAL)['type'], 'ping', 'heartbeat')


@test
def frozen_peer_is_ended_even_with_data_on_its_way(t):
    # It reads nothing: a full socket must not hold back the end.
    ws = t.own(RawWs.open(server().port, receive_buffer=4096, auto_pong=False))
    ws.send_json({'type': 'subscribe', 'channel': 'flood'})
    wait_until(lambda: 'subscribers":1' in server().api('GET', '/api/channels?prefix=flood').body.decode().replace(' ', ''), 'it is subscribed')
    before = server().metric('holdfast_heartbeats_missed_total')
    for _ in range(100):
        server().publish('flood', 'x' * 60000)
    wait_until(lambda: server().metric('holdfast_heartbeats_missed_total') > before, 'it is ended', 6 * INTERVAL)
    wait_until(lambda: 'subscribers":1' not in server().api('GET', '/api/channels?prefix=flood').body.decode().replace(' ', '')
               or server().metric('holdfast_connections') == 0, 'its connection is gone', 6 * INTERVAL)


if __name__ == '__main__':
    main()
