#!/usr/bin/env python3
"""Clients that cost more than they ask for, HTTP/2: each flood ends with its connection, the shard's memory stays where it was,
and a good client beside it is served all the while.  (Requirements 49, 50, 59; the site: tests/lab/l7_site.py)"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import threading
import time

from tests.lab import h2
from tests.lab.l7_site import HTTP, VIP, raw, run
from tests.lab.proc import wait_until
from tests.lab.raw_client import SLOW, get

GROWTH_KIB = 16384
REQUEST = h2.block_of([(":method", "GET"), (":scheme", "http"), (":authority", "origin.example"), (":path", "/echo")])
POST = h2.block_of([(":method", "POST"), (":scheme", "http"), (":authority", "origin.example"), (":path", "/echo")])


def rapid_reset():
    """CVE-2023-44487."""
    sid = 1
    while True:
        yield b"".join(h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, sid + 2 * i, REQUEST) +
                       h2.frame(h2.RST_STREAM, 0, sid + 2 * i, (8).to_bytes(4, "big")) for i in range(100))
        sid += 200


def made_you_reset():
    """CVE-2025-8671: requests, and then a frame that makes the server reset them."""
    sid = 1
    while True:
        yield b"".join(h2.frame(h2.HEADERS, h2.END_HEADERS, sid + 2 * i, POST) + h2.frame(h2.WINDOW_UPDATE, 0, sid + 2 * i, bytes(4)) for i in range(50))
        sid += 100


def pings():
    while True:
        yield h2.frame(h2.PING, 0, 0, b"12345678") * 500


def settings():
    while True:
        yield h2.frame(h2.SETTINGS, 0, 0, b"") * 500


def settings_windows():
    """Each changes every stream's window."""
    while True:
        yield b"".join(h2.frame(h2.SETTINGS, 0, 0, (4).to_bytes(2, "big") + n.to_bytes(4, "big")) for n in (1, 65535) * 250)


def empty_data():
    yield h2.frame(h2.HEADERS, h2.END_HEADERS, 1, POST)
    while True:
        yield h2.frame(h2.DATA, 0, 1) * 1000


def padding():
    """Bytes that are no body."""
    yield h2.frame(h2.HEADERS, h2.END_HEADERS, 1, POST)
    while True:
        yield h2.frame(h2.DATA, 8, 1, b"\0") * 1000


def continuations():
    yield h2.frame(h2.HEADERS, 0, 1, REQUEST)
    while True:
        yield h2.frame(h2.CONTINUATION, 0, 1, h2.block_of([("x-a", "b" * 50)])) * 100


def empty_continuations():
    yield h2.frame(h2.HEADERS, 0, 1, REQUEST)
    while True:
        yield h2.frame(h2.CONTINUATION, 0, 1) * 1000


def priorities():
    while True:
        yield h2.frame(h2.PRIORITY, 0, 1, b"\0\0\0\3\x10") * 1000


def tiny_windows():
    yield h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 1, REQUEST)
    while True:
        yield h2.frame(h2.WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 1000


def unknown_frames():
    while True:
        yield h2.frame(0x42, 0, 0, b"x" * 20) * 500


def header_bomb():
    """One field in the dynamic table, referred to thousands of times: cheap to send, dear to read."""
    big = b"\x40" + b"\x03x-a" + h2._integer(3000, 7) + b"b" * 3000
    yield h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 1, REQUEST + big)
    sid = 3
    while True:
        yield b"".join(h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, sid + 2 * i, REQUEST + b"\xbe" * 15000) for i in range(5))
        sid += 10


FLOODS = (rapid_reset, made_you_reset, pings, settings, settings_windows, empty_data, padding, continuations, empty_continuations, priorities,
          tiny_windows, unknown_frames, header_bomb)


def answers(c, timeout):
    try:
        c.pump(lambda: False, timeout)
    except OSError:
        pass  # closed by flood()


def flood(make, reads, timeout):
    """Seconds until the shard ends it; None when it does not."""
    c = h2.Client((VIP, HTTP))
    t = time.monotonic()
    if reads:
        threading.Thread(target=answers, args=(c, timeout), daemon=True).start()
    c.s.settimeout(timeout)
    try:
        for block in make():
            if time.monotonic() - t > timeout or c.closed:
                break
            c.s.sendall(block)
    except OSError as e:
        if isinstance(e, TimeoutError):
            return None
        return time.monotonic() - t
    finally:
        c.s.close()
    return time.monotonic() - t if c.closed else None


def floods(site, check):
    good, stop = {"n": 0, "bad": []}, threading.Event()

    def client():
        with raw() as c:
            while not stop.is_set():
                r = c.send(get("/echo")).reply()
                good["n"] += 1
                if r.status != 200:
                    good["bad"].append(repr(r))
                    return
                time.sleep(0.002)  # its think time
    t = threading.Thread(target=client, daemon=True)
    t.start()
    with raw() as c:
        c.send(get("/echo")).reply()
    before = site.rss_kib()
    for make in FLOODS:
        for reads in (True, False):
            took = flood(make, reads, 10 * SLOW)
            check("50: %s, %s: %s" % (make.__name__.replace("_", " "), "reading the answers" if reads else "deaf",
                                      "it goes on" if took is None else "ended after %.2f s" % took), took is not None)
    wait_until(lambda: good["n"] > 50 or good["bad"], 10 * SLOW, "the good client's requests")
    stop.set()
    t.join(10 * SLOW)
    grown = site.rss_kib() - before
    check("memory grew by %d KiB" % grown, grown < GROWTH_KIB * SLOW)
    check("the good client: %d requests, none failed" % good["n"], good["n"] > 50 and not good["bad"], good["bad"])


if __name__ == "__main__":
    run("floods", (floods,))
