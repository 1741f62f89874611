"""What the gateway's handlers work with."""

from msgspec import Struct

from acekeeper.core.model import ByGateway, Stream
from acekeeper.core.names import Slot
from acekeeper.gateway.again import Leaving
from acekeeper.metrics import Metrics
from acekeeper.usecases.loop import Loop


class Context(Struct, frozen=True, kw_only=True):
    loop: Loop
    metrics: Metrics
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
