from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .private_bus import Daemon, FakeSystemd


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    daemon = Daemon(tmp_path)
    await daemon.start()
    yield daemon
    await daemon.stop()


@pytest.fixture
async def systemd(daemon: Daemon) -> AsyncIterator[FakeSystemd]:
    fake = FakeSystemd()
    await fake.open(daemon.address)
    yield fake
    await fake.close()
