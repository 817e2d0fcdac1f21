"""Where the configuration comes from, how it is changed on a running system, and how it is forgotten."""
import json
import os
import re

from tests.lab import netns
from tests.lab.proc import wait_until

from .cases_boot import main_machine
from .site import config
from .vm import BOOT_S, MachineError

HERE = os.path.dirname(os.path.abspath(__file__))


def named(m):
    return json.loads(m.sh("gatectl -t 60000 -o json system status")).get("name")


def in_force(m):
    """The name that the daemons were given: that of an unconfirmed configuration, too."""
    return m.sh("sed -n 's/^name = \"\\(.*\\)\".*/\\1/p' /etc/gatehouse/agent.cfg").strip()


def renamed(bed, name):
    return config(('name = "edge-test"', 'name = "%s"' % name))


def apply(bed, check):
    m = main_machine(bed)
    m.sh("mkdir -p /run/t")
    m.put("/run/t/bad.cfg", config(("threads = 1;", 'threads = "many";')))
    status, out = m.run("gatectl system apply /run/t/bad.cfg")
    check("a bad file is refused with file, line and setting, and nothing changes", status != 0 and re.search(r"cfg:\d+: threads", out) and named(m) == "edge-test", out)
    m.put("/run/t/a.cfg", renamed(bed, "edge-a"))
    out = m.sh("gatectl system apply --confirm 60 /run/t/a.cfg", 400)
    check("an apply is in force at once", in_force(m) == "edge-a", out)
    m.sh("gatectl system confirm")
    check("confirmed, it stays", named(m) == in_force(m) == "edge-a")
    m.put("/run/t/b.cfg", renamed(bed, "edge-b"))
    m.sh("gatectl system apply --confirm 30 /run/t/b.cfg", 400)
    before = in_force(m)
    wait_until(lambda: in_force(m) == "edge-a", 240, "the unconfirmed configuration taken back", 0.5)
    check("not confirmed, it is taken back by itself", before == "edge-b" and named(m) == "edge-a", before)
    check("it serves all along", bed.serves())
    m.put("/run/t/c.cfg", renamed(bed, "edge-c"))
    m.run("nohup gatectl system apply --confirm 600 /run/t/c.cfg >/dev/null 2>&1 & sleep 1.5", 60)
    m.kill()
    m.start()
    took = bed.wait_serving(m)
    check("power cut during an apply: the confirmed configuration boots and serves (%.0f s)" % took, named(m.ready()) == "edge-a", named(m))


def sources(bed, check):
    """Those that no other group boots from: an SMBIOS credential, and GCE's metadata over DHCP.  (serving: NoCloud seed, release: config drive,
    kernel-ports: user-data and ESP, metadata: EC2, console: the form.)"""
    inside = ('source = "directory";', 'source = "directory"; manifests = "%s";' % r"kind: List\napiVersion: v1\nitems: []\n")

    def boots(name, source, **kw):
        with bed.machine(name, iommu=False, **kw).start() as m:
            wait_until(lambda: in_force_quietly(m) == name, 2 * BOOT_S, "the configuration of %s in force" % name, 1.0)
            check("configuration by %s" % source, True)
    boots("by-smbios", "an SMBIOS credential", seed=[], credentials={"gatehouse.cfg": config(('name = "edge-test"', 'name = "by-smbios"'), inside)})
    with open(bed.site.path("by-gce"), "wb") as f:
        f.write(b"# gatehouse.cfg\n" + config(('name = "edge-test"', 'name = "by-gce"'), inside))
    service = bed.site.spawn("cloud-gce", ["python3", "-B", os.path.join(HERE, "cloud.py"), "mgmt", bed.site.path("by-gce"), "gce"])
    boots("by-gce", "GCE's metadata service, after DHCP", seed=[])
    service.stop()


def metadata(bed, check):
    """No seed at all, and no DHCP: a link-local address is enough to ask the metadata service."""
    inline = 'source = "directory"; manifests = "%s";' % bed.site.manifests().replace("\\", "\\\\").replace('"', '\\"')
    path = bed.site.path("user-data")
    with open(path, "wb") as f:
        f.write(b"# gatehouse.cfg\n" + config(('name = "edge-test"', 'name = "by-ec2"'), ('source = "directory";', inline)))
    netns.routes(bed.site.prefix, "169.254.0.0/16 dev mgmt")
    service = bed.site.spawn("metadata", ["python3", "-B", os.path.join(HERE, "cloud.py"), "-", path, "ec2"])
    with bed.machine("ec2", seed=[]).start() as m:
        took = bed.wait_serving(m, 2 * BOOT_S)
        status = json.loads(m.sh("gatectl system status -o json"))
        check("configuration by the metadata service (IMDSv2): serving %.0f s after power-on" % took,
              status["name"] == "by-ec2" and status["source"] == "ec2", status)
    service.stop()


def in_force_quietly(m):
    """None while the machine is not to be talked to."""
    try:
        return in_force(m)
    except (TimeoutError, MachineError):
        if not m.alive():
            raise
        return None


def console_form(bed, check):
    """A box without any configuration asks for one on its serial console; nobody is logged in for that."""
    plain = bed.site.manifests().split("---\napiVersion: v1\nkind: Secret")[0]
    plain = re.sub(r"  - name: https\n(    .*\n)+", "", plain).replace('  - {type: IPAddress, value: "fd00:5::10"}\n', "")
    answers = (("Name of this appliance", "by-form"), ("Management NIC", "52:54:00:12:34:01"), ("Management address", "10.0.0.5/24"), ("Management gateway", "10.0.0.1"),
               ("DNS server", ""), ("Data NIC", "52:54:00:12:34:02"), ("Data address", "192.0.2.2/24"), ("Data gateway", "192.0.2.1"),
               ("Virtual addresses", "198.51.100.0/26"), ("Number of layer-7 shards", "1"), ("kubernetes or directory", "directory"))
    with bed.machine("form", seed=[]).start() as m:
        m.wait_console("This box has no configuration yet", 2 * BOOT_S)
        mark = 0
        for question, answer in answers:
            mark = m.wait_console(re.escape(question) + r".*: $", 120, mark).end()
            if question == "Data address":
                m.type("300.1.2.3\r")
                mark = m.wait_console(r"not ADDRESS/LENGTH", 60, mark).end()
                check("the form refuses an answer that cannot be, and asks again", True)
            m.type(answer + "\r")
        m.wait_console("Paste the manifests", 60, mark)
        m.type(plain.replace("\n", "\r") + ".\r")
        mark = m.wait_console(r"Put this in force.*: $", 240, mark).end()
        m.type("yes\r")
        took = bed.wait_serving(m)
        check("the console form: typed, put in force, serving %.0f s after power-on" % took, named(m.ready()) == "by-form")


def factory_reset(bed, check):
    m = main_machine(bed)
    m.sh("touch /var/lib/gatehouse/system/left-behind")
    mark = len(m.console())
    m.later("/usr/lib/gatehouse/gatehouse-system reset --yes")
    m.wait_console(r"EFI stub", BOOT_S, mark)
    m.forget()
    m.ready()
    wait_until(bed.serves, BOOT_S, "serving from the seed after the reset", 0.5)
    check("factory reset: state is gone, the image stays, the seed configures it again", m.run("test -e /var/lib/gatehouse/system/left-behind")[0] == 1 and named(m) == "edge-test")


