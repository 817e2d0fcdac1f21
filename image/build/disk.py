"""The disk: ESP (a FAT file system made by mtools), slot A, and a GPT, into one sparse raw file.  No loop device, no mount.

First boot adds slot B and the data partition (image/root/usr/lib/repart.d)."""
import os
import shutil
import subprocess
import tempfile
import uuid

from .step import BuildError, run

HERE = os.path.dirname(os.path.abspath(__file__))
MIB = 1 << 20
DISK = 4096 * MIB
ESP, ROOT, VERITY = 512 * MIB, 1024 * MIB, 16 * MIB
TYPES = {"esp": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "root": "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", "verity": "2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5"}
LOADER_CONF = b"timeout 0\neditor no\nauto-entries yes\nauto-firmware no\nconsole-mode keep\nsecure-boot-enroll off\n"
TRIES = 2


def esp(out, loader, uki, version, epoch, extra):
    """loader, uki: files; extra: {path on the ESP: bytes}"""
    if os.path.exists(out):
        os.unlink(out)
    with open(out, "wb") as f:
        f.truncate(ESP)
    env = dict(os.environ, SOURCE_DATE_EPOCH=str(epoch), MTOOLS_SKIP_CHECK="1", TZ="UTC")
    run(["mkfs.vfat", "--invariant", "-F", "32", "-i", "%08x" % (epoch & 0xffffffff), "-n", "ESP", out], env=env)
    with tempfile.TemporaryDirectory() as tmp:
        files = {"EFI/BOOT/BOOTX64.EFI": loader, "EFI/systemd/systemd-bootx64.efi": loader, "EFI/Linux/gatehouse_%s+%d.efi" % (version, TRIES): uki}
        for n, (path, data) in enumerate({"loader/loader.conf": LOADER_CONF, "loader/entries.srel": b"type1\n", **extra}.items()):
            files[path] = os.path.join(tmp, str(n))
            with open(files[path], "wb") as f:
                f.write(data)
        made = set()
        for path in sorted(files):
            parents = path.split("/")[:-1]
            for i in range(1, len(parents) + 1):
                d = "/".join(parents[:i])
                if d not in made:
                    run(["mmd", "-i", out, "::/" + d], env=env)
                    made.add(d)
            copy = os.path.join(tmp, "copy")
            shutil.copyfile(files[path], copy)
            os.utime(copy, (epoch, epoch))
            run(["mcopy", "-m", "-i", out, copy, "::/" + path], env=env)


def boot_sector():
    """At most 440 bytes of 16-bit code."""
    with tempfile.TemporaryDirectory() as tmp:
        obj, elf, raw = (os.path.join(tmp, n) for n in ("mbr.o", "mbr.elf", "mbr.bin"))
        run(["as", "--32", "-o", obj, os.path.join(HERE, "mbr.S")])
        run(["ld", "-m", "elf_i386", "-Ttext", "0", "-e", "_start", "-o", elf, obj])
        run(["objcopy", "-O", "binary", "-j", ".text", elf, raw])
        with open(raw, "rb") as f:
            code = f.read()
    if len(code) > 440:
        raise BuildError("mbr.S has %d bytes, there are 440" % len(code))
    return code


def place(disk, path, offset, limit):
    """Copies a file into the disk, holes stay holes."""
    size = os.path.getsize(path)
    if size > limit:
        raise BuildError("%s has %.1f MiB, its partition %d" % (os.path.basename(path), size / MIB, limit // MIB))
    with open(path, "rb") as src, open(disk, "r+b") as dst:
        at = 0
        while block := src.read(MIB):
            if block.count(0) != len(block):
                dst.seek(offset + at)
                dst.write(block)
            at += len(block)


def make(out, esp_image, slot, size=DISK):
    if os.path.exists(out):
        os.unlink(out)
    with open(out, "wb") as f:
        f.truncate(size)
    ids = [str(uuid.uuid5(uuid.UUID(slot.root_uuid), name)) for name in ("disk", "esp")]
    parts = ((ESP, TYPES["esp"], ids[1], "ESP"), (ROOT, TYPES["root"], slot.root_uuid, "gatehouse-root-a"), (VERITY, TYPES["verity"], slot.verity_uuid, "gatehouse-verity-a"))
    script, at, starts = "label: gpt\nlabel-id: %s\nfirst-lba: 2048\n" % ids[0], MIB, []
    for length, kind, uid, name in parts:
        starts.append(at)
        script += "start=%d, size=%d, type=%s, uuid=%s, name=%s\n" % (at // 512, length // 512, kind, uid, name)
        at += length
    p = subprocess.run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", out], input=script, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if p.returncode:
        raise BuildError("sfdisk: " + p.stdout)
    code = boot_sector()
    with open(out, "r+b") as f:
        f.write(code)
        f.seek(510)
        f.write(b"\x55\xaa")
    for path, start, (length, *_) in zip((esp_image, slot.squashfs, slot.verity), starts, parts):
        place(out, path, start, length)
