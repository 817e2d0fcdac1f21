#!/usr/bin/env python3
"""One shard alone: the edges of an exchange.  Hops and loops, what the shard says of itself, bodies that are too large or that the
endpoint does not want to its end, clients that never acknowledge SETTINGS.  (The site: tests/lab/l7_site.py.)"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import json
import queue
import re
import socket
import struct
import threading

from tests.lab import h2
from tests.lab.l7_site import HTTP, ORIGIN, VIP, Site, raw, run
from tests.lab.proc import wait_until
from tests.lab.raw_client import SLOW, get

BODY_MAX_KB = 64


class Edge(Site):
    settings = 'via = "edge-a"; server = "edge";'
    limits = "body_max_kb = %d;" % BODY_MAX_KB
    timeouts = "settings = 6000;"


def fields_of(reply):
    return {k.lower(): v for k, v in json.loads(reply.body)["fields"]}


def hops(site, check):
    with raw() as c:
        f = fields_of(c.send(get("/echo")).reply())
        check("32: Via is added", f["via"] == "1.1 edge-a", f)
        both = [v for k, v in json.loads(c.send(get("/echo", extra="Via: 1.0 fred\r\n")).reply().body)["fields"] if k.lower() == "via"]
        check("32: behind that of others", both == ["1.0 fred", "1.1 edge-a"], both)
        r = c.send(get("/echo", extra="Via: 1.0 fred, 1.1 edge-a\r\n")).reply()
        check("32: a loop: 508", r.status == 508, r)
        site.origin.forget()
        r = c.send("OPTIONS /echo HTTP/1.1\r\nHost: origin.example\r\nMax-Forwards: 0\r\n\r\n").reply()
        check("32: OPTIONS that goes no further is answered here", r.status == 204 and "GET" in r.fields["allow"], r)
        f = fields_of(c.send("OPTIONS /echo HTTP/1.1\r\nHost: origin.example\r\nMax-Forwards: 3\r\n\r\n").reply())
        check("32: else it counts down", f["max-forwards"] == "2", f)
    with h2.Client((VIP, HTTP)) as c:
        s = c.get("/echo")
        check("32: Via of HTTP/2", fields_of(s)["via"] == "2 edge-a", s.body)
        check("32: TRACE is 405, HTTP/2", c.get("/echo", method="TRACE").status == 405)
    wait_until(lambda: "loop" in {l["reason"] for l in site.access()}, 5 * SLOW, "the log says loop")


def self_told(site, check):
    with raw() as c:
        r = c.send(get("/served-by")).reply()
        check("34: Server as configured, the endpoint's Date stays", r.fields["server"] == "edge" and r.fields["date"].startswith("Thu, 01 Jan 1970"), r)
        answers = [c.send(get(path, host=host)).reply() for path, host in (("/", "nobody.example"), ("/", "dead.example"), ("/silent", "origin.example"))]
        check("34: answers of ours have Server and Date", all(a.fields.get("server") == "edge" and "date" in a.fields for a in answers), answers)
        check("34: ... and tell no address and no port of the inside", not [a for a in answers if re.search(rb"127\.0|%d" % ORIGIN, a.body)], [a.body for a in answers])


def too_large(site, check):
    """A body over limits.body_max_kb."""
    n = BODY_MAX_KB << 10
    with raw() as c:
        r = c.send("POST /echo HTTP/1.1\r\nHost: origin.example\r\nContent-Length: %d\r\n\r\n" % n + "x" * n).reply()
        check("16: a body of the limit passes", r.status == 200 and json.loads(r.body)["body_bytes"] == n, r)
    with raw() as c:
        r = c.send("POST /echo HTTP/1.1\r\nHost: origin.example\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n" % (n + 1)).reply()
        check("16: one byte more: 413, before any of it was read", r.status == 413 and r.fields.get("connection") == "close", r)
    with raw() as c:
        c.send("POST /echo HTTP/1.1\r\nHost: origin.example\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(n // 4096 + 1):
            c.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        r = c.reply()
        check("16: chunks beyond it: 413", r.status == 413 and r.complete, r)
    with h2.Client((VIP, HTTP)) as c:
        s = c.open("/echo", method="POST", end=False)
        c.body(s.id, bytes(n + 1), end=False)
        check("16: HTTP/2: 413, then RST_STREAM with NO_ERROR", c.pump(lambda: s.reset is not None) and s.status == 413 and s.ended and s.reset == 0, s)
        s = c.get("/echo", method="POST", fields=[("content-length", str(n + 1))], body=b"")
        check("16: ... and the connection goes on", c.get("/echo").status == 200)
    wait_until(lambda: sum(l["reason"] == "body_too_large" for l in site.access()) >= 3, 5 * SLOW, "the log says body_too_large")


def uploads_cut(site, check):
    """The endpoint closes in the middle of an upload."""
    o = site.origin
    for how, want, body in (("silence", 502, None), ("answer", 403, b"that is enough")):
        o.forget()
        with raw() as c:
            c.send("POST /quit?%s HTTP/1.1\r\nHost: origin.example\r\nContent-Length: 50000\r\n\r\n" % how + "x" * 2000)
            r = c.reply()
            tries = [e for e in list(o.seen.queue) if e == ("quit", "read")]
            check("41: an endpoint that goes during an upload, %s: %d" % (how, want), r.status == want and (body is None or r.body == body), r)
            check("41: ... and it is sent once only", len(tries) == 1, tries)
    got = queue.Queue()
    with raw() as c:  # PUT is idempotent, but bytes of its body are gone
        o.forget()
        threading.Thread(target=lambda: got.put(c.send("PUT /quit HTTP/1.1\r\nHost: origin.example\r\nContent-Length: 50000\r\n\r\n" + "x" * 2000).reply()), daemon=True).start()
        r = got.get(timeout=20 * SLOW)
        check("41: ... PUT no more than POST", r.status == 502 and [e for e in list(o.seen.queue)].count(("quit", "read")) == 1, r)


def lost_clients(site, check):
    site.origin.forget()
    with raw() as c:
        c.send(get("/hold?499"))
        site.origin.saw(("hold", "begun"))
        c.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST: a half-close alone is no abort
    check("44: a client that goes away cancels its request upstream", site.origin.saw(("hold", "gone")))
    wait_until(lambda: any(l["path"] == "/hold" and l["status"] == 499 and l["reason"] == "client_gone" for l in site.access()), 5 * SLOW, "the log says 499")
    with raw() as c:
        r = c.send(get("/fail?early&1&425", extra="Early-Data: 1\r\n")).reply()
        check("45: 425 of an endpoint passes", r.status == 425, r)
        f = fields_of(c.send(get("/echo", extra="Early-Data: 1\r\n")).reply())
        check("45: Early-Data of a hop before us passes (RFC 8470 5.1)", f.get("early-data") == "1", f)


class Mute(h2.Client):
    """Never acknowledges the other side's SETTINGS."""

    def send(self, kind, flags, stream, payload=b""):
        if (kind, flags) != (h2.SETTINGS, h2.ACK):
            super().send(kind, flags, stream, payload)


def unacknowledged(site, check):
    site.origin.hold.clear()
    site.origin.forget()
    with Mute((VIP, HTTP)) as c:
        s = c.get("/echo")
        check("52: a client that has not acknowledged our SETTINGS is served", s.status == 200, s)
        held = c.open("/gate")
        c.pump(lambda: held.status)
        check("52: ... for so long: GOAWAY with SETTINGS_TIMEOUT, and the end", c.pump(lambda: c.closed, 20) and c.goaways and c.goaways[-1][1] == 4, (c.goaways, c.closed))
    site.origin.hold.set()
    with h2.Client((VIP, HTTP)) as c:
        check("52: one that has is not asked again", c.get("/echo").status == 200)


if __name__ == "__main__":
    run("l7_edges", (hops, self_told, too_large, uploads_cut, lost_clients, unacknowledged), make=Edge)
