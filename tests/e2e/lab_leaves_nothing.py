#!/usr/bin/env python3
"""The lab itself: whatever ends it, nothing stays; a second one with the same prefix is refused while one is up.

   lab (child process) ── exits | Ctrl-C | SIGTERM | SIGKILL ──▶ namespaces, processes and files are gone
"""
import glob
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tests.lab import netns
from tests.lab.lab import Lab, LabBusy, have_rights
from tests.lab.proc import wait_until
from tests.lab.scenario import Checks

PREFIX = "gh-e2e-left"
CHILD = """
import sys, threading
sys.path.insert(0, %r)
from tests.lab.lab import Lab
with Lab(prefix=%r) as lab:
    print(lab.tmp, lab.procs["echo-origin"].pid, lab.procs["nginx"].pid, flush=True)
    if sys.argv[1] == "exit":
        raise SystemExit(0)
    if sys.argv[1] == "fail":
        raise RuntimeError("on purpose")
    threading.Event().wait()
"""


def child(how):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    p = subprocess.Popen([sys.executable, "-c", CHILD % (root, PREFIX), how], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    tmp, *pids = p.stdout.readline().split()
    return p, tmp, [int(x) for x in pids]


def leftovers(tmp, pids):
    out = [n for n in netns.run(["ip", "netns", "list"]).stdout.split() if n.startswith(PREFIX)]
    out += ["pid %d" % p for p in pids if os.path.exists("/proc/%d" % p)]
    return out + ([tmp] if os.path.exists(tmp) else []) + glob.glob("/sys/class/net/" + PREFIX + "*")


def main():
    check = Checks()
    why = have_rights()
    if why:
        print("skipped: no rights: %s" % why)
        return 77
    for how, signo in (("exit", None), ("fail", None), ("wait", signal.SIGINT), ("wait", signal.SIGTERM)):
        p, tmp, pids = child(how)
        if signo:
            p.send_signal(signo)
        p.wait(20)
        left = leftovers(tmp, pids)
        check("ended by %s: nothing stays" % (signal.Signals(signo).name if signo else how), not left, left)
    p, tmp, pids = child("wait")
    try:
        with Lab(prefix=PREFIX):
            check("a second lab with the same prefix is refused", False)
    except LabBusy:
        check("a second lab with the same prefix is refused", True)
    p.kill()
    p.wait()
    try:
        wait_until(lambda: not any(os.path.exists("/proc/%d" % x) for x in pids), 3, "the lab's processes die with it")
        check("ended by SIGKILL: its processes die with it", True)
    except TimeoutError as e:
        check("ended by SIGKILL: its processes die with it", False, e)
    with Lab(prefix=PREFIX, shards=3) as lab:
        now = lab.tmp
        check("the next lab starts over what was left and removes the old files", not os.path.exists(tmp))
        r = netns.run(netns.in_ns(lab.ns("shard-3"), ["curl", "-sf", "http://10.40.0.101:8080/"]), check=False)
        check("and works: shard-3 reaches a pod", r.returncode == 0, r.stderr)
    left = leftovers(tmp, pids) + leftovers(now, [])
    check("and leaves nothing", not left, left)
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())
