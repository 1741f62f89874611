"""Tests on bare hosts; they need root and run only when asked for by path: `pytest tests/host`."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from .lab import Host, Lab, UnavailableError

HERE = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "host: needs root, and a bare host from the lab")
    config.addinivalue_line("markers", "long: repeats, or takes minutes: make test-host-long")


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    named = ((config.invocation_params.dir / name.split("::")[0]) for name in config.args)
    asked = any(path.resolve().is_relative_to(HERE) for path in named)
    return None if asked else True


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Puts a line of what was seen on the host below the results."""
    return partial(record_property, "shown")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    passed = terminalreporter.getreports("passed")
    lines = [str(text) for r in passed for name, text in r.user_properties if name == "shown"]
    if lines:
        terminalreporter.section("seen on the hosts")
        terminalreporter.write_line("\n".join(lines))


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
