#!/usr/bin/env python3
"""HTTPS through both tiers: the shard ends TLS with the Gateway's certificate.

   client ── VIP:443, SNI, ALPN ──▶ l4lb ──▶ shard (TLS ends here) ──▶ echo pods
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tests.lab.scenario import main


def scenario(site, check):
    lab = site.lab
    for vip in (site.v4, site.v6):
        for version, args in (("1.1", ["--http1.1"]), ("2", ["--http2"])):
            r, echo = lab.client.echo(vip, "https://secure.example/tls", *args)
            check("HTTPS, HTTP/%s by ALPN, IPv%d, certificate verified" % (version, 6 if ":" in vip else 4),
                  r.status == 200 and r.version == version and echo and echo["pod"].startswith("echo-v1-"), r)
    for version in ("1.2", "1.3"):
        r = lab.client.curl(site.v4, "https://secure.example/", "--tlsv" + version, "--tls-max", version)
        check("TLS %s" % version, r.status == 200, r)
    r = lab.client.curl(site.v4, "https://secure.example/", "--tls-max", "1.1")
    check("TLS 1.1 is refused", r.exit != 0 and r.status == 0, r)
    _, echo = lab.client.echo(site.v4, "https://secure.example/")
    proto = [v for n, v in echo["headers"] if n.lower() == "x-forwarded-proto"] if echo else None
    check.equal("the origin is told the scheme (X-Forwarded-Proto)", proto, ["https"])
    r, echo = lab.client.echo(site.v4, "https://echo.example/?size=3000000", "--http2")
    check("3 MB over HTTP/2 and TLS", r.status == 200 and len(r.body) > 0 and r.exit == 0, (r.status, r.error))
    r = lab.client.curl(site.v4, "https://nobody.example/", "-k")
    check("a host without route: 404 over TLS too", r.status == 404, r)


if __name__ == "__main__":
    main(scenario)
