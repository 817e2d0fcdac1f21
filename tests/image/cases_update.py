"""Updates: what is refused, what commits, what rolls back by itself, and what a power cut leaves."""
import glob
import os
import random
import re
import shutil
import subprocess
import time
import uuid

from tests.lab.proc import wait_until

from .cases_boot import main_machine
from .vm import BOOT_S

URL = "http://10.0.0.1:8000/"


def publish(bed, name, source):
    """A bundle's directory below the site's web server; returns its address."""
    top = bed.site.path("www")
    if not os.path.isdir(top):
        os.makedirs(top)
        bed.site.spawn("www", ["python3", "-m", "http.server", "--directory", top, "--bind", "10.0.0.1", "8000"])
        wait_until(lambda: bed.site.run("curl", "-s", URL, check=False).returncode == 0, 20, "the update server")
    target = os.path.join(top, name)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(os.path.join(source, "update"), target)
    return URL + name + "/"


def entries(m):
    return sorted(m.sh("ls /efi/EFI/Linux").split())


def install(m, address, *options, timeout=900):
    """(exit status, output) of an installation in the machine."""
    return m.run("/usr/lib/gatehouse/gatehouse-system update %s %s" % (" ".join(options), address), timeout)


def running(m):
    return re.search(r"^VERSION=(\S+)", m.sh("cat /usr/lib/gatehouse/release"), re.M).group(1)


def refused(bed, check):
    """Whatever is wrong with a bundle, nothing changes."""
    m = main_machine(bed)
    other = bed.image("newer", "--version", bed.version(1))
    before = entries(m)
    with open(other + "/update/manifest", encoding="ascii") as f:
        theirs = str(uuid.UUID(re.search(r"^roothash=([0-9a-f]{32})", f.read(), re.M).group(1)))

    def spoil(name, edit):
        address = publish(bed, name, other)
        edit(bed.site.path("www/" + name))
        status, out = install(m, address)
        return status, out

    def unsigned(d):
        os.truncate(d + "/manifest.sig", 0)

    def foreign(d):
        with open(d + "/foreign.key", "wb"):
            pass
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", d + "/foreign.key"], check=True)
        subprocess.run(["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", d + "/foreign.key", "-in", d + "/manifest", "-out", d + "/manifest.sig"], check=True)

    def flipped(d):
        with open(glob.glob(d + "/*.root")[0], "r+b") as f:
            f.seek(1 << 20)
            byte = f.read(1)
            f.seek(1 << 20)
            f.write(bytes([byte[0] ^ 1]))
    for name, edit in (("unsigned", unsigned), ("signed by a foreign key", foreign), ("with one bit of its root changed", flipped)):
        status, out = spoil(name.replace(" ", "-"), edit)
        check("an update %s is refused before anything is activated" % name, status != 0 and entries(m) == before, "%s: %s, %s" % (status, out, entries(m)))
    now = m.sh("udevadm settle; lsblk -no PARTUUID /dev/disk/by-partlabel/gatehouse-root-b").strip()
    check("the idle slot never carries their root hash, by which a boot would find it", now and now != theirs, "%s, %s" % (now, theirs))
    check("and it goes on serving", bed.serves())


def updated(bed, m, image, version, check, name):
    """Installs and restarts; returns where the console stood before."""
    status, out = install(m, publish(bed, image, bed.image(image)))
    check("%s: installed into the idle slot" % name, status == 0 and any(version in e for e in entries(m)), out)
    mark = len(m.console())
    m.later("systemctl reboot")
    return mark


def commits(bed, check):
    """A to B over HTTP: B serves, is blessed, and stays."""
    version = bed.version(1)
    bed.image("newer", "--version", version)
    m = main_machine(bed)
    before = entries(m)
    mark = updated(bed, m, "newer", version, check, "update")
    start = time.monotonic()
    m.wait_console(r"EFI stub", BOOT_S, mark)
    m.forget()
    m.ready()
    bed.wait_blessed(m, version)
    wait_until(bed.serves, BOOT_S, "serving after the update", 0.5)
    check("update A to B commits: %s runs, serves and is blessed after %.0f s; A stays beside it" % (version, time.monotonic() - start),
          running(m) == version and entries(m) == sorted(before + ["gatehouse_%s.efi" % version]), entries(m))
    status, out = install(m, publish(bed, "base", bed.image("base")))
    check("an older version is not taken for an update", status != 0, out)


def rolls_back(bed, check):
    """Two updates that are signed and broken: the box is back on A by itself, and says why."""
    for fault, what, step in (("panic", "whose kernel panics", 2), ("l4lb", "whose l4lb is broken", 3)):
        version, name = bed.version(step), "broken-" + fault
        bed.image(name, "--version", version, "--cmdline", "gatehouse.fault=" + fault)
        m = main_machine(bed)
        updated(bed, m, name, version, check, "update " + what)
        start = time.monotonic()
        m.forget()

        def back():
            if not m.alive():
                raise RuntimeError("the machine ended by itself:\n" + m.console()[-1500:])
            names = m.run("ls /efi/EFI/Linux; . /usr/lib/gatehouse/release; echo $VERSION", 20)[1].split()
            return bed.base in names and any(n.startswith("gatehouse_%s+0-" % version) for n in names)
        wait_until(lambda: quietly(back), 4 * BOOT_S, "version %s again" % bed.base, 1.0)
        wait_until(bed.serves, BOOT_S, "serving after the rollback", 0.5)
        check("an update %s rolls back by itself: %s serves again after %.0f s" % (what, bed.base, time.monotonic() - start), True)
        told = m.sh("gatectl system status; cat /var/lib/gatehouse/system/last-rollback 2>/dev/null || true")
        check("the status names the version that failed", version in told, told)


def quietly(fn):
    """None while the machine is not to be talked to."""
    try:
        return fn()
    except TimeoutError:
        return None


def tampered(bed, check):
    """One bit of the root, changed on the disk of a machine that is off."""
    with bed.machine("tampered", iommu=False) as m:
        offset = (1 + 512) * (1 << 20) + 5 * 4096 + 17
        out = subprocess.run(["qemu-io", "-c", "read -v %d 1" % offset, m.disk], capture_output=True, text=True, check=True).stdout
        byte = int(re.search(r"^[0-9a-f]+:\s+([0-9a-f]{2})", out, re.M).group(1), 16) ^ 1
        subprocess.run(["qemu-io", "-c", "write -P %d %d 1" % (byte, offset), m.disk], capture_output=True, check=True)
        # the block is read when the root is mounted or soon after: nothing of it runs before
        m.start()
        said = m.wait_console(r"(dm-verity device corrupted|data block \d+ is corrupted|Kernel panic)", BOOT_S).group(0)
        m.wait_console(r"BdsDxe: starting.*[\s\S]*BdsDxe: starting", BOOT_S)
        check("one flipped bit in the root: the kernel stops (%s) and the machine starts again, never serving" % said, not bed.serves())


def power_cut(bed, check):
    """QEMU killed at random moments of an update: what was running boots and serves."""
    bed.image("newer", "--version", bed.version(1))
    address = publish(bed, "newer", bed.image("newer"))
    m = main_machine(bed)
    chosen = random.Random(2026)
    for n in range(2):
        script = "nohup /usr/lib/gatehouse/gatehouse-system update %s >/dev/null 2>&1 & sleep %.1f" % (address, chosen.uniform(1, 12))
        m.run(script, 120)
        m.kill()
        m.start()
        bed.wait_serving(m)
        check("power cut %d during an update: %s boots and serves" % (n + 1, running(m.ready())), running(m) == bed.base or running(m) == bed.version(1))
