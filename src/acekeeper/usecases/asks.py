"""What is asked of an engine: whether it is alive, and how the streams on it are."""

import asyncio

from acekeeper.core.facts import EngineAnswered, EngineSilent, StreamsAsked
from acekeeper.core.model import Phase, Sample
from acekeeper.core.names import Slot
from acekeeper.core.state import State
from acekeeper.errors import NoAnswer
from acekeeper.usecases.defects import defect
from acekeeper.usecases.lag import Lag
from acekeeper.usecases.protocols import Clock, EngineApi
from acekeeper.usecases.turns import gather_in_turns

_STATS_AT_ONCE = 8  # so many begin in one turn of the event loop
_STREAM_SETTLES_AFTER = 2.0  # an engine may not know a session yet that was just announced


class Asks:
    """Answers are facts, for the asker to tell."""

    def __init__(self, state: State, clock: Clock, engines: EngineApi, lag: Lag) -> None:
        self._state = state
        self._clock = clock
        self.engines = engines
        self._lag = lag
        self._asking = asyncio.Semaphore(_STATS_AT_ONCE)

    async def engine(self, slot: Slot, incarnation: str) -> EngineAnswered | EngineSilent:
        """Whether an engine is alive; its silence is excused while we are late ourselves."""
        began = self._clock()
        engine = self._state.current(slot, incarnation)
        starting = engine is not None and engine.phase is Phase.STARTING
        try:
            await self.engines.status(slot, starting=starting)
        except NoAnswer as error:
            return EngineSilent(slot, incarnation, str(error), excused=self._lag.since(began))
        except Exception as error:
            defect(error)
            return EngineSilent(slot, incarnation, repr(error), excused=True)
        return EngineAnswered(slot, incarnation)

    async def streams(self, slot: Slot, incarnation: str) -> StreamsAsked:
        """Asks an engine about the streams on it, but for those it may not know yet."""
        before = self._clock().mono - _STREAM_SETTLES_AFTER
        streams = [s for s in self._state.started_on(slot) if s.started.mono < before]
        answers = await gather_in_turns(self._stat(slot, s.stat_url) for s in streams)
        samples: dict[tuple[str, str], Sample] = {}
        unknown: set[tuple[str, str]] = set()
        silent: set[tuple[str, str]] = set()
        for stream, answer in zip(streams, answers, strict=True):
            if isinstance(answer, Sample):
                samples[stream.ref] = answer
            else:
                (unknown if answer is None else silent).add(stream.ref)
        return StreamsAsked(slot, incarnation, samples, frozenset(unknown), frozenset(silent))

    async def _stat(self, slot: Slot, url: str) -> Sample | Exception | None:
        async with self._asking:
            await asyncio.sleep(0)
        try:
            return await self.engines.stat(slot, url)
        except NoAnswer as error:
            return error
        except Exception as error:
            defect(error)
            return error
