"""The running service: whether it answers, is this very version, and is well."""

from collections.abc import Iterator

from acekeeper import __version__
from acekeeper.client import call
from acekeeper.doctor.finding import Finding, well, wrong
from acekeeper.errors import CallFailed
from acekeeper.listening import open_gateway
from acekeeper.settings import Settings

# By what it is that is not well.
_ADVICE = {"gateway": "Free the port and restart acekeeper, or change GATEWAY_HOST or GATEWAY_PORT"}


def check(settings: Settings) -> Iterator[Finding]:
    try:
        health = call(settings, "GET", "/health/ready")
    except CallFailed as error:
        yield wrong(error.message, error.hint or "Look into its log")
        if settings.runtime == "process":  # elsewhere systemd listens, and its unit says how it is
            yield from _gateway(settings)
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
        yield wrong(trouble, _ADVICE.get(trouble.partition(":")[0], "The service's log says more"))
    if not health["ready"] and not health["degraded"]:
        yield wrong(
            f"the service is not ready; its circuit breaker is {health['circuit_state']}",
            "Its log says which starts of engines failed, and why",
        )


def _gateway(settings: Settings) -> Iterator[Finding]:
    """What the next start would find."""
    gateway = open_gateway(settings.gateway_host, settings.gateway_port)
    for opened in gateway.sockets:
        opened.close()
    for why in gateway.wrong():
        yield wrong(f"gateway: {why}", _ADVICE["gateway"])
