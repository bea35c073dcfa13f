#!/usr/bin/env python3
"""An https server for a folder: ETags, and answers without a length for names that end in .chunked.

Usage: server.py FOLDER CERTIFICATE KEY     (prints its port; ends with its standard input)
"""
import hashlib
import http.server
import os
import ssl
import sys
import threading

FOLDER, CERTIFICATE, KEY = sys.argv[1:4]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        print(self.path, self.headers.get("If-None-Match", "-"), file=sys.stderr, flush=True)
        if self.path.startswith("/plain"):
            return self.answer(302, b"", Location="http://127.0.0.1:1/policy.bundle")
        endless = self.path.startswith("/endless")
        name = os.path.join(FOLDER, os.path.basename(self.path))
        if not endless and not os.path.exists(name):
            return self.answer(404, b"")
        if endless:
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            try:
                while True:
                    self.wfile.write(b"#" * 65536)
            except OSError:
                return None
        body = open(name, "rb").read()
        tag = '"%s"' % hashlib.sha256(body).hexdigest()
        if self.headers.get("If-None-Match") == tag:
            return self.answer(304, b"", ETag=tag)
        return self.answer(200, body, ETag=tag)

    def answer(self, status, body, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(CERTIFICATE, KEY)
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
