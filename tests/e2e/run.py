#!/usr/bin/env python3
"""Runs the scenarios of this folder one after the other, each in a process of its own.  Usage: run.py [--tap] [NAME...]

A scenario is any other *.py file here: it prints TAP lines (`ok 1 - what`, `not ok 2 - what`), cleans up after itself, and
exits 0, 1, or 77 with a line `skipped: no rights: WHY` when this machine does not let it run."""
import os
import re
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, ROOT)
TIMEOUT_S = 240


def scenarios():
    return sorted(n[:-3] for n in os.listdir(HERE) if n.endswith(".py") and n not in ("run.py", "__init__.py"))


def run_one(name, timeout):
    """(exit status, ok, not ok); output goes through as it comes."""
    print("# scenario %s" % name, flush=True)
    start = time.monotonic()
    env = dict(os.environ, PYTHONPATH=ROOT, PYTHONDONTWRITEBYTECODE="1", PYTHONUNBUFFERED="1")
    p = subprocess.Popen([sys.executable, os.path.join(HERE, name + ".py")], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, env=env, cwd=ROOT, start_new_session=True)
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(p.pid, signal.SIGTERM))  # the lab cleans up on SIGTERM
    signal.alarm(timeout)
    ok = bad = 0
    try:
        for line in p.stdout:
            print(line, end="", flush=True)
            ok += bool(re.match(r"ok\b", line))
            bad += line.startswith("not ok")
        rc = p.wait()
    except KeyboardInterrupt:
        os.killpg(p.pid, signal.SIGTERM)
        p.wait()
        raise
    finally:
        signal.alarm(0)
    if time.monotonic() - start >= timeout:
        print("not ok - %s within %d s" % (name, timeout), flush=True)
        rc = rc or 124
    print("# end %s exit %d  (%.1f s)" % (name, rc, time.monotonic() - start), flush=True)
    return rc, ok, bad


def main(argv):
    tap = "--tap" in argv
    names = [a for a in argv if not a.startswith("--")] or scenarios()
    unknown = [n for n in names if n not in scenarios()]
    if unknown:
        sys.exit("no such scenario: %s; there are %s" % (", ".join(unknown), ", ".join(scenarios())))
    slow = 3 if os.environ.get("GATEHOUSE_BUILD", "").rstrip("/").endswith("-san") else 1
    results = [(n, *run_one(n, TIMEOUT_S * slow)) for n in names]
    if not tap:
        print()
        for n, rc, ok, bad in results:
            print("%-20s %3d passed, %d failed%s" % (n, ok, bad, "  (skipped)" if rc == 77 else ""))
        print("e2e: %d passed, %d failed" % (sum(r[2] for r in results), sum(max(r[3], int(r[1] not in (0, 77))) for r in results)))
    return 1 if any(rc not in (0, 77) for _, rc, _, _ in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
