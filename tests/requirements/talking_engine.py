"""Run as `talking_engine.py PORT DIRECTORY`: every call is answered with the file `answer`, and
`connections` gets a line for each connection."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT, DIRECTORY = int(sys.argv[1]), Path(sys.argv[2])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        with (DIRECTORY / "connections").open("a") as file:
            file.write("one\n")

    def do_GET(self) -> None:
        body = (DIRECTORY / "answer").read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
