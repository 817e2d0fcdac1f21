"""Layer-7 bench: what the proxy costs, ours beside nginx, HAProxy, Envoy and a bare relay: CPU time per request and per new
connection by the scheduler's accounting, memory per idle connection.  Method: README.md.

Every target runs for the whole bench; the load visits them in turn, round by round, so drift of the machine hits all alike."""
import json
import re
import statistics
import subprocess

import l7_targets
from bed import CPU_LOAD, CPU_PROXY, HOST, Bed, anonymous_kib, cpu_us, descendants, in_ns, sh

# name, listener, load (h1 | h2), connections, streams, body bytes, CPU of load and origin, target ratio, in --quick
REQUESTS = [
    ("h1 1KiB c=1", "plain", "h1", 1, 1, 1024, CPU_LOAD, None, False),
    ("h1 1KiB c=64", "plain", "h1", 64, 1, 1024, CPU_LOAD, 0.80, True),
    ("h1 1KiB c=512", "plain", "h1", 512, 1, 1024, CPU_LOAD, 0.70, False),
    ("h1 1KiB c=2000", "plain", "h1", 2000, 1, 1024, CPU_LOAD, 0.70, False),
    ("h1 1KiB c=64, one CPU", "plain", "h1", 64, 1, 1024, CPU_PROXY, 0.65, True),
    ("h1 16KiB c=64", "plain", "h1", 64, 1, 16384, CPU_LOAD, None, False),
    ("h1 1MiB c=16", "plain", "h1", 16, 1, 1048576, CPU_LOAD, 0.90, True),
    ("tls h1 1KiB c=64", "tls", "h1", 64, 1, 1024, CPU_LOAD, 0.85, True),
    ("tls h2 1KiB c=16 m=1", "tls", "h2", 16, 1, 1024, CPU_LOAD, 0.90, False),
    ("tls h2 1KiB c=16 m=100", "tls", "h2", 16, 100, 1024, CPU_LOAD, 0.90, True),
]
# name, listener, kind of conns.c
CONNECTIONS = [
    ("new TLS connection, full", "tls", "tls"),
    ("new TLS connection, resumed", "tls", "resume"),
]
# name, listener, kind of conns.c, connections, target in KiB
IDLE = [
    ("idle connection, plain", "plain", "plain", 4000, 1),
    ("idle connection, TLS", "tls", "tls", 2000, 16),
    ("idle connection, TLS and h2", "tls", "h2", 2000, None),
]
ROUTES, ROUTES_MIB = 5000, 46


class Bench:
    def __init__(self, bed):
        self.bed, self.targets, self.missing = bed, [], []

    def start(self):
        self.origin = l7_targets.start_origin(self.bed, sorted({c[5] for c in REQUESTS}))
        for name in ("relay", "nginx", "haproxy", "envoy", "ours"):
            target = getattr(l7_targets, "start_" + name)(self.bed)
            if target:
                self.targets.append(target)
            else:
                self.missing.append("%s (l7)" % name)
        for target in self.targets:
            l7_targets.wait_serving(self.bed, target)

    def requests(self, target, listener, load, conns, streams, size, cpu, seconds):
        """Runs the load; (CPU of the proxy in us, requests answered).  Any error is an error of the bench."""
        host, port = target.ports[listener]
        url = "%s://%s:%d/%d" % ("https" if listener == "tls" else "http", host, port, size)
        if load == "h2":
            argv = ["h2load", "-t", "1", "-c", str(conns), "-m", str(streams), "-D", str(seconds), "--connect-to", "%s:%d" % (host, port),
                    "https://%s/%d" % (HOST, size)]
            good = r"requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded, 0 failed, 0 errored"
        else:
            argv = ["wrk", "-t", "1", "-c", str(conns), "-d", "%ds" % seconds, "-H", "Host: " + HOST, url]
            good = r"(\d+) requests in"
        pids = target.pids()
        before = cpu_us(pids)
        out = sh(*in_ns("taskset", "-c", cpu, *argv))
        used = cpu_us(pids) - before
        m = re.search(good, out)
        if not m or "Non-2xx" in out or "Socket errors" in out:
            raise SystemExit("bench: %s against %s: %s" % (argv[0], target.name, out))
        return used, int(m.group(1))

    def connections(self, target, listener, kind, seconds):
        host, port = target.ports[listener]
        pids = target.pids()
        before = cpu_us(pids)
        out = sh(*in_ns("taskset", "-c", CPU_LOAD, self.bed.tool("tests", "bench", "conns"), "new", host, str(port), kind, str(seconds)))
        used = cpu_us(pids) - before
        got = json.loads(out)
        if kind == "resume" and got["resumed"] < got["connections"] - 1:
            print("note: %s resumed %d of %d connections" % (target.name, got["resumed"], got["connections"]))
        return used, got["connections"]

    def idle_kib(self, target, listener, kind, n):
        """Own memory of the proxy per connection that has asked once and stays."""
        host, port = target.ports[listener]
        pids = target.pids()
        before = anonymous_kib(pids)
        p = subprocess.Popen(in_ns("taskset", "-c", CPU_LOAD, self.bed.tool("tests", "bench", "conns"), "idle", host, str(port), kind,
                                   str(n)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            if p.stdout.readline() != "ready\n":
                raise SystemExit("bench: conns idle against %s ended with %s" % (target.name, p.wait()))
            return (anonymous_kib(pids) - before) / float(n)
        finally:
            p.stdin.close()
            p.wait()

    def move_load(self, cpu):
        self.bed.pin([self.origin.pid] + descendants(self.origin.pid), cpu)

    def rounds(self, listener, n, once):
        """Median over n rounds of once(target), all targets in turn."""
        samples = {t.name: [] for t in self.targets if listener in t.ports}
        for _ in range(n):
            for t in self.targets:
                if t.name in samples:
                    samples[t.name].append(once(t))
        return {name: statistics.median(v) for name, v in samples.items()}


def row(case, unit, got, target):
    """target: what the ratio to the best peer may be; for memory what ours may be."""
    peers = {n: v for n, v in got.items() if n not in ("ours", "floor")}
    best = min(peers.values()) if peers else got.get("floor")
    return {"case": "l7 " + case, "unit": unit, "ours": got["ours"], "peers": peers, "floor": got.get("floor"),
            "ratio": got["ours"] / best if best else None, "target": target}


class Rows(list):
    """Shown as they come: the whole takes a quarter of an hour."""

    def append(self, r):
        print("  %s: %.2f, %s; ratio %s" % (r["case"], r["ours"], ", ".join("%s %.2f" % p for p in r["peers"].items()) or "no peer",
                                          "%.2f" % r["ratio"] if r["ratio"] else "-"), flush=True)
        super().append(r)


def per(pair):
    return pair[0] / pair[1]


def run(build, quick):
    n, seconds, rows = (2, 1, Rows()) if quick else (6, 2, Rows())
    with Bed(build) as bed:
        bench = Bench(bed)
        bench.start()
        for name, listener, load, conns, streams, size, cpu, target, in_quick in REQUESTS:
            if in_quick or not quick:
                bench.move_load(cpu)
                rows.append(row(name, "us CPU/request", bench.rounds(listener, n, lambda t: per(bench.requests(
                    t, listener, load, conns, streams, size, cpu, seconds))), target))
        bench.move_load(CPU_LOAD)
        for name, listener, kind in CONNECTIONS:
            if not quick:
                rows.append(row(name, "us CPU/connection", bench.rounds(listener, n, lambda t: per(bench.connections(
                    t, listener, kind, seconds))), None))
        missing = bench.missing
    if not quick:
        for name, listener, kind, count, target in IDLE:
            with Bed(build) as bed:  # fresh processes: memory that an earlier load left free would hide what a connection takes
                bench = Bench(bed)
                bench.start()
                rows.append(row(name, "KiB", bench.rounds(listener, 1, lambda t: bench.idle_kib(t, listener, kind, count)), target))
        rows.append(many_routes(build))
    return rows, missing


def many_routes(build):
    """Resident memory of a shard with so many routes, each with a cluster of its own.  Peers are not asked: no common ground."""
    with Bed(build) as bed:
        l7_targets.start_origin(bed, [1024])
        ours = l7_targets.start_ours(bed, ROUTES)
        l7_targets.wait_serving(bed, ours, host="h%d.example" % (ROUTES - 1), seconds=120)
        with open("/proc/%d/status" % ours.proc.pid) as f:
            kib = next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))
    got = row("resident, %d routes and clusters" % ROUTES, "MiB", {"ours": kib / 1024.0}, ROUTES_MIB)
    return got
