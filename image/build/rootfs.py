"""Stage B: the root of one image: packages of the profile, image/root*, our programs, the release file; then squashfs.

The tree's tar is read once and written again, sorted, with what we add: no file is ever unpacked, so owners and modes survive
without any right of ours.  Whatever a package's file list says belongs to a package outside the profile is left out."""
import io
import os
import re
import stat
import subprocess
import tarfile
import tempfile

from . import packages, sbom
from .step import BuildError, run, say
from .sysusers import Users

HERE = os.path.dirname(os.path.abspath(__file__))
IMAGE = os.path.dirname(HERE)
MERGED = re.compile(r"^(bin|sbin|lib|lib64|lib32|libx32)(/|$)")
# never in an image, whoever owns it; copyright files stay
LEFT_OUT = re.compile(r"""^(
    var/.+ | boot/.+ | usr/share/(man|info|locale|lintian|bash-completion|zsh|bug|doc-base|menu|perl5|initramfs-tools)(/.*)?
    | usr/share/doc/(?!.*/copyright$)[^/]+/.+ | usr/lib/udev/hwdb\.(d|bin).* | etc/udev/hwdb.* | usr/share/dpkg.* | usr/lib/dracut.* | usr/lib/kernel.*
    | etc/systemd/(system|user)/.+ | etc/(init\.d|rc.\.d|rcS\.d|cron\..*|logrotate\.d|apt|dpkg|perl|default|alternatives|kernel|dracut.*|ssh|motd|issue|issue\.net|X11|skel|profile\.d|update-motd\.d|terminfo|debian_version|ifupdown|network|apparmor\.d|modprobe\.d/.*blacklist.*)(/.*)?
    | etc/(hostname|hosts|resolv\.conf|fstab|machine-id|mtab|passwd-|group-|shadow-|gshadow-|subuid-|subgid-|\.pwd\.lock|os-release|adduser\.conf|deluser\.conf|debconf\.conf|bash\.bashrc|profile|shells|bindresvport\.blacklist)
    | usr/lib/os-release | usr/lib/modules/[^/]+/(modules\.[a-z.]*map) | usr/lib/modules/[^/]+/(build|source)
    | usr/share/(pixmaps|common-licenses/.*\.gz|polkit-1|factory|readline|debianutils|tabset|gdb|gcc|pam.*|systemd/kbd-model-map)(/.*)?
    | usr/(bin/su|sbin/sulogin)
    | usr/(games|include|local|src)(/.*)? | usr/lib/x86_64-linux-gnu/(perl.*|gconv/(?!gconv-modules).*) | usr/share/perl.* | usr/share/zoneinfo/(right|posix)(/.*)?
)$""", re.X)
DIRS = ("boot", "dev", "proc", "sys", "run", "tmp", "var", "efi", "root", "home", "mnt", "etc/systemd/system")
SQUASHFS = {"fast": ["-comp", "zstd", "-Xcompression-level", "3"], "release": ["-comp", "zstd", "-Xcompression-level", "15"]}


def real(path):
    """A path as dpkg lists it -> as the tree holds it (merged /usr)."""
    path = path.lstrip("/").rstrip("/")
    return "usr/" + path if MERGED.match(path) else path


def owners(tree):
    """{path: set of packages}"""
    out = {}
    for name in sorted(os.listdir(tree.file("lists"))):
        package = name[:-len(".list")].split(":")[0]
        with open(os.path.join(tree.file("lists"), name), encoding="utf-8") as f:
            for line in f:
                out.setdefault(real(line.rstrip("\n")), set()).add(package)
    return out


class Root:
    """Entries by path; a later one replaces an earlier one."""

    def __init__(self, epoch):
        self.epoch, self.entries = epoch, {}

    def put(self, info, source):
        info.mtime = self.epoch
        info.uname = info.gname = ""
        info.pax_headers = {k: v for k, v in info.pax_headers.items() if k.startswith("SCHILY.xattr")}
        self.entries[info.name] = (info, source)

    def add(self, path, data=None, mode=0o644, link=None):
        """A file of root: bytes, a symbolic link, or (neither) a directory."""
        info = tarfile.TarInfo(path)
        info.mode = mode
        if link is not None:
            info.type, info.linkname, info.mode = tarfile.SYMTYPE, link, 0o777
        elif data is None:
            info.type = tarfile.DIRTYPE
        else:
            info.size = len(data)
        self.put(info, data)

    def remove(self, path):
        for name in [n for n in self.entries if n == path or n.startswith(path + "/")]:
            del self.entries[name]

    def overlay(self, directory):
        """A directory's files, links and modes, as root's; `NAME.remove` takes NAME away."""
        for top, dirs, files in os.walk(directory):
            rel = os.path.relpath(top, directory)
            for name in sorted(dirs + files):
                path, src = os.path.normpath(os.path.join(rel, name)), os.path.join(top, name)
                if os.path.islink(src):
                    self.add(path, link=os.readlink(src))
                elif os.path.isdir(src):
                    if path not in self.entries:
                        self.add(path, mode=0o755)
                elif name.endswith(".remove"):
                    self.remove(path[:-len(".remove")])
                else:
                    with open(src, "rb") as f:
                        self.add(path, f.read(), 0o755 if os.stat(src).st_mode & stat.S_IXUSR else 0o644)

    def text(self, path, tar):
        info, source = self.entries[path]
        return (tar.extractfile(info).read() if source is tar else source).decode()

    def check(self):
        """Symbolic links that point nowhere, left by what was left out, go; a hard link needs its target."""
        for path, (info, _) in sorted(self.entries.items()):
            if info.islnk() and info.linkname not in self.entries:
                raise BuildError("%s is a hard link to %s, which the image does not hold" % (path, info.linkname))
        parents = {os.path.dirname(p) for p in self.entries}
        while parents:
            missing = {p for p in parents if p and p not in self.entries}
            for p in missing:
                self.add(p, mode=0o755)
            parents = {os.path.dirname(p) for p in missing}

    def write(self, out):
        names = sorted(self.entries, key=lambda n: (self.entries[n][0].islnk(), n))
        with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 20) as tar:
            for name in names:
                info, source = self.entries[name]
                if not info.isfile():
                    tar.addfile(info)
                elif isinstance(source, bytes):
                    tar.addfile(info, io.BytesIO(source))
                else:
                    tar.addfile(info, source.extractfile(info))


def dangling(root):
    """Links among packages' files that lead nowhere."""
    def exists(path, depth=0):
        parts, at = path.strip("/").split("/"), ""
        for i, part in enumerate(parts):
            at = os.path.normpath(os.path.join(at, part))
            entry = root.entries.get(at)
            if entry is None:
                return at.split("/")[0] in ("proc", "sys", "dev", "run", "var", "tmp")
            if entry[0].issym():
                target = os.path.normpath(os.path.join("/", os.path.dirname(at), entry[0].linkname, *parts[i + 1:]))
                return depth < 20 and exists(target, depth + 1)
        return True
    return [p for p, (info, source) in root.entries.items() if info.issym() and not isinstance(source, bytes) and source is not None and not exists(p)]


def libraries(root, tar):
    """Every library that our programs need is in the image, by name; the loader looks nowhere else."""
    have = {os.path.basename(p) for p in root.entries}
    for path, (info, source) in sorted(root.entries.items()):
        if not isinstance(source, bytes) or source[:4] != b"\x7fELF":
            continue
        with tempfile.NamedTemporaryFile() as f:
            f.write(source)
            f.flush()
            text = run(["readelf", "-d", f.name])
        for name in re.findall(r"\(NEEDED\).*\[(.*)\]", text):
            if name not in have:
                raise BuildError("/%s needs %s, and no package of the image holds it: image/build/packages.txt" % (path, name))


def release_files(root, version, minimum, commit, channel, profile):
    root.add("usr/lib/os-release", (
        'PRETTY_NAME="Gatehouse %s"\nNAME="Gatehouse"\nID=gatehouse\nID_LIKE=debian\nVERSION_ID=%s\nIMAGE_ID=gatehouse\nIMAGE_VERSION=%s\nVARIANT_ID=%s\n'
        % (version, version, version, profile)).encode())
    root.add("etc/os-release", link="../usr/lib/os-release")
    root.add("usr/lib/gatehouse/release", ("VERSION=%s\nMINIMUM_VERSION=%s\nCOMMIT=%s\nCHANNEL=%s\nPROFILE=%s\n" % (version, minimum, commit, channel, profile)).encode())


def make(tree, programs, release, keys, out, overlays=(), compression="fast"):
    """Writes the squashfs `out`; returns the SBOM's bytes."""
    sections, status = packages.read(), packages.installed(tree.read("status"))
    profile = release["profile"]
    chosen = packages.selected(sections, status, profile)
    owned, root = owners(tree), Root(release["epoch"])
    with tarfile.open(tree.file("root.tar")) as tar:
        for info in tar:
            info.name = os.path.normpath(info.name)
            if info.islnk():
                info.linkname = os.path.normpath(info.linkname)
            by = owned.get(info.name)
            if info.name != "." and (not by or by & chosen) and not LEFT_OUT.match(info.name):
                root.put(info, tar)
        for d in DIRS:
            root.add(d, mode=0o1777 if d == "tmp" else 0o700 if d == "root" else 0o755)
        links = dangling(root)
        while links:
            for path in links:
                root.remove(path)
            links = dangling(root)
        for place, path in programs.items():
            with open(path, "rb") as f:
                root.add(place, f.read(), 0o755)
        release_files(root, **{k: release[k] for k in ("version", "minimum", "commit", "channel", "profile")})
        root.add("usr/lib/gatehouse/update-keys", mode=0o755)
        root.add("usr/lib/gatehouse/update-keys/release.pem", keys.update_public().encode())
        for i, path in enumerate(keys.update_extra):
            with open(path, "rb") as f:
                root.add("usr/lib/gatehouse/update-keys/extra-%d.pem" % i, f.read())
        for directory in (os.path.join(IMAGE, "root"), *(os.path.join(IMAGE, "root." + s) for s in packages.PROFILES[profile][1:]), *overlays):
            if os.path.isdir(directory):
                root.overlay(directory)
        users = Users(*(root.text("etc/" + n, tar) for n in ("passwd", "group", "shadow", "gshadow")), release["epoch"] // 86400)
        for path in sorted(root.entries):
            if path.startswith("usr/lib/sysusers.d/gatehouse") and path.endswith(".conf"):
                users.apply(root.text(path, tar), path)
        for name, mode in (("passwd", 0o644), ("group", 0o644), ("shadow", 0o600), ("gshadow", 0o600)):
            root.add("etc/" + name, users.text(name).encode(), mode)
        bill = sbom.spdx(release, {n: status[n] for n in chosen})
        root.add("usr/share/gatehouse/sbom.spdx.json", bill)
        root.check()
        libraries(root, tar)
        squash(root, out, compression, release["epoch"])
    say("image: root holds %d packages, %d files, %.0f MB of squashfs" % (len(chosen), len(root.entries), os.path.getsize(out) / 1e6))
    return bill


def squash(root, out, compression, epoch):
    if os.path.exists(out):
        os.unlink(out)
    env = {k: v for k, v in os.environ.items() if k != "SOURCE_DATE_EPOCH"}
    p = subprocess.Popen(["mksquashfs", "-", out, "-tar", "-quiet", "-no-progress", "-reproducible", "-mkfs-time", str(epoch), "-all-time", str(epoch),
                          "-root-mode", "0755", "-root-uid", "0", "-root-gid", "0", "-exports", "-b", "256K", *SQUASHFS[compression]],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env)
    try:
        root.write(p.stdin)
        p.stdin.close()
    except BrokenPipeError:
        pass  # its message says why
    text = p.stdout.read().decode()
    if p.wait():
        raise BuildError("mksquashfs failed: " + text.strip()[-1000:])
