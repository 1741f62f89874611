"""Engines behind two VPNs, which end, lose their tunnels and have them back."""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ..ports import free_ports
from .conftest import MakeService, Watch
from .player import Player
from .pool import ENOUGH, KEPT
from .service import LIMIT_S, Service, eventually, told

pytestmark = pytest.mark.timeout(300)

SLOTS = 6  # of each VPN
ENGINES = 4
P2P = (
    "{python} -m acekeeper.emulator --http-port {http_port} --admin-port {api_port}"
    " --port {p2p_port} --start-delay 0.3"
)


class Vpns:
    """A service with two VPNs, `de` and `ch`."""

    def __init__(self, make: MakeService, **settings: object) -> None:
        ports = free_ports()
        self.health = {"de": ports.p2p, "ch": ports.p2p + 1}
        given = {
            **KEPT,
            "MIN_REPLICAS": 0,
            "MAX_REPLICAS": ENGINES,
            "VPNS": "de,ch",
            "VPN_SLOTS": SLOTS,
            "VPN_CONTROL_BASE": ports.http,
            "VPN_HEALTH_BASE": ports.p2p,
            "VPN_CHECK_INTERVAL_S": 0.2,
            **settings,
        }
        self.service: Service = make(given, slots=2 * SLOTS)

    async def start(self, engines: int = ENGINES) -> Service:
        """With so many, started when both had a tunnel."""
        await self.service.start()
        await self.service.logged("vpn_connected", 2)
        answer = await self.service.call("POST", f"/scale/{engines}")
        assert answer.status == 200, answer
        await self.until_listed(de=engines // 2, ch=engines // 2)
        return self.service

    async def fault(self, vpn: str, kind: str, **fields: object) -> None:
        await self._admin("POST", vpn, "/faults", {"kind": kind, **fields})

    async def clear(self, vpn: str) -> None:
        await self._admin("DELETE", vpn, "/faults")

    async def kill(self, vpn: str) -> None:
        await self._admin("POST", vpn, "/crash", {"signal": "SIGKILL"})

    async def _admin(self, method: str, vpn: str, path: str, body: object = None) -> None:
        await told(method, f"http://127.0.0.1:{self.health[vpn]}{path}", body)

    def of(self, port: int) -> str:
        return "de" if port < self.service.slots[0] + SLOTS else "ch"

    async def listed(self) -> dict[str, list[int]]:
        """The ports of the engines that players may have, by their VPN."""
        ports = sorted(engine["port"] for engine in await self.service.get("/engines"))
        return {vpn: [p for p in ports if self.of(p) == vpn] for vpn in ("de", "ch")}

    async def until_listed(self, **counts: int) -> None:
        async def are() -> bool:
            found = await self.listed()
            return all(len(found[vpn]) == count for vpn, count in counts.items())

        await eventually(are)


Play = Callable[[Vpns], Awaitable[dict[str, list[Player]]]]


@pytest.fixture
async def play(watch: Watch) -> Play:
    """One plays from each engine: who, by the VPN."""

    async def begin(vpns: Vpns) -> dict[str, list[Player]]:
        players = [await watch(vpns.service, n).begin() for n in range(ENGINES)]
        return {v: [p for p in players if vpns.of(p.port) == v] for v in ("de", "ch")}

    return begin


async def all_take(players: list[Player]) -> None:
    await asyncio.gather(*(player.takes(ENOUGH) for player in players))


@asynccontextmanager
async def unharmed(service: Service) -> AsyncIterator[None]:
    """The same engines and VPNs run afterwards."""
    engines, vpns = service.engine_pids(), service.vpn_pids()
    yield
    assert (service.engine_pids(), service.vpn_pids()) == (engines, vpns)


async def provisioning(service: Service) -> dict[str, Any]:
    status: dict[str, Any] = (await service.get("/orchestrator/status"))["provisioning"]
    return status


async def test_engines_are_spread_over_the_vpns(service: MakeService) -> None:
    vpns = Vpns(service, ENGINE_COMMAND=P2P)
    running = await vpns.start()
    found = await vpns.listed()
    assert {vpn: len(ports) for vpn, ports in found.items()} == {"de": 2, "ch": 2}
    forwarded = {port: b"5100" in words(pid) for port, pid in running.engine_pids().items()}
    for ports in found.values():
        assert [forwarded[port] for port in ports] == [True, False], "one of each has the port"


def words(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


async def test_one_that_is_killed_takes_its_engines_with_it_and_nothing_else(
    service: MakeService, play: Play
) -> None:
    vpns = Vpns(service)
    running = await vpns.start()
    players = await play(vpns)
    gone, kept = (await vpns.listed()).values()
    await vpns.kill("de")
    died = await running.logged("engine_died", 2)
    assert {line["engine"] for line in died} == {f"engine-{port}" for port in gone}
    assert {line["cause"] for line in died} == {"vpn"}
    await vpns.until_listed(ch=ENGINES)
    assert set(kept) < set((await vpns.listed())["ch"])
    assert (await provisioning(running))["circuit_breaker_state"] == "closed"
    await all_take(players["ch"])
    assert len(running.log("engine_died")) == 2
    assert [line["vpn"] for line in running.log("vpn_ended")] == ["de"]
    assert running.log("vpn_ended")[0]["ts"] <= died[0]["ts"]
    await running.logged("vpn_connected", 3)  # it is run again
    assert set(running.vpn_pids()) == {"de", "ch"}


async def test_engines_of_a_lost_tunnel_leave_the_list_and_play_on(
    service: MakeService, play: Play
) -> None:
    vpns = Vpns(service)
    running = await vpns.start()
    players = await play(vpns)
    streams = await running.stream_ids("started")
    assert len(streams) == ENGINES
    async with unharmed(running):
        await vpns.fault("de", "lost")
        await vpns.until_listed(de=0, ch=2)
        await all_take([*players["de"], *players["ch"]])
        assert await running.stream_ids("started") == streams
        await vpns.clear("de")
        await vpns.until_listed(de=2, ch=2)
        assert await running.stream_ids("started") == streams


async def test_a_tunnel_that_carries_nothing_is_none(service: MakeService, play: Play) -> None:
    vpns = Vpns(service)
    running = await vpns.start()
    await play(vpns)
    await vpns.fault("ch", "dead")
    [lost] = await running.logged("vpn_lost")
    assert (lost["vpn"], lost["state"]) == ("ch", "dead")
    await vpns.until_listed(de=2, ch=0)
    await vpns.clear("ch")
    await vpns.until_listed(de=2, ch=2)


async def test_where_no_vpn_has_a_tunnel_callers_are_told_to_wait(service: MakeService) -> None:
    vpns = Vpns(service, MAX_REPLICAS=2 * SLOTS)
    running = await vpns.start(engines=2)
    for vpn in ("de", "ch"):
        await vpns.fault(vpn, "lost")
    await vpns.until_listed(de=0, ch=0)
    status = await provisioning(running)
    assert not status["can_provision"]
    assert status["blocked_reason_details"]["code"] == "vpn_disconnected"
    refused = await running.call("POST", "/provision/acestream", {})
    assert refused.status == 503
    assert int(refused.headers["Retry-After"]) > 0
    detail = refused.json["detail"]
    assert (detail["code"], detail["should_wait"]) == ("vpn_disconnected", True)
    await vpns.clear("ch")

    async def may_provision() -> bool:
        return bool((await provisioning(running))["can_provision"])

    await eventually(may_provision)
    granted = await running.call("POST", "/provision/acestream", {})
    assert granted.status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_restart_of_acekeeper_loses_nothing(
    service: MakeService, play: Play, number: signal.Signals
) -> None:
    vpns = Vpns(service)
    running = await vpns.start()
    players = await play(vpns)
    engines = await running.get("/engines")
    streams = await running.stream_ids("started")
    async with unharmed(running):
        await running.ended_by(number)
        await running.start(engines=ENGINES)
        await running.logged("vpn_connected", 4)
        ids = {engine["container_id"] for engine in engines}
        assert {engine["container_id"] for engine in await running.get("/engines")} == ids
        assert await running.stream_ids("started") == streams
        await all_take([*players["de"], *players["ch"]])
    assert running.log("engine_died", "vpn_ended", "vpn_lost") == []


async def test_a_port_that_changed_for_good_is_given_to_a_new_engine(
    service: MakeService,
) -> None:
    vpns = Vpns(service, ENGINE_COMMAND=P2P, VPN_PORT_SETTLE_S=0.2, MAX_REPLICAS=2 * SLOTS)
    running = await vpns.start()
    await vpns.fault("de", "port", amount=50123)

    async def is_given() -> bool:
        return any(b"50123" in words(pid) for pid in running.engine_pids().values())

    await eventually(is_given)


async def test_stop_ends_the_vpns_too(service: MakeService) -> None:
    vpns = Vpns(service)
    running = await vpns.start()
    said = await asyncio.to_thread(
        subprocess.run,
        running.stop_command,
        env=running.environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert said.stdout.splitlines() == ["stopped the service", "stopped 4 engines and 2 VPNs"]
    assert (running.engine_pids(), running.vpn_pids()) == ({}, {})
