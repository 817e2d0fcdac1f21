#!/usr/bin/env python3
"""TLS by server name on one port: passed through unopened, ended here and handed on as TCP, and HTTPS beside them.

   client ── :443 ──▶ shard ──┬── *.pass.example, *.raw.example: as it came ──▶ nginx with TLS | a TCP echo
                              ├── *.ends.example: plain text ────────────────▶ the TCP echo
                              └── web.example: HTTPS ────────────────────────▶ echo pods
"""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tests.lab import netns
from tests.lab.certs import Authority
from tests.lab.scenario import main

MANIFEST = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: by-name, namespace: default}
spec:
  gatewayClassName: gatehouse
  listeners:
  - {name: pass, port: 443, protocol: TLS, hostname: "*.pass.example", tls: {mode: Passthrough}}
  - {name: raw, port: 443, protocol: TLS, hostname: "*.raw.example", tls: {mode: Passthrough}}
  - {name: ends, port: 443, protocol: TLS, hostname: "*.ends.example", tls: {mode: Terminate, certificateRefs: [{name: by-name}]}}
  - {name: https, port: 443, protocol: HTTPS, hostname: web.example, tls: {certificateRefs: [{name: by-name}]}}
""" + "".join("""---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: %s, namespace: default}
spec: {parentRefs: [{name: by-name}], hostnames: ["*.%s.example"], rules: [{backendRefs: [{name: %s, port: 1}]}]}
""" % row for row in (("pass", "pass", "tls"), ("raw", "raw", "bytes"), ("ends", "ends", "bytes"))) + """---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: default}
spec: {parentRefs: [{name: by-name, sectionName: https}], rules: [{backendRefs: [{name: app, port: 80}]}]}
""" + "".join("""---
apiVersion: v1
kind: Service
metadata: {name: %s, namespace: default}
spec: {ports: [{name: p, port: 1}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %s-1, namespace: default, labels: {kubernetes.io/service-name: %s}}
addressType: IPv4
ports: [{name: p, port: %d}]
endpoints: [{addresses: [10.40.0.110]}]
""" % (n, n, n, port) for n, port in (("tls", 8443), ("bytes", 9000)))

ECHO = """
import socket, threading
s = socket.create_server(("10.40.0.110", 9000), backlog=64)
print("ready", flush=True)
def serve(c):
    with c:
        while True:
            d = c.recv(65536)
            if not d:
                break
            c.sendall(d)
        c.sendall(b"bye")
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"""

# Runs on the client host; prints a JSON object.
CLIENT = r"""
import hashlib, json, os, socket, ssl, sys, threading, time
vip, ca, out = sys.argv[1], sys.argv[2], {}

def hello(name):
    c = ssl.create_default_context()
    i, o = ssl.MemoryBIO(), ssl.MemoryBIO()
    t = c.wrap_bio(i, o, server_hostname=name)
    try:
        t.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return o.read()

def connect():
    s = socket.create_connection((vip, 443), timeout=20)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s

def fragments(record, n):
    body, out = record[5:], b""
    for at in range(0, len(body), n):
        part = body[at:at + n]
        out += record[:3] + len(part).to_bytes(2, "big") + part
    return out

def whole(first, size, pace=None):
    "first, then size random bytes; half-close; everything has to come back, and then bye."
    data = first + os.urandom(1 << 16) * (size >> 16)
    s = connect()
    def send():
        if pace:
            for at in range(0, len(first), pace):
                s.sendall(data[at:at + pace])
                time.sleep(0.001)
            s.sendall(data[len(first):])
        else:
            s.sendall(data)
        s.shutdown(socket.SHUT_WR)
    t = threading.Thread(target=send)
    t.start()
    got = b"".join(iter(lambda: s.recv(1 << 18), b""))
    t.join()
    return got == data + b"bye"

out["bytes"] = whole(hello("x.raw.example"), 16 << 20)
out["fragments"] = whole(fragments(hello("x.raw.example"), 7), 1 << 16)
out["byte_by_byte"] = whole(fragments(hello("x.raw.example"), 40), 1 << 16, 1)
s = connect()
s.sendall(hello("nobody.example"))
try:
    out["unknown"] = s.recv(100).hex()
except ConnectionResetError:
    out["unknown"] = ""
s = connect()
s.sendall(b"GET / HTTP/1.1\r\nHost: x.raw.example\r\n\r\n")
try:
    out["no_tls"] = "HTTP" in s.recv(1000).decode("latin-1")
except ConnectionResetError:
    out["no_tls"] = False
with ssl.create_default_context(cafile=ca).wrap_socket(connect(), server_hostname="x.ends.example") as t:
    data = os.urandom(1 << 16) * 128
    def send():
        t.sendall(data)
    th = threading.Thread(target=send)
    th.start()
    got = b""
    while len(got) < len(data):
        d = t.recv(1 << 18)
        if not d:
            break
        got += d
    th.join()
    out["ends"], out["alpn"] = got == data, t.selected_alpn_protocol()
print(json.dumps(out))
"""


def scenario(site, check):
    lab = site.lab
    own = Authority(lab.path("run", "own-ca"))
    crt, key = own.issue("own", ["a.pass.example"])
    conf = lab.path("cfg", "own.conf")
    with open(lab.path("www", "big"), "wb") as f:
        f.write(os.urandom(1 << 20) * 24)
    with open(conf, "w") as f:
        f.write("worker_processes 1; daemon off; pid %s; error_log stderr warn;\nevents { worker_connections 1024; }\nhttp { access_log off; %s\n"
                "server { listen 10.40.0.110:8443 ssl http2; root %s; ssl_certificate %s; ssl_certificate_key %s; } }\n" % (
                    lab.path("run", "own.pid"), " ".join("%s_temp_path %s;" % (n, lab.path("run", "o-" + n)) for n in (
                        "client_body", "proxy", "fastcgi", "uwsgi", "scgi")), lab.path("www"), crt, key))
    p = lab.spawn_in("origin", "own-tls", ["nginx", "-e", "stderr", "-c", conf])
    q = lab.spawn_in("origin", "tcp-echo", [sys.executable, "-c", ECHO])
    lab.wait_until(lambda: "ready" in q.log() and (not p.alive() or netns.run(netns.in_ns(lab.ns("origin"), [
        "curl", "-sko", "/dev/null", "https://10.40.0.110:8443/"]), check=False).returncode == 0), 10, "the origins listen")
    lab.write_manifest("secret.yaml", lab.ca.secret("default", "by-name", ["*.ends.example", "web.example"]))
    lab.write_manifest("by-name.yaml", MANIFEST)
    lab.wait_programmed("default", "by-name")
    v4, v6 = lab.vips("default", "by-name")
    for vip in (v4, v6):
        big = lab.path("run", "big.got")
        r = lab.client.curl(vip, "https://a.pass.example/big", cacert=own.ca_path, body_file=big, timeout=60)
        with open(big, "rb") as a, open(lab.path("www", "big"), "rb") as b:
            check("passed through: the origin's own certificate, HTTP/2 with it, 24 MiB (%s)" % vip,
                  r.status == 200 and r.version == "2" and a.read() == b.read(), r)
        r = lab.client.curl(vip, "https://web.example/")
        check("HTTPS on the same port (%s)" % vip, r.status == 200, r)
    got = lab.client.run([sys.executable, "-c", CLIENT, v4, lab.ca_path], check=False)
    out = json.loads(got.stdout) if got.returncode == 0 else {}
    check("the client script ran", got.returncode == 0, got.stderr[-1500:])
    for result, want, text in (("bytes", True, "16 MiB both ways at once, byte for byte from the client hello on; half-close kept"),
                             ("fragments", True, "a client hello in records of 7 bytes"),
                             ("byte_by_byte", True, "... and one that comes byte by byte"),
                             ("unknown", "", "a name that nobody serves: closed without a byte"),
                             ("no_tls", False, "no TLS at all: not answered as HTTP"),
                             ("ends", True, "ended here: 8 MiB of plain text to the TCP origin and back"),
                             ("alpn", None, "no protocol is chosen for bytes of an unknown one")):
        check.equal(text, out.get(result), want)


if __name__ == "__main__":
    main(scenario, site_args={"manifests": "configs/simple-ingress", "secrets": (), "gateways": (("default", "ingress"),)})
