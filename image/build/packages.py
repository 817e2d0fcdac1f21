"""packages.txt, and which packages of the tree a profile's image holds."""
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))
PROFILES = {"release": ("runtime",), "test": ("runtime", "test"), "debug": ("runtime", "debug", "test")}


def read(path=os.path.join(HERE, "packages.txt")):
    """{section: [name]}"""
    sections, current = {}, None
    with open(path, encoding="utf-8") as f:
        for line in f:
            line = line.split("#")[0].strip()
            if line.startswith("["):
                current = sections.setdefault(line.strip("[]"), [])
            elif line:
                current.append(line)
    return sections


def everything(sections):
    """What has to be installed to make all profiles; [drop] comes by itself."""
    return sorted({p for name, members in sections.items() if name != "drop" for p in members})


def installed(status):
    """dpkg's status file -> {name: {field: value}}; continuation lines are joined."""
    out = {}
    for stanza in status.split("\n\n"):
        fields = {}
        for line in stanza.split("\n"):
            if line.startswith((" ", "\t")):
                fields[last] += "\n" + line.strip()
            elif ":" in line:
                last, value = line.split(":", 1)
                fields[last] = value.strip()
        if fields.get("Status", "").endswith(" installed"):
            out[fields["Package"]] = fields
    return out


def needs(fields):
    """The alternatives of each dependency: [[name, ...], ...]"""
    text = ", ".join(fields[f] for f in ("Pre-Depends", "Depends") if fields.get(f))
    return [[re.match(r"[^ (:]+", a.strip()).group(0) for a in dep.split("|")] for dep in text.split(",") if dep.strip()]


def provides(packages):
    out = {}
    for name, fields in packages.items():
        for p in fields.get("Provides", "").split(","):
            if p.strip():
                out.setdefault(re.match(r"[^ (]+", p.strip()).group(0), []).append(name)
    return out


def selected(sections, packages, profile):
    """Names of the packages in a profile's image."""
    named = [p for s in PROFILES[profile] for p in sections[s]]
    drop = set(sections["drop"]) - {p for s in PROFILES[profile] if s != "runtime" for p in sections[s]}
    virtual, chosen, queue = provides(packages), set(), list(named)
    while queue:
        name = queue.pop()
        if name in chosen or name in drop:
            continue
        if name not in packages:
            raise KeyError("packages.txt names %s, which the tree does not hold" % name)
        chosen.add(name)
        for alternatives in needs(packages[name]):
            for a in alternatives:
                real = [a] if a in packages else virtual.get(a, [])
                if real:
                    queue += real
                    break
    return chosen
