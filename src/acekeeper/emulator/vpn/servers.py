"""What Gluetun's control server and health server answer."""

import socket

from ..fault_port import FaultPort
from ..faults import Faults
from ..waiting import pause
from ..wire import Answer, Request, as_json, redirect, text
from .kinds import KINDS
from .tunnel import Tunnel

_OLDER, _NEWER = "/v1/openvpn/portforwarded", "/v1/portforward"
_BLANKS = " " * (1 << 20)


class Control:
    """`key` is empty if none is asked for."""

    def __init__(self, tunnel: Tunnel, faults: Faults, key: str) -> None:
        self._tunnel = tunnel
        self._faults = faults
        self._key = key

    def serve(self, client: socket.socket, request: Request) -> None:
        if not _is_free(client, self._faults, "hang", "hang_control"):
            return
        client.sendall(self._answer(request).encoded())

    def _answer(self, request: Request) -> Answer:
        if self._faults.of("unauthorized") or request.headers.get("x-api-key", "") != self._key:
            return text(401, "Unauthorized")
        if request.method != "GET":
            return text(404, "404 page not found")
        answer = self._called(request.path)
        body = answer.body
        if self._faults.of("bad_json"):
            body = body[: len(body) // 2]
        if self._faults.of("huge"):
            body += _BLANKS
        return answer._replace(body=body)

    def _called(self, path: str) -> Answer:
        is_older = self._faults.of("older") is not None
        is_moved = self._faults.of("moved") is not None
        match path:
            case "/v1/publicip/ip":
                return as_json(self._address())
            case "/v1/vpn/status":
                return as_json({"status": "running"})
            case "/v1/portforward" if is_moved:
                return redirect(_OLDER, 301)
            case "/v1/openvpn/portforwarded" if not (is_older or is_moved):
                return redirect(_NEWER, 301)
            case "/v1/portforward" if not is_older:
                return as_json(self._forwarded())
            case "/v1/openvpn/portforwarded":
                return as_json(self._forwarded())
            case _:
                return text(404, "404 page not found")

    def _address(self) -> dict[str, str]:
        if not self._tunnel.is_up or self._faults.of("no_public_ip"):
            return {"public_ip": ""}
        return {
            "public_ip": self._tunnel.flags.public_ip,
            "region": "Somewhere",
            "country": self._tunnel.flags.country,
            "city": "Somewhere",
            "location": "47.366700,8.550000",
            "organization": "AS64496 Example",
            "postal_code": "8000",
            "timezone": "Europe/Zurich",
        }

    def _forwarded(self) -> dict[str, object]:
        """The list only where there is more than one, as Gluetun has it."""
        ports = self._tunnel.ports
        return {"ports": ports} if len(ports) > 1 else {"port": ports[0] if ports else 0}


class Health:
    """`/` is Gluetun's; all else is the admin port's, which never hangs."""

    def __init__(self, tunnel: Tunnel, faults: Faults) -> None:
        self._tunnel = tunnel
        self._faults = faults
        self._admin = FaultPort(KINDS, faults)

    def serve(self, client: socket.socket, request: Request) -> None:
        if request.path != "/":
            self._admin.serve(client, request)
        elif _is_free(client, self._faults, "hang"):
            client.sendall(self._answer().encoded())

    def _answer(self) -> Answer:
        if self._tunnel.is_up and not self._faults.of("unhealthy"):
            return text(200, "")
        return text(500, "startup check: all check tries failed: lookup: i/o timeout")


def _is_free(client: socket.socket, faults: Faults, *kinds: str) -> bool:
    """When none of these faults is in force (any more); False when the client gave up first."""
    for kind in kinds:
        while (fault := faults.of(kind)) is not None:
            if not pause(client, fault.remaining, fault.lifted):
                return False
    return True
