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
import tempfile

from tests.lab import netns
from tests.lab.proc import Proc

MANAGEMENT, DATA = "52:54:00:12:34:01", "52:54:00:12:34:02"
TAPS = (("mgmt", ("10.0.0.1/24", "fd00:a::1/64", "169.254.169.254/32")), ("data", ("192.0.2.1/24", "fd00:20::1/64")))
VIPS = (("198.51.100.0/26", "192.0.2.2"), ("fd00:5::/64", "fd00:20::2"))


class SiteBusy(RuntimeError):
    """Another run uses the same prefix."""


class Site:
    def __init__(self, prefix=None):
        self.prefix = prefix or os.environ.get("GATEHOUSE_LAB_PREFIX", "gh") + "-img"
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

    def path(self, name):
        return os.path.join(self.dir, name)

    def argv(self, argv):
        return ["nsenter", "--net=/run/netns/" + self.prefix, "--", *argv]

    def spawn(self, name, argv, **kw):
        p = Proc(name, self.argv(argv), self.path(name + ".log"), **kw)
        self.procs.append(p)
        return p

    def run(self, *argv, check=True):
        return netns.run(self.argv(argv), check=check)
