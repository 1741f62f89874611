"""What a VPN says of itself: the control server and the health server of Gluetun.

Its status `running` only says that its loop runs; a public address says that there is a tunnel.
"""

import ipaddress
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from acekeeper.adapters.calls import Reply, get, new_session, shown
from acekeeper.core.facts import VpnAnswered
from acekeeper.core.names import HERE, Slot
from acekeeper.errors import Failure, NoAnswer

T = TypeVar("T")

_WITHIN = 2.0
_ADDRESS = "/v1/publicip/ip"
_FORWARDED, _OLDER = "/v1/portforward", "/v1/openvpn/portforwarded"
_NOT_THERE = frozenset({301, 404})
_HEALTHY, _UNHEALTHY = 200, 500
_CONTROL, _HEALTH = "control server", "health server"
_HINTS = {
    _CONTROL: "See the log of the VPN, and whether VPN_CONTROL_BASE leads to it",
    _HEALTH: "See the log of the VPN, and whether VPN_HEALTH_BASE leads to it",
}
_KEY_HINT = "Set VPN_API_KEY to a key whose role in the VPN's auth/config.toml has this route"

Port = Annotated[int, Meta(ge=0, le=65535)]


class _Address(Struct):
    public_ip: Annotated[str, Meta(max_length=64)]
    country: Annotated[str, Meta(max_length=64)] = ""


class _Forwarded(Struct):
    """`ports` where there are several: the first counts. Without either it cannot tell."""

    port: Port | None = None
    ports: list[Port] | None = None

    @property
    def first(self) -> int | None:
        return next(iter(self.ports), 0) if self.ports is not None else self.port


class Gluetun:
    """To be made on a running event loop. The n-th of `names` has the n-th port from each base."""

    def __init__(
        self, names: tuple[str, ...], control_base: int, health_base: int, api_key: str
    ) -> None:
        """`api_key`: empty if none is asked for."""
        self._slots = {
            name: (Slot(HERE, control_base + n), Slot(HERE, health_base + n))
            for n, name in enumerate(names)
        }
        self._headers = {"X-API-Key": api_key} if api_key else {}
        self._session = new_session(most=0, to_one=0)

    async def close(self) -> None:
        await self._session.close()

    async def ask(self, vpn: str, incarnation: str) -> VpnAnswered:
        """Raises NoAnswer."""
        control, health = self._slots[vpn]
        is_healthy = await self._is_healthy(health)
        public_ip, country = await self._address(control)
        return VpnAnswered(
            vpn,
            incarnation,
            is_healthy=is_healthy and bool(public_ip),
            public_ip=public_ip,
            country=country,
            port=await self._port(control),
        )

    async def _is_healthy(self, health: Slot) -> bool:
        reply = await self._get(_HEALTH, health, "/")
        if reply.status not in (_HEALTHY, _UNHEALTHY):
            raise _no_answer(_HEALTH, health, f"answered {reply.status}")
        return reply.status == _HEALTHY

    async def _address(self, control: Slot) -> tuple[str, str]:
        """Both are empty while there is no tunnel."""
        reply = await self._get(_CONTROL, control, _ADDRESS)
        said = _decoded(reply, _Address, control, _ADDRESS)
        try:
            address = str(ipaddress.ip_address(said.public_ip)) if said.public_ip else ""
        except ValueError:
            why = f"answered public_ip {shown(said.public_ip)}"
            raise _no_answer(_CONTROL, control, why) from None
        if not said.country.isprintable():
            raise _no_answer(_CONTROL, control, f"answered country {shown(said.country)}")
        return address, said.country

    async def _port(self, control: Slot) -> int | None:
        """None: it cannot tell, as this version knows neither route."""
        for path in (_FORWARDED, _OLDER):
            reply = await self._get(_CONTROL, control, path)
            if reply.status not in _NOT_THERE:
                return _decoded(reply, _Forwarded, control, path).first
        return None

    async def _get(self, server: str, slot: Slot, path: str) -> Reply:
        headers = self._headers if server == _CONTROL else None
        try:
            return await get(self._session, slot, path, "", _WITHIN, headers)
        except NoAnswer as error:
            raise _no_answer(server, slot, error.message, error.failure) from error


def _decoded(reply: Reply, kind: type[T], slot: Slot, path: str) -> T:
    if reply.status == 401:
        raise NoAnswer(f"its {_CONTROL} answered 401 to GET {path}", _KEY_HINT)
    if reply.status != 200:
        raise _no_answer(_CONTROL, slot, f"answered {reply.status} to GET {path}")
    try:
        return msgspec.json.decode(reply.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        why = f"answered what is none to GET {path} ({shown(str(error))})"
        raise _no_answer(_CONTROL, slot, why) from None


def _no_answer(server: str, slot: Slot, why: str, failure: Failure = Failure.ERROR) -> NoAnswer:
    return NoAnswer(f"its {server} ({slot.host}:{slot.port}): {why}", _HINTS[server], failure)
