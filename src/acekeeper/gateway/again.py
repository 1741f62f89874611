"""Redirects to the same URL, where the player waits on: some players give up a request that is not
answered for some seconds, and a restart of the service ends every request."""

import asyncio
import math
from collections.abc import Callable
from urllib.parse import parse_qsl, urlencode

from acekeeper.core.model import Now
from acekeeper.gateway.door import Answer, Call, Handler, redirect

# Our parameters of such a URL: when the player asked first (wall time, as the service may restart),
# and how often it was redirected since.
SINCE = "since"
HOP = "hop"
HOPS_MOST = 3  # some follow four redirects in all


def waits_since(call: Call, now: Now, most: float) -> Now:
    """When the player asked first. What its URL says of that counts for the last `most` seconds."""
    came = now.after(-call.waited)
    try:
        said = float(call.query.get(SINCE, "nan"))
    except ValueError:
        return came
    if math.isnan(said):
        return came
    return now.of_wall(min(came.wall, max(said, now.wall - most)))


def hop(call: Call) -> int:
    said = call.query.get(HOP, "0")
    return int(said) if said in ("0", "1", "2") else HOPS_MOST


def again(call: Call, since: Now, hops: int) -> Answer:
    others = parse_qsl(call.raw_query, keep_blank_values=True)
    kept = [(name, value) for name, value in others if name not in (SINCE, HOP)]
    kept.append((SINCE, f"{since.wall:.3f}"))
    if hops:
        kept.append((HOP, str(hops)))
    return redirect(call, f"{call.path}?{urlencode(kept)}")


class Leaving:
    """A player that waits when the service stops is redirected to the same URL, and waits on
    there."""

    def __init__(self) -> None:
        self.is_begun = False
        self._stays: set[asyncio.Timeout] = set()

    def begin(self) -> None:
        self.is_begun = True
        while self._stays:
            self._stays.pop().reschedule(0)

    def sends_on(
        self, handler: Handler, clock: Callable[[], Now], most: float, sent: Callable[[], None]
    ) -> Handler:
        """`most` (seconds) is how long a player waits there."""

        async def handle(call: Call) -> Answer | None:
            since = waits_since(call, clock(), most)
            stay = asyncio.timeout(0 if self.is_begun else None)
            try:
                async with stay:
                    self._stays.add(stay)
                    return await handler(call)
            except TimeoutError:
                if not stay.expired():
                    raise
            finally:
                self._stays.discard(stay)
            sent()
            return again(call, since, hop(call))

        return handle
