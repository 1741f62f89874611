"""What becomes of a player whose engines refuse, hang, or answer late."""

import math

import pytest

from acekeeper.core.changes import Changes
from acekeeper.core.facts import ActionTaken, BreakerReset, Fact, StreamEnded
from acekeeper.core.gateway.actions import StopSession
from acekeeper.core.gateway.choice import players_waiting
from acekeeper.core.gateway.facts import PlayerLeft, PlaySilent, StopAsked
from acekeeper.core.gateway.model import NotPlayed

from ..world import slot
from .players import players


def test_what_is_done_for_players_was_promised_to_no_caller_of_the_api(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which is what the store asks: whether it has to outlive the host."""
    world = players(1)
    by_cause: dict[str, bool] = {}
    apply = world._apply

    def applied(fact: Fact) -> Changes:
        changes = apply(fact)
        cause = fact.action if isinstance(fact, ActionTaken) else fact
        by_cause[type(cause).__name__] = changes.of_gateway
        return changes

    monkeypatch.setattr(world, "_apply", applied)
    world.ask("a", 1)
    world.run(0.5)
    world.tell(StopAsked(world.served["a"].id))
    for cause in ("PlayRequested", "Open", "PlayOpened", "Serve", "StopAsked"):
        assert by_cause[cause], cause
    world.tell(StreamEnded(world.served["a"].id))
    world.tell(BreakerReset())
    assert not by_cause["StreamEnded"]
    assert not by_cause["BreakerReset"]


@pytest.mark.parametrize("answers", ["refused", "broken"])
def test_the_next_engine_is_asked_at_once(answers: str) -> None:
    world = players(2)
    world.at(0).answers = answers
    world.ask("a", 1)
    world.run(0.5)
    assert world.slots() == [0, 1]
    assert world.served["a"].slot == slot(1)


def test_a_content_that_two_engines_refuse_is_refused_at_once_then_by_one() -> None:
    world = players(4)
    for n in range(4):
        world.at(n).answers = "refused"
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
    world = players(1)
    world.at(0).answers = "refused"
    world.ask("a", 1)
    world.run(0.5)
    assert world.failed["a"].why is NotPlayed.REFUSED


def test_an_engine_that_hangs_costs_the_hedge() -> None:
    world = players(2)
    world.at(0).opens_after = math.inf
    world.ask("a", 1, json=True, within=9)
    world.run(2.9)
    assert world.slots() == [0]
    world.run(0.5)
    assert world.served["a"].slot == slot(1)
    assert "playback_doubted" in world.kinds()


def test_of_three_that_hang_but_for_one_that_one_plays() -> None:
    world = players(3)
    for n in (0, 1):
        world.at(n).opens_after = math.inf
    world.ask("a", 1)
    world.run(7)
    assert world.slots() == [0, 1, 2]
    assert world.served["a"].slot == slot(2)
    assert "content_blamed" not in world.kinds()
    assert "playback_doubted" in world.kinds()


def test_no_more_than_three_are_asked() -> None:
    world = players(5)
    for n in range(5):
        world.at(n).opens_after = math.inf
    world.ask("a", 1)
    world.run(26)
    assert len(world.opened()) == 3
    assert world.failed["a"].why is NotPlayed.SILENT
    assert "content_blamed" in world.kinds()


def test_the_one_that_answers_late_is_stopped() -> None:
    world = players(2)
    world.at(0).opens_after = 8
    world.ask("a", 1)
    world.run(12)
    assert world.served["a"].slot == slot(1)
    assert world.sessions(0) == []
    assert world.state.holds == {}


def test_a_hedge_takes_no_engine_from_a_player_that_waits() -> None:
    world = players(2)
    world.at(0).opens_after = math.inf
    world.ask("a", 1)
    world.run(2)
    world.ask("b", 2, player="192.0.2.2")
    world.run(2)
    assert world.served["b"].slot == slot(1)
    assert "a" not in world.served


def test_where_most_opens_are_late_the_host_is_slow_and_no_other_is_asked() -> None:
    world = players(12)
    for n in range(12):
        world.at(n).opens_after = 5
    for n in range(6):
        world.ask(f"p{n}", n, player=f"192.0.2.{n}")
    world.run(4.9)
    assert len(world.opened()) == 6
    world.run(2)
    assert len(world.served) == 6
    assert "playback_doubted" not in world.kinds()


def test_a_player_that_gets_its_session_may_end_that_and_then_the_next_engine_is_asked() -> None:
    world = players(6)
    for n in range(4):
        world.at(n).opens_after = math.inf
    world.at(4).opens_after = 2
    world.play(slot(5))
    world.ask("a", 1)
    world.run(0.5)
    for n in range(2, 5):
        world.ask(f"late-{n}", n, player=f"192.0.2.{n}")
    world.run(4.4)
    world.leave("s")
    assert world.slots() == [0, 1, 2, 3, 4]
    world.run(0.15)
    assert "a" in world.served
    assert world.slots() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("after", [0.1, 0.25])
def test_a_player_that_hangs_up_leaves_nothing_open(after: float) -> None:
    world = players(1)
    world.ask("a", 1)
    world.run(after)
    world.tell(PlayerLeft("a", world.served["a"].id if "a" in world.served else ""))
    world.run(2)
    assert world.state.plays == {}
    assert world.state.holds == {}
    assert world.sessions(0) == []
    assert world.state.is_free(world.engine(0), world.rules)


def test_nor_one_that_hangs_up_in_the_moment_in_which_its_session_is_opened() -> None:
    world = players(1)
    world.ask("a", 1)
    with world.at_once():
        world.run(0.3)
        assert world.state.plays["a"].stream
        world.tell(PlayerLeft("a"))
    assert world.state.readers == {}
    world.run(1)
    assert world.sessions(0) == []
    assert world.state.is_free(world.engine(0), world.rules)


def test_an_open_that_is_given_up_is_cleaned_up_before_others_get_the_engine() -> None:
    world = players(1)
    world.at(0).opens_after = math.inf
    world.ask("a", 1, within=9, json=True)
    world.run(10)
    assert world.failed["a"].why is NotPlayed.SILENT
    assert not world.state.is_free(world.engine(0), world.rules)
    world.run(111)
    assert any(isinstance(action, StopSession) for action in world.taken)
    assert world.state.holds == {}


def test_an_engine_that_dies_in_an_open_costs_no_more_than_the_next_one() -> None:
    world = players(2)
    world.at(0).opens_after = math.inf
    world.ask("a", 1)
    world.run(1)
    world.die(slot(0))
    world.run(0.5)
    assert world.served["a"].slot == slot(1)


def test_a_player_is_told_that_engines_were_silent_also_where_that_is_excused() -> None:
    world = players(1)
    world.at(0).opens_after = math.inf
    world.ask("a")
    [asked] = world.opened()
    world.tell(PlaySilent(*asked.ref, "a", "no answer", excused=True))
    world.run(25)
    assert world.failed["a"].why is NotPlayed.SILENT
    assert world.state.engines[slot(0)].doubt is None


def test_where_one_engine_hangs_and_another_refuses_the_next_is_asked_at_once() -> None:
    world = players(3)
    world.at(0).opens_after = math.inf
    world.at(1).answers = "refused"
    world.ask("a", 1)
    world.run(3.5)
    assert world.served["a"].slot == slot(2)


def test_engines_that_hang_for_players_who_are_gone_do_not_make_the_host_a_slow_one() -> None:
    world = players(6)
    for n in range(5):
        world.at(n).opens_after = math.inf
    for n in range(4):
        world.ask(f"gone-{n}", n, player=f"192.0.2.{n}")
        world.tell(PlayerLeft(f"gone-{n}"))
    world.run(5)
    world.ask("a", 5)
    world.run(3.5)
    assert world.served["a"].slot == slot(5)


def test_a_player_whose_engine_dies_as_it_opens_is_hedged_as_any_other() -> None:
    world = players(3)
    world.at(1).opens_after = math.inf
    world.ask("a", 1)
    with world.at_once():
        world.run(0.3)
        assert world.state.plays["a"].stream
        world.die(slot(0))
    world.run(3.5)
    assert world.served["a"].slot == slot(2)


def test_and_counts_as_one_who_waits() -> None:
    world = players(1)
    world.ask("a", 1)
    with world.at_once():
        world.run(0.3)
        world.die(slot(0))
    assert players_waiting(world.state, world.rules, world.now) == {"a"}


def test_no_engine_is_asked_for_a_player_in_the_moment_in_which_it_gets_its_session() -> None:
    world = players(3)
    world.at(0).opens_after = 2 * world.rules.gateway_hedge
    world.at(1).opens_after = math.inf
    world.ask("a", 1)
    world.run(7)
    assert world.served["a"].slot == slot(0)
    assert world.slots() == [0, 1]
