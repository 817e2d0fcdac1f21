"""An HTTP/1.1 origin that does what the path says: echoes, answers early, cuts, floods, stays deaf or silent.  One thread per
connection; `seen` tells the test what happened, `hold` lets a waiting handler go on."""
import base64
import fcntl
import hashlib
import json
import queue
import random
import socket
import struct
import termios
import threading

from tests.lab.proc import wait_until
from tests.lab.raw_client import SLOW


class Origin:
    def __init__(self, port):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(128)
        self.seen = queue.Queue()    # ("path", event)
        self.hold = threading.Event()
        self.sent = 0
        self.tries = {}              # id -> bodies that came, one per try of /fail
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            s, _ = self.listener.accept()
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        served, data = 0, b""
        try:
            while True:
                while b"\r\n\r\n" not in data:
                    more = s.recv(65536)
                    if not more:
                        return
                    data += more
                head, data = data.split(b"\r\n\r\n", 1)
                lines = head.decode("latin1").split("\r\n")
                method, path, _ = lines[0].split(" ")
                fields = [tuple(x.strip() for x in l.split(":", 1)) for l in lines[1:]]
                name = path.split("?")[0].strip("/").replace("-", "_")
                data = getattr(self, "on_" + name)(s, data, served, method, path, fields)
                if data is None:
                    return
                served += 1
        except OSError:
            pass
        finally:
            s.close()

    def saw(self, what, timeout=10 * SLOW):
        """Waits until this event has happened, forgetting those before it."""
        try:
            while self.seen.get(timeout=timeout) != what:
                pass
            return True
        except queue.Empty:
            return False

    def forget(self):
        while not self.seen.empty():
            self.seen.get()

    @staticmethod
    def more(s):
        b = s.recv(65536)
        if not b:
            raise OSError("the request is cut")
        return b

    def body(self, s, data, fields):
        """(body, trailers, rest)."""
        f = {k.lower(): v for k, v in fields}
        if "content-length" in f:
            n = int(f["content-length"])
            while len(data) < n:
                data += self.more(s)
            return data[:n], [], data[n:]
        if f.get("transfer-encoding") != "chunked":
            return b"", [], data
        out = b""
        while True:
            while b"\r\n" not in data:
                data += self.more(s)
            size, data = data.split(b"\r\n", 1)
            n = int(size, 16)
            if n == 0:
                while not (data.startswith(b"\r\n") or b"\r\n\r\n" in data):
                    data += self.more(s)
                trailers, rest = (b"", data[2:]) if data.startswith(b"\r\n") else data.split(b"\r\n\r\n", 1)
                return out, [t for t in trailers.decode().split("\r\n") if t], rest
            while len(data) < n + 2:
                data += self.more(s)
            out += data[:n]
            data = data[n + 2:]

    def reply(self, s, text, status="200 OK", extra=""):
        s.sendall(("HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n%s" % (status, len(text), extra, text)).encode())

    def on_echo(self, s, data, served, method, path, fields):
        body, trailers, data = self.body(s, data, fields)
        self.reply(s, json.dumps({"method": method, "path": path, "fields": fields, "body": body.decode("latin1")[:4096], "trailers": trailers,
                                  "body_bytes": len(body), "served": served}) if method != "HEAD" else "")
        return data

    def on_early(self, s, data, served, method, path, fields):
        self.reply(s, "too big", "413 Content Too Large", "Connection: close\r\n")
        s.shutdown(socket.SHUT_WR)
        while s.recv(65536):
            pass

    def on_truncate(self, s, data, served, *_):
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort")

    def on_truncate_chunked(self, s, data, served, *_):
        s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n")

    def on_until_close(self, s, data, served, *_):
        s.sendall(b"HTTP/1.1 200 OK\r\n\r\nup to the close")

    def on_trailers(self, s, data, served, *_):
        s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n")
        return data

    def on_hints(self, s, data, served, *_):
        s.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        self.reply(s, "late")
        return data

    def on_garbage(self, s, data, served, *_):
        s.sendall(b"HTTP/1.1 2xx what\r\n\r\n")

    def on_smuggle(self, s, data, served, *_):
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned")
        self.seen.put(("smuggle", "closed" if s.recv(1) == b"" else "reused"))

    def on_talk(self, s, data, served, *_):
        """Serves, and then speaks without being asked, when the test says so: "said" once the bytes are in the other side's socket."""
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reply(s, "ok")
        self.hold.wait(30)
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned")
        wait_until(lambda: fcntl.ioctl(s, termios.TIOCOUTQ, bytes(4)) == bytes(4), 10 * SLOW, "the other side's kernel has them")
        self.seen.put(("talk", "said"))
        s.recv(1)

    def on_ws(self, s, data, served, method, path, fields):
        """WebSocket's handshake (RFC 6455), with the first bytes in the same segment; then whatever comes goes back in upper case."""
        f = {k.lower(): v for k, v in fields}
        if (f.get("upgrade"), f.get("connection"), method) != ("websocket", "upgrade", "GET") or "no" in path:
            self.reply(s, json.dumps(f))
            return data
        accept = base64.b64encode(hashlib.sha1((f["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
        s.sendall(("HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
                   "Sec-WebSocket-Protocol: chat\r\n\r\nhello " % ("other" if "other" in path else "websocket", accept if "wrong" not in path else "x")).encode())
        while True:
            if data:
                s.sendall(data.upper())
            data = s.recv(65536)
            if not data:
                break
        self.seen.put(("ws", "end"))
        s.sendall(b" bye")

    def on_silent(self, s, data, served, *_):
        return None

    def on_stale(self, s, data, served, *_):
        """The first request of a connection is served; at the second the connection closes without a word."""
        if served:
            self.seen.put(("stale", "closed"))
            return None
        self.reply(s, "fresh")
        return data

    def on_fail(self, s, data, served, method, path, fields):
        """/fail?ID&TIMES&HOW: the first TIMES tries of this ID fail: a status, "reset", or "hang" (silence until the other side goes)."""
        key, times, how = path.split("?")[1].split("&")
        body, trailers, data = self.body(s, data, fields)
        tries = self.tries.setdefault(key, [])
        tries.append(body)
        if len(tries) > int(times):
            self.reply(s, json.dumps({"tries": len(tries), "body_bytes": len(body), "trailers": trailers}))
            return data
        if how == "reset":
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return None
        if how == "hang":
            s.recv(1)
            return None
        self.reply(s, "try %d" % len(tries), how + " As Asked")
        return data

    def on_quit(self, s, data, served, method, path, fields):
        """/quit?HOW: reads some of the body, then goes: without a word, or with an answer first."""
        while len(data) < 1000:
            data += self.more(s)
        self.seen.put(("quit", "read"))
        if "answer" in path:
            self.reply(s, "that is enough", "403 Forbidden", "Server: origin/1.2\r\nConnection: close\r\n")
        s.shutdown(socket.SHUT_WR)
        while s.recv(65536):  # a close with unread input would be a reset, and that can destroy the answer
            pass

    def on_served_by(self, s, data, served, method, path, fields):
        body, trailers, data = self.body(s, data, fields)
        self.reply(s, "x", "200 OK", "Server: origin/1.2\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n")
        return data

    def on_hold(self, s, data, served, *_):
        self.seen.put(("hold", "begun"))
        self.seen.put(("hold", "gone" if s.recv(1) == b"" else "more"))

    @staticmethod
    def blob(n):
        return random.Random(n).randbytes(n)

    def on_blob(self, s, data, served, method, path, fields):
        """/blob?N&HOW: N bytes that nobody can guess, with their length, up to the close ("close"), or only half of them ("cut")."""
        n, how = path.split("?")[1].split("&")
        out, n = self.blob(int(n)), int(n)
        try:
            s.sendall(b"HTTP/1.1 200 OK\r\n" + (b"Content-Length: %d\r\n\r\n" % n if how != "close" else b"\r\n"))
            s.sendall(out[:n // 2] if how == "cut" else out)
        except OSError:
            self.seen.put(("blob", "gone"))
            raise
        return data if how == "length" else None

    def on_gate(self, s, data, served, *_):
        """Half the answer, then the other half when the test says so."""
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        self.seen.put(("gate", "half"))
        self.hold.wait(30)
        s.sendall(b"half")
        return data

    def on_flood(self, s, data, served, *_):
        """An endless body, as fast as it is taken."""
        s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        block = b"10000\r\n" + bytes(65536) + b"\r\n"
        self.sent = 0
        try:
            while True:
                self.sent += s.send(block[self.sent % len(block):])
        except OSError:
            self.seen.put(("flood", "gone"))

    def on_deaf(self, s, data, served, *_):
        """Reads nothing of the body until told to."""
        self.seen.put(("deaf", "begun"))
        self.hold.wait(30)
        self.reply(s, "enough", "200 OK", "Connection: close\r\n")
