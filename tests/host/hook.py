"""A webhook: prints what it is sent, a line of JSON each. Runs on a host, until its input ends."""

import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer


class Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        sys.stdout.write(f"{body.decode().strip()}\n")
        sys.stdout.flush()

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    server = HTTPServer(("", int(sys.argv[1])), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write('{"ready": true}\n')
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
