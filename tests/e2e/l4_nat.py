#!/usr/bin/env python3
"""Full NAT, straight to endpoints on their own link, with real stacks: no agent, no l7gw.

   client ── router ── up0 ┌──────┐ b0 ── bridge ── pods: TCP and UDP servers on 10.40.0.101, .102 and fd00:40::104
                           │ l4lb │
                           └──────┘ s1, s2: shards, idle here

Ports of the VIPs: 90 to the pods of the own family, 91 to the other family's, TCP and UDP.  Twice: over net_af_xdp, and over
net_af_packet with two workers, where half of the answers arrive at the wrong one and are handed over.
"""
import os
import select
import socket
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import threading
import time

from tests.e2e import l4_ports
from tests.e2e.l4_ports import VIPS, socket_in
from tests.lab import netns
from tests.lab.lab import Lab
from tests.lab.scenario import each_driver, frame

PODS4, PODS6 = ("10.40.0.101", "10.40.0.102"), ("fd00:40::104",)
PORT = 7000
STATE = """generation 3
vip 192.0.2.10
vip 2001:db8:10::10
pool apps4
pool apps6
""" + "".join("endpoint apps4 app-%d %s %d\n" % (i, a, PORT) for i, a in enumerate(PODS4)) \
    + "".join("endpoint apps6 app-%d %s %d\n" % (9 + i, a, PORT) for i, a in enumerate(PODS6)) \
    + "".join("listener %s %d %s %s nat\n" % (vip, port, proto, pool) for proto in ("tcp", "udp") for vip, port, pool in (
        ("192.0.2.10", 90, "apps4"), ("192.0.2.10", 91, "apps6"), ("2001:db8:10::10", 90, "apps6"), ("2001:db8:10::10", 91, "apps4")))
OURS = {4: "10.40.0.3", 6: "fd00:40::3"}
MODES = [(vip, port) for vip in VIPS for port in (90, 91)]
BULK = 8 << 20


class NatLab(Lab):
    def l4lb_config(self, driver):
        text = super().l4lb_config(driver)
        if driver == "af_packet":  # two queues on every port, two workers, if there are two CPUs
            text = text.replace('net_af_packet', 'net_af_packet').replace('"; role', ',qpairs=2,framecnt=1024"; role')
            text = text.replace('cores = "%d"' % ((os.cpu_count() or 1) - 1), 'cores = "0-1"')
        return text


def family(addr):
    return socket.AF_INET6 if ":" in addr else socket.AF_INET


class Pod(threading.Thread):
    """TCP: its name and who called, then everything back.  UDP: the same, once."""

    def __init__(self, ns, addr, port=PORT):
        super().__init__(daemon=True)
        self.addr, self.lines, self.udp_lines = addr, [], []
        self.tcp, self.udp = socket_in(ns, family(addr)), socket_in(ns, family(addr), socket.SOCK_DGRAM)
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for s in (self.tcp, self.udp):
            if port != PORT:  # a VIP: local by a route, no address
                s.setsockopt(*((socket.IPPROTO_IPV6, l4_ports.IPV6_FREEBIND) if ":" in addr else (socket.IPPROTO_IP, l4_ports.IP_FREEBIND)), 1)
            s.bind((addr, port))
        self.tcp.listen(256)
        self.wake, self.stop_fd = os.pipe()
        self.start()

    def serve(self, conn, peer):
        with conn:
            try:
                conn.sendall(("%s %s\n" % (self.addr, peer[0])).encode())
                while data := conn.recv(65536):
                    conn.sendall(data)
            except OSError:
                pass

    def run(self):
        while True:
            ready = select.select([self.tcp, self.udp, self.wake], [], [])[0]
            if self.wake in ready:
                break
            if self.tcp in ready:
                threading.Thread(target=self.serve, args=self.tcp.accept(), daemon=True).start()
            if self.udp in ready:
                data, peer = self.udp.recvfrom(9000)
                self.udp.sendto(("%s %s " % (self.addr, peer[0])).encode() + data, peer)
        self.tcp.close()
        self.udp.close()

    def stop(self):
        os.write(self.stop_fd, b"x")
        self.join()


class Run:
    def __init__(self, lab, check):
        self.lab, self.check, self.driver, self.client = lab, check, lab.driver, lab.ns("client")
        self.pods = {}

    def ok(self, name, good, detail=""):
        return self.check("%s: %s" % (self.driver, name), good, detail)

    def connect(self, vip, port):
        s = socket_in(self.client, family(vip))
        s.settimeout(10)
        s.connect((vip, port))
        line = b""
        while not line.endswith(b"\n"):
            chunk = s.recv(1)
            if not chunk:
                raise OSError("closed")
            line += chunk
        return s, line.decode().split()

    def ask_udp(self, vip, port, data):
        with socket_in(self.client, family(vip), socket.SOCK_DGRAM) as s:
            s.settimeout(5)
            s.connect((vip, port))
            s.send(data)
            pod, peer, back = s.recv(9000).split(b" ", 2)
            return pod.decode(), peer.decode(), back

    def verdict(self, name):
        return self.lab.ask("l4lb")["verdicts"][name]

    def start(self):
        state = self.lab.path("state", "l4lb")
        subprocess.run([os.path.join(self.lab.build, "tests/packet/l4_state"), state], input=STATE.encode(), check=True)
        for a in PODS4 + PODS6:
            self.pods[a] = Pod(self.lab.ns("origin"), a)
        self.lab.start_daemon("l4lb", "l4lb", "l4lb", self.lab.l4lb_config(self.driver), timeout=20)
        self.lab.wait_until(lambda: all(b["neighbour"] for b in self.lab.ask("l4lb", "backends")), 10 * self.lab.slow, "endpoints are resolved")

    def tcp(self):
        for vip, port in MODES:
            got = []
            for _ in range(30):
                s, who = self.connect(vip, port)
                s.sendall(b"hello")
                got.append((who[0], who[1], s.recv(5, socket.MSG_WAITALL)))
                s.close()
            v4 = (":" in vip) == (port == 91)
            ours = OURS[4 if v4 else 6]
            self.ok("30 TCP connections to [%s]:%d reach %s, as from %s" % (vip, port, "both pods" if v4 else "the pod", ours),
                    {g[0] for g in got} == set(PODS4 if v4 else PODS6) and {g[1:] for g in got} == {(ours, b"hello")}, got)

    def bulk(self):
        for vip, port in MODES:
            s, _ = self.connect(vip, port)
            data, got, t = os.urandom(1 << 16) * (BULK >> 16), bytearray(), time.monotonic()
            sender = threading.Thread(target=s.sendall, args=(data,))
            sender.start()
            while len(got) < BULK:
                chunk = s.recv(1 << 16)
                if not chunk:
                    break
                got += chunk
            sender.join()
            self.ok("[%s]:%d: %d MiB there and back, whole, %.0f Mbit/s" % (vip, port, BULK >> 20, 16 * BULK / 1e6 / (time.monotonic() - t)), got == data)
            s.shutdown(socket.SHUT_WR)
            self.ok("[%s]:%d: a half-closed connection ends in order" % (vip, port), s.recv(1) == b"")
            s.close()

    def udp(self):
        for vip, port in MODES:
            got = [self.ask_udp(vip, port, b"query %d" % i) for i in range(20)]
            v4 = (":" in vip) == (port == 91)
            self.ok("20 UDP questions to [%s]:%d are answered" % (vip, port), {g[1] for g in got} == {OURS[4 if v4 else 6]} and
                    [g[2] for g in got] == [b"query %d" % i for i in range(20)], got)
        for vip in VIPS if self.driver != "af_packet" else ():  # PACKET_FANOUT joins fragments: they are too large for its ring
            pod, _, back = self.ask_udp(vip, 90, b"x" * 4000)
            self.ok("a UDP datagram of 4000 bytes to [%s]:90 goes in fragments, and its answer comes so" % vip, back == b"x" * 4000, len(back))

    def errors(self):
        self.pods.pop(PODS6[0]).stop()
        for vip, port in ((VIPS[1], 90), (VIPS[0], 91)):
            s = socket_in(self.client, family(vip))
            with s:
                s.settimeout(5)
                try:
                    s.connect((vip, port))
                    refused = False
                except ConnectionRefusedError:
                    refused = True
                self.ok("[%s]:%d: an endpoint's RST reaches the client" % (vip, port), refused)
        with socket_in(self.client, socket.AF_INET6, socket.SOCK_DGRAM) as s:
            s.settimeout(5)
            s.connect((VIPS[1], 90))
            try:
                s.send(b"?")
                s.recv(10)
                refused = False
            except ConnectionRefusedError:
                refused = True
            self.ok("an endpoint's ICMP port unreachable reaches the client as from the VIP", refused)
        self.pods[PODS6[0]] = Pod(self.lab.ns("origin"), PODS6[0])
        s, _ = self.connect(VIPS[0], 90)
        self.lab.kill("l4lb")
        self.lab.start_daemon("l4lb", "l4lb", "l4lb", self.lab.l4lb_config(self.driver), timeout=20)
        self.lab.wait_until(lambda: all(b["neighbour"] for b in self.lab.ask("l4lb", "backends")), 10 * self.lab.slow, "endpoints are resolved")
        t = time.monotonic()
        try:
            s.sendall(b"lost?")
            s.recv(1)
            reset = False
        except ConnectionResetError:
            reset = True
        self.ok("a connection that l4lb does not know is reset, not left to time out (%.2f s)" % (time.monotonic() - t), reset)
        s.close()

    def path_mtu(self):
        """A hop of 1280 bytes behind the router: its ICMP errors are translated, data arrives whole both ways."""
        for ns, dev in ((self.lab.ns("router"), "c0"), (self.client, "eth0")):
            netns.run(["ip", "-n", ns, "link", "set", dev, "mtu", "1280"])
        for via in ("10.10.0.1", "fd00:10::1"):  # the client does not say so by its MSS
            netns.run(["ip", "-n", self.client, "route", "replace", "default", "via", via, "dev", "eth0", "advmss", "1440"])
        for vip, port in MODES[:1] + MODES[2:3]:
            s, _ = self.connect(vip, port)
            data, got = os.urandom(1 << 20), bytearray()
            sender = threading.Thread(target=s.sendall, args=(data,))
            sender.start()
            while len(got) < len(data):
                got += s.recv(1 << 16)
            sender.join()
            s.close()
            self.ok("[%s]:%d over a hop of 1280 bytes" % (vip, port), got == data)

    def sums(self):
        st = self.lab.ask("l4lb")
        v = st["verdicts"]
        handed = v["HAND_OVER"]
        self.ok("verdicts sum to packets received; NAT %d in, %d back, %d handed to the other worker" % (v["FORWARD_NAT"], v["FORWARD_NAT_RETURN"], handed),
                sum(v.values()) == st["received"] and v["FORWARD_NAT_RETURN"] > 0, v)
        if self.driver == "af_packet" and (os.cpu_count() or 1) > 1:
            for i in range(400):  # each flow's answer meets its worker or the other by the kernel's hash
                if self.verdict("HAND_OVER"):
                    break
                self.ask_udp(*MODES[i % len(MODES)], b"one more")
            self.ok("workers handed answers to each other", self.verdict("HAND_OVER") > 0)

    def all(self):
        if self.check.guarded("%s: start" % self.driver, self.start):
            for step in (self.tcp, self.udp, self.bulk, self.errors, self.path_mtu, self.sums):
                self.check.guarded("%s: %s" % (self.driver, step.__name__), step)
        for p in self.pods.values():
            p.stop()


if __name__ == "__main__":
    frame(each_driver(NatLab, lambda lab, check: Run(lab, check).all()), "gh-l4n")
