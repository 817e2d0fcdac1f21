"""./dev image run, ./dev image exec: one test image in a virtual machine, for work on it by hand or by script."""
import argparse
import os
import shutil
import subprocess
import sys

from image.build import programs
from image.build.step import run as run_tool

from .site import DATA, MANAGEMENT, Site, config, seed_disk
from .vm import Machine, follow_console, needed

HERE = os.path.dirname(os.path.abspath(__file__))
STATE = os.path.join(programs.BUILD, "vm")


def run(argv):
    p = argparse.ArgumentParser(prog="./dev image run", description="Builds a test image of this tree and boots it; Ctrl-C is a power cut.")
    p.add_argument("--config", help="gatehouse.cfg, given by SMBIOS (3 kB at most); `none` for none (default: that of the tests, with their manifests, on a seed disk)")
    p.add_argument("--kubeconfig", help="by SMBIOS, too")
    p.add_argument("--profile", choices=("test", "debug"), default="test", help="debug: a shell on the console, too")
    p.add_argument("--cmdline", default="", help="words to add to the kernel's command line, such as systemd.mask=UNIT")
    p.add_argument("--keep", action="store_true", help="go on with the disk of the last run: no build, nothing reset")
    p.add_argument("--no-build", action="store_true", help="boot what was built last")
    p.add_argument("--site", action="store_true", help="NICs end in a network namespace (root; tests/image/site.py) instead of QEMU's user network")
    p.add_argument("--iommu", action="store_true", help="a virtual IOMMU: data ports by vfio")
    p.add_argument("--insecure", action="store_true", help="Secure Boot off")
    p.add_argument("--tpm", action="store_true")
    p.add_argument("--memory", type=int, default=1536, metavar="MB")
    p.add_argument("--forward", action="append", default=[], metavar="HOST:GUEST", help="TCP port of 127.0.0.1 to the machine's (user network)")
    p.add_argument("--qemu", action="append", default=[], metavar="ARG", help="a further argument for QEMU")
    args = p.parse_args(argv)
    missing = needed()
    if missing:
        sys.exit("image run: " + missing)
    out = os.path.join(programs.BUILD, "out-" + args.profile)
    if not args.keep:
        if not args.no_build:
            subprocess.run([sys.executable, "-B", "-m", "image.build", "--profile", args.profile, "--formats", "", "--cmdline", args.cmdline], check=True)
        shutil.rmtree(STATE, ignore_errors=True)
    credentials = {}
    for name, path in (("gatehouse.cfg", args.config), ("kubeconfig", args.kubeconfig)):
        if path and path != "none":
            with open(path, "rb") as f:
                credentials[name] = f.read()
    forward = [tuple(map(int, f.split(":"))) for f in args.forward]

    def boot(site):
        disks = []
        if not args.config and site:
            disks.append(site.seed())
        elif not args.config:
            with open(os.path.join(HERE, "manifests.yaml"), "rb") as f:
                os.makedirs(STATE, exist_ok=True)
                disks.append((seed_disk(os.path.join(STATE, "seed.img"), {"gatehouse.cfg": config(), "manifests/site.yaml": f.read()}), "seed", True))
        nics = [Machine.nic(MANAGEMENT, "mgmt" if site else None, forward), Machine.nic(DATA, "data" if site else None, iommu=args.iommu)]
        with Machine(STATE, os.path.join(out, "disk.raw"), ns=site and site.prefix, nics=nics, secure=not args.insecure, memory_mb=args.memory, credentials=credentials,
                     iommu=args.iommu, tpm=args.tpm, keep=args.keep, disks=disks) as m:
            m.start(*args.qemu)
            print("image run: namespace %s; `./dev image exec SCRIPT` runs a script in the machine" % (site.prefix if site else "none"), file=sys.stderr)
            follow_console(m, sys.stdout.buffer).join()
    try:
        if args.site:
            with Site() as site:
                run_tool(["ninja", "-C", programs.BUILD, "--quiet", "tests/lab/echo_origin"])
                site.start_origin()
                boot(site)
        else:
            boot(None)
    except KeyboardInterrupt:
        print("\nimage run: power cut", file=sys.stderr)


def execute(argv):
    p = argparse.ArgumentParser(prog="./dev image exec", description="Runs a bash script as root in the machine of ./dev image run.")
    p.add_argument("script")
    p.add_argument("--timeout", type=float, default=120)
    args = p.parse_args(argv)
    m = Machine.running(STATE)
    status, out = m.run(args.script, args.timeout)
    sys.stdout.write(out)
    return status


if __name__ == "__main__":
    sys.exit({"run": run, "exec": execute}[sys.argv[1]](sys.argv[2:]))
