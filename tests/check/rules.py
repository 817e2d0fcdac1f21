#!/usr/bin/env python3
"""Rules of the tree that a compiler does not know.  Usage: rules.py ROOT.

names: no file called util, misc, common, helper(s), manager or NAME2; no TODO or FIXME left behind; no file over 800 lines;
layout: no tab, trailing blank, carriage return or missing last newline in sources; tables are .tbl.h;
headers: #pragma once; a comment on top that says what it is and its layer."""
import os
import re
import sys

import layers
import source

SUFFIXES = (".c", ".h", ".py", ".sh", ".proto", ".build", ".md", ".cfg", ".yaml")
BAD_NAME = re.compile(r"^(utils?|misc|commons?|helpers?|managers?|stuff|.*_(utils?|misc|common|helpers?|manager)|.*[a-z]2)$")
NAME_EXCEPTIONS = {"h2": "HTTP/2"}
LEFT_BEHIND = re.compile(r"\b(TODO|FIXME|XXX)\b")
MAX_LINES = 800


def stem(path):
    return re.sub(r"(\.tbl)?\.\w+$", "", os.path.basename(path))


def check_name(path):
    name = stem(path)
    if BAD_NAME.match(name) and not re.match(r"^(.*_)?h2$", name):
        yield 0, "a file is named after the one noun it holds, not %s" % name


def check_text(path, text):
    code = path.endswith((".c", ".h"))
    lines = text.split("\n")
    if text and not text.endswith("\n"):
        yield len(lines), "no newline at the end"
    for i, line in enumerate(lines, 1):
        if "\r" in line:
            yield i, "carriage return"
        if "\t" in line and not path.endswith(".md"):
            yield i, "tab"
        if line != line.rstrip() and not path.endswith(".md"):
            yield i, "trailing blank"
        if path != "tests/check/rules.py" and LEFT_BEHIND.search(line):
            yield i, "left behind: %s" % LEFT_BEHIND.search(line).group(1)
    if code and len(lines) - 1 > MAX_LINES and not path.endswith(".tbl.h"):
        yield len(lines), "%d lines: split it (a file is one noun; %d is the limit)" % (len(lines) - 1, MAX_LINES)
    if path.endswith(".h") and not path.endswith(".tbl.h") and "#pragma once" not in text:
        yield 1, "no #pragma once"
    if code and not text.lstrip().startswith("/*"):
        yield 1, "no comment on top that says what it is"
    elif code and path not in text.lstrip()[:len(path) + 8]:
        yield 1, "the comment on top starts with the path: /* %s - ..." % path


def main(root):
    bad, n = [], 0
    for path in source.files(root, SUFFIXES):
        n += 1
        found = list(check_name(path)) + list(check_text(path, source.read(root, path)))
        bad += ["%s:%d: %s" % (path, line, why) for line, why in found]
    print("\n".join(bad + ["rules: %d files, %d complaints" % (n, len(bad))]))
    return 1 if bad or not n else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
