"""Which engine a player gets, and when."""

import pytest

from acekeeper.core.actions import Grant, Start, TakeBack
from acekeeper.core.doubt import Content
from acekeeper.core.gateway import plays
from acekeeper.core.gateway.actions import StopSession, Supersede
from acekeeper.core.gateway.facts import PlayerLeft, PlaySilent, StopAsked
from acekeeper.core.gateway.model import NotPlayed
from acekeeper.core.state import State

from ..world import slot
from .players import Gateway, Opens, channel, gateway


def test_a_player_gets_the_free_engine_that_is_idle_for_longest() -> None:
    world = gateway(3)
    world.ask("a", 1)
    world.run(1)
    world.tell(StopAsked(world.served["a"].id))
    world.run(1)
    world.ask("b", 2)
    world.run(1)
    assert world.slots() == [0, 1]
    assert world.served["b"].session in world.at(slot(1)).open


def test_twenty_players_at_once_get_twenty_engines() -> None:
    world = gateway(20)
    for n in range(20):
        world.ask(f"p{n}", n, player=f"192.0.2.{n}")
    world.run(1)
    assert sorted(world.slots()) == list(range(20))
    assert len(world.served) == 20


def test_two_players_of_one_channel_get_an_engine_each() -> None:
    world = gateway(2)
    world.ask("a", 1, player="192.0.2.1")
    world.ask("b", 1, player="192.0.2.2")
    world.run(1)
    assert sorted(world.slots()) == [0, 1]
    assert not world.at(slot(0)).cut


def test_where_an_engine_may_play_several_a_content_is_opened_on_it_once() -> None:
    world = gateway(1, max_streams_per_engine=2)
    world.ask("a", 1, player="192.0.2.1")
    world.ask("b", 1, player="192.0.2.2")
    world.ask("c", 2, player="192.0.2.3")
    world.run(30)
    assert sorted(world.served) == ["a", "c"]
    assert world.failed["b"].why is NotPlayed.NO_ENGINE
    assert not world.at(slot(0)).cut


def test_an_engine_that_drains_for_scale_stays_for_a_player() -> None:
    world = gateway(2, min_replicas=1, auto_delete=True)
    world.run(20)
    assert world.engine(0).drain
    world.ask("a", 1)
    world.ask("b", 2, player="192.0.2.2")
    world.run(1)
    assert any(isinstance(action, TakeBack) for action in world.taken)
    assert sorted(world.slots()) == [0, 1]


def test_a_player_waits_for_an_engine_that_starts_and_is_answered_when_it_is_ready() -> None:
    world = Gateway(gateway(0).rules)
    world.connect()
    world.ask("a", 1)
    world.run(6.3)
    assert "a" not in world.served
    world.run(0.5)
    assert "a" in world.served


def test_players_wait_in_their_order() -> None:
    world = gateway(1)
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
    world = gateway(2, max_replicas=2)
    world.request("api")
    world.ask("player", 1)
    world.request("late")
    world.run(1)
    grant = next(action for action in world.taken if isinstance(action, Grant))
    assert grant.slot != world.opened()[0].slot
    assert world.refused("late").code == "max_capacity"


def test_at_the_cap_a_player_gets_the_engine_of_the_session_nobody_reads() -> None:
    world = gateway(2)
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
    world = gateway(1)
    world.ask("a", 1, player="192.0.2.1", json=True)
    world.run(20)  # it never comes for its picture
    world.at(slot(0)).stops = False
    world.ask("b", 2, player="192.0.2.2")
    world.run(2)
    assert "b" not in world.served
    world.at(slot(0)).stops = True
    world.run(6)
    assert "b" in world.served
    assert world.slots() == [0, 0]


def test_a_session_that_is_read_is_left_alone() -> None:
    world = gateway(1)
    world.ask("a", 1, player="192.0.2.1")
    world.run(1)
    world.picture("a")
    world.ask("b", 2, player="192.0.2.2")
    world.run(26)
    assert world.failed["b"].why is NotPlayed.NO_ENGINE
    assert not [action for action in world.taken if isinstance(action, Supersede)]


def test_a_player_that_goes_on_to_another_channel_gives_its_engine_back_at_once() -> None:
    world = gateway(2)
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
    world = gateway(3)
    for n in range(20):
        world.ask(f"p{n}", n)
        world.run(1)
        assert f"p{n}" in world.served, f"channel {n}"
        world.picture(f"p{n}")
        world.run(2)
        world.hang_up(f"p{n}")


def test_a_second_reader_behind_the_same_address_ends_nothing() -> None:
    """Two televisions behind one address: neither has only this session."""
    world = gateway(3)
    for name, n in (("a", 1), ("b", 2)):
        world.ask(name, n)
        world.run(0.3)
        world.picture(name)
    world.run(3)
    world.ask("c", 3)
    world.run(5)
    assert world.reasons() == {}


@pytest.mark.parametrize("opens", ["refuses", "breaks"])
def test_the_next_engine_is_asked_at_once(opens: Opens) -> None:
    world = gateway(2)
    world.at(slot(0)).opens = opens
    world.ask("a", 1)
    world.run(0.5)
    assert world.slots() == [0, 1]
    assert world.served["a"].slot == slot(1)


def test_a_content_that_two_engines_refuse_is_refused_at_once_then_by_one() -> None:
    world = gateway(4)
    for n in range(4):
        world.at(slot(n)).opens = "refuses"
    world.ask("a", 1)
    world.run(0.5)
    assert world.failed["a"].why is NotPlayed.REFUSED
    assert world.failed["a"].words == "failed to load content"
    assert len(world.opened()) == 2
    world.ask("b", 1)
    world.run(0.3)
    assert world.failed["b"].why is NotPlayed.REFUSED
    assert len(world.opened()) == 3


def test_with_no_other_engine_free_one_refusal_is_the_answer() -> None:
    world = gateway(1)
    world.at(slot(0)).opens = "refuses"
    world.ask("a", 1)
    world.run(0.5)
    assert world.failed["a"].why is NotPlayed.REFUSED


def test_an_engine_that_hangs_costs_the_hedge() -> None:
    world = gateway(2)
    world.at(slot(0)).opens = "hangs"
    world.ask("a", 1, json=True, within=9)
    world.run(2.9)
    assert world.slots() == [0]
    world.run(0.5)
    assert world.served["a"].slot == slot(1)
    assert "playback_doubted" in world.kinds()


def test_of_three_that_hang_but_for_one_that_one_plays() -> None:
    world = gateway(3)
    for n in (0, 1):
        world.at(slot(n)).opens = "hangs"
    world.ask("a", 1)
    world.run(7)
    assert world.slots() == [0, 1, 2]
    assert world.served["a"].slot == slot(2)
    assert "content_blamed" not in world.kinds()
    assert "playback_doubted" in world.kinds()


def test_no_more_than_three_are_asked() -> None:
    world = gateway(5)
    for n in range(5):
        world.at(slot(n)).opens = "hangs"
    world.ask("a", 1)
    world.run(26)
    assert len(world.opened()) == 3
    assert world.failed["a"].why is NotPlayed.SILENT
    assert "content_blamed" in world.kinds()


def test_the_one_that_answers_late_is_stopped() -> None:
    world = gateway(2)
    world.at(slot(0)).takes = 8
    world.ask("a", 1)
    world.run(12)
    assert world.served["a"].slot == slot(1)
    assert world.at(slot(0)).open == {}
    assert world.state.holds == {}


def test_a_hedge_takes_no_engine_from_a_player_that_waits() -> None:
    world = gateway(2)
    world.at(slot(0)).opens = "hangs"
    world.ask("a", 1)
    world.run(2)
    world.ask("b", 2, player="192.0.2.2")
    world.run(2)
    assert world.served["b"].slot == slot(1)
    assert "a" not in world.served


def test_where_most_opens_are_late_the_host_is_slow_and_no_other_is_asked() -> None:
    world = gateway(12)
    for n in range(12):
        world.at(slot(n)).takes = 5
    for n in range(6):
        world.ask(f"p{n}", n, player=f"192.0.2.{n}")
    world.run(4.9)
    assert len(world.opened()) == 6
    world.run(2)
    assert len(world.served) == 6
    assert "playback_doubted" not in world.kinds()


@pytest.mark.parametrize("after", [0.1, 0.25])
def test_a_player_that_hangs_up_leaves_nothing_open(after: float) -> None:
    world = gateway(1)
    world.ask("a", 1)
    world.run(after)
    world.tell(PlayerLeft("a", world.served["a"].id if "a" in world.served else ""))
    world.run(2)
    assert world.state.plays == {}
    assert world.state.holds == {}
    assert world.at(slot(0)).open == {}
    assert world.state.is_free(world.engine(0), world.rules)


def test_an_open_that_is_given_up_is_cleaned_up_before_others_get_the_engine() -> None:
    world = gateway(1)
    player = world.at(slot(0))
    player.opens = "hangs"
    world.ask("a", 1, within=9, json=True)
    world.run(10)
    assert world.failed["a"].why is NotPlayed.SILENT
    assert not world.state.is_free(world.engine(0), world.rules)
    world.run(111)
    assert any(isinstance(action, StopSession) for action in world.taken)
    assert world.state.holds == {}


def test_json_players_behind_one_address_get_one_answer_until_its_picture_was_asked_for() -> None:
    world = gateway(3)
    world.ask("a", 1, json=True)
    world.run(0.1)
    world.ask("b", 1, json=True)
    world.run(1)
    world.ask("c", 1, json=True)
    world.run(1)
    assert {world.served[name].id for name in "abc"} == {world.served["a"].id}
    world.picture("a")
    world.ask("d", 1, json=True)
    world.run(1)
    assert world.served["d"].slot == slot(1)


def test_a_session_goes_on_when_one_of_those_that_it_was_given_to_hangs_up() -> None:
    world = gateway(2)
    for form, content in (("json", 1), ("hls", 2)):
        for name in ("a", "b"):
            world.ask(name, content, json=form == "json", hls=form == "hls")
            world.run(1)
        session = world.served["b"].id
        assert world.served["a"].id == session
        world.tell(PlayerLeft("b", session))
        assert world.reasons() == {}
        world.tell(PlayerLeft("a", session))
        assert world.reasons().pop(session) == "stopped"
        world = gateway(2)


def test_a_proxy_that_was_given_its_session_twice_stops_it_once() -> None:
    world = gateway(1)
    for name in ("a", "b"):
        world.ask(name, 1, json=True)
    world.run(1)
    world.tell(StopAsked(world.served["b"].id))
    assert world.reasons() == {world.served["a"].id: "stopped"}


def test_an_hls_session_is_shared_and_the_last_stop_ends_it() -> None:
    world = gateway(2)
    for n, name in enumerate("abc"):
        world.ask(name, 1, hls=True, player=f"192.0.2.{n}")
    world.run(1)
    assert {world.served[name].id for name in "abc"} == {world.served["a"].id}
    assert len(world.opened()) == 1
    stream = world.served["a"].id
    for _ in "ab":
        world.tell(StopAsked(stream))
        assert world.state.streams[stream].ended is None
    world.tell(StopAsked(stream))
    assert world.reasons() == {stream: "stopped"}


def test_a_player_gets_no_engine_that_is_not_published_where_it_came_in() -> None:
    world = gateway(1)
    world.ask("a", 1, arrival="192.0.2.9")
    world.run(1)
    assert world.opened() == []
    assert world.failed["a"].why is NotPlayed.NO_ENGINE
    assert world.failed["a"].words == "ENGINE_HOST lacks 192.0.2.9"
    assert len(world.state.engines) == 1  # none was started for it either


def test_a_moved_player_gets_another_engine_under_its_old_token() -> None:
    world = gateway(2)
    world.ask("a", 1)
    world.run(1)
    old = world.served["a"]
    world.ask("b", 1, instead_of=old.id)
    world.run(1)
    new = world.served["b"]
    assert new.slot != old.slot
    assert world.state.tokens[old.session] == new.id
    assert world.reasons() == {old.id: "moved"}
    assert world.at(slot(0)).open == {}


def test_a_content_id_and_its_infohash_are_one_content_once_an_engine_told_so() -> None:

    world = gateway(3)
    by_id = Content("content_id", channel(1).key)
    world.ask("a", by_id, hls=True)
    world.run(1)
    world.ask("b", 1, hls=True)
    world.run(1)
    assert world.served["b"].id == world.served["a"].id


def test_waiting_players_have_engines_started_up_to_the_cap() -> None:
    world = gateway(0, max_replicas=3)
    for n in range(5):
        world.ask(f"p{n}", n, player=f"192.0.2.{n}")
    world.run(8)
    assert len([action for action in world.taken if isinstance(action, Start)]) == 3
    assert list(world.served) == ["p0", "p1", "p2"]
    world.tell(StopAsked(world.served["p0"].id))
    world.run(1)
    assert "p3" in world.served


def test_an_engine_that_dies_in_an_open_costs_no_more_than_the_next_one() -> None:
    world = gateway(2)
    world.at(slot(0)).opens = "hangs"
    world.ask("a", 1)
    world.run(1)
    world.die(slot(0))
    world.run(0.5)
    assert world.served["a"].slot == slot(1)


def test_a_player_is_told_that_engines_were_silent_also_where_that_is_excused() -> None:
    world = gateway(1)
    world.at(slot(0)).opens = "hangs"
    world.ask("a")
    [asked] = world.opened()
    world.tell(PlaySilent("a", asked.slot, asked.start, "no answer", excused=True))
    world.run(25)
    assert world.failed["a"].why is NotPlayed.SILENT
    assert world.state.engines[slot(0)].doubt is None


def test_a_player_shares_a_session_that_knows_no_more_tokens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plays, "_TOKENS_KEPT", 1)
    world = gateway(1)
    for name in ("first", "second", "now"):
        world.ask(name, hls=True)
        world.run(1)
        if name != "now":
            world.tell(StopAsked(world.served[name].id))
            world.run(1)
    for name in ("first", "second", "first"):
        world.ask(f"{name} again", hls=True, instead_of=world.served[name].id)
        world.run(1)
        assert world.served.pop(f"{name} again").id == world.served["now"].id


def test_a_crowd_of_waiting_players_costs_each_time_as_much_as_it_has_players(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_at = 0

    def counted(state: State, content: Content) -> Content:
        nonlocal looked_at
        looked_at += 1
        return content

    world = gateway(1)
    monkeypatch.setattr("acekeeper.core.gateway.contents.canonical", counted)
    costs = []
    for crowd in (100, 200):
        for n in range(len(world.state.plays), crowd):
            world.ask(f"p{n}", n, json=True)
        looked_at = 0
        world.ask("one more", crowd, json=True)
        costs.append(looked_at)
    assert costs[1] < 3 * costs[0]


def test_a_session_that_ends_for_one_player_is_not_given_to_another_at_once() -> None:
    world = gateway(1)
    world.ask("before", 1, hls=True)
    world.run(60)
    with world.at_once():
        world.ask("a", 2)
        world.ask("b", 1, hls=True)
    world.run(30)
    assert world.reasons()[world.served["before"].id] == "superseded"
    assert world.served["a"].key == channel(2).key


def test_many_sessions_of_one_content_can_go_on_as_one() -> None:
    world = gateway(1)
    old = [str(n) for n in range(10)]
    for name in old:
        world.ask(name, 1, hls=True)
        world.run(1)
        world.tell(StopAsked(world.served[name].id))
        world.run(1)
    world.ask("newest", 1, hls=True)
    world.run(1)
    with world.at_once():
        for name in (*old, old[0]):
            request = f"{name} again" if f"{name} again" not in world.state.plays else "and again"
            world.ask(request, 1, hls=True, instead_of=world.served[name].id)
    world.run(1)
    assert world.served["and again"].id == world.served["newest"].id
