"""Where there is a fleet, a tile for each of its hosts."""

import dataclasses
import re

import pytest
from msgspec.structs import replace
from playwright.async_api import expect

from acekeeper import __version__
from acekeeper.core.fleet.model import Link, Standing

from ..api.fleets import put, replica
from .conftest import IN_BROWSER, Panel, PanelOf
from .fleet import ROOM, fill
from .test_many import CUT

pytestmark = IN_BROWSER

PANEL = "http://192.0.2.3:8000/panel"


async def join(panel: Panel) -> None:
    """As if it had been started with FLEET_NAME, but that it says and hears nothing."""
    await fill(panel.served, 12)
    loop = panel.served.context.loop
    loop.rules = replace(loop.rules, fleet_host="media-2")
    context = replace(panel.served.context, fleet="home")
    panel.served = dataclasses.replace(panel.served, context=context)


async def test_a_tile_says_how_a_host_is_and_leads_to_its_panel(panel_of: PanelOf) -> None:
    panel = await panel_of(**ROOM)
    await join(panel)
    state = panel.served.context.state
    put(state, replica("media-3", panel=PANEL), replica("media-1", Standing.LOST))
    await panel.open()
    await expect(panel.find("#fleet-title")).to_have_text("Fleet home")
    await expect(panel.find("#fleet-link")).to_be_empty()
    tiles = panel.find(".host")
    await expect(tiles.locator(".name")).to_have_text(["media-2", "media-1", "media-3"])
    this, lost, other = [tiles.nth(n) for n in range(3)]
    await expect(this).to_have_class("host good")
    await expect(this.locator(".more")).to_contain_text("this host")
    await expect(lost).to_have_class("host bad")
    await expect(lost).to_have_text(re.compile(r"^media-1✕ lost for \d+ d$"))
    await expect(other.locator("span")).to_have_text(["● live", "1 of 2 free · 1 stream", ""])
    await expect(panel.find(".host a[href]")).to_have_count(1)
    await expect(other.get_by_role("link", name="media-3")).to_have_attribute("href", PANEL)
    put(
        state,
        replica("media-1", maintenance=True, free=0, version="9.9"),
        replica("media-3", Standing.STALE, panel=PANEL),
        link=Link(why="no server answers"),
    )
    await expect(panel.find("#fleet-link")).to_have_text("not connected: no server answers")
    await expect(tiles.nth(1)).to_have_class("host fair")
    more = tiles.nth(1).locator(".more")
    await expect(more).to_have_text("in maintenance · version 9.9")
    await expect(other.locator(".state")).to_have_text(re.compile(r"^\? nothing heard for \d+ d$"))
    put(state, replica("media-0"))
    await expect(tiles.locator(".name")).to_have_text(["media-2", "media-0"])
    assert panel.wrong == []


async def test_a_host_names_nothing_that_the_page_would_run(panel_of: PanelOf) -> None:
    panel = await panel_of(**ROOM)
    await join(panel)
    odd = replica("media-1", panel="javascript:alert(1)", version="<b>\u202e1</b>")
    put(panel.served.context.state, odd)
    await panel.open()
    await expect(panel.find(".host").nth(1)).to_contain_text("version <b>\ufffd1</b>")
    await expect(panel.find(".host a[href], .host b")).to_have_count(0)
    assert panel.wrong == []


async def test_without_a_fleet_there_is_no_trace_of_one(panel_of: PanelOf) -> None:
    panel = await panel_of(**ROOM)
    await fill(panel.served, 1)
    await panel.open()
    await expect(panel.find(".tile")).to_have_count(1)
    await expect(panel.find("#fleet")).to_be_hidden()
    await expect(panel.find(".host")).to_have_count(0)


@pytest.mark.parametrize("width", [320, 390, 1300])
@pytest.mark.parametrize("hosts", [3, 30])
async def test_it_needs_no_scrolling_sideways(panel_of: PanelOf, width: int, hosts: int) -> None:
    screen = {"viewport": {"width": width, "height": 740}, "color_scheme": "dark"}
    panel = await panel_of(screen=screen, **ROOM)
    await join(panel)
    versions = (__version__, "2026.11.25+dirty")
    others = [
        replica(f"media-room-{n:02}", panel=PANEL, version=versions[n % 2], maintenance=n == 5)
        for n in range(10, 9 + hosts)
    ]
    others[0] = replace(others[0], standing=Standing.LOST)
    put(panel.served.context.state, *others)
    await panel.open()
    await expect(panel.find(".host")).to_have_count(hosts)
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not await panel.page.evaluate(wide)
    assert await panel.find(".host *").evaluate_all(CUT) == []
    top = await panel.find("#engines").bounding_box()
    last = await panel.find(".host").last.bounding_box()
    assert top is not None
    assert last is not None
    assert top["y"] >= last["y"] + last["height"], "the engines come below it"
