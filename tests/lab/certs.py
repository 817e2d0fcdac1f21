"""Throw-away certificates for a lab run: one CA, server certificates, and the Secret manifests that carry them."""
import base64
import os

from . import netns


class Authority:
    def __init__(self, directory):
        self.dir = directory
        os.makedirs(directory, exist_ok=True)
        self.ca_path = directory + "/ca.crt"
        netns.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                   "-subj", "/CN=Gatehouse lab CA", "-keyout", directory + "/ca.key", "-out", self.ca_path])

    def issue(self, name, hosts, rsa=False):
        """(certificate path, key path), for both ends of a connection.  A name with "://" becomes a URI (SPIFFE identity)."""
        base = "%s/%s" % (self.dir, name)
        key = ["-newkey", "rsa:2048"] if rsa else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        netns.run(["openssl", "req", "-new", *key, "-nodes", "-subj", "/CN=" + hosts[0].replace("/", "|"),
                   "-keyout", base + ".key", "-out", base + ".csr"])
        with open(base + ".ext", "w") as f:
            f.write("subjectAltName=%s\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\n" % ",".join(
                ("URI:" if "://" in h else "DNS:") + h for h in hosts))
        netns.run(["openssl", "x509", "-req", "-in", base + ".csr", "-CA", self.ca_path, "-CAkey", self.dir + "/ca.key",
                   "-CAcreateserial", "-days", "30", "-extfile", base + ".ext", "-out", base + ".crt"])
        return base + ".crt", base + ".key"

    def staple(self, crt):
        """Path of an OCSP response, good for a day, about a certificate of ours (DER)."""
        def openssl(*args):
            return netns.run(["openssl", *args]).stdout
        serial = openssl("x509", "-in", crt, "-noout", "-serial").strip().split("=")[1]
        with open(crt + ".index", "w") as f:
            f.write("V\t491231235959Z\t\t%s\tunknown\t/CN=x\n" % serial)
        openssl("ocsp", "-index", crt + ".index", "-CA", self.ca_path, "-issuer", self.ca_path, "-rsigner", self.ca_path, "-rkey", self.dir + "/ca.key",
                "-cert", crt, "-no_nonce", "-ndays", "1", "-noverify", "-respout", crt + ".ocsp")
        return crt + ".ocsp"

    def secret(self, namespace, name, hosts, rsa=False, staple=False):
        """A kubernetes.io/tls Secret as YAML text."""
        crt, key = self.issue("%s-%s" % (namespace, name), hosts, rsa)

        def b64(path):
            with open(path, "rb") as f:
                return base64.b64encode(f.read()).decode()
        return ("apiVersion: v1\nkind: Secret\nmetadata:\n  name: %s\n  namespace: %s\ntype: kubernetes.io/tls\n"
                "data:\n  tls.crt: %s\n  tls.key: %s\n%s" % (name, namespace, b64(crt), b64(key), "  tls.ocsp-staple: %s\n" % b64(self.staple(crt)) if staple else ""))
