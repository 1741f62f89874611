"""sd_notify and inherited sockets, on real sockets and in a process started as systemd does it."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from acekeeper.adapters import notify
from acekeeper.adapters.notify import Notifier, inherited_sockets
from acekeeper.errors import BadSetting

LIMIT_S = 30.0

# As systemd starts a service: the descriptors from 3 on, and its own pid in LISTEN_PID.
START = """
import fcntl, os, sys
count = int(os.environ["LISTEN_FDS"])
numbers = [int(number) for number in sys.argv[2:2 + count]]
held = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 100) for number in numbers]
for number in numbers:
    os.close(number)
for number, descriptor in enumerate(held, 3):
    os.dup2(descriptor, number)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""
TAKES = """
import json, os, subprocess, sys
from acekeeper.adapters.notify import inherited_sockets
found = inherited_sockets()
child = "import os; print(sorted(n for n in os.listdir('/proc/self/fd') if int(n) > 2),"
child += "[n for n in os.environ if n.startswith('LISTEN_')])"
print(json.dumps({
    "names": {name: [s.getsockname()[:2] for s in sockets] for name, sockets in found.items()},
    "blocking": [s.getblocking() for sockets in found.values() for s in sockets],
    "again": len(inherited_sockets()),
    "child": subprocess.check_output(
        [sys.executable, "-c", child], close_fds=False, text=True).strip(),
}), flush=True)
sys.stdin.readline()
connection, _ = found["api"][0].accept()
connection.sendall(b"served")
"""


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    """systemd's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        # An empty address has the kernel choose an abstract name.
        manager.bind(str(tmp_path / "notify") if request.param == "path" else "")
        manager.settimeout(LIMIT_S)
        yield manager


def environment(manager: socket.socket, **more: str) -> dict[str, str]:
    name = manager.getsockname()
    if isinstance(name, bytes):
        name = f"@{name[1:].decode()}"
    return {"NOTIFY_SOCKET": name, **more}


def test_systemd_is_told(manager: socket.socket) -> None:
    notifier = Notifier(environment(manager))
    notifier.ready()
    notifier.status("two engines\nWATCHDOG=1")
    notifier.stopping()
    told = [manager.recv(4096) for _ in range(3)]
    assert told == [b"READY=1", b"STATUS=two engines WATCHDOG=1", b"STOPPING=1"]


async def test_the_watchdog_is_fed_while_healthy_only(manager: socket.socket) -> None:
    asked: asyncio.Queue[bool] = asyncio.Queue()
    is_healthy = True

    def healthy() -> bool:
        asked.put_nowait(is_healthy)
        return is_healthy

    environ = environment(manager, WATCHDOG_USEC="30000", WATCHDOG_PID=str(os.getpid()))
    feeding = asyncio.create_task(Notifier(environ).feed_watchdog(healthy))
    async with asyncio.timeout(LIMIT_S):
        assert [await asked.get() for _ in range(3)] == [True] * 3
        is_healthy = False
        while await asked.get():
            pass
        assert not await asked.get()
        fed = drain(manager)
        assert set(fed) == {b"WATCHDOG=1"}
        assert len(fed) >= 3
        assert not await asked.get()
        assert drain(manager) == []
        is_healthy = True
        while not await asked.get():
            pass
        assert await asked.get()
    assert b"WATCHDOG=1" in drain(manager)
    feeding.cancel()
    with suppress(asyncio.CancelledError):
        await feeding


async def test_to_feed_the_watchdog_waits_for_nobody(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "_SEND_WITHIN", 10 * LIMIT_S)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                other.sendto(b"", manager.getsockname())
    asked: asyncio.Queue[None] = asyncio.Queue()

    def healthy() -> bool:
        asked.put_nowait(None)
        return True

    environ = environment(manager, WATCHDOG_USEC="30000")
    feeding = asyncio.create_task(Notifier(environ).feed_watchdog(healthy))
    for _ in range(3):
        await asked.get()
    feeding.cancel()
    with suppress(asyncio.CancelledError):
        await feeding


def drain(manager: socket.socket) -> list[bytes]:
    messages = []
    manager.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            messages.append(manager.recv(4096))
    return messages


@pytest.mark.parametrize(
    "environ", [{}, {"WATCHDOG_USEC": "30000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": ""}]
)
async def test_what_nobody_watches_is_not_fed(environ: dict[str, str]) -> None:
    def healthy() -> bool:
        pytest.fail("asked")

    await asyncio.wait_for(Notifier(environ).feed_watchdog(healthy), LIMIT_S)


def test_without_systemd_there_is_nobody_to_tell_and_nothing_to_inherit() -> None:
    Notifier({}).ready()
    assert inherited_sockets({}) == {}


def test_a_systemd_that_does_not_listen_is_no_reason_to_end(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready()


def test_inherited_sockets_are_ours_alone() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as ipv4,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as ipv6,
        socket.create_server(("127.0.0.1", 0)) as other,
        started(TAKES, ipv4, ipv6, other, names="api:api:") as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == {
            "names": {
                "api": [list(ipv4.getsockname()), list(ipv6.getsockname()[:2])],
                "unknown": [list(other.getsockname())],
            },
            "blocking": [False] * 3,
            "again": 0,
            "child": "['3'] []",  # the directory it lists
        }
        with socket.create_connection(ipv4.getsockname(), LIMIT_S) as client:
            process.stdin.write("\n")
            process.stdin.flush()
            assert client.recv(6) == b"served"


def test_somebody_elses_sockets_are_left_alone() -> None:
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "api", "HOME": "/"}
    assert inherited_sockets(environ) == {}
    assert environ == {"HOME": "/"}


def test_what_is_no_socket_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    monkeypatch.setattr("acekeeper.adapters.notify._FIRST_INHERITED", reading)
    environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
    with pytest.raises(BadSetting, match=f"Descriptor {reading}.* is no socket"):
        inherited_sockets(environ)
    os.close(reading)
    os.close(writing)


def started(code: str, *sockets: socket.socket, names: str) -> subprocess.Popen[str]:
    numbers = [each.fileno() for each in sockets]
    return subprocess.Popen(
        [sys.executable, "-c", START, code, *map(str, numbers)],
        env={**os.environ, "LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": names},
        pass_fds=numbers,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
