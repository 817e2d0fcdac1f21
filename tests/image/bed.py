"""What the boot tests share: images built for them, the site, and machines that serve."""
import fcntl
import os
import shutil
import subprocess
import sys
import time

from image.build import __main__ as builder
from image.build import programs
from tests.lab.client import Client
from tests.lab.proc import wait_until

from .site import DATA, MANAGEMENT, VIP4, prefix
from .vm import BOOT_S, Machine, Nic


IMAGES = os.path.join(programs.BUILD, "test", prefix())


class Bed:
    def __init__(self, site, built=()):
        """built: names of images that are there already."""
        self.site, self.client = site, Client(site, site.prefix)
        self.base = builder.release("test")["version"]
        self.built, self.machines, self.main = set(built), [], None

    # -- images -------------------------------------------------------------------------------------------------------

    def version(self, step):
        """A version newer than the base by `step`."""
        parts = self.base.split(".")
        return ".".join(parts[:-1] + [str(int(parts[-1]) + step)])

    @staticmethod
    def build(name, *options, profile="test"):
        """Directory of a build: disk.raw, update/.  One at a time: all builds share one directory of object files."""
        out = os.path.join(IMAGES, name)
        os.makedirs(IMAGES, exist_ok=True)
        argv = [sys.executable, "-B", "-m", "image.build", "--profile", profile, "--formats", "", "--compression", "fast", "--out", out, *options]
        with open(IMAGES + ".lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            p = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if p.returncode:
            raise RuntimeError("building %s: %s" % (name, p.stdout[-2000:]))
        return out

    def image(self, name, *options, profile="test"):
        """As build, once."""
        if name not in self.built:
            self.build(name, *options, profile=profile)
            self.built.add(name)
        return os.path.join(IMAGES, name)

    # -- machines -----------------------------------------------------------------------------------------------------

    def machine(self, name, image="base", seed=None, iommu=True, nics=None, **kw):
        """Not started; the site's taps are for one machine at a time, so those that run are switched off.  seed: disks besides the
        system's, default the tests' configuration on a seed disk; [] for none."""
        self.close()
        nics = nics if nics is not None else [Nic(MANAGEMENT, "mgmt"), Nic(DATA, "data", iommu=iommu)]
        directory = self.site.path("vm-" + name)
        shutil.rmtree(directory, ignore_errors=True)
        m = Machine(directory, os.path.join(self.image(image), "disk.raw"), ns=self.site.prefix, nics=nics, iommu=iommu,
                    disks=[self.site.seed(name + ".img")] if seed is None else seed, **kw)
        self.machines.append(m)
        return m

    def get(self, vip=VIP4, url="http://echo.example/", *args, timeout=5):
        """(status, what the origin saw or None)"""
        r, echo = self.client.echo(vip, url, *args, timeout=timeout)
        return r.status, echo

    def serves(self):
        status, echo = self.get()
        return status == 200 and echo

    def wait_serving(self, machine, timeout=BOOT_S):
        """Seconds from power-on to the first answer that came all the way from the origin."""
        def look():
            if not machine.alive():
                raise RuntimeError("the machine ended by itself:\n" + machine.console()[-1500:])
            return self.serves()
        wait_until(look, timeout, "a request from outside answered by the origin; the console ends with:\n" + machine.console()[-300:], 0.5)
        return time.monotonic() - machine.started

    def wait_blessed(self, machine, version=None, timeout=BOOT_S):
        """The health gate passed: the boot entry has no counter any more."""
        name = "gatehouse_%s.efi" % (version or self.base)
        wait_until(lambda: name in machine.run("ls /efi/EFI/Linux")[1].split(), timeout, name + " among the boot entries", 1.0)

    def state(self, machine):
        """What helps to understand a failure."""
        try:
            return machine.run("systemctl --failed --no-legend; systemctl list-jobs --no-legend | head -20; journalctl -b -p warning --no-pager -o cat | tail -25; "
                               "gatectl system status", 60)[1]
        except (TimeoutError, RuntimeError, OSError) as e:
            return "%s\n%s" % (e, machine.console()[-1000:])

    def cpu_s(self):
        """Of the machines that run; those that ended are in os.times()."""
        return sum(m.proc.cpu_s() for m in self.machines if m.proc and m.proc.alive())

    def close(self, but=None):
        for m in self.machines:
            if m is not but:
                m.kill()
