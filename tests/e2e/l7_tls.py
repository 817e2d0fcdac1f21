#!/usr/bin/env python3
"""One shard alone: what TLS listeners show to which client.  ECDSA and RSA certificates of one name, OCSP staples, tls.options, no early
data, a certificate that changes.  (The site: tests/lab/l7_site.py.)"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tests.lab.l7_site import HTTP, HTTPS, VIP, Site, raw, route, run
from tests.lab.proc import wait_until
from tests.lab.raw_client import SLOW, get

GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: gatehouse}
spec: {controllerName: gatehouse.dev/gateway}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: default}
spec:
  gatewayClassName: gatehouse
  addresses: [{type: IPAddress, value: %(vip)s}]
  listeners:
  - {name: http, port: %(http)d, protocol: HTTP}
  - {name: pair, port: %(https)d, protocol: HTTPS, hostname: pair.example, tls: {certificateRefs: [{name: pair-rsa}, {name: pair-ec}]}}
  - {name: staple, port: %(https)d, protocol: HTTPS, hostname: staple.example, tls: {certificateRefs: [{name: stapled}]}}
  - {name: one, port: %(https)d, protocol: HTTPS, hostname: one.example, tls: {certificateRefs: [{name: web-tls}]}}
  - {name: strict, port: %(https)d, protocol: HTTPS, hostname: strict.example, tls: {certificateRefs: [{name: pair-ec}],
     options: {gatehouse.dev/tls-min-version: "1.3", gatehouse.dev/tls-curves: "P-384"}}}
  - {name: old, port: %(https)d, protocol: HTTPS, hostname: old.example, tls: {certificateRefs: [{name: pair-ec}],
     options: {gatehouse.dev/tls-max-version: "1.2", gatehouse.dev/tls-ciphers: "%(ciphers)s"}}}
"""


class Tls(Site):
    def __init__(self, directory):
        super().__init__(directory)
        self.gateway("ECDHE-ECDSA-AES256-GCM-SHA384")
        self.write("secrets", "---\n".join((self.ca.secret("default", "pair-ec", ["pair.example", "strict.example", "old.example"]),
                                            self.ca.secret("default", "pair-rsa", ["pair.example"], rsa=True),
                                            self.ca.secret("default", "stapled", ["staple.example"], staple=True))))
        self.write("tls-routes", route("tls", "pair.example, staple.example, strict.example, old.example", "origin"))

    def gateway(self, ciphers):
        self.write("gateway", GATEWAY % {"vip": VIP, "http": HTTP, "https": HTTPS, "ciphers": ciphers})


def s_client(name, *args, data=""):
    """What openssl s_client prints of a connection that it ends itself."""
    return subprocess.run(["openssl", "s_client", "-connect", "%s:%d" % (VIP, HTTPS), *(["-servername", name] if name else ["-noservername"]), *args],
                          input=data, capture_output=True, text=True, timeout=20 * SLOW).stdout


def told(text, key):
    """The value of `key: value` or `key is value` in s_client's words; "" when it is not there."""
    for line in text.split("\n"):
        if line.strip().startswith(key):
            return line.strip()[len(key):].strip(" :")
    return ""


def serves(name):
    with raw(name) as c:
        return c.send(get("/echo", host=name)).reply().status == 200


def algorithms(site, check):
    for version in ("-tls1_2", "-tls1_3"):
        for sigalgs, want in (("ECDSA+SHA256:RSA-PSS+SHA256", "ECDSA"), ("ECDSA+SHA256", "ECDSA"), ("RSA-PSS+SHA256", "RSA-PSS")):
            got = told(s_client("pair.example", version, "-sigalgs", sigalgs), "Peer signature type")
            check("a client of %s, %s, gets the certificate it can verify" % (sigalgs, version[1:]), got == want, got)
    check("... and is served", serves("pair.example"))


def staples(site, check):
    out = s_client("staple.example", "-status")
    check("the Secret's OCSP response is stapled", "OCSP Response Status: successful" in out and "Cert Status: good" in out, out[:2000])
    check("... not for a certificate without one", "OCSP response: no response sent" in s_client("one.example", "-status"))
    check("... nor for who does not ask", "OCSP" not in s_client("staple.example"))


def options(site, check):
    out = s_client("strict.example", "-tls1_3")
    check("min-version 1.3, curves P-384", told(out, "Server Temp Key").startswith("ECDH, P-384") or "secp384r1" in told(out, "Server Temp Key"), out[-1500:])
    check("... TLS 1.2 is refused", "Cipher is (NONE)" in s_client("strict.example", "-tls1_2"))
    check("... so is another curve", "Cipher is (NONE)" in s_client("strict.example", "-tls1_3", "-groups", "X25519"))
    out = s_client("old.example")
    check("max-version 1.2, one cipher", "New, TLSv1.2, Cipher is ECDHE-ECDSA-AES256-GCM-SHA384" in out, out[-1500:])
    check("... TLS 1.3 is refused", "Cipher is (NONE)" in s_client("old.example", "-tls1_3"))
    check("... each listener for itself, on one port", "New, TLSv1.3" in s_client("one.example"))
    site.gateway("NO-SUCH-CIPHER")

    def refused():
        for d, _, names in os.walk(site.path("status")):
            for n in names:
                with open(os.path.join(d, n)) as f:
                    text = f.read()
                if "TLS settings" in text:
                    return text
        return ""
    wait_until(refused, 10 * SLOW, "the status that names the cipher list")
    check("a list OpenSSL does not know: refused by the shard, told of the listener", "default/web/old" in refused(), refused()[-1500:])
    check("... the others serve on", serves("pair.example"))
    site.gateway("ECDHE-ECDSA-AES256-GCM-SHA384")
    wait_until(lambda: not refused(), 10 * SLOW, "the status of the good list")
    check("... and it serves again", "Cipher is ECDHE-ECDSA-AES256-GCM-SHA384" in s_client("old.example"))


def early_data(site, check):
    session, early = site.path("session"), site.path("early")
    with open(early, "w") as f:
        f.write(get("/echo?early", host="one.example"))
    out = s_client("one.example", "-tls1_3", "-sess_out", session, "-ign_eof", data=get("/echo", host="one.example", extra="Connection: close\r\n"))
    check("45: tickets allow no early data", "Max Early Data: 0" in out, out[-1500:])
    out = s_client("one.example", "-tls1_3", "-sess_in", session, "-early_data", early)
    check("45: a client that has some keeps it", "Early data was not sent" in out and "Reused, TLSv1.3" in out, out[-1500:])


def changed(site, check):
    """A new certificate: new connections get it, the old one goes on."""
    with raw("one.example") as old:
        old.send(get("/echo", host="one.example")).reply()
        before = s_client("one.example", "-showcerts")
        site.write("secret", site.ca.secret("default", "web-tls", ["one.example"]))

        def certificate(text):
            return text[text.find("-----BEGIN"):text.find("-----END")]
        wait_until(lambda: certificate(s_client("one.example", "-showcerts")) not in ("", certificate(before)), 10 * SLOW, "the new certificate")
        r = old.send(get("/echo", host="one.example")).reply()
        check("a certificate changes, the connection does not notice", r.status == 200, r)


if __name__ == "__main__":
    run("l7_tls", (algorithms, staples, options, early_data, changed), make=Tls)
