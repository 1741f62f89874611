"""Whatever a request says, the answer is one the API's document knows."""

from pathlib import Path

import pytest

from acekeeper.api.application import ROUTES
from acekeeper.api.deadline import ENDLESS

from .fuzzing import fuzz


@pytest.mark.timeout(600)
async def test_every_route_keeps_to_the_document(tmp_path: Path) -> None:
    fuzzed = await fuzz(tmp_path, examples=5, seed=1)
    assert fuzzed.operations == sum(
        len(r.paths) * len(r.http_methods) for r in ROUTES if ENDLESS not in r.opt
    )
    assert fuzzed.cases > 10 * fuzzed.operations
