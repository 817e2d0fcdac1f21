#!/bin/sh
# image/build/hook.sh - runs inside the new tree, as its root: prunes kernel modules, makes the initrd, and leaves
# /gatehouse-tree/ with what the other steps need: vmlinuz, initrd, status of all packages and their file lists.
set -eu
out=/gatehouse-tree
epoch=$SOURCE_DATE_EPOCH

version=$(basename /boot/vmlinuz-*)
version=${version#vmlinuz-}
modules=/lib/modules/$version/kernel
mkdir "$out"

while read -r pattern; do
        case $pattern in '' | '#'*) continue ;; esac
        # shellcheck disable=SC2086 # patterns are meant to expand
        rm -rf "${modules:?}"/$pattern
done <"$out.modules"
depmod "$version"

# storage an appliance may sit on; the rest of the kernel's modules are for the real root
drivers=$(
        tr '\n' ' ' <<'END'
dm-mod dm-verity loop overlay squashfs vfat nls_ascii nls_cp437 nls_iso8859-1 nls_utf8
virtio_pci virtio_blk virtio_scsi virtio_rng nvme ahci ata_piix sd_mod sr_mod cdrom isofs
vmw_pvscsi mptspi hv_storvsc hv_vmbus xen-blkfront megaraid_sas mpt3sas smartpqi hpsa
usb-storage uas xhci-pci ehci-pci tpm_tis tpm_crb qemu_fw_cfg
END
)
# An identity that lasts: the root is read-only, so systemd would make up a new machine-id on every start, and with it a new DHCP
# client and a new journal directory.  It is derived from what the firmware says about the machine.
cat >"$out.machine-id.sh" <<'END'
#!/bin/sh
d=/sys/class/dmi/id
uuid=$(cat $d/product_uuid 2>/dev/null)
case $uuid in
*[!0-]*)
        printf 'gatehouse machine-id\n%s\n' "$uuid" | sha256sum | cut -c1-32 >/run/gatehouse-machine-id
        mount --bind /run/gatehouse-machine-id /sysroot/etc/machine-id
        ;;
esac
END
chmod 755 "$out.machine-id.sh"
# a name the kernel has built in, or spells otherwise, is not an error; a root that cannot be found would be
dracut --quiet --force --no-hostonly --reproducible --no-early-microcode --zstd --kver "$version" \
        --modules "base bash systemd systemd-initrd systemd-veritysetup dracut-systemd dm udev-rules rootfs-block fs-lib shutdown" \
        --drivers "$drivers" --kernel-cmdline "" \
        --install "sha256sum cut cat mount" --include "$out.machine-id.sh" /lib/dracut/hooks/pre-pivot/50-machine-id.sh "$out/initrd"
cp "/boot/vmlinuz-$version" "$out/vmlinuz"
echo "$version" >"$out/kernel"

cp /var/lib/dpkg/status "$out/status"
# conffiles and diversions move files; what a package owns is what dpkg says
mkdir "$out/lists"
for f in /var/lib/dpkg/info/*.list; do
        cp "$f" "$out/lists/"
done
find "$out" -exec touch -h -d "@$epoch" {} +
rm -f "$out.modules" "$out.machine-id.sh" "$0"
