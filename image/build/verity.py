"""dm-verity: the hash tree of a squashfs, and the partition UUIDs that let systemd find both by the root hash alone."""
import os
import re
import uuid

from .step import BuildError, run

BLOCK = 4096


class Slot:
    """One root: files, root hash, partition UUIDs (the halves of the hash; systemd-veritysetup-generator(8))."""

    def __init__(self, squashfs, verity, root_hash):
        self.squashfs, self.verity, self.root_hash = squashfs, verity, root_hash
        self.root_uuid, self.verity_uuid = str(uuid.UUID(root_hash[:32])), str(uuid.UUID(root_hash[32:]))


def pad(path, block=BLOCK):
    size = os.path.getsize(path)
    os.truncate(path, (size + block - 1) // block * block)


def make(squashfs, out, salt, uid):
    """`salt` (hex) and `uid` come from the content's version, so that the same root gives the same tree."""
    pad(squashfs)
    if os.path.exists(out):
        os.unlink(out)
    text = run(["veritysetup", "format", "--salt=" + salt, "--uuid=" + uid, "--hash=sha256", squashfs, out])
    m = re.search(r"Root hash:\s*([0-9a-f]{64})", text)
    if not m:
        raise BuildError("veritysetup printed no root hash: " + text)
    return Slot(squashfs, out, m.group(1))
