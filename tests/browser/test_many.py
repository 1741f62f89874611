"""A large pool, a small screen, a dark one."""

import dataclasses
import re

import pytest
from msgspec.structs import replace
from playwright.async_api import expect

from .conftest import IN_BROWSER, PanelOf
from .fleet import ROOM, fill, wait

pytestmark = IN_BROWSER

CUT = "names => names.filter(name => name.scrollWidth > name.clientWidth).map(n => n.textContent)"
# On how many lines each is: a word that is broken is on two.
LINES = """links => links.map(link => {
  const text = document.createRange();
  text.selectNodeContents(link);
  return text.getClientRects().length;
})"""


async def test_two_hundred_engines(panel_of: PanelOf) -> None:
    panel = await panel_of(**ROOM)
    await fill(panel.served, 200)
    await panel.open()
    visible = panel.find("#tiles li:visible")
    await expect(visible).to_have_count(200)
    await expect(panel.find("#rows li")).to_have_count(100)
    # Of a stream that is seen, what the service remembers.
    line = panel.find("#rows li").first.locator("polyline").first
    await line.scroll_into_view_if_needed()
    await expect(line).to_have_attribute("points", re.compile(r"(\S+ ){30,}"))
    await panel.find("#filters button", "not well").click()
    await expect(visible).to_have_count(2)
    await expect(panel.find("#tiles .unhealthy")).to_contain_text("unhealthy")
    await expect(panel.find('#tiles button[tabindex="0"]')).to_have_count(1)
    await panel.find("#filters button", "all").click()
    await expect(visible).to_have_count(200)
    await panel.tile("engine-19000").focus()
    await panel.page.keyboard.press("ArrowDown")
    await panel.page.keyboard.press("ArrowUp")
    await expect(panel.tile("engine-19000")).to_be_focused()
    await panel.page.keyboard.press("End")
    await expect(panel.tile("engine-19199")).to_be_focused()
    assert panel.wrong == []


async def test_who_plays_by_the_gateway_and_who_waits(panel_of: PanelOf) -> None:
    panel = await panel_of(**ROOM)
    await fill(panel.served, 12)
    context = replace(panel.served.context, gateway=["127.0.0.1:6878", "192.0.2.1:6878"])
    panel.served = dataclasses.replace(panel.served, context=context)
    await panel.open()
    card = panel.find("#gateway")
    await expect(card.locator("dd").first).to_have_text("3 playing")
    await expect(card.locator(".more")).to_have_text("127.0.0.1:6878, 192.0.2.1:6878")
    wait(panel.served, 2)
    await expect(card.locator(".more")).to_contain_text("2 waiting · 127.0.0.1:6878")
    await expect(panel.tile("engine-19000")).to_contain_text("192.0.2.10 · ")
    await expect(panel.tile("engine-19002")).to_contain_text("1 stream · ")
    await expect(panel.tile("engine-19009")).to_contain_text("opening for a player")
    await expect(panel.tile("engine-19011")).to_contain_text("being freed")
    await expect(panel.find("#rows li", "gateway to 192.0.2.14")).to_contain_text("engine-19004")
    await expect(panel.find("#rows li", "gateway to")).to_have_count(3)
    await panel.tile("engine-19000").click()
    players = panel.find("#details dl div", "Players").locator("dd")
    await expect(players).to_have_text("192.0.2.10")
    await panel.find("#close").click()
    await panel.tile("engine-19009").click()
    await panel.find("#stop").click()
    await expect(panel.find("#stop")).to_have_text("Stop now: it is opening for a player")
    await expect(panel.find("#details dl div", "Players")).to_have_count(0)
    assert panel.wrong == []


async def test_without_a_gateway_nothing_is_said_of_it(panel_of: PanelOf) -> None:
    panel = await panel_of()
    await panel.open()
    await expect(panel.find("#status dd").first).to_have_text("unavailable")
    await expect(panel.find("#gateway")).to_be_hidden()
    panel.served = dataclasses.replace(
        panel.served, context=replace(panel.served.context, gateway=[])
    )
    await panel.stop()
    await panel.start()
    await expect(panel.find("#gateway")).to_contain_text("listens nowhere")
    assert panel.wrong == []


@pytest.mark.parametrize("width", [320, 360, 390])  # 320 is also a large screen at 400 %
async def test_a_phone_needs_no_scrolling_sideways(panel_of: PanelOf, width: int) -> None:
    phone = {"viewport": {"width": width, "height": 740}, "is_mobile": True, "has_touch": True}
    panel = await panel_of(screen=phone, **ROOM)
    await fill(panel.served, 20)
    await panel.open()
    await expect(panel.find("#tiles li")).to_have_count(20)
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not await panel.page.evaluate(wide)
    assert await panel.find("nav a").evaluate_all(LINES) == [1, 1, 1]
    assert await panel.find(".tile .name").evaluate_all(CUT) == []
    await panel.tile("engine-19000").tap()
    await expect(panel.find("#close")).to_be_in_viewport()
    assert not await panel.page.evaluate(wide)
    await panel.find("#close").tap()
    await expect(panel.find("#details")).to_be_hidden()
    assert panel.wrong == []


async def test_it_is_dark_where_that_is_wanted(panel_of: PanelOf) -> None:
    panel = await panel_of(screen={"color_scheme": "dark"})
    await panel.open()
    colour = "getComputedStyle(document.body).backgroundColor"
    dark = await panel.page.evaluate(colour)
    await panel.page.emulate_media(color_scheme="light")
    assert (dark, await panel.page.evaluate(colour)) == ("rgb(17, 20, 23)", "rgb(244, 246, 247)")
