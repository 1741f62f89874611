"""A client asks for an engine, and a player for a content. Cancelled: who asked is gone."""

from collections.abc import Mapping

from acekeeper.core.facts import AnswerLost, ProvisionRequested
from acekeeper.core.gateway.contents import of_stream
from acekeeper.core.gateway.facts import PlayerLeft, PlayRequested
from acekeeper.core.gateway.model import Wanted
from acekeeper.core.model import Now, Stream
from acekeeper.usecases.gateway import Failed
from acekeeper.usecases.loop import Loop, Provision


async def provision(
    loop: Loop, request: str, port: int | None, labels: Mapping[str, str]
) -> Provision:
    """An engine that is promised to this request, or why not."""
    outcome = loop.outcomes.wait(request)
    loop.tell(ProvisionRequested(request, port, labels))
    try:
        return await outcome
    except BaseException:
        loop.tell(AnswerLost(request))
        raise


async def play(
    loop: Loop,
    request: str,
    wanted: Wanted,
    received: Now,
    within: float,
    instead_of: str = "",
) -> Stream | Failed:
    """Its session, or why it gets none."""
    outcome = loop.gateway.outcomes.wait(request)
    loop.tell(PlayRequested(request, wanted, received, within, instead_of))
    try:
        return await outcome
    except BaseException:
        got = outcome.result() if outcome.done() and not outcome.cancelled() else None
        loop.tell(PlayerLeft(request, got.id if isinstance(got, Stream) else ""))
        raise


def wanted_again(stream: Stream, arrival: str) -> Wanted:
    """What the player of a session asked for; it now reaches us at `arrival`."""
    gateway = stream.gateway
    if gateway is None:
        raise AssertionError("no player of the gateway asked for it")
    return Wanted(
        content=of_stream(stream),
        is_hls=gateway.is_hls,
        as_json=gateway.as_json,
        player=gateway.player,
        arrival=arrival,
        query=gateway.query,
    )
