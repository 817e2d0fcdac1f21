"""One virtual machine as a child process: QEMU without KVM, UEFI with Secure Boot, started and driven from here.

A Machine has a directory: its disk (an overlay, the image itself stays as it is), firmware variables, logs.  It is talked to
through the test hook (a virtio port that only test images listen to), looked at through its serial console (a file and a
socket), and managed by QMP.  Everything waits for events with generous deadlines: emulation shares the host's cores.

Every restart is a cold start: when the guest asks for a reset, QEMU ends, and whoever looks at the machine next (alive(), run())
switches it on again.  A warm reset finds QEMU's translated code of the system before, and was seen to leave the firmware too slow for
its own timer, for good; and what an update has to survive is the firmware's whole way."""
import base64
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
import uuid

from tests.lab.proc import Proc, wait_until

FIRMWARE = {True: ("/usr/share/OVMF/OVMF_CODE_4M.snakeoil.fd", "/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd"),
            False: ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd")}
# Emulated, REP MOVSB and STOSB take a step per byte; without the promise that they are fast, the kernel clears and copies by eight.
CPU = "max,erms=off"
BOOT_S = 900.0  # 40 s on idle cores; others may share them
SCRIPT_S = 120.0


class MachineError(RuntimeError):
    pass


def needed():
    """What is missing on this machine to run any VM, or None."""
    for program in ("qemu-system-x86_64", "qemu-img"):
        if not shutil.which(program):
            return "there is no %s" % program
    for path in (*FIRMWARE[True], *FIRMWARE[False]):
        if not os.path.exists(path):
            return "there is no %s (package ovmf)" % path
    return None


class Nic:
    """A NIC of the machine: a tap in the site's namespace (tap=...), or QEMU's own user network (forward=[...])."""

    def __init__(self, mac, tap=None, forward=(), iommu=False, model="virtio-net-pci"):
        self.mac, self.tap, self.forward, self.iommu, self.model = mac, tap, list(forward), iommu, model

    def argv(self, n):
        if self.tap:
            net = "tap,id=n%d,ifname=%s,script=no,downscript=no,vhost=off" % (n, self.tap)
        else:
            net = "user,id=n%d" % n + "".join(",hostfwd=tcp:127.0.0.1:%d-:%d" % f for f in self.forward)
        device = "%s,netdev=n%d,mac=%s,romfile=" % (self.model, n, self.mac)
        if self.model == "virtio-net-pci":
            device += ",disable-legacy=on,iommu_platform=on" if self.iommu else ""
            device += ",csum=off,gso=off,guest_csum=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off,host_tso4=off,host_tso6=off,host_ecn=off,host_ufo=off" if self.tap else ""
        return ["-netdev", net, "-device", device]


class Machine:
    def __init__(self, directory, image, ns=None, nics=(), secure=True, memory_mb=1536, cpus=2, credentials=None, disks=(), iommu=False, tpm=False,
                 watchdog=None, bios=False, disk_size=None, keep=False):
        """credentials: {name: bytes}, by SMBIOS.  disks: (path, serial, read-only).  ns: network namespace that QEMU lives in.
        keep: go on with the disk and the variables that lie in the directory."""
        self.dir, self.ns, self.nics, self.secure, self.memory_mb, self.cpus = directory, ns, list(nics), secure, memory_mb, cpus
        self.credentials, self.disks, self.iommu, self.tpm, self.watchdog, self.bios = dict(credentials or {}), list(disks), iommu, tpm, watchdog, bios
        os.makedirs(directory, exist_ok=True)
        self.disk, self.vars = self.path("disk.qcow2"), self.path("vars.qcow2")
        self.proc = self.swtpm = None
        self.starts = 0  # by the guest itself
        self.on = False  # the switch: a guest that asks for a reset comes back
        self._ids = itertools.count(1)
        self._hook = self._hook_in = None
        if keep:
            return
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", os.path.abspath(image), self.disk, *([disk_size] if disk_size else [])], check=True)
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", FIRMWARE[secure][1], self.vars], check=True)

    nic = Nic

    @classmethod
    def running(cls, directory):
        """A machine that another process started: its hook and its console only."""
        self = cls(directory, None, keep=True)
        if not os.path.exists(self.path("hook")):
            raise MachineError("no machine runs in " + directory)
        return self

    def path(self, name):
        return os.path.join(self.dir, name)

    # -- life ---------------------------------------------------------------------------------------------------------

    def argv(self, extra):
        a = ["qemu-system-x86_64", "-nodefaults", "-accel", "tcg,thread=multi", "-cpu", CPU, "-m", str(self.memory_mb), "-smp", str(self.cpus),
             "-uuid", str(uuid.uuid5(uuid.NAMESPACE_URL, self.dir)), "-display", "none", "-vga", "std", "-qmp", "unix:%s,server=on,wait=off" % self.path("qmp")]
        if self.bios:
            a += ["-machine", "q35"]
        else:
            code = FIRMWARE[self.secure][0]
            a += ["-machine", "q35,smm=on",
                  "-global", "driver=cfi.pflash01,property=secure,value=%s" % ("on" if self.secure else "off"),
                  "-drive", "if=pflash,format=raw,readonly=on,file=" + code, "-drive", "if=pflash,format=qcow2,file=" + self.vars]
        if self.iommu:
            a += ["-device", "intel-iommu,intremap=on,aw-bits=48"]
        a += ["-drive", "file=%s,format=qcow2,if=none,id=d0,cache=writeback" % self.disk, "-device", "virtio-blk-pci,drive=d0,bootindex=1,serial=gatehouse"]
        for n, (path, serial, readonly) in enumerate(self.disks, 1):
            a += ["-drive", "file=%s,format=raw,if=none,id=d%d%s" % (path, n, ",readonly=on" if readonly else ""), "-device", "virtio-blk-pci,drive=d%d,serial=%s" % (n, serial)]
        a += ["-device", "virtio-rng-pci", "-device", "virtio-serial-pci,id=vs", "-chardev", "socket,id=hook,path=%s,server=on,wait=off" % self.path("hook"),
              "-device", "virtserialport,chardev=hook,name=gatehouse.test",
              "-chardev", "socket,id=con,path=%s,server=on,wait=off,logfile=%s,logappend=on" % (self.path("console"), self.path("console.log")), "-serial", "chardev:con"]
        for n, nic in enumerate(self.nics):
            a += nic.argv(n)
        for name, data in self.credentials.items():
            a += ["-smbios", "type=11,value=io.systemd.credential.binary:%s=%s" % (name, base64.b64encode(data).decode().replace(",", ",,"))]
        if self.watchdog:
            a += ["-device", self.watchdog]
        if self.tpm:
            a += ["-chardev", "socket,id=tpm,path=" + self.path("tpm.sock"), "-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm0"]
        return a + list(extra)

    def start(self, *extra):
        self.on = True
        self._power_on(extra)
        return self

    def _power_on(self, extra=()):
        self.forget()
        if self.swtpm:
            self.swtpm.stop()
        if self.tpm:
            os.makedirs(self.path("tpm"), exist_ok=True)
            self.swtpm = Proc("swtpm", ["swtpm", "socket", "--tpm2", "--tpmstate", "dir=" + self.path("tpm"), "--ctrl", "type=unixio,path=" + self.path("tpm.sock")], self.path("swtpm.log"))
            wait_until(lambda: os.path.exists(self.path("tpm.sock")), 10, "swtpm's socket")
        for name in ("qmp", "hook", "console"):
            if os.path.exists(self.path(name)):
                os.unlink(self.path(name))
        argv = self.argv(["-action", "reboot=shutdown", *extra])
        if self.ns:
            argv = ["nsenter", "--net=/run/netns/" + self.ns, "--", *argv]
        self.started = time.monotonic()
        self.proc = Proc("qemu", argv, self.path("qemu.log"))
        wait_until(lambda: os.path.exists(self.path("console")) or not self.proc.alive(), 30, "QEMU's sockets")
        if not self.proc.alive():
            raise MachineError("QEMU ended at once: " + self.proc.log().strip()[-500:])

    def kill(self):
        """A power cut: nothing that QEMU had not written to its files is there afterwards."""
        self.on = False
        self.forget()
        if self.proc and self.proc.alive():
            self.proc.signal(9)
            self.proc.wait(20)
        if self.swtpm:
            self.swtpm.stop()
            self.swtpm = None

    def alive(self):
        """It runs; a guest that restarted is switched on again here."""
        if self.proc is None or self.proc.alive():
            return self.proc is not None
        if self.on and self.proc.popen.returncode == 0:
            self.starts += 1
            self._power_on()
        return self.proc.alive()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.kill()

    # -- serial console -----------------------------------------------------------------------------------------------

    def console(self):
        try:
            with open(self.path("console.log"), "rb") as f:
                text = f.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
        return re.sub(r"\x1b\[[0-9;?=]*[a-zA-Z]", "", text).replace("\r", "")

    def wait_console(self, pattern, timeout=BOOT_S, after=0):
        """The match of `pattern` in what the serial console said after that many characters."""
        rx = re.compile(pattern, re.M)

        def look():
            return rx.search(self.console(), after) or not self.alive()
        try:
            found = wait_until(look, timeout, "%r on the console" % pattern, 0.2)
        except TimeoutError as e:
            raise TimeoutError("%s; it ends with:\n%s" % (e, self.console()[-1500:])) from None
        if found is True:
            raise MachineError("the machine ended while it was to say %r:\n%s\n%s" % (pattern, self.console()[-1500:], self.proc.log()[-300:]))
        return found

    def type(self, text):
        """On the serial console."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.path("console"))
            for c in text:  # a UART has a small buffer, and no flow control here
                s.sendall(c.encode())
                time.sleep(0.01)
            time.sleep(0.2)

    # -- test hook ----------------------------------------------------------------------------------------------------

    def ready(self, timeout=BOOT_S):
        """Waits until the hook answers: udev works and the data partition need not be there yet."""
        deadline = time.monotonic() + timeout
        while True:
            if not self.alive():
                raise MachineError("the machine ended by itself:\n" + self.console()[-1500:])
            try:
                self.run("true", 20)
                return self
            except TimeoutError:
                if time.monotonic() > deadline:
                    raise TimeoutError("the hook does not answer after %.0f s; the console ends with:\n%s" % (timeout, self.console()[-1500:])) from None

    def _connect(self):
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect(self.path("hook"))
        except OSError:
            s.close()
            raise
        self._hook, self._hook_in = s, b""

    def run(self, script, timeout=SCRIPT_S):
        """(exit status, output) of a bash script that the machine runs as root."""
        if not self._hook:
            try:
                self._connect()
            except OSError:
                if not self.alive():
                    raise MachineError("the machine does not run, and was to do: " + script[:200]) from None
                time.sleep(0.5)
                raise TimeoutError("the machine restarts") from None
        n = "%d.%d" % (next(self._ids), int(time.monotonic() * 1000))
        self._hook.settimeout(timeout)
        deadline = time.monotonic() + timeout
        try:
            self._hook.sendall(("%s %s\n" % (n, base64.b64encode(script.encode()).decode())).encode())
            while True:
                self._hook.settimeout(max(0.1, deadline - time.monotonic()))
                while b"\n" not in self._hook_in:
                    data = self._hook.recv(65536)
                    if not data:
                        raise ConnectionError
                    self._hook_in += data
                line, self._hook_in = self._hook_in.split(b"\n", 1)
                words = line.decode(errors="replace").split(" ")
                if words[0] == n:
                    return int(words[1]), base64.b64decode(words[2] if len(words) > 2 else "").decode(errors="replace")
        except (socket.timeout, BrokenPipeError, ConnectionError):
            self.forget()
            raise TimeoutError("no answer within %.0f s to: %s" % (timeout, script[:200])) from None

    def sh(self, script, timeout=SCRIPT_S):
        """Output of a script that has to succeed."""
        status, out = self.run(script, timeout)
        if status:
            raise MachineError("%s: exit status %d: %s" % (script[:200], status, out.strip()[-1500:]))
        return out

    def later(self, script):
        """Starts what ends the machine, a second from now: no answer could be waited for."""
        self.sh("(sleep 1; %s) >/dev/null 2>&1 &" % script)

    def put(self, path, data, mode="0644"):
        self.sh("base64 -d >%s <<'END'\n%s\nEND\nchmod %s %s" % (path, base64.encodebytes(data).decode(), mode, path))

    # -- QMP ----------------------------------------------------------------------------------------------------------

    def qmp(self, command, timeout=120, **arguments):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(timeout)
            s.connect(self.path("qmp"))
            f = s.makefile("rwb")
            f.readline()
            for c in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                f.write(json.dumps(c).encode() + b"\n")
                f.flush()
                while True:
                    answer = json.loads(f.readline())
                    if "error" in answer:
                        raise MachineError("%s: %s" % (command, answer["error"]["desc"]))
                    if "return" in answer:
                        break
            return answer["return"]

    def monitor(self, line):
        out = self.qmp("human-monitor-command", **{"command-line": line})
        if out.strip():
            raise MachineError("%s: %s" % (line, out.strip()))

    def save(self, name):
        self.monitor("savevm " + name)

    def load(self, name):
        self.monitor("loadvm " + name)
        self.forget()

    def forget(self):
        """The hook's connection: the machine is not the one that was talked to."""
        if self._hook:
            self._hook.close()
        self._hook = self._hook_in = None

    def power_button(self):
        self.on = False
        self.qmp("system_powerdown")

    def wait_end(self, timeout=120):
        """After power_button()."""
        if self.proc.wait(timeout) is None:
            raise TimeoutError("the machine still runs after %.0f s:\n%s" % (timeout, self.console()[-800:]))


def follow_console(machine, out):
    """Copies the console to a stream until the machine ends (for ./dev image run)."""
    def copy():
        at = 0
        while True:
            alive = machine.alive()
            with open(machine.path("console.log"), "rb") as f:
                f.seek(at)
                data = f.read()
            at += len(data)
            out.write(data)
            out.flush()
            if not alive:
                return
            time.sleep(0.1)
    t = threading.Thread(target=copy, daemon=True)
    t.start()
    return t
