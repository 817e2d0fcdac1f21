#!/usr/bin/env python3
"""Shards behind tunnels, with real stacks: one l4lb puts clients' packets into GUE or IPIP, another opens them beside the shard.

   client ── router ── up0 ┌──────┐
                 │         │ l4lb │  has the VIPs; probes through the tunnels
                 │         └──────┘
                 └── f0 ── up0 ┌─────┐ s2 ── shard-2: TCP and UDP servers on the VIPs; its answers go
                   10.50.0.2   │ far │        straight back to the client by far's uplink
                               └─────┘

Ports of the VIPs: 80 GUE over IPv4, 81 GUE over IPv6, 82 IPIP over IPv4, 83 IPIP over IPv6; for far all four are plain services of
its own shard.  Over net_af_xdp and over net_af_packet.
"""
import os
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import threading
import time

from tests.e2e.l4_nat import Pod, family
from tests.e2e.l4_ports import VIPS, socket_in
from tests.lab import netns
from tests.lab.lab import Lab
from tests.lab.scenario import each_driver, frame

PORTS = {80: "GUE over IPv4", 81: "GUE over IPv6", 82: "IPIP over IPv4", 83: "IPIP over IPv6"}
NEAR = """generation 3
vip 192.0.2.10
vip 2001:db8:10::10
pool far4 0
pool far6 0
shard far4 far-1 10.50.0.2
shard far6 far-1 fd00:50::2
""" + "".join("listener %s %d tcp far%d %s\nlistener %s %d udp far%d %s\n" % ((vip, port, 6 if port & 1 else 4, "ipip" if port > 81 else "gue") * 2)
              for vip in VIPS for port in PORTS)
FAR = """generation 3
vip 192.0.2.10
vip 2001:db8:10::10
pool here
shard here shard-2 10.30.2.2
shard here shard-2v6 fd00:30:2::2
""" + "".join("listener %s 80-83 %s here\n" % (vip, proto) for vip in VIPS for proto in ("tcp", "udp"))
CLIENTS = {4: "10.10.0.2", 6: "fd00:10::2"}
BULK = 4 << 20


class TunnelLab(Lab):
    def hosts(self):
        return super().hosts() + ["far"]

    def _make_network(self):
        super()._make_network()
        router, far, shard = self.ns("router"), self.ns("far"), self.ns("shard-2")
        netns.sysctl(far, {"net.ipv6.conf.default.disable_ipv6": 1})  # DPDK owns its links, as l4lb's
        netns.veth(router, "f0", far, "up0")
        netns.address(router, "f0", "10.50.0.1/24", "fd00:50::1/64")
        netns.run(["ip", "-n", shard, "link", "delete", "eth0"])  # shard-2 moves from l4lb to far
        netns.veth(far, "s2", shard, "eth0")
        netns.address(shard, "eth0", "10.30.2.2/30", "fd00:30:2::2/64")
        netns.routes(shard, "default via 10.30.2.1", "default via fd00:30:2::1")

    def l4lb_config(self, driver):
        return super().l4lb_config(driver).replace(
            '  { name = "s2"; device = "net_%s2,iface=s2%s"; role = "shard"; addresses = [ "10.30.2.1/30", "fd00:30:2::1/64" ]; },\n' % (
                driver, ",busy_budget=0" if driver == "af_xdp" else ""), "")

    def far_config(self, driver):
        device = lambda n, iface: "net_%s%d,iface=%s%s" % (driver, n, iface, ",busy_budget=0" if driver == "af_xdp" else "")
        return """name = "l4-far";
control = { agents = [ ]; admin = "%s"; state_dir = "%s"; };
log_level = "info";
dpdk = { cores = "%d"; hugepages = false; memory_mb = 256; eal = [ "--file-prefix=%s" ]; };
ports = (
  { name = "up"; device = "%s"; role = "uplink"; addresses = [ "10.50.0.2/24", "fd00:50::2/64" ]; },
  { name = "s2"; device = "%s"; role = "shard"; addresses = [ "10.30.2.1/30", "fd00:30:2::1/64" ]; } );
routes = ( { prefix = "0.0.0.0/0"; via = "10.50.0.1"; }, { prefix = "::/0"; via = "fd00:50::1"; } );
flows = { table_entries = 65536; };
tunnels = { open = [ "10.50.0.2", "fd00:50::2" ]; from = [ "10.20.0.2/32", "fd00:20::2/128" ]; };
""" % (self.sock("far"), self.path("state", "far"), (os.cpu_count() or 1) - 1, self._file_prefix() + "-far", device(0, "up0"), device(1, "s2"))

    def down(self):
        if self.tmp is not None:
            prefix = self._file_prefix() + "-far"
            super().down()
            shutil.rmtree("/var/run/dpdk/" + prefix, ignore_errors=True)


def recv_exactly(s, n):
    got = bytearray()
    while len(got) < n:
        chunk = s.recv(1 << 16)
        if not chunk:
            break
        got += chunk
    return bytes(got)


class Run:
    def __init__(self, lab, check):
        self.lab, self.check, self.driver, self.client = lab, check, lab.driver, lab.ns("client")
        self.pods = []

    def ok(self, name, good, detail=""):
        return self.check("%s: %s" % (self.driver, name), good, detail)

    def verdict(self, who, name):
        return self.lab.ask(who)["verdicts"][name]

    def state(self, who, text):
        path = self.lab.path("state", who)
        os.makedirs(path, exist_ok=True)
        subprocess.run([os.path.join(self.lab.build, "tests/packet/l4_state"), path], input=text.encode(), check=True)

    def far_is(self, state):
        backends = self.lab.ask("l4lb", "backends") or []
        return len(backends) > 0 and all(b["neighbour"] and b["health"] == state for b in backends)

    def start_far(self):
        self.lab.start_daemon("far", "far", "l4lb", self.lab.far_config(self.driver), timeout=20)

    def start(self):
        self.state("l4lb", NEAR)
        self.state("far", FAR)
        for vip in VIPS:
            for port in PORTS:
                self.pods.append(Pod(self.lab.ns("shard-2"), vip, port))
        self.lab.start_daemon("l4lb", "l4lb", "l4lb", self.lab.l4lb_config(self.driver), timeout=20)
        self.lab.wait_until(lambda: self.far_is("down"), 20 * self.lab.slow, "probes into nothing fail")
        self.start_far()
        self.lab.wait_until(lambda: self.far_is("up"), 20 * self.lab.slow, "probes through every tunnel are answered")

    def connect(self, vip, port):
        s = socket_in(self.client, family(vip))
        s.settimeout(20)
        s.connect((vip, port))
        line = b""
        while not line.endswith(b"\n"):
            chunk = s.recv(1)
            if not chunk:
                raise OSError("closed")
            line += chunk
        return s, line.decode().split()

    def tcp(self):
        for vip in VIPS:
            for port, what in PORTS.items():
                s, who = self.connect(vip, port)
                s.sendall(b"hello")
                self.ok("TCP to %s by %s, and the shard sees the client" % (vip, what),
                        who == [vip, CLIENTS[6 if ":" in vip else 4]] and recv_exactly(s, 5) == b"hello", who)
                s.close()

    def udp(self):
        for vip in VIPS:
            for port, what in PORTS.items():
                with socket_in(self.client, family(vip), socket.SOCK_DGRAM) as s:
                    s.settimeout(10)
                    s.connect((vip, port))
                    got = []
                    for i in range(10):
                        s.send(b"query %d" % i)
                        got.append(s.recv(9000).split(b" ", 2)[2])
                    self.ok("UDP to %s by %s" % (vip, what), got == [b"query %d" % i for i in range(10)], got)

    def bulk(self, vip, port, what):
        s, _ = self.connect(vip, port)
        data = os.urandom(1 << 16) * (BULK >> 16)
        sender = threading.Thread(target=s.sendall, args=(data,))
        sender.start()
        got = recv_exactly(s, BULK)
        sender.join()
        s.close()
        self.ok("%d MiB to %s and back by %s, whole" % (BULK >> 20, vip, what), got == data, len(got))

    def too_big(self):
        """Clients send full frames: l4lb tells them what a tunnel leaves."""
        for vip in VIPS:
            for port, what in PORTS.items():
                before = self.verdict("l4lb", "REPLY_TOO_BIG")
                netns.run(["ip", "-n", self.client, "-6" if ":" in vip else "-4", "route", "flush", "cache"])
                self.bulk(vip, port, what)
                self.ok("%s: the client was told the tunnel's MTU" % what, self.verdict("l4lb", "REPLY_TOO_BIG") > before)

    def path_of_tunnel(self):
        """A hop of 1280 bytes between the two l4lb: its router's word shortens the tunnel."""
        router = self.lab.ns("router")
        netns.run(["ip", "-n", router, "route", "replace", "10.50.0.2/32", "dev", "f0", "mtu", "lock", "1280"])
        netns.run(["ip", "-n", router, "-6", "route", "replace", "fd00:50::2/128", "dev", "f0", "mtu", "lock", "1280"])
        for port in (80, 82, 83):
            netns.run(["ip", "-n", self.client, "-4", "route", "flush", "cache"])
            self.bulk(VIPS[0], port, PORTS[port] + " over a hop of 1280 bytes")
        known = {(b["way"], b["addr"]): b["path_mtu"] for b in self.lab.ask("l4lb", "backends")}
        self.ok("l4lb knows the tunnels' path MTU, and says so", self.verdict("l4lb", "PUNT_PATH_MTU") > 0 and known[("gue", "10.50.0.2")] == 1280 and
                known[("ipip", "10.50.0.2")] == 1280 and known[("ipip", "fd00:50::2")] == 1280, known)
        for args in (["10.50.0.2/32"], ["fd00:50::2/128"]):
            netns.run(["ip", "-n", router, "route", "delete"] + args)

    def path_of_answer(self):
        """A hop of 1280 bytes towards the client: the router's error about the shard's packet finds the shard through the tunnel."""
        for ns, dev in ((self.lab.ns("router"), "c0"), (self.client, "eth0")):
            netns.run(["ip", "-n", ns, "link", "set", dev, "mtu", "1280"])
        for via in ("10.10.0.1", "fd00:10::1"):  # the client does not say so by its MSS
            netns.run(["ip", "-n", self.client, "route", "replace", "default", "via", via, "dev", "eth0", "advmss", "1400"])
        for vip in VIPS:  # 81: nobody has told this tunnel's path to be shorter, and IPv6 needs 1280 bytes inside
            self.bulk(vip, 81, "GUE, the answers over a hop of 1280 bytes")

    def refused(self):
        """Not from the l4lb: not opened."""
        before = self.verdict("far", "DROP_TUNNEL_SOURCE")
        with socket_in(self.lab.ns("router"), socket.AF_INET, socket.SOCK_DGRAM) as s:
            for _ in range(3):
                s.sendto(b"\0\4\0\0" + bytes(40), ("10.50.0.2", 6080))
        self.lab.wait_until(lambda: self.verdict("far", "DROP_TUNNEL_SOURCE") >= before + 3, 10 * self.lab.slow, "GUE of a stranger is dropped")
        self.ok("GUE of a stranger is dropped and counted", True)
        told = self.lab.ask("l4lb", "trace", VIPS[0], "80")
        self.ok("trace tells which tunnel a client would take", bool(told) and told[0].get("tunnel") == "gue 10.20.0.2 > 10.50.0.2" and
                told[0]["verdict"] == "FORWARD_TUNNEL", told)

    def restart(self):
        """far is killed and comes back with no flow: connections go on; meanwhile its probes fail."""
        kept = [self.connect(vip, port)[0] for vip in VIPS for port in PORTS]
        self.lab.kill("far")
        self.lab.wait_until(lambda: self.far_is("down"), 20 * self.lab.slow, "far is reported down")
        self.start_far()
        self.lab.wait_until(lambda: self.far_is("up"), 20 * self.lab.slow, "far is reported up")
        alive = 0
        for s in kept:
            s.sendall(b"still there?")
            alive += recv_exactly(s, 12) == b"still there?"
            s.close()
        self.ok("killed and started again, far serves its %d connections" % len(kept), alive == len(kept), alive)

    def sums(self):
        near, far = self.lab.ask("l4lb"), self.lab.ask("far")
        opened = sum(w["decapsulated"] for w in far["workers"])
        self.ok("verdicts sum to packets received on both; %d into tunnels, %d opened since" % (near["verdicts"]["FORWARD_TUNNEL"], opened),
                all(sum(st["verdicts"].values()) == st["received"] for st in (near, far)) and opened > 0, (near, far))

    def all(self):
        if self.check.guarded("%s: start" % self.driver, self.start):
            for step in (self.tcp, self.udp, self.too_big, self.path_of_tunnel, self.refused, self.restart, self.path_of_answer, self.sums):
                self.check.guarded("%s: %s" % (self.driver, step.__name__), step)
        for p in self.pods:
            p.stop()


if __name__ == "__main__":
    frame(each_driver(TunnelLab, lambda lab, check: Run(lab, check).all()), "gh-l4t")
