"""A day behind VPNs that lose their tunnels."""

import pytest
from msgspec.structs import replace

from acekeeper.core.rules import Rules
from acekeeper.rules import rules_of
from acekeeper.settings import load
from acekeeper.simulation import DAYS, Viewer, simulate, text
from acekeeper.simulation.report import Tally

HOUR = 3600.0


def behind(*vpns: str) -> Rules:
    return rules_of(load({"VPNS": ",".join(vpns)}))


def figures(tally: Tally) -> tuple[object, ...]:
    return tally.at_once, tally.waits, tally.refused, tally.starts, tally.stops, tally.hours


@pytest.mark.parametrize("by_gateway", [False, True])
def test_vpns_that_keep_their_tunnels_change_nothing(by_gateway: bool) -> None:
    day = DAYS["evening"](0)
    rules = behind("de", "ch")
    tally = simulate(rules, day, 6.0, by_gateway=by_gateway)
    without = simulate(replace(rules, vpns=()), day, 6.0, by_gateway=by_gateway)
    assert figures(tally) == figures(without)
    assert tally.stalled == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_where_one_of_several_loses_its_tunnel_nobody_is_refused(seed: int) -> None:
    day = DAYS["evening"](seed)
    kept = simulate(behind("de", "ch", "at", "nl"), day, 6.0, seed)
    tally = simulate(behind("de", "ch", "at", "nl"), day, 6.0, seed, vpn_losses=4)
    assert tally.stalled > 0
    assert (tally.refused, tally.failed) == (0, 0)
    assert len(tally.waits) <= 0.05 * tally.viewers
    assert tally.stops == tally.starts  # it came back to rest
    assert tally.starts <= kept.starts + 16 * 2  # at each loss the free one is made up for
    assert tally.stream_seconds == pytest.approx(kept.stream_seconds, rel=0.01)


def test_where_the_only_one_is_lost_viewers_are_refused_and_nothing_is_started() -> None:
    day = [Viewer(n * 60.0, 50.0) for n in range(600)]
    tally = simulate(behind("de"), day, 6.0, vpn_losses=12)
    assert 10 <= tally.refused <= 60
    assert tally.starts <= 30
    assert tally.starts == tally.stops


def test_the_report_tells_who_lost_a_tunnel_where_there_are_vpns() -> None:
    day = [Viewer(0.0, 6 * HOUR)]
    tally = simulate(behind("de"), day, 6.0, vpn_losses=24)
    assert tally.stalled > 0
    told = text(tally, tally)
    assert f"lost their tunnel{tally.stalled:22}" in told
    assert "VPNS=de VPN_SLOTS=20" in told
    none = simulate(replace(behind("de"), vpns=()), day, 6.0)
    assert "tunnel" not in text(none, none)
    assert "VPN" not in text(none, none)
