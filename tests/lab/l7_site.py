"""The site of the shard's own scenarios: one shard alone on loopback, programmed by a real agent from manifests.

   raw sockets, curl, h2load ──▶ l7gw (127.83.1.1) ──▶ nginx, and an origin that misbehaves on request
                                    ▲
                                  agent ◀── manifests

Loopback addresses only; own_loopback() gives each run a network namespace of its own, where the machine lets us."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

from tests.lab import admin
from tests.lab.certs import Authority
from tests.lab.lab import build_dir
from tests.lab.proc import Proc, wait_until
from tests.lab.raw_client import SLOW, Http2, Raw
from tests.lab.scenario import Checks
from tests.lab.wayward_origin import Origin

VIP, HTTP, HTTPS, ORIGIN, NGINX, HEALTH = "127.83.1.1", 18080, 18443, 18083, 18084, 18090
CLOSED = 18099  # nobody listens there
RSS_LIMIT_KIB = 65536
MANY = 1 << 30

MANIFEST = """
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: gatehouse}
spec: {controllerName: gatehouse.dev/gateway}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: default}
spec:
  gatewayClassName: gatehouse
  addresses: [{type: IPAddress, value: %(vip)s}]
  listeners:
  - {name: http, port: %(http)d, protocol: HTTP}
  - {name: one, port: %(https)d, protocol: HTTPS, hostname: one.example, tls: {certificateRefs: [{name: web-tls}]}}
  - {name: wild, port: %(https)d, protocol: HTTPS, hostname: "*.wild.example", tls: {certificateRefs: [{name: web-tls}]}}
""" % {"vip": VIP, "http": HTTP, "https": HTTPS}

SERVICE = """
---
apiVersion: v1
kind: Service
metadata: {name: %(name)s, namespace: default}
spec: {ports: [{name: http, port: 80, targetPort: %(port)d}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %(name)s-1, namespace: default, labels: {kubernetes.io/service-name: %(name)s}}
addressType: IPv4
ports: [{name: http, port: %(port)d, protocol: TCP}]
endpoints: [%(endpoints)s]
"""
ENDPOINT = "{addresses: [%s], conditions: {ready: true}}"

ROUTE = """
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %(name)s, namespace: default}
spec:
  parentRefs: [{name: web}]
  hostnames: [%(host)s]
  rules:
  - %(extra)s
    backendRefs: [{name: %(backend)s, port: 80}]
"""


def service(name, port, addresses=("127.0.0.1",)):
    return SERVICE % {"name": name, "port": port, "endpoints": ", ".join(ENDPOINT % a for a in addresses)}


def route(name, host, backend, extra="matches: [{path: {type: PathPrefix, value: /}}]"):
    return ROUTE % {"name": name, "host": host, "backend": backend, "extra": extra}


# -- clients

def raw(tls_name=None, rcvbuf=None):
    return Raw((VIP, HTTPS if tls_name else HTTP), tls_name, rcvbuf)


def raw_to(address):
    return Raw((address, HTTP))


def http2(path):
    return Http2((VIP, HTTP), path)


# -- the site

class Site:
    settings, limits, timeouts = "", "", "settings = 60000;"  # of l7gw.cfg: a scenario's own

    io_uring = "auto"

    def __init__(self, directory):
        self.dir, self.procs = directory, {}
        self.io_uring = os.environ.get("GATEHOUSE_IO_URING", self.io_uring)
        self.origin = Origin(ORIGIN)
        self.ca = Authority(directory + "/ca")
        for d in ("manifests", "status", "www/put"):
            os.makedirs("%s/%s" % (directory, d))
        os.chmod(directory, 0o755)
        os.chmod(directory + "/www/put", 0o777)
        with open(directory + "/www/hello", "w") as f:
            f.write("hello\n")
        with open(directory + "/www/big", "w") as f:
            f.truncate(MANY)
        self.write("secret", self.ca.secret("default", "web-tls", ["one.example", "*.wild.example"]))
        self.write("gateway", MANIFEST)
        self.write("backends", service("origin", ORIGIN) + service("nginx", NGINX) + service("dead", CLOSED) +
                   service("half", ORIGIN, ("127.0.0.1", "127.0.0.77")) + SERVICE % {"name": "empty", "port": ORIGIN, "endpoints": ""})
        self.write("routes", route("origin", "origin.example", "origin") + route("one", "one.example, any.wild.example", "origin") +
                   route("nginx", "nginx.example", "nginx") + route("dead", "dead.example", "dead") + route("empty", "empty.example", "empty") +
                   route("half", "half.example", "half") + route("missing", "missing.example", "nowhere") +
                   route("timeout", "timeout.example", "origin", "timeouts: {request: 300ms}"))
        self.write("live", route("live", "live.example", "origin", self.live(1)))

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        tmp = self.path(name + ".tmp")
        with open(tmp, "w") as f:
            f.write(text)
        os.rename(tmp, self.path("manifests/%s.yaml" % name))

    @staticmethod
    def live(n):
        return ("matches: [{path: {type: PathPrefix, value: /}}]\n"
                "    filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-live, value: \"%d\"}]}}]" % n)

    def start(self):
        with open(self.path("nginx.conf"), "w") as f:
            f.write("daemon off; worker_processes 1; pid %(d)s/nginx.pid; error_log %(d)s/nginx.err;\n"
                    "events { worker_connections 4096; }\nhttp { access_log off; client_max_body_size 0; keepalive_requests 1000000;\n"
                    "client_body_temp_path %(d)s/t1; proxy_temp_path %(d)s/t2; fastcgi_temp_path %(d)s/t3; uwsgi_temp_path %(d)s/t4;\n"
                    "scgi_temp_path %(d)s/t5; server { listen 127.0.0.1:%(p)d backlog=4096; root %(d)s/www; location /put/ { dav_methods PUT; } } }\n"
                    % {"d": self.dir, "p": NGINX})
        with open(self.path("agent.cfg"), "w") as f:
            f.write('controller_name = "gatehouse.dev/gateway"; source = "directory"; status_dir = "%(d)s/status"; log_level = "info";\n'
                    'directory = { path = "%(d)s/manifests"; settle_ms = 100; default_namespace = "default"; };\n'
                    'listen = { socket = "%(d)s/agent.sock"; admin = "%(d)s/agent-admin.sock"; uids = [ ]; };\n'
                    'l4 = { members = [ ]; }; push = { prepare_timeout_ms = 10000; }; vip_pools = [ "127.83.1.0/26" ];\n'
                    'pools = ( { name = "default"; shards = ( { name = "shard-1"; address = "127.0.0.1"; health_port = %(h)d; } ); } );\n'
                    % {"d": self.dir, "h": HEALTH})
        with open(self.path("l7gw.cfg"), "w") as f:
            f.write('name = "shard-1"; pool = "default"; threads = 2; %(settings)s log_level = "info"; access_log = "%(d)s/access.log"; io_uring = "%(u)s";\n'
                    'control = { agents = [ "unix:%(d)s/agent.sock" ]; admin = "%(d)s/l7gw.sock"; state_dir = "%(d)s/state"; };\n'
                    'health = { addresses = [ "127.0.0.1" ]; port = %(h)d; }; limits = { max_connections = 2000; buffer_kb = 64; %(limits)s };\n'
                    'timeouts = { header = 1000; idle = 20000; connect = 3000; upstream_idle = 20000; tunnel_idle = 2000; drain = 8000; %(timeouts)s };\n'
                    % {"d": self.dir, "h": HEALTH, "u": self.io_uring, "settings": self.settings, "limits": self.limits, "timeouts": self.timeouts})
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        self.spawn("nginx", [nginx, "-e", self.path("nginx.err"), "-c", self.path("nginx.conf")])
        self.spawn("agent", [os.path.join(build_dir(), "agent/gatehouse-agent"), "-c", self.path("agent.cfg")])
        wait_until(lambda: os.path.exists(self.path("agent.sock")), 10, "the agent's socket")
        self.start_l7gw()

    def start_l7gw(self):
        self.spawn("l7gw", [os.path.join(build_dir(), "l7gw/l7gw"), "-c", self.path("l7gw.cfg")])
        wait_until(lambda: "event=ready" in self.procs["l7gw"].log(), 10 * SLOW, "l7gw ready")
        wait_until(lambda: "event=sends by=" + ("send why=off" if self.io_uring == "off" else "") in self.procs["l7gw"].log(), 1, "io_uring as configured")
        wait_until(lambda: self.ask("status")["rules"] >= 9, 10 * SLOW, "the configuration")

    def spawn(self, name, argv):
        self.procs[name] = Proc(name, argv, self.path(name + ".log"))

    def ask(self, query):
        return admin.ask(self.path("l7gw.sock"), query)

    def rss_kib(self):
        return self.procs["l7gw"].memory_kib()

    def access(self):
        with open(self.path("access.log")) as f:
            return [json.loads(l) for l in f if l.endswith("\n")]

    def stop(self):
        complaints = []
        for name in ("l7gw", "agent", "nginx"):
            p = self.procs.get(name)
            if p:
                rc = p.stop(15 * SLOW)
                if name != "nginx":
                    complaints += p.trouble()
                    if rc != 0:
                        complaints.append("%s: exit status %s" % (name, rc))
        return complaints


def curl(*args, timeout=60):
    fmt = "%{http_code} %{http_version} %{size_download} %{num_connects}"
    p = subprocess.run(["curl", "-sk", "-o", "/dev/null", "-w", fmt, "--max-time", str(timeout * SLOW),
                        "--connect-to", "::%s:" % VIP, *args], capture_output=True, text=True)
    v = p.stdout.split()
    return {"rc": p.returncode, "status": int(v[0]), "version": v[1], "bytes": int(v[2])}


def own_loopback():
    """Starts again in a new network namespace, where this machine lets us."""
    if "GH_L7_NETNS" in os.environ:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    elif subprocess.run(["unshare", "--net", "true"], stderr=subprocess.DEVNULL).returncode == 0:
        os.environ["GH_L7_NETNS"] = "1"
        os.execvp("unshare", ["unshare", "--net", sys.executable] + sys.argv)


def run(name, steps, make=Site):
    """The site, the steps on it one after the other, the end; exits with 0 when all held."""
    own_loopback()
    check = Checks(name)
    with tempfile.TemporaryDirectory(prefix="gh-l7-") as d:
        site = make(d)
        try:
            if check.guarded("start", site.start):
                for step in steps:
                    check.guarded(step.__name__, step, site, check)
        finally:
            complaints = site.stop()
        check("every daemon ended with status 0, no sanitizer report", not complaints, "\n".join(complaints))
        if check.failed:
            for name in ("l7gw", "agent"):
                with open(site.path(name + ".log")) as f:
                    print("".join("# %s: %s" % (name, l) for l in f.readlines()[-30:]), end="")
    sys.exit(1 if check.failed else 0)
