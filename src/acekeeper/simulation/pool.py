"""The loop without an outside: it applies, plans, and says what engines would have done."""

import heapq
import itertools
import math
from collections.abc import Callable, Generator
from functools import partial
from random import Random

from acekeeper.core.actions import Action, Answer, Ask, AskStreams, Refusal, Refuse, Start, Stop
from acekeeper.core.apply import apply
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
    Fact,
    ProvisionRequested,
    RuntimeConnected,
    StreamsAsked,
    TimePassed,
)
from acekeeper.core.gateway.actions import Fail, Open, SeeReaders, Serve, StopSession
from acekeeper.core.gateway.facts import PlayOpened, PlayRequested, ReadersSeen, SessionStopped
from acekeeper.core.gateway.model import Ref
from acekeeper.core.model import Engine, Now, Opening, Sample, Stream
from acekeeper.core.names import Slot
from acekeeper.core.plan import plan
from acekeeper.core.rules import Rules
from acekeeper.core.state import State
from acekeeper.simulation.report import Tally

_NAMED_AFTER_S = 0.5
_STOPPED_AFTER_S = 0.5
_SESSION_STOPPED_AFTER_S = 0.1
_PROBE_TIMEOUT_S = 5.0
_VARIETY = 0.25  # a start takes so much more or less than usual
OPENED_AFTER_S = 0.1, 1.0  # an engine opens a channel

Outcome = Engine | Refusal | Stream | Fail
Asked = ProvisionRequested | PlayRequested
Process = Generator[float | Asked, Outcome | None, None]
"""Somebody who acts: yields how long to wait, or a request, whose outcome comes back."""


class Pool:
    def __init__(self, rules: Rules, start_seconds: float, random: Random, tally: Tally) -> None:
        """Tallies every action once it was taken, and every step of time before it."""
        self.rules = rules
        self.random = random
        self.tally = tally
        self.state = State()
        self.now = Now(0.0, 0.0)
        self._start_seconds = start_seconds
        self._deadline = math.inf
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._ready_at: dict[str, float] = {}
        self._waiting: dict[str, Process] = {}
        self.connected: dict[str, Ref] = {}  # to engines, by a name for the connection
        self.tell(RuntimeConnected())
        self.tell(EnginesListed(rules.host, "boot", self.now, ()))
        self.tell(EnginesSurveyed(()))

    def run(self, until: float) -> None:
        """From event to deadline to event; ends early if nothing is left to happen."""
        while True:
            event = self._agenda[0][0] if self._agenda else math.inf
            due = max(self.now.mono, min(event, self._deadline))
            if due > until:
                return
            self.tally.passed(self.state, self.now.mono, due)
            self.now = Now(due, due)
            if event <= due:
                heapq.heappop(self._agenda)[2]()
            else:
                self.tell(TimePassed())

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (self.now.mono + seconds, next(self._numbers), what))

    def follow(self, process: Process, sent: Outcome | None = None) -> None:
        try:
            step = process.send(sent)
        except StopIteration:
            return
        if isinstance(step, Asked):
            self._waiting[step.request] = process
            self.tell(step)
        else:
            self.later(step, partial(self.follow, process))

    def tell(self, fact: Fact) -> None:
        apply(self.state, self.rules, fact, self.now)
        while (planned := plan(self.state, self.rules, self.now)).actions:
            for action in planned.actions:
                apply(self.state, self.rules, ActionTaken(action), self.now)
                self.tally.acted(action, self.now.mono)
                self._execute(action)
        self._deadline = planned.deadline

    def _execute(self, action: Action) -> None:
        match action:
            case Start(slot):
                self.later(_NAMED_AFTER_S, partial(self._started, slot))
            case Stop(slot, incarnation):
                died = EngineDied(slot, incarnation, "stopped")
                self.later(_STOPPED_AFTER_S, partial(self.tell, died))
            case Ask(slot, incarnation):
                wait = max(0.0, self._ready_at[incarnation] - self.now.mono)
                said = EngineAnswered(slot, incarnation)
                silent = EngineSilent(slot, incarnation, "timeout")
                self.later(
                    min(wait, _PROBE_TIMEOUT_S),
                    partial(self.tell, said if wait <= _PROBE_TIMEOUT_S else silent),
                )
            case AskStreams(slot, incarnation):
                self.later(0.0, partial(self._look, slot, incarnation))
            case Answer(request):
                slot = self.state.requests[request].slot or Slot("", 0)
                self.later(0.0, partial(self._answer, request, self.state.engines[slot]))
            case Refuse(request, refusal):
                self.later(0.0, partial(self._answer, request, refusal))
            case Open(slot, incarnation, request):
                infohash = self.state.plays[request].wanted.content.key
                token = f"{next(self._numbers):032x}"
                opening = Opening(infohash, token, token, is_live=True)
                opened = PlayOpened(slot, incarnation, request, opening)
                self.later(self.random.uniform(*OPENED_AFTER_S), partial(self.tell, opened))
            case Serve(request, stream):
                self.later(0.0, partial(self._answer, request, self.state.streams[stream]))
            case Fail(request):
                self.later(0.0, partial(self._answer, request, action))
            case StopSession(slot, incarnation, hold):
                stopped = SessionStopped(slot, incarnation, hold)
                self.later(_SESSION_STOPPED_AFTER_S, partial(self.tell, stopped))
            case SeeReaders():
                self.later(0.0, self._see_readers)
            case _:
                pass  # the others are wholly in the state

    def _started(self, slot: Slot) -> None:
        incarnation = f"start-{next(self._numbers)}"
        takes = self._start_seconds * self.random.uniform(1 - _VARIETY, 1 + _VARIETY)
        self._ready_at[incarnation] = self.now.mono + takes
        self.tell(EngineStarted(slot, incarnation, incarnation))

    def _look(self, slot: Slot, incarnation: str) -> None:
        """Who watches is still there, so every stream moves."""
        moving = Sample(self.now, "dl", 1, 1, 0, 0, 0)
        samples = {stream.ref: moving for stream in self.state.started_on(slot)}
        self.tell(StreamsAsked(slot, incarnation, samples))

    def _see_readers(self) -> None:
        self.tell(ReadersSeen(self.now, frozenset(self.connected.values())))

    def see_connections(self) -> None:
        found: dict[Ref, set[str]] = {engine.ref: set() for engine in self.state.engines.values()}
        for name, ref in self.connected.items():
            found[ref].add(name)
        callers = {ref: frozenset(names) for ref, names in found.items()}
        self.tell(ConnectionsSeen(self.now, callers))

    def _answer(self, request: str, outcome: Outcome) -> None:
        process = self._waiting.pop(request)
        if isinstance(outcome, Engine):
            self.tell(AnswerDelivered(request))
        self.follow(process, outcome)
