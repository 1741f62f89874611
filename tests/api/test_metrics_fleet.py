"""What a scrape says of a fleet."""

from acekeeper.core.fleet.model import Link, Standing
from acekeeper.core.gateway.model import HostAnswer
from acekeeper.core.model import Now
from acekeeper.core.state import State
from acekeeper.metrics import Metrics
from acekeeper.metrics.fleet import Fleet

from ..usecases.house import Clock
from .fleets import put, replica


def series(metrics: Metrics) -> dict[str, float]:
    """By what stands behind `acekeeper_fleet_`."""
    begin = "acekeeper_fleet_"
    lines = b"".join(metrics.exposition()).decode().splitlines()
    ours = [line.removeprefix(begin).split() for line in lines if line.startswith(begin)]
    return {name: float(value) for name, value in ours}


def test_without_a_fleet_there_is_no_series_of_any() -> None:
    assert series(Metrics(Clock())) == {}


def test_gauges_are_as_it_is_now() -> None:
    now, state, days = Now(1_700_000_000.0, 1000.0), State(), [59.5, None]
    metrics = Metrics(Clock())
    metrics.add(Fleet(state, lambda: now, lambda: days[0]))
    alone = {
        'hosts{state="live"}': 1,
        'hosts{state="stale"}': 0,
        'hosts{state="lost"}': 0,
        "link_up": 0,
        "certificate_days": 59.5,
    }
    assert series(metrics) == alone
    lost = replica("media-1", Standing.LOST, heard=910)
    put(state, lost, replica("media-3", heard=999.5))
    assert series(metrics) == alone | {
        'hosts{state="live"}': 2,
        'hosts{state="lost"}': 1,
        "link_up": 1,
        'beat_age_seconds{host="media-1"}': 90,
        'beat_age_seconds{host="media-3"}': 0.5,
    }
    put(state, replica("media-3", heard=999.5), link=Link(why="refused"))  # the other is forgotten
    days.reverse()
    assert series(metrics) == {
        'hosts{state="live"}': 2,
        'hosts{state="stale"}': 0,
        'hosts{state="lost"}': 0,
        "link_up": 0,
        'beat_age_seconds{host="media-3"}': 0.5,
    }


def test_what_hosts_answer_is_counted_and_its_other_answers_begin_at_0() -> None:
    metrics = Metrics(Clock())
    metrics.fleet_answered("media-1", HostAnswer.PLAYED)
    metrics.fleet_answered("media-1", HostAnswer.PLAYED)
    metrics.fleet_answered("media-3", HostAnswer.UNREACHABLE)
    answers = ("played", "refused", "silent", "no_engine", HostAnswer.UNREACHABLE)
    assert series(metrics) == {
        f'plays_total{{answer="{answer}",host="{host}"}}': counts.get(answer, 0)
        for host, counts in {"media-1": {"played": 2}, "media-3": {"unreachable": 1}}.items()
        for answer in answers
    }
