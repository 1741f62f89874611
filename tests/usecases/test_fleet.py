"""A host tells the fleet of itself at once and again and again, and does what is to be asked."""

from typing import Any, cast

import pytest

from acekeeper.core.apply import apply
from acekeeper.core.facts import DrainRequested, EngineDied
from acekeeper.core.fleet import said
from acekeeper.core.fleet.actions import AskHost, Drop
from acekeeper.core.fleet.facts import BeatHeard, LinkDown, LinkUp, SnapshotHeard
from acekeeper.core.fleet.model import Digest, Position
from acekeeper.core.gateway.model import Declined, NotPlayed, PlayAsk, Wanted
from acekeeper.core.runs import Run, ServiceStarted
from acekeeper.core.state import State
from acekeeper.usecases import fleet
from acekeeper.usecases.elsewhere import Plays
from acekeeper.usecases.fleet import Fleet

from ..core.gateway.players import channel
from ..core.world import rules, slot, started
from .bus import ME, ScriptedBus, ScriptedPlays
from .conftest import MakeHouse
from .house import House

SELDOM = 300.0
PANEL = "http://192.0.2.1:8000/panel"
DIGEST = Digest(version="1.0", engines=1, free=1, room=1, streams=0)


class Member:
    """A house that belongs to a fleet."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.bus = ScriptedBus()
        self.plays = ScriptedPlays()
        self.fleet = Fleet(house.loop, self.bus, cast(Plays, self.plays), PANEL)
        house.loop.take_in_fleet = self.fleet.take
        house.loop.spawn(self.fleet.run())

    def tell(self, *facts: Any) -> None:
        self.house.loop.tell_all(facts)

    async def open(self, *numbers: int) -> None:
        """With these engines, which are told of when the link comes up."""
        self.bus.is_up = False
        await self.house.open(*numbers)
        self.bus.is_up = True
        self.bus.told(LinkUp())
        await self.until_changes(1)

    async def until_changes(self, count: int) -> None:
        await self.house.until(lambda: len(self.bus.changes) >= count)
        assert len(self.bus.changes) == count

    def drain(self, n: int) -> DrainRequested:
        return DrainRequested(*self.house.loop.state.engines[slot(n)].ref)


@pytest.fixture
async def member(make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch) -> Member:
    """It tells of changes as they come, and seldom that it is there."""
    monkeypatch.setattr(fleet, "_BEAT_S", SELDOM)
    monkeypatch.setattr(fleet, "_TOGETHER_S", 0)
    return Member(make_house(fleet_host=ME))


def test_a_beat_comes_each_second_and_changes_ten_times_at_the_most() -> None:
    assert (fleet._BEAT_S, fleet._TOGETHER_S) == (1.0, 0.1)


async def test_it_tells_at_once_what_changes_and_numbers_it(member: Member) -> None:
    await member.open(0, 1)
    member.tell(started("s", slot(1)))
    await member.until_changes(2)
    name = member.house.loop.state.engines[slot(0)].incarnation
    member.tell(EngineDied(slot(0), name, "exited"))
    await member.until_changes(3)
    assert member.bus.changes == [
        (1, {0: "free", 1: "free"}, []),
        (2, {1: "taken"}, []),
        (3, {}, [0]),
    ]
    assert len({change.at.epoch for change in member.bus.said}) == 1
    assert member.bus.said[-1].digest.engines == 1


async def test_changes_at_one_time_are_one_message(member: Member) -> None:
    await member.open(0, 1, 2)
    member.tell(member.drain(0))
    member.tell(started("s", slot(1)), member.drain(2))
    await member.until_changes(2)
    assert member.bus.changes[-1] == (2, {0: "draining", 1: "taken", 2: "draining"}, [])


async def test_changes_wait_for_those_that_follow(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "_TOGETHER_S", SELDOM)
    member = Member(make_house(fleet_host=ME))
    await member.house.until(lambda: member.bus.beats)
    await member.house.open(0)
    await member.house.turns()
    assert member.bus.changes == []


async def test_what_others_do_not_see_is_not_told(member: Member) -> None:
    await member.open(0)
    engine = member.house.loop.state.engines[slot(0)]
    before = member.house.loop.state.revision
    member.house.loop.state.put(engine.to_be_asked())
    member.house.loop.changed.set()
    await member.house.until(lambda: not member.house.loop.changed.is_set())
    await member.house.turns()
    assert member.house.loop.state.revision > before
    await member.until_changes(1)


async def test_it_beats_whether_or_not_the_link_is_up(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "_BEAT_S", 0.01)
    monkeypatch.setattr(fleet, "_TOGETHER_S", 0)
    member = Member(make_house(fleet_host=ME))
    member.bus.is_up = False
    member.tell(ServiceStarted(Run("1.2.3", "boot", "salt", {})))
    await member.house.until(lambda: len(member.bus.beats) > 3)
    digest = member.bus.beats[-1].digest
    assert (digest.version, digest.panel) == ("1.2.3", PANEL)
    assert {beat.at.seq for beat in member.bus.beats} == {0}


async def test_what_changed_while_the_link_was_down_is_told_when_it_is_up(member: Member) -> None:
    await member.open(0)
    member.bus.is_up = False
    member.bus.told(LinkDown("reset"))
    member.tell(started("s", slot(0)))
    member.tell(member.drain(0))
    await member.house.turns()
    assert len(member.bus.changes) == 1
    member.bus.is_up = True
    member.bus.told(LinkUp())
    await member.until_changes(2)
    assert member.bus.changes[-1] == (2, {0: "draining"}, []), "nothing was missed in between"


async def test_who_asks_is_told_of_all_as_it_was_told_last(member: Member) -> None:
    await member.open(0, 1)
    member.tell(started("s", slot(0)))
    member.bus.sync_asked("b")
    snapshot = member.bus.said[-1]
    assert isinstance(snapshot, SnapshotHeard)
    assert member.bus.answered == ["b"]
    assert snapshot.at.seq == 1
    assert [engine.doing.value for engine in snapshot.engines] == ["free", "free"]
    await member.until_changes(2)


async def test_what_it_says_is_what_others_come_to_know(member: Member) -> None:
    await member.open(0, 1)
    member.bus.sync_asked("b")
    member.tell(started("s", slot(0)))
    await member.until_changes(2)
    view, there = State(), rules(fleet_host="b")
    for fact in member.bus.said:
        apply(view, there, fact, member.house.clock())
    replica = view.fleet.hosts[ME]
    assert replica.engines == said.engines(member.house.loop.state, member.house.loop.rules)
    assert replica.is_whole


async def test_another_run_has_another_name(make_house: MakeHouse) -> None:
    one, two = (Member(make_house(fleet_host=ME)) for _ in range(2))
    await one.house.until(lambda: one.bus.said and two.bus.said)
    assert one.bus.said[0].at.epoch != two.bus.said[0].at.epoch


async def test_a_host_of_which_something_was_missed_is_asked(member: Member) -> None:
    await member.house.until(lambda: member.bus.said)
    member.bus.told(LinkUp())
    member.bus.told(BeatHeard(host="b", at=Position("run", 7), digest=DIGEST))
    await member.house.until(lambda: member.bus.asked)
    assert member.bus.asked == ["b"]
    snapshot = SnapshotHeard(host="b", at=Position("run", 7), digest=DIGEST, engines=())
    member.bus.told(snapshot)
    assert member.house.loop.state.fleet.hosts["b"].is_whole


async def test_plays_are_the_affair_of_others(member: Member) -> None:
    await member.house.until(lambda: member.bus.said)
    ask = AskHost("play-1", "b", 5.0, may_start=False)
    member.fleet.take(ask)
    member.fleet.take(Drop("b", "play-1"))
    assert member.plays.taken == [ask, Drop("b", "play-1")]
    wanted = Wanted(
        content=channel(1), is_hls=False, as_json=True, player="192.0.2.9", arrival="192.0.2.1"
    )
    asked = PlayAsk(request="r", wanted=wanted, within=5.0, may_start=True)
    answer = await member.bus.play_asked("b", asked)
    member.bus.dropped("b", "r2")
    assert answer == Declined(NotPlayed.NO_ENGINE, "none is free")
    assert member.plays.heard == [("b", "r"), ("b", "r2")]


async def test_a_defect_of_the_message_system_leaves_this_host_alone(
    member: Member, logged: list[Any]
) -> None:
    await member.house.until(lambda: member.bus.said)
    member.bus.told(LinkUp())
    member.bus.breaks.set()
    await member.house.until(lambda: not member.house.loop.state.fleet.link.is_up)
    await member.house.turns()
    assert "a defect" in member.house.loop.state.fleet.link.why
    assert [record["message"] for record in logged].count("task_failed") == 1
