#!/usr/bin/env python3
"""The agent is killed: traffic goes on.  Started again, it programs again without a hitch.

   agent ✗        client ── load ──▶ l4lb ──▶ shards ──▶ pods
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import time

from tests.lab.client import describe, failures
from tests.lab.scenario import main


def scenario(site, check):
    lab = site.lab
    text = lab.read_manifest("50-live.yaml")
    with lab.client.load(site.v4, "live.example", flows=10, flow_ms=50, conn_rate=50) as load:
        load.wait_results(50)
        lab.kill("agent")
        lab.wait_until(lambda: all(not (lab.ask(n) or {"agent_connected": True})["agent_connected"] for n in lab.data_planes()), 3,
                       "the data planes notice")
        t = time.monotonic()
        lab.wait_until(lambda: load.results()[-1].t0 > t + 1.0, 5, "a second of traffic without agent")
        r = lab.client.curl(site.v6, "https://secure.example/", "--http2")
        check("without agent: HTTPS, HTTP/2, IPv6", r.status == 200, r)
        check("without agent: %d requests, none failed" % sum(1 for r in load.results() if r.t0 >= t),
              not failures(load.results()), describe(failures(load.results()), t))
        lab.write_manifest("50-live.yaml", text.replace("{name: echo-v1", "{name: echo-v2"))
        lab.start_agent()
        lab.wait_until(lambda: load.results()[-1].marks[1].startswith("echo-v2-"), 10 * lab.slow, "the edit made meanwhile acts")
        check("the agent started again: an edit made meanwhile acts", True)
        lab.write_manifest("50-live.yaml", text)
        lab.wait_until(lambda: load.results()[-1].marks[1].startswith("echo-v1-"), 5 * lab.slow, "back on v1")
    vips = (site.v4, site.v6)
    site.wait_serving()
    check.equal("it keeps the addresses it had given", (site.v4, site.v6), vips)
    bad = failures(load.results())
    check("%d requests over all of it: none failed" % len(load.results()), not bad, describe(bad))


if __name__ == "__main__":
    main(scenario)
