"""A day of viewers on the real rules, under the numbers of each profile."""

from collections.abc import Sequence
from random import Random

import pytest
from msgspec.structs import replace

from acekeeper.core.rules import Rules
from acekeeper.profiles import PROFILES
from acekeeper.rules import rules_of
from acekeeper.settings import load
from acekeeper.simulation import DAYS, Viewer, simulate, text
from acekeeper.simulation.report import Tally, percentile

SEEDS = (0, 1, 2)


def profile(name: str, **numbers: object) -> Rules:
    return replace(rules_of(load({"PROFILE": name})), **numbers)


def burst(viewers: int, within: float, seed: int) -> list[Viewer]:
    """A match starts, and they stay for two hours."""
    random = Random(seed)
    return sorted(Viewer(random.uniform(0, within), 7200.0) for _ in range(viewers))


@pytest.mark.parametrize(("seed", "name"), list(enumerate(PROFILES)))
def test_a_day_with_matches_zapping_and_long_sessions(name: str, seed: int) -> None:
    rules = profile(name)
    day = DAYS["evening"](seed)
    tally = simulate(rules, day, 6.0, seed)
    assert tally.viewers == len(day)
    assert (tally.refused, tally.failed) == (0, 0)
    assert len(tally.waits) <= 0.04 * tally.viewers
    assert max(tally.waits, default=0.0) <= 15
    assert tally.peak <= rules.max_replicas
    long = sum(viewer.stays > rules.engine_grace_period for viewer in day)
    assert tally.starts <= 1.25 * long  # zapping starts next to nothing
    assert tally.stops == tally.starts  # it came back to rest
    assert tally.undone <= 0.12 * tally.stops  # a viewer may come just after an engine went


@pytest.mark.parametrize("seed", SEEDS)
def test_nobody_waits_in_the_profile_high_availability(seed: int) -> None:
    tally = simulate(profile("high-availability"), DAYS["evening"](seed), 6.0, seed)
    assert tally.waits == []
    assert tally.at_once == tally.viewers


@pytest.mark.parametrize("seed", SEEDS)
def test_looking_ahead_lets_fewer_wait_in_a_burst(seed: int) -> None:
    ahead = profile("none", max_replicas=100)
    day = burst(40, 180, seed)
    with_it = simulate(ahead, day, 6.0, seed)
    without = simulate(replace(ahead, rush_lasts=0), day, 6.0, seed)
    assert len(without.waits) > 20
    assert len(with_it.waits) < 0.3 * len(without.waits)
    assert sum(with_it.waits) < 0.3 * sum(without.waits)
    assert with_it.engine_seconds < 1.1 * without.engine_seconds


def test_looking_ahead_costs_nothing_on_a_quiet_day() -> None:
    rules = profile("none")
    for seed in SEEDS:
        day = DAYS["quiet"](seed)
        without = simulate(replace(rules, rush_lasts=0), day, 6.0, seed)
        assert simulate(rules, day, 6.0, seed).hours == without.hours


@pytest.mark.parametrize("name", PROFILES)
def test_an_hour_of_zapping_starts_and_stops_next_to_nothing(name: str) -> None:
    day = [Viewer(at, 8.0) for at in range(0, 3600, 10)]
    tally = simulate(profile(name), day, 6.0)
    assert tally.viewers == 360
    assert tally.starts <= 2
    assert tally.undone == 0


def test_bursts_bring_one_wave_up_and_one_down_each() -> None:
    day = [*burst(10, 60, 1), *(Viewer(v.arrives + 14400, v.stays) for v in burst(10, 60, 2))]
    tally = simulate(profile("none"), day, 6.0)
    assert tally.starts <= 2 * 14
    assert tally.undone == 0


def test_the_same_seed_gives_the_same_day() -> None:
    rules = profile("none")
    day = burst(20, 60, 0)
    for by_gateway in (False, True):
        tallies = [simulate(rules, day, 6.0, seed, by_gateway=by_gateway) for seed in (3, 3, 4)]
        told = [text(tally, tally) for tally in tallies]
        assert told[0] == told[1] != told[2]


def one(stays: float = 600.0, at: float = 0.0) -> Viewer:
    return Viewer(at, stays)


def run(rules: Rules, *viewers: Viewer, start_seconds: float = 6.0) -> Tally:
    return simulate(rules, viewers, start_seconds)


def test_one_viewer_is_served_at_once_and_one_engine_is_started_for_the_next() -> None:
    tally = run(profile("none"), one())
    assert (tally.at_once, tally.waits, tally.refused) == (1, [], 0)
    assert (tally.starts, tally.stops, tally.peak) == (1, 1, 2)
    assert tally.stream_seconds == pytest.approx(600)
    assert tally.engine_seconds == pytest.approx(2 * 661, abs=5)


def test_without_a_free_engine_one_waits_for_a_start() -> None:
    rules = profile("none", min_replicas=0)
    (wait,) = run(rules, one(), start_seconds=5.0).waits
    assert wait == pytest.approx(7.5)  # the answer after 2.5 s, the client's own sleep
    (wait,) = run(rules, one(), start_seconds=9.5).waits
    assert wait == pytest.approx(12.5)  # not in the list yet, so it sleeps once more


def test_an_engine_that_is_not_ready_by_then_plays_nothing() -> None:
    tally = run(profile("none", min_replicas=0), one(), start_seconds=20.0)
    assert (tally.viewers, tally.failed) == (1, 1)
    assert tally.stream_seconds == 0


def test_at_the_cap_one_is_refused_until_somebody_leaves() -> None:
    rules = profile("none", min_replicas=0, max_replicas=1)
    tally = run(rules, one(300), one(300, at=60.0), one(300, at=400.0))
    assert (tally.viewers, tally.refused) == (3, 1)
    assert tally.peak == 1


def test_a_status_that_said_no_is_believed_until_the_next_look() -> None:
    rules = profile("none", min_replicas=0, max_replicas=1)
    # The engine of the first is just being stopped when the status is read at second 120.
    for at, refused in ((145.0, 1), (155.0, 0)):
        tally = run(rules, one(46.5), one(60, at=at))
        assert (tally.viewers, tally.refused) == (2, refused)


def test_every_hour_is_told_by_itself() -> None:
    tally = run(profile("none"), one(5400), one(60, at=4000.0))
    first, second = tally.hours
    assert (first.viewers, second.viewers) == (1, 1)
    assert first.seconds == 3600
    assert first.free_seconds == pytest.approx(3600, abs=10)  # while one started there was none
    assert (first.free, second.free) == (0, 0)
    assert first.seconds + second.seconds == pytest.approx(5461, abs=5)


def test_who_comes_in_the_same_instant_chooses_the_same_engine() -> None:
    tally = run(profile("high-availability"), one(), one())
    assert (tally.at_once, tally.shared) == (2, 1)


def test_an_engine_started_soon_after_one_went_is_told() -> None:
    rules = profile("none")
    # The first comes while it is still draining, and has it back.
    days: Sequence[tuple[float, int]] = ((20.0, 0), (40.0, 1), (80.0, 0))
    for later, undone in days:
        tally = run(rules, one(600), one(600, at=601 + 30 + later))
        assert (later, tally.undone) == (later, undone)


def test_percentiles_are_of_those_who_waited() -> None:
    values = [float(n) for n in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.95)) == (50, 95)
    assert percentile([7.0], 0.95) == 7
