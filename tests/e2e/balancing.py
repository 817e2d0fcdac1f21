#!/usr/bin/env python3
"""How requests are shared out among endpoints, by BackendPolicy.

   raw sockets ──▶ l7gw ──▶ four origins (127.0.0.61 ... 64) that say who they are, and hold a request when told to

The site of lab/l7_site, with Services and policies of its own."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import socket

from tests.lab.l7_site import ENDPOINT, SERVICE, Site, raw, route, run
from tests.lab.members import Member
from tests.lab.proc import wait_until
from tests.lab.raw_client import SLOW, get

PORT = 18091
ADDRESSES = ["127.0.0.%d" % i for i in (61, 62, 63, 64)]


def pool(name, addresses):
    return SERVICE % {"name": name, "port": PORT, "endpoints": ", ".join(ENDPOINT % a for a in addresses)}


POLICY = """
---
apiVersion: gatehouse.dev/v1alpha1
kind: BackendPolicy
metadata: {name: %s, namespace: default}
spec: {targetRefs: [{group: "", kind: Service, name: %s}], loadBalancer: {%s}}
"""


class BalancingSite(Site):
    POOLS = {"least": "type: LeastRequest", "turns": "type: RoundRobin", "random": "type: Random",
             "ring": "type: RingHash, hash: {type: Header, name: x-user}", "maglev": "type: Maglev, hash: {type: Cookie, name: user}",
             "path": "type: Maglev, hash: {type: Path}"}

    def __init__(self, directory):
        super().__init__(directory)
        self.members = {a: Member(a, PORT) for a in ADDRESSES}
        for name, lb in self.POOLS.items():
            self.write("pool-" + name, pool(name, ADDRESSES[:2] if name == "least" else ADDRESSES))
            self.write("of-" + name, (POLICY % (name, name, lb) + route(name, name + ".example", name)).lstrip("\n-"))

    def start(self):
        super().start()
        wait_until(lambda: self.ask("status")["rules"] >= 9 + len(self.POOLS), 10 * SLOW, "the routes")

    def resize(self, name, addresses):
        cluster = "default/%s:80/http" % name
        self.write("pool-" + name, pool(name, addresses))
        wait_until(lambda: [c["endpoints"] for c in self.ask("clusters") if c["cluster"] == cluster] == [len(addresses)], 10 * SLOW, "the endpoints of " + name)


def where(c, host, path="/", extra=""):
    r = c.send(get(path, host, extra)).reply()
    return r.body.decode() if r.status == 200 else r.status


def least_request(site, check):
    slow, fast = site.members[ADDRESSES[0]], site.members[ADDRESSES[1]]
    slow.held, fast_before = True, fast.count
    clients = [raw() for _ in range(40)]
    for c in clients:  # one after the other; each answered, or held by the slow one
        waiting = slow.waiting
        c.send(get("/", "least.example"))
        c.s.settimeout(0.02)
        wait_until(lambda: slow.waiting > waiting or answered(c), 10 * SLOW, "an answer, or the slow origin")
    check("a slow endpoint gets one request of each worker, the other one all the rest", slow.waiting <= 2 and fast.count - fast_before == 40 - slow.waiting,
          (slow.waiting, fast.count - fast_before))
    slow.held = False
    slow.go.set()
    for c in clients:
        c.s.settimeout(10 * SLOW)
    statuses = [c.reply().status for c in clients]
    check("and what it held is answered when it is ready", statuses == [200] * 40, statuses)
    for c in clients:
        c.s.close()
    with raw() as c:
        check("then it is chosen again", ADDRESSES[0] in {where(c, "least.example") for _ in range(60)})


def answered(c):
    try:
        c.more()
    except (TimeoutError, socket.timeout):
        pass
    return b"\r\n\r\n" in c.data


def shares(site, check):
    with raw() as c:  # one connection is one worker
        got = [where(c, "turns.example") for _ in range(40)]
        check("turns: each as often as the others", {got.count(a) for a in ADDRESSES} == {10}, got)
        check("random: everybody", {where(c, "random.example") for _ in range(200)} == set(ADDRESSES))
        got = [where(c, "ring.example") for _ in range(200)]
        check("hash: a request without the header goes anywhere", set(got) == set(ADDRESSES), set(got))


def users(host, kind, n=80):
    """User -> endpoint, over ten connections, so that both workers are asked."""
    out = {}
    for start in range(0, n, 8):
        with raw() as c:
            for i in range(start, start + 8):
                path = "/u/%d" % i if kind == "path" else "/"
                out[i] = where(c, host, path, {"header": "X-User: u%d\r\n", "cookie": "Cookie: a=b; user=u%d\r\n", "path": "X: %d\r\n"}[kind] % i)
    return out


def hashes(site, check):
    for name, kind in (("ring", "header"), ("maglev", "cookie"), ("path", "path")):
        host = name + ".example"
        first = users(host, kind)
        check(name + ": everybody has clients", set(first.values()) == set(ADDRESSES), first)
        check(name + ": the same clients each time, on every worker", users(host, kind) == first)
        gone = ADDRESSES[2]
        site.resize(name, [a for a in ADDRESSES if a != gone])
        less = wait_until(lambda: [u for u in (users(host, kind),) if gone not in u.values()], 10 * SLOW, "no client at " + gone)[0]
        moved = [i for i in first if first[i] != gone and less[i] != first[i]]
        check(name + ": an endpoint leaves: its clients go elsewhere, to all others", set(less.values()) == set(ADDRESSES) - {gone}, less)
        check(name + ": and (nearly) only those", len(moved) <= (0 if name == "ring" else 12), moved)
        site.resize(name, ADDRESSES)
        check(name + ": it comes back: so do they", wait_until(lambda: users(host, kind) == first, 10 * SLOW, "the first order"))
    first = users("ring.example", "header"), users("maglev.example", "cookie")
    site.procs["l7gw"].stop(15 * SLOW)
    site.start_l7gw()
    wait_until(lambda: site.ask("status")["rules"] >= 9 + len(site.POOLS), 10 * SLOW, "the routes")
    check("another shard, the same choice", (users("ring.example", "header"), users("maglev.example", "cookie")) == first)


if __name__ == "__main__":
    run("balancing", [least_request, shares, hashes], BalancingSite)
