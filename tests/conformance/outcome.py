"""What a run of the suite says: the test program's lines, its report, and the list of tests that have to pass."""
import json
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))
RESULT = re.compile(r"^\s*--- (PASS|FAIL|SKIP): TestConformance/([^/\s]+) \(([\d.]+)s\)")


def expected(path=os.path.join(HERE, "expected.txt")):
    with open(path) as f:
        names = [line.split("#")[0].strip() for line in f]
    return [n for n in names if n]


class Outcome:
    def __init__(self):
        self.results, self.profiles = {}, []

    def line(self, text):
        """Takes a line of the program's output; returns (name, PASS|FAIL|SKIP, seconds) when it ends a test."""
        m = RESULT.match(text)
        if not m:
            return None
        self.results[m.group(2)] = m.group(1)
        return m.group(2), m.group(1), float(m.group(3))

    def read_report(self, path):
        if not os.path.exists(path):
            return False
        with open(path) as f:
            self.profiles = sorted(json.load(f).get("profiles") or [], key=lambda p: p["name"])
        return True

    def passed_in_report(self):
        """Names that the report holds against us are not here; a report names only what failed or was skipped."""
        bad = set()
        for p in self.profiles:
            for level in ("core", "extended"):
                bad.update((p.get(level) or {}).get("failedTests") or [])
                bad.update((p.get(level) or {}).get("skippedTests") or [])
        return {n for n, r in self.results.items() if r == "PASS" and n not in bad}

    def summary(self, whole=True):
        """Lines: per profile core and extended, passed of total, and the failures; then failures that no profile counts.
        Not whole: what was left out does not count."""
        lines, named = [], set()
        kinds = ("passed", "failed", "skipped") if whole else ("passed", "failed")
        for p in self.profiles:
            parts = []
            for level in ("core", "extended"):
                s = (p.get(level) or {}).get("statistics") or {}
                n = {k.lower(): v for k, v in s.items()}
                parts.append("%s %d/%d passed" % (level, n.get("passed", 0), sum(n.get(k, 0) for k in kinds)))
            lines.append("%-13s %s" % (p["name"], ", ".join(parts)))
            for level in ("core", "extended"):
                failed = (p.get(level) or {}).get("failedTests") or []
                named.update(failed)
                lines += ["    failed (%s): %s" % (level, n) for n in failed]
        others = sorted(n for n, r in self.results.items() if r == "FAIL" and n not in named)
        return lines + ["in no profile: failed: " + n for n in others]

    def skipped(self, name):
        return self.results.get(name) == "SKIP"

    def missing(self, names):
        """Of names: those that did not pass, with why."""
        good = self.passed_in_report()
        why = {"FAIL": "failed", "SKIP": "was skipped", None: "did not run", "PASS": "failed, says the report"}
        return [(n, why[self.results.get(n)]) for n in names if n not in good]
