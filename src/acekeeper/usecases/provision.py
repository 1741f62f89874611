"""A client asks for an engine."""

from collections.abc import Mapping

from acekeeper.core.facts import AnswerDelivered, AnswerLost, ProvisionRequested
from acekeeper.usecases.loop import Loop, Provision


async def provision(
    loop: Loop, request: str, port: int | None, labels: Mapping[str, str]
) -> Provision:
    """An engine that is promised to this request, or why not. Cancelled: the caller is gone."""
    outcome = loop.outcomes.wait(request)
    loop.tell(ProvisionRequested(request, port, labels))
    try:
        return await outcome
    except BaseException:
        lost(loop, request)
        raise


def delivered(loop: Loop, request: str) -> None:
    loop.tell(AnswerDelivered(request))


def lost(loop: Loop, request: str) -> None:
    loop.tell(AnswerLost(request))
