from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from .service import Service


class MakeService(Protocol):
    def __call__(
        self,
        state: Path | None = None,
        *,
        slots: int = 24,
        start_delay: float = 0.3,
        **settings: object,
    ) -> Service: ...


@pytest.fixture
def service(tmp_path: Path) -> Iterator[MakeService]:
    """Makes services, each on a state directory of its own unless given one; they and their
    engines end with the test."""
    with ExitStack() as stack:
        count = 0

        def make(
            state: Path | None = None,
            *,
            slots: int = 24,
            start_delay: float = 0.3,
            **settings: object,
        ) -> Service:
            nonlocal count
            count += 1
            state = state or tmp_path / f"state-{count}"
            made = Service(state, slots=slots, start_delay=start_delay, **settings)
            stack.callback(made.end)
            return made

        yield make
