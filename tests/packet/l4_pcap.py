#!/usr/bin/env python3
"""Packets in, packets out, through the real l4lb binary on net_pcap ports: no hugepages, no rights, no agent.

      in/up (FIFO) ──▶ port up  ┌──────┐ port s1 ──▶ out/s1.pcap        up: 192.0.2.10, 2001:db8:10::10 on uplink 10.20.0.2/24
      in/s1 (FIFO) ──▶ port s1  │ l4lb │ port s2 ──▶ out/s2.pcap        s1: 10.30.1.2  fd00:30:1::2
      in/s2 (FIFO) ──▶ port s2  └──────┘ port up ──▶ out/up.pcap        s2: 10.30.2.2  fd00:30:2::2

The state directory is made by l4_state, so l4lb boots from last known good.  net_pcap reads its input when it likes, but a
frame for a shard can only pass when the shard's MAC is known; so each input is a FIFO and has two phases.  Phase 1 is one
burst per port (neighbours answer, the rest is padding); when the admin socket says that the neighbours are known, phase 2
brings the packets under test and the end of the file.  The run ends when l4lb says that it has received every frame.

Usage: l4_pcap.py L4LB L4_STATE
"""
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)
from tests.lab import admin  # noqa: E402

BURST = 32  # WORKER_BURST of l4lb/io/worker.h: phase 1 fills exactly one burst per port
DEADLINE_S = 60
PORTS = ["up", "s1", "s2"]
MAC = {p: bytes.fromhex("02706361700%d" % i) for i, p in enumerate(PORTS)}  # net_pcap's own addresses
ROUTER, SHARD1, SHARD2 = (bytes.fromhex("0200000000" + x) for x in ("aa", "b1", "b2"))
PEER = {"up": ROUTER, "s1": SHARD1, "s2": SHARD2}
ADDR = {"up": ("10.20.0.1", "fd00:20::1"), "s1": ("10.30.1.2", "fd00:30:1::2"), "s2": ("10.30.2.2", "fd00:30:2::2")}
OURS = {"up": ("10.20.0.2", "fd00:20::2"), "s1": ("10.30.1.1", "fd00:30:1::1"), "s2": ("10.30.2.1", "fd00:30:2::1")}
VIP4, VIP6, CLIENT4, CLIENT6 = "192.0.2.10", "2001:db8:10::10", "198.51.100.7", "2001:db8:c::7"
STATE = """generation 7
vip %s
vip %s
pool p4
pool p6
shard p4 shard-1 10.30.1.2
shard p4 shard-2 10.30.2.2
shard p6 shard-1 fd00:30:1::2
shard p6 shard-2 fd00:30:2::2
listener %s 80 tcp p4
listener %s 80 tcp p6
listener %s 5000-5999 udp p4
""" % (VIP4, VIP6, VIP4, VIP6, VIP4)


# -- frames

def ip(text):
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def csum(data):
    if len(data) % 2:
        data += b"\0"
    s = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff


def eth(dst, src, ethertype, payload):
    return dst + src + struct.pack(">H", ethertype) + payload


def ipv4(src, dst, proto, payload, ttl=63, bad_checksum=False):
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0x1234, 0x4000, ttl, proto, 0, ip(src), ip(dst))
    c = csum(head) ^ (0x5555 if bad_checksum else 0)
    return head[:10] + struct.pack(">H", c) + head[12:] + payload


def ipv6(src, dst, proto, payload, hops=63):
    return struct.pack(">IHBB", 6 << 28, len(payload), proto, hops) + ip(src) + ip(dst) + payload


def pseudo(src, dst, proto, payload):
    return ip(src) + ip(dst) + struct.pack(">IBBBB", len(payload), 0, 0, 0, proto)


def with_csum(src, dst, proto, payload, at):
    c = csum(pseudo(src, dst, proto, payload) + payload) or 0xffff
    return payload[:at] + struct.pack(">H", c) + payload[at + 2:]


def l3(src, dst, proto, payload, **kw):
    return (0x86dd, ipv6(src, dst, proto, payload, **kw)) if ":" in src else (0x0800, ipv4(src, dst, proto, payload, **kw))


def tcp(src, dst, sport, dport, flags, data=b"", **kw):
    seg = struct.pack(">HHIIBBHHH", sport, dport, 1000, 2000, 5 << 4, flags, 8192, 0, 0) + data
    return l3(src, dst, 6, with_csum(src, dst, 6, seg, 16), **kw)


def udp(src, dst, sport, dport, data):
    seg = struct.pack(">HHHH", sport, dport, 8 + len(data), 0) + data
    return l3(src, dst, 17, with_csum(src, dst, 17, seg, 6))


def echo(src, dst, kind, data=b"gatehouse", **kw):
    m = struct.pack(">BBHHH", kind, 0, 0, 77, 1) + data
    if ":" in src:
        return l3(src, dst, 58, with_csum(src, dst, 58, m, 2), **kw)
    return l3(src, dst, 1, m[:2] + struct.pack(">H", csum(m)) + m[4:], **kw)


def arp(op, smac, sip, tmac, tip):
    return (0x0806, struct.pack(">HHBBH", 1, 0x0800, 6, 4, op) + smac + ip(sip) + tmac + ip(tip))


def nd(kind, src, dst, flags, target, option, mac):
    m = struct.pack(">BBHI", kind, 0, 0, flags << 24) + ip(target) + struct.pack(">BB", option, 1) + mac
    return (0x86dd, ipv6(src, dst, 58, with_csum(src, dst, 58, m, 2), hops=255))


def solicited(target):
    t = ip(target)
    return "ff02::1:ff%02x:%02x%02x" % (t[13], t[14], t[15]), b"\x33\x33\xff" + t[13:]


def at(port, packet, dst=None, src=None):
    return eth(dst or MAC[port], src or PEER[port], *packet)


PADDING = eth(bytes.fromhex("0180c200000e"), ROUTER, 0x88cc, b"\0" * 46)  # LLDP: always DROP_ETHERTYPE


def phase1(port):
    """The neighbour of this link answers for both families."""
    v4, v6 = ADDR[port]
    frames = [at(port, arp(2, PEER[port], v4, MAC[port], OURS[port][0])),
              at(port, nd(136, v6, OURS[port][1], 0x60, v6, 2, PEER[port]))]
    return frames + [PADDING] * (BURST - len(frames))


SYN, ACK, FIN, RST, PSH = 2, 16, 1, 4, 8


class Case:
    """One frame under test: its port, its verdict, and what must leave: (port, frame), "shard", or None."""

    def __init__(self, name, port, frame, verdict, out=None):
        self.name, self.port, self.frame, self.verdict, self.out = name, port, frame, verdict, out


def cases():
    sol, sol_mac = solicited(VIP6)
    yield Case("ARP for the VIP", "up", at("up", arp(1, ROUTER, "10.20.0.1", bytes(6), VIP4), dst=b"\xff" * 6), "REPLY_ARP",
               ("up", eth(ROUTER, MAC["up"], *arp(2, MAC["up"], VIP4, ROUTER, "10.20.0.1"))))
    yield Case("ARP for somebody else", "up", at("up", arp(1, ROUTER, "10.20.0.1", bytes(6), "10.20.0.9"), dst=b"\xff" * 6), "DROP_ARP_OTHER")
    yield Case("NS for the VIP", "up", at("up", nd(135, "fd00:20::1", sol, 0, VIP6, 1, ROUTER), dst=sol_mac), "REPLY_ND", ("up", "na"))
    yield Case("echo to the VIP", "up", at("up", echo(CLIENT4, VIP4, 8)), "REPLY_ECHO",
               ("up", "echo"))
    yield Case("echo to the VIP, IPv6", "up", at("up", echo(CLIENT6, VIP6, 128)), "REPLY_ECHO", ("up", "echo"))
    for i in range(8):
        for client, vip in ((CLIENT4, VIP4), (CLIENT6, VIP6)):
            for what, flags, data in (("SYN", SYN, b""), ("ACK", ACK, b""), ("data", ACK | PSH, b"GET / HTTP/1.1\r\n\r\n"), ("FIN", FIN | ACK, b"")):
                yield Case("TCP %s of flow %d to %s" % (what, i, vip), "up", at("up", tcp(client, vip, 40000 + i, 80, flags, data)),
                           "FORWARD_SHARD", "shard")
    yield Case("UDP in a port range", "up", at("up", udp(CLIENT4, VIP4, 1234, 5353, b"query")), "FORWARD_SHARD", "shard")
    yield Case("no listener on this port", "up", at("up", tcp(CLIENT4, VIP4, 40000, 81, SYN)), "REPLY_RST", ("up", "rst"))
    yield Case("frame for another station", "up", at("up", tcp(CLIENT4, VIP4, 40000, 80, SYN), dst=bytes.fromhex("020000000001")), "DROP_NOT_OUR_MAC")
    yield Case("runt", "up", b"\x02\x70\x63\x61", "DROP_SHORT")
    yield Case("bad IPv4 checksum", "up", at("up", tcp(CLIENT4, VIP4, 40000, 80, SYN, bad_checksum=True)), "DROP_BAD_CHECKSUM")
    yield Case("SYN and FIN together", "up", at("up", tcp(CLIENT4, VIP4, 40000, 80, SYN | FIN)), "DROP_BAD_TCP_FLAGS")
    yield Case("tagged frame", "up", eth(MAC["up"], ROUTER, 0x8100, b"\0\5" + struct.pack(">H", 0x0800) + b"\0" * 42), "DROP_VLAN")
    for port in ("s1", "s2"):
        for client, vip in ((CLIENT4, VIP4), (CLIENT6, VIP6)):
            packet = tcp(vip, client, 80, 40001, SYN | ACK, ttl=64) if "." in vip else tcp(vip, client, 80, 40001, SYN | ACK, hops=64)
            yield Case("reply of %s to %s" % (port, client), port, at(port, packet), "FORWARD_RETURN", ("up", eth(ROUTER, MAC["up"], *packet)))


# -- pcap files and the program under test

PCAP_HEAD = struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1)


def pcap_record(frame):
    return struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame


def pcap_frames(path):
    with open(path, "rb") as f:
        data = f.read()
    magic = struct.unpack("<I", data[:4])[0]
    assert magic in (0xa1b2c3d4, 0xa1b23c4d), "%s: not a pcap file" % path
    out, i = [], 24
    while i < len(data):
        n = struct.unpack("<I", data[i + 8:i + 12])[0]
        out.append(data[i + 16:i + 16 + n])
        i += 16 + n
    return out


class Run:
    def __init__(self, l4lb, l4_state, tmp):
        self.tmp = tmp
        self.sock = os.path.join(tmp, "admin")
        state = os.path.join(tmp, "state")
        subprocess.run([l4_state, state], input=STATE.encode(), check=True)
        for p in PORTS:
            os.mkfifo(self.path("in." + p))
        self.go = threading.Event()
        self.inputs = {p: phase1(p) for p in PORTS}
        self.under_test = {p: [c.frame for c in cases() if c.port == p] for p in PORTS}
        self.feeders = [threading.Thread(target=self.feed, args=(p,), daemon=True) for p in PORTS]
        for t in self.feeders:
            t.start()
        cfg = self.path("l4lb.cfg")
        with open(cfg, "w") as f:
            f.write(self.config(state))
        self.log = open(self.path("log"), "w+")
        env = dict(os.environ, LSAN_OPTIONS="suppressions=%s:print_suppressions=0" % os.path.join(ROOT, "tests/lab/lsan.supp"))
        self.proc = subprocess.Popen([l4lb, "-c", cfg], stderr=self.log, env=env)

    def path(self, name):
        return os.path.join(self.tmp, name)

    def feed(self, port):
        """Opening blocks until net_pcap opens the other end."""
        with open(self.path("in." + port), "wb") as f:
            f.write(PCAP_HEAD + b"".join(map(pcap_record, self.inputs[port])))
            f.flush()
            self.go.wait()
            f.write(b"".join(map(pcap_record, self.under_test[port])))

    def config(self, state):
        ports = ",\n".join('{ name = "%s"; device = "net_pcap%d,rx_pcap=%s,tx_pcap=%s"; role = "%s"; addresses = [ "%s/24", "%s/64" ]; }' % (
            p, i, self.path("in." + p), self.path("out." + p), "uplink" if p == "up" else "shard", *OURS[p]) for i, p in enumerate(PORTS))
        return """name = "l4-test-%d";
control = { agents = [ ]; admin = "%s"; state_dir = "%s"; };
dpdk = { cores = "%d"; hugepages = false; memory_mb = 64; };
ports = (%s);
routes = ( { prefix = "0.0.0.0/0"; via = "10.20.0.1"; }, { prefix = "::/0"; via = "fd00:20::1"; } );
flows = { table_entries = 4096; };
""" % (os.getpid(), self.sock, state, max(os.sched_getaffinity(0)), ports)

    def wait(self, what, cond):
        """Until cond(answer of the admin socket); the deadline is for a broken l4lb."""
        end = time.monotonic() + DEADLINE_S
        last = None
        while time.monotonic() < end:
            if self.proc.poll() is not None:
                raise AssertionError("l4lb ended with %d while waiting until %s\n%s" % (self.proc.returncode, what, self.read_log()))
            try:
                last = cond()
                if last is True:
                    return
            except (OSError, admin.AdminError):
                pass
            time.sleep(0.01)
        raise AssertionError("not within %d s: %s; last: %r\n%s" % (DEADLINE_S, what, last, self.read_log()))

    def read_log(self):
        self.log.flush()
        with open(self.path("log")) as f:
            return f.read()

    def neighbours_known(self):
        got = {n["addr"] for n in admin.ask(self.sock, "neighbours") if n["mac"]}
        missing = {a for p in PORTS for a in ADDR[p]} - got
        return True if not missing else missing

    def go_through(self):
        self.wait("every neighbour is known", self.neighbours_known)
        self.go.set()
        total = sum(len(self.inputs[p]) + len(self.under_test[p]) for p in PORTS)

        def all_received():
            self.status = admin.ask(self.sock, "status")
            return True if self.status["received"] >= total else self.status["received"]
        self.wait("all %d frames are received" % total, all_received)
        self.total = total
        self.proc.send_signal(signal.SIGTERM)
        rc = self.proc.wait(DEADLINE_S)
        assert rc == 0, "l4lb ended with %d\n%s" % (rc, self.read_log())

    def output(self, port):
        """What left by the port, without what the control thread says by itself: requests and announcements."""
        def own_words(f):
            ethertype = f[12:14]
            if ethertype == b"\x08\x06":
                return f[20:22] == b"\0\1"
            # neighbour solicitation; or an advertisement to all nodes
            return ethertype == b"\x86\xdd" and f[20] == 58 and (f[54] == 135 or (f[54] == 136 and f[0:6] == b"\x33\x33\0\0\0\1"))
        return [f for f in pcap_frames(self.path("out." + port)) if not own_words(f)]


def check_verdicts(run, fails):
    want = {"PUNT_NEIGH": 2 * len(PORTS), "DROP_ETHERTYPE": len(PORTS) * (BURST - 2)}
    for c in cases():
        want[c.verdict] = want.get(c.verdict, 0) + 1
    got = {k: v for k, v in run.status["verdicts"].items() if v}
    for name in sorted(set(want) | set(got)):
        if want.get(name, 0) != got.get(name, 0):
            fails.append("verdict %s: %d, want %d" % (name, got.get(name, 0), want.get(name, 0)))
    if sum(got.values()) != run.status["received"]:
        fails.append("verdicts sum to %d, received %d" % (sum(got.values()), run.status["received"]))


def matches_reply(kind, case, frame):
    """Replies made by l4lb: addressed back, and valid by their own checksum."""
    if frame[0:6] != ROUTER or frame[6:12] != MAC["up"]:
        return False
    if kind == "na":  # solicited, override; target and our MAC in the option
        m = frame[54:]
        return (frame[12:14] == b"\x86\xdd" and m[0] == 136 and m[4] & 0x60 == 0x60 and m[8:24] == ip(VIP6) and m[24:26] == b"\2\1"
                and m[26:32] == MAC["up"] and frame[21] == 255 and csum(pseudo6(frame) + m) == 0)
    q = case.frame
    if kind == "rst":  # addresses and ports turned around, acknowledging the SYN
        seq = struct.unpack(">I", q[38:42])[0]
        return (frame[26:30] == q[30:34] and frame[30:34] == q[26:30] and frame[34:38] == q[36:38] + q[34:36] and frame[47] == RST | ACK
                and frame[38:46] == struct.pack(">II", 0, seq + 1) and csum(frame[14:34]) == 0 and csum(pseudo4(frame) + frame[34:54]) == 0)
    if frame[12:14] == b"\x08\x00":
        return (q[12:14] == frame[12:14] and frame[26:30] == q[30:34] and frame[30:34] == q[26:30] and frame[34] == 0
                and frame[38:] == q[38:] and csum(frame[14:34]) == 0 and csum(frame[34:]) == 0)
    return (q[12:14] == frame[12:14] and frame[22:38] == q[38:54] and frame[38:54] == q[22:38] and frame[54] == 129
            and frame[58:] == q[58:] and csum(pseudo6(frame) + frame[54:]) == 0)


def pseudo4(frame):
    return frame[26:34] + b"\0\6" + struct.pack(">H", 20)


def pseudo6(frame):
    return frame[22:54] + struct.pack(">I", len(frame) - 54) + b"\0\0\0\x3a"


def flow_of(frame):
    """Addresses and ports: what must stick to one shard."""
    return (frame[26:34], frame[34:38]) if frame[12:14] == b"\x08\x00" else (frame[22:54], frame[54:58])


def check_output(run, fails):
    out = {p: run.output(p) for p in PORTS}
    shard_of, used = {}, set()
    for c in cases():
        if c.out is None:
            continue
        if c.out == "shard":  # MACs rewritten, everything else untouched
            hits = [p for p in ("s1", "s2") if PEER[p] + MAC[p] + c.frame[12:] in out[p]]
            if len(hits) != 1:
                fails.append("%s: left by %s, want exactly one shard" % (c.name, hits))
                continue
            out[hits[0]].remove(PEER[hits[0]] + MAC[hits[0]] + c.frame[12:])
            used.add(hits[0])
            if shard_of.setdefault(flow_of(c.frame), hits[0]) != hits[0]:
                fails.append("%s: left by %s, its flow by %s" % (c.name, hits[0], shard_of[flow_of(c.frame)]))
            continue
        port, want = c.out
        found = next((f for f in out[port] if (f == want if isinstance(want, bytes) else matches_reply(want, c, f))), None)
        if found is None:
            fails.append("%s: expected frame did not leave by %s" % (c.name, port))
        else:
            out[port].remove(found)
    for p in PORTS:
        for f in out[p]:
            fails.append("unexpected frame on %s: %s" % (p, f.hex()))
    if used != {"s1", "s2"}:
        fails.append("17 flows all went to %s" % used)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    fails = []
    with tempfile.TemporaryDirectory(prefix="gh-l4-pcap-") as tmp:
        run = Run(sys.argv[1], sys.argv[2], tmp)
        try:
            run.go_through()
            check_verdicts(run, fails)
            check_output(run, fails)
            if fails:
                print(run.read_log())
        finally:
            if run.proc.poll() is None:
                run.proc.kill()
                run.proc.wait()
    for f in fails:
        print("not ok - " + f)
    print("l4_pcap: %d cases, %d frames, %d failures" % (len(list(cases())), run.total, len(fails)))
    sys.exit(1 if fails else 0)


if __name__ == "__main__":
    main()
