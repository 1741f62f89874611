"""The two servers: the control server, which asks for a key, and the one that tells health."""

import json
import threading
import tomllib
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from .tunnel import Tunnel

ROLES = Path("/gluetun/auth/config.toml")
ROUTES = ("/v1/publicip/ip", "/v1/vpn/status", "/v1/portforward")

Answered = tuple[HTTPStatus, bytes]
Answer = Callable[[str, str], Answered]  # to a route and a key


class Control:
    """Nobody may ask for a route of no role; a role of a route that is not known is an error."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel
        roles = tomllib.loads(ROLES.read_text())["roles"] if ROLES.exists() else []
        self._keys: dict[str, set[str]] = {}  # by route
        for role in roles:
            for route in role["routes"]:
                if route not in {
                    f"{method} {path}" for path in ROUTES for method in ("GET", "PUT")
                }:
                    raise ValueError(f"{ROLES}: {route} is no route")
                key = role["apikey"] if role["auth"] == "apikey" else ""
                self._keys.setdefault(route, set()).add(key)

    def answer(self, route: str, key: str) -> Answered:
        if self._keys.get(route, set()).isdisjoint({key, ""}):
            return HTTPStatus.UNAUTHORIZED, b"Unauthorized\n"
        found = self._found(route.partition(" ")[2])
        return HTTPStatus.OK, f"{json.dumps(found)}\n".encode()

    def _found(self, path: str) -> dict[str, Any]:
        if path == "/v1/publicip/ip":
            known = {"country": "Testland"} if self._tunnel.public_ip else {}
            return {"public_ip": self._tunnel.public_ip, **known}
        if path == "/v1/portforward":
            return {"port": self._tunnel.port}
        return {"status": "running" if self._tunnel.wanted.is_set() else "stopped"}


def health(tunnel: Tunnel) -> Answered:
    if tunnel.is_healthy:
        return HTTPStatus.OK, b""
    return HTTPStatus.INTERNAL_SERVER_ERROR, b"no answer through the tunnel"


def serve(address: str, answer: Answer) -> None:
    class Asked(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answer(f"{self.command} {self.path}", self.headers["X-API-Key"] or "")
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; charset=utf-8")  # JSON too
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_PUT = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    host, _, port = address.rpartition(":")
    server = ThreadingHTTPServer((host, int(port)), Asked)
    threading.Thread(target=server.serve_forever, daemon=True).start()
