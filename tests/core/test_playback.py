"""Engines that answer and do not play: found by how streams end, and by careful tries."""

import pytest
from msgspec.structs import replace

from acekeeper.core.actions import Ask, Drain, GiveWay, Try
from acekeeper.core.doubt import Content
from acekeeper.core.facts import PlaybackAnswered, PlaybackFailed, Verdict
from acekeeper.core.model import Health, KeyType
from acekeeper.core.playback import blame, failing, is_blamed
from acekeeper.core.restore import restore

from .world import World, pool, rules, slot, started

STILL = rules(min_replicas=0, auto_delete=False)
CHANNEL, OTHER = "c" * 40, "d" * 40


def hang_playback(world: World, n: int) -> None:
    world.outside[slot(n)].plays = None


def watch(world: World, n: int, reason: str = "timeout", key: str = CHANNEL) -> None:
    """A viewer who sees nothing and leaves."""
    name = f"s{world.time}-{n}"
    world.play(slot(n), name, moving=False, key=key)
    world.run(20)
    world.leave(name, reason)


def test_an_engine_that_hangs_at_playback_is_found_and_replaced() -> None:
    world = pool(2, rules(min_replicas=1, auto_delete=False))
    hang_playback(world, 0)
    watch(world, 0)
    assert world.listed() == [1]
    assert world.engine(0).health is Health.UNKNOWN
    world.run(5 + 20 + 5 + 20 + 5 + 19)
    assert world.engine(0).health is Health.UNKNOWN
    world.run(2)
    assert world.engine(0).health is Health.UNHEALTHY
    assert [h.data["failures"] for h in world.happened if h.kind == "playback_failed"] == [1, 2, 3]
    world.run(60)
    assert [(s.slot, s.reason) for s in world.stops()] == [(slot(0), "unhealthy")]
    assert len(world.listed()) >= 1


def test_an_engine_that_plays_is_back_within_seconds_and_its_content_is_well() -> None:
    world = pool(1, STILL)
    watch(world, 0)
    assert world.listed() == []
    world.run(5.9)
    assert world.listed() == [0]
    assert world.engine(0).doubt is None
    assert world.engine(0).unlisted is None
    assert world.state.smells == {}
    assert world.kinds()[-3:] == ["playback_doubted", "playback_tried", "engine_recovered"]
    world.run(300)
    assert world.stops() == []


@pytest.mark.parametrize(
    ("verdict", "seconds"), [(Verdict.BAD_CONTENT, 5.9), (Verdict.STARVED, 25.1)]
)
def test_where_the_content_is_to_blame_the_engine_is_not(verdict: Verdict, seconds: float) -> None:
    world = pool(2, STILL)
    world.outside[slot(0)].plays = verdict
    watch(world, 0)
    world.run(seconds)
    assert world.listed() == [0, 1]
    watch(world, 1)  # and nobody else is doubted for it
    assert world.listed() == [0, 1]
    assert len(world.tries()) == 1


def test_blame_is_forgotten_in_time() -> None:
    world = pool(1, STILL)
    world.outside[slot(0)].plays = Verdict.BAD_CONTENT
    watch(world, 0)
    world.run(5.9)
    assert failing(world.state, world.rules, world.now) == 1
    world.run(600)
    assert failing(world.state, world.rules, world.now) == 0
    watch(world, 0)
    assert world.listed() == []


def test_of_contents_to_blame_the_newest_are_remembered() -> None:
    world = pool(1)
    contents = [Content("infohash", f"{n:040x}") for n in range(1025)]
    for content in contents:
        blame(world.state, world.rules, content, frozenset(), world.now)
    assert list(world.state.smells) == contents[1:]
    assert is_blamed(world.state, world.rules, contents[-1], world.now)


def test_an_answering_status_alone_does_not_bring_it_back() -> None:
    world = pool(1, STILL)
    hang_playback(world, 0)
    watch(world, 0)
    world.run(20)
    assert sum(isinstance(a, Ask) for a in world.taken) > 10
    assert world.listed() == []


def test_an_unhealthy_engine_that_plays_again_is_not_replaced() -> None:
    world = pool(1, STILL)
    hang_playback(world, 0)
    watch(world, 0)
    world.run(80)
    assert world.engine(0).health is Health.UNHEALTHY
    world.outside[slot(0)].plays = Verdict.PLAYS
    world.run(40)
    assert world.listed() == [0]
    world.run(200)
    assert world.stops() == []


@pytest.mark.parametrize("reason", ["timeout", "empty_timeout", "completed"])
def test_the_ends_that_make_one_doubt_it(reason: str) -> None:
    world = pool(1, STILL)
    world.play(slot(0), key=CHANNEL)
    world.run(0.5)
    world.leave("s", reason)
    assert world.listed() == []


@pytest.mark.parametrize("reason", ["client_disconnected", "eof", ""])
def test_ordinary_ends_do_not(reason: str) -> None:
    world = pool(1, STILL)
    world.play(slot(0), key=CHANNEL)
    world.run(0.5)
    world.leave("s", reason)
    world.play(slot(0), "long", key=CHANNEL)
    world.run(1.5)
    world.leave("long", "completed")
    world.run(60)
    assert world.listed() == [0]
    assert world.tries() == []


def failed(world: World) -> list[tuple[str, object]]:
    """Every end that was told, by its stream."""
    return [(h.stream, h.data["failed"]) for h in world.happened if h.kind == "stream_ended"]


def test_an_end_says_whether_nothing_was_seen() -> None:
    world = pool(1, STILL)
    for reason, seconds in (("timeout", 20), ("empty_timeout", 900), ("completed", 0.5)):
        world.play(slot(0), reason, key=CHANNEL)
        world.run(seconds)
        world.leave(reason, reason)
    for reason, seconds in (("client_disconnected", 0.5), ("eof", 0.5), ("", 0.5), ("long", 1.5)):
        world.play(slot(0), f"{reason}?", key=CHANNEL)
        world.run(seconds)
        world.leave(f"{reason}?", "completed" if reason == "long" else reason)
    assert [bad for _, bad in failed(world)] == [True] * 3 + [False] * 4


def test_a_stream_fails_once_and_only_by_the_event_that_ends_it() -> None:
    world = pool(2, STILL)
    for n, name in enumerate(("twice", "reaped")):
        world.play(slot(n), name, moving=False, key=CHANNEL)
    world.run(20)
    del world.outside[slot(1)].streams["reaped"]
    world.sweep_streams()
    for name in ("twice", "twice", "reaped"):
        world.leave(name, "timeout")
    assert failed(world) == [("reaped", False), ("twice", True)]


def test_what_an_engine_of_others_does_not_show_is_no_failure() -> None:
    world = pool(1, STILL)
    world.tell(started("elsewhere", addresses=(("elsewhere.example", 6878),), key=CHANNEL))
    world.run(20)
    world.leave("elsewhere", "timeout")
    assert failed(world) == [("elsewhere", False)]
    assert failing(world.state, world.rules, world.now) == 0


def test_an_end_that_overtook_its_start_does_not_say_how_soon_it_was() -> None:
    world = pool(2, STILL)
    for n, reason in enumerate(("timeout", "completed")):
        world.leave(reason, reason)
        world.run(1)
        world.play(slot(n), reason, key=CHANNEL)
    assert failed(world) == [("timeout", True), ("completed", False)]


def test_contents_fail_until_they_play_or_ten_minutes_have_passed() -> None:
    world = pool(4, STILL)
    for n, key in enumerate((CHANNEL, CHANNEL, OTHER, "not an id")):
        hang_playback(world, n)
        watch(world, n, key=key)
    assert failing(world.state, world.rules, world.now) == 2
    world.play(slot(3), "plays", key=OTHER)
    world.sweep_streams()
    assert failing(world.state, world.rules, world.now) == 1
    world.now = world.now.after(600)  # and nobody has looked since
    assert failing(world.state, world.rules, world.now) == 0


@pytest.mark.parametrize("key", ["http://192.0.2.1/a", "c" * 39, "c" * 41, "g" * 40])
def test_only_an_id_is_tried(key: str) -> None:
    world = pool(1, STILL)
    watch(world, 0, key=key)
    world.run(60)
    assert world.tries() == []
    start = replace(started("url", slot(0), key=CHANNEL), key_type=KeyType.URL)
    world.tell(start)
    world.leave("url", "timeout")
    world.run(60)
    assert world.tries() == []


def test_the_try_is_of_the_content_that_smelled_and_waits_for_who_had_chosen_the_engine() -> None:
    world = pool(1, STILL)
    watch(world, 0)
    world.run(4.9)
    assert world.tries() == []
    world.run(0.2)
    assert world.tries() == [Try(*world.engine(0).ref, Content("infohash", CHANNEL))]


def test_nobody_tries_while_somebody_plays_or_has_just_gone() -> None:
    world = pool(1, STILL)
    world.play(slot(0), "plays", key=OTHER)
    watch(world, 0)
    assert world.listed() == []
    world.run(300)
    assert world.tries() == []
    world.leave("plays", "eof")
    world.run(4.9)
    assert world.tries() == []
    world.run(1.1)
    assert len(world.tries()) == 1
    assert world.listed() == [0]


def test_nobody_tries_an_engine_that_is_promised() -> None:
    world = pool(1, rules(min_replicas=0, auto_delete=False, max_streams_per_engine=2))
    world.play(slot(0), "smells", key=CHANNEL)
    world.request("r")
    assert world.given("r").slot == slot(0)
    world.leave("smells", "timeout")
    world.run(59)
    assert world.tries() == []
    world.run(1.1)
    assert len(world.tries()) == 1


def test_a_viewer_who_comes_during_a_try_has_it_broken_off_and_it_does_not_count() -> None:
    world = pool(1, STILL)
    hang_playback(world, 0)
    watch(world, 0)
    world.run(10)
    assert len(world.tries()) == 1
    world.play(slot(0), "comer", key=OTHER)
    assert world.taken[-1] == GiveWay(*world.engine(0).ref)
    world.run(100)
    assert sum(isinstance(a, GiveWay) for a in world.taken) == 1
    assert len(world.tries()) == 1
    assert world.engine(0).probe.failures == 0
    doubt = world.engine(0).doubt
    assert doubt is not None
    assert doubt.failures == 0
    world.leave("comer", "eof")
    world.run(6)
    assert len(world.tries()) == 2


def test_a_new_stream_that_lasts_says_that_it_plays() -> None:
    world = pool(2, rules(min_replicas=0, auto_delete=False, max_streams_per_engine=2))
    hang_playback(world, 0)
    watch(world, 0)
    world.play(slot(0), "comer", key=OTHER)
    world.run(29)
    world.sweep_streams()
    assert world.listed() == [1]
    world.run(2)
    world.sweep_streams()
    assert world.listed() == [0, 1]


def test_a_stream_from_before_says_nothing_of_new_ones() -> None:
    world = pool(2, rules(min_replicas=0, auto_delete=False, max_streams_per_engine=2))
    world.play(slot(0), "old", key=OTHER)
    watch(world, 0)
    world.run(100)
    world.sweep_streams()
    assert world.listed() == [1]


def test_a_content_that_smells_on_two_engines_is_to_blame_itself() -> None:
    world = pool(4, STILL)
    watch(world, 0)
    assert world.listed() == [1, 2, 3]
    world.play(slot(1), "second", moving=False, key=CHANNEL)
    world.leave("second", "empty_timeout")
    assert world.listed() == [0, 1, 2, 3]
    assert world.kinds().count("content_blamed") == 1
    for n in (2, 3):
        watch(world, n)
    assert world.listed() == [0, 1, 2, 3]
    assert world.kinds().count("content_blamed") == 1
    assert world.tries() == []


def test_a_bad_broadcast_that_many_watch_condemns_no_engine() -> None:
    """Peers and no bytes: to a single try it looks like an engine that hangs."""
    world = pool(8, STILL)
    for n in range(8):
        hang_playback(world, n)
    for n in range(8):
        world.play(slot(n), f"s{n}", moving=False, key=CHANNEL)
    world.run(20)
    for n in range(8):
        world.leave(f"s{n}", "timeout")
    world.run(300)
    assert world.listed() == list(range(8))
    assert world.stops() == []


def test_a_try_under_way_when_its_content_is_blamed_counts_for_nothing() -> None:
    world = pool(2, STILL)
    hang_playback(world, 0)
    watch(world, 0)
    world.run(10)
    world.play(slot(1), "second", moving=False, key=CHANNEL)
    world.leave("second", "timeout")
    assert world.listed() == [1]
    world.run(20)
    assert world.listed() == [0, 1]
    assert "playback_failed" not in world.kinds()


def test_a_content_that_plays_elsewhere_is_not_to_blame() -> None:
    world = pool(3, replace(STILL, unhealthy_grace_period=1000))
    for n in (0, 1):
        hang_playback(world, n)
    world.play(slot(2), "plays", key=CHANNEL)
    for n in (0, 1):
        watch(world, n)
        world.sweep_streams()
    world.run(160)  # one after the other
    assert world.listed() == [2]
    assert [world.engine(n).health for n in (0, 1)] == [Health.UNHEALTHY] * 2


def test_different_contents_condemn_their_own_engines_a_quarter_at_a_time() -> None:
    world = pool(8, rules(min_replicas=0, auto_delete=False, unhealthy_grace_period=0))
    for n in range(8):
        hang_playback(world, n)
        world.play(slot(n), f"s{n}", moving=False, key=f"{n:040x}")
    world.run(20)
    for n in range(8):
        world.leave(f"s{n}", "timeout")
    world.run(5 + 3 * 25)
    assert sum(isinstance(a, Drain) for a in world.taken) == 2
    world.run(59)
    assert sum(isinstance(a, Drain) for a in world.taken) == 2
    world.run(25)
    assert sum(isinstance(a, Drain) for a in world.taken) == 3


def test_a_claim_that_nobody_used_has_its_engine_tried_with_what_plays_elsewhere() -> None:
    world = pool(2, STILL)
    hang_playback(world, 0)
    world.play(slot(1), "plays", key=OTHER)
    world.sweep_streams()
    world.request("r")
    assert world.given("r").slot == slot(0)
    world.run(59)
    assert world.tries() == []
    world.run(7)
    assert world.tries() == [Try(*world.engine(0).ref, Content("infohash", OTHER))]
    world.run(80)
    assert world.engine(0).health is Health.UNHEALTHY


def test_with_nothing_that_plays_it_is_only_asked_whether_it_is_alive() -> None:
    world = pool(1, STILL)
    world.request("r")
    world.run(59)
    world.taken.clear()
    world.run(60)
    assert world.taken == [Ask(*world.engine(0).ref)]
    assert world.listed() == [0]


def test_facts_of_no_try_of_ours_change_nothing() -> None:
    world = pool(1, STILL)
    ref = world.engine(0).ref
    before = world.engine(0)
    world.tell(PlaybackFailed(*ref, "late"))
    world.tell(PlaybackAnswered(*ref, Verdict.BAD_CONTENT))
    assert world.engine(0) == before
    watch(world, 0)
    before = world.engine(0)
    world.tell(PlaybackAnswered(*ref, Verdict.PLAYS))  # of the one before
    assert world.engine(0) == before
    assert world.state.smells != {}


def test_a_doubt_outlasts_its_try_so_that_no_later_one_gets_its_end() -> None:
    world = pool(1, STILL)
    hang_playback(world, 0)
    watch(world, 0)
    world.run(6)
    assert len(world.tries()) == 1
    world.play(slot(0), "lasts")
    world.now = world.now.after(31)
    world.tell(world.looked(*world.engine(0).ref))  # and the try has not given way yet
    doubt = world.engine(0).doubt
    assert doubt is not None
    assert doubt.trying
    world.run(0.1)
    world.sweep_streams()
    assert world.listed() == [0]


def test_an_excused_failure_is_tried_again_and_does_not_count() -> None:
    world = pool(1, STILL)
    hang_playback(world, 0)
    watch(world, 0)
    world.run(6)
    for n in range(1, 6):
        world.tell(PlaybackFailed(*world.engine(0).ref, "we were late", excused=True))
        world.run(5.1)
        assert len(world.tries()) == n + 1
    doubt = world.engine(0).doubt
    assert doubt is not None
    assert doubt.failures == 0
    assert world.engine(0).health is Health.UNKNOWN


def test_a_silent_engine_is_not_tried() -> None:
    world = pool(1, STILL)
    world.outside[slot(0)].hung = True
    watch(world, 0)
    world.run(60)
    assert world.tries() == []
    assert world.engine(0).health is Health.UNHEALTHY


def test_after_a_restart_who_was_doubted_is_tried_before_it_is_listed() -> None:
    world = pool(2, STILL)
    hang_playback(world, 0)
    watch(world, 0)
    watch(world, 1, "client_disconnected")
    state = restore(
        world.rules, world.now, world.state.engines.values(), world.state.streams.values()
    )
    other = World(world.rules, state=state)
    other.now, other.outside = world.now, world.outside
    other.connect(other.running())
    assert other.listed() == [1]
    other.run(6)
    assert [t.content.key for t in other.tries()] == [CHANNEL]
    other.run(80)
    assert other.engine(0).health is Health.UNHEALTHY
