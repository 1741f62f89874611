"""What the API says of a fleet."""

import pytest
from msgspec.structs import replace

from acekeeper import __version__
from acekeeper.core.fleet.model import Link, Standing
from acekeeper.core.fleet.seen import troubles

from ..core.world import rules
from .conftest import Served
from .fleets import SINCE, in_fleet, put, replica

AT = "2023-11-14T22:13:20Z"
NOTHING = {"engines": 0, "free": 0, "room": 0, "streams": 0}


@pytest.fixture
async def fleet(served: Served) -> Served:
    return await in_fleet(served)


async def test_without_a_fleet_there_is_this_host_alone(served: Served) -> None:
    said = (await served.get("/fleet")).json()
    [this] = said.pop("hosts")
    assert said == {"name": None, "host": None, "link": None}
    assert (this["host"], this["is_this"], this["standing"]) == (None, True, "live")
    assert (await served.get("/orchestrator/status")).json()["fleet"] is None
    assert (await served.get("/health/ready")).json()["degraded"] == []
    answer = await served.get("/fleet/media-1")
    assert answer.status_code == 404
    assert answer.json()["detail"] == "this host belongs to no fleet: FLEET_NAME is not set"


async def test_this_host_is_the_first_and_the_others_follow_by_name(fleet: Served) -> None:
    now = fleet.context.clock().mono
    panel = "http://192.0.2.3:8000/panel"
    put(
        fleet.context.state,
        replica("media-3", heard=now - 2, panel=panel, maintenance=True, free=0),
        replica("media-1", Standing.LOST, heard=now - 60),
    )
    said = (await fleet.get("/fleet")).json()
    hosts = {host["host"]: host for host in said.pop("hosts")}
    assert list(hosts) == ["media-2", "media-1", "media-3"]
    link = {"up": True, "since": AT, "why": None}
    assert said == {"name": "home", "host": "media-2", "link": link}
    this, lost, third = hosts.values()
    assert this == {
        "host": "media-2",
        "is_this": True,
        "standing": "live",
        "since": None,
        "age_s": 0.0,
        "version": this["version"],
        **NOTHING,
        "room": 3,
        "maintenance": False,
        "panel": None,
    }
    assert third.pop("age_s") == pytest.approx(2, abs=1)
    assert third == {
        "host": "media-3",
        "is_this": False,
        "standing": "live",
        "since": AT,
        "version": __version__,
        "engines": 2,
        "free": 0,
        "room": 3,
        "streams": 1,
        "maintenance": True,
        "panel": panel,
    }
    assert lost["age_s"] >= 60
    assert (lost["standing"], {name: lost[name] for name in NOTHING}) == ("lost", NOTHING)


@pytest.mark.parametrize("panel", ["", "javascript:alert(1)", "//evil.example/"])
async def test_what_is_no_url_is_not_shown_as_the_address_of_a_panel(
    fleet: Served, panel: str
) -> None:
    put(fleet.context.state, replica("media-1", panel=panel))
    assert (await fleet.get("/fleet")).json()["hosts"][1]["panel"] is None


async def test_one_host_is_shown_with_its_engines(fleet: Served) -> None:
    put(fleet.context.state, replica("media-1"), replace(replica("media-3"), is_whole=False))
    said = (await fleet.get("/fleet/media-1")).json()
    assert said["host"] == (await fleet.get("/fleet")).json()["hosts"][1] | {
        "age_s": said["host"]["age_s"]
    }
    assert said["complete"]
    assert said["engines"] == [
        {"id": "engine-19000", "port": 19000, "doing": "taken", "streams": 1},
        {"id": "engine-19001", "port": 19001, "doing": "free", "streams": 0},
    ]
    assert not (await fleet.get("/fleet/media-3")).json()["complete"]
    this = (await fleet.get("/fleet/media-2")).json()
    assert (this["host"]["is_this"], this["complete"], this["engines"]) == (True, True, [])


async def test_of_a_host_that_nobody_knows_it_is_said(fleet: Served) -> None:
    answer = await fleet.get("/fleet/media-9")
    assert answer.status_code == 404
    assert answer.json()["detail"] == "the fleet has no host media-9; /fleet names those it has"


async def test_the_status_counts_the_hosts_and_says_how_the_link_is(fleet: Served) -> None:
    stale = replica("media-3", Standing.STALE)
    put(fleet.context.state, replica("media-1"), stale, link=Link(why="timed out", since=SINCE))
    status = (await fleet.get("/orchestrator/status")).json()
    assert status["fleet"] == {
        "name": "home",
        "link": {"up": False, "since": AT, "why": "timed out"},
        "hosts": {"live": 2, "stale": 1, "lost": 0},
    }
    [wrong] = (await fleet.get("/health/ready")).json()["degraded"]
    assert wrong == "fleet: not connected (timed out); players get this host's engines only"


async def test_what_is_wrong_with_hosts_is_said_in_words(fleet: Served) -> None:
    put(fleet.context.state, replica("media-1"))
    within = rules(fleet_host="media-2")
    assert troubles(fleet.context.state.fleet, within) == []
    lost = [replica(f"lost-{n}", Standing.LOST) for n in range(7)]
    put(fleet.context.state, *reversed(lost), replica("media-3", Standing.STALE))
    assert troubles(fleet.context.state.fleet, within) == [
        "fleet: nothing is heard of media-3; for 30 s this host counts on what they said last",
        "fleet: lost-0, lost-1, lost-2, lost-3, lost-4 and 2 more cannot be heard, and get no"
        " players from here",
    ]
