"""./dev test conformance [-run NAME | --suite VERSION | --expected | --harness] and ./dev cluster [--stay].

  (nothing)     the official suite, all five GATEWAY profiles; its report goes to build/conformance-report.yaml
  -run NAME     one test of it
  --suite main  the whole suite of another version: its main branch (when that can be had), or a tag; expected.txt is not asked of it
  --expected    the harness's own tests, then the tests of expected.txt
  --harness     the harness's own tests: a cluster starts, runs pods, loses its API server, leaves nothing

The exit status is 0 when everything on expected.txt that was to run passed (with -run: when that test passed), every daemon of
ours ended well, and nothing was left behind.  77: it did not run; the last line says why."""
import ctypes
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

from tests.lab.lab import ROOT, LabBusy, NoRights, build_dir, have_rights

from . import build, outcome, site

PROFILES = "GATEWAY-HTTP,GATEWAY-GRPC,GATEWAY-TLS,GATEWAY-TCP,GATEWAY-UDP"
PREFIX = os.environ.get("GATEHOUSE_LAB_PREFIX") or "gh-cf"
WHOLE_MINUTES = 45
# How long a test that is going to fail may hang on: the suite's own limits, made shorter.  A status of ours takes milliseconds.
TIMEOUTS = {"NamespacesMustBeReady": 30, "LatestObservedGenerationSet": 30, "DefaultTestTimeout": 30, **dict.fromkeys((
    "GatewayMustHaveAddress", "GatewayMustHaveCondition", "GatewayStatusMustHaveListeners", "GatewayListenersMustHaveConditions",
    "ListenerSetMustHaveCondition", "ListenerSetListenersMustHaveConditions", "GWCMustBeAccepted", "HTTPRouteMustHaveCondition",
    "TLSRouteMustHaveCondition", "TCPRouteMustHaveCondition", "UDPRouteMustHaveCondition", "RouteMustHaveParents"), 20)}
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def did_not_run(why):
    print("skipped: did not run, because " + why, flush=True)
    return 77


def stream(argv, log_path, env, each):
    """Runs argv, its output into log_path and line by line to each; killed with us."""
    with open(log_path, "w") as log:
        p = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, errors="replace",
                             env=env, cwd=os.path.dirname(log_path), start_new_session=True,
                             preexec_fn=lambda: _libc.prctl(1, signal.SIGKILL))
        try:
            for line in p.stdout:
                line = line.replace("\x16", "")  # test2json's mark; that mode has results written as they come
                log.write(line)
                log.flush()
                each(line)
            return p.wait()
        finally:
            if p.poll() is None:
                os.killpg(p.pid, signal.SIGTERM)
                try:
                    p.wait(10)
                except subprocess.TimeoutExpired:
                    os.killpg(p.pid, signal.SIGKILL)
                    p.wait()


def own_network():
    """From here on this process's root namespace is one of its own: several runs side by side, and none touches the machine's.
    The programs are built before: the new one reaches nothing."""
    if _libc.unshare(CLONE_NEWNET) != 0:
        raise NoRights("cannot make a network namespace: " + os.strerror(ctypes.get_errno()))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def left_behind():
    """What a run must not leave: namespaces, links, mounts, files of its prefix."""
    out = [os.path.basename(n) for n in glob.glob("/run/netns/%s-*" % PREFIX)] + glob.glob("/sys/class/net/%s-*" % PREFIX)
    with open("/proc/self/mounts") as f:
        out += [line.split()[1] for line in f if "/gh-lab-" in line and "/kube/" in line]
    return out


def harness(parts):
    """The harness's own tests; the exit status."""
    argv = [os.path.join(parts["cluster"], "cluster.test"), "-test.v", "-test.timeout=5m", "-bin", parts["controlplane"],
            "-crds", os.path.join(parts["suite"], "crds"), "-echo", os.path.join(parts["suite"], "echo-basic")]
    results = []

    def each(line):
        m = re.match(r"^--- (PASS|FAIL|SKIP): (\w+)", line)
        if m:
            results.append(m.group(1))
            print("%s %d - harness: %s" % ("ok" if m.group(1) == "PASS" else "not ok", len(results), m.group(2)), flush=True)
        elif not line.startswith(("=== ", "PASS", "FAIL")):
            print("#   " + line, end="", flush=True)
    os.makedirs(build_dir(), exist_ok=True)
    status = stream(argv, os.path.join(build_dir(), "conformance-harness.log"), dict(os.environ), each)
    if status or not results:
        print("not ok %d - harness: ended with status %s" % (len(results) + 1, status))
        return 1
    return 0


def suite_argv(lab, report, names, whole):
    argv = [lab.program("suite", "conformance.test"), "-test.v=test2json", "-test.timeout=%dm" % WHOLE_MINUTES, "-test.run=^TestConformance$",
            "--gateway-class=gateway-conformance", "--conformance-profiles=" + PROFILES, "--report-output=" + report,
            "--report-json=" + report[:-len("yaml")] + "json", "--organization=gatehouse", "--project=gatehouse",
            "--url=https://gatehouse.dev", "--version=" + version(), "--contact=maintainers@gatehouse.dev",
            "--usable-address=" + lab.usable_address, "--unusable-address=" + lab.unusable_address,
            "--timeout-config-overrides=" + ";".join("%s:%d" % kv for kv in TIMEOUTS.items())]
    claimed = lab.kubectl("get", "gatewayclass", "gateway-conformance", "-o", "jsonpath={.status.supportedFeatures[*].name}").split()
    if not claimed:
        raise RuntimeError("the GatewayClass claims no feature")
    if not whole:
        argv += ["--only=" + ",".join(names), "--claimed=" + ",".join(claimed)]
    return argv


def version():
    p = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True)
    return p.stdout.strip() or "unknown"


def suite(parts, names=None, want=None):
    """Runs the suite, or the named tests; the exit status.  want: what has to pass; the named tests when there are any."""
    whole = names is None
    report = os.path.join(build_dir(), "conformance-report.yaml" if whole else "conformance-report-part.yaml")
    for old in (report, report[:-len("yaml")] + "json"):
        if os.path.exists(old):
            os.unlink(old)
    out, start = outcome.Outcome(), time.monotonic()

    def each(line):
        ended = out.line(line)
        if ended and names and len(names) > 1:
            print("%s - suite: %s" % ("ok" if ended[1] == "PASS" else "not ok", ended[0]), flush=True)
        elif ended and ended[1] != "SKIP":
            print("  %s %-60s %6.1f s" % ("✓" if ended[1] == "PASS" else "✗", ended[0], ended[2]), flush=True)
    with site.KubeLab(parts, prefix=PREFIX, apply=["gatewayclass.yaml"]) as lab:
        lab.start_all()
        lab.wait_ready_objects("condition=Accepted", "gatewayclass", "gateway-conformance", timeout=20)
        print("# cluster and both tiers up in %.0f s" % (time.monotonic() - start), flush=True)
        env = dict(os.environ, KUBECONFIG=lab.kubeconfig())
        status = stream(suite_argv(lab, report, names or [], whole), os.path.join(build_dir(), "conformance.log"), env, each)
        reported = out.read_report(report[:-len("yaml")] + "json")
        complaints = lab.stop_daemons()
        if not reported or complaints or status:
            lab.save_logs("the suite ended with status %s" % status)
    return judge(out, whole, want if whole else names, reported, complaints, time.monotonic() - start, report)


def judge(out, whole, want, reported, complaints, seconds, report):
    print("\n".join(out.summary(whole)))
    missing = out.missing(want)
    if whole:  # the suite skips by feature what the class does not claim; --expected runs those too
        skipped = [m for m in missing if out.skipped(m[0])]
        missing = [m for m in missing if m not in skipped]
        print("".join("%s is on expected.txt and was skipped: its feature is not claimed\n" % m[0] for m in skipped), end="")
    failures = ["%s %s" % m for m in missing] + complaints + ["left behind: " + x for x in left_behind()]
    if not reported:
        failures.append("there is no report; see %s" % os.path.join(build_dir(), "conformance.log"))
    for f in failures:
        print("not ok - " + f)
    news = sorted(out.passed_in_report() - set(outcome.expected()))
    if news:
        print("passed, and not on expected.txt yet: " + " ".join(news))
    print("took %.0f s; report: %s" % (seconds, os.path.relpath(report)))
    print("conformance: %d passed, %d failed" % (len(set(want) & out.passed_in_report()), len(failures)), flush=True)
    return 1 if failures else 0


def cluster(parts, stay):
    """./dev cluster: everything up with a Gateway in front of two pods; one request as proof."""
    start = time.monotonic()
    with site.KubeLab(parts, prefix=PREFIX, apply=["demo.yaml"]) as lab:
        lab.start_all()
        lab.wait_ready_objects("condition=Available", "deployment", "echo")
        lab.wait_ready_objects("condition=Programmed", "gateway", "web")
        lab.wait_backends_up()
        vip = lab.kubectl("get", "gateway", "web", "-o", "jsonpath={.status.addresses[0].value}")
        lab.wait_until(lambda: curl(vip).startswith("200"), 10, "http://echo.example/ answers on " + vip)
        print("cluster, both tiers and a Gateway in front of two pods: up in %.0f s" % (time.monotonic() - start))
        if stay:
            print("""
  export KUBECONFIG=%s
  alias kubectl=%s
  kubectl get nodes,pods,gateways,httproutes -A
  curl -s --connect-to ::%s: http://echo.example/            # from here, through l4lb and a shard
  kubectl scale deployment echo --replicas=4; kubectl logs -f deployment/echo
Images that run here: echo-basic, coredns, and with a command any program of this machine.
Ctrl-C ends it and removes everything.""" % (lab.kubeconfig(), lab.program("controlplane", "kubectl"), vip), flush=True)
            threading.Event().wait()
        complaints = lab.stop_daemons()
    bad = complaints + ["left behind: " + x for x in left_behind()]
    print("\n".join(bad + ["cluster: %d passed, %d failed" % (0 if bad else 1, len(bad))]))
    return 1 if bad else 0


def curl(vip):
    to = "[%s]" % vip if ":" in vip else vip
    p = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*", "--max-time", "2", "--connect-to", "::%s:" % to,
                        "http://echo.example/"], capture_output=True, text=True)
    return p.stdout


def main(argv):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # even where a script started us with it ignored
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    os.environ.setdefault("KUBECACHEDIR", os.path.join(build_dir(), "kubectl-cache"))
    why = have_rights()
    if why:
        return did_not_run("no rights: " + why)
    try:
        parts = site.parts(argv[1] if argv[:1] == ["--suite"] and len(argv) == 2 else None)
    except build.NoGo as e:
        return did_not_run(str(e))
    try:
        if argv[:1] == ["cluster"]:
            return cluster(parts, "--stay" in argv)
        own_network()
        if argv == ["--harness"]:
            return harness(parts)
        if argv == ["--expected"]:
            return harness(parts) or suite(parts, outcome.expected())
        if len(argv) == 2 and argv[0] == "-run":
            return suite(parts, [argv[1]])
        if not argv:
            return suite(parts, want=outcome.expected())
        if len(argv) == 2 and argv[0] == "--suite":
            return suite(parts, want=[])
    except NoRights as e:
        return did_not_run("no rights: %s" % e)
    except LabBusy as e:
        print("not ok - %s" % e)
        return 1
    except KeyboardInterrupt:
        print("\nremoved everything.")
        return 130
    finally:
        shutil.rmtree(os.environ["KUBECACHEDIR"], ignore_errors=True)
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
