#!/usr/bin/python3
"""Namespaces: what clients may do with which channels, by a table, and the limits of channels, on a real server with several workers."""
import json
import tempfile
import time

import jwt

from backend_fixture import Backend
from holdfast_fixture import expect
from holdfast_server import Server, run_holdfast
from holdfast_test import check, check_equal, check_in, main, test, wait_until
from raw_ws import TEXT, RawWs, frame

RULES = '''
namespaces:
  "open:*": {allow: all}
  "closed:*": {}
  "named:*": {allow: user}
  "inbox:*": {allow: {subscribe: "inbox:${user}", history: user}}
  "claimed:*": {allow: claim}
  "news:*":
    allow: {subscribe: all, history: all}
    mode: latest
  "quiet:*":
    allow: {subscribe: all, publish: all}
  "small:*":
    allow: all
    limits: {message: 64}
    history: {messages: 2}
  "slow:*":
    allow: all
    limits: {publish_rate: 1, publish_burst: 2}
'''

RIGHTS = ('subscribe', 'publish', 'history', 'presence')

# Of an anonymous client, each right in turn.
ANONYMOUS = {
    'open:1': '++++', 'open:': '++++', 'closed:1': '----', 'closed': '----', 'named:1': '----', 'inbox:1': '----', 'inbox:': '----',
    'claimed:1': '----', 'news:1': '+-+-', 'quiet:1': '++--', 'other': '----', 'openx': '----', 'Open:1': '----', '*': '----',
}

TOKEN_RULES = '''
namespaces:
  "open:*": {allow: all}
  "unseen:*": {allow: all, presence: false}
  "named:*": {allow: user}
  "read:*": {allow: {subscribe: all, history: all, presence: user, publish: claim:writes}}
  "inbox:*": {allow: {subscribe: "inbox:${user}", publish: "inbox:*:${user}", history: "inbox:${user}", presence: "inbox:${user}"}}
  "dm:*": {allow: "dm:${user}:*"}
  "room:*": {allow: [claim, "room:own:${user}"]}
  "staff": {allow: claim:staff}
  "staff:*": {allow: {subscribe: claim:staff, publish: none, history: claim:staff, presence: all}}
  "ask:*": {allow: {subscribe: backend, publish: backend, history: user}}
  "ask:both:*": {allow: {subscribe: [user, backend], publish: ["ask:both:${user}", backend]}}
'''

# Who (None: nobody, without a token; else the claims of the token) and, channel by channel, what he may. The backend says yes to alice, and to whatever has "yes" in its name.
WHO = {
    'nobody': (None, {
        'open:1': '++++', 'unseen:1': '+++-', 'named:1': '----', 'read:1': '+-+-', 'inbox:': '----', 'inbox:alice': '----', 'dm::': '----', 'room:1': '----',
        'room:own:': '----', 'staff': '----', 'staff:1': '---+', 'ask:no': '----', 'ask:yes': '++--', 'ask:both:yes': '++--', 'ask:both:no': '----', 'other': '----'}),
    'a user with no claim': ({'sub': 'bob'}, {
        'open:1': '++++', 'named:1': '++++', 'read:1': '+-++', 'inbox:bob': '+-++', 'inbox:alice': '----', 'inbox:x:bob': '-+--', 'inbox:bob:x': '----', 'inbox:Bob': '----',
        'dm:bob:alice': '++++', 'dm:bob:alice:2': '++++', 'dm:bob': '----', 'dm:bob:': '----', 'dm:alice:bob': '----', 'dm:bobby:x': '----', 'room:1': '----',
        'room:own:bob': '++++', 'room:own:alice': '----', 'staff': '----', 'staff:1': '---+', 'ask:no': '--+-', 'ask:yes': '+++-', 'ask:both:no': '+---', 'ask:both:bob': '++--',
        'ask:both:yes': '++--', 'other': '----'}),
    'a user with claims': ({'sub': 'alice', 'channels': ['room:7', 'room:a*', 'other', 'named:*'], 'writes': 'read:1', 'staff': True}, {
        'room:7': '++++', 'room:77': '----', 'room:a': '++++', 'room:abc': '++++', 'room:A': '----', 'other': '----', 'read:1': '++++', 'read:2': '+-++', 'staff': '++++', 'staff:1': '+-++',
        'ask:no': '+++-', 'inbox:alice': '+-++', 'inbox:bob': '----'}),
    'a user with a right each': ({'sub': 'cy', 'channels': {'subscribe': 'room:*', 'publish': ['room:1', 'room:2'], 'history': True, 'presence': 'staff'}, 'staff': {'subscribe': 'staff:1'}}, {
        'room:1': '+++-', 'room:3': '+-+-', 'staff': '----', 'staff:1': '+--+', 'staff:2': '---+', 'named:1': '++++'}),
    'a user whose claims grant nothing': ({'sub': 'dan', 'channels': 'room', 'writes': 1, 'staff': ['*:1', None, 7, {'x': 1}]}, {
        'room:1': '----', 'read:1': '+-++', 'staff': '----', 'staff:1': '---+'}),
    'a user whose star is a letter': ({'sub': '*', 'channels': '*', 'staff': '*'}, {
        'inbox:*': '+-++', 'inbox:bob': '----', 'dm:*:1': '++++', 'dm:bob:1': '----', 'room:1': '++++', 'staff:1': '+-++', 'other': '----'}),
    'a user with a separator in his name': ({'sub': 'bob:x'}, {
        'inbox:bob:x': '----', 'dm:bob:x': '----', 'dm:bob:x:1': '----', 'named:1': '++++', 'room:own:bob:x': '----'}),
}

SECRET = 's' * 64


def config_file(t, text):
    file = tempfile.NamedTemporaryFile('w', prefix='holdfast-test-', suffix='.yaml')
    t.cleanup(file.close)
    file.write(text)
    file.flush()
    return file.name


def start(t, text=RULES, **options):
    return t.own(Server(arguments=('--config', config_file(t, text)), **options)).start()


def connect(t, server, protocols=('holdfast.v1.json',)):
    ws = t.own(RawWs.open(server.port, protocols=list(protocols)))
    check_equal(ws.recv_json()['type'], 'welcome', 'the first message')
    return ws


def forbidden(server, right):
    return int(server.metrics()[f'holdfast_forbidden_total{{right="{right}"}}'])


def may(ws, channel, seq):
    """What a client is let do in a channel, as four signs: subscribe, publish, history, presence; seq: of its publish."""
    signs = ''
    ws.send_json({'type': 'subscribe', 'channel': channel})
    answer = ws.recv_json()
    check_in((answer['type'], answer.get('code')), [('subscribed', None), ('error', 'forbidden')], f'subscribe {channel}')
    signs += '+' if answer['type'] == 'subscribed' else '-'
    ws.send_json({'type': 'data', 'channel': channel, 'seq': seq, 'payload': seq})
    verdict = None
    while True:  # the message itself comes where it is subscribed; an ack closes what a nack began
        answer = ws.recv_json()
        if answer['type'] == 'nack':
            check_equal((answer['seq'], answer['code']), (seq, 'forbidden'), f'publish into {channel}')
            verdict = '-'
        if answer['type'] == 'ack':
            check_equal(answer['seq'], seq, 'the publish that is acknowledged')
            check_equal(answer['offsets'][-1] is None, verdict == '-', f'the offset of {channel}')
            signs += verdict or '+'
            break
    ws.send_json({'type': 'history', 'channel': channel, 'id': 'h'})
    answer = ws.recv_json()
    while answer['type'] == 'data':
        answer = ws.recv_json()
    check_in((answer['type'], answer.get('code')), [('history', None), ('error', 'forbidden')], f'history of {channel}')
    if signs[0] == '+':
        ws.send_json({'type': 'unsubscribe', 'channel': channel})
        while ws.recv_json()['type'] != 'unsubscribed':
            pass
    signs += '+' if answer['type'] == 'history' else '-'
    ws.send_json({'type': 'presence', 'channel': channel, 'id': 'p'})
    answer = ws.recv_json()
    check_in((answer['type'], answer.get('code')), [('presence', None), ('error', 'forbidden')], f'presence of {channel}')
    return signs + ('+' if answer['type'] == 'presence' else '-')


@test
def an_anonymous_client_gets_what_the_table_says(t):
    server = start(t, workers=3)
    for encoding in range(3):  # on whichever workers these connections come
        ws = connect(t, server)
        for seq, (channel, signs) in enumerate(ANONYMOUS.items(), 1):
            check_equal(may(ws, channel, seq), signs, f'{channel}, connection {encoding}')
    wanted = {right: sum(signs[i] == '-' for signs in ANONYMOUS.values()) * 3 for i, right in enumerate(RIGHTS)}
    for right, count in wanted.items():
        check_equal(forbidden(server, right), count, f'counted: {right}')
    names = [one['channel'] for one in server.api('GET', '/api/channels').json['channels']]
    check_equal(sorted(names), ['news:1', 'open:', 'open:1', 'quiet:1'], 'what is refused makes no channel')
    wait_until(lambda: 'event=requests_forbidden cause=publish' in server.log(), 'it is in the log')


def token(claims):
    return jwt.encode({'exp': time.time() + 3600, **claims}, SECRET, algorithm='HS256')


@test(deadline=120)
def everybody_gets_what_the_table_says(t):
    key = tempfile.NamedTemporaryFile('w', prefix='holdfast-test-')
    t.cleanup(key.close)
    key.write(SECRET)
    key.flush()
    backend = t.own(Backend())
    backend.answers['subscribe'] = backend.answers['publish'] = lambda request: {'allow': request.get('user') == 'alice' or 'yes' in request['channel']}
    server = start(t, TOKEN_RULES, workers=3, auth_keys=f'HS256:{key.name}', auth_anonymous='true', **backend.keys('subscribe', 'publish'))
    wanted = dict.fromkeys(RIGHTS, 0)
    for who, (claims, rows) in WHO.items():
        for _ in range(2):  # on whichever workers these connections come
            ws = connect(t, server, ['holdfast.v1.json'] + ([f'hf.token.{token(claims)}'] if claims else []))
            for seq, (channel, signs) in enumerate(rows.items(), 1):
                check_equal(may(ws, channel, seq), signs, f'{channel} of {who}')
        for i, right in enumerate(RIGHTS):
            wanted[right] += 2 * sum(signs[i] == '-' for signs in rows.values())
    asked = {(request.get('user'), request['channel']) for hook in ('subscribe', 'publish') for request in backend.of(hook)}
    check(all(channel.startswith('ask:') for _, channel in asked), f'the backend is asked where a rule says so, and nowhere else: {asked}')
    check(('bob', 'ask:both:bob') not in asked, 'nor where another rule has said yes')
    check_equal({right: forbidden(server, right) for right in RIGHTS}, wanted, 'what is counted')


@test
def refused_and_applied_publishes_are_answered_in_order(t):
    server = start(t, workers=3)
    ws = connect(t, server)
    for seq in range(1, 201):
        channel = f'closed:{seq}' if seq % 7 == 0 else f'open:{seq % 5}'
        ws.send_json({'type': 'data', 'channel': channel, 'seq': seq, 'payload': seq})
    done, nacked = 0, []
    while done < 200:
        message = ws.recv_json()
        if message['type'] == 'nack':
            check_equal(message['code'], 'forbidden', 'code')
            check(message['seq'] > done, f'a nack comes before the ack that covers it: {message}')
            nacked.append(message['seq'])
        else:
            check_equal(message['type'], 'ack', 'an answer')
            offsets = message['offsets']
            for seq, offset in zip(range(message['seq'] - len(offsets) + 1, message['seq'] + 1), offsets):
                check_equal(seq, done + 1, 'acks leave none out')
                check_equal(offset is None, seq % 7 == 0, f'the offset of {seq}')
                done = seq
    check_equal(nacked, [seq for seq in range(1, 201) if seq % 7 == 0], 'refused, in order')
    kept = sum((server.post('/api/history', {'channel': f'open:{n}'})['messages'] for n in range(5)), [])
    check_equal(sorted(message['payload'] for message in kept), [seq for seq in range(1, 201) if seq % 7], 'applied once')


@test
def the_backend_may_use_every_channel_within_their_sizes(t):
    server = start(t)
    check_equal(server.publish('closed:1', 'x')['offset'], 1, 'offset')
    check_equal(len(server.post('/api/history', {'channel': 'closed:1'})['messages']), 1, 'its history')
    check_equal(server.publish('nowhere', 'x')['offset'], 1, 'a channel without a namespace')
    check_equal(server.publish('small:1', 'x' * 62)['offset'], 1, 'as long as it may be')
    answer = server.api('POST', '/api/publish', {'channel': 'small:1', 'payload': 'x' * 63})
    check_equal((answer.status, answer.json['code']), (413, 'too_large'), 'longer')
    results = server.post('/api/broadcast', {'channels': ['small:1', 'open:1'], 'payload': 'x' * 63})['results']
    check_equal([one.get('code') for one in results], ['too_large', None], 'a broadcast, channel by channel')


@test
def a_namespace_has_limits_of_its_own(t):
    server = start(t, workers=2)
    ws = connect(t, server)
    for n in range(5):
        server.publish('small:1', n)
        server.publish('news:1', n)
        server.publish('quiet:1', f'secret {n}')
    check_equal([m['payload'] for m in server.post('/api/history', {'channel': 'small:1'})['messages']], [3, 4], 'history.messages')
    check_equal(len(server.post('/api/history', {'channel': 'news:1'})['messages']), 5, 'the server\'s own')
    ws.send_json({'type': 'data', 'channel': 'small:1', 'seq': 1, 'payload': 'x' * 63})
    expect(ws, 'nack', seq=1, code='too_large')
    # In one write, so that they come in one moment of the server's.
    ws.send(b''.join(frame(TEXT, json.dumps(message).encode()) for seq in range(2, 6) for message in (
        {'type': 'data', 'channel': 'slow:1', 'seq': seq, 'payload': seq},
        {'type': 'data', 'channel': 'open:1', 'id': f'free {seq}', 'payload': seq})))
    refused, free, acked = [], 0, 0
    while free < 4 or acked < 5:
        message = ws.recv_json()
        free += message['type'] == 'ack' and 'id' in message
        acked = message.get('seq', acked) if message['type'] == 'ack' else acked
        refused += [message['seq']] if message['type'] == 'nack' else []
    check_equal(refused, [4, 5], 'the burst is over after two; other channels are not concerned')
    # The namespace's mode, and its history without the right to it.
    ws = connect(t, server)
    ws.send_json({'type': 'subscribe', 'channel': 'news:1'})
    expect(ws, 'subscribed', channel='news:1')
    expect(ws, 'data', channel='news:1', payload=4)
    ws.send_json({'type': 'subscribe', 'channel': 'quiet:1', 'last': 2})
    expect(ws, 'error', code='forbidden', channel='quiet:1')
    ws.send_json({'type': 'subscribe', 'channel': 'quiet:1', 'since': {'epoch': 'gone', 'offset': 2}})
    expect(ws, 'subscribed', channel='quiet:1', recovered=False)
    expect(ws, 'gap', channel='quiet:1', code='epoch')
    expect(ws, 'gap', channel='quiet:1', code='evicted')
    ws.send_json({'type': 'sync_request', 'channel': 'quiet:1', 'offset': 0})
    ws.send_json({'type': 'ping', 'id': 'p'})
    expect(ws, 'pong', id='p')


@test
def a_rule_that_is_none_ends_the_start_with_its_line(t):
    path = config_file(t, 'namespaces:\n  "chat:*":\n    allow: {publish: everybody}\n')
    status, _, err = run_holdfast('serve', '--config', path)
    check_equal(status, 2, 'exit status')
    check_equal(err, f"holdfast serve: {path}:3: namespaces.chat:*.allow.publish: 'everybody' is no rule; allowed is none, all, user, claim, "
                     'claim:NAME, backend, or a pattern with ${user}\n', 'what it says')


main()
