#!/usr/bin/python3
"""
Tokens (JWT), keys of the API, origins: who may come in. The tokens are made by Debian's python3-jwt, which we did not write, and ours are read by it.
"""
import json
import os
import signal
import tempfile
import time

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from holdfast_client import Client
from holdfast_fixture import Fixture, expect
from holdfast_server import Command, Server, free_port, run_holdfast
from holdfast_test import check, check_equal, main, test, wait_until
from raw_ws import Closed, RawWs, Refused

JSON = ['holdfast.v1.json']
FOLDER = tempfile.TemporaryDirectory(prefix='holdfast-test-')
SECRET, OTHER = 's' * 64, 'o' * 64


def write(name, text):
    path = os.path.join(FOLDER.name, name)
    with open(path + '.new', 'w', encoding='ascii') as f:
        f.write(text)
    os.rename(path + '.new', path)
    return path


def pair(name, private):
    """A private key, and the file with its public half."""
    write(f'{name}.key', private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode())
    public = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private, write(f'{name}.pem', public.decode())


RSA, RSA_FILE = pair('rsa', rsa.generate_private_key(public_exponent=65537, key_size=2048))
EC, EC_FILE = pair('ec', ec.generate_private_key(ec.SECP256R1()))
ED, ED_FILE = pair('ed', ed25519.Ed25519PrivateKey.generate())
SECRET_FILE = write('secret', SECRET + '\n')

# kid: (algorithm, what signs, the server's file)
KEYS = {'hs256': ('HS256', SECRET, SECRET_FILE), 'hs384': ('HS384', SECRET, SECRET_FILE), 'hs512': ('HS512', SECRET, SECRET_FILE),
        'rs256': ('RS256', RSA, RSA_FILE), 'es256': ('ES256', EC, EC_FILE), 'eddsa': ('EdDSA', ED, ED_FILE)}
ALL_KEYS = ','.join(f'{kid}={alg}:{path}' for kid, (alg, _, path) in KEYS.items())

on = Fixture(workers=2, auth_keys=ALL_KEYS, auth_issuer='https://id.example.org', auth_audience='chat', auth_leeway='0ms')
server, fresh = on.server, on.fresh


def token(user='alice', kid='hs256', seconds=3600, key=None, alg=None, headers=None, **claims):
    """A good token, but for what is said otherwise; a claim that is None is left out."""
    made = {'sub': user, 'iss': 'https://id.example.org', 'aud': 'chat', 'exp': time.time() + seconds, **claims}
    return jwt.encode({name: value for name, value in made.items() if value is not None}, key or KEYS[kid][1], algorithm=alg or KEYS[kid][0],
                      headers={'kid': kid} if headers is None else headers)


class TokenClient(Client):
    """The reference client, with a token."""

    def __init__(self, port, made, **options):
        super().__init__(port, **options)
        self.token = made

    def opening(self, resume='protocol', attempt=None):
        path, protocols, headers = super().opening(resume, attempt)
        return path, [*protocols, f'hf.token.{self.token}'], headers


def client(t, made, of=None):
    return t.own(TokenClient((of or server()).port, made)).connect()


def ask(made, port=None, path='/ws', headers=()):
    """The server's answer to a handshake with this token."""
    ws = RawWs(port or server().port)
    try:
        return ws.upgrade(path, JSON + ([f'hf.token.{made}'] if made else []), headers=headers)
    finally:
        ws.close()


def short_lived(connect):
    """connect(token) with one that ends soon; on a machine that is too busy for that, with one that ends later."""
    for seconds in (2, 8, 32):
        try:
            return connect(token(seconds=seconds))
        except Refused as refused:
            check_equal(refused.response.status, 401, 'why it was refused')
    return connect(token(seconds=120))


# What is good

@test
def every_algorithm_of_a_strange_library_is_taken(t):
    for kid in KEYS:
        room = fresh()
        c = client(t, token(user=f'user of {kid}', kid=kid))
        c.subscribe(room, wait=True)
        c.publish(room, kid)
        check_equal(c.pump_count(room, 1), [kid], 'its own message')
        check_equal(c.channels[room].messages[0]['from'], f'user of {kid}', 'from')
        stored = server().post('/api/history', {'channel': room})['messages'][0]
        check_equal(stored['from'], f'user of {kid}', 'from in the history')


@test
def a_token_comes_by_header_and_query_too(t):
    made = token()
    check_equal(ask(None, headers=[('Authorization', f'Bearer {made}')]).status, 101, 'by header')
    check_equal(ask(None, path=f'/ws?token={made}').status, 101, 'by query')
    check(made not in server().log(), 'no log shows it')


# What is not

def tampered(made, part):
    parts = made.split('.')
    at = len(parts[part]) // 2
    parts[part] = parts[part][:at] + ('A' if parts[part][at] != 'A' else 'B') + parts[part][at + 1:]
    return '.'.join(parts)


FAULTS = [
    ('missing', lambda: None, 'no token'),
    ('malformed', lambda: 'abc', 'no JWT'),
    ('malformed', lambda: token() + '.x', 'no JWT'),
    ('malformed', lambda: 'e30.e30.AA', 'no alg'),
    ('malformed', lambda: token()[:-2] + '==', 'no JWT'),
    ('too_long', lambda: token(pad='x' * 4096), '4,096'),
    ('unsigned', lambda: jwt.encode({'sub': 'alice', 'iss': 'https://id.example.org', 'aud': 'chat'}, None, algorithm='none'), 'not signed'),
    ('unsigned', lambda: token().rsplit('.', 1)[0] + '.', 'not signed'),
    ('key', lambda: token(headers={'kid': 'nobody'}), 'kid'),
    ('key', lambda: token(headers={}), 'no kid'),
    ('algorithm', lambda: token(kid='hs256', alg='HS512'), 'alg'),
    ('algorithm', lambda: token(kid='rs256', key=SECRET, alg='HS256'), 'alg'),
    ('signature', lambda: token(key=OTHER), 'signature'),
    ('signature', lambda: tampered(token(), 1), 'signature'),
    ('signature', lambda: tampered(token(), 2), 'signature'),
    ('signature', lambda: tampered(token(kid='rs256'), 2), 'signature'),
    ('signature', lambda: tampered(token(kid='es256'), 2), 'signature'),
    ('signature', lambda: tampered(token(kid='eddsa'), 2), 'signature'),
    ('signature', lambda: token(kid='es256', key=ec.generate_private_key(ec.SECP256R1())), 'signature'),
    ('expired', lambda: token(seconds=-5), 'expired'),
    ('not_yet', lambda: token(nbf=time.time() + 3600), 'not good yet'),
    ('audience', lambda: token(aud='mail'), 'aud'),
    ('audience', lambda: token(aud=None), 'aud'),
    ('issuer', lambda: token(iss='https://evil.example.org'), 'iss'),
    ('issuer', lambda: token(iss=None), 'iss'),
    ('claims', lambda: token(user=None), 'sub'),
    ('claims', lambda: token(exp='soon'), 'exp'),
    ('claims', lambda: token(info='i' * 1100), 'info'),
]


def refused(cause, of=None):
    return (of or server()).metrics().get(f'holdfast_tokens_refused_total{{cause="{cause}"}}', 0)


@test
def every_fault_is_told_and_counted(t):
    for cause, make, words in FAULTS:
        before = refused(cause)
        answer = ask(make())
        check_equal(answer.status, 401, f'status for {cause}')
        check_equal(answer.headers.get('www-authenticate'), 'Bearer', 'WWW-Authenticate')
        check_equal(refused(cause), before + 1, f'counted as {cause}: {words}')
        body = json.loads(answer.body)
        check_equal(body['code'], 'unauthorized', f'code for {cause}')
        check(words in body['reason'], f'the reason for {cause} says "{words}": {body["reason"]}')
        check(SECRET not in body['reason'] and len(body['reason']) <= 123, f'the reason is short: {body["reason"]}')


@test
def two_tokens_are_one_too_many(t):
    before = refused('several')
    check_equal(ask(token(), headers=[('Authorization', f'Bearer {token()}')]).status, 401, 'status')
    check_equal(refused('several'), before + 1, 'counted')


@test
def a_page_is_told_by_its_close_code(t):
    ws = t.own(RawWs(server().port))
    check_equal(ws.upgrade('/ws', JSON + ['hf.token.abc'], headers=[('Origin', 'https://example.org')]).status, 101, 'status')
    try:
        ws.recv_json()
        check(False, 'it is closed')
    except Closed as closed:
        check_equal(closed.code, 4002, 'close code')
        check('no JWT' in closed.reason, 'reason')


# The session

@test
def only_its_user_resumes_a_session(t):
    room = fresh()
    c = client(t, token('alice'))
    c.subscribe(room, wait=True)
    c.publish(room, 1)
    c.wait_acked()
    c.pump_count(room, 1)
    c.settle()
    for round in range(8):  # Both workers have their turn.
        c.cut()
        thief = t.own(TokenClient(server().port, token('bob')))
        thief.ticket = c.ticket
        _, protocols, _ = thief.opening()
        ws = t.own(RawWs.open(server().port, protocols=[p for p in protocols if not p.startswith('holdfast.v1.bin')]))
        welcome = expect(ws, 'welcome')
        check_equal((welcome['resumed'], welcome['lastSeq'], welcome['channels']), (False, None, []), 'what a stranger gets')
        check(welcome['ticket'] != c.ticket, 'a session of his own')
        c.token = token('alice', kid=list(KEYS)[round % len(KEYS)])
        c.connect()
        check_equal((c.welcome['resumed'], c.welcome['lastSeq']), (True, 1), 'what she gets')


@test
def a_token_that_ends_closes_and_a_fresh_one_resumes(t):
    room = fresh()
    c = short_lived(lambda made: client(t, made))
    c.subscribe(room, wait=True)
    try:
        c.pump(lambda: False, 'close 4002', deadline_s=200)
        check(False, 'it is closed')
    except Closed as closed:
        check_equal(closed.code, 4002, 'close code')
    server().publish(room, 'while it was away')
    c.cut()
    c.token = token()
    c.connect()
    check_equal(c.welcome['resumed'], True, 'resumed')
    check_equal(c.pump_count(room, 1), ['while it was away'], 'what it missed')


@test
def a_fresh_token_keeps_the_connection(t):
    def connect(made):
        ws = t.own(RawWs.open(server().port, protocols=JSON + [f'hf.token.{made}']))
        expect(ws, 'welcome')
        return ws, jwt.decode(made, options={'verify_signature': False})['exp']
    ws, ends = short_lived(connect)
    ws.send_json({'type': 'refresh', 'token': token('bob')})
    expect(ws, 'error', code='unauthorized', re='refresh')
    ws.send_json({'type': 'refresh', 'token': tampered(token(), 1)})
    expect(ws, 'error', code='unauthorized', re='refresh')
    before = server().metrics().get('holdfast_tokens_refreshed_total', 0)
    ws.send_json({'type': 'refresh', 'token': token()})
    ws.send_json({'type': 'ping', 'id': 'taken'})
    expect(ws, 'pong', id='taken')  # No error came before it.
    check_equal(server().metrics()['holdfast_tokens_refreshed_total'], before + 1, 'counted')
    wait_until(lambda: time.time() > ends + 0.5, 'the first token has ended', deadline_s=200)
    ws.send_json({'type': 'ping', 'id': 'alive'})
    expect(ws, 'pong', id='alive')


# Keys that change

def hup(of, event):
    seen = of.log().count(f'event={event}')
    os.kill(of.process.pid, signal.SIGHUP)
    wait_until(lambda: of.log().count(f'event={event}') > seen, f'{event} in the log')


@test
def keys_are_read_anew_on_sighup(t):
    path = write('rotated', SECRET)
    mine = t.own(Server(workers=2, auth_keys=f'k=HS256:{path}')).start()

    def status(secret):
        return ask(jwt.encode({'sub': 'alice'}, secret, algorithm='HS256', headers={'kid': 'k'}), port=mine.port).status
    standing = t.own(RawWs.open(mine.port, protocols=JSON + ['hf.token.' + jwt.encode({'sub': 'alice'}, SECRET, algorithm='HS256')]))
    expect(standing, 'welcome')
    check_equal((status(SECRET), status(OTHER)), (101, 401), 'at first')
    write('rotated', 'short')
    hup(mine, 'keys_kept')
    check('needs 32' in mine.log(), 'the log says why')
    check_equal((status(SECRET), status(OTHER)), (101, 401), 'a bad file changes nothing')
    write('rotated', OTHER)
    hup(mine, 'keys_reloaded')
    wait_until(lambda: [status(SECRET) for _ in range(6)] == [401] * 6, 'every worker refuses what the old key has signed')
    wait_until(lambda: [status(OTHER) for _ in range(6)] == [101] * 6, 'every worker takes what the new one has')
    try:
        standing.recv_json()
        check(False, 'who came in with the old key is closed')
    except Closed as closed:
        check_equal(closed.code, 4002, 'close code')
        check('the key that has signed' in closed.reason, f'reason: {closed.reason}')
    pid = mine.worker_pids()[0]
    mine.kill_worker(pid)
    mine.wait_workers(without=[pid])
    wait_until(lambda: [status(OTHER) for _ in range(6)] == [101] * 6, 'a new worker has the new key')
    metrics = mine.metrics()
    check_equal(metrics['holdfast_tokens_revoked_total'], 1, 'the one that was ended is counted')
    check_equal((metrics['holdfast_key_reloads_total{result="ok"}'], metrics['holdfast_key_reloads_total{result="failed"}']), (1, 1), 'counted')


@test(deadline=90)
def a_key_that_is_taken_out_ends_its_connections_and_they_resume(t):
    old, new = write('old', SECRET), write('new', OTHER)
    path = write('keys.yaml', f'auth: {{keys: ["old=HS256:{old}", "new=HS256:{new}"]}}\n')
    mine = t.own(Server(workers=3, arguments=('--config', path))).start()

    def made(kid, user):
        return jwt.encode({'sub': user}, {'old': SECRET, 'new': OTHER}[kid], algorithm='HS256', headers={'kid': kid})
    stays = [client(t, made('new', f'stays {n}'), mine) for n in range(6)]
    leaves = [client(t, made('old', f'leaves {n}'), mine) for n in range(12)]  # on whichever workers
    for c in stays + leaves:
        c.subscribe('room', wait=True)
    hup(mine, 'keys_reloaded')  # Nothing has changed.
    write('keys.yaml', f'auth: {{keys: ["new=HS256:{new}"]}}\n')
    hup(mine, 'keys_reloaded')
    for c in leaves:
        try:
            c.pump(lambda: False, 'close 4002')
            check(False, 'it is closed')
        except Closed as closed:
            check_equal(closed.code, 4002, 'close code')
            check('the key that has signed' in closed.reason, f'reason: {closed.reason}')
    mine.publish('room', 'while they were away')
    for n, c in enumerate(leaves):
        c.cut()
        try:
            c.connect()
            check(False, 'the old token lets nobody in')
        except Refused as refused:
            check_equal(refused.response.status, 401, 'with the old token')
        c.token = made('new', f'leaves {n}')
        c.connect()
        check_equal(c.welcome['resumed'], True, 'resumed')
    for c in stays + leaves:
        check_equal(c.pump_count('room', 1), ['while they were away'], 'what was published')
    check_equal(mine.metric('holdfast_tokens_revoked_total'), len(leaves), 'they are counted, and no others')
    wait_until(lambda: 'event=tokens_revoked cause=key_gone' in mine.log(), 'it is in the log')


# Starting

@test
def bad_keys_end_the_start(t):
    for keys, words in ((f'HS256:{FOLDER.name}/nothing', 'No such file'), (f'HS256:{RSA_FILE}', 'PEM'), (f'RS256:{EC_FILE}', 'RSA key'),
                        (f'RS256:{FOLDER.name}/rsa.key', 'private key'), ('none:x', 'KID=ALG:FILE')):
        status, _, said = run_holdfast('serve', '--listen', f'127.0.0.1:{free_port()}', '--api', 'none', '--workers', '1', '--set', f'auth.keys={keys}')
        check_equal((status, said.strip().count('\n')), (2, 0), f'exit status and lines for {keys}: {said}')
        check(words in said, f'why {keys} is refused')


@test
def other_machines_are_served_where_it_is_said(t):
    address = f'0.0.0.0:{free_port()}'
    status, _, said = run_holdfast('serve', '--listen', address, '--api', 'none', '--workers', '1')
    check_equal((status, said.count('\n')), (2, 1), 'exit status, lines')
    check(address in said and 'auth.anonymous=true' in said and 'auth.keys' in said, f'it says what to do: {said}')


@test
def anonymous_ones_come_in_where_it_is_said(t):
    mine = t.own(Server(workers=1, auth_keys=f'HS256:{SECRET_FILE}', auth_anonymous='true')).start()
    check_equal(ask(None, port=mine.port).status, 101, 'without a token')
    check_equal(ask('abc', port=mine.port).status, 401, 'with a bad one')


@test
def pages_of_other_origins_are_refused(t):
    mine = t.own(Server(workers=1, auth_origins='https://example.org,https://*.test')).start()
    for origin, status in ((None, 101), ('https://example.org', 101), ('https://a.b.test', 101), ('https://evil.org', 403), ('null', 403), ('https://test', 403)):
        answer = ask(None, port=mine.port, headers=[('Origin', origin)] if origin else [])
        check_equal(answer.status, status, f'status for {origin}')
    check_equal(mine.metrics()['holdfast_handshakes_refused_total{cause="origin"}'], 3, 'counted')


# The commands

@test
def our_tokens_are_good_elsewhere(t):
    for kid, (alg, _, path) in KEYS.items():
        key = path.replace('.pem', '.key')
        status, out, err = run_holdfast('token', 'make', '--key', key, '--alg', alg, '--kid', kid, '--user', 'alice', '--expires', '1h', '--audience', 'chat',
                                        '--issuer', 'https://id.example.org', '--claim', 'role=admin', '--claim', 'n=[1,2]', '--info', '{"name":"A"}')
        check_equal((status, err), (0, ''), f'make with {alg}')
        made = out.strip()
        verifier = SECRET if alg.startswith('HS') else open(path, encoding='ascii').read()
        claims = jwt.decode(made, verifier, algorithms=[alg], audience='chat', issuer='https://id.example.org')
        check_equal((claims['sub'], claims['role'], claims['n'], claims['info']), ('alice', 'admin', [1, 2], {'name': 'A'}), 'claims')
        check_equal(claims['exp'] - claims['iat'], 3600, 'exp')
        check_equal(jwt.get_unverified_header(made), {'alg': alg, 'kid': kid, 'typ': 'JWT'}, 'header')
        check_equal(ask(made).status, 101, f'the server takes it')
        judge = ('token', 'show', '--key', path, '--alg', alg, '--audience', 'chat', '--issuer', 'https://id.example.org')
        status, out, _ = run_holdfast(*judge, made)
        check_equal(status, 0, 'show of a good one')
        check('good: it is of user alice' in out, 'what show says')
        status, out, _ = run_holdfast(*judge, tampered(made, 2))
        check_equal(status, 1, 'show of a bad one')
        check('refused: the token' in out, 'what show says')


@test
def wrong_uses_of_token_are_told(t):
    for arguments, words in (((), 'make, show or api-key'), (('nonsense',), 'nonsense'), (('make',), '--key'), (('make', '--key', SECRET_FILE), '--user'),
                             (('make', '--key', SECRET_FILE, '--user', 'a', '--alg', 'none'), '--alg'), (('make', '--key', SECRET_FILE, '--user', 'a', '--claim', 'x'), 'NAME=VALUE'),
                             (('make', '--key', SECRET_FILE, '--user', 'a', '--expires', '1y'), '1y'), (('make', '--key', SECRET_FILE, '--user', 'a', '--info', '{'), 'JSON'),
                             (('show', 'a', 'b'), 'one token'), (('api-key',), 'NAME'), (('api-key', 'a=b'), 'a=b'), (('make', '--nonsense'), '--nonsense')):
        status, _, said = run_holdfast('token', *arguments)
        check_equal((status, said.count('\n')), (2, 1), f'exit status and lines of {arguments}')
        check(words in said, f'what {arguments} says')
    for arguments, words in ((('make', '--key', RSA_FILE, '--alg', 'RS256', '--user', 'a'), 'public key'), (('make', '--key', '/nonexistent', '--user', 'a'), '/nonexistent'),
                             (('make', '--key', SECRET_FILE, '--user', 'u' * 300), '255'), (('show', 'abc'), 'no JWT')):
        status, _, said = run_holdfast('token', *arguments)
        check_equal((status, said.count('\n')), (1, 1), f'exit status and lines of {arguments}')
        check(words in said, f'what {arguments} says')


@test
def our_commands_bring_a_token(t):
    room = fresh()
    url = f'ws://127.0.0.1:{server().port}/ws'
    out = t.own(Command('sub', '--url', url, '--token', token(), '--last', '1', room))
    server().publish(room, 'hello')
    wait_until(lambda: any('hello' in line for line in out.lines), 'sub with a token')
    status, _, said = run_holdfast('pub', '--url', url, '--token', token(seconds=-60), room, 'x')
    check_equal(status, 1, 'pub with an old one')
    check('401' in said, 'what it says')


@test
def a_key_of_the_api_may_what_its_line_says(t):
    keys, lines = {}, []
    for name, more in (('backend', []), ('grafana', ['--read'])):
        status, out, err = run_holdfast('token', 'api-key', name, *more)
        check_equal(status, 0, 'exit status')
        keys[name] = out.strip()
        lines.append(err.strip().split('\n')[-1].strip('- '))
        check(keys[name] not in err, 'the line has no key')
    mine = t.own(Server(workers=1, api_keys=','.join(lines))).start()

    def status(method, path, key, body=None):
        return mine.api(method, path, body, headers={'Authorization': f'Bearer {key}'}).status
    check_equal(status('POST', '/api/publish', keys['backend'], {'channel': 'a', 'payload': 1}), 200, 'full: publish')
    check_equal(status('POST', '/api/publish', keys['grafana'], {'channel': 'a', 'payload': 1}), 403, 'read: publish')
    check_equal(status('POST', '/api/history', keys['grafana'], {'channel': 'a'}), 200, 'read: history')
    check_equal(status('GET', '/metrics', keys['grafana']), 200, 'read: metrics')
    check_equal(status('GET', '/metrics', lines[1].split(':')[1]), 401, 'the hash is no key')
    check_equal(mine.api('GET', '/metrics').status, 401, 'without one')


main()
