#!/usr/bin/env python3
"""Data planes on other boxes: the agent programs l4lb and two shards over TLS, through a network of its own.

   agent (router) ── m0 ─┬─ m-l4lb ──▶ l4lb         no Unix socket between them; who they are is in their
                         ├─ m-shard-1 ▶ shard-1     certificates, which `gatectl pki` made
                         └─ m-shard-2 ▶ shard-2 (IPv6)
A listener on m0 keeps every byte that passes: no private key is ever among them.
"""
import os
import re
import socket
import struct
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import base64

from tests.e2e.l4_ports import socket_in
from tests.lab import netns
from tests.lab.client import describe, failures
from tests.lab.lab import Lab
from tests.lab.scenario import main

PORT = 7443
AGENT4, AGENT6 = "10.60.0.1", "fd00:60::1"
ALL_FRAMES = socket.htons(0x0003)


class Capture(threading.Thread):
    """The payload of every TCP stream over the management network, as it passed."""

    def __init__(self, ns):
        super().__init__(daemon=True)
        self.sock = socket_in(ns, socket.AF_PACKET, socket.SOCK_RAW, ALL_FRAMES)
        self.sock.bind(("m0", 0x0003))
        self.sock.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE: a slow machine must not lose what it is to find
        self.streams, self.ended = {}, False

    def run(self):
        self.sock.settimeout(0.2)
        while not self.ended:
            try:
                self.take(self.sock.recv(65536))
            except TimeoutError:
                pass

    def take(self, f):
        kind = struct.unpack(">H", f[12:14])[0]
        if kind == 0x0800 and f[23] == 6:
            at, end, peers = 14 + (f[14] & 15) * 4, 14 + struct.unpack(">H", f[16:18])[0], f[26:34]
        elif kind == 0x86DD and f[20] == 6:
            at, end, peers = 54, 54 + struct.unpack(">H", f[18:20])[0], f[22:54]
        else:
            return
        self.streams.setdefault((peers, f[at:at + 4]), bytearray()).extend(f[at + (f[at + 12] >> 4) * 4:end])

    def finish(self):
        self.ended = True
        self.join()
        dropped = struct.unpack("II", self.sock.getsockopt(263, 6, 8))[1]  # SOL_PACKET, PACKET_STATISTICS
        self.sock.close()
        return dropped

    def holds(self, needle):
        return any(needle in bytes(s) for s in self.streams.values())


class RemoteLab(Lab):
    """The agent has one more network, over which alone its data planes reach it."""

    def _make_network(self):
        super()._make_network()
        router = self.ns("router")
        netns.batch(["link add m0 type bridge forward_delay 0 mcast_snooping 0", "link set m0 up"], router)
        netns.address(router, "m0", AGENT4 + "/24", AGENT6 + "/64")
        for i, name in enumerate(self.data_planes()):
            host = self.ns(name)
            netns.veth(router, "m-" + name, host, "m0")
            netns.batch(["link set m-%s master m0" % name], router)
            netns.address(host, "m0", "10.60.0.%d/24" % (10 + i), *(() if name == "l4lb" else ("fd00:60::%x/64" % (10 + i),)))

    def pki(self, *args):
        subprocess.run([self.tool("gatectl"), "pki", args[0], "--dir", self.path("pki")] + list(args[1:]), check=True, stdout=subprocess.DEVNULL)

    def up(self):
        super().up()
        self.pki("init")
        self.pki("issue", "agent", "agent")
        self.pki("issue", "l4", "l4-1")
        for i in self.shard_numbers():
            self.pki("issue", "l7", "default/shard-%d" % i)
        self.capture = Capture(self.ns("router"))
        self.capture.start()

    def tls(self, name, more=""):
        return 'tls = { %scertificate = "%s"; key = "%s"; ca = "%s"; };' % (more, *(
            self.path("pki", name, f) for f in ("certificate.pem", "key.pem", "ca.pem")))

    def dialling(self, text, name, address):
        """A data plane's settings with the agent on another box."""
        new, n = re.subn(r'agents = \[ [^]]* \];', 'agents = [ "tls:%s:%d" ]; %s' % (address, PORT, self.tls(name)), text)
        assert n == 1
        return new

    def agent_config(self):
        return super().agent_config().replace("uids = [ ]; };", "uids = [ ]; %s };" % self.tls(
            "agent", 'addresses = [ "0.0.0.0:%d", "[::]:%d" ]; ' % (PORT, PORT)))

    def shard_config(self, i):
        return self.dialling(super().shard_config(i), "shard-%d" % i, "[%s]" % AGENT6 if i == 2 else AGENT4)

    def l4lb_config(self, driver):
        return self.dialling(super().l4lb_config(driver), "l4-1", AGENT4)

    def link(self, name, state):
        netns.batch(["link set m-%s %s" % (name, state)], self.ns("router"))

    def connected(self, name):
        return (self.ask(name) or {}).get("agent_connected")

    def peers(self):
        return {d["name"]: d["peer"] for d in self.ask("agent")["data_planes"]}


def key_forms(pem):
    """What a private key looks like on a wire: a line of its PEM, its DER, and the number itself."""
    lines = pem.decode().split("-----")[2].split()
    der = base64.b64decode("".join(lines))
    at = der.index(b"\x02\x01\x01\x04\x20") + 5  # RFC 5915: version 1, then the key as 32 octets
    return {"a line of its PEM": lines[1].encode(), "its DER": der, "its number": der[at:at + 32]}


def everybody(site, check, when):
    """Both shards, both families, both protocols, by what the agent has told."""
    for vip in (site.v4, site.v6):
        r = site.lab.client.curl(vip, "https://secure.example/", "--http2")
        check("%s: HTTPS by %s" % (when, "IPv6" if ":" in vip else "IPv4"), r.status == 200, r)


def link_cut(site, check):
    """Traffic goes on while nobody can be told anything; certificates renewed before are used when they come back."""
    lab = site.lab
    text = lab.read_manifest("50-live.yaml")
    with lab.client.load(site.v4, "live.example", flows=10, flow_ms=50, conn_rate=50) as load:
        load.wait_results(50)
        lab.pki("issue", "--days", "30", "agent", "agent")  # sessions go on with what they began with
        lab.pki("issue", "--days", "30", "l7", "default/shard-1")
        for name in lab.data_planes():
            lab.link(name, "down")
        lab.wait_until(lambda: not any(lab.connected(n) for n in lab.data_planes()), 30 * lab.slow, "the data planes notice")
        lab.wait_until(lambda: not any(d["connected"] for d in lab.ask("agent")["data_planes"]), 30 * lab.slow, "the agent notices")
        check("the network of the agent is cut: data planes and agent notice", True)
        n = len(load.results())
        load.wait_results(n + 100)
        lab.write_manifest("50-live.yaml", text.replace("{name: echo-v1", "{name: echo-v2"))
        for name in lab.data_planes():
            lab.link(name, "up")
        lab.wait_until(lambda: all(lab.connected(n) for n in lab.data_planes()), 60 * lab.slow, "they come back")
        lab.wait_until(lambda: load.results()[-1].marks[1].startswith("echo-v2-"), 30 * lab.slow, "the edit made meanwhile acts")
        check("it comes back: so do they, and an edit made meanwhile acts", True)
        lab.write_manifest("50-live.yaml", text)
        lab.wait_until(lambda: load.results()[-1].marks[1].startswith("echo-v1-"), 30 * lab.slow, "back on v1")
    bad = failures(load.results())
    check("%d requests over all of it: none failed" % len(load.results()), not bad, describe(bad))
    renewed = {n: "event=certificate_renewed" in lab.procs[n].log() for n in ("agent", "l4lb", "shard-1", "shard-2")}
    check.equal("renewed certificates are used without a restart, by whom they were renewed for", renewed,
                {"agent": True, "l4lb": False, "shard-1": True, "shard-2": False})


def strangers(site, check):
    """Who has no certificate, and who has another's, gets nothing; nobody else notices."""
    lab = site.lab
    with socket_in(lab.ns("shard-1"), socket.AF_INET) as s:
        s.settimeout(10 * lab.slow)
        s.connect((AGENT4, PORT))
        s.sendall(b"GET / HTTP/1.1\r\n\r\n")
        answer = b""
        try:
            while more := s.recv(4096):
                answer += more
        except ConnectionResetError:
            pass  # an end too: it had not read all we said
    check("plain text on the port: an alert at most, and the end", len(answer) <= 7, answer)
    lab.kill("shard-2")
    stolen = lab.shard_config(2).replace("/pki/shard-2/", "/pki/shard-1/")
    lab.start_daemon("shard-2", "shard-2", "l7gw", stolen)
    lab.wait_until(lambda: "event=agent_unreachable" in lab.procs["shard-2"].log(), 20 * lab.slow, "shard-2 says what it lacks")
    said = [line for line in lab.procs["shard-2"].log().splitlines() if "event=agent_unreachable" in line]
    check("with the certificate of another shard: it says so, file and both names", "we are gatehouse://l7/default/shard-2" in said[0] and
          "/pki/shard-1/certificate.pem" in said[0], said[0])
    check("and is not let in", not lab.connected("shard-2") and "shard-2" in lab.peers() and lab.peers()["shard-2"] == "", lab.peers())
    lab.kill("shard-2")
    lab.start_shard(2)
    lab.wait_until(lambda: lab.connected("shard-2"), 20 * lab.slow, "shard-2 with its own is back")
    site.wait_serving()


def nothing_readable(site, check):
    """The bytes that passed hold no key; what the search can find is shown by letting one pass on purpose."""
    lab = site.lab
    secret = lab.read_manifest("secret-demo-web-tls.yaml")
    forms = key_forms(base64.b64decode(re.search(r"tls\.key: (\S+)", secret).group(1)))
    told = sum(map(len, lab.capture.streams.values()))
    check("%d bytes passed over the network of the agent" % told, told > 20000)
    with socket_in(lab.ns("router"), socket.AF_INET) as a, socket_in(lab.ns("shard-1"), socket.AF_INET) as b:
        a.bind((AGENT4, 7444))
        a.listen(1)
        b.connect((AGENT4, 7444))
        with a.accept()[0] as c:
            for form in forms.values():
                b.sendall(b"in the clear: " + form[::-1])
                assert c.recv(4096)
    lab.wait_until(lambda: all(lab.capture.holds(f[::-1]) for f in forms.values()), 10 * lab.slow, "the capture sees what is in the clear")
    dropped = lab.capture.finish()
    check.equal("the capture lost nothing", dropped, 0)
    for name, form in forms.items():
        check("the key of a certificate never passed in the clear: %s" % name, not lab.capture.holds(form))
    check("nor did a route's host name", not lab.capture.holds(b"secure.example"))


def scenario(site, check):
    lab = site.lab
    names = {n: peer.split(",")[-1] for n, peer in lab.peers().items()}
    check.equal("every data plane is connected by TLS, under its certificate's name", names, {
        "l4-1": "gatehouse://l4/l4-1", "shard-1": "gatehouse://l7/default/shard-1", "shard-2": "gatehouse://l7/default/shard-2"})
    check("over IPv4 and IPv6", lab.peers()["shard-1"].startswith("tls:10.60.0.") and lab.peers()["shard-2"].startswith("tls:[fd00:60::"), lab.peers())
    everybody(site, check, "programmed over TLS")
    link_cut(site, check)
    strangers(site, check)
    everybody(site, check, "after all that")
    nothing_readable(site, check)


if __name__ == "__main__":
    main(scenario, lab_class=RemoteLab)
