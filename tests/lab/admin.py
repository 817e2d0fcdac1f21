"""The client of a daemon's admin socket: QUERY in, REPLY out (lib/core/frame.h, lib/control.proto), in plain Python."""
import json
import socket
import struct

QUERY, REPLY = 15, 16
_CRC = []
for _i in range(256):
    _c = _i
    for _ in range(8):
        _c = (_c >> 1) ^ 0x82F63B78 if _c & 1 else _c >> 1
    _CRC.append(_c)


class AdminError(RuntimeError):
    pass


def crc32c(data):
    c = 0xFFFFFFFF
    for b in data:
        c = _CRC[(c ^ b) & 0xFF] ^ (c >> 8)
    return c ^ 0xFFFFFFFF


def _varint(n):
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def _field(number, data):
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _fields(data):
    i = 0

    def varint():
        nonlocal i
        n = shift = 0
        while True:
            b = data[i]
            i += 1
            n |= (b & 0x7F) << shift
            shift += 7
            if b < 0x80:
                return n
    while i < len(data):
        tag = varint()
        if tag & 7 == 2:
            n = varint()
            yield tag >> 3, data[i:i + n]
            i += n
        elif tag & 7 == 0:
            yield tag >> 3, varint()
        else:
            raise AdminError("reply: wire type %d" % (tag & 7))


def ask(path, name, *args, timeout=5.0):
    """One query; returns the decoded JSON.  AdminError: the daemon refused, or spoke nonsense; OSError: nobody there."""
    body = _field(1, name.encode()) + b"".join(_field(2, a.encode()) for a in args)
    head = struct.pack(">4sBBHII", b"GHC1", QUERY, 0, 0, len(body), 1)
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(timeout)
        s.connect(path)
        s.sendall(head + struct.pack(">I", crc32c(head + body)) + body)
        data = b""
        while True:
            if len(data) >= 20:
                magic, ftype, _, _, n, _, crc = struct.unpack(">4sBBHIII", data[:20])
                if magic != b"GHC1":
                    raise AdminError("reply: bad magic")
                if len(data) >= 20 + n:
                    reply = data[20:20 + n]
                    if crc32c(data[:16] + reply) != crc:
                        raise AdminError("reply: bad checksum")
                    if ftype == REPLY:
                        break
                    data = data[20 + n:]
                    continue
            more = s.recv(65536)
            if not more:
                raise AdminError("connection closed before the reply")
            data += more
    got = dict(_fields(reply))
    if got.get(2):
        raise AdminError(got[2].decode(errors="replace"))
    return json.loads(got.get(1, b"null"))
