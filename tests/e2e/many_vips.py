#!/usr/bin/env python3
"""64 Gateways, each with an IPv4 and an IPv6 address of its own: 128 VIPs that l4lb owns, every one answers for its own route.

   client ── 64 × (IPv4, IPv6) :80 ──▶ l4lb ──▶ shard-1 | shard-2 ──▶ echo pods
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tests.lab.scenario import main

N = 64
GATEWAY = """
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: gw-%(i)d, namespace: default }
spec:
  gatewayClassName: gatehouse
  listeners: [ { name: http, port: 80, protocol: HTTP } ]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: gw-%(i)d, namespace: default }
spec:
  parentRefs: [ { name: gw-%(i)d } ]
  rules:
  - filters: [ { type: ResponseHeaderModifier, responseHeaderModifier: { set: [ { name: x-gateway, value: gw-%(i)d } ] } } ]
    backendRefs: [ { name: app, port: 80 } ]
"""


def scenario(site, check):
    lab = site.lab
    names = ["gw-%d" % i for i in range(N)]
    lab.write_manifest("many.yaml", "".join(GATEWAY % {"i": i} for i in range(N)))
    for name in names:
        lab.wait_programmed("default", name, timeout=30)
    vips = {name: lab.vips("default", name) for name in names}
    flat = [v for pair in vips.values() for v in pair]
    check("%d Gateways have %d different addresses" % (N, 2 * N), all(flat) and len(set(flat)) == 2 * N, vips)
    wrong = []
    for name, pair in vips.items():
        for vip in pair:
            r = lab.client.curl(vip, "http://any.example/")
            if r.status != 200 or r.headers.get("x-gateway") != [name]:
                wrong.append((name, vip, r.status, r.error, r.headers.get("x-gateway")))
    check("each of the %d addresses answers, and by the route of its own Gateway" % (2 * N), not wrong, wrong[:5])
    for i in range(0, N, 2):
        names.remove("gw-%d" % i)
    lab.write_manifest("many.yaml", "".join(GATEWAY % {"i": i} for i in range(1, N, 2)))
    gone = vips["gw-0"][0]
    lab.wait_until(lambda: lab.client.curl(gone, "http://any.example/", timeout=1).status == 0, 10, "%s no longer answers" % gone)
    left = [n for n in names if lab.client.curl(vips[n][0], "http://any.example/").status != 200]
    check("half of them deleted: the other half keeps its addresses and answers", not left, left)


if __name__ == "__main__":
    main(scenario, site_args={"manifests": "configs/simple-ingress", "secrets": (), "gateways": (("default", "ingress"),)},
         vip_pools=("192.0.2.0/24", "2001:db8:10::/64"))
