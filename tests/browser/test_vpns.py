"""Where there are VPNs, the engines behind each are in a band that says how it is."""

import re

import pytest
from msgspec.structs import replace
from playwright.async_api import expect

from acekeeper.core.facts import Fact, VpnEnded, VpnSilent, VpnTraffic
from acekeeper.core.vpn import DEAD_AFTER, Behind

from ..api.vpns import PORT, answered, started, told
from .conftest import IN_BROWSER, Panel, PanelOf
from .fleet import ROOM, fill
from .test_many import CUT

pytestmark = IN_BROWSER

TILE = (
    '<li class="tile healthy"><button type="button" tabindex="0" data-engine="engine-19000">'
    '<span class="row"><span class="name">engine-19000</span>'
    '<span class="score" title="health score">80</span></span>'
    '<span class="row"><span class="state">● healthy</span>'
    '<span class="age" title="age">5 min</span></span>'
    '<span class="streams">192.0.2.10 · 1.2 MB/s</span>'
    '<span class="last" title="last event">\u2013</span></button></li>'
)


def want(panel: Panel, *names: str) -> None:
    """As VPNS has it, but that nobody runs them: what is told of them the test tells."""
    loop = panel.served.context.loop
    loop.rules = replace(loop.rules, vpns=names)


def put_behind(panel: Panel, name: str, *nth: int, port: int = 0) -> None:
    """The first of these engines has this forwarded port."""
    state = panel.served.context.state
    engines = {engine.slot.port - 19000: engine for engine in state.engines.values()}
    for n in nth:
        behind = Behind(name, f"{name}-start", port if n == nth[0] else 0)
        state.put(replace(engines[n], behind=behind))


async def show_two_vpns(panel: Panel) -> None:
    """Of twelve engines five are behind a VPN with a tunnel, five behind one that lost it, one
    behind one that there was before, and one behind none."""
    await fill(panel.served, 12)
    want(panel, "ch", "de")
    put_behind(panel, "de", 0, 1, 2, 3, 4, port=PORT)
    put_behind(panel, "ch", 5, 6, 7, 8, 9)
    put_behind(panel, "before", 10)
    state, before = panel.served.context.state, panel.served.context.clock().after(-150)
    facts: list[Fact] = [started("de"), answered("de", PORT), started("ch"), answered("ch")]
    told(*facts, answered("ch", is_healthy=False), state=state, now=before)
    await panel.open()


async def test_a_band_for_each_says_how_it_is_and_holds_its_engines(panel_of: PanelOf) -> None:
    panel = await panel_of(**ROOM)
    await show_two_vpns(panel)
    bands = panel.find(".band")
    await expect(bands.locator("h3")).to_have_text(["ch", "de", "before", "outside a VPN"])
    lost, connected, removed, outside = [bands.nth(n) for n in range(4)]
    forwarded = f"⇄ port {PORT} to engine-19000"
    said = [
        (lost, "bad", ["✕ tunnel lost", "for 2 min", "5 engines"]),
        (connected, "good", ["● connected", "for 2 min", "Germany", forwarded, "5 engines"]),
        (removed, "fair", ["? not in VPNS any more", "1 engine"]),
        (outside, "bad", ["! under the host's own address", "1 engine"]),
    ]
    for band, mood, words in said:
        await expect(band).to_have_class(f"band {mood}")
        await expect(band.locator(".facts span:visible")).to_have_text(words)
    await expect(connected.locator(".name")).to_have_text([f"engine-1900{n}" for n in range(5)])
    await expect(lost.locator(".name")).to_have_text([f"engine-1900{n}" for n in range(5, 10)])
    await expect(removed.locator(".name")).to_have_text("engine-19010")
    await expect(outside.locator(".name")).to_have_text("engine-19011")
    await expect(panel.find(".mark")).to_have_count(1)
    marked = re.compile("engine-19000 .* forwarded port")
    await connected.get_by_role("button", name=marked).click()
    vpn = panel.find("#details dl div", "VPN").locator("dd")
    await expect(vpn).to_have_text("de, with its forwarded port")
    await panel.find("#close").click()
    await panel.tile("engine-19010").click()
    await expect(vpn).to_have_text("before")
    await panel.find("#close").click()
    await panel.find("#filters button", "coming or going").click()
    await expect(panel.find(".tile:visible .name")).to_have_text(
        ["engine-19005", "engine-19006", "engine-19007"]
    )
    await expect(bands).to_have_count(4)  # how the VPNs are is seen all the same
    assert panel.wrong == []


async def test_what_befalls_a_vpn_shows_by_itself(panel_of: PanelOf) -> None:
    panel = await panel_of()
    want(panel, "de", "ch")
    await panel.open()
    tell = panel.served.context.loop.tell
    band = panel.find(".band").first
    shown, log = band.locator(".facts span:visible"), panel.find("#entries li")
    await expect(shown).to_have_text(["? not known yet", "0 engines"])
    facts: list[tuple[Fact, str, str]] = [
        (VpnEnded("de"), "bad", "■ does not run"),
        (started("de"), "fair", "◌ connecting"),
        (answered("de"), "good", "● connected"),
        (VpnSilent("de", "de-start", "no answer in 2 s"), "bad", "✕ does not answer"),
        (answered("de", PORT), "good", "● connected"),
        (answered("de", is_healthy=False), "bad", "✕ tunnel lost"),
    ]
    for fact, mood, words in facts:
        tell(fact)
        await expect(band).to_have_class(f"band {mood}")
        await expect(shown.first).to_have_text(words)
    await expect(band).to_contain_text(f"port {PORT}")
    await expect(log.first).to_have_text(re.compile(r" VPN lost de · state lost$"))
    await expect(log.nth(1)).to_have_text(re.compile(r" VPN connected de$"))
    await expect(log.nth(2)).to_have_text(
        re.compile(rf" VPN port changed de · port {PORT} · before 0$")
    )
    await expect(panel.find("#entries li.bad b", "VPN lost")).to_have_count(2)
    tell(answered("de", 0))
    await expect(shown).to_have_text(
        ["● connected", re.compile("for .* s"), "Germany", "no forwarded port", "0 engines"]
    )
    for sent in range(3):
        tell(VpnTraffic("de", "de-start", received=0, sent=sent, at=DEAD_AFTER * sent))
    await expect(band).to_have_class("band bad")
    await expect(shown.first).to_have_text("✕ nothing comes through")
    assert panel.wrong == []


async def test_by_keyboard_from_band_to_band(panel_of: PanelOf) -> None:
    panel = await panel_of(screen={"viewport": {"width": 800, "height": 1200}}, **ROOM)
    await show_two_vpns(panel)
    press = panel.page.keyboard.press
    await panel.tile("engine-19006").focus()  # the second of four in the first row of all
    for key, to in [
        *(("ArrowDown", 9), ("ArrowDown", 0), ("ArrowRight", 1), ("ArrowUp", 9), ("ArrowUp", 5)),
        *(("Home", 5), ("End", 11), ("ArrowUp", 10), ("ArrowUp", 4), ("ArrowLeft", 3)),
    ]:
        await press(key)
        await expect(panel.tile(f"engine-{19000 + to}")).to_be_focused()
    await press("End")
    put_behind(panel, "de", 11)  # it goes to another band, and its own with it
    await expect(panel.find(".band")).to_have_count(3)
    await expect(panel.tile("engine-19011")).to_be_focused()
    await expect(panel.find(".band").nth(1).locator(".name")).to_have_count(6)


async def test_without_vpns_there_is_no_trace_of_them(panel_of: PanelOf) -> None:
    panel = await panel_of(**ROOM)
    await fill(panel.served, 1)
    await panel.open()
    tiles = panel.find("#tiles")
    await expect(tiles.locator(".streams")).to_contain_text("MB/s")
    assert await tiles.evaluate("tiles => tiles.outerHTML") == f'<ul id="tiles">{TILE}</ul>'
    await panel.tile("engine-19000").click()
    await expect(panel.find("#details dt")).not_to_contain_text(["VPN"])
    await panel.find("#close").click()
    # A service that starts again may have other settings.
    want(panel, "de")
    await expect(panel.find(".band h3")).to_have_text(["de", "outside a VPN"])
    await expect(panel.find(".band").last.locator(".name")).to_have_text("engine-19000")
    want(panel)
    await expect(panel.find(".band")).to_have_count(0)
    assert TILE in await tiles.evaluate("tiles => tiles.outerHTML")
    assert panel.wrong == []


@pytest.mark.parametrize("width", [320, 360, 390])
async def test_bands_need_no_scrolling_sideways(panel_of: PanelOf, width: int) -> None:
    panel = await panel_of(screen={"viewport": {"width": width, "height": 740}}, **ROOM)
    await show_two_vpns(panel)
    await expect(panel.find(".tile")).to_have_count(12)
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not await panel.page.evaluate(wide)
    assert await panel.find(".tile .name").evaluate_all(CUT) == []
