"""How much of everything the benchmark does, and what its parts work with."""

from pathlib import Path
from typing import NamedTuple

from ..contract.service import Service


class Scale(NamedTuple):
    """Of `turn_s` seconds each is a turn of ours or of the floor; a round has one of each."""

    engines: int = 100
    rounds: int = 5
    turn_s: float = 0.5
    trouble_s: float = 5.0  # longer than a probe of an engine that hangs
    clients: int = 50
    batches: tuple[int, int] = (500, 10_000)
    plays: int = 100
    sweeps: int = 5  # of each kind in a turn
    grown_engines: tuple[int, int, int] = (10, 100, 1_000)
    grown_streams: tuple[int, int] = (10, 10_000)
    facts: int = 100  # of each kind in a turn


class Bench(NamedTuple):
    scale: Scale
    service: Service
    directory: Path  # on the disk that the service writes to

    @property
    def port(self) -> int:
        return self.service.port

    @property
    def pid(self) -> int:
        assert self.service.process
        return self.service.process.pid
