"""The services of the other tests, for what the requirements say of them."""

from pathlib import Path

import pytest

from ..api.conftest import serve, served
from ..contract.conftest import service
from .engine import Talking

__all__ = ["serve", "served", "service"]


@pytest.fixture
def talking(tmp_path: Path) -> Talking:
    directory = tmp_path / "engine"
    directory.mkdir()
    return Talking(directory)
