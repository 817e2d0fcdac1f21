"""Clients that a test moves byte by byte: HTTP/1.1 over a socket (Raw), HTTP/2 with windows held back (Http2)."""
import select
import socket
import ssl
import struct
import time

from tests.lab.lab import build_dir

SLOW = 4 if build_dir().rstrip("/").endswith("-san") else 1  # sanitizers cost time


class Reply:
    def __init__(self, status, fields, body, complete):
        self.status, self.fields, self.body, self.complete = status, fields, body, complete

    def __repr__(self):
        return "%s %r %r complete=%s" % (self.status, self.fields, self.body[:200], self.complete)


class Raw:
    """One HTTP/1.1 connection, byte by byte under the test's control."""

    def __init__(self, address, tls_name=None, rcvbuf=None):
        self.s = socket.socket()
        if rcvbuf:
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.s.settimeout(10 * SLOW)
        self.s.connect(address)
        if tls_name:
            ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
            self.s = ctx.wrap_socket(self.s, server_hostname=tls_name)
        self.data = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.close()

    def send(self, text):
        self.s.sendall(text if isinstance(text, bytes) else text.encode())
        return self

    def more(self):
        try:
            b = self.s.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            return False
        self.data += b
        return bool(b)

    def exchange(self, out, want):
        """Sends and receives at the same time, until want bytes have come or nothing does.  One thread: a TLS object bears no two."""
        left, end = memoryview(out), time.monotonic() + self.s.gettimeout()
        self.s.setblocking(False)
        try:
            while len(self.data) < want and time.monotonic() < end:
                moved = False
                try:
                    if left:
                        left, moved = left[self.s.send(left[:65536]):], True
                except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    pass
                try:
                    if not self.more():
                        return
                    moved = True
                except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    pass
                if not moved:
                    select.select([self.s], [self.s] if left else [], [], 1)
        finally:
            self.s.settimeout(10 * SLOW)

    def head(self):
        while b"\r\n\r\n" not in self.data:
            if not self.more():
                return None
        head, self.data = self.data.split(b"\r\n\r\n", 1)
        lines = head.decode("latin1").split("\r\n")
        fields = {}
        for l in lines[1:]:
            k, v = l.split(":", 1)
            fields[k.lower()] = v.strip()
        return int(lines[0].split(" ")[1]), fields

    def reply(self, method="GET"):
        got = self.head()
        if got is None:
            return Reply(0, {}, b"", False)
        status, fields = got
        if method == "HEAD" or status in (204, 304) or status < 200:
            return Reply(status, fields, b"", True)
        if fields.get("transfer-encoding") == "chunked":
            body = b""
            while True:
                while b"\r\n" not in self.data:
                    if not self.more():
                        return Reply(status, fields, body, False)
                n, rest = self.data.split(b"\r\n", 1)
                n = int(n, 16)
                while len(rest) < n + 2:
                    if not self.more():
                        return Reply(status, fields, body, False)
                    rest = self.data.split(b"\r\n", 1)[1]
                if n == 0:
                    while not (rest.startswith(b"\r\n") or b"\r\n\r\n" in rest):
                        if not self.more():
                            return Reply(status, fields, body, False)
                        rest = self.data.split(b"\r\n", 1)[1]
                    tail, self.data = (b"", rest[2:]) if rest.startswith(b"\r\n") else rest.split(b"\r\n\r\n", 1)
                    fields["trailers"] = tail.decode()
                    return Reply(status, fields, body, True)
                body, self.data = body + rest[:n], rest[n + 2:]
        if "content-length" in fields:
            n = int(fields["content-length"])
            while len(self.data) < n:
                if not self.more():
                    return Reply(status, fields, self.data, False)
            body, self.data = self.data[:n], self.data[n:]
            return Reply(status, fields, body, True)
        while self.more():
            pass
        return Reply(status, fields, self.data, True)

    def closed(self):
        return not self.data and not self.more()


def get(path, host="origin.example", extra="", version="1.1"):
    return "GET %s HTTP/%s\r\nHost: %s\r\n%s\r\n" % (path, version, host, extra)


class Http2:
    """Just enough of a client to hold back windows: cleartext, literal header fields, one request."""

    def __init__(self, address, path, host="origin.example"):
        self.s = socket.create_connection(address, timeout=10 * SLOW)
        self.s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self.frame(4, 0, 0, b""))

        def lit(name, value):
            return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value
        block = b"\x82\x86" + lit(b":path", path.encode()) + lit(b":authority", host.encode())
        self.s.sendall(self.frame(1, 5, 1, block))
        self.data, self.body, self.reset, self.ended, self.goaway = b"", 0, None, False, None

    @staticmethod
    def frame(kind, flags, stream, payload):
        return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload

    def window(self, n):
        self.s.sendall(self.frame(8, 0, 1, struct.pack(">I", n)) + self.frame(8, 0, 0, struct.pack(">I", n)))

    def pump(self, until, timeout=5):
        end = time.monotonic() + timeout * SLOW
        while not until() and time.monotonic() < end:
            self.s.settimeout(max(end - time.monotonic(), 0.01))
            try:
                b = self.s.recv(65536)
            except (TimeoutError, socket.timeout):
                break
            except ConnectionResetError:
                b = b""
            if not b:
                break
            self.data += b
            while len(self.data) >= 9:
                n = int.from_bytes(self.data[:3], "big")
                if len(self.data) < 9 + n:
                    break
                kind, flags, stream = self.data[3], self.data[4], int.from_bytes(self.data[5:9], "big")
                payload, self.data = self.data[9:9 + n], self.data[9 + n:]
                if kind == 0:
                    self.body += n
                    self.ended |= bool(flags & 1)
                elif kind == 1:
                    self.ended |= bool(flags & 1)
                elif kind == 3 and stream == 1:
                    self.reset = int.from_bytes(payload, "big")
                elif kind == 4 and not flags & 1:
                    self.s.sendall(self.frame(4, 1, 0, b""))
                elif kind == 7:
                    self.goaway = int.from_bytes(payload[4:8], "big")
        return until()
