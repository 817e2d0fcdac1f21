"""Reading C sources for the checks: the file list, and code without comments and strings."""
import os
import re

SKIP_DIRS = {".git", "__pycache__", "subprojects"}
_TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def files(root, suffixes, rooms=None):
    """Paths relative to root, sorted; build directories and dot directories are not sources."""
    out = []
    for d, dirs, names in os.walk(root):
        rel = os.path.relpath(d, root)
        rel = "" if rel == "." else rel + "/"
        dirs[:] = sorted(n for n in dirs if n not in SKIP_DIRS and not n.startswith(".") and not (rel == "" and n.startswith("build")))
        out += [rel + n for n in names if n.endswith(suffixes)]
    return sorted(p for p in out if rooms is None or p.split("/")[0] in rooms)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as f:
        return f.read()


def strip(text):
    """Comments and literals become spaces; line numbers stay."""
    return _TOKEN.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)


def strip_comments(text):
    return _TOKEN.sub(lambda m: m.group(0) if m.group(0)[0] in "\"'" else re.sub(r"[^\n]", " ", m.group(0)), text)
