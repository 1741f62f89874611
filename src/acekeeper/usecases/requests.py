"""A client asks for an engine, and a player for a content. Cancelled: who asked is gone."""

from collections.abc import Mapping

from acekeeper.core.facts import AnswerLost, ProvisionRequested
from acekeeper.core.gateway.contents import of_stream
from acekeeper.core.gateway.facts import PlayerLeft, PlayRequested
from acekeeper.core.gateway.model import Elsewhere, Wanted
from acekeeper.core.model import Now, Stream
from acekeeper.core.rules import Rules
from acekeeper.usecases.gateway import Failed, Outcome
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


async def play(loop: Loop, request: str, wanted: Wanted, received: Now, within: float) -> Outcome:
    """Its session, here or at another host, or why it gets none."""
    return await _played(loop, PlayRequested(request, wanted, received, within))


async def play_here(loop: Loop, asked: PlayRequested) -> Stream | Failed:
    """As `play`, for what is asked of no other host: it takes the place of another session, or is
    for a player of another host."""
    outcome = await _played(loop, asked)
    if isinstance(outcome, Elsewhere):
        raise AssertionError("it is asked of no other host")  # noqa: TRY004 (a defect)
    return outcome


async def _played(loop: Loop, asked: PlayRequested) -> Outcome:
    outcome = loop.gateway.outcomes.wait(asked.request)
    loop.tell(asked)
    try:
        return await outcome
    except BaseException:
        is_there = outcome.done() and not outcome.cancelled()
        loop.tell(left(asked.request, outcome.result() if is_there else None))
        raise


def left(request: str, outcome: Outcome | None) -> PlayerLeft:
    """Its player did not get what it was to get."""
    session = outcome.id if isinstance(outcome, Stream) else ""
    host = outcome.host if isinstance(outcome, Elsewhere) else ""
    return PlayerLeft(request, session, host)


def longest_wait(rules: Rules, *, for_json: bool) -> float:
    if for_json:
        return rules.gateway_wait
    return max(rules.gateway_wait, rules.gateway_wait_redirected)


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
