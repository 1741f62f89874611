"""A pool for players of the gateway, and what its engines and the service say of it."""

from acekeeper.emulator.content import infohash_of_content_id

from .player import Player
from .service import NO_SWEEPS, Service, eventually

ENOUGH = 200_000  # bytes: more than any buffer on the way still holds
# Engines start at once, and go when somebody ends them.
KEPT: dict[str, object] = {
    "AUTO_DELETE": "false",
    "MIN_PROVISION_INTERVAL_S": 0,
    "MAX_CONCURRENT_PROVISIONS": 24,
    **NO_SWEEPS,
}


def channel(number: int) -> str:
    return f"{number:040x}"


async def by_rest(running: Service) -> list[int]:
    """The ports of the engines in the order in which players get them: the longest idle first."""
    ready = await running.logged("engine_ready", len(await running.get("/engines")))
    return [int(line["engine"].rpartition("-")[2]) for line in ready]


async def waiting(running: Service) -> int:
    """How many players have no session so far."""
    status = await running.get("/orchestrator/status")
    return int(status["gateway"]["waiting"])


async def asked(running: Service, content: str, *least: int) -> None:
    """Waits until engines were asked for something of a content: one so often at least, another
    one so often."""
    infohash = infohash_of_content_id(content)

    async def were() -> bool:
        each = [await running.counters(port, infohash) for port in running.engine_pids()]
        counted = sorted((counters["requests"] for counters in each), reverse=True)
        return all(count >= n for count, n in zip(counted, least, strict=False))

    await eventually(were)


async def only_these_are_left(running: Service, *players: Player) -> None:
    """Waits until nobody waits, and the engines' sessions, by their own word, are those that these
    players read; what the service lists is the same, and all other engines are free."""
    kept = {player.port for player in players}

    async def agree() -> bool:
        # The service first: nothing is under way any more when it says that engines are free.
        status = await running.get("/orchestrator/status")
        streams = await running.get("/streams?status=started")
        engines = await running.get("/engines?include=all")
        ports = {e["container_id"]: e["port"] for e in engines}
        ours = [(ports[s["container_id"]], s["playback_session_id"]) for s in streams]
        theirs = [(p, s["token"]) for p in ports.values() for s in await running.sessions(p)]
        return (
            sorted(ours) == sorted(theirs)
            and sorted(port for port, _ in theirs) == sorted(kept)
            and status["capacity"]["available"] == len(engines) - len(kept)
            and not status["gateway"]["waiting"]
        )

    await eventually(agree)
