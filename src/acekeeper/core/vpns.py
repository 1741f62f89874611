"""Which VPN an engine is to be behind, and what one that is lost means for those behind it."""

from collections import Counter
from collections.abc import Callable, Iterator

from acekeeper.core.actions import Code, Drain, Refusal, TrustPort
from acekeeper.core.model import Engine, Health, Now
from acekeeper.core.names import Slot
from acekeeper.core.rules import Rules
from acekeeper.core.state import State
from acekeeper.core.vpn import Behind, Tunnel, Vpn

VPN = "vpn"  # cause of an end
_MISSING_AFTER = 300.0  # seconds; as the alert has it


def ports(rules: Rules) -> range:
    """Those that may have an engine."""
    every = range(rules.ports.first, rules.ports.last + 1)
    return every[: len(rules.vpns) * rules.vpn_slots] if rules.vpns else every


def of_port(rules: Rules, port: int) -> str:
    """The VPN of this slot; empty if it is of none."""
    nth = (port - rules.ports.first) // rules.vpn_slots
    return rules.vpns[nth] if 0 <= nth < len(rules.vpns) else ""


def ports_of(rules: Rules, vpn: str) -> range:
    first = rules.vpns.index(vpn) * rules.vpn_slots
    return ports(rules)[first : first + rules.vpn_slots]


def of_engine(state: State, engine: Engine) -> Vpn | None:
    """The one that it is behind, if that is still of the same start."""
    if engine.behind is None:
        return None
    vpn = state.vpns.get(engine.behind.vpn)
    return vpn if vpn is not None and vpn.incarnation == engine.behind.start else None


def connected(state: State, rules: Rules) -> list[Vpn]:
    """Those behind which engines may start."""
    return [v for n in rules.vpns if (v := state.vpns.get(n)) is not None and v.is_connected]


def are_known(state: State, rules: Rules) -> bool:
    """Whether something was heard of each, if only that it is silent or does not run."""
    return all((vpn := state.vpns.get(n)) is not None and not vpn.is_unasked for n in rules.vpns)


def refusal(state: State, rules: Rules, slot: Slot | None = None) -> Refusal | None:
    """Why no engine may start, or none there, for want of a VPN."""
    if not rules.vpns:
        return None
    there = connected(state, rules)
    if slot is None:
        names, lacks, has = rules.vpns, "no VPN has a tunnel", bool(there)
    else:
        name = of_port(rules, slot.port)
        names, lacks = (name,), f"the VPN of port {slot.port} has no tunnel"
        has = any(vpn.name == name for vpn in there)
    if has:
        return None
    words = ", ".join(f"{name} is {_word(state, name)}" for name in names)
    return Refusal(Code.VPN_DISCONNECTED, f"{lacks}: {words}", 4, should_wait=True)


def _word(state: State, name: str) -> str:
    vpn = state.vpns.get(name)
    return vpn.tunnel.value if vpn else "not known yet"


def by_need(state: State, rules: Rules, free: Callable[[range], Iterator[Slot]]) -> Iterator[Slot]:
    """Of the free slots those of VPNs with a tunnel: first of one that has a forwarded port and no
    engine on it, then of the one with the fewest engines. `free`: of some ports, in their order."""
    if not rules.vpns:
        yield from free(ports(rules))
        return
    vpns = connected(state, rules)
    behind = _behind(state)
    counts = dict.fromkeys((vpn.name for vpn in vpns), 0)
    for where, count in behind.items():
        if where.vpn in counts:
            counts[where.vpn] += count
    wanting = {vpn.name for vpn in vpns if _wants_forwarded(vpn, rules, behind)}
    queues = {vpn.name: free(ports_of(rules, vpn.name)) for vpn in vpns}
    while queues:
        name = min(queues, key=lambda n: (n not in wanting, counts[n], rules.vpns.index(n)))
        if (best := next(queues[name], None)) is None:
            del queues[name]
            continue
        counts[name] += 1
        wanting.discard(name)
        yield best


def to_be_given(state: State, rules: Rules, slot: Slot) -> Behind | None:
    """To an engine that starts there now; None where there are no VPNs."""
    if not rules.vpns:
        return None
    vpn = state.vpns[of_port(rules, slot.port)]
    forwarded = vpn.trusted_port if _wants_forwarded(vpn, rules, _behind(state)) else 0
    return Behind(vpn.name, vpn.incarnation, forwarded)


def wanting(state: State, rules: Rules) -> list[Vpn]:
    """Those that have a forwarded port and no engine on it."""
    if not any(vpn.port for vpn in state.vpns.values()):
        return []
    behind = _behind(state)
    return [vpn for vpn in connected(state, rules) if _wants_forwarded(vpn, rules, behind)]


def _behind(state: State) -> Counter[Behind]:
    """How many engines are behind what. Those without a name, which are few, are in no index."""
    found = Counter[Behind]()
    for (_, _, _, behind), ranks in state.index.made.ranks.items():  # few
        if behind is not None:
            found[behind] += len(ranks)
    for slot in state.index.starting:
        engine = state.engines[slot]
        if engine.behind is not None and not engine.incarnation:
            found[engine.behind] += 1
    return found


def _wants_forwarded(vpn: Vpn, rules: Rules, behind: Counter[Behind]) -> bool:
    """Not while one that is to go still has the port, nor if it is one that engines there have for
    something else: who started on it would find it taken, again and again."""
    wanted = Behind(vpn.name, vpn.incarnation, vpn.trusted_port)
    is_trusted = vpn.port == vpn.trusted_port != 0
    if not is_trusted or wanted in behind:
        return False
    slots = ports_of(rules, vpn.name)
    bases = rules.ports.ports(slots.start)
    return not any(base <= vpn.port < base + len(slots) for base in bases)


def is_back(state: State, rules: Rules, engine: Engine) -> bool:
    """Its tunnel is there again, and one good probe is all that it needs to be free."""
    is_asked = engine.probe.due or engine.probe.under_way
    is_well = engine.ready is not None and not (engine.probe.failures or engine.doubt)
    is_off = engine.health is Health.UNKNOWN and not state.is_cut_off(engine)
    is_given = engine.claim is not None or engine.drain is not None or engine.stop is not None
    return is_off and is_well and is_asked and not is_given and state.has_room(engine, rules)


def is_forwarded(state: State, engine: Engine) -> bool:
    """Whether peers come in to it: it has the port that its VPN's provider forwards now."""
    vpn = of_engine(state, engine)
    if vpn is None or engine.behind is None or not vpn.is_connected:
        return False
    return engine.behind.forwarded == vpn.port != 0


def has_port(state: State, engine: Engine) -> bool:
    """Whether it has the forwarded port, also while there is none for a moment."""
    vpn, had = of_engine(state, engine), engine.behind.forwarded if engine.behind else 0
    return vpn is not None and had == vpn.trusted_port != 0


def is_elsewhere(engine: Engine, _: State, rules: Rules) -> bool:
    """Whether it is to be behind another VPN, behind one, or behind none."""
    if engine.behind is None:
        return bool(rules.vpns)
    return engine.behind.vpn != of_port(rules, engine.slot.port)


def outside(state: State, rules: Rules) -> Iterator[Drain]:
    """Engines behind none where each is to be behind one. Nobody is sent to them any more, and they
    are not waited for until there are others; what plays on them is left alone."""
    if not rules.vpns:
        return
    for (_, _, _, behind), ranks in state.index.made.ranks.items():  # few
        engines = (state.engines[slot] for _, slot in ranks) if behind is None else ()
        for engine in engines:
            if engine.drain is None and engine.stop is None:
                yield Drain(*engine.ref, VPN)


def has_old_port(engine: Engine, state: State, _: Rules) -> bool:
    """Whether another port than its own has been forwarded for a while."""
    vpn, had = of_engine(state, engine), engine.behind.forwarded if engine.behind else 0
    return vpn is not None and had not in (0, vpn.trusted_port)


def trusts(state: State, rules: Rules, now: Now) -> Iterator[TrustPort | float]:
    """When a forwarded port has stayed as it is for long enough."""
    for vpn in state.vpns.values():
        if vpn.port and vpn.port != vpn.trusted_port:
            due = vpn.port_since + rules.vpn_port_settle
            yield TrustPort(vpn.name, vpn.incarnation, vpn.port) if now.mono >= due else due


def troubles(state: State, rules: Rules, now: Now) -> list[str]:
    """A sentence for each."""
    wrong = []
    for name in rules.vpns:
        vpn = state.vpns.get(name)
        if vpn is None:
            continue
        if not vpn.is_connected:
            why = f" ({vpn.silent})" if vpn.silent else ""
            wrong.append(f"vpn {name}: {_WORDS[vpn.tunnel]}{why}")
        elif vpn.silent:
            wrong.append(f"vpn {name}: it has a tunnel, but does not answer ({vpn.silent})")
        elif vpn.had_port and not vpn.port and now.mono - vpn.port_since >= _MISSING_AFTER:
            wrong.append(f"vpn {name}: its provider forwards no port any more")
    return wrong


_WORDS = {
    Tunnel.STOPPED: "it does not run; no engine starts behind it",
    Tunnel.CONNECTING: "it has no tunnel yet; no engine starts behind it",
    Tunnel.LOST: "it lost its tunnel; its engines are off the list until that is back",
    Tunnel.DEAD: "nothing comes through its tunnel; its engines are off the list until it does",
    Tunnel.SILENT: "it does not answer; its engines are off the list until it does",
}
