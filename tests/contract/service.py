"""A real `acekeeper serve` with engines of its own, and the ways in which tests look at it."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import aiohttp

from ..ports import engine_ports, free_port
from .client import PATIENCE

T = TypeVar("T")

COMMAND = Path(sys.executable).with_name("acekeeper")
LIMIT_S = 60.0
_AN_HOUR = 3600
NO_SWEEPS: dict[str, object] = {
    "HEALTH_CHECK_INTERVAL_S": _AN_HOUR,
    "MONITOR_INTERVAL_S": _AN_HOUR,
    "AUTOSCALE_INTERVAL_S": _AN_HOUR,
}


async def eventually(look: Callable[[], Awaitable[T]], within: float = LIMIT_S) -> T:
    """What `look` says as soon as that is true."""
    deadline = time.monotonic() + within
    while not (said := await look()):
        assert time.monotonic() < deadline, f"did not happen within {within:g} s"
        await asyncio.sleep(0.02)
    return said


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Service:
    """`settings` by their names. Engines answer `start_delay` seconds after their start; their
    admin port is their API port."""

    def __init__(
        self, state: Path, settings: Mapping[str, object], slots: int, start_delay: float
    ) -> None:
        ports = engine_ports(slots + 1)
        first, last = map(int, ports["PORT_RANGE_HOST"].split("-"))
        self.base = f"http://127.0.0.1:{last}"
        self.port = last
        self.gateway_port = free_port()
        self.gateway = f"http://127.0.0.1:{self.gateway_port}"
        self.state = state
        self.slots = range(first, last)
        self.environment = {
            "STATE_DIR": str(state),
            "MAX_REPLICAS": str(slots),
            "ENGINE_COMMAND": "{python} -m acekeeper.emulator --http-port {http_port}"
            f" --admin-port {{api_port}} --start-delay {start_delay}",
            **ports,
            "PORT_RANGE_HOST": f"{first}-{last - 1}",
            "APP_PORT": str(last),
            "GATEWAY_PORT": str(self.gateway_port),
            **{name: str(value) for name, value in settings.items()},
        }
        self.command: list[str | Path] = [COMMAND, "serve"]
        self.stop_command: list[str | Path] = [COMMAND, "stop"]
        self.process: subprocess.Popen[bytes] | None = None
        self.log_file = state.with_name(f"{state.name}.stderr")

    def launch(self, **popen: Any) -> subprocess.Popen[bytes]:
        """Does not wait for it; what it says goes behind what earlier runs said."""
        with self.log_file.open("ab") as log:
            files: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": log}
            self.process = subprocess.Popen(
                self.command,
                env=_without_settings() | self.environment,
                stdin=subprocess.DEVNULL,
                **files | popen,
            )
        return self.process

    async def start(self, engines: int = 0, within: float = LIMIT_S, **popen: Any) -> None:
        """Returns when it answers, and so many engines are listed."""
        process = self.launch(**popen)

        async def ready() -> bool:
            assert process.poll() is None, f"ended with {process.returncode}:\n{self.said()}"
            try:
                return bool((await self.get("/health/ready"))["ready"])
            except (aiohttp.ClientConnectorError, TimeoutError):
                return False  # it does not listen yet, or does and is still loading

        async def listed() -> bool:
            return len(await self.get("/engines")) >= engines

        await eventually(ready)
        await eventually(listed, within)

    async def call(
        self, method: str, path: str, body: object = None, within: float = PATIENCE
    ) -> Answer:
        """With the client's patience, unless told otherwise."""
        timeout = aiohttp.ClientTimeout(total=within)
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.request(
                method, self.base + path, json=body, headers=self.authorization
            ) as response,
        ):
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str) -> Any:
        """What a test looks at, however long that takes."""
        answer = await self.call("GET", path, within=LIMIT_S)
        assert answer.status == 200, answer
        return answer.json

    async def stream_ids(self, status: str) -> set[str]:
        streams = await self.get(f"/streams?status={status}&limit=10000")
        return {stream["id"] for stream in streams}

    @property
    def authorization(self) -> dict[str, str]:
        key = self.environment.get("API_KEY")
        return {"Authorization": f"Bearer {key}"} if key else {}

    async def exited(self, within: float = LIMIT_S) -> int:
        assert self.process
        return await asyncio.to_thread(self.process.wait, within)

    async def kill(self) -> None:
        await self.ended_by(signal.SIGKILL)

    async def stop(self) -> int:
        return await self.ended_by(signal.SIGTERM)

    async def ended_by(self, number: signal.Signals) -> int:
        assert self.process
        self.process.send_signal(number)
        return await self.exited()

    @contextmanager
    def disk_that_stands_still(self) -> Iterator[None]:
        """Nothing gets into its database meanwhile."""
        with closing(sqlite3.connect(self.state / "acekeeper.db", isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            yield

    def end(self) -> None:
        """Whatever is left of it and of its engines."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        if self.engine_pids() or self.vpn_pids():
            subprocess.run(
                self.stop_command,
                env=_without_settings() | {"STATE_DIR": str(self.state)},
                check=True,
                capture_output=True,
                timeout=LIMIT_S,
            )

    def said(self) -> str:
        return self.log_file.read_text()

    def log(self, *events: str) -> list[dict[str, Any]]:
        """Its log lines; a line that is no JSON object fails the test."""
        lines = [json.loads(line) for line in self.said().split("\n")[:-1]]  # the last may be torn
        assert all(isinstance(line, dict) for line in lines)
        return [line for line in lines if not events or line["event"] in events]

    async def logged(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """Waits until there are so many lines of this event."""

        async def lines() -> list[dict[str, Any]]:
            found = self.log(event)
            return found if len(found) >= count else []

        return await eventually(lines)

    def engine_pids(self) -> dict[int, int]:
        """By port: the processes that carry the mark of this state directory."""
        return dict(self.engine_processes())

    def engine_processes(self) -> list[tuple[int, int]]:
        """Their ports and pids."""
        return sorted((int(port), pid) for port, pid in _marked("ACEKEEPER_ENGINE", self.state))

    def vpn_pids(self) -> dict[str, int]:
        """By name."""
        return dict(_marked("ACEKEEPER_VPN", self.state))

    def admin_port(self, port: int) -> int:
        return int(self.environment["ENGINE_API_BASE"]) + port - self.slots[0]

    async def fault(self, port: int, kind: str) -> None:
        await self._admin("POST", port, "/faults", {"kind": kind})

    async def fault_of(self, port: int, kind: str, content: str) -> None:
        await self._admin("POST", port, "/faults", {"kind": kind, "content": content})

    async def clear(self, port: int) -> None:
        """All its faults."""
        await self._admin("DELETE", port, "/faults")

    async def crash(self, port: int) -> None:
        await self._admin("POST", port, "/crash", {"signal": "SIGKILL"})

    async def lose_sessions(self, port: int) -> None:
        await self._admin("POST", port, "/lose-sessions", {})

    async def counters(self, port: int, infohash: str | None = None) -> dict[str, int]:
        """Of one content, or of all."""
        path = "/counters" if infohash is None else f"/counters/{infohash}"
        counters: dict[str, int] = await self._admin("GET", port, path)
        return counters

    async def sessions(self, port: int) -> list[dict[str, Any]]:
        """Those that the engine has now."""
        said = await self._admin("GET", port, "/sessions")
        sessions: list[dict[str, Any]] = said["sessions"]
        return sessions

    async def _admin(self, method: str, port: int, path: str, body: object = None) -> Any:
        return await told(method, f"http://127.0.0.1:{self.admin_port(port)}{path}", body)


async def told(method: str, url: str, body: object = None) -> Any:
    """What an admin port answers."""
    async with aiohttp.ClientSession() as http, http.request(method, url, json=body) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


def _marked(mark: str, state: Path) -> Iterator[tuple[str, int]]:
    """The names and pids of processes that carry this mark of a state directory."""
    wanted = os.fsencode(f"{mark}={state.resolve()}:")
    for process in Path("/proc").glob("[0-9]*"):
        try:
            variables = (process / "environ").read_bytes().split(b"\0")
        except OSError:  # it ended, or is not ours
            continue
        for variable in variables:
            if variable.startswith(wanted):
                yield os.fsdecode(variable.removeprefix(wanted)), int(process.name)


def _without_settings() -> dict[str, str]:
    """A developer's own settings are not the tests'."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
