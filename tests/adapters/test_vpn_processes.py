"""VPNs as child processes: real emulated ones, and stand-ins of engines behind them."""

import asyncio
import os
import signal
from asyncio import Queue
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from acekeeper.adapters import marks, proc, processes, spawn, vpn_processes
from acekeeper.adapters.proc import Process
from acekeeper.adapters.processes import Processes, stop_all
from acekeeper.adapters.vpn_processes import VpnProcesses, stop_vpns
from acekeeper.core.facts import (
    EngineDied,
    EngineStarted,
    Fact,
    RuntimeConnected,
    VpnEnded,
    VpnStarted,
)
from acekeeper.core.names import Slot
from acekeeper.core.vpn import Behind
from acekeeper.errors import EngineFailed

from ..emulator.running import call
from ..ports import free_ports
from .test_processes import LIMIT_S, clock

HOST = "127.0.0.1"
KEY = "a-key-of-their-own"
WAITS = ("sleep", "1000")


class World:
    """A state directory with two VPNs, the runtimes opened on it, and what they told."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.control, self.health = self._bases()
        self.told: Queue[Fact] = Queue()
        self.opened: list[Processes] = []
        self.vpns: VpnProcesses

    @staticmethod
    def _bases() -> tuple[int, int]:
        ports = free_ports()
        return ports.http, ports.p2p  # two in a row from each

    async def open(
        self, *names: str, command: tuple[str, ...] = WAITS, key: str = KEY
    ) -> Processes:
        self.vpns = VpnProcesses(names, self.state_dir, self.control, self.health, key)
        runtime = Processes((HOST,), command, self.state_dir, clock, vpns=self.vpns)
        await runtime.open(self.told.put_nowait)
        self.opened.append(runtime)
        assert self.told.get_nowait() == RuntimeConnected()
        return runtime

    async def begun(self, *names: str, key: str = KEY) -> tuple[Processes, dict[str, str]]:
        """With these VPNs running, none of which did: their starts."""
        runtime = await self.open(*names, key=key)
        await runtime.list()
        for name in names:
            assert await self.hear() == VpnEnded(name)
        starts = [await self.hear() for _ in names]
        assert all(isinstance(fact, VpnStarted) for fact in starts)
        await until(lambda: len(self.marked()) == len(names))  # they have begun to run
        return runtime, self.vpns.starts

    def marked(self) -> list[tuple[Process, str]]:
        return marks.marked("ACEKEEPER_VPN", self.state_dir.resolve())

    async def hear(self) -> Fact:
        async with asyncio.timeout(LIMIT_S):
            return await self.told.get()

    async def engine(self, runtime: Processes, behind: Behind) -> EngineStarted:
        """It has begun to run: its mark can be read."""
        ports = free_ports()
        started = await runtime.start(Slot(HOST, ports.http), ports, behind)
        await until(lambda: started.incarnation.partition(":")[0] in self.engines())
        return started

    def engines(self) -> set[str]:
        """The pids of those that have begun to run."""
        found = marks.marked("ACEKEEPER_ENGINE", self.state_dir.resolve())
        return {str(process.pid) for process, _ in found}

    async def leave(self) -> None:
        for runtime in self.opened:
            await runtime.close()
        self.opened.clear()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path / "state")
    yield world
    await world.leave()
    stop_all(world.state_dir, kill_after=0)
    stop_vpns(world.state_dir)


def pid_of(start: str) -> int:
    return int(start.partition(":")[0])


def kill(start: str) -> None:
    os.kill(pid_of(start), signal.SIGKILL)


def words_of(start: str) -> list[bytes]:
    return Path(f"/proc/{pid_of(start)}/cmdline").read_bytes().split(b"\0")


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not holds():
            await asyncio.sleep(0.01)


def answers(port: int, path: str) -> int:
    try:
        return call(port, "GET", path, **{"X-API-Key": KEY}).status
    except ConnectionRefusedError:
        return 0


async def test_each_is_run_with_ports_of_its_own_and_told(world: World) -> None:
    runtime, starts = await world.begun("de", "ch")
    assert starts.keys() == {"de", "ch"}
    for number in range(2):
        await until(partial(answers, world.control + number, "/v1/vpn/status"))
        await until(partial(answers, world.health + number, "/"))
    assert call(world.control, "GET", "/v1/vpn/status").status == 401
    said = [call(world.control + n, "GET", "/v1/publicip/ip", **{"X-API-Key": KEY}) for n in (0, 1)]
    await runtime.list()
    again = [await world.hear(), await world.hear()]
    assert again == [VpnStarted(name, starts[name]) for name in ("de", "ch")]
    assert all(answer.status == 200 for answer in said)


async def test_its_key_is_in_no_argument_and_nobody_elses(world: World) -> None:
    runtime, starts = await world.begun("de")
    engine = await world.engine(runtime, Behind("de", starts["de"]))
    process, vpn = (Path(f"/proc/{pid_of(s)}") for s in (engine.incarnation, starts["de"]))
    assert KEY.encode() in (vpn / "environ").read_bytes()
    assert KEY.encode() not in (process / "environ").read_bytes()
    assert KEY.encode() not in (vpn / "cmdline").read_bytes()


async def test_what_goes_through_its_tunnel_is_seen(world: World) -> None:
    _, starts = await world.begun("de")
    await until(lambda: (world.vpns.traffic("de", starts["de"]) or (0, 0))[0])
    assert world.vpns.traffic("de", "another start") is None
    assert world.vpns.traffic("ch", starts["de"]) is None


async def test_one_that_died_is_told_before_the_engines_behind_it_and_run_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert vpn_processes._AGAIN_AFTER == 1.0
    monkeypatch.setattr(vpn_processes, "_AGAIN_AFTER", 0.01)
    runtime, starts = await world.begun("de", "ch")
    behind = await world.engine(runtime, Behind("de", starts["de"]))
    other = await world.engine(runtime, Behind("ch", starts["ch"]))
    kill(starts["de"])
    assert await world.hear() == VpnEnded("de", starts["de"], "killed, SIGKILL")
    later = [await world.hear(), await world.hear()]
    [died] = [fact for fact in later if isinstance(fact, EngineDied)]
    [again] = [fact for fact in later if isinstance(fact, VpnStarted)]
    assert (died.slot, died.incarnation) == (behind.slot, behind.incarnation)
    assert again.vpn == "de"
    assert again.incarnation == world.vpns.starts["de"] != starts["de"]
    assert [found.slot for found in (await runtime.list()).found] == [other.slot]


async def test_no_engine_joins_another_start_than_the_one_it_was_given(world: World) -> None:
    runtime, _ = await world.begun("de")
    for gone in (Behind("de", "an earlier start"), Behind("ch", "x")):
        with pytest.raises(EngineFailed, match="ended or restarted meanwhile") as failed:
            await world.engine(runtime, gone)
        assert failed.value.cause == "vpn"
    assert (await runtime.list()).found == ()


async def test_a_start_whose_vpn_ends_meanwhile_is_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, starts = await world.begun("de")
    loop = asyncio.get_running_loop()

    async def ended() -> None:
        await until(lambda: "de" not in world.vpns.starts)

    def slow(*given: object) -> int:
        pid = spawn.spawn(*given)  # type: ignore[arg-type]
        kill(starts["de"])
        asyncio.run_coroutine_threadsafe(ended(), loop).result(LIMIT_S)
        return pid

    monkeypatch.setattr(processes, "spawn", slow)
    ports = free_ports()
    engine = await runtime.start(Slot(HOST, ports.http), ports, Behind("de", starts["de"]))
    assert isinstance(await world.hear(), VpnEnded)
    died = await world.hear()
    while not isinstance(died, EngineDied):
        died = await world.hear()
    assert died.incarnation == engine.incarnation


async def test_the_forwarded_port_is_the_peer_to_peer_port(world: World) -> None:
    _, starts = await world.begun("de")
    runtime = world.opened[0]
    runtime._command = ("sh", "-c", "sleep 1000", "{p2p_port}")
    engine = await world.engine(runtime, Behind("de", starts["de"], 51000))
    assert b"51000" in words_of(engine.incarnation)


async def test_all_outlive_us_and_are_found_again_as_they_were(world: World) -> None:
    runtime, starts = await world.begun("de", "ch")
    given = Behind("de", starts["de"], 51000)
    engine = await world.engine(runtime, given)
    await world.leave()
    again = await world.open("de", "ch")
    [found] = (await again.list()).found
    assert (found.incarnation, found.behind) == (engine.incarnation, given)
    assert world.vpns.starts == starts
    assert {(await world.hear()).__class__ for _ in starts} == {VpnStarted}
    assert world.told.empty()


async def test_engines_behind_one_that_died_while_we_were_away_are_ended(world: World) -> None:
    runtime, starts = await world.begun("de", "ch")
    engine = await world.engine(runtime, Behind("de", starts["de"]))
    await world.leave()
    kill(starts["de"])
    await until(lambda: len(world.marked()) == 1)
    again = await world.open("de", "ch")
    await again.list()
    assert await world.hear() == VpnEnded("de")
    ch = await world.hear()
    assert isinstance(ch, VpnStarted)
    assert ch.incarnation == starts["ch"]
    later = [await world.hear(), await world.hear()]
    assert [f.incarnation for f in later if isinstance(f, EngineDied)] == [engine.incarnation]


@pytest.mark.parametrize(
    ("names", "key"), [(("ch",), KEY), (("de", "ch"), "another"), (("nl", "ch", "de"), KEY)]
)
async def test_one_that_is_not_to_run_so_any_more_is_ended(
    world: World, names: tuple[str, ...], key: str
) -> None:
    """Else it would hold the ports of the one that has them now, or ask for another key."""
    _, starts = await world.begun("de")
    await world.leave()
    again = await world.open(*names, key=key)
    await again.list()
    assert not proc.read(pid_of(starts["de"])) or _is_zombie(starts["de"])
    for name in names:
        assert await world.hear() == VpnEnded(name)


def _is_zombie(start: str) -> bool:
    stat = Path(f"/proc/{pid_of(start)}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "Z"


async def test_without_vpns_an_engine_behind_one_is_left_alone(world: World) -> None:
    runtime, starts = await world.begun("de")
    engine = await world.engine(runtime, Behind("de", starts["de"]))
    await world.leave()
    alone = Processes((HOST,), WAITS, world.state_dir, clock)
    await alone.open(world.told.put_nowait)
    world.opened.append(alone)
    [found] = (await alone.list()).found
    assert (found.incarnation, found.behind) == (
        engine.incarnation,
        Behind("de", starts["de"]),
    )


async def test_one_that_cannot_be_run_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vpn_processes, "_AGAIN_AFTER", 0.01)
    tries: list[str] = []

    def failing(words: list[str], *given: object) -> int:
        tries.append(words[0])
        if len(tries) < 3:
            raise EngineFailed("it cannot be run")
        return spawn.launch(words, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(vpn_processes, "launch", failing)
    await world.begun("de")
    assert len(tries) == 3


async def test_stop_ends_all_of_them_and_says_how_many(world: World) -> None:
    await world.begun("de", "ch")
    await world.leave()
    assert await asyncio.to_thread(stop_vpns, world.state_dir) == 2
    assert world.marked() == []
    assert stop_vpns(world.state_dir) == 0
