"""A program that listens where something of ours is expected, and is no web server."""

from contextlib import AbstractContextManager
from socketserver import StreamRequestHandler, ThreadingTCPServer

from .serving import serving


class _Handler(StreamRequestHandler):
    def handle(self) -> None:
        self.rfile.readline()
        self.wfile.write(b"220 mail.example.org ESMTP\r\n")


def stranger() -> AbstractContextManager[str]:
    return serving(ThreadingTCPServer(("127.0.0.1", 0), _Handler))
