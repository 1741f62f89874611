from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from .service import Service


class MakeService(Protocol):
    def __call__(
        self,
        settings: Mapping[str, object],
        *,
        state: Path | None = None,
        slots: int = 24,
        start_delay: float = 0.3,
    ) -> Service: ...


@pytest.fixture
def service(tmp_path: Path) -> Iterator[MakeService]:
    """Makes services, each on a state directory of its own unless given one; they and their
    engines end with the test."""
    with ExitStack() as stack:
        count = 0

        def make(
            settings: Mapping[str, object],
            *,
            state: Path | None = None,
            slots: int = 24,
            start_delay: float = 0.3,
        ) -> Service:
            nonlocal count
            count += 1
            made = Service(state or tmp_path / f"state-{count}", settings, slots, start_delay)
            stack.callback(made.end)
            return made

        yield make
