"""Whether what acekeeper says is what there is: the engines' processes, the sessions they know,
and what the viewers told."""

import asyncio
from typing import Any

import aiohttp

from ..contract.service import Service
from .audience import Audience
from .books import Kind

_ASKED_AT_ONCE = 20
_ANSWERS_WITHIN = aiohttp.ClientTimeout(total=5)


class Judge:
    def __init__(self, service: Service, audience: Audience) -> None:
        self._service = service
        self._audience = audience

    async def answers(self) -> bool:
        try:
            return (await self._service.call("GET", "/health/ready")).status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def disagreements(self) -> list[str]:
        """One line each; empty when all agree."""
        streams = await self._service.get("/streams?limit=10000")
        engines = await self._service.get("/engines?include=all")
        told = [stream for stream in streams if stream["via"] == "event"]
        wrong = await self._streams(told)
        wrong += self._players([s for s in streams if s not in told], engines)
        wrong += await self._sessions(streams, engines)
        wrong += self._engines(engines, [s for s in streams if s["status"] == Kind.STARTED])
        return wrong + self._totals(await self._service.get("/orchestrator/status"), streams)

    async def _streams(self, streams: list[dict[str, Any]]) -> list[str]:
        live = await self._live()
        # Told only when their engine was gone: nobody can say any more that they are over.
        unmapped = {
            s["id"] for s in streams if s["status"] == Kind.STARTED and not s["container_id"]
        }
        seen = {stream["id"]: stream["status"] for stream in streams}
        wrong = self._audience.books.disagreements(seen, lambda s: s in live or s in unmapped)
        return wrong + [f"{stream} lives, and is of no engine" for stream in unmapped & live]

    def _players(self, streams: list[dict[str, Any]], engines: list[dict[str, Any]]) -> list[str]:
        """A session of the gateway is open for each player that plays, and for nobody else; some
        share one. Where a viewer of the API plays as well, one that was left counts as read by the
        viewer. What was ever given to a player is listed."""
        ports = {engine["container_id"]: engine["port"] for engine in engines}
        started = {
            (ports.get(s["container_id"]), s["key"]) for s in streams if s["status"] == Kind.STARTED
        }
        viewed = {e["port"] for e in engines if set(e["streams"]) - {s["id"] for s in streams}}
        players = self._audience.players
        playing = {(p.port, p.content) for p in players.staying if p.plays}
        wrong = [f"{player} plays, and is not listed" for player in playing - started]
        wrong += [
            f"{session} is listed, and nobody plays it"
            for session in started - playing
            if session[0] not in viewed
        ]
        return wrong + players.plays.missing({s["id"] for s in streams})

    async def _sessions(
        self, streams: list[dict[str, Any]], engines: list[dict[str, Any]]
    ) -> list[str]:
        """No engine has a session of which nobody knows. A viewer's start may have been lost."""
        wrong = []
        tokens = {s["stat_url"].rpartition("/")[2] for s in streams if s["status"] == Kind.STARTED}
        tokens |= {url.rpartition("/")[2] for url in self._audience.stat_urls.values()}
        for port in (engine["port"] for engine in engines):
            try:
                sessions = await self._service.sessions(port)
            except aiohttp.ClientConnectionError:  # it ended since it was listed, say
                wrong.append(f"{port} is listed, and cannot be asked")
                continue
            wrong += [
                f"{port} has {session}, and no stream is listed"
                for session in sessions
                if session["token"] not in tokens
            ]
        return wrong

    async def _live(self) -> set[str]:
        """By the engines' own word, asked past acekeeper."""
        turns = asyncio.Semaphore(_ASKED_AT_ONCE)

        async def lives(url: str) -> bool:
            try:
                async with turns, http.get(url) as answer:
                    return (await answer.json(content_type=None))["response"] is not None
            except (aiohttp.ClientError, TimeoutError):
                return False

        stat_urls = self._audience.stat_urls
        async with aiohttp.ClientSession(timeout=_ANSWERS_WITHIN) as http:
            living = await asyncio.gather(*map(lives, stat_urls.values()))
        return {stream for stream, alive in zip(stat_urls, living, strict=True) if alive}

    def _engines(self, engines: list[dict[str, Any]], started: list[dict[str, Any]]) -> list[str]:
        wrong = []
        running = {port for port, _ in self._service.engine_processes()}
        if running != {engine["port"] for engine in engines}:
            wrong.append(f"running on {sorted(running)}, listed {[e['port'] for e in engines]}")
        for engine in engines:
            where = engine["container_id"]
            # Doubted, it is not tried as long as somebody plays from it, and that may be for ever.
            untried = engine["playback_doubted"] and engine["streams"]
            well = ("healthy", "unknown") if untried else ("healthy",)
            if engine["health_status"] not in well or engine["phase"] == "starting":
                wrong.append(f"{engine['port']} is {engine['phase']} {engine['health_status']}")
            theirs = {s["id"] for s in started if s["container_id"] == where}
            if theirs != set(engine["streams"]):
                wrong.append(f"{engine['port']} has {engine['streams']}, but listed are {theirs}")
        known = {"", *(engine["container_id"] for engine in engines)}
        wrong += [f"{s['id']} is on no engine" for s in started if s["container_id"] not in known]
        return wrong

    def _totals(self, status: dict[str, Any], streams: list[dict[str, Any]]) -> list[str]:
        wrong = []
        active = sum(stream["status"] == Kind.STARTED for stream in streams)
        if status["streams"] != {"active": active, "total": len(streams)}:
            wrong.append(f"{status['streams']} streams, but {active} of {len(streams)} are listed")
        if status["gateway"]["waiting"]:
            wrong.append(f"players wait: {status['gateway']}")
        capacity = status["capacity"]
        full = capacity["total"] == capacity["max_replicas"]
        if capacity["available"] < capacity["min_replicas"] and not full:
            wrong.append(f"too few are free: {capacity}")
        if status["provisioning"]["circuit_breaker_state"] == "open":
            wrong.append("the circuit breaker is open")
        return wrong
