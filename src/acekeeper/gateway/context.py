"""What the gateway's handlers work with."""

from typing import Literal, Protocol

from msgspec import Struct

from acekeeper.core.model import ByGateway, Stream
from acekeeper.core.names import Slot
from acekeeper.gateway.again import Leaving
from acekeeper.usecases.loop import Loop

Ending = Literal[
    "served",
    "refused",
    "silent",
    "no_engine",
    "left",
    "no_picture",
    "has_reader",
    "not_found",
    "restarted",
]


class Seen(Protocol):
    """What is counted and measured. `key`: of the content."""

    def gateway_answered(self, answer: Ending, key: str = "") -> None:
        """How a request for a session, or for its picture, ended."""

    def gateway_pictured(self, key: str, seconds: float) -> None:
        """A player was sent on to the picture, so long after it asked for it."""

    def gateway_left_picture(self, key: str, seconds: float) -> None:
        """A player hung up after it had waited so long for the picture."""


class Context(Struct, frozen=True, kw_only=True):
    loop: Loop
    seen: Seen
    leaving: Leaving
    may_name_urls: bool


def by_gateway(stream: Stream) -> ByGateway:
    if stream.gateway is None:
        raise AssertionError("players have no tokens of other streams")
    return stream.gateway


def slot_of(stream: Stream) -> Slot:
    if stream.slot is None:
        raise AssertionError("sessions are opened on our own engines")
    return stream.slot
