"""What a scrape says of VPNs."""

from acekeeper.core.apply import apply
from acekeeper.core.facts import Fact
from acekeeper.core.rules import Rules
from acekeeper.core.state import State
from acekeeper.metrics import Metrics
from acekeeper.metrics.vpns import Vpns

from ..core.world import rules
from ..usecases.house import Clock
from .vpns import NOW, PORT, RULES, answered, carried, ended, engine, started, with_engines


class Watched:
    def __init__(self, state: State, rules: Rules = RULES) -> None:
        self.state = state
        self.metrics = Metrics(Clock(), rules.vpns)
        self.metrics.add(Vpns(state, rules))

    def tell(self, *facts: Fact) -> None:
        for fact in facts:
            for happening in apply(self.state, RULES, fact, NOW).happened:
                self.metrics.observe(happening)

    def series(self) -> dict[str, float]:
        """By what stands behind `acekeeper_vpn_`."""
        begin = "acekeeper_vpn_"
        lines = b"".join(self.metrics.exposition()).decode().splitlines()
        ours = [line.removeprefix(begin).split() for line in lines if line.startswith(begin)]
        return {name: float(value) for name, value in ours}


def of(watched: Watched, family: str) -> dict[str, float]:
    """By the VPN."""
    series = watched.series()
    return {n.split('"')[1]: v for n, v in series.items() if n.startswith(f"{family}{{")}


def test_without_vpns_there_is_no_series_of_any() -> None:
    assert Watched(State(), rules()).series() == {}


def test_one_of_which_nobody_told_has_no_tunnel_and_counters_at_0() -> None:
    assert Watched(State()).series() == {
        f'{family}{{vpn="{vpn}"}}': 0
        for vpn in ("de", "ch")
        for family in ("up", "tunnel", "engines", "port_changes_total", "losses_total")
    }


def test_gauges_are_as_it_is_now() -> None:
    watched = Watched(with_engines(engine(0, "de", PORT), engine(1, "de"), engine(10, "ch")))
    watched.tell(carried("de", 300, 200), answered("ch", is_healthy=False))
    assert of(watched, "up") == {"de": 1, "ch": 1}
    assert of(watched, "tunnel") == {"de": 1, "ch": 0}
    assert of(watched, "engines") == {"de": 2, "ch": 1}
    assert of(watched, "rx_bytes_total") == {"de": 300}
    assert of(watched, "tx_bytes_total") == {"de": 200}
    watched.tell(ended("de"))
    assert of(watched, "up") == {"de": 0, "ch": 1}
    assert of(watched, "tunnel") == {"de": 0, "ch": 0}


def test_a_port_that_is_missed_is_one_that_was_there() -> None:
    watched = Watched(with_engines())
    assert of(watched, "forwarded") == {"de": 1}
    watched.tell(answered("de", 0), answered("ch", 0))
    assert of(watched, "forwarded") == {"de": 0}
    watched.tell(ended("de"), started("de"))
    assert of(watched, "forwarded") == {"de": 0}


def test_a_port_that_was_taken_back_is_counted_and_a_first_one_is_not() -> None:
    watched = Watched(State())
    watched.tell(started("de"), answered("de", PORT))
    assert of(watched, "port_changes_total") == {"de": 0, "ch": 0}
    watched.tell(answered("de", PORT + 1))
    assert of(watched, "port_changes_total") == {"de": 1, "ch": 0}
    watched.tell(answered("de", 0), answered("de", PORT))
    assert of(watched, "port_changes_total") == {"de": 2, "ch": 0}
    watched.tell(ended("de"), started("de"), answered("de", PORT + 2))
    assert of(watched, "port_changes_total") == {"de": 2, "ch": 0}


def test_a_tunnel_that_is_lost_is_counted_once_however_it_went() -> None:
    watched = Watched(State())
    watched.tell(started("de"), ended("de"), started("de"))
    assert of(watched, "losses_total") == {"de": 0, "ch": 0}
    watched.tell(answered("de"), answered("de", is_healthy=False), ended("de"))
    assert of(watched, "losses_total") == {"de": 1, "ch": 0}
    watched.tell(started("de"), answered("de"), ended("de"))
    assert of(watched, "losses_total") == {"de": 2, "ch": 0}
