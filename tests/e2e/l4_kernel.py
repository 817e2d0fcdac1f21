#!/usr/bin/env python3
"""The exception port: VIP traffic and the host's own (SSH, ping, BGP, DHCP) through one uplink.

   client ── router ── up0 ┌──────┐ s1, s2 ── shards: a TCP server on the VIPs
                           │ l4lb │
                           └──────┘ k ── mgmt0 of the same host: 10.20.0.3 and fd00:20::3, and 10.20.0.2, which l4lb has too

Twice: net_af_xdp with a tap that l4lb makes, and net_af_packet with a veth pair (there the kernel sees the uplink's frames
itself and must not take them: rp_filter, arp_ignore, no IPv6).
"""
import os
import select
import socket
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import threading
import time

from tests.e2e import l4_ports
from tests.e2e.l4_ports import VIPS, ask_once, ping, socket_in
from tests.lab import netns
from tests.lab.lab import Lab
from tests.lab.scenario import each_driver, frame

HOST = ("10.20.0.3", "fd00:20::3")
SHARED = "10.20.0.2"
TO_KERNEL_PPS = 5000
BULK = 4 << 20


class KernelLab(Lab):
    def kernel_device(self):
        return "net_tap0,iface=mgmt0" if self.driver == "af_xdp" else "net_af_packet9,iface=k0"

    def l4lb_config(self, driver):
        text = super().l4lb_config(driver)
        text = text.replace('role = "uplink";', 'role = "uplink"; kernel = "k";')
        return text.replace("\n);\nroutes", ',\n  { name = "k"; device = "%s"; role = "kernel"; }\n);\nroutes' % self.kernel_device())


def server(ns, addr, port):
    s = socket_in(ns, socket.AF_INET6 if ":" in addr else socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((addr, port))
    s.listen(16)
    return s


def echo_server(s):
    """A banner, then everything back, for one connection at a time, until the listening socket is closed."""
    while True:
        try:
            c, _ = s.accept()
        except OSError:
            return
        with c:
            c.sendall(b"SSH-2.0-gatehouse\r\n")
            while data := c.recv(65536):
                c.sendall(data)


def talk(ns, addr, port, n, ttl=None):
    """Connects, reads the banner, sends n bytes and gets them back: the number of bytes that were right."""
    c = socket_in(ns, socket.AF_INET6 if ":" in addr else socket.AF_INET)
    with c:
        c.settimeout(10)
        if ttl:
            c.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        c.connect((addr, port))
        assert c.recv(19, socket.MSG_WAITALL) == b"SSH-2.0-gatehouse\r\n"
        data = os.urandom(n)
        t = threading.Thread(target=c.sendall, args=(data,))
        t.start()
        got = b""
        while len(got) < n:
            chunk = c.recv(65536)
            if not chunk:
                break
            got += chunk
        t.join()
        return len(got) if got == data else -1


def arp_answers(ns, dev, target):
    """MACs that answer a broadcast ARP request for target within half a second."""
    s = socket_in(ns, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
    with s:
        s.bind((dev, 0x0806))
        mac = s.getsockname()[4]
        body = struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1) + mac + socket.inet_aton("10.20.0.1") + bytes(6) + socket.inet_aton(target)
        s.send(b"\xff" * 6 + mac + b"\x08\x06" + body)
        got, end = [], time.monotonic() + 0.5
        while (left := end - time.monotonic()) > 0 and select.select([s], [], [], left)[0]:
            f = s.recv(2000)
            if f[20:22] == b"\0\2" and f[28:32] == socket.inet_aton(target):
                got.append(f[22:28].hex(":"))
        return got


class Run(l4_ports.Run):
    def __init__(self, lab, check):
        super().__init__(lab, check, lab.driver)
        self.host, self.router = lab.ns("l4lb"), lab.ns("router")

    def ip(self, *args):
        return netns.run(["ip", "-n", self.host] + list(args)).stdout

    def mac(self, dev):
        return self.ip("-br", "link", "show", dev).split()[2]

    def start(self):
        if self.driver == "af_packet":
            netns.veth(self.host, "mgmt0", self.host, "k0")
            self.ip("link", "set", "mgmt0", "address", self.mac("up0"))
            netns.sysctl(self.host, {"net.ipv4.conf.up0.rp_filter": 1, "net.ipv4.conf.up0.arp_ignore": 1})
        super().start()
        self.ok("the host's interface has the uplink's MAC address", self.mac("mgmt0") == self.mac("up0"), self.ip("-br", "link"))
        log = self.lab.procs["l4lb"].log()
        self.ok("an idle worker waits on all ports, the kernel port too", "idle=wait" in log, log[-600:])
        netns.sysctl(self.host, {"net.ipv6.conf.mgmt0.disable_ipv6": 0})
        netns.address(self.host, "mgmt0", HOST[0] + "/24", HOST[1] + "/64", SHARED + "/24")
        netns.routes(self.host, "default via 10.20.0.1 dev mgmt0", "default via fd00:20::1 dev mgmt0")
        self.servers = [server(self.host, a, p) for a, p in ((HOST[0], 22), (HOST[1], 22), (SHARED, 179))]
        for s in self.servers:
            threading.Thread(target=echo_server, args=(s,), daemon=True).start()

    def host_traffic(self):
        for addr in HOST:
            t = time.monotonic()
            n = talk(self.client, addr, 22, BULK)
            self.ok("TCP to the host's own %s: %d bytes there and back, %.0f Mbit/s" % (addr, n, 16 * n / 1e6 / (time.monotonic() - t)), n == BULK)
            self.ok("%s answers echo" % addr, all(ping(self.client, addr, i) for i in range(3)))
        for addr in l4_ports.CLIENTS:
            self.ok("the host pings %s" % addr, all(ping(self.host, addr, i) for i in range(3)))
        n = talk(self.router, SHARED, 179, 1000, ttl=1)
        self.ok("BGP-like: TTL 1 to the address that l4lb and the kernel share", n == 1000, n)
        self.ok("which answers echo too", ping(self.client, SHARED, 1))

    def broadcast(self):
        for name, frm, to, addr, dev, port in (("an offer reaches the host", self.router, self.host, "10.20.0.1", "u0", 68),
                                               ("the host's request reaches the wire", self.host, self.router, HOST[0], "mgmt0", 67)):
            rx, tx = (socket_in(ns, socket.AF_INET, socket.SOCK_DGRAM) for ns in (to, frm))
            with rx, tx:
                rx.settimeout(3)
                rx.bind(("", port))
                tx.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                tx.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, dev.encode())
                tx.bind((addr, 0))
                tx.sendto(b"dhcp", ("255.255.255.255", port))
                self.ok("DHCP-like broadcast: " + name, rx.recv(100) == b"dhcp")

    def one_answer(self):
        up = self.mac("up0")
        for what, addr in (("a VIP", VIPS[0]), ("the host's own address", HOST[0]), ("the shared address", SHARED)):
            got = arp_answers(self.router, "u0", addr)
            self.ok("exactly one station answers ARP for " + what, got == [up], got)
        for ns, dev in ((self.router, "u0"), (self.host, "mgmt0")):
            for family in ("-4", "-6"):
                subprocess.run(["ip", "-n", ns, family, "neigh", "flush", "dev", dev], check=True)
        ok = [talk(self.client, a, 22, 1000) for a in HOST] + [len(ask_once(self.client, v)) for v in VIPS]
        self.ok("neighbours forgotten on both sides: host and VIPs answer at once", ok == [1000, 1000, 2, 2], ok)

    def flood(self):
        """More than the budget towards the host: the VIPs do not notice, the host is back when it ends."""
        tx = socket_in(self.router, socket.AF_INET, socket.SOCK_DGRAM)
        stop = threading.Event()

        def send():
            while not stop.is_set():
                for _ in range(64):
                    tx.sendto(b"x", (HOST[0], 9))
        before = self.lab.ask("l4lb")["verdicts"]
        t = threading.Thread(target=send)
        t.start()
        try:
            v = lambda: self.lab.ask("l4lb")["verdicts"]
            self.lab.wait_until(lambda: v()["DROP_KERNEL_LIMIT"] > 1000, 10 * self.lab.slow, "the flood goes over the budget")
            got = [ask_once(self.client, vip, timeout=5)[0] for vip in VIPS * 20]
        finally:
            stop.set()
            t.join()
            tx.close()
        after = v()
        diff = {k: after[k] - before[k] for k in ("FORWARD_KERNEL", "DROP_KERNEL_LIMIT")}
        self.ok("a flood towards the host is cut (%s), connections to the VIPs go on" % diff, len(got) == 40 and diff["FORWARD_KERNEL"] > 0)
        self.lab.wait_until(lambda: ping(self.client, HOST[0], 77), 5 * self.lab.slow, "what was left of the flood is through, the host answers")
        self.ok("after it the host answers", talk(self.client, HOST[0], 22, 1000) == 1000)

    def sums(self):
        st = self.lab.ask("l4lb")
        v = st["verdicts"]
        self.ok("verdicts sum to packets received; FORWARD_KERNEL %d, FORWARD_WIRE %d, none from another MAC" % (v["FORWARD_KERNEL"], v["FORWARD_WIRE"]),
                sum(v.values()) == st["received"] and v["FORWARD_WIRE"] > 0 and not v["DROP_KERNEL_MAC"], v)

    def all(self):
        if self.check.guarded("%s: start" % self.driver, self.start):
            for step in (self.forwarding, self.host_traffic, self.broadcast, self.one_answer, self.flood, self.sums, self.idle):
                self.check.guarded("%s: %s" % (self.driver, step.__name__), step)
            for s in self.servers:
                s.shutdown(socket.SHUT_RDWR)
                s.close()
        if "l4lb" in self.lab.procs:
            self.check.guarded("%s: end" % self.driver, self.end)


def kernel_lab(driver):
    return KernelLab(driver=driver, l4_settings="limits = { to_kernel_pps = %d; };" % TO_KERNEL_PPS)


if __name__ == "__main__":
    frame(each_driver(kernel_lab, lambda lab, check: Run(lab, check).all()), "gh-l4k")
