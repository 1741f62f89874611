from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from .service import Service

MakeService = Callable[..., Service]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[MakeService]:
    """Makes services, each on a state directory of its own unless given one; they and their
    engines end with the test."""
    with ExitStack() as stack:
        count = 0

        def make(state: Path | None = None, **settings: object) -> Service:
            nonlocal count
            count += 1
            made = Service(state or tmp_path / f"state-{count}", **settings)  # type: ignore[arg-type]
            stack.callback(made.end)
            return made

        yield make
