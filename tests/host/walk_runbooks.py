"""Walks the runbooks: injects each alert's fault on a host, waits until a real Prometheus says
that it fires, pastes the commands of its page, undoes the fault and waits until it is over.

    python -m tests.host.walk_runbooks [ALERT ...]

Needs root and a lab; about three minutes an alert. What a command has to print is in `faults.py`,
and for the alerts of VPNs and of a fleet, which have hosts of their own, in `vpn_faults.py` and
`fleet_faults.py`.
"""

import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from ..monitoring.commands import ROOT, blocks
from ..monitoring.prometheus import Prometheus
from ..monitoring.rules import alerts
from . import deploying, faults, fleet_faults, vpn_faults
from .asking import KEY
from .deploying import engines
from .faults import FAULTS, Fault
from .fleet import deployed as in_fleets
from .lab import Host, Lab, LabError
from .scraping import scrape
from .viewing import Viewing
from .vpn.deployed import deployed
from .waiting import until

RUNBOOKS = ROOT / "docs/runbooks"
CAUSES = "Likely causes, and the fix"
AN_ENGINE = "19000"

Faulty = tuple[Host, Mapping[str, Fault]]  # a host, and the faults it can have


def main() -> int:
    wanted = sys.argv[1:] or [alert.name for alert in alerts()]
    plain = [alert for alert in FAULTS if alert in wanted]
    of_fleet = [alert for alert in wanted if alert.startswith("Fleet")]
    of_vpns = [alert for alert in wanted if alert not in {*FAULTS, *of_fleet}]
    with Lab.take() as lab, tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        kinds = ((without_vpns, plain), (with_vpns, of_vpns), (in_a_fleet, of_fleet))
        walked = [walk(kind(lab, directory), its) for kind, its in kinds]
    return 0 if all(map(all, walked)) else 1


@contextmanager
def without_vpns(lab: Lab, directory: Path) -> Iterator[Faulty]:
    host = lab.up(1)
    deploying.deploy(host, directory, faults.SETTINGS, KEY)
    faults.prepare(host)
    yield host, FAULTS
    lab.down(1)


@contextmanager
def with_vpns(lab: Lab, directory: Path) -> Iterator[Faulty]:
    with deployed(lab, 2, directory, vpn_faults.SETTINGS, vpn_faults.PORTS) as vpns:
        yield vpns.host, vpn_faults.vpn_faults(vpns.provider)


@contextmanager
def in_a_fleet(lab: Lab, directory: Path) -> Iterator[Faulty]:
    with in_fleets.deployed(lab, fleet_faults.HOSTS, directory, fleet_faults.SETTINGS) as made:
        yield made.members[0].host, fleet_faults.fleet_faults(made)


def walk(kind: AbstractContextManager[Faulty], wanted: Sequence[str]) -> list[bool]:
    """Without any, there is no host."""
    if not wanted:
        return []
    with kind as (host, its):
        walker = Walker(host, scrape(host, KEY))
        return [walker.walk(alert, its[alert]) for alert in wanted]


class Walker:
    def __init__(self, host: Host, prometheus: Prometheus) -> None:
        self.host = host
        self.prometheus = prometheus
        self.first = "".join(blocks((RUNBOOKS / "README.md").read_text("utf-8"), "First")[:1])

    def walk(self, alert: str, fault: Fault) -> bool:
        """Whether all was as the page says; if not, the next one is walked all the same."""
        page = (RUNBOOKS / f"{alert}.md").read_text("utf-8")
        pasted = blocks(page, "Confirm")
        if fault.also:
            pasted += [block for block in blocks(page, CAUSES) if fault.also in block]
        try:
            said, fired, over = self.live_through(alert, fault, pasted)
        except (AssertionError, LabError) as error:
            say(f"{alert}: {error}")
            return False
        lines = sum(len(block.splitlines()) for block in pasted)
        say(f"{alert:20} fired after {fired:3.0f} s, {lines:2} lines, over after {over:3.0f} s")
        missing = [words for words in fault.shows if not re.search(words, said)]
        if missing:
            say(f"{said}\n{alert}: nothing says {missing}")
        return not missing

    def live_through(self, alert: str, fault: Fault, pasted: list[str]) -> tuple[str, float, float]:
        """What the commands said, and the seconds until it fired and until it was over."""
        until(lambda: alert not in self.prometheus.firing() and self.is_well())
        with Viewing(self.host, KEY) as viewing, fault.injected(self.host, viewing):
            fired = until(lambda: alert in self.prometheus.firing())
            said = self.paste(*pasted)
        return said, fired, until(lambda: alert not in self.prometheus.firing())

    def paste(self, *pasted: str) -> str:
        """As the first page says, with the port of an engine that runs in place of 19000."""
        [port] = re.findall(r"\d+", next(iter(engines(self.host)), AN_ENGINE))
        commands = (self.first + "".join(pasted)).replace(AN_ENGINE, port)
        result = self.host.ssh("bash -s", stdin=commands, check=False)
        return result.stdout + result.stderr

    def is_well(self) -> bool:
        return bool(re.search("^ready$", self.paste("acekeeper status\n"), re.MULTILINE))


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
