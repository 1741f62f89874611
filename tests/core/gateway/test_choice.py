"""Which engine a player gets, and when."""

import pytest

from acekeeper.core.actions import Grant, Start, TakeBack
from acekeeper.core.doubt import Content
from acekeeper.core.gateway.actions import Supersede
from acekeeper.core.gateway.facts import StopAsked
from acekeeper.core.gateway.model import NotPlayed
from acekeeper.core.state import State

from ..world import slot
from .players import Players, channel, players


def test_a_player_gets_the_free_engine_that_is_idle_for_longest() -> None:
    world = players(3)
    world.ask("a", 1)
    world.run(1)
    world.tell(StopAsked(world.served["a"].id))
    world.run(1)
    world.ask("b", 2)
    world.run(1)
    assert world.slots() == [0, 1]
    assert world.served["b"].slot == slot(1)


def test_twenty_players_at_once_get_twenty_engines() -> None:
    world = players(20)
    for n in range(20):
        world.ask(f"p{n}", n, player=f"192.0.2.{n}")
    world.run(1)
    assert sorted(world.slots()) == list(range(20))
    assert len(world.served) == 20


def test_two_players_of_one_channel_get_an_engine_each() -> None:
    world = players(2)
    world.ask("a", 1, player="192.0.2.1")
    world.ask("b", 1, player="192.0.2.2")
    world.run(1)
    assert sorted(world.slots()) == [0, 1]


def test_where_an_engine_may_play_several_a_content_is_opened_on_it_once() -> None:
    world = players(1, max_streams_per_engine=2)
    world.ask("a", 1, player="192.0.2.1")
    world.ask("b", 1, player="192.0.2.2")
    world.ask("c", 2, player="192.0.2.3")
    world.run(30)
    assert sorted(world.served) == ["a", "c"]
    assert world.failed["b"].why is NotPlayed.NO_ENGINE


def test_an_engine_that_drains_for_scale_stays_for_a_player() -> None:
    world = players(2, min_replicas=1, auto_delete=True)
    world.run(20)
    assert world.engine(0).drain
    world.ask("a", 1)
    world.ask("b", 2, player="192.0.2.2")
    world.run(1)
    assert any(isinstance(action, TakeBack) for action in world.taken)
    assert sorted(world.slots()) == [0, 1]


def test_a_player_waits_for_an_engine_that_starts_and_is_answered_when_it_is_ready() -> None:
    world = Players(players(0).rules)
    world.connect()
    world.ask("a", 1)
    world.run(6.3)
    assert "a" not in world.served
    world.run(0.5)
    assert "a" in world.served


def test_players_wait_in_their_order() -> None:
    world = players(1)
    for n, name in enumerate("abc"):
        world.ask(name, n, player=f"192.0.2.{n}")
        world.run(0.1)
    for name, later in (("a", "b"), ("b", "c")):
        world.run(0.4)
        assert later not in world.served
        world.tell(StopAsked(world.served[name].id))
    world.run(1)
    assert list(world.served) == ["a", "b", "c"]


def test_an_older_request_of_the_api_comes_before_a_player_and_a_younger_one_after() -> None:
    world = players(2, max_replicas=2)
    world.request("api")
    world.ask("player", 1)
    world.request("late")
    world.run(1)
    grant = next(action for action in world.taken if isinstance(action, Grant))
    assert grant.slot != world.opened()[0].slot
    assert world.refused("late").code == "max_capacity"


def test_at_the_cap_a_player_gets_the_engine_of_the_session_nobody_reads() -> None:
    world = players(2)
    for n, name in enumerate("ab"):
        world.ask(name, n, player=f"192.0.2.{n}", json=True)
        world.run(0.3)
        world.picture(name)
    world.run(60)
    world.hang_up("b")
    world.ask("c", 3, player="192.0.2.3")
    world.run(1)
    assert world.served["c"].slot == world.served["b"].slot
    assert world.reasons() == {world.served["b"].id: "superseded"}


def test_and_only_after_its_stop_was_answered() -> None:
    world = players(1)
    world.ask("a", 1, player="192.0.2.1", json=True)
    world.run(20)  # it never comes for its picture
    world.at(0).stops = False
    world.ask("b", 2, player="192.0.2.2")
    world.run(2)
    assert "b" not in world.served
    world.at(0).stops = True
    world.run(6)
    assert "b" in world.served
    assert world.slots() == [0, 0]


def test_a_session_that_is_read_is_left_alone() -> None:
    world = players(1)
    world.ask("a", 1, player="192.0.2.1")
    world.run(1)
    world.picture("a")
    world.ask("b", 2, player="192.0.2.2")
    world.run(26)
    assert world.failed["b"].why is NotPlayed.NO_ENGINE
    assert not [action for action in world.taken if isinstance(action, Supersede)]


def test_a_player_that_goes_on_to_another_channel_gives_its_engine_back_at_once() -> None:
    world = players(2)
    world.ask("a", 1)
    world.run(0.3)
    world.picture("a")
    world.run(3)
    world.ask("b", 2)
    world.hang_up("a")
    world.run(1.2)
    assert world.reasons() == {world.served["a"].id: "superseded"}
    engine = world.state.find(world.served["a"].container_id)
    assert engine is not None
    assert world.state.is_free(engine, world.rules)


def test_twenty_channels_in_a_minute_need_few_engines() -> None:
    world = players(3)
    for n in range(20):
        world.ask(f"p{n}", n)
        world.run(1)
        assert f"p{n}" in world.served, f"channel {n}"
        world.picture(f"p{n}")
        world.run(2)
        world.hang_up(f"p{n}")


def test_a_second_reader_behind_the_same_address_ends_nothing() -> None:
    """Two televisions behind one address: neither has only this session."""
    world = players(3)
    for name, n in (("a", 1), ("b", 2)):
        world.ask(name, n)
        world.run(0.3)
        world.picture(name)
    world.run(3)
    world.ask("c", 3)
    world.run(5)
    assert world.reasons() == {}


def test_a_player_gets_no_engine_that_is_not_published_where_it_came_in() -> None:
    world = players(1)
    world.ask("a", 1, arrival="192.0.2.9")
    world.run(1)
    assert world.opened() == []
    assert world.failed["a"].why is NotPlayed.NO_ENGINE
    assert world.failed["a"].words == "ENGINE_HOST lacks 192.0.2.9"
    assert len(world.state.engines) == 1  # none was started for it either


def test_waiting_players_have_engines_started_up_to_the_cap() -> None:
    world = players(0, max_replicas=3)
    for n in range(5):
        world.ask(f"p{n}", n, player=f"192.0.2.{n}")
    world.run(8)
    assert len([action for action in world.taken if isinstance(action, Start)]) == 3
    assert list(world.served) == ["p0", "p1", "p2"]
    world.tell(StopAsked(world.served["p0"].id))
    world.run(1)
    assert "p3" in world.served


def test_a_crowd_of_waiting_players_costs_each_time_as_much_as_it_has_players(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_at = 0

    def counted(state: State, content: Content) -> Content:
        nonlocal looked_at
        looked_at += 1
        return content

    world = players(1)
    monkeypatch.setattr("acekeeper.core.gateway.contents.canonical", counted)
    costs = []
    for crowd in (100, 200):
        with world.at_once():
            for n in range(len(world.state.plays), crowd):
                world.ask(f"p{n}", n, json=True)
        looked_at = 0
        world.ask("one more", crowd, json=True)
        costs.append(looked_at)
    assert costs[1] < 3 * costs[0]


def test_a_session_that_ends_for_one_player_is_not_given_to_another_at_once() -> None:
    world = players(1)
    world.ask("before", 1, hls=True)
    world.run(60)
    with world.at_once():
        world.ask("a", 2)
        world.ask("b", 1, hls=True)
    world.run(30)
    assert world.reasons()[world.served["before"].id] == "superseded"
    assert world.served["a"].key == channel(2).key


def test_while_it_is_looked_who_reads_no_session_is_forgotten_that_nobody_reads_soon() -> None:
    """The deadline of the plan is checked each time."""
    world = players(2)
    world.ask("a", 1, json=True)
    world.run(40)
    world.ask("b", 2, hls=True, player="192.0.2.2")
    world.run(25)
    world.ask("c", 3, player="192.0.2.3")
    world.run(1)
    assert world.served["c"].slot == world.served["a"].slot
