"""
tls_fixture.py - throw-away certificates by the openssl command line, a server with TLS, and clients that speak it.

    certs = Certificates(t)
    one = certs.make('one', 'one.test', ip='127.0.0.1')
    server = t.own(TlsServer(certs=[one])).start()
    client = t.own(Client(server.tls_port, transport=tls_transport(one))).connect()
"""
import asyncio
import os
import select
import shutil
import ssl
import subprocess
import tempfile
import time

from holdfast_client import ForeignWs
from holdfast_server import Server, free_port
from holdfast_test import DEADLINE_S, check, check_equal
from raw_ws import ConnectionEnded, RawWs


class Certificate:
    def __init__(self, folder, name):
        self.pem, self.key = os.path.join(folder, f'{name}.pem'), os.path.join(folder, f'{name}.key')

    def __str__(self):
        return f'{self.pem}:{self.key}'

    def der(self):
        with open(self.pem, encoding='ascii') as f:
            return ssl.PEM_cert_to_DER_cert(f.read())


class Certificates:
    """A folder of certificates that goes with the test."""

    def __init__(self, t):
        self.folder = tempfile.mkdtemp(prefix='holdfast-tls-')
        t.cleanup(lambda: shutil.rmtree(self.folder, ignore_errors=True))

    def make(self, name, *dns, ip='127.0.0.1', days=365, ca=None):
        """P-256, for these DNS names and this address, signed by another one of these or by itself. Under an old name it replaces the old files."""
        made = Certificate(self.folder, name)
        names = ','.join([f'DNS:{one}' for one in dns] + [f'IP:{ip}'])
        signer = ['-CA', ca.pem, '-CAkey', ca.key] if ca else []
        run = subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
                              '-keyout', made.key + '.new', '-out', made.pem + '.new', '-days', str(days), '-subj', f'/CN={name}',
                              '-addext', f'subjectAltName={names}', *signer], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, check=False)
        check_equal(run.returncode, 0, f'openssl req ({run.stdout!r})')
        os.rename(made.key + '.new', made.key)
        os.rename(made.pem + '.new', made.pem)
        return made


class TlsServer(Server):
    """A server whose clients' port is there without TLS (port) and with (tls_port)."""

    def __init__(self, certs, arguments=(), **options):
        self.tls_port = free_port()
        more = ['--set', f'tls.listen=127.0.0.1:{self.tls_port}', '--set', f'tls.certificates={",".join(map(str, certs))}']
        super().__init__(arguments=[*more, *arguments], **options)

    def tls_count(self, what, **labels):
        """The sum of a TLS metric over those of its labels that are not given."""
        total = 0
        for name, value in self.metrics().items():
            if name.partition('{')[0] == f'holdfast_tls_{what}_total' and all(f'{k}="{v}"' in name for k, v in labels.items()):
                total += value
        return total


def context(certificate=None, version=None, alpn=('http/1.1',), check_name=False):
    """A client's context that trusts this certificate; None: any."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = check_name
    made.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # which Python sets
    if certificate:
        made.load_verify_locations(certificate.pem)
    else:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    if version:
        made.minimum_version = made.maximum_version = version
    if alpn:
        made.set_alpn_protocols(list(alpn))
    return made


class TlsWs(RawWs):
    """RawWs over Python's ssl."""

    def __init__(self, port, tls=None, server_name=None, session=None, **options):
        super().__init__(port, **options)
        self.sock = (tls or context()).wrap_socket(self.sock, server_hostname=server_name or '127.0.0.1', session=session,
                                                          suppress_ragged_eofs=False)  # an end without close_notify is an error

    def fill(self, deadline_s=DEADLINE_S, size=1 << 16):
        end = time.monotonic() + deadline_s
        while True:
            if self.ended:
                raise ConnectionEnded(self.ended)
            if not self.sock.pending() and not select.select([self.sock], [], [], max(0, end - time.monotonic()))[0]:
                return False
            self.sock.setblocking(False)
            try:
                data = self.sock.recv(size)
                self.ended = None if data else 'fin'
            except ssl.SSLWantReadError:  # half a record, or a ticket
                continue
            except (ConnectionResetError, ssl.SSLError):
                data, self.ended = b'', 'rst'
            finally:
                self.sock.settimeout(DEADLINE_S)
            if self.ended:
                raise ConnectionEnded(self.ended)
            self.record.append((time.monotonic(), data))
            self.buffer += data
            return True

    def send(self, data):
        try:
            super().send(data)
        except ssl.SSLError:
            raise ConnectionEnded('rst') from None

    def plain_of_tls(self):
        """The TCP socket: after the wrapping it is the same descriptor."""
        return self.sock

    def certificate(self):
        return self.sock.getpeercert(binary_form=True)


def tls_transport(certificate, version=None, foreign=False, **more):
    """For Client(transport=): raw by Python's ssl, or python3-websockets."""
    class Transport:
        @staticmethod
        def open(port, path='/ws', protocols=None, headers=()):
            tls = context(certificate, version)
            if foreign:
                return open_foreign(port, path, protocols, headers, tls)
            return TlsWs.open(port, path=path, protocols=protocols, headers=headers, tls=tls, **more)
    return Transport


def open_foreign(port, path, protocols, headers, tls):
    import websockets
    loop = asyncio.new_event_loop()

    async def connect():
        return await websockets.connect(f'wss://127.0.0.1:{port}{path}', ssl=tls, subprotocols=protocols, extra_headers=list(headers), max_size=None,
                                        ping_interval=None, compression=None, open_timeout=DEADLINE_S)
    return ForeignWs(loop.run_until_complete(connect()), loop)


def hello_of(tls, server_name='127.0.0.1'):
    """The bytes of a ClientHello, and the SSL object that made them with its two ends."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    made = tls.wrap_bio(incoming, outgoing, server_hostname=server_name)
    try:
        made.do_handshake()
        check(False, 'a handshake needs an answer')
    except ssl.SSLWantReadError:
        pass
    return outgoing.read(), made, incoming, outgoing
