from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .private_bus import Daemon, FakeSystemd
from .quadlet_world import World


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database is to be."""
    return tmp_path / "state" / "acekeeper.db"


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


@pytest.fixture
async def world(
    daemon: Daemon, systemd: FakeSystemd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    world = World(daemon, systemd, tmp_path)
    yield world
    for runtime in world.opened:
        await runtime.close()
