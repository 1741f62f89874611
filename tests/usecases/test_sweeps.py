"""Sweeps: what they find, what they say of it, and who shares one."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from acekeeper.core.changes import Changes
from acekeeper.core.facts import EngineStarted, ScaleRequested, TimePassed
from acekeeper.core.model import Health, Phase, Sample, Stream
from acekeeper.core.names import Ports, Slot
from acekeeper.core.vpn import Behind
from acekeeper.core.way_out import Route, WayOut
from acekeeper.errors import EngineFailed, NoAnswer, RuntimeUnavailable
from acekeeper.usecases import sweep
from acekeeper.usecases.sweep import Kind

from ..core.world import slot, started
from .conftest import MakeHouse
from .house import House


async def test_a_hung_engine_is_off_the_list_at_once_and_unhealthy_at_the_threshold(
    make_house: MakeHouse,
) -> None:
    house = make_house(health_failure_threshold=2, ask_suspect_every=3600)
    await house.open(0, 1)
    house.engines.silent = {1}
    report = await house.sweeps.run(Kind.HEALTH)
    assert report | {"seconds": 0} == {
        "checked": 2,
        "answered": 1,
        "silent": 1,
        "unhealthy": 0,
        "seconds": 0,
    }
    assert house.listed() == [0]
    assert house.loop.state.engines[slot(1)].health is Health.UNKNOWN
    assert (await house.sweeps.run(Kind.HEALTH))["unhealthy"] == 1
    house.engines.silent = set()
    assert (await house.sweeps.run(Kind.HEALTH))["unhealthy"] == 0
    assert house.listed() == [0, 1]


async def test_a_silent_engine_is_off_the_list_while_others_still_think(house: House) -> None:
    await house.open(0, 1)
    house.engines.silent = {1}
    house.engines.slow = {0}
    house.engines.go_on.clear()
    sweep = asyncio.create_task(house.sweeps.run(Kind.HEALTH))
    await house.until(lambda: house.listed() == [0])
    assert not sweep.done()
    house.engines.go_on.set()
    assert (await sweep)["silent"] == 1


async def test_who_reads_has_a_turn_after_every_few_engines_that_are_asked(house: House) -> None:
    """What they answer comes in turns as well then."""
    await house.open(*range(12))
    house.engines.asked.clear()
    sweep, asked = asyncio.create_task(house.sweeps.run(Kind.HEALTH)), [0]
    while not sweep.done():
        await asyncio.sleep(0)
        asked.append(len(house.engines.asked))
    assert max(after - before for before, after in pairwise(asked)) <= 4
    assert asked[-1] == 12


async def test_a_streams_pass_looks_once_who_is_connected_to_all_engines(house: House) -> None:
    await house.open(0, 1, 2)
    before = house.connections.looks
    house.connections.callers = {1: frozenset({"caller"})}
    await house.sweeps.run(Kind.STREAMS)
    assert house.connections.looks == before + 1
    seen = {ref[0].port - 19000: c for ref, c in house.loop.state.callers.items()}
    assert {n: list(c.since) for n, c in seen.items()} == {0: [], 1: ["caller"], 2: []}


async def test_that_all_is_well_changes_the_list_once_a_pass(house: House) -> None:
    """So that its ETag holds in between."""
    await house.open(0, 1, 2)
    before = {e.checked for e in house.loop.state.engines.values()}
    await house.sweeps.run(Kind.HEALTH)
    after = {e.checked for e in house.loop.state.engines.values()}
    assert len(after) == 1
    assert not after & before


async def test_a_silence_while_we_were_late_ourselves_judges_nobody(house: House) -> None:
    await house.open(0)
    house.engines.silent = {0}

    def late() -> None:
        house.clock.ahead += 2

    house.engines.before_answer = late
    report = await house.sweeps.run(Kind.HEALTH)
    assert report["silent"] == 1
    assert house.listed() == [0]
    house.engines.before_answer = lambda: None
    async with asyncio.timeout(30):
        while house.listed():  # once we are in time again
            await house.sweeps.run(Kind.HEALTH)


async def test_a_defect_in_asking_judges_nobody_and_is_logged(
    house: House, logged: list[Any]
) -> None:
    await house.open(0, 1)

    def defect() -> None:
        raise ZeroDivisionError

    house.engines.before_answer = defect
    assert (await house.sweeps.run(Kind.HEALTH))["silent"] == 2
    assert house.listed() == [0, 1]
    assert [r["exception"].type for r in logged] == [ZeroDivisionError] * 2


async def test_nor_is_a_starting_engine_asked_again_at_once(
    make_house: MakeHouse, logged: list[Any]
) -> None:
    house = make_house(ask_starting_every=1000)

    def defect() -> None:
        raise ZeroDivisionError

    house.engines.before_answer = defect
    house.runtime.add(0)
    await house.adoption.open()
    await house.until(lambda: house.loop.state.surveyed)
    asked = len(house.engines.asked)
    await house.turns()
    assert len(house.engines.asked) == asked <= 2  # by the plan and by the first pass
    house.clock.ahead += 1000
    house.loop.tell(TimePassed())
    await house.until(lambda: len(house.engines.asked) == asked + 1)


async def test_engines_on_their_way_are_not_asked(make_house: MakeHouse) -> None:
    house = make_house(auto_delete=True, engine_grace_period=0.01, drain_wait=0)
    house.runtime.add(0)
    await house.adoption.open()
    await house.until(lambda: "stop 19000" in house.runtime.calls)
    assert house.loop.state.engines[slot(0)].phase is Phase.STOPPING
    assert (await house.sweeps.run(Kind.HEALTH))["checked"] == 0


async def test_a_stream_its_engine_does_not_know_ends_once_it_has_settled(house: House) -> None:
    await house.open(0)
    house.engines.plays("known")
    house.loop.tell(started("known", slot(0)))
    house.loop.tell(started("unknown", slot(0)))
    house.loop.tell(started("elsewhere"))
    report = await house.sweeps.run(Kind.STREAMS)
    assert (report["checked"], report["ended"], report["elsewhere"]) == (0, 0, 1)
    assert house.engines.asked == []
    house.clock.ahead += 2.1
    house.loop.tell(started("young", slot(0)))
    report = await house.sweeps.run(Kind.STREAMS)
    assert report | {"seconds": 0} == {
        "checked": 2,
        "ended": 1,
        "silent_engines": 0,
        "elsewhere": 1,
        "seconds": 0,
    }
    streams = house.loop.state.streams
    assert streams["unknown"].reason == "unknown_to_engine"
    assert [name for name, s in streams.items() if s.ended is None] == [
        "known",
        "elsewhere",
        "young",
    ]
    assert house.loop.state.samples["known"] == house.engines.sessions["known"]


async def test_an_answer_about_a_session_ends_no_other_that_took_its_id_meanwhile(
    house: House,
) -> None:
    await house.open(0)
    house.loop.tell(started("x", slot(0)))
    house.clock.ahead += 2.1
    house.engines.go_on.clear()
    sweep = asyncio.create_task(house.sweeps.run(Kind.STREAMS))
    await house.until(lambda: "stat x" in house.engines.asked)
    house.loop.tell(started("x", slot(0), session="second"))
    house.engines.go_on.set()
    await sweep
    assert house.loop.state.streams["x"].ended is None


async def test_a_stream_whose_engine_is_not_known_fails_no_pass(house: House) -> None:
    await house.open(0)
    gone = started("s", slot(5))
    house.loop.state.put_stream(
        Stream(
            id=gone.id,
            key_type=gone.key_type,
            key=gone.key,
            session=gone.session,
            stat_url=gone.stat_url,
            own_command_url=gone.command_url,
            is_live=True,
            address=gone.addresses[0],
            started=house.clock(),
            slot=slot(5),
            incarnation="of before",
        )
    )
    assert (await house.sweeps.run(Kind.STREAMS))["checked"] == 0


async def test_the_streams_of_a_silent_engine_stay(house: House) -> None:
    await house.open(0, 1)
    house.loop.tell(started("s", slot(0)))
    house.loop.tell(started("gone", slot(1)))
    house.clock.ahead += 2.1
    house.engines.silent = {0}
    report = await house.sweeps.run(Kind.STREAMS)
    assert (report["checked"], report["ended"], report["silent_engines"]) == (1, 1, 1)
    assert house.loop.state.streams["s"].ended is None


async def test_what_one_engine_says_waits_for_no_other(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.open(0, 1)
    for n, name in enumerate(("hangs", "plays")):
        house.loop.tell(started(name, slot(n)))
        house.engines.plays(name)
    house.clock.ahead += 2.1
    await house.sweeps.run(Kind.STREAMS)
    state, stat, hangs = house.loop.state, house.engines.stat, asyncio.Event()

    async def slow(where: Slot, url: str) -> Sample | None:
        if where == slot(0):
            await hangs.wait()
            raise NoAnswer("no answer within 3 s")
        return await stat(where, url)

    monkeypatch.setattr(house.engines, "stat", slow)
    house.engines.plays("plays")
    sweep = asyncio.create_task(house.sweeps.run(Kind.STREAMS))
    await house.until(lambda: state.known("plays") == house.engines.sessions["plays"])
    assert not sweep.done()
    hangs.set()
    assert (await sweep)["silent_engines"] == 1
    assert state.known("hangs") is None
    assert state.known("plays") is not None


@pytest.mark.parametrize(("at_once", "most"), [(500, 3), (2, 2)])
async def test_what_engines_say_of_their_streams_is_written_together(
    house: House, monkeypatch: pytest.MonkeyPatch, at_once: int, most: int
) -> None:
    """But for so much that others would wait for long."""
    monkeypatch.setattr(sweep, "_TOLD_AT_ONCE", at_once)
    monkeypatch.setattr(sweep, "_TOLD_WITHIN_S", 60.0)
    await house.open(0, 1, 2)
    for n in range(3):
        house.loop.tell(started(f"s{n}", slot(n)))
        house.engines.plays(f"s{n}")
    house.clock.ahead += 2.1
    write, written = house.loop.store.write, list[int]()

    def seen(changes: Changes) -> asyncio.Future[None]:
        written.append(len(changes.samples))
        return write(changes)

    monkeypatch.setattr(house.loop.store, "write", seen)
    assert (await house.sweeps.run(Kind.STREAMS))["checked"] == 3
    assert max(written) == most


async def test_one_stream_that_cannot_be_asked_about_hides_no_other(
    house: House, logged: list[Any]
) -> None:
    await house.open(0)
    for name in ("poison", "unknown"):
        house.loop.tell(started(name, slot(0)))
    house.engines.sessions["poison"] = ZeroDivisionError("a defect")
    house.clock.ahead += 2.1
    assert (await house.sweeps.run(Kind.STREAMS))["ended"] == 1
    assert house.loop.state.streams["poison"].ended is None
    assert house.loop.state.is_silent("poison")
    assert [r["exception"].type for r in logged] == [ZeroDivisionError]


async def test_the_scale_sweep_finds_what_no_signal_told(house: House) -> None:
    await house.open(0, 1)
    del house.runtime.running[slot(1)]
    house.runtime.add(2, 3)
    house.engines.silent = {3}
    report = await house.sweeps.run(Kind.SCALE)
    assert report | {"seconds": 0} == {
        "checked": 3,
        "adopted": 2,
        "gone": 1,
        "free": 1,
        "starting": 2,
        "draining": 0,
        "seconds": 0,
    }
    await house.until(lambda: house.listed() == [0, 2])


async def test_who_cannot_be_listed_is_not_gone(house: House) -> None:
    await house.open(0, 1)
    house.runtime.unreachable = True
    with pytest.raises(RuntimeUnavailable):
        await house.sweeps.run(Kind.SCALE)
    assert not house.loop.state.connected
    assert house.listed() == [0, 1]
    assert house.kinds()[-1] == "runtime_lost"
    house.runtime.unreachable = False
    await house.sweeps.run(Kind.SCALE)
    assert house.loop.state.connected
    assert house.listed() == [0, 1]


async def test_two_who_ask_at_once_share_one_pass(house: House) -> None:
    await house.open(0)
    house.engines.go_on.clear()
    first = asyncio.create_task(house.sweeps.run(Kind.HEALTH))
    leaver = asyncio.create_task(house.sweeps.run(Kind.HEALTH))
    await house.until(lambda: house.engines.asked)
    second = asyncio.create_task(house.sweeps.run(Kind.HEALTH))
    other = await house.sweeps.run(Kind.STREAMS)  # another kind waits for nobody
    assert other["checked"] == 0
    await house.turns()
    leaver.cancel()  # and takes the pass from nobody
    await house.turns()
    house.engines.go_on.set()
    assert await first is await second
    assert house.engines.asked == ["status 19000"]
    await house.sweeps.run(Kind.HEALTH)
    assert len(house.engines.asked) == 2


async def test_a_pass_that_has_just_ended_answers_nobody_else(house: House) -> None:
    await house.open(0)
    before = house.loop.state.engines[slot(0)].checked
    first = asyncio.create_task(house.sweeps.run(Kind.HEALTH))
    while house.loop.state.engines[slot(0)].checked == before:
        await asyncio.sleep(0)
    assert await house.sweeps.run(Kind.HEALTH) is not await first
    assert len(house.engines.asked) == 2


async def test_a_kind_that_does_not_succeed_is_late_until_it_does(house: House) -> None:
    await house.open(0)
    for kind in Kind:
        await house.sweeps.run(kind)
    house.runtime.unreachable = True
    house.clock.ahead += 89
    assert [*house.sweeps.late()] == []
    house.clock.ahead += 121
    for kind in (Kind.HEALTH, Kind.STREAMS):
        await house.sweeps.run(kind)
    with pytest.raises(RuntimeUnavailable):
        await house.sweeps.run(Kind.SCALE)
    assert [*house.sweeps.late()] == ["the last scale sweep that succeeded was 3 min ago"]
    house.runtime.unreachable = False
    await house.sweeps.run(Kind.SCALE)
    assert [*house.sweeps.late()] == []


async def test_the_close_ends_what_is_under_way(house: House) -> None:
    await house.open(0)
    house.engines.go_on.clear()
    sweep = asyncio.create_task(house.sweeps.run(Kind.HEALTH))
    await house.until(lambda: house.engines.asked)
    await house.sweeps.close()
    house.engines.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await sweep
    assert house.listed() == [0]


async def test_a_sweep_looks_at_the_clock_too(house: House) -> None:
    """An alarm may be lost, or come late after a suspend."""
    await house.open(0)
    house.loop.tell(started("elsewhere"))
    house.clock.ahead += 3601
    await house.sweeps.run(Kind.STREAMS)
    assert house.loop.state.streams == {}


async def test_the_ticker_goes_on_whatever_happens(house: House, logged: list[Any]) -> None:
    await house.open(0)
    house.runtime.unreachable = True
    house.loop.spawn(house.sweeps.every(Kind.SCALE, 0.01))
    await house.until(lambda: len(logged) > 2)
    assert {r["message"] for r in logged} == {"sweep_failed"}
    assert logged[-1]["extra"] == {"kind": "scale", "why": "the bus is gone"}
    house.runtime.list = None  # type: ignore[assignment, method-assign]  # a defect
    await house.until(lambda: logged[-1]["exception"])
    del house.runtime.list
    house.runtime.unreachable = False
    await house.until(lambda: house.loop.state.connected)


async def test_what_starts_would_miss_is_told_when_it_changes(make_house: MakeHouse) -> None:
    house = make_house()
    house.runtime.lacking = "the image is not here"
    await house.open(0)
    await house.until(lambda: house.loop.state.lacks)
    await house.sweeps.run(Kind.SCALE)
    house.runtime.lacking = ""
    await house.sweeps.run(Kind.SCALE)
    assert house.loop.state.lacks == ""
    told = [h for h in house.happened if h.kind.startswith("runtime_")]
    assert [h.kind for h in told] == ["runtime_connected", "runtime_lacks", "runtime_complete"]
    assert told[1].data["why"] == "the image is not here"


async def test_what_a_start_failed_for_is_known_before_another_is_tried_and_soon_looked_for(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(min_replicas=1, min_provision_interval=0)

    tried: list[Slot] = []

    def later() -> None:
        house.clock.ahead += 6
        house.loop.tell(TimePassed())

    async def fail(where: Slot, ports: Ports, behind: Behind | None) -> EngineStarted:
        house.runtime.lacking = "the image is not here"
        tried.append(where)
        raise EngineFailed(house.runtime.lacking, cause="image")

    monkeypatch.setattr(house.runtime, "start", fail)
    await house.open()
    await house.until(lambda: house.loop.state.lacks)
    later()
    await house.turns()
    assert len(tried) == 1
    monkeypatch.undo()
    house.runtime.lacking = ""
    later()
    await house.until(lambda: house.runtime.running)


async def test_a_scale_sweep_tells_how_the_host_gets_out(make_house: MakeHouse) -> None:
    house = make_house()
    await house.open()
    await house.sweeps.run(Kind.SCALE)
    assert house.loop.state.network is None  # engines share the host's
    for nameserver in ("192.0.2.53", "192.0.2.54"):
        house.runtime.way = WayOut(Route("192.0.2.1", "eth0", "192.0.2.5"), (nameserver,))
        await house.sweeps.run(Kind.SCALE)
        assert house.loop.state.network is not None
        assert house.loop.state.network.way == house.runtime.way
    assert [h.kind for h in house.happened if "network" in h.kind] == ["network_changed"]


async def test_a_kernel_that_tells_of_no_connections_is_told_once_and_is_no_defect(
    house: House, logged: list[Any]
) -> None:
    await house.open(0)
    house.connections.unseen = "no sock_diag"
    for _ in range(2):
        assert (await house.sweeps.run(Kind.STREAMS))["checked"] == 0
    await house.loop.gateway.look()
    assert house.loop.state.silent == {"connections": "no sock_diag"}
    house.connections.unseen = ""
    await house.sweeps.run(Kind.STREAMS)
    assert house.loop.state.silent == {}
    told = [h for h in house.happened if h.kind.startswith("source_")]
    assert [h.kind for h in told] == ["source_silent", "source_answers"]
    assert told[0].data == {"source": "connections", "why": "no sock_diag"}
    assert logged == []


async def test_a_podman_that_cannot_be_asked_is_told_and_starts_go_on(house: House) -> None:
    await house.open(0)
    house.runtime.unheard_of = "podman.socket does not start"
    await house.sweeps.run(Kind.SCALE)
    assert house.loop.state.silent == {"podman": "podman.socket does not start"}
    assert house.loop.state.lacks == ""
    house.runtime.unheard_of = ""
    await house.sweeps.run(Kind.SCALE)
    assert house.loop.state.silent == {}


async def test_a_start_ends_though_nobody_can_say_what_it_missed(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    house = make_house(min_replicas=0)
    await house.open(0)

    async def lacks() -> str:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "a defect")

    monkeypatch.setattr(house.runtime, "lacks", lacks)
    house.runtime.starting_fails = EngineFailed("no")
    house.loop.tell(ScaleRequested(2))
    await house.until(lambda: "engine_start_failed" in [h.kind for h in house.happened])
    assert {r["message"] for r in logged} == {"task_failed"}


async def test_a_start_that_failed_is_told_though_podman_is_not_heard(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(min_replicas=0)
    await house.open(0)

    async def unheard() -> str:
        await asyncio.Event().wait()
        return ""

    monkeypatch.setattr(house.runtime, "unheard", unheard)
    house.runtime.starting_fails = EngineFailed("no")
    house.loop.tell(ScaleRequested(2))
    await house.until(lambda: "engine_start_failed" in [h.kind for h in house.happened])
