#!/usr/bin/env python3
"""Large bodies stream through a shard with bounded memory, both ways, byte for byte.

   client ◀── 1 GiB ── l4lb ◀── shard (memory bounded) ◀── origin
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import threading
import time
import zlib

from tests.lab import netns
from tests.lab.scenario import main

MIB = 1 << 20
LIMIT_MIB = 32  # how much the shard may grow while a body of any size passes


class Memory:
    """The largest resident size of each shard while the block runs."""

    def __init__(self, lab):
        self.procs = [lab.procs["shard-%d" % i] for i in lab.shard_numbers()]

    def __enter__(self):
        self.before = [p.memory_kib() for p in self.procs]
        self.peak = list(self.before)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def _watch(self):
        while not self.stop.wait(0.02):
            for i, p in enumerate(self.procs):
                self.peak[i] = max(self.peak[i], p.memory_kib())

    def __exit__(self, *exc):
        self.stop.set()
        self.thread.join()
        self.grown_mib = max(p - b for p, b in zip(self.peak, self.before)) / 1024.0


def download(site, check):
    lab = site.lab
    total = 1024 * MIB
    start = time.monotonic()
    with Memory(lab) as m:
        p = lab.client.run(["curl", "-sS", "--noproxy", "*", "--max-time", "150", "--connect-to", "::%s:" % site.v4, "-o", "/dev/null", "-w",
                            "%{http_code} %{size_download}", "http://echo.example/?size=%d" % total], check=False)
    check.info("%d MiB down in %.1f s; the shard grew by %.1f MiB" % (total // MIB, time.monotonic() - start, m.grown_mib))
    check("%d MiB streamed to the client, all of it" % (total // MIB), p.stdout == "200 %d" % total, (p.stdout, p.stderr))
    check("the shard grew by less than %d MiB while it streamed" % LIMIT_MIB, m.grown_mib < LIMIT_MIB, "%.1f MiB" % m.grown_mib)


def slow_reader(site, check):
    """The client reads 2 MB/s, the origin sends as fast as it may: back-pressure, not buffering."""
    lab = site.lab
    for proto, args, url in (("HTTP/1.1", ["--http1.1"], "http://echo.example"), ("HTTP/2 over TLS", ["--http2"], "https://echo.example")):
        with Memory(lab) as m:
            p = lab.client.run(["curl", "-sS", "--noproxy", "*", "--cacert", lab.ca_path, "--max-time", "4", "--limit-rate", "2M", *args, "--connect-to",
                                "::%s:" % site.v4, "-o", "/dev/null", "-w", "%{http_code}", url + "/?size=%d" % (512 * MIB)], check=False)
        check("slow reader, %s: the shard grew by less than %d MiB" % (proto, LIMIT_MIB), p.stdout == "200" and m.grown_mib < LIMIT_MIB,
              (p.stdout, p.stderr, "%.1f MiB" % m.grown_mib))


def upload(site, check):
    lab = site.lab
    path, total = lab.path("www", "big"), 64 * MIB
    block = bytes((i * 31 + (i >> 8)) & 0xFF for i in range(65521))
    crc, left = 0, total
    with open(path, "wb") as f:
        while left:
            part = block[:left]
            f.write(part)
            crc = zlib.crc32(part, crc)
            left -= len(part)
    for proto, args, url in (("HTTP/1.1", ["--http1.1"], "http://echo.example/up"), ("HTTP/2 over TLS", ["--http2"], "https://echo.example/up")):
        with Memory(lab) as m:
            r, echo = lab.client.echo(site.v4, url, "-T", path, *args, timeout=100)
        check("64 MiB uploaded, %s: every byte arrives, the shard grew by less than %d MiB" % (proto, LIMIT_MIB),
              bool(echo) and (echo["body_bytes"], echo["body_crc32"]) == (total, crc) and m.grown_mib < LIMIT_MIB,
              (r.status, r.error, r.body[-200:], "%.1f MiB" % m.grown_mib))
    os.unlink(path)


def integrity(site, check):
    lab = site.lab
    size = 16 * MIB + 12345
    out = lab.path("www", "down")
    want = netns.run(netns.in_ns(lab.ns("origin"), ["curl", "-s", "http://10.40.0.101:8080/crc32?size=%d" % size])).stdout
    for proto, args, url in (("HTTP/1.1 chunked", ["--http1.1"], "http://echo.example/?chunked=1&size=%d"),
                             ("HTTP/2 over TLS", ["--http2"], "https://echo.example/?size=%d")):
        r = lab.client.curl(site.v6, url % size, *args, timeout=100, body_file=out)
        crc = 0
        with open(out, "rb") as f:
            for part in iter(lambda: f.read(MIB), b""):
                crc = zlib.crc32(part, crc)
        check("17 MB down, %s: every byte is right" % proto, r.status == 200 and '"crc32": %d}' % crc in want, (r.status, r.error, want, crc))
        os.unlink(out)


def scenario(site, check):
    download(site, check)
    integrity(site, check)
    upload(site, check)
    slow_reader(site, check)


if __name__ == "__main__":
    main(scenario)
