"""What `acekeeper fleet` and `acekeeper status` make of a fleet."""

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from acekeeper import __version__, client
from acekeeper.cli import overview
from acekeeper.cli.parser import parser
from acekeeper.core.fleet.model import Link, Standing

from .conftest import Served
from .fleets import in_fleet, put, replica

Said = Callable[..., Awaitable[list[str]]]


@pytest.fixture
async def fleet(served: Served) -> Served:
    return await in_fleet(served)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    """The lines of `acekeeper fleet`, by the answers of this service."""

    async def run(served: Served, *words: str) -> list[str]:
        path = "/".join(["/fleet", *(word for word in words if word != "--json")])
        answer = (await served.get(path)).json()
        asked: list[str] = []

        def call(_: object, method: str, path: str) -> Any:
            asked.append(f"{method} {path}")
            return answer

        monkeypatch.setattr(client, "call", call)
        arguments = parser().parse_args(["fleet", *words])
        assert arguments.run(arguments) == 0
        assert asked == [f"GET {path}"]
        return capsys.readouterr().out.splitlines()

    return run


async def test_the_hosts_are_a_table(fleet: Served, said: Said) -> None:
    now = fleet.context.clock().mono
    panel = "http://192.0.2.3:8000/panel"
    put(
        fleet.context.state,
        replica("media-1", Standing.LOST, heard=now - 3600),
        replica("media-3", heard=now, maintenance=True, panel=panel, version="9.\x1b[31m"),
    )
    first, header, *rows = await said(fleet)
    assert re.fullmatch(r"fleet home: connected since 2023-11-1\d .*, \d+ days ago", first)
    assert header.split() == [
        *("HOST", "STANDING", "HEARD", "ENGINES", "FREE", "ROOM", "STREAMS", "VERSION", "PANEL"),
    ]
    this, lost, other = [re.split(" {2,}", row) for row in rows]
    assert this[:7] == ["media-2", "live", "this host", "0", "0", "3", "0"]
    assert lost == ["media-1", "lost", "3600 s ago", *"0000", __version__, "-"]
    assert other[:2] == ["media-3", "live, in maintenance"]
    assert other[3:] == ["2", "1", "3", "1", "9.?[31m", panel]


async def test_one_host_is_told_with_its_engines(fleet: Served, said: Said) -> None:
    put(
        fleet.context.state,
        replica("media-1"),
        replace(replica("media-3"), is_whole=False, engines={}),
        replica("media-4", Standing.LOST),
    )
    first, header, *rows = await said(fleet, "media-1")
    assert first == "media-1: live, 2 engines"
    assert header.split() == ["ENGINE", "PORT", "DOING", "STREAMS"]
    assert [row.split() for row in rows] == [
        ["engine-19000", "19000", "taken", "1"],
        ["engine-19001", "19001", "free", "0"],
    ]
    [only] = await said(fleet, "media-3")
    assert only == "media-3: live, 0 engines; not all of its engines are known yet"
    [only] = await said(fleet, "media-4")
    assert only == "media-4: lost; its engines are not known until it is heard again"


async def test_as_json_it_is_the_answer(fleet: Served, said: Said) -> None:
    put(fleet.context.state, replica("media-1"))
    [line] = await said(fleet, "--json")
    assert [host["host"] for host in json.loads(line)["hosts"]] == ["media-2", "media-1"]
    [line] = await said(fleet, "media-1", "--json")
    assert len(json.loads(line)["engines"]) == 2


async def test_without_a_fleet_it_says_so(served: Served, said: Said) -> None:
    assert await said(served) == ["this host belongs to no fleet"]


async def of_status(served: Served) -> list[str]:
    orchestrator = (await served.get("/orchestrator/status")).json()
    shown = overview.Overview(ready=True, orchestrator=orchestrator)
    return [line for line in overview.lines(shown) if line.startswith("fleet")]


async def test_the_status_has_a_line_for_it(fleet: Served) -> None:
    put(fleet.context.state, replica("media-1"), replica("media-3", Standing.LOST))
    [line] = await of_status(fleet)
    assert re.fullmatch(r"fleet home: connected since .*; hosts: 2 live, 1 lost", line)
    put(fleet.context.state, link=Link(why="refused"))
    assert await of_status(fleet) == ["fleet home: not connected (refused); hosts: 1 live"]


async def test_without_a_fleet_the_status_says_nothing_of_one(served: Served) -> None:
    assert await of_status(served) == []
