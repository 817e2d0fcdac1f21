"""The agent in the machine and a Kubernetes API server outside (etcd and kube-apiserver of tests/conformance, in the site's namespace)."""
import os
import subprocess

from tests.conformance import build
from tests.lab.proc import wait_until

from .bed import BOOT_S
from .site import config, seed_disk


def kubernetes(bed, check):
    parts = build.ensure(("controlplane", "cluster", "suite"))
    manifests = bed.site.path("kube-site.yaml")
    with open(manifests, "w", encoding="utf-8") as f:
        f.write(bed.site.manifests())
    where = bed.site.path("kube")
    cluster = bed.site.spawn("cluster", [os.path.join(parts["cluster"], "cluster"), "up", "--dir", where, "--bin", parts["controlplane"], "--crds", os.path.join(parts["suite"], "crds"),
                                         "--address", "10.0.0.1", "--nodes", "0", "--apply", manifests])

    def ready():
        if not cluster.alive():
            raise RuntimeError("the cluster ended at start:\n" + cluster.log()[-2000:])
        return "event=ready" in cluster.log()
    wait_until(ready, 300, "the API server")
    with open(where + "/agent.kubeconfig", "rb") as f:
        kubeconfig = f.read()
    seed = seed_disk(bed.site.path("kube-seed.img"), {"gatehouse.cfg": config(('source = "directory"', 'source = "kubernetes"')), "kubeconfig": kubeconfig})
    with bed.machine("kube", seed=[(seed, "seed", True)]).start() as m:
        bed.wait_serving(m)
        check("the agent's kubeconfig source: a Gateway of an API server outside is served", True)

        def programmed():
            p = subprocess.run(bed.site.argv([os.path.join(parts["controlplane"], "kubectl"), "--kubeconfig", where + "/admin.kubeconfig", "-n", "demo", "get", "gateway", "web", "-o",
                                              'jsonpath={.status.conditions[?(@.type=="Programmed")].status}']), capture_output=True, text=True, check=False)
            return p.stdout == "True"
        wait_until(programmed, 180, "Programmed=True in the Gateway's status", 1.0)
        check("and its status in the cluster says Programmed", True)
        cluster.stop(30)
        m.kill()
        m.start()
        took = bed.wait_serving(m, BOOT_S)
        check("a power cut, then a start with no API server: serves from last known good in %.0f s" % took, not cluster.alive())
