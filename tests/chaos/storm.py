"""Viewers, faults of engines, kills of engines and of acekeeper; then all has to agree again."""

import asyncio
import os
import signal
import sys
import time
from asyncio import Task
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

import aiohttp

from acekeeper.emulator.content import infohash_of_content_id

from ..contract.service import LIMIT_S, Service, eventually
from .audience import Audience
from .books import Kind
from .judge import Judge
from .leaks import Leaks

MOST = 6
SETTINGS: dict[str, object] = {
    "MIN_REPLICAS": 2,
    "MAX_REPLICAS": MOST,
    "MIN_PROVISION_INTERVAL_S": 0.2,
    "PROVISION_STARTUP_GRACE_S": 8,
    "CIRCUIT_BREAKER_THRESHOLD": 3,
    "CIRCUIT_BREAKER_TIMEOUT_S": 2,
    "HEALTH_CHECK_INTERVAL_S": 1,
    "MONITOR_INTERVAL_S": 1,
    "AUTOSCALE_INTERVAL_S": 2,
    "HEALTH_FAILURE_THRESHOLD": 2,
    "HEALTH_UNHEALTHY_GRACE_PERIOD_S": 2,
    "HEALTH_REPLACEMENT_COOLDOWN_S": 3,
    "ENGINE_GRACE_PERIOD_S": 3,
    "GATEWAY_HEDGE_S": 1,
    "GATEWAY_IDLE_S": 3,
}
_ENGINE = "--start-delay {delay} --bitrate 128 --idle-expiry 30"
_WELL = _ENGINE.format(delay=0.3)
_STARTS = {
    _WELL: 4,
    f"{_WELL} --hold-at r": 2,
    f"{_WELL} --hold-at nowhere": 2,
    _ENGINE.format(delay=2): 2,
    _ENGINE.format(delay=3600): 1,
    "exit 2": 1,
    "exit 0": 1,
}
_FAULTS = [
    *("hang", "hang_api", "hang_playback", "stall", "hang_getstream", "slow_getstream"),
    *("hang_read", "hang_stop", "load_fails", "no_peers", "crash_on_getstream"),
]
_DEEDS = {
    "fault": 12,
    "kill_engine": 3,
    "lose_sessions": 2,
    "start": 6,
    "kill": 2,
    "restart": 1,
    "drain": 1,
    "stop_engine": 1,
    "end_stream": 2,
    "scale": 1,
    "reset_breaker": 1,
}
_HEDGES_WITHIN = 180.0  # two engines have to be free for one player
_SEES_ITS_END = 2.0
_AGREES_WITHIN = 180.0  # a claim lasts 60 s, a drain 30 s and more


class Storm:
    def __init__(self, directory: Path, seed: int, viewers: int = 8) -> None:
        self._rng = Random(seed)
        self._behaviour = directory / "behaviour"
        self._behaviour.write_text(_WELL)
        script = Path(__file__).with_name("start_engine.py")
        command = f"{sys.executable} {script} {self._behaviour} {{http_port}} {{api_port}}"
        self._service = Service(
            directory / "state",
            SETTINGS | {"ENGINE_COMMAND": command},
            slots=2 * MOST,
            start_delay=0,
        )
        self._audience = Audience(self._service.base, self._service.gateway, seed, viewers)
        self._judge = Judge(self._service, self._audience)
        self._leaks = Leaks(self._service)
        self._counts: Counter[str] = Counter()

    async def run(self, seconds: float) -> str:
        """Fails with the lines that say what does not agree."""
        watching: Task[None] | None = None
        try:
            await self._service.start(engines=1)
            watching = asyncio.create_task(self._watch())
            await self._audience.come()
            await self._rage(seconds)
            await self._lose_track()
            await self._calm()
            await self._agree()
            leaks = await self._leaks.found(self._infohashes())
            assert not leaks, leaks
            await self._all_play()
            assert not watching.done(), watching.exception()
            await self._stop()
        finally:
            if watching is not None:
                watching.cancel()
            await self._audience.leave()
            self._service.end()
        assert self._service.engine_processes() == []
        return str(self)

    def __str__(self) -> str:
        deeds = ", ".join(f"{count} {deed}" for deed, count in sorted(self._counts.items()))
        told = ", ".join(f"{n} {what}" for what, n in sorted(self._audience.counts.items()))
        return (
            f"{deeds}; {told}; {self._audience.books.acknowledged:,} acknowledged events;"
            f" {len(self._audience.players.plays)} sessions given to players,"
            f" {len(self._leaks)} watched to their end"
        )

    async def _rage(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            await asyncio.sleep(self._rng.uniform(0.1, 1.0))
            deed = self._choice(_DEEDS)
            await self._do(deed)
            self._counts[deed] += 1

    def _choice(self, weights: dict[str, int]) -> str:
        (chosen,) = self._rng.choices(list(weights), list(weights.values()))
        return chosen

    async def _do(self, deed: str) -> None:
        processes = self._service.engine_processes()
        port, pid = self._rng.choice(processes) if processes else (0, 0)
        match deed:
            case "fault":
                fault = {"kind": self._rng.choice(_FAULTS), "duration_s": self._rng.uniform(1, 8)}
                await self._admin(port, "POST", "/faults", fault)
            case "lose_sessions":
                await self._admin(port, "POST", "/lose-sessions")
            case "kill_engine":
                self._kill_engine(port, pid)
            case "start":
                self._behaviour.write_text(self._choice(_STARTS))
            case "kill":
                with self._audience.players.plays.away():
                    await self._service.kill()
                    await self._come_back()
            case "restart":
                with self._audience.players.plays.away():
                    assert await self._service.stop() == 0
                    await self._come_back()
            case _:
                await self._operate(deed)

    async def _operate(self, deed: str) -> None:
        """By an operator's hand. What is gone by then is 404."""
        kind = "streams?status=started" if deed == "end_stream" else "engines?include=all"
        found = await self._service.get(f"/{kind}")
        if not found:
            return
        chosen = self._rng.choice(found)
        match deed:
            case "drain":
                call = ("POST", f"/engines/{chosen['container_id']}/drain")
            case "stop_engine":
                call = ("DELETE", f"/containers/{chosen['container_id']}")
            case "end_stream":
                self._audience.books.sent(Kind.ENDED, chosen["id"])
                call = ("DELETE", f"/streams/{quote(chosen['id'], safe='')}")
            case "scale":
                call = ("POST", f"/scale/{self._rng.randrange(MOST)}")
            case "reset_breaker":
                call = ("POST", "/health/circuit-breaker/reset")
            case _:
                raise AssertionError(deed)
        answer = await self._service.call(*call, within=LIMIT_S)  # a hung engine is asked too
        assert answer.status in (200, 202, 404), answer
        if deed == "end_stream":
            assert answer.status == 200, answer
            self._audience.books.was_acknowledged(Kind.ENDED, chosen["id"])

    async def _come_back(self) -> None:
        await asyncio.sleep(self._rng.uniform(0, 1.5))
        self._service.launch()
        await eventually(self._judge.answers)

    def _kill_engine(self, port: int, pid: int) -> None:
        if (port, pid) in self._service.engine_processes():
            os.kill(pid, signal.SIGKILL)

    async def _admin(self, port: int, method: str, path: str, body: object = None) -> None:
        """An engine that starts has no admin port yet, and one that was killed has none any
        more."""
        if not port:
            return
        url = f"http://127.0.0.1:{self._service.admin_port(port)}{path}"
        try:
            async with aiohttp.ClientSession() as http, http.request(method, url, json=body or {}):
                return
        except aiohttp.ClientError:
            return

    async def _lose_track(self) -> None:
        """Sessions that cannot be stopped before the service is killed, and some that are opened
        too late for anybody."""
        self._behaviour.write_text(_WELL)
        await self._heal()
        async with self._audience.players.proxied(2) as players:
            await self._break_all({"kind": "hang_stop"})
            for player in players:
                await player.leave()
                self._counts["stop before the kill"] += 1
            sessions = {player.session["playback_url"].rpartition("/")[2] for player in players}
            await eventually(lambda: self._are_over(sessions))
            await self._do("kill")
        await self._heal()
        await self._note_leaks()
        before = max((play["id"] for play in await self._plays()), default=0)
        await self._break_all({"kind": "slow_getstream", "amount": 2})
        await eventually(lambda: self._is_hedged(before), _HEDGES_WITHIN)
        await self._heal()
        await self._note_leaks()

    async def _are_over(self, tokens: set[str]) -> bool:
        """By the log, which is read from the disk: the service is killed next."""
        ends = await self._service.get("/log?kind=stream_ended&limit=1000")
        return tokens <= {end["stream"].rpartition("|")[2] for end in ends}

    async def _is_hedged(self, before: int) -> bool:
        """A play since that one: another engine opens a session for nobody."""
        plays = [play["data"] for play in await self._plays() if play["id"] > before]
        return any(play["hedged"] for play in plays)

    async def _plays(self) -> list[dict[str, Any]]:
        """The newest that got a session."""
        plays: list[dict[str, Any]] = await self._service.get("/log?kind=play_opened&limit=1000")
        return plays

    async def _note_leaks(self) -> None:
        await self._leaks.note(self._infohashes())

    def _infohashes(self) -> set[str]:
        """Of what players of the gateway asked for."""
        return set(map(infohash_of_content_id, self._audience.players.contents))

    async def _break_all(self, fault: dict[str, object]) -> None:
        for port, _ in self._service.engine_processes():
            await self._admin(port, "POST", "/faults", fault)

    async def _heal(self) -> None:
        for port, _ in self._service.engine_processes():
            await self._admin(port, "DELETE", "/faults")

    async def _calm(self) -> None:
        """Nothing is done to it any more; what still hangs and starts badly gets over it."""
        await self._heal()
        await self._audience.settle()
        assert (await self._service.call("POST", "/scale/0", within=LIMIT_S)).status == 200

    async def _agree(self) -> None:
        wrong = self._audience.players.plays.wrong
        assert not wrong, "\n".join([str(self), *wrong[:20]])
        wrong = []

        async def agrees() -> bool:
            wrong[:] = await self._judge.disagreements()
            return not wrong

        try:
            await eventually(agrees, _AGREES_WITHIN)
        except AssertionError as error:
            raise AssertionError("\n".join([str(self), *wrong[:20]])) from error
        streams = await self._service.get("/streams?limit=10000")
        assert self._audience.promises.broken(streams) == []

    async def _all_play(self) -> None:
        """No engine is kept from players: as many as have no viewer play from an engine each, and
        all agrees again when they have left."""
        engines = await self._service.get("/engines?include=all")
        count = MOST - sum(bool(engine["streams"]) for engine in engines)
        wrong = await self._audience.players.all_play(count)
        assert not wrong, wrong
        await self._agree()

    async def _watch(self) -> None:
        """What may be at no moment, however short; two players on one engine only as long as the
        first of them takes to see its end."""
        together: dict[tuple[int, frozenset[str]], float] = {}
        while True:
            now = time.monotonic()
            together = {e: together.get(e, now) for e in self._audience.players.together()}
            assert all(now - since < _SEES_ITS_END for since in together.values()), together
            ports = [port for port, _ in self._service.engine_processes()]
            assert len(ports) == len(set(ports)), f"two engines on a port: {ports}"
            assert len(ports) <= MOST, f"more engines than may be: {ports}"
            await asyncio.sleep(0.05)

    async def _stop(self) -> None:
        """Its engines go on without it, and nothing is left behind but what it keeps."""
        before = self._service.engine_processes()
        assert await self._service.stop() == 0
        after = self._service.engine_processes()
        assert set(after) <= set(before), (before, after)
        assert len(after) >= len(before) - 1, (before, after)  # one may have been on its way out
        left = {path.name for path in self._service.state.iterdir()}
        assert left <= {"acekeeper.db", "lock", "logs"}, left
        errors = [line for line in self._service.log() if line["level"] in ("ERROR", "CRITICAL")]
        assert errors == []
