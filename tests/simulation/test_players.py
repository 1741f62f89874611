"""The same days with players of the gateway, who tell nobody when they have seen enough."""

import pytest
from msgspec.structs import replace

from acekeeper.core.rules import Rules
from acekeeper.profiles import PROFILES
from acekeeper.simulation import DAYS, Viewer, simulate
from acekeeper.simulation.report import Tally, percentile

from .test_day import SEEDS, burst, one, profile


def run(rules: Rules, *viewers: Viewer, start_seconds: float = 6.0) -> Tally:
    return simulate(rules, viewers, start_seconds, by_gateway=True)


@pytest.mark.parametrize(("seed", "name"), list(enumerate(PROFILES)))
def test_a_day_with_matches_zapping_and_long_sessions(name: str, seed: int) -> None:
    rules = profile(name)
    day = DAYS["evening"](seed)
    tally = simulate(rules, day, 6.0, seed, by_gateway=True)
    assert tally.viewers == len(day)
    assert (tally.refused, tally.failed, tally.shared) == (0, 0, 0)
    assert len(tally.waits) <= 0.04 * tally.viewers
    assert max(tally.waits, default=0.0) < 8
    assert tally.peak <= rules.max_replicas
    long = sum(viewer.stays > rules.engine_grace_period for viewer in day)
    assert tally.starts <= 1.4 * long  # a player that goes on has two engines for a moment
    assert tally.stops == tally.starts  # it came back to rest


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("within", [60.0, 180.0])
def test_in_a_burst_nobody_shares_and_all_wait_less(within: float, seed: int) -> None:
    rules = profile("none", max_replicas=100)
    day = burst(40, within, seed)
    clients = simulate(rules, day, 6.0, seed)
    players = simulate(rules, day, 6.0, seed, by_gateway=True)
    assert players.shared == 0 < clients.shared
    assert percentile(players.waits, 0.95) < percentile(clients.waits, 0.95)


@pytest.mark.parametrize("seed", SEEDS)
def test_looking_ahead_lets_fewer_wait_in_a_burst(seed: int) -> None:
    ahead = profile("none", max_replicas=100)
    day = burst(40, 180, seed)
    with_it = simulate(ahead, day, 6.0, seed, by_gateway=True)
    without = simulate(replace(ahead, rush_lasts=0), day, 6.0, seed, by_gateway=True)
    assert len(without.waits) > 20
    assert len(with_it.waits) < 0.3 * len(without.waits)


def test_a_player_that_goes_from_channel_to_channel_gives_its_engines_back() -> None:
    day = [Viewer(at, 8.0, "television") for at in range(0, 3600, 10)]
    tally = run(profile("none"), *day)
    assert (tally.at_once, tally.starts, tally.peak) == (360, 2, 3)


def test_one_player_is_served_at_once_and_its_session_ends_when_nobody_reads_it() -> None:
    rules = profile("none")
    tally = run(rules, one())
    assert (tally.at_once, tally.waits, tally.refused, tally.starts) == (1, [], 0, 1)
    idle = tally.stream_seconds - 600
    assert rules.gateway_idle <= idle <= rules.gateway_idle + 20  # looks are 10 s apart


def test_without_a_free_engine_one_waits_as_long_as_a_start_takes() -> None:
    rules = profile("none", min_replicas=0)
    (wait,) = run(rules, one(), start_seconds=5.0).waits
    assert 0.5 + 0.75 * 5 <= wait <= 0.5 + 1.25 * 5 + rules.ask_starting_every
    slow = run(rules, one(), start_seconds=40.0)
    assert (slow.refused, slow.failed) == (1, 0)  # it heard so after 25 s


def test_at_the_cap_one_gets_the_engine_of_a_player_that_left() -> None:
    rules = profile("none", min_replicas=0, max_replicas=1)
    tally = run(rules, one(300), one(300, at=60.0), one(300, at=310.0))
    assert (tally.viewers, tally.refused, tally.shared) == (3, 1, 0)
    first, second = tally.waits
    assert first < 8
    assert second < rules.gone_for_all  # sooner than the session would have ended by itself


def test_two_in_the_same_instant_get_an_engine_each() -> None:
    tally = run(profile("high-availability"), one(), one())
    assert (tally.at_once, tally.shared) == (2, 0)
