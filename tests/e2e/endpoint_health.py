#!/usr/bin/env python3
"""Endpoints that are sick or fail: found by checks, or by their answers; left alone, and taken back.  And limits of what is sent to
a cluster at once.

   raw sockets ──▶ l7gw ──▶ origins (127.0.0.71 ...) that are slow, sick or broken when told to
                     └────▶ /healthz, TCP, gRPC: once per shard

The site of lab/l7_site, with Services and policies of its own."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import subprocess

from tests.lab import admin
from tests.lab.l7_site import ENDPOINT, SERVICE, Site, raw, route, run
from tests.lab.lab import build_dir
from tests.lab.members import GrpcHealth, Member
from tests.lab.proc import wait_until
from tests.lab.raw_client import SLOW, get

EXAMPLES = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "configs/policies")
PORT, CLOSED, GRPC = 18092, 18093, 18094
A, B = "127.0.0.71", "127.0.0.72"

POLICY = """
---
apiVersion: gatehouse.dev/v1alpha1
kind: BackendPolicy
metadata: {name: %(name)s, namespace: default}
spec:
  targetRefs: [{group: "", kind: Service, name: %(name)s}]
  %(spec)s
"""
CHECK = "healthCheck: {type: HTTP, path: /healthz, interval: 200ms, timeout: 2s, healthyThreshold: 2, unhealthyThreshold: 2}"


class HealthSite(Site):
    POOLS = {
        "checked": (PORT, CHECK),
        "strict": (PORT, CHECK + "\n  loadBalancer: {panicPercent: 0}"),
        "tcp": (CLOSED, "healthCheck: {type: TCP, interval: 200ms}\n  loadBalancer: {panicPercent: 0}"),
        "grpc": (PORT, "healthCheck: {type: GRPC, service: app.v1.Shop, port: %d, interval: 200ms, healthyThreshold: 1, unhealthyThreshold: 1}\n"
                       "  loadBalancer: {panicPercent: 0}" % GRPC),
        "outlier": (PORT, "outlierDetection: {consecutive5xx: 3, baseEjectionTime: 1s}"),
        "requests": (PORT, "circuitBreaker: {maxRequests: 3}"),
        "conns": (PORT, "circuitBreaker: {maxConnections: 2, maxPendingRequests: 4}"),
        "queue": (PORT, "circuitBreaker: {maxConnections: 1, queueTimeout: 300ms}"),
        "mute": (PORT, "outlierDetection: {consecutiveLocalFailures: 2, baseEjectionTime: 1s}"),
    }

    def __init__(self, directory):
        super().__init__(directory)
        self.members = {a: Member(a, PORT) for a in (A, B)}
        self.grpc = {a: GrpcHealth(a, GRPC) for a in (A, B)}
        for name, (port, spec) in self.POOLS.items():
            self.write("pool-" + name, SERVICE % {"name": name, "port": port, "endpoints": ", ".join(ENDPOINT % a for a in (A, B))} +
                       POLICY % {"name": name, "spec": spec} + route(name, name + ".example", name))

        with open(EXAMPLES + "/backend.yaml") as f:  # as it is, for a Service named shop
            self.write("shop", SERVICE % {"name": "shop", "port": PORT, "endpoints": ", ".join(ENDPOINT % a for a in (A, B))} + route("shop", "shop.example", "shop") +
                       "---\n" + f.read())

    def start(self):
        super().start()
        wait_until(lambda: self.ask("status")["rules"] >= 10 + len(self.POOLS), 10 * SLOW, "the routes")

    def gatectl(self, *args):
        return subprocess.run([os.path.join(build_dir(), "ctl/gatectl"), "-d", self.dir, *args], capture_output=True, text=True).stdout

    def member(self, name, address, port=PORT):
        """What the shard thinks of it."""
        for c in self.ask("clusters"):
            if c["cluster"].startswith("default/%s:80/" % name):
                return [m for m in c["members"] if m["endpoint"] == "%s:%d" % (address, port)][0]
        return {"state": "no such cluster"}

    def becomes(self, name, address, state, port=PORT):
        wait_until(lambda: self.member(name, address, port)["state"] == state, 60 * SLOW, "%s of %s to be %s" % (address, name, state))
        return self.member(name, address, port)["why"]

    def metric(self, name):
        for line in self.ask("metrics").splitlines():
            if line.startswith("gatehouse_l7_%s " % name):
                return int(line.split()[1])
        return None


def where(c, host):
    r = c.send(get("/", host)).reply()
    return r.body.decode() if r.status == 200 else r.status


def spread(host, n=24):
    """Who answers, over several connections: both workers are asked."""
    out = set()
    for _ in range(4):
        with raw() as c:
            out |= {where(c, host) for _ in range(n // 4)}
    return out


def settles(host, want):
    """The verdict is on its way to the workers when it can be seen: until all of them have it."""
    return wait_until(lambda: spread(host) == want, 10 * SLOW, "%s to be served by %s" % (host, want))


def checks(site, check):
    a, b = site.members[A], site.members[B]
    wait_until(lambda: a.checks > 3 and b.checks > 3, 10 * SLOW, "some checks")
    check("both are well and both serve", settles("checked.example", {A, B}))
    a.health = 503
    why = site.becomes("checked", A, "unhealthy")
    check("a sick one is found, and why is told", why == "status 503", why)
    lines = [l for l in site.gatectl("status").splitlines() if "default/checked:80/http" in l and A in l]
    check("gatectl status names it", len(lines) == 1 and "unhealthy: status 503" in lines[0], lines)
    check("nobody is sent there", settles("checked.example", {B}))
    before = a.count
    check("not one request", spread("checked.example", 40) == {B} and a.count == before, (a.count, before))
    status = lambda: admin.ask(site.path("agent-admin.sock"), "status")
    check("the agent is told", wait_until(lambda: "%s:%d" % (A, PORT) in str(status()), 10 * SLOW, "STATUS at the agent"))
    check("it is counted", site.metric("endpoints_failed_total") >= 1 and site.metric("health_checks_failed_total") >= 2)
    b.health = 500
    site.becomes("checked", B, "unhealthy")
    check("all sick: panic, all are used", settles("checked.example", {A, B}))
    check("... unless the policy forbids it: 503", settles("strict.example", {503}))
    rows = wait_until(lambda: [r for r in site.access() if r.get("reason") == "no_endpoint"], 10 * SLOW, "the log")
    check("with its reason in the log", rows[0]["status"] == 503, rows[:1])
    a.health = b.health = 200
    site.becomes("checked", A, "ready")
    site.becomes("checked", B, "ready")
    check("well again, both serve", settles("checked.example", {A, B}) and settles("strict.example", {A, B}))


def kinds(site, check):
    why = site.becomes("tcp", A, "unhealthy", CLOSED)
    check("TCP: nobody listens", "refused" in why, why)
    site.becomes("tcp", B, "unhealthy", CLOSED)
    check("503 at once", settles("tcp.example", {503}))
    site.becomes("grpc", A, "ready")
    check("gRPC: serving", settles("grpc.example", {A, B}) and site.grpc[A].checks > 0)
    site.grpc[A].serving = 2
    why = site.becomes("grpc", A, "unhealthy")
    check("gRPC: not serving", why == "not serving: NOT_SERVING", why)
    check("the others take over", settles("grpc.example", {B}))
    site.grpc[A].serving = 1
    site.becomes("grpc", A, "ready")


def ejected(site, name, address):
    """Asks until it is seen to be out, and why: it comes back by itself, and goes again as long as it fails."""
    def look():
        spread(name + ".example", 12)
        m = site.member(name, address)
        return m["state"] == "ejected" and m["why"]
    return wait_until(look, 60 * SLOW, "%s of %s to be ejected" % (address, name))


def ejection(site, check):
    a = site.members[A]
    a.status = 500
    why = ejected(site, "outlier", A)
    check("an endpoint that fails is ejected, and why is told", why == "5xx in a row", why)
    check("and gets nothing", settles("outlier.example", {B}))
    a.status = 200
    site.becomes("outlier", A, "ready")
    check("it comes back by itself", settles("outlier.example", {A, B}))
    a.status = 0
    check("no answers at all", ejected(site, "mute", A) == "no answers in a row")
    site.members[B].status = 0
    spread("mute.example", 40)
    check("the last one is never ejected", site.member("mute", B)["state"] == "ready")
    a.status = site.members[B].status = 200
    site.becomes("mute", A, "ready")
    check("ejections are counted", site.metric("endpoints_ejected_total") >= 2)


def held(site, host, n, hold=True):
    """n requests, each on a connection of its own, to members that hold them."""
    for m in site.members.values():
        m.held = hold
        m.go.clear()
    clients = [raw() for _ in range(n)]
    for c in clients:
        c.send(get("/", host))
    return clients


def let_go(site):
    for m in site.members.values():
        m.held = False
        m.go.set()


def limits(site, name):
    return [c["breaker"] for c in site.ask("clusters") if c["cluster"] == "default/%s:80/http" % name][0]


def outcome(clients):
    replies = [c.reply() for c in clients]
    for c in clients:
        c.s.close()
    return replies


def reasons(site, host):
    return sorted(r["reason"] for r in site.access() if r["authority"] == host and r["reason"] != "-")


def breakers(site, check):
    waiting = lambda: sum(m.waiting for m in site.members.values())
    before = waiting()
    clients = held(site, "requests.example", 3)
    wait_until(lambda: waiting() == before + 3, 10 * SLOW, "three requests at the origins")
    with raw() as c:
        r = c.send(get("/", "requests.example")).reply()
    check("requests: one too many is 503 at once", r.status == 503 and r.fields.get("retry-after") == "1", r)
    check("the limit and what it holds can be seen", limits(site, "requests")["requests"] == {"now": 3, "max": 3}, limits(site, "requests"))
    let_go(site)
    check("the others are answered", [r.status for r in outcome(clients)] == [200] * 3)
    check("and there is room again", wait_until(lambda: limits(site, "requests")["requests"]["now"] == 0, 10 * SLOW, "room") and
          settles("requests.example", {A, B}))
    check("its reason is in the log", wait_until(lambda: reasons(site, "requests.example") == ["breaker_requests"], 10 * SLOW, "the log"))

    # Connections: two in all, but each worker has one to each endpoint if it needs it; what waits, waits for those.
    before = waiting()
    clients = held(site, "conns.example", 30)
    wait_until(lambda: waiting() - before + limits(site, "conns")["pending"]["now"] + len(reasons(site, "conns.example")) == 30, 20 * SLOW,
               "each of 30 requests at an origin, in the queue or refused")
    conns, pending, refused = limits(site, "conns")["connections"]["now"], limits(site, "conns")["pending"]["now"], len(reasons(site, "conns.example"))
    check("connections: no more than two, or one of each worker to each endpoint", 2 <= conns <= 5, conns)
    check("no more wait than may", pending <= 4 and refused >= 30 - 4 - conns, (conns, pending, refused))
    let_go(site)
    got = [r.status for r in outcome(clients)]
    check("who was let in or waited is answered, the others are 503", (got.count(200), got.count(503)) == (30 - refused, refused), got)
    check("their reason is in the log", wait_until(lambda: set(reasons(site, "conns.example")) == {"breaker_pending"}, 10 * SLOW, "the log"))
    check("nothing is left behind", wait_until(lambda: limits(site, "conns")["pending"]["now"] == limits(site, "conns")["requests"]["now"] == 0, 10 * SLOW, "an empty queue") and
          settles("conns.example", {A, B}))

    clients = held(site, "queue.example", 12)
    wait_until(lambda: reasons(site, "queue.example").count("queue_timeout") >= 12 - 4, 10 * SLOW, "timeouts in the queue")
    let_go(site)
    got = [r.status for r in outcome(clients)]
    check("queue: who waits too long is 503, who has a connection is answered", got.count(503) >= 8 and got.count(200) >= 1 and got.count(200) + got.count(503) == 12, got)

    for m in site.members.values():
        m.status = 0  # closes after each request: those who wait need new connections
    clients = held(site, "conns.example", 8, hold=False)
    got = [r.status for r in outcome(clients)]
    check("connections that close make room for who waits", set(got) <= {502, 503} and len(got) == 8, got)
    for m in site.members.values():
        m.status = 200
    check("and all is well afterwards", settles("conns.example", {A, B}))


def examples(site, check):
    check("the examples are valid", "valid" in site.gatectl("check", EXAMPLES), site.gatectl("check", EXAMPLES))
    with open(site.path("status/default.backendpolicy.shop.yaml")) as f:
        text = f.read()
    check("the example is accepted", "reason: Accepted" in text, text)
    check("and in force", limits(site, "shop")["requests"]["max"] == 2000 and settles("shop.example", {A, B}))
    site.write("bad", POLICY % {"name": "bad", "spec": "loadBalancer: {type: RingHash}"})
    log = wait_until(lambda: [l for l in site.procs["agent"].log().splitlines() if "bad.yaml" in l], 10 * SLOW, "the agent's word about a bad policy")
    check("a bad policy is refused by file, line and field, and changes nothing", "spec.loadBalancer" in log[0] and "hash must be given" in log[0] and
          settles("shop.example", {A, B}), log[:1])
    os.remove(site.path("manifests/bad.yaml"))


def policy_goes(site, check):
    site.members[A].health = 503
    site.becomes("checked", A, "unhealthy")
    site.write("pool-checked", SERVICE % {"name": "checked", "port": PORT, "endpoints": ", ".join(ENDPOINT % a for a in (A, B))} +
               route("checked", "checked.example", "checked"))
    check("a policy that goes takes its verdicts along", site.becomes("checked", A, "ready") == "" and settles("checked.example", {A, B}))
    site.members[A].health = 200


if __name__ == "__main__":
    run("endpoint_health", [checks, kinds, ejection, breakers, examples, policy_goes], HealthSite)
