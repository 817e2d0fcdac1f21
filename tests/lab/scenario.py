"""What every e2e scenario and the demo share: checks that print, and the frame around a lab."""
import os
import sys
import traceback

from .lab import ROOT, Lab, LabBusy, NoRights
from .netns import CommandError

DEMO_SECRETS = (("demo", "web-tls", ["echo.example", "secure.example", "static.example", "live.example"]),)


class Checks:
    """Counts and prints; TAP on stdout: `ok N - name` or `not ok N - name` followed by `#` lines that say why."""

    def __init__(self, title=""):
        self.passed = self.failed = 0
        self.title = title

    def __call__(self, name, ok, detail=""):
        if ok:
            self.passed += 1
        else:
            self.failed += 1
        print("%s %d - %s" % ("ok" if ok else "not ok", self.passed + self.failed, name), flush=True)
        if not ok and detail:
            for line in str(detail).splitlines()[:20]:
                print("#   " + line, flush=True)
        return ok

    def equal(self, name, got, want):
        return self(name, got == want, "got %r, want %r" % (got, want))

    def info(self, text):
        print("#   " + text, flush=True)

    def guarded(self, name, fn, *args):
        """Runs fn; an exception is a failed check, not the end of the run."""
        try:
            fn(*args)
            return True
        except (Exception, AssertionError) as e:  # every kind: the scenario's own bug is a failure too
            where = traceback.extract_tb(e.__traceback__)[-1]
            return self("%s ran to its end" % name, False, "%s: %s (%s:%d)" % (type(e).__name__, e, where.filename, where.lineno))


class Site:
    """A running appliance with the manifests of a folder, and the addresses of its first Gateway."""

    def __init__(self, lab, manifests="configs/demo", secrets=DEMO_SECRETS, gateways=(("demo", "web"), ("demo", "fixed"))):
        self.lab, self.manifests, self.secrets, self.gateways = lab, manifests, secrets, gateways
        self.v4 = self.v6 = ""

    def start(self):
        self.lab.add_manifests(self.manifests, self.secrets)
        self.lab.start_all()
        self.wait_serving()

    def wait_serving(self):
        for namespace, name in self.gateways:
            self.lab.wait_programmed(namespace, name)
        self.lab.wait_backends_up()
        self.v4, self.v6 = self.lab.vips(*self.gateways[0])


def main(scenario, site_args=None, lab_class=Lab, **lab_args):
    """Runs one scenario function(site, check) in a lab of its own; the exit status is 0, 1, or 77 without rights."""
    def run(check):
        with lab_class(**lab_args) as lab:
            site = Site(lab, **(site_args or {}))
            if check.guarded("start of the appliance", site.start):
                check.guarded(check.title, scenario, site, check)
            complaints = lab.stop_daemons()
            check("every daemon ended with status 0 on SIGTERM, no sanitizer report", not complaints, "\n".join(complaints))
            if check.failed:
                lab.save_logs("%d checks failed" % check.failed)
    frame(run)


def frame(run, prefix="gh-e2e"):
    """What stands around run(check), a scenario that makes its labs itself: prefix, rights, the last line and the exit status of main."""
    name = os.path.splitext(os.path.basename(sys.argv[0]))[0]
    os.environ.setdefault("GATEHOUSE_LAB_PREFIX", prefix)
    check = Checks(name)
    try:
        run(check)
    except NoRights as e:
        print("skipped: no rights: %s" % e)
        sys.exit(77)
    except (LabBusy, CommandError, OSError, RuntimeError, TimeoutError) as e:
        check("a lab of its own", False, e)
    print("%s: %d passed, %d failed" % (name, check.passed, check.failed), flush=True)
    sys.exit(1 if check.failed or not check.passed else 0)


def each_driver(make_lab, scenario):
    """For frame: scenario(lab, check) in a lab per driver, af_xdp and af_packet unless arguments name others."""
    def run(check):
        for driver in sys.argv[1:] or ("af_xdp", "af_packet"):
            with make_lab(driver=driver) as lab:
                scenario(lab, check)
                complaints = lab.stop_daemons()
                check("%s: every daemon ended with status 0, no sanitizer report" % driver, not complaints, "\n".join(complaints))
                if check.failed:
                    lab.save_logs("%d checks failed" % check.failed)
    return run


__all__ = ["Checks", "Site", "main", "frame", "each_driver", "ROOT"]
