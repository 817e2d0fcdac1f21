"""Our programs, in a build of their own (build-image/): the optimisation that the tests run with, hardened, stripped."""
import os
import shutil

from .step import run, say

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, "build-image")
# {target of the build: where it goes in the root}
PROGRAMS = {
    "l4lb/l4lb": "usr/lib/gatehouse/l4lb", "l7gw/l7gw": "usr/lib/gatehouse/l7gw", "agent/gatehouse-agent": "usr/lib/gatehouse/gatehouse-agent",
    "image/gatehouse-system": "usr/lib/gatehouse/gatehouse-system", "ctl/gatectl": "usr/bin/gatectl",
}
# -march=x86-64-v2 and newer is a decision of the hardware's owner; DPDK's packages are built for SSE4.2 (corei7) anyway
ARGS = ["-Doptimization=2", "-Ddebug=false", "-Db_pie=true", "-Dc_args=-fstack-protector-strong -D_FORTIFY_SOURCE=2 -fcf-protection",
        "-Dc_link_args=-Wl,-z,relro,-z,now"]


def configure():
    """Before anything else is put into the build directory: a half-configured one is removed."""
    if not os.path.exists(os.path.join(BUILD, "build.ninja")):
        shutil.rmtree(BUILD, ignore_errors=True)
        run(["meson", "setup", BUILD, ROOT, *ARGS])


def build(into):
    """{place in the root: file}, the files below the directory `into`."""
    say("image: compiling our programs (release)")
    run(["ninja", "-C", BUILD, "--quiet", *PROGRAMS])
    out = {}
    for target, place in PROGRAMS.items():
        path = os.path.join(into, os.path.basename(place))
        shutil.copyfile(os.path.join(BUILD, target), path)
        run(["strip", "--strip-unneeded", "--remove-section=.comment", path])
        os.chmod(path, 0o755)
        out[place] = path
    return out
