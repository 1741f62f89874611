"""How long players of the gateway wait when something is wrong, and callers of the API meanwhile: a
part of `make bench-gateway`. The players are the strict ones of the contract tests."""

import asyncio
import time
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from ..contract import hedges
from ..contract.picture import PlaybackFailed
from ..contract.player import Player
from ..contract.pool import KEPT, channel, waiting
from ..contract.restarts import calling, held
from ..contract.service import Service, eventually
from .measuring import row

HEDGE_S = 3.0  # the default
POOLS, PLAYS = 5, 20  # of each pool, one after another
ZAPS, ZAP_EVERY_S = 20, 3.0
PROBES, PROBE_EVERY_S, DEAD_EVERY = 100, 1.0, 3
COMES_EVERY_S, STAYS_S = 8.0, 24.0
TEN = 10
START_DELAYS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
FEW: dict[str, object] = {"MIN_REPLICAS": 2, "MAX_REPLICAS": 6, "MIN_PROVISION_INTERVAL_S": 0}


def measure(directory: Path) -> None:
    asyncio.run(_hung(directory))
    asyncio.run(_zapping(directory / "zapping"))
    asyncio.run(_checked(directory / "checked"))
    asyncio.run(_starting(directory))
    asyncio.run(_restarts(directory / "restarts"))


async def _hung(directory: Path) -> None:
    async def play(number: int) -> list[hedges.Hedged]:
        state = directory / f"hung-{number}"
        service = Service(state, hedges.SETTINGS, hedges.slots(PLAYS), start_delay=0)
        try:
            await service.start(hedges.ENGINES)
            return [play async for play in hedges.play_past_one_that_hangs(service, PLAYS)]
        finally:
            service.end()

    pools = await asyncio.gather(*(play(number) for number in range(POOLS)))
    plays = [play for pool in pools for play in pool]
    waits = [play.after for play in plays]
    most = HEDGE_S + 1
    _waits(f"\n{len(plays)} plays, the first engine hangs", f"within {most:g} s", most, waits)
    row("  answered while it still hung", f"{sum(p.by_hedge for p in plays)}")


async def _zapping(state: Path) -> None:
    service = Service(state, FEW, slots=6, start_delay=0.3)
    try:
        await service.start(engines=2)
        began, waits = time.monotonic(), []
        for number in range(ZAPS):
            async with Player(service.gateway, channel(number)) as player:
                await player.begin()
                waits.append(player.answered_after)
                await asyncio.sleep(began + (number + 1) * ZAP_EVERY_S - time.monotonic())
        took = time.monotonic() - began
        engines = {line["engine"] for line in await service.logged("play_opened", ZAPS)}
        _waits(f"\n{ZAPS} channels in {took:.0f} s, one player", "within 1 s", 1, waits)
        row("  engines it had in all", f"{len(engines)}")
    finally:
        service.end()


async def _checked(state: Path) -> None:
    """Somebody checks a list, in which every third channel is dead, beside players that stay."""
    service = Service(state, FEW, slots=6, start_delay=0.3)
    try:
        await service.start(engines=2)
        checking = asyncio.create_task(_check(service))
        waits: list[float] = []
        async with AsyncExitStack() as stack:
            staying: list[Player] = []
            while not checking.done():
                player = Player(service.gateway, channel(1000 + len(waits)), as_json=True)
                staying.append(await stack.enter_async_context(player))
                await player.begin()
                waits.append(player.answered_after)
                await asyncio.wait({checking}, timeout=COMES_EVERY_S)
                if len(staying) * COMES_EVERY_S >= STAYS_S:
                    await staying.pop(0).leave()
            failed = await checking
        name = f"\n{PROBES} probes, one every {PROBE_EVERY_S:g} s; players beside"
        _waits(name, "within 1 s", 1, waits)
        row("  channels that were refused", f"{failed}")
    finally:
        service.end()


async def _check(service: Service) -> int:
    """The number of channels that did not play."""
    failed, began = 0, time.monotonic()
    for number in range(PROBES):
        for engine in await service.get("/engines") if number % DEAD_EVERY == 0 else ():
            await service.fault_of(engine["port"], "load_fails", channel(number))
        async with Player(service.gateway, channel(number)) as player:
            try:
                await player.begin()
            except PlaybackFailed:
                failed += 1
        await asyncio.sleep(began + (number + 1) * PROBE_EVERY_S - time.monotonic())
    return failed


async def _starting(directory: Path) -> None:
    """No engine is there when the player comes."""
    waits = []
    for delay in START_DELAYS:
        settings = {**KEPT, "MIN_REPLICAS": 0, "MAX_REPLICAS": 1}
        service = Service(directory / f"starting-{delay:g}", settings, slots=1, start_delay=delay)
        try:
            await service.start()
            async with Player(service.gateway, channel(1), as_json=True) as player:
                await player.begin()
            [opened], [ready] = await service.logged("play_opened"), service.log("engine_ready")
            waits.append(_moment(opened) - _moment(ready))
        finally:
            service.end()
    _waits("\nfrom readiness to a player that waits", "within 1 s", 1, waits)


def _moment(line: dict[str, Any]) -> float:
    return datetime.fromisoformat(line["ts"]).timestamp()


async def _restarts(state: Path) -> None:
    settings = {**KEPT, "MIN_REPLICAS": TEN, "MAX_REPLICAS": TEN}
    service = Service(state, settings, slots=TEN, start_delay=0)
    row("\nrestarts, calls of the API meanwhile", "calls", "longest s", "failed")

    async def restart(name: str) -> None:
        async with calling(service) as took:
            assert await service.stop() == 0
            await service.start(**popen)
        row(f"  {name}", f"{len(took)}", f"{max(took):.2f}", "0")

    async def all_wait() -> bool:
        return await waiting(service) == TEN

    try:
        with held(service) as popen:
            await service.start(engines=TEN, **popen)
            await restart("nobody waits")
            async with AsyncExitStack() as stack:
                players = [
                    await stack.enter_async_context(
                        Player(service.gateway, channel(number), as_json=True)
                    )
                    for number in range(2 * TEN)
                ]
                there, later = players[:TEN], players[TEN:]
                await asyncio.gather(*(player.begin() for player in there))
                for player in later:
                    player.ask()
                await eventually(all_wait)
                await restart(f"{TEN} players wait")
                await asyncio.gather(*(player.leave() for player in there))
                ended = await asyncio.gather(
                    *(player.takes(1) for player in later), return_exceptions=True
                )
            row("  of them played", f"{ended.count(None)} of {TEN}")
    finally:
        service.end()


def _waits(name: str, within: str, most: float, seconds: list[float]) -> None:
    row(name, "p50 s", "longest s", within)
    met = sum(each <= most for each in seconds)
    row(
        "  until the answer",
        f"{median(seconds):.2f}",
        f"{max(seconds):.2f}",
        f"{met} of {len(seconds)}",
    )
