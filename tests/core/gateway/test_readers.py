"""When a session of the gateway ends, and what is left of it on its engine."""

from acekeeper.core.actions import Drain
from acekeeper.core.gateway.actions import SeeReaders
from acekeeper.core.gateway.facts import (
    ReaderCame,
    ReaderLeft,
    ReaderSent,
    SessionRead,
    StopAsked,
)
from acekeeper.core.gateway.holds import NOT_STOPPED

from ..world import slot
from .players import Players, players


def playing(*, hls: bool = False, json: bool = False) -> Players:
    world = players(1)
    world.ask("a", 1, hls=hls, json=json)
    world.run(0.5)
    return world


def sweeps(world: Players, seconds: int, every: int = 10) -> None:
    for _ in range(seconds // every):
        world.sweep_streams()
        world.run(every)


def ends(world: Players) -> list[str]:
    return list(world.reasons().values())


def test_a_stop_ends_the_session_at_once_and_the_engine_is_told() -> None:
    world = playing()
    world.tell(StopAsked(world.served["a"].id))
    assert ends(world) == ["stopped"]
    assert not world.state.is_free(world.engine(0), world.rules)
    world.run(0.1)
    assert world.sessions(0) == []
    assert world.state.is_free(world.engine(0), world.rules)


def test_a_stop_that_the_engine_does_not_answer_is_asked_again_and_the_engine_is_replaced() -> None:
    world = playing()
    world.at(0).stops = False
    world.tell(StopAsked(world.served["a"].id))
    world.run(34)
    assert drains(world) == []
    world.run(7)
    assert drains(world) == [NOT_STOPPED]


def drains(world: Players) -> list[str]:
    return [action.reason for action in world.taken if isinstance(action, Drain)]


def test_an_engine_whose_reader_stays_after_the_stop_is_replaced() -> None:
    world = playing(json=True)
    world.picture("a")
    sweeps(world, 10)
    world.tell(StopAsked(world.served["a"].id))
    world.run(1)
    assert world.state.is_free(world.engine(0), world.rules)  # the engine says that it is stopped
    sweeps(world, 40)
    assert drains(world) == []
    sweeps(world, 10)
    assert drains(world) == [NOT_STOPPED]


def test_and_not_one_whose_reader_left_though_others_came() -> None:
    world = playing(json=True)
    world.picture("a")
    sweeps(world, 10)
    world.tell(StopAsked(world.served["a"].id))
    sweeps(world, 30)
    world.hang_up("a")
    world.ask("b", 2, player="192.0.2.2")
    world.run(1)
    world.picture("b")
    sweeps(world, 60)
    assert drains(world) == []


def test_a_reader_of_another_session_there_may_stay() -> None:
    world = players(1, max_streams_per_engine=2)
    for name, n in (("a", 1), ("b", 2)):
        world.ask(name, n, json=True)
        world.run(0.5)
        world.picture(name)
    sweeps(world, 10)
    world.hang_up("a")
    world.tell(StopAsked(world.served["a"].id))
    sweeps(world, 60)
    assert drains(world) == []


def test_a_session_that_nobody_reads_is_stopped() -> None:
    world = playing()
    world.picture("a")
    sweeps(world, 60)
    assert ends(world) == []
    world.hang_up("a")
    sweeps(world, 20)
    assert ends(world) == []
    sweeps(world, 20)
    assert ends(world) == ["idle"]
    assert world.sessions(0) == []


def test_a_player_that_waits_for_its_picture_reads() -> None:
    world = playing()
    world.tell(ReaderCame(world.served["a"].id))
    sweeps(world, 60)
    assert ends(world) == []
    world.tell(ReaderLeft(world.served["a"].id))
    sweeps(world, 40)
    assert ends(world) == ["idle"]


def test_a_stat_keeps_a_session_that_nobody_reads() -> None:
    world = playing()
    for _ in range(6):
        world.tell(SessionRead(world.served["a"].id))
        sweeps(world, 10)
    assert ends(world) == []


def test_an_hls_session_is_read_by_its_list_alone() -> None:
    world = playing(hls=True)
    for _ in range(12):
        world.tell(SessionRead(world.served["a"].id))
        sweeps(world, 10)
    assert ends(world) == []
    sweeps(world, 40)
    assert ends(world) == ["idle"]


def test_an_engine_that_does_not_know_the_session_any_more_is_not_asked_to_stop_it() -> None:
    world = playing()
    world.run(3)
    world.outside[slot(0)].streams.clear()
    world.taken.clear()
    world.sweep_streams()
    world.run(1)
    assert ends(world) == ["unknown_to_engine"]
    assert world.state.holds == {}
    assert world.taken == []


def test_a_session_dies_with_its_engine() -> None:
    world = playing()
    world.die(slot(0))
    assert ends(world) == ["engine_died:killed"]
    assert world.state.holds == {}


def test_readers_are_looked_for_only_while_somebody_waits() -> None:
    world = playing(json=True)
    world.picture("a")
    world.run(60)
    assert not [a for a in world.taken if isinstance(a, SeeReaders)]
    world.ask("b", 2, player="192.0.2.2", within=5)
    world.run(4)
    looks = [a for a in world.taken if isinstance(a, SeeReaders)]
    assert 2 < len(looks) < 12
    world.run(60)
    assert len([a for a in world.taken if isinstance(a, SeeReaders)]) <= len(looks) + 3


def test_the_engine_on_which_a_picture_did_not_come_is_doubted_when_it_comes_elsewhere() -> None:
    world = players(2)
    world.ask("a", 1)
    world.run(1)
    old = world.served["a"]
    world.tell(ReaderCame(old.id))
    world.run(7)
    world.tell(ReaderLeft(old.id))
    world.ask("b", 1, instead_of=old.id)
    world.run(1)
    new = world.served["b"]
    assert "playback_doubted" not in world.kinds()
    world.tell(ReaderCame(new.id))
    world.tell(ReaderSent(new.id))
    assert [h.engine for h in world.happened if h.kind == "playback_doubted"] == [old.slot]


def test_a_content_that_was_opened_again_on_its_engine_is_not_stopped_there() -> None:
    """By a client of the API that chose the engine a moment before; its session cuts the other."""
    world = players(1, max_streams_per_engine=2)
    world.ask("a", 1)
    world.run(0.5)
    key = world.served["a"].key
    world.play(slot(0), "another", key=key)
    world.tell(StopAsked(world.served["a"].id))
    assert not world.state.holds


def test_a_stop_that_is_late_is_given_up_when_its_content_is_opened_again() -> None:
    world = playing()
    world.at(0).stops = False
    world.tell(StopAsked(world.served["a"].id))
    world.run(1)
    assert world.state.holds
    world.play(slot(0), "another", key=world.served["a"].key)
    assert not world.state.holds
    world.run(20)
    assert not world.state.holds


def test_an_engine_is_not_doubted_because_its_session_ended_before_its_player_came() -> None:
    world = players(2)
    world.ask("a", 1)
    world.run(1)
    old = world.served["a"]
    world.tell(StopAsked(old.id))
    world.ask("b", 1, instead_of=old.id)
    world.run(1)
    world.picture("b")
    assert world.served["b"].slot != old.slot
    assert "playback_doubted" not in world.kinds()


def test_one_who_waited_for_a_session_of_the_same_name_before_is_not_counted_twice() -> None:
    world = playing()
    world.tell(ReaderLeft(world.served["a"].id))
    sweeps(world, 40)
    assert ends(world) == ["idle"]
