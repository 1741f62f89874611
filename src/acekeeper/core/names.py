"""An engine's identity, and every name and port that follows from it."""

import re
from typing import NamedTuple, Self

from msgspec import Struct

HERE = "127.0.0.1"  # where we reach our own engines, wherever players do
EVERYWHERE = "0.0.0.0"  # every address of this host
_UNIT = re.compile(r"engine@([1-9][0-9]{0,4})\.service")
_CONTAINER = re.compile(r"engine-([1-9][0-9]{0,4})")


def bracketed(address: str) -> str:
    """As it stands in a URL."""
    return f"[{address}]" if ":" in address else address


class Ports(NamedTuple):
    http: int
    https: int
    p2p: int
    api: int


class PortPlan(NamedTuple):
    """Slot n of the HTTP range owns the n-th port of every other range."""

    first: int
    last: int
    https_base: int
    p2p_base: int
    api_base: int

    def ports(self, http: int) -> Ports:
        n = http - self.first
        return Ports(http, self.https_base + n, self.p2p_base + n, self.api_base + n)

    def __contains__(self, http: object) -> bool:
        return isinstance(http, int) and self.first <= http <= self.last


class Slot(NamedTuple):
    """Where an engine lives: the host, and its HTTP port there."""

    host: str
    port: int

    @classmethod
    def from_unit(cls, unit: str) -> Self | None:
        match = _UNIT.fullmatch(unit)
        return cls(HERE, int(match[1])) if match else None

    @classmethod
    def from_container_name(cls, name: str) -> Self | None:
        match = _CONTAINER.fullmatch(name)
        return cls(HERE, int(match[1])) if match else None

    @property
    def unit(self) -> str:
        return f"engine@{self.port}.service"

    @property
    def container_name(self) -> str:
        return f"engine-{self.port}"

    @property
    def environment_file(self) -> str:
        return f"{self.port}.env"

    @property
    def container_id_file(self) -> str:
        """Where Podman writes it, as a quadlet's unit tells it to."""
        return f"engine@{self.port}.cid"


class OfOneStart(Struct, frozen=True):
    """What is about an engine names its start too: at its port there may be another one by now."""

    slot: Slot
    incarnation: str

    @property
    def ref(self) -> tuple[Slot, str]:
        return self.slot, self.incarnation
