"""What is done about a call to the outside that failed: whether it is repeated, when, how often."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

from loguru import logger
from msgspec import Struct
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
)
from tenacity.wait import wait_exponential_jitter

from acekeeper.errors import AcekeeperError, Failure, OutsideFailed

T = TypeVar("T")

# An answer is one, whatever it says: only what got none is asked again.
UNANSWERED = frozenset({Failure.TIMEOUT, Failure.UNREACHABLE, Failure.BROKEN})
_LEAST = 0.1  # for a last attempt; to some of those who get it, 0 means no limit


class Retries(Struct, frozen=True):
    """MAX_RETRIES and RETRY_BACKOFF_S. `failed` is told of every attempt that failed: whom it
    called, and how."""

    most: int
    backoff: float
    failed: Callable[[str, Failure], None]

    async def __call__(
        self,
        source: str,
        attempt: Callable[[float], Awaitable[T]],
        within: float = math.inf,
        again: frozenset[Failure] = UNANSWERED,
    ) -> T:
        """What `attempt` returns, or its last error. It gets the seconds that are left of `within`;
        no attempt begins after them. Only for what does no harm when it happens twice."""
        clock = asyncio.get_running_loop().time
        due = clock() + within

        async def counted() -> T:
            try:
                return await attempt(max(_LEAST, due - clock()))
            except AcekeeperError as error:
                self.failed(source, failure_of(error))
                raise

        try:  # for one that succeeds, what repeats it would cost a third of the call
            return await counted()
        except OutsideFailed as error:
            first = [error]

        async def repeated() -> T:
            if first:
                raise first.pop()
            return await counted()

        def say(state: RetryCallState) -> None:
            logger.info(
                "call_repeated",
                source=source,
                attempt=state.attempt_number,
                pause=round(state.upcoming_sleep, 3),
                why=str(state.outcome.exception()) if state.outcome else "",
            )

        attempts = AsyncRetrying(
            retry=retry_if_exception(lambda e: isinstance(e, OutsideFailed) and e.failure in again),
            stop=stop_after_attempt(self.most + 1) | stop_before_delay(due - clock()),
            wait=pauses(self.backoff),
            before_sleep=say,
            reraise=True,
        )
        result: T = await attempts(repeated)
        return result


def pauses(first: float, longest: float = math.inf) -> wait_exponential_jitter:
    """Each doubles, and to each comes by chance up to as much as the first: those who failed
    together do not come again together."""
    return wait_exponential_jitter(multiplier=first, max=longest, jitter=first)


def failure_of(error: AcekeeperError) -> Failure:
    return error.failure if isinstance(error, OutsideFailed) else Failure.ERROR
