"""Which hosts there are, and what they have, by what they say."""

from msgspec.structs import replace

from acekeeper.core.apply import apply
from acekeeper.core.facts import TimePassed
from acekeeper.core.fleet.actions import Drop, Sync
from acekeeper.core.fleet.facts import LinkDown, LinkUp
from acekeeper.core.fleet.model import Doing, Link, Standing
from acekeeper.core.gateway.model import Play, Wanted
from acekeeper.core.model import Now
from acekeeper.core.plan import may_change

from ..gateway.players import channel
from ..world import WALL
from .world import FLEET, FleetWorld, Other, with_free

LIVE, STALE, LOST = Standing.LIVE, Standing.STALE, Standing.LOST


def joined(*names: str) -> FleetWorld:
    """All of them are known, with an engine each."""
    world = FleetWorld(*names)
    for other in world.others.values():
        other.change(19000)
    world.run(2)
    assert world.knows_all()
    assert world.standings() == dict.fromkeys(names, LIVE)
    world.taken.clear()
    world.happened.clear()
    return world


def test_a_host_joins_with_its_first_word_and_is_asked_for_its_engines() -> None:
    world = FleetWorld("b")
    other = world.others["b"]
    other.change(19000, 19001)
    world.tell(other.beat())
    assert world.syncs() == ["b"]
    assert not world.replica("b").is_whole
    world.run(0.01)
    assert world.knows_all()
    (joins,) = world.told("host_joined")
    assert joins.data == {"host": "b", "version": "1.0", "was": None, "seconds": None}
    assert world.replica("b").since == WALL
    assert world.syncs() == ["b"]


def test_a_change_that_is_the_next_is_applied() -> None:
    world = joined("b")
    other = world.others["b"]
    world.tell(other.change(19001, doing=Doing.TAKEN))
    world.tell(other.change(19002, gone=19000))
    assert sorted(world.replica("b").engines) == ["engine-19001", "engine-19002"]
    assert world.knows_all()
    assert world.syncs() == []


def test_a_change_that_was_missed_is_asked_for() -> None:
    world = joined("b")
    other = world.others["b"]
    other.change(19001)
    world.tell(other.change(19002))
    assert not world.replica("b").is_whole
    assert sorted(world.replica("b").engines) == ["engine-19000"], "as it was, until all is known"
    assert world.syncs() == ["b"]
    world.run(0.01)
    assert world.knows_all()


def test_a_beat_betrays_what_was_missed() -> None:
    world = joined("b")
    world.others["b"].change(19001)
    world.run(1.1)
    assert world.syncs() == ["b"]
    assert world.knows_all()


def test_another_run_of_a_host_is_asked_for() -> None:
    world = joined("b")
    other = world.others["b"]
    other.restart()
    world.tell(other.beat())
    assert world.syncs() == ["b"]
    world.run(0.01)
    assert world.replica("b").engines == {}
    assert world.knows_all()
    assert world.told("host_joined") == [], "it was never gone"


def test_what_is_doubled_or_late_changes_nothing() -> None:
    world = joined("b")
    other = world.others["b"]
    first, second = other.change(19001), other.change(gone=19001)
    late, beat = other.snapshot(), other.beat()
    third = other.change(19002)
    for fact in (first, second, third, second, first, third, beat, late):
        world.tell(fact)
    assert world.knows_all()
    assert world.syncs() == []


def test_a_late_word_of_an_earlier_run_does_no_lasting_harm() -> None:
    world = joined("b")
    other = world.others["b"]
    late, old = other.beat(), other.snapshot()
    other.restart()
    other.change(19005)
    world.run(1.1)
    assert world.knows_all()
    world.tell(old)
    assert world.knows_all(), "nobody asked for it any more"
    world.tell(late)
    assert not world.replica("b").is_whole
    world.tell(other.beat())
    assert world.knows_all(), "its engines are those of that moment all the same"


def test_a_host_that_does_not_answer_is_asked_again() -> None:
    world = FleetWorld("b")
    world.answers_syncs = False
    world.run(5)
    assert world.syncs() == ["b"] * 3
    world.answers_syncs = True
    world.run(2)
    assert world.knows_all()
    asked = len(world.syncs())
    world.run(60)
    assert len(world.syncs()) == asked


def test_a_silent_host_is_lost_after_a_lease_and_back_with_its_next_word() -> None:
    world = joined("b", "c", "d")
    other = world.others["b"]
    other.speaks = False
    heard = world.replica("b").heard
    world.run(heard + FLEET.lease - world.now.mono - 0.01)
    assert world.standings()["b"] is LIVE
    world.run(0.02)
    assert world.standings() == {"b": LOST, "c": LIVE, "d": LIVE}
    assert world.replica("b").engines == {}
    assert [(h.kind, h.data) for h in world.happened] == [
        ("host_lost", {"host": "b", "seconds": FLEET.lease})
    ]
    other.speaks = True
    world.run(1.1)
    assert world.standings()["b"] is LIVE
    assert world.knows_all()
    (back,) = world.told("host_joined")
    assert back.data["was"] == "lost"


def test_of_two_hosts_one_is_not_most() -> None:
    world = joined("b")
    world.others["b"].speaks = False
    world.run(FLEET.lease)
    assert world.standings() == {"b": LOST}


def test_most_hosts_silent_at_once_are_stale_then_lost() -> None:
    world = joined("b", "c", "d", "e")
    for name in "bcd":
        world.others[name].speaks = False
    world.run(FLEET.lease)
    assert world.standings() == {"b": STALE, "c": STALE, "d": STALE, "e": LIVE}
    assert world.replica("b").engines, "it counts for a while"
    world.others["d"].speaks = True
    world.run(1)
    assert world.standings() == {"b": STALE, "c": STALE, "d": LIVE, "e": LIVE}
    world.run(FLEET.stale_lasts)
    assert world.standings() == {"b": LOST, "c": LOST, "d": LIVE, "e": LIVE}
    kinds = [(h.kind, h.data["host"]) for h in world.happened]
    stale = [("host_stale", name) for name in "bcd"]
    assert kinds == [*stale, ("host_joined", "d"), ("host_lost", "b"), ("host_lost", "c")]


def test_hosts_that_go_one_after_another_are_each_lost() -> None:
    world = joined("b", "c", "d", "e")
    for name in "bcd":
        world.others[name].speaks = False
        world.run(FLEET.lease)
        assert world.standings()[name] is LOST


def test_what_we_come_late_to_is_not_held_against_a_host() -> None:
    world = joined("b")
    world.now = world.now.after(FLEET.lease + 2)
    world.tell(TimePassed())
    assert world.standings() == {"b": STALE}
    world.run(0.1)
    assert world.standings() == {"b": LIVE}
    assert world.syncs() == []


def test_while_our_link_is_down_hosts_are_stale_for_a_while() -> None:
    world = joined("b", "c", "d")
    world.tell(LinkDown("connection refused"))
    world.run(FLEET.lease - 1.1)
    assert set(world.standings().values()) == {LIVE}, "a moment without a link harms nobody"
    world.run(1.2)
    assert set(world.standings().values()) == {STALE}
    world.run(FLEET.stale_lasts - 1.2)
    assert set(world.standings().values()) == {STALE}
    world.run(1.2)
    assert set(world.standings().values()) == {LOST}
    world.tell(LinkUp())
    world.run(1.1)
    assert set(world.standings().values()) == {LIVE}
    assert world.knows_all()


def test_after_an_outage_of_ours_leases_begin_anew() -> None:
    world = joined("b", "c", "d")
    world.tell(LinkDown("frozen"))
    world.run(FLEET.lease - 1.1)
    world.others["b"].speaks = False
    world.tell(LinkUp())
    world.run(FLEET.lease - 0.1)
    assert world.standings() == dict.fromkeys("bcd", LIVE)
    world.run(0.2)
    assert world.standings() == {"b": LOST, "c": LIVE, "d": LIVE}
    assert world.syncs() == [], "nothing was missed"


def test_a_link_that_comes_and_goes_keeps_nobody_for_ever() -> None:
    world = joined("b", "c", "d")
    world.others["b"].speaks = False
    for _ in range(9):
        world.tell(LinkDown("reset"))
        world.run(0.1)
        world.tell(LinkUp())
        world.run(3.9)
    assert world.standings() == {"b": LOST, "c": LIVE, "d": LIVE}


def test_a_link_is_told_of_as_it_changes() -> None:
    world = FleetWorld()
    assert [h.kind for h in world.happened] == ["fleet_link_up"]
    world.run(3)
    world.tell(LinkUp())
    assert world.fleet.link.since == WALL
    world.tell(LinkDown("reset"))
    world.run(2)
    world.tell(LinkDown("connection refused"))
    link = world.fleet.link
    assert (link.is_up, link.since, link.why) == (False, WALL + 3, "connection refused")
    assert [h.data for h in world.told("fleet_link_down")] == [{"why": "reset"}]


def test_a_first_connection_that_fails_is_told_once() -> None:
    world = FleetWorld()
    world.fleet.link = Link()
    world.happened.clear()
    for _ in range(3):
        world.tell(LinkDown("connection refused"))
    assert [h.kind for h in world.happened] == ["fleet_link_down"]


def test_a_wall_clock_that_jumps_changes_nothing() -> None:
    world = joined("b", "c", "d")
    for hours in (1, -2, 1):
        world.now = Now(world.now.wall + hours * 3600, world.now.mono)
        world.tell(TimePassed())
        world.run(FLEET.lease)
        assert set(world.standings().values()) == {LIVE}
    assert world.happened == []
    assert world.syncs() == []


def test_a_lost_host_is_forgotten_at_last() -> None:
    world = joined("b", "c", "d")
    world.others["b"].speaks = False
    world.rules = replace(world.rules, lost_kept=60)
    world.run(50)
    assert world.standings()["b"] is LOST
    world.run(20)
    assert "b" not in world.fleet.hosts
    assert "b" not in world.fleet.order[LOST]


def test_our_own_words_are_not_those_of_another_host() -> None:
    world = FleetWorld()
    world.tell(Other("here").beat())
    assert world.fleet.hosts == {}


def test_nobody_is_asked_while_the_link_is_down() -> None:
    world = joined("b")
    world.fleet.drops["b", "play-1"] = None
    world.tell(LinkDown("reset"))
    world.others["b"].change(19001)
    world.tell(world.others["b"].beat())
    assert [a for a in world.taken if isinstance(a, Sync | Drop)] == []
    world.tell(LinkUp())
    assert [a for a in world.taken if isinstance(a, Sync | Drop)] == [
        Sync("b"),
        Drop("b", "play-1"),
    ]
    assert world.fleet.drops == {}


def test_beats_make_no_plan_but_where_a_player_waits_for_what_they_tell() -> None:
    world = joined("b", "c")
    other = world.others["b"]

    def wants_plan() -> bool:
        fact = other.beat()
        return may_change(fact, apply(world.state, world.rules, fact, world.now))

    with_free(other, 1)
    assert not wants_plan()
    whoever = Wanted(content=channel(1), is_hls=True, as_json=True, player="p", arrival="192.0.2.1")
    play = Play(id="p", wanted=whoever, received=world.now, until=world.now.mono + 9)
    world.state.plays["p"] = play
    assert not wants_plan(), "it had it before"
    with_free(other, 0)
    assert not wants_plan()
    with_free(other, 2)
    assert wants_plan()
    with_free(other, 2, room=1)
    assert wants_plan()


def test_what_is_heard_has_nothing_brought_to_disk() -> None:
    world = joined("b")
    other = world.others["b"]
    for fact in (other.beat(), other.change(19001), LinkDown("reset"), LinkUp()):
        changes = apply(world.state, world.rules, fact, world.now)
        assert changes.of_gateway
        assert not changes
