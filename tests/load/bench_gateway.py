"""What the gateway costs a play: `make bench-gateway`. Trust its ratios and differences.

A play is what Acexy does: it asks for a channel, as JSON, and stops it. An emulated engine of its
own, outside the pool, is asked directly, by turns with the gateway. What players wait for when
something is wrong is in waits.py.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from statistics import quantiles

from ..contract.service import Service, eventually
from ..ports import free_port
from . import waits
from .measuring import cpu_seconds, row, say

ENGINES = 20
PLAYS = 500  # of each, one after another
PAUSE_S = 0.02  # the gateway has a session stopped in the background
AT_ONCE = 8
ROUNDS, ROUND_S = 5, 2.0
SETTINGS = {
    "MIN_REPLICAS": ENGINES,
    "MAX_CONCURRENT_PROVISIONS": ENGINES,
    "MIN_PROVISION_INTERVAL_S": 0,
    "LOG_LEVEL": "WARNING",
}

_channels = count(1)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="acekeeper-bench-", dir="/var/tmp") as directory:
        service = Service(Path(directory, "state"), SETTINGS, slots=ENGINES, start_delay=0)
        try:
            asyncio.run(service.start(ENGINES, within=120))
            assert service.process
            with engine_outside() as engine:
                _added(engine, service.gateway_port)
                asyncio.run(_at_once(engine, service.gateway_port, service.process.pid))
        finally:
            service.end()
        waits.measure(Path(directory))


def _added(engine: int, gateway: int) -> None:
    took = asyncio.run(one_by_one(engine, gateway, PLAYS))
    found = {port: _percentiles_ms(seconds) for port, seconds in took.items()}
    row(f"until the answer, {PLAYS} plays of each", "p10 ms", "p50 ms", "p99 ms")
    row("  an engine, directly", *(f"{ms:.2f}" for ms in found[engine]))
    row("  the gateway", *(f"{ms:.2f}" for ms in found[gateway]))
    pairs = zip(found[engine], found[gateway], strict=True)
    row("  added", *(f"{with_it - without:.2f}" for without, with_it in pairs))


async def one_by_one(engine: int, gateway: int, plays: int) -> dict[int, list[float]]:
    """What each play took, by port. The engines of the pool are free, and nothing of the play
    before is still to do."""
    took: dict[int, list[float]] = {engine: [], gateway: []}
    for _ in range(plays):
        for port, seconds in took.items():
            seconds.append(await _play(port))
            await asyncio.sleep(PAUSE_S)
    return took


async def _at_once(engine: int, gateway: int, pid: int) -> None:
    rates: dict[int, list[float]] = {engine: [], gateway: []}
    plays, spent = 0, 0.0
    for _ in range(ROUNDS):
        rates[engine].append(await _rate(engine))
        before = cpu_seconds(pid)
        rates[gateway].append(await _rate(gateway))
        spent += cpu_seconds(pid) - before
        plays += round(rates[gateway][-1] * ROUND_S)
    best = {port: max(each) for port, each in rates.items()}
    row(f"\n{AT_ONCE} players at once, the best of {ROUNDS} rounds", "plays/s", "CPU ms each")
    row("  an engine, directly", f"{best[engine]:.0f}")
    row("  the gateway", f"{best[gateway]:.0f}", f"{1000 * spent / plays:.2f}")
    row("  gateway / engine", f"{best[gateway] / best[engine]:.2f}")


async def _rate(port: int) -> float:
    began = time.perf_counter()

    async def player() -> int:
        plays = 0
        while time.perf_counter() - began < ROUND_S:
            await _play(port)
            plays += 1
        return plays

    plays = sum(await asyncio.gather(*(player() for _ in range(AT_ONCE))))
    return plays / (time.perf_counter() - began)


async def _play(port: int) -> float:
    """A channel nobody played before; the seconds until the whole answer was there."""
    began = time.perf_counter()
    answer = await _get(port, f"/ace/getstream?format=json&id={next(_channels):040x}")
    took = time.perf_counter() - began
    given = json.loads(answer)
    assert given["error"] is None, given
    stop = given["response"]["command_url"].partition(f":{port}")[2]
    assert b"ok" in await _get(port, f"{stop}?method=stop")
    return took


async def _get(port: int, target: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode())
    answer = await reader.read()
    writer.close()
    assert b" 200 " in answer.partition(b"\r\n")[0], answer
    return answer.partition(b"\r\n\r\n")[2]


def _percentiles_ms(seconds: list[float]) -> tuple[float, float, float]:
    cuts = quantiles(seconds, n=100)
    return 1000 * cuts[9], 1000 * cuts[49], 1000 * cuts[98]


@contextmanager
def engine_outside() -> Iterator[int]:
    """The port of an engine that is none of the pool."""
    port = free_port()
    command = [sys.executable, "-m", "acekeeper.emulator", "--http-port", str(port)]
    process = subprocess.Popen([*command, "--start-delay", "0"], stdout=subprocess.DEVNULL)

    async def answers() -> bool:
        try:
            return bool(await _get(port, "/webui/api/service?method=get_version"))
        except OSError:
            return False

    try:
        asyncio.run(eventually(answers))
        yield port
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    say(f"{ENGINES} engines")
    main()
