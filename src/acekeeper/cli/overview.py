"""What `status` says, put together from the answers of the API."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from acekeeper.cli import engines as engine_table
from acekeeper.cli.fleet import summary
from acekeeper.cli.text import ago, clock, count, happened, printable, table
from acekeeper.client import call
from acekeeper.errors import CallFailed
from acekeeper.peers import forwarding, own_address
from acekeeper.settings import Settings

Answer = Mapping[str, Any]

# Of the log.
TROUBLES = (
    "engine_died",
    "engine_start_failed",
    "engine_unhealthy",
    "fleet_link_down",
    "host_lost",
    "play_failed",
    "playback_failed",
    "provision_refused",
    "runtime_lacks",
    "runtime_lost",
    "vpn_ended",
    "vpn_lost",
)
_WITHIN_S = 10.0
_GOING_ON = ("starting", "draining", "stopping")


class Overview(NamedTuple):
    """As `--json` has it."""

    ready: bool = False  # engines can be had
    wrong: Sequence[str] = ()
    doing: Sequence[str] = ()
    last_trouble: Answer | None = None  # an entry of /log
    forward: str = ""  # on the router, for peers; empty where it would be of no use
    orchestrator: Answer | None = None  # /orchestrator/status
    engines: Sequence[Answer] = ()  # /engines?include=all
    streams: Sequence[Answer] = ()  # /streams?status=started
    vpns: Sequence[Answer] = ()  # of /vpn/status


def look(settings: Settings) -> Overview:
    def ask(path: str) -> Any:
        return call(settings, "GET", path, within=_WITHIN_S)

    ready = ask("/health/ready")
    status = ask("/orchestrator/status")
    engines = ask("/engines?include=all")
    has_vpns = status["vpn"]["enabled"]  # by which peers come in, if at all
    troubles: list[Answer] = []
    with suppress(CallFailed):  # the log is on a disk; `wrong` says what is the matter with it
        troubles = [entry for kind in TROUBLES for entry in ask(f"/log?kind={kind}&limit=1")]
    is_reached = settings.runtime == "quadlet" and not has_vpns
    return Overview(
        ready=ready["ready"],
        wrong=list(_wrong(ready, status)),
        doing=list(_doing(status, engines)),
        last_trouble=max(troubles, key=lambda entry: entry["id"], default=None),
        forward=forwarding(settings, own_address()) if is_reached else "",
        orchestrator=status,
        engines=engines,
        streams=ask("/streams?status=started"),
        vpns=ask("/vpn/status")["vpns"] if has_vpns else (),
    )


def _wrong(ready: Answer, status: Answer) -> Iterator[str]:
    if ready["circuit_state"] == "open":
        yield "starts of engines failed, and the circuit breaker is open: none is started"
    elif ready["circuit_state"] == "half_open":
        yield "starts of engines failed, and the circuit breaker lets one be tried"
    engines = status["engines"]
    if unhealthy := engines["unhealthy"]:
        yield f"{count(unhealthy, 'engine')} unhealthy"
    is_meant = status.get("maintenance")  # to have none
    if engines["total"] and not engines["healthy"] and not is_meant:
        yield "no engine that a client may use"
    yield from ready["degraded"]


def _doing(status: Answer, engines: Sequence[Answer]) -> Iterator[str]:
    """The service may be of the version before, which says nothing of some of it."""
    for phase in _GOING_ON:
        names = sorted(e["container_name"] for e in engines if e["phase"] == phase)
        if names:
            yield f"{phase} {', '.join(names)}"
    if since := status.get("maintenance"):
        since = f"in maintenance since {clock(since)}, {ago(since)}"
        yield f"{since}: no viewer begins; `acekeeper drain --undo` ends it"
    if rolling := status.get("rollout"):
        why = ", ".join(f"{number} {reason}" for reason, number in rolling["reasons"].items())
        yield (
            f"replacing {rolling['outdated']} of {count(len(engines), 'engine')} ({why})"
            + (f", stopped: {rolling['stopped']}" if rolling["stopped"] else "")
        )
    if at_least := status["capacity"]["at_least"]:
        yield f"keeping at least {count(at_least, 'engine')}, as an operator asked"
    if refused := status["provisioning"]["blocked_reason_details"]:
        yield f"refusing provisions: {refused['message']}"


def lines(shown: Overview) -> Iterator[str]:
    """For a person. Only of what was answered."""
    status = shown.orchestrator or {}
    yield _verdict(shown)
    engines, capacity, streams = status["engines"], status["capacity"], status["streams"]
    yield (
        f"{count(engines['total'], 'engine')}, {capacity['available']} free;"
        f" {count(streams['active'], 'stream')};"
        f" breaker {status['provisioning']['circuit_breaker_state']}"
    )
    if gateway := status["gateway"]:
        where = ", ".join(gateway["listening"]) or "nowhere"
        yield f"gateway on {where}; {gateway['playing']} playing, {gateway['waiting']} waiting"
    yield from (printable(_vpn(vpn)) for vpn in shown.vpns)
    if fleet := status.get("fleet"):
        yield _fleet(fleet)
    if shown.forward:
        yield shown.forward
    yield from (f"now: {doing}" for doing in map(printable, shown.doing))
    if trouble := shown.last_trouble:
        yield f"last trouble, {ago(trouble['ts'])} ({clock(trouble['ts'])}): {happened(trouble)}"
    if shown.engines:
        yield ""
        yield from table(engine_table.rows(shown.engines, shown.streams))


def _vpn(vpn: Answer) -> str:
    since = f" since {clock(vpn['since'])}, {ago(vpn['since'])}" if vpn["since"] else ""
    parts = [count(len(vpn["engines"]), "engine")]
    if vpn["public_ip"]:
        parts.append(f"seen as {vpn['public_ip']}{_in_brackets(vpn['country'])}")
    if vpn["port"]:
        parts.append(f"port {vpn['port']}{_in_brackets(vpn['forwarded_engine'])}")
    if vpn["silent"]:
        parts.append(f"cannot be asked: {vpn['silent']}")
    return f"vpn {vpn['name']}: {vpn['state']}{since}; {', '.join(parts)}"


def _fleet(fleet: Answer) -> str:
    counts = (f"{number} {standing}" for standing, number in fleet["hosts"].items() if number)
    return f"{summary(fleet['name'], fleet['link'])}; hosts: {', '.join(counts)}"


def _in_brackets(word: str | None) -> str:
    return f" ({word})" if word else ""


def _verdict(shown: Overview) -> str:
    wrong = printable("; ".join(shown.wrong))
    if shown.ready:
        return f"ready, but: {wrong}" if wrong else "ready"
    return f"not ready: {wrong or 'whoever runs the engines has not said yet which run'}"
