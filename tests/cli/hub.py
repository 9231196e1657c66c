#!/usr/bin/env python3
"""A hub on 127.0.0.1 for tests/cli/pull.sh. hub.py FOLDER writes FOLDER/port once it listens and one
line per request into FOLDER/requests ("METHOD PATH RANGE"). How a file is served depends on the
repository; FOLDER/healed ends all faults."""
import hashlib
import http.server
import os
import struct
import sys
import threading
import time

folder = sys.argv[1]


def name(text):
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"


def model(megabytes=1):
    """A CTranslate2 model of one tensor."""
    data = bytes(i * 7 % 113 for i in range(4096)) * (256 * megabytes)
    return (struct.pack("<I", 6) + name("TestSpec") + struct.pack("<II", 1, 1) + name("x") +
            struct.pack("<BIBI", 1, len(data) // 2, 4, len(data)) + data + struct.pack("<I", 0))


files = {"config.json": b"{}\n", "tokenizer.json": b"{}\n", "vocabulary.json": b"[]\n", "model.bin": model()}
seen = {}  # path: how often it was asked for
lock = threading.Lock()


class Hub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, headers=(), body=b"", send=None):
        """send: so many bytes of the body, then the connection is cut."""
        self.send_response(status)
        for key, value in headers:
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if send is None else body[:send])
        if send is not None:
            self.close_connection = True

    def do_GET(self):
        wanted = self.headers.get("Range", "")
        with lock, open(folder + "/requests", "a") as log:
            log.write(f"GET {self.path} {wanted}\n")
        parts = self.path.strip("/").split("/")
        store = parts[0] == "store"
        repo, file = (parts[1], parts[2]) if store else (parts[1], "/".join(parts[4:]))
        kind = repo.replace("faster-whisper-", "")
        healed = os.path.exists(folder + "/healed")
        with lock:
            seen[self.path] = times = seen.get(self.path, 0) + 1
        if kind in ("large-v2", "tiny.en"):
            return self.answer(404 if kind == "large-v2" else 503)
        if kind == "base.en" and not healed:
            return self.answer(302, [("Location", self.path)])
        body = files.get(file)
        if body is None:
            return self.answer(404)
        if kind == "large-v3" and file == "model.bin":
            body = b"<html>please log in</html>\n"
        if file != "model.bin":
            return self.answer(200, [], body)
        if not store:  # as the hub does: a redirect to the storage, with the checksum beside it
            digest = hashlib.sha256(b"other" if kind == "small" and not healed else body).hexdigest()
            return self.answer(302, [("Location", f"/store/{repo}/{file}"), ("X-Linked-ETag", f'"{digest}"')])
        start = 0
        if wanted.startswith("bytes=") and kind != "large-v1":
            start = int(wanted[6:].split("-")[0])
            if start >= len(body):
                return self.answer(416, [("Content-Range", f"bytes */{len(body)}")])
        headers = [("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")] if start else []
        cut = None
        if kind in ("base", "large-v1") and times == 1:
            cut = len(body) // 2
        if kind == "medium" and not healed:
            cut = len(body) // 2 if times == 1 else 0
        if kind == "small.en" and not healed:
            cut = 1000
            self.answer(206 if start else 200, headers, body[start:], cut)
            return time.sleep(20)
        if kind == "medium.en":
            time.sleep(1)
        return self.answer(206 if start else 200, headers, body[start:], cut)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
server.daemon_threads = True
with open(folder + "/port.new", "w") as f:
    f.write(str(server.server_port))
os.rename(folder + "/port.new", folder + "/port")
server.serve_forever()
