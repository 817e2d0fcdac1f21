#!/usr/bin/env python3
"""Runs suites and counts real cases: cmocka cases, packet rows, corpus files, e2e checks, not executables.

Usage: run.py BUILD_DIR [--strict] [SUITE...]     suites: unit packet golden fuzz check e2e conformance, e2e:NAME; default all
--strict: what this machine cannot run counts as failed.

The last line is `total: N passed, N failed`; the exit status is 0 only when nothing failed and something passed.  A skipped
case counts as failed, unless the machine truly lacks the right or the tool (then the line says so and why).  How output is counted, in
this order: cmocka's marks, TAP lines, "replayed N files", "N passed, N failed", else the exit status alone counts as one."""
import json
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SUITES = ("unit", "packet", "golden", "fuzz", "check", "e2e", "conformance")
CMOCKA = re.compile(r"^\[ +(OK|FAILED|SKIPPED) +\] ((?:(?!test\(s\)).)*)$", re.M)
TAP = re.compile(r"^(not ok|ok)\b *(\d+)? *-? *(.*)$", re.M)
REPLAYED = re.compile(r"^replayed (\d+) files", re.M)
COUNTED = re.compile(r"(\d+) passed, (\d+) failed")
ERROR_EXIT = "ended with an error beyond its failed cases"


def count(output, exit_status):
    """(passed, [failed names], skipped names) of one program's output."""
    passed, failed, skipped = 0, [], []
    marks = CMOCKA.findall(output)
    if marks:
        names = set()
        for mark, name in marks:
            if mark == "OK":
                passed += 1
            elif mark == "SKIPPED" and name not in names:
                skipped.append(name)
            elif mark == "FAILED" and name not in names:  # listed again in the summary
                failed.append(name)
            names.add(name)
    elif TAP.search(output):
        for mark, _, name in TAP.findall(output):
            if "# SKIP" in name.upper():
                skipped.append(name)
            elif mark == "ok":
                passed += 1
            else:
                failed.append(name)
    elif REPLAYED.search(output):
        n = int(REPLAYED.search(output).group(1))
        passed += n if exit_status == 0 else max(0, n - 1)
    elif COUNTED.search(output):
        p, f = map(int, COUNTED.findall(output)[-1])
        passed, failed = p, ["one of its cases"] * f
    elif exit_status == 0:
        passed = 1
    if exit_status not in (0, 77) and not failed:
        failed.append(ERROR_EXIT + " (exit status %s)" % exit_status)
    return passed, failed, skipped


class Suite:
    def __init__(self, name):
        self.name, self.passed, self.failed, self.excused, self.programs, self.started, self.took_s = name, 0, [], [], 0, time.monotonic(), 0.0

    def add(self, program, output, status):
        self.programs += 1
        passed, failed, skipped = count(output, status)
        self.passed += passed
        self.failed += ["%s: %s" % (program, n) for n in failed]
        self.failed += ["%s: skipped: %s" % (program, n) for n in skipped]
        if status == 77 and not skipped:
            why = re.findall(r"skipped?:? (.*)", output)
            if why and ("no rights" in why[-1] or why[-1].startswith("did not run, because")):
                self.excused.append("%s: %s" % (program, why[-1]))
            else:
                self.failed.append("%s: skipped itself: %s" % (program, why[-1] if why else "no reason given"))

    def line(self):
        extra = "".join("  (not run here: %s)" % e for e in self.excused)
        return "%-8s %d passed, %d failed  [%d programs, %.1f s]%s" % (
            self.name + ":", self.passed, len(self.failed), self.programs, self.took_s, extra)


def sanitizer_env(build):
    env = dict(os.environ, GATEHOUSE_BUILD=os.path.abspath(build))
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
    env.setdefault("ASAN_OPTIONS", "detect_leaks=1")
    env.setdefault("LSAN_OPTIONS", "suppressions=%s/tests/lab/lsan.supp:print_suppressions=0" % ROOT)
    return env


def run_meson(build, name):
    suite = Suite(name)
    log = os.path.join(build, "meson-logs", "testlog.json")
    if os.path.exists(log):
        os.unlink(log)
    factor = ["-t", "5"] if build.rstrip("/").endswith("-san") else []
    p = subprocess.run(["meson", "test", "-C", build, "--no-rebuild", "--suite", name, *factor], capture_output=True, text=True,
                       stdin=subprocess.DEVNULL, env=sanitizer_env(build))
    if not os.path.exists(log):
        suite.failed.append("no test ran: " + (p.stdout + p.stderr).strip()[-400:])
        return suite
    suite.took_s = time.monotonic() - suite.started
    with open(log) as f:
        for line in f:
            t = json.loads(line)
            output = (t.get("stdout") or "") + "\n" + (t.get("stderr") or "")
            program = t["name"].split(" / ")[-1]
            before = len(suite.failed)
            status = t.get("returncode", 1)
            if t["result"] == "TIMEOUT":
                output += "\ntimed out\n"
                status = status or 124
            suite.add(program, output, status)
            if len(suite.failed) > before:
                print("---- %s / %s (%s) ----\n%s" % (name, program, t["result"], output.strip()[-6000:]))
    return suite


def run_e2e(build, only):
    suite = Suite("e2e")
    argv = [sys.executable, "-B", os.path.join(ROOT, "tests/e2e/run.py"), "--tap", *only]
    p = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL, env=sanitizer_env(build), cwd=ROOT)
    program, lines = "run", []
    for line in p.stdout:  # shown as it comes; split by scenario
        print(line, end="", flush=True)
        m = re.match(r"^# end (\S+) exit (-?\d+)", line)
        if line.startswith("# scenario "):
            program, lines = line.split()[2], []
        elif m:
            suite.add(program, "".join(lines), int(m.group(2)))
        else:
            lines.append(line)
    status = p.wait()
    suite.took_s = time.monotonic() - suite.started
    if status != 0 and not suite.failed:
        suite.failed.append("tests/e2e/run.py: exit status %d" % p.returncode)
    return suite


def run_conformance(build):
    """The cluster's own tests, and the tests of the official suite that have to pass; without Go it says that it did not run."""
    suite, lines = Suite("conformance"), []
    argv = [sys.executable, "-B", "-m", "tests.conformance.run", "--expected"]
    p = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL, env=sanitizer_env(build), cwd=ROOT)
    for line in p.stdout:
        print(line, end="", flush=True)
        lines.append(line)
    suite.add("conformance", "".join(lines), p.wait())
    return suite


def main(argv):
    strict = "--strict" in argv
    build, *wanted = [a for a in argv if a != "--strict"]
    wanted = wanted or SUITES
    unknown = [s for s in wanted if s not in SUITES and not s.startswith("e2e:")]
    if unknown:
        sys.exit("no such suite: %s; there are %s" % (", ".join(unknown), ", ".join(SUITES)))
    suites = [run_meson(build, s) for s in wanted if s in SUITES and s not in ("e2e", "conformance")]
    if any(s.startswith("e2e") for s in wanted):
        suites.append(run_e2e(build, [s[4:] for s in wanted if s.startswith("e2e:")]))
    if "conformance" in wanted:
        suites.append(run_conformance(build))
    for s in suites:
        if strict:
            s.failed += ["%s (and here everything has to run)" % e for e in s.excused]
            s.excused = []
        for f in s.failed:
            print("FAILED %s: %s" % (s.name, f))
        if not s.passed and not s.failed and not s.excused:
            s.failed.append("holds no test")
    print()
    for s in suites:
        print(s.line())
    passed, failed = sum(s.passed for s in suites), sum(len(s.failed) for s in suites)
    print("total: %d passed, %d failed" % (passed, failed))
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
