#!/usr/bin/env python3
"""Mutual TLS both ways: workloads are verified by SPIFFE identity and see the gateway's, partners show certificates.

   client ── HTTP :80, or TLS with a partner's certificate :8443 ──▶ shard ── mTLS ──▶ nginx, which demands a certificate of the mesh
"""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tests.lab import netns
from tests.lab.certs import Authority
from tests.lab.scenario import main

EDGE, ORDERS = "spiffe://cluster.local/ns/mesh/sa/edge", "spiffe://cluster.local/ns/mesh/sa/orders"
ORIGIN = """worker_processes 1; daemon off; pid %(run)s/mesh.pid; error_log stderr warn;
events { worker_connections 1024; }
http { access_log off; keepalive_requests 100000; client_max_body_size 0; %(temps)s
  server { listen 10.40.0.110:8443 ssl; root %(www)s;
    ssl_certificate %(crt)s; ssl_certificate_key %(key)s; ssl_client_certificate %(ca)s; ssl_verify_client on;
    location /orders/big { alias %(www)s/big; }
    location /orders { add_header X-Conn $connection:$connection_requests always;
      return 200 "sni=$ssl_server_name client=$ssl_client_serial xfcc=$http_x_forwarded_client_cert\\n"; } } }
"""


def config_map(name, path, crl=""):
    with open(path) as f:
        ca = "".join("    " + line for line in f)
    return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: mesh}\ndata:\n  ca.crt: |\n%s%s" % (name, ca, crl)


def start_origin(lab, mesh):
    crt, key = mesh.issue("orders", [ORDERS])
    www = lab.path("www")
    with open(www + "/big", "wb") as f:
        f.write(os.urandom(1 << 20) * 24)
    temps = " ".join("%s_temp_path %s;" % (n, lab.path("run", "m-" + n)) for n in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    conf = lab.path("cfg", "mesh-origin.conf")
    with open(conf, "w") as f:
        f.write(ORIGIN % {"run": lab.path("run"), "www": www, "temps": temps, "crt": crt, "key": key, "ca": mesh.ca_path})
    p = lab.spawn_in("origin", "mesh-origin", ["nginx", "-e", "stderr", "-c", conf])
    lab.wait_until(lambda: not p.alive() or netns.run(netns.in_ns(lab.ns("origin"), [
        "curl", "-sko", "/dev/null", "https://10.40.0.110:8443/"]), check=False).returncode == 0, 5, "the mTLS origin listens")


def serial(path):
    return netns.run(["openssl", "x509", "-in", path, "-noout", "-serial"]).stdout.strip().split("=")[1]


def policy(lab, identity):
    text = lab.read_manifest("gateway.yaml")
    lab.write_manifest("gateway.yaml", re.sub(r'uri: "[^"]*"', 'uri: "%s"' % identity, text))


def workloads(site, check, mesh):
    lab = site.lab

    def get(path="/orders", *args):
        return lab.client.curl(site.v4, "http://api.example" + path, *args)

    def becomes(status, *args):
        lab.wait_until(lambda: get("/orders", *args).status == status, 10, "/orders answers %d; now: %r" % (status, get()))
    r = get()
    check("without the mesh's CA nothing is sent to a workload that needs TLS: 500", r.status == 500, r)
    check("the policy says why", ("Accepted", "False", "NoValidCACertificate") in lab.conditions("mesh", "BackendTLSPolicy", "orders"),
          lab.status_text("mesh", "BackendTLSPolicy", "orders"))
    check("cleartext workloads beside it are served", get("/ambient").status == 200)
    lab.write_manifest("mesh-root.yaml", config_map("mesh-root", mesh.ca_path))
    lab.wait_until(lambda: get().status == 400, 10, "nginx is reached, and refuses who shows no certificate (400)")
    check("the Gateway says that its client certificate is missing",
          ("ResolvedRefs", "False", "InvalidClientCertificateRef") in lab.conditions("mesh", "Gateway", "edge"))
    lab.write_manifest("edge-identity.yaml", mesh.secret("mesh", "edge-identity", [EDGE]))
    becomes(200)
    first = serial(mesh.dir + "/mesh-edge-identity.crt")
    r = get()
    check("the workload sees the name of the policy and the gateway's certificate",
          "sni=orders.mesh.svc.cluster.local client=%s" % first in r.body, r.body)
    seen = [get().headers["x-conn"][0] for _ in range(8)]
    check("connections are reused, TLS or not", any(not s.endswith(":1") for s in seen), seen)
    with open(lab.path("www", "big"), "rb") as f:
        big = lab.path("run", "big.got")
        r = lab.client.curl(site.v4, "http://api.example/orders/big", body_file=big, timeout=60)
        check("24 MiB from the workload, byte for byte", r.status == 200 and open(big, "rb").read() == f.read(), r)
    with open(lab.path("run", "up"), "wb") as f:
        f.write(os.urandom(1 << 20) * 8)
    r = get("/orders", "-T", lab.path("run", "up"), "-H", "Expect:")
    check("8 MiB to the workload", r.status == 200, r)
    policy(lab, "spiffe://cluster.local/ns/mesh/sa/somebody-else")
    becomes(502)
    check("another identity is not spoken to, on an old connection neither", all(get().status == 502 for _ in range(10)))
    why = "".join(lab.procs["shard-%d" % i].log() for i in lab.shard_numbers())
    check("the shard's log says why", "event=upstream_tls_failed" in why and "hostname mismatch" in why.lower(), why[-600:])
    policy(lab, ORDERS)
    becomes(200)
    lab.write_manifest("edge-identity.yaml", mesh.secret("mesh", "edge-identity", [EDGE]))
    second = serial(mesh.dir + "/mesh-edge-identity.crt")
    lab.wait_until(lambda: "client=" + second in get().body, 10, "the renewed identity is shown")
    check("after the renewal no request goes over a connection of the old identity",
          all("client=" + second in get().body for _ in range(10)) and second != first)
    other = Authority(lab.path("run", "other-ca"))
    lab.write_manifest("mesh-root.yaml", config_map("mesh-root", other.ca_path))
    becomes(502)
    lab.write_manifest("mesh-root.yaml", config_map("mesh-root", mesh.ca_path))
    becomes(200)


def partners(site, check):
    lab = site.lab
    ca, wrong = Authority(lab.path("run", "partner-ca")), Authority(lab.path("run", "wrong-ca"))
    good, bad = ca.issue("partner", ["spiffe://partner.example/app", "app.partner.example"]), wrong.issue("stranger", ["stranger.example"])

    def get(cert=None, *args):
        certs = ["--cert", cert[0], "--key", cert[1]] if cert else []
        return lab.client.curl(site.v4, "https://api.example:8443/orders", *certs, *args)
    lab.write_manifest("edge-tls.yaml", lab.ca.secret("mesh", "edge-tls", ["api.example"]))
    lab.write_manifest("partners.yaml", config_map("partners", ca.ca_path))
    lab.wait_until(lambda: get(good).status == 200, 10, "a partner is served; now: %r" % (get(good),))
    r = get(good)
    check("the workload is told who it is (X-Forwarded-Client-Cert)",
          'URI="spiffe://partner.example/app"' in r.body and 'DNS="app.partner.example"' in r.body and "Hash=" in r.body, r.body)
    r = get(good, "-H", "X-Forwarded-Client-Cert: Hash=forged")
    check("a forged claim is replaced", "forged" not in r.body and r.status == 200, r.body)
    r = lab.client.curl(site.v4, "http://api.example/orders", "-H", "X-Forwarded-Client-Cert: Hash=forged")
    check("... and on a port without certificates dropped", "xfcc=\n" in r.body, r.body)
    for name, cert in (("no certificate", None), ("a stranger's certificate", bad)):
        for version in ("1.2", "1.3"):
            r = get(cert, "--tlsv" + version, "--tls-max", version)
            check("%s, TLS %s: refused in the handshake" % (name, version), r.status == 0 and r.exit != 0, r)
    lab.write_manifest("partners.yaml", config_map("partners", wrong.ca_path))
    lab.wait_until(lambda: get(bad).status == 200, 10, "the new partners are served")
    r = get(good)
    check("the old ones are not any more", r.status == 0 and r.exit != 0, r)


def scenario(site, check):
    mesh = Authority(site.lab.path("run", "mesh-ca"))
    start_origin(site.lab, mesh)
    workloads(site, check, mesh)
    partners(site, check)


if __name__ == "__main__":
    main(scenario, site_args={"manifests": "configs/mesh", "secrets": (), "gateways": (("mesh", "edge"),)})
