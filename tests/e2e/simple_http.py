#!/usr/bin/env python3
"""Plain HTTP through both tiers.

   client ── VIP:80 ──▶ l4lb ──▶ shard-1 | shard-2 ──▶ echo pods (v4, v6), nginx
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tests.lab.scenario import main


def forwarded_for(echo):
    return [v for n, v in echo["headers"] if n.lower() == "x-forwarded-for"]


def own_address(site, check):
    """The shard sees the client itself, not l4lb: nothing on the way rewrites the source."""
    lab = site.lab
    for vip, want in ((site.v4, "10.10.0.2"), (site.v6, "fd00:10::2")):
        r, echo = lab.client.echo(vip, "http://echo.example/whoami-%s" % ("v6" if ":" in vip else "v4"))
        got = forwarded_for(echo) if echo else "status %d %s" % (r.status, r.error)
        check.equal("X-Forwarded-For at the origin is the client's own address, %s" % want, got, [want])
    lines = lambda: [e for i in lab.shard_numbers() for e in lab.access_lines(i) if "/whoami-" in str(e)]
    try:
        lab.wait_until(lambda: len(lines()) >= 2, 5, "two access log lines")
        ok = all(any(a in str(e) for e in lines()) for a in ("10.10.0.2", "fd00:10::2"))
    except TimeoutError:
        ok = False
    check("the access log names the client's own address", ok, lines())


def versions(site, check):
    lab = site.lab
    for vip in (site.v4, site.v6):
        for version, args in (("1.1", ["--http1.1"]), ("2", ["--http2-prior-knowledge"])):
            r, echo = lab.client.echo(vip, "http://echo.example/a%20b?x=1&y=%2F", *args)
            check("HTTP/%s over IPv%d" % (version, 6 if ":" in vip else 4),
                  r.status == 200 and r.version == version and echo and echo["path"] == "/a%20b?x=1&y=%2F" and echo["pod"].startswith("echo-v1-"),
                  r)


def bodies(site, check):
    lab = site.lab
    path = lab.path("www", "upload.bin")
    with open(path, "wb") as f:
        f.write(bytes(i * 7 % 251 for i in range(300000)))
    import zlib
    with open(path, "rb") as f:
        crc = zlib.crc32(f.read())
    r, echo = lab.client.echo(site.v4, "http://echo.example/post", "--data-binary", "@" + path, "-H", "Content-Type: application/octet-stream")
    check("a POST body arrives whole (Content-Length)", bool(echo) and (echo["body_bytes"], echo["body_crc32"]) == (300000, crc), r)
    r, echo = lab.client.echo(site.v4, "http://echo.example/post", "--data-binary", "@" + path, "-H", "Transfer-Encoding: chunked")
    check("a POST body arrives whole (chunked)", bool(echo) and (echo["body_bytes"], echo["body_crc32"]) == (300000, crc), r)
    r, _ = lab.client.echo(site.v4, "http://echo.example/?chunked=1")
    check("a chunked answer comes back", r.status == 200 and '"pod"' in r.body, r)
    r = lab.client.curl(site.v4, "http://echo.example/", "-I")
    check("HEAD has headers and no body", r.status == 200 and r.body.count("HTTP/") == 1 or (r.status == 200 and not r.body), r)
    r = lab.client.curl(site.v4, "http://echo.example/?status=204")
    check("204 has no body", r.status == 204 and not r.body, r)


def refusals(site, check):
    lab = site.lab
    for host, path, want, why in (("nobody.example", "/", 404, "no route for the host"), ("redirect.example", "/none", 404, "no rule for the path"),
                                  ("broken.example", "/missing", 500, "a backend that does not exist"),
                                  ("broken.example", "/empty", 503, "a backend without endpoints"),
                                  ("shop.example", "/not-granted", 500, "a backend of another namespace without a grant"),
                                  ("secure.example", "/", 404, "a route of the HTTPS listener, asked over HTTP")):
        r = lab.client.curl(site.v4, "http://%s%s" % (host, path))
        check("%d: %s" % (want, why), r.status == want, r)


def both_shards(site, check):
    """New connections spread over the shards."""
    lab = site.lab
    with lab.client.load(site.v4, "echo.example", conn_rate=100) as load:
        load.wait_results(80)
    results = load.results()
    got = {n: sum(1 for r in results if lab.shard_of_peer(r.marks[0]) == n) for n in lab.shard_numbers()}
    check("80 new connections: every shard gets its part, none fails", all(v >= 15 for v in got.values()) and
          all(r.result == "ok" and r.status == 200 for r in results), got)


def verdicts(site, check):
    """Every packet l4lb received ended in exactly one verdict."""
    last = {}

    def equal():
        last.update(site.lab.ask("l4lb") or {})
        return last.get("received", 0) > 0 and last["received"] == sum(last["verdicts"].values())
    try:
        site.lab.wait_until(equal, 2, "a quiet moment")
        ok = True
    except TimeoutError:
        ok = False
    check("l4lb: verdicts add up to the %d packets received" % last.get("received", 0), ok, last)


def scenario(site, check):
    lab = site.lab
    check("the Gateway has an address of each family from the pools", site.v4.startswith("192.0.2.") and site.v6.startswith("2001:db8:10:"),
          (site.v4, site.v6))
    versions(site, check)
    own_address(site, check)
    r = lab.client.curl(site.v4, "http://static.example/hello")
    check("nginx as origin", r.status == 200 and r.body == "hello from nginx\n", r)
    r, echo = lab.client.echo(site.v4, "http://shop.example/granted")
    check("a route of another namespace reaches a granted backend", bool(echo) and echo["pod"].startswith("echo-v2-"), r)
    for vip in ("192.0.2.50", "2001:db8:10::50"):
        r, echo = lab.client.echo(vip, "http://any.example:8080/")
        check("a second Gateway at the address it asked for, %s port 8080" % vip, bool(echo) and echo["pod"].startswith("echo-v2-"), r)
    bodies(site, check)
    refusals(site, check)
    both_shards(site, check)
    verdicts(site, check)


if __name__ == "__main__":
    main(scenario)
