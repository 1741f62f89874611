"""Which host a player is sent to, when others are asked, and what becomes of what nobody wants."""

import math
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from acekeeper.core.actions import Action, Start
from acekeeper.core.facts import MaintenanceRequested, TimePassed
from acekeeper.core.fleet.facts import LinkDown, LinkUp
from acekeeper.core.fleet.model import Standing
from acekeeper.core.gateway import choice
from acekeeper.core.gateway.choice import players_waiting
from acekeeper.core.gateway.facts import (
    HostDeclined,
    HostPlayed,
    PlayerLeft,
    PlayOpened,
    PlayRequested,
)
from acekeeper.core.gateway.hosts import have_room
from acekeeper.core.gateway.model import NotPlayed, Play, Wanted
from acekeeper.core.model import Now, Opening
from acekeeper.core.names import HERE
from acekeeper.core.rules import Rules
from acekeeper.core.state import State

from .fleet import FleetPlayers, fleet_players, session
from .players import channel


def for_other(world: FleetPlayers, name: str, *, may_start: bool) -> None:
    wanted = Wanted(
        content=channel(1), is_hls=False, as_json=True, player="192.0.2.1", arrival=HERE
    )
    world.tell(PlayRequested(name, wanted, world.now, 25.0, for_host="other", may_start=may_start))


def test_an_engine_here_comes_before_those_of_other_hosts() -> None:
    world = fleet_players(1, taken=False)
    world.host("b", free=9)
    world.ask("a", 1)
    world.run(1)
    assert "a" in world.served
    assert world.asks() == []


def test_where_none_is_free_here_a_player_is_sent_to_a_host_that_has_one() -> None:
    world = fleet_players()
    world.host("b", free=0, room=5)
    world.host("c", free=1)
    world.ask("a", 1, player="192.0.2.7")
    world.run(1)
    assert world.asks() == [("a", "c", False)]
    assert world.sent["a"].host == "c"
    assert world.drops() == []
    assert not world.state.plays
    [told] = [h for h in world.happened if h.kind == "played_elsewhere"]
    assert told.data == {
        "host": "c",
        "player": "192.0.2.7",
        "key": channel(1).key,
        "waited": 0.01,
        "tries": 1,
    }


def test_and_no_engine_is_started_here_for_it_nor_is_it_counted() -> None:
    world = fleet_players(1, max_replicas=5)
    world.host("b").answers_after = 1.0
    world.ask("a", 1)
    assert players_waiting(world.state, world.rules, world.now) == frozenset()
    world.run(30)
    assert "a" in world.sent
    assert not [action for action in world.taken if isinstance(action, Start)]
    assert world.state.taken == ()


def test_of_two_hosts_the_one_that_has_more_is_asked() -> None:
    for more, less in (("b", "c"), ("c", "b")):
        world = fleet_players()
        world.host(more, free=5)
        world.host(less, free=1)
        world.ask("a", 1)
        assert world.asks() == [("a", more, False)]


@pytest.mark.parametrize("form", ["json", "hls"])
def test_who_may_share_a_session_is_sent_where_it_may_be(form: str) -> None:
    hosts = []
    for free in ((5, 1), (1, 5)):
        world = fleet_players()
        for name, count in zip("bc", free, strict=True):
            world.host(name, free=count)
        world.ask("a", 1, json=form == "json", hls=form == "hls")
        hosts.append(world.asks()[0][1])
    assert hosts[0] == hosts[1]


def test_channels_are_spread_over_the_hosts() -> None:
    world = fleet_players()
    for name in "bcd":
        world.host(name, free=100)
    for n in range(60):
        world.ask(f"p{n}", n, hls=True, player=f"192.0.2.{n}")
    world.run(1)
    hosts = [session.host for session in world.sent.values()]
    assert all(hosts.count(name) >= 10 for name in "bcd")


def test_no_host_is_asked_for_more_than_it_has() -> None:
    world = fleet_players()
    world.host("b", free=3).answers_after = 0.5
    with world.at_once():
        for n in range(10):
            world.ask(f"p{n}", n, player=f"192.0.2.{n}")
    world.run(1)
    assert len(world.asks()) == 3
    assert len(world.sent) == 3
    assert len(world.state.plays) == 7
    world.host("b", free=1)
    world.ask("late", 99, player="192.0.2.99")
    world.run(0.6)
    assert "p3" in world.sent  # the first that waits
    assert world.asks()[3:] == [("p3", "b", False)]


def test_a_host_that_is_late_is_one_of_two_and_the_first_answer_counts() -> None:
    world = fleet_players()
    for name in "bcd":
        world.host(name, free=1).answers_after = 2.0
    world.ask("a", 1)
    world.run(1.1)
    assert len(world.asks()) == 1
    world.run(0.2)
    assert len(world.asks()) == 2
    world.run(10)
    first, second = (host for _, host, _ in world.asks())
    assert world.sent["a"].host == first
    assert world.drops() == [(second, "a")]
    assert not world.hosts[second].opened


def test_a_host_that_declines_or_is_not_there_costs_no_time() -> None:
    world = fleet_players()
    world.host("b").declines = NotPlayed.NO_ENGINE
    world.host("c").is_there = False
    world.ask("a", 1)
    world.run(0.1)
    assert {host for _, host, _ in world.asks()} == {"b", "c"}
    world.host("d").declines = NotPlayed.SILENT
    world.ask("b", 2)
    world.run(25)
    assert world.failed["a"].why is NotPlayed.NO_ENGINE


def test_a_host_that_was_not_there_is_asked_when_it_is_heard_again() -> None:
    """Its server may have ended, and ours with it."""
    world = fleet_players()
    for name in "bc":
        world.host(name).is_there = False
    world.ask("a", 1)
    world.run(2)
    assert len(world.asks()) == 2
    world.hosts["b"].is_there = True
    world.host("b")
    world.tell(TimePassed())  # as after its word
    world.run(1)
    assert world.sent["a"].host == "b"


def test_while_the_link_is_down_nobody_is_asked() -> None:
    world = fleet_players()
    world.host("b")
    world.tell(LinkDown("the server ended"))
    world.ask("a", 1)
    world.run(2)
    assert world.asks() == []
    assert not have_room(world.state)
    world.tell(LinkUp())
    world.run(0.1)
    assert world.sent["a"].host == "b"


def test_what_a_host_did_with_an_ask_is_undone_if_nobody_knows() -> None:
    """Its answer could not be read."""
    world = fleet_players()
    world.host("b").answers_after = math.inf
    world.ask("a", 1)
    world.tell(HostDeclined("a", "b", "its answer cannot be read"))
    world.run(0.1)
    assert world.drops() == [("b", "a")]


def test_what_a_host_declines_is_taken_as_its_word_until_it_says_more() -> None:
    world = fleet_players()
    world.host("b", free=5).declines = NotPlayed.NO_ENGINE
    world.ask("a", 1)
    world.run(0.1)
    world.ask("b", 2)
    world.run(0.1)
    assert world.asks() == [("a", "b", False)]


def test_after_two_hosts_an_engine_starts_here_and_the_late_ones_still_count() -> None:
    world = fleet_players(1, max_replicas=2)
    for name in "bcd":
        world.host(name).answers_after = 5.0
    world.ask("a", 1)
    world.run(2.3)
    assert not [action for action in world.taken if isinstance(action, Start)]
    world.run(0.2)
    assert len([action for action in world.taken if isinstance(action, Start)]) == 1
    assert len(world.asks()) == 2
    world.run(30)
    assert "a" in world.sent
    assert len(world.drops()) == 1


def test_an_engine_that_gets_free_here_meanwhile_is_taken() -> None:
    world = fleet_players()
    world.host("b").answers_after = 1.0
    world.ask("a", 1)
    world.run(0.1)
    world.leave("taken-0")
    world.run(0.3)
    assert "a" in world.served
    assert world.drops() == [("b", "a")]
    world.run(5)
    assert not world.hosts["b"].opened


def test_and_what_it_opens_after_the_host_did_is_stopped() -> None:
    world = fleet_players()
    world.host("b").answers_after = 0.3
    world.at(0).opens_after = 1.0
    world.ask("a", 1)
    world.run(0.1)
    world.leave("taken-0")
    world.run(5)
    assert "a" in world.sent
    assert world.sessions(0) == []
    assert not world.state.holds


@pytest.mark.parametrize("host_first", [True, False])
def test_where_both_open_in_one_turn_one_of_them_is_given(host_first: bool) -> None:
    world = fleet_players()
    world.host("b").answers_after = math.inf
    world.at(0).opens_after = math.inf
    world.ask("a", 1)
    world.leave("taken-0")
    [open_here] = world.opened()
    world.hosts["b"].opened.add("a")
    here = PlayOpened(*open_here.ref, "a", Opening(channel(1).key, "t", "", is_live=True))
    there = HostPlayed("a", session("b", "t"))
    with world.at_once():
        for fact in (there, here) if host_first else (here, there):
            world.tell(fact)
    world.run(1)
    assert ("a" in world.sent) == host_first
    assert ("a" in world.served) != host_first
    assert bool(world.hosts["b"].opened) == host_first
    assert len(world.state.readers) == len(world.served)
    assert not world.state.holds


def test_where_two_hosts_open_in_one_turn_one_of_them_is_told_to_stop() -> None:
    world = fleet_players()
    for name in "bc":
        world.host(name).answers_after = math.inf
    world.ask("a", 1)
    world.run(1.3)
    with world.at_once():
        for name in "bc":
            world.hosts[name].opened.add("a")
            world.tell(HostPlayed("a", session(name, "t")))
    assert world.sent["a"].host == "b"
    assert world.drops() == [("c", "a")]


def test_where_none_can_start_here_a_host_may_start_one() -> None:
    world = fleet_players()
    world.host("b", free=0, room=1).answers_after = 7.0
    world.ask("a", 1)
    world.run(8)
    assert world.asks() == [("a", "b", True)]
    assert world.sent["a"].host == "b"


def test_a_start_elsewhere_has_the_time_a_start_takes() -> None:
    world = fleet_players()
    for name in "bc":
        world.host(name, free=0, room=1).answers_after = math.inf
    world.ask("a", 1)
    world.run(world.state.typical_start + 1.1)
    assert len(world.asks()) == 1
    world.run(0.2)
    assert {host for _, host, _ in world.asks()} == {"b", "c"}
    world.run(30)
    assert world.failed["a"].why is NotPlayed.NO_ENGINE
    assert {host for host, _ in world.drops()} == {"b", "c"}


def test_while_one_can_start_here_no_host_starts_one() -> None:
    world = fleet_players(1, max_replicas=2)
    world.host("b", free=0, room=5)
    world.ask("a", 1)
    world.run(10)
    assert world.asks() == []
    assert "a" in world.served


def test_a_host_that_had_none_free_may_be_asked_to_start_one() -> None:
    world = fleet_players()
    host = world.host("b", free=1, room=1)
    host.declines = NotPlayed.NO_ENGINE
    world.ask("a", 1)
    world.later(0.005, lambda: setattr(host, "declines", None))
    world.run(1)
    assert world.asks() == [("a", "b", False), ("a", "b", True)]
    assert "a" in world.sent


def test_a_host_that_is_lost_is_not_asked_and_not_waited_for() -> None:
    world = fleet_players()
    for name in "bc":
        world.host(name, free=0, room=1).answers_after = math.inf
    world.ask("a", 1)
    [(_, first, _)] = world.asks()
    lost = world.state.fleet.hosts[first]
    world.state.fleet.put(replace(lost, standing=Standing.LOST))
    world.ask("b", 2, player="192.0.2.2")
    assert [ask for ask in world.asks() if ask[0] == "a"][1:] == [
        ("a", "c" if first == "b" else "b", True)
    ]
    assert first not in {host for request, host, _ in world.asks() if request == "b"}


@pytest.mark.parametrize("hls", [False, True])
def test_a_session_elsewhere_is_shared_where_nothing_is_free_any_more(hls: bool) -> None:
    world = fleet_players()
    world.host("b")
    world.ask("first", 1, json=not hls, hls=hls)
    world.run(0.1)
    assert world.state.fleet.hosts["b"].digest.free == 0
    world.ask("second", 1, json=not hls, hls=hls)
    world.ask("other", 2, json=not hls, hls=hls)
    world.run(0.1)
    assert world.sent.keys() == {"first", "second"}
    assert [(request, host) for request, host, _ in world.asks()] == [
        ("first", "b"),
        ("second", "b"),
    ]


def test_a_host_that_has_no_session_to_share_any_more_is_not_asked_for_it_again() -> None:
    world = fleet_players()
    world.host("b")
    world.ask("first", 1, hls=True)
    world.run(0.1)
    world.host("b", free=0).declines = NotPlayed.NO_ENGINE
    for number in range(2):
        world.ask(f"late-{number}", 1, hls=True)
        world.run(0.1)
    assert [request for request, _, _ in world.asks()] == ["first", "late-0"]


def test_hosts_that_had_no_engine_are_asked_again_while_a_player_waits() -> None:
    world = fleet_players()
    hosts = [world.host(name, free=5) for name in ("b", "c")]
    for host in hosts:
        host.declines = NotPlayed.NO_ENGINE
    world.ask("a", 1)
    world.run(1)
    assert {host for _, host, _ in world.asks()} == {"b", "c"}
    for host, name in zip(hosts, ("b", "c"), strict=True):
        host.declines = None
        world.host(name, free=5)
    world.run(3.8)
    assert "a" not in world.sent
    world.run(0.4)
    assert "a" in world.sent


def test_hosts_that_refuse_a_content_count_as_engines_that_do() -> None:
    world = fleet_players()
    for name in "bcd":
        world.host(name).declines = NotPlayed.REFUSED
    world.ask("a", 1)
    world.run(1)
    assert world.failed["a"].why is NotPlayed.REFUSED
    assert world.failed["a"].words == "in its words"
    assert len(world.asks()) == 2
    world.ask("b", 1)
    world.run(1)
    assert world.failed["b"].why is NotPlayed.REFUSED
    assert len(world.asks()) == 3


def test_what_a_host_refused_is_no_failure_while_another_one_may_have_it() -> None:
    world = fleet_players()
    for name in "bc":
        world.host(name)
    world.ask("probe", 1)
    [(_, first, _)] = world.asks()
    world.run(1)
    world.hosts[first].declines = NotPlayed.REFUSED
    world.hosts["c" if first == "b" else "b"].answers_after = 3.0
    for name in "bc":
        world.host(name)
    world.ask("a", 1)
    world.run(5)
    assert world.sent["a"].host != first


def test_players_leave_a_host_in_maintenance_for_others() -> None:
    world = fleet_players(1, taken=False)
    world.host("b", free=0, room=2)
    world.tell(MaintenanceRequested())
    world.run(1)
    world.ask("a", 1)
    world.run(1)
    assert world.sent["a"].host == "b"
    world.hosts["b"].declines = NotPlayed.NO_ENGINE
    world.ask("b", 2, player="192.0.2.2")
    world.run(0.1)
    assert world.failed["b"].why is NotPlayed.NO_ENGINE
    assert "maintenance" in world.failed["b"].words


def test_what_another_host_refuses_is_refused_by_one_in_maintenance() -> None:
    world = fleet_players(1, taken=False)
    world.host("b").declines = NotPlayed.REFUSED
    world.tell(MaintenanceRequested())
    world.ask("a", 1)
    world.run(0.1)
    assert world.failed["a"].why is NotPlayed.REFUSED


def test_a_player_that_came_in_where_no_engine_is_reached_plays_elsewhere() -> None:
    world = fleet_players(1, taken=False)
    world.ask("a", 1, arrival="192.0.2.9")
    world.run(0.1)
    assert world.failed["a"].words == "ENGINE_HOST lacks 192.0.2.9"
    world.host("b", free=0, room=1)
    world.ask("b", 1, arrival="192.0.2.9")
    world.run(0.1)
    assert world.sent["b"].host == "b"


def test_a_session_that_is_moved_stays_on_its_host() -> None:
    world = fleet_players()
    world.host("b", free=5, room=5)
    world.ask("a", 1, instead_of="some|session", within=9)
    world.run(10)
    assert world.asks() == []
    assert world.failed["a"].why is NotPlayed.NO_ENGINE


def test_what_a_host_asks_for_is_asked_of_no_other_one() -> None:
    world = fleet_players()
    world.host("b", free=5, room=5)
    for_other(world, "a", may_start=True)
    world.run(26)
    assert world.asks() == []
    assert world.failed["a"].why is NotPlayed.NO_ENGINE


def test_a_host_that_asks_for_a_free_engine_is_told_at_once_that_there_is_none() -> None:
    world = fleet_players(1, max_replicas=2)
    for n in range(3):
        world.ask(f"waits-{n}", n + 1, player=f"192.0.2.{n}")
    world.taken.clear()
    for_other(world, "a", may_start=False)
    assert world.failed["a"].why is NotPlayed.NO_ENGINE
    assert not [action for action in world.taken if isinstance(action, Start)]


def test_a_host_that_asks_for_a_free_engine_gets_it() -> None:
    world = fleet_players(1, taken=False)
    for_other(world, "a", may_start=False)
    world.run(1)
    assert "a" in world.served


@pytest.mark.parametrize("after", [0.1, 5.0])
def test_who_hangs_up_has_it_dropped(after: float) -> None:
    """Before the host answered, or after its session was on its way to the player."""
    world = fleet_players()
    world.host("b").answers_after = 1.0
    world.ask("a", 1)
    world.run(after)
    host = world.sent["a"].host if "a" in world.sent else ""
    world.tell(PlayerLeft("a", host=host))
    world.run(5)
    assert world.drops() == [("b", "a")]
    assert not world.hosts["b"].opened


def test_what_a_host_opened_for_nobody_is_dropped() -> None:
    world = fleet_players()
    world.host("b")
    world.hosts["b"].opened.add("unknown")
    world.tell(HostPlayed("unknown", session("b", "t")))
    assert world.drops() == [("b", "unknown")]


def test_a_crowd_that_no_host_has_room_for_costs_as_much_as_it_has_players(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = fleet_players()
    for name in "bcd":
        world.host(name, free=0, room=0)
    looked_at: list[str] = []
    find = choice._find

    def counted(
        state: State, rules: Rules, means: choice.Means, play: Play, now: Now
    ) -> Iterator[Action | float]:
        looked_at.append(play.id)
        return find(state, rules, means, play, now)

    monkeypatch.setattr(choice, "_find", counted)
    with world.at_once():
        for n in range(200):
            world.ask(f"p{n}", n, json=True)
    looked_at.clear()
    world.ask("one more", 201, json=True)
    assert len(looked_at) <= 4
