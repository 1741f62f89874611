from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from .running import Emulator, Reader

Start = Callable[..., Emulator]
Play = Callable[..., Reader]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts emulators, which end with the test; whether they are ready is the test's to wait."""
    with ExitStack() as stack:

        def start_one(*options: str, http_port: int | None = None) -> Emulator:
            emulator = Emulator(*options, http_port=http_port)
            stack.callback(emulator.end)
            return emulator

        yield start_one


@pytest.fixture
def emulator(start: Start) -> Emulator:
    return start("--start-delay", "0").ready()


@pytest.fixture(scope="session")
def shared() -> Iterator[Emulator]:
    """For tests that leave it as they found it, but for sessions."""
    with ExitStack() as stack:
        emulator = Emulator("--start-delay", "0")
        stack.callback(emulator.end)
        yield emulator.ready()


@pytest.fixture
def play() -> Iterator[Play]:
    """Opens a session and reads it; the reader closes with the test."""
    with ExitStack() as stack:

        def play_one(emulator: Emulator, *content: str) -> Reader:
            return stack.enter_context(closing(emulator.read(emulator.open(*content))))

        yield play_one
