#!/usr/bin/env python3
"""l4lb alone, over net_af_xdp and then over net_af_packet: no agent, no l7gw; it boots from a prepared last-known-good store.

   client ── router ── up0 ┌──────┐ s1 ── shard-1: a TCP server on the VIPs (AnyIP) that says who it is and who called
                           │ l4lb │
                           └──────┘ s2 ── shard-2: the same

Proves ARP and ND both ways, echo, forwarding and the return path over IPv4 and IPv6, the client's own address at the shard,
probes, a dead shard leaving service in less than a second while the other's connections go on, its way back, one that
falls silent, an interface that goes away, an idle l4lb that costs next to nothing, and an end that leaves nothing behind.
"""
import ctypes
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import time

from tests.lab import netns
from tests.lab.lab import HEALTH_PORT, Lab
from tests.lab.scenario import each_driver, frame

VIPS = ("192.0.2.10", "2001:db8:10::10")
CLIENTS = ("10.10.0.2", "fd00:10::2")
STATE = """generation 3
vip 192.0.2.10
vip 2001:db8:10::10
pool p4 %d
pool p6 %d
shard p4 shard-1 10.30.1.2
shard p4 shard-2 10.30.2.2
shard p6 shard-1 fd00:30:1::2
shard p6 shard-2 fd00:30:2::2
listener 192.0.2.10 80 tcp p4
listener 2001:db8:10::10 80 tcp p6
""" % (HEALTH_PORT, HEALTH_PORT)
OUT_LIMIT_S = 1.0
SILENT_LIMIT_S = 6.0  # probes: 0.6 s; then three requests to the old MAC address, a second each
IDLE_S, IDLE_LIMIT_PCT = 5.0, 2.5
HUGEPAGES = 140
IP_FREEBIND, IPV6_FREEBIND = 15, 78


# -- a shard: lines in, "NAME PEER\n" out, on both VIPs; and the port that l4lb probes

def listener(addr, port):
    v6 = ":" in addr
    s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.IPPROTO_IPV6 if v6 else socket.IPPROTO_IP, IPV6_FREEBIND if v6 else IP_FREEBIND, 1)
    s.bind((addr, port))
    s.listen(1024)
    s.setblocking(False)
    return s


def serve(name, links):
    sel = selectors.DefaultSelector()
    for s in [listener(v, 80) for v in VIPS] + [listener(a, HEALTH_PORT) for a in links]:
        sel.register(s, selectors.EVENT_READ, None)
    print("event=ready", flush=True)
    while True:
        for key, _ in sel.select():
            if key.data is None:
                conn, peer = key.fileobj.accept()
                sel.register(conn, selectors.EVENT_READ, "%s %s\n" % (name, peer[0]))
                continue
            try:
                data = key.fileobj.recv(4096)
                if data:
                    key.fileobj.sendall(key.data.encode() * data.count(b"\n"))
                    continue
            except OSError:
                pass
            sel.unregister(key.fileobj)
            key.fileobj.close()


# -- the client: sockets made inside its namespace, used from here

libc = ctypes.CDLL(None, use_errno=True)


def socket_in(ns, *args):
    """A socket belongs to the namespace it was made in."""
    with open("/proc/self/ns/net") as here, open("/run/netns/" + ns) as there:
        if libc.setns(there.fileno(), 0):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            return socket.socket(*args)
        finally:
            if libc.setns(here.fileno(), 0):
                os._exit(70)  # never go on in the wrong namespace


class Conn:
    def __init__(self, ns, vip, timeout=1.0):
        self.s = socket_in(ns, socket.AF_INET6 if ":" in vip else socket.AF_INET)
        self.s.settimeout(timeout)
        self.s.connect((vip, 80))

    def ask(self):
        """(shard, our address as it sees it)"""
        self.s.sendall(b"who\n")
        return tuple(self.s.recv(200).decode().split())

    def close(self):
        self.s.close()


def ask_once(ns, vip, timeout=1.0):
    c = Conn(ns, vip, timeout)
    try:
        return c.ask()
    finally:
        c.close()


def ping(ns, vip, seq):
    """True when an echo reply with our payload comes back."""
    v6 = ":" in vip
    payload = b"gatehouse %d" % seq
    head = struct.pack(">BBHHH", 128 if v6 else 8, 0, 0, 4711, seq)
    if not v6:
        data = head + payload + (b"\0" if len(payload) % 2 else b"")
        c = sum(struct.unpack(">%dH" % (len(data) // 2), data))
        c = (c & 0xffff) + (c >> 16)
        c = ~((c & 0xffff) + (c >> 16)) & 0xffff
        head = head[:2] + struct.pack(">H", c) + head[4:]
    s = socket_in(ns, socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_RAW, 58 if v6 else 1)
    with s:
        s.settimeout(2)
        s.sendto(head + payload, (vip, 0))
        try:
            while True:
                data = s.recv(2000)
                if not v6:
                    data = data[(data[0] & 15) * 4:]
                if data[0] == (129 if v6 else 0) and data[8:] == payload:
                    return True
        except TimeoutError:
            return False


# -- the scenario, once per driver

class Run:
    def __init__(self, lab, check, driver):
        self.lab, self.check, self.driver, self.client = lab, check, driver, lab.ns("client")

    def ok(self, name, good, detail=""):
        return self.check("%s: %s" % (self.driver, name), good, detail)

    def start_shard(self, i):
        p = self.lab.spawn_in("shard-%d" % i, "shard-%d" % i,
                              [sys.executable, os.path.abspath(__file__), "--shard", "shard-%d" % i, "10.30.%d.2" % i, "fd00:30:%d::2" % i])
        self.lab.wait_until(lambda: "event=ready" in p.log() or not p.alive(), 10, "shard-%d listens" % i)

    def backends(self, state):
        return sorted(b["addr"] for b in (self.lab.ask("l4lb") or {}).get("backends", []) if b["state"] == state)

    def start(self):
        state = self.lab.path("state", "l4lb")
        subprocess.run([os.path.join(self.lab.build, "tests/packet/l4_state"), state], input=STATE.encode(), check=True)
        for i in (1, 2):
            self.start_shard(i)
        t = time.monotonic()
        self.lab.start_daemon("l4lb", "l4lb", "l4lb", self.lab.l4lb_config(self.driver), timeout=20)
        self.ready_s = time.monotonic() - t
        self.lab.wait_until(lambda: len(self.backends("up")) == 4, 10 * self.lab.slow, "four backends up: %r" % self.lab.ask("l4lb", "backends"))
        self.ok("boots from last known good (ready after %.2f s); both shards up over both families" % self.ready_s,
                self.lab.ask("l4lb")["generation"] == 3)

    def resolution(self):
        """Our requests have taught the peers our MAC addresses; made to forget, they must ask us."""
        hosts = [(self.lab.ns("router"), "u0")] + [(self.lab.ns("shard-%d" % i), "eth0") for i in (1, 2)]
        for ns, dev in hosts:
            for family in ("-4", "-6"):
                subprocess.run(["ip", "-n", ns, family, "neigh", "flush", "dev", dev], check=True)
        got = [ask_once(self.client, v) for v in VIPS * 10]
        v = self.lab.ask("l4lb")["verdicts"]
        self.ok("peers that forgot our MAC address ask by ARP (%d) and ND (%d), and go on" % (v["REPLY_ARP"], v["REPLY_ND"]),
                v["REPLY_ARP"] >= 3 and v["REPLY_ND"] >= 3 and len(got) == 20, got)

    def forwarding(self):
        for vip, client in zip(VIPS, CLIENTS):
            got = [ask_once(self.client, vip) for _ in range(40)]
            shards = {s for s, _ in got}
            self.ok("40 connections to %s are spread over both shards" % vip, shards == {"shard-1", "shard-2"}, got)
            self.ok("the shards see the client's own address %s" % client, {p for _, p in got} == {client}, got)
            self.ok("%s answers echo" % vip, all(ping(self.client, vip, i) for i in range(3)))

    def refusals(self):
        for vip in VIPS:
            s = socket_in(self.client, socket.AF_INET6 if ":" in vip else socket.AF_INET)
            with s:
                s.settimeout(3)
                t, refused = time.monotonic(), False
                try:
                    s.connect((vip, 81))
                except ConnectionRefusedError:
                    refused = True
                self.ok("a closed port of %s refuses at once (%.0f ms)" % (vip, 1000 * (time.monotonic() - t)), refused)
            s = socket_in(self.client, socket.AF_INET6 if ":" in vip else socket.AF_INET, socket.SOCK_DGRAM)
            with s:
                s.settimeout(3)
                s.connect((vip, 81))
                refused = False
                try:
                    s.send(b"?")
                    s.recv(10)
                except ConnectionRefusedError:
                    refused = True
                self.ok("UDP to a closed port of %s is told" % vip, refused)

    def conflict(self):
        """The router claims the VIP by ARP: said, and taken back."""
        mac = netns.run(["ip", "-n", self.lab.ns("l4lb"), "-br", "link", "show", "up0"]).stdout.split()[2]
        s = socket_in(self.lab.ns("router"), socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
        with s:
            s.settimeout(5 * self.lab.slow)
            s.bind(("u0", 0x0806))
            me, vip = s.getsockname()[4], socket.inet_aton(VIPS[0])
            s.send(b"\xff" * 6 + me + b"\x08\x06" + struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1) + me + vip + bytes(6) + vip)
            while (f := s.recv(2000))[28:32] != vip or f[22:28] == me:
                pass
        self.ok("another station's claim of the VIP is logged and answered", f[22:28].hex(":") == mac and
                "event=address_conflict" in self.lab.procs["l4lb"].log(), f.hex())

    def path_mtu(self):
        """A shard that may send larger packets than the uplink takes learns it from us: a big answer arrives whole."""
        for i in (1, 2):
            subprocess.run(["ip", "-n", self.lab.ns("shard-%d" % i), "link", "set", "eth0", "mtu", "1600"], check=True)
            subprocess.run(["ip", "-n", self.lab.ns("l4lb"), "link", "set", "s%d" % i, "mtu", "1600"], check=True)
        for ns, dev in ((self.client, "eth0"), (self.lab.ns("router"), "c0")):
            subprocess.run(["ip", "-n", ns, "link", "set", dev, "mtu", "1600"], check=True)
        before = self.lab.ask("l4lb")["verdicts"]["REPLY_TOO_BIG"]
        for vip in VIPS:
            c = Conn(self.client, vip, timeout=10)
            c.s.sendall(b"who\n" * 1000)
            got, end = b"", b"\n"
            while got.count(end) < 1000:
                got += c.s.recv(65536)
            c.close()
            self.ok("1000 answers of %s over a smaller uplink: %d bytes" % (vip, len(got)), got.count(end) == 1000)
        told = self.lab.ask("l4lb")["verdicts"]["REPLY_TOO_BIG"] - before
        self.ok("the shards were told its MTU %d times" % told, told >= 2)

    def verdicts(self):
        st = self.lab.ask("l4lb")
        v = st["verdicts"]
        want = "FORWARD_SHARD FORWARD_RETURN REPLY_ARP REPLY_ND REPLY_ECHO PUNT_NEIGH PUNT_PROBE".split()
        self.ok("every kind of packet was seen, and verdicts sum to packets received", all(v[n] for n in want)
                and sum(v.values()) == st["received"], {k: n for k, n in v.items() if n})

    def until_good(self, n):
        """New connections, one after the other, until n in a row succeed: (time of the last failure, all good?)."""
        last_bad, good, end = time.monotonic(), 0, time.monotonic() + 10
        while good < n and time.monotonic() < end:
            try:
                ask_once(self.client, VIPS[good % 2], timeout=0.1)
                good += 1
            except (OSError, ValueError):
                last_bad, good = time.monotonic(), 0
        return last_bad, good == n

    def dead_shard(self):
        kept = []
        for vip in VIPS * 20:
            c = Conn(self.client, vip)
            kept.append((c, c.ask()[0]))
        mine = [c for c, shard in kept if shard == "shard-1"]
        t = time.monotonic()
        self.lab.kill("shard-2")
        last_bad, good = self.until_good(60)
        self.ok("a killed shard gets no new connection after %.2f s (limit %.1f)" % (last_bad - t, OUT_LIMIT_S),
                good and last_bad - t < OUT_LIMIT_S * self.lab.slow)
        self.ok("it is reported down", self.backends("down") == ["10.30.2.2", "fd00:30:2::2"], self.lab.ask("l4lb", "backends"))
        self.ok("%d connections of the other shard never noticed" % len(mine),
                len(mine) > 5 and all(c.ask()[0] == "shard-1" for c in mine))
        for c, _ in kept:
            c.close()
        self.start_shard(2)
        self.lab.wait_until(lambda: len(self.backends("up")) == 4, 5 * self.lab.slow, "shard-2 is back")
        back = {ask_once(self.client, v)[0] for v in VIPS * 20}
        self.ok("restarted, it serves again", back == {"shard-1", "shard-2"}, back)

    def idle(self):
        p = self.lab.procs["l4lb"]
        before, t = p.cpu_s(), time.monotonic()
        time.sleep(IDLE_S)  # the measurement itself: CPU time over a stretch of wall time
        pct = 100 * (p.cpu_s() - before) / (time.monotonic() - t)
        self.ok("idle, with %d probes a second, it takes %.2f %% of a core (limit %.1f)" % (20, pct, IDLE_LIMIT_PCT),
                pct <= IDLE_LIMIT_PCT * self.lab.slow)

    def killed(self):
        """SIGKILL leaves an XDP program and a runtime directory behind; the next start takes over."""
        self.lab.kill("l4lb")
        self.lab.start_daemon("l4lb", "l4lb", "l4lb", self.lab.l4lb_config(self.driver), timeout=20)
        self.lab.wait_until(lambda: len(self.backends("up")) == 4, 10 * self.lab.slow, "four backends up again")
        got = {ask_once(self.client, v)[0] for v in VIPS * 20}
        self.ok("killed and started again, it forwards", got == {"shard-1", "shard-2"}, got)

    @staticmethod
    def is_reset(c):
        try:
            c.s.send(b"?")
            return False
        except ConnectionError:
            return True

    def silent_shard(self):
        """Not a closed port but silence: the probes must time out, and when ARP and ND do too, its connections are lost."""
        kept = []
        for vip in VIPS * 10:
            c = Conn(self.client, vip)
            kept.append((c, c.ask()[0]))
        t = time.monotonic()
        subprocess.run(["ip", "-n", self.lab.ns("shard-2"), "link", "set", "eth0", "down"], check=True)
        last_bad, good = self.until_good(60)
        self.ok("a shard cut off its link gets no new connection after %.2f s (limit %.1f)" % (last_bad - t, OUT_LIMIT_S),
                good and last_bad - t < OUT_LIMIT_S * self.lab.slow)
        gone = [c for c, shard in kept if shard == "shard-2"]
        self.lab.wait_until(lambda: all([self.is_reset(c) for c in gone]), SILENT_LIMIT_S * self.lab.slow, "its connections are reset")
        self.ok("its %d connections are reset after %.2f s, not left to time out" % (len(gone), time.monotonic() - t), len(gone) > 2)
        self.ok("those of the other shard never noticed", all(c.ask()[0] == "shard-1" for c, shard in kept if shard == "shard-1"))
        for c, _ in kept:
            c.close()

    def vanished(self):
        """An interface that goes away is said, costs nothing and hurts nobody else.  (Its peer is down since silent_shard.)"""
        link = lambda: [p["link"] for p in self.lab.ask("l4lb")["ports"]]
        self.ok("a port without carrier is reported", link() == ["up", "up", "down", "up"], link())
        subprocess.run(["ip", "-n", self.lab.ns("l4lb"), "link", "del", "s2"], check=True)
        self.lab.wait_until(lambda: "link=gone" in self.lab.procs["l4lb"].log(), 5 * self.lab.slow, "event=port_link link=gone")
        got = {ask_once(self.client, v)[0] for v in VIPS * 10}
        self.ok("one whose interface is gone too; the other shard serves on", link() == ["up", "up", "gone", "up"] and got == {"shard-1"},
                (link(), got))

    def end(self):
        p = self.lab.procs["l4lb"]
        t = time.monotonic()
        p.signal(signal.SIGTERM)
        rc = p.wait(10)
        self.ok("SIGTERM ends it with status 0 after %.2f s" % (time.monotonic() - t), rc == 0, "%s\n%s" % (rc, p.log()[-800:]))
        left = subprocess.run(["ip", "-n", self.lab.ns("l4lb"), "-d", "link"], capture_output=True, text=True).stdout
        runtime = "/var/run/dpdk/" + self.lab._file_prefix()
        self.ok("no XDP program and no runtime directory stay", "prog/xdp" not in left and not os.path.exists(runtime), left)
        for i in (1, 2):
            self.lab.kill("shard-%d" % i)

    def all(self):
        if self.check.guarded("%s: start" % self.driver, self.start):
            for step in (self.resolution, self.forwarding, self.refusals, self.conflict, self.path_mtu, self.verdicts, self.dead_shard, self.idle, self.killed, self.silent_shard, self.vanished):
                self.check.guarded("%s: %s" % (self.driver, step.__name__), step)
        if "l4lb" in self.lab.procs:
            self.check.guarded("%s: end" % self.driver, self.end)


class HugeLab(Lab):
    def l4lb_config(self, *args):
        return super().l4lb_config(*args).replace("hugepages = false", "hugepages = true")


class Hugepages:
    """n free pages of 2 MiB and a hugetlbfs, taken away again at the end."""

    COUNT = "/proc/sys/vm/nr_hugepages"

    def __init__(self, n):
        self.n, self.mounted = n, None

    def __enter__(self):
        with open(self.COUNT) as f:
            self.before = int(f.read())
        self.set(self.before + self.n)
        with open("/proc/mounts") as f:
            if not any(line.split()[2] == "hugetlbfs" for line in f):
                self.mounted = tempfile.mkdtemp(prefix="gh-huge-")
                subprocess.run(["mount", "-t", "hugetlbfs", "none", self.mounted], check=True)
        return self

    def set(self, n):
        with open(self.COUNT, "w") as f:
            f.write("%d" % n)

    def __exit__(self, *_):
        if self.mounted:
            subprocess.run(["umount", self.mounted], check=True)
            os.rmdir(self.mounted)
        self.set(self.before)


def hugepages(check):
    with Hugepages(HUGEPAGES), HugeLab(driver="af_xdp") as lab:
        r = Run(lab, check, "af_xdp")
        for step in (r.start, r.forwarding, r.end):
            check.guarded("hugepages: " + step.__name__, step)


def every_port(check):
    each_driver(Lab, lambda lab, check: Run(lab, check, lab.driver).all())(check)
    check.guarded("hugepages", hugepages, check)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--shard"]:
        serve(sys.argv[2], sys.argv[3:])
    frame(every_port, "gh-l4io")
