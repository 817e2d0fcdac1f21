#!/usr/bin/env python3
"""Deployment pattern 2, configs/sharded: two teams behind one address, each on its own shard; one team's shard dies.

   client ── VIP:8001 ──▶ l4lb ──▶ shard-1 (team a) ✗
          ── VIP:8002 ──▶      ──▶ shard-2 (team b)     never notices
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import time

from tests.lab.client import describe, failures
from tests.lab.scenario import main


def scenario(site, check):
    lab = site.lab
    check.equal("both Gateways hold the same address", lab.vips("team-b", "edge"), (site.v4, site.v6))
    with lab.client.load(site.v4, "a.example", port=8001, conn_rate=50, flows=4, flow_ms=50) as a, \
            lab.client.load(site.v6, "b.example", port=8002, conn_rate=50, flows=4, flow_ms=50) as b:
        a.wait_results(100)
        b.wait_results(100)
        check.equal("team a is served by shard-1 alone", {lab.shard_of_peer(r.marks[0]) for r in a.results()}, {1})
        check.equal("team b is served by shard-2 alone", {lab.shard_of_peer(r.marks[0]) for r in b.results()}, {2})
        t = time.monotonic()
        lab.kill("shard-1")
        lab.wait_until(lambda: b.results()[-1].t0 > t + 1.5, 5, "team b's traffic goes on")
        check("shard-1 killed: team a is down", any(r.t0 > t for r in failures(a.results())))
        bad = failures(b.results())
        check("shard-1 killed: %d requests of team b, none failed" % len(b.results()), not bad, describe(bad, t))
        lab.start_shard(1)
        site.wait_serving()
        n = len(a.results())
        lab.wait_until(lambda: any(r.result == "ok" for r in a.results()[n:]), 5, "team a is back")
    check("shard-1 started again: team a is back", True)


if __name__ == "__main__":
    main(scenario, site_args={"manifests": "configs/sharded", "secrets": (), "gateways": (("team-a", "edge"), ("team-b", "edge"))},
         pools=[("team-a", [1], 'select = [ "team=a" ];'), ("team-b", [2], 'select = [ "team=b" ];')])
