"""Stage A: the root tree, kernel and initrd, from Debian's packages; cached.

    ~/.cache/gatehouse/image/tree-KEY/   root.tar (all packages, before any profile's selection), vmlinuz, initrd, kernel,
                                         status (dpkg's), lists/ (files of each package)

KEY is a hash of the package list, the module list and the hook.  Debian's archive moves on under an unchanged list:
`./dev image --refresh` makes the tree again, and the age of a cached one is printed.  Nothing here needs root: mmdebstrap runs
as root where it is root, else in a user namespace (package uidmap and a line in /etc/subuid)."""
import fcntl
import glob
import hashlib
import os
import shutil
import tarfile
import time

from . import packages
from .step import BuildError, run, say

HERE = os.path.dirname(os.path.abspath(__file__))
SUITE = "bookworm"
EPOCH = 1795392000  # 2026-11-23: no file of the tree claims to be newer
LEFT = "gatehouse-tree"  # what hook.sh leaves at the root of the tree
KEEP = 3


class Tree:
    def __init__(self, path):
        self.path = path

    def file(self, name):
        return os.path.join(self.path, name)

    def read(self, name):
        with open(self.file(name), encoding="utf-8") as f:
            return f.read()

    def age_days(self):
        return (time.time() - os.path.getmtime(self.file("kernel"))) / 86400


def cache_dir():
    base = os.environ.get("GATEHOUSE_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "gatehouse")
    return os.path.join(base, "image")


def key(sections):
    h = hashlib.sha256(repr((SUITE, EPOCH, packages.everything(sections))).encode())
    for name in ("hook.sh", "modules.txt"):
        with open(os.path.join(HERE, name), "rb") as f:
            h.update(b"\0" + f.read())
    return h.hexdigest()[:16]


def make(sections, target, mirror):
    new = "%s.new-%d" % (target, os.getpid())
    shutil.rmtree(new, ignore_errors=True)
    os.makedirs(new)
    whole = os.path.join(new, "whole.tar")
    hook, modules = (os.path.join(new, n) for n in ("hook.sh", LEFT + ".modules"))
    shutil.copy(os.path.join(HERE, "hook.sh"), hook)
    shutil.copy(os.path.join(HERE, "modules.txt"), modules)
    argv = ["mmdebstrap", "--quiet", "--variant=minbase", "--components=main", "--architectures=amd64",
            "--include=" + ",".join(packages.everything(sections)),
            "--aptopt=APT::Install-Recommends false", "--aptopt=Acquire::Languages none",
            # the initrd is ours to make, once, after the modules are pruned
            "--dpkgopt=path-exclude=/etc/kernel/postinst.d/*", "--dpkgopt=path-exclude=/etc/kernel/postrm.d/*",
            "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/info/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*", "--dpkgopt=path-exclude=/usr/share/bash-completion/*",
            "--customize-hook=copy-in %s %s /" % (hook, modules), '--customize-hook=chroot "$1" sh /hook.sh', SUITE, whole]
    try:
        run(["nice", *argv, *([mirror] if mirror else [])], env=dict(os.environ, SOURCE_DATE_EPOCH=str(EPOCH), TMPDIR="/var/tmp"))
        split(whole, new)
        os.unlink(whole)
        os.rename(new, target)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def split(whole, new):
    """What the hook left goes beside the tree."""
    os.makedirs(os.path.join(new, "lists"))
    with tarfile.open(whole) as src, tarfile.open(os.path.join(new, "root.tar"), "w", format=tarfile.PAX_FORMAT) as out:
        for m in src:
            name = m.name[2:] if m.name.startswith("./") else m.name
            if name == LEFT or name.startswith(LEFT + "/"):
                if m.isfile():
                    with open(os.path.join(new, name[len(LEFT) + 1:]), "wb") as f:
                        shutil.copyfileobj(src.extractfile(m), f)
            elif name.split("/")[0] not in ("boot", "dev", "proc", "sys", "run", "tmp", "hook.sh"):
                out.addfile(m, src.extractfile(m) if m.isfile() else None)
    for name in ("vmlinuz", "initrd", "kernel", "status"):
        if not os.path.exists(os.path.join(new, name)):
            raise BuildError("the tree was made, but its hook left no %s" % name)


def prune(target):
    os.utime(target)
    others = [d for d in glob.glob(os.path.join(cache_dir(), "tree-*")) if ".new-" not in d]
    for d in sorted(others, key=os.path.getmtime, reverse=True)[KEEP:]:
        shutil.rmtree(d, ignore_errors=True)


def ensure(refresh=False, mirror=None):
    sections = packages.read()
    os.makedirs(cache_dir(), exist_ok=True)
    target = os.path.join(cache_dir(), "tree-" + key(sections))
    with open(os.path.join(cache_dir(), "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if refresh:
            shutil.rmtree(target, ignore_errors=True)
        if not os.path.isdir(target):
            start = time.monotonic()
            say("image: making the root tree from Debian %s (%d packages named)" % (SUITE, len(packages.everything(sections))))
            make(sections, target, mirror)
            say("image: root tree made in %.0f s" % (time.monotonic() - start))
        prune(target)
    return Tree(target)
