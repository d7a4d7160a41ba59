#!/usr/bin/python3
"""
backend.py - an application's backend for Holdfast's hooks (docs/hooks.md), on Python's standard library alone.

    HOOKS_SECRET=0123456789abcdef examples/backend.py 9000
    holdfast serve --set hooks.secret=0123456789abcdef --set hooks.call.url=http://127.0.0.1:9000/

It takes only what Holdfast has signed. Each hook has a function here, which gets the request and returns the answer.
"""
import hashlib
import hmac
import http.server
import json
import os
import sys
import time

SECRET = os.environ.get('HOOKS_SECRET', '').encode()


def is_ours(headers, body):
    timestamp = headers.get('Holdfast-Timestamp', '')
    want = hmac.new(SECRET, timestamp.encode() + b'.' + body, hashlib.sha256).hexdigest()
    fresh = timestamp.isdigit() and abs(time.time() - int(timestamp)) < 300
    return fresh and hmac.compare_digest(want, headers.get('Holdfast-Signature', ''))


def on_call(request):
    """What clients may call: here two methods."""
    if request['method'] == 'time':
        return {'payload': {'seconds': int(time.time())}}
    if request['method'] == 'add' and isinstance(request.get('payload'), list):
        return {'payload': sum(number for number in request['payload'] if isinstance(number, (int, float)))}
    return {'code': 'no_such_method', 'reason': f'there is no method {request["method"]}'}


def on_connect(request):
    """Everybody may come, and hears what is new."""
    return {'allow': True, 'channels': ['news']}


def on_message(request):
    """Who may subscribe, and publish, where a namespace leaves it to us: nobody into channels of the staff."""
    if request['channel'].startswith('staff:'):
        return {'allow': False, 'code': 'forbidden', 'reason': 'only for the staff'}
    return {'allow': True}


def on_disconnect(request):
    print(f'the session {request["session"]} has ended', flush=True)
    return {}


HOOKS = {'connect': on_connect, 'subscribe': on_message, 'publish': on_message, 'call': on_call, 'disconnect': on_disconnect}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'  # Connections are kept.

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        if not is_ours(self.headers, body):
            self.answer(401, {'reason': 'not signed with our secret'})
            return
        request = json.loads(body)
        self.answer(200, HOOKS[request['hook']](request))

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments):
        pass


if __name__ == '__main__':
    if len(SECRET) < 16:
        sys.exit('backend.py: set HOOKS_SECRET to what hooks.secret is, 16 characters at least')
    server = http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1]) if len(sys.argv) > 1 else 9000), Handler)
    print(f'backend.py: http://127.0.0.1:{server.server_port}/', flush=True)
    server.serve_forever()
