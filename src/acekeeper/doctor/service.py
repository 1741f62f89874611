"""The running service: whether it answers, is this very version, and is well; and its gateway."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from acekeeper import __version__
from acekeeper.adapters.ports import present
from acekeeper.client import call
from acekeeper.core.addresses import absences, wanted
from acekeeper.doctor.finding import Finding, note, well, wrong
from acekeeper.errors import CallFailed
from acekeeper.listening import open_gateway
from acekeeper.rules import rules_of
from acekeeper.settings import Settings

_ABSENT = (
    "It is used once it is there, so wait if it is to come (DHCP, a bridge); else mend {}."
    " `ip -brief address` shows those this host has"
)
# By what it is that is not well.
_ADVICE = {
    "network": "`ip route` shows the routes, /etc/resolv.conf the nameservers; once both are well,"
    " acekeeper does the rest",
    "sweeps": "`acekeeper sweep` of that kind says why it fails; where it does not,"
    " `acekeeper doctor --fix` starts its timer",
    "vpn": "Its log says why: `journalctl _SYSTEMD_USER_UNIT=vpn@NAME.service` as root, or of an"
    " emulated one logs/vpn-NAME.log in STATE_DIR",
    "fleet": "`acekeeper fleet` shows the hosts. Look whether acekeeper runs on those that cannot"
    " be heard, and acekeeper-fleet.service on the hosts in FLEET_SERVERS",
    "gateway": "Free the port and restart acekeeper, or change GATEWAY_HOST or GATEWAY_PORT",
    **{name: _ABSENT.format(name) for name in ("GATEWAY_HOST", "ENGINE_HOST")},
}


def check(settings: Settings) -> Iterator[Finding]:
    try:
        health = call(settings, "GET", "/health/ready")
    except CallFailed as error:
        yield wrong(error.message, error.hint or "Look into its log")
        yield from map(_trouble, _expected(settings))
        return
    version = health.get("version")
    if version != __version__:
        yield wrong(
            f"the API answers as version {version}, and this is {__version__}",
            "Restart the service",
        )
    else:
        yield well(f"the API answers as version {version}")
    yield from map(_trouble, health["degraded"])
    gateway = call(settings, "GET", "/orchestrator/status").get("gateway")
    if gateway and gateway["listening"]:
        allowed = " and ".join(map(str, ["this host", *settings.gateway_allow]))
        yield well(f"the gateway listens on {', '.join(gateway['listening'])}, for {allowed}")
    if not health["ready"] and not health["degraded"]:
        yield wrong(
            f"the service is not ready; its circuit breaker is {health['circuit_state']}",
            "Its log says which starts of engines failed, and why",
        )
    if since := health.get("maintenance"):
        yield note(
            f"this host has been in maintenance since {since}: no viewer begins",
            "`acekeeper drain --undo` ends it",
        )
    yield _deaths(settings)


def _deaths(settings: Settings) -> Finding:
    """What is past is no fault of now."""
    since = datetime.now(UTC) - timedelta(hours=1)
    died = call(
        settings, "GET", f"/log?kind=engine_died&since={since:%Y-%m-%dT%H:%M:%SZ}&limit=1000"
    )
    if not died:
        return well("no engine died in the last hour")
    by_cause = Counter(entry["data"].get("cause") or "other" for entry in died)
    counts = ", ".join(f"{cause} ({number})" for cause, number in by_cause.most_common())
    many = "an engine" if len(died) == 1 else f"{len(died)} engines"
    return note(
        f"{many} died in the last hour: {counts}",
        "`acekeeper log --kind engine_died` shows each",
    )


def _trouble(text: str) -> Finding:
    what = text.partition(":")[0].partition(" ")[0]
    return wrong(text, _ADVICE.get(what, "The service's log says more"))


def _expected(settings: Settings) -> Iterator[str]:
    """What the next start would find."""
    if settings.runtime == "process":  # elsewhere systemd listens, and its unit says how it is
        gateway = open_gateway(settings.gateway_host, settings.gateway_port)
        for opened in gateway.sockets:
            opened.close()
        yield from (f"gateway: {why}" for why in gateway.off)
    rules = rules_of(settings)
    every = wanted(rules)
    yield from absences(rules, {*every} - {*present(every)})
