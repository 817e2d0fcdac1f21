#!/usr/bin/env python3
"""The key of the last known good stores is handed over by the service manager; without it, what needs no private key is served.

   $CREDENTIALS_DIRECTORY/host.key: 32 bytes ──▶ l4lb, shards      "locked" ──▶ HTTP from last known good, TLS alerts, nothing lost"""
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tests.lab.scenario import main


def hand_over(key):
    with open(os.path.join(os.environ["CREDENTIALS_DIRECTORY"], "host.key"), "wb") as f:
        f.write(key)


def stores(lab):
    """{file of the stores: bytes}, but for the notes of starts that are under way."""
    out = {}
    for d, _, names in os.walk(lab.path("state")):
        for n in names:
            if n != "trying":
                with open(os.path.join(d, n), "rb") as f:
                    out[os.path.join(d, n)] = f.read()
    return out


def restart(lab):
    for n in lab.data_planes():
        lab.kill(n)
    lab.start_data_planes()
    lab.wait_backends_up()


def scenario(site, check):
    lab = site.lab
    key = b"0123456789abcdef0123456789ABCDEF"
    lab.wait_until(lambda: all((lab.ask(n) or {}).get("hash") for n in lab.data_planes()) and any(f.endswith(".enc") for f in stores(lab)),
                   10 * lab.slow, "every data plane has a configuration, and has stored it")
    https = lambda vip: lab.client.curl(vip, "https://secure.example/").status
    http = lambda vip: lab.client.curl(vip, "http://echo.example/").status
    check("with a key: HTTP and HTTPS, and no key beside the stores", http(site.v4) == 200 and https(site.v4) == 200 and
          not any(os.path.basename(f) == "host.key" for f in stores(lab)), sorted(stores(lab)))
    hashes = lambda: {n: (lab.ask(n) or {}).get("hash") for n in lab.data_planes()}
    whole = hashes()
    lab.kill("agent")
    before = stores(lab)

    hand_over(b"locked")
    restart(lab)
    for vip in (site.v4, site.v6):
        check("locked: HTTP from last known good, HTTPS refused, IPv%d" % (6 if ":" in vip else 4), http(vip) == 200 and https(vip) == 0, (http(vip), https(vip)))
    check("the log says so", all("event=lkg_locked" in lab.procs[n].log() for n in lab.data_planes()), lab.procs["shard-1"].log()[-800:])
    check("nothing in the stores has changed", stores(lab) == before, sorted(set(stores(lab)) ^ set(before)))

    hand_over(key)
    restart(lab)
    check("the key is back: HTTPS from last known good", https(site.v4) == 200 and https(site.v6) == 200)

    hand_over(b"locked")
    restart(lab)
    check("locked data planes know that they have not all of it", all(hashes()[n] != whole[n] for n in lab.data_planes() if n != "l4lb"), (hashes(), whole))
    lab.start_agent()
    lab.wait_until(lambda: hashes() == whole, 30 * lab.slow, "an agent sends the keys to locked data planes")
    check("locked, and an agent comes: HTTPS from what it sends", https(site.v4) == 200 and https(site.v6) == 200)
    lab.wait_until(lambda: any("event=lkg_not_saved" in lab.procs[n].log() for n in lab.data_planes()), 30 * lab.slow, "a word on what is not stored")
    check("which is not stored, and said", True)


if __name__ == "__main__":
    os.environ["CREDENTIALS_DIRECTORY"] = tempfile.mkdtemp(prefix="gh-cred-")
    try:
        hand_over(b"0123456789abcdef0123456789ABCDEF")
        main(scenario)
    finally:
        shutil.rmtree(os.environ["CREDENTIALS_DIRECTORY"], ignore_errors=True)
