#!/usr/bin/python3
"""The admin page's side in the server (docs/admin.md): its files, who may ask what the page asks, and where it is told to be. The page itself: tests/browser."""
import hashlib
import html.parser
import os
import re
import signal
import sys
import tempfile
from urllib.parse import urljoin, urlsplit

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from holdfast_fixture import Fixture
from holdfast_server import Server
from holdfast_test import check, check_equal, main, test, wait_until
from tls_fixture import Certificates

on = Fixture(workers=2)
server, fresh = on.server, on.fresh
READ, FULL = 'a-key-that-reads', 'a-key-that-may-all'


def listed(name, right, key):
    return f'{name}={right}:{hashlib.sha256(key.encode()).hexdigest()}'


with_keys = Fixture(workers=2, arguments=('--set', f'api.keys={listed("viewer", "read", READ)},{listed("operator", "full", FULL)}')).server


def bearer(key, **more):
    return {'Authorization': f'Bearer {key}', **more}


def own_origin(of):
    return f'http://127.0.0.1:{of.api_port}'


class Page(html.parser.HTMLParser):
    """What a page loads, and what a strict Content-Security-Policy would not let it do."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.inline, self.inside = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.inline += [f'{tag} {name}' for name in attrs if name == 'style' or name.startswith('on')]
        if tag in ('script', 'img'):
            self.loads.append(attrs.get('src'))
        if tag == 'link':
            self.loads.append(attrs['href'])
        self.inside = tag if tag in ('script', 'style') else None

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside and data.strip():
            self.inline.append(self.inside)


@test
def the_page_is_served_with_its_files(t):
    page = server().api('GET', '/admin/')
    check_equal((page.status, page.headers['Content-Type']), (200, 'text/html; charset=utf-8'), 'GET /admin/')
    found = Page(page.body.decode())
    check_equal(found.inline, [], 'scripts and styles within the page')
    paths = {urlsplit(urljoin('http://here/admin/', one))[1:3] for one in found.loads}
    check_equal({host for host, _ in paths}, {'here'}, 'where they come from')
    check({'/admin/style.css', '/admin/page.js', '/admin/icon.svg'} <= {path for _, path in paths}, f'its files: {paths}')
    for _, path in paths:
        check_equal(server().api('GET', path).status, 200, f'GET {path}')
    check_equal([one for one in found.loads if one.startswith('/')], [], 'addresses that would not hold behind a proxy with a path of its own')


@test
def browsers_are_told_to_keep_it_apart(t):
    headers = server().api('GET', '/admin/').headers
    policy = dict(part.strip().split(' ', 1) for part in headers['Content-Security-Policy'].split(';'))
    wanted = {'default-src': "'none'", 'script-src': "'self'", 'style-src': "'self'", 'img-src': "'self'", 'connect-src': "'self'", 'base-uri': "'none'",
              'form-action': "'none'", 'frame-ancestors': "'none'", 'require-trusted-types-for': "'script'", 'trusted-types': "'none'"}
    check_equal(policy, wanted, 'Content-Security-Policy')
    wanted = {'X-Frame-Options': 'DENY', 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Resource-Policy': 'same-origin', 'Referrer-Policy': 'no-referrer',
              'X-Content-Type-Options': 'nosniff', 'Cache-Control': 'no-store'}
    check_equal({name: headers[name] for name in wanted}, wanted, 'headers')
    for path in ('/api/stats', '/admin/page.js'):
        check_equal(server().api('GET', path).headers['Cross-Origin-Resource-Policy'], 'same-origin', f'Cross-Origin-Resource-Policy of {path}')


@test
def other_ways_lead_to_it(t):
    for path in ('/', '/admin', '/?readonly'):
        answer = server().api('GET', path)
        check_equal((answer.status, urljoin(f'http://here{path}', answer.headers['Location'])), (302, 'http://here/admin/'), f'GET {path}')
    shown = t.own(Server(workers=1, arguments=('--demo',))).start()
    check('demo/page.js' in shown.api('GET', '/').body.decode(), 'where there is a demo, / is the demo')
    check_equal(shown.api('GET', '/admin/').status, 200, 'GET /admin/ beside the demo')


@test
def without_keys_its_own_page_may_all_and_other_pages_nothing(t):
    mine, body = own_origin(server()), {'channel': fresh(), 'payload': 1}
    for headers in ({}, {'Origin': mine}):
        check_equal(server().api('GET', '/api/access', headers=headers).json['right'], 'full', f'right with {headers}')
        check_equal(server().api('POST', '/api/publish', body, headers=headers).status, 200, f'publish with {headers}')
    port = server().api_port
    others = ('https://evil.example', f'http://localhost:{port}', 'http://127.0.0.1:1', 'null')  # Another name is another origin.
    for headers in [{'Origin': origin} for origin in others] + [{'Origin': f'http://evil.example:{port}', 'Host': f'evil.example:{port}'}, {'Host': f'evil.example:{port}'}]:
        for method, path in (('GET', '/api/access'), ('POST', '/api/publish'), ('GET', '/api/sessions')):
            answer = server().api(method, path, body if method == 'POST' else None, headers=headers)
            check_equal((answer.status, answer.json['code']), (403, 'forbidden'), f'{method} {path} with {headers}')
    check_equal(server().post('/api/history', {'channel': body['channel']})['offset'], 2, 'what was published')


@test
def with_keys_each_may_what_it_may(t):
    keyed, body = with_keys(), {'channel': fresh(), 'payload': 1}
    for path in ('/admin/', '/admin/page.js', '/admin/style.css', '/admin/icon.svg'):
        check_equal(keyed.api('GET', path).status, 200, f'GET {path} without a key')
    for headers in ({}, {'Origin': own_origin(keyed)}, bearer('wrong')):
        check_equal(keyed.api('GET', '/api/access', headers=headers).status, 401, f'GET /api/access with {headers}')
        check_equal(keyed.api('GET', '/api/stats', headers=headers).status, 401, f'GET /api/stats with {headers}')
    for name, key, right, status in (('viewer', READ, 'read', 403), ('operator', FULL, 'full', 200)):
        access = keyed.api('GET', '/api/access', headers=bearer(key))
        wanted = {'right': right, 'key': name, 'workers': 2}
        check_equal({member: access.json[member] for member in wanted}, wanted, f'GET /api/access of {name}')
        check(re.fullmatch(r'\d+\.\d+\.\d+', access.json['version']), f'version: {access}')
        check_equal(keyed.api('POST', '/api/publish', body, headers=bearer(key, Origin=own_origin(keyed))).status, status, f'publish by {name}')
        check_equal(keyed.api('GET', '/api/sessions', headers=bearer(key)).status, 200, f'sessions for {name}')


@test
def it_can_be_taken_away_and_given_back(t):
    with tempfile.NamedTemporaryFile('w', prefix='holdfast-test-', suffix='.yaml') as file:
        def write(text):
            file.seek(0)
            file.truncate()
            file.write(text)
            file.flush()
        write('api: {admin: false}\n')
        mine = t.own(Server(workers=2, arguments=('--config', file.name))).start()
        for path in ('/', '/admin', '/admin/', '/admin/page.js'):
            check_equal(mine.api('GET', path).status, 404, f'GET {path} without api.admin')
        check_equal(mine.api('GET', '/api/access').json['right'], 'full', 'the API is as ever')
        wait_until(lambda: 'is serving' in mine.log(), 'the ready text is there')
        check('/admin/' not in mine.log(), 'the ready text names no page that is not there')
        write('api: {admin: true}\n')
        mine.terminate(signal.SIGHUP)
        for _ in range(8):  # in whichever worker
            wait_until(lambda: mine.api('GET', '/admin/').status == 200, 'it is there after SIGHUP')


@test
def the_ready_text_names_it(t):
    wanted = f'http://127.0.0.1:{server().api_port}/admin/ '
    wait_until(lambda: wanted in server().log(), f'the ready text has {wanted}')
    certificate = Certificates(t).make('admin', 'admin.test')
    mine = t.own(Server(workers=1, arguments=('--set', 'api.tls=true', '--set', f'tls.certificates={certificate}')))
    mine.start(ready=False)
    wait_until(lambda: f'https://127.0.0.1:{mine.api_port}/admin/ ' in mine.log(), 'with api.tls it is https')


main()
