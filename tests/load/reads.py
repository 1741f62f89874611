"""What reads cost: of the service by turns with a bare ASGI function that gives the same bytes."""

import asyncio
import time
from collections.abc import Sequence
from statistics import median

from .bare import bare
from .generator import Kept, get, load
from .measuring import by_turns, cpu_seconds
from .scale import Bench
from .table import Aim, Group, Row

_COST = Aim(1.8, "ratio")
_CHEAPER = Aim(1, "ratio")
_SELECTION_MS = Aim(15)


def measure(bench: Bench) -> list[Group]:
    engines = asyncio.run(bench.service.get("/engines"))
    questions = [f"/streams?container_id={e['container_id']}&status=started" for e in engines]
    targets = ["/engines", questions[0], "/orchestrator/status", "/health/ready"]
    answers = {t: asyncio.run(bench.service.call("GET", t)) for t in {*targets, *questions}}
    bodies = {target: answer.body for target, answer in answers.items()}
    etag = answers["/engines"].headers["ETag"]
    with bare(bench.directory / "bodies.json", bodies) as (port, pid):
        rows = [
            _costs(bench, port, pid, f"GET {target.partition('=')[0]}, {size:,} bytes", get(target))
            for target in targets
            for size in [len(bodies[target])]
        ]
        unchanged = _costs(bench, port, pid, "GET /engines, 304", get("/engines", etag))
        selections = _selections(bench, port, [get(t) for t in ("/engines", *questions)])
    cheaper = Row("a 304 (its floor: our 200)", rows[0].ours, unchanged.ours, _CHEAPER)
    best = f"best of {bench.scale.rounds} rounds"
    floor = "a bare ASGI function, same answer"
    return [
        Group(f"Reads: CPU us of the server each, {best}", floor, [*rows, unchanged, cheaper]),
        Group("A client's choice: its reads one by one, ms, median", floor, [selections]),
    ]


def _costs(bench: Bench, bare_port: int, bare_pid: int, what: str, request: bytes) -> Row:
    def cost(port: int, pid: int) -> float:
        before = cpu_seconds(pid)
        answered = len(load(port, request, bench.scale.turn_s).took)
        return 1e6 * (cpu_seconds(pid) - before) / answered

    floor, ours = by_turns(
        bench.scale.rounds,
        lambda: cost(bare_port, bare_pid),
        lambda: cost(bench.port, bench.pid),
    )
    return Row(what, min(floor), min(ours), _COST)


def _selections(bench: Bench, bare_port: int, requests: Sequence[bytes]) -> Row:
    with Kept(bare_port) as floor_client, Kept(bench.port) as client:

        def select(kept: Kept) -> float:
            began = time.perf_counter()
            for request in requests:
                kept.ask(request)
            return 1000 * (time.perf_counter() - began)

        floor, ours = by_turns(
            4 * bench.scale.rounds, lambda: select(floor_client), lambda: select(client)
        )
    return Row(f"1 + {len(requests) - 1} reads", median(floor), median(ours), _SELECTION_MS)
