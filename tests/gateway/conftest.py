from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from .playing import Playing, playing


class Play(Protocol):
    async def __call__(self, engines: int = 2, **given: Any) -> Playing: ...


@pytest.fixture
async def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Play]:
    async with AsyncExitStack() as stack:

        async def begin(engines: int = 2, **given: Any) -> Playing:
            return await stack.enter_async_context(playing(tmp_path, monkeypatch, engines, **given))

        yield begin
