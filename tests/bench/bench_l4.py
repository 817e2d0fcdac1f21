"""Layer-4 bench: packets per second of one l4lb core with no NIC in the way, against testpmd's macswap in the same run.

   ours   net_null0 (uplink) -> generator -> the worker's whole turn (parse, classify, flow table, rewrite) -> net_null1, 2
   floor  the same ports and generator, the core left out
   peer   dpdk-testpmd --forward-mode=macswap on two net_null ports, one forwarding core

macswap looks at nothing and remembers nothing: it is a yardstick for the machine and for DPDK, not a load balancer.
"""
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

CPU = 1
STATE = """generation 1
vip 192.0.2.10
pool default
shard default shard-1 10.30.1.2
shard default shard-2 10.30.2.2
listener 192.0.2.10 80 tcp default
pool apps
endpoint apps app-1 10.30.1.2 8080
endpoint apps app-2 10.30.2.2 8080
listener 192.0.2.10 80 udp apps nat
"""
# name, flows, kind of packet, in --quick
CASES = [
    ("64 B, 1 flow", 1, "ack", True),
    ("64 B, 64 Ki flows", 65536, "ack", True),
    ("64 B, 1 Mi flows", 1048576, "ack", False),
    ("64 B, SYNs of new flows", 1048576, "syn", False),
    ("64 B, NAT, 64 Ki flows", 65536, "nat", True),
]


def ours(build, state, flows, kind, seconds):
    """(Mpps of our worker, Mpps of the floor)"""
    out = subprocess.run([os.path.join(build, "tests", "bench", "l4_bench"), "--state", state, "--flows", str(flows), "--kind", kind,
                          "--seconds", str(seconds), "--cpu", str(CPU)], check=True, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True).stdout
    got = json.loads(out.strip().splitlines()[-1])
    if got["forwarded_share"] != 1:
        raise SystemExit("bench: l4_bench forwarded only %s of its packets" % got["forwarded_share"])
    return got["packets_per_s"] / 1e6, got["floor_packets_per_s"] / 1e6


def testpmd(seconds):
    """Mpps of macswap on one core: both directions together, as the core does both."""
    prefix = "gh-bench-%d" % os.getpid()
    cmd = ["dpdk-testpmd", "-l", "0,%d" % CPU, "--no-huge", "-m", "768", "--no-pci", "--file-prefix", prefix,
           "--no-telemetry", "--vdev", "net_null0,size=64", "--vdev", "net_null1,size=64", "--", "--forward-mode=macswap", "--nb-cores=1",
           "--total-num-mbufs=16384", "--auto-start", "--stats-period", "1"]
    p = subprocess.Popen(cmd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    os.set_blocking(p.stdout.fileno(), False)
    text, deadline, want = "", time.monotonic() + seconds + 20, 2 * (seconds + 1)  # two ports a second; the first is warm-up
    try:
        while len(re.findall(r"Tx-pps:\s+(\d+)", text)) < want:
            if time.monotonic() > deadline or p.poll() is not None:
                raise SystemExit("bench: dpdk-testpmd gave no figures:\n%s" % text[-2000:])
            text += (p.stdout.read() or b"").decode(errors="replace")
            time.sleep(0.02)
    finally:
        os.killpg(p.pid, signal.SIGINT)
        try:
            p.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            p.wait()
        p.stdin.close()
        p.stdout.close()
        shutil.rmtree("/var/run/dpdk/" + prefix, ignore_errors=True)  # testpmd leaves its own behind
    pps = [int(x) for x in re.findall(r"Tx-pps:\s+(\d+)", text)]
    both = [a + b for a, b in zip(pps[0::2], pps[1::2])][1:]
    return statistics.median(both) / 1e6


def run(build, quick):
    rounds, seconds = (2, 1) if quick else (5, 2)
    rows, missing = [], []
    peer = shutil.which("dpdk-testpmd") is not None
    if not peer:
        missing.append("dpdk-testpmd (l4)")
    state = tempfile.mkdtemp(prefix="gh-bench-l4-")
    try:
        subprocess.run([os.path.join(build, "tests", "packet", "l4_state"), state], input=STATE, text=True, check=True)
        cases = [c for c in CASES if c[3] or not quick]
        mine, floor, theirs = {c[0]: [] for c in cases}, {c[0]: [] for c in cases}, []
        for _ in range(rounds):
            if peer:
                theirs.append(testpmd(seconds))  # once a round: it knows no flows, so it is the same for every case
            for name, flows, kind, _ in cases:
                a, b = ours(build, state, flows, kind, seconds)
                mine[name].append(a)
                floor[name].append(b)
        peers = {"testpmd macswap": statistics.median(theirs)} if theirs else {}
        for name in mine:
            m, f = statistics.median(mine[name]), statistics.median(floor[name])
            rows.append({"case": "l4 " + name, "unit": "Mpps/core", "ours": m, "peers": peers, "floor": f,
                         "ratio": m / (max(peers.values()) if peers else f), "target": None})
    finally:
        shutil.rmtree(state, ignore_errors=True)
    return rows, missing
