"""What can be said of an image without starting it, and what a machine without UEFI says."""
import glob
import json
import os
import re
import subprocess

from image.build import keys as signing
from image.build import programs, uki
from image.build.step import run

# names that only a shell, an interpreter, a login or the test hook have
FORBIDDEN = re.compile(r"/(bash|dash|sh|zsh|busybox|perl[0-9.]*|python[0-9.]*|lua[0-9.]*|awk|mawk|sshd|login|sulogin|test-hook|gatehouse-test\.service|apt|dpkg)$")


def listing(root):
    return [line.split(" -> ")[0].replace("squashfs-root", "", 1) for line in run(["unsquashfs", "-l", root]).splitlines() if line.startswith("squashfs-root")]


def release_image(bed):
    """Directory of a release, in all formats; its keys are given, and those that the firmware of the tests trusts."""
    keys = signing.snakeoil()
    return bed.image("release", "--formats", "all", "--compression", "release", "--sb-key", keys.sb_key, "--sb-cert", keys.sb_cert, "--update-key", keys.update_key, profile="release")


def contents(bed, check):
    """The release image: what it holds, and that all of it is signed."""
    out = release_image(bed)
    root = glob.glob(out + "/update/*.root")[0]
    names = listing(root)
    found = [n for n in names if FORBIDDEN.search(n)]
    check("a release image holds no shell, interpreter, login, SSH server or test hook (%d files)" % len(names), len(names) > 1000 and not found, found)
    test_names = listing(glob.glob(bed.image("base") + "/update/*.root")[0])
    check("the search finds them in a test image", any(FORBIDDEN.search(n) for n in test_names))
    with open(out + "/sbom.spdx.json", encoding="utf-8") as f:
        bill = json.load(f)
    inside = subprocess.run(["unsquashfs", "-cat", root, "usr/share/gatehouse/sbom.spdx.json"], capture_output=True, check=True).stdout
    listed = {p["name"] for p in bill["packages"]}
    check("the SPDX bill names libssl3, DPDK, the kernel and us, and is the one inside the image (%d packages)" % len(listed),
          {"gatehouse", "libssl3", "librte-eal23"} <= listed and any(n.startswith("linux-image-6") for n in listed) and json.loads(inside) == bill)
    kernel = glob.glob(out + "/update/*.efi")[0]
    cert = signing.snakeoil().sb_cert
    verified = subprocess.run(["sbverify", "--cert", cert, kernel], capture_output=True, text=True, check=False)
    with open(kernel, "rb") as f:
        changed = bytearray(f.read())
    changed[-len(changed) // 2] ^= 1
    with open(bed.site.path("changed.efi"), "wb") as f:
        f.write(changed)
    refused = subprocess.run(["sbverify", "--cert", cert, bed.site.path("changed.efi")], capture_output=True, text=True, check=False)
    check("kernel, initrd and command line carry our signature; with one bit changed they do not", verified.returncode == 0 and refused.returncode != 0,
          verified.stderr + refused.stderr)
    with open(bed.site.path("sums.sig.pub"), "w", encoding="ascii") as f:
        f.write(signing.snakeoil().update_public())
    good = subprocess.run(["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", bed.site.path("sums.sig.pub"), "-in", out + "/SHA256SUMS", "-sigfile", out + "/SHA256SUMS.sig"],
                          capture_output=True, check=False).returncode == 0
    sums = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=out, capture_output=True, check=False).returncode == 0
    check("SHA256SUMS is signed and right", good and sums)
    line = uki.cmdline("0" * 64)
    check("the signed command line gives no shell and restarts on failure", all(w in line for w in ("rd.shell=0", "rd.emergency=reboot", "panic=3", "panic-on-corruption")))


def bios_start(bed, check):
    with bed.machine("bios", bios=True, iommu=False, nics=[], seed=[]) as m:
        m.start()
        said = m.wait_console(r"Gatehouse starts by UEFI only.*\n.*\n.*\n", 60).group(0)
        check("a BIOS start says why it does not boot", "UEFI" in said and "BIOS mode" in said, said)


def reproducible(bed, check):
    p = subprocess.run(["/usr/bin/python3", "-B", "-m", "image.build", "--profile", "test", "--check-reproducible"], cwd=programs.ROOT, capture_output=True, text=True, check=False)
    check("two builds of one commit give the same bytes", p.returncode == 0 and "reproducible: disk.raw" in p.stdout, p.stdout[-500:] + p.stderr[-500:])
