"""The bed of the layer-7 bench: a namespace with nothing but loopback, processes pinned to CPUs, and what they used.

 CPU 0: load tool, origin, agent        CPU 1: the proxy under test
"""
import os
import shutil
import signal
import subprocess
import tempfile

NS = "gh-bench-l7"
ORIGIN, ORIGIN_PORT = "10.98.0.1", 9000
VIP = "10.99.0.1"
CPU_PROXY, CPU_LOAD = "1", "0"
HOST = "bench.example"


def sh(*cmd, **kw):
    return subprocess.run(cmd, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kw).stdout


def in_ns(*cmd):
    return ["nsenter", "--net=/run/netns/" + NS] + list(cmd)


def descendants(pid):
    out = [pid]
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
            for child in f.read().split():
                out += descendants(int(child))
    except FileNotFoundError:
        pass
    return out


def cpu_us(pids):
    """On-CPU microseconds of all threads of these processes (first field of schedstat)."""
    total = 0
    for pid in pids:
        for tid in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/schedstat" % (pid, tid)) as f:
                total += int(f.read().split()[0])
    return total / 1000.0


def anonymous_kib(pids):
    """Memory of their own (not shared with a file) that these processes hold, in KiB."""
    total = 0
    for pid in pids:
        with open("/proc/%d/smaps_rollup" % pid) as f:
            total += sum(int(line.split()[1]) for line in f if line.startswith("Anonymous:"))
    return total


class Target:
    """A proxy: its process and the address of each kind of listener: {"plain" | "tls" | "h2c": (host, port)}."""

    def __init__(self, name, proc, ports):
        self.name, self.proc, self.ports = name, proc, ports

    def pids(self):
        return descendants(self.proc.pid)


class Bed:
    """Namespace, scratch folder and processes; everything is gone on exit, also on Ctrl-C."""

    def __init__(self, build):
        self.build, self.dir, self.procs = build, tempfile.mkdtemp(prefix="gh-bench-"), []

    def __enter__(self):
        try:
            os.chmod(self.dir, 0o755)
            subprocess.run(["ip", "netns", "del", NS], stderr=subprocess.DEVNULL)
            sh("ip", "netns", "add", NS)
            sh(*in_ns("sysctl", "-q", "net.ipv4.tcp_congestion_control=reno", "net.ipv4.ip_local_port_range=1024 65535"))
            sh(*in_ns("ip", "link", "set", "lo", "up"))
            sh(*in_ns("ip", "addr", "add", ORIGIN + "/32", "dev", "lo"))
            sh(*in_ns("ip", "route", "add", "local", "10.99.0.0/24", "dev", "lo"))
            self.certificate()
        except BaseException:  # also SystemExit: nothing may stay behind
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc):
        for p in reversed(self.procs):
            self.end(p)
        subprocess.run(["ip", "netns", "del", NS], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.dir, ignore_errors=True)

    @staticmethod
    def end(p):
        if p.poll() is None:
            os.killpg(p.pid, signal.SIGKILL)
            p.wait()

    def path(self, name, text=None):
        p = os.path.join(self.dir, name)
        if text is not None:
            os.makedirs(os.path.dirname(p), exist_ok=True)
            with open(p, "w", encoding="utf-8") as f:
                f.write(text)
        return p

    def tool(self, *parts):
        return os.path.join(self.build, *parts)

    def spawn(self, cpu, *cmd):
        with open(self.path("log-%d" % len(self.procs)), "wb") as log:
            p = subprocess.Popen(in_ns("taskset", "-c", cpu, *cmd), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                 start_new_session=True, cwd=self.dir)
        self.procs.append(p)
        return p

    @staticmethod
    def pin(pids, cpu):
        for pid in pids:
            sh("taskset", "-a", "-p", "-c", cpu, str(pid))

    def certificate(self):
        sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
           "-subj", "/CN=" + HOST, "-addext", "subjectAltName=DNS:" + HOST, "-keyout", self.path("key.pem"), "-out", self.path("cert.pem"))
        with open(self.path("key.pem")) as k, open(self.path("cert.pem")) as c:
            self.key, self.cert = k.read(), c.read()
        self.path("both.pem", self.cert + self.key)

    def keep_logs(self):
        keep = os.path.join(self.build, "bench-logs")
        shutil.rmtree(keep, ignore_errors=True)
        shutil.copytree(self.dir, keep, ignore=shutil.ignore_patterns("*.sock", "www"))
        return keep
