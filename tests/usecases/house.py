"""The usecases at work: the real loop and store, and on the far side of their protocols a runtime
and engines that do as scripted."""

import asyncio
import time
from asyncio import Event, Future
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from acekeeper.core.changes import Changes, Happening
from acekeeper.core.doubt import Content
from acekeeper.core.facts import (
    EnginesListed,
    EngineStarted,
    Fact,
    Found,
    RuntimeConnected,
    Verdict,
)
from acekeeper.core.gateway.model import Wanted
from acekeeper.core.inspection import Inspection
from acekeeper.core.model import Now, Opening, Sample
from acekeeper.core.names import Ports, Slot
from acekeeper.core.vpn import Behind
from acekeeper.core.way_out import WayOut
from acekeeper.errors import NoAnswer, RuntimeUnavailable
from acekeeper.usecases.adoption import Adoption
from acekeeper.usecases.loop import Loop
from acekeeper.usecases.protocols import Store
from acekeeper.usecases.sweep import Kind, Sweeps

from ..core.world import HOST, slot


class Clock:
    """The real one, that can be put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> Now:
        return Now(time.time() + self.ahead, time.monotonic() + self.ahead)


class ScriptedRuntime:
    """Engines as whoever runs them knows them."""

    def __init__(self, clock: Clock) -> None:
        self.running: dict[Slot, Found] = {}
        self.calls: list[str] = []
        self.starting_fails: Exception | None = None
        self.stopping_fails: Exception | None = None
        self.unreachable = False
        self.lacking = ""
        self.unheard_of = ""
        self.there: tuple[str, ...] = (HOST,)
        self.way: WayOut | None = None
        self._clock = clock
        self._starts = 0

    async def open(self, tell: Callable[[Fact], None]) -> None:
        self.tell = tell
        tell(RuntimeConnected())

    async def close(self) -> None:
        pass

    def add(self, *numbers: int) -> None:
        for n in numbers:
            self._starts += 1
            name = f"start-{self._starts}"
            self.running[slot(n)] = Found(slot(n), name, f"id-{name}", addresses=self.there)

    async def list(self) -> EnginesListed:
        self.calls.append("list")
        asked = self._clock()
        await asyncio.sleep(0)
        if self.unreachable:
            raise RuntimeUnavailable("the bus is gone")
        return EnginesListed(HOST, "boot", asked, tuple(self.running.values()))

    async def start(self, slot: Slot, ports: Ports, behind: Behind | None = None) -> EngineStarted:
        self.calls.append(f"start {slot.port}" + (f" behind {behind.vpn}" if behind else ""))
        assert ports.http == slot.port
        await asyncio.sleep(0)
        if self.starting_fails:
            raise self.starting_fails
        self.add(slot.port - 19000)
        found = self.running[slot]
        return EngineStarted(slot, found.incarnation, found.container_id, found.addresses)

    def present(self, wanted: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(address for address in wanted if address in self.there)

    async def unheard(self) -> str:
        return self.unheard_of

    async def lacks(self) -> str:
        return self.lacking

    def way_out(self) -> WayOut | None:
        return self.way

    async def inspect(self, slot: Slot, container_id: str) -> Inspection:
        raise NotImplementedError

    async def logs(self, slot: Slot, container_id: str, tail: int) -> str | None:
        raise NotImplementedError

    async def stop(self, slot: Slot, incarnation: str) -> None:
        assert incarnation == self.running[slot].incarnation
        self.calls.append(f"stop {slot.port}")
        if self.stopping_fails:
            raise self.stopping_fails


class ScriptedEngines:
    """What the engines answer; those of `silent` nothing."""

    def __init__(self, clock: Clock) -> None:
        self.silent: set[int] = set()
        self.asked: list[str] = []
        self.starting: list[int] = []  # those asked that were not yet expected to answer
        self.sessions: dict[str, Sample | Exception] = {}  # by the end of their stat URL
        self.before_answer: Callable[[], object] = lambda: None
        self.slow: set[int] = set(range(100))  # those that wait for `go_on`
        self.go_on = Event()
        self.go_on.set()
        self._clock = clock

    async def status(self, slot: Slot, *, starting: bool = False) -> None:
        self.asked.append(f"status {slot.port}")
        if starting:
            self.starting.append(slot.port)
        if slot.port - 19000 in self.slow:
            await self.go_on.wait()
        self.before_answer()
        if slot.port - 19000 in self.silent:
            raise NoAnswer("no answer within 5 s")

    async def stat(self, slot: Slot, stat_url: str) -> Sample | None:
        name = stat_url.rpartition("/")[2]
        self.asked.append(f"stat {name}")
        await self.go_on.wait()
        if slot.port - 19000 in self.silent:
            raise NoAnswer("no answer within 3 s")
        found = self.sessions.get(name)
        if isinstance(found, Exception):
            raise found
        return found

    async def stop(self, slot: Slot, command_url: str) -> None:
        name = command_url.rpartition("/")[2]
        self.asked.append(f"stop {slot.port} {name}")
        await self.go_on.wait()
        if slot.port - 19000 in self.silent:
            raise NoAnswer("no answer within 5 s")

    def plays(self, name: str) -> None:
        self.sessions[name] = Sample(self._clock(), "dl", 4, 100, 0, 1, 0)


class ScriptedPlayer:
    """What tries of playback find: `outcome`, once `go_on` is set."""

    def __init__(self) -> None:
        self.tried: list[tuple[int, str]] = []
        self.broken_off = 0
        self.outcome: Verdict | Exception = Verdict.PLAYS
        self.go_on = Event()
        self.go_on.set()

    async def play(self, slot: Slot, content: Content) -> tuple[Verdict, str]:
        self.tried.append((slot.port - 19000, content.key))
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.broken_off += 1
            raise
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome, "in its own words"


class ScriptedSessions:
    """What engines answer to players: by the number of the engine, once `go_on` is set."""

    def __init__(self) -> None:
        self.opened: list[tuple[int, Wanted]] = []
        self.answers: dict[int, Opening | Exception] = {}
        self.go_on = Event()
        self.go_on.set()

    async def open(self, slot: Slot, wanted: Wanted, within: float) -> Opening:
        number = slot.port - 19000
        assert within > 0
        self.opened.append((number, wanted))
        await self.go_on.wait()
        answer = self.answers.get(number, Opening(f"i{number}", f"t{number}", "", True))
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def redirect(self, slot: Slot, opening: Opening, arrival: str, within: float) -> str:
        raise NotImplementedError

    async def list(self, slot: Slot, opening: Opening, arrival: str, within: float) -> bytes:
        raise NotImplementedError

    async def stat(self, slot: Slot, opening: Opening, arrival: str) -> bytes:
        raise NotImplementedError


class ScriptedConnections:
    """Who is connected to which engine, by its number."""

    def __init__(self) -> None:
        self.callers: dict[int, frozenset[str]] = {}
        self.looks = 0
        self.unseen = ""  # why the kernel does not tell

    def __call__(self, ports: Collection[int]) -> Mapping[int, frozenset[str]]:
        self.looks += 1
        if self.unseen:
            raise RuntimeUnavailable(self.unseen)
        return {port: self.callers.get(port - 19000, frozenset()) for port in ports}


class HeldStore:
    """A disk that takes its time: a write is done when the test says so."""

    degraded = ""
    is_alive = True

    def __init__(self) -> None:
        self.writes: list[tuple[Changes, Future[None]]] = []

    def write(self, changes: Changes) -> Future[None]:
        future: Future[None] = asyncio.get_running_loop().create_future()
        self.writes.append((changes, future))
        return future

    def release(self) -> None:
        for _, future in self.writes:
            if not future.done():
                future.set_result(None)


@dataclass
class House:
    loop: Loop
    runtime: ScriptedRuntime
    engines: ScriptedEngines
    player: ScriptedPlayer
    sessions: ScriptedSessions
    connections: ScriptedConnections
    store: Store
    clock: Clock
    happened: list[Happening] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sweeps = Sweeps(self.loop, dict.fromkeys(Kind, 10.0))
        self.adoption = Adoption(self.loop, self.sweeps)

    async def open(self, *numbers: int) -> None:
        """With these engines running and adopted."""
        self.runtime.add(*numbers)
        await self.adoption.open()
        await self.until(lambda: self.loop.state.surveyed and self.listed() == list(numbers))
        await self.turns()  # after the engines their streams are looked for
        self.runtime.calls.clear()
        self.engines.asked.clear()

    async def until(self, holds: Callable[[], object]) -> None:
        """Waits for what happens by itself; every turn lets the loop go on."""
        async with asyncio.timeout(30):
            while not holds():
                await asyncio.sleep(0.005)

    async def turns(self) -> None:
        """Lets everything happen that waits for nothing."""
        for _ in range(20):
            await asyncio.sleep(0)

    def listed(self) -> list[int]:
        return sorted(e.slot.port - 19000 for e in self.loop.state.engines.values() if e.listed)

    def kinds(self) -> list[str]:
        return [happening.kind for happening in self.happened]
