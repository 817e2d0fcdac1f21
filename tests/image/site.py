"""The world around a virtual machine: one network namespace with a tap per NIC of the machine.

```
 namespace PREFIX                       the machine
 mgmt  10.0.0.1/24, fd00:a::1/64   ───  management NIC, 52:54:00:12:34:01: 10.0.0.5, fd00:a::5
 data  192.0.2.1/24, fd00:20::1/64 ───  data NIC,       52:54:00:12:34:02: 192.0.2.2, fd00:20::2
 VIPs  198.51.100.0/26, fd00:5::/64 via the data NIC; origins listen on 10.0.0.1
```

Clients, origins, update and metadata servers live in the namespace.  Nothing of this machine's own network takes part."""
import fcntl
import os
import shutil
import subprocess
import tempfile

from image.build import programs
from tests.lab import netns
from tests.lab.certs import Authority
from tests.lab.proc import Proc

MANAGEMENT, DATA = "52:54:00:12:34:01", "52:54:00:12:34:02"
STRANGER = "10.66.0.1"  # an address of nobody that the configuration allows
TAPS = (("mgmt", ("10.0.0.1/24", STRANGER + "/32", "fd00:a::1/64", "169.254.169.254/32")), ("data", ("192.0.2.1/24", "fd00:20::1/64")))
VIPS = (("198.51.100.0/26", "192.0.2.2"), ("fd00:5::/64", "fd00:20::2"))


HERE = os.path.dirname(os.path.abspath(__file__))
VIP4, VIP6 = "198.51.100.10", "fd00:5::10"


def config(*edit):
    """gatehouse.cfg of the tests; edit: (old, new) pairs of text, each of which has to be there."""
    with open(os.path.join(HERE, "gatehouse.cfg"), encoding="utf-8") as f:
        text = f.read()
    for old, new in edit:
        if old not in text:
            raise ValueError("gatehouse.cfg of the tests holds no " + old)
        text = text.replace(old, new)
    return text.encode()


def seed_disk(path, files, label="CIDATA"):
    """A FAT disk as NoCloud wants it; files: {path on it: bytes}.  Returns path."""
    with open(path, "wb") as f:
        f.truncate(4 << 20)
    netns.run(["mkfs.vfat", "-n", label, path])
    made = set()
    for name, data in files.items():
        folder = os.path.dirname(name)
        if folder and folder not in made:
            netns.run(["mmd", "-i", path, "::/" + folder])
            made.add(folder)
        subprocess.run(["mcopy", "-i", path, "-", "::/" + name], input=data, check=True)
    return path


def prefix():
    return os.environ.get("GATEHOUSE_LAB_PREFIX", "gh") + "-img"


def esp_put(disk, scratch, files):
    """Writes files onto the ESP (partition 1, at 1 MiB) of a qcow2 disk that no machine uses."""
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", disk, scratch], check=True)
    where, made = scratch + "@@1M", set()
    for name, data in files.items():
        parents = name.split("/")[:-1]
        for folder in ("/".join(parents[:i + 1]) for i in range(len(parents))):
            if folder not in made:
                netns.run(["mmd", "-i", where, "::/" + folder])
                made.add(folder)
        subprocess.run(["mcopy", "-i", where, "-", "::/" + name], input=data, check=True)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", scratch, disk], check=True)
    os.unlink(scratch)


class SiteBusy(RuntimeError):
    """Another run uses the same prefix."""


class Site:
    def __init__(self, lane=0):
        self.prefix = prefix() + (str(lane + 1) if lane else "")
        self.procs, self.dir = [], None

    def __enter__(self):
        if os.geteuid():
            raise PermissionError("network namespaces need root")
        os.makedirs("/run/gatehouse-lab", exist_ok=True)
        self.lock = open("/run/gatehouse-lab/%s.lock" % self.prefix, "w")  # noqa: held until we end
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SiteBusy("a site with prefix %s runs already" % self.prefix) from None
        netns.delete(self.prefix)
        self.dir = tempfile.mkdtemp(prefix="gatehouse-image-", dir="/var/tmp")
        self.authority = Authority(self.path("ca"))
        netns.add(self.prefix, forward=True)
        for name, addresses in TAPS:
            netns.batch(["tuntap add dev %s mode tap" % name, "link set %s up" % name], self.prefix)
            netns.address(self.prefix, name, *addresses)
        netns.routes(self.prefix, *("%s via %s" % v for v in VIPS))
        return self

    def __exit__(self, *exc):
        for p in self.procs:
            p.stop()
        netns.delete(self.prefix)
        shutil.rmtree(self.dir, ignore_errors=True)
        self.lock.close()

    # What tests.lab.client.Client asks of a lab.
    @property
    def tmp(self):
        return self.dir

    @property
    def ca_path(self):
        return self.authority.ca_path

    def path(self, name):
        return os.path.join(self.dir, name)

    def manifests(self):
        """YAML: tests/image/manifests.yaml, and the Secret of a certificate made now."""
        with open(os.path.join(HERE, "manifests.yaml"), encoding="utf-8") as f:
            return f.read() + "---\n" + self.authority.secret("demo", "web-tls", ["echo.example"])

    def seed(self, name="seed.img", text=None, **kw):
        """(path, serial, read-only) of a seed disk with the tests' configuration and manifests."""
        files = {"gatehouse.cfg": config() if text is None else text, "manifests/site.yaml": self.manifests().encode()}
        return seed_disk(self.path(name), files, **kw), "seed", True

    def start_origin(self):
        return self.spawn("origin", [os.path.join(programs.BUILD, "tests/lab/echo_origin"), "pod-1@0.0.0.0:8080"])

    def argv(self, argv):
        return ["nsenter", "--net=/run/netns/" + self.prefix, "--", *argv]

    def spawn(self, name, argv, **kw):
        p = Proc(name, self.argv(argv), self.path(name + ".log"), **kw)
        self.procs.append(p)
        return p

    def run(self, *argv, check=True):
        return netns.run(self.argv(argv), check=check)
