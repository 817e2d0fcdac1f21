"""An update that nobody asked for: found, installed and booted by the box itself, inside its window."""
import re

from tests.lab.proc import wait_until

from .cases_boot import main_machine
from .cases_update import publish, running
from .site import config
from .vm import BOOT_S


def window(m):
    """One that is open, by the machine's clock, and in its last half hour: every box's time."""
    hour, minute = (int(x) for x in m.sh("date -u '+%H %M'").split())
    now = hour * 60 + minute
    return "%02d:%02d-%02d:%02d" % (*divmod((now - 90) % 1440, 60), *divmod((now + 20) % 1440, 60))


def by_itself(bed, check):
    version = bed.version(1)
    bed.image("newer", "--version", version)
    m = main_machine(bed)
    address = publish(bed, "stable", bed.image("newer"))
    settings = 'update = { url = "%s"; automatic = true; window = "%s"; };\n' % (re.sub("stable/$", "", address), window(m)) + 'ntp = {'
    m.put("/run/auto.cfg", config(("ntp = {", settings.replace("automatic = true;", 'automatic = true; channel = "stable";'))))
    m.sh("gatectl system apply --confirm 0 /run/auto.cfg", 400)
    timer = m.run("systemctl is-active gatehouse-auto-update.timer")[1].strip()
    check("automatic = true: the timer runs", timer == "active", timer)
    mark = len(m.console())
    said = m.run("systemctl start gatehouse-auto-update.service; gatectl system status", 600)[1]
    check("a look at the update server finds the new version, and installs it", "installing " + version in said, said)
    m.wait_console(r"EFI stub", BOOT_S, mark)
    m.forget()
    m.ready()
    bed.wait_blessed(m, version)
    wait_until(bed.serves, BOOT_S, "serving after the update", 0.5)
    check("it restarted by itself: %s runs, serves and is blessed" % version, running(m) == version)
