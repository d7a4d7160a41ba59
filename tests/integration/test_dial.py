#!/usr/bin/python3
"""How our own client makes a connection: names, races of addresses, several servers, proxies, TLS tickets."""
import base64
import os
import signal
import time

from dial_fixture import BlackHole, NameServer, Proxy
from holdfast_server import Command, Server, SharedServer, free_port, run_holdfast
from holdfast_test import DEADLINE_S, PATIENCE, check, check_equal, main, test, wait_until
from tls_fixture import Certificates, TlsServer

server = SharedServer(workers=1)


def environment(**variables):
    """That of this process, with no proxy but those named."""
    plain = {name: value for name, value in os.environ.items() if not name.lower().endswith('_proxy')}
    return {**plain, **variables}


def pub(url, *options, env=None, timeout='20', deadline_s=DEADLINE_S * 3):
    """Publish once: (status, what it says on standard error, seconds that it took)."""
    urls = [part for one in ([url] if isinstance(url, str) else url) for part in ('--url', one)]
    began = time.monotonic()
    status, _, err = run_holdfast('pub', '-v', '--timeout', timeout, *urls, *options, 'room', 'hello', env=env or environment(), deadline_s=deadline_s)
    return status, err, time.monotonic() - began


def check_pub(url, *options, env=None):
    """Publish once, which must succeed; returns what it says and how long it took."""
    status, err, took = pub(url, *options, env=env)
    check_equal(status, 0, f'exit status; {err!r}')
    return err, took


def check_why(words, url, *options, env=None, timeout='0.5'):
    """Publishing must fail, and the first attempt's cause have these words; returns the line."""
    status, err, _ = pub(url, *options, env=env, timeout=timeout)
    check_equal(status, 1, f'exit status; {err!r}')
    first = err.splitlines()[0]
    check(first.startswith('holdfast: no connection (') and words in first, f'the cause has {words!r}: {first!r}')
    return first


class InEnvironment(Command):
    def __init__(self, *arguments, env):
        self.env = env
        super().__init__(*arguments)

    def launch(self, arguments, **options):
        return super().launch(arguments, env=self.env, **options)


class Sub:
    """`holdfast sub`, which must end well."""

    def __init__(self, t, urls, *options, env=None, channel='room'):
        arguments = [part for one in urls for part in ('--url', one)]
        self.command = t.own(InEnvironment('sub', '-v', *arguments, *options, channel, env=env or environment()))
        self.lines, self.errors = self.command.lines, self.command.error_lines

    def wait_line(self, line):
        wait_until(lambda: line in self.lines, f'{line!r} is received; {self.errors[-3:]}', DEADLINE_S * 3)

    def end(self):
        self.command.process.send_signal(signal.SIGINT)
        check_equal(self.command.wait(), 0, f'exit status of sub; {self.errors[-3:]}')


def url_of(host, path='/ws', port=None):
    return f'ws://{host}:{port or server().port}{path}'


def dns_of(dns):
    return ('--dns-servers', dns.at)


# Names

@test
def both_families_are_asked_for(t):
    dns = t.own(NameServer({'one.test': ['127.0.0.1']}))
    check_pub(url_of('one.test'), *dns_of(dns))
    check_equal(sorted(dns.asked), [('one.test', 'A'), ('one.test', 'AAAA')], 'questions')


@test
def numbers_localhost_and_the_hosts_file_need_no_server(t):
    dns = t.own(NameServer({}))
    for host in ('127.0.0.1', 'localhost', 'LocalHost.', 'a.localhost', '[::ffff:127.0.0.1]'):
        check_pub(url_of(host), *dns_of(dns))
    check_equal(dns.asked, [], 'questions')


@test
def an_answer_that_fails_is_told(t):
    dns = t.own(NameServer({'none.test': []}))
    check_why('look-up of no.test: there is no such name', url_of('no.test'), *dns_of(dns))
    check_why('look-up of none.test: ', url_of('none.test'), *dns_of(dns))
    dns.failing = True
    check_why('look-up of no.test: ', url_of('no.test'), *dns_of(dns))


@test
def silent_name_servers_are_told(t):
    dns = t.own(NameServer({'one.test': ['127.0.0.1']}))
    dns.delay_s = {'A': None, 'AAAA': None}
    check_why('look-up of one.test: no name server answered', url_of('one.test'), *dns_of(dns), timeout='5')
    check(len(dns.asked) > 2, f'it asks again: {dns.asked}')


@test
def a_lost_question_is_repeated(t):
    dns = t.own(NameServer({'one.test': ['127.0.0.1']}))
    dns.delay_s = {'A': None, 'AAAA': None}
    sub = Sub(t, [url_of('one.test')], *dns_of(dns), '--last', '1')
    wait_until(lambda: len(dns.asked) >= 2, 'both are asked')
    dns.delay_s = {'A': 0, 'AAAA': 0}
    server().publish('room', 'again')
    sub.wait_line('again')
    check(not any('no connection' in line for line in sub.errors), f'within the first attempt: {sub.errors}')
    sub.end()


@test
def a_slow_answer_for_ipv6_is_not_waited_for(t):
    dns = t.own(NameServer({'one.test': ['127.0.0.1']}))
    dns.delay_s = {'A': 0, 'AAAA': None}
    err, took = check_pub(url_of('one.test'), *dns_of(dns))
    check(took < 0.9 * PATIENCE, f'50 ms, and not until the question is repeated: {took:.3f} s')
    check('no connection' not in err, f'the first attempt: {err!r}')


@test
def a_name_server_on_two_addresses(t):
    dead = f'127.0.0.1:{free_port()}'
    dns = t.own(NameServer({'one.test': ['127.0.0.1']}))
    check_pub(url_of('one.test'), '--dns-servers', f'{dead},{dns.at}')


# The race

@test
def a_silent_ipv6_address_costs_a_stagger(t):
    t.own(BlackHole('::1', server().port))
    dns = t.own(NameServer({'one.test': ['::1', '127.0.0.1']}))
    err, took = check_pub(url_of('one.test'), *dns_of(dns))
    check('no connection' not in err, f'the first attempt: {err!r}')
    check(0.25 <= took < 0.25 + 0.7 * PATIENCE, f'it took {took:.3f} s')


@test
def many_silent_addresses(t):
    for address in ('127.0.0.2', '127.0.0.3', '127.0.0.4'):
        t.own(BlackHole(address, server().port))
    dns = t.own(NameServer({'one.test': ['127.0.0.2', '127.0.0.3', '127.0.0.4', '127.0.0.1']}))
    err, took = check_pub(url_of('one.test'), *dns_of(dns))
    check('no connection' not in err and took >= 0.75, f'the first attempt, after three staggers: {took:.3f} s, {err!r}')


@test
def more_addresses_than_a_race_has(t):
    dead = [f'127.0.0.{n}' for n in range(2, 8)]  # nothing listens there: refused at once
    dns = t.own(NameServer({'one.test': dead + ['127.0.0.1']}, ttl=600))
    err, _ = check_pub(url_of('one.test'), *dns_of(dns))
    check_equal(err.count('no connection'), 1, f'the second race has the others: {err!r}')


@test
def what_does_not_answer_is_told(t):
    port = free_port()
    line = check_why('Connection refused', f'ws://127.0.0.1:{port}/ws')
    check(f'127.0.0.1:{port}' in line, line)
    dns = t.own(NameServer({'one.test': ['127.0.0.2', '127.0.0.3']}))
    check_why('one.test: 127.0.0.', f'ws://one.test:{port}/ws', *dns_of(dns))
    t.own(BlackHole('127.0.0.2', port))
    dns.names['one.test'] = ['127.0.0.2']
    line = check_why('connect to one.test: timed out: no answer from 127.0.0.2', f'ws://one.test:{port}/ws', *dns_of(dns), timeout='5')
    check('within 4.0 s' in line or PATIENCE > 1, line)


# What is known from before

def restarted(t, dns, change):
    """A client that has been connected, its server gone and there again after change(): what it says."""
    one = t.own(Server(workers=1)).start()
    sub = Sub(t, [f'ws://one.test:{one.port}/ws'], *dns_of(dns))
    wait_until(lambda: any('began session' in line for line in sub.errors), 'connected', DEADLINE_S * 3)
    one.close()
    change()
    one.start()
    wait_until(lambda: any('the session was lost; began session' in line for line in sub.errors), f'connected again; {sub.errors}', DEADLINE_S * 6)
    sub.end()
    return sub.errors


@test
def silent_name_servers_do_not_keep_a_client_away(t):
    dns = t.own(NameServer({'one.test': ['127.0.0.1']}))

    def silence():
        dns.delay_s = {'A': None, 'AAAA': None}
    errors = restarted(t, dns, silence)
    check(not any('look-up' in line for line in errors), f'what was known is used: {errors}')


@test
def failing_name_servers_do_not_keep_a_client_away(t):
    dns = t.own(NameServer({'one.test': ['127.0.0.1']}))

    def failure():
        dns.failing = True
    errors = restarted(t, dns, failure)
    check(not any('look-up' in line for line in errors), f'what was known is used: {errors}')


@test
def addresses_are_fresh_as_long_as_their_ttl(t):
    for ttl, questions in ((600, 2), (0, 4)):
        proxy = proxied(t)
        dns = t.own(NameServer({'proxy.test': ['127.0.0.1']}, ttl=ttl))
        sub = Sub(t, [url_of('one.test')], *dns_of(dns), '--proxy', f'proxy.test:{proxy.at.partition(":")[2]}')
        wait_until(lambda: any('began session' in line for line in sub.errors), 'connected', DEADLINE_S * 3)
        proxy.cut()
        wait_until(lambda: any('resumed session' in line for line in sub.errors), f'connected again; {sub.errors}', DEADLINE_S * 3)
        check_equal(len(dns.asked), questions, f'questions with a TTL of {ttl} s')
        sub.end()


@test
def a_server_that_moves_is_followed(t):
    dns = t.own(NameServer({'one.test': ['127.0.0.1']}, ttl=600))
    one = t.own(Server(workers=1)).start()
    two = t.own(Server(workers=1))
    two.arguments[two.arguments.index('--listen') + 1] = f'127.0.0.2:{one.port}'
    sub = Sub(t, [f'ws://one.test:{one.port}/ws'], *dns_of(dns))
    wait_until(lambda: any('began session' in line for line in sub.errors), 'connected', DEADLINE_S * 3)
    asked = len(dns.asked)
    dns.names['one.test'] = ['127.0.0.2']
    two.start()
    one.close()
    wait_until(lambda: any('the session was lost; began session' in line for line in sub.errors), f'followed, before the addresses are old; {sub.errors}', 20 + 10 * PATIENCE)
    check(len(dns.asked) > asked, 'when the old address fails, it asks again, whatever the TTL says')
    sub.end()


# Several servers

@test
def the_next_url_after_a_failure(t):
    one, two = t.own(Server(workers=1)), t.own(Server(workers=1)).start()
    urls = [url_of('127.0.0.1', port=one.port), url_of('127.0.0.1', port=two.port)]
    sub = Sub(t, urls)
    wait_until(lambda: any('began session' in line for line in sub.errors), 'the second answers', DEADLINE_S * 3)
    check('Connection refused' in sub.errors[0], f'the first does not: {sub.errors}')
    wait_until(lambda: two.metric('holdfast_connections') == 1, 'it is there')
    one.start()
    two.close()
    wait_until(lambda: any('the session was lost; began session' in line for line in sub.errors), f'back at the first; {sub.errors}', DEADLINE_S * 6)
    one.publish('room', 'from the first')
    sub.wait_line('from the first')
    tries = [line for line in sub.errors if 'no connection' in line][1:]
    check(tries and f':{two.port}' in tries[0], f'where it was, is tried first: {tries}')
    sub.end()


@test
def each_url_has_its_own_host_header_and_path(t):
    proxy = t.own(Proxy({'two.test': ('127.0.0.1', server().port)}))
    err, _ = check_pub(['ws://one.test:7/elsewhere', f'ws://two.test:{server().port}/ws'], '--proxy', proxy.at)
    check_equal([line for line, _ in proxy.requests], ['CONNECT one.test:7 HTTP/1.1', f'CONNECT two.test:{server().port} HTTP/1.1'], 'in their order')
    check('HTTP 502' in err, f'why the first failed: {err!r}')


@test
def each_url_has_its_own_tls_name(t):
    certs = Certificates(t)
    a, b = certs.make('a', 'a.test', ip='127.0.0.9'), certs.make('b', 'b.test', ip='127.0.0.9')
    both = os.path.join(certs.folder, 'both.pem')
    with open(both, 'w', encoding='ascii') as out:
        for one in (a, b):
            with open(one.pem, encoding='ascii') as f:
                out.write(f.read())
    one, two = t.own(TlsServer([a], workers=1)).start(), t.own(TlsServer([b], workers=1)).start()
    dns = t.own(NameServer({'a.test': ['127.0.0.1'], 'b.test': ['127.0.0.1']}))
    right = [f'wss://a.test:{one.tls_port}/ws', f'wss://b.test:{two.tls_port}/ws']
    err, _ = check_pub(right, '--ca', both, *dns_of(dns))
    check('no connection' not in err, f'the first: {err!r}')
    # The first name leads to the second's server: its certificate is not for that name.
    err, _ = check_pub([f'wss://a.test:{two.tls_port}/ws', right[1]], '--ca', both, *dns_of(dns))
    check('certificate is not accepted' in err.splitlines()[0], f'the certificate is for another name: {err!r}')


@test
def wrong_options_are_told(t):
    def fails(words, *arguments):
        status, _, err = run_holdfast('pub', *arguments, 'room', 'hello', env=environment())
        check_equal(status, 2, f'exit status of {arguments}; {err!r}')
        check(words in err and len(err.splitlines()) == 1, f'{words!r} in {err!r}')
    fails('like ws://HOST:PORT/ws or wss://HOST/ws: http://b', '--url', 'ws://a', '--url', 'http://b')
    fails('one too many: ws://i', *(part for name in 'abcdefghi' for part in ('--url', f'ws://{name}')))
    fails('--proxy wants http://[USER:PASSWORD@]HOST[:PORT], not socks5://a', '--proxy', 'socks5://a')
    fails('--proxy wants', '--proxy', 'http://a:b:c')
    fails('--dns-servers wants', '--dns-servers', 'a.test')
    fails('--dns-servers wants', '--dns-servers', '')
    fails('--dns-servers wants', '--dns-servers', '192.0.2.1,192.0.2.2,192.0.2.3,192.0.2.4')


# Proxies

def proxied(t, user=None):
    return t.own(Proxy({'one.test': ('127.0.0.1', server().port)}, user=user))


@test
def a_proxy_from_the_environment(t):
    proxy = proxied(t)
    dns = t.own(NameServer({}))
    url = url_of('one.test')
    for variable in ('http_proxy', 'all_proxy', 'ALL_PROXY'):
        check_pub(url, *dns_of(dns), env=environment(**{variable: f'http://{proxy.at}'}))
    check_equal(dns.asked, [], 'the proxy looks the name up')
    line, headers = proxy.requests[0]
    check_equal(line, f'CONNECT one.test:{server().port} HTTP/1.1', 'request')
    check_equal(headers['host'], f'one.test:{server().port}', 'Host')
    check_equal(len(proxy.requests), 3, 'each time')
    # No proxy: excepted, switched off, for another scheme, in upper case (a CGI program's header), or this machine.
    proxy.mode = 403
    dns.names['one.test'] = ['127.0.0.1']
    for variables in ({'http_proxy': proxy.at, 'no_proxy': 'other.test,.TEST'}, {'https_proxy': proxy.at}, {'HTTP_PROXY': proxy.at}):
        check_pub(url, *dns_of(dns), env=environment(**variables))
    check_pub(url, *dns_of(dns), '--proxy', '', env=environment(http_proxy=proxy.at))
    check_pub(url_of('127.0.0.1'), env=environment(all_proxy=proxy.at))
    check_equal(len(proxy.requests), 3, 'the proxy is not asked')


@test
def a_named_proxy_goes_before_the_environment(t):
    proxy = proxied(t)
    check_pub(url_of('one.test'), '--proxy', proxy.at, env=environment(http_proxy='http://127.0.0.1:1', no_proxy='*'))
    proxy.to['127.0.0.1'] = ('127.0.0.1', server().port)
    check_pub(url_of('127.0.0.1'), '--proxy', proxy.at)
    check_equal(len(proxy.requests), 2, 'asked, also for this machine')


@test
def a_proxy_by_its_name(t):
    proxy = proxied(t)
    dns = t.own(NameServer({'proxy.test': ['127.0.0.1']}))
    check_pub(url_of('one.test'), '--proxy', f'http://proxy.test:{proxy.at.partition(":")[2]}/', *dns_of(dns))
    check_equal({name for name, _ in dns.asked}, {'proxy.test'}, 'questions')


@test
def a_proxy_that_asks_for_a_password(t):
    user = 'Basic ' + base64.b64encode(b'me:sec ret').decode()
    proxy = proxied(t, user=user)
    url = url_of('one.test')
    check_pub(url, '--proxy', f'http://me:sec%20ret@{proxy.at}')
    check_equal(proxy.requests[0][1]['proxy-authorization'], user, 'credentials')
    check_why('HTTP 407: it asks for a user and password', url, '--proxy', proxy.at)
    line = check_why('HTTP 407: it does not accept the user and password', url, '--proxy', f'http://me:wrong@{proxy.at}')
    check('wrong' not in line, f'the password is not told: {line!r}')


@test
def what_a_proxy_says_otherwise(t):
    proxy = proxied(t)
    url = url_of('one.test')
    for mode, words in ((403, 'HTTP 403: its rules do not allow'), (502, 'HTTP 502: it cannot reach the server'), (500, 'HTTP 500'),
                        ('close', 'it ended the connection without an answer'), (b'SSH-2.0-x\r\n', 'not an HTTP answer'),
                        (b'HTTP/1.1 200 OK\r\n' + b'A: b\r\n' * 2000, 'too'), (b'HTTP/1.1 200 OK\r\n\r\nmore', 'behind its answer')):
        proxy.mode = mode
        line = check_why(words, url, '--proxy', proxy.at)
        check(f'the proxy {proxy.at}' in line, f'who it was: {line!r}')
    proxy.mode = 'silent'
    check_why(f'the proxy {proxy.at}: timed out: no answer to CONNECT', url, '--proxy', proxy.at, timeout='5')
    check_why('127.0.0.1:1: Connection refused', url, '--proxy', '127.0.0.1:1')
    check_why('all_proxy names another kind of proxy', url, env=environment(all_proxy='socks5://127.0.0.1:1'))


@test
def a_silent_tls_server_is_told(t):
    hole = t.own(Proxy({}))
    hole.mode = 'silent'
    check_why(f'{hole.at}: timed out: the TLS handshake did not end', f'wss://{hole.at}/ws', timeout='5')


# TLS tickets

def two_tls_servers(t):
    certs = Certificates(t)
    one = certs.make('one', 'a.test', 'b.test')
    a, b = (t.own(TlsServer([one], workers=1)).start() for _ in range(2))
    proxy = t.own(Proxy({'a.test': ('127.0.0.1', a.tls_port), 'b.test': ('127.0.0.1', b.tls_port)}))
    return a, b, one, proxy


def resumed(server_of):
    return server_of.tls_count('handshakes', resumed='yes'), server_of.tls_count('handshakes', resumed='no')


@test
def tls_resumes_after_each_break_of_a_tunnel(t):
    a, _, certificate, proxy = two_tls_servers(t)
    sub = Sub(t, ['wss://a.test/ws'], '--ca', certificate.pem, env=environment(https_proxy=f'http://{proxy.at}'))
    for n in range(1, 5):
        wait_until(lambda n=n: sum('session' in line for line in sub.errors) >= n, f'connected {n} times; {sub.errors}', DEADLINE_S * 3)
        a.publish('room', f'message {n}')
        sub.wait_line(f'message {n}')
        check_equal(resumed(a), (n - 1, 1), 'handshakes resumed and full')
        if n < 4:
            proxy.cut()
    check_equal(proxy.requests[0][0], 'CONNECT a.test:443 HTTP/1.1', 'the port is there in any case')
    sub.end()


@test
def an_attempt_without_an_answer_costs_no_ticket(t):
    a, _, certificate, proxy = two_tls_servers(t)
    sub = Sub(t, ['wss://a.test/ws'], '--ca', certificate.pem, env=environment(https_proxy=f'http://{proxy.at}'))
    wait_until(lambda: any('began session' in line for line in sub.errors), f'connected; {sub.errors}', DEADLINE_S * 3)
    proxy.mode = 'drop'
    proxy.cut()
    wait_until(lambda: sum('no connection (TLS' in line for line in sub.errors) >= 2, f'attempts fail; {sub.errors}', DEADLINE_S * 3)
    proxy.mode = 'serve'
    wait_until(lambda: any('resumed session' in line for line in sub.errors), f'connected again; {sub.errors}', DEADLINE_S * 6)
    check_equal(resumed(a), (1, 1), 'handshakes resumed and full')
    sub.end()


@test
def each_host_has_its_own_tickets(t):
    a, b, certificate, proxy = two_tls_servers(t)
    sub = Sub(t, ['wss://a.test/ws', 'wss://b.test/ws'], '--ca', certificate.pem, env=environment(https_proxy=f'http://{proxy.at}'))
    wait_until(lambda: sum('began session' in line for line in sub.errors) == 1, f'connected; {sub.errors}', DEADLINE_S * 3)
    ways = dict(proxy.to)
    for n, (here, away) in enumerate((('b.test', 'a.test'), ('a.test', 'b.test')), 2):
        proxy.to = {here: ways[here]}  # The other one cannot be reached any more.
        proxy.cut()
        wait_until(lambda n=n: sum('began session' in line for line in sub.errors) == n, f'moved from {away}; {sub.errors}', DEADLINE_S * 6)
    check_equal(resumed(b), (0, 1), 'the other server: a full handshake')
    check_equal(resumed(a), (1, 1), 'back at the first: its ticket was kept')
    sub.end()


main()
