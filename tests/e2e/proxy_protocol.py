#!/usr/bin/env python3
"""The PROXY protocol, in and out: who the client is, told across proxies, and whom a shard believes.

   127.0.0.5 ─▶ HAProxy (send-proxy-v2) ─┐                              ┌─▶ the origin: X-Forwarded-For
   raw sockets: v1, v2, bytes and lies  ─┴─▶ l7gw, ports by ClientPolicy ┼─▶ nginx (proxy_protocol): HTTP, HTTPS, h2c, by BackendPolicy
                                                                         └─▶ nginx (proxy_protocol) through a TLS tunnel

The site of lab/l7_site, with Gateways and policies of its own."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import json
import random
import shutil
import socket
import ssl
import struct

from tests.lab.l7_site import Site, VIP, route, run, service
from tests.lab.proc import wait_until
from tests.lab.raw_client import SLOW, Raw, get

REQUIRED, OPTIONAL, TLS = 18088, 18089, 18443
PLAIN_NGINX, TLS_NGINX, H2_NGINX, HAPROXY = 18184, 18185, 18186, 18187
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"

MANIFEST = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: relayed, namespace: default}
spec:
  gatewayClassName: gatehouse
  addresses: [{type: IPAddress, value: 127.83.1.1}]
  listeners:
  - {name: required, port: %d, protocol: HTTP}
  - {name: optional, port: %d, protocol: HTTP}
  - {name: pass, port: 18444, protocol: TLS, hostname: pass.example, tls: {mode: Passthrough}}
  - {name: https, port: 18444, protocol: HTTPS, hostname: tls.example, tls: {certificateRefs: [{name: web-tls}]}}
---
apiVersion: gatehouse.dev/v1alpha1
kind: ClientPolicy
metadata: {name: relayed, namespace: default}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: relayed}]
  proxyProtocol: {trustedSources: [127.0.0.1/32]}
---
apiVersion: gatehouse.dev/v1alpha1
kind: ClientPolicy
metadata: {name: optional, namespace: default}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: relayed, sectionName: optional}]
  proxyProtocol: {mode: Optional, trustedSources: [127.0.0.1/32, 127.0.0.9/32]}
  trustedForwarders: [198.51.100.0/24]
---
apiVersion: gatehouse.dev/v1alpha1
kind: ClientPolicy
metadata: {name: second, namespace: default, creationTimestamp: "2026-01-01T00:00:00Z"}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: relayed}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: pass, namespace: default}
spec: {parentRefs: [{name: relayed, sectionName: pass}], hostnames: [pass.example], rules: [{backendRefs: [{name: told-pass, port: 80}]}]}
""" % (REQUIRED, OPTIONAL)

POLICY = """
---
apiVersion: gatehouse.dev/v1alpha1
kind: BackendPolicy
metadata: {name: %s, namespace: default}
spec: {targetRefs: [{group: "", kind: Service, name: %s}], proxyProtocol: {version: %s}}
"""

TLS_POLICY = """
---
apiVersion: v1
kind: ConfigMap
metadata: {name: ca, namespace: default}
data:
  ca.crt: |
%s
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: told-tls, namespace: default}
spec: {targetRefs: [{group: "", kind: Service, name: told-tls}], validation: {hostname: told.example, caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}]}}
"""

NGINX = """daemon off; worker_processes 1; pid %(d)s/told.pid; error_log %(d)s/told.err;
events { worker_connections 1024; }
http { access_log off; client_body_temp_path %(d)s/u1; proxy_temp_path %(d)s/u2; fastcgi_temp_path %(d)s/u3; uwsgi_temp_path %(d)s/u4; scgi_temp_path %(d)s/u5;
ssl_certificate %(crt)s; ssl_certificate_key %(key)s; default_type text/plain;
server { listen 127.0.0.1:%(plain)d proxy_protocol; listen 127.0.0.1:%(tls)d ssl proxy_protocol; listen 127.0.0.1:%(h2)d http2 proxy_protocol;
location / { return 200 '{"addr": "$proxy_protocol_addr", "port": "$proxy_protocol_port", "to": "$proxy_protocol_server_addr:$proxy_protocol_server_port", "xff": "$http_x_forwarded_for", "conn": "$connection", "http": "$server_protocol"}'; } } }
"""

HAPROXY_CFG = """
global
    maxconn 200
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend in
    bind 127.0.0.1:%d
    default_backend shard
backend shard
    server shard %s:%d send-proxy-v2
"""


class ProxySite(Site):
    def __init__(self, directory):
        super().__init__(directory)
        self.write("relayed", MANIFEST)
        hosts = (("told-v1", PLAIN_NGINX, "V1", ""), ("told-v2", PLAIN_NGINX, "V2", ""), ("told-tls", TLS_NGINX, "V2", ""),
                 ("told-h2", H2_NGINX, "V2", ", appProtocol: kubernetes.io/h2c"), ("told-pass", TLS_NGINX, "V1", ""))
        text = ""
        for name, port, version, more in hosts:
            text += service(name, port).replace("{name: http, port: 80, ", "{name: http, port: 80%s, " % more)
            text += POLICY % (name, name, version)
            if name != "told-pass":
                text += route(name, name + ".example", name).replace("[{name: web}]", "[{name: web}, {name: relayed, sectionName: required}]")
        with open(self.ca.ca_path) as f:
            text += TLS_POLICY % "".join("    " + l for l in f)
        self.write("told", text)
        self.write("relayed-routes", route("seen", "seen.example, tls.example", "origin").replace(
            "[{name: web}]", "[{name: relayed, sectionName: required}, {name: relayed, sectionName: optional}, {name: relayed, sectionName: https}]"))

    def start(self):
        crt, key = self.ca.issue("told", ["told.example", "pass.example"])
        with open(self.path("told.conf"), "w") as f:
            f.write(NGINX % {"d": self.dir, "crt": crt, "key": key, "plain": PLAIN_NGINX, "tls": TLS_NGINX, "h2": H2_NGINX})
        with open(self.path("haproxy.cfg"), "w") as f:
            f.write(HAPROXY_CFG % (HAPROXY, VIP, REQUIRED))
        nginx, haproxy = shutil.which("nginx") or "/usr/sbin/nginx", shutil.which("haproxy") or "/usr/sbin/haproxy"
        self.spawn("told", [nginx, "-e", self.path("told.err"), "-c", self.path("told.conf")])
        super().start()
        wait_until(lambda: self.ask("status")["rules"] >= 14, 10 * SLOW, "the routes")
        self.spawn("haproxy", [haproxy, "-db", "-f", self.path("haproxy.cfg")])
        wait_until(lambda: connects(HAPROXY), 10 * SLOW, "HAProxy")

    def stop(self):
        for name in ("haproxy", "told"):
            if name in self.procs:
                self.procs[name].stop(15 * SLOW)
        return super().stop()

    def metric(self, name):
        for line in self.ask("metrics").splitlines():
            if line.startswith("gatehouse_l7_%s " % name):
                return int(line.split()[1])
        return None


def connects(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
        return True
    except OSError:
        return False


def dial(port, source="127.0.0.1", address=VIP):
    c = Raw.__new__(Raw)
    c.s, c.data = socket.socket(), b""
    c.s.settimeout(10 * SLOW)
    c.s.bind((source, 0))
    c.s.connect((address, port))
    c.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return c


def v1(src, dst="192.0.2.7", sport=4711, dport=443):
    return b"PROXY TCP%d %s %s %d %d\r\n" % (6 if ":" in src else 4, src.encode(), dst.encode(), sport, dport)


def v2(src, dst="192.0.2.7", sport=4711, dport=443, tlvs=b"", command=0x21):
    f = socket.AF_INET6 if ":" in src else socket.AF_INET
    body = socket.inet_pton(f, src) + socket.inet_pton(f, dst) + struct.pack(">HH", sport, dport) + tlvs
    return SIGNATURE + bytes([command, 0x21 if ":" in src else 0x11]) + struct.pack(">H", len(body)) + body


def seen(c, first=b"", host="seen.example", extra=""):
    """What the origin was told of the client; None: the connection ended without an answer."""
    r = c.send(first + get("/echo", host, extra).encode()).reply()
    if r.status != 200:
        return r.status or None
    return dict((k.lower(), v) for k, v in json.loads(r.body)["fields"])["x-forwarded-for"]


def inbound(site, check):
    c = dial(HAPROXY, "127.0.0.5", "127.0.0.1")
    name = "127.0.0.5:%d" % c.s.getsockname()[1]
    with c:
        check("HAProxy's header: the client behind it", seen(c) == "127.0.0.5")
        check("and on its next request", seen(c) == "127.0.0.5")
    check("the access log names it, with its port", wait_until(lambda: [l for l in site.access() if l.get("client") == name], 5 * SLOW, "its line"))
    for name, header, want in (("version 1", v1("203.0.113.9"), "203.0.113.9"), ("version 2", v2("203.0.113.8"), "203.0.113.8"),
                               ("IPv6", v2("2001:db8::9", "2001:db8::1"), "2001:db8::9"), ("TLVs", v2("203.0.113.7", tlvs=b"\x04\0\3abc\xea\0\1z"), "203.0.113.7"),
                               ("IPv4 in IPv6", v1("::ffff:203.0.113.6", "::ffff:192.0.2.7"), "203.0.113.6"),
                               ("LOCAL", SIGNATURE + b"\x20\0\0\0", "127.0.0.1"), ("UNKNOWN", b"PROXY UNKNOWN\r\n", "127.0.0.1")):
        with dial(REQUIRED) as c:
            got = seen(c, header)
            check(name, got == want, got)
    header, request = v2("203.0.113.5", tlvs=b"\x04\0\3abc"), get("/echo", "seen.example").encode()
    with dial(REQUIRED) as c:
        for i in range(len(header) + 3):
            c.send((header + request)[i:i + 1])
        c.send((header + request)[len(header) + 3:])
        check("byte by byte", b"203.0.113.5" in c.reply().body)
    for seed in range(8):
        rng, at = random.Random(seed), 0
        with dial(REQUIRED) as c:
            while at < len(header + request):
                n = rng.randrange(1, 40)
                c.send((header + request)[at:at + n])
                at += n
            check("split at random, seed %d" % seed, b"203.0.113.5" in c.reply().body)


def refusals(site, check):
    before, n = site.metric("proxy_refused_total"), 0
    for name, first in (("none where one is required", b""), ("a bad one", b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n"), ("a TLV beyond the end", v2("203.0.113.5", tlvs=b"\4\0\7ab")),
                        ("an unknown version", SIGNATURE + b"\x31\x11\0\0"), ("two of them", None)):
        with dial(REQUIRED) as c:
            if first is None:
                check("two headers: the second is no request", seen(c, v1("203.0.113.5") + v1("203.0.113.6")) == 400)
                continue
            check("closed without a word: " + name, seen(c, first) is None)
            n += 1
    with dial(REQUIRED, "127.0.0.9") as c:
        c.s.settimeout(10 * SLOW)
        try:
            got = seen(c, v2("203.0.113.5"))
        except OSError:
            got = None
        check("closed: a peer that is not trusted", got is None)
        n += 1
    check("all of them are counted", site.metric("proxy_refused_total") - before == n, (site.metric("proxy_refused_total"), before, n))
    with dial(OPTIONAL) as c:
        check("optional: without a header", seen(c) == "127.0.0.1")
    with dial(OPTIONAL, "127.0.0.9") as c:
        check("optional: with one", seen(c, v1("203.0.113.5")) == "203.0.113.5")
    with dial(OPTIONAL, "127.0.0.10") as c:
        check("optional: from a peer that is not trusted it is a bad request", seen(c, v1("203.0.113.5")) == 400)
    with dial(OPTIONAL) as c:
        check("X-Forwarded-For of a trusted forwarder, known by the header", seen(c, v2("198.51.100.3"), extra="X-Forwarded-For: 203.0.113.77\r\n") ==
              "203.0.113.77, 198.51.100.3")
    with dial(OPTIONAL) as c:
        check("and not of another", seen(c, v2("192.0.2.99"), extra="X-Forwarded-For: 203.0.113.77\r\n") == "192.0.2.99")


def over_tls(c, name):
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
    c.s = ctx.wrap_socket(c.s, server_hostname=name)
    return c


def told(c, host, first=b""):
    r = c.send(first + get("/", host).encode()).reply()
    return json.loads(r.body) if r.status == 200 else {"status": r.status}


def outbound(site, check):
    with dial(18444) as c:
        c.send(v2("203.0.113.20"))
        check("a header before TLS", seen(over_tls(c, "tls.example"), host="tls.example") == "203.0.113.20")
    with dial(18444) as c:
        c.send(v2("203.0.113.21", "192.0.2.8", 5555, 443))
        got = told(over_tls(c, "pass.example"), "pass.example")
        check("through a TLS tunnel, version 1", (got.get("addr"), got.get("port"), got.get("to")) == ("203.0.113.21", "5555", "192.0.2.8:443"), got)
    for host in ("told-v1.example", "told-v2.example", "told-tls.example", "told-h2.example"):
        conns = {}
        for source in ("203.0.113.30", "2001:db8::30"):
            with dial(REQUIRED) as c:
                header = v2(source, "2001:db8::1" if ":" in source else "192.0.2.8", 6000, 8443)
                a, b = told(c, host, header), told(c, host)
                check("%s: the endpoint is told %s" % (host, source), a.get("addr") == b.get("addr") == source and a.get("port") == "6000" and a["xff"] == source, (a, b))
                check("%s: one connection for both requests of %s" % (host, source), a["conn"] == b["conn"], (a, b))
                conns[source] = a["conn"]
        check(host + ": no connection serves two clients", len(set(conns.values())) == 2, conns)
        check(host + ": the version of HTTP", a["http"] == ("HTTP/2.0" if "h2" in host else "HTTP/1.1"), a)
    with dial(18080, "127.0.0.44") as c:
        port = c.s.getsockname()[1]
        got = told(c, "told-v2.example")
        check("a client without a header: its own address", (got.get("addr"), got.get("port"), got.get("to")) == ("127.0.0.44", str(port), VIP + ":18080"), got)


def statuses(site, check):
    def text(name):
        with open(site.path("status/default.%s.yaml" % name)) as f:
            return f.read()
    check("a BackendPolicy is accepted", "reason: Accepted" in text("backendpolicy.told-tls"), text("backendpolicy.told-tls"))
    check("of two ClientPolicies for one Gateway the older is accepted", "reason: Accepted" in text("clientpolicy.relayed"), text("clientpolicy.relayed"))
    check("and the other says which", "reason: Conflicted" in text("clientpolicy.second") and "default/relayed is older" in text("clientpolicy.second"),
          text("clientpolicy.second"))


if __name__ == "__main__":
    run("proxy_protocol", [inbound, refusals, outbound, statuses], ProxySite)
