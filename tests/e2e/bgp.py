#!/usr/bin/env python3
"""BGP: BIRD announces the VIPs to a router's BIRD while l4lb has healthy shards, and withdraws them before l4lb ends.

      bgp-router (BIRD, AS 64513) ── eBGP ── bgp-speaker (BIRD, AS 64512) ◀── control socket ── gatehouse-system advertise ── l4lb's admin socket
         10.99.0.1, fd00:99::1                  10.99.0.2, fd00:99::2

The two speak in namespaces of their own, beside the lab: what matters is what the router learns and when."""
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tests.lab import netns
from tests.lab.scenario import main

POOLS = ("192.0.2.0/26", "2001:db8:10::/64")
SPEAKER = """router id 10.99.0.2;
protocol device { }
protocol static vips0_4 { disabled yes; ipv4; route 192.0.2.0/26 blackhole; }
protocol static vips1_6 { disabled yes; ipv6; route 2001:db8:10::/64 blackhole; }
protocol bgp router4 { local as 64512; neighbor 10.99.0.1 as 64513; connect delay time 1; ipv4 { import none; export where proto ~ "vips*_4"; next hop self; }; }
protocol bgp router6 { local as 64512; neighbor fd00:99::1 as 64513; connect delay time 1; ipv6 { import none; export where proto ~ "vips*_6"; next hop self; }; }
"""
ROUTER = """router id 10.99.0.1;
protocol device { }
protocol bgp gatehouse4 { local as 64513; neighbor 10.99.0.2 as 64512; connect delay time 1; ipv4 { import all; export none; }; }
protocol bgp gatehouse6 { local as 64513; neighbor fd00:99::2 as 64512; connect delay time 1; ipv6 { import all; export none; }; }
"""


class Peers:
    """Two BIRDs on a wire."""

    def __init__(self, lab):
        self.lab = lab
        self.names = {n: lab.ns("bgp-" + n) for n in ("router", "speaker")}

    def __enter__(self):
        self.remove()
        for ns in self.names.values():
            netns.run(["ip", "netns", "add", ns])
            netns.run(["ip", "-n", ns, "link", "set", "lo", "up"])
        netns.run(["ip", "-n", self.names["router"], "link", "add", "b0", "type", "veth", "peer", "name", "b0", "netns", self.names["speaker"]])
        for n, (who, ns) in enumerate(self.names.items(), 1):
            netns.run(["ip", "-n", ns, "addr", "add", "10.99.0.%d/24" % n, "dev", "b0"])
            netns.run(["ip", "-n", ns, "addr", "add", "fd00:99::%d/64" % n, "dev", "b0", "nodad"])
            netns.run(["ip", "-n", ns, "link", "set", "b0", "up"])
            with open(self.lab.path(who + ".conf"), "w") as f:
                f.write(ROUTER if who == "router" else SPEAKER)
            self.start(who)
        return self

    def start(self, who):
        self.lab.spawn("bird-" + who, ["ip", "netns", "exec", self.names[who], "bird", "-f", "-c", self.lab.path(who + ".conf"), "-s", self.lab.path(who + ".ctl")])
        self.lab.wait_until(lambda: os.path.exists(self.lab.path(who + ".ctl")) and "ready" in self.ask(who, "show status").lower(), 20, "BIRD of the " + who)

    def ask(self, who, *words):
        p = subprocess.run(["birdc", "-s", self.lab.path(who + ".ctl"), *words], capture_output=True, text=True, check=False)
        return p.stdout + p.stderr

    def learned(self):
        """Prefixes that the router has from us."""
        return sorted(re.findall(r"^([0-9a-f.:]+/\d+)\s+unicast \[gatehouse", self.ask("router", "show route"), re.M))

    def remove(self):
        for ns in self.names.values():
            netns.run(["ip", "netns", "delete", ns], check=False)

    def __exit__(self, *exc):
        for who in self.names:
            name = "bird-" + who
            if name in self.lab.procs:
                self.lab.procs[name].stop()
        self.remove()


def scenario(site, check):
    lab = site.lab
    if not shutil.which("bird"):
        check("BIRD is installed (./dev setup)", False)
        return
    with Peers(lab) as peers:
        drive(lab, peers, check)


def drive(lab, peers, check):
    def expect(prefixes, what, timeout=60):
        lab.wait_until(lambda: peers.learned() == sorted(prefixes), timeout * lab.slow, "the router to know %s (%s); it knows %s; %s" % (
            prefixes or "nothing", what, peers.learned(), peers.ask("speaker", "show protocols")))
        check("%s: the router knows %s" % (what, ", ".join(prefixes) or "nothing"), True)

    lab.wait_until(lambda: peers.ask("router", "show protocols").count("Established") == 2, 90, "both sessions")
    check("BIRD alone announces nothing", peers.learned() == [])
    with open(lab.path("advertise.cfg"), "w") as f:
        f.write('l4lb = "%s"; bird = "%s"; grace_ms = 2000; drain_ms = 1000;\npools = ( %s );\n' % (
            lab.sock("l4lb"), lab.path("speaker.ctl"), ", ".join('{ protocol = "vips%d_%d"; prefix = "%s"; }' % (i, 6 if ":" in p else 4, p) for i, p in enumerate(POOLS))))

    def advertise(name):
        return lab.spawn(name, [os.path.join(lab.build, "image/gatehouse-system"), "advertise", lab.path("advertise.cfg")])
    proc = advertise("advertise")
    expect(POOLS, "healthy shards")

    shards = ["shard-%d" % i for i in lab.shard_numbers()]
    lab.kill(shards[0])
    lab.wait_until(lambda: any(b["state"] == "down" for b in lab.ask("l4lb", "backends")), 60 * lab.slow, "one shard down")
    check("one shard of two down: nothing is withdrawn", peers.learned() == sorted(POOLS), proc.log()[-500:])
    lab.kill(shards[1])
    expect((), "no healthy shard")
    for i in lab.shard_numbers():
        lab.start_shard(i)
    expect(POOLS, "shards back")

    peers.ask("speaker", "configure")
    lab.wait_until(lambda: proc.alive() and peers.learned() == sorted(POOLS), 60, "announced again after BIRD read its file anew")
    lab.procs["bird-speaker"].stop()
    expect((), "BIRD gone")
    peers.start("speaker")
    expect(POOLS, "BIRD back", 120)

    lab.kill("l4lb")
    expect((), "l4lb killed, longer away than its grace")
    lab.start_l4lb()
    lab.wait_backends_up()
    expect(POOLS, "l4lb back")

    proc.signal(15)
    expect((), "told to end")
    check("it ends by itself then, with status 0, while l4lb still runs", proc.wait(30) == 0 and lab.alive("l4lb"), proc.log()[-500:])
    log = proc.log()
    check("each change and its reason was logged", "event=withdrawn prefix=192.0.2.0/26 protocol=vips0_4 reason=health" in log and "reason=l4lb_silent" in log and
          "reason=stopping" in log, log[-1500:])


if __name__ == "__main__":
    main(scenario)
