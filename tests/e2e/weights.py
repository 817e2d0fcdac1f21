#!/usr/bin/env python3
"""backendRefs weights 80 and 20, over 500 requests and both shards: each share within 5 points.

   client ── 500 requests ──▶ l4lb ──▶ shard-1 | shard-2 ──▶ echo-v1 (80) | echo-v2 (20)
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tests.lab.client import failures
from tests.lab.scenario import main

REQUESTS = 500


def scenario(site, check):
    lab = site.lab
    with lab.client.load(site.v4, "split.example", flows=10, flow_ms=20) as load:
        load.wait_results(REQUESTS, timeout=30 * lab.slow)
    results = load.results()[:REQUESTS]
    bad = failures(results)
    v1 = sum(1 for r in results if r.marks[1].startswith("echo-v1-"))
    v2 = sum(1 for r in results if r.marks[1].startswith("echo-v2-"))
    share = 100.0 * v1 / REQUESTS
    shards = {lab.shard_of_peer(r.marks[0]) for r in results}
    check.info("echo-v1 %d, echo-v2 %d of %d requests, by shards %s" % (v1, v2, REQUESTS, sorted(shards)))
    check("weights 80/20: %.1f %% and %.1f %% over %d requests (within 5 points)" % (share, 100 - share, REQUESTS),
          len(results) == REQUESTS and not bad and v1 + v2 == REQUESTS and 75 <= share <= 85, bad[:5])


if __name__ == "__main__":
    main(scenario)
