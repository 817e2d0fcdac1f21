#!/usr/bin/env python3
"""TCPRoute and UDPRoute from manifest to endpoint: weights, an invalid backend, one endpoint set changed under open connections, and
health checks of endpoints by a BackendPolicy."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import time

from tests.e2e import l4_nat
from tests.e2e.l4_nat import PORT, Pod
from tests.lab.scenario import main

A, B, C = "10.40.0.101", "10.40.0.102", "10.40.0.103"
GATEWAY = """apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: l4, namespace: demo}
spec:
  gatewayClassName: gatehouse
  listeners:
  - {name: db, protocol: TCP, port: 5432}
  - {name: dns, protocol: UDP, port: 5432}
  - {name: free, protocol: TCP, port: 7000}
"""
SERVICE = """apiVersion: v1
kind: Service
metadata: {name: %(name)s, namespace: demo}
spec: {ports: [{name: t, port: 1}, {name: u, port: 1, protocol: UDP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %(name)s-1, namespace: demo, labels: {kubernetes.io/service-name: %(name)s}}
addressType: IPv4
ports: [{name: t, port: %(port)d, protocol: TCP}, {name: u, port: %(port)d, protocol: UDP}]
endpoints: [%(endpoints)s]
"""
ROUTE = """apiVersion: gateway.networking.k8s.io/v1
kind: %(kind)sRoute
metadata: {name: db, namespace: demo}
spec:
  parentRefs: [{name: l4, sectionName: %(section)s}]
  rules: [{backendRefs: [%(backends)s]}]
"""

POLICY = """apiVersion: gatehouse.dev/v1alpha1
kind: BackendPolicy
metadata: {name: two, namespace: demo}
spec:
  targetRefs: [{group: "", kind: Service, name: two}]
  healthCheck: {type: TCP, interval: 200ms, timeout: 200ms, healthyThreshold: 1, unhealthyThreshold: 2}
"""


def service(name, *addrs):
    return SERVICE % {"name": name, "port": PORT, "endpoints": ", ".join("{addresses: [%s], conditions: {ready: true}}" % a for a in addrs)}


def route(kind, section, *backends):
    return ROUTE % {"kind": kind, "section": section, "backends": ", ".join("{name: %s, port: 1, weight: %d}" % b for b in backends)}


def scenario(site, check):
    lab = site.lab
    run = l4_nat.Run(lab, check)
    pods = [Pod(lab.ns("origin"), a) for a in (A, B, C)]
    lab.write_manifest("l4-services.yaml", service("two", A, B) + "---\n" + service("one", C))
    lab.write_manifest("l4-routes.yaml", "---\n".join((GATEWAY, route("TCP", "db", ("two", 3), ("one", 1)), route("UDP", "dns", ("one", 1)))))
    lab.wait_programmed("demo", "l4")
    vips = lab.vips("demo", "l4")
    lab.wait_until(lambda: {A, B, C} <= {b["addr"] for b in lab.ask("l4lb", "backends") if b["neighbour"]}, 10 * lab.slow, "endpoints are resolved")

    def ask(vip, port=5432):
        s, who = run.connect(vip, port)
        s.close()
        return who[0]
    for vip in vips:
        got = [ask(vip) for _ in range(120)]
        share = got.count(C) / len(got)
        check("TCPRoute on %s: 3 to 1 by weight, as counted %.2f of 0.25; both endpoints of the heavier" % (vip, share),
              0.1 < share < 0.45 and set(got) == {A, B, C}, got)
        check("UDPRoute on %s, the same port" % vip, {run.ask_udp(vip, 5432, b"q%d" % i)[0] for i in range(10)} == {C})
    refused = False
    try:
        ask(vips[0], 7000)
    except ConnectionRefusedError:
        refused = True
    check("a listener without a route refuses", refused)

    # endpoints alone change: no new manifest, open connections stay
    kept = [run.connect(vips[0], 5432) for _ in range(30)]
    lines = lab.procs["l4lb"].log().count("event=generation_active")
    t = lab.write_manifest("l4-services.yaml", service("two", A) + "---\n" + service("one", C))
    last_bad, good, end = t, 0, time.monotonic() + 10 * lab.slow
    while good < 60 and time.monotonic() < end:
        if ask(vips[good % 2]) == B:
            last_bad, good = time.monotonic(), 0
        else:
            good += 1
    check("an endpoint taken out gets nothing new after %.2f s" % (last_bad - t), good == 60 and last_bad - t < 2 * lab.slow)
    check("by the fast path: the generation is the same", lab.procs["l4lb"].log().count("event=generation_active") == lines, lab.procs["l4lb"].log()[-600:])
    ok = []
    for s, who in kept:
        s.sendall(b"still")
        ok.append((s.recv(5), who[0]))
        s.close()
    check("30 open connections go on, %d of them to it" % sum(who == B for _, who in ok), all(d == b"still" for d, _ in ok) and any(w == B for _, w in ok))

    # an invalid backend keeps its weight: its share is refused
    lab.write_manifest("l4-routes.yaml", "---\n".join((GATEWAY, route("TCP", "db", ("one", 1), ("gone", 1)), route("UDP", "dns", ("one", 1)))))
    lab.wait_until(lambda: "BackendNotFound" in lab.status_text("demo", "TCPRoute", "db"), 10 * lab.slow, "the route says what is missing")

    def outcomes():
        n = {"ok": 0, "refused": 0, "wrong": 0}
        for _ in range(60):
            try:
                n["ok" if ask(vips[0]) == C else "wrong"] += 1
            except ConnectionRefusedError:
                n["refused"] += 1
        return n
    lab.wait_until(lambda: (lambda n: n["refused"] and not n["wrong"])(outcomes()), 10 * lab.slow, "the new weights are active")
    n = outcomes()
    check("half goes to a Service that does not exist, and is refused at once: %s" % n, 12 <= n["refused"] <= 48 and n["ok"] + n["refused"] == 60, n)

    # the cluster calls both endpoints ready, but one does not answer
    lab.write_manifest("l4-services.yaml", service("two", A, B) + "---\n" + service("one", C))
    lab.write_manifest("l4-routes.yaml", "---\n".join((GATEWAY, route("TCP", "db", ("two", 1)), route("UDP", "dns", ("one", 1)), POLICY)))

    def health():
        return {b["addr"]: b["health"] for b in lab.ask("l4lb", "backends") if b["pool"] == "demo/two:1" and b["state"] != "draining"}
    lab.wait_until(lambda: health() == {A: "up", B: "up"}, 15 * lab.slow, "both endpoints are checked")
    pods[1].stop()
    lab.wait_until(lambda: health() == {A: "up", B: "down"}, 15 * lab.slow, "the one that ended is down")
    check("an endpoint whose check fails gets nothing new", {ask(vips[i % 2]) for i in range(40)} == {A})
    pods[1] = Pod(lab.ns("origin"), B)
    lab.wait_until(lambda: health() == {A: "up", B: "up"}, 15 * lab.slow, "it is back")
    check("back, it is used again", {ask(vips[i % 2]) for i in range(80)} == {A, B})
    v = lab.ask("l4lb")["verdicts"]
    check.info("verdicts: %s" % {k: c for k, c in v.items() if c})
    for p in pods:
        p.stop()


if __name__ == "__main__":
    main(scenario)
