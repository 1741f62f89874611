from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from ..nats import Authority, NatsServer, cluster
from .fleet_node import HOSTS, Fleet
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


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority") / "made")


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    records: list[Any] = []
    number = logger.add(lambda message: records.append(message.record))
    yield records
    logger.remove(number)


@pytest.fixture
async def fleet(tmp_path: Path, authority: Authority) -> AsyncIterator[Fleet]:
    """Of one server."""
    with cluster(tmp_path, 1, HOSTS, authority) as servers:
        async with AsyncExitStack() as stack:
            yield Fleet(servers, authority, stack)


@pytest.fixture
async def two(tmp_path: Path, authority: Authority) -> AsyncIterator[Fleet]:
    """Of two servers, of which the second does not run yet."""
    servers = [NatsServer(tmp_path, name, HOSTS, authority) for name in ("n1", "n2")]
    with ExitStack() as started:
        for server in servers:
            started.callback(server.kill)
        servers[0].start()
        async with AsyncExitStack() as stack:
            yield Fleet(servers, authority, stack)
