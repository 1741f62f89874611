"""Each setting changes something: of two values, one thing at work with each shows the difference.

What it changes exactly is said by the tests of what it changes.
"""

import ast
import asyncio
import inspect
import math
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, closing, suppress
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient

from acekeeper import app
from acekeeper.core.actions import Drain
from acekeeper.core.facts import EngineSilent, TimePassed, VpnAnswered, VpnStarted
from acekeeper.core.rules import Rules
from acekeeper.drop_ins import drop_ins
from acekeeper.errors import NoAnswer
from acekeeper.metrics import Metrics
from acekeeper.rules import rules_of
from acekeeper.runtimes import runtime_of
from acekeeper.settings import SETTINGS, load
from acekeeper.usecases.sweep import Kind, Sweeps
from acekeeper.usecases.vpns import Checks

from .adapters.policies import ONCE
from .adapters.test_engine import BROKEN_OFF, STAT_URL, FarSide
from .api.bodies import started as stream_started
from .api.conftest import Served, starting
from .api.test_stats import sampled, stats
from .core.gateway.players import players
from .core.world import World, pool, slot, started
from .ports import engine_ports, free_port
from .running import LIMIT_S, Service, settings, until
from .usecases.house import Clock, ScriptedEngines

SOURCE = Path(__file__).parent.parent / "src/acekeeper"
IMAGE = "registry.example/engine@sha256:" + "0123456789abcdef" * 4
PORTS, OTHER_PORTS = engine_ports(3, keep=True), engine_ports(3, keep=True)
Given = dict[str, str]


@dataclass(frozen=True)
class Bench:
    """Where one of the two is at work."""

    directory: Path
    patch: pytest.MonkeyPatch


Observe = Callable[[Given, Bench], object | Awaitable[object]]


@dataclass(frozen=True)
class Change:
    name: str
    one: str
    other: str
    observe: Observe
    beside: Given = field(default_factory=dict)


# The rules, in a world of their own.


def world(given: Given, engines: int = 0) -> World:
    rules = rules_of(load({"MIN_REPLICAS": "0", **given}))
    if engines:
        return pool(engines, rules)
    world = World(rules)
    world.connect()
    return world


def engines_for_eight(given: Given, _: Bench) -> object:
    at_work = world(given)
    for n in range(8):
        at_work.request(f"r{n}")
    at_work.run(1)
    return len(at_work.starts())


def engines_for_nobody(given: Given, _: Bench) -> object:
    at_work = world(given)
    at_work.run(60)
    return len(at_work.starts())


def end_of_a_start(given: Given, _: Bench) -> object:
    at_work = World(rules_of(load(given)))
    at_work.script.ready_after = math.inf
    at_work.connect()
    at_work.run(200)
    return [h.data["why"] for h in at_work.happened if h.kind == "engine_start_failed"]


def tries_of_what_fails(given: Given, _: Bench) -> object:
    at_work = World(rules_of(load(given)))
    at_work.script.fails = "no such image"
    at_work.connect()
    at_work.run(1000)
    return len(at_work.starts())


def stops_of_idle_ones(given: Given, _: Bench) -> object:
    at_work = pool(3, rules_of(load({"MIN_REPLICAS": "1", **given})))
    at_work.run(100)
    return len(at_work.stops())


def engines_beside_a_stream(given: Given, _: Bench) -> object:
    at_work = pool(1, rules_of(load({"MIN_REPLICAS": "1", **given})))
    at_work.play(slot(0))
    at_work.run(20)
    return len(at_work.starts())


def health_of_a_silent_one(given: Given, _: Bench) -> object:
    at_work = world({**given, "AUTO_DELETE": "false"}, engines=1)
    for _n in range(3):
        at_work.tell(EngineSilent(*at_work.engine(0).ref, "timeout"))
    return at_work.engine(0).health


def replacements(given: Given, _: Bench) -> object:
    at_work = world({**given, "AUTO_DELETE": "false"}, engines=2)
    for engine in at_work.outside.values():
        engine.hung = True
        at_work.tell(EngineSilent(engine.slot, engine.incarnation, "timeout"))
    at_work.run(90)
    return sum(isinstance(action, Drain) for action in at_work.taken)


def a_stream_elsewhere(given: Given, _: Bench) -> object:
    at_work = world(given)
    at_work.tell(started("a", addresses=(("proxy.example", 6878),)))
    at_work.run(100)
    at_work.tell(TimePassed())
    return list(at_work.state.elsewhere)


def behind_vpns(given: Given) -> World:
    at_work = world({"MIN_REPLICAS": "4", **given})
    for name in at_work.rules.vpns:
        at_work.vpn_starts[name] = "start"
        at_work.tell(VpnStarted(name, "start"))
        at_work.tell(VpnAnswered(name, "start", is_healthy=True, port=7))
    return at_work


def slots_behind_vpns(given: Given, _: Bench) -> object:
    at_work = behind_vpns(given)
    at_work.run(10)
    return [start.slot for start in at_work.starts()]


def port_after_a_change(given: Given, _: Bench) -> object:
    at_work = behind_vpns(given)
    at_work.run(10)
    at_work.tell(VpnAnswered("de", "start", is_healthy=True, port=8))
    at_work.run(90)
    return at_work.state.vpns["de"].trusted_port


# The service, but for its sockets.


async def served(ask: Callable[[Served], Awaitable[object]], given: Given, bench: Bench) -> object:
    async with starting(bench.directory) as start:
        return await ask(await start(**given))


def asked(ask: Callable[[Served], Awaitable[object]]) -> Observe:
    return partial(served, ask)


async def an_endless_body(service: Served) -> object:
    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    json = {"Content-Type": "application/json"}
    answer = await service.client.post("/events/stream_ended", content=body(), headers=json)
    return answer.json()["detail"]


async def an_endless_sweep(service: Served) -> object:
    hung = ScriptedEngines(Clock())
    hung.slow = set(range(-19000, 65536))
    hung.go_on.clear()
    service.context.loop.asks.engines = hung
    await service.until(lambda s: any(e.incarnation for e in s.context.state.engines.values()))
    return (await service.post("/sweeps/health")).json()["detail"]


async def a_key(service: Served) -> object:
    header = {"Authorization": "Bearer another"}
    return [
        (await service.post("/sweeps/scale")).status_code,
        (await service.post("/sweeps/scale", headers=header)).status_code,
    ]


async def a_read_key(service: Served) -> object:
    """A foreign name is served with a valid key alone."""
    headers = {"Host": "elsewhere.example", "Authorization": "Bearer another"}
    return (await service.get("/engines", headers=headers)).status_code


async def a_batch_of_2000_bytes(service: Served) -> object:
    ends = [{"stream_id": "s" * 900}] * 2
    return (await service.post("/events/batch", {"ended": ends})).status_code


async def number_of_samples(service: Served) -> object:
    await service.until(lambda s: any(e.listed for e in s.context.state.engines.values()))
    port = service.settings.port_range_host[0]
    await service.post("/events/stream_started", stream_started(port=port))
    await sampled(service, 0, 5)
    return len(await stats(service))


async def the_image(service: Served) -> object:
    return (await service.get("/orchestrator/status")).json()["config"]["target_image"]


async def a_player_from_outside(service: Served) -> object:
    door: Any = app.players(service.settings, service.context).config.app
    transport = ASGITransport(door, client=("192.0.2.99", 50000))
    async with AsyncClient(transport=transport, base_url="http://192.0.2.1:6878") as player:
        return (await player.get("/webui/api/service")).status_code


async def wait_of_a_player(service: Served) -> object:
    door: Any = app.players(service.settings, service.context).config.app
    plays = service.context.state.plays
    transport = ASGITransport(door, client=("127.0.0.1", 50000))
    async with AsyncClient(transport=transport, base_url="http://127.0.0.1:6878") as player:
        asking = asyncio.create_task(player.get(f"/ace/getstream?id={'0' * 40}&format=json"))
        await service.until(lambda _: plays)
        [play] = plays.values()
        asking.cancel()
        await asyncio.wait((asking,))
    return round(play.until - play.received.mono, 3)


async def a_url_asked_for_from_outside(service: Served) -> object:
    door: Any = app.players(service.settings, service.context).config.app
    transport = ASGITransport(door, client=("192.0.2.99", 50000))
    async with AsyncClient(transport=transport, base_url="http://192.0.2.1:6878") as player:
        return (await player.get("/ace/getstream?url=no-url")).text


def command_line(pid: str) -> bytes:
    return Path("/proc", pid, "cmdline").read_bytes()


async def an_engine(service: Served) -> object:
    def begun(service: Served) -> list[Any]:
        return [e for e in service.context.state.engines.values() if e.incarnation]

    await service.until(begun)
    [engine] = begun(service)
    pid = engine.incarnation.partition(":")[0]
    return engine.addresses, command_line(pid)


def key_of_a_vpn(pid: str) -> list[bytes]:
    given = Path("/proc", pid, "environ").read_bytes().split(b"\0")
    return [variable for variable in given if variable.startswith(b"VPN_API_KEY=")]


async def a_vpn(service: Served) -> object:
    """What it was run with, but for where its files are."""
    vpns = service.context.state.vpns
    await service.until(lambda _: "de" in vpns and vpns["de"].incarnation)
    pid = vpns["de"].incarnation.partition(":")[0]
    return command_line(pid).split(b"\0")[:-2], key_of_a_vpn(pid)


async def checks_of_vpns(given: Given, bench: Bench) -> object:
    begun: list[float] = []

    async def run(checks: Checks) -> None:
        begun.append(checks._interval)

    async def one(service: Served) -> object:
        await service.until(lambda _: begun)
        return begun

    bench.patch.setattr(Checks, "run", run)
    return await served(one, given, bench)


async def sweeps_begun(given: Given, bench: Bench) -> object:
    begun: dict[Kind, float] = {}

    async def every(_: Sweeps, kind: Kind, seconds: float) -> None:
        begun[kind] = seconds

    async def all_of_them(service: Served) -> object:
        await service.until(lambda _: len(begun) == len(Kind))
        return begun

    bench.patch.setattr(Sweeps, "every", every)
    return await served(all_of_them, given, bench)


async def calls_of_one_that_breaks_off(given: Given, bench: Bench) -> object:
    far = FarSide()
    await far.listen()
    far.answer = BROKEN_OFF

    async def ask(service: Served) -> object:
        with pytest.raises(NoAnswer):
            await service.context.loop.engines.stat(far.slot, STAT_URL)
        return len(far.requests)

    try:
        return await served(ask, given, bench)
    finally:
        await far.close()


async def what_is_left_after_three_days(given: Given, bench: Bench) -> object:
    """What is 400 days old goes with either; when it has gone, all has gone that goes."""
    now = time.time
    days_ago = 400

    async def told(service: Served, stream: str) -> None:
        named = {"stream_id": stream}
        await service.post("/events/stream_started", stream_started(labels=named))
        await service.post("/events/stream_ended", named)

    async def kept(service: Served) -> set[str]:
        return {entry["stream"] for entry in (await service.get("/log")).json() if entry["stream"]}

    bench.patch.setattr(time, "time", lambda: now() - days_ago * 86_400)
    async with starting(bench.directory) as start:
        before = await start(RETENTION_DAYS="3650")
        await told(before, "old")
        days_ago = 3
        await told(before, "young")
        days_ago = 0
        await told(before, "new")
        assert await kept(before) == {"old", "young", "new"}
        await before.stop()
        after = await start(**given)
        async with asyncio.timeout(30):
            while "old" in (left := await kept(after)):
                await asyncio.sleep(0.01)
        return left


# The gateway's rules.


def session_beside_an_engine_that_hangs(given: Given, _: Bench) -> object:
    at_work = players(2, gateway_hedge=rules_of(load(given)).gateway_hedge)
    at_work.at(0).opens_after = math.inf
    at_work.ask("p")
    at_work.run(20)
    [opened] = [told for told in at_work.happened if told.kind == "play_opened"]
    return opened.data["waited"]


def end_of_a_session_that_nobody_reads(given: Given, _: Bench) -> object:
    at_work = players(1, gateway_idle=rules_of(load(given)).gateway_idle)
    at_work.ask("p", json=True)
    at_work.run(1)
    at_work.picture("p")
    at_work.hang_up("p")
    began = at_work.time
    while not at_work.reasons() and at_work.time < began + 300:
        at_work.run(1)
        at_work.see_connections()
    return round(at_work.time - began)


# The fleet.


async def what_servers_hear(given: Given, bench: Bench) -> object:
    """Subjects, of one that takes every connection and says nothing but that."""
    heard: asyncio.Queue[tuple[int, str]] = asyncio.Queue()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("sockname")[1]
        writer.write(b"INFO {}\r\n")
        async for line in reader:
            match line.decode().split():
                case ["PING"]:
                    writer.write(b"PONG\r\n")
                case ["SUB", subject, *_] if not subject.startswith("_INBOX."):
                    heard.put_nowait((port, subject))
                case _:
                    pass
        writer.close()

    async def first_four(_: Served) -> object:
        async with asyncio.timeout(LIMIT_S):
            return [await heard.get() for _ in range(4)]

    async with AsyncExitStack() as stack:
        for port in (A_PORT, ANOTHER_PORT):
            await stack.enter_async_context(await asyncio.start_server(take, "127.0.0.1", port))
        return await served(first_four, given, bench)


async def why_the_fleet_is_not_reached(service: Served) -> object:
    await service.until(lambda s: s.context.state.fleet.link.since)
    return service.context.state.fleet.link.why


# The command and what it writes.


def command(given: Given, bench: Bench) -> object:
    """It answers where it should, and says so in its log."""
    environ = settings(bench.directory, **given)
    service = Service(environ, bench.directory)

    def answers() -> bool:
        assert service.process.poll() is None, service.log_file.read_text()
        host = given.get("APP_HOST", "127.0.0.1")
        connection = HTTPConnection(host, int(environ["APP_PORT"]), timeout=10)
        with suppress(ConnectionRefusedError), closing(connection):
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == 200
        return False

    try:
        until(answers)
        service.signal(signal.SIGTERM)
        service.process.wait(LIMIT_S)
        told = ("event", "addresses", "gateway")
        return [[line.get(name) for name in told] for line in service.log()]
    finally:
        service.kill()


def kind_of_runtime(given: Given, _: Bench) -> object:
    runtime, _traffic = runtime_of(load(given), app.clock, ONCE, Metrics(app.clock))
    return type(runtime)


def units(given: Given, _: Bench) -> object:
    return drop_ins(load(given))


def rules(given: Given, bench: Bench) -> object:
    file = bench.directory / "settings.env"
    file.write_text("MAX_REPLICAS=7\n")
    if "SETTINGS_FILE" in given:
        given = {"SETTINGS_FILE": str(file) if given["SETTINGS_FILE"] else ""}
    return rules_of(load(given))


def database(given: Given, bench: Bench) -> object:
    async def found(_: Served) -> object:
        return [path.parent.name for path in bench.directory.rglob("acekeeper.db")]

    state_dir = bench.directory / given["STATE_DIR"]
    return served(found, {"STATE_DIR": str(state_dir)}, bench)


ENGINE = "sleep 1000 {http_port} {https_port} {p2p_port} {api_port}"
ONE_ENGINE = {"ENGINE_COMMAND": ENGINE, "MIN_REPLICAS": "1", **PORTS}
A_PORT, ANOTHER_PORT, THIRD_PORT, FOURTH_PORT = (str(free_port(keep=True)) for _ in range(4))
ONE_PORT = {"APP_PORT": A_PORT, "GATEWAY_PORT": ANOTHER_PORT}
ONE_VPN = {
    "VPNS": "de",
    "VPN_SLOTS": "3",
    "VPN_CONTROL_BASE": A_PORT,
    "VPN_HEALTH_BASE": ANOTHER_PORT,
}
IN_A_FLEET = {
    "FLEET_NAME": "home",
    "FLEET_HOST": "den",
    "FLEET_SERVERS": f"127.0.0.1:{A_PORT}",
}
NO_PAUSE = {"MIN_PROVISION_INTERVAL_S": "0"}

CHANGES = [
    Change("API_REQUEST_TIMEOUT_S", "0.1", "0.2", asked(an_endless_body)),
    Change(
        "API_LONG_OPERATION_TIMEOUT_S",
        "0.1",
        "0.2",
        asked(an_endless_sweep),
        {"MIN_REPLICAS": "1"},
    ),
    Change("API_LONG_OPERATION_TIMEOUT_S", "10", "20", units),
    Change("PROVISION_TIMEOUT_S", "50", "60", end_of_a_start, {"PROVISION_STARTUP_GRACE_S": "100"}),
    Change("PROVISION_STARTUP_GRACE_S", "20", "30", end_of_a_start),
    Change("MAX_RETRIES", "0", "2", calls_of_one_that_breaks_off, {"RETRY_BACKOFF_S": "0"}),
    Change(
        "RETRY_BACKOFF_S",
        "0",
        "60",
        calls_of_one_that_breaks_off,
        {"MAX_RETRIES": "1", "MONITOR_INTERVAL_S": "60"},
    ),
    Change("MAX_CONCURRENT_PROVISIONS", "2", "5", engines_for_eight, NO_PAUSE),
    Change("MIN_PROVISION_INTERVAL_S", "0", "0.5", engines_for_eight),
    Change("HEALTH_CHECK_INTERVAL_S", "8", "9", sweeps_begun),
    Change("HEALTH_CHECK_INTERVAL_S", "8", "9", units),
    Change("MONITOR_INTERVAL_S", "8", "9", sweeps_begun),
    Change("MONITOR_INTERVAL_S", "8", "9", units),
    Change("MIN_REPLICAS", "1", "2", engines_for_nobody),
    Change("ENGINE_GRACE_PERIOD_S", "20", "100", stops_of_idle_ones),
    Change("CIRCUIT_BREAKER_THRESHOLD", "2", "4", tries_of_what_fails),
    Change("CIRCUIT_BREAKER_TIMEOUT_S", "100", "400", tries_of_what_fails),
    Change("API_KEY", "one", "another", asked(a_key)),
    Change("API_KEY_PREVIOUS", "one", "another", asked(a_key), {"API_KEY": "first"}),
    Change("API_KEY_READ", "one", "another", asked(a_read_key), {"API_KEY": "first"}),
    Change("ENGINE_MEMORY_MAX", "", "1G", units),
    Change("ENGINE_CPU_WEIGHT", "100", "50", units),
    Change("APP_HOST", "127.0.0.1", "127.0.0.2", command, ONE_PORT),
    Change("APP_HOST", "127.0.0.1", "127.0.0.2", units),
    Change("APP_PORT", THIRD_PORT, FOURTH_PORT, command, ONE_PORT),
    Change("APP_PORT", "8000", "8001", units),
    Change("MAX_REPLICAS", "3", "4", engines_for_eight, NO_PAUSE),
    Change("AUTO_DELETE", "true", "false", stops_of_idle_ones),
    Change("HEALTH_FAILURE_THRESHOLD", "2", "4", health_of_a_silent_one),
    Change("HEALTH_UNHEALTHY_GRACE_PERIOD_S", "10", "200", replacements),
    Change(
        "HEALTH_REPLACEMENT_COOLDOWN_S",
        "10",
        "200",
        replacements,
        {"HEALTH_UNHEALTHY_GRACE_PERIOD_S": "10"},
    ),
    Change("STATS_HISTORY_MAX", "2", "3", asked(number_of_samples), {"MIN_REPLICAS": "1"}),
    Change("MAX_STREAMS_PER_ENGINE", "1", "2", engines_beside_a_stream),
    Change("TARGET_IMAGE", "", IMAGE, asked(the_image)),
    Change("AUTOSCALE_INTERVAL_S", "8", "9", sweeps_begun),
    Change("AUTOSCALE_INTERVAL_S", "8", "9", units),
    Change("RUNTIME", "process", "quadlet", kind_of_runtime, {"TARGET_IMAGE": IMAGE}),
    Change("ENGINE_COMMAND", ENGINE, f"{ENGINE} 1", asked(an_engine), ONE_ENGINE),
    Change("STATE_DIR", "here", "there", database),
    Change("ENGINE_HOST", "127.0.0.1", "127.0.0.2", asked(an_engine), ONE_ENGINE),
    *(
        Change(name, PORTS[name], OTHER_PORTS[name], asked(an_engine), ONE_ENGINE)
        for name in sorted(PORTS)
    ),
    Change("GATEWAY_HOST", "127.0.0.1", "127.0.0.2", command, ONE_PORT),
    Change("GATEWAY_HOST", "127.0.0.1", "127.0.0.2", units),
    Change("GATEWAY_PORT", THIRD_PORT, FOURTH_PORT, command, ONE_PORT),
    Change("GATEWAY_PORT", THIRD_PORT, "0", command, ONE_PORT),
    Change("GATEWAY_PORT", "6878", "6879", units),
    Change("GATEWAY_ALLOW", "192.0.2.0/28", "192.0.2.0/24", asked(a_player_from_outside)),
    Change("GATEWAY_WAIT_S", "100", "200", asked(wait_of_a_player)),
    Change("GATEWAY_HEDGE_S", "2", "5", session_beside_an_engine_that_hangs),
    Change("GATEWAY_IDLE_S", "20", "60", end_of_a_session_that_nobody_reads),
    Change(
        "GATEWAY_ALLOW_URLS",
        "false",
        "true",
        asked(a_url_asked_for_from_outside),
        {"GATEWAY_ALLOW": "192.0.2.0/24"},
    ),
    Change("VPNS", "de", "de,ch", slots_behind_vpns),
    Change("VPN_SLOTS", "20", "30", slots_behind_vpns, {"VPNS": "de,ch"}),
    Change("VPN_PORT_SETTLE_S", "60", "120", port_after_a_change, {"VPNS": "de"}),
    Change("VPN_CONTROL_BASE", THIRD_PORT, FOURTH_PORT, asked(a_vpn), ONE_VPN),
    Change("VPN_HEALTH_BASE", THIRD_PORT, FOURTH_PORT, asked(a_vpn), ONE_VPN),
    Change("VPN_API_KEY", "one", "another", asked(a_vpn), ONE_VPN),
    Change("VPN_CHECK_INTERVAL_S", "5", "6", checks_of_vpns, ONE_VPN),
    Change("FLEET_NAME", "home", "away", what_servers_hear, IN_A_FLEET),
    Change("FLEET_HOST", "den", "attic", what_servers_hear, IN_A_FLEET),
    Change(
        "FLEET_SERVERS",
        f"127.0.0.1:{A_PORT}",
        f"127.0.0.1:{ANOTHER_PORT}",
        what_servers_hear,
        IN_A_FLEET,
    ),
    Change("FLEET_ADDRESS", "127.0.0.1", "127.0.0.2", rules),
    Change("FLEET_CERTIFICATES", "", "/nowhere", asked(why_the_fleet_is_not_reached), IN_A_FLEET),
    Change("UNMANAGED_STREAM_TTL_S", "60", "200", a_stream_elsewhere),
    Change("RETENTION_DAYS", "1", "7", what_is_left_after_three_days),
    Change("MAX_BODY_BYTES", "1024", "8192", asked(a_batch_of_2000_bytes)),
    Change("MAX_BATCH_EVENTS", "1", "2", asked(a_batch_of_2000_bytes)),
    Change("LOG_LEVEL", "INFO", "ERROR", command, ONE_PORT),
    Change("PROFILE", "none", "constrained", rules),
    Change("SETTINGS_FILE", "", "here", rules),
]


def test_each_is_among_them() -> None:
    assert {change.name for change in CHANGES} == SETTINGS.keys()


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
async def test_it_changes_something(
    change: Change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    for said in (change.one, change.one, change.other):
        directory = tmp_path / str(len(seen))
        directory.mkdir()
        with monkeypatch.context() as patch:
            found = change.observe({**change.beside, change.name: said}, Bench(directory, patch))
            seen.append(await found if inspect.isawaitable(found) else found)
    assert seen[0] == seen[1], "something else changes it"
    assert seen[0] != seen[2]


def test_each_number_of_the_rules_is_read() -> None:
    """Else a setting would end there."""
    read = {
        node.attr
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
        and ast.unparse(node.value).split(".")[-1].lstrip("_") == "rules"
    }
    assert set(Rules.__struct_fields__) - read == set()
