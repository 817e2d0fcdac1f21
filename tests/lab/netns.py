"""Network namespaces: create, join by veth, run in, remove.  Knows nothing of Gatehouse.

Every link has real checksums (offloads off), one queue, and no duplicate address detection, so that a packet on the wire
is what a wire would carry and an address works the moment it is set.
"""
import os
import subprocess

OFFLOADS = "tx off rx off sg off tso off gso off gro off".split()


class CommandError(RuntimeError):
    pass


def run(argv, check=True, **kw):
    p = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, **kw)
    if check and p.returncode:
        raise CommandError("%s: exit %d: %s" % (" ".join(argv), p.returncode, (p.stderr or p.stdout).strip()))
    return p


def batch(lines, ns=None):
    """Runs lines of ip(8) commands in one process."""
    argv = ["ip"] + (["-n", ns] if ns else []) + ["-batch", "-"]
    p = subprocess.run(argv, input="\n".join(lines) + "\n", capture_output=True, text=True)
    if p.returncode:
        raise CommandError("%s: %s\n  %s" % (" ".join(argv), p.stderr.strip(), "\n  ".join(lines)))


def exists(ns):
    return os.path.exists("/run/netns/" + ns)


def in_ns(ns, argv):
    return ["ip", "netns", "exec", ns] + list(argv) if ns else list(argv)


def sysctl(ns, settings):
    run(in_ns(ns, ["sysctl", "-q", "-w"] + ["%s=%s" % kv for kv in settings.items()]))


def add(ns, forward=False, ipv6=True):
    """A fresh namespace with loopback up."""
    run(["ip", "netns", "add", ns])
    settings = {
        "net.ipv4.conf.all.rp_filter": 0, "net.ipv4.conf.default.rp_filter": 0,
        "net.ipv6.conf.all.accept_dad": 0, "net.ipv6.conf.default.accept_dad": 0,
        "net.ipv6.conf.all.accept_ra": 0, "net.ipv6.conf.default.accept_ra": 0,
        "net.ipv6.conf.default.router_solicitations": 0,
        "net.ipv4.ip_forward": int(forward), "net.ipv6.conf.all.forwarding": int(forward),
    }
    if not ipv6:
        settings["net.ipv6.conf.default.disable_ipv6"] = 1
    sysctl(ns, settings)
    batch(["link set lo up"], ns)


def delete(ns):
    """Kills what runs in ns and removes it; its links go with it."""
    if not exists(ns):
        return
    for pid in run(["ip", "netns", "pids", ns], check=False).stdout.split():
        try:
            os.kill(int(pid), 9)
        except ProcessLookupError:
            pass
    run(["ip", "netns", "delete", ns], check=False)


def veth(ns_a, if_a, ns_b, if_b, mtu=1500):
    """A cable.  ns None = the root namespace."""
    a = "link add %s mtu %d numtxqueues 1 numrxqueues 1 type veth peer name %s mtu %d numtxqueues 1 numrxqueues 1" % (
        if_a, mtu, if_b, mtu)
    if ns_b:
        a += " netns " + ns_b
    batch([a], ns_a)
    for ns, dev in ((ns_a, if_a), (ns_b, if_b)):
        run(in_ns(ns, ["ethtool", "-K", dev] + OFFLOADS), check=False)  # a fixed feature makes ethtool complain; see offloads_off
        batch(["link set %s up" % dev], ns)
        offloads_off(ns, dev)


def offloads_off(ns, dev):
    """Proves that checksums on this link are real."""
    out = run(in_ns(ns, ["ethtool", "-k", dev])).stdout
    for name in ("tx-checksumming", "tcp-segmentation-offload", "generic-segmentation-offload"):
        if "%s: on" % name in out:
            raise CommandError("%s in %s: %s is still on" % (dev, ns, name))


def address(ns, dev, *addrs):
    batch(["addr add %s dev %s%s" % (a, dev, " nodad" if ":" in a else "") for a in addrs], ns)


def routes(ns, *lines):
    batch(["route add " + line for line in lines], ns)
