#!/usr/bin/env python3
"""Include edges between rooms are the allowed ones, and core/ is pure.  Usage: includes.py ROOT.  See layers.py."""
import re
import sys

import layers
import source

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<([^>]+)>)', re.M)
CALL = re.compile(r"(?<![\w.>])(%s)\s*\(" % "|".join(layers.CORE_BANNED_CALLS))


def check_file(path, text):
    """Yields (line, complaint)."""
    code = source.strip_comments(text)
    in_core = "/core/" in path and not path.startswith("tests/")
    first = True
    for m in INCLUDE.finditer(code):
        line = code.count("\n", 0, m.start()) + 1
        quoted, system = m.group(1), m.group(2)
        if path.endswith(".c") and not path.startswith("tests/") and first and quoted not in ("lib/base.h", path[:-1] + "h"):
            yield line, "the first include of a .c file is \"lib/base.h\" (or its own header, which begins with it)"
        first = False
        name = quoted or system
        if name.endswith(".c"):
            yield line, "includes a .c file: %s" % name
        if quoted:
            if quoted.startswith(".") or "/" not in quoted:
                yield line, "include paths are written from the root: %s" % quoted
                continue
            why = layers.edge_error(path, quoted)
            if why:
                yield line, "includes \"%s\": %s" % (quoted, why)
        elif in_core and any(re.match(p, system) for p in layers.CORE_BANNED_HEADERS):
            if not any(path.startswith(who) and system == what for who, what in layers.EXCEPTIONS):
                yield line, "core is pure: <%s> is not for it" % system
    if in_core:
        bare = source.strip(text)
        for m in CALL.finditer(bare):
            if (path, m.group(1)) in layers.CALL_EXCEPTIONS:
                continue
            before = bare[max(0, m.start() - 60):m.start()].rsplit("\n", 1)[-1]
            if re.search(r"#\s*define|[\w*]\s*\*?\s*$", before) and not re.search(r"\b(return|else|do)\s*$", before):
                continue  # a declaration or a definition of a name of ours
            yield bare.count("\n", 0, m.start()) + 1, "core is pure: calls %s()" % m.group(1)


def main(root):
    bad, n = [], 0
    for path in source.files(root, (".c", ".h"), layers.ROOMS + ("lib", "tests")):
        n += 1
        bad += ["%s:%d: %s" % (path, line, why) for line, why in check_file(path, source.read(root, path))]
    print("\n".join(bad + ["includes: %d files, %d bad edges" % (n, len(bad))]))
    return 1 if bad or not n else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
