"""The update bundle: manifest, signature, and the three files they vouch for (README.md, "The bundle")."""
import hashlib
import os
import shutil

NAMES = (("root", "root"), ("verity", "verity"), ("uki", "efi"))  # key of the manifest, suffix of the file


def digest(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest()


def manifest(version, minimum, root_hash, files):
    lines = ["gatehouse-update 1", "version=" + version, "minimum=" + minimum, "architecture=x86-64", "roothash=" + root_hash]
    lines += ["%s=%d %s" % (key, os.path.getsize(files[key]), digest(files[key])) for key, _ in NAMES]
    return ("\n".join(lines) + "\n").encode()


def make(out, version, minimum, slot, uki, keys):
    """A fresh directory `out`."""
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    files = {"root": slot.squashfs, "verity": slot.verity, "uki": uki}
    text = manifest(version, minimum, slot.root_hash, files)
    for key, suffix in NAMES:
        shutil.copyfile(files[key], os.path.join(out, "gatehouse_%s.%s" % (version, suffix)))
    for name, data in (("manifest", text), ("manifest.sig", keys.sign(text))):
        with open(os.path.join(out, name), "wb") as f:
            f.write(data)
