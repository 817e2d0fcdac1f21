"""./dev demo: the whole product on this machine, from configs/demo/.  --once: its checks, and the end."""
import os
import signal
import sys
import threading
import time

from tests.e2e import (agent_down, bad_manifest, drain, idle, lkg_boot, reload_under_load, routing, shard_kill, simple_http, streaming, tls,
                       weights)

from .lab import Lab, LabBusy, NoRights
from .netns import CommandError
from .scenario import Checks, Site

# The order matters for a reader only: each leaves the site as it found it.
ONCE = (("Plain HTTP", simple_http), ("HTTPS", tls), ("Matches, redirects, rewrites, headers", routing), ("Weights", weights),
        ("Idle", idle), ("Large bodies", streaming), ("Edits under load", reload_under_load), ("A bad manifest", bad_manifest),
        ("A shard killed", shard_kill), ("A shard drained", drain), ("The agent killed", agent_down),
        ("Started with no agent", lkg_boot))


class DemoChecks(Checks):
    """Without TAP: ✓ and ✗."""

    def __call__(self, name, ok, detail=""):
        if ok:
            self.passed += 1
        else:
            self.failed += 1
        print("  %s %s" % ("✓" if ok else "✗", name), flush=True)
        if not ok and detail:
            for line in str(detail).splitlines()[:20]:
                print("      " + line, flush=True)
        return ok

    def info(self, text):
        print("    " + text, flush=True)


def explain(lab, site):
    p = lab.prefix
    ns = "ip netns exec %s-client" % p
    gatectl = os.path.relpath(lab.tool("gatectl")) if os.path.exists(os.path.join(lab.build, "ctl/gatectl")) else None
    print("""
  client 10.10.0.2 ── router ── l4lb (%(driver)s) ──┬── shard-1 10.30.1.2 ──┬── echo-v1 (2 pods), echo-v2 (2 pods), nginx
  fd00:10::2                                         └── shard-2 10.30.2.2 ──┘
  Gateway demo/web is %(v4)s and %(v6)s, from the manifests in %(dir)s

Try it (as root, in another terminal):
  %(ns)s curl -s --connect-to ::%(v4)s: http://echo.example/                    plain HTTP; the origin says what it saw
  %(ns)s curl -s --connect-to '::[%(v6)s]:' http://echo.example/     over IPv6
  %(ns)s curl -s --http2 --cacert %(ca)s --connect-to ::%(v4)s: https://secure.example/
  %(ns)s curl -s --connect-to ::%(v4)s: -H 'x-canary: yes' http://match.example/
  %(ns)s curl -si --connect-to ::%(v4)s: http://redirect.example/old/page
  for i in $(seq 10); do %(ns)s curl -s --connect-to ::%(v4)s: http://split.example/ | jq -r .pod; done
Edit a route and see it act:
  sed -i 's/echo-v1/echo-v2/' %(dir)s/50-live.yaml
  %(ns)s curl -s --connect-to ::%(v4)s: http://live.example/ | jq -r .pod
Break something:
  echo 'nonsense: [' > %(dir)s/bad.yaml; sleep 1; tail -1 %(tmp)s/log/agent.log; rm %(dir)s/bad.yaml
  kill -9 %(shard)d     # shard-1
  kill -9 %(agent)d     # the agent
Look inside:
  ls %(tmp)s/status     # what Kubernetes would see
  tail -f %(tmp)s/log/shard-1.access.log""" % {
        "driver": lab.driver, "v4": site.v4, "v6": site.v6, "dir": lab.path("manifests"), "tmp": lab.tmp, "ns": ns, "ca": lab.ca_path,
        "shard": lab.procs["shard-1"].pid, "agent": lab.procs["agent"].pid})
    if gatectl:
        print("  %s -d %s status" % (gatectl, lab.path("run")))
        print("  %s -d %s get gateways" % (gatectl, lab.path("run")))
        print("  %s check %s" % (gatectl, lab.path("manifests")))
    print("\nCtrl-C ends it and removes everything.", flush=True)


def once(lab, site, check):
    for title, module in ONCE:
        print("%s:" % title, flush=True)
        check.guarded(title, module.scenario, site, check)
    complaints = lab.stop_daemons()
    check("every daemon ends with status 0 on SIGTERM", not complaints, "\n".join(complaints))
    if check.failed:
        lab.save_logs("%d checks failed" % check.failed)


def main(argv):
    if [a for a in argv if a != "--once"]:
        sys.exit("usage: ./dev demo [--once]")
    check = DemoChecks()
    start = time.monotonic()
    try:
        with Lab() as lab:
            site = Site(lab)
            ready = check.guarded("start", site.start)
            if ready:
                check("both tiers are up and programmed from configs/demo in %.1f s: Gateway demo/web is %s and %s, port driver %s" % (
                    time.monotonic() - start, site.v4, site.v6, lab.driver), bool(site.v4 and site.v6))
            if "--once" in argv:
                if ready:
                    once(lab, site, check)
                else:
                    lab.save_logs("the appliance did not start")
            elif ready:
                explain(lab, site)
                signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
                threading.Event().wait()
            else:
                lab.save_logs("the appliance did not start")
    except KeyboardInterrupt:
        print("\nremoved everything.")
        return 130 if "--once" in argv else 0
    except (NoRights, LabBusy, CommandError, OSError, RuntimeError, TimeoutError) as e:
        check("a lab on this machine", False, e)
    if "--once" in argv or check.failed:
        print("\ntook %.0f s" % (time.monotonic() - start))
        print("demo: %d passed, %d failed" % (check.passed, check.failed), flush=True)
    return 1 if check.failed or not check.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
