"""What an operator is told of the hosts of a fleet."""

from collections import Counter
from collections.abc import Mapping, Sequence

from acekeeper.core.fleet.model import Fleet, Standing
from acekeeper.core.rules import Rules

_NAMED = 5  # of many hosts


def standings(fleet: Fleet) -> Mapping[Standing, int]:
    """How many hosts there are of each; this one is always live."""
    counts = Counter(replica.standing for replica in fleet.hosts.values())
    counts[Standing.LIVE] += 1
    return {standing: counts[standing] for standing in Standing}


def troubles(fleet: Fleet, rules: Rules) -> list[str]:
    """A sentence for each."""
    if not rules.fleet_host:
        return []
    if not fleet.link.is_up:
        return [f"fleet: not connected ({fleet.link.why}); players get this host's engines only"]
    names: dict[Standing, list[str]] = {standing: [] for standing in Standing}
    for host, replica in sorted(fleet.hosts.items()):
        names[replica.standing].append(host)
    wrong = []
    if stale := names[Standing.STALE]:
        wrong.append(
            f"fleet: nothing is heard of {_listed(stale)}; for {rules.stale_lasts:g} s this host"
            " counts on what they said last"
        )
    if lost := names[Standing.LOST]:
        wrong.append(f"fleet: {_listed(lost)} cannot be heard, and get no players from here")
    return wrong


def _listed(hosts: Sequence[str]) -> str:
    more = len(hosts) - _NAMED
    return ", ".join(hosts[:_NAMED]) + (f" and {more} more" if more > 0 else "")
