"""VPNs are asked: at once, again and again, and each by itself."""

import asyncio
from asyncio import Event
from collections.abc import Callable
from typing import Any

import pytest

from acekeeper.core.facts import VpnAnswered, VpnEnded, VpnStarted
from acekeeper.core.vpn import Tunnel, Vpn
from acekeeper.errors import NoAnswer
from acekeeper.usecases import vpns
from acekeeper.usecases.vpns import Checks

from .conftest import MakeHouse
from .house import House

INTERVAL = 300.0


class ScriptedVpns:
    """What VPNs say of themselves, and whoever runs them of their traffic. Those of `slow` wait
    for `go_on`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.looked: list[tuple[str, str]] = []
        self.fails: Exception | None = None
        self.healthy = True
        self.slow: set[str] = set()
        self.go_on = Event()
        self.counters: tuple[int, int] | None = None
        self.before_answer: Callable[[], object] = lambda: None

    async def ask(self, vpn: str, incarnation: str) -> VpnAnswered:
        self.asked.append((vpn, incarnation))
        if vpn in self.slow:
            await self.go_on.wait()
        self.before_answer()
        if self.fails:
            raise self.fails
        return VpnAnswered(vpn, incarnation, self.healthy, "203.0.113.1", "Norway", 7)

    def traffic(self, vpn: str, incarnation: str) -> tuple[int, int] | None:
        self.looked.append((vpn, incarnation))
        return self.counters


class Asking:
    """Checks at work in a house of two VPNs."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.far = ScriptedVpns()
        self.checks = Checks(house.loop, self.far, self.far, INTERVAL)
        house.loop.spawn(self.checks.run())

    def start(self, vpn: str, incarnation: str = "start-1") -> None:
        self.house.loop.tell(VpnStarted(vpn, incarnation))

    def vpn(self, name: str) -> Vpn:
        return self.house.loop.state.vpns[name]

    async def until(self, holds: Callable[[], object]) -> None:
        await self.house.until(holds)


@pytest.fixture
async def asking(make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch) -> Asking:
    monkeypatch.setattr(vpns, "_ANXIOUS", 0.01)
    return Asking(make_house(vpns=("de", "ch"), vpn_slots=4))


def test_one_that_is_not_connected_is_asked_every_second() -> None:
    assert vpns._ANXIOUS == 1.0


async def test_one_that_starts_is_asked_at_once(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vpns, "_ANXIOUS", INTERVAL)
    await asking.house.turns()
    assert asking.far.asked == []
    asking.start("de")
    await asking.until(lambda: asking.vpn("de").is_connected)
    assert asking.far.asked == [("de", "start-1")]
    assert (asking.vpn("de").public_ip, asking.vpn("de").port) == ("203.0.113.1", 7)


async def test_one_that_is_connected_is_asked_at_the_interval(asking: Asking) -> None:
    asking.start("de")
    await asking.until(lambda: asking.vpn("de").is_connected)
    asking.start("ch")
    asking.far.healthy = False
    await asking.until(lambda: asking.far.asked.count(("ch", "start-1")) > 5)
    assert asking.far.asked.count(("de", "start-1")) == 1
    asking.house.clock.ahead += INTERVAL
    await asking.until(lambda: asking.vpn("de").tunnel is Tunnel.LOST)
    assert asking.far.asked.count(("de", "start-1")) >= 2


async def test_one_that_hangs_holds_up_no_other_and_is_not_asked_twice(asking: Asking) -> None:
    asking.far.slow = {"de"}
    asking.start("de")
    asking.start("ch")
    await asking.until(lambda: asking.vpn("ch").is_connected)
    asking.house.clock.ahead += INTERVAL
    await asking.until(lambda: asking.far.asked.count(("ch", "start-1")) == 2)
    assert asking.far.asked.count(("de", "start-1")) == 1
    asking.far.go_on.set()
    await asking.until(lambda: asking.vpn("de").is_connected)


async def test_the_next_start_is_asked_though_the_one_before_hangs(asking: Asking) -> None:
    asking.far.slow = {"de"}
    asking.start("de")
    await asking.until(lambda: asking.far.asked)
    asking.start("de", "start-2")
    await asking.until(lambda: ("de", "start-2") in asking.far.asked)
    asking.far.go_on.set()
    await asking.until(lambda: asking.vpn("de").is_connected)


async def test_one_that_ended_is_not_asked(asking: Asking) -> None:
    asking.start("de")
    await asking.until(lambda: asking.vpn("de").is_connected)
    asking.house.loop.tell(VpnEnded("de", "start-1"))
    asking.far.asked.clear()
    asking.house.clock.ahead += INTERVAL
    asking.start("ch")
    await asking.until(lambda: asking.vpn("ch").is_connected)
    assert asking.far.asked == [("ch", "start-1")]
    assert asking.checks._asked.keys() == {("ch", "start-1")}, "it is not remembered for ever"


async def test_a_silence_is_told_with_its_words(asking: Asking) -> None:
    asking.far.fails = NoAnswer("its control server hung up", "See its log")
    asking.start("de")
    await asking.until(lambda: asking.vpn("de").silent)
    assert asking.vpn("de").silent == "its control server hung up. See its log"
    asking.far.fails = None
    await asking.until(lambda: asking.vpn("de").is_connected)
    assert asking.vpn("de").silent == ""


async def test_a_silence_while_we_were_late_is_excused(asking: Asking) -> None:
    def late() -> None:
        asking.house.clock.ahead += 5

    asking.far.fails, asking.far.before_answer = NoAnswer("no answer within 2 s"), late
    asking.start("de")
    await asking.until(lambda: len(asking.far.asked) > 3)
    assert asking.vpn("de").silent == ""


async def test_a_defect_is_logged_and_says_nothing_of_the_vpn(
    asking: Asking, logged: list[Any]
) -> None:
    asking.far.fails = RuntimeError("a defect")
    asking.start("de")
    await asking.until(lambda: len(asking.far.asked) > 1)
    assert asking.vpn("de").silent == ""
    assert {record["message"] for record in logged} == {"task_failed"}


async def test_what_goes_through_its_tunnel_is_told(asking: Asking) -> None:
    asking.far.counters = (1000, 2000)
    before = asking.house.clock().mono
    asking.start("de")
    await asking.until(lambda: asking.vpn("de").traffic)
    traffic = asking.vpn("de").traffic
    assert traffic is not None
    assert (traffic.received, traffic.sent) == (1000, 2000)
    assert before <= traffic.at <= asking.house.clock().mono


async def test_nothing_is_told_of_a_tunnel_that_cannot_be_seen(asking: Asking) -> None:
    asking.start("de")
    await asking.until(lambda: asking.far.looked)
    await asyncio.to_thread(lambda: None)
    await asking.house.turns()
    assert asking.vpn("de").traffic is None
