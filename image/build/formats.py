"""The raw disk in the forms that platforms take, and how large each came out."""
import hashlib
import os
import subprocess
import tarfile
import tempfile

from .step import BuildError, run

OVF = """<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
 xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData" xmlns:vmw="http://www.vmware.com/schema/ovf">
 <References><File ovf:href="{vmdk}" ovf:id="file1" ovf:size="{size}"/></References>
 <DiskSection><Info>Disks</Info>
  <Disk ovf:capacity="{capacity}" ovf:capacityAllocationUnits="byte" ovf:diskId="disk1" ovf:fileRef="file1"
   ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/></DiskSection>
 <NetworkSection><Info>Networks</Info>
  <Network ovf:name="management"><Description>management</Description></Network>
  <Network ovf:name="data"><Description>data</Description></Network></NetworkSection>
 <VirtualSystem ovf:id="gatehouse"><Info>Gatehouse {version}</Info><Name>gatehouse</Name>
  <OperatingSystemSection ovf:id="96" vmw:osType="debian12_64Guest"><Info>Linux</Info></OperatingSystemSection>
  <VirtualHardwareSection><Info>Hardware</Info>
   <System><vssd:ElementName>Virtual Hardware Family</vssd:ElementName><vssd:InstanceID>0</vssd:InstanceID>
    <vssd:VirtualSystemIdentifier>gatehouse</vssd:VirtualSystemIdentifier><vssd:VirtualSystemType>vmx-14</vssd:VirtualSystemType></System>
   <Item><rasd:ElementName>2 CPUs</rasd:ElementName><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>
   <Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:ElementName>2 GiB of memory</rasd:ElementName><rasd:InstanceID>2</rasd:InstanceID><rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>2048</rasd:VirtualQuantity></Item>
   <Item><rasd:ElementName>SCSI</rasd:ElementName><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceSubType>VirtualSCSI</rasd:ResourceSubType><rasd:ResourceType>6</rasd:ResourceType></Item>
   <Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:ElementName>Disk</rasd:ElementName><rasd:HostResource>ovf:/disk/disk1</rasd:HostResource><rasd:InstanceID>4</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
   <Item><rasd:AutomaticAllocation>true</rasd:AutomaticAllocation><rasd:Connection>management</rasd:Connection><rasd:ElementName>Management</rasd:ElementName><rasd:InstanceID>5</rasd:InstanceID><rasd:ResourceSubType>VmxNet3</rasd:ResourceSubType><rasd:ResourceType>10</rasd:ResourceType></Item>
   <Item><rasd:AutomaticAllocation>true</rasd:AutomaticAllocation><rasd:Connection>data</rasd:Connection><rasd:ElementName>Data</rasd:ElementName><rasd:InstanceID>6</rasd:InstanceID><rasd:ResourceSubType>VmxNet3</rasd:ResourceSubType><rasd:ResourceType>10</rasd:ResourceType></Item>
   <vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="efi"/>
   <vmw:Config ovf:required="false" vmw:key="bootOptions.efiSecureBootEnabled" vmw:value="false"/>
  </VirtualHardwareSection></VirtualSystem>
</Envelope>
"""


def zst(raw, out, release):
    run(["zstd", "-q", "-f", "-T2", "-9", raw, "-o", out])


def qcow2(raw, out, release):
    run(["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "-o", "compression_type=zstd", raw, out])


def vhd(raw, out, release):
    """A dynamic VHD of a size in whole MiB; Azure wants the fixed form: `qemu-img convert -O vpc -o subformat=fixed,force_size=on`."""
    run(["qemu-img", "convert", "-f", "raw", "-O", "vpc", "-o", "subformat=dynamic,force_size=on", raw, out])


def steady(info, epoch):
    info.mtime, info.uid, info.gid, info.uname, info.gname, info.mode = epoch, 0, 0, "", "", 0o644
    return info


def ova(raw, out, release):
    """A tar of descriptor, manifest and stream-optimised disk, in this order (DSP0243)."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(out)) as tmp:
        vmdk = os.path.join(tmp, "gatehouse.vmdk")
        run(["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized,adapter_type=lsilogic,hwversion=14", raw, vmdk])
        ovf = os.path.join(tmp, "gatehouse.ovf")
        with open(ovf, "w", encoding="utf-8") as f:
            f.write(OVF.format(vmdk="gatehouse.vmdk", size=os.path.getsize(vmdk), capacity=os.path.getsize(raw), version=release["version"]))
        mf = os.path.join(tmp, "gatehouse.mf")
        with open(mf, "w", encoding="ascii") as f:
            for path in (ovf, vmdk):
                f.write("SHA256(%s)= %s\n" % (os.path.basename(path), sha256(path)))
        with tarfile.open(out, "w", format=tarfile.USTAR_FORMAT) as tar:
            for path in (ovf, mf, vmdk):
                with open(path, "rb") as f:
                    tar.addfile(steady(tar.gettarinfo(path, os.path.basename(path)), release["epoch"]), f)


def gcp(raw, out, release):
    """disk.raw in a sparse old-GNU tar, gzipped: what Compute Engine imports."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(out)) as tmp:
        os.link(raw, os.path.join(tmp, "disk.raw"))
        with open(out, "wb") as f:
            tar = subprocess.Popen(["tar", "--format=oldgnu", "-S", "--mtime=@%d" % release["epoch"], "--owner=0", "--group=0", "--numeric-owner", "--mode=0644",
                                    "-C", tmp, "-c", "disk.raw"], stdout=subprocess.PIPE)
            gz = subprocess.run(["gzip", "-n", "-6"], stdin=tar.stdout, stdout=f, check=False)
            tar.stdout.close()
            if tar.wait() or gz.returncode:
                raise BuildError("tar or gzip failed on " + out)


FORMATS = {"raw.zst": zst, "qcow2": qcow2, "ova": ova, "vhd": vhd, "gcp.tar.gz": gcp}
LIMIT = 150_000_000  # a download


def sha256(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest()


def sums(directory, names, keys):
    """SHA256SUMS and its Ed25519 signature."""
    text = "".join("%s  %s\n" % (sha256(os.path.join(directory, n)), n) for n in sorted(names)).encode()
    for name, data in (("SHA256SUMS", text), ("SHA256SUMS.sig", keys.sign(text))):
        with open(os.path.join(directory, name), "wb") as f:
            f.write(data)
