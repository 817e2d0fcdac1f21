"""The client host: curl for single requests, gh_load for traffic whose every request is recorded."""
import collections
import json
import os
import signal
import tempfile
import time

from . import netns

Response = collections.namedtuple("Response", "status headers body version exit error ms local_port")
Result = collections.namedtuple("Result", "kind flow conn t0 t1 port result status marks")


def _headers(text):
    """The last head of a -D file, as {lower name: [values]}."""
    blocks = [b for b in text.replace("\r\n", "\n").split("\n\n") if b.startswith("HTTP/")]
    out = collections.defaultdict(list)
    for line in (blocks[-1].split("\n")[1:] if blocks else []):
        name, _, value = line.partition(":")
        out[name.strip().lower()].append(value.strip())
    return dict(out)


class Client:
    def __init__(self, lab, ns):
        self.lab, self.ns = lab, ns

    def run(self, argv, check=True, **kw):
        return netns.run(netns.in_ns(self.ns, argv), check=check, **kw)

    def curl(self, vip, url, *args, timeout=10, cacert=None, body_file=None):
        """One request to url (any host name in it), connected to vip.  Never raises for a failed transfer: look at exit."""
        to = "[%s]" % vip if ":" in vip else vip
        with tempfile.TemporaryDirectory(dir=self.lab.tmp) as d:
            out, head = body_file or d + "/body", d + "/head"
            argv = ["curl", "-sS", "--noproxy", "*", "--max-time", str(timeout), "--connect-to", "::%s:" % to, "-o", out, "-D", head,
                    "-w", '{"s":%{http_code},"v":"%{http_version}","t":%{time_total},"p":%{local_port}}']
            if url.startswith("https:"):
                argv += ["--cacert", cacert or self.lab.ca_path]
            p = self.run(argv + list(args) + [url], check=False)
            try:
                w = json.loads(p.stdout or "{}")
            except ValueError:
                w = {}

            def read(path):
                if not os.path.isfile(path):
                    return ""
                with open(path, "rb") as f:
                    return f.read().decode(errors="replace")
            return Response(w.get("s", 0), _headers(read(head)), "" if body_file else read(out), w.get("v", ""), p.returncode,
                            p.stderr.strip(), w.get("t", 0) * 1000, w.get("p", 0))

    def echo(self, vip, url, *args, **kw):
        """curl, with the echo origin's JSON as second value (None when it did not answer so)."""
        r = self.curl(vip, url, *args, **kw)
        try:
            return r, json.loads(r.body)
        except ValueError:
            return r, None

    def load(self, vip, host, path="/", port=80, flows=0, flow_ms=20, conn_rate=0, timeout_ms=1000,
             marks=("x-echo-peer", "x-echo-pod"), seconds=0):
        return Load(self, vip, host, path, port, flows, flow_ms, conn_rate, timeout_ms, marks, seconds)


class Load:
    """Running traffic.  Use as a context manager; results() after stop(), or at any time for what has ended so far."""

    def __init__(self, client, vip, host, path, port, flows, flow_ms, conn_rate, timeout_ms, marks, seconds):
        self.path = tempfile.mktemp(prefix="load-", dir=client.lab.tmp)
        argv = [client.lab.tool("gh_load"), "--to", vip, str(port), "--host", host, "--path", path, "--flows", str(flows),
                "--flow-ms", str(flow_ms), "--conn-rate", str(conn_rate), "--timeout-ms", str(timeout_ms), "--seconds", str(seconds)]
        for m in marks:
            argv += ["--mark", m]
        with open(self.path, "wb") as out:
            self.proc = client.lab.spawn("load", netns.in_ns(client.ns, argv), stdout=out)
        self.timeout_s = timeout_ms / 1000.0

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    def stop(self):
        if self.proc.alive():
            self.proc.signal(signal.SIGTERM)
        rc = self.proc.wait(self.timeout_s + 10)
        if rc != 0:
            raise RuntimeError("gh_load ended with %s: %s" % (rc, self.proc.log()[-500:]))
        self.proc.expected_exit = True
        return self.results()

    def results(self):
        out = []
        with open(self.path) as f:
            for line in f:
                v = line.split()
                if not line.endswith("\n"):
                    break  # being written
                out.append(Result(v[0], int(v[1]), int(v[2]), int(v[3]) / 1e6, int(v[4]) / 1e6, int(v[5]), v[6], int(v[7]), v[8:]))
        return out

    def wait_results(self, n, timeout=10):
        """Waits until n requests have ended."""
        deadline = time.monotonic() + timeout
        while True:
            got = self.results()
            if len(got) >= n:
                return got
            if not self.proc.alive() or time.monotonic() > deadline:
                raise TimeoutError("load: %d of %d requests ended; %s" % (len(got), n, self.proc.log()[-300:]))
            time.sleep(0.02)


def failures(results, statuses=(200,)):
    return [r for r in results if r.result != "ok" or r.status not in statuses]


def describe(results, t0=None):
    """A few results in words, times relative to t0."""
    t0 = t0 if t0 is not None else (results[0].t0 if results else 0)
    return "; ".join("%s flow %d port %d at %+.3f s: %s %d (%.0f ms)" % (
        r.kind, r.flow, r.port, r.t0 - t0, r.result, r.status, (r.t1 - r.t0) * 1000) for r in results[:5])


__all__ = ["Client", "Load", "Response", "Result", "failures", "describe"]
