"""The panel in a real Chromium, served by the whole service on a real socket."""

import os
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import (
    Browser,
    ConsoleMessage,
    Error,
    Locator,
    Page,
    Request,
    async_playwright,
    expect,
)

from acekeeper.api import board
from acekeeper.app import api
from acekeeper.listening import bind

from ..api.conftest import Served, starting
from ..test_server import serving

CHROMIUM = shutil.which("chromium")
WITHIN_MS = 30_000  # what fails does so by itself, not for a slow machine
IN_BROWSER = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(180)]
NEWS_EVERY_S = 0.1
# Wherever an interface comes or goes, Chromium ends what waits for a connection, to loopback too.
NETWORK_CHANGED = "net::ERR_NETWORK_CHANGED"
# Engines know nothing of the streams that tests name, and would end them when they are asked.
NEVER_ASKED = {"MONITOR_INTERVAL_S": "3600"}
expect.set_options(timeout=WITHIN_MS)


@dataclass
class Panel:
    """A page of it, and all it did that it must not do."""

    page: Page
    served: Served
    held: socket.socket
    only_loopback: bool
    wrong: list[str] = field(default_factory=list)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.held.getsockname()[1]}"

    def find(self, selector: str, text: str | None = None) -> Locator:
        return self.page.locator(selector, has_text=text)

    def tile(self, engine: str) -> Locator:
        return self.page.locator(f'#tiles button[data-engine="{engine}"]')

    async def give(self, key: str) -> None:
        """Once the page asks for it: what is typed before the field has the focus is lost."""
        await expect(self.find("#given")).to_be_focused()
        await self.page.keyboard.type(key)
        await self.page.keyboard.press("Enter")

    async def open(self) -> None:
        self.page.set_default_timeout(WITHIN_MS)
        self.page.on("console", self._printed)
        self.page.on("pageerror", lambda error: self.wrong.append(f"raised: {error}"))
        self.page.on("request", self._asked)
        await self.start()
        while not await self._load():
            pass

    async def _load(self) -> bool:
        """Whether all of its files came: those do not come back by themselves."""
        cut: list[Request] = []

        def failed(request: Request) -> None:
            if request.failure == NETWORK_CHANGED:
                cut.append(request)

        self.page.on("requestfailed", failed)
        try:
            await self.page.goto(f"{self.base}/panel")
        except Error as error:
            if NETWORK_CHANGED not in error.message:
                raise
            return False
        finally:
            self.page.remove_listener("requestfailed", failed)
        return not cut

    async def start(self) -> None:
        """What serves it, beside the service; `stop` leaves that alone."""
        followers = self.served.context.followers
        followers.closed.clear()
        app = api(self.served.settings, self.served.context, self.only_loopback, bool)
        self._serving = AsyncExitStack()
        await self._serving.enter_async_context(serving(app, self.held, followers.close))

    async def until_listed(self, engines: int) -> list[str]:
        """The names of the engines, once so many can be used."""
        state = self.served.context.state
        await self.served.until(lambda _: sum(e.listed for e in state.engines.values()) == engines)
        return sorted(slot.container_name for slot in state.engines)

    async def stop(self) -> None:
        await self._serving.aclose()

    def _printed(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and NETWORK_CHANGED not in message.text:
            self.wrong.append(f"printed: {message.text}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(self.base + "/"):
            self.wrong.append(f"asked elsewhere: {request.url}")


PanelOf = Callable[..., Awaitable[Panel]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        assert "CI" not in os.environ, "chromium is not installed"
        pytest.skip("chromium is not installed")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox"],  # root has none
            timeout=2 * WITHIN_MS,
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def panel_of(
    tmp_path: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[PanelOf]:
    """The panel of a service with these settings, not opened yet."""
    monkeypatch.setattr(board, "_EVERY", NEWS_EVERY_S)
    async with AsyncExitStack() as stack:
        start = await stack.enter_async_context(starting(tmp_path))

        async def show(
            only_loopback: bool = True, screen: dict[str, Any] | None = None, **settings: str
        ) -> Panel:
            served: Served = await start(only_loopback, **NEVER_ASKED | settings)
            held = stack.enter_context(closing(bind("127.0.0.1", 0)[0]))
            page = await browser.new_page(**(screen or {}))
            panel = Panel(page, served, held, only_loopback)
            stack.push_async_callback(panel.stop)
            stack.push_async_callback(page.close)
            return panel

        yield show
