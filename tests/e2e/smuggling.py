#!/usr/bin/env python3
"""Ambiguous requests (requirements 1-20) through a shard to an origin that records every byte: each is refused, or forwarded in
exactly one unambiguous form.

   row + canary, one segment ──▶ l7gw ──▶ recorder        refused: 4xx or 5xx, the connection ends, the origin saw nothing of it
                                                          accepted: the origin saw the row, its body, then the canary; no third

Every row carries, where it can, a request for /evil in what another parser might take for the next request."""
import os
import re
import socket
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tests.lab.l7_site import raw, route, run, service
from tests.lab.proc import wait_until
from tests.lab.raw_client import SLOW, get

PORT, HOST = 18087, "record.example"
EVIL = b"GET /evil HTTP/1.1\r\nHost: record.example\r\n\r\n"
HEAD = re.compile(rb"[A-Z]+ /[^\x00-\x20\x7f]* HTTP/1\.1\r\n([!#$%&'*+.^_`|~0-9a-z-]+: [^\x00-\x08\x0a-\x1f\x7f]*\r\n)*\r\n")


class Recorder:
    """Strict: what it cannot frame beyond doubt is a complaint."""

    def __init__(self):
        self.requests, self.complaints, self.lock = [], [], threading.Lock()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", PORT))
        self.listener.listen(128)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            s, _ = self.listener.accept()
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        data = b""
        try:
            while True:
                while b"\r\n\r\n" not in data:
                    b = s.recv(65536)
                    if not b:
                        if data:
                            self.complaints.append(data)
                        return
                    data += b
                n = data.index(b"\r\n\r\n") + 4
                head, data = data[:n], data[n:]
                body, data = self.body(s, head, data)
                with self.lock:
                    self.requests.append((head.split(b" ")[1].decode(), body))
                s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except (OSError, ValueError) as e:
            self.complaints.append(repr(e))
        finally:
            s.close()

    def body(self, s, head, data):
        names = [l.split(b":")[0] for l in head.split(b"\r\n")[1:] if l]
        framing = [n for n in names if n in (b"content-length", b"transfer-encoding")]
        if not HEAD.fullmatch(head) or names.count(b"host") != 1 or len(framing) > 1:
            self.complaints.append(head)
        if framing == [b"content-length"]:
            n = int(re.search(rb"content-length: (\d+)\r\n", head).group(1))
            while len(data) < n:
                data += s.recv(65536)
            return data[:n], data[n:]
        if not framing:
            return b"", data
        if b"\r\ntransfer-encoding: chunked\r\n" not in head:
            self.complaints.append(head)
        out = b""
        while True:
            m = re.match(rb"([0-9a-f]+)\r\n", data)
            if not m:
                data += s.recv(65536)
                continue
            n = int(m.group(1), 16)
            while len(data) < m.end() + n + 2:
                data += s.recv(65536)
            if data[m.end() + n:m.end() + n + 2] != b"\r\n":
                self.complaints.append(data)
            out += data[m.end():m.end() + n]
            data = data[m.end() + n + 2:]
            if n == 0:
                return out, data


def post(fields, body, line=b"POST /row HTTP/1.1"):
    return line + b"\r\nHost: record.example\r\n" + fields + b"\r\n" + body


CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
REFUSED = None


def rows():
    """(requirement, what, bytes, body that the origin must see, or REFUSED)."""
    yield 1, "ordinary", b"GET /row HTTP/1.1\r\nHost: record.example\r\n\r\n", b""
    for what, line in (("no version", b"GET /row"), ("HTTP/1.2", b"GET /row HTTP/1.2"), ("HTTP/2.0", b"GET /row HTTP/2.0"), ("HTTP/0.9", b"GET /row HTTP/0.9"),
                       ("lower case", b"GET /row http/1.1"), ("HTTP/1", b"GET /row HTTP/1"), ("HTTP/01.1", b"GET /row HTTP/01.1"), ("two spaces", b"GET  /row HTTP/1.1"),
                       ("two spaces before the version", b"GET /row  HTTP/1.1"), ("tab", b"GET\t/row HTTP/1.1"), ("space at the end", b"GET /row HTTP/1.1 "),
                       ("space in the target", b"GET /row /x HTTP/1.1"), ("empty method", b" /row HTTP/1.1"), ("method with a colon", b"GE:T /row HTTP/1.1"),
                       ("NUL in the method", b"GE\0T /row HTTP/1.1"), ("NUL in the target", b"GET /ro\0w HTTP/1.1"), ("vertical tab", b"GET /row\x0bHTTP/1.1"),
                       ("form feed", b"GET\x0c/row HTTP/1.1"), ("high byte", b"GET /r\xe9w HTTP/1.1"), ("fragment", b"GET /row#x HTTP/1.1"),
                       ("bare LF", b"GET /row HTTP/1.1\nX: y"), ("bare CR", b"GET /row HTTP/1.1\rX: y"), ("CR CR LF", b"GET /row HTTP/1.1\r")):
        yield 1, what, line + b"\r\nHost: record.example\r\n\r\n", REFUSED
    for n in (1, 2):
        yield 6, "%d empty lines first" % n, b"\r\n" * n + b"GET /row HTTP/1.1\r\nHost: record.example\r\n\r\n", b""
    yield 6, "three empty lines first", b"\r\n\r\n\r\nGET /row HTTP/1.1\r\nHost: record.example\r\n\r\n", REFUSED
    for what, field in (("space before the colon", b"X : y"), ("tab before the colon", b"X\t: y"), ("no colon", b"X"), ("empty name", b": y"), ("NUL in a value", b"X: a\0b"),
                        ("CR in a value", b"X: a\rb"), ("LF in a value", b"X: a\nb"), ("DEL in a value", b"X: a\x7fb"), ("control in a value", b"X: a\x01b"),
                        ("bracket in a name", b"X[: y"), ("high byte in a name", b"X\xff: y"), ("folded", b"X: a\r\n b"), ("folded by tab", b"X: a\r\n\tb"),
                        ("NUL in a name", b"X\0: y"), ("quote in a name", b"\"X\": y"), ("slash in a name", b"X/: y"), ("comma in a name", b"X,Y: y"),
                        ("line of a space", b" "), ("bare LF ends a field", b"X: y\nTransfer-Encoding: chunked"), ("bare CR ends a field", b"X: y\rTransfer-Encoding: chunked")):
        yield 3, what, post(b"Content-Length: 5\r\n" + field + b"\r\n", b"hello"), REFUSED
    yield 3, "first field indented", b"GET /row HTTP/1.1\r\n Host: record.example\r\n\r\n", REFUSED
    for what, fields in (("no Host", b""), ("two Hosts", b"Host: record.example\r\nHost: record.example\r\n"), ("two different Hosts", b"Host: record.example\r\nHost: b\r\n"),
                         ("Host with a path", b"Host: record.example/x\r\n"), ("Host with userinfo", b"Host: a@record.example\r\n"), ("Host list", b"Host: record.example, b\r\n"),
                         ("Host with a space", b"Host: record.example b\r\n"), ("Host with two ports", b"Host: record.example:1:2\r\n"), ("empty Host", b"Host:\r\n")):
        yield 21, what, b"GET /row HTTP/1.1\r\n" + fields + b"\r\n", REFUSED
    for v in (b"+5", b"-5", b"0x5", b"5 ;", b"5,", b",5", b"5 5", b"5, 6", b"5.0", b"5e0", b"1_0", b"", b"five", b"5\x0b", b"\xa05", b"9223372036854775808",
              b"18446744073709551621", b"99999999999999999999999999", b"5\t5", b"'5'", b"5;x", b"05, 5"):
        yield 7, "Content-Length: %r" % v, post(b"Content-Length: " + v + b"\r\n", b"hello" + EVIL), REFUSED
    for v in (b"5", b" 5", b"5 ", b"\t5\t", b"5, 5"):
        yield 7, "Content-Length: %r" % v, post(b"Content-Length:" + v + b"\r\n", b"hello"), b"hello"
    yield 7, "two equal", post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"), b"hello"
    yield 7, "two different", post(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello" + EVIL), REFUSED
    yield 7, "its twin with _", post(b"Content-Length: 5\r\nContent_Length: 0\r\n", b"hello" + EVIL), REFUSED
    for a, b in ((b"Content-Length: 5", b"Transfer-Encoding: chunked"), (b"Content-Length: 0", b"Transfer-Encoding: chunked"), (b"Content-Length: 48", b"Transfer-Encoding: chunked"),
                 (b"Content-Length: 5", b"Transfer-Encoding: identity"), (b"content-length: 5", b"TRANSFER-ENCODING: CHUNKED")):
        yield 8, "%r, %r" % (a, b), post(a + b"\r\n" + b + b"\r\n", CHUNKS + EVIL), REFUSED
        yield 8, "%r, %r" % (b, a), post(b + b"\r\n" + a + b"\r\n", CHUNKS + EVIL), REFUSED
    codings = (b"xchunked", b"chunkedx", b"chunke", b"chunked, chunked", b"chunked,", b",chunked", b"identity", b"chunked, identity", b"identity, chunked", b"gzip, chunked",
               b"chunked, gzip", b"gzip", b"chunked;q=1", b"chunked; x=y", b"\"chunked\"", b"'chunked'", b"\x0bchunked", b"chunked\x0b", b"\xa0chunked", b"\x00chunked", b"chunked\x00",
               b"cHuNkEd chunked", b"chunk ed", b"", b"chunked\x1f", b"[chunked]", b"chunked\\", b"nothing", b"deflate, chunked", b"trailers")
    for v in codings:
        yield 9, "Transfer-Encoding: %r" % v, post(b"Transfer-Encoding: " + v + b"\r\n", CHUNKS + EVIL), REFUSED
    for fields in (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n",
                   b"Transfer-Encoding : chunked\r\n", b"Transfer-Encoding\t: chunked\r\n", b"Transfer_Encoding: chunked\r\nContent-Length: 5\r\n", b"Transfer-Encoding:\r\n chunked\r\n",
                   b"X: y\r\n Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n", b"Transfer-\r\nEncoding: chunked\r\n", b"Trans\0fer-Encoding: chunked\r\n"):
        yield 9, "%r" % fields, post(fields, CHUNKS + EVIL), REFUSED
    for v in (b"chunked", b"Chunked", b"CHUNKED", b"\tchunked ", b"  chunked"):
        yield 9, "Transfer-Encoding:%r" % v, post(b"Transfer-Encoding:" + v + b"\r\n", CHUNKS), b"hello"
    yield 10, "in HTTP/1.0", post(b"Transfer-Encoding: chunked\r\n", CHUNKS + EVIL, b"POST /row HTTP/1.0"), REFUSED
    for what, body in (("0x", b"0x5\r\nhello\r\n0\r\n\r\n"), ("plus", b"+5\r\nhello\r\n0\r\n\r\n"), ("minus", b"-5\r\nhello\r\n0\r\n\r\n"), ("space", b" 5\r\nhello\r\n0\r\n\r\n"),
                       ("space after", b"5 \r\nhello\r\n0\r\n\r\n"), ("tab after", b"5\t\r\nhello\r\n0\r\n\r\n"), ("empty", b"\r\nhello\r\n0\r\n\r\n"), ("17 digits", b"00000000000000005\r\nhello\r\n0\r\n\r\n"),
                       ("overflow", b"10000000000000005\r\nhello\r\n0\r\n\r\n"), ("int64", b"8000000000000000\r\n"), ("all ones", b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n"), ("no hex", b"5g\r\nhello\r\n0\r\n\r\n"),
                       ("underscore", b"0_5\r\nhello\r\n0\r\n\r\n"), ("bare LF", b"5\nhello\r\n0\r\n\r\n"), ("bare CR", b"5\rhello\r\n0\r\n\r\n"), ("LF after the data", b"5\r\nhello\n0\r\n\r\n"),
                       ("nothing after the data", b"5\r\nhello0\r\n\r\n"), ("data too long", b"5\r\nhelloo\r\n0\r\n\r\n"), ("data too short", b"6\r\nhello\r\n0\r\n\r\n"), ("last chunk with LF", b"5\r\nhello\r\n0\n\n"),
                       ("last chunk with LF, then CRLF", b"5\r\nhello\r\n0\n\r\n"), ("extension with LF", b"5;a\nhello\r\n0\r\n\r\n"), ("extension with CR", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
                       ("extension with NUL", b"5;a\0b\r\nhello\r\n0\r\n\r\n"), ("no name", b"5;\r\nhello\r\n0\r\n\r\n"), ("no value", b"5;a=\r\nhello\r\n0\r\n\r\n"), ("open quote", b"5;a=\"x\r\nhello\r\n0\r\n\r\n"),
                       ("extension of 5 KiB", b"5;" + b"a" * 5000 + b"\r\nhello\r\n0\r\n\r\n"), ("semicolon alone", b";\r\n0\r\n\r\n"), ("NUL", b"\x005\r\nhello\r\n0\r\n\r\n")):
        yield 11, "chunk: " + what, post(b"Transfer-Encoding: chunked\r\n", body + EVIL), REFUSED
    for what, body in (("leading zeros", b"0005\r\nhello\r\n0\r\n\r\n"), ("extensions", b"5;a=b;c=\"d;\\\"\"\r\nhello\r\n0;last\r\n\r\n"), ("two zeros", b"5\r\nhello\r\n00\r\n\r\n"),
                       ("hex of either case", b"1\r\nh\r\n4;A=B\r\nello\r\n0\r\n\r\n"), ("a request inside", b"%x\r\n" % len(EVIL) + EVIL + b"\r\n0\r\n\r\n"), ("one by one", b"1\r\nh\r\n1\r\ne\r\n3\r\nllo\r\n0\r\n\r\n")):
        yield 11, "chunk: " + what, post(b"Transfer-Encoding: chunked\r\n", body), EVIL if "inside" in what else b"hello"
    for what, trailer, ok in (("Content-Length", b"Content-Length: 100\r\n", True), ("Transfer-Encoding", b"Transfer-Encoding: chunked\r\n", True), ("Host", b"Host: evil\r\n", True),
                              ("space before the colon", b"X : y\r\n", False), ("folded", b"X: y\r\n z\r\n", False), ("NUL", b"X: \0\r\n", False), ("bare LF", b"X: y\nY: z\r\n", False),
                              ("a request line", b"GET /evil HTTP/1.1\r\n", False)):
        yield 13, "trailer: " + what, post(b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n"), b"hello" if ok else REFUSED
    for method in (b"GET", b"DELETE", b"OPTIONS", b"PUT", b"PATCH"):
        yield 14, "%s with a body" % method.decode(), post(b"Content-Length: %d\r\n" % len(EVIL), EVIL, method + b" /row HTTP/1.1"), EVIL
    for what, line in (("userinfo", b"GET http://a@record.example/row HTTP/1.1"), ("other host", b"GET http://b.example/row HTTP/1.1"), ("other scheme", b"GET https://record.example/row HTTP/1.1"),
                       ("no authority", b"GET http:///row HTTP/1.1"), ("above the root", b"GET /../row HTTP/1.1"), ("bad escape", b"GET /row%zz HTTP/1.1"), ("%00", b"GET /row%00 HTTP/1.1"),
                       ("backslash", b"GET /row\\x HTTP/1.1"), ("no slash", b"GET row HTTP/1.1"), ("asterisk", b"GET * HTTP/1.1"), ("authority form", b"GET record.example:80 HTTP/1.1")):
        yield 22, "target: " + what, line + b"\r\nHost: record.example\r\n\r\n", REFUSED
    yield 22, "absolute form", b"GET http://record.example/row HTTP/1.1\r\nHost: record.example\r\n\r\n", b""
    for name in (b"Host", b"Content-Length", b"Transfer-Encoding"):
        yield 29, "Connection names %s" % name.decode(), post(b"Connection: " + name + b"\r\nContent-Length: 5\r\n", b"hello"), b"hello"


def one(site, data, want):
    """What went wrong with this row; None when nothing did."""
    o = site.recorder
    with o.lock:
        before = len(o.requests)
    with raw() as c:
        c.send(data + b"GET /canary HTTP/1.1\r\nHost: record.example\r\nConnection: close\r\n\r\n")
        try:
            c.s.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        first = c.reply()
        second = c.reply() if first.complete and want is not REFUSED else None
        closed = c.closed()
    with o.lock:
        seen = o.requests[before:]
    if want is REFUSED:
        good = (first.status >= 400 or first.status == 0) and closed and not seen
    else:
        good = first.status == 200 and second.status == 200 and closed and seen == [("/row", want), ("/canary", b"")]
    return None if good and not o.complaints else (first, second, closed, seen, o.complaints)


def smuggling(site, check):
    site.recorder = Recorder()
    site.write("record", service("record", PORT) + route("record", HOST, "record"))
    wait_until(lambda: raw().send(get("/ready", host=HOST)).reply().status == 200, 10 * SLOW, "the route")
    table, bad = list(rows()), []
    for number, what, data, want in table:
        trouble = one(site, data, want)
        if trouble:
            bad.append("%d: %s: %r" % (number, what, trouble))
            site.recorder.complaints.clear()
    accepted = sum(want is not REFUSED for _, _, _, want in table)
    check("%d rows: %d refused, %d forwarded in one form" % (len(table), len(table) - accepted, accepted), not bad and len(table) >= 150, "\n".join(b[:600] for b in bad))


if __name__ == "__main__":
    run("smuggling", (smuggling,))
