#!/usr/bin/env python3
"""A shard is asked to go (SIGTERM) under load: it finishes what it has, new connections go elsewhere, nothing fails.

   client ── flows + new connections + one slow request ──▶ l4lb ──▶ shard-1 (drains, exits 0)
                                                                └──▶ shard-2
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import signal
import time

from tests.lab.client import describe, failures
from tests.lab.scenario import main


def scenario(site, check):
    lab, leaving = site.lab, 1
    # A request that takes 1.5 s is in flight on the leaving shard when it is asked to go.
    with lab.client.load(site.v4, "echo.example", path="/?delay=1500", flows=16, flow_ms=1000, timeout_ms=6000, seconds=1) as slow, \
            lab.client.load(site.v4, "echo.example", flows=20, flow_ms=50, conn_rate=100) as load:
        load.wait_results(600)  # a little over a second: the slow ones are all under way
        t = time.monotonic()
        lab.procs["shard-%d" % leaving].signal(signal.SIGTERM)
        rc = lab.procs["shard-%d" % leaving].wait((lab.drain_ms / 1000 + 3) * lab.slow)
        took = time.monotonic() - t
        lab.wait_until(lambda: load.results()[-1].t0 > time.monotonic() - 0.2, 5, "traffic goes on")
        n = len(load.results())
        load.wait_results(n + 200)
        slow_results = slow.stop()
    check("the shard exits with status 0 (after %.1f s)" % took, rc == 0, rc)
    check("requests in flight end well: %d slow ones" % len(slow_results), len(slow_results) >= 16 and not failures(slow_results),
          describe(slow_results, t))
    on_leaving = [r for r in slow_results if r.marks and lab.shard_of_peer(r.marks[0]) == leaving]
    check("some of them were on the leaving shard", bool(on_leaving), [r.marks for r in slow_results])
    bad = failures(load.results())
    check("%d other requests: none failed" % len(load.results()), not bad, describe(bad, t))
    after = {lab.shard_of_peer(r.marks[0]) for r in load.results()[n:] if r.result == "ok"}
    check("afterwards the other shard serves everything", after == {2}, after)
    lab.start_shard(leaving)
    site.wait_serving()


if __name__ == "__main__":
    main(scenario)
