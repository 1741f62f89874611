"""What is done for each viewer: Acexy looks, takes a free engine, or else asks for one; a player of
the gateway asks as if there were one engine, follows the redirect, and hangs up."""

import itertools
import math
from collections.abc import Generator

from acekeeper.core import admission
from acekeeper.core.actions import Refusal
from acekeeper.core.doubt import Content
from acekeeper.core.facts import ProvisionRequested, StreamEnded, StreamStarted
from acekeeper.core.gateway.facts import PlayRequested, ReaderCame, ReaderSent
from acekeeper.core.gateway.model import Wanted
from acekeeper.core.model import Engine, KeyType, Phase, Stream
from acekeeper.core.names import HERE, Slot
from acekeeper.simulation.pool import OPENED_AFTER_S, Outcome, Pool, Process
from acekeeper.simulation.trace import Viewer

_LIST_CACHED_S = 2.0
_STATUS_POLLED_S = 30.0
_SLEEP_S = 5.0  # after an engine was promised, before it looks for it in the list
_TRIES = 3
_LOOKS_EVERY_S = 10.0  # MONITOR_INTERVAL_S by default

_Steps = Generator[float | ProvisionRequested, Outcome | None, Engine | None]


class Client:
    """One proxy: its viewers share its list of engines and its last look at the status."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._numbers = itertools.count(1)
        self._listed: list[tuple[Slot, str]] = []
        self._listed_until = 0.0
        self._can_provision = True

    def meanwhile(self, until: float) -> Process:
        """It looks at the status."""
        while self._pool.now.mono < until:
            blocked = admission.blocked(self._pool.state, self._pool.rules, self._pool.now)
            self._can_provision = blocked is None
            yield _STATUS_POLLED_S

    def watch(self, viewer: Viewer) -> Process:
        pool = self._pool
        arrived = pool.now.mono
        engine = self._free()
        if engine is not None:
            pool.tally.at_once += 1
        elif not self._can_provision:
            pool.tally.refused += 1
            return
        else:
            engine = yield from self._ask()
            if engine is None:
                pool.tally.refused += 1
                return
            pool.tally.waited(arrived, pool.now.mono)
        yield pool.random.uniform(*OPENED_AFTER_S)
        now = pool.state.current(*engine.ref)
        if now is None or now.phase is not Phase.RUNNING:
            pool.tally.failed += 1
            return
        pool.tally.shared += engine.slot in pool.state.playing
        stream = f"stream-{next(self._numbers)}"
        pool.tell(
            StreamStarted(
                id=stream,
                key_type=KeyType.INFOHASH,
                key=stream,
                session=stream,
                stat_url="",
                command_url="",
                is_live=True,
                addresses=(engine.slot,),
            )
        )
        yield viewer.stays
        pool.tell(StreamEnded(stream))

    def _ask(self) -> _Steps:
        """Asks up to three times while it is told to wait, then sleeps over what it was given."""
        for tried in range(1, _TRIES + 1):
            outcome = yield ProvisionRequested(f"request-{next(self._numbers)}")
            if isinstance(outcome, Engine):
                yield _SLEEP_S
                if outcome.ref not in self._engines():
                    yield _SLEEP_S
                return outcome
            if not isinstance(outcome, Refusal) or not outcome.should_wait or outcome.eta is None:
                return None
            if tried < _TRIES:
                yield outcome.eta / 2 if tried == 1 else float(outcome.eta)
        return None

    def _engines(self) -> list[tuple[Slot, str]]:
        now = self._pool.now.mono
        if now >= self._listed_until:
            self._listed = [e.ref for e in self._pool.state.engines.values() if e.listed]
            self._listed_until = now + _LIST_CACHED_S
        return self._listed

    def _free(self) -> Engine | None:
        """The one with the fewest streams, then the one not used for longest."""
        state = self._pool.state
        engines = [e for ref in self._engines() if (e := state.current(*ref)) is not None]
        free = [e for e in engines if self._streams(e) < self._pool.rules.max_streams_per_engine]

        def order(engine: Engine) -> tuple[int, float]:
            return self._streams(engine), engine.used.mono if engine.used else -math.inf

        return min(free, key=order, default=None)

    def _streams(self, engine: Engine) -> int:
        """A claim shows as one."""
        return len(self._pool.state.playing.get(engine.slot, ())) + (engine.claim is not None)


class Players:
    """None of them tells when it stops watching: it closes its connection to the engine."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._numbers = itertools.count(1)

    def meanwhile(self, until: float) -> Process:
        """The looks that find sessions nobody reads."""
        while self._pool.now.mono < until or self._pool.state.playing:
            self._pool.see_connections()
            yield _LOOKS_EVERY_S

    def watch(self, viewer: Viewer) -> Process:
        """A channel of its own: nobody shares an engine by watching the same."""
        pool, rules = self._pool, self._pool.rules
        arrived = pool.now
        number = next(self._numbers)
        request = f"play-{number}"
        wanted = Wanted(
            content=Content(KeyType.CONTENT_ID, f"{number:040x}"),
            is_hls=False,
            as_json=False,
            player=viewer.player or request,
            arrival=HERE,
        )
        within = max(rules.gateway_wait, rules.gateway_wait_redirected)
        stream = yield PlayRequested(request, wanted, arrived, within)
        if not isinstance(stream, Stream) or stream.slot is None:
            pool.tally.refused += 1
            return
        pool.tally.served(request, arrived.mono)
        pool.tally.shared += len(pool.state.playing[stream.slot]) > 1
        pool.tell(ReaderCame(stream.id))
        pool.tell(ReaderSent(stream.id))
        pool.connected[stream.id] = stream.slot, stream.incarnation
        yield viewer.stays
        del pool.connected[stream.id]
