"""What an operator sees at /panel, and what the buttons do."""

import asyncio

from msgspec.structs import replace
from playwright.async_api import Route, expect

from acekeeper.core.doubt import Content, Doubt
from acekeeper.core.facts import StreamsAsked, TimePassed
from acekeeper.core.model import Health, Phase, Sample

from ..api.bodies import started
from ..running import LIMIT_S
from .conftest import IN_BROWSER, Panel, PanelOf

pytestmark = IN_BROWSER

KEY = "the-key-of-this-test"


async def begin_stream(panel: Panel, **more: object) -> None:
    port = panel.served.settings.port_range_host[0]
    answer = await panel.served.post("/events/stream_started", started(port=port, **more))
    assert answer.status_code == 202


async def test_engines_and_what_begins_on_them_appear_by_themselves(panel_of: PanelOf) -> None:
    panel = await panel_of(MIN_REPLICAS="1", MAX_REPLICAS="1")
    await panel.open()
    [name] = await panel.until_listed(1)
    await expect(panel.tile(name)).to_contain_text("healthy")
    await expect(panel.tile(name)).to_contain_text("idle")
    await expect(panel.tile(name)).to_contain_text("ready")  # its last event
    await panel.page.evaluate("window.sameAsBefore = true")
    await begin_stream(panel)
    await expect(panel.tile(name)).to_contain_text("1 stream")
    await expect(panel.find("#rows li")).to_contain_text("aaaaaaaa")
    await expect(panel.find("#rows li")).to_contain_text(name)
    await expect(panel.find("#entries")).to_contain_text("stream started")
    await expect(panel.find("#playing")).to_contain_text("1")
    await expect(panel.find("#provisioning")).to_contain_text("blocked")
    await panel.served.post("/events/stream_ended", {"stream_id": f"{'a' * 40}|{'b' * 32}"})
    await expect(panel.find("#rows li")).to_have_count(0)
    await expect(panel.tile(name)).to_contain_text("idle")
    assert await panel.page.evaluate("window.sameAsBefore")
    assert panel.wrong == []


async def test_what_is_not_well_stands_out_in_the_log(panel_of: PanelOf) -> None:
    panel = await panel_of(MIN_REPLICAS="0")
    await panel.open()
    loop = panel.served.context.loop
    loop.state.tell("network_absent", ipv6=False)
    loop.state.tell("source_answers", source="podman")
    loop.tell(TimePassed())
    await expect(panel.find("#entries li.bad")).to_contain_text("network absent")
    await expect(panel.find("#entries li.good", "source answers")).to_have_count(1)


async def look(panel: Panel, *, silent: bool) -> None:
    """As a pass over the streams tells it, of the only one there is."""
    loop = panel.served.context.loop
    [stream] = loop.state.streams.values()
    assert stream.slot is not None
    if silent:
        fact = StreamsAsked(stream.slot, stream.incarnation, silent=frozenset([stream.ref]))
    else:
        found = {stream.ref: Sample(loop.clock(), "dl", 4, 900, 0, 1, 0)}
        fact = StreamsAsked(stream.slot, stream.incarnation, found)
    loop.tell(fact)


async def test_what_a_silent_engine_plays_is_not_shown_as_it_was(panel_of: PanelOf) -> None:
    panel = await panel_of(MIN_REPLICAS="1", MAX_REPLICAS="1")
    await panel.open()
    [name] = await panel.until_listed(1)
    await begin_stream(panel)
    captions = panel.find("#rows figcaption")
    await expect(captions).to_have_text(["no word yet", "no word yet"])
    for _ in range(2):
        await look(panel, silent=False)
        await expect(panel.tile(name)).to_contain_text("1 stream · 900 KB/s")
        await expect(captions).to_have_text(["900 KB/s", "4 peers"])
        await look(panel, silent=True)
        await expect(panel.tile(name)).to_contain_text("1 stream · not known")
        await expect(captions).to_have_text(["not known", "not known"])
    assert panel.wrong == []


async def test_a_held_engine_is_shown_as_held_and_its_stop_says_so(panel_of: PanelOf) -> None:
    panel = await panel_of(MIN_REPLICAS="1", MAX_REPLICAS="1")
    await panel.open()
    [name] = await panel.until_listed(1)
    tile, use, stop = panel.tile(name), panel.find("#details dl"), panel.find("#stop")
    await expect(tile).to_contain_text("idle")
    await panel.find("#provision").click()
    await expect(tile).to_contain_text("held for a viewer")
    await tile.click()
    await expect(use).to_contain_text("held for a viewer")
    await stop.click()
    await expect(stop).to_have_text("Stop now: it is held for a viewer")
    state = panel.served.context.state
    [engine] = state.engines.values()
    doubt = Doubt(Content("infohash", "c" * 40), panel.served.context.clock().mono, "timeout")
    state.put(replace(engine, claim=None, health=Health.UNKNOWN, against=doubt))
    await expect(stop).to_have_text("Stop now: it is held for a try")
    state.put(replace(engine, claim=None, health=Health.UNHEALTHY))
    await expect(stop).to_have_text("Stop now: no stream on it is known")
    await expect(use).to_contain_text("no stream known")
    await begin_stream(panel)
    await expect(stop).to_have_text("Stop now: 1 stream on it will end")
    assert panel.wrong == []


async def test_nothing_is_said_where_nothing_is(panel_of: PanelOf) -> None:
    panel = await panel_of()
    await panel.open()
    await expect(panel.find("#engines-hint")).to_have_text("No engine runs.")
    await expect(panel.find("#streams-hint")).to_have_text("Nothing plays.")
    await expect(panel.find("#status")).to_contain_text("unavailable")
    assert panel.wrong == []


async def test_a_button_asks_for_the_key_and_says_if_it_is_wrong(panel_of: PanelOf) -> None:
    panel = await panel_of(API_KEY=KEY)
    await panel.open()
    await panel.find("#provision").click()
    await expect(panel.find("#why")).to_contain_text("needs the API key")
    await panel.give("not it")  # it has a blank: not even tried
    await expect(panel.find("#ask")).to_be_visible()
    await panel.find("#given").fill("not-it")
    await panel.page.keyboard.press("Enter")
    await expect(panel.find("#why")).to_contain_text("not valid")
    assert not panel.served.context.state.engines
    await panel.give(KEY)
    await expect(panel.find("#told")).to_contain_text("is provided")
    [name] = [slot.container_name for slot in panel.served.context.state.engines]
    await expect(panel.tile(name)).to_contain_text("healthy")
    # It is known from now on, and nowhere but in this tab.
    await panel.find("#provision").click()
    await expect(panel.find("#tiles li")).to_have_count(2)
    assert await panel.page.evaluate("document.cookie + JSON.stringify(localStorage)") == "{}"
    statuses = [word for text in panel.wrong for word in text.split() if word.isdecimal()]
    assert statuses == ["401", "403"], panel.wrong


async def open_with_late_log(panel: Panel) -> asyncio.Event:
    """Until it is set, the log is not asked for."""
    wanted = asyncio.Event()

    async def late(route: Route) -> None:
        await wanted.wait()
        await route.continue_()

    await panel.page.route("**/log?*", late)
    await panel.open()
    return wanted


async def test_a_service_that_is_read_with_the_key_only(panel_of: PanelOf) -> None:
    panel = await panel_of(only_loopback=False, API_KEY=KEY)
    wanted = await open_with_late_log(panel)
    await expect(panel.find("#ask")).to_be_visible()
    await panel.page.keyboard.press("Escape")
    await expect(panel.find("#ask")).to_be_hidden()
    async with panel.page.expect_response("**/log?*"):
        wanted.set()  # what is refused now does not ask once more
    await expect(panel.find("#trouble")).to_contain_text("without its API key")
    await panel.find("#key").click()
    await panel.give(KEY)
    await expect(panel.find("#trouble")).to_be_hidden()
    await expect(panel.find("#engines-hint")).to_have_text("No engine runs.")
    await expect(panel.find("#entries")).to_contain_text("log begun")


async def test_a_key_that_only_reads_shows_all_and_is_kept_when_a_button_needs_another(
    panel_of: PanelOf,
) -> None:
    panel = await panel_of(only_loopback=False, API_KEY=KEY, API_KEY_READ="reads")
    await panel.open()
    await expect(panel.find("#ask")).to_be_visible()
    await panel.give("reads")
    await expect(panel.find("#engines-hint")).to_have_text("No engine runs.")
    await expect(panel.find("#entries")).to_contain_text("log begun")
    await panel.find("#provision").click()
    await expect(panel.find("#why")).to_contain_text("may only read")
    await panel.page.keyboard.press("Escape")
    await expect(panel.find("#told")).to_contain_text("Not done: the key in use may only read")
    assert not panel.served.context.state.engines
    await panel.page.reload()  # the key is there still
    await expect(panel.find("#engines-hint")).to_have_text("No engine runs.")
    await panel.find("#provision").click()
    await panel.give(KEY)
    await expect(panel.find("#told")).to_contain_text("is provided")


async def test_what_is_refused_late_does_not_ask_for_the_key_that_was_given(
    panel_of: PanelOf,
) -> None:
    panel = await panel_of(only_loopback=False, API_KEY=KEY)
    wanted = await open_with_late_log(panel)
    await expect(panel.find("#ask")).to_be_visible()
    await panel.give(KEY)
    await expect(panel.find("#engines-hint")).to_have_text("No engine runs.")
    wanted.set()
    await expect(panel.find("#entries")).to_contain_text("log begun")
    await expect(panel.find("#ask")).to_be_hidden()
    await expect(panel.find("#trouble")).to_be_hidden()


async def test_a_dead_service_is_told_and_its_return_seen(panel_of: PanelOf) -> None:
    panel = await panel_of(MIN_REPLICAS="1", MAX_REPLICAS="1")
    await panel.open()
    [name] = await panel.until_listed(1)
    await begin_stream(panel, labels={"stream_id": "constructor"})
    await expect(panel.find("#rows li")).to_have_count(1)
    await panel.stop()
    await expect(panel.find("#trouble")).to_contain_text("No connection since")
    await expect(panel.tile(name)).to_contain_text("1 stream")  # what was so then
    await panel.served.post("/events/stream_ended", {"stream_id": "constructor"})
    await begin_stream(panel, key="c" * 40)
    await panel.start()
    await expect(panel.find("#rows b")).to_have_text(f"{'c' * 16}…")
    await expect(panel.find("#trouble")).to_be_hidden()
    await expect(panel.find("#entries b", "stream started")).to_have_count(2)
    await expect(panel.find("#entries b", "log begun")).to_have_count(1)


async def test_all_of_it_by_keyboard(panel_of: PanelOf) -> None:
    panel = await panel_of(MIN_REPLICAS="2")
    await panel.open()
    first, second = await panel.until_listed(2)
    await begin_stream(panel)
    await expect(panel.tile(first)).to_contain_text("1 stream")
    press = panel.page.keyboard.press
    async with asyncio.timeout(LIMIT_S):
        while not await panel.tile(first).evaluate("tile => tile === document.activeElement"):
            await press("Tab")
    await press("ArrowRight")
    await expect(panel.tile(second)).to_be_focused()
    await press("Enter")
    await expect(panel.find("#details-title")).to_have_text(second)
    await press("Shift+Tab")
    await press("Shift+Tab")
    await expect(panel.find("#drain")).to_be_focused()
    await press("Enter")
    await expect(panel.tile(second)).to_contain_text("draining")
    await expect(panel.find("#told")).to_contain_text("drained")
    await expect(panel.tile(second)).to_be_focused()
    await press("Home")
    await press("Enter")
    await expect(panel.find("#details-title")).to_have_text(first)
    await press("Shift+Tab")
    await press("Enter")
    await expect(panel.find("#stop")).to_have_text("Stop now: 1 stream on it will end")
    engines = panel.served.context.state.engines
    assert {e.phase for e in engines.values() if e.slot.container_name == first} == {Phase.RUNNING}
    await press("Enter")
    await expect(panel.find("#rows li")).to_have_count(0)
    assert panel.wrong == []


async def test_an_open_breaker_is_seen_and_reset(panel_of: PanelOf) -> None:
    panel = await panel_of(
        MIN_REPLICAS="1", ENGINE_COMMAND="/bin/false {http_port}", CIRCUIT_BREAKER_THRESHOLD="1"
    )
    await panel.open()
    await expect(panel.find("#breaker")).to_contain_text("open")
    await expect(panel.find("#provisioning")).to_contain_text("blocked")
    await panel.find("#reset").click()
    await expect(panel.find("#told")).to_have_text("The circuit breaker is closed.")
    await expect(panel.find("#entries")).to_contain_text("breaker reset")


async def test_what_strangers_name_is_shown_as_text(panel_of: PanelOf) -> None:
    panel = await panel_of()
    await panel.open()
    name = "<img src=x onerror=alert(1)>"
    await begin_stream(panel, key=name, labels={"stream_id": name})
    await expect(panel.find("#rows b")).to_have_text(f"{name[:16]}…")
    await expect(panel.find("#rows b")).to_have_attribute("title", f"infohash {name}")
    await expect(panel.find("#entries")).to_contain_text(name[:12])
    assert panel.wrong == []


async def test_a_maintenance_is_seen_and_its_end(panel_of: PanelOf) -> None:
    panel = await panel_of(MIN_REPLICAS="0")
    await panel.open()
    await panel.served.post("/maintenance")
    await expect(panel.find("#status")).to_contain_text("in maintenance for ")
    await expect(panel.find("#provisioning")).to_contain_text("takes no new viewers")
    await panel.served.client.delete("/maintenance")
    await expect(panel.find("#status")).not_to_contain_text("in maintenance")
