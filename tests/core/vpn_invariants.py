"""What holds of engines behind VPNs in every state, whatever facts led to it."""

from acekeeper.core import vpns
from acekeeper.core.actions import Start
from acekeeper.core.model import Engine
from acekeeper.core.rules import Rules
from acekeeper.core.state import State
from acekeeper.core.vpn import Behind


def check(state: State) -> None:
    """After the plan has nothing more to do."""
    for engine in state.engines.values():
        cut_off = is_cut_off(state, engine)
        assert state.is_cut_off(engine) is cut_off
        if cut_off:
            assert not engine.listed, engine
            assert engine.slot not in state.index.vacant
            assert engine.claim is None or engine.handed is not None
        assert vpns.is_forwarded(state, engine) is is_forwarded(state, engine)


def is_cut_off(state: State, engine: Engine) -> bool:
    vpn = state.vpns.get(engine.behind.vpn) if engine.behind else None
    if engine.behind is None or vpn is None:
        return False
    if vpn.incarnation != engine.behind.start or vpn.tunnel.value == "stopped":
        return True
    nothing_heard = not vpn.was_asked and not vpn.silent and not vpn.had_tunnel
    return vpn.tunnel.value != "connected" and not nothing_heard


def is_forwarded(state: State, engine: Engine) -> bool:
    vpn = state.vpns.get(engine.behind.vpn) if engine.behind else None
    if engine.behind is None or vpn is None or vpn.tunnel.value != "connected":
        return False
    is_of_it = vpn.incarnation == engine.behind.start
    return is_of_it and vpn.port > 0 and vpn.port == engine.behind.forwarded


def may_start(state: State, rules: Rules, action: Start) -> None:
    """Before a start is taken: where there are VPNs, only behind one that has a tunnel."""
    if rules.vpns:
        nth = (action.slot.port - rules.ports.first) // rules.vpn_slots
        assert state.vpns[rules.vpns[nth]].tunnel.value == "connected"


def is_given(state: State, rules: Rules, action: Start) -> None:
    """After a start was taken: it is behind the VPN of its slot, as that runs now; on a forwarded
    port if it is the one of that VPN, nobody else had it, and no slot of it has it for something
    else."""
    behind = state.engines[action.slot].behind
    assert (behind is not None) == bool(rules.vpns)
    if behind is None:
        return
    vpn = state.vpns[behind.vpn]
    assert action.slot.port in vpns.ports_of(rules, behind.vpn)
    assert behind.start == vpn.incarnation
    others = [e.behind for e in state.engines.values() if e.slot != action.slot]
    is_taken = Behind(behind.vpn, behind.start, vpn.port) in others
    slots = vpns.ports_of(rules, behind.vpn)
    is_taken |= any(vpn.port in rules.ports.ports(http) for http in slots)
    is_its = vpn.port > 0 and vpn.port == vpn.trusted_port and not is_taken
    assert behind.forwarded == (vpn.port if is_its else 0)
