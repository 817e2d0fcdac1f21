"""Boots to serving, and what then holds: packets by every kind of port, rights, the last known good configuration."""
import json
import os
import re
import subprocess

from tests.lab.proc import wait_until

from .cases_image import release_image
from .site import STRANGER, VIP4, VIP6, config, esp_put, seed_disk
from .vm import BOOT_S

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
    bed.main = m
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
    m = bed.main
    if m is None:
        m = bed.machine("main").start()
        bed.wait_serving(m)
        bed.wait_blessed(m.ready())
        m.save("serving")
        bed.main = m
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
    """No IOMMU, Secure Boot on: AF_XDP; told to, AF_PACKET.  Each takes its configuration from another source on the way."""
    manifests = {"manifests/site.yaml": bed.site.manifests().encode()}
    user_data = b"# gatehouse.cfg\n" + config(('name = "edge-test"', 'name = "by-user-data"'))
    seed = seed_disk(bed.site.path("user-data.img"), {"user-data": user_data, "meta-data": b"instance-id: i-1\n", **manifests}, label="cidata")
    with bed.machine("af-xdp", iommu=False, seed=[(seed, "seed", True)]).start() as m:
        kernel_port(bed, check, m, "af_xdp", "by-user-data", "a NoCloud seed's user-data")
    with bed.machine("af-packet", iommu=False, seed=[]) as m:
        text = config(('driver = "auto"', 'driver = "af_packet"'), ('name = "edge-test"', 'name = "by-esp"'))
        esp_put(m.disk, bed.site.path("esp.raw"), {"gatehouse/gatehouse.cfg": text, **{"gatehouse/" + n: data for n, data in manifests.items()}})
        kernel_port(bed, check, m.start(), "af_packet", "by-esp", "the ESP")


def kernel_port(bed, check, m, want, name, source):
    took = bed.wait_serving(m)
    choice = port_choice(m.ready())
    check("without an IOMMU under Secure Boot%s: %s (%s), serving in %.0f s" % (" and told so" if want == "af_packet" else "", choice["driver"], choice["reason"], took),
          choice["driver"] == want, choice)
    status = json.loads(m.sh("gatectl -t 60000 -o json system status"))
    check("its configuration came by %s" % source, status["name"] == name, status)
    ways(bed, check, want)


def release(bed, check):
    """The image that is handed out, as it is: no hook to ask, so it is judged by what can be seen of it.  Its configuration is on a config drive."""
    release_image(bed)
    files = {"gatehouse.cfg": config(('name = "edge-test"', 'name = "by-drive"')), "manifests/site.yaml": bed.site.manifests().encode()}
    drive = seed_disk(bed.site.path("drive.img"), files, label="config-2")
    with bed.machine("release", image="release", iommu=False, seed=[(drive, "drive", True)]).start() as m:
        took = bed.wait_serving(m)
        check("a release image boots with Secure Boot to serving in %.0f s" % took, True)
        ways(bed, check, "the release image")
        m.wait_console(r"Gatehouse  by-drive  configured by", BOOT_S)
        check("configuration by a config drive, as the status page says", True)
        m.wait_console(r"^Health +good", BOOT_S)
        page = m.console().rsplit("Gatehouse  by-drive", 1)[1]
        check("the status page: version, slot, health, MAC and address of each NIC, virtual addresses, data port",
              all(re.search(p, page, re.M) for p in (r"^Version +" + re.escape(bed.base) + r"\b", r"^Slot +a", r"^Virtual IPs.*198\.51\.100\.0/26", r"52:54:00:12:34:01.*10\.0\.0\.5", r"^Data port.*af_xdp")), page)
        mark = len(m.console())
        m.type("\rroot\rid\r\x03\x04help\r")
        m.type("\x1b[A\r")
        probes = {port: bed.site.run("curl", "-sS", "--max-time", "3", "telnet://10.0.0.5:%d" % port, check=False).returncode for port in (22, 23, 80, 443, 9000)}
        check("nothing listens on its management address: %s" % ", ".join("%d: curl %d" % p for p in sorted(probes.items())), all(code in (7, 28) for code in probes.values()), probes)
        said = m.console()[mark:]
        check("keys on the console reach nobody: no login, no shell", not re.search(r"(login|[Pp]assword|uid=|command not found|[#$] $)", said), said)
        check("and it serves on", bed.serves())
        m.power_button()
        m.wait_end(BOOT_S)
        check("the power button ends it in good order", "Powering off" in m.console()[mark:] or "Power down" in m.console()[mark:], m.console()[-400:])
        names = esp_names(m.disk, bed.site.path("esp.raw"))
        check("the gate passed: its boot entry is blessed", names == ["gatehouse_%s.efi" % bed.base], names)


def esp_names(disk, scratch):
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", disk, scratch], check=True)
    names = subprocess.run(["mdir", "-b", "-i", scratch + "@@1M", "::/EFI/Linux"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout
    os.unlink(scratch)
    return sorted(line.rsplit("/", 1)[1] for line in names.split())


