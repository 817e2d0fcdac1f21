"""./dev image: builds the appliance.  See image/README.md, and --help."""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid

from . import bundle, disk, formats, keys, packages, programs, rootfs, tree, uki, verity
from .step import BuildError, say

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OUT = os.path.join(programs.BUILD, "out")
VERSION = re.compile(r"^(0|[1-9][0-9]{0,5})(\.(0|[1-9][0-9]{0,5})){0,3}$")


def git(*args):
    return subprocess.run(["git", "-C", ROOT, *args], capture_output=True, text=True, check=True).stdout.strip()


def release(profile, version=None, minimum=None, channel="stable"):
    """What this build is: facts of the commit alone, so that a commit is built the same everywhere."""
    with open(os.path.join(ROOT, "meson.build"), encoding="utf-8") as f:
        base = re.search(r"version: '([0-9.]+)'", f.read()).group(1)
    dirty = "-dirty" if git("status", "--porcelain", "--untracked-files=no") else ""
    version = version or "%s.%s" % (base, git("rev-list", "--count", "HEAD"))
    minimum = minimum or "0"
    for v in (version, minimum):
        if not VERSION.match(v):
            raise BuildError("a version is one to four numbers with dots between, not %s" % v)
    return {"profile": profile, "version": version, "minimum": minimum, "commit": git("rev-parse", "--short=12", "HEAD") + dirty, "channel": channel,
            "epoch": int(git("log", "-1", "--format=%ct"))}


class Parts:
    """What stage B and C make: paths below one directory."""

    def __init__(self, directory):
        self.directory = directory
        os.makedirs(directory, exist_ok=True)

    def path(self, name):
        return os.path.join(self.directory, name)


def slot(parts, source, our_programs, what, signing, overlays=(), cmdline="", compression="fast"):
    """Root, hash tree and UKI of one version; returns (Slot, path of the UKI)."""
    with open(parts.path("sbom.spdx.json"), "wb") as f:
        f.write(rootfs.make(source, our_programs, what, signing, parts.path("root.squashfs"), overlays, compression))
    identity = uuid.uuid5(uuid.NAMESPACE_OID, "gatehouse %s %s" % (what["version"], what["commit"]))
    made = verity.make(parts.path("root.squashfs"), parts.path("root.verity"), identity.hex * 2, str(identity))
    osrel = "ID=gatehouse\nIMAGE_ID=gatehouse\nIMAGE_VERSION=%s\nVERSION_ID=%s\nPRETTY_NAME=Gatehouse %s\n" % ((what["version"],) * 3)
    uki.make(parts.path("gatehouse.efi"), osrel.encode(), uki.cmdline(made.root_hash, cmdline), source.file("vmlinuz"), source.read("kernel").strip(), source.file("initrd"), signing,
             what["epoch"])
    return made, parts.path("gatehouse.efi")


def make_disk(parts, made, kernel_image, what, signing, esp_files=None):
    loader = parts.path("systemd-boot.efi")
    uki.sign(uki.LOADER, loader, signing, what["epoch"])
    disk.esp(parts.path("esp.img"), loader, kernel_image, what["version"], what["epoch"], esp_files or {})
    disk.make(parts.path("disk.raw"), parts.path("esp.img"), made)
    os.unlink(parts.path("esp.img"))
    return parts.path("disk.raw")


def signing_keys(args):
    given = (args.sb_key, args.sb_cert, args.update_key)
    if not any(given):
        return keys.snakeoil() if args.profile == "test" else keys.development()
    if not all(given):
        raise BuildError("--sb-key, --sb-cert and --update-key come together")
    return keys.Keys(*given, args.trust)


def megabytes(path):
    return os.path.getsize(path) / 1e6


def check_reproducible(source, our_programs, what, signing, args):
    """Root, hash tree, UKI, disk, twice, in two directories."""
    seen = []
    for n in ("1", "2"):
        with tempfile.TemporaryDirectory(dir=programs.BUILD, prefix="again-") as tmp:
            parts = Parts(tmp)
            raw = make_disk(parts, *slot(parts, source, our_programs, what, signing, args.overlay, args.cmdline, args.compression), what, signing)
            seen.append({name: formats.sha256(parts.path(name)) for name in sorted(os.listdir(tmp)) if os.path.isfile(parts.path(name))})
            print("build %s: disk.raw %s" % (n, seen[-1][os.path.basename(raw)]))
    differ = [n for n in seen[0] if seen[0][n] != seen[1].get(n)]
    if differ:
        raise BuildError("not reproducible: %s differ" % ", ".join(differ))
    print("reproducible: %s" % ", ".join(seen[0]))


def build(args):
    start = time.monotonic()
    what = release(args.profile, args.version, args.minimum, args.channel)
    programs.configure()
    signing = signing_keys(args)
    source = tree.ensure(args.refresh, args.mirror)
    if source.age_days() > 7:
        say("image: the root tree is %.0f days old; --refresh takes Debian's packages of today" % source.age_days())
    with tempfile.TemporaryDirectory(dir=programs.BUILD) as tmp:
        ours = programs.build(tmp)
        if args.check_reproducible:
            return check_reproducible(source, ours, what, signing, args)
        out = args.out or (OUT if args.profile == "release" else OUT + "-" + args.profile)
        shutil.rmtree(out, ignore_errors=True)
        parts = Parts(out)
        made, kernel_image = slot(parts, source, ours, what, signing, args.overlay, args.cmdline, args.compression)
    name = "gatehouse-%s%s" % (what["version"], "" if args.profile == "release" else "-" + args.profile)
    raw = make_disk(parts, made, kernel_image, what, signing)
    bundle.make(parts.path("update"), what["version"], what["minimum"], made, kernel_image, signing)
    say("image: disk and update bundle in %.0f s" % (time.monotonic() - start))
    wanted = [f for f in args.formats.split(",") if f] if args.formats != "all" else list(formats.FORMATS)
    unknown = set(wanted) - set(formats.FORMATS)
    if unknown:
        raise BuildError("no such format: %s; there are %s" % (", ".join(unknown), ", ".join(formats.FORMATS)))
    files = ["sbom.spdx.json"]
    for kind in wanted:
        path = parts.path(name + "." + kind)
        formats.FORMATS[kind](raw, path, what)
        files.append(os.path.basename(path))
        print("%-44s %7.1f MB" % (os.path.basename(path), megabytes(path)))
        if args.profile == "release" and os.path.getsize(path) > formats.LIMIT:
            raise BuildError("%s is larger than %d MB" % (path, formats.LIMIT // 1_000_000))
    formats.sums(out, files, signing)
    for left in ("root.squashfs", "root.verity", "gatehouse.efi", "systemd-boot.efi"):
        os.unlink(parts.path(left))
    print("%-44s %7.1f MB on disk, %d MB large" % ("disk.raw", os.stat(raw).st_blocks * 512 / 1e6, megabytes(raw)))
    print("image: %s, commit %s, root hash %s, %.0f s: %s" % (name, what["commit"], made.root_hash, time.monotonic() - start, os.path.relpath(out, ROOT)))


def main(argv):
    p = argparse.ArgumentParser(prog="./dev image", description="Builds the bootable appliance from Debian's packages and this tree; needs no root.")
    p.add_argument("--profile", choices=sorted(packages.PROFILES), default="release", help="test: with the hook of the boot tests; debug: with shell and ssh")
    p.add_argument("--debug", dest="profile", action="store_const", const="debug", help="the same as --profile debug")
    p.add_argument("--version", help="default: the project's version and the number of commits")
    p.add_argument("--minimum", help="oldest version that may follow this one (default: any)")
    p.add_argument("--channel", default="stable")
    p.add_argument("--formats", default="all", help="comma-separated: %s; `all`, or none" % ", ".join(formats.FORMATS))
    p.add_argument("--compression", choices=sorted(rootfs.SQUASHFS), help="of the root (default: release for release images)")
    p.add_argument("--out", help="directory (default: build-image/out[-PROFILE])")
    p.add_argument("--overlay", action="append", default=[], metavar="DIR", help="files to lay over the root, last")
    p.add_argument("--cmdline", default="", help="words to add to the kernel's command line")
    p.add_argument("--sb-key", help="PEM; signs systemd-boot and the UKI")
    p.add_argument("--sb-cert", help="PEM; its certificate, enrolled in the firmware")
    p.add_argument("--update-key", help="PEM, Ed25519; signs updates and checksums")
    p.add_argument("--trust", action="append", default=[], metavar="PEM", help="a further public key that may sign updates")
    p.add_argument("--refresh", action="store_true", help="make the root tree again, from the packages of today")
    p.add_argument("--mirror", help="a Debian mirror's address, or a sources.list line")
    p.add_argument("--check-reproducible", action="store_true", help="make root, UKI and disk twice, compare, keep nothing")
    args = p.parse_args(argv)
    args.compression = args.compression or ("release" if args.profile == "release" else "fast")
    build(args)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BuildError as e:
        sys.exit("image: " + str(e))
