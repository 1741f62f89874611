"""VPNs of a simulated day: each loses its tunnel at times, and has it back."""

from acekeeper.core.facts import VpnAnswered, VpnStarted
from acekeeper.simulation.pool import Pool, Process

_LOST_FOR_S = 300.0  # Gluetun doubts slowly, then makes a tunnel anew
_DAY = 86400.0
_START = "start"


def connect(pool: Pool) -> None:
    for vpn in pool.rules.vpns:
        pool.tell(VpnStarted(vpn, _START))
        pool.tell(VpnAnswered(vpn, _START, is_healthy=True))


def fails(pool: Pool, vpn: str, a_day: float, until: float) -> Process:
    """So often, at any moment; what plays behind it meanwhile stands still."""
    while True:
        yield pool.random.expovariate(a_day / _DAY)
        if pool.now.mono >= until:
            return
        behind = (engine.slot for engine in pool.state.behind(vpn))
        pool.tally.stalled += sum(len(pool.state.playing.get(slot, ())) for slot in behind)
        pool.tell(VpnAnswered(vpn, _START, is_healthy=False))
        yield _LOST_FOR_S
        pool.tell(VpnAnswered(vpn, _START, is_healthy=True))
