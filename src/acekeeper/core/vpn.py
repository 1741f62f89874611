"""VPNs, through which engines reach the world: each a unit of its own, whose network engines join.

Moments are monotonic seconds, but for `since`.
"""

from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

DEAD_AFTER = 10.0  # seconds of sending without an answer


class Tunnel(StrEnum):
    """Whether engines behind a VPN reach the world. Only CONNECTED says that they do."""

    STOPPED = "stopped"  # its unit does not run
    CONNECTING = "connecting"  # this start of it has not had a tunnel yet
    CONNECTED = "connected"
    LOST = "lost"  # it says that it has none
    DEAD = "dead"  # it says that it has one, and nothing comes back through it
    SILENT = "silent"  # it does not answer, and nothing comes through


class Behind(Struct, frozen=True, array_like=True):
    """The VPN that an engine is behind. `start`: of the VPN's unit. `forwarded`: the engine's
    peer-to-peer port, if it is the one that the VPN's provider forwards; else 0."""

    vpn: str
    start: str
    forwarded: int = 0


class Traffic(Struct, frozen=True):
    """Bytes through the tunnel so far."""

    received: int
    sent: int
    at: float
    unanswered: float | None = None  # since then bytes were sent and none came
    is_dead: bool = False  # for so long that the tunnel carries nothing
    is_receiving: bool = False  # more came since the look before

    def after(self, received: int, sent: int, at: float) -> "Traffic":
        if at <= self.at:
            return self
        if received < self.received or sent < self.sent:
            return Traffic(received, sent, at)  # the tunnel was made anew, and counts anew
        if received > self.received:
            return Traffic(received, sent, at, is_receiving=True)
        if sent == self.sent:
            return replace(self, at=at, is_receiving=False)
        # More than one look, however far they lie apart: an answer may be on its way.
        is_dead = self.unanswered is not None and at - self.unanswered >= DEAD_AFTER
        since = self.at if self.unanswered is None else self.unanswered
        return Traffic(received, sent, at, since, self.is_dead or is_dead)


class Vpn(Struct, frozen=True, kw_only=True):
    """One VPN, as far as it is known. `incarnation` names the start of its unit, and is empty while
    that does not run."""

    name: str
    incarnation: str = ""
    since: float = 0.0  # wall time: the tunnel is as it is
    tunnel: Tunnel = Tunnel.STOPPED
    is_healthy: bool = False  # it says that it has a tunnel
    was_asked: bool = False  # it answered, in this start
    silent: str = ""  # why it could not be asked, the last time
    had_tunnel: bool = False  # in this start
    public_ip: str = ""
    country: str = ""
    port: int = 0  # forwarded by its provider, as it says now
    port_since: float = 0.0
    trusted_port: int = 0  # the last one that stayed for a while; 0 until there is one
    had_port: bool = False  # ever
    traffic: Traffic | None = None

    @property
    def is_unasked(self) -> bool:
        """Nothing was heard from this start, nor was it silent: it may have run for days."""
        return self.tunnel is Tunnel.CONNECTING and not (self.was_asked or self.silent)

    @property
    def is_connected(self) -> bool:
        return self.tunnel is Tunnel.CONNECTED
