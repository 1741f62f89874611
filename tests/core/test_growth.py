"""A fact and the plan after it cost what they touch, not what there is. Counted in lines."""

import pytest
from msgspec.structs import replace

from acekeeper.core.actions import Action, Ask
from acekeeper.core.apply import apply
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
    VpnAnswered,
    VpnSilent,
    VpnTraffic,
)
from acekeeper.core.gateway.actions import Open, SeeReaders, StopSession
from acekeeper.core.gateway.facts import (
    PlayRequested,
    ReaderCame,
    ReaderSent,
    ReadersSeen,
    SessionRead,
    StopAsked,
)
from acekeeper.core.gateway.model import Wanted
from acekeeper.core.indexes import Indexes, Load
from acekeeper.core.model import Engine, Now
from acekeeper.core.names import HERE, Slot
from acekeeper.core.plan import plan
from acekeeper.core.rules import Rules
from acekeeper.core.state import State
from acekeeper.core.vpn import Tunnel, Vpn

from .gateway.players import channel
from .growing import NOW, PORTS, SPARE, lines, pool
from .world import rules, slot, started

AT_MOST = 2.0  # times as many lines
DRAINED, SUSPECT, HANGS, DIES, QUIET, STOPS, ENDS = range(SPARE, SPARE + 7)


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
DE = Vpn(
    name="de",
    incarnation="a",
    tunnel=Tunnel.CONNECTED,
    is_healthy=True,
    was_asked=True,
    had_tunnel=True,
    port=51,
    trusted_port=51,
)
OF_VPN: list[tuple[Fact, type[Action] | None]] = [
    (VpnAnswered("de", "a", is_healthy=True, port=51), None),
    (VpnTraffic("de", "a", 5, 5, NOW.mono), None),
    (VpnSilent("de", "a", "timeout", excused=True), None),
]
KEPT = {
    "as many as wanted": rules(ports=PORTS, max_replicas=2000, min_replicas=5, auto_delete=False),
    "one too many": rules(ports=PORTS, max_replicas=2000, min_replicas=5, engine_grace_period=1),
    "some too few": rules(ports=PORTS, max_replicas=2000, min_replicas=15),
    "several streams each": rules(
        ports=PORTS, max_replicas=2000, max_streams_per_engine=3, min_replicas=5
    ),
    "some too few, behind a VPN": rules(
        ports=PORTS, max_replicas=2000, min_replicas=15, vpns=("de", "ch"), vpn_slots=1000
    ),
}


def facts_of(rules: Rules) -> list[tuple[Fact, type[Action] | None]]:
    return [*FACTS, *OF_VPN] if rules.vpns else FACTS


def costs(rules: Rules, engines: int, streams: int) -> list[int]:
    """Of each fact."""
    state = pool(engines, streams, DE if rules.vpns else None)
    tell(state, rules, TimePassed(), NOW)
    found = []
    for seconds, (fact, wants) in enumerate(facts_of(rules)):
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
    for (fact, _), less, more in zip(facts_of(KEPT[kept]), few, many, strict=True):
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


def test_a_plan_for_a_player_at_a_full_pool_costs_what_changed_since_the_last_look() -> None:
    found = []
    for engines in (100, 1000):
        full = rules(ports=PORTS, max_replicas=engines, min_replicas=0)
        state = pool(engines, 0)
        for n in range(SPARE):
            tell(state, full, started(f"s{n}", slot(n)), NOW)
        assert SeeReaders() in tell(state, full, watch(1, json=True), NOW)
        refs = frozenset(engine.ref for engine in state.engines.values())
        tell(state, full, ReadersSeen(NOW, refs), NOW)
        later = NOW.after(0.1)
        read = lines(lambda: tell(state, full, SessionRead("s11"), later))  # noqa: B023
        too_old = NOW.after(full.look_lasts)
        found.append(read + lines(lambda: plan(state, full, too_old)))  # noqa: B023
        assert SeeReaders() in plan(state, full, too_old).actions
    assert found[1] <= AT_MOST * found[0]


def test_an_engine_that_changed_often_is_indexed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    state = pool(2, 0)
    assert state.index.containers.ranks
    updates: list[Slot] = []
    update = Indexes.update

    def counted(
        self: Indexes, at: Slot, engine: Engine | None, load: Load, *, is_cut_off: bool
    ) -> None:
        updates.append(at)
        update(self, at, engine, load, is_cut_off=is_cut_off)

    monkeypatch.setattr(Indexes, "update", counted)
    for n in range(5):
        state.put(replace(state.engines[slot(0)], used=NOW.after(n)))
    assert state.index is state.index
    assert updates == [slot(0)]
