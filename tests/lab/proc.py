"""Processes of the lab: each in its own session, logging to a file, dying with us, never left behind."""
import ctypes
import os
import re
import signal
import subprocess
import time

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
# What must never appear in a daemon's log, whatever the scenario.
_TROUBLE = re.compile(r"ERROR: \w+Sanitizer|runtime error:|BUG:|LeakSanitizer|Assertion .* failed|panic", re.I)


def die_with_parent(signo=signal.SIGKILL):
    _libc.prctl(PR_SET_PDEATHSIG, int(signo))


class Proc:
    def __init__(self, name, argv, log_path, env=None, stdout=None):
        self.name, self.argv, self.log_path = name, argv, log_path
        self.log_offset = os.path.getsize(log_path) if os.path.exists(log_path) else 0
        self.expected_exit = False
        with open(log_path, "ab") as log:
            self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=stdout or log, stderr=log,
                                          env=dict(os.environ, **(env or {})), start_new_session=True,
                                          preexec_fn=die_with_parent)

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def log(self):
        """What this incarnation has logged so far."""
        with open(self.log_path, "rb") as f:
            f.seek(self.log_offset)
            return f.read().decode(errors="replace")

    def signal(self, signo):
        self.expected_exit = True
        try:
            os.killpg(self.pid, signo)
        except ProcessLookupError:
            pass

    def wait(self, timeout):
        """The exit status, or None when it still runs at the deadline."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, timeout=5.0):
        if self.alive():
            self.signal(signal.SIGTERM)
            if self.wait(timeout) is None:
                self.signal(signal.SIGKILL)
                self.wait(5)
        return self.popen.returncode

    def trouble(self):
        """Reasons to distrust this process: sanitizer reports, assertions, an exit nobody asked for."""
        out = ["%s: %s" % (self.name, line.strip()) for line in self.log().splitlines() if _TROUBLE.search(line)][:5]
        if not self.alive() and not self.expected_exit:
            out.append("%s: exited by itself with status %s" % (self.name, self.popen.returncode))
        return out

    def cpu_s(self):
        with open("/proc/%d/stat" % self.pid) as f:
            v = f.read().rsplit(")", 1)[1].split()
        return (int(v[11]) + int(v[12])) / os.sysconf("SC_CLK_TCK")

    def memory_kib(self, key="VmRSS"):
        with open("/proc/%d/status" % self.pid) as f:
            return int(re.search(r"%s:\s+(\d+)" % key, f.read()).group(1))


def wait_until(cond, timeout, what, interval=0.02):
    """Polls cond until it is true; returns its value.  TimeoutError names what was waited for."""
    deadline = time.monotonic() + timeout
    while True:
        value = cond()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise TimeoutError("not within %.1f s: %s" % (timeout, what))
        time.sleep(interval)
