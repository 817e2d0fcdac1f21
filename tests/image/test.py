"""./dev image test: the appliance, booted.  Each group of checks is a function of a cases_*.py file; the last line is
`image: N passed, N failed`, and the exit status is 0 only when nothing failed and something passed.

A booting machine keeps one core busy, rarely two, and one whose gate waits for a broken l4lb none: the groups are three lanes, each a
process with a site and machines of its own.  Most groups of the first go on from the state in which the machine of `serving` served."""
import argparse
import os
import re
import signal
import subprocess
import sys
import threading
import time

from image.build import programs
from image.build.step import BuildError, run
from tests.lab.netns import CommandError
from tests.lab.proc import die_with_parent
from tests.lab.scenario import Checks

from . import cases_auto, cases_boot, cases_config, cases_formats, cases_image, cases_kube, cases_tpm, cases_update
from .bed import Bed
from .site import Site, SiteBusy
from .vm import MachineError, needed

# name, function, in the short form, lane
GROUPS = (
    ("serving", cases_boot.serving, True, 0),
    ("apply", cases_config.apply, True, 0),
    ("refused", cases_update.refused, True, 0),
    ("store", cases_boot.last_known_good, True, 0),
    ("update", cases_update.commits, False, 0),
    ("auto-update", cases_auto.by_itself, False, 0),
    ("power-cut", cases_update.power_cut, False, 0),
    ("reset", cases_config.factory_reset, False, 0),
    ("console", cases_config.console_form, False, 0),
    ("tampered", cases_update.tampered, False, 0),
    ("image", cases_image.contents, True, 1),
    ("formats", cases_formats.formats, True, 1),
    ("bios", cases_image.bios_start, True, 1),
    ("release", cases_boot.release, False, 1),
    ("kernel-ports", cases_boot.kernel_ports, False, 1),
    ("sources", cases_config.sources, False, 1),
    ("metadata", cases_config.metadata, False, 1),
    ("kubernetes", cases_kube.kubernetes, False, 1),
    ("reproducible", cases_image.reproducible, False, 1),
    ("rollback", cases_update.rolls_back, False, 2),
    ("tpm", cases_tpm.sealed, False, 2),
)
NAMES = [g[0] for g in GROUPS]
COUNTED = re.compile(r"^image: (\d+) passed, (\d+) failed$")
LANE_MB = 2500  # a machine of 1.5 GiB, QEMU's own, what a build beside it takes


def lane(number, groups):
    """Runs groups of one lane in this process; base is built."""
    check = Checks("image")
    try:
        with Site(lane=number) as site:
            bed = Bed(site, ("base",))
            try:
                site.start_origin()
                for name, group, _, _ in GROUPS:
                    if name in groups:
                        began, cpu = time.monotonic(), os.times()
                        check.guarded(name, group, bed, check)
                        bed.close(but=bed.main)
                        now = os.times()
                        print("# group %s: %.0f s, %.0f s of CPU" % (name, time.monotonic() - began, bed.cpu_s() + sum(now[:4]) - sum(cpu[:4])), flush=True)
            finally:
                bed.close()
    except (BuildError, CommandError, MachineError, SiteBusy, OSError, RuntimeError, TimeoutError) as e:
        check("a site to test in", False, e)
    print("image: %d passed, %d failed" % (check.passed, check.failed), flush=True)


class Report:
    """What the lanes print, as one list with one count."""

    def __init__(self):
        self.check, self.lock = Checks("image"), threading.Lock()

    def follow(self, groups, out):
        """Until the lane's last line; a lane that ends without one has failed."""
        passed = failed = 0
        last = None
        for line in out:
            line = line.rstrip("\n")
            ok = re.match(r"(not ok|ok) \d+ - (.*)$", line)
            last = COUNTED.match(line)
            with self.lock:
                if ok:
                    passed, failed = passed + (ok.group(1) == "ok"), failed + (ok.group(1) != "ok")
                    self.check(ok.group(2), ok.group(1) == "ok")
                elif not last:
                    print(line, flush=True)
        if not last or (passed, failed) != tuple(map(int, last.groups())):
            with self.lock:
                self.check("groups %s ran to their end" % ", ".join(groups), False)


def lanes_here():
    with open("/proc/meminfo", encoding="ascii") as f:
        free_mb = int(re.search(r"MemAvailable:\s+(\d+)", f.read()).group(1)) // 1024
    return max(1, min(3, free_mb // LANE_MB)) if os.cpu_count() > 1 else 1


def run_lanes(report, chosen):
    """As many side by side as the machine has memory for; one after the other on one core."""
    started, room = [], threading.Semaphore(lanes_here())

    def follow(names, out):
        report.follow(names, out)
        room.release()
    try:
        for n in sorted({g[3] for g in GROUPS}):
            names = [g[0] for g in GROUPS if g[0] in chosen and g[3] == n]
            if not names:
                continue
            room.acquire()
            p = subprocess.Popen([sys.executable, "-B", "-m", "tests.image.test", "--lane", str(n), *names], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 text=True, errors="replace", preexec_fn=lambda: die_with_parent(signal.SIGTERM))
            t = threading.Thread(target=follow, args=(names, p.stdout))
            t.start()
            started.append((p, t))
    finally:
        for p, t in started:
            t.join()
            p.wait()


def main(argv):
    p = argparse.ArgumentParser(prog="./dev image test", description="Boot tests of the appliance, in QEMU without KVM.")
    p.add_argument("--all", action="store_true", help="every group, not only the short form: " + ", ".join(NAMES))
    p.add_argument("--lane", type=int, help=argparse.SUPPRESS)
    p.add_argument("groups", nargs="*", metavar="GROUP", help="only these")
    args = p.parse_args(argv)
    unknown = set(args.groups) - set(NAMES)
    if unknown:
        p.error("no such group: " + ", ".join(sorted(unknown)))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # as an exception: what was made is removed
    if args.lane is not None:
        return lane(args.lane, args.groups)
    chosen = args.groups or [name for name, _, short, _ in GROUPS if short or args.all]
    report, start = Report(), time.monotonic()
    check = report.check
    missing = needed()
    if missing:
        check("a machine to boot", False, "did not run, because " + missing)
    else:
        try:
            Bed.build("base")
            run(["ninja", "-C", programs.BUILD, "--quiet", "tests/lab/echo_origin"])
            run_lanes(report, chosen)
        except (BuildError, OSError, RuntimeError) as e:
            check("images to test", False, e)
    print("# %.0f s in all" % (time.monotonic() - start))
    print("image: %d passed, %d failed" % (check.passed, check.failed), flush=True)
    return 1 if check.failed or not check.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
