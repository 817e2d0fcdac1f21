"""unit: `gatehouse-system syslog` between a stand-in for journald and real log servers on the loopback; TAP output.

    syslog_test.py PROGRAM"""
import os
import re
import socket
import subprocess
import sys
import tempfile

WAIT_S = 10
CASES = []


def case(fn):
    CASES.append(fn)
    return fn


class Forwarder:
    """The daemon with a datagram socket as descriptor 3, as systemd would start it."""

    def __init__(self, program, protocol, port, address="127.0.0.1"):
        self.dir = tempfile.TemporaryDirectory()
        os.makedirs(self.dir.name + "/etc/gatehouse")
        with open(self.dir.name + "/etc/gatehouse/syslog.cfg", "w") as f:
            f.write('address = "%s"; port = %d; protocol = "%s"; name = "edge-1";\n' % (address, port, protocol))
        theirs, self.journal = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(self.dir.name + "/notify")
        notify.settimeout(WAIT_S)

        def third():
            os.dup2(theirs.fileno(), 3)
        self.p = subprocess.Popen([program, "--root", self.dir.name, "syslog"], preexec_fn=third, pass_fds=(3,), stderr=subprocess.PIPE,
                                  env={**os.environ, "NOTIFY_SOCKET": self.dir.name + "/notify"})
        theirs.close()
        self.ready = notify.recv(512)
        notify.close()

    def say(self, text):
        self.journal.send(text.encode())

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.p.terminate()
        self.said = self.p.communicate(timeout=WAIT_S)[1].decode()
        self.journal.close()
        self.dir.cleanup()
        if not exc[0] and self.p.returncode:
            raise AssertionError("exit status %d: %s" % (self.p.returncode, self.said))


def server(kind, family=socket.AF_INET, address="127.0.0.1"):
    s = socket.socket(family, kind)
    s.settimeout(WAIT_S)
    s.bind((address, 0))
    if kind == socket.SOCK_STREAM:
        s.listen()
    return s


def frame(conn):
    """One octet-counted line (RFC 6587, 3.4.1)."""
    digits = b""
    while not digits.endswith(b" "):
        c = conn.recv(1)
        assert c, "the connection ended"
        digits += c
    n, text = int(digits), b""
    while len(text) < n:
        text += conn.recv(n - len(text))
    return text.decode()


LINE = re.compile(r"^<30>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z edge-1 l4lb 7 - - (.*)$")


@case
def udp(program):
    with server(socket.SOCK_DGRAM) as s, Forwarder(program, "udp", s.getsockname()[1]) as f:
        assert f.ready.startswith(b"READY=1\n"), f.ready
        f.say("<30>Nov 23 06:31:43 l4lb[7]: one")
        assert LINE.match(s.recv(4096).decode()).group(1) == "one"


@case
def udp_over_ipv6(program):
    with server(socket.SOCK_DGRAM, socket.AF_INET6, "::1") as s, Forwarder(program, "udp", s.getsockname()[1], "::1") as f:
        f.say("<30>Nov 23 06:31:43 l4lb[7]: six")
        assert LINE.match(s.recv(4096).decode()).group(1) == "six"


@case
def tcp_frames_and_a_server_that_comes_back(program):
    with server(socket.SOCK_STREAM) as s, Forwarder(program, "tcp", s.getsockname()[1]) as f:
        conn = s.accept()[0]
        conn.settimeout(WAIT_S)
        for text in ("one", "two"):
            f.say("<30>Nov 23 06:31:43 l4lb[7]: " + text)
            assert LINE.match(frame(conn)).group(1) == text
        conn.close()
        conn = s.accept()[0]  # it dials again by itself
        conn.settimeout(WAIT_S)
        f.say("<30>Nov 23 06:31:43 l4lb[7]: three")
        assert LINE.match(frame(conn)).group(1) == "three"
        conn.close()


@case
def tcp_server_away_bounds_memory_and_tells(program):
    with server(socket.SOCK_STREAM) as s, Forwarder(program, "tcp", s.getsockname()[1]) as f:
        conn = s.accept()[0]  # accepted and never read: the queue fills
        for _ in range(6000):
            f.say("<30>Nov 23 06:31:43 l4lb[7]: " + "x" * 1900)
        rss = int(re.search(r"VmRSS:\s+(\d+)", open("/proc/%d/status" % f.p.pid).read()).group(1))
        assert rss < 64 * 1024, "%d KiB" % rss
        conn.settimeout(WAIT_S)
        while "messages were lost" not in frame(conn):
            f.say("<30>Nov 23 06:31:43 l4lb[7]: more")
        conn.close()


@case
def settings_are_strict(program):
    with tempfile.TemporaryDirectory() as d:
        os.makedirs(d + "/etc/gatehouse")
        with open(d + "/etc/gatehouse/syslog.cfg", "w") as f:
            f.write('address = "127.0.0.1";\nprotocol = "relp";\n')
        p = subprocess.run([program, "--root", d, "syslog"], capture_output=True, text=True, timeout=WAIT_S)
        assert p.returncode == 1 and "syslog.cfg:2" in p.stderr and "relp" in p.stderr, p.stderr


def main(program):
    bad = 0
    for n, fn in enumerate(CASES, 1):
        try:
            fn(program)
            print("ok %d - %s" % (n, fn.__name__), flush=True)
        except (AssertionError, OSError, AttributeError, subprocess.TimeoutExpired) as e:
            bad += 1
            print("not ok %d - %s: %s" % (n, fn.__name__, str(e)[:300]), flush=True)
    print("1..%d" % len(CASES))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
