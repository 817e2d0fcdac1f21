#!/usr/bin/env python3
"""Matches, redirects, rewrites and header edits of the demo's routes, as the origin and the client see them.

   client ── VIP:80 ──▶ l4lb ──▶ shard: match, filter ──▶ echo-v1 | echo-v2
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tests.lab.scenario import main


def pod_of(site, url, *args):
    r, echo = site.lab.client.echo(site.v4, url, *args)
    return echo["pod"][:7] if echo else "status %d %s" % (r.status, r.error)


def matches(site, check):
    base = "http://match.example"
    check.equal("header match: x-canary: yes goes to v2", pod_of(site, base + "/", "-H", "X-Canary: yes"), "echo-v2")
    check.equal("header match: another value does not", pod_of(site, base + "/", "-H", "X-Canary: no"), "echo-v1")
    check.equal("query match", pod_of(site, base + "/?a=0&beta=1"), "echo-v2")
    check.equal("query match: another value does not", pod_of(site, base + "/?beta=2"), "echo-v1")
    check.equal("method match", pod_of(site, base + "/", "-X", "DELETE"), "echo-v2")
    check.equal("exact path", pod_of(site, base + "/exact"), "echo-v2")
    check.equal("exact path: longer is not exact", pod_of(site, base + "/exact/x"), "echo-v1")
    check.equal("the longer prefix wins", pod_of(site, base + "/deep/er/x"), "echo-v2")
    check.equal("a prefix ends at a segment", pod_of(site, base + "/deep/erx"), "echo-v1")
    check.equal("regular expression: the whole path", pod_of(site, base + "/v2/teams/blue?x/y"), "echo-v2")
    check.equal("regular expression: not a part of it", pod_of(site, base + "/v2/teams/blue/x"), "echo-v1")
    check.equal("regular expression in a header", pod_of(site, base + "/", "-A", "Mozilla/5.0 Nightly/99.1 (X11)"), "echo-v2")
    check.equal("wildcard host", pod_of(site, "http://a.b.match.example/"), "echo-v1")


def cors(site, check):
    client, base = site.lab.client, "http://cors.example/"
    ask = ("-X", "OPTIONS", "-H", "Access-Control-Request-Method: PUT")
    r = client.curl(site.v4, base, *ask, "-H", "Origin: https://eu.www.shop.example")
    got = (r.status, r.headers.get("access-control-allow-origin"), r.headers.get("access-control-allow-methods"), r.headers.get("x-echo-pod"))
    check.equal("CORS: a preflight is answered by the gateway", got, (204, ["https://eu.www.shop.example"], ["GET, PUT"], None))
    r = client.curl(site.v4, base, *ask, "-H", "Origin: https://evil.example")
    check.equal("CORS: a preflight of another origin is refused", (r.status, r.headers.get("access-control-allow-origin")), (403, None))
    r, echo = client.echo(site.v4, base, "-H", "Origin: https://www.shop.example", "-H", "X-Echo-Set-Header: access-control-allow-origin: *")
    got = (r.status, r.headers.get("access-control-allow-origin"), r.headers.get("access-control-allow-credentials"), r.headers.get("vary"))
    check.equal("CORS: the response is the gateway's word, not the backend's", got, (200, ["https://www.shop.example"], ["true"], ["origin"]))


def sticky(site, check):
    client, base = site.lab.client, "http://sticky.example/"
    pods = {}
    for _ in range(24):
        r = client.curl(site.v4, base)
        cookie = r.headers.get("set-cookie", [""])[0].split(";")[0]
        pods[r.headers.get("x-echo-pod", ["?"])[0]] = cookie
    check("sessions: without a cookie requests go everywhere, and each pod has its own", len(pods) == 4 and len(set(pods.values())) == 4 and
          all(c.startswith("stay=") for c in pods.values()), pods)
    stays = all(client.curl(site.v4, base, "-H", "Cookie: a=b; " + cookie).headers.get("x-echo-pod") == [pod]
                for pod, cookie in pods.items() for _ in range(5))
    check("sessions: with it they stay, across both Services and all shards", stays)
    r = client.curl(site.v4, base, "-H", "Cookie: " + next(iter(pods.values())))
    check("sessions: a cookie that holds is not sent again", "set-cookie" not in r.headers, r.headers)
    r = client.curl(site.v4, base, "-H", "Cookie: stay=0123456789abcdef.1")
    check("sessions: one that leads nowhere is replaced", r.status == 200 and "set-cookie" in r.headers, r.headers)


def redirects(site, check):
    client = site.lab.client
    r = client.curl(site.v4, "http://redirect.example/secure/a?b=c")
    check.equal("redirect: scheme, 301", (r.status, r.headers.get("location")), (301, ["https://redirect.example/secure/a?b=c"]))
    r = client.curl(site.v4, "http://redirect.example/old/page?q=1")
    check.equal("redirect: host and path prefix, 302", (r.status, r.headers.get("location")), (302, ["http://echo.example/new/page?q=1"]))


def rewrites(site, check):
    client = site.lab.client
    r, echo = client.echo(site.v4, "http://rewrite.example/api/users?id=7")
    got = (echo["path"], [v for n, v in echo["headers"] if n.lower() == "host"]) if echo else r
    check.equal("rewrite: host and path prefix", got, ("/v2/users?id=7", ["internal.example"]))
    r, echo = client.echo(site.v4, "http://rewrite.example/full/x/y")
    check.equal("rewrite: full path", echo["path"] if echo else r, "/one")


def headers(site, check):
    r, echo = site.lab.client.echo(site.v4, "http://headers.example/", "-H", "X-Set: by-client", "-H", "X-Add: one", "-H", "X-Secret: s",
                                   "-H", "X-Echo-Set-Header: x-frame-options: SAMEORIGIN, x-internal: 1, x-other: 2")
    got = {}
    for n, v in (echo or {"headers": []})["headers"]:
        got.setdefault(n.lower(), []).append(v)
    check.equal("request headers: set", got.get("x-set"), ["by-gateway"])
    check("request headers: add", ",".join(got.get("x-add", [])).replace(" ", "") == "one,more", got)
    check("request headers: remove", echo is not None and "x-secret" not in got, got)
    check.equal("response headers: set, remove, keep", (r.headers.get("x-frame-options"), r.headers.get("x-internal"), r.headers.get("x-other")),
                (["DENY"], None, ["2"]))


def scenario(site, check):
    matches(site, check)
    cors(site, check)
    sticky(site, check)
    redirects(site, check)
    rewrites(site, check)
    headers(site, check)


if __name__ == "__main__":
    main(scenario)
