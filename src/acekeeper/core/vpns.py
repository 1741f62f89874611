"""Which VPN an engine is to be behind, and what one that is lost means for those behind it."""

from collections.abc import Iterator

from acekeeper.core.actions import Code, Drain, Refusal, TrustPort
from acekeeper.core.model import Engine, Now
from acekeeper.core.names import Slot
from acekeeper.core.rules import Rules
from acekeeper.core.state import State
from acekeeper.core.vpn import Behind, Tunnel, Vpn

VPN = "vpn"  # cause of an end
_MISSING_AFTER = 300.0  # seconds; as the alert has it


def of_port(rules: Rules, port: int) -> str:
    """The VPN of this slot; empty if it is of none."""
    nth = (port - rules.ports.first) // rules.vpn_slots
    return rules.vpns[nth] if 0 <= nth < len(rules.vpns) else ""


def ports_of(rules: Rules, vpn: str) -> range:
    first = rules.ports.first + rules.vpns.index(vpn) * rules.vpn_slots
    return range(first, min(first + rules.vpn_slots, rules.ports.last + 1))


def of_engine(state: State, engine: Engine) -> Vpn | None:
    """The one that it is behind, if that is still of the same start."""
    if engine.behind is None:
        return None
    vpn = state.vpns.get(engine.behind.vpn)
    return vpn if vpn is not None and vpn.incarnation == engine.behind.start else None


def connected(state: State, rules: Rules) -> list[Vpn]:
    """Those behind which engines may start."""
    return [v for n in rules.vpns if (v := state.vpns.get(n)) is not None and v.is_connected]


def refusal(state: State, rules: Rules) -> Refusal | None:
    """Why no engine may start for want of a VPN."""
    if not rules.vpns or connected(state, rules):
        return None
    words = ", ".join(f"{name} is {_word(state, name)}" for name in rules.vpns)
    return Refusal(Code.VPN_DISCONNECTED, f"no VPN has a tunnel: {words}", 4, should_wait=True)


def _word(state: State, name: str) -> str:
    vpn = state.vpns.get(name)
    return vpn.tunnel.value if vpn else "not known yet"


def by_need(state: State, rules: Rules, slots: Iterator[Slot]) -> Iterator[Slot]:
    """Of the free slots those of VPNs with a tunnel: first of one that has a forwarded port and no
    engine on it, then of the one with the fewest engines."""
    if not rules.vpns:
        yield from slots
        return
    vpns = {vpn.name: vpn for vpn in connected(state, rules)}
    free: dict[str, list[Slot]] = {name: [] for name in vpns}
    for slot in slots:
        if (name := of_port(rules, slot.port)) in free:
            free[name].append(slot)
    counts = dict.fromkeys(vpns, 0)
    for slot in state.engines:
        if (name := of_port(rules, slot.port)) in counts:
            counts[name] += 1
    wanting = {name for name, vpn in vpns.items() if _wants_forwarded(state, vpn)}
    queues = {name: iter(slots) for name, slots in free.items()}
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
    forwarded = vpn.trusted_port if _wants_forwarded(state, vpn) else 0
    return Behind(vpn.name, vpn.incarnation, forwarded)


def may_start_at(state: State, rules: Rules, slot: Slot) -> bool:
    if not rules.vpns:
        return True
    vpn = state.vpns.get(of_port(rules, slot.port))
    return vpn is not None and vpn.is_connected


def wants_forwarded(state: State, rules: Rules) -> bool:
    """Whether a VPN has a forwarded port that no engine has, and a slot for one."""
    return any(
        _wants_forwarded(state, vpn)
        and any(Slot(rules.host, p) not in state.engines for p in ports_of(rules, vpn.name))
        for vpn in connected(state, rules)
    )


def _wants_forwarded(state: State, vpn: Vpn) -> bool:
    wanted = Behind(vpn.name, vpn.incarnation, vpn.trusted_port)
    has_port = vpn.trusted_port and vpn.port == vpn.trusted_port
    return bool(has_port) and not any(
        e.behind == wanted and e.stop is None for e in state.engines.values()
    )


def is_forwarded(state: State, engine: Engine) -> bool:
    """Whether peers come in to it: it has the port that its VPN's provider forwards now."""
    vpn = of_engine(state, engine)
    if vpn is None or engine.behind is None or not vpn.is_connected:
        return False
    return engine.behind.forwarded == vpn.port != 0


def is_elsewhere(engine: Engine, _: State, rules: Rules) -> bool:
    """Whether it is to be behind another VPN, behind one, or behind none."""
    return (engine.behind.vpn if engine.behind else "") != of_port(rules, engine.slot.port)


def has_old_port(engine: Engine, state: State, _: Rules) -> bool:
    """Whether another port than its own has been forwarded for a while."""
    vpn = of_engine(state, engine)
    had = engine.behind.forwarded if engine.behind else 0
    return bool(had and vpn and vpn.trusted_port and vpn.trusted_port not in (0, had))


def trusts(state: State, rules: Rules, now: Now) -> Iterator[TrustPort | float]:
    """When a forwarded port has stayed as it is for long enough."""
    for vpn in state.vpns.values():
        if vpn.port and vpn.port != vpn.trusted_port:
            due = vpn.port_since + rules.vpn_port_settle
            yield TrustPort(vpn.name, vpn.incarnation, vpn.port) if now.mono >= due else due


def giving_way(state: State, rules: Rules) -> Drain | None:
    """Where every place of MAX_REPLICAS is taken: one that is cut off and has no streams, for a
    start behind another VPN."""
    if len(state.engines) < rules.max_replicas or not rules.vpns:
        return None
    if next(by_need(state, rules, _free(state, rules)), None) is None:
        return None
    cut_off = (
        e
        for e in state.uneasy_engines()
        if state.is_cut_off(e) and e.drain is None and e.stop is None and e.incarnation
    )
    idle = (e for e in cut_off if state.is_vacant(e) and e.claim is None)
    longest = min(idle, key=lambda e: (e.idle_since.mono, e.slot), default=None)
    return Drain(*longest.ref, VPN) if longest is not None else None


def _free(state: State, rules: Rules) -> Iterator[Slot]:
    every = (Slot(rules.host, p) for p in range(rules.ports.first, rules.ports.last + 1))
    return (slot for slot in every if slot not in state.engines)


def troubles(state: State, rules: Rules, now: Now) -> list[str]:
    """A sentence for each."""
    wrong = []
    for name in rules.vpns:
        vpn = state.vpns.get(name)
        if vpn is None:
            continue
        if not vpn.is_connected:
            wrong.append(f"vpn {name}: {_WORDS[vpn.tunnel]}")
        elif vpn.had_port and not vpn.port and now.mono - vpn.port_since >= _MISSING_AFTER:
            wrong.append(f"vpn {name}: its provider forwards no port any more")
    return wrong


_WORDS = {
    Tunnel.STOPPED: "its unit does not run; no engine starts behind it",
    Tunnel.CONNECTING: "it has no tunnel yet; no engine starts behind it",
    Tunnel.LOST: "it lost its tunnel; its engines are off the list until that is back",
    Tunnel.DEAD: "nothing comes through its tunnel; its engines are off the list until it does",
    Tunnel.SILENT: "it does not answer; its engines are off the list until it does",
}
