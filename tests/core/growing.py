"""A pool as large as one likes, and what is done there counted in lines."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from acekeeper.core.doubt import Callers
from acekeeper.core.gateway.model import Reader
from acekeeper.core.model import ByGateway, Engine, Health, KeyType, Now, Opening, Stream
from acekeeper.core.names import HERE, PortPlan
from acekeeper.core.state import State
from acekeeper.core.vpn import Behind, Vpn

from .world import MONO, WALL, slot

NOW = Now(WALL, MONO).after(10_000)
SPARE = 10  # free engines
PORTS = PortPlan(19000, 20999, 30000, 40000, 50000)


def stream(n: int, name: str, at: Now, ended: Now | None = None, *, of_gateway: bool) -> Stream:
    by = ByGateway(
        opening=Opening(f"{n:040x}", name, "", is_live=True),
        player=f"192.0.2.{n}",
        arrival=HERE,
        as_json=False,
        is_hls=False,
        query="",
    )
    return Stream(
        id=name,
        key_type=KeyType.INFOHASH,
        key=f"{n:040x}",
        session=name,
        stat_url="",
        own_command_url="",
        is_live=True,
        address=(HERE, slot(n).port),
        started=at,
        slot=slot(n),
        incarnation=f"start-{n}",
        container_id=f"id-{n}",
        ended=ended,
        gateway=by if of_gateway else None,
    )


def pool(engines: int, streams: int, vpn: Vpn | None = None) -> State:
    """All are well and play but for some that are free; `streams` of each engine are over."""
    state = State(connected=True, listed=True, surveyed=True, boot="boot")
    if vpn is not None:
        state.put_vpn(vpn)
    for n in range(engines):
        began = NOW.after(-1000 - n)
        engine = Engine(
            slot=slot(n),
            created=began,
            incarnation=f"start-{n}",
            container_id=f"id-{n}",
            behind=None if vpn is None else Behind(vpn.name, vpn.incarnation, 0 if n else vpn.port),
            health=Health.HEALTHY,
            started=began,
            ready=began,
            settled=True,
            free_since=began if n < SPARE else None,
        )
        state.put(engine)
        state.put_callers(engine.ref, Callers(NOW.mono - 10, {"x": 0.0}, None))
        for m in range(streams):
            over = NOW.after(-900 + m / streams)
            state.put_stream(stream(n, f"over-{n}-{m}", began, over, of_gateway=True))
        if n < SPARE:
            continue
        state.put_stream(stream(n, f"s{n}", NOW.after(-100), of_gateway=bool(n % 2)))
        if n % 2:
            since = NOW.mono - 50
            state.put_reader(f"s{n}", Reader(since, since, came=True, player=f"192.0.2.{n}"))
    return state


def lines(work: Callable[[], object]) -> int:
    count = 0

    def line(frame: FrameType, event: str, argument: object) -> Callable[..., Any]:
        nonlocal count
        count += 1
        return line

    before = sys.gettrace()
    sys.settrace(line)
    try:
        work()
    finally:
        sys.settrace(before)
    return count
