#!/usr/bin/env python3
"""Every header compiles alone, and twice.  Usage: headers.py ROOT BUILD CC.  BUILD holds the generated headers."""
import concurrent.futures
import os
import subprocess
import sys

import layers
import source

PACKAGES = ("libdpdk", "libprotobuf-c", "libcrypto", "libnghttp2", "libconfig", "yaml-0.1", "libpcre2-8", "cmocka")
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-unused-function", "-Wno-pragma-once-outside-header"]


def flags(root, build):
    out = ["-std=gnu17", "-D_GNU_SOURCE", "-I", root, "-I", build]
    for package in PACKAGES:
        p = subprocess.run(["pkg-config", "--cflags", package], capture_output=True, text=True)
        out += [f.replace("-I", "-isystem", 1) if f.startswith("-I") else f for f in p.stdout.split()] if p.returncode == 0 else []
    return out


def compile_one(root, cc, args, path):
    """None, or the compiler's words."""
    text = '#include "%s"\n#include "%s"\nint header_alone;\n' % (path, path)
    p = subprocess.run([cc, *args, *[w for w in WARNINGS if "clang" in cc or "pragma" not in w], "-fsyntax-only", "-x", "c", "-"],
                       input=text, capture_output=True, text=True, cwd=root)
    return None if p.returncode == 0 else p.stderr.strip()


def main(root, build, cc):
    args = flags(root, build)
    # A table (.tbl.h) is a macro that names enums of its user: it has no life of its own.
    paths = [p for p in source.files(root, (".h",), layers.ROOMS + ("lib", "tests")) if not p.endswith(".tbl.h")]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        results = list(pool.map(lambda p: (p, compile_one(root, cc, args, p)), paths))
    bad = [(p, e) for p, e in results if e]
    for p, e in bad:
        print("%s does not compile alone:\n%s" % (p, e))
    print("headers: %d compiled alone, %d failed" % (len(paths) - len(bad), len(bad)))
    return 1 if bad or not paths else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
