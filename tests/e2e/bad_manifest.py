#!/usr/bin/env python3
"""A manifest that cannot be used is refused by name, the previous set stays, and traffic goes on.

   agent ◀── broken.yaml (not YAML; a field of the wrong kind)          client ── load ──▶ unharmed
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import time

from tests.lab.client import describe, failures
from tests.lab.scenario import main

BAD_YAML = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata:\n  name: bad\n   namespace: demo\n"
BAD_FIELD = """# a port that is none
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: bad, namespace: demo}
spec:
  parentRefs:
  - {name: web}
  rules:
  - backendRefs:
    - name: echo-v1
      port: eighty
"""


def refused(site, check, text, what, words):
    """The agent says the file, the line and the field, in its log and in its status."""
    lab = site.lab
    before = len(lab.procs["agent"].log())
    lab.write_manifest("60-bad.yaml", text)
    said = lambda: [line for line in lab.procs["agent"].log()[before:].splitlines() if "60-bad.yaml" in line and "level=info" not in line]
    try:
        lab.wait_until(said, 3, "a word about 60-bad.yaml")
        line = said()[0]
    except TimeoutError:
        line = "silence"
    check("%s is refused by name: file%s" % (what, "".join(", " + w for w, _ in words)), all(w in line for _, w in [("", "60-bad.yaml")] + words), line)
    # The previous set stays: an edit elsewhere waits for the file to be mended, what runs goes on.
    r, echo = lab.client.echo(site.v4, "http://echo.example/")
    check("the previous set goes on serving (%s)" % what, r.status == 200 and bool(echo), r)


UNSUPPORTED = """apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: session, namespace: demo}
spec:
  parentRefs:
  - {name: web}
  hostnames: [session.example]
  rules:
  - sessionPersistence: {type: Cookie, sessionName: s, idleTimeout: 30s}
    backendRefs:
    - {name: echo-v1, port: 80}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: neighbour, namespace: demo}
spec:
  parentRefs:
  - {name: web}
  hostnames: [neighbour.example]
  rules:
  - backendRefs:
    - {name: echo-v1, port: 80}
"""


def quarantine(site, check):
    """A valid route that a shard cannot serve yet: the shard refuses it by name, its status says so, the rest goes on."""
    lab = site.lab
    lab.write_manifest("60-bad.yaml", UNSUPPORTED)
    refused_ = lambda: ("Accepted", "False", "UnsupportedValue") in lab.conditions("demo", "HTTPRoute", "session")
    try:
        lab.wait_until(refused_, 3, "the status of HTTPRoute demo/session")
        ok = True
    except TimeoutError:
        ok = False
    check("a route the shards cannot serve: its own status says Accepted=False", ok, lab.status_text("demo", "HTTPRoute", "session"))
    check("it is not served in part: 404", lab.client.curl(site.v4, "http://session.example/").status == 404)
    served = lambda: lab.client.curl(site.v4, "http://neighbour.example/").status == 200
    try:
        lab.wait_until(served, 3, "the route beside it serves")
        ok = True
    except TimeoutError:
        ok = False
    check("a good route of the same file, the same moment: serves", ok)
    check("the Gateway stays Programmed", lab.programmed("demo", "web"), lab.status_text("demo", "Gateway", "web"))
    lab.remove_manifest("60-bad.yaml")
    lab.wait_until(lambda: lab.client.curl(site.v4, "http://neighbour.example/").status == 404, 3, "the removed routes are gone")


def scenario(site, check):
    lab = site.lab
    generation = {n: (lab.ask(n) or {}).get("hash") for n in lab.data_planes()}
    with lab.client.load(site.v4, "live.example", flows=10, flow_ms=50, conn_rate=30) as load:
        load.wait_results(50)
        refused(site, check, BAD_YAML, "a file that is not YAML", [("line", ":5")])
        refused(site, check, BAD_FIELD, "a field of the wrong kind", [("line", ":11"), ("field", "port")])
        check("nothing was pushed meanwhile", generation == {n: (lab.ask(n) or {}).get("hash") for n in lab.data_planes()}, generation)
        t = lab.write_manifest("60-bad.yaml", BAD_FIELD.replace("eighty", "80").replace("  rules:", "  hostnames: [mended.example]\n  rules:"))
        mended = lambda: lab.client.curl(site.v4, "http://mended.example/").status == 200
        try:
            lab.wait_until(mended, 3, "the mended route serves")
            took = time.monotonic() - t
        except TimeoutError:
            took = 99
        check("mended, it serves within a second (%.0f ms)" % (took * 1000), took <= 1.0)
        lab.remove_manifest("60-bad.yaml")
        lab.wait_until(lambda: lab.client.curl(site.v4, "http://mended.example/").status == 404, 3, "the removed route is gone")
        quarantine(site, check)
    bad = failures(load.results())
    check("%d requests meanwhile: none failed" % len(load.results()), len(load.results()) > 100 and not bad, describe(bad))


if __name__ == "__main__":
    main(scenario)
