"""Boots to serving, and what then holds: packets by every kind of port, rights, the last known good configuration."""
import json
import re

from tests.lab.proc import wait_until

from .site import STRANGER, VIP4, VIP6, config

WAYS = (("HTTP over IPv4", VIP4, "http"), ("HTTP over IPv6", VIP6, "http"), ("HTTPS over IPv4", VIP4, "https"), ("HTTPS over IPv6", VIP6, "https"))


def ways(bed, check, by):
    for name, vip, scheme in WAYS:
        status, echo = bed.get(vip, scheme + "://echo.example/through?way=1", timeout=15)
        ok = status == 200 and echo and echo["pod"] == "pod-1" and echo["path"] == "/through?way=1"
        check("%s: from outside through %s and a shard to an origin outside, and back" % (name, by), ok, "status %s, %s" % (status, echo))


def port_choice(m):
    return json.loads(m.sh("cat /etc/gatehouse/ports/status.json"))["ports"][0]


def serving(bed, check):
    m = bed.machine("main").start()
    took = bed.wait_serving(m)
    check("boots with Secure Boot to serving in %.0f s from power-on" % took, True)
    m.ready()
    facts = m.sh("od -An -tu1 -j4 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c; cat /sys/kernel/security/lockdown; dmsetup table root; "
                 "findmnt -no FSTYPE,OPTIONS /; findmnt -no SOURCE,FSTYPE /var; ls /efi/EFI/Linux; cat /proc/cmdline").lower()
    check("Secure Boot is enforced and the kernel locked down", facts.split()[0] == "1" and "[integrity]" in facts, facts)
    check("the root is a read-only squashfs behind dm-verity", "verity" in facts and re.search(r"^squashfs ro", facts, re.M), facts)
    choice = port_choice(m)
    check("the data port is driven by vfio, and the reason is told: %s" % choice["reason"], choice["driver"] == "vfio" and choice["reason"], choice)
    ways(bed, check, "a DPDK-driven virtio NIC (vfio)")
    bed.wait_blessed(m)
    check("the health gate passed and the boot was blessed", True)
    m.save("serving")
    failed = m.sh("systemctl --failed --no-legend")
    check("no unit failed", not failed.strip(), failed)
    caps = m.sh("for u in l4lb l7gw@default-1 gatehouse-agent; do p=$(systemctl show -P MainPID $u); grep -E '^(Uid|CapEff|NoNewPrivs|Seccomp):' /proc/$p/status | tr '\\n' ' '; echo; done").splitlines()
    check("l4lb drives its NIC as its own user without any capability", re.search(r"CapEff:\s*0{16}", caps[0]) and not re.search(r"Uid:\s*0\s", caps[0]), caps)
    check("shards and agent: own users, no new privileges, seccomp", all(re.search(r"NoNewPrivs:\s*1.*Seccomp:\s*2", c) and not re.search(r"Uid:\s*0\s", c) for c in caps), caps)
    scores = {u: float(m.sh("systemd-analyze security --no-pager %s | tail -1" % u).split(":")[1].split()[0]) for u in ("l7gw@default-1.service", "gatehouse-agent.service", "l4lb.service")}
    check("exposure at most 2.5: %s" % ", ".join("%s %.1f" % s for s in scores.items()), max(scores["l7gw@default-1.service"], scores["gatehouse-agent.service"]) <= 2.5, scores)
    stranger = bed.site.run("curl", "-sS", "--interface", STRANGER, "--max-time", "5", "http://10.0.0.5:9000/", check=False)
    pinged = bed.site.run("ping", "-c", "1", "-W", "20", "10.0.0.5", check=False)
    check("the management side answers a ping, and drops what comes from outside of `allow`", stranger.returncode == 28 and pinged.returncode == 0, "%s %s" % (stranger, pinged))
    m.wait_console(r"198\.51\.100\.0/26", 60)
    said = m.console()
    check("the status page on the serial console names version, slot, MAC addresses and VIPs", bed.base in said and "Slot" in said and "52:54:00:12:34:01" in said.lower(), said[-1500:])
    status = m.sh("gatectl system status")
    check("gatectl system status names version and slot", bed.base in status and "slot" in status, status)
    size = m.sh("findmnt -bno SIZE /var; journalctl --disk-usage; ls /var/log/journal").split()
    check("the data partition was made on first boot and holds the journal", int(size[0]) > 1 << 30 and "/var/log/journal" in m.sh("journalctl --header | grep path -i"), size)


def main_machine(bed):
    """The machine of group `serving`, back in the state in which it served; booted if that group did not run."""
    m = next((m for m in bed.machines if m.dir.endswith("vm-main") and "serving" in m.saved), None)
    if m is None:
        m = bed.machine("main").start()
        bed.wait_serving(m)
        bed.wait_blessed(m.ready())
        m.save("serving")
    else:
        bed.close(but=m)
        if m.alive():
            m.load("serving")
        else:
            m.start("-loadvm", "serving")
        m.ready()
        wait_until(bed.serves, 120, "serving after the snapshot was taken up", 0.5)
    return m


def last_known_good(bed, check):
    m = main_machine(bed)
    m.sh("systemctl mask --runtime --now gatehouse-agent; systemctl restart l4lb 'l7gw@*'", 240)
    wait_until(bed.serves, 180, "an answer after all data planes restarted without an agent", 0.5)
    gone = m.run("systemctl is-active gatehouse-agent")[1].strip()
    check("data planes restarted with no agent serve from their last known good configuration", gone == "inactive", gone)


def kernel_ports(bed, check):
    """No IOMMU, Secure Boot on: AF_XDP; told to, AF_PACKET."""
    for want, edit in (("af_xdp", ()), ("af_packet", (('driver = "auto"', 'driver = "af_packet"'),))):
        with bed.machine(want, iommu=False, seed=[bed.site.seed(want + ".img", config(*edit))]).start() as m:
            took = bed.wait_serving(m)
            choice = port_choice(m.ready())
            check("without an IOMMU under Secure Boot%s: %s (%s), serving in %.0f s" % (" and told so" if edit else "", choice["driver"], choice["reason"], took), choice["driver"] == want, choice)
            ways(bed, check, want)


