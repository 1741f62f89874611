"""How good a choice an engine is, as the user's document scores it."""

from acekeeper.core.model import Engine, Health, Now

_PENALTY = {Health.HEALTHY: 0, Health.UNKNOWN: 25, Health.UNHEALTHY: 50}


def health_score(engine: Engine, streams: int, now: Now) -> int:
    warm = engine.used is not None and now.mono - engine.used.mono < 300
    return max(0, 100 - min(streams * 20, 60) - _PENALTY[engine.health] + (10 if warm else 0))
