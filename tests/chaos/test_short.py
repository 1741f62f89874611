"""The runs of `make chaos`, each for some seconds. A failure names its seed."""

from pathlib import Path
from random import SystemRandom

import pytest

from .. import disks
from . import calls
from .kills import Killing
from .storm import Storm

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def seed() -> int:
    """pytest-randomly would give all runs of one session the same; it shows among a failing
    test's captured output."""
    seed = SystemRandom().randrange(1_000_000)
    print(f"seed {seed}")  # noqa: T201
    return seed


async def test_no_acknowledged_event_is_missing_after_kills(tmp_path: Path, seed: int) -> None:
    tally = await Killing(tmp_path, seed).run(kills=3)
    assert tally.kills >= 3
    assert tally.acknowledged > 0
    assert tally.missing == 0


@pytest.mark.skipif(bool(disks.why_none()), reason=disks.why_none())
async def test_no_acknowledged_event_is_missing_where_the_disk_is_full_or_hangs(
    tmp_path: Path, seed: int
) -> None:
    with disks.Disk(tmp_path) as disk:
        tally = await Killing(tmp_path, seed, disk).run(kills=2)
    assert tally.kills >= 2
    assert tally.acknowledged > 0
    assert tally.missing == 0


async def test_after_a_storm_all_agree(tmp_path: Path, seed: int) -> None:
    """Engines and acekeeper are killed, engines hang, events get lost, doubled and late."""
    await Storm(tmp_path, seed, viewers=4).run(seconds=5)


def test_every_answer_is_foretold(tmp_path: Path, seed: int) -> None:
    """Any calls in any order, restarts among them."""
    calls.run(tmp_path, seed, examples=4, steps=12)
