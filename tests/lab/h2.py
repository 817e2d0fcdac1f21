"""HTTP/2 by hand, for both sides of a test: frames are written as the test says, so it can also say what an honest peer would
not.  Header blocks are read by libnghttp2's decoder (ctypes) and written as plain literals.

   Client: one connection, streams by id, everything that came is kept        Server: an origin, one thread per connection"""
import ctypes
import json
import queue
import socket
import ssl
import struct
import threading
import time

from tests.lab.raw_client import SLOW

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 1, 1, 4
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = range(1, 7)
ENABLE_CONNECT_PROTOCOL = 8
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 0, 1, 2, 7, 8, 11
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

_lib = ctypes.CDLL("libnghttp2.so.14")


class _Nv(ctypes.Structure):
    _fields_ = [("name", ctypes.c_void_p), ("value", ctypes.c_void_p), ("namelen", ctypes.c_size_t), ("valuelen", ctypes.c_size_t),
                ("flags", ctypes.c_uint8)]


_lib.nghttp2_hd_inflate_hd2.restype = ctypes.c_ssize_t
_lib.nghttp2_hd_inflate_hd2.argtypes = [ctypes.c_void_p, ctypes.POINTER(_Nv), ctypes.POINTER(ctypes.c_int), ctypes.c_char_p,
                                        ctypes.c_size_t, ctypes.c_int]
_lib.nghttp2_hd_inflate_end_headers.argtypes = [ctypes.c_void_p]
_lib.nghttp2_hd_inflate_del.argtypes = [ctypes.c_void_p]


class Inflater:
    def __init__(self):
        self.p = ctypes.c_void_p()
        assert _lib.nghttp2_hd_inflate_new(ctypes.byref(self.p)) == 0

    def __del__(self):
        _lib.nghttp2_hd_inflate_del(self.p)

    def fields(self, block):
        out, nv, flags = [], _Nv(), ctypes.c_int(0)
        while True:
            n = _lib.nghttp2_hd_inflate_hd2(self.p, ctypes.byref(nv), ctypes.byref(flags), block, len(block), 1)
            assert n >= 0, "header block: error %d" % n
            block = block[n:]
            if flags.value & 2:  # one field
                out.append((ctypes.string_at(nv.name, nv.namelen).decode("latin1"), ctypes.string_at(nv.value, nv.valuelen).decode("latin1")))
            if flags.value & 1:  # the end
                break
            if not flags.value and not block:
                break
        _lib.nghttp2_hd_inflate_end_headers(self.p)
        return out


def _integer(n, bits):
    if n < (1 << bits) - 1:
        return bytes([n])
    out, n = [(1 << bits) - 1], n - ((1 << bits) - 1)
    while n >= 128:
        out.append(n % 128 + 128)
        n //= 128
    return bytes(out + [n])


def block_of(fields):
    """Literal fields, not indexed, no Huffman code."""
    out = b""
    for name, value in fields:
        name, value = (x.encode("latin1") if isinstance(x, str) else x for x in (name, value))
        out += b"\0" + _integer(len(name), 7) + name + _integer(len(value), 7) + value
    return out


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


class Stream:
    def __init__(self, sid):
        self.id, self.heads, self.body, self.ended, self.reset = sid, [], b"", False, None

    @property
    def head(self):
        """The final head as a dict, {} before it has come."""
        for h in self.heads:
            if not h[0][1].startswith("1") or h[0][0] != ":status":
                return dict(h)
        return {}

    @property
    def status(self):
        return int(self.head.get(":status", 0))

    @property
    def interims(self):
        return [int(h[0][1]) for h in self.heads if h[0][0] == ":status" and h[0][1].startswith("1")]

    @property
    def trailers(self):
        return dict(self.heads[-1]) if len(self.heads) > 1 and self.heads[-1][0][0] != ":status" and not self.heads[-1][0][0].startswith(":") else {}

    @property
    def over(self):
        return self.ended or self.reset is not None

    def __repr__(self):
        return "stream %d: %r %r ended=%s reset=%s" % (self.id, self.heads, self.body[:200], self.ended, self.reset)


class Conn:
    """Either side.  `windows`: give back what was received, at once."""

    def __init__(self, s, windows=True, settings=()):
        self.s, self.windows, self.data, self.inflater = s, windows, b"", Inflater()
        self.streams, self.goaways, self.pings, self.frames, self.closed = {}, [], 0, [], False
        self.peer, self.send_window, self.stream_windows, self.block = {INITIAL_WINDOW_SIZE: 65535}, 65535, {}, None
        self.send(SETTINGS, 0, 0, b"".join(struct.pack(">HI", k, v) for k, v in settings))

    def send(self, kind, flags, stream, payload=b""):
        self.s.sendall(frame(kind, flags, stream, payload))

    def headers(self, stream, fields, end=False):
        self.send(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block_of(fields))

    def body(self, stream, data, end=True, timeout=10):
        """Sends as the windows allow."""
        while True:
            room = min(self.send_window, self.stream_windows.get(stream, 0) + self.peer[INITIAL_WINDOW_SIZE], 16384)
            n = min(room, len(data))
            if n > 0 or not data:
                part, data = data[:n], data[n:]
                self.send_window -= n
                self.stream_windows[stream] = self.stream_windows.get(stream, 0) - n
                self.send(DATA, END_STREAM if end and not data else 0, stream, part)
            if not data:
                return
            if room <= 0 and not self.pump(lambda: min(self.send_window, self.stream_windows[stream] + self.peer[INITIAL_WINDOW_SIZE]) > 0 or
                                           self.unwanted(stream), timeout):
                raise TimeoutError("the window stays shut")
            if self.unwanted(stream):
                return

    def unwanted(self, stream):
        """Nobody reads what we send on it."""
        return stream in self.streams and self.streams[stream].over

    def window(self, stream, n):
        self.send(WINDOW_UPDATE, 0, stream, struct.pack(">I", n))

    def reset(self, stream, code=CANCEL):
        self.send(RST_STREAM, 0, stream, struct.pack(">I", code))

    def pump(self, until, timeout=5):
        """Reads until the condition holds, the peer has closed, or the time is over: whether it holds."""
        end = time.monotonic() + timeout * SLOW
        while not until() and not self.closed and time.monotonic() < end:
            self.s.settimeout(max(end - time.monotonic(), 0.01))
            try:
                b = self.s.recv(65536)
            except (TimeoutError, socket.timeout, ssl.SSLWantReadError):
                break
            except OSError:
                b = b""
            self.closed = not b
            self.data += b
            try:
                self._frames()
            except OSError:
                self.closed = True
        return bool(until())

    def _frames(self):
        while len(self.data) >= 9:
            n = int.from_bytes(self.data[:3], "big")
            if len(self.data) < 9 + n:
                return
            kind, flags, stream = self.data[3], self.data[4], int.from_bytes(self.data[5:9], "big") & 0x7fffffff
            payload, self.data = self.data[9:9 + n], self.data[9 + n:]
            self.frames.append((kind, flags, stream, n))
            self._frame(kind, flags, stream, payload)

    def _frame(self, kind, flags, sid, payload):
        if kind == HEADERS or kind == CONTINUATION:
            if kind == HEADERS:
                self.block = [b"", flags & END_STREAM]
                if flags & 0x20:
                    payload = payload[5:]
            self.block[0] += payload
            if flags & END_HEADERS:
                fields, end = self.inflater.fields(self.block[0]), self.block[1]
                s = self.streams.setdefault(sid, Stream(sid))
                s.heads.append(fields)
                s.ended |= bool(end)
                self.on_headers(s)
        elif kind == DATA:
            s = self.streams.setdefault(sid, Stream(sid))
            s.body += payload
            s.ended |= bool(flags & END_STREAM)
            if self.windows and payload:
                self.window(0, len(payload))
                if not s.ended:
                    self.window(sid, len(payload))
            self.on_data(s)
        elif kind == RST_STREAM:
            s = self.streams.setdefault(sid, Stream(sid))
            s.reset = int.from_bytes(payload, "big")
            self.on_reset(s)
        elif kind == SETTINGS and not flags & ACK:
            for i in range(0, len(payload), 6):
                k, v = struct.unpack(">HI", payload[i:i + 6])
                self.peer[k] = v
            self.send(SETTINGS, ACK, 0)
        elif kind == PING and not flags & ACK:
            self.send(PING, ACK, 0, payload)
        elif kind == PING:
            self.pings += 1
        elif kind == GOAWAY:
            self.goaways.append((int.from_bytes(payload[:4], "big"), int.from_bytes(payload[4:8], "big")))
        elif kind == WINDOW_UPDATE:
            n = int.from_bytes(payload, "big")
            if sid == 0:
                self.send_window += n
            else:
                self.stream_windows[sid] = self.stream_windows.get(sid, 0) + n

    def on_headers(self, s):
        pass

    def on_data(self, s):
        pass

    def on_reset(self, s):
        pass


class Client(Conn):
    def __init__(self, address, tls_name=None, windows=True, settings=(), alpn=("h2",)):
        s = socket.create_connection(address, timeout=10 * SLOW)
        if tls_name:
            ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
            ctx.set_alpn_protocols(list(alpn))
            s = ctx.wrap_socket(s, server_hostname=tls_name)
        s.sendall(PREFACE)
        self.next_id, self.scheme = 1, "https" if tls_name else "http"
        super().__init__(s, windows, settings)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.close()

    def open(self, path, host="origin.example", method="GET", fields=(), end=True):
        sid, self.next_id = self.next_id, self.next_id + 2
        self.streams[sid] = Stream(sid)
        self.headers(sid, [(":method", method), (":scheme", self.scheme), (":authority", host), (":path", path), *fields], end)
        return self.streams[sid]

    def get(self, path, host="origin.example", method="GET", fields=(), body=None, trailers=(), timeout=10):
        """The whole exchange."""
        s = self.open(path, host, method, fields, body is None and not trailers)
        if body is not None:
            self.body(s.id, body, not trailers)
        if trailers:
            self.headers(s.id, trailers, True)
        self.pump(lambda: s.over, timeout)
        return s


class Server:
    """An origin: handle(conn, stream) is called in the connection's thread when a request's head is there, again with each
    body frame, and at its end; `seen` tells the test what happened."""

    def __init__(self, port, handler, ssl_context=None, settings=(), windows=True):
        self.handler, self.context, self.settings, self.windows = handler, ssl_context, settings, windows
        self.seen, self.conns = queue.Queue(), []
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(128)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            s, _ = self.listener.accept()
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        try:
            if self.context:
                s = self.context.wrap_socket(s, server_side=True)
            got = b""
            while len(got) < len(PREFACE):
                b = s.recv(len(PREFACE) - len(got))
                if not b:
                    return
                got += b
            if got != PREFACE:
                self.seen.put(("bad preface", got))
                return
            c = _Served(self, s)
            self.conns.append(c)
            while not c.closed:
                c.pump(lambda: False, 3600)
            self.seen.put(("closed", c))
        except OSError:
            pass
        finally:
            s.close()

    def saw(self, what, timeout=10 * SLOW):
        try:
            while self.seen.get(timeout=timeout) != what:
                pass
            return True
        except queue.Empty:
            return False


class _Served(Conn):
    def __init__(self, server, s):
        self.server = server
        super().__init__(s, server.windows, server.settings)

    def on_headers(self, s):
        self.server.handler(self, s, "head" if len(s.heads) == 1 else "trailers")

    def on_data(self, s):
        self.server.handler(self, s, "data")

    def unwanted(self, stream):
        return stream in self.streams and self.streams[stream].reset is not None

    def on_reset(self, s):
        self.server.seen.put(("reset", s.id, s.reset))
        self.server.handler(self, s, "reset")


def echo(c, s, event):
    """What came, as JSON, once it is whole."""
    if event == "reset" or not s.ended:
        return
    head = dict(s.heads[0])
    text = json.dumps({"method": head[":method"], "path": head.get(":path"), "authority": head.get(":authority"), "scheme": head.get(":scheme"),
                       "fields": s.heads[0], "body": s.body.decode("latin1")[:4096], "body_bytes": len(s.body), "trailers": s.trailers,
                       "connection": c.server.conns.index(c), "stream": s.id}).encode()
    c.headers(s.id, [(":status", "200"), ("content-type", "application/json"), ("content-length", str(len(text)))], head[":method"] == "HEAD")
    if head[":method"] != "HEAD":
        c.body(s.id, text)
