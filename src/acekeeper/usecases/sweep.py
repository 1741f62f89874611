"""Sweeps find what no signal tells: hung engines, dead streams, drift."""

import asyncio
from asyncio import Task
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import suppress
from enum import StrEnum
from typing import Any

from loguru import logger

from acekeeper.core.facts import (
    EngineAnswered,
    EnginesSurveyed,
    RuntimeConnected,
    RuntimeLost,
    StreamsAsked,
    TimePassed,
)
from acekeeper.core.lifecycle import parts
from acekeeper.core.model import Engine, Health, Phase
from acekeeper.errors import AcekeeperError, RuntimeUnavailable
from acekeeper.usecases.loop import Loop
from acekeeper.usecases.turns import gather_in_turns

_TOLD_WITHIN_S = 0.02  # together with what others say meanwhile: one write for all of it
_INTERVALS, _TAKES_S = 3, 60  # two may be missed, and one may take its whole time
_TOLD_AT_ONCE = 500  # streams, or all of one engine: then others have their turn


class Kind(StrEnum):
    HEALTH = "health"
    STREAMS = "streams"
    SCALE = "scale"


Report = dict[str, int | float]
"""What a sweep found and did: counts, and the `seconds` it took."""


class Sweeps:
    """One pass of a kind at a time: who asks while one runs gets that one's report."""

    def __init__(
        self,
        loop: Loop,
        intervals: Mapping[Kind, float],
        swept: Callable[[Kind, float], None] = lambda _kind, _seconds: None,
    ) -> None:
        """`intervals`: those at which somebody asks for each. `swept` is told of every pass that
        succeeded, and the seconds it took."""
        self._loop = loop
        self.intervals = intervals
        self.last = dict.fromkeys(Kind, loop.clock())  # success; until there is one, our start
        self._swept = swept
        self._running: dict[Kind, Task[Report]] = {}

    async def run(self, kind: Kind) -> Report:
        task = self._running.get(kind)
        if task is None or task.done():
            task = self._running[kind] = asyncio.create_task(self._timed(kind))
        return await asyncio.shield(task)

    async def run_all(self) -> dict[Kind, Report]:
        """One kind after another: what is gone is not asked any more."""
        return {kind: await self.run(kind) for kind in (Kind.SCALE, Kind.HEALTH, Kind.STREAMS)}

    def late(self) -> Iterator[str]:
        """Which do not succeed as often as they should, as the alert SweepLate has it."""
        now = self._loop.clock()
        for kind, interval in self.intervals.items():
            since = now.mono - self.last[kind].mono
            if since > _INTERVALS * interval + _TAKES_S:
                yield f"the last {kind} sweep that succeeded was {since // 60:.0f} min ago"

    async def close(self) -> None:
        """Ends what is under way: it may wait long for a hung engine."""
        passes = list(self._running.values())
        for task in passes:
            task.cancel()
        await asyncio.gather(*passes, return_exceptions=True)

    async def _timed(self, kind: Kind) -> Report:
        began = self._loop.clock()
        self._loop.tell(TimePassed())
        report = await _PASSES[kind](self._loop)
        self.last[kind] = now = self._loop.clock()
        seconds = now.mono - began.mono
        self._swept(kind, seconds)
        report["seconds"] = round(seconds, 3)
        return report

    async def every(self, kind: Kind, seconds: float) -> None:
        """The internal ticker, where no systemd timer asks."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.run(kind)
            except AcekeeperError as error:
                logger.warning("sweep_failed", kind=kind.value, why=str(error))
            except Exception as error:  # a defect; the next pass may be spared it
                logger.opt(exception=error).error("sweep_failed", kind=kind.value)


async def _health(loop: Loop) -> Report:
    """A silent engine is told at once; "still fine" is told for all together at the end."""
    engines = [e for e in loop.state.engines.values() if e.incarnation and e.stop is None]
    answered: list[EngineAnswered] = []

    async def ask(engine: Engine) -> None:
        fact = await loop.asks.engine(*engine.ref)
        if isinstance(fact, EngineAnswered):
            answered.append(fact)
        if engine.health is not Health.HEALTHY or not isinstance(fact, EngineAnswered):
            loop.tell(fact)

    await gather_in_turns(ask(e) for e in engines)
    loop.tell(EnginesSurveyed(tuple((fact.slot, fact.incarnation) for fact in answered)))
    return {
        "checked": len(engines),
        "answered": len(answered),
        "silent": len(engines) - len(answered),
        "unhealthy": sum(e.health is Health.UNHEALTHY for e in loop.state.engines.values()),
    }


async def _streams(loop: Loop) -> Report:
    """What engines say is told soon after they have said it: one that hangs holds up no other's."""
    with suppress(RuntimeUnavailable):
        loop.tell(await loop.see_connections())
    answers: list[StreamsAsked] = []
    untold: list[StreamsAsked] = []

    def tell() -> None:
        if untold:
            loop.tell_all(untold)
            answers.extend(untold)
            untold.clear()

    async def look(engine: Engine) -> None:
        untold.append(await loop.asks.streams(*engine.ref))
        if sum(len(a.samples) + len(a.unknown) + len(a.silent) for a in untold) >= _TOLD_AT_ONCE:
            tell()
        elif len(untold) == 1:
            asyncio.get_running_loop().call_later(_TOLD_WITHIN_S, tell)

    # Of an engine that a restart lost the streams are there until the next list of what runs.
    state = loop.state
    engines = [state.engines[slot] for slot in state.playing if slot in state.engines]
    try:
        await gather_in_turns((look(e) for e in engines), at_once=1)
    finally:
        tell()
    return {
        "checked": sum(len(a.samples) + len(a.unknown) for a in answers),
        "ended": sum(len(a.unknown) for a in answers),
        "silent_engines": sum(not a.samples and not a.unknown for a in answers),
        "elsewhere": len(state.elsewhere),
    }


async def list_engines(loop: Loop) -> int:
    """Tells what the runtime says is running; how many that are."""
    try:
        listing = await loop.runtime.list()
    except RuntimeUnavailable as error:
        loop.tell(RuntimeLost(str(error)))
        raise
    loop.tell(RuntimeConnected())
    for n, part in enumerate(parts(loop.state, loop.rules, listing)):
        if n:
            await asyncio.sleep(0)
        loop.tell(part)
    return len(listing.found)


async def _scale(loop: Loop) -> Report:
    """Asks the runtime what really runs; the plan does the rest."""
    before = set(loop.state.engines)
    found = await list_engines(loop)
    await loop.check_runtime()
    state = loop.state
    return {
        "checked": found,
        "adopted": len(set(state.engines) - before),
        "gone": len(before - set(state.engines)),
        "free": sum(state.is_free(e, loop.rules) for e in state.engines.values()),
        "starting": sum(e.phase is Phase.STARTING for e in state.engines.values()),
        "draining": sum(e.drain is not None for e in state.engines.values()),
    }


_PASSES: dict[Kind, Callable[[Loop], Coroutine[Any, Any, Report]]] = {
    Kind.HEALTH: _health,
    Kind.STREAMS: _streams,
    Kind.SCALE: _scale,
}
