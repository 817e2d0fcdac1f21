#!/usr/bin/env python3
"""h2spec against a shard: HTTP/2 as a server, over TLS and as h2c by prior knowledge, strictly: every test has to pass,
but one on cleartext.  There the port serves HTTP/1.1 too, and an invalid preface is a bad request of HTTP/1.1, answered as such.

   h2spec ──▶ l7gw 127.83.1.3 (no host name: h2spec asks for the address) ──▶ an HTTP/1.1 origin

h2spec is a Go program, built by tests/conformance/build.py; without Go the scenario is skipped."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tests.conformance import build
from tests.lab.l7_site import HTTP, HTTPS, raw_to, route, run
from tests.lab.proc import wait_until
from tests.lab.raw_client import SLOW, get

ADDRESS, TESTS = "127.83.1.3", 146  # of h2spec 2.2.1, the newest that the module proxy has; with --strict
PREFACE = "Sends invalid connection preface"
GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: spec, namespace: default}
spec:
  gatewayClassName: gatehouse
  addresses: [{type: IPAddress, value: %s}]
  listeners:
  - {name: http, port: %d, protocol: HTTP}
  - {name: https, port: %d, protocol: HTTPS, tls: {certificateRefs: [{name: web-tls}]}}
""" % (ADDRESS, HTTP, HTTPS)


def spec(site, check):
    program = os.path.join(build.ensure(("h2spec",))["h2spec"], "h2spec")
    site.write("spec", GATEWAY + route("spec", '"spec.example"', "origin").replace("[{name: web}]", "[{name: spec}]").replace('  hostnames: ["spec.example"]\n', ""))
    wait_until(lambda: any(l["bound"] and l["listener"].startswith("default/spec/") for l in site.ask("listeners")), 20 * SLOW, "the listener")
    wait_until(lambda: raw_to(ADDRESS).send(get("/echo", host=ADDRESS)).reply().status == 200, 20 * SLOW, "the route")
    for args, port, what in (([], HTTP, "h2c"), (["-t"], HTTPS, "TLS")):
        p = subprocess.run([program, *args, "-o", "%ds" % (2 * SLOW), ADDRESS, str(port), "/echo"], capture_output=True, text=True, timeout=200)
        text = re.sub(r"\x1b\[[0-9;]*m", "", p.stdout)
        m = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", text)
        total, passed, skipped, failed = map(int, m.groups()) if m else (0, 0, 0, 0)
        failures = text[text.find("Failures:"):] if "Failures:" in text else ""
        names = re.findall(r"\u00d7 \d+: (.*)", failures)
        excused = [PREFACE] if what == "h2c" else []
        check("h2spec, strict, %s: %s" % (what, m and m.group(0)), total == TESTS and skipped == 0 and sorted(set(names) - set(excused)) == [] and failed == len(names),
              failures or text[-300:] + p.stderr)


if __name__ == "__main__":
    try:
        build.ensure(("h2spec",))
    except build.NoGo as e:
        print("skipped: no rights: h2spec cannot be built: %s" % e)
        sys.exit(77)
    run("h2spec", (spec,))
