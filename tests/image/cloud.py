"""What a cloud gives a machine: an address by DHCP (RFC 2131) and user data by a metadata service (EC2's IMDSv2, GCE's).

    cloud.py IFACE USER_DATA ec2|gce     runs in the site's namespace, until it is killed; prints what it was asked
    IFACE "-": no DHCP, the machine has a link-local address only"""
import http.server
import socket
import struct
import sys
import threading

SERVER, CLIENT = "10.0.0.1", "10.0.0.5"
TOKEN = "QUxXQVlTIFRISVMgT05F"
DISCOVER, OFFER, REQUEST, ACK = 1, 2, 3, 5


def options(packet):
    out, at = {}, 240
    while at < len(packet) and packet[at] != 255:
        if packet[at] == 0:
            at += 1
            continue
        n = packet[at + 1]
        out[packet[at]] = packet[at + 2:at + 2 + n]
        at += 2 + n
    return out


def dhcp(iface):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, iface.encode())
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    s.bind(("0.0.0.0", 67))
    mine = socket.inet_aton(SERVER)
    while True:
        packet, _ = s.recvfrom(2048)
        kind = options(packet).get(53, b"\0")[0] if len(packet) > 240 else 0
        answer = {DISCOVER: OFFER, REQUEST: ACK}.get(kind)
        if answer is None:
            continue
        head = struct.pack("!BBBB4sHH4s4s4s4s", 2, 1, 6, 0, packet[4:8], 0, 0x8000, b"\0" * 4, socket.inet_aton(CLIENT), mine, b"\0" * 4) + packet[28:44] + b"\0" * 192
        body = b"\x63\x82\x53\x63" + bytes([53, 1, answer, 54, 4]) + mine + bytes([51, 4]) + struct.pack("!I", 3600) + bytes([1, 4, 255, 255, 255, 0, 3, 4]) + mine + b"\xff"
        s.sendto(head + body, ("255.255.255.255", 68))
        print("dhcp %d" % kind, flush=True)


class Metadata(http.server.BaseHTTPRequestHandler):
    data, kind = b"", "ec2"

    def answer(self, status, body=b""):
        print("%s %s %d" % (self.command, self.path, status), flush=True)
        self.send_response(status)
        if self.kind == "gce":
            self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        good = self.kind == "ec2" and self.path == "/latest/api/token" and self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        self.answer(200, TOKEN.encode()) if good else self.answer(404)

    def do_GET(self):
        if self.kind == "ec2" and self.path == "/latest/user-data":
            good = self.headers.get("X-aws-ec2-metadata-token") == TOKEN
            return self.answer(200, self.data) if good else self.answer(401)
        if self.kind == "gce" and self.path == "/computeMetadata/v1/instance/attributes/user-data" and self.headers.get("Metadata-Flavor") == "Google":
            return self.answer(200, self.data)
        return self.answer(404)

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    with open(sys.argv[2], "rb") as f:
        Metadata.data = f.read()
    Metadata.kind = sys.argv[3]
    if sys.argv[1] != "-":
        threading.Thread(target=dhcp, args=(sys.argv[1],), daemon=True).start()
    http.server.ThreadingHTTPServer(("169.254.169.254", 80), Metadata).serve_forever()
