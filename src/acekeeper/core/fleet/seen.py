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
        return [
            f"fleet: no connection to it ({fleet.link.why}); players get what this host has, and"
            f" for {rules.stale_lasts:g} s what others had"
        ]
    names: dict[Standing, list[str]] = {standing: [] for standing in Standing}
    for host, replica in sorted(fleet.hosts.items()):
        names[replica.standing].append(host)
    wrong = []
    if stale := names[Standing.STALE]:
        wrong.append(
            f"fleet: nothing is heard of {_listed(stale)}; what they said last counts for"
            f" {rules.stale_lasts:g} s"
        )
    if lost := names[Standing.LOST]:
        wrong.append(f"fleet: {_listed(lost)} cannot be heard; nobody gets engines from there")
    return wrong


def _listed(hosts: Sequence[str]) -> str:
    more = len(hosts) - _NAMED
    return ", ".join(hosts[:_NAMED]) + (f" and {more} more" if more > 0 else "")
