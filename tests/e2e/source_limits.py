#!/usr/bin/env python3
"""A ClientPolicy says who may use a Gateway and how fast: the agent tells l4lb, which drops the others before any shard sees them.

   client 10.10.0.2 ──▶ VIP:80 ──▶ l4lb: access list, rates ──▶ shards
"""
import os
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tests.e2e.l4_ports import socket_in
from tests.lab.scenario import main

POLICY = """
apiVersion: gatehouse.dev/v1alpha1
kind: ClientPolicy
metadata: { name: who, namespace: default }
spec:
  targetRefs: [ { group: gateway.networking.k8s.io, kind: Gateway, name: ingress } ]
  %s
"""
REQUEST = b"HEAD / HTTP/1.1\r\nHost: any.example\r\n\r\n"


def answered(s):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = s.recv(4096)
        if not data:
            return False
        head += data
    return head.startswith(b"HTTP/1.1 ")


def scenario(site, check):
    lab = site.lab
    status = lambda vip: lab.client.curl(vip, "http://any.example/", timeout=1).status
    verdict = lambda name: lab.ask("l4lb")["verdicts"][name]
    traced = lambda source: [w["verdict"] for w in lab.ask("l4lb", "trace", site.v4, "80", source)]
    served = status(site.v4)
    check("without a policy everybody is served", served != 0 and status(site.v6) == served, served)
    kept = socket_in(lab.ns("client"), socket.AF_INET)
    kept.settimeout(30 * lab.slow)
    kept.connect((site.v4, 80))
    kept.sendall(REQUEST)
    check("a connection is open", answered(kept))

    lab.write_manifest("policy.yaml", POLICY % "sources: { allow: [ 203.0.113.0/24 ] }")
    lab.wait_until(lambda: status(site.v4) == 0, 20 * lab.slow, "who is not allowed gets no answer")
    check("who is not allowed gets no answer, over IPv6 neither", status(site.v6) == 0)
    check("trace tells that, and who would be let in", set(traced("10.10.0.2")) == {"DROP_ACL"} and set(traced("203.0.113.9")) == {"FORWARD_SHARD"})
    before = verdict("DROP_ACL")
    kept.sendall(REQUEST)
    lab.wait_until(lambda: verdict("DROP_ACL") > before, 10 * lab.slow, "the open connection's packets are dropped")
    check("the open connection's packets are dropped too", True)

    lab.write_manifest("policy.yaml", POLICY % 'sources: { deny: [ 203.0.113.0/24, "2001:db8:99::/48" ] }')
    lab.wait_until(lambda: status(site.v4) == served, 20 * lab.slow, "with a list of others the client is served again")
    check("with a list of others the client is served again, the open connection too", answered(kept))
    kept.close()
    check("and they are not", set(traced("203.0.113.9")) == {"DROP_ACL"})

    lab.write_manifest("policy.yaml", POLICY % "rates: { sourceConnectionsPerSecond: 1 }")
    sockets = []

    def over():
        for _ in range(20):
            s = socket_in(lab.ns("client"), socket.AF_INET)
            s.setblocking(False)
            s.connect_ex((site.v4, 80))
            sockets.append(s)
        return verdict("DROP_SOURCE_RATE") > 0
    lab.wait_until(over, 20 * lab.slow, "connections over the rate are dropped")
    for s in sockets:
        s.close()
    check("connections over the rate of one source are dropped and counted", True)
    lab.remove_manifest("policy.yaml")
    lab.wait_until(lambda: [status(v) for v in (site.v4, site.v6)] == [served] * 2, 20 * lab.slow, "everybody is served again")
    check("without the policy everybody is served again", True)


if __name__ == "__main__":
    main(scenario, site_args={"manifests": "configs/simple-ingress", "secrets": (), "gateways": (("default", "ingress"),)})
