"""A server on this machine for weights: plain files, and repositories as the hub serves them."""
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REVISION = 'c' * 40
BIG = 1 << 10      # files above are kept beside git, with their SHA-256, as the hub does


class Server(ThreadingHTTPServer):
    """Serves files by path; `mode` makes it misbehave once or always.

    files: {'weights.bin': bytes}.  repositories: {'someone/net': {'config.json': bytes}}.
    mode: 'good', 'cut' (the next answer ends after a third), 'no-range', 'wrong', 'html',
    'missing', 'gated'.  asked: (path, Range) of every GET.
    """

    daemon_threads = True

    def __init__(self, files=None, repositories=None, mode='good'):
        super().__init__(('127.0.0.1', 0), Handler)
        self.files, self.repositories = files or {}, repositories or {}
        self.mode, self.asked = mode, []

    @property
    def url(self):
        return f'http://127.0.0.1:{self.server_port}'

    @property
    def ranges(self):
        return [wanted for _, wanted in self.asked]

    def handle_error(self, *_):
        """A client that hangs up is none of our errors."""

    def __enter__(self):
        threading.Thread(target=self.serve_forever, kwargs={'poll_interval': 0.02},
                         daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


def git_blob(data):
    return hashlib.sha1(b'blob %d\0' % len(data) + data, usedforsecurity=False).hexdigest()


def described(path, data):
    """Return what the hub's listing says of a file."""
    row = {'type': 'file', 'path': path, 'size': len(data), 'oid': git_blob(data)}
    if len(data) > BIG:
        row['lfs'] = {'oid': hashlib.sha256(data).hexdigest(), 'size': len(data),
                      'pointerSize': 130}
    return row


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *_):
        pass

    def do_GET(self):
        wanted, server = self.headers.get('Range'), self.server
        path = self.path.split('?')[0].lstrip('/')
        server.asked.append((path, wanted))
        if path.startswith('api/models/'):
            self.listing(path)
            return
        data = server.files.get(path)
        repository, _, rest = path.partition('/resolve/')
        if data is None and rest:
            revision, _, name = rest.partition('/')
            found = server.repositories.get(repository, {})
            data = found.get(name) if revision == REVISION else None
        if data is None or server.mode == 'missing':
            self.answer(404, b'nothing')
            return
        self.send(data, wanted)

    def listing(self, path):
        repository, _, revision = path[len('api/models/'):].partition('/tree/')
        files = self.server.repositories.get(repository)
        if self.server.mode == 'gated':
            self.answer(403, b'{}', {'X-Error-Code': 'GatedRepo',
                                     'X-Error-Message': 'Access to model is restricted'})
        elif files is None or revision != REVISION:
            self.answer(404, b'{}', {'X-Error-Code': 'RepoNotFound'})
        else:
            body = json.dumps([described(p, d) for p, d in files.items()]).encode()
            self.answer(200, body, {'Content-Type': 'application/json'})

    def send(self, data, wanted):
        server = self.server
        mark = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        if server.mode == 'html':
            self.answer(200, b'<!DOCTYPE html><html>log in</html>' * 50,
                        {'Content-Type': 'text/html; charset=utf-8'})
            return
        same = self.headers.get('If-Range') in (None, mark)
        start = int(wanted[6:-1]) if wanted and server.mode != 'no-range' and same else 0
        if start >= len(data):
            self.answer(416, b'')
            return
        body = data[start:] if server.mode != 'wrong' else b'x' * len(data)
        extra = {'ETag': mark}
        if start:
            extra['Content-Range'] = f'bytes {start}-{len(data) - 1}/{len(data)}'
        cut = server.mode == 'cut' and len(body) > 100
        if cut:
            server.mode = 'good'
        self.answer(206 if start else 200, body, extra, len(body) // 3 if cut else None)

    def answer(self, code, body, headers=None, only=None):
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header('Content-Length', str(len(body)))
        if only is not None:
            self.send_header('Connection', 'close')
        self.end_headers()
        self.wfile.write(body if only is None else body[:only])
        if only is not None:
            self.close_connection = True
