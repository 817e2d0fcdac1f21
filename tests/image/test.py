"""./dev image test: the appliance, booted.  Each group of checks is a function of a cases_*.py file; the last line is
`image: N passed, N failed`, and the exit status is 0 only when nothing failed and something passed."""
import argparse
import sys
import time

from image.build import programs
from image.build.step import BuildError, run
from tests.lab.netns import CommandError
from tests.lab.scenario import Checks

from . import cases_auto, cases_boot, cases_config, cases_image, cases_kube, cases_tpm, cases_update
from .bed import Bed
from .site import Site, SiteBusy
from .vm import MachineError, needed

# name, function, in the short form
GROUPS = (
    ("image", cases_image.contents, True),
    ("bios", cases_image.bios_start, True),
    ("serving", cases_boot.serving, True),
    ("apply", cases_config.apply, True),
    ("refused", cases_update.refused, True),
    ("store", cases_boot.last_known_good, True),
    ("reproducible", cases_image.reproducible, False),
    ("kernel-ports", cases_boot.kernel_ports, False),
    ("kubernetes", cases_kube.kubernetes, False),
    ("sources", cases_config.sources, False),
    ("metadata", cases_config.metadata, False),
    ("console", cases_config.console_form, False),
    ("tampered", cases_update.tampered, False),
    ("update", cases_update.commits, False),
    ("auto-update", cases_auto.by_itself, False),
    ("tpm", cases_tpm.sealed, False),
    ("rollback", cases_update.rolls_back, False),
    ("power-cut", cases_update.power_cut, False),
    ("reset", cases_config.factory_reset, False),
)


def main(argv):
    p = argparse.ArgumentParser(prog="./dev image test", description="Boot tests of the appliance, in QEMU without KVM.")
    p.add_argument("--all", action="store_true", help="every group, not only the short form: " + ", ".join(n for n, _, _ in GROUPS))
    p.add_argument("groups", nargs="*", metavar="GROUP", help="only these")
    args = p.parse_args(argv)
    unknown = set(args.groups) - {n for n, _, _ in GROUPS}
    if unknown:
        p.error("no such group: " + ", ".join(sorted(unknown)))
    check, start = Checks("image"), time.monotonic()
    missing = needed()
    if missing:
        check("a machine to boot", False, "did not run, because " + missing)
    else:
        try:
            with Site() as site:
                bed = Bed(site)
                try:
                    bed.image("base")
                    run(["ninja", "-C", programs.BUILD, "--quiet", "tests/lab/echo_origin"])
                    site.start_origin()
                    for name, group, short in GROUPS:
                        if name in args.groups or not args.groups and (short or args.all):
                            began = time.monotonic()
                            print("# group %s" % name, flush=True)
                            check.guarded(name, group, bed, check)
                            print("# group %s: %.0f s" % (name, time.monotonic() - began), flush=True)
                finally:
                    bed.close()
        except (BuildError, CommandError, MachineError, SiteBusy, OSError, RuntimeError, TimeoutError) as e:
            check("a site and images to test", False, e)
    print("# %.0f s in all" % (time.monotonic() - start))
    print("image: %d passed, %d failed" % (check.passed, check.failed), flush=True)
    return 1 if check.failed or not check.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
