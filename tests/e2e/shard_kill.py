#!/usr/bin/env python3
"""One shard is killed (SIGKILL) under load.

   client ── 40 flows, 100 new connections/s ──▶ l4lb ──▶ shard-1  ✗
                                                     └──▶ shard-2     its flows never notice; soon all new ones are here
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import time

from tests.lab.client import describe, failures
from tests.lab.scenario import main

LIMIT_S = 1.0


def scenario(site, check):
    lab = site.lab
    dead, other = 1, 2
    with lab.client.load(site.v4, "echo.example", flows=40, flow_ms=50, conn_rate=100, timeout_ms=1000) as load:
        load.wait_results(400)
        owner = {}
        for r in load.results():
            if r.kind == "keep" and r.result == "ok":
                owner[r.flow] = lab.shard_of_peer(r.marks[0])
        mine = sorted(f for f, s in owner.items() if s == other)
        check("the flows are spread: %d on shard-%d, %d on shard-%d" % (len(owner) - len(mine), dead, len(mine), other),
              len(owner) == 40 and 5 <= len(mine) <= 35, owner)
        t = time.monotonic()
        lab.kill("shard-%d" % dead)
        lab.wait_until(lambda: load.results()[-1].t0 > t + LIMIT_S + 2.0, 10, "traffic after the kill")
    results = load.results()
    bad_established = [r for r in failures(results) if r.kind == "keep" and r.flow in mine]
    moved = [r for r in results if r.kind == "keep" and r.flow in mine and r.conn > 1]
    n = sum(1 for r in results if r.kind == "keep" and r.flow in mine)
    check("established flows of shard-%d: %d requests on %d connections, none failed or moved" % (other, n, len(mine)),
          n > 100 and not bad_established and not moved, describe(bad_established + moved, t))
    fresh = [r for r in results if r.t0 >= t and (r.kind == "new" or r.flow not in mine)]
    lost = failures(fresh)
    last = max((r.t0 - t for r in lost), default=0.0)
    check("new connections stopped failing %.0f ms after the kill (limit %.0f ms); %d of %d failed" % (
        last * 1000, LIMIT_S * 1000, len(lost), len(fresh)), last <= LIMIT_S and len(fresh) > 200, describe([r for r in lost if r.t0 > t + LIMIT_S], t))
    before = [r for r in results if r.t1 < t]
    check("none failed before the kill", not failures(before), describe(failures(before), t))
    lab.start_shard(dead)
    site.wait_serving()
    with lab.client.load(site.v4, "echo.example", conn_rate=100) as load:
        load.wait_results(60)
    got = [lab.shard_of_peer(r.marks[0]) for r in load.results() if r.marks]
    check("started again, it gets connections again", got.count(dead) >= 10 and not failures(load.results()), got)


if __name__ == "__main__":
    main(scenario)
