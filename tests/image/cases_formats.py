"""The forms an image is handed out in: each is what its platform's importer expects, and holds the same disk, byte for byte."""
import glob
import json
import os
import re
import shutil
import subprocess
import tarfile
import xml.etree.ElementTree as ET

from image.build import formats as built

from .cases_image import release_image

OVF = {"o": "http://schemas.dmtf.org/ovf/envelope/1", "r": "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData",
       "v": "http://www.vmware.com/schema/ovf"}
MIB, GIB = 1 << 20, 1 << 30


class Bad(Exception):
    pass


def need(ok, text):
    if not ok:
        raise Bad(text)


def tool(*argv):
    p = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False)
    need(p.returncode == 0, "%s: %s" % (" ".join(argv[:3]), (p.stderr or p.stdout).strip()[-300:]))
    return p.stdout


def same_disk(kind, path, raw):
    """Every sector; what one has as a hole the other may have as zeros."""
    info = json.loads(tool("qemu-img", "info", "-f", kind, "--output=json", path))
    need(info["virtual-size"] == os.path.getsize(raw), "%d bytes large, the disk has %d" % (info["virtual-size"], os.path.getsize(raw)))
    tool("qemu-img", "compare", "-f", kind, "-F", "raw", path, raw)
    return info


def raw_zst(path, raw, tmp):
    tool("zstd", "-t", "-q", path)
    out = os.path.join(tmp, "disk.raw")
    tool("zstd", "-d", "-q", "-f", "--sparse", path, "-o", out)
    same_disk("raw", out, raw)


def qcow2(path, raw, tmp):
    tool("qemu-img", "check", "-q", "-f", "qcow2", path)
    same_disk("qcow2", path, raw)


def vhd(path, raw, tmp):
    """Azure and Hyper-V take sizes of whole MiB only."""
    info = same_disk("vpc", path, raw)
    need(info["virtual-size"] % MIB == 0, "its size is no whole number of MiB")
    with open(path, "rb") as f:
        f.seek(-512, os.SEEK_END)
        footer = f.read(512)
    need(footer[:8] == b"conectix" and footer[60:64] == b"\0\0\0\3", "no footer of a dynamic VHD")
    total = (~(sum(footer) - sum(footer[64:68]))) & 0xffffffff
    need(total == int.from_bytes(footer[64:68], "big"), "the footer's checksum is wrong")


def ova(path, raw, tmp):
    """DSP0243: a ustar of descriptor, manifest, disk, in this order; the manifest vouches for both; references lead somewhere."""
    with tarfile.open(path) as tar:
        members = tar.getmembers()
        need([os.path.splitext(m.name)[1] for m in members] == [".ovf", ".mf", ".vmdk"], "its members are %s" % [m.name for m in members])
        tar.extractall(tmp)
    with open(path, "rb") as f:
        need(f.read(265)[257:265] == b"ustar\x0000", "no ustar")
    descriptor, manifest, disk = (os.path.join(tmp, m.name) for m in members)
    with open(manifest, encoding="ascii") as f:
        sums = dict(re.findall(r"^SHA256\((.+)\)= ([0-9a-f]{64})$", f.read(), re.M))
    need(sorted(sums) == sorted(os.path.basename(n) for n in (descriptor, disk)), "the manifest names %s" % sorted(sums))
    for name in (descriptor, disk):
        need(built.sha256(name) == sums[os.path.basename(name)], "%s is not what the manifest says" % os.path.basename(name))
    root = ET.parse(descriptor).getroot()
    files = {f.get("{%(o)s}id" % OVF): f for f in root.findall("o:References/o:File", OVF)}
    disks = {d.get("{%(o)s}diskId" % OVF): d for d in root.findall("o:DiskSection/o:Disk", OVF)}
    need(len(files) == len(disks) == 1, "it has not one file and one disk")
    (file,), (described,) = files.values(), disks.values()
    need(file.get("{%(o)s}href" % OVF) == os.path.basename(disk) and int(file.get("{%(o)s}size" % OVF)) == os.path.getsize(disk), "File does not describe the disk's file")
    need(described.get("{%(o)s}fileRef" % OVF) in files and int(described.get("{%(o)s}capacity" % OVF)) == os.path.getsize(raw), "Disk does not describe the disk")
    networks = {n.get("{%(o)s}name" % OVF) for n in root.findall("o:NetworkSection/o:Network", OVF)}
    items = root.findall("o:VirtualSystem/o:VirtualHardwareSection/o:Item", OVF)

    def of(kind, what):
        return [i.findtext("r:" + what, namespaces=OVF) for i in items if i.findtext("r:ResourceType", namespaces=OVF) == str(kind)]
    need(of(17, "HostResource") == ["ovf:/disk/" + next(iter(disks))], "no drive holds the disk")
    need(set(of(10, "Connection")) == networks and len(networks) == 2, "NICs and networks are not the same")
    need(of(3, "VirtualQuantity") == ["2"] and int(of(4, "VirtualQuantity")[0]) >= 1536, "too few CPUs, or too little memory")
    numbers = [i.findtext("r:InstanceID", namespaces=OVF) for i in items]
    need(len(set(numbers)) == len(numbers) and set(of(17, "Parent")) <= set(numbers), "instance numbers are not unique, or the drive hangs on nothing")
    need(any(c.get("{%(v)s}key" % OVF) == "firmware" and c.get("{%(v)s}value" % OVF) == "efi" for c in root.iter("{%(v)s}Config" % OVF)), "it does not ask for UEFI")
    info = same_disk("vmdk", disk, raw)
    need(info["format-specific"]["data"]["create-type"] == "streamOptimized", "not streamOptimized")


def gcp(path, raw, tmp):
    """Compute Engine: gzip, old GNU tar, one file named disk.raw, of whole GiB."""
    with tarfile.open(path, "r:gz") as tar:
        member = tar.next()
        need(member.name == "disk.raw" and member.type == tarfile.GNUTYPE_SPARSE and member.size % GIB == 0, "it begins with %s, type %r, %d bytes" % (member.name, member.type, member.size))
    head = subprocess.run("gzip -dc '%s' | head -c 512" % path, shell=True, stdin=subprocess.DEVNULL, capture_output=True, check=False).stdout
    need(head[257:265] == b"ustar  \0", "no GNU tar")
    tool("tar", "-xzf", path, "-C", tmp)
    need(os.listdir(tmp) == ["disk.raw"], "it holds %s" % os.listdir(tmp))
    same_disk("raw", os.path.join(tmp, "disk.raw"), raw)


READERS = {"raw.zst": raw_zst, "qcow2": qcow2, "ova": ova, "vhd": vhd, "gcp.tar.gz": gcp}


def fault(bed, kind, path, raw):
    """Why it is not what it should be, or None."""
    tmp = bed.site.path("format")
    shutil.rmtree(tmp, ignore_errors=True)
    os.makedirs(tmp)
    try:
        READERS[kind](path, raw, tmp)
    except (Bad, OSError, EOFError, ValueError, LookupError, tarfile.TarError, ET.ParseError) as e:
        return "%s: %s" % (type(e).__name__, e)
    finally:
        shutil.rmtree(tmp)
    return None


def spoiled(bed, path):
    """A copy with the middle changed: compressed data, or the disk in it."""
    copy = bed.site.path("spoiled-" + os.path.basename(path))
    shutil.copyfile(path, copy)
    with open(copy, "r+b") as f:
        f.seek(os.path.getsize(copy) // 2)
        block = f.read(4096)
        f.seek(-len(block), os.SEEK_CUR)
        f.write(bytes(b ^ 0x5a for b in block))
    return copy


def formats(bed, check):
    out = release_image(bed)
    raw = out + "/disk.raw"
    check("there is a test for each format", set(READERS) == set(built.FORMATS))
    for kind in READERS:
        path = glob.glob(out + "/*." + kind)[0]
        why = fault(bed, kind, path, raw)
        check("%s: well formed, the same disk, %.1f MB" % (kind, os.path.getsize(path) / 1e6), why is None and os.path.getsize(path) <= built.LIMIT, why)
        copy = spoiled(bed, path)
        check("%s: a changed copy is noticed" % kind, fault(bed, kind, copy, raw))
        os.unlink(copy)
