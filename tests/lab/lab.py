"""The lab: every host of a Gatehouse site in network namespaces on this machine, and the daemons on them.

      client ──────── router ─────────── l4lb ──────────── shard-1 ──┐
      10.10.0.2    .1       .1      .2   up0│s1     .1  .2  eth0     │ backend bridge 10.40.0.0/24
      fd00:10::2     10.20.0.0/24           │   10.30.1.0/30         ├──────── origin: pods 10.40.0.101 ...
                     fd00:20::/64           │s2 ─────────── shard-2 ─┘         (echo_origin, nginx)
                                                10.30.2.0/30  eth1: 10.40.0.11, .12 ...
      l4lb's b0 (10.40.0.3, fd00:40::3) is on that bridge too: TCPRoute and UDPRoute go straight to the pods by NAT.

The router sends the VIP pools (192.0.2.0/26, 2001:db8:10::/64) to l4lb's uplink address; in each shard the pools are local
(AnyIP) and the default route is l4lb.  l4lb's interfaces have no kernel address: DPDK owns them.  IPv6 everywhere beside IPv4.

    with Lab() as lab:                       # namespaces, links, routes, origins
        lab.add_manifests("configs/demo")    # and certificates
        lab.start_all()                      # agent, shards, l4lb; waits until they are ready
        r = lab.client.curl("192.0.2.10", "http://shop.example/")

Everything made here is removed on leaving the context, on Ctrl-C and on failure; a crashed earlier run is removed at start.
One Lab per prefix at a time (a lock tells).  Forks only from the main thread (children die with it).
"""
import atexit
import fcntl
import glob
import json
import os
import re
import shutil
import signal
import tempfile
import time

from . import admin, certs, netns
from .client import Client
from .proc import Proc, wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STATE_DIR = "/run/gatehouse-lab"
VIP_POOLS = ("192.0.2.0/26", "2001:db8:10::/64")
HEALTH_PORT = 9000
# Pods on the backend network; names as a Deployment would give them.  tests use more than the demo's manifests name.
PODS = {
    "echo-v1-7d9c5b6f4-k2x8p": ("10.40.0.101", 8080), "echo-v1-7d9c5b6f4-t5n4w": ("10.40.0.102", 8080),
    "echo-v2-5f6d7c8b9-q7h3z": ("10.40.0.103", 8080), "echo-v2-5f6d7c8b9-m4j9r": ("fd00:40::104", 8080),
}
NGINX_ADDR = "10.40.0.110"


class LabBusy(RuntimeError):
    pass


class NoRights(RuntimeError):
    """This machine does not let us make network namespaces: tests exit 77."""


def build_dir():
    return os.environ.get("GATEHOUSE_BUILD") or os.path.join(ROOT, "build")


def have_rights():
    """None, or the reason why no lab can be made here."""
    if os.geteuid() != 0:
        return "not root"
    probe = "gh-probe-%d" % os.getpid()
    p = netns.run(["ip", "netns", "add", probe], check=False)
    netns.run(["ip", "netns", "delete", probe], check=False)
    return None if p.returncode == 0 else "cannot make a network namespace: " + p.stderr.strip()


class Lab:
    """shards: how many.  pools: [(name, [shard numbers], extra settings of the pool in agent.cfg)]; default one with all.
    driver: "af_xdp" (with fallback) or "af_packet".  root_client: this machine's root namespace is a second client."""

    vip_pools = VIP_POOLS

    def __init__(self, prefix=None, shards=2, driver=None, root_client=False, pools=None, l4_settings="", drain_ms=3000,
                 vip_pools=None):
        self.prefix = prefix or os.environ.get("GATEHOUSE_LAB_PREFIX") or "gh"
        self.n_shards, self.root_client, self.drain_ms = shards, root_client, drain_ms
        self.pools = pools or [("default", list(range(1, shards + 1)), "")]
        self.driver = driver or os.environ.get("GATEHOUSE_LAB_DRIVER") or "af_xdp"
        self.l4_settings = l4_settings
        self.vip_pools = vip_pools or self.vip_pools
        self.build = build_dir()
        self.sanitized = self.build.rstrip("/").endswith("-san")
        self.slow = 4.0 if self.sanitized else 1.0  # factor on start-up deadlines, never on what a test measures
        self.procs, self.finished, self.tmp, self._lock = {}, [], None, None
        self.notes = []

    # -- life

    def __enter__(self):
        self.up()
        return self

    def __exit__(self, exc_type, exc, tb):
        if exc_type:
            self.save_logs("failed: %s" % (exc or exc_type.__name__))
        self.down()

    def ns(self, host):
        return "%s-%s" % (self.prefix, host)

    def hosts(self):
        return ["client", "router", "l4lb", "origin"] + ["shard-%d" % i for i in self.shard_numbers()]

    def shard_numbers(self):
        return range(1, self.n_shards + 1)

    def up(self):
        why = have_rights()
        if why:
            raise NoRights(why)
        self._take_lock()
        for signo in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # SIGINT too: whoever started us may have had it ignored
            signal.signal(signo, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        atexit.register(self.down)
        try:
            self.tmp = tempfile.mkdtemp(prefix="gh-lab-")
            os.chmod(self.tmp, 0o755)
            for d in ("run", "log", "cfg", "manifests", "status", "state", "www", "tls"):
                os.makedirs(os.path.join(self.tmp, d))
            self._save_state()
            self._make_network()
            self.ca = certs.Authority(self.path("tls"))
            self.ca_path = self.ca.ca_path
            self.client = Client(self, self.ns("client"))
            self._start_origins()
        except BaseException:
            self.save_logs("the lab did not come up")
            self.down()
            raise

    def down(self):
        """Idempotent; leaves no process, namespace or file."""
        if self.tmp is None:
            return
        order = sorted(self.procs, key=lambda n: (not n.startswith("shard"), n))
        for name in order:  # ask all, then wait: drains run side by side
            if self.procs[name].alive():
                self.procs[name].signal(signal.SIGTERM)
        for name in order:
            self.procs[name].stop(self.drain_ms / 1000 + 3)
        for host in self.hosts():
            netns.delete(self.ns(host))
        shutil.rmtree(self.tmp, ignore_errors=True)
        shutil.rmtree("/var/run/dpdk/" + self._file_prefix(), ignore_errors=True)
        self.tmp = None
        self.procs = {}
        os.ftruncate(self._lock, 0)
        os.close(self._lock)
        atexit.unregister(self.down)

    def path(self, *parts):
        return os.path.join(self.tmp, *parts)

    def _file_prefix(self):
        return self.prefix + "-lab"

    def _take_lock(self):
        """The lock dies with its process, so a held one means a live lab; its file says what a dead one left behind."""
        os.makedirs(STATE_DIR, exist_ok=True)
        self._lock = os.open("%s/%s.lock" % (STATE_DIR, self.prefix), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabBusy("another lab with prefix %s is up; set GATEHOUSE_LAB_PREFIX to run a second one" % self.prefix)
        try:
            left = json.loads(os.read(self._lock, 65536) or b"{}")
        except ValueError:
            left = {}
        for host in left.get("namespaces", []):
            netns.delete(host)
        for host in self.hosts():
            netns.delete(self.ns(host))
        if str(left.get("tmp", "")).startswith(tempfile.gettempdir() + "/gh-lab-"):
            shutil.rmtree(left["tmp"], ignore_errors=True)

    def _save_state(self):
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, json.dumps({"pid": os.getpid(), "tmp": self.tmp,
                                          "namespaces": [self.ns(h) for h in self.hosts()]}).encode(), 0)

    # -- network

    def _make_network(self):
        for host in self.hosts():
            netns.add(self.ns(host), forward=host == "router", ipv6=host != "l4lb")
        client, router, l4lb, origin = (self.ns(h) for h in ("client", "router", "l4lb", "origin"))
        netns.veth(client, "eth0", router, "c0")
        netns.address(client, "eth0", "10.10.0.2/24", "fd00:10::2/64")
        netns.address(router, "c0", "10.10.0.1/24", "fd00:10::1/64")
        netns.routes(client, "default via 10.10.0.1", "default via fd00:10::1")
        netns.veth(router, "u0", l4lb, "up0")
        netns.address(router, "u0", "10.20.0.1/24", "fd00:20::1/64")
        netns.routes(router, self.vip_pools[0] + " via 10.20.0.2", self.vip_pools[1] + " via fd00:20::2")
        netns.batch(["link add br0 type bridge forward_delay 0 mcast_snooping 0", "link set br0 up"], origin)
        pods = [addr + ("/64" if ":" in addr else "/24") for addr, _ in PODS.values()]
        netns.address(origin, "br0", "10.40.0.1/24", "fd00:40::1/64", NGINX_ADDR + "/24", *pods)
        for i in self.shard_numbers():
            shard = self.ns("shard-%d" % i)
            netns.veth(l4lb, "s%d" % i, shard, "eth0")
            netns.address(shard, "eth0", "10.30.%d.2/30" % i, "fd00:30:%d::2/64" % i)
            netns.routes(shard, "default via 10.30.%d.1" % i, "default via fd00:30:%d::1" % i,
                         "local %s dev lo" % self.vip_pools[0], "local %s dev lo" % self.vip_pools[1])
            netns.veth(origin, "p%d" % i, shard, "eth1")
            netns.batch(["link set p%d master br0" % i], origin)
            netns.address(shard, "eth1", self.shard_backend(i) + "/24", "fd00:40::%d/64" % (10 + i))
        netns.veth(origin, "pb", l4lb, "b0")
        netns.batch(["link set pb master br0"], origin)
        netns.run(netns.in_ns(origin, ["ethtool", "-K", "br0", "tx", "off"]), check=False)  # software device: nothing on a wire
        if self.root_client:
            netns.veth(None, self.prefix + "-r", router, "r0")
            netns.address(None, self.prefix + "-r", "10.11.0.2/24", "fd00:11::2/64")
            netns.address(router, "r0", "10.11.0.1/24", "fd00:11::1/64")
            netns.routes(None, self.vip_pools[0] + " via 10.11.0.1", self.vip_pools[1] + " via fd00:11::1")

    @staticmethod
    def shard_backend(i):
        """Shard i's address on the backend network: what an origin sees as its peer."""
        return "10.40.0.%d" % (10 + i)

    def shard_of_peer(self, peer):
        """Shard number from the address an origin saw; 0 = none of ours."""
        return next((i for i in self.shard_numbers() if peer in (self.shard_backend(i), "fd00:40::%x" % (0x10 + i),
                                                                 "fd00:40::%d" % (10 + i))), 0)

    # -- processes

    def tool(self, name):
        """A program of this build."""
        where = {"gh_load": "tests/lab", "echo_origin": "tests/lab", "l4lb": "l4lb", "l7gw": "l7gw", "gatehouse-agent": "agent",
                 "gatectl": "ctl"}[name]
        path = os.path.join(self.build, where, name)
        if not os.path.exists(path):
            raise RuntimeError("%s is not built: run ./dev build" % path)
        return path

    def spawn(self, name, argv, stdout=None, env=None):
        old = self.procs.get(name)
        if old:
            if old.alive() and name != "load":
                raise RuntimeError("%s already runs" % name)
            self.finished.append(old)
        p = Proc(name, argv, self.path("log", name + ".log"), stdout=stdout, env=env)
        self.procs[name] = p
        return p

    def spawn_in(self, host, name, argv, **kw):
        # nsenter, not `ip netns exec`: the latter hides /sys/fs/bpf, which XDP programs need.
        return self.spawn(name, ["nsenter", "--net=/run/netns/" + self.ns(host)] + list(argv), **kw)

    def start_daemon(self, host, name, program, config, timeout=10):
        cfg = self.path("cfg", name + ".cfg")
        with open(cfg, "w") as f:
            f.write(config)
        env = {"ASAN_OPTIONS": "abort_on_error=0:detect_leaks=1:exitcode=99:quarantine_size_mb=8", "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
               "LSAN_OPTIONS": "suppressions=%s:print_suppressions=0" % os.path.join(ROOT, "tests/lab/lsan.supp")}
        p = self.spawn_in(host, name, [self.tool(program), "-c", cfg], env=env)

        def ready():
            if not p.alive():
                p.expected_exit = True  # reported here, once
                raise RuntimeError("%s ended at start with status %s:\n%s" % (name, p.popen.returncode, p.log()[-1500:]))
            return "event=ready" in p.log()
        wait_until(ready, timeout * self.slow, "%s logs event=ready; its log ends: %s" % (name, p.log()[-500:]))
        return p

    def _start_origins(self):
        pods = ["%s@%s:%d" % (pod, "[%s]" % addr if ":" in addr else addr, port) for pod, (addr, port) in PODS.items()]
        p = self.spawn_in("origin", "echo-origin", [self.tool("echo_origin")] + pods)
        wait_until(lambda: "ready" in p.log() or not p.alive(), 5, "echo_origin listens")
        conf = self.path("cfg", "nginx.conf")
        with open(self.path("www", "index.html"), "w") as f:
            f.write("nginx origin\n")
        with open(conf, "w") as f:
            f.write("worker_processes 1; daemon off; pid %s; error_log stderr warn;\nevents { worker_connections 4096; }\n"
                    "http { access_log off; sendfile on; keepalive_requests 1000000; client_max_body_size 0;\n"
                    "  client_body_temp_path %s; proxy_temp_path %s; fastcgi_temp_path %s; uwsgi_temp_path %s; scgi_temp_path %s;\n"
                    "  add_header X-Echo-Pod nginx always; add_header X-Echo-Peer $remote_addr always;\n"
                    "  server { listen %s:8080; root %s; location /hello { return 200 \"hello from nginx\\n\"; } } }\n" % (
                        self.path("run", "nginx.pid"), *[self.path("run", "t%d" % i) for i in range(5)], NGINX_ADDR, self.path("www")))
        p = self.spawn_in("origin", "nginx", ["nginx", "-e", "stderr", "-c", conf])
        wait_until(lambda: not p.alive() or netns.run(netns.in_ns(self.ns("origin"), [
            "curl", "-sf", "http://%s:8080/hello" % NGINX_ADDR]), check=False).returncode == 0, 5, "nginx answers")
        if not p.alive():
            raise RuntimeError("nginx: " + p.log())

    # -- daemons

    def sock(self, name):
        return self.path("run", name + ".sock")

    def agent_config(self):
        pools = []
        for name, numbers, extra in self.pools:
            shards = ", ".join('{ name = "shard-%d"; address = "10.30.%d.2"; address6 = "fd00:30:%d::2"; health_port = %d; }' % (
                i, i, i, HEALTH_PORT) for i in numbers)
            pools.append('  { name = "%s"; shards = ( %s ); %s }' % (name, shards, extra))
        return """controller_name = "gatehouse.dev/gateway";
source = "directory";
directory = { path = "%s"; settle_ms = 200; default_namespace = "default"; };
status_dir = "%s";
listen = { socket = "%s"; admin = "%s"; uids = [ ]; };
log_level = "info";
l4 = { members = [ "l4-1" ]; };
pools = (
%s
);
vip_pools = [ "%s", "%s" ];
push = { prepare_timeout_ms = 10000; };
""" % (self.path("manifests"), self.path("status"), self.sock("agent"), self.sock("agent-admin"), ",\n".join(pools),
           *self.vip_pools)

    def pool_of(self, i):
        return next(name for name, numbers, _ in self.pools if i in numbers)

    def shard_config(self, i):
        return """name = "shard-%d";
pool = "%s";
threads = 1;
control = { agents = [ "unix:%s" ]; admin = "%s"; state_dir = "%s"; };
log_level = "info";
access_log = "%s";
health = { addresses = [ "10.30.%d.2", "fd00:30:%d::2" ]; port = %d; };
limits = { max_connections = 20000; buffer_kb = 64; };
timeouts = { header = 10000; idle = 60000; connect = 3000; upstream_idle = 50000; drain = %d; };
""" % (i, self.pool_of(i), self.sock("agent"), self.sock("shard-%d" % i), self.path("state", "shard-%d" % i), self.access_log(i), i, i,
            HEALTH_PORT, self.drain_ms)

    def access_log(self, i):
        return self.path("log", "shard-%d.access.log" % i)

    def l4lb_config(self, driver):
        extra = ",busy_budget=0" if driver == "af_xdp" else ""

        def device(n, iface):
            return "net_%s%d,iface=%s%s" % (driver, n, iface, extra)
        ports = ['  { name = "up"; device = "%s"; role = "uplink"; addresses = [ "10.20.0.2/24", "fd00:20::2/64" ]; }' % device(0, "up0")]
        for i in self.shard_numbers():
            ports.append('  { name = "s%d"; device = "%s"; role = "shard"; addresses = [ "10.30.%d.1/30", "fd00:30:%d::1/64" ]; }'
                         % (i, device(i, "s%d" % i), i, i))
        ports.append('  { name = "b0"; device = "%s"; role = "shard"; addresses = [ "10.40.0.3/24", "fd00:40::3/64" ]; }' % device(
            self.n_shards + 1, "b0"))
        return """name = "l4-1";
control = { agents = [ "unix:%s" ]; admin = "%s"; state_dir = "%s"; };
log_level = "info";
dpdk = { cores = "%d"; hugepages = false; memory_mb = 256; eal = [ "--file-prefix=%s" ]; };
ports = (
%s
);
routes = ( { prefix = "0.0.0.0/0"; via = "10.20.0.1"; }, { prefix = "::/0"; via = "fd00:20::1"; } );
flows = { table_entries = 65536; };
%s
""" % (self.sock("agent"), self.sock("l4lb"), self.path("state", "l4lb"), (os.cpu_count() or 1) - 1, self._file_prefix(),
            ",\n".join(ports), self.l4_settings)

    def start_agent(self):
        return self.start_daemon("router", "agent", "gatehouse-agent", self.agent_config())

    def start_shard(self, i):
        return self.start_daemon("shard-%d" % i, "shard-%d" % i, "l7gw", self.shard_config(i))

    def start_l4lb(self):
        """With the chosen driver, or with af_packet (and a note saying why) when AF_XDP does not work here."""
        try:
            return self.start_daemon("l4lb", "l4lb", "l4lb", self.l4lb_config(self.driver), timeout=20)
        except RuntimeError as e:
            if self.driver != "af_xdp":
                raise
            reason = [line for line in str(e).splitlines() if line.strip()][-1]
            self.note("l4lb does not start on net_af_xdp, falling back to net_af_packet: " + reason)
            self.driver = "af_packet"
            return self.start_daemon("l4lb", "l4lb", "l4lb", self.l4lb_config(self.driver), timeout=20)

    def start_data_planes(self):
        for i in self.shard_numbers():
            self.start_shard(i)
        self.start_l4lb()

    def start_all(self):
        self.start_agent()
        self.start_data_planes()

    def note(self, text):
        self.notes.append(text)
        print("# " + text, flush=True)

    def kill(self, name, signo=signal.SIGKILL, wait=True):
        p = self.procs[name]
        p.signal(signo)
        if wait and p.wait(self.drain_ms / 1000 + 10) is None:
            raise TimeoutError("%s is still there after signal %d" % (name, signo))
        return p.popen.returncode

    # -- manifests

    def add_manifests(self, directory, secrets=()):
        """Copies every *.yaml of a directory; secrets: (namespace, name, [hosts]) become TLS Secrets of the lab's CA."""
        for src in sorted(glob.glob(os.path.join(ROOT, directory, "*.yaml"))):
            shutil.copy(src, self.path("manifests"))
        for namespace, name, hosts in secrets:
            self.write_manifest("secret-%s-%s.yaml" % (namespace, name), self.ca.secret(namespace, name, hosts))

    def write_manifest(self, name, text):
        """Replaces one file atomically, as an editor or a sync tool would; returns the time it became visible."""
        tmp = self.path("run", "new-manifest")
        with open(tmp, "w") as f:
            f.write(text)
        os.rename(tmp, self.path("manifests", name))
        return time.monotonic()

    def read_manifest(self, name):
        with open(self.path("manifests", name)) as f:
            return f.read()

    def remove_manifest(self, name):
        os.unlink(self.path("manifests", name))
        return time.monotonic()

    # -- looking in

    def ask(self, name, query="status", *args):
        """A daemon's admin answer, or None when it is not there."""
        try:
            return admin.ask(self.sock("agent-admin" if name == "agent" else name), query, *args)
        except (OSError, admin.AdminError):
            return None

    def data_planes(self):
        return ["l4lb"] + ["shard-%d" % i for i in self.shard_numbers()]

    def wait_until(self, cond, timeout, what):
        return wait_until(cond, timeout, what)

    def status_text(self, namespace, kind, name):
        """The status file the agent wrote for one object ("" = none yet)."""
        try:
            with open(self.path("status", "%s.%s.%s.yaml" % (namespace, kind.lower(), name))) as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def conditions(self, namespace, kind, name):
        """[(type, status, reason)] in file order, of the object and of its listeners or parents."""
        out, now = [], {}
        for line in self.status_text(namespace, kind, name).splitlines() + ["- end"]:
            text = line.strip()
            if text.startswith("- "):
                if "type" in now and "status" in now:
                    out.append((now["type"], now["status"], now.get("reason", "")))
                now, text = {}, text[2:]
            key, _, value = text.partition(":")
            if key in ("type", "status", "reason") and value.strip():
                now[key] = value.strip().strip("\"'")
        return out

    def programmed(self, namespace, name):
        return ("Programmed", "True", "Programmed") in self.conditions(namespace, "Gateway", name)

    def wait_programmed(self, namespace, name, timeout=15):
        wait_until(lambda: self.programmed(namespace, name), timeout * self.slow, "Gateway %s/%s Programmed=True; status: %s" % (
            namespace, name, self.status_text(namespace, "Gateway", name)[-800:]))

    def vips(self, namespace, name):
        """(IPv4, IPv6) of a Gateway, from the addresses in its status."""
        values = re.findall(r"^\s*(?:- )?value: *[\"']?([0-9a-fA-F.:]+)[\"']?\s*$", self.status_text(namespace, "Gateway", name), re.M)
        v4 = next((v for v in values if "." in v), "")
        v6 = next((v for v in values if ":" in v), "")
        return v4, v6

    def wait_backends_up(self, timeout=10):
        """l4lb's own probes have found every shard that runs."""
        want = {"shard-%d" % i for i in self.shard_numbers() if self.alive("shard-%d" % i)}

        def up():
            st = self.ask("l4lb")
            got = {b.get("name") for b in (st or {}).get("backends", []) if b.get("state", "").lower() in ("up", "ready")}
            return want <= got
        wait_until(up, timeout * self.slow, "l4lb sees %s up: %s" % (sorted(want), self.ask("l4lb")))

    def alive(self, name):
        return name in self.procs and self.procs[name].alive()

    def access_lines(self, i):
        out = []
        try:
            with open(self.access_log(i)) as f:
                for line in f:
                    try:
                        out.append(json.loads(line))
                    except ValueError:
                        pass  # the last line, being written
        except FileNotFoundError:
            pass
        return out

    def cpu_s(self, names):
        return sum(self.procs[n].cpu_s() for n in names)

    def trouble(self):
        return [t for p in self.finished + list(self.procs.values()) for t in p.trouble()]

    def stop_daemons(self):
        """Orderly end of everything of ours, so that exit statuses and leak reports can be judged; returns complaints."""
        bad = []
        names = [n for n in ["agent"] + self.data_planes() if self.alive(n)]
        for n in names:
            self.procs[n].signal(signal.SIGTERM)
        for n in names:
            rc = self.procs[n].wait((self.drain_ms / 1000 + 5) * self.slow)
            if rc != 0:
                bad.append("%s: exit status %s on SIGTERM: %s" % (n, rc, self.procs[n].log()[-400:]))
        return bad + self.trouble()

    def save_logs(self, why):
        if self.tmp is None:
            return
        dst = os.path.join(self.build, "lab-logs", self.prefix + time.strftime("-%H%M%S"))
        shutil.rmtree(dst, ignore_errors=True)
        os.makedirs(dst)
        for d in ("log", "cfg", "manifests", "status"):
            shutil.copytree(self.path(d), os.path.join(dst, d), ignore=shutil.ignore_patterns("secret-*"))
        answers = {n: self.ask(n) for n in ["agent"] + self.data_planes() if self.alive(n)}
        with open(os.path.join(dst, "status.json"), "w") as f:
            json.dump(answers, f, indent=1)
        print("# %s; logs of every host: %s" % (why, dst), flush=True)
