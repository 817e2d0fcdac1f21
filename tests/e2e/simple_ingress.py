#!/usr/bin/env python3
"""Deployment pattern 1, configs/simple-ingress: one Gateway, one shard, one address; on AF_PACKET ports.

   client ── 192.0.2.10:80 ──▶ l4lb (net_af_packet) ──▶ shard-1 ──▶ two pods
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tests.lab.client import describe, failures
from tests.lab.scenario import main


def scenario(site, check):
    lab = site.lab
    check.equal("the Gateway has the addresses it asked for", (site.v4, site.v6), ("192.0.2.10", "2001:db8:10::10"))
    check.equal("the port driver", lab.driver, "af_packet")
    for vip in (site.v4, site.v6):
        with lab.client.load(vip, "anything.example", flows=4, flow_ms=20, conn_rate=50) as load:
            load.wait_results(200)
        bad, pods = failures(load.results()), {r.marks[1] for r in load.results()}
        check("IPv%d: %d requests, none failed, on both pods" % (6 if ":" in vip else 4, len(load.results())), not bad and len(pods) == 2,
              describe(bad) or pods)


if __name__ == "__main__":
    main(scenario, site_args={"manifests": "configs/simple-ingress", "secrets": (), "gateways": (("default", "ingress"),)},
         shards=1, driver="af_packet")
