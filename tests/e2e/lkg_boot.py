#!/usr/bin/env python3
"""Power cut, and no agent afterwards: both tiers boot and serve from their last known good configuration.

   agent (never started again)      l4lb, shard-1, shard-2: SIGKILL, start ──▶ serving
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tests.lab.scenario import main


def private_key_on_disk(lab):
    """Files of the data planes' state that hold the private key in the clear."""
    with open(lab.path("tls", "demo-web-tls.key")) as f:
        secret = "".join(f.read().splitlines()[1:-1])[:48].encode()
    import base64
    needles = [secret, base64.b64decode(secret)]
    out = []
    for d, _, names in os.walk(lab.path("state")):
        for n in names:
            with open(os.path.join(d, n), "rb") as f:
                data = f.read()
            if any(x in data for x in needles):
                out.append(os.path.join(d, n))
    return out


def scenario(site, check):
    lab = site.lab
    stored = lambda: all((lab.ask(n) or {}).get("hash") for n in lab.data_planes())
    lab.wait_until(stored, 3, "every data plane has a configuration")
    before = {n: lab.ask(n)["hash"] for n in lab.data_planes()}
    for n in ["agent"] + lab.data_planes():
        lab.kill(n)
    lab.start_data_planes()
    lab.wait_backends_up()
    after = {n: (lab.ask(n) or {}).get("hash") for n in lab.data_planes()}
    check("everything killed, started with no agent: the same configuration is active", before == after, (before, after))
    for vip in (site.v4, site.v6):
        r, echo = lab.client.echo(vip, "http://echo.example/")
        check("serves HTTP from last known good, IPv%d" % (6 if ":" in vip else 4), r.status == 200 and bool(echo), r)
        r = lab.client.curl(vip, "https://secure.example/", "--http2")
        check("serves HTTPS (HTTP/2) from last known good, IPv%d" % (6 if ":" in vip else 4), r.status == 200 and r.version == "2", r)
    found = private_key_on_disk(lab)
    check("the private key lies nowhere in the clear", not found, found)
    check("no agent runs", not lab.alive("agent") and all((lab.ask(n) or {}).get("agent_connected") is False for n in lab.data_planes()))
    lab.start_agent()
    lab.wait_until(lambda: all((lab.ask(n) or {}).get("agent_connected") for n in lab.data_planes()), 10 * lab.slow, "all dial the agent")
    site.wait_serving()
    check("the agent comes back and finds everything programmed", lab.client.curl(site.v4, "http://echo.example/").status == 200)


if __name__ == "__main__":
    main(scenario)
