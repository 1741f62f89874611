"""Sessions that several players have, at once or one after another."""

import math

import pytest

from acekeeper.core.doubt import Content
from acekeeper.core.facts import StreamStopped
from acekeeper.core.gateway import plays
from acekeeper.core.gateway.actions import StopSession
from acekeeper.core.gateway.facts import PlayerLeft, PlayOpened, PlaySilent, StopAsked
from acekeeper.core.model import Opening

from ..world import slot
from .players import Players, channel, players


def test_json_players_behind_one_address_get_one_answer_until_its_picture_was_asked_for() -> None:
    world = players(3)
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


@pytest.mark.parametrize("form", ["json", "hls"])
def test_a_session_goes_on_while_others_have_it_when_one_player_hangs_up(form: str) -> None:
    world = players(1)
    for name in "ab":
        world.ask(name, 1, json=form == "json", hls=form == "hls")
        world.run(1)
    session = world.served["b"].id
    assert world.served["a"].id == session
    world.tell(PlayerLeft("b", session))
    assert world.reasons() == {}
    world.tell(PlayerLeft("a", session))
    assert world.reasons() == {session: "stopped"}


def test_a_proxy_that_was_given_its_session_twice_stops_it_once() -> None:
    world = players(1)
    for name in ("a", "b"):
        world.ask(name, 1, json=True)
    world.run(1)
    world.tell(StopAsked(world.served["b"].id))
    assert world.reasons() == {world.served["a"].id: "stopped"}


def test_an_hls_session_is_shared_and_the_last_stop_ends_it() -> None:
    world = players(2)
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


def test_a_session_of_two_players_is_not_given_up_when_one_goes_on() -> None:
    world = players(2)
    for n, name in enumerate("ab"):
        world.ask(name, 1, hls=True, player=f"192.0.2.{n}")
        world.run(1)
    world.ask("c", 2, hls=True, player="192.0.2.1")
    world.run(20)
    assert world.reasons() == {}


def test_a_moved_player_gets_another_engine_under_its_old_token() -> None:
    world = players(2)
    world.ask("a", 1)
    world.run(1)
    old = world.served["a"]
    world.ask("b", 1, instead_of=old.id)
    world.run(1)
    new = world.served["b"]
    assert new.slot != old.slot
    assert world.state.tokens[old.session] == new.id
    assert world.reasons() == {old.id: "moved"}
    assert world.sessions(0) == []


def test_a_content_id_and_its_infohash_are_one_content_once_an_engine_told_so() -> None:

    world = players(3)
    world.ask("a", Content("content_id", channel(1).key), hls=True)
    world.run(1)
    world.ask("b", 0, hls=True)
    world.run(1)
    assert world.served["b"].id == world.served["a"].id


def test_a_player_shares_a_session_that_knows_no_more_tokens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plays, "_TOKENS_KEPT", 1)
    world = players(1)
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


def test_many_sessions_of_one_content_can_go_on_as_one() -> None:
    world = players(1)
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


@pytest.mark.parametrize("content", [1, 2])
def test_a_session_with_the_token_of_another_that_is_open_is_stopped_and_not_served(
    content: int,
) -> None:
    """Whatever its player asked for by that token would be the other one's."""
    world = players(3)
    world.ask("a", 1)
    world.run(1)
    token = world.served["a"].session
    world.at(1).opens_after = math.inf
    world.ask("b", content, player="192.0.2.2")
    [_, late] = world.opened()
    opening = Opening(channel(content).key, token, "name", is_live=True)
    world.tell(PlayOpened(*late.ref, late.request, opening))
    world.run(1)
    assert world.slots() == [0, 1, 2]
    assert [(s.slot, s.hold.token) for s in world.taken if isinstance(s, StopSession)] == [
        (slot(1), token)
    ]
    assert not world.state.holds
    assert world.served["b"].slot == slot(2)
    assert world.state.streams[world.state.tokens[token]] == world.served["a"]


def test_an_open_that_breaks_off_late_ends_no_session_of_its_content() -> None:
    """Opened there since, by another name, of which only its answer said that it is the same."""
    world = players(1, max_streams_per_engine=2)
    world.at(0).opens_after = math.inf
    world.ask("left", 4)
    [late] = world.opened()
    world.tell(PlayerLeft("left"))
    world.at(0).opens_after = 0.2
    world.ask("b", Content("content_id", f"{5:040x}"))
    world.run(1)
    assert world.served["b"].contents == {channel(4), Content("content_id", f"{5:040x}")}
    world.tell(PlaySilent(*late.ref, late.request, "broke off", broken=True))
    world.run(1)
    assert not [action for action in world.taken if isinstance(action, StopSession)]
    assert not world.state.holds
    assert world.reasons() == {}


def test_a_player_that_shares_a_session_has_no_engine_started() -> None:
    world = players(2, min_replicas=1, max_replicas=3)
    world.ask("a", 1, hls=True)
    world.run(20)
    world.ask("b", 1, hls=True, player="192.0.2.2")
    assert world.served["b"] == world.served["a"]
    assert world.starts() == []


def _is_unwell_for_one_look(world: Players) -> None:
    """The first engine: so its session is given to nobody else."""
    engine = world.outside[slot(0)]
    engine.hung = True
    world.survey()
    engine.hung = False


def test_who_waited_for_a_session_that_it_cannot_share_gets_an_engine() -> None:
    world = players(2)
    world.at(0).opens_after = 2.0
    world.ask("a", 1, json=True)
    world.ask("b", 1, json=True)
    world.run(1.99)
    _is_unwell_for_one_look(world)
    world.run(0.01)
    assert list(world.served) == ["a"]
    assert world.slots() == [0, 1]


def test_a_session_that_its_player_left_for_a_shared_one_is_stopped() -> None:
    world = players(2)
    world.ask("a", 1, hls=True)
    world.run(1)
    _is_unwell_for_one_look(world)
    world.ask("b", 1, hls=True, player="192.0.2.2")
    world.run(1)
    world.ask("a again", 1, hls=True, instead_of=world.served["a"].id)
    world.run(1)
    assert world.served["a again"].id == world.served["b"].id
    assert world.sessions(0) == []


def test_a_claim_lasts_where_the_session_of_a_player_beside_it_ends() -> None:
    world = players(1, max_streams_per_engine=2)
    world.at(0).opens_after = 1
    world.ask("a", 1)
    world.request("r")
    world.run(1.5)
    world.tell(StreamStopped(world.served["a"].id, world.served["a"].session))
    world.run(58)
    assert world.engine(0).claim == "r"
    world.run(1)
    assert world.engine(0).claim is None
