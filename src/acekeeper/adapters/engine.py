"""The HTTP API of an engine. What counts is what its answer says: it sends 200 with errors too."""

import re
from collections.abc import Callable
from time import perf_counter
from typing import Any
from urllib.parse import SplitResult, urlsplit

from acekeeper.adapters.calls import get, new_session, shown
from acekeeper.adapters.retries import Retries
from acekeeper.core.model import Now, Sample
from acekeeper.core.names import Slot
from acekeeper.errors import Failure, NoAnswer

_STATUS_WITHIN = 5.0
_STAT_WITHIN = 3.0
_STOP_WITHIN = 5.0
_STOPS_WITHIN = 10.0  # all attempts at one
_CONNECTIONS = 100
_TO_ONE = 8
# An engine that hangs is not asked twice in a pass; one that is not there is told as dead.
_BROKEN = frozenset({Failure.BROKEN})
_SOURCE = "engine"  # in metrics
_STATUS = ("/server/api", "api_version=3&method=get_status")
_STAT_PATH = re.compile(r"/ace/stat/[\w./:~-]+", re.ASCII)
_COMMAND_PATH = re.compile(r"/ace/cmd/[\w./:~-]+", re.ASCII)
_QUERY = re.compile(r"[!-~]*")
_UNKNOWN_SESSION = "unknown playback session id"
_LARGEST = 2**63 - 1


class EngineClient:
    """To be made on a running event loop. `stats_within`: the seconds between two passes over the
    streams, for all attempts at one. `engines`: how many there may be; that all but one hang must
    not keep that one from being asked. `probed` is told how long every probe of an engine that is
    to answer took, and whether it did."""

    def __init__(
        self,
        clock: Callable[[], Now],
        retries: Retries,
        stats_within: float,
        engines: int = 1,
        probed: Callable[[float, bool], None] = lambda _seconds, _answered: None,
    ) -> None:
        self._clock = clock
        self._probed = probed
        self._retries = retries
        self._stats_within = max(_STAT_WITHIN, stats_within)
        self.session = new_session(max(_CONNECTIONS, _TO_ONE * engines), _TO_ONE)

    async def close(self) -> None:
        await self.session.close()

    async def status(self, slot: Slot, *, starting: bool = False) -> None:
        """Never repeated: failures are counted by who asks, who asks again by itself. Until an
        engine is ready its silence is no failure."""
        began = perf_counter()
        answered = False
        try:
            code, answer = await self.ask(slot, *_STATUS, _STATUS_WITHIN)
            if code != 200 or answer.get("result") is None:
                raise NoAnswer(f"answered {code}: {shown(answer.get('error'))}")
            answered = True
        except NoAnswer as error:
            if not starting:
                self._retries.failed(_SOURCE, error.failure)
            raise
        finally:
            if not starting:
                self._probed(perf_counter() - began, answered)

    async def stat(self, slot: Slot, stat_url: str) -> Sample | None:
        """Of `stat_url` only the path and the query are used; it comes from outside."""
        target = _stat_target(stat_url)
        return await self._retries(
            _SOURCE,
            lambda left: self._sample(slot, *target, min(_STAT_WITHIN, left)),
            self._stats_within,
            again=_BROKEN,
        )

    async def _sample(self, slot: Slot, path: str, query: str, within: float) -> Sample | None:
        _, answer = await self.ask(slot, path, query, within)
        error = answer.get("error")
        if error == _UNKNOWN_SESSION:
            return None
        response = answer.get("response")
        if error is not None or not isinstance(response, dict):
            raise NoAnswer(f"answered {shown(error)}")
        return Sample(
            at=self._clock(),
            status=_word(response, "status"),
            peers=_whole(response, "peers"),
            speed_down=_whole(response, "speed_down"),
            speed_up=_whole(response, "speed_up"),
            downloaded=_whole(response, "downloaded"),
            uploaded=_whole(response, "uploaded"),
        )

    async def stop(self, slot: Slot, command_url: str) -> None:
        """Ends a session; one the engine does not know is at its end already. Of `command_url`
        only the path is used; it comes from outside."""
        path = _session_url(command_url, _COMMAND_PATH).path

        async def attempt(left: float) -> None:
            _, answer = await self.ask(slot, path, "method=stop", min(_STOP_WITHIN, left))
            error = answer.get("error")
            if answer.get("response") != "ok" and error != _UNKNOWN_SESSION:
                raise NoAnswer(f"answered {shown(error)}")

        await self._retries(_SOURCE, attempt, _STOPS_WITHIN, again=_BROKEN)

    async def ask(
        self, slot: Slot, path: str, query: str, within: float
    ) -> tuple[int, dict[str, Any]]:
        """One call; the code and the JSON of the answer."""
        reply = await get(self.session, slot, path, query, within)
        return reply.status, reply.json()


def _stat_target(stat_url: str) -> tuple[str, str]:
    url = _session_url(stat_url, _STAT_PATH)
    if not _QUERY.fullmatch(url.query):
        raise NoAnswer(f"was not asked: {shown(stat_url)} is no URL of a session")
    return url.path, url.query


def _session_url(text: str, path: re.Pattern[str]) -> SplitResult:
    try:
        url = urlsplit(text)
    except ValueError:
        raise NoAnswer(f"was not asked: {shown(text)} is no URL") from None
    # No "..", which would lead to another call of the engine.
    if not path.fullmatch(url.path) or ".." in url.path:
        raise NoAnswer(f"was not asked: {shown(text)} is no URL of a session")
    return url


def _word(response: dict[str, Any], name: str) -> str:
    value = response.get(name)
    if not isinstance(value, str) or not value.isascii() or len(value) > 32:
        raise NoAnswer(f"answered {name} {shown(value)}")
    return value


def _whole(response: dict[str, Any], name: str) -> int:
    """Missing is 0; a wrong type is no answer, for 0 would say that the stream stands still."""
    value = response.get(name)
    try:
        number = 0 if value is None else int(value)
    except (TypeError, ValueError, OverflowError):
        number = _LARGEST + 1
    if abs(number) > _LARGEST:
        raise NoAnswer(f"answered {name} {shown(value)}")
    return number
