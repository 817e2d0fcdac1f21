#!/usr/bin/env python3
"""The operator's command: what it says of a healthy site, of a site with a dead shard, and of manifests.

   gatectl ── admin sockets ──▶ agent, l4lb, shard-1, shard-2        gatectl check DIR ──▶ nobody
"""
import json
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tests.lab import netns
from tests.lab.scenario import ROOT, main


def ctl(lab, *args):
    """(exit status, stdout, stderr)."""
    p = netns.run([lab.tool("gatectl"), "-d", lab.path("run"), *args], check=False)
    return p.returncode, p.stdout, p.stderr


def as_json(lab, *args):
    rc, out, err = ctl(lab, "-o", "json", *args)
    try:
        return rc, json.loads(out)
    except ValueError:
        return rc, "not JSON: %s %s" % (out[:300], err[:300])


def status(site, check):
    lab = site.lab
    rc, out, err = ctl(lab, "status")
    check("status: exit 0 and a line for each daemon of a healthy site", rc == 0 and all(n in out for n in ("agent", "l4lb", "shard-1", "shard-2")),
          (rc, out, err))
    rc, doc = as_json(lab, "status")
    text = json.dumps(doc)
    check("status -o json: both tiers, generation, shards", rc == 0 and all('"%s"' % n in text for n in ("l4-1", "shard-1", "shard-2")) and
          "generation" in text, doc)
    lab.kill("shard-1")
    rc, out, err = ctl(lab, "status")
    check("status: a dead shard shows, and the exit status says so", rc != 0 and "shard-1" in out + err, (rc, out, err))
    lab.start_shard(1)
    site.wait_serving()


def lists(site, check):
    lab = site.lab
    rc, out, err = ctl(lab, "get", "gateways")
    check("get gateways: names and addresses", rc == 0 and "web" in out and site.v4 in out, (rc, out, err))
    rc, doc = as_json(lab, "get", "gateways")
    check("get gateways -o json", rc == 0 and site.v4 in json.dumps(doc), doc)
    rc, out, err = ctl(lab, "get", "routes")
    check("get routes: every route", rc == 0 and all(n in out for n in ("split", "redirect", "shop", "broken")), (rc, out, err))
    rc, doc = as_json(lab, "get", "routes")
    text = json.dumps(doc)
    check("get routes -o json: the route without its backend says why", rc == 0 and "BackendNotFound" in text and "RefNotPermitted" in text, text[:2000])


def trace(site, check):
    lab = site.lab
    before = as_json(lab, "ask", "l4lb", "status")[1]
    rc, doc = as_json(lab, "ask", "l4lb", "trace", site.v4, "80")
    check("trace: every worker would send a SYN for the VIP to a shard", rc == 0 and doc and
          all(w["verdict"] == "FORWARD_SHARD" and w["backend"] and w["port"] for w in doc), doc)
    rc, doc = as_json(lab, "ask", "l4lb", "trace", site.v4, "9")
    check("trace: a port without a listener", rc == 0 and doc and doc[0]["verdict"] in ("REPLY_RST", "DROP_NO_SERVICE"), doc)
    after = as_json(lab, "ask", "l4lb", "status")[1]
    check("trace: it leaves no flow", sum(w["flows"] for w in after["workers"]) <= sum(w["flows"] for w in before["workers"]), after["workers"])
    for args in (("198.51.100.1",), ("nonsense", "80"), (site.v4, "0"), (site.v4, "80", "2001:db8::1")):
        rc, out, err = ctl(lab, "ask", "l4lb", "trace", *args)
        check("trace %s: refused" % " ".join(args), rc == 1 and err, (rc, out, err))


def trace_request(site, check):
    lab = site.lab
    rc, doc = as_json(lab, "trace", "request", "http://match.example/v2/teams/blue?x=1", "user-agent:curl")
    answers = [a for shard in doc.values() for a in shard] if rc == 0 else []
    taken = [a["asked"][-1] for a in answers if a["asked"]]
    check("trace request: both shards, both address families; the rule that takes it and the backend",
          rc == 0 and len(doc) == 2 and len([t for t in taken if t["verdict"] == "taken" and t["path_kind"] == "regex" and
                                             t["route"] == "HTTPRoute demo/match"]) >= 4 and
          all(a["outcome"] == "forward" and a["backends"][0]["cluster"].startswith("demo/echo-v2:80") for a in answers if a["asked"]), (rc, doc))
    rc, out, err = ctl(lab, "trace", "request", "GET", "http://match.example/")
    check("trace request: as a table, with what was passed by", rc == 0 and "header x-canary" in out and "query parameter beta" in out and "another method" in out and "taken" in out, (rc, out, err))
    rc, out, err = ctl(lab, "trace", "request", "http://redirect.example/old/x?q")
    check("trace request: a redirect", rc == 0 and "redirect 302" in out and "http://echo.example/new/x?q" in out, (rc, out, err))
    rc, out, err = ctl(lab, "trace", "request", "http://nobody.example/")
    check("trace request: no route is an answer too", rc == 0 and "no_route 404" in out or "no_listener 404" in out, (rc, out, err))
    for args in (("ftp://a/",), ("http://a b/",), ("GET", "http://a/", "x y: z"), ("http://a/", "x: y\r\nz: 1"), ("GE T", "http://a/")):
        rc, out, err = ctl(lab, "trace", "request", *args)
        check("trace request %r: refused" % (args,), rc == 1 and err, (rc, out, err))


def validation(site, check):
    lab = site.lab
    rc, out, err = ctl(lab, "check", lab.path("manifests"))
    check("check: the demo's manifests are valid", rc == 0, (rc, out, err))
    bad = lab.path("www", "bad-manifests")
    shutil.copytree(os.path.join(ROOT, "configs/simple-ingress"), bad)
    with open(bad + "/zz-bad.yaml", "w") as f:
        f.write("apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: bad}\nspec:\n  hostnames: [UPPER_case!]\n")
    rc, out, err = ctl(lab, "check", bad)
    check("check: a bad field is refused with file and line", rc == 1 and "zz-bad.yaml:5" in out + err, (rc, out, err))
    rc, doc = as_json(lab, "check", bad)
    check("check -o json says the same", rc == 1 and "zz-bad.yaml" in json.dumps(doc), doc)
    rc, out, err = ctl(lab, "check", lab.path("no-such-directory"))
    check("check: no such directory", rc not in (0, 139), (rc, out, err))


def scenario(site, check):
    status(site, check)
    lists(site, check)
    trace(site, check)
    trace_request(site, check)
    validation(site, check)


if __name__ == "__main__":
    main(scenario)
