"""The rules at work without an outside: a clock that jumps, and engines that do as scripted.

It drives `apply` and `plan` as the real loop does, and checks after every step what must
always hold.
"""

import heapq
import itertools
import math
from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass, field

from msgspec.structs import replace

from acekeeper.core.actions import (
    Action,
    Answer,
    Ask,
    AskStreams,
    Check,
    Drain,
    GiveWay,
    Refusal,
    Refuse,
    Start,
    Stop,
    TakeBack,
    Try,
)
from acekeeper.core.apply import apply
from acekeeper.core.build import Build
from acekeeper.core.changes import Changes, Happening
from acekeeper.core.facts import (
    ActionTaken,
    AnswerDelivered,
    ConnectionsSeen,
    EngineAnswered,
    EngineDied,
    EngineSilent,
    EnginesListed,
    EnginesSurveyed,
    EngineStarted,
    EngineStartFailed,
    Fact,
    Found,
    PlaybackAnswered,
    PlaybackFailed,
    ProvisionRequested,
    RuntimeChecked,
    RuntimeConnected,
    StreamEnded,
    StreamsAsked,
    StreamStarted,
    TimePassed,
    Verdict,
)
from acekeeper.core.health import UNHEALTHY
from acekeeper.core.model import Engine, Health, KeyType, Now, Phase, Request, Sample
from acekeeper.core.names import PortPlan, Slot
from acekeeper.core.plan import Plan, may_change
from acekeeper.core.rollout import REASONS
from acekeeper.core.rules import Rules
from acekeeper.core.state import State
from acekeeper.core.vpn import Behind
from acekeeper.core.way_out import WayOut

from . import vpn_invariants
from .invariants import (
    may_be_renewed,
    may_doubt,
    may_replace,
    may_start,
    may_take_back,
    may_try,
    no_more,
    plan_all,
    refusal,
)

HOST = "127.0.0.1"
RULES = Rules(
    host=HOST,
    local_names=frozenset({HOST, "localhost", "::1"}),
    ports=PortPlan(19000, 19099, 20000, 21000, 22000),
)
WALL = 1_700_000_000.0  # a wall clock far from the monotonic one, so that no test mixes them
MONO = 1000.0
PROBE_TIMEOUT = 5.0
TRY_TAKES = 0.8
TRY_TIMEOUT = 20.0


def rules(**numbers: object) -> Rules:
    return replace(RULES, **numbers)


def slot(n: int) -> Slot:
    return Slot(HOST, 19000 + n)


def sample(at: Now, speed: int = 0, downloaded: int = 0, peers: int = 4) -> Sample:
    return Sample(at, "dl", peers, speed, 0, downloaded, 0)


@dataclass(slots=True)
class Script:
    """How the engines started from now on behave."""

    named_after: float = 0.3  # from the start being asked for to its name being known
    ready_after: float = 6.0  # from there to its first answer; inf: never
    lives: float = math.inf  # from there on
    fails: str = ""  # why it cannot be started
    excused: bool = False
    container_id: bool = True


@dataclass(slots=True)
class Outside:
    """One engine as it really is."""

    slot: Slot
    incarnation: str
    container_id: str
    answers_from: float
    hung: bool = False
    plays: Verdict | None = Verdict.PLAYS  # what a try finds; None: that it hangs
    tried: int = 0  # the number of the last try
    streams: dict[str, bool] = field(default_factory=dict)  # whether its bytes move
    peers: int = 4
    callers: set[str] = field(default_factory=set)  # who is connected
    build: Build = field(default_factory=Build)
    behind: Behind | None = None


class World:
    def __init__(self, rules: Rules = RULES, *, state: State | None = None) -> None:
        self.rules = rules
        self.state = State() if state is None else state
        self.now = Now(WALL, MONO)
        self.script = Script()
        self.outside: dict[Slot, Outside] = {}
        self.taken: list[Action] = []
        self.happened: list[Happening] = []
        self.answers: dict[str, Engine | Refusal] = {}
        self.answered_at: dict[str, float] = {}
        self.planned = Plan((), math.inf)
        self.deliver = True  # whether answers reach their callers
        self.there: tuple[str, ...] = (HOST,)  # where engines are published that start now
        self.lacks = ""  # what starts need and is not there
        self.build = Build()  # what they are made of
        self.way: WayOut | None = None  # how the host gets out
        self.vpn_starts: dict[str, str] = {}  # those that run
        self.cut: set[str] = set()  # streams whose bytes moved when we stopped their engine
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count(1)

    # What the loop does.

    def tell(self, fact: Fact) -> None:
        changes = self._apply(fact)
        if not may_change(fact, changes) and self.now.mono < self.planned.deadline:
            no_more(self.state, self.rules, self.now, self.planned.deadline)
        self._plan()
        if isinstance(fact, TimePassed):
            assert self.planned.deadline > self.now.mono, "the alarm would ring without end"

    def _apply(self, fact: Fact) -> Changes:
        changes = apply(self.state, self.rules, fact, self.now)
        self.happened += changes.happened
        if any(h.kind == "playback_doubted" for h in changes.happened):
            may_doubt(self.state)
        return changes

    def _plan(self) -> None:
        self.planned = plan_all(self.state, self.rules, self.now, self._take)

    def _take(self, action: Action) -> None:
        if isinstance(action, Start):
            may_start(self.state, self.rules, self.now)
            vpn_invariants.may_start(self.state, self.rules, action)
        if isinstance(action, Drain) and action.reason == UNHEALTHY:
            may_replace(self.state, self.rules, self.now)
        if isinstance(action, Drain) and action.reason in REASONS:
            may_be_renewed(self.state, self.rules, action)
        if isinstance(action, TakeBack):
            may_take_back(self.state, action)
        if isinstance(action, Try):
            may_try(self.state, action, self.now)
        self._apply(ActionTaken(action))
        self.taken.append(action)
        match action:
            case Start(where):
                vpn_invariants.is_given(self.state, self.rules, action)
                self._start(where)
            case Stop(where, incarnation):
                self.cut.update(self._moving(where, incarnation))
                self.later(0.5, lambda: self.die(where, "stopped", incarnation))
            case Check():
                self.later(0.1, lambda: self.tell(RuntimeChecked(self.lacks, self.there)))
            case Ask(where, incarnation):
                self._ask(where, incarnation)
            case AskStreams(where, incarnation):
                self._look(where, incarnation)
            case Try(where, incarnation):
                self._try(where, incarnation)
            case GiveWay(where, incarnation):
                self.later(0, lambda: self._gave_way(where, incarnation))
            case Answer(request):
                where = self.state.requests[request].slot or slot(-1)
                self._outcome(request, self.state.engines[where])
                if self.deliver:
                    self.later(0, lambda: self.tell(AnswerDelivered(request)))
            case Refuse(request, said):
                refusal(said)
                self._outcome(request, said)
            case _:
                pass

    def _outcome(self, request: str, outcome: Engine | Refusal) -> None:
        assert request not in self.answers, "answered twice"
        self.answers[request] = outcome
        self.answered_at[request] = self.time

    # What the outside does.

    def _start(self, where: Slot) -> None:
        script = copy(self.script)
        if script.fails:
            failed = EngineStartFailed(where, script.fails, excused=script.excused)
            self.later(script.named_after, lambda: self.tell(failed))
            return
        name = f"start-{next(self._numbers)}"
        behind = self.state.engines[where].behind

        def named() -> None:
            if behind is not None and self.vpn_starts.get(behind.vpn) != behind.start:
                self.tell(EngineStartFailed(where, "its VPN ended meanwhile", cause="vpn"))
                return
            container_id = f"id-{name}" if script.container_id else ""
            ready_at = self.now.mono + script.ready_after
            self.outside[where] = Outside(
                where, name, container_id, ready_at, build=self.build, behind=behind
            )
            if script.lives < math.inf:
                self.later(script.lives, lambda: self.die(where, "exited", name))
            self.tell(EngineStarted(where, name, container_id, self.there, self.build, self.way))

        self.later(script.named_after, named)

    def _ask(self, where: Slot, incarnation: str) -> None:
        if self.answers_now(where, incarnation):
            self.later(0.01, lambda: self.tell(EngineAnswered(where, incarnation)))
        elif where in self.outside and not self.outside[where].hung:
            self.later(0.01, lambda: self.tell(EngineSilent(where, incarnation, "refused")))
        else:
            self.later(
                PROBE_TIMEOUT, lambda: self.tell(EngineSilent(where, incarnation, "timeout"))
            )

    def _look(self, where: Slot, incarnation: str) -> None:
        self.later(0.01, lambda: self.tell(self.looked(where, incarnation)))

    def looked(self, where: Slot, incarnation: str) -> StreamsAsked:
        engine = self.outside.get(where)
        refs = [s.ref for s in self.state.started_on(where)]
        if engine is None or engine.incarnation != incarnation or engine.hung:
            return StreamsAsked(where, incarnation, silent=frozenset(refs))
        return StreamsAsked(
            where,
            incarnation,
            {
                r: sample(self.now, 100 * engine.streams[r[0]], peers=engine.peers)
                for r in refs
                if r[0] in engine.streams
            },
            frozenset(r for r in refs if r[0] not in engine.streams),
        )

    def _try(self, where: Slot, incarnation: str) -> None:
        engine = self.outside.get(where)
        if engine is None or engine.incarnation != incarnation:
            self.later(0.01, lambda: self.tell(PlaybackFailed(where, incarnation, "refused")))
            return
        assert not self._moving(where, incarnation), "it would disturb a viewer"
        engine.tried += 1
        number = engine.tried

        def ends() -> None:
            if engine.tried != number:
                return  # it gave way
            if engine.plays is None or engine.hung:
                self.tell(PlaybackFailed(where, incarnation, "no answer"))
            else:
                self.tell(PlaybackAnswered(where, incarnation, engine.plays))

        waits = engine.plays in (None, Verdict.STARVED) or engine.hung
        self.later(TRY_TIMEOUT if waits else TRY_TAKES, ends)

    def _gave_way(self, where: Slot, incarnation: str) -> None:
        engine = self.outside.get(where)
        if engine is not None:
            engine.tried += 1
        self.tell(PlaybackFailed(where, incarnation, "a viewer came", excused=True))

    def _moving(self, where: Slot, incarnation: str) -> list[str]:
        engine = self.outside.get(where)
        if engine is None or engine.incarnation != incarnation or engine.hung:
            return []
        return [s.id for s in self.state.started_on(where) if engine.streams.get(s.id)]

    def answers_now(self, where: Slot, incarnation: str) -> bool:
        engine = self.outside.get(where)
        return (
            engine is not None
            and engine.incarnation == incarnation
            and not engine.hung
            and engine.answers_from <= self.now.mono
        )

    def die(self, where: Slot, cause: str = "killed", incarnation: str = "") -> None:
        engine = self.outside.get(where)
        if engine is not None and incarnation in ("", engine.incarnation):
            del self.outside[where]
            self.tell(EngineDied(where, engine.incarnation, cause))

    # What a test says.

    @property
    def time(self) -> float:
        """Seconds since the world began."""
        return self.now.mono - MONO

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (self.now.mono + seconds, next(self._numbers), what))

    def run(self, seconds: float) -> None:
        """Lets time pass, from event to deadline to event."""
        end = self.now.after(seconds)
        spins = 0
        while True:
            event = self._agenda[0][0] if self._agenda else math.inf
            due = min(event, self.planned.deadline)
            if due > end.mono:
                break
            spins = spins + 1 if due <= self.now.mono else 0
            assert spins < 1000, f"time stands still at {self.now}"
            self.now = self.now.after(max(0.0, due - self.now.mono))
            if event <= due:
                heapq.heappop(self._agenda)[2]()
            else:
                self.now = Now(self.now.wall, due)
                self.tell(TimePassed())
        self.now = end

    def connect(self, found: Iterable[Found] = (), boot: str = "boot-1") -> None:
        self.tell(RuntimeConnected())
        self.list_engines(found, boot)
        self.tell(EnginesSurveyed(()))

    def list_engines(self, found: Iterable[Found] = (), boot: str = "boot-1") -> None:
        self.tell(EnginesListed(HOST, boot, self.now, tuple(found), build=self.build))

    def running(self) -> list[Found]:
        return [
            Found(e.slot, e.incarnation, e.container_id, build=e.build, behind=e.behind)
            for e in self.outside.values()
        ]

    def request(self, name: str, **details: object) -> None:
        self.tell(ProvisionRequested(name, **details))  # type: ignore[arg-type]

    def given(self, name: str) -> Engine:
        outcome = self.answers[name]
        assert isinstance(outcome, Engine), outcome
        return outcome

    def refused(self, name: str) -> Refusal:
        outcome = self.answers[name]
        assert isinstance(outcome, Refusal), outcome
        return outcome

    def play(
        self, where: Slot, name: str = "s", *, moving: bool = True, key: str = "0" * 40
    ) -> None:
        if where in self.outside:
            self.outside[where].streams[name] = moving
        self.tell(started(name, where, key=key))

    def leave(self, name: str, reason: str = "") -> None:
        self.tell(StreamEnded(name, reason=reason))

    def survey(self) -> None:
        """A health pass, as the sweep does it."""
        answered = []
        for engine in list(self.state.engines.values()):
            if not engine.incarnation or engine.phase is Phase.STOPPING:
                continue
            if self.answers_now(*engine.ref):
                answered.append(engine.ref)
                if engine.health is not Health.HEALTHY:
                    self.tell(EngineAnswered(*engine.ref))
            else:
                self.tell(EngineSilent(*engine.ref, "timeout"))
        self.tell(EnginesSurveyed(tuple(answered)))

    def sweep_streams(self) -> None:
        """A streams pass, as the sweep does it."""
        self.see_connections()
        for where in list(self.state.playing):
            self.tell(self.looked(where, self.state.engines[where].incarnation))

    def see_connections(self) -> None:
        refs = [e.ref for e in self.state.engines.values() if e.incarnation]
        outside = ((ref, self.outside.get(ref[0])) for ref in refs)
        self.tell(
            ConnectionsSeen(
                self.now,
                {ref: frozenset(engine.callers if engine else ()) for ref, engine in outside},
            )
        )

    def tries(self) -> list[Try]:
        return [a for a in self.taken if isinstance(a, Try)]

    def engine(self, n: int) -> Engine:
        return self.state.engines[slot(n)]

    def waiting(self) -> list[Request]:
        return [r for r in self.state.requests.values() if not r.answered]

    def listed(self) -> list[int]:
        return sorted(e.slot.port - 19000 for e in self.state.engines.values() if e.listed)

    def starts(self) -> list[Start]:
        return [a for a in self.taken if isinstance(a, Start)]

    def stops(self) -> list[Stop]:
        return [a for a in self.taken if isinstance(a, Stop)]

    def kinds(self) -> list[str]:
        return [h.kind for h in self.happened]


def started(
    name: str,
    where: Slot | None = None,
    *,
    addresses: tuple[tuple[str, int], ...] | None = None,
    session: str = "",
    container_id: str = "",
    key: str = "0" * 40,
) -> StreamStarted:
    if addresses is None:
        addresses = (("localhost", where.port if where else 1),)
    return StreamStarted(
        id=name,
        key_type=KeyType.INFOHASH,
        key=key,
        session=session or f"session-{name}",
        stat_url=f"http://localhost:1/ace/stat/0/{name}",
        command_url=f"http://localhost:1/ace/cmd/0/{name}",
        is_live=True,
        addresses=addresses,
        container_id=container_id,
    )


def pool(count: int, rules: Rules = RULES) -> World:
    """A world with `count` engines that are ready and rested."""
    world = World(rules)
    for n in range(count):
        name = f"found-{n}"
        world.outside[slot(n)] = Outside(slot(n), name, f"id-{name}", 0.0)
    world.connect(world.running())
    world.run(20)
    assert world.listed() == list(range(count))
    world.taken.clear()
    world.happened.clear()
    return world
