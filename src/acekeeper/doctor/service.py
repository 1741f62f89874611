"""The running service: whether it answers, is this very version, and is well."""

from collections.abc import Iterator

from acekeeper import __version__
from acekeeper.client import call
from acekeeper.doctor.finding import Finding, well, wrong
from acekeeper.errors import CallFailed
from acekeeper.settings import Settings


def check(settings: Settings) -> Iterator[Finding]:
    try:
        health = call(settings, "GET", "/health/ready")
    except CallFailed as error:
        yield wrong(error.message, error.hint or "Look into its log")
        return
    version = health.get("version")
    if version != __version__:
        yield wrong(
            f"the API answers as version {version}, and this is {__version__}",
            "Restart the service",
        )
    else:
        yield well(f"the API answers as version {version}")
    for trouble in health["degraded"]:
        yield wrong(trouble, "The service's log says more")
    if not health["ready"] and not health["degraded"]:
        yield wrong(
            f"the service is not ready; its circuit breaker is {health['circuit_state']}",
            "Its log says which starts of engines failed, and why",
        )
