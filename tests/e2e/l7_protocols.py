#!/usr/bin/env python3
"""One shard alone, seen by peers that keep a protocol to the letter, or break it: origins that speak out of turn, clients that
send or read too slowly, the order of a drain.  (The site: tests/lab/l7_site.py.)"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import json
import re
import resource
import select
import signal
import socket
import threading
import time

from tests.lab import h2
from tests.lab.l7_site import HTTP, VIP, raw, run
from tests.lab.proc import wait_until
from tests.lab.raw_client import SLOW, get


def all_threads(pid, states):
    def state(tid):
        with open("/proc/%d/task/%s/stat" % (pid, tid)) as f:
            return f.read().rpartition(")")[2].split()[0]
    return all(state(tid) in states for tid in os.listdir("/proc/%d/task" % pid))


POST = "POST /echo HTTP/1.1\r\nHost: origin.example\r\nContent-Length: 5\r\n\r\nhello"


def out_of_turn(site, check):
    """Bytes of an endpoint that answer nothing: whatever comes first, they or the next request, they reach nobody."""
    o, pid = site.origin, site.procs["l7gw"].pid
    for what, request, first in [(w, r, f) for f in ("request", "bytes") for w, r in (("GET", get("/echo")), ("POST", POST))]:
        o.hold.clear()
        o.forget()
        with raw() as c:
            c.send(get("/talk")).reply()
            wait_until(lambda: all_threads(pid, "S"), 10 * SLOW, "the shard has done what it had to")
            os.kill(pid, signal.SIGSTOP)  # so that both wait when it looks, in this order
            try:
                wait_until(lambda: all_threads(pid, "Tt"), 10 * SLOW, "every thread of the shard stands still")
                if first == "request":
                    c.send(request)
                o.hold.set()
                check("18: an endpoint speaks unasked", o.saw(("talk", "said")))
                if first == "bytes":
                    c.send(request)
            finally:
                os.kill(pid, signal.SIGCONT)
            r = c.reply()
            body = json.loads(r.body) if r and r.status == 200 and r.body.startswith(b"{") else {}
            check("18: ... which reaches nobody; %s goes elsewhere (%s first)" % (what, first),
                  (body.get("method"), body.get("path"), body.get("body_bytes")) == (what, "/echo", 5 if what == "POST" else 0), r)
    with raw() as c:
        a = c.send(get("/smuggle")).reply()
        check("18: a connection with bytes after its response is closed, not kept", a.body == b"ok" and o.saw(("smuggle", "closed")), a)


def descriptors(site, check):
    """Running out of descriptors is our own trouble: 503 overload, and no endpoint is blamed."""
    pid, clients = site.procs["l7gw"].pid, [raw() for _ in range(12)]
    clients[0].send(get("/echo")).reply()
    old = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir("/proc/%d/fd" % pid)), old[1]))
    try:  # more requests at once than the pools have connections
        for c in clients:
            c.send(get("/hold"))
        answered = select.select([c.s for c in clients], [], [], 10 * SLOW)[0]
        r = next(c for c in clients if c.s in answered).reply() if answered else None
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, old)
    check("no descriptor for an upstream connection: 503, try later", r and r.status == 503 and r.fields.get("retry-after"), r)
    for c in clients:
        c.s.close()
    with raw() as c:
        r = c.send(get("/echo")).reply()
        check("... the endpoint is not blamed: the next request is served", r.status == 200, r)
    wait_until(lambda: any(l["reason"] == "overload" for l in site.access()), 5 * SLOW, "the log says overload")


def spliced(site, check):
    """Large plain bodies pass through pipes, to the last byte and in their order; where no pipe is to be had, by copies."""
    n, pid = 5 << 20, site.procs["l7gw"].pid
    want = site.origin.blob(n)

    def passed():
        return int(re.search(r"^gatehouse_l7_spliced_bytes_total(?:{.*})? (\d+)$", site.ask("metrics"), re.M).group(1))

    def blob(c, how="length", version="1.1", host="origin.example"):
        return c.send(get("/blob?%d&%s" % (n, how), version=version, host=host)).reply()
    with raw() as c:
        c.send(get("/echo")).reply()  # its connections stand
        old = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir("/proc/%d/fd" % pid)), old[1]))
        try:
            r = blob(c)
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, old)
        check("no descriptor for a pipe: copied", r.body == want and passed() == 0, (len(r.body), passed()))
        c.send(get("/blob?%d&length" % n) + get("/echo") + get("/blob?%d&length" % n) + get("/echo"))
        got = [c.reply() for _ in range(4)]
        check("pipelined: large bodies and what comes behind them", got[0].body == want and got[2].body == want and
              all(b'"path": "/echo"' in got[i].body for i in (1, 3)), [len(r.body) for r in got])
        check("... most of it was not copied: %d KiB of %d" % (passed() >> 10, 2 * n >> 10), n < passed() <= 2 * n)
    with raw() as c:
        r = blob(c, "close", "1.0")
        check("up to the close, to a client of HTTP/1.0", r.body == want, r)
    with raw() as c:
        r = blob(c, "cut")
        check("39: a body that is cut looks cut", r.status == 200 and not r.complete and r.body == want[:n // 2] and c.s.recv(1) == b"", len(r.body))
    with raw(rcvbuf=4096) as c:
        check("a slow reader gets all of it", blob(c).body == want)
        check("... and the connection goes on", c.send(get("/echo")).reply().status == 200)
    site.origin.forget()
    with raw(rcvbuf=4096) as c:
        c.send(get("/blob?%d&length" % (n * 8)))
        c.head()
    check("a client that goes away: the endpoint learns it", site.origin.saw(("blob", "gone")))
    before = passed()
    with raw("one.example") as c, h2.Client((VIP, HTTP)) as two:
        check("to TLS by copies", blob(c, host="one.example").body == want)
        check("... to HTTP/2 too", two.get("/blob?%d&length" % n).body == want and passed() == before)
    wait_until(lambda: site.ask("status")["connections"] == 0, 5 * SLOW, "all connections are gone")


def slow_bodies(site, check):
    """Bodies that come too slowly, HTTP/1.1 and HTTP/2 at the same time: each is judged over ten seconds."""
    t = time.monotonic()
    drip, grpc = raw(), h2.Client((VIP, HTTP))
    drip.send("POST /echo HTTP/1.1\r\nHost: origin.example\r\nContent-Length: 100000\r\n\r\n")
    stop = threading.Event()

    def drops():
        while not stop.wait(0.5):
            try:
                drip.send("x")
            except OSError:
                return
    threading.Thread(target=drops, daemon=True).start()
    stalled = h2.Client((VIP, HTTP))
    s = stalled.open("/echo", method="POST", fields=[("content-length", "1000")], end=False)
    g = grpc.open("/echo", method="POST", fields=[("content-type", "application/grpc"), ("te", "trailers")], end=False)
    deaf = h2.Client((VIP, HTTP), windows=False, settings=((h2.INITIAL_WINDOW_SIZE, 0),))
    deaf.headers(1, [(":method", "GET"), (":scheme", "http"), (":authority", "origin.example"), (":path", "/"), *(("x-%d" % i, "y") for i in range(120))], True)
    deaf.streams[1] = h2.Stream(1)
    r = drip.reply()
    stop.set()
    took = time.monotonic() - t
    check("37: a body under the minimum rate: 408 after %.0f s" % took, r.status == 408 and 9 < took < 25 * SLOW, r)
    check("37: a stalled body, HTTP/2: 408", stalled.pump(lambda: s.over, 15) and s.status == 408, s)
    check("59: ... but a gRPC client may think", not grpc.pump(lambda: g.over, 0.2), g)
    grpc.body(g.id, b"hello")
    check("... and is answered", grpc.pump(lambda: g.over, 5) and json.loads(g.body)["body"] == "hello", g)
    check("49: a refusal that the client's window does not take: the stream is cut",
          deaf.pump(lambda: deaf.streams[1].over, 25) and deaf.streams[1].status == 431 and deaf.streams[1].reset is not None, deaf.streams[1])
    for c in (stalled, grpc, deaf):
        c.s.close()
    drip.s.close()
    wait_until(lambda: {"body_timeout", "client_slow"} <= {l["reason"] for l in site.access()}, 5 * SLOW, "the log says body_timeout and client_slow")
    check("... at no cost: %.2f s of CPU" % site.procs["l7gw"].cpu_s(), site.procs["l7gw"].cpu_s() < 2 * SLOW)


def expectations(site, check):
    with raw() as c:
        r = c.send("POST /echo HTTP/1.1\r\nHost: origin.example\r\nContent-Length: 1\r\nExpect: wonders\r\n\r\n").reply()
        check("42: an unknown expectation, HTTP/1.1: 417", r.status == 417, r)
    with h2.Client((VIP, HTTP)) as c:
        s = c.get("/echo", method="POST", fields=[("expect", "wonders")], body=b"x")
        check("42: ... HTTP/2: 417", s.status == 417, s)
        check("... and the connection goes on", c.get("/echo").status == 200)


def notified(site, check):
    """An idle TLS connection ends with close_notify: a peer that sees a bare FIN must think of a cut."""
    with raw("one.example") as c:
        c.send(get("/echo", host="one.example")).reply()
        t = time.monotonic()
        c.s.settimeout(40 * SLOW)
        try:
            clean = c.s.recv(10) == b""
        except OSError as e:  # "unexpected EOF": no close_notify
            clean = repr(e)
        check("an idle TLS connection is closed with close_notify, after %.0f s" % (time.monotonic() - t), clean is True, clean)


WS = "GET /ws%s HTTP/1.1\r\nHost: %s\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
CONNECT = (("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat"))


def ws_connect(c, path, protocol="websocket", host="origin.example", fields=CONNECT, end=False):
    return c.open(path, host=host, method="CONNECT", fields=[(":protocol", protocol), *fields] if protocol else fields, end=end)


def websocket(site, check):
    site.origin.forget()
    for tls_name in (None, "one.example"):
        with raw(tls_name) as c:
            how, host = "over TLS" if tls_name else "plain", tls_name or "origin.example"
            status, fields = c.send(WS % ("", host) + "early ").head()
            check("54: WebSocket, HTTP/1.1 both sides (%s): 101 with the endpoint's answer" % how, (status, fields.get("upgrade"), fields.get("connection"), fields["sec-websocket-accept"]) ==
                  (101, "websocket", "upgrade", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), (status, fields))
            while len(c.data) < 12 and c.more():
                pass
            check("54: bytes behind the heads belong to the tunnel, both ways (%s)" % how, c.data == b"hello EARLY ", c.data)
            c.data = b""
            big = bytes(range(97, 123)) * 40000
            c.exchange(big, len(big))
            check("... and a megabyte each way (%s)" % how, c.data == big.upper(), len(c.data))
            c.data = b""
            if tls_name:
                continue
            c.s.shutdown(socket.SHUT_WR)
            check("55: the client's end reaches the endpoint", site.origin.saw(("ws", "end")))
            while c.more():
                pass
            check("55: ... whose last words still come", c.data == b" bye", c.data)
    with raw() as c:
        c.send(WS % ("", "timeout.example")).head()
        t = time.monotonic()
        time.sleep(0.8)  # longer than the rule's 300 ms for requests
        c.send("still")
        while b"STILL" not in c.data and c.more():
            pass
        check("57: a tunnel outlives the deadline of requests", b"STILL" in c.data, c.data)
        while c.more():
            pass
        check("57: ... and ends when nothing moves in it: after %.1f s" % (time.monotonic() - t), 2.5 < time.monotonic() - t < 10 * SLOW)
    with raw() as c:
        r = c.send(WS % ("?no", "origin.example")).reply()
        check("54: an endpoint that declines answers as it likes, and HTTP goes on", r.status == 200 and c.send(get("/echo")).reply().status == 200, r)
        r = c.send(WS % ("?other", "origin.example")).reply()
        check("54: 101 for another protocol: 502", r.status == 502, r)
    with raw() as c:
        f = {k.lower(): v for k, v in json.loads(c.send("POST /echo HTTP/1.1\r\nHost: origin.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nhi").reply().body)["fields"]}
        check("54: with a body it is an ordinary request", "upgrade" not in f and "connection" not in f, f)
        f = {k.lower(): v for k, v in json.loads(c.send("GET /echo HTTP/1.1\r\nHost: origin.example\r\nConnection: Upgrade\r\nUpgrade: TLS/1.0\r\n\r\n").reply().body)["fields"]}
        check("54: other protocols are not offered", "upgrade" not in f, f)


def websocket_h2(site, check):
    with h2.Client((VIP, HTTP)) as c:
        c.pump(lambda: h2.ENABLE_CONNECT_PROTOCOL in c.peer)
        check("56: SETTINGS_ENABLE_CONNECT_PROTOCOL is announced", c.peer.get(h2.ENABLE_CONNECT_PROTOCOL) == 1, c.peer)
        site.origin.forget()
        s = ws_connect(c, "/ws")
        c.body(s.id, b"early ", end=False)
        check("56: extended CONNECT to an HTTP/1.1 endpoint: 200, and the tunnel", c.pump(lambda: len(s.body) >= 12) and s.status == 200 and s.body == b"hello EARLY ", s)
        check("56: ... no field of HTTP/1.1's handshake", not {"sec-websocket-accept", "upgrade", "connection", "content-length"} & set(s.head) and s.head["sec-websocket-protocol"] == "chat", s.head)
        big = bytes(range(97, 123)) * 40000
        c.body(s.id, big, end=False)
        check("56: ... and a megabyte each way", c.pump(lambda: len(s.body) >= 12 + len(big), 20) and s.body[12:] == big.upper(), len(s.body))
        c.body(s.id, b"", end=True)
        check("56: END_STREAM reaches the endpoint as FIN, and its end comes back", c.pump(lambda: s.over) and s.ended and s.body.endswith(b" bye"), (s.ended, s.reset, s.body[-10:]))
        got = [c.get("/echo").status]
        for path, protocol, fields, end, want in (("/ws?wrong", "websocket", CONNECT, False, 502), ("/ws?other", "websocket", CONNECT, False, 502),
                                                  ("/ws?no", "websocket", CONNECT, False, 502), ("/ws", "chess", CONNECT, False, 501),
                                                  ("/ws", "websocket", CONNECT, True, 400), ("/ws", None, CONNECT, False, None)):
            s = ws_connect(c, path, protocol, fields=fields, end=end)
            c.pump(lambda: s.over)
            got.append(s.status or None)
            check("56: CONNECT %s %s: %s" % (path, protocol, want), (s.status or None) == want, s)
        s = ws_connect(c, "/ws")
        c.pump(lambda: s.status)
        site.origin.forget()
        c.reset(s.id)
        check("56: RST_STREAM ends the endpoint's connection", site.origin.saw(("ws", "end")))
        check("... the connection itself goes on", c.get("/echo").status == 200 and got[0] == 200)
    wait_until(lambda: any(l["status"] == 101 and l["complete"] and l["bytes_in"] > 1000000 for l in site.access()), 5 * SLOW, "the log has tunnels with their bytes")


def going(site, check):
    """A drain with a client that says nothing: notice, a second later the real GOAWAY, then the end with its last stream."""
    site.origin.hold.clear()
    site.origin.forget()
    c = h2.Client((VIP, HTTP))
    s = c.open("/gate")
    c.pump(lambda: s.body == b"half")
    t = time.monotonic()
    site.procs["l7gw"].signal(signal.SIGTERM)
    check("51: the first GOAWAY refuses nobody", c.pump(lambda: c.goaways, 10) and c.goaways[0] == (2**31 - 1, 0), c.goaways)
    check("51: the second names the last stream, by its own clock", c.pump(lambda: len(c.goaways) > 1, 5) and c.goaways[1] == (s.id, 0), c.goaways)
    check("51: ... %.1f s after SIGTERM, with the stream still open" % (time.monotonic() - t), not s.over)
    site.origin.hold.set()
    check("51: the stream is finished", c.pump(lambda: s.over, 5) and s.body == b"halfhalf", s)
    check("51: ... and the connection ends with it", c.pump(lambda: c.closed, 5))
    check("the process exits with status 0", site.procs["l7gw"].wait(10 * SLOW) == 0)


if __name__ == "__main__":
    run("l7_protocols", (spliced, out_of_turn, descriptors, expectations, websocket, websocket_h2, slow_bodies, notified, going) if len(sys.argv) < 2 else [globals()[n] for n in sys.argv[1:]])
