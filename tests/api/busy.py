"""A pool as large as it may be, and everything that streams may be on it, behind the real API."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from acekeeper.adapters.history import History
from acekeeper.adapters.store import Store
from acekeeper.api.access import Access
from acekeeper.api.application import application
from acekeeper.api.context import Context, Limits
from acekeeper.api.edge import Edge
from acekeeper.api.followers import Followers
from acekeeper.api.views import Views
from acekeeper.core.facts import Found
from acekeeper.core.gateway.model import Wanted
from acekeeper.core.inspection import Inspection
from acekeeper.core.model import Engine, Health, KeyType, Now, Opening, Sample, Stream
from acekeeper.core.names import PortPlan, Slot
from acekeeper.core.state import State
from acekeeper.metrics import Metrics, Pool
from acekeeper.usecases.loop import Loop
from acekeeper.usecases.sweep import Sweeps

from ..core.world import rules, slot
from ..usecases.house import (
    Clock,
    ScriptedEngines,
    ScriptedPlayer,
    ScriptedRuntime,
    ScriptedSessions,
)

ENGINES = 500
EACH = 20  # streams on one engine
PORTS = PortPlan(19000, 20999, 30000, 40000, 50000)


class Runtime(ScriptedRuntime):
    async def inspect(self, slot: Slot, container_id: str) -> Inspection:
        return Inspection(unit=slot.unit, image=container_id)

    async def logs(self, slot: Slot, container_id: str, tail: int) -> str | None:
        return f"{slot.unit} {container_id}\n" * tail

    async def stop(self, slot: Slot, incarnation: str) -> None:
        pass


class Engines(ScriptedEngines):
    """All play, but for silent ones."""

    async def stat(self, slot: Slot, stat_url: str) -> Sample | None:
        await super().stat(slot, stat_url)
        return Sample(self._clock(), "dl", 4, 100, 0, 1, 0)


class Sessions(ScriptedSessions):
    """Every content can be had everywhere."""

    async def open(self, _: Slot, wanted: Wanted, *__: object) -> Opening:
        return Opening(wanted.content.key, wanted.content.key, "", is_live=True)

    async def redirect(self, *_: object) -> str:
        return "/content/1"

    async def list(self, *_: object) -> bytes:
        return b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n/ace/c/1/1.ts\n"

    async def stat(self, *_: object) -> bytes:
        return b"{}"


class Busy:
    def __init__(self, runtime: Runtime, engines: Engines, context: Context) -> None:
        self.context = context
        self.loop = context.loop
        self.state = context.state
        self.runtime = runtime
        self.engines = engines
        access = Access([], [], True, context.rules.local_names)
        app = application(context, access, 600, 600)
        self._app: Any = Edge(app, context, access, lambda: False, 600)

    async def ask(
        self, method: str, path: str, body: object = None, parts: int | None = None
    ) -> bytes:
        """The body of the answer, or so many parts of it; it must be good."""
        name, _, query = path.partition("?")
        content = b"" if body is None else msgspec.json.encode(body)
        asked = [{"type": "http.request", "body": content, "more_body": False}]
        received: list[bytes] = []
        enough = asyncio.Event()
        status = 0

        async def receive() -> Any:
            if asked:
                return asked.pop()
            await enough.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                return
            received.append(message["body"])
            if len(received) == parts or not message.get("more_body", False):
                enough.set()

        headers = [(b"host", b"localhost:8000")]
        if body is not None:
            headers += [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(content)).encode()),
            ]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": name,
            "raw_path": name.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8000),
            "state": {},
        }
        await self._app(scope, receive, send)
        assert 200 <= status < 300, (status, received)
        return b"".join(received)


@asynccontextmanager
async def busy(
    tmp_path: Path, engines: int = ENGINES, each: int = EACH, **numbers: object
) -> AsyncIterator[Busy]:
    """With as many engines that are well, and streams on each."""
    given = {"min_replicas": 0, "auto_delete": False, "max_replicas": ENGINES, **numbers}
    of = rules(ports=PORTS, **{"max_streams_per_engine": EACH, **given})
    async with AsyncExitStack() as stack:
        clock = Clock()
        path = tmp_path / "acekeeper.db"
        metrics = Metrics(clock)
        store = Store(path, 7)
        store.load(clock())
        stack.push_async_callback(store.close)
        history = History(path)
        stack.callback(history.close)
        state = State()
        fill(state, clock(), engines, each)
        metrics.add(Pool(state, of, clock))
        runtime, calls = Runtime(clock), Engines(clock)
        for engine in state.engines.values():
            runtime.running[engine.slot] = Found(*engine.ref, engine.container_id)
        loop = Loop(
            state,
            of,
            clock,
            runtime,
            calls,
            ScriptedPlayer(),
            Sessions(),
            nobody,
            runtime.present,
            store,
            metrics.observe,
        )
        stack.push_async_callback(loop.close)
        sweeps = Sweeps(loop, {})
        stack.push_async_callback(sweeps.close)
        followers = Followers()
        stack.callback(followers.close)
        context = Context(
            loop=loop,
            sweeps=sweeps,
            views=Views(state, of),
            history=history,
            followers=followers,
            metrics=metrics,
            limits=Limits(max_body_bytes=2**23, max_batch_events=10_000),
            target_image=None,
            fleet="home",
            degraded=list,
            gateway=None,
        )
        yield Busy(runtime, calls, context)


def nobody(ports: Collection[int]) -> dict[int, frozenset[str]]:
    """Is connected to any engine."""
    return dict.fromkeys(ports, frozenset())


def container(n: int) -> str:
    return f"{slot(n).port:064x}"


def fill(state: State, now: Now, engines: int, each: int) -> None:
    began = now.after(-100)
    for n in range(engines):
        place = slot(n)
        engine = Engine(
            slot=place,
            created=began,
            incarnation=f"start-{place.port}",
            container_id=container(n),
            labels={"of": "all"},
            health=Health.HEALTHY,
            started=began,
            ready=began,
            settled=True,
            used=began if each else None,
        )
        state.put(engine)
        for m in range(each):
            state.put_stream(stream(n, m, began, engine))
    state.connected = state.listed = state.surveyed = True
    state.boot = "boot"


def stream(n: int, m: int, began: Now, engine: Engine | None) -> Stream:
    port = slot(n).port
    key = f"{n * EACH + m:040x}"
    return Stream(
        id=f"{key}|{m:032x}",
        key_type=KeyType.INFOHASH,
        key=key,
        session=f"{m:032x}",
        stat_url=f"http://127.0.0.1:{port}/ace/stat/{key}/{m:032x}",
        own_command_url=f"http://127.0.0.1:{port}/ace/cmd/{key}/{m:032x}",
        is_live=True,
        address=("127.0.0.1", port),
        started=began,
        slot=engine.slot if engine else None,
        incarnation=engine.incarnation if engine else "",
        container_id=engine.container_id if engine else "",
    )
