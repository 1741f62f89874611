"""Tests on bare hosts; they need root and run only when asked for by path: `pytest tests/host`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .lab import Host, Lab, UnavailableError

HERE = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "host: needs root, and a bare host from the lab")


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    named = ((config.invocation_params.dir / name.split("::")[0]) for name in config.args)
    asked = any(path.resolve().is_relative_to(HERE) for path in named)
    return None if asked else True


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    try:
        lab = Lab.take()
    except UnavailableError as error:
        pytest.fail(str(error), pytrace=False)
    with lab:
        yield lab


@pytest.fixture(scope="session")
def host(lab: Lab) -> Host:
    """Bare when the session begins; what the tests do to it stays."""
    return lab.up(1)
