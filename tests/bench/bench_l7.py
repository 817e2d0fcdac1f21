"""Layer-7 bench: CPU time of the proxy per request (scheduler's accounting), ours against nginx, HAProxy and a bare relay.

 namespace gh-bench (loopback only)
   CPU 0: wrk or h2load  ──▶  CPU 1: the proxy under test  ──▶  CPU 0: origin (nginx, static file)

Every target runs for the whole bench; the load visits them in turn, round by round, so drift of the machine hits all alike.
"""
import os
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

NS = "gh-bench-l7"
HERE = os.path.dirname(os.path.abspath(__file__))
ORIGIN = "10.98.0.1"
VIP = "10.99.0.1"
CPU_PROXY, CPU_LOAD = "1", "0"

# name, kind (h1 | tls-h1 | tls-h2), connections, streams, body bytes, in --quick
CASES = [
    ("h1 1KiB c=64", "h1", 64, 1, 1024, True),
    ("h1 1KiB c=1", "h1", 1, 1, 1024, False),
    ("h1 1KiB c=512", "h1", 512, 1, 1024, False),
    ("h1 16KiB c=64", "h1", 64, 1, 16384, False),
    ("h1 1MiB c=16", "h1", 16, 1, 1048576, False),
    ("tls h1 1KiB c=64", "tls-h1", 64, 1, 1024, True),
    ("tls h2 1KiB c=16 m=10", "tls-h2", 16, 10, 1024, True),
]


def sh(*cmd, **kw):
    return subprocess.run(cmd, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kw).stdout


def in_ns(*cmd):
    return ["ip", "netns", "exec", NS] + list(cmd)


def cpu_ns(pids):
    """On-CPU nanoseconds of all threads of these processes (first field of schedstat)."""
    total = 0
    for pid in pids:
        for tid in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/schedstat" % (pid, tid)) as f:
                total += int(f.read().split()[0])
    return total


def descendants(pid):
    out = [pid]
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
            for child in f.read().split():
                out += descendants(int(child))
    except FileNotFoundError:
        pass
    return out


class Bed:
    """The namespace, the origin and the targets; removes everything on exit."""

    def __init__(self, build):
        self.build = build
        self.dir = tempfile.mkdtemp(prefix="gh-bench-")
        self.procs = []
        self.targets = {}  # name -> (Popen, {kind: url})
        self.missing = []

    def __enter__(self):
        try:
            self.bring_up()
        except BaseException:  # also SystemExit: nothing may stay behind
            self.__exit__()
            raise
        return self

    def bring_up(self):
        subprocess.run(["ip", "netns", "del", NS], stderr=subprocess.DEVNULL)
        sh("ip", "netns", "add", NS)
        sh(*in_ns("ip", "link", "set", "lo", "up"))
        sh(*in_ns("ip", "addr", "add", ORIGIN + "/32", "dev", "lo"))
        sh(*in_ns("ip", "route", "add", "local", "10.99.0.0/24", "dev", "lo"))
        self.certificate()
        self.origin()
        self.start_relay()
        self.start_nginx()
        self.start_haproxy()
        self.start_ours()
        for proc, urls in self.targets.values():
            self.wait_serving(proc, urls)

    def __exit__(self, *exc):
        for p in reversed(self.procs):
            if p.poll() is None:
                os.killpg(p.pid, signal.SIGKILL)
                p.wait()
        subprocess.run(["ip", "netns", "del", NS], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.dir, ignore_errors=True)

    def path(self, name, text=None):
        p = os.path.join(self.dir, name)
        if text is not None:
            os.makedirs(os.path.dirname(p), exist_ok=True)
            with open(p, "w", encoding="utf-8") as f:
                f.write(text)
        return p

    def spawn(self, cpu, *cmd):
        log = open(self.path("log-%d" % len(self.procs)), "wb")
        p = subprocess.Popen(in_ns("taskset", "-c", cpu, *cmd), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                             start_new_session=True, cwd=self.dir)
        log.close()
        self.procs.append(p)
        return p

    def certificate(self):
        sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
           "-subj", "/CN=bench.example", "-addext", "subjectAltName=DNS:bench.example", "-keyout", self.path("key.pem"),
           "-out", self.path("cert.pem"))
        with open(self.path("key.pem")) as k, open(self.path("cert.pem")) as c:
            self.key, self.cert = k.read(), c.read()
        self.path("both.pem", self.cert + self.key)

    def origin(self):
        for n in sorted({c[4] for c in CASES}):
            self.path("www/%d" % n, "x" * n)
        os.chmod(self.dir, 0o755)
        self.path("origin.conf", """daemon off; worker_processes 1; pid origin.pid; error_log stderr crit; user root;
events { worker_connections 8192; }
http { access_log off; keepalive_requests 100000000; keepalive_timeout 3600s; sendfile on; tcp_nopush on; open_file_cache max=16;
  server { listen %s:9000 backlog=4096; root %s/www; } }
""" % (ORIGIN, self.dir))
        self.spawn(CPU_LOAD, "nginx", "-p", self.dir, "-c", self.path("origin.conf"))

    def start_relay(self):
        relay = os.path.join(self.build, "tests", "bench", "relay")
        p = self.spawn(CPU_PROXY, relay, "9100", ORIGIN, "9000")
        self.targets["floor"] = (p, {"h1": "http://127.0.0.1:9100"})

    def start_nginx(self):
        if not shutil.which("nginx"):
            self.missing.append("nginx (l7)")
            return
        self.path("nginx.conf", """daemon off; worker_processes 1; pid nginx.pid; error_log stderr crit; user root;
events { worker_connections 8192; }
http { access_log off; keepalive_requests 100000000; keepalive_timeout 3600s; proxy_max_temp_file_size 0;
  upstream o { server %s:9000; keepalive 1024; keepalive_requests 100000000; keepalive_timeout 3600s; }
  server { listen 127.0.0.1:9200 backlog=4096 reuseport; listen 127.0.0.1:9201 ssl http2 backlog=4096 reuseport;
    ssl_certificate cert.pem; ssl_certificate_key key.pem;
    location / { proxy_pass http://o; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
                 proxy_set_header X-Forwarded-For $remote_addr; proxy_buffers 16 16k; proxy_buffer_size 16k; } } }
""" % ORIGIN)
        p = self.spawn(CPU_PROXY, "nginx", "-p", self.dir, "-c", self.path("nginx.conf"))
        self.targets["nginx"] = (p, {"h1": "http://127.0.0.1:9200", "tls-h1": "https://127.0.0.1:9201",
                                     "tls-h2": "https://127.0.0.1:9201"})

    def start_haproxy(self):
        if not shutil.which("haproxy"):
            self.missing.append("haproxy (l7)")
            return
        self.path("haproxy.cfg", """global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  option splice-auto
  http-reuse always
frontend f
  bind 127.0.0.1:9300
  bind 127.0.0.1:9301 ssl crt %s alpn h2,http/1.1
  option forwardfor
  default_backend o
backend o
  server s %s:9000 pool-max-conn -1
""" % (self.path("both.pem"), ORIGIN))
        p = self.spawn(CPU_PROXY, "haproxy", "-f", self.path("haproxy.cfg"))
        self.targets["haproxy"] = (p, {"h1": "http://127.0.0.1:9300", "tls-h1": "https://127.0.0.1:9301",
                                       "tls-h2": "https://127.0.0.1:9301"})

    def start_ours(self):
        indent = lambda text: "".join("    " + line + "\n" for line in text.splitlines())  # noqa: E731
        self.path("manifests/all.yaml", """apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: bench}
spec: {controllerName: gatehouse.dev/gateway}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: bench, namespace: default}
spec:
  gatewayClassName: bench
  addresses: [{type: IPAddress, value: %s}]
  listeners:
  - {name: http, port: 80, protocol: HTTP}
  - {name: https, port: 443, protocol: HTTPS, tls: {mode: Terminate, certificateRefs: [{name: bench-cert}]}}
---
apiVersion: v1
kind: Secret
metadata: {name: bench-cert, namespace: default}
type: kubernetes.io/tls
stringData:
  tls.crt: |
%s  tls.key: |
%s---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: bench, namespace: default}
spec:
  parentRefs: [{name: bench}]
  rules:
  - backendRefs: [{name: origin, port: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: origin, namespace: default}
spec: {ports: [{name: http, port: 80, targetPort: 9000}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: origin-1, namespace: default, labels: {kubernetes.io/service-name: origin}}
addressType: IPv4
ports: [{name: http, port: 9000, protocol: TCP}]
endpoints: [{addresses: ["%s"], conditions: {ready: true}}]
""" % (VIP, indent(self.cert), indent(self.key), ORIGIN))
        self.path("agent.cfg", """controller_name = "gatehouse.dev/gateway"; source = "directory";
directory = { path = "%(d)s/manifests"; settle_ms = 200; default_namespace = "default"; };
status_dir = "%(d)s/status";
listen = { socket = "%(d)s/agent.sock"; admin = "%(d)s/agent-admin.sock"; uids = []; };
l4 = { members = []; };
pools = ( { name = "default"; shards = ( { name = "shard-1"; address = "10.98.0.1"; health_port = 9900; } ); } );
vip_pools = [ "10.99.0.0/24" ];
push = { prepare_timeout_ms = 10000; };
""" % {"d": self.dir})
        self.path("l7gw.cfg", """name = "shard-1"; pool = "default"; threads = 1;
control = { agent = "%(d)s/agent.sock"; admin = "%(d)s/shard-1.sock"; state_dir = "%(d)s/shard-1"; };
access_log = "";
health = { addresses = [ "10.98.0.1" ]; port = 9900; };
""" % {"d": self.dir})
        self.spawn(CPU_LOAD, os.path.join(self.build, "agent", "gatehouse-agent"), "-c", self.path("agent.cfg"))
        p = self.spawn(CPU_PROXY, os.path.join(self.build, "l7gw", "l7gw"), "-c", self.path("l7gw.cfg"))
        self.targets["ours"] = (p, {"h1": "http://%s:80" % VIP, "tls-h1": "https://%s:443" % VIP,
                                    "tls-h2": "https://%s:443" % VIP})

    def wait_serving(self, proc, urls):
        """Polls the target until a request comes through, for at most 15 s."""
        deadline = time.monotonic() + 15
        for url in urls.values():
            host, port = url.split("//")[1].split(":")
            while True:
                r = subprocess.run(in_ns("curl", "-sk", "-o", "/dev/null", "-m", "2", "-w", "%{http_code}", "--resolve",
                                         "bench.example:%s:%s" % (port, host),
                                         "%s://bench.example:%s/1024" % (url.split(":")[0], port)),
                                   stdout=subprocess.PIPE, text=True)
                if r.stdout == "200":
                    break
                if proc.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("bench: %s does not serve (%s); logs in %s" % (url, r.stdout, self.keep_logs()))
                time.sleep(0.05)  # between two polls of a condition, not a wait for one

    def keep_logs(self):
        keep = os.path.join(self.build, "bench-logs")
        shutil.rmtree(keep, ignore_errors=True)
        shutil.copytree(self.dir, keep, ignore=shutil.ignore_patterns("*.sock", "www"))
        return keep

    def load(self, kind, url, conns, streams, size, seconds):
        """Runs the load tool; returns the number of good requests.  Any error is an error of the bench."""
        host, port = url.split("//")[1].split(":")
        if kind == "tls-h2":
            out = sh(*in_ns("taskset", "-c", CPU_LOAD, "h2load", "-t", "1", "-c", str(conns), "-m", str(streams), "-D",
                            str(seconds), "--connect-to", "%s:%s" % (host, port), "https://bench.example/%d" % size))
            m = re.search(r"requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored", out)
            if not m or int(m.group(2)) or int(m.group(3)):
                raise SystemExit("bench: h2load against %s: %s" % (url, out))
            return int(m.group(1))
        out = sh(*in_ns("taskset", "-c", CPU_LOAD, "wrk", "-t", "1", "-c", str(conns), "-d", "%ds" % seconds, "-H",
                        "Host: bench.example", "%s/%d" % (url, size)))
        m = re.search(r"(\d+) requests in", out)
        if not m or "Non-2xx" in out or "Socket errors" in out:
            raise SystemExit("bench: wrk against %s: %s" % (url, out))
        return int(m.group(1))


def run(build, quick):
    rounds, seconds = (2, 1) if quick else (6, 2)
    rows = []
    with Bed(build) as bed:
        for name, kind, conns, streams, size, in_quick in CASES:
            if quick and not in_quick:
                continue
            samples = {t: [] for t, (_, urls) in bed.targets.items() if kind in urls}
            for _ in range(rounds):
                for t in samples:
                    proc, urls = bed.targets[t]
                    pids = descendants(proc.pid)
                    before = cpu_ns(pids)
                    n = bed.load(kind, urls[kind], conns, streams, size, seconds)
                    samples[t].append((cpu_ns(pids) - before) / 1000.0 / n)
            med = {t: statistics.median(v) for t, v in samples.items()}
            peers = {t: med[t] for t in med if t not in ("ours", "floor")}
            best = min(peers.values()) if peers else med.get("floor")
            rows.append({"case": "l7 " + name, "unit": "us CPU/request", "ours": med.get("ours"), "peers": peers,
                         "floor": med.get("floor"), "ratio": med["ours"] / best if "ours" in med and best else None,
                         "target": None})
        return rows, bed.missing
