"""check: the appliance's units stay as locked up as they are.

    units.py ROOT            systemd-analyze security (offline) of every unit against SCORES: a score may fall, not rise;
                             a service without a row is an error.  Then systemd-analyze verify, and users.h against sysusers.d.

A score is systemd's exposure level, 0.0 (nothing) to 10.0 (everything).  Reasons for the high ones are in image/README.md.
"""
import os
import re
import subprocess
import sys

UNITS = "image/root/usr/lib/systemd/system"
SCORES = {  # unit: highest allowed.  The data planes and the agent: 2.5 is the promise, these are what they have.
    "l4lb.service": 1.2,
    "l7gw@.service": 1.1,
    "gatehouse-agent.service": 1.3,
    "gatehouse-syslog.service": 1.1,
    "gatehouse-metadata.service": 2.0,
    "gatehouse-advertise.service": 0.9,
    "gatehouse-auto-update.service": 2.2,
    "gatehouse-bird.service": 3.3,
    "gatehouse-nftables.service": 3.5,
    "gatehouse-update.service": 3.5,
    "gatehouse-wipe.service": 3.7,
    "gatehouse-fault.service": 3.7,
    "gatehouse-system.service": 5.5,
    "gatehouse-console@.service": 5.7,
    "gatehouse-netns@.service": 4.9,
    "gatehouse-ports.service": 5.5,
    "gatehouse-health.service": 3.7,
    "gatehouse-configure.service": 4.0,
}
NOT_OURS = ("gatehouse-bird.service",)  # BIRD gives no sign of life
PROMISED = {"l4lb.service": 2.5, "l7gw@.service": 2.5, "gatehouse-agent.service": 2.5}
# What verify says on a machine that is no appliance.
ELSEWHERE = re.compile(r"is not executable|Failed to (open|load)|not found|No such file|man .* command|Unit .* has a bad unit file")


def analyze(*argv):
    p = subprocess.run(["systemd-analyze", *argv], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                       env={**os.environ, "SYSTEMD_COLORS": "0", "LC_ALL": "C.UTF-8"})
    return p.stdout + p.stderr


def score(path):
    out = analyze("security", "--offline=true", "--no-pager", path)
    m = re.search(r"Overall exposure level for .*: ([0-9.]+) ", out)
    if not m:
        raise RuntimeError("%s: systemd-analyze says no score:\n%s" % (path, out[-600:]))
    return float(m.group(1))


def check_scores(units, scores, promised):
    """Errors of the services in a directory."""
    services = sorted(f for f in os.listdir(units) if f.endswith(".service") and not os.path.islink(os.path.join(units, f)))
    errors = ["%s: no such unit, but a row in SCORES" % f for f in scores if f not in services]
    for f in services:
        if f not in scores:
            errors.append("%s: has no row in SCORES" % f)
            continue
        now = score(os.path.join(units, f))
        limit = min(scores[f], promised.get(f, 10.0))
        if now > limit:
            errors.append("%s: exposure %.1f, allowed %.1f: systemd-analyze security --offline=true %s says why" % (
                f, now, limit, os.path.join(units, f)))
    return errors


def check_syntax(units):
    files = sorted(os.path.join(units, f) for f in os.listdir(units) if re.search(r"\.(service|target|slice|socket|timer|mount)$", f))
    named = [f.replace("@.", "@x.") for f in files]
    errors = []
    for f in named:  # one by one: the templates' instances exist nowhere else
        for line in analyze("verify", "--man=no", "--recursive-errors=no", f).splitlines():
            if os.path.basename(f).split("@")[0] in line and not ELSEWHERE.search(line):
                errors.append(line)
    return errors


def check_watchdogs(units, foreign):
    """Who is started again when it ends is also started again when it hangs; and systemd itself feeds the hardware's."""
    errors = []
    for f in sorted(os.listdir(units)):
        if not f.endswith(".service") or f in foreign:
            continue
        with open(os.path.join(units, f)) as t:
            text = t.read()
        if re.search(r"^Restart=always$", text, re.M) and not (re.search(r"^WatchdogSec=", text, re.M) and re.search(r"^Type=notify$", text, re.M)):
            errors.append("%s: runs for ever without a watchdog: Type=notify, WatchdogSec=" % f)
    return errors


def check_hardware(path):
    with open(path) as f:
        return [] if re.search(r"^RuntimeWatchdogSec=\d+s$", f.read(), re.M) else ["%s: RuntimeWatchdogSec= is not set" % path]


def check_users(root):
    with open(os.path.join(root, "image/core/users.h")) as f:
        ours = {name: int(n) for name, n in re.findall(r"([GU]ID_\w+) = (\d+)", f.read())}
    with open(os.path.join(root, "image/root/usr/lib/sysusers.d/gatehouse.conf")) as f:
        rows = {name: int(n) for name, n in re.findall(r"^[gu] (\S+) (\d+)", f.read(), re.M)}
    want = {"gatehouse": ours["GID_GATEHOUSE"], "gatehouse-agent": ours["UID_AGENT"], "l4lb": ours["UID_L4LB"],
            "gatehouse-syslog": ours["UID_SYSLOG"], "l7gw": ours["UID_L7GW"]}
    with open(os.path.join(root, "image/core/limits.tbl.h")) as f:
        shards = int(re.search(r"L\(SHARDS, (\d+)", f.read()).group(1))
    want.update({"shard%d" % k: ours["UID_SHARD"] + k for k in range(1, shards + 1)})
    return ["sysusers.d: %s is %s, core/users.h says %s" % (name, rows.get(name), want.get(name))
            for name in sorted(set(rows) | set(want)) if rows.get(name) != want.get(name)]


def main(root):
    units = os.path.join(root, UNITS)
    errors = check_scores(units, SCORES, PROMISED) + check_syntax(units) + check_users(root) + check_watchdogs(units, NOT_OURS)
    errors += check_hardware(os.path.join(root, "image/root/usr/lib/systemd/system.conf.d/10-gatehouse.conf"))
    for e in errors:
        print(e)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
