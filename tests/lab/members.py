"""Endpoints that say who they are: each answers with its address, is slow, sick or broken when the test says so, and counts."""
import socket
import struct
import threading


class Member:
    """held: requests wait for `go`, counted in `waiting`.  health: status of /healthz.  status: of everything else; 0 = closes
    without an answer.  `count` is of requests, `checks` of health checks, `conns` of connections."""

    def __init__(self, address, port):
        self.address, self.count, self.checks, self.conns, self.waiting = address, 0, 0, 0, 0
        self.held, self.go, self.health, self.status, self.lock = False, threading.Event(), 200, 200, threading.Lock()
        self.listener = socket.create_server((address, port), backlog=128)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            s, _ = self.listener.accept()
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        data = b""
        with self.lock:
            self.conns += 1
        with s:
            try:
                while True:
                    while b"\r\n\r\n" not in data:
                        more = s.recv(65536)
                        if not more:
                            return
                        data += more
                    head, data = data.split(b"\r\n\r\n", 1)
                    if not self.answer(s, head.split(b" ", 2)[1]):
                        return
            except OSError:
                return

    def answer(self, s, path):
        check = path.startswith(b"/healthz")
        with self.lock:
            self.checks += check
            self.count += not check
        status = self.health if check else self.status
        if self.held and not check:
            with self.lock:
                self.waiting += 1
            self.go.wait()
        if not status:
            return False
        s.sendall(("HTTP/1.1 %d Said\r\nContent-Length: %d\r\n\r\n%s" % (status, len(self.address), self.address)).encode())
        return True


class GrpcHealth:
    """grpc.health.v1.Health/Check as frames: `serving` 1 is SERVING, 2 NOT_SERVING."""

    def __init__(self, address, port):
        self.serving, self.checks = 1, 0
        self.listener = socket.create_server((address, port), backlog=64)
        threading.Thread(target=self.accept, daemon=True).start()

    @staticmethod
    def frame(kind, flags, stream, payload):
        return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload

    def accept(self):
        while True:
            s, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        data = b""
        with s:
            try:
                while b"app.v1.Shop" not in data:  # the message of the request, its last frame
                    more = s.recv(65536)
                    if not more:
                        return
                    data += more
                self.checks += 1
                s.sendall(self.frame(4, 0, 0, b"") + self.frame(1, 4, 1, b"\x88") + self.frame(0, 0, 1, b"\0\0\0\0\2\x08" + bytes([self.serving])) +
                          self.frame(1, 5, 1, b"\0\x0bgrpc-status\x010"))
                while s.recv(65536):
                    pass
            except OSError:
                pass
