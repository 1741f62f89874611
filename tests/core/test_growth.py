"""A fact and the plan after it cost what they touch, not what there is. Counted in lines."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from acekeeper.core.actions import Action, Ask
from acekeeper.core.apply import apply
from acekeeper.core.doubt import Callers
from acekeeper.core.facts import (
    ActionTaken,
    DrainRequested,
    EngineAnswered,
    EngineDied,
    EngineSilent,
    Fact,
    PlaybackAnswered,
    ProvisionRequested,
    StreamEnded,
    StreamsAsked,
    TimePassed,
    Verdict,
)
from acekeeper.core.gateway.actions import Open, StopSession
from acekeeper.core.gateway.facts import PlayRequested, ReaderCame, ReaderSent, StopAsked
from acekeeper.core.gateway.model import Reader, Wanted
from acekeeper.core.model import (
    ByGateway,
    Engine,
    Health,
    KeyType,
    Now,
    Opening,
    Phase,
    Rules,
    Stream,
)
from acekeeper.core.names import HERE, PortPlan
from acekeeper.core.plan import plan
from acekeeper.core.state import State

from .gateway.players import channel
from .world import MONO, WALL, rules, slot, started

NOW = Now(WALL, MONO).after(10_000)
AT_MOST = 2.0  # times as many lines
SPARE = 10  # free engines
PORTS = PortPlan(19000, 20999, 30000, 40000, 50000)
DRAINED, SUSPECT, HANGS, DIES, QUIET, STOPS, ENDS = range(SPARE, SPARE + 7)


def stream(n: int, name: str, at: Now, ended: Now | None = None, *, of_gateway: bool) -> Stream:
    by = ByGateway(
        opening=Opening(f"{n:040x}", name, "", is_live=True),
        player=f"192.0.2.{n}",
        arrival=HERE,
        as_json=False,
        is_hls=False,
        query="",
    )
    return Stream(
        id=name,
        key_type=KeyType.INFOHASH,
        key=f"{n:040x}",
        session=name,
        stat_url="",
        command_url="",
        is_live=True,
        address=(HERE, slot(n).port),
        started=at,
        slot=slot(n),
        start=f"start-{n}",
        container_id=f"id-{n}",
        ended=ended,
        gateway=by if of_gateway else None,
    )


def pool(engines: int, streams: int) -> State:
    """All are well and play but for some that are free; `streams` of each engine are over."""
    state = State(connected=True, listed=True, surveyed=True, boot="boot")
    for n in range(engines):
        began = NOW.after(-1000 - n)
        engine = Engine(
            slot=slot(n),
            asked=began,
            start=f"start-{n}",
            container_id=f"id-{n}",
            phase=Phase.RUNNING,
            health=Health.HEALTHY,
            started=began,
            ready=began,
            settled=True,
            free_since=began if n < SPARE else None,
        )
        state.put(engine)
        state.put_callers(engine.ref, Callers(NOW.mono - 10, {"x": 0.0}, None))
        for m in range(streams):
            over = NOW.after(-900 + m / streams)
            state.put_stream(stream(n, f"over-{n}-{m}", began, over, of_gateway=True))
        if n < SPARE:
            continue
        state.put_stream(stream(n, f"s{n}", NOW.after(-100), of_gateway=bool(n % 2)))
        if n % 2:
            since = NOW.mono - 50
            state.put_reader(f"s{n}", Reader(since, since, came=True, player=f"192.0.2.{n}"))
    return state


def lines(work: Callable[[], object]) -> int:
    count = 0

    def line(frame: FrameType, event: str, argument: object) -> Callable[..., Any]:
        nonlocal count
        count += 1
        return line

    before = sys.gettrace()
    sys.settrace(line)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def tell(state: State, rules: Rules, fact: Fact, now: Now) -> list[Action]:
    """With all that comes of it at once."""
    apply(state, rules, fact, now)
    taken: list[Action] = []
    while True:
        planned = plan(state, rules, now)
        for action in planned.actions:
            apply(state, rules, ActionTaken(action), now)
        taken += planned.actions
        if planned.is_last:
            return taken


def watch(n: int, *, json: bool) -> PlayRequested:
    wanted = Wanted(
        content=channel(n), is_hls=False, as_json=json, player=f"192.0.2.{n}", arrival=HERE
    )
    return PlayRequested(f"play-{n}-{json}", wanted, NOW, 10.0)


FACTS: list[tuple[Fact, type[Action] | None]] = [
    (started("new", slot(0)), None),
    (StreamEnded("new"), None),
    (StreamEnded(f"s{ENDS}", reason="timeout"), Ask),
    (StreamsAsked(slot(QUIET), f"start-{QUIET}"), None),
    (EngineSilent(slot(SUSPECT), f"start-{SUSPECT}", "timeout"), None),
    (EngineAnswered(slot(SUSPECT), f"start-{SUSPECT}"), None),
    (PlaybackAnswered(slot(ENDS), f"start-{ENDS}", Verdict.PLAYS), None),
    (EngineSilent(slot(HANGS), f"start-{HANGS}", "timeout"), None),
    (DrainRequested(slot(DRAINED), f"start-{DRAINED}"), None),
    (EngineDied(slot(DIES), f"start-{DIES}", "killed"), None),
    (ReaderCame("s11"), None),
    (ReaderSent("s11"), None),
    (StopAsked(f"s{STOPS}"), StopSession),
    (watch(11, json=False), Open),
    (watch(5000, json=True), Open),
    (ProvisionRequested("given"), None),
    (TimePassed(), None),
]
KEPT = {
    "as many as wanted": rules(ports=PORTS, max_replicas=2000, min_replicas=5, auto_delete=False),
    "one too many": rules(ports=PORTS, max_replicas=2000, min_replicas=5, engine_grace_period=1),
    "some too few": rules(ports=PORTS, max_replicas=2000, min_replicas=15),
    "several streams each": rules(
        ports=PORTS, max_replicas=2000, max_streams_per_engine=3, min_replicas=5
    ),
}


def costs(rules: Rules, engines: int, streams: int) -> list[int]:
    """Of each fact."""
    state = pool(engines, streams)
    tell(state, rules, TimePassed(), NOW)
    found = []
    for seconds, (fact, wants) in enumerate(FACTS):
        now = NOW.after(seconds / 100)
        taken: list[Action] = []
        found.append(lines(lambda: taken.extend(tell(state, rules, fact, now))))  # noqa: B023
        assert wants is None or any(isinstance(action, wants) for action in taken), (fact, taken)
    return found


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize(
    ("small", "large"), [((100, 1), (1000, 1)), ((50, 0), (50, 200))], ids=["engines", "streams"]
)
def test_a_fact_costs_what_it_touches(
    kept: str, small: tuple[int, int], large: tuple[int, int]
) -> None:
    few, many = (costs(KEPT[kept], *size) for size in (small, large))
    for (fact, _), less, more in zip(FACTS, few, many, strict=True):
        assert more <= AT_MOST * less, (fact, less, more)


def test_who_waits_behind_others_for_nothing_is_passed_over() -> None:
    full = rules(ports=PORTS, max_replicas=SPARE, min_replicas=0)
    found = []
    for players in (100, 200):
        state = pool(SPARE, 0)
        for n in range(SPARE):
            tell(state, full, started(f"s{n}", slot(n)), NOW)
        for n in range(players):
            apply(state, full, watch(n, json=bool(n % 2)), NOW)
        found.append(lines(lambda: plan(state, full, NOW)))  # noqa: B023
        assert len(state.plays) == players
    assert found[1] - found[0] <= 150 * 100  # a whole look takes more than 300 each
