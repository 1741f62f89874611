"""The way out of the host: engines wait for it, and those that started with another one are
replaced.

Podman's pasta copies addresses, routes and nameservers into an engine's network once, when that
starts (seen with Podman 5.4.2 and passt of 2025-05-03). An engine that starts before the default
route, or with that of IPv6 alone, reaches nobody, and looks up no name, for as long as it lives,
while its published port answers. One whose nameserver is gone looks up no name any more. With
another gateway or source address of the host it still gets out, by an address inside that is no
longer the host's. IPv6's route comes and changes by itself (router advertisements), and peers are
found by IPv4: it counts only where there is none of IPv4."""

import math
from collections.abc import Iterator

from msgspec.structs import replace

from acekeeper.core.actions import TrustNetwork
from acekeeper.core.model import Engine, Now
from acekeeper.core.rules import Rules
from acekeeper.core.state import State
from acekeeper.core.way_out import Network, WayOut

_WAITS = 60.0  # a start does, for a default route; then it goes anyway
_SETTLES = 60.0  # so long a way out has to stay as it is before anything is replaced for it


def told(state: State, way: WayOut, now: Now) -> None:
    before = state.network
    if before is not None and before.way == way:
        return
    lacking = before.lacking if before else None
    if way.has_ipv4:
        lacking = None
    elif lacking is None:
        lacking = now.mono
    state.network = Network(way, now.mono, lacking)
    if lacking is not None and (before is None or before.lacking is None):
        state.tell("network_absent", ipv6=way.route is not None)
    elif before is not None and way.route is not None:
        state.tell(
            "network_changed",
            gateway=way.route.gateway,
            device=way.route.device,
            source=way.route.source,
            nameservers=way.nameservers,
        )


def start_from(state: State) -> float:
    """No start before that moment (monotonic), but for a default route of IPv4 that comes."""
    network = state.network
    if network is None or network.lacking is None:
        return -math.inf
    return network.lacking + _WAITS


def has_old_way(engine: Engine, state: State, _: Rules) -> bool:
    """Whether the host has had another one for a while."""
    network = state.network
    return network is not None and network.settled and _is_old(engine.way_out, network)


def waits(state: State, now: Now) -> Iterator[TrustNetwork | float]:
    """When starts no longer wait, and when the way out has been as it is for long enough."""
    if (start := start_from(state)) > now.mono:
        yield start
    if state.network is not None and not state.network.settled:
        due = state.network.since + _SETTLES
        yield TrustNetwork() if now.mono >= due else due


def trusted(state: State) -> None:
    if state.network is not None:
        state.network = replace(state.network, settled=True)


def is_to_blame(state: State, engine: Engine) -> bool:
    """Whether it is the network's fault, not the engine's nor a content's, if nothing plays."""
    if engine.behind is not None:
        return state.is_cut_off(engine)
    network, had = state.network, engine.way_out
    if network is None or had is None:
        return False
    return network.way.route is None or _is_old(had, network)


def troubles(state: State, now: Now) -> list[str]:
    """A sentence for each."""
    network = state.network
    if network is None:
        return []
    wrong = []
    if start_from(state) > now.mono:
        wrong.append(
            "network: this host has no default route of IPv4 (yet); engines wait for it with their"
            f" start, for {_WAITS:g} s"
        )
    elif network.way.route is None:
        wrong.append("network: this host has no default route; engines reach nobody")
    made = state.index.made.ranks.items()  # few
    count = sum(len(ranks) for (_, _, way, _), ranks in made if _is_old(way, network))
    if count:
        wrong.append(
            "network: engines that started with another default route or other nameservers than"
            f" this host has now: {count}; they are replaced when nobody plays on them"
        )
    return wrong


def _is_old(way: WayOut | None, network: Network) -> bool:
    return way is not None and network.way.is_newer_than(way)
