"""Running a step of the build: one program, its output kept for the error."""
import subprocess
import sys


class BuildError(RuntimeError):
    """The build cannot go on; the text says why."""


def say(text):
    print("==> " + text, file=sys.stderr, flush=True)


def run(argv, **kw):
    """Its output as bytes are not wanted: text, returned; a failure raises BuildError with its last words."""
    kw.setdefault("stdin", subprocess.DEVNULL)
    try:
        p = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", **kw)
    except FileNotFoundError as e:
        raise BuildError("%s is not installed" % argv[0]) from e
    if p.returncode:
        raise BuildError("%s failed (exit status %d):\n%s" % (" ".join(map(str, argv))[:300], p.returncode, p.stdout.strip()[-3000:]))
    return p.stdout
