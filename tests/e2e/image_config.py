#!/usr/bin/env python3
"""One file manages the box: gatehouse.cfg is found, checked by the real daemons, rendered, applied, confirmed or taken back.

   seed (ESP, SMBIOS credential, metadata service) ──▶ gatehouse-system configure ──▶ ROOT/run/gatehouse/etc ──▶ l4lb, l7gw, agent --check
   gatectl system apply ── ROOT/run/gatehouse/system.sock ──▶ gatehouse-system serve ──▶ a systemctl that only writes down

Everything lies below a scratch ROOT; nothing of this machine is touched.  The shards' `ip -batch` files are run in namespaces."""
import datetime
import http.server
import json
import os
import pty
import re
import select
import shutil
import stat
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tests.lab.proc import Proc, wait_until
from tests.lab.scenario import ROOT, Checks

BUILD = os.environ.get("GATEHOUSE_BUILD", os.path.join(ROOT, "build"))
CONFIG = """version = 1;
name = "%(name)s";
management = { nic = "ens3"; dhcp = true; };
data = ( { name = "up"; nic = "52:54:00:12:34:02"; addresses = [ "192.0.2.2/24", "2001:db8::2/64" ]; } );
routes = ( { prefix = "0.0.0.0/0"; via = "192.0.2.%(via)d"; } );
vip_pools = [ "198.51.100.0/26", "2001:db8:10::/64" ];
shards = ( { pool = "default"; count = %(count)d; } );
agent = { source = "directory"; };
%(more)s
"""


def config(name="edge", via=1, count=2, more=""):
    return CONFIG % {"name": name, "via": via, "count": count, "more": more}


class Box:
    """A scratch root with the daemons of the build and a systemctl that notes what it is asked."""

    def __init__(self, base):
        self.base, self.root = base, os.path.join(base, "root")
        self.daemons, self.calls = os.path.join(base, "bin"), os.path.join(base, "calls")
        self.fail = os.path.join(base, "fail")
        os.makedirs(self.daemons)
        for path in ("l4lb/l4lb", "l7gw/l7gw", "agent/gatehouse-agent"):
            os.symlink(os.path.join(BUILD, path), os.path.join(self.daemons, os.path.basename(path)))
        self.systemctl = os.path.join(self.daemons, "systemctl")
        with open(self.systemctl, "w") as f:
            f.write('#!/bin/sh\necho "$@" >>%s\nif [ -e %s ]; then rm %s; echo "Job for l4lb.service failed."; exit 1; fi\n' % (
                self.calls, self.fail, self.fail))
        os.chmod(self.systemctl, 0o755)
        self.serve = None

    def path(self, *p):
        return os.path.join(self.root, *p)

    def put(self, path, text):
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        with open(self.path(path), "w") as f:
            f.write(text)

    def read(self, *p):
        with open(self.path(*p)) as f:
            return f.read()

    def argv(self, *args):
        return [os.path.join(BUILD, "image/gatehouse-system"), "--root", self.root, "--daemons", self.daemons, "--systemctl", self.systemctl, *args]

    def system(self, *args):
        p = subprocess.run(self.argv(*args), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
        return p.returncode, p.stdout + p.stderr

    def ctl(self, *args):
        p = subprocess.run([os.path.join(BUILD, "ctl/gatectl"), "-d", self.path("run/gatehouse"), *args], capture_output=True, text=True,
                           stdin=subprocess.DEVNULL, timeout=120)
        return p.returncode, p.stdout + p.stderr

    def status(self):
        return json.loads(self.ctl("system", "status", "-o", "json")[1])

    def take_calls(self):
        """What systemctl was asked since the last time."""
        if not os.path.exists(self.calls):
            return []
        with open(self.calls) as f:
            lines = f.read().splitlines()
        os.unlink(self.calls)
        return lines

    def current(self):
        return os.readlink(self.path("var/lib/gatehouse/config/current"))

    def start(self):
        self.serve = Proc("serve", self.argv("serve"), os.path.join(self.base, "serve.log"))
        wait_until(lambda: "event=ready" in self.serve.log() or not self.serve.alive(), 10, "serve is ready")


def seeds(box, check):
    box.put("efi/gatehouse/gatehouse.cfg", config(name="from-esp"))
    shutil.copytree(os.path.join(ROOT, "configs/simple-ingress"), box.path("efi/gatehouse/manifests"))
    rc, out = box.system("configure")
    check("a seed on the ESP is checked by the daemons, stored and rendered", rc == 0 and "event=seed_taken source=esp" in out and "name=from-esp" in out, out)
    check("its manifests come along", sorted(os.listdir(box.path("run/gatehouse/etc/manifests"))) == [".gatehouse", "gateway.yaml"])
    rc, out = box.system("configure")
    check("the next boot takes what is stored: the seed did not change", "event=seed_unchanged" in out, out)
    box.put("efi/gatehouse/gatehouse.cfg", config(name="from-esp", more='routess = ( );'))
    rc, out = box.system("configure")
    check("a bad edit is named by line, and the stored one stays", rc == 0 and "gatehouse.cfg (esp):9" in out and "routess: unknown setting" in out and
          "name=from-esp" in out, out)
    check("the console can say so", "routess" in box.read("run/gatehouse/refused"))
    box.put("efi/gatehouse/gatehouse.cfg", config(name="edited"))
    rc, out = box.system("configure")
    check("an edited seed is taken", "event=seed_taken" in out and "name=edited" in out and not os.path.exists(box.path("run/gatehouse/refused")), out)
    os.makedirs(box.path("run/credentials/@system/manifests"))
    shutil.copy(os.path.join(ROOT, "configs/simple-ingress/gateway.yaml"), box.path("run/credentials/@system/manifests"))
    box.put("run/credentials/@system/gatehouse.cfg", config(name="from-smbios"))
    rc, out = box.system("configure")
    check("an SMBIOS credential comes before the ESP", "source=smbios" in out and "name=from-smbios" in out, out)
    shutil.rmtree(box.path("run/credentials"))


def rendered(box, check):
    l4 = box.read("run/gatehouse/etc/l4lb.cfg")
    check("l4lb's ports: the uplink and a link for each shard", len(re.findall(r"@include \".*/ports/(up|s1|s2)\.cfg\"", l4)) == 3, l4)
    check("units are told: user, CPUs, memory", "User=shard1\n" in box.read("run/systemd/system/l7gw@default-1.service.d/50-gatehouse.conf"))
    wants = sorted(os.listdir(box.path("run/systemd/system/gatehouse.target.wants")))
    check.equal("the target wants l4lb, the shards and the agent", wants,
                ["gatehouse-agent.service", "l4lb.service", "l7gw@default-1.service", "l7gw@default-2.service"])
    nft = box.read("run/gatehouse/etc/nftables.conf")
    check("the packet filter drops what nobody asked for", nft.count("policy drop;") == 2 and "masquerade" in nft, nft)
    mode = stat.S_IMODE(os.stat(box.path("run/gatehouse/etc/manifests/gateway.yaml")).st_mode)
    check("manifests may hold Secrets: not for everybody", mode == 0o640, oct(mode))


def links(box, check):
    """The batch of a shard in a real namespace, with veths for what `ports` would make there."""
    ns = os.environ.get("GATEHOUSE_LAB_PREFIX", "gh-e2e") + "-icfg"
    if os.geteuid() != 0 or subprocess.run(["ip", "netns", "add", ns], capture_output=True).returncode != 0:
        print("#   no right to make a namespace: ip -batch not run")
        return
    try:
        for dev in ("eth0", "eth1"):
            subprocess.run(["ip", "-n", ns, "link", "add", dev, "type", "veth", "peer", "name", dev + "p"], check=True)
            subprocess.run(["ip", "-n", ns, "link", "set", dev + "p", "up"], check=True)
        for family, name in (((), "batch"), (("-6",), "batch6")):
            p = subprocess.run(["ip", *family, "-n", ns, "-batch", box.path("run/gatehouse/etc/net/default-1." + name)],
                               capture_output=True, text=True)
            check("ip takes the shard's %s" % name, p.returncode == 0, p.stdout + p.stderr)

        def route(*args):
            return subprocess.run(["ip", "-n", ns, "route", "get", *args], capture_output=True, text=True).stdout
        check("a reply from a VIP leaves by eth0, IPv4 and IPv6", "dev eth0" in route("203.0.113.9", "from", "198.51.100.5") and
              "dev eth0" in route("2001:db8:99::1", "from", "2001:db8:10::5"), route("203.0.113.9", "from", "198.51.100.5"))
        check("a connection to an endpoint leaves by eth1", "dev eth1" in route("10.244.1.7") and "dev eth1" in route("fd99::7"), route("10.244.1.7"))
        check("a VIP is local there", "local 198.51.100.5" in route("198.51.100.5"), route("198.51.100.5"))
    finally:
        subprocess.run(["ip", "netns", "delete", ns], check=False)


def pem(path):
    """A PEM file as a string of gatehouse.cfg."""
    with open(path) as f:
        return '"%s"' % f.read().replace("\n", "\\n")


def roles(base, check):
    """Load balancer and shards as boxes of their own: both files are taken by the daemons that will run there, and what they make of
    them fits together: the agent of the one lets in the shard of the other, by its certificate alone."""
    pki = os.path.join(base, "pki")

    def issue(*args):
        subprocess.run([os.path.join(BUILD, "ctl/gatectl"), "pki", args[0], "--dir", pki, *args[1:]], check=True, stdout=subprocess.DEVNULL)

    def control(where, *names):
        return 'control = { %s ca = %s; credentials = ( %s ); };' % (where, pem(pki + "/ca.pem"), ", ".join(
            '{ name = "%s"; certificate = %s; key = %s; }' % (n, pem("%s/%s/certificate.pem" % (pki, n)), pem("%s/%s/key.pem" % (pki, n))) for n in names))
    issue("init")
    issue("issue", "agent", "edge")
    for n in (3, 4):
        issue("issue", "l7", "default/default-%d" % n)
    vips = 'vip_pools = [ "198.51.100.0/26", "2001:db8:10::/64" ];\n'
    front, far = Box(os.path.join(base, "front")), Box(os.path.join(base, "far"))
    front.put("efi/gatehouse/gatehouse.cfg", 'version = 1; name = "edge"; role = "l4";\n' + vips +
              'data = ( { name = "up"; nic = "ens4"; addresses = [ "192.0.2.2/24" ]; }, { name = "back"; nic = "ens5"; faces = "shards"; addresses = [ "10.30.0.1/24" ]; } );\n'
              'shards = ( { pool = "default"; first = 3; addresses = [ "10.30.0.13", "10.30.0.14" ]; } );\nagent = { source = "directory"; };\n' +
              control('listen = [ "10.60.0.1:7443" ];', "edge"))
    far.put("efi/gatehouse/gatehouse.cfg", 'version = 1; name = "far"; role = "shards";\n' + vips +
            'data = ( { name = "seg"; nic = "ens4"; } );\nroutes = ( { prefix = "0.0.0.0/0"; via = "10.30.0.1"; } );\n'
            'shards = ( { pool = "default"; first = 3; addresses = [ "10.30.0.13/24", "10.30.0.14/24" ]; } );\n' +
            control('agents = [ "10.60.0.1:7443" ];', "default-3", "default-4"))
    rc, out = front.system("configure")
    check("role l4: l4lb and the agent take what is rendered for them", rc == 0 and "event=configured" in out, out)
    rc, out = far.system("configure")
    check("role shards: each shard takes what is rendered for it", rc == 0 and "event=configured" in out, out)
    key = far.path("run/gatehouse/etc/tls/default-3/key.pem")
    check("keys are for their owner", stat.S_IMODE(os.stat(key).st_mode) == 0o640)
    want = "gatehouse.target.wants"
    check.equal("who starts in either box", sorted(n for b in (front, far) for n in os.listdir(b.path("run/systemd/system", want)) if n != want),
                ["gatehouse-agent.service", "l4lb.service", "l7gw@default-3.service", "l7gw@default-4.service"])
    far.put("efi/gatehouse/gatehouse.cfg", far.read("efi/gatehouse/gatehouse.cfg").replace('"default-3"; certificate = ' + pem(pki + "/default-3/certificate.pem"),
                                                                                           '"default-3"; certificate = ' + pem(pki + "/edge/certificate.pem")))
    rc, out = far.system("configure")
    check("a certificate of another is refused with the daemon's reason, and what was taken before stays", "refuses what is rendered" in out and
          "key values mismatch" in out and "name=far" in out, out)
    meet(front, far, check)


def meet(front, far, check):
    """What `ports` and the rendered files make of a shard's links, in namespaces; and there the agent and that shard, as rendered."""
    box_ns = os.environ.get("GATEHOUSE_LAB_PREFIX", "gh-e2e") + "-irol"
    ns, spaces, procs = box_ns + "s", [], []
    far.put("sys/class/net/ens4/address", "52:54:00:12:34:04\n")
    os.makedirs(far.path("sys/class/net/ens4/device"))
    rc, out = far.system("ports")
    check("role shards: the data NIC stays with the kernel", rc == 0 and "port seg: ens4 52:54:00:12:34:04: the shards' links stand on it" in out, out)
    port = json.loads(far.read("run/gatehouse/etc/ports/status.json"))["ports"][0]
    check("and the status says so", port["driver"] == "kernel" and "stays with the kernel" in port["reason"], port)
    if os.geteuid() != 0 or subprocess.run(["ip", "netns", "add", box_ns], capture_output=True).returncode != 0:
        print("#   no right to make a namespace: the two boxes do not meet")
        return
    try:
        spaces.append(box_ns)
        subprocess.run(["ip", "netns", "add", ns], check=True)
        spaces.append(ns)
        for args in (("link", "add", "ens4", "type", "veth", "peer", "name", "ens4p"), ("link", "set", "ens4", "up"), ("link", "set", "ens4p", "up"),
                     ("link", "set", "lo", "up"), ("address", "add", "10.60.0.1/32", "dev", "lo")):
            subprocess.run(["ip", "-n", box_ns, *args], check=True)
        with open(os.path.join(far.base, "link.batch"), "w") as f:
            f.write(far.read("run/gatehouse/etc/net/default-3.link.batch").replace("netns default-3", "netns " + ns))
        for args in (("-n", box_ns, "-batch", f.name), ("-n", ns, "-batch", far.path("run/gatehouse/etc/net/default-3.batch")),
                     ("-6", "-n", ns, "-batch", far.path("run/gatehouse/etc/net/default-3.batch6"))):
            p = subprocess.run(["ip", *args], capture_output=True, text=True)
            check("role shards: ip takes %s of a shard" % os.path.basename(args[-1]), p.returncode == 0, p.stdout + p.stderr)
        route = subprocess.run(["ip", "-n", ns, "route", "get", "203.0.113.9", "from", "198.51.100.5"], capture_output=True, text=True).stdout
        check("a reply from a VIP goes to the load balancer on the segment", "via 10.30.0.1 dev eth0" in route, route)
        for box, space, program, config_file, places in (
                (front, box_ns, "gatehouse-agent", "agent.cfg", ("run/gatehouse/agent", "var/lib/gatehouse/agent/status")),
                (far, ns, "l7gw", "l7gw/default-3.cfg", ("run/gatehouse/l7gw/default-3", "var/lib/gatehouse/l7gw/default-3"))):
            for place in places:
                os.makedirs(box.path(place), exist_ok=True)
            procs.append(Proc(program, ["nsenter", "--net=/run/netns/" + space, os.path.join(box.daemons, program), "-c",
                                        box.path("run/gatehouse/etc", config_file)], os.path.join(box.base, program + ".log")))
        agent, shard = procs
        wait_until(lambda: "event=agent_connected" in shard.log() or not all(p.alive() for p in procs), 60, "the shard and the agent meet")
        check("the shard of the one box is let in by the agent of the other", "peer=tls:10.60.0.1:7443,gatehouse://agent/edge" in shard.log().replace('"', ""),
              shard.log()[-800:] + agent.log()[-800:])
        for p in procs:
            p.stop()
        trouble = [t for p in procs for t in p.trouble()]
        check("neither has a sanitizer report", not trouble, trouble)
    finally:
        for p in procs:
            p.stop()
        for space in spaces:
            subprocess.run(["ip", "netns", "delete", space], check=False)


def applied(box, check):
    box.start()
    new = os.path.join(box.base, "new.cfg")

    def apply(text, *args):
        with open(new, "w") as f:
            f.write(text)
        return box.ctl("system", "apply", *args, new)

    before = box.current()
    rc, out = apply(config(via=300))
    check("apply: a bad address is refused with its line, nothing is touched", rc == 1 and "new.cfg:5: " in out and box.take_calls() == [] and
          box.current() == before, (rc, out))
    rc, out = apply(config(more='l4 = { cores = "5000"; };'))
    check("apply: a bad value is refused", rc == 1 and "cores" in out, (rc, out))
    rc, out = box.system("check", os.path.join(ROOT, "configs/gatehouse.cfg"))
    check("the annotated example is valid", rc == 0 and "edge-1" in out, out)
    rc, out = apply(config(name="from-smbios", via=9), "--confirm", "60")
    calls = box.take_calls()
    check("apply: in force, waiting to be confirmed", rc == 0 and "gatectl system confirm" in out, (rc, out))
    check.equal("apply: a changed route restarts l4lb and nothing else", calls, ["restart l4lb.service", "start gatehouse.target"])
    check("the stored configuration is still the old one", box.current() == before and 'via = "192.0.2.9"' in box.read("run/gatehouse/etc/l4lb.cfg"))
    rc, out = apply(config(via=8))
    check("a second apply has to wait", rc == 1 and "another configuration is under way" in out, (rc, out))
    rc, out = box.ctl("system", "diff")
    check("diff: what the unconfirmed one changes", rc == 0 and "-routes = ( { prefix = \"0.0.0.0/0\"; via = \"192.0.2.1\"" in out and "192.0.2.9" in out, out)
    rc, out = box.ctl("system", "confirm")
    check("confirm keeps it", rc == 0 and box.current() != before and box.status()["last_apply"] == "applied", (rc, out))
    rc, out = box.ctl("system", "show", "previous")
    check("the previous one is kept", rc == 0 and "192.0.2.1" in out, out)
    rc, out = box.ctl("system", "confirm")
    check("confirm without anything to confirm says so", rc == 1 and "nothing waits" in out, (rc, out))
    box.take_calls()

    rc, out = apply(config(name="from-smbios", via=9, count=3), "--confirm", "1")
    calls = box.take_calls()
    check("a third shard: links are made anew", rc == 0 and calls[0] == "daemon-reload" and "restart gatehouse-ports.service" in calls[1], (rc, out, calls))
    wait_until(lambda: box.status()["last_apply"].startswith("reverted") and box.status()["apply"] == "idle", 20, "the apply is taken back")
    calls = box.take_calls()
    check("not confirmed in time: taken back, the third shard stopped", box.status()["last_apply"] == "reverted: not confirmed within 1 s" and
          calls[0] == "stop l7gw@default-3.service" and not os.path.exists(box.path("run/gatehouse/etc/l7gw/default-3.cfg")), calls)
    open(box.fail, "w").close()
    rc, out = apply(config(name="from-smbios", via=7), "--confirm", "0")
    check("a unit that does not start: taken back, and the reason told", rc == 1 and "Job for l4lb.service failed" in out, (rc, out))
    wait_until(lambda: box.status()["apply"] == "idle", 20, "the failed apply is taken back")
    check("the old route is back", 'via = "192.0.2.9"' in box.read("run/gatehouse/etc/l4lb.cfg"))
    rc, out = apply(config(name="from-smbios", via=6), "--confirm", "0")
    check("--confirm 0 needs no confirmation", rc == 0 and "applied" in out, (rc, out))
    one_nic = config(name="from-smbios", via=6).replace('nic = "ens3"; dhcp = true;', 'shared_with = "up"; addresses = [ "192.0.2.3/24" ];')
    rc, out = apply(one_nic + 'bgp = { as = 64512; router_id = "192.0.2.2"; neighbours = ( { address = "192.0.2.1"; as = 64513; } ); };', "--confirm", "0")
    check("one NIC for all, and BGP: l4lb takes its exception port", rc == 0 and "applied" in out and 'kernel = "k0"' in box.read("run/gatehouse/etc/l4lb.cfg"), (rc, out))
    rc, out = apply(config(name="from-smbios", via=6), "--confirm", "0")
    calls = box.take_calls()
    check("and back: BGP is stopped", rc == 0 and any(c.startswith("stop ") and {"gatehouse-bird.service", "gatehouse-advertise.service"} <= set(c.split()) for c in calls), (rc, out, calls))
    box.take_calls()


def power(box, check):
    """What is left when the power goes: the processes die at once, and the next thing is a boot."""
    new = os.path.join(box.base, "new.cfg")
    with open(new, "w") as f:
        f.write(config(name="unconfirmed", via=3))
    before = box.current()
    rc, out = box.ctl("system", "apply", "--confirm", "600", new)
    check.equal("status names what runs, confirmed or not", box.status()["name"], "unconfirmed")
    box.serve.signal(9)
    box.serve.wait(5)
    check("unconfirmed when the power goes", rc == 0 and os.path.lexists(box.path("var/lib/gatehouse/config/candidate")), (rc, out))
    shutil.rmtree(box.path("run"))
    rc, out = box.system("configure")
    check("the next boot has the confirmed one", rc == 0 and box.current() == before and "name=from-smbios" in out and
          'via = "192.0.2.6"' in box.read("run/gatehouse/etc/l4lb.cfg"), out)
    check("and nothing is left of the other", not os.path.lexists(box.path("var/lib/gatehouse/config/candidate")))
    store = box.path("var/lib/gatehouse/config")
    with open(os.path.join(store, box.current(), "gatehouse.cfg"), "w") as f:
        f.write("damaged")
    shutil.rmtree(box.path("run"))
    rc, out = box.system("configure")
    check("a damaged configuration: the previous one serves", rc == 0 and "event=configuration_unusable" in out and "event=configured" in out, out)


class Metadata(http.server.BaseHTTPRequestHandler):
    text, token_asked, mode = "", 0, "ec2"

    def answer(self, code, body, headers=()):
        self.send_response(code)
        for k, v in headers:
            self.send_header(k, v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_PUT(self):
        if Metadata.mode != "ec2" or self.path != "/latest/api/token" or not self.headers.get("X-aws-ec2-metadata-token-ttl-seconds"):
            return self.answer(404, "")
        Metadata.token_asked += 1
        return self.answer(200, "t0ken==")

    def do_GET(self):
        if Metadata.mode == "ec2" and self.path == "/latest/user-data":
            good = self.headers.get("X-aws-ec2-metadata-token") == "t0ken=="
            return self.answer(200 if good else 401, Metadata.text if good else "")
        if Metadata.mode == "gce" and self.path.endswith("/attributes/gatehouse-cfg") and self.headers.get("Metadata-Flavor") == "Google":
            return self.answer(200, Metadata.text, [("Metadata-Flavor", "Google")])
        return self.answer(404, "", [("Metadata-Flavor", "Google")] if Metadata.mode == "gce" else ())

    def log_message(self, *_):
        pass


def metadata(base, check):
    box = Box(os.path.join(base, "cloud"))
    os.makedirs(box.root)
    rc, out = box.system("configure")
    check("a box without any configuration comes up with DHCP", rc == 0 and "event=unconfigured" in out and
          "DHCP=ipv4" in box.read("run/systemd/network/20-management.network"), out)
    rc, out = box.ctl("system", "status")
    check("without serve, gatectl says what it could not reach", rc == 1 and "system.sock" in out, (rc, out))
    box.start()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = "http://127.0.0.1:%d" % server.server_address[1]
    more = 'agent = { source = "directory"; manifests = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n"; };'
    text = "# gatehouse.cfg\n" + config(name="in-a-cloud").replace('agent = { source = "directory"; };', more)
    try:
        Metadata.text = "#cloud-config\n"
        rc, out = box.system("metadata", url)
        check("user data that is not ours is left alone", rc == 0 and "no gatehouse.cfg" in out and not box.status()["configured"], out)
        Metadata.text = text
        rc, out = box.system("metadata", url)
        check("EC2: token first, then user data, handed to serve", rc == 0 and Metadata.token_asked == 2 and "source=ec2" in out, out)
        wait_until(lambda: box.status()["apply"] == "idle" and box.status()["configured"], 20, "the cloud's configuration is in force")
        check("it is in force", box.status()["name"] == "in-a-cloud" and box.status()["source"] == "ec2", box.status())
        calls = box.take_calls()
        check("and the target was started", calls[0] == "daemon-reload" and calls[-1] == "start gatehouse.target", calls)
        rc, out = box.system("metadata", url)
        check("the same again: nothing to do", rc == 0 and "unchanged" in out and box.take_calls() == [], out)
        Metadata.mode, Metadata.text = "gce", text.replace("in-a-cloud", "elsewhere")
        rc, out = box.system("metadata", url)
        wait_until(lambda: box.status()["apply"] == "idle" and box.status()["name"] == "elsewhere", 20, "GCE's configuration is in force")
        check("GCE, by its header", box.status()["source"] == "gce", out)
        Metadata.text = text + "colour = 1;\n"
        rc, out = box.system("metadata", url)
        check("a bad one is refused, with its line", rc == 1 and "colour: unknown setting" in out and box.status()["name"] == "elsewhere" and
              "colour" in box.status()["refused"], out)
    finally:
        server.shutdown()
        box.serve.stop()


class Terminal:
    """The other end of the console's terminal."""

    def __init__(self, box):
        self.fd, other = pty.openpty()
        self.text = ""
        self.proc = Proc("console", box.argv("console", os.ttyname(other)), os.path.join(box.base, "console.log"))
        self.other = other

    def wait(self, part, timeout=20):
        def look():
            while select.select([self.fd], [], [], 0)[0]:
                self.text += os.read(self.fd, 65536).decode(errors="replace")
            return part in self.text
        wait_until(look, timeout, "the console says %r; it said %r" % (part, self.text[-600:]))
        seen, part, self.text = self.text.partition(part)
        return seen + part

    def type(self, text):
        os.write(self.fd, text.encode())

    def close(self):
        self.proc.stop()
        os.close(self.fd)
        os.close(self.other)


def console(base, check):
    box = Box(os.path.join(base, "console"))
    os.makedirs(box.root)
    box.system("configure")
    box.start()
    t = Terminal(box)
    try:
        t.wait("Name of this appliance [edge-1]: ")
        for typed, then in (("by-hand\r", "Management NIC"), ("52:54:00:12:34:01\r", "Management address"), ("\r", "Data NIC"),
                            ("52:54:00:12:34:02\r", "Data address"), ("192.0.2.2/24\r", "Data gateway"), ("192.0.2.1\r", "Virtual"),
                            ("198.18.0.0/26\r", "Number of"), ("\r", "Configuration from"), ("directory\r", "Paste the manifests"),
                            ("kind: A\r.\r", "yes or no"), ("\r", "Refused: ")):
            t.type(typed)
            t.wait(then)
        check("console form: a file that is refused as a whole starts the form over, with the reason", "overlap" in t.wait("[by-hand]: "))
        for typed, then in (("\r\r\r\r\r\r198.51.100.0/26\r\r\r", "Paste the manifests"), ("kind: A\r.\r", "yes or no"), ("\r", "Good.")):
            t.type(typed)
            t.wait(then)
        wait_until(lambda: box.status()["configured"] and box.status()["apply"] == "idle", 20, "the form's configuration is in force")
        page = t.wait("198.51.100.0/26")
        check("console form: what was typed is in force, and the page shows it", "by-hand" in page and "console" in page and
              "by-hand" in box.read("run/gatehouse/etc/agent.cfg"), page)
        new = os.path.join(box.base, "new.cfg")
        with open(new, "w") as f:
            f.write(config(name="counted"))
        shutil.copytree(os.path.join(ROOT, "configs/simple-ingress"), os.path.join(box.base, "manifests"))
        box.ctl("system", "apply", "--confirm", "300", new)
        check("the page counts down while an apply waits", "taken back in about" in t.wait("gatectl system confirm"))
    finally:
        t.close()
        box.serve.stop()


TPM = """#!/bin/sh
# systemd-creds, as far as it is asked: what one chip seals another does not open
for a; do from=$out; out=$a; done
chip=$(cat %(chip)s)
case $1 in
encrypt) { echo "$chip"; cat "$from"; } >"$out" ;;
decrypt) read -r n <"$from"; [ "$n" = "$chip" ] || { echo "another chip"; exit 1; }; tail -c 32 "$from" >"$out" ;;
esac
"""


def secrets(base, check):
    """Sealed, moved to another machine, locked, opened by the recovery key that is typed on the console."""
    box = Box(os.path.join(base, "secrets"))
    box.put("dev/tpmrm0", "1")
    creds = os.path.join(box.daemons, "creds")
    with open(creds, "w") as f:
        f.write(TPM % {"chip": box.path("dev/tpmrm0")})
    os.chmod(creds, 0o755)
    plain = box.argv
    box.argv = lambda *args: [plain()[0], "--creds", creds, *plain()[1:], *args]
    box.put("efi/gatehouse/gatehouse.cfg", config(name="sealed", more='bgp = { as = 64512; router_id = "192.0.2.2"; neighbours = ( { address = "192.0.2.1"; as = 64513; password = "BGPWORD"; } ); };'))
    box.put("efi/gatehouse/manifests/a.yaml", "# SECRETYAML\n")
    agent = box.path("run/systemd/system/gatehouse.target.wants/gatehouse-agent.service")
    shard = "run/systemd/system/l7gw@default-1.service.d/50-gatehouse.conf"
    rc, out = box.system("configure")
    check("first boot with a TPM: sealed; agent and shards start, the key handed to them", rc == 0 and "state=sealed" in out and os.path.islink(agent) and
          "LoadCredential=host.key:/run/gatehouse/keys/daemon.key" in box.read(shard), out)
    kept = subprocess.run(["grep", "-rlE", "BGPWORD|SECRETYAML", box.path("var")], capture_output=True, text=True, check=False).stdout
    check("no secret of the configuration lies in the store in clear", not kept and "BGPWORD" in box.read("run/gatehouse/etc/bird.conf"), kept)
    box.start()
    t = Terminal(box)
    try:
        key = re.search(r"(?:[A-Z2-7]{4}-){7}[A-Z2-7]{4}", t.wait("not shown again")).group(0)
        t.type("\r")
        wait_until(lambda: box.ctl("system", "recovery")[0] != 0, 20, "the recovery key is not shown after Enter")
        check("the console shows a recovery key, until Enter", box.status()["secrets"] == {"state": "sealed", "detail": box.status()["secrets"]["detail"], "recovery": ""})
    finally:
        t.close()
    box.serve.stop()

    box.put("dev/tpmrm0", "2")
    shutil.rmtree(box.path("run"))
    rc, out = box.system("configure")
    check("under another TPM: locked, and all that is no secret is rendered", rc == 0 and "state=locked" in out and "name=sealed" in out and not os.path.lexists(agent) and
          "SetCredential=host.key:locked" in box.read(shard) and "BGPWORD" not in box.read("run/gatehouse/etc/bird.conf"), out)
    box.start()
    box.take_calls()
    new = os.path.join(base, "locked.cfg")
    with open(new, "w") as f:
        f.write(config(name="other"))
    rc, out = box.ctl("system", "apply", new)
    check("nothing is applied while they are locked", rc != 0 and "recovery key" in out, out)
    rc, out = box.ctl("system", "unlock", "AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA")
    check("a wrong recovery key is refused", rc != 0 and "not the one of this box" in out, out)
    t = Terminal(box)
    try:
        t.wait("type the recovery key")
        t.type("wrong\r")
        t.wait("eight groups of four")
        t.type(key.lower().replace("-", "") + "\r")
        t.wait("sealed to this machine")
    finally:
        t.close()
    wait_until(lambda: box.status()["apply"] == "idle" and os.path.lexists(agent), 60, "rendered anew; status: %s" % box.status())
    calls = " ".join(box.take_calls())
    check("the recovery key, typed: sealed to this TPM, agent started, shards restarted with their key",
          "LoadCredential=" in box.read(shard) and re.search(r"restart[^\n]*l7gw@default-1", calls) and "start gatehouse.target" in calls and
          "BGPWORD" in box.read("run/gatehouse/etc/bird.conf"), calls)
    box.serve.stop()
    rc, out = box.system("configure")
    check("the next boot needs nobody", "state=sealed" in out, out)


class Updates(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def automatic(base, check):
    """Looks at an update server: verified first; taken in the window; not what was rolled back."""
    box, www = Box(os.path.join(base, "automatic")), os.path.join(base, "www", "stable")
    os.makedirs(www)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: Updates(*a, directory=os.path.dirname(www)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    key = os.path.join(base, "update.key")
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True)
    public = subprocess.run(["openssl", "pkey", "-in", key, "-pubout"], check=True, capture_output=True, text=True).stdout
    box.put("usr/lib/gatehouse/release", "VERSION=1.2.0\nMINIMUM_VERSION=1.0.0\nCOMMIT=x\nCHANNEL=stable\nPROFILE=release\n")
    box.put("usr/lib/gatehouse/update-keys/a.pem", public)
    box.put("proc/cmdline", "roothash=" + "0" * 64 + "\n")
    box.put("etc/machine-id", "0123456789abcdef0123456789abcdef\n")

    def offer(version, sign=True):
        with open(os.path.join(www, "manifest"), "w") as f:
            f.write("gatehouse-update 1\nversion=%s\nminimum=1.0.0\narchitecture=x86-64\nroothash=%s\n" % (version, "1" * 64))
            f.writelines("%s=%d %s\n" % (n, 4096, "2" * 64) for n in ("root", "verity", "uki"))
        if sign:
            subprocess.run(["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", os.path.join(www, "manifest"), "-out", os.path.join(www, "manifest.sig")], check=True)

    def settings(automatic, hours):
        start = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=hours)).strftime("%H:%M")
        end = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=hours + 2)).strftime("%H:%M")
        box.put("efi/gatehouse/gatehouse.cfg", config(name="box", more='update = { url = "http://127.0.0.1:%d"; channel = "stable"; automatic = %s; window = "%s-%s"; };' % (
            server.server_address[1], automatic, start, end)))
        rc, out = box.system("configure")
        if rc:
            raise RuntimeError(out)

    def look():
        box.take_calls()
        rc, out = box.system("auto-update")
        return rc, out, [c for c in box.take_calls() if c.startswith("start")]
    timer = box.path("run/systemd/system/gatehouse.target.wants/gatehouse-auto-update.timer")
    try:
        settings("false", -1)
        offer("1.3.0")
        rc, out, started = look()
        check("automatic = false: no timer, nothing is asked for", rc == 0 and not started and not os.path.lexists(timer), out)
        settings("true", 3)
        rc, out, started = look()
        check("a newer version is found, and waits for its window", rc == 0 and not started and os.path.islink(timer) and "found, waits for its time: 1.3.0" in out, out)
        # the last 29 minutes of a window are every box's time
        settings("true", -1.75)
        rc, out, started = look()
        check("in the window: the update is started", rc == 0 and started == ["start --no-block gatehouse-update.service"] and
              "reboot=yes" in box.read("run/gatehouse/update.request") and "/stable/" in box.read("run/gatehouse/update.request"), (out, started))
        box.put("var/lib/gatehouse/system/last-rollback", "from=1.3.0\nto=1.2.0\nat=1\nreason=it failed\n")
        rc, out, started = look()
        check("a version that was rolled back is not tried again", rc == 0 and not started and "rolled back here" in out, (out, started))
        offer("1.3.1")
        rc, out, started = look()
        check("until there is a newer one", rc == 0 and bool(started), (out, started))
        offer("1.4.0", sign=False)
        rc, out, started = look()
        check("a manifest that its signature does not fit is not even looked into", rc != 0 and not started and "1.4.0" not in out, (out, started))
        offer("1.2.0")
        rc, out, started = look()
        check("nothing newer: nothing happens", rc == 0 and not started and "newest" in out, (out, started))
    finally:
        server.shutdown()


def main():
    check = Checks("image_config")
    base = tempfile.mkdtemp(prefix="gh-icfg-")
    box = Box(os.path.join(base, "box"))
    try:
        for step in (seeds, rendered, links, applied, power):
            check.guarded(step.__name__, step, box, check)
        check.guarded("roles", roles, base, check)
        check.guarded("metadata", metadata, base, check)
        check.guarded("console", console, base, check)
        check.guarded("secrets", secrets, base, check)
        check.guarded("automatic", automatic, base, check)
        trouble = box.serve.trouble() if box.serve else ["serve never started"]
        check("no sanitizer report", not trouble, "\n".join(trouble))
    finally:
        if box.serve:
            box.serve.stop()
        shutil.rmtree(base, ignore_errors=True)
    sys.exit(1 if check.failed else 0)


if __name__ == "__main__":
    main()
