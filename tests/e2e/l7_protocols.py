#!/usr/bin/env python3
"""One shard alone, seen by peers that keep a protocol to the letter, or break it: origins that speak out of turn, clients that
send or read too slowly, the order of a drain.  (The site: tests/lab/l7_site.py.)"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import json
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


def out_of_turn(site, check):
    """Bytes of an endpoint that answer nothing: whatever comes first, they or the next request, they reach nobody."""
    o, pid = site.origin, site.procs["l7gw"].pid
    for first in ("request", "bytes"):
        o.hold.clear()
        o.forget()
        with raw() as c:
            c.send(get("/talk")).reply()
            os.kill(pid, signal.SIGSTOP)  # so that both wait when it looks, in this order
            if first == "request":
                c.send(get("/echo"))
            o.hold.set()
            o.saw(("talk", "said"))
            if first == "bytes":
                c.send(get("/echo"))
            os.kill(pid, signal.SIGCONT)
            r = c.reply()
            check("18: unasked bytes on a pooled connection (%s first) reach nobody" % first,
                  r.status == 200 and b'"path": "/echo"' in r.body, r)
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
    run("l7_protocols", (out_of_turn, descriptors, expectations, slow_bodies, notified, going) if len(sys.argv) < 2 else [globals()[n] for n in sys.argv[1:]])
