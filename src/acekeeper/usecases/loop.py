"""The loop: it applies facts, plans, and executes. Nothing else starts or stops anything."""

import asyncio
import math
from asyncio import Future, Task
from collections.abc import Callable, Coroutine, Iterable
from contextvars import Context

from acekeeper.core.actions import (
    Action,
    Answer,
    Ask,
    AskStreams,
    Check,
    Code,
    GiveWay,
    Refusal,
    Refuse,
    Start,
    Stop,
    Try,
)
from acekeeper.core.addresses import wanted
from acekeeper.core.apply import apply, enter
from acekeeper.core.changes import Changes, Happening
from acekeeper.core.facts import (
    ActionTaken,
    ConnectionsSeen,
    EngineStartFailed,
    EngineStopFailed,
    Fact,
    RuntimeChecked,
    SourceAsked,
    StreamEnded,
    StreamStarted,
    TimePassed,
    VpnStarted,
    WayOutSeen,
)
from acekeeper.core.fleet.actions import FleetAction
from acekeeper.core.gateway.actions import GatewayAction
from acekeeper.core.model import Engine, Now
from acekeeper.core.names import Slot
from acekeeper.core.plan import may_change, plan
from acekeeper.core.rules import Rules
from acekeeper.core.state import State
from acekeeper.core.supply import waiting
from acekeeper.errors import AcekeeperError, EngineFailed, PortTaken, RuntimeUnavailable
from acekeeper.usecases.asks import Asks
from acekeeper.usecases.defects import defect
from acekeeper.usecases.gateway import Gateway
from acekeeper.usecases.lag import Lag
from acekeeper.usecases.outcomes import Outcomes, once_kept
from acekeeper.usecases.protocols import (
    Addresses,
    Clock,
    Connections,
    EngineApi,
    Player,
    Runtime,
    Sessions,
    Store,
)
from acekeeper.usecases.samples import Unsaved
from acekeeper.usecases.tries import Tries

_LOST_MEANWHILE = waiting(Code.GENERAL_ERROR, "the engine it was given ended or was taken", 1)
_NOBODY_THERE = "runtime_unavailable"  # cause of a start that failed
_RESTS = 0.005  # seconds before the plan after events: the writer cannot run while we plan
_IN_NO_HASTE = StreamStarted | StreamEnded

Provision = Engine | Refusal


def _alone(action: FleetAction) -> None:
    raise AssertionError(f"{action} without a fleet")


class Loop:
    """Lives on one event loop; every method is called from it."""

    def __init__(
        self,
        state: State,
        rules: Rules,
        clock: Clock,
        runtime: Runtime,
        engines: EngineApi,
        player: Player,
        sessions: Sessions,
        connections: Connections,
        present: Addresses,
        store: Store,
        observe: Callable[[Happening], None],
        lagged: Callable[[float], None] = lambda _: None,
    ) -> None:
        self.state = state
        self.rules = rules
        self.clock = clock
        self.runtime = runtime
        self.engines = engines
        self.present = present
        self.store = store
        self.unsaved = Unsaved()
        self.lag = Lag(clock, lagged)
        self.asks = Asks(state, clock, engines, self.lag)
        self._connections = connections
        self._tries = Tries(player, clock, self.lag)
        self.gateway = Gateway(
            state=state,
            rules=rules,
            clock=clock,
            lag=self.lag,
            engines=engines,
            sessions=sessions,
            see=self.see_connections,
            tell=self.tell,
            spawn=self.spawn,
            outcomes=Outcomes(),
        )
        self.take_in_fleet: Callable[[FleetAction], None] = _alone
        self.changed = asyncio.Event()  # something that is shown, since somebody cleared it
        self._observe = observe
        self.outcomes = Outcomes[Provision]()
        self.vpn_started = asyncio.Event()
        self._tasks: set[Task[None]] = set()
        self._alarm: asyncio.Handle | None = None
        self._wakes = math.inf  # when that goes
        self._due = math.inf  # when a plan is to be made at the latest, by the event loop's clock
        self._closed = False

    def tell(self, fact: Fact) -> Future[None]:
        """Applies a fact now; the future is done when it is on disk."""
        return self.tell_all((fact,))

    def tell_all(self, facts: Iterable[Fact]) -> Future[None]:
        """Each is taken when those before it are applied; done when all are on disk."""
        now, told = self.clock(), list[Fact]()
        try:
            for fact in facts:
                enter(self.state, self.rules, fact, now)
                told.append(fact)
                if isinstance(fact, VpnStarted):
                    self.vpn_started.set()
        finally:
            changes = self.state.changed()
            durable = self._write(changes)
            if any(may_change(fact, changes) for fact in told):
                is_in_haste = not all(isinstance(fact, _IN_NO_HASTE) for fact in told)
                self._wake(0.0 if is_in_haste else _RESTS, self._plan)
        return durable

    def is_overdue(self, seconds: float) -> bool:
        """Whether what was due by the clock so long ago is still not done."""
        return asyncio.get_running_loop().time() - self._due > seconds

    async def close(self) -> None:
        """Stops planning and what is under way; engines go on."""
        self._closed = True
        self.lag.close()
        if self._alarm is not None:
            self._alarm.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await self._tries.close()
        await asyncio.gather(*tasks, return_exceptions=True)

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Runs `work` beside the loop, until that closes; what it raises is logged, never lost."""
        if self._closed:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            defect(error)

    def _write(self, changes: Changes) -> Future[None]:
        for happening in changes.happened:
            self._observe(happening)
        if changes:
            self.changed.set()
        durable = self.store.write(changes)
        # Not everybody waits for it, and a store that fails tells so itself.
        durable.add_done_callback(lambda done: done.cancelled() or done.exception())
        if changes.samples:
            self.unsaved.told(changes.samples, durable)
        return durable

    def _wake(self, seconds: float, call: Callable[[], object]) -> None:
        """Calls `call` after so many seconds, instead of what is due later, or not at all if
        something is due before. Its context is its own: no plan is caused by the last caller."""
        loop, own = asyncio.get_running_loop(), Context()
        if self._closed or loop.time() + seconds >= self._wakes:
            return
        self._wakes = loop.time() + seconds
        if self._alarm is not None:
            self._alarm.cancel()

        def go() -> None:
            self._wakes = math.inf
            call()

        soon = loop.call_soon(go, context=own) if not seconds else None
        self._alarm = soon or loop.call_later(seconds, go, context=own)

    def _plan(self) -> None:
        """One plan a turn: others have theirs before what is still to do."""
        now, loop = self.clock(), asyncio.get_running_loop()
        planned = plan(self.state, self.rules, now)
        for action in planned.actions:
            self._take(action, now)
        wait = max(0.0, planned.deadline - now.mono) if planned.is_last else 0.0
        self._due = loop.time() + wait
        if not planned.is_last:
            self._wake(0.0, self._plan)
        elif wait < math.inf:
            self._wake(wait, lambda: self.tell(TimePassed()))

    def _take(self, action: Action, now: Now) -> None:
        durable = self._write(apply(self.state, self.rules, ActionTaken(action), now))
        if isinstance(action, GatewayAction):
            self.gateway.take(action, durable)
            return
        if isinstance(action, FleetAction):
            self.take_in_fleet(action)
            return
        match action:
            case Start(slot):
                self.spawn(self._start(slot))
            case Stop(slot, incarnation):
                self.spawn(self._stop(slot, incarnation))
            case Ask(slot, incarnation):
                self.spawn(self._ask(slot, incarnation))
            case AskStreams(slot, incarnation):
                self.spawn(self._look(slot, incarnation))
            case Try():
                self.spawn(self._try(self._tries.begin(action)))
            case Check():
                self.spawn(self.check_runtime())
            case GiveWay(slot):
                self._tries.give_way(slot)
            case Answer(request):
                self._answer(request, durable)
            case Refuse(request, refusal):
                self.outcomes.resolve(request, refusal)
            case _:
                pass  # Grant, Drain, TakeBack, Settle, Turn, TrustPort, …: wholly in the state

    def _answer(self, request: str, durable: Future[None]) -> None:
        """Two callers never get the same engine, also across a crash: the claim goes first."""
        slot = self.state.requests[request].slot
        if slot is None:
            raise AssertionError("only a request with an engine is answered")
        incarnation = self.state.engines[slot].incarnation

        def go() -> None:
            if request not in self.state.requests:
                return  # its caller went away
            engine = self.state.current(slot, incarnation)
            if engine is not None and engine.claim == request:
                self.outcomes.resolve(request, engine)
            else:
                self._take(Refuse(request, _LOST_MEANWHILE), self.clock())

        once_kept(durable, go)

    async def _start(self, slot: Slot) -> None:
        try:
            ports, behind = self.rules.ports.ports(slot.port), self.state.engines[slot].behind
            fact: Fact = await self.runtime.start(slot, ports, behind)
        except PortTaken as error:
            fact = EngineStartFailed(slot, str(error), excused=True, cause=error.cause)
        except EngineFailed as error:
            fact = EngineStartFailed(slot, str(error), cause=error.cause)
            await self._check_needs()  # the next one is not tried for nothing
        except AcekeeperError as error:
            fact = EngineStartFailed(slot, str(error), excused=True, cause=_NOBODY_THERE)
        except Exception as error:
            defect(error)
            fact = EngineStartFailed(slot, repr(error), excused=True)
        self.tell(fact)

    async def check_runtime(self) -> None:
        """Tells what a start would miss, so that it is known before one fails, which addresses of
        ours the host has, and how it gets out."""
        await self._check_needs()
        if (way := self.runtime.way_out()) is not None:
            self.tell(WayOutSeen(way))
        self.tell(SourceAsked("podman", await self.runtime.unheard()))

    async def _check_needs(self) -> None:
        try:
            lacks = await self.runtime.lacks()
        except Exception as error:
            defect(error)
            lacks = self.state.lacks
        self.tell(RuntimeChecked(lacks, self.present(wanted(self.rules))))

    async def _stop(self, slot: Slot, incarnation: str) -> None:
        try:
            await self.runtime.stop(slot, incarnation)
        except AcekeeperError as error:
            self.tell(EngineStopFailed(slot, incarnation, str(error)))
        except Exception as error:
            defect(error)
            self.tell(EngineStopFailed(slot, incarnation, repr(error)))

    async def _ask(self, slot: Slot, incarnation: str) -> None:
        self.tell(await self.asks.engine(slot, incarnation))

    async def _try(self, outcome: Coroutine[object, object, Fact]) -> None:
        self.tell(await outcome)

    async def _look(self, slot: Slot, incarnation: str) -> None:
        self.tell(await self.asks.streams(slot, incarnation))

    async def see_connections(self) -> ConnectionsSeen:
        """One look for all engines. That it failed, with RuntimeUnavailable, is told."""
        refs = {e.slot.port: e.ref for e in self.state.engines.values() if e.incarnation}
        at = self.clock()
        try:
            found = await asyncio.to_thread(self._connections, refs)
        except RuntimeUnavailable as error:
            self.tell(SourceAsked("connections", str(error)))
            raise
        return ConnectionsSeen(at, {ref: found[port] for port, ref in refs.items()})
