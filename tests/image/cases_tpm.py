"""Secrets sealed to a TPM: first boot, an update, a disk that was moved, the recovery key."""
import json
import os
import re
import time

from tests.lab.proc import wait_until

from .cases_update import updated
from .site import VIP4
from .vm import BOOT_S

KEY = r"(?:[A-Z2-7]{4}-){7}[A-Z2-7]{4}"


def secrets(m):
    return json.loads(m.run("gatectl system status -o json")[1])["secrets"]


def https(bed):
    return bed.get(VIP4, "https://echo.example/", timeout=15)[0] == 200


def sealed(bed, check):
    """One machine, four starts: sealed at first boot; A to B; the disk under another TPM; and that one's second start."""
    m = bed.machine("tpm", tpm=True).start()
    took = bed.wait_serving(m)
    m.ready()
    s = secrets(m)
    check("first boot seals the host key to the TPM; serving in %.0f s" % took, s["state"] == "sealed", s)
    kept = m.sh("ls /var/lib/gatehouse/system").split()
    check("no key lies on the disk in clear", "host.key.tpm" in kept and "host.key.recovery" in kept and "host.key" not in kept, kept)
    encrypted = int(m.sh("find /var/lib/gatehouse/l7gw -name '*.enc' | wc -l"))
    plain = m.run("find /var/lib/gatehouse/l7gw -name host.key; grep -rl 'PRIVATE KEY' /var/lib/gatehouse /etc/gatehouse/l7gw")[1]
    check("neither does a private key: not in the shards' stores, nor in the stored manifests", encrypted and not plain, "%d, %s" % (encrypted, plain))
    m.wait_console(KEY, 120)
    key = re.findall(KEY, m.console())[-1]
    told = json.loads(m.sh("gatectl system recovery -o json"))["recovery_key"]
    check("the recovery key is on the console and in gatectl's answer", key == told, "%s, %s" % (key, told))
    m.type("\r")
    wait_until(lambda: m.run("gatectl system recovery")[0] != 0, 120, "the recovery key not to be shown after Enter", 0.5)
    check("Enter says that it is written down: it is not shown again", True)
    bed.wait_blessed(m)

    version = bed.version(1)
    bed.image("newer", "--version", version)
    mark = updated(bed, m, "newer", version, check, "update")
    m.wait_console(r"EFI stub", BOOT_S, mark)
    m.forget()
    m.ready()
    wait_until(lambda: https(bed), BOOT_S, "HTTPS after the update", 0.5)
    bed.wait_blessed(m, version)
    s = secrets(m)
    check("it survives a restart and an update from A to B: same keys, sealed", s["state"] == "sealed" and not s["recovery"], s)

    m.sh("sync")
    m.kill()
    os.rename(m.path("tpm"), m.path("tpm.before"))  # the disk in another machine
    m.start()
    bed.wait_serving(m)
    m.ready()
    s = secrets(m)
    check("the disk under another TPM: what needs no keys is served, and the status asks for the recovery key", s["state"] == "locked" and "recovery key" in s["detail"], s)
    status, _ = bed.get(VIP4, "https://echo.example/", timeout=15)
    check("HTTPS is refused, and nothing that is encrypted was removed", status != 200 and ".enc" in m.sh("ls /var/lib/gatehouse/l7gw/*/blobs"), status)
    mark = len(m.console())
    m.wait_console(r"type the recovery key", 120, 0)
    wrong = m.run("gatectl system unlock AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA")
    check("a wrong recovery key is refused", wrong[0] != 0 and "not the one of this box" in wrong[1], wrong)
    start = time.monotonic()
    m.type(key.lower().replace("-", "") + "\r")
    wait_until(lambda: https(bed), BOOT_S, "HTTPS after the recovery key was typed; the console said: " + m.console()[mark:][-600:], 0.5)
    s = secrets(m)
    check("the recovery key, typed on the console: HTTPS again after %.0f s, and sealed to the new TPM" % (time.monotonic() - start), s["state"] == "sealed", s)
    m.sh("sync")
    m.kill()
    m.start()
    wait_until(lambda: https(bed), BOOT_S, "HTTPS after a restart under the new TPM", 0.5)
    s = secrets(m.ready())
    check("the next start under it needs nobody", s["state"] == "sealed" and not s["recovery"], s)
