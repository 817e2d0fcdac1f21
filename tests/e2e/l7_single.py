#!/usr/bin/env python3
"""One shard alone on loopback, programmed by a real agent: everything about requests that needs no second tier.

   raw sockets, curl, h2load ──▶ l7gw (127.83.1.1) ──▶ nginx, and an origin that misbehaves on request
                                    ▲
                                  agent ◀── manifests

Loopback addresses only.  As root it runs in a network namespace of its own, so that two runs do not meet; else on the host's."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import json
import os
import queue
import re
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

from tests.lab.l7_site import HEALTH, HTTP, HTTPS, MANY, RSS_LIMIT_KIB, VIP, Site, curl, http2, raw, route, run
from tests.lab.proc import wait_until
from tests.lab.raw_client import SLOW, get


# -- the checks

def http1(site, check):
    with raw() as c:
        c.send(get("/echo", extra="X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: gopher\r\nConnection: x-drop\r\nX-Drop: 1\r\nUpgrade: websocket\r\n"))
        r = c.reply()
        f = {k.lower(): v for k, v in json.loads(r.body)["fields"]}
        check("30: forwarding headers: ours, not the client's", (f["x-forwarded-for"], f["x-forwarded-proto"], f["x-forwarded-host"], f["host"]) ==
              ("127.0.0.1", "http", "origin.example", "origin.example"), f)
        check("hop-by-hop and named fields are dropped, Upgrade too", not {"x-drop", "connection", "upgrade"} & set(f), f)
        check("a request id is added", re.fullmatch("[0-9a-f]{32}", f.get("x-request-id", "")), f)
        check("34: Date is added, the connection stays", "date" in r.fields and "connection" not in r.fields, r)
        c.send(get("/echo?1") + get("/echo?2") + get("/echo?3"))
        got = [json.loads(c.reply().body)["path"] for _ in range(3)]
        check.equal("36: three pipelined requests are answered in order", got, ["/echo?1", "/echo?2", "/echo?3"])
        c.send("HEAD /echo HTTP/1.1\r\nHost: origin.example\r\n\r\n" + get("/echo?after"))
        r, s = c.reply("HEAD"), c.reply()
        check("20: HEAD has no body, and the next answer follows", r.status == 200 and s.status == 200 and b"after" in s.body, (r, s))
        c.send("POST /echo HTTP/1.1\r\nHost: origin.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nX-Sum: 7\r\n\r\n")
        e = json.loads(c.reply().body)
        check("chunked request with a trailer", (e["body"], e["trailers"]) == ("abcdefg", ["x-sum: 7"]), e)
    with raw() as c:
        for b in get("/echo?slow").encode():
            c.send(bytes([b]))
        check("a head byte by byte", b"slow" in c.reply().body)
    with raw() as c:
        r = c.send(get("/trailers", version="1.0")).reply()
        check("HTTP/1.0: no chunks, close at the end", "transfer-encoding" not in r.fields and r.body == b"hello", r)
    with raw() as c:
        r = c.send(get("/trailers")).reply()
        check("response trailers pass", r.body == b"hello" and r.fields["trailers"] == "x-sum: 42", r)
        r = c.send(get("/until-close")).reply()
        check("35: a close-delimited response becomes chunked and the client connection stays", r.complete and r.body == b"up to the close" and
              c.send(get("/echo")).reply().status == 200, r)
        i = c.send(get("/hints")).reply()
        r = c.reply()
        check("103 passes before the answer", (i.status, r.status, r.body) == (103, 200, b"late"), (i, r))
    with raw() as c:
        c.send("POST /echo HTTP/1.1\r\nHost: origin.example\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        i = c.reply()
        r = c.send("hello").reply()
        check("Expect: 100-continue is answered, then the request", i.status == 100 and r.status == 200 and json.loads(r.body)["body"] == "hello", (i, r))
    with raw() as c:
        c.send("POST /x HTTP/1.1\r\nHost: nobody.example\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        r = c.reply()
        check("42: a refusal comes instead of 100, and the connection ends", r.status == 404 and r.fields.get("connection") == "close" and c.closed(), r)
    with raw() as c:
        c.send(get("/echo"))
        c.s.shutdown(socket.SHUT_WR)
        check("38: half-close after a whole request: still answered, then closed", c.reply().status == 200 and c.closed())


def errors(site, check):
    for text, want, why in (("GET / HTTP/1.1\r\n\r\n", 400, "no Host"), (get("/echo", extra="Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), 400, "CL and TE"),
                            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "version"), (get("/../x"), 400, "path above the root"),
                            (get("/" + "a" * 9000), 414, "long line"), (get("/", extra="".join("X-%d: y\r\n" % i for i in range(120))), 431, "too many fields"),
                            ("TRACE / HTTP/1.1\r\nHost: origin.example\r\n\r\n", 405, "TRACE"), ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405, "CONNECT"),
                            (get("/", host="nobody.example"), 404, "no route"), (get("/", host="missing.example"), 500, "invalid backend"),
                            (get("/", host="empty.example"), 503, "no endpoints"), (get("/", host="dead.example"), 503, "connection refused"),
                            (get("/garbage"), 502, "invalid response"), (get("/silent"), 502, "closed without a response"),
                            (get("/hold", host="timeout.example"), 504, "request timeout")):
        with raw() as c:
            r = c.send(text).reply()
            check("44: %d: %s" % (want, why), r.status == want and r.complete, r)
    with raw() as c:
        t = time.monotonic()
        r = c.send("GET / HTTP/1.1\r\nHo").reply()
        check("37: 408 for a head that does not come", r.status == 408 and 0.8 < time.monotonic() - t < 5 * SLOW, r)
    with raw() as c:
        r = c.send(get("/truncate")).reply()
        check("38: a truncated response is visible: Content-Length", r.status == 200 and not r.complete, r)
    with raw() as c:
        r = c.send(get("/truncate-chunked")).reply()
        check("a truncated response is visible: chunked", r.status == 200 and not r.complete, r)
    h = http2("/truncate")
    check("a truncated response is visible: HTTP/2 reset", h.pump(lambda: h.reset is not None) and not h.ended, (h.reset, h.ended))
    with raw() as c:
        a = c.send(get("/smuggle")).reply()
        b = c.send(get("/echo")).reply()
        check("18: bytes after a response never reach the next request", a.body == b"ok" and b"poisoned" not in b.body and b.status == 200, (a, b))
    with raw() as c:
        c.send("POST /early HTTP/1.1\r\nHost: origin.example\r\nContent-Length: 100000000\r\n\r\n")
        got = queue.Queue()

        def push():
            try:
                for _ in range(200):
                    c.s.sendall(bytes(65536))
            except OSError:
                pass
            got.put("done")
        threading.Thread(target=push, daemon=True).start()
        r = c.reply()
        check("39, 40: an early final response reaches a client that still sends", r.status == 413 and r.body == b"too big", r)
        got.get(timeout=20 * SLOW)


def upstreams(site, check):
    site.origin.forget()
    with raw() as c:
        first = c.send(get("/stale")).reply()
        second = c.send(get("/stale")).reply()
        check("43: a pooled connection that closes under a request: sent again on a fresh one", first.body == b"fresh" and second.status == 200 and
              site.origin.saw(("stale", "closed")), (first, second))
    statuses = []
    for _ in range(8):
        with raw() as c:
            statuses.append(c.send(get("/echo", host="half.example")).reply().status)
    check.equal("an endpoint that refuses: another one is tried", statuses, [200] * 8)
    for name, opener in (("RST", lambda: raw()), ("HTTP/2 close", lambda: http2("/hold"))):
        c = opener()
        if name == "RST":
            c.send(get("/hold"))
        site.origin.saw(("hold", "begun"))
        if name == "RST":
            c.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        c.s.close()
        check("a client that goes away (%s) cancels its upstream request" % name, site.origin.saw(("hold", "gone")))


def tls(site, check):
    for version, args in (("2", ["--http2"]), ("1.1", ["--http1.1"]), ("2", ["--http2", "--tlsv1.2", "--tls-max", "1.2"])):
        r = curl(*args, "https://one.example:%d/echo" % HTTPS)
        check("TLS, HTTP/%s %s" % (version, args[1:]), r["status"] == 200 and r["version"] == version, r)
    check.equal("a wildcard listener", curl("https://any.wild.example:%d/echo" % HTTPS)["status"], 200)
    check("TLS 1.1 is refused", curl("--tls-max", "1.1", "https://one.example:%d/echo" % HTTPS)["status"] == 0)
    s = socket.create_connection((VIP, HTTPS), timeout=5)
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    obj = ctx.wrap_bio(incoming, outgoing, server_hostname="stranger.example")
    try:
        obj.do_handshake()
    except ssl.SSLWantReadError:
        pass
    s.sendall(outgoing.read())
    try:
        answer = s.recv(100)
    except ConnectionResetError:
        answer = b""
    check.equal("a server name nobody serves: closed without an alert", answer, b"")
    r = curl("--http2", "https://one.example:%d/echo" % HTTPS, "-H", "Host: any.wild.example")
    check.equal("25: 421 when the host belongs to another listener", r["status"], 421)
    r = curl("--http2", "https://one.example:%d/echo" % HTTPS, "-H", "Host: nobody.example")
    check.equal("404 when it belongs to none", r["status"], 404)
    with raw("one.example") as c:
        r = c.send(get("/echo", host="one.example")).reply()
        f = {k.lower(): v for k, v in json.loads(r.body)["fields"]}
        check("X-Forwarded-Proto says https", f["x-forwarded-proto"] == "https", f)
        c.send(get("/until-close", host="one.example"))
        check("HTTP/1.1 over TLS, a second request", c.reply().body == b"up to the close")
    resumption(site, check)


def resumption(site, check):
    """A session ticket is good for a new connection, also after a reload: its key belongs to the process."""
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
    before, session, reused = site.ask("status")["activations"], None, []
    for _ in range(40):  # over all workers
        s = ctx.wrap_socket(socket.create_connection((VIP, HTTPS), timeout=5 * SLOW), server_hostname="one.example", session=session)
        s.sendall(get("/echo", host="one.example").encode())
        s.recv(65536)  # TLS 1.3 sends the ticket after the handshake
        reused.append(s.session_reused)
        session = session or s.session
        s.close()
        if len(reused) == 20:
            site.write("live", route("live", "live.example", "origin", site.live(0)))
            wait_until(lambda: site.ask("status")["activations"] > before, 10 * SLOW, "a reload")
    check("TLS sessions resume, whichever worker gets them", all(reused[1:20]), reused)
    check("... also after a reload", all(reused[20:]), reused)


def bodies(site, check):
    for args, what in ((["http://nginx.example:%d/big" % HTTP], "HTTP/1.1"), (["--http2-prior-knowledge", "http://nginx.example:%d/big" % HTTP], "HTTP/2")):
        r = curl(*args, timeout=120)
        check("1 GiB down, %s" % what, r["status"] == 200 and r["bytes"] == MANY, r)
        check("... in bounded memory: %d KiB" % site.rss_kib(), site.rss_kib() < RSS_LIMIT_KIB * SLOW)
    for args, what in (([], "HTTP/1.1 chunked"), (["--http2-prior-knowledge"], "HTTP/2")):
        with open(site.path("www/big"), "rb") as big:
            p = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *args, "--connect-to", "::%s:" % VIP, "-T", "-",
                                "http://nginx.example:%d/put/up" % HTTP], stdin=big, capture_output=True, text=True)
        size = os.path.getsize(site.path("www/put/up")) if os.path.exists(site.path("www/put/up")) else 0
        check("1 GiB up, %s" % what, p.stdout == "201" and size == MANY, (p.stdout, size))
        check("... in bounded memory: %d KiB" % site.rss_kib(), site.rss_kib() < RSS_LIMIT_KIB * SLOW)
        if size:
            os.unlink(site.path("www/put/up"))


def stalled(counter):
    """The counter has stopped growing for a while: back-pressure has reached the sender."""
    last, since = counter(), time.monotonic()

    def still():
        nonlocal last, since
        now = counter()
        if now != last:
            last, since = now, time.monotonic()
        return now > 0 and time.monotonic() - since > 0.5
    return still


def backpressure(site, check):
    o = site.origin
    o.forget()
    with raw(rcvbuf=8192) as c:
        c.send(get("/flood"))
        c.head()
        wait_until(stalled(lambda: o.sent), 20 * SLOW, "a slow HTTP/1.1 reader stops the origin")
        check("49: a slow reader stops the origin: %d KiB taken, %d KiB RSS" % (o.sent >> 10, site.rss_kib()), o.sent < 32 << 20 and site.rss_kib() < RSS_LIMIT_KIB * SLOW)
        before = o.sent
        for _ in range(4000):
            c.more()
            c.data = b""
        check("... and it goes on when the client reads", o.sent > before)
    check("the client's end reaches the origin", o.saw(("flood", "gone")))
    h = http2("/flood")
    h.pump(lambda: h.body >= 65535)
    wait_until(stalled(lambda: o.sent), 20 * SLOW, "a closed HTTP/2 window stops the origin")
    check("HTTP/2: exactly the window is sent, the origin stops (%d KiB taken)" % (o.sent >> 10), h.body == 65535 and o.sent < 32 << 20, h.body)
    h.window(1 << 20)
    check("... and goes on with the window", h.pump(lambda: h.body == 65535 + (1 << 20), 10), h.body)
    h.s.close()
    check("HTTP/2: the client's end reaches the origin", o.saw(("flood", "gone")))
    o.hold.clear()
    with raw() as c:
        c.send("POST /deaf HTTP/1.1\r\nHost: origin.example\r\nContent-Length: %d\r\n\r\n" % MANY)
        o.saw(("deaf", "begun"))
        c.s.setblocking(False)
        taken = 0

        def push():
            nonlocal taken
            try:
                taken += c.s.send(bytes(65536))
            except BlockingIOError:
                pass
            return taken
        wait_until(stalled(push), 20 * SLOW, "a deaf origin stops the client")
        check("a deaf origin stops the client: %d KiB taken" % (taken >> 10), taken < 32 << 20 and site.rss_kib() < RSS_LIMIT_KIB * SLOW)
        o.hold.set()
        c.s.settimeout(10 * SLOW)
        r = c.reply()
        check("... and its answer comes through", r.status == 200 and r.body == b"enough", r)


class Flow(threading.Thread):
    """Keep-alive requests one after the other; reconnects when told to close; stops when refused after `leaving`."""

    def __init__(self, host, pause=0.001):
        super().__init__(daemon=True)
        self.host, self.pause, self.leaving, self.stopped = host, pause, threading.Event(), threading.Event()
        self.ok, self.bad, self.marks, self.refused = 0, [], set(), False

    def run(self):
        while not self.stopped.is_set():
            try:
                c = raw()
            except ConnectionRefusedError:
                self.refused = True
                if not self.leaving.is_set():
                    self.bad.append("refused")
                return
            with c:
                while not self.stopped.is_set():
                    try:
                        r = c.send(get("/echo", host=self.host)).reply()
                    except OSError as e:
                        self.bad.append(repr(e))
                        break
                    if r.status == 200 and r.complete:
                        self.ok += 1
                        self.marks.add(r.fields.get("x-live"))
                    else:
                        self.bad.append(repr(r))
                    if r.fields.get("connection") == "close" or not r.complete:
                        break
                    time.sleep(self.pause)  # the client's think time


def reload_under_load(site, check):
    flows = [Flow("live.example") for _ in range(8)]
    for f in flows:
        f.start()
    h2 = subprocess.Popen(["h2load", "-D", "4", "-c", "4", "-m", "10", "--connect-to", "%s:%d" % (VIP, HTTP), "http://live.example:%d/echo" % HTTP],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    worst = 0.0
    for n in range(2, 12):
        t = time.monotonic()
        site.write("live", route("live", "live.example", "origin", site.live(n)))
        wait_until(lambda: any(str(n) in f.marks for f in flows), 5 * SLOW, "edit %d acting" % n)
        worst = max(worst, time.monotonic() - t)
    out = h2.communicate(timeout=60)[0]
    for f in flows:
        f.stopped.set()
    for f in flows:
        f.join(10)
    bad = [b for f in flows for b in f.bad]
    check("ten edits under load, each acting within 1 s (worst %.0f ms)" % (worst * 1000), worst < 1.0 * SLOW)
    check("%d HTTP/1.1 requests meanwhile: none failed" % sum(f.ok for f in flows), not bad and sum(f.ok for f in flows) > 100, bad[:5])
    m = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", out)
    check("%s HTTP/2 requests meanwhile: none failed" % (m.group(1) if m else "?"), m and int(m.group(1)) > 100 and m.group(2) == m.group(3) == "0", out)
    wait_until(lambda: site.ask("status")["generations_alive"] == 1, 5 * SLOW, "old generations to go")
    check.equal("old generations are released", site.ask("status")["generations_alive"], 1)


SECOND_GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: second, namespace: default}
spec:
  gatewayClassName: gatehouse
  addresses: [{type: IPAddress, value: 127.83.1.2}]
  listeners:
  - {name: http, port: %d, protocol: HTTP}
""" % HTTP


def refused_config(site, check):
    """Somebody else holds the port of a new Gateway: PREPARE refuses it by name, everything else goes on."""
    def second():
        names = [n for n in os.listdir(site.path("status")) if "second" in n]
        if not names:
            return ""
        with open(site.path("status/" + names[0])) as f:
            return f.read()
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # old connections, not an old listener
        thief.bind(("127.83.1.2", HTTP))
        thief.listen(1)
        site.write("second", SECOND_GATEWAY)
        wait_until(lambda: "cannot bind" in second(), 10 * SLOW, "the refusal in the Gateway's status")
        check("a port that cannot be bound: the Gateway's status says so", "127.83.1.2 port %d" % HTTP in second(), second())
        with raw() as c:
            check("... and traffic goes on", c.send(get("/echo")).reply().status == 200)
    os.unlink(site.path("manifests/second.yaml"))
    wait_until(lambda: not second(), 10 * SLOW, "the Gateway to go")
    site.write("second", SECOND_GATEWAY)
    wait_until(lambda: len(site.ask("listeners")) == 4, 10 * SLOW, "the Gateway's listener, the port being free")
    c = socket.create_connection(("127.83.1.2", HTTP), timeout=5)
    c.sendall(get("/", host="nobody.example").encode())
    check("with the port free it is served", c.recv(65536).startswith(b"HTTP/1.1 404"))
    os.unlink(site.path("manifests/second.yaml"))
    wait_until(lambda: len(site.ask("listeners")) == 3, 10 * SLOW, "the listener to go")
    c.settimeout(10 * SLOW)
    check("a removed listener drains: the idle connection is closed after a while", c.recv(10) == b"")
    try:
        socket.create_connection(("127.83.1.2", HTTP), timeout=5)
        refused = False
    except ConnectionRefusedError:
        refused = True
    check("... and new ones are refused", refused)


def reports(site, check):
    m = site.ask("metrics")
    for name in ("gatehouse_l7_requests_total", 'gatehouse_l7_local_replies_total{reason="no_route"}', "gatehouse_l7_request_duration_ms_bucket",
                 "gatehouse_l7_listener_responses_total", "gatehouse_l7_cluster_responses_total", "gatehouse_l7_certificate_not_after_seconds"):
        check("metrics have " + name, name in m)
    check("listeners are bound", all(l["bound"] for l in site.ask("listeners")) and len(site.ask("listeners")) == 3, site.ask("listeners"))
    clusters = {c["cluster"]: c for c in site.ask("clusters")}
    check("clusters count endpoints", clusters["default/half:80/http"]["endpoints"] == 2, clusters)
    lines = site.access()
    for key, want in (("reason", {"no_route", "no_endpoint", "connect_failed", "upstream_bad", "upstream_truncated", "misdirected", "client_gone",
                                  "request_timeout", "header_timeout", "bad_request"}), ("protocol", {"HTTP/1.0", "HTTP/1.1", "HTTP/2"}),
                      ("tls", {"TLSv1.2", "TLSv1.3"})):
        got = {l[key] for l in lines}
        check("access log: every %s seen" % key, want <= got, want - got)


def idle(site, check):
    wait_until(lambda: site.ask("status")["connections"] == 0, 10 * SLOW, "no connection left")
    a, t = site.procs["l7gw"].cpu_s(), time.monotonic()
    time.sleep(3)  # the measurement itself
    pct = 100 * (site.procs["l7gw"].cpu_s() - a) / (time.monotonic() - t)
    check("an idle shard uses %.2f %% of a core" % pct, pct < 1.0 * SLOW)


def drain(site, check):
    o = site.origin
    o.hold.clear()
    slow = raw().send(get("/gate"))
    o.saw(("gate", "half"))
    idle_h2 = http2("/echo")
    idle_h2.pump(lambda: idle_h2.ended)
    flows = [Flow("origin.example") for _ in range(8)]
    for f in flows:
        f.start()
    wait_until(lambda: min(f.ok for f in flows) > 5, 10 * SLOW, "flows running")
    for f in flows:
        f.leaving.set()
    t = time.monotonic()
    site.procs["l7gw"].signal(signal.SIGTERM)

    def health_closed():
        try:
            socket.create_connection(("127.0.0.1", HEALTH), timeout=1).close()
            return False
        except ConnectionResetError:
            return False  # closed while this very connection was being made
        except ConnectionRefusedError:
            return True
    wait_until(health_closed, 0.5 * SLOW, "the health port closes", interval=0.01)
    check("the health port closes first, after %.0f ms" % ((time.monotonic() - t) * 1000), min(f.is_alive() for f in flows))
    for f in flows:
        f.join(10 * SLOW)
    check("keep-alive clients are told to close and none fails: %d requests" % sum(f.ok for f in flows),
          all(f.refused for f in flows) and not any(f.bad for f in flows), [(f.ok, f.refused, f.bad) for f in flows])
    check("HTTP/2 gets GOAWAY", idle_h2.pump(lambda: idle_h2.goaway is not None), idle_h2.goaway)
    idle_h2.s.close()
    check("a response in flight keeps the process alive", site.procs["l7gw"].alive())
    o.hold.set()
    r = slow.reply()
    check("... and is finished", r.complete and r.body == b"halfhalf", r)
    rc = site.procs["l7gw"].wait(10 * SLOW)
    check("then it exits with status 0, after %.1f s" % (time.monotonic() - t), rc == 0, site.procs["l7gw"].log()[-2000:])


def last_known_good(site, check):
    site.procs["agent"].stop()
    site.start_l7gw()
    with raw() as c:
        check("started with no agent: serves the last known good", c.send(get("/echo")).reply().status == 200)


def limits(site, check):
    """Short deadlines and few connections: who does not move is sent away, and his place is free again."""
    site.procs["l7gw"].stop(15 * SLOW)
    with open(site.path("l7gw.cfg")) as f:
        text = f.read()
    with open(site.path("l7gw.cfg"), "w") as f:
        f.write(text.replace("idle = 20000", "idle = 1000").replace("max_connections = 2000", "max_connections = 4"))
    site.start_l7gw()
    with raw() as c:
        c.send("POST /echo HTTP/1.1\r\nHost: origin.example\r\nContent-Length: 10\r\n\r\nabc")
        r = c.reply()
        check("a body that stops: 408 and close", r.status == 408 and c.closed(), r)
    for tls_name in (None, "one.example"):
        site.origin.forget()
        with raw(tls_name, rcvbuf=8192) as c:
            c.send(get("/flood", tls_name or "origin.example"))
            c.head()
            check("a reader that stops is cut%s" % (", TLS" if tls_name else ""), site.origin.saw(("flood", "gone")))
    wait_until(lambda: site.ask("status")["connections"] == 0, 5 * SLOW, "every place is free")
    with raw() as c, raw() as d, raw() as e, raw() as f:
        ok = [x.send(get("/echo")).reply().status for x in (c, d, e, f)]
        with raw() as over:  # not before the four are served: the threads accept in no order
            check("over max_connections: closed at once", ok == [200] * 4 and over.closed(), ok)
        c.s.close()
        wait_until(lambda: site.ask("status")["connections"] < 4, 5 * SLOW, "a place is free")
        with raw() as again:
            check("... and a free place is given away again", again.send(get("/echo")).reply().status == 200)


class PlainSends(Site):
    io_uring = "off"  # the other scenarios have it, where the machine does


if __name__ == "__main__":
    run("l7_single", (http1, errors, upstreams, tls, backpressure, bodies, reload_under_load, refused_config, reports, idle, drain, last_known_good, limits), make=PlainSends)
