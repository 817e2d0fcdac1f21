"""Keys of a build: the Secure Boot key that signs systemd-boot and UKIs, and the Ed25519 key that signs updates and checksums.

Without --sb-key, --sb-cert and --update-key a build is signed with development keys, made once in ~/.cache/gatehouse/keys
(GATEHOUSE_CACHE moves it).  Nothing shipped trusts them: an image built that way runs its own updates only, and starts under
Secure Boot only where its certificate was enrolled.  Boot tests sign with OVMF's public test key instead (`snakeoil`)."""
import os
import tempfile

from .step import BuildError, run

SNAKEOIL = "/usr/share/ovmf/PkKek-1-snakeoil"  # package ovmf; the pass phrase is public
SNAKEOIL_PHRASE = "snakeoil"


class Keys:
    """Paths of PEM files; update_extra: public keys that may sign updates besides ours."""

    def __init__(self, sb_key, sb_cert, update_key, update_extra=()):
        self.sb_key, self.sb_cert, self.update_key, self.update_extra = sb_key, sb_cert, update_key, list(update_extra)
        for path in (sb_key, sb_cert, update_key, *self.update_extra):
            if not os.path.isfile(path):
                raise BuildError("no key %s" % path)

    def update_public(self):
        return run(["openssl", "pkey", "-in", self.update_key, "-pubout"])

    def sign(self, data):
        """The raw 64 bytes of the Ed25519 signature (RFC 8032) of data."""
        with tempfile.TemporaryDirectory() as tmp:
            src, out = os.path.join(tmp, "data"), os.path.join(tmp, "sig")
            with open(src, "wb") as f:
                f.write(data)
            run(["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", self.update_key, "-in", src, "-out", out])
            with open(out, "rb") as f:
                return f.read()


def cache_dir():
    base = os.environ.get("GATEHOUSE_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "gatehouse")
    return os.path.join(base, "keys")


def once(name, *argv):
    """A file of the cache, made by argv, which writes to the path in place of None."""
    path = os.path.join(cache_dir(), name)
    if not os.path.exists(path):
        os.makedirs(cache_dir(), mode=0o700, exist_ok=True)
        new = path + ".new-%d" % os.getpid()
        with open(new, "w", encoding="ascii"):
            os.chmod(new, 0o600)
        run([new if a is None else a for a in argv])
        os.rename(new, path)
    return path


def update_key():
    return once("update.key", "openssl", "genpkey", "-algorithm", "ed25519", "-out", None)


def development():
    key = once("secureboot.key", "openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", None)
    cert = once("secureboot.crt", "openssl", "req", "-new", "-x509", "-key", key, "-subj", "/CN=Gatehouse development/", "-days", "3650",
                "-sha256", "-out", None)
    return Keys(key, cert, update_key())


def snakeoil():
    if not os.path.exists(SNAKEOIL + ".key"):
        raise BuildError("no %s.key: package ovmf holds it" % SNAKEOIL)
    key = once("snakeoil.key", "openssl", "pkey", "-in", SNAKEOIL + ".key", "-passin", "pass:" + SNAKEOIL_PHRASE, "-out", None)
    return Keys(key, SNAKEOIL + ".pem", update_key())
