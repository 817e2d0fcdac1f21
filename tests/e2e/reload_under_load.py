#!/usr/bin/env python3
"""A route and an endpoint list edited on disk while traffic runs: they act within a second and no request fails.

   client ── 20 flows + 50 new connections/s ──▶ l4lb ──▶ shards ──▶ echo-v1, then echo-v2, then echo-v1 ...
                                                    agent ◀── 50-live.yaml edited
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tests.lab.client import describe, failures
from tests.lab.scenario import main

LIMIT_S = 1.0


def switch(site, check, load, version, edit):
    """Edits, waits until only the new pods answer, and judges the times of every request around it."""
    prefix = "echo-%s-" % version
    n = len(load.results())
    t = edit()
    acted = lambda: [r for r in load.results()[n:] if r.marks[1].startswith(prefix)]
    site.lab.wait_until(acted, 5, "an answer from " + prefix)
    site.lab.wait_until(lambda: load.results()[-1].t0 > t + LIMIT_S + 0.3, 5, "traffic after the edit")
    results = [r for r in load.results() if r.t0 >= t - 0.5]
    first = min(r.t1 for r in results if r.marks[1].startswith(prefix))
    late = [r for r in results if r.t0 > t + LIMIT_S and not r.marks[1].startswith(prefix)]
    check("edit to %s acted after %.0f ms (limit %.0f ms), on every connection" % (version, (first - t) * 1000, LIMIT_S * 1000),
          first - t <= LIMIT_S and not late, describe(late, t))


def scenario(site, check):
    lab = site.lab
    name, text = "50-live.yaml", lab.read_manifest("50-live.yaml")
    before = {n: lab.procs[n].pid for n in lab.data_planes()}
    with lab.client.load(site.v4, "live.example", flows=20, flow_ms=50, conn_rate=50) as load:
        load.wait_results(100)
        for version in ("v2", "v1", "v2"):
            new = text.replace("{name: echo-v1", "{name: echo-" + version)
            switch(site, check, load, version, lambda new=new: lab.write_manifest(name, new))
        lab.write_manifest(name, text)
        backends = lab.read_manifest("20-backends.yaml")
        site.lab.wait_until(lambda: load.results()[-1].marks[1].startswith("echo-v1-"), 5, "back on v1")
        check_endpoints(site, check, load, backends)
    results = load.stop()
    bad = failures(results)
    check("%d requests on kept and new connections while routes and endpoints changed: none failed" % len(results),
          len(results) > 1000 and not bad, describe(bad))
    reused = [r for r in results if r.kind == "keep" and r.conn > 1]
    check("no connection was dropped", not reused, describe(reused))
    check("no process was restarted", before == {n: lab.procs[n].pid for n in lab.data_planes()})


def check_endpoints(site, check, load, backends):
    """One of two endpoints turns not ready: it gets nothing after a second, and comes back after it is ready again."""
    lab, gone = site.lab, "echo-v1-7d9c5b6f4-t5n4w"
    fewer = backends.replace("  conditions: {ready: true}\n  targetRef: {kind: Pod, name: %s" % gone,
                             "  conditions: {ready: false}\n  targetRef: {kind: Pod, name: %s" % gone)
    assert fewer != backends
    t = lab.write_manifest("20-backends.yaml", fewer)
    lab.wait_until(lambda: load.results()[-1].t0 > t + LIMIT_S + 0.7, 5, "traffic after the edit")
    late = [r for r in load.results() if r.t0 > t + LIMIT_S and r.marks[1] == gone]
    check("an endpoint that is not ready gets no request after %.0f ms" % (LIMIT_S * 1000), not late, describe(late, t))
    t = lab.write_manifest("20-backends.yaml", backends)
    back = lambda: [r for r in load.results() if r.t0 > t and r.marks[1] == gone]
    lab.wait_until(back, 5, "the endpoint is used again")
    check("and is used again %.0f ms after it is ready" % ((back()[0].t1 - t) * 1000), back()[0].t1 - t <= LIMIT_S)


if __name__ == "__main__":
    main(scenario)
