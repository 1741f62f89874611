"""Engines that go wrong when a test wants it."""

from pathlib import Path

import httpx

from ..api.conftest import Served

WELL = '{"result": {"version": {"version": "3.2.3"}}}'
HANGABLE = (
    "{python} -m acekeeper.emulator --http-port {http_port} --start-delay 0 --admin-port {api_port}"
)
NEVER_READY = "{python} -m acekeeper.emulator --http-port {http_port} --start-delay 3600"
BROKEN = "/bin/false {http_port}"


async def hang(served: Served, port: int) -> None:
    """A `HANGABLE` one."""
    slot = port - served.settings.port_range_host[0]
    admin = f"http://127.0.0.1:{served.settings.engine_api_base + slot}"
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{admin}/faults", json={"kind": "hang"})
    assert answer.status_code == 200


class Talking:
    """Engines that answer every call with what `says` was last given."""

    def __init__(self, directory: Path) -> None:
        program = Path(__file__).with_name("talking_engine.py")
        self.command = f"{{python}} {program} {{http_port}} {directory}"
        self._directory = directory
        (directory / "connections").touch()
        self.says(WELL)

    def says(self, answer: str) -> None:
        (self._directory / "answer.new").write_text(answer)
        (self._directory / "answer.new").rename(self._directory / "answer")

    @property
    def connections(self) -> int:
        """To all of them, since they started."""
        return len((self._directory / "connections").read_text().splitlines())
