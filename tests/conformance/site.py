"""A lab whose cluster is a real Kubernetes API server: tests/lab's topology, with pods on the backend bridge.

      suite (root namespace) ── router ── l4lb ── shard-1, shard-2 ── backend bridge ── pods, each in its own namespace
      agent (root namespace) ── API server, etcd, controllers, kubelet (root namespace, loopback)

The agent runs where the API server is; data planes reach it by its Unix socket, as they do on one box."""
import os
import shutil
import subprocess

from tests.lab import netns
from tests.lab.lab import Lab
from tests.lab.proc import wait_until

from . import build

HERE = os.path.dirname(os.path.abspath(__file__))
CONTROLLER = "gatehouse.dev/gateway"


class KubeLab(Lab):
    vip_pools = ("198.51.100.0/24", "2001:db8:20::/64")  # room for more than 64 Gateways
    usable_address, unusable_address = "198.51.100.200", "203.0.113.1"

    def __init__(self, parts, apply=(), **kw):
        self.parts, self.apply = parts, apply
        super().__init__(root_client=True, **kw)

    def program(self, part, name):
        return os.path.join(self.parts[part], name)

    def kubeconfig(self, who="admin"):
        return self.path("kube", who + ".kubeconfig")

    def _start_origins(self):
        """No origins of the lab's: pods are started by the kubelet."""

    def agent_config(self):
        text = super().agent_config().split("\n")
        text = [line for line in text if not line.startswith(("source =", "directory =", "status_dir ="))]
        return 'source = "kubernetes";\nkubernetes = { kubeconfig = "%s"; };\n' % self.kubeconfig("agent") + "\n".join(text)

    def spawn_in(self, host, name, argv, **kw):
        return self.spawn(name, list(argv), **kw) if host is None else super().spawn_in(host, name, argv, **kw)

    def start_agent(self):
        return self.start_daemon(None, "agent", "gatehouse-agent", self.agent_config())

    def start_cluster(self):
        images = ["echo-basic=" + self.program("suite", "echo-basic"), "coredns=" + self.program("dns", "coredns")]
        argv = [self.program("cluster", "cluster"), "up", "--dir", self.path("kube"), "--bin", self.parts["controlplane"],
                "--crds", self.program("suite", "crds"), "--bridge", self.ns("origin") + ":br0",
                "--pods4", "10.40.0.120-10.40.0.250/24", "--pods6", "fd00:40::1000-fd00:40::ffff/64"]
        for image in images:
            argv += ["--image", image]
        for path in self.apply:
            argv += ["--apply", os.path.join(HERE, path)]
        p = self.spawn("cluster", argv)

        def ready():
            if not p.alive():
                p.expected_exit = True  # reported here, once
                raise RuntimeError("the cluster ended at start:\n" + p.log()[-3000:])
            return "event=ready" in p.log()
        wait_until(ready, 90, "the cluster is ready")

    def start_all(self):
        self.start_cluster()
        super().start_all()

    def kubectl(self, *args, check=True):
        p = subprocess.run([self.program("controlplane", "kubectl"), "--kubeconfig", self.kubeconfig(), *args],
                           capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if check and p.returncode:
            raise RuntimeError("kubectl %s: %s" % (" ".join(args), p.stderr.strip()))
        return p.stdout

    def wait_ready_objects(self, condition, what, *names, timeout=60):
        self.kubectl("wait", "--for=" + condition, "--timeout=%ds" % timeout, what, *names)

    def down(self):
        if self.tmp:  # at once; with its peer's namespace it would go a moment later
            netns.run(["ip", "link", "delete", self.prefix + "-r"], check=False)
        super().down()

    def save_logs(self, why):
        for trouble in self.trouble() if self.tmp else []:
            print("# " + trouble, flush=True)
        if self.tmp and os.path.isdir(self.path("kube", "log")):
            shutil.copytree(self.path("kube", "log"), self.path("log", "kube"), dirs_exist_ok=True)
        super().save_logs(why)


def parts(version_of_suite=None):
    """The built programs; build.NoGo when there can be none."""
    return build.ensure(("controlplane", "cluster", "suite", "dns"), version_of_suite)
