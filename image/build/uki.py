"""Unified kernel image: systemd's EFI stub with os-release, command line, kernel and initrd as sections, signed as one file.

ukify is not in Debian 12; objcopy does the same.  The addresses are the stub's convention: each section starts at least where
the one before it ends.  Time stamp and checksum of the PE header are zeroed before signing: the same parts give the same bytes."""
import os
import struct
import tempfile
import time

from .step import BuildError, run

STUB = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"
LOADER = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi"
SECTIONS = (("osrel", 0x20000), ("cmdline", 0x30000), ("uname", 0x40000), ("linux", 0x2000000), ("initrd", 0x4000000))


def cmdline(root_hash, extra=""):
    """`panic=3` and `rd.emergency=reboot`: whatever fails early restarts the machine, and boot counting does the rest.
    No shell in the initrd: the boot is measured and signed, and a prompt before the root is verified would undo that.
    `no_timer_check`: a virtual machine that gets no CPU for 100 ms fails that check, and panics (seen under emulation)."""
    words = ["root=/dev/mapper/root", "ro", "rootfstype=squashfs", "panic=3", "rd.shell=0", "rd.emergency=reboot", "systemd.verity_root_options=panic-on-corruption",
             "roothash=" + root_hash, "console=tty0", "console=ttyS0,115200", "loglevel=5", "no_timer_check", "intel_iommu=on", "iommu=pt"]
    return " ".join(words + ([extra] if extra else []))


def neutral(path):
    """Zeroes TimeDateStamp and CheckSum of a PE file (PE format, COFF header and optional header)."""
    with open(path, "r+b") as f:
        f.seek(0x3c)
        pe = struct.unpack("<I", f.read(4))[0]
        f.seek(pe)
        if f.read(4) != b"PE\0\0":
            raise BuildError(path + " is no PE file")
        f.seek(pe + 8)
        f.write(b"\0" * 4)
        f.seek(pe + 24 + 64)
        f.write(b"\0" * 4)


def sign(path, out, keys, epoch):
    """sbsign has no option for the signing time, which it takes from the clock: it is shown the commit's."""
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(epoch))
    run(["faketime", "-f", at, "sbsign", "--key", keys.sb_key, "--cert", keys.sb_cert, "--output", out, path], env=dict(os.environ, TZ="UTC"))


def make(out, stub_osrel, line, kernel, kernel_version, initrd, keys, epoch):
    with tempfile.TemporaryDirectory() as tmp:
        parts = {"linux": kernel, "initrd": initrd}
        for name, text in (("osrel", stub_osrel), ("cmdline", line.encode()), ("uname", kernel_version.encode())):
            parts[name] = os.path.join(tmp, name)
            with open(parts[name], "wb") as f:
                f.write(text)
        if 0x2000000 + os.path.getsize(kernel) > 0x4000000:
            raise BuildError("the kernel is larger than its place in the UKI")
        plain, argv = os.path.join(tmp, "uki"), ["objcopy"]
        for name, address in SECTIONS:
            argv += ["--add-section", ".%s=%s" % (name, parts[name]), "--change-section-vma", ".%s=%#x" % (name, address)]
        run([*argv, STUB, plain])
        neutral(plain)
        sign(plain, out, keys, epoch)
