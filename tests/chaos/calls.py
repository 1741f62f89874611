"""Any calls, in any order, of the running service: a model foretells each answer and every list.

The service and its engines are real processes; restarts are among the calls.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
from hypothesis import HealthCheck, settings
from hypothesis import seed as with_seed
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from ..api import bodies
from ..contract.service import LIMIT_S, NO_SWEEPS, Answer, Service, eventually

MOST = 3
SETTINGS: dict[str, object] = {
    "MIN_REPLICAS": 0,
    "MAX_REPLICAS": MOST,
    "AUTO_DELETE": "false",
    "MIN_PROVISION_INTERVAL_S": 0,
    "LOG_LEVEL": "WARNING",
    "ENGINE_COMMAND": "{python} -m acekeeper.emulator --http-port {http_port} --start-delay 0"
    " --idle-expiry 86400",
    **NO_SWEEPS,
}
_A_MINUTE = range(55, 66)  # about when a claim and the rest after it are over
numbers = st.integers(0, 7)


@dataclass(slots=True)
class Engine:
    port: int
    promised: float | None = None  # when it was handed out last, to whom may still come
    claimed: bool = False  # and no stream has started on it since


@dataclass(slots=True)
class Stream:
    event: dict[str, Any]
    container_id: str = ""
    ended: bool = False


class World:
    """A service, and what it must know by now."""

    def __init__(self, state: Path, tally: Counter[str]) -> None:
        self.service = Service(state, SETTINGS, slots=MOST, start_delay=0)
        self.runner = asyncio.Runner()
        self.tally = tally
        self.engines: dict[str, Engine] = {}
        self.streams: dict[str, Stream] = {}
        self.early: set[str] = set()  # ended before they started
        self.numbers = count()

    def end_all(self) -> None:
        self.service.end()
        self.runner.close()

    def call(self, method: str, path: str, body: object = None) -> Answer:
        self.tally["answers as foretold"] += 1
        return self.runner.run(self.service.call(method, path, body, LIMIT_S))

    def started(self, container_id: str | None = None) -> list[str]:
        return [
            name
            for name, s in self.streams.items()
            if not s.ended and container_id in (None, s.container_id)
        ]

    def start(self, stream: str, event: dict[str, Any], container_id: str) -> None:
        if stream in self.streams:
            return
        self.tally["streams"] += 1
        self.streams[stream] = Stream(event, container_id, ended=stream in self.early)
        self.early.discard(stream)
        if container_id:
            self.engines[container_id].claimed = False
            self._used(container_id)

    def end(self, stream: str) -> str | None:
        """What the answer names."""
        if stream not in self.streams:
            self.early.add(stream)
            return None
        if not self.streams[stream].ended:
            self.streams[stream].ended = True
            self._used(self.streams[stream].container_id)
        return stream

    def _used(self, container_id: str) -> None:
        """Who was promised it came and left, if nobody plays any more."""
        if container_id and not self.started(container_id):
            self.engines[container_id].promised = None

    def age(self, engine: Engine) -> float:
        """Seconds since its promise; within ten of a minute nothing is foretold."""
        return time.monotonic() - engine.promised if engine.promised is not None else 3600.0


class Calls(RuleBasedStateMachine):
    world: World

    @initialize()
    def serve(self) -> None:
        self.world.runner.run(self.world.service.start())

    def teardown(self) -> None:
        self.world.end_all()

    @rule()
    def provision(self) -> None:
        world = self.world
        rested = {i for i, e in world.engines.items() if not world.started(i)}
        sure = {i for i in rested if world.age(world.engines[i]) > _A_MINUTE[-1]}
        may = {i for i in rested if world.age(world.engines[i]) >= _A_MINUTE[0]}
        answer = world.call("POST", "/provision/acestream", {"labels": {}, "env": {}})
        if answer.status == 200:
            given = answer.json["container_id"]
            assert given in may or (given not in world.engines and not sure), (given, may, sure)
            self._learn()
            world.tally["engines given"] += 1
            world.engines[given].promised, world.engines[given].claimed = time.monotonic(), True
            return
        assert answer.status == 503
        assert not sure
        if answer.json["detail"]["code"] == "max_capacity":
            assert len(world.engines) == MOST
        else:  # the machine is slow: it is there for the next caller
            assert answer.json["detail"]["should_wait"]
            self._learn(len(world.engines) + 1)

    @rule(where=numbers)
    def start(self, where: int) -> None:
        stream, event, container_id = self._new(where)
        self._post_start(event, stream)
        self.world.start(stream, event, container_id)

    @rule(where=numbers, reason=st.sampled_from(["eof", "client_disconnected", "empty_timeout"]))
    def end_before_the_start(self, where: int, reason: str) -> None:
        stream, event, container_id = self._new(where)
        self._post_end({"stream_id": stream, "reason": reason}, self.world.end(stream))
        self._post_start(event, stream)
        self.world.start(stream, event, container_id)

    @rule(n=numbers)
    def end(self, n: int) -> None:
        started = self.world.started()
        if started:
            stream = started[n % len(started)]
            self._post_end({"stream_id": stream}, self.world.end(stream))

    @rule(n=numbers)
    def end_by_hand(self, n: int) -> None:
        """The engine is asked to stop it too."""
        started = self.world.started()
        if started:
            stream = started[n % len(started)]
            asked = "stopped" if self.world.streams[stream].container_id else "not_asked"
            answer = self.world.call("DELETE", f"/streams/{stream}")
            _same((answer.status, answer.json["engine"]), (200, asked))
            self.world.end(stream)

    @rule(n=numbers)
    def end_without_an_id(self, n: int) -> None:
        engines = list(self.world.engines)
        if engines:
            container_id = engines[n % len(engines)]
            started = self.world.started(container_id)
            only = self.world.end(started[0]) if len(started) == 1 else None
            self._post_end({"container_id": container_id}, only)

    @rule(n=numbers)
    def tell_again(self, n: int) -> None:
        """Of the newest, whether they are over or not."""
        newest = list(self.world.streams)[-8:]
        if newest:
            stream = newest[n % len(newest)]
            self._post_start(self.world.streams[stream].event, stream)
            if self.world.streams[stream].ended:
                self._post_end({"stream_id": stream}, stream)

    @rule(starts=st.lists(numbers, max_size=4), ends=st.lists(numbers, max_size=4))
    def batch(self, starts: list[int], ends: list[int]) -> None:
        new = [self._new(where) for where in starts]
        known = [*self.world.started(), *(stream for stream, _, _ in new)]
        unknown = f"never-{next(self.world.numbers)}"
        self._batch(new, [known[n % len(known)] if known else unknown for n in ends])

    @rule(stop=st.booleans())
    def restart(self, stop: bool) -> None:
        async def restart() -> None:
            await (self.world.service.stop() if stop else self.world.service.kill())
            await self.world.service.start(len(self.world.engines))

        self.world.tally["restarts"] += 1
        self.world.runner.run(restart())

    @rule(path=st.sampled_from(["engine.port", "session.is_live", "stream.key"]))
    def a_bad_event(self, path: str) -> None:
        body = bodies.changed(bodies.started(labels={"stream_id": "bad"}), path, [])
        answer = self.world.call("POST", "/events/stream_started", body)
        assert answer.status == 400
        assert path in answer.json["detail"]

    @invariant()
    def lists_are_as_foretold(self) -> None:
        world = self.world
        engines = world.call("GET", "/engines").json
        _same(
            {e["container_id"]: (e["port"], set(e["streams"])) for e in engines},
            {i: (engine.port, set(world.started(i))) for i, engine in world.engines.items()},
        )
        streams = world.call("GET", "/streams?limit=10000").json
        _same(
            {s["id"]: (s["container_id"], s["status"] == "ended") for s in streams},
            {name: (stream.container_id, stream.ended) for name, stream in world.streams.items()},
        )
        for container_id, engine in world.engines.items():
            query = f"/streams?container_id={container_id}&status=started"
            listed = {s["id"].partition("|")[0] for s in world.call("GET", query).json}
            claim = {"claim"} if engine.claimed else set()
            if int(world.age(engine)) in _A_MINUTE:
                claim &= listed
            elif world.age(engine) > _A_MINUTE[-1]:
                claim = set()
            _same(listed, claim | set(world.started(container_id)))

    def _new(self, where: int) -> tuple[str, dict[str, Any], str]:
        """A stream on one of our engines, where there are some, or on one that is not ours."""
        engines = list(self.world.engines.items())
        stream = f"s{next(self.world.numbers)}"
        if not engines or where == 0:
            return stream, bodies.started(labels={"stream_id": stream}), ""
        container_id, engine = engines[where % len(engines)]
        session = self.world.runner.run(_getstream(engine.port, f"{int(stream[1:]):040x}"))
        event = bodies.started(port=engine.port, session=session, labels={"stream_id": stream})
        return stream, event, container_id

    def _learn(self, at_least: int = 0) -> None:
        """Engines that were started."""

        async def listed() -> bool:
            engines = await self.world.service.get("/engines?include=all")
            for engine in engines:
                self.world.engines.setdefault(engine["container_id"], Engine(engine["port"]))
            return len(engines) >= at_least and all(e["phase"] == "running" for e in engines)

        self.world.runner.run(eventually(listed))

    def _post_start(self, event: dict[str, Any], stream: str) -> None:
        answer = self.world.call("POST", "/events/stream_started", event)
        _same((answer.status, answer.json["stream_id"]), (202, stream))

    def _post_end(self, event: dict[str, Any], stream: str | None) -> None:
        answer = self.world.call("POST", "/events/stream_ended", event)
        _same((answer.status, answer.json["stream_id"]), (202, stream))

    def _batch(self, new: list[tuple[str, dict[str, Any], str]], ends: list[str]) -> None:
        body = {
            "started": [event for _, event, _ in new],
            "ended": [{"stream_id": stream} for stream in ends],
        }
        answer = self.world.call("POST", "/events/batch", body)
        for stream, event, container_id in new:
            self.world.start(stream, event, container_id)
        named = [self.world.end(stream) for stream in ends]
        _same(answer.status, 200)
        _same([r["stream_id"] for r in answer.json["started"]], [stream for stream, _, _ in new])
        _same([r.get("stream_id") for r in answer.json["ended"]], named)
        _same([r["success"] for r in answer.json["ended"]], [n is not None for n in named])


def _same(seen: object, foretold: object) -> None:
    assert seen == foretold, f"{seen} where {foretold} was foretold"


async def _getstream(port: int, infohash: str) -> dict[str, Any]:
    url = f"http://localhost:{port}/ace/getstream?format=json&infohash={infohash}"
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        response = (await answer.json(content_type=None))["response"]
    fields = ("playback_session_id", "stat_url", "command_url", "is_live")
    return {name: response[name] for name in fields}


def run(directory: Path, seed: int, examples: int, steps: int) -> str:
    """Each example has a service of its own."""
    tally: Counter[str] = Counter()

    class Here(Calls):
        def __init__(self) -> None:
            super().__init__()
            tally["examples"] += 1
            self.world = World(directory / f"state-{tally['examples']}", tally)

    searched = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(with_seed(seed)(Here), settings=searched)
    return ", ".join(f"{count:,} {what}" for what, count in tally.items())
