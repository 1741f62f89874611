"""Random days of a pool whose engines behave as badly as engines do."""

import math
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from acekeeper.core.actions import Refusal
from acekeeper.core.facts import AnswerLost, RuntimeConnected, RuntimeLost, Verdict
from acekeeper.core.model import Engine, Phase
from acekeeper.core.rules import Rules

from .world import MONO, World, rules, slot

SMALL = rules(
    max_replicas=4,
    max_concurrent_provisions=2,
    breaker_threshold=3,
    breaker_timeout=30.0,
    unhealthy_grace_period=5.0,
    replacement_cooldown=10.0,
    engine_grace_period=5.0,
    rush_lasts=20.0,
)
numbers = st.integers(0, 5)
deeds = st.one_of(
    st.just(("request",)),
    st.just(("request",)),
    st.just(("abandon",)),
    st.tuples(st.just("play"), numbers, st.booleans()),
    st.tuples(st.just("play"), numbers, st.booleans()),
    st.tuples(st.just("leave"), numbers),
    st.tuples(st.just("die"), numbers),
    st.tuples(st.just("hang"), numbers),
    st.tuples(st.just("wake"), numbers),
    st.tuples(st.just("plays"), numbers, st.sampled_from([None, *Verdict])),
    st.just(("streams",)),
    st.tuples(st.just("call"), numbers, st.booleans()),
    st.just(("survey",)),
    st.just(("list",)),
    st.just(("lose",)),
    st.just(("connect",)),
    st.tuples(
        st.just("script"),
        st.sampled_from([0.1, 1.0, 3.0]),
        st.sampled_from([0.1, 5.0, 40.0, math.inf]),
        st.sampled_from([math.inf, math.inf, 2.0, 20.0]),
        st.sampled_from(["", "", "no image"]),
    ),
)
pauses = st.sampled_from([0.0, 0.0, 0.1, 0.5, 2.6, 7.0, 31.0, 65.0])
days = st.lists(st.tuples(deeds, pauses), max_size=40)


@dataclass(slots=True)
class Day:
    world: World
    requests: int = 0
    asked_at: dict[str, float] = field(default_factory=dict)
    abandoned: set[str] = field(default_factory=set)

    def do(self, deed: str, *details: object) -> None:
        world = self.world
        n = details[0] if details and isinstance(details[0], int) else 0
        where = slot(n)
        match deed, details:
            case "request", ():
                name = f"r{self.requests}"
                self.requests += 1
                self.asked_at[name] = world.time
                world.request(name)
            case "abandon", ():
                for request in list(world.state.requests):
                    self.abandoned.add(request)
                    world.tell(AnswerLost(request))
            case "play", (_, bool(moving)):
                if where in world.outside and world.answers_now(
                    where, world.outside[where].incarnation
                ):
                    world.play(where, f"s{n}-{world.outside[where].incarnation}", moving=moving)
            case "leave", _:
                for stream in list(world.state.started_on(where)):
                    world.leave(stream.id, "timeout")
            case "die", _:
                world.die(where)
            case "hang", _:
                if where in world.outside:
                    world.outside[where].hung = True
            case "wake", _:
                if where in world.outside:
                    world.outside[where].hung = False
            case "plays", (_, plays):
                if where in world.outside:
                    world.outside[where].plays = plays if isinstance(plays, Verdict) else None
            case "call", (_, bool(calls)):
                if where in world.outside:
                    world.outside[where].callers = {"caller"} if calls else set()
            case "streams", ():
                world.sweep_streams()
            case "survey", ():
                world.survey()
            case "list", ():
                world.list_engines(world.running())
            case "lose", ():
                world.tell(RuntimeLost("bus"))
            case "connect", ():
                world.tell(RuntimeConnected())
            case "script", (float(named), float(ready), float(lives), str(fails)):
                world.script.named_after = named
                world.script.ready_after = ready
                world.script.lives = lives
                world.script.fails = fails
            case _:
                raise AssertionError(deed)


def live(day: list[tuple[tuple[object, ...], float]], rules: Rules) -> Day:
    lived = Day(World(rules))
    lived.world.connect()
    for (deed, *details), pause in day:
        lived.do(str(deed), *details)
        lived.world.run(pause)
        assert len(lived.world.state.engines) <= rules.max_replicas
    return lived


@given(days)
def test_every_request_is_answered_in_time(day: list[tuple[tuple[object, ...], float]]) -> None:
    lived = live(day, SMALL)
    lived.world.run(3)
    for name, asked in lived.asked_at.items():
        if name not in lived.abandoned:
            assert lived.world.answered_at[name] - asked <= SMALL.answer_within + 1e-6


@given(days)
def test_no_engine_is_promised_twice_within_a_minute_unless_it_was_used(
    day: list[tuple[tuple[object, ...], float]],
) -> None:
    lived = live(day, SMALL)
    promised: dict[tuple[object, str], float] = {}
    for name, outcome in lived.world.answers.items():
        if isinstance(outcome, Refusal) or name in lived.abandoned:
            continue
        at = lived.world.answered_at[name]
        last = promised.get(outcome.ref)
        assert (
            last is None
            or at - last >= SMALL.rest_after_hand_out - 1e-6
            or used(lived.world, outcome, last, at)
        )
        promised[outcome.ref] = at


def used(world: World, engine: Engine, since: float, until: float) -> bool:
    """Whether a stream began and ended on it in this time."""
    return any(
        (s.slot, s.incarnation) == engine.ref
        and s.ended is not None
        and since <= s.started.mono - MONO <= s.ended.mono - MONO <= until
        for s in world.state.streams.values()
    )


@given(days)
def test_a_stream_that_moves_is_cut_by_no_stop_of_ours(
    day: list[tuple[tuple[object, ...], float]],
) -> None:
    lived = live(day, SMALL)
    assert lived.world.cut == set()


@given(days)
def test_left_alone_it_comes_to_rest_with_its_free_engines(
    day: list[tuple[tuple[object, ...], float]],
) -> None:
    world = live(day, SMALL).world
    for name in [s.id for s in world.state.streams.values() if s.ended is None]:
        world.leave(name)
    for engine in world.outside.values():
        engine.hung = False
        engine.plays = Verdict.PLAYS
    world.script = type(world.script)()
    world.tell(RuntimeConnected())
    world.list_engines(world.running())
    world.run(600)
    free = [e for e in world.state.engines.values() if world.state.is_free(e, SMALL)]
    assert len(free) == SMALL.min_replicas
    assert len(world.state.engines) == SMALL.min_replicas
    assert all(e.phase is Phase.RUNNING for e in world.state.engines.values())
    assert set(world.outside) == set(world.state.engines)
    assert world.planned.deadline == math.inf
