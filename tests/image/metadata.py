"""A cloud's metadata service (EC2, IMDSv2 only) for the machine under test: `python3 -m tests.image.metadata ADDRESS FILE`.
User data needs the session token that PUT gave; without it the answer is 401, as with IMDSv1 switched off."""
import http.server
import sys

TOKEN = "AQAEALn8-a-token=="


class Service(http.server.BaseHTTPRequestHandler):
    text = b""

    def answer(self, code, body=b""):
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        good = self.path == "/latest/api/token" and self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "").isdigit()
        self.answer(200 if good else 400, TOKEN.encode() if good else b"")

    def do_GET(self):
        if self.headers.get("X-aws-ec2-metadata-token") != TOKEN:
            self.answer(401)
        elif self.path == "/latest/user-data":
            self.answer(200, self.text)
        else:
            self.answer(404)


if __name__ == "__main__":
    with open(sys.argv[2], "rb") as f:
        Service.text = f.read()
    http.server.ThreadingHTTPServer((sys.argv[1], 80), Service).serve_forever()
