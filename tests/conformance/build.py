"""Builds what the conformance tests run, from Go modules, into a cache that outlives build/.

    ~/.cache/gatehouse/conformance/PART-KEY/     (XDG_CACHE_HOME and GATEHOUSE_CACHE move it)

KEY is a hash of the part's sources, its go.mod and go.sum, and the Go version: what is there is never rebuilt, and an edit of
one part rebuilds that part alone.  Two runs at once wait for each other.  The two newest of each part are kept."""
import fcntl
import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
NEEDED = (1, 26)
KUBERNETES = "v1.36.3"
VERSION_FLAGS = " ".join("-X k8s.io/component-base/version.git%s=%s" % kv for kv in (
    ("Version", KUBERNETES), ("Major", KUBERNETES.split(".")[0].lstrip("v")), ("Minor", KUBERNETES.split(".")[1])))
KEEP = 2


class NoGo(RuntimeError):
    """Why nothing here can be built on this machine."""


class Part:
    """A module of ours, and the programs it makes: {file: package}; a package that ends in .test is a test binary."""

    def __init__(self, name, programs, ldflags="", copies=None):
        self.name, self.programs, self.ldflags, self.copies = name, programs, ldflags, copies or {}
        self.source = os.path.join(HERE, name)


PARTS = (
    Part("controlplane", {
        "etcd": "go.etcd.io/etcd/server/v3", "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
        "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager", "kubectl": "k8s.io/kubernetes/cmd/kubectl"}, VERSION_FLAGS),
    Part("cluster", {"cluster": ".", "podinit": "./podinit", "cluster.test": "."}),
    Part("suite", {"conformance.test": ".", "echo-basic": "sigs.k8s.io/gateway-api/conformance/echo-basic"},
         copies={"crds": ("sigs.k8s.io/gateway-api", "config/crd/experimental")}),
    Part("dns", {"coredns": "."}),
    Part("h2spec", {"h2spec": "."}),
)


def go_version():
    """("go1.26.8", None) or (None, why not)."""
    try:
        p = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, env=go_env(), cwd="/", stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        return None, "there is no go on this machine; Go %d.%d or newer is needed" % NEEDED
    m = re.match(r"go(\d+)\.(\d+)", p.stdout)
    if p.returncode or not m:
        return None, "go does not run: " + (p.stderr or p.stdout).strip()[-200:]
    if (int(m.group(1)), int(m.group(2))) < NEEDED:
        return None, "%s is here; Go %d.%d or newer is needed" % ((p.stdout.strip(),) + NEEDED)
    return p.stdout.strip(), None


def go_env():
    return dict(os.environ, CGO_ENABLED="0", GOTOOLCHAIN="local", GOFLAGS="-trimpath -buildvcs=false -mod=readonly", GOWORK="off")


def cache_dir():
    base = os.environ.get("GATEHOUSE_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "gatehouse")
    return os.path.join(base, "conformance")


def key(part, version):
    h = hashlib.sha256(repr((version, sorted(part.programs.items()), part.ldflags, sorted(part.copies.items()), os.uname().machine)).encode())
    for path in sorted(glob.glob(os.path.join(part.source, "**"), recursive=True)):
        if os.path.isfile(path):
            with open(path, "rb") as f:
                h.update(("\0%s\0" % os.path.relpath(path, part.source)).encode() + f.read())
    return h.hexdigest()[:16]


def run_go(part, *args):
    argv = ["nice", "-n", "19", "go", *args]
    p = subprocess.run(argv, cwd=part.source, env=go_env(), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if p.returncode:
        raise RuntimeError("tests/conformance/%s: %s:\n%s" % (part.name, " ".join(argv[3:]), (p.stderr or p.stdout).strip()[-3000:]))
    return p.stdout.strip()


def build(part, target):
    jobs = ["-p", os.environ.get("GATEHOUSE_GO_JOBS") or str(os.cpu_count() or 1)]
    new = "%s.new-%d" % (target, os.getpid())
    shutil.rmtree(new, ignore_errors=True)
    os.makedirs(new)
    try:
        for name, package in part.programs.items():
            out = os.path.join(new, name)
            if name.endswith(".test"):
                run_go(part, "test", "-c", "-vet=off", *jobs, "-ldflags=-s -w", "-o", out, package)
            else:
                run_go(part, "build", *jobs, "-ldflags=-s -w " + part.ldflags, "-o", out, package)
        for name, (module, folder) in part.copies.items():
            shutil.copytree(os.path.join(run_go(part, "list", "-m", "-f", "{{.Dir}}", module), folder), os.path.join(new, name))
            subprocess.run(["chmod", "-R", "u+w", os.path.join(new, name)], check=True)
        os.rename(new, target)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def suite_at(version):
    """The suite part at another version (a tag, or main), from a copy of its module; NoGo when that is not reachable from here."""
    suite = next(p for p in PARTS if p.name == "suite")
    part = Part("suite-" + version, suite.programs, copies=suite.copies)
    part.source = os.path.join(cache_dir(), part.name + "-source")
    shutil.rmtree(part.source, ignore_errors=True)
    shutil.copytree(suite.source, part.source)
    env = dict(go_env(), GOFLAGS="-mod=mod")
    modules = ["sigs.k8s.io/gateway-api@" + version, "sigs.k8s.io/gateway-api/conformance@" + version]
    for args in (["get", *modules], ["mod", "tidy"]):
        p = subprocess.run(["go", *args], cwd=part.source, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if p.returncode:
            shutil.rmtree(part.source)
            raise NoGo("the suite's version %s cannot be had here: %s" % (version, " ".join((p.stderr or p.stdout).split())[-300:]))
    return part


def prune(part, target):
    os.utime(target)
    others = [d for d in glob.glob(os.path.join(cache_dir(), part.name + "-*")) if ".new-" not in d]
    for d in sorted(others, key=os.path.getmtime, reverse=True)[KEEP:]:
        shutil.rmtree(d, ignore_errors=True)


def ensure(names=None, version_of_suite=None, say=lambda text: print("==> " + text, file=sys.stderr, flush=True)):
    """{part: its directory}, built now where it is not there yet.  NoGo when this machine cannot."""
    version, why = go_version()
    if not version:
        raise NoGo(why)
    os.makedirs(cache_dir(), exist_ok=True)
    out = {}
    with open(os.path.join(cache_dir(), "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for part in [suite_at(version_of_suite) if version_of_suite and p.name == "suite" else p for p in PARTS]:
            if names and part.name not in names:
                continue
            target = os.path.join(cache_dir(), "%s-%s" % (part.name, key(part, version)))
            if not os.path.isdir(target):
                start = time.monotonic()
                say("conformance: building %s (%s)" % (part.name, version))
                build(part, target)
                say("conformance: %s built in %.0f s" % (part.name, time.monotonic() - start))
            prune(part, target)
            out[part.name.partition("-")[0]] = target
    return out


if __name__ == "__main__":
    try:
        for name, where in ensure(sys.argv[1:] or None).items():
            print("%s %s" % (name, where))
    except NoGo as e:
        sys.exit("did not run, because " + str(e))
