#!/usr/bin/env python3
"""HTTP/2 towards endpoints: one connection for many requests, with an origin that speaks it as the test says (tests/lab/h2.py).

   HTTP/1.1, HTTP/2 clients ──▶ l7gw ──▶ origin (h2c by prior knowledge)      (the site: tests/lab/l7_site.py)"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import json
import re
import subprocess
import threading
import time

from tests.lab import h2
from tests.lab.l7_site import HTTP, VIP, raw, route, run, service
from tests.lab.proc import wait_until
from tests.lab.raw_client import SLOW, get

PORT = 18086
HOST = "two.example"
WS = "GET /ws HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" % HOST


class Origin:
    """Does what the path says; `held` are streams that wait for the test."""

    def __init__(self):
        self.held, self.refuse, self.sent = [], 0, 0
        self.server = h2.Server(PORT, self.handle, settings=((h2.MAX_CONCURRENT_STREAMS, 10), (h2.ENABLE_CONNECT_PROTOCOL, 1)))

    def handle(self, c, s, event):
        head = dict(s.heads[0])
        name = head[":path"].split("?")[0].strip("/").replace("-", "_")
        if event == "head":
            self.server.seen.put(("head", name))
        getattr(self, "on_" + name, h2.echo)(c, s, event)

    def on_hold(self, c, s, event):
        if event == "head":
            self.held.append((c, s))

    def release(self):
        held, self.held = self.held, []
        for c, s in held:
            h2.echo(c, s, "end")

    def on_trailers(self, c, s, event):
        if s.ended:
            c.headers(s.id, [(":status", "200")])
            c.body(s.id, b"hello", end=False)
            c.headers(s.id, [("x-sum", "42"), ("grpc-status", "0")], True)

    def on_only(self, c, s, event):
        if s.ended:
            c.headers(s.id, [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "5"), ("grpc-message", "no such thing")], True)

    def on_hints(self, c, s, event):
        c.headers(s.id, [(":status", "103"), ("link", "</a.css>")])
        h2.echo(c, s, event)

    def on_early(self, c, s, event):
        if event == "head":
            c.headers(s.id, [(":status", "413"), ("content-length", "7")])
            c.body(s.id, b"too big")

    def on_refused(self, c, s, event):
        if event == "head" and self.refuse > 0:
            self.refuse -= 1
            c.reset(s.id, h2.REFUSED_STREAM)
        else:
            h2.echo(c, s, event)

    def on_reset(self, c, s, event):
        if event == "head":
            c.reset(s.id, h2.INTERNAL_ERROR)

    def on_cut(self, c, s, event):
        if event == "head":
            c.headers(s.id, [(":status", "200"), *([("content-type", "application/grpc")] if dict(s.heads[0]).get("content-type") == "application/grpc" else [])])
            c.body(s.id, b"some", end=False)
            c.reset(s.id, h2.INTERNAL_ERROR)

    def on_short(self, c, s, event):
        if event == "head":
            c.headers(s.id, [(":status", "200"), ("content-length", "100")])
            c.body(s.id, b"short")

    def on_bad(self, c, s, event):
        if event == "head":
            c.headers(s.id, [(":status", "200"), ("connection", "close")], True)

    def on_goaway(self, c, s, event):
        """This one is the last to be served."""
        if event == "head":
            c.send(h2.GOAWAY, 0, 0, s.id.to_bytes(4, "big") + b"\0\0\0\0")
            h2.echo(c, s, event)

    def on_die(self, c, s, event):
        """The connection ends under whatever is on it."""
        c.s.shutdown(2)
        raise OSError("the test's will")

    def on_flood(self, c, s, event):
        if event != "head":
            return
        c.headers(s.id, [(":status", "200")])
        self.sent = 0
        try:
            while s.reset is None and not c.closed:
                c.body(s.id, bytes(16384), end=False, timeout=60)
                self.sent += 16384
        except (TimeoutError, OSError):
            pass

    def on_ws(self, c, s, event):
        head = dict(s.heads[0])
        if event == "head":
            if head[":method"] != "CONNECT" or head[":protocol"] != "websocket" or "sec-websocket-key" in head:
                c.headers(s.id, [(":status", "400")], True)
                return
            c.headers(s.id, [(":status", "200"), ("sec-websocket-protocol", "chat")])
            c.body(s.id, b"hello ", end=False)
        elif event == "data" and not getattr(s, "sending", False):
            s.sending = True  # what comes while we wait for a window is sent by this very loop
            while s.body:
                got, s.body = s.body, b""
                c.body(s.id, got.upper(), end=False)
            s.sending = False
            if s.ended:
                c.body(s.id, b" bye")


def start(site, check):
    site.h2 = Origin()
    service_yaml = service("two", PORT).replace("ports: [{name: http, port: 80, targetPort", "ports: [{name: http, appProtocol: kubernetes.io/h2c, port: 80, targetPort")
    site.write("two", service_yaml + route("two", HOST, "two") + route("two-slow", "slow." + HOST, "two", "timeouts: {request: 500ms}"))
    wait_until(lambda: raw().send(get("/echo", host=HOST)).reply().status == 200, 10 * SLOW, "the route over h2c")


def requests(site, check):
    with raw() as c:
        got = [json.loads(c.send(get("/echo?%d" % i, host=HOST)).reply().body) for i in range(5)]
        check("h2c by prior knowledge: HTTP/1.1 clients are served", [g["path"] for g in got] == ["/echo?%d" % i for i in range(5)], got)
        check("... on one connection", len({g["connection"] for g in got}) == 1, got)
        f = dict(map(tuple, got[0]["fields"]))
        check("29: no field of HTTP/1.1 goes along, ours do", not {"host", "connection", "transfer-encoding"} & set(f) and f["x-forwarded-host"] == HOST and got[0]["authority"] == HOST, f)
        e = json.loads(c.send("POST /echo HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\nX-Sum: 7\r\n\r\n" % HOST).reply().body)
        check("53: a chunked body with its trailer", (e["body"], e["trailers"]) == ("abcdefg", {"x-sum": "7"}), e)
        c.send("POST /echo HTTP/1.1\r\nHost: %s\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n" % HOST)
        check("42: 100, then the request", c.reply().status == 100 and json.loads(c.send("hello").reply().body)["body"] == "hello")
        r = c.send(get("/trailers", host=HOST)).reply()
        check("53: response trailers to HTTP/1.1", r.body == b"hello" and "x-sum: 42" in r.fields["trailers"], r)
        r = c.send(get("/only", host=HOST)).reply()
        check("a head alone ends an HTTP/1.1 response", r.complete and r.fields.get("content-length") == "0" and r.fields["grpc-status"] == "5", r)
        r = c.send("HEAD /echo HTTP/1.1\r\nHost: %s\r\n\r\n" % HOST).reply("HEAD")
        check("20: HEAD", r.status == 200 and int(r.fields["content-length"]) > 10 and c.send(get("/echo", host=HOST)).reply().status == 200, r)
        i, r = c.send(get("/hints", host=HOST)).reply(), c.reply()
        check("19: 103 passes", (i.status, r.status) == (103, 200), (i, r))
    with h2.Client((VIP, HTTP)) as c:
        s = c.get("/echo", HOST, "POST", [("te", "trailers"), ("content-type", "application/grpc")], b"x" * 300000, [("x-end", "1")])
        e = json.loads(s.body)
        check("HTTP/2 both sides: a body larger than every window, trailers", (e["body_bytes"], e["trailers"]) == (300000, {"x-end": "1"}), e)
        check("29, 58: te: trailers goes along", ["te", "trailers"] in e["fields"], e["fields"])
        s = c.get("/trailers", HOST)
        check("53, 58: response trailers", s.body == b"hello" and s.trailers == {"x-sum": "42", "grpc-status": "0"}, s)
        s = c.get("/only", HOST)
        check("58: trailers alone stay a head with END_STREAM", s.status == 200 and len(s.heads) == 1 and s.head["grpc-status"] == "5" and "content-length" not in s.head and
              not any(f[0] == h2.DATA and f[2] == s.id for f in c.frames), s)
        s = c.get("/early", HOST, "POST", body=b"y" * 1000000)
        check("40: an early answer", s.status == 413 and s.body == b"too big", s)


def many(site, check):
    """More at once than the origin allows on one connection: all are served, on connections of ten streams each."""
    site.h2.held.clear()
    with h2.Client((VIP, HTTP)) as c:
        streams = [c.open("/hold?%d" % i, HOST) for i in range(40)]
        wait_until(lambda: len(site.h2.held) == 40, 10 * SLOW, "40 requests at the origin")
        by = {}
        for conn, s in site.h2.held:
            by.setdefault(conn, []).append(s.id)
        check("the endpoint's SETTINGS_MAX_CONCURRENT_STREAMS holds: %s" % sorted(map(len, by.values())), max(map(len, by.values())) <= 10 and len(by) <= 5)
        site.h2.release()
        check("... and all are answered, each with its own", c.pump(lambda: all(s.over for s in streams)) and
              [json.loads(s.body)["path"] for s in streams] == ["/hold?%d" % i for i in range(40)])
        s = c.open("/hold", HOST)
        site.h2.server.saw(("head", "hold"))
        wait_until(lambda: site.h2.held, 5 * SLOW, "the request")
        c.reset(s.id)
        conn, hs = site.h2.held[0]
        wait_until(lambda: hs.reset is not None, 5 * SLOW, "RST_STREAM at the origin")
        check("50: a client that goes away resets its stream alone", hs.reset == h2.CANCEL and not conn.closed, hs.reset)
        site.h2.held.clear()
    out = subprocess.run(["h2load", "-n", "3000", "-c", "4", "-m", "20", "--connect-to", "%s:%d" % (VIP, HTTP), "http://%s:%d/echo" % (HOST, HTTP)],
                         capture_output=True, text=True, timeout=120).stdout
    m = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", out)
    check("h2load, 80 streams at once: %s" % (m and m.group(0)), m and m.groups() == ("3000", "0", "0"), out[-500:])


def failures(site, check):
    o = site.h2
    with raw() as c:
        o.refuse = 1
        r = c.send("POST /refused HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n\r\n" % HOST).reply()
        check("43: REFUSED_STREAM is sent again, even a POST", r.status == 200, r)
        for path, host, want, why in (("/reset", HOST, 502, "RST_STREAM"), ("/bad", HOST, 502, "a connection field"), ("/hold", "slow." + HOST, 504, "the request's deadline")):
            r = c.send(get(path, host=host)).reply()
            check("44: %s: %d" % (why, want), r.status == want and r.complete, r)
        o.held.clear()
        first = json.loads(c.send(get("/goaway", host=HOST)).reply().body)
        second = json.loads(c.send(get("/echo", host=HOST)).reply().body)
        check("51: after GOAWAY the next request goes on another connection", first["connection"] != second["connection"], (first, second))
        check("... and the old one is closed", o.server.conns[first["connection"]].closed or o.server.saw(("closed", o.server.conns[first["connection"]])))
        r = c.send(get("/echo", host=HOST)).reply()
        check("... all on the same client connection", r.status == 200)
    with raw() as c:
        r = c.send(get("/cut", host=HOST)).reply()
        check("38: a response cut by RST_STREAM is visible, HTTP/1.1", r.status == 200 and not r.complete, r)
    with raw() as c:
        r = c.send(get("/short", host=HOST)).reply()
        check("47: one shorter than its content-length too", r.status == 200 and not r.complete, r)
    with h2.Client((VIP, HTTP)) as c:
        s = c.get("/cut", HOST)
        check("38: ... HTTP/2: reset", s.reset is not None and not s.ended, s)
        s = c.get("/cut", HOST, "POST", [("content-type", "application/grpc"), ("te", "trailers")], b"x")
        check("58: ... gRPC: an UNAVAILABLE in trailers, no silent end", s.ended and s.trailers.get("grpc-status") == "14", s)
        o.held.clear()
        held = [c.open("/hold?%d" % i, HOST) for i in range(5)]
        wait_until(lambda: len(o.held) == 5, 5 * SLOW, "five requests")
        o.held.clear()
        c.get("/die", HOST)
        wait_until(lambda: len(o.held) >= 5 or all(s.over for s in held), 5 * SLOW, "the five, again")
        o.release()
        check("43: a connection that dies: what may be sent again is", c.pump(lambda: all(s.over for s in held)) and {s.status for s in held} <= {200, 502}, held)
        check("... and the next request is served", c.get("/echo", HOST).status == 200)


def pressure(site, check):
    o = site.h2
    with h2.Client((VIP, HTTP), windows=False) as slow, h2.Client((VIP, HTTP)) as c:
        s = slow.open("/flood", HOST)
        slow.pump(lambda: len(s.body) >= 65535)
        before = -1
        while before != o.sent:
            before = o.sent
            time.sleep(0.3)  # the measure: it stands still
        check("49: a client that opens no window stops its stream at the origin: %d KiB taken" % (o.sent >> 10), len(s.body) == 65535 and o.sent < 1 << 20, o.sent)
        threads = [c.get("/echo", HOST).status for _ in range(5)]
        check("49: ... and nobody else's", threads == [200] * 5, threads)
        slow.window(0, 1 << 20)
        slow.window(s.id, 1 << 20)
        check("... it goes on with the window", slow.pump(lambda: len(s.body) == 65535 + (1 << 20), 10), len(s.body))
        slow.reset(s.id)
        check("... and its end reaches the origin", o.server.saw(("reset", s_id_at_origin(o, "/flood"), h2.CANCEL)))
    check("memory is bounded: %d KiB" % site.rss_kib(), site.rss_kib() < 65536 * SLOW)


def s_id_at_origin(o, path):
    for c in o.server.conns:
        for s in c.streams.values():
            if dict(s.heads[0])[":path"] == path:
                return s.id


def tunnels(site, check):
    with raw() as c:
        status, fields = c.send(WS + "early ").head()
        check("56: WebSocket from HTTP/1.1 to HTTP/2: 101, the right answer to the key", (status, fields.get("upgrade"), fields.get("sec-websocket-accept"), fields.get("sec-websocket-protocol")) ==
              (101, "websocket", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "chat"), (status, fields))
        while len(c.data) < 12 and c.more():
            pass
        check("56: ... bytes both ways", c.data == b"hello EARLY ", c.data)
        c.data = b""
        big = bytes(range(97, 123)) * 20000
        threading.Thread(target=c.send, args=(big,), daemon=True).start()
        while len(c.data) < len(big) and c.more():
            pass
        check("... half a megabyte each way", c.data == big.upper(), len(c.data))
        c.data = b""
        c.s.shutdown(1)
        while c.more():
            pass
        check("56: FIN becomes END_STREAM, and the endpoint's end comes back", c.data == b" bye", c.data)
    with h2.Client((VIP, HTTP)) as c:
        s = c.open("/ws", HOST, "CONNECT", [(":protocol", "websocket"), ("sec-websocket-version", "13")], end=False)
        c.body(s.id, b"early ", end=False)
        check("56: WebSocket, HTTP/2 both sides", c.pump(lambda: len(s.body) >= 12) and s.status == 200 and s.body == b"hello EARLY ", s)
        c.body(s.id, b"", end=True)
        check("56: ... and its end", c.pump(lambda: s.over) and s.body.endswith(b" bye"), s)


if __name__ == "__main__":
    run("l7_h2", [start] + ([requests, many, failures, pressure, tunnels] if len(sys.argv) < 2 else [globals()[n] for n in sys.argv[1:]]))
