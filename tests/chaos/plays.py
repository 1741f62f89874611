"""What players of the gateway were given, and why they got nothing.

Made from docs/gateway.md alone: nothing of acekeeper's own rules is in it.
"""

import re
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

import aiohttp

from ..contract.picture import PlaybackFailed
from ..contract.player import Player

_SESSION: Final = re.compile(r"/ace/[rm]/(\w+)/(\w+?)(?:\.m3u8)?(?:\?.*)?")
_SAID: Final = (  # with any status before them
    "no engine is free",
    "the engines that were asked did not answer",
    "the engines that were asked have no list",
    "the engine sends no picture",
    "the engine knows its session no more",
    "the engine: ",
    "the session has a reader already",
    "failed to load content",  # an engine's own words
)


class Plays:
    def __init__(self) -> None:
        self.wrong: list[str] = []  # what no player may be told
        self._given: dict[str, str] = {}  # sessions, and the URL that led there
        self._away: list[tuple[float, float]] = []  # when nobody listened

    def __len__(self) -> int:
        return len(self._given)

    @contextmanager
    def away(self) -> Iterator[None]:
        """The service is killed or stopped within, and comes back."""
        began = time.monotonic()
        self._away.append((began, float("inf")))
        try:
            yield
        finally:
            self._away[-1] = began, time.monotonic()

    def given(self, player: Player) -> None:
        """Whatever answer reached the player was on disk before."""
        urls = [*player.asked, player.session.get("playback_url", "")]
        for url in urls:
            named = _SESSION.fullmatch(url.removeprefix(player.gateway))
            if named is not None and url.startswith(player.gateway):
                self._given[f"{named[1]}|{named[2]}"] = url

    def missing(self, listed: Collection[str]) -> list[str]:
        return [
            f"{url} was given, and {session} is not listed"
            for session, url in self._given.items()
            if session not in listed
        ]

    def failed(self, player: Player, error: Exception, since: float) -> str:
        """Why it may have got nothing; what may not be is written down."""
        why = self._why(player, error, since)
        if not why:
            self.wrong.append(f"{error!r} after {time.monotonic() - since:.1f} s: {player.asked}")
        return why or "wrong"

    def _why(self, player: Player, error: Exception, since: float) -> str:
        last = player.asked[-1]
        if not last.startswith(player.gateway):
            return "by its engine"  # which hangs, was killed, or lost the session
        if isinstance(error, PlaybackFailed):
            words = str(error)
            said = re.sub(r"^[1-5]\d\d ", "", words)
            return next((known for known in _SAID if said.startswith(known)), "")
        if any(since <= ended for _, ended in self._away):
            return "by a restart"
        if isinstance(error, TimeoutError) and player.as_json:
            return "late"  # it waits a second longer than the gateway, which a slow host may eat up
        is_cut = isinstance(error, aiohttp.ServerDisconnectedError)
        return "no picture" if is_cut and player.as_json and "/ace/r/" in last else ""
