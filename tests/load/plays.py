"""What the gateway adds to a play while engines are free; more of it in bench_gateway.py."""

import asyncio
from statistics import median

from .bench_gateway import engine_outside, one_by_one
from .scale import Bench
from .table import Aim, Group, Row

_ADDED_MS = Aim(3, "above")


def measure(bench: Bench) -> list[Group]:
    gateway = bench.service.gateway_port
    with engine_outside() as engine:
        took = asyncio.run(one_by_one(engine, gateway, bench.scale.plays))
    floor, ours = (1000 * median(took[port]) for port in (engine, gateway))
    row = Row(f"{bench.scale.plays} plays, p50 ms", floor, ours, _ADDED_MS)
    return [Group("A play through the gateway, engines are free", "asking an engine itself", [row])]
