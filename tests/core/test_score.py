import pytest

from acekeeper.core.health import health_score
from acekeeper.core.model import Engine, Health, Now

from .world import slot

NOW = Now(1e9, 1000.0)


@pytest.mark.parametrize(
    ("health", "streams", "used_ago", "score"),
    [
        (Health.HEALTHY, 0, None, 100),
        (Health.HEALTHY, 0, 299.9, 110),
        (Health.HEALTHY, 0, 300, 100),
        (Health.HEALTHY, 1, None, 80),
        (Health.HEALTHY, 3, None, 40),
        (Health.HEALTHY, 9, None, 40),
        (Health.UNKNOWN, 0, None, 75),
        (Health.UNKNOWN, 2, 10, 45),
        (Health.UNHEALTHY, 0, None, 50),
        (Health.UNHEALTHY, 2, None, 10),
        (Health.UNHEALTHY, 3, 10, 0),
        (Health.UNHEALTHY, 9, None, 0),
    ],
)
def test_the_score(health: Health, streams: int, used_ago: float | None, score: int) -> None:
    used = None if used_ago is None else NOW.after(-used_ago)
    engine = Engine(slot=slot(0), created=NOW.after(-5000), health=health, used=used)
    assert health_score(engine, streams, NOW) == score
