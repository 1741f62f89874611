"""The service restarts while players come, and while others stay connected."""

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from acekeeper.listening import bind

from ..ports import free_port
from ..running import LIMIT_S, Service, settings, until

PLAYERS = 6


@pytest.fixture
def held() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The API's and the gateway's, as systemd holds them."""
    api, gateway = (bind("127.0.0.1", free_port())[0] for _ in range(2))
    with closing(api), closing(gateway):
        yield api, gateway


class Player(threading.Thread):
    """Comes again and again, on a connection of its own each time."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port
        self.answers = 0
        self.errors: list[str] = []
        self.enough = threading.Event()

    def run(self) -> None:
        while not self.enough.is_set():
            connection = HTTPConnection("127.0.0.1", self._port, timeout=LIMIT_S)
            try:
                connection.request("GET", "/webui/api/service?method=get_version")
                answer = connection.getresponse()
                assert b"3.2.3" in answer.read()
                self.answers += 1
            except (OSError, HTTPException, AssertionError) as error:
                self.errors.append(repr(error))
            finally:
                connection.close()


def test_a_restart_costs_no_player_its_answer(
    tmp_path: Path, held: tuple[socket.socket, socket.socket]
) -> None:
    api, gateway = held
    ports = {"APP_PORT": str(api.getsockname()[1]), "GATEWAY_PORT": str(gateway.getsockname()[1])}
    environ = settings(tmp_path, **ports)
    services = [Service(environ, tmp_path, *held)]
    players = [Player(gateway.getsockname()[1]) for _ in range(PLAYERS)]
    try:
        for player in players:
            player.start()
        for _ in range(2):
            _each_is_answered(players)
            assert services[-1].end(signal.SIGTERM).status == 0
            services.append(Service(environ, tmp_path, *held))
        _each_is_answered(players)
    finally:
        for player in players:
            player.enough.set()
        for player in players:
            player.join(LIMIT_S)
        for service in services:
            service.kill()
    assert [error for player in players for error in player.errors] == []


def _each_is_answered(players: list[Player]) -> None:
    """Again, from now on."""
    before = [player.answers for player in players]
    until(lambda: all(p.answers > n for p, n in zip(players, before, strict=True)))
