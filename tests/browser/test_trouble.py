"""What goes wrong for one who looks: strangers' names, storms, long outages, an upgrade."""

import re
from itertools import pairwise
from typing import Any

import pytest
from playwright.async_api import expect

from acekeeper.api import board, followers

from ..api.bodies import started
from .conftest import IN_BROWSER, Panel, PanelOf
from .fleet import ROOM, fill

pytestmark = IN_BROWSER

ENTRIES = 300
TURNS_AROUND = "\u202e"

# Entries with every picture, and when the log was drawn.
STORM = """async () => {
  const { addEntry } = await import("/panel/log.js");
  const drawn = [];
  new MutationObserver(() => drawn.push(performance.now()))
    .observe(document.querySelector("#entries"), { childList: true });
  const begun = { ts: "2026-01-01T00:00:00Z", kind: "stream_started", data: {} };
  for (let n = 1; n <= 400; n++) {
    addEntry({ ...begun, id: n + 1e15, stream: `n${n}` });
    if (n % 10 === 0) await new Promise(requestAnimationFrame);
  }
  return drawn;
}"""
# Of two pauses: when they began, and what is left of them on a signal.
OUTAGE = """async () => {
  const { follow } = await import("/panel/connection.js");
  const end = new AbortController();
  const { signal } = end;
  let listeners = 0;
  for (const [name, count] of [["addEventListener", 1], ["removeEventListener", -1]]) {
    const real = signal[name].bind(signal);
    signal[name] = (...given) => ((listeners += count), real(...given));
  }
  const lost = [];
  const feed = {
    path: "/panel/nothing",
    lost() {
      if (lost.push(performance.now()) === 3) end.abort();
    },
  };
  await follow(feed, signal);
  return [lost, listeners];
}"""


async def play(panel: Panel, names: list[str]) -> None:
    port = panel.served.settings.port_range_host[0]
    begun = [started(port=port, key=name, labels={"stream_id": name}) for name in names]
    answer = await panel.served.post("/events/batch", {"started": begun, "ended": []})
    assert answer.status_code == 200


async def test_no_connection_is_told_wherever_one_looks(panel_of: PanelOf) -> None:
    panel = await panel_of(**ROOM)
    await fill(panel.served, 100)
    await panel.open()
    await expect(panel.find("#rows li")).to_have_count(50)
    await panel.find("#rows li").last.scroll_into_view_if_needed()
    await panel.stop()
    await expect(panel.find("#trouble")).to_be_in_viewport()
    await panel.start()
    await expect(panel.find("#trouble")).to_be_hidden()


async def test_a_service_that_says_nothing_is_told(
    panel_of: PanelOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = await panel_of()
    await panel.page.clock.install()
    await panel.open()
    await expect(panel.find("#engines-hint")).to_have_text("No engine runs.")
    now = await panel.page.evaluate("Date.now()")
    await panel.page.clock.pause_at(now / 1000 + 20)  # not yet, however slow this is
    # Of what goes on by itself, nothing is said; nor that we live, which it might hear just then.
    monkeypatch.setattr(followers, "KEEP_ALIVE", 7200.0)
    monkeypatch.setattr(board, "_EVERY", 3600.0)
    await panel.page.route("**/provision", lambda _: None)
    await panel.find("#provision").click()
    await panel.page.clock.fast_forward(41_000)
    await expect(panel.find("#trouble")).to_contain_text("No connection since")
    await expect(panel.find("#provision")).to_have_attribute("aria-busy", "true")
    await panel.page.clock.fast_forward(31_000)
    await expect(panel.find("#told")).to_contain_text("Not done: there was no answer for 70 s")
    await expect(panel.find("#provision")).to_have_attribute("aria-busy", "false")
    await panel.page.clock.resume()
    await expect(panel.find("#trouble")).to_be_hidden()


async def test_a_long_outage_is_asked_ever_more_rarely_and_piles_up_nothing(
    panel_of: PanelOf,
) -> None:
    panel = await panel_of()
    await panel.open()
    lost, listeners = await panel.page.evaluate(OUTAGE)
    first, second = (int(later - sooner) for sooner, later in pairwise(lost))
    assert first >= 499
    assert second >= 999
    assert listeners <= 1


async def test_an_upgrade_brings_its_own_page(
    panel_of: PanelOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = await panel_of()
    await panel.open()
    await expect(panel.find("#engines-hint")).to_have_text("No engine runs.")
    await panel.page.evaluate("window.sameAsBefore = true")
    await panel.stop()
    await expect(panel.find("#trouble")).to_be_visible()
    await panel.start()
    await expect(panel.find("#trouble")).to_be_hidden()
    assert await panel.page.evaluate("window.sameAsBefore")
    async with panel.page.expect_event("load"):
        monkeypatch.setattr(board, "__version__", "99.0.0")
    assert not await panel.page.evaluate("window.sameAsBefore")
    await expect(panel.find("#engines-hint")).to_have_text("No engine runs.")
    assert panel.wrong == []


async def test_a_storm_of_events_is_drawn_in_a_few_pictures(panel_of: PanelOf) -> None:
    panel = await panel_of()
    await panel.open()
    await expect(panel.find("#entries b", "log begun")).to_have_count(1)
    drawn: list[float] = await panel.page.evaluate(STORM)
    await expect(panel.find("#entries li").first).to_contain_text("n400")
    await expect(panel.find("#entries li")).to_have_count(ENTRIES)
    assert all(later - sooner > 100 for sooner, later in pairwise(drawn))


async def test_a_stranger_s_name_turns_nothing_around(panel_of: PanelOf) -> None:
    panel = await panel_of(MIN_REPLICAS="1", MAX_REPLICAS="1")
    await panel.open()
    await panel.until_listed(1)  # a stream that is told sooner is no engine's
    name = f"{TURNS_AROUND}gnp.exe"
    shown = name.replace(TURNS_AROUND, "\ufffd")
    await play(panel, [name])
    await expect(panel.find("#rows b")).to_have_text(shown)
    await expect(panel.find("#rows b")).to_have_attribute("title", f"infohash {shown}")
    await expect(panel.find("#entries")).to_contain_text(shown)
    await panel.find("#tiles button").click()
    await expect(panel.find("#details dl")).to_contain_text(shown)
    assert TURNS_AROUND not in await panel.page.inner_text("body")


async def test_a_long_name_pushes_no_button_away(panel_of: PanelOf) -> None:
    panel = await panel_of(MIN_REPLICAS="1", MAX_REPLICAS="1")
    await panel.open()
    await panel.until_listed(1)
    await play(panel, [f"{'long' * 200}{n}" for n in range(30)])
    await expect(panel.find("#rows li")).to_have_count(30)
    await panel.find("#tiles button").click()
    await expect(panel.find("#details dl")).to_contain_text("longlong")
    for button in ("#drain", "#stop", "#close"):
        await expect(panel.find(button)).to_be_in_viewport(ratio=1)


async def test_what_is_selected_to_be_copied_stays_so(panel_of: PanelOf) -> None:
    panel = await panel_of(MIN_REPLICAS="1", MAX_REPLICAS="1")
    await panel.open()
    await panel.find("#tiles button").click()
    container = panel.find("#details dl div", "Container").locator("dd")
    await expect(container).to_have_text(re.compile("[0-9a-f]{64}"))
    await container.evaluate("shown => getSelection().selectAllChildren(shown)")
    await play(panel, ["a-stream"])
    await expect(panel.find("#details dl")).to_contain_text("a-stream")
    selected = await panel.page.evaluate("getSelection().toString()")
    assert selected == await container.inner_text()


async def test_who_goes_by_keyboard_stays_when_an_engine_goes(panel_of: PanelOf) -> None:
    panel = await panel_of(**ROOM)
    await fill(panel.served, 12)
    await panel.open()
    first, second, third = (panel.tile(f"engine-1900{n}") for n in range(3))
    await first.focus()
    _remove(panel, 0)
    await expect(first).to_have_count(0)
    await expect(second).to_be_focused()
    await panel.page.keyboard.press("Enter")
    await expect(panel.find("#close")).to_be_focused()
    _remove(panel, 1)
    await expect(panel.find("#details .state")).to_have_text("It is gone.")
    await panel.page.keyboard.press("Escape")
    await expect(third).to_be_focused()


def _remove(panel: Panel, n: int) -> None:
    state: Any = panel.served.context.state
    [engine] = [e for e in state.engines.values() if e.slot.port == 19000 + n]
    for stream in [*state.started_on(engine.slot)]:
        state.remove_stream(stream)
    state.remove(engine, panel.served.context.clock())
