"""Makes docs/dashboard.png and docs/panel.png again: `make pictures`, some seven minutes.

Both show one evening: a real acekeeper with emulated engines, viewers and faults, which a real
Prometheus scrapes. No Grafana is needed: `drawing` draws the queries of its dashboard.
"""

import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright, expect

from ..browser.conftest import CHROMIUM
from .chart import Span
from .drawing import page
from .evening import Evening
from .prometheus import Prometheus
from .rules import FILES, ROOT

DASHBOARD: Any = json.loads((FILES / "dashboard.json").read_text("utf-8"))
_DOCS = ROOT / "docs"
_MINUTES = 6
_SCRAPED, _RATED = "2s", "20s"  # Grafana's own choice is a minute, for a scrape every 15 s
_STEP_S = 2.0
_SEED = 7
_FEWER_COLOURS = "split[a][b];[a]palettegen=stats_mode=single[c];[b][c]paletteuse=dither=none"


async def main() -> None:
    # Not /tmp, which may be in memory: commits are to take what a disk takes.
    with tempfile.TemporaryDirectory(prefix="acekeeper-pictures-", dir="/var/tmp") as made:
        evening = Evening(Path(made), _SEED)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=CHROMIUM,
                args=["--no-sandbox"],  # root has none
            )
            try:
                await evening.begin()
                address = ("127.0.0.1", evening.service.port)
                with Prometheus.scraping(address, Path(made), _SCRAPED) as prometheus:
                    await evening.last(_MINUTES)
                    await _panel(browser, evening.service.base, Path(made))
                    await _dashboard(browser, prometheus, Path(made))
            finally:
                await evening.leave()
                await browser.close()


async def _panel(browser: Browser, base: str, made: Path) -> None:
    shown = await browser.new_page(viewport={"width": 1240, "height": 800})
    await shown.goto(f"{base}/panel")
    await expect(shown.locator("#rows polyline[points]")).not_to_have_count(0)
    await expect(shown.locator("#entries li")).not_to_have_count(0)
    await _save(shown, made / "panel.png", full=False)


async def _dashboard(browser: Browser, prometheus: Prometheus, made: Path) -> None:
    now = time.time()
    span = Span(now - 60 * _MINUTES, now, _STEP_S)
    shown = await browser.new_page(viewport={"width": 1360, "height": 800})
    await shown.set_content(page(DASHBOARD, prometheus.over, span, _RATED))
    await _save(shown, made / "dashboard.png", full=True)


async def _save(picture: Page, taken: Path, full: bool) -> None:
    await picture.screenshot(path=taken, full_page=full)
    shrink = ("-y", "-loglevel", "error", "-i", taken, "-vf", _FEWER_COLOURS, _DOCS / taken.name)
    ffmpeg = await asyncio.create_subprocess_exec("ffmpeg", *shrink)
    assert await ffmpeg.wait() == 0


if __name__ == "__main__":
    asyncio.run(main())
