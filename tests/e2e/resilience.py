#!/usr/bin/env python3
"""What a shard does when an endpoint fails: retries by the route's policy; and copies of requests that nobody waits for.

   raw sockets ──▶ l7gw (127.83.1.1) ──┬─▶ an origin that fails as often as it is asked to
                                       └─▶ shadow: takes copies, or does not

The site of lab/l7_site, with routes of its own."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import json
import socket
import struct
import time

from tests.lab import admin
from tests.lab.l7_site import Site, raw, route, run, service
from tests.lab.proc import wait_until
from tests.lab.raw_client import SLOW, get
from tests.lab.wayward_origin import Origin

RETRY = "retry: {codes: [500, 503], attempts: 3%s}"
SHADOW = 18085
MIRROR = "filters:\n    - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-by, value: gateway}]}}"


def mirror(backend, extra=""):
    return "\n    - {type: RequestMirror, requestMirror: {backendRef: {name: %s, port: 80}%s}}" % (backend, extra)


class Shadow(Origin):
    """Takes copies: `copies` has (path, fields, body); /deaf is never read, /wrong gets no HTTP for an answer."""

    def __init__(self, port):
        self.copies = []
        super().__init__(port)

    def on_echo(self, s, data, served, method, path, fields):
        body, trailers, data = self.body(s, data, fields)
        self.copies.append((path, dict(fields), body, trailers))
        self.reply(s, "nobody reads this")
        return data

    def on_wrong(self, s, data, served, *_):
        self.seen.put(("wrong", "came"))
        s.sendall(b"EHLO\r\n\r\n")


class ResilienceSite(Site):
    def __init__(self, directory):
        super().__init__(directory)
        self.shadow = Shadow(SHADOW)
        self.origin.on_deaf = self.origin.on_wrong = self.origin.on_echo
        self.write("shadow", service("shadow", SHADOW))
        self.write("mirror", route("mirror", "mirror.example", "origin", MIRROR + mirror("shadow")) +
                   route("share", "share.example", "origin", MIRROR + mirror("shadow", ", fraction: {numerator: 1, denominator: 4}")) +
                   route("several", "several.example", "origin", MIRROR + mirror("shadow") + mirror("dead") + mirror("shadow", ", percent: 0")))
        self.write("resilience", route("retry", "retry.example", "origin", RETRY % "") +
                   route("slow-retry", "slow-retry.example", "origin", RETRY % ", backoff: 200ms") +
                   route("try", "try.example", "origin", RETRY % "" + "\n    timeouts: {request: 4s, backendRequest: 150ms}") +
                   route("deadline", "deadline.example", "origin", RETRY % ", backoff: 300ms" + "\n    timeouts: {request: 200ms}") +
                   route("dead-retry", "dead-retry.example", "dead", RETRY % ""))

    def start(self):
        super().start()
        wait_until(lambda: self.ask("status")["rules"] >= 17, 10 * SLOW, "the routes")


def ask(c, host, key, times, how, method="GET", body=None):
    path = "/fail?%s&%d&%s" % (key, times, how)
    head = "%s %s HTTP/1.1\r\nHost: %s\r\n" % (method, path, host)
    if body is not None:
        head += "Content-Length: %d\r\n" % len(body)
    return c.send(head.encode() + b"\r\n" + (body or b"")).reply()


def retries(site, check):
    tries = site.origin.tries
    with raw() as c:
        r = ask(c, "retry.example", "a", 2, "503")
        check("two failures with a code of the policy: the third answer passes", r.status == 200 and len(tries["a"]) == 3, r)
        r = ask(c, "retry.example", "b", 9, "500")
        check("retries used up: the last answer passes as it is", (r.status, r.body, len(tries["b"])) == (500, b"try 4", 4), r)
        r = ask(c, "retry.example", "c", 1, "502")
        check("another code is not retried", (r.status, len(tries["c"])) == (502, 1), r)
        r = ask(c, "origin.example", "d", 1, "503")
        check("a route without a policy does not retry", (r.status, len(tries["d"])) == (503, 1), r)
        r = ask(c, "retry.example", "e", 2, "reset")
        check("resets are retried", r.status == 200 and len(tries["e"]) == 3, r)
        r = ask(c, "retry.example", "f", 9, "reset")
        check("resets, retries used up: 503", (r.status, len(tries["f"])) == (503, 4), r)
        r = ask(c, "dead-retry.example", "g", 0, "200")
        check("nobody listens: tried again, then 503", r.status == 503, r)
    with raw() as c:
        body = os.urandom(40000)
        r = ask(c, "retry.example", "h", 2, "503", "POST", body)
        check("a body is shown again, byte for byte", r.status == 200 and tries["h"] == [body] * 3, r)
        big = bytes(200000)
        r = ask(c, "retry.example", "i", 2, "503", "POST", big)
        check("a body over the replay buffer is sent once", r.status == 503 and len(tries["i"]) == 1 and len(tries["i"][0]) == len(big), r)
        r = ask(c, "retry.example", "j", 1, "reset", "POST", b"x")
        check("a POST that met a reset is not sent twice", (r.status, len(tries["j"])) == (502, 1), r)
        r = ask(c, "retry.example", "k", 1, "503", "POST", b"x")
        check("a POST is, when the origin named the code", (r.status, len(tries["k"])) == (200, 2), r)
    with raw() as c:
        c.send("PUT /fail?l&1&503 HTTP/1.1\r\nHost: retry.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n")
        r = c.reply()
        check("chunked, with a trailer", r.status == 200 and json.loads(r.body)["trailers"] == ["x-sum: 7"] and tries["l"] == [b"hello"] * 2, r)


def deadlines(site, check):
    tries = site.origin.tries
    with raw() as c:
        t = time.monotonic()
        r = ask(c, "slow-retry.example", "m", 2, "503")
        took = time.monotonic() - t
        check("backoff: at least 200 and 400 ms", r.status == 200 and took >= 0.6, took)
        r = ask(c, "try.example", "n", 2, "hang")
        check("a try that times out is retried", r.status == 200 and len(tries["n"]) == 3, r)
        r = ask(c, "try.example", "o", 9, "hang")
        check("tries that time out, used up: 504", (r.status, len(tries["o"])) == (504, 4), r)
        r = ask(c, "deadline.example", "p", 1, "503")
        check("no retry that the request's deadline would cut: the answer passes", (r.status, len(tries["p"])) == (503, 1), r)
    with raw() as c:
        c.send(get("/fail?q&9&503", host="slow-retry.example"))
        wait_until(lambda: tries.get("q"), 5 * SLOW, "the first try")
        c.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a FIN would be a half-close

    def rows(reason):
        return [r for r in site.access() if r.get("path", "").startswith("/fail") and r.get("reason") == reason]
    check("a client that goes away during a pause ends the request", wait_until(lambda: rows("client_gone"), 5 * SLOW, "its line in the log") and
          len(tries["q"]) < 4, len(tries["q"]))
    spent = rows("retries_spent")
    check("the log counts the tries and names the reason", len(spent) == 1 and spent[0]["tries"] == 4, spent)


def metric(site, name):
    for line in admin.ask(site.path("l7gw.sock"), "metrics").splitlines():
        if line.startswith("gatehouse_l7_" + name + " "):
            return int(line.split()[1])
    return None


def mirrors(site, check):
    shadow = site.shadow
    with raw() as c:
        c.send("POST /echo?id=1&x=%2F HTTP/1.1\r\nHost: mirror.example\r\nContent-Length: 5\r\n\r\nhello")
        r = c.reply()
        wait_until(lambda: shadow.copies, 5 * SLOW, "the copy")
        path, fields, body, _ = shadow.copies[0]
        check("the request passes, its copy too: path, query, host, edited fields, body", r.status == 200 and
              (path, fields["host"], fields["x-by"], body) == ("/echo?id=1&x=%2F", "mirror.example", "gateway", b"hello"), shadow.copies)
        del shadow.copies[:]
        c.send("POST /echo HTTP/1.1\r\nHost: mirror.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        c.send("2\r\nde\r\n0\r\nX-Sum: 7\r\n\r\n")
        r = c.reply()
        wait_until(lambda: shadow.copies, 5 * SLOW, "the copy")
        check("a chunked body with a trailer", r.status == 200 and shadow.copies[0][2:] == (b"abcde", ["x-sum: 7"]), shadow.copies)
        del shadow.copies[:]
        for _ in range(400):
            c.send(get("/echo", host="share.example")).reply()
        wait_until(lambda: len(shadow.copies) >= 60, 5 * SLOW, "copies")
        check("one in four is copied", 65 <= len(shadow.copies) <= 135, len(shadow.copies))  # four deviations
        del shadow.copies[:]
        ok = [c.send(get("/echo", host="several.example")).reply().status for _ in range(20)]
        wait_until(lambda: len(shadow.copies) >= 20, 5 * SLOW, "copies")
        check("several mirrors: a dead one harms nobody, none of zero percent", ok == [200] * 20 and len(shadow.copies) == 20, (ok, len(shadow.copies)))
        r = c.send(get("/wrong", host="mirror.example")).reply()
        check("a mirror that answers nonsense harms nobody", r.status == 200 and shadow.saw(("wrong", "came")), r)


def slow_mirror(site, check):
    before, size = metric(site, "mirrors_dropped_total"), 24 << 20
    with raw() as c:
        start, block = site.rss_kib(), bytes(65536)
        c.send("POST /deaf HTTP/1.1\r\nHost: mirror.example\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // len(block)):
            c.send(block)
        r = c.reply()
        grown = site.rss_kib() - start
        check("a mirror that reads nothing does not hold up a body of %d MiB" % (size >> 20), r.status == 200 and
              json.loads(r.body)["body_bytes"] == size and site.shadow.saw(("deaf", "begun")), r)
        check("... its copy is dropped, and memory stays small", metric(site, "mirrors_dropped_total") == before + 1 and grown < 4096, grown)
    site.shadow.hold.set()


if __name__ == "__main__":
    run("resilience", (retries, deadlines, mirrors, slow_mirror), ResilienceSite)
