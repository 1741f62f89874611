"""Our side of the user's systemd, on a real bus."""

import asyncio
from asyncio import Queue
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from dbus_fast import Message

from acekeeper.adapters import user_bus
from acekeeper.adapters.systemd import Systemd
from acekeeper.adapters.unit import Unit
from acekeeper.errors import EngineFailed, Failure, RuntimeUnavailable

from .policies import ONCE
from .private_bus import NAME, Daemon, FakeSystemd, Job

LIMIT_S = 30.0
UNIT = "engine@19000.service"
INVOCATION = "5d" * 16


class Heard:
    """A listener that keeps what it heard, in order."""

    def __init__(self) -> None:
        self.queue: Queue[str | Unit] = Queue()

    def connected(self) -> None:
        self.queue.put_nowait("connected")

    def lost(self, why: str) -> None:
        self.queue.put_nowait(f"lost: {why}")

    def changed(self, unit: Unit) -> None:
        self.queue.put_nowait(unit)

    async def next(self) -> str | Unit:
        async with asyncio.timeout(LIMIT_S):
            return await self.queue.get()

    async def until(self, word: str) -> None:
        while not str(await self.next()).startswith(word):
            pass


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def ours(daemon: Daemon, systemd: FakeSystemd, heard: Heard) -> AsyncIterator[Systemd]:
    ours = Systemd(ONCE, daemon.address)
    ours.open(heard)
    assert await heard.next() == "connected"
    yield ours
    await ours.close()


async def test_it_has_subscribed_before_it_says_it_is_connected(
    systemd: FakeSystemd, ours: Systemd
) -> None:
    assert systemd.calls == [("Subscribe", ())]


async def test_a_change_is_told_whole(systemd: FakeSystemd, ours: Systemd, heard: Heard) -> None:
    systemd.change(UNIT, active="active", invocation=INVOCATION, main_pid=7, job=3)
    systemd.change(
        UNIT,
        active="failed",
        main_pid=0,
        result="exit-code",
        exit_code=1,
        exit_status=3,
        ended=12.5,
        job=0,
    )
    assert await heard.next() == Unit(UNIT, "active", INVOCATION, True, 7, "success", 0, 0, 0)
    assert await heard.next() == Unit(UNIT, "failed", INVOCATION, False, 0, "exit-code", 1, 3, 12.5)


def reply_first(job: Job) -> None:
    job.run(job.reply, job.removed)


def reply_last(job: Job) -> None:
    """As seen of a real one, in every other stop of a unit that did not run."""
    job.run(job.removed, job.reply)


@pytest.mark.parametrize("order", [reply_first, reply_last])
async def test_a_job_ends_with_its_result(
    systemd: FakeSystemd, ours: Systemd, order: Callable[[Job], None]
) -> None:
    systemd.on_stop = order
    async with asyncio.timeout(LIMIT_S):
        assert await ours.stop(UNIT) == "done"
    assert systemd.calls[-1] == ("StopUnit", (UNIT, "replace"))


async def test_the_end_of_another_job_is_not_its_end(systemd: FakeSystemd, ours: Systemd) -> None:
    def start(job: Job) -> None:
        systemd.job_removed(job.number + 100, job.unit, "canceled")
        systemd.job_removed(job.number, "other.service", "failed")
        job.run(job.reply, lambda: job.removed("timeout"))

    systemd.on_start = start
    async with asyncio.timeout(LIMIT_S):
        assert await ours.start(UNIT) == "timeout"


async def test_two_jobs_on_one_unit_are_told_apart(systemd: FakeSystemd, ours: Systemd) -> None:
    systemd.on_start = systemd.on_stop = Job.reply
    starting = asyncio.create_task(ours.start(UNIT))
    async with asyncio.timeout(LIMIT_S):
        start = await systemd.jobs.get()
        stopping = asyncio.create_task(ours.stop(UNIT))
        stop = await systemd.jobs.get()
        start.removed("canceled")
        stop.removed()
        assert (await starting, await stopping) == ("canceled", "done")


async def test_units_and_their_starts_are_asked_for(systemd: FakeSystemd, ours: Systemd) -> None:
    systemd.change(UNIT, active="active", invocation=INVOCATION)
    assert await ours.states("engine@*.service") == {UNIT: "active"}
    assert systemd.calls[-1] == ("ListUnitsByPatterns", ([], ["engine@*.service"]))
    assert await ours.invocation(UNIT) == INVOCATION
    assert await ours.invocation("engine@19001.service") == ""


async def test_every_call_is_told_with_its_time_answered_or_not(
    daemon: Daemon, systemd: FakeSystemd, heard: Heard
) -> None:
    told: list[str] = []

    def asked(method: str, seconds: float) -> None:
        assert 0 < seconds < 60
        told.append(method)

    ours = Systemd(ONCE, daemon.address, asked)
    ours.open(heard)
    assert await heard.next() == "connected"
    await ours.states("engine@*.service")
    systemd.on_start = lambda job: job.refuse("org.freedesktop.systemd1.NoSuchUnit", "no")
    with pytest.raises(EngineFailed):
        await ours.start(UNIT)
    await ours.close()
    assert told == ["ListUnitsByPatterns", "Get", "StartUnit"]


@pytest.mark.parametrize(
    ("error", "kind", "hint"),
    [
        (f"{NAME}.NoSuchUnit", EngineFailed, "--dryrun"),
        (f"{NAME}.UnitMasked", EngineFailed, "unmask UNIT"),
        ("org.freedesktop.DBus.Error.AccessDenied", RuntimeUnavailable, ""),
    ],
)
async def test_a_refusal_says_what_systemd_said(
    systemd: FakeSystemd, ours: Systemd, error: str, kind: type[Exception], hint: str
) -> None:
    systemd.refuses["StartUnit"] = (error, "because of this")
    with pytest.raises(kind, match="because of this") as refused:
        await ours.start(UNIT)
    assert hint in str(refused.value)


async def test_a_call_nobody_answers_is_given_up(
    systemd: FakeSystemd, ours: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_bus, "_ANSWER_WITHIN", 0.05)
    systemd.on_get = lambda _: True
    with pytest.raises(RuntimeUnavailable, match=r"did not answer Get within 0\.05 s") as late:
        await ours.invocation(UNIT)
    assert late.value.failure is Failure.TIMEOUT


async def test_calls_in_flight_are_bounded(systemd: FakeSystemd, ours: Systemd) -> None:
    """All are answered at last, and dbus-fast would break at a few thousand at once."""
    waiting: list[Message] = []
    most = 0

    def hold(call: Message) -> bool:
        nonlocal most
        waiting.append(call)
        most = max(most, len(waiting))
        if len(waiting) == 64:
            for held in waiting:
                systemd.send(systemd.got(held))
            waiting.clear()
        return True

    systemd.on_get = hold
    asked = [asyncio.create_task(ours.invocation(f"engine@{n}.service")) for n in range(64 * 50)]
    async with asyncio.timeout(LIMIT_S):
        await asyncio.gather(*asked)
    assert most == 64


async def test_it_comes_back_when_the_bus_is_restarted(
    daemon: Daemon, systemd: FakeSystemd, ours: Systemd, heard: Heard
) -> None:
    systemd.on_start = Job.reply
    starting = asyncio.create_task(ours.start(UNIT))
    await systemd.jobs.get()
    await daemon.stop()
    assert str(await heard.next()).startswith("lost: ")
    with pytest.raises(
        RuntimeUnavailable, match=r"systemd was lost|bus (broke|hung up) during StartUnit"
    ):
        await starting
    with pytest.raises(RuntimeUnavailable, match="cannot be reached") as unreachable:
        await ours.states("*")
    assert unreachable.value.failure is Failure.UNREACHABLE

    await systemd.close()
    await daemon.start()
    await systemd.open(daemon.address)
    assert await heard.next() == "connected"
    systemd.change(UNIT, active="active", invocation=INVOCATION)
    assert isinstance(await heard.next(), Unit)
    assert await ours.states("*") == {UNIT: "active"}


async def test_a_bus_without_systemd_is_not_enough(
    daemon: Daemon, systemd: FakeSystemd, ours: Systemd, heard: Heard
) -> None:
    await systemd.close()
    assert str(await heard.next()).startswith("lost: ")
    await systemd.open(daemon.address)
    assert await heard.next() == "connected"
    assert systemd.count("Subscribe") == 2


async def test_it_waits_for_a_bus(tmp_path: Path, heard: Heard) -> None:
    daemon, fake = Daemon(tmp_path), FakeSystemd()
    ours = Systemd(ONCE, daemon.address)
    ours.open(heard)
    with pytest.raises(RuntimeUnavailable, match="cannot be reached"):
        await ours.states("*")
    await daemon.start()
    await fake.open(daemon.address)
    assert await heard.next() == "connected"
    await ours.close()
    await fake.close()
    await daemon.stop()


async def test_a_closed_one_leaves_nothing_behind(ours: Systemd) -> None:
    await ours.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
