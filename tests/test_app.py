"""The wiring: the order of start and stop, and what the log says meanwhile."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from loguru import logger
from msgspec.structs import replace

from acekeeper.adapters.proc import boot_id
from acekeeper.adapters.processes import stop_all
from acekeeper.adapters.store import Store
from acekeeper.adapters.vpn_processes import stop_vpns
from acekeeper.api.context import Context
from acekeeper.app import clock, service
from acekeeper.core.changes import Changes
from acekeeper.core.facts import AnswerDelivered, RuntimeChecked, RuntimeLost
from acekeeper.core.model import Engine, Health, Now
from acekeeper.core.rules import Rules
from acekeeper.errors import NoAnswer
from acekeeper.listening import Gateway
from acekeeper.rules import rules_of
from acekeeper.settings import load
from acekeeper.usecases.requests import provision
from acekeeper.usecases.sweep import Kind

from .adapters.storing import ENGINE, NOW, SLOT, next_run, stream
from .adapters.test_engine import BROKEN_OFF, STAT_URL, FarSide
from .core.world import started
from .ports import free_ports
from .running import settings
from .usecases.house import Clock, ScriptedEngines


@asynccontextmanager
async def serving(environ: dict[str, str]) -> AsyncIterator[Context]:
    given = load(environ)
    try:
        async with service(given, int) as context:
            yield context
    finally:
        stop_all(given.state_dir)
        stop_vpns(given.state_dir)


async def until(holds: Any) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)


async def test_nothing_of_it_goes_on_after_its_end(tmp_path: Path) -> None:
    ours = asyncio.all_tasks()
    async with serving(settings(tmp_path, MIN_REPLICAS="1")) as context:
        await until(lambda: any(e.listed for e in context.state.engines.values()))
        hung = ScriptedEngines(Clock())
        hung.go_on.clear()
        context.loop.asks.engines = hung
        waiting = asyncio.create_task(context.sweeps.run(Kind.HEALTH))
        await until(lambda: hung.asked)
    await asyncio.wait({waiting})
    assert asyncio.all_tasks() == ours
    assert not context.loop.store.is_alive


async def test_a_disk_that_cannot_be_used_is_degraded_and_no_reason_not_to_serve(
    tmp_path: Path,
) -> None:
    logged: list[Any] = []
    number = logger.add(lambda message: logged.append(message.record))
    (tmp_path / "state").write_text("a file where the directory should be")
    async with serving(settings(tmp_path)) as context:
        [wrong] = context.degraded()
        assert wrong.startswith("store: ")
        assert context.state.listed
    logger.remove(number)
    [trouble] = [r for r in logged if r["message"] == "store_degraded"][:1]
    assert trouble["level"].name == "ERROR"
    assert str(tmp_path / "state") in trouble["extra"]["why"]


async def test_a_sweep_that_is_late_is_degraded(tmp_path: Path) -> None:
    async with serving(settings(tmp_path, HEALTH_CHECK_INTERVAL_S="60")) as context:
        assert context.degraded() == []
        now = clock()
        context.sweeps.last[Kind.HEALTH] = Now(now.wall - 250, now.mono - 250)
        late = "sweeps: the last health sweep that succeeded was 4 min ago"
        assert context.degraded() == [late]


async def test_after_a_reboot_no_dead_engine_is_served_though_nobody_can_list_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # no bus is there
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    environ = settings(tmp_path, RUNTIME="quadlet", TARGET_IMAGE=f"name@sha256:{'0' * 64}")
    path = tmp_path / "state" / "acekeeper.db"
    path.parent.mkdir()
    ran = replace(ENGINE, health=Health.HEALTHY, container_id="id")
    before = Changes(engines={SLOT: ran}, streams={"s": stream("s")}, boot="another")
    store = Store(path, 7)
    store.load(NOW)
    await store.write(before)
    await store.close()
    async with serving(environ) as context:
        assert not context.state.listed
        assert msgspec.json.decode(context.views.engines()[0]) == []
        assert context.state.streams["s"].reason == "engine_died:host_rebooted"
    saved = await next_run(path)
    assert saved.engines == []
    assert [s.reason for s in saved.streams] == ["engine_died:host_rebooted"]
    assert saved.boot == boot_id()


async def test_what_starts_would_miss_is_degraded(tmp_path: Path) -> None:
    async with serving(settings(tmp_path)) as context:
        context.loop.tell(RuntimeChecked("The image is not on this host"))
        assert context.degraded() == ["runtime: The image is not on this host"]


async def test_a_vpn_without_a_tunnel_is_degraded(tmp_path: Path) -> None:
    ports = free_ports()
    bases = {"VPN_CONTROL_BASE": str(ports.http), "VPN_HEALTH_BASE": str(ports.https)}
    some = settings(tmp_path, VPNS="de", VPN_SLOTS="3", VPN_API_KEY="a-key", **bases)
    async with serving(some) as context:
        [wrong] = context.degraded()
        assert wrong.startswith("vpn de: it")
        await until(lambda: not context.degraded())
        assert context.state.vpns["de"].public_ip == "203.0.113.1"
        await until(lambda: context.state.vpns["de"].traffic)


async def test_where_no_player_is_served_is_degraded(tmp_path: Path) -> None:
    async with service(load(settings(tmp_path)), int, Gateway(off=["no port"])) as context:
        assert context.degraded() == ["gateway: no port"]
        assert context.gateway == [], "it is not turned off, but listens nowhere"


def bind(*_: object) -> None:
    raise AssertionError("who only reads opens nothing")


async def test_an_address_that_is_absent_is_degraded_and_engines_start_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = {
        "ENGINE_HOST": "127.0.0.2,192.0.2.1",
        "GATEWAY_HOST": "192.0.2.1",
        "GATEWAY_ALLOW": "192.0.2.0/24",
    }
    async with serving(settings(tmp_path) | absent) as context:
        engine = await provision(context.loop, "the-request", None, {})
        assert isinstance(engine, Engine)
        assert engine.addresses == ("127.0.0.1", "127.0.0.2")
        await context.loop.check_runtime()
        monkeypatch.setattr(socket.socket, "bind", bind)
        assert context.degraded() == [
            f"{setting}: 192.0.2.1 is not an address of this host (yet)"
            for setting in ("GATEWAY_HOST", "ENGINE_HOST")
        ]
        context.loop.tell(RuntimeChecked("", ("127.0.0.1", "127.0.0.2", "192.0.2.1")))
        assert context.degraded() == []


async def test_what_happens_is_logged_with_its_engine_its_stream_and_its_request(
    tmp_path: Path,
) -> None:
    logged: list[Any] = []
    number = logger.add(lambda message: logged.append(message.record))
    async with serving(settings(tmp_path)) as context:
        engine = await provision(context.loop, "the-request", None, {})
        assert not hasattr(engine, "eta"), engine
        context.loop.tell(AnswerDelivered("the-request"))
        [pid] = [e.incarnation.split(":")[0] for e in context.state.engines.values()]
        os.kill(int(pid), signal.SIGKILL)
        await until(lambda: not context.state.engines)
    logger.remove(number)
    found = {record["message"]: record for record in logged}
    for event in ("engine_starting", "engine_ready", "engine_granted"):
        extra = found[event]["extra"]
        assert extra["request_id"] == "the-request"
        assert extra["engine"].startswith("engine-")
        assert "request" not in extra
        assert None not in extra.values()
        assert found[event]["level"].name == "INFO"
    assert found["engine_died"]["level"].name == "WARNING"
    assert found["engine_died"]["extra"]["cause"] == "killed"


SETTING_OF = {
    "min_replicas": "MIN_REPLICAS",
    "max_replicas": "MAX_REPLICAS",
    "max_streams_per_engine": "MAX_STREAMS_PER_ENGINE",
    "auto_delete": "AUTO_DELETE",
    "engine_grace_period": "ENGINE_GRACE_PERIOD_S",
    "max_concurrent_provisions": "MAX_CONCURRENT_PROVISIONS",
    "min_provision_interval": "MIN_PROVISION_INTERVAL_S",
    "provision_timeout": "PROVISION_TIMEOUT_S",
    "startup_grace": "PROVISION_STARTUP_GRACE_S",
    "breaker_threshold": "CIRCUIT_BREAKER_THRESHOLD",
    "breaker_timeout": "CIRCUIT_BREAKER_TIMEOUT_S",
    "health_failure_threshold": "HEALTH_FAILURE_THRESHOLD",
    "unhealthy_grace_period": "HEALTH_UNHEALTHY_GRACE_PERIOD_S",
    "replacement_cooldown": "HEALTH_REPLACEMENT_COOLDOWN_S",
    "unmanaged_stream_ttl": "UNMANAGED_STREAM_TTL_S",
    "stats_history_max": "STATS_HISTORY_MAX",
    "gateway_wait": "GATEWAY_WAIT_S",
    "gateway_hedge": "GATEWAY_HEDGE_S",
    "gateway_idle": "GATEWAY_IDLE_S",
    "vpn_slots": "VPN_SLOTS",
    "vpn_port_settle": "VPN_PORT_SETTLE_S",
}


def test_every_setting_of_the_rules_reaches_its_rule() -> None:
    numbers = {setting: str(7 + n) for n, setting in enumerate(SETTING_OF.values())}
    numbers |= {"AUTO_DELETE": "false", "ENGINE_HOST": "127.0.0.9", "GATEWAY_HOST": "127.0.0.8"}
    given = {**numbers, "PORT_RANGE_HOST": "19100-19200"}
    rules = rules_of(load(given))
    for rule, setting in SETTING_OF.items():
        expected = False if setting == "AUTO_DELETE" else int(numbers[setting])
        assert getattr(rules, rule) == expected, rule
    assert rules.ports == (19100, 19200, 20000, 21000, 22000)
    assert (rules.host, rules.addresses) == ("127.0.0.1", ("127.0.0.1", "127.0.0.9"))
    assert rules.gateway_addresses == ("127.0.0.1", "127.0.0.8")
    assert rules_of(load({**given, "GATEWAY_PORT": "0"})).gateway_addresses == ()
    assert rules_of(load({**given, "VPNS": "de", "VPN_SLOTS": "60"})).vpns == ("de",)
    assert {*rules.addresses, "localhost", "::1"} <= rules.local_names
    # What no setting changes is what the rules say themselves.
    named = {"addresses", "gateway_addresses", "host", "local_names", "ports"}
    others = set(Rules.__struct_fields__) - SETTING_OF.keys() - named
    plain = Rules(host="", local_names=frozenset(), ports=rules.ports)
    assert [name for name in others if getattr(rules, name) != getattr(plain, name)] == []


@pytest.mark.parametrize(
    ("given", "attempts"),
    [
        ({"MAX_RETRIES": "4", "RETRY_BACKOFF_S": "0"}, 5),
        ({"MAX_RETRIES": "0", "RETRY_BACKOFF_S": "0"}, 1),
        ({"MAX_RETRIES": "4", "RETRY_BACKOFF_S": "60", "MONITOR_INTERVAL_S": "60"}, 1),
    ],
)
async def test_calls_are_repeated_as_the_settings_say_and_counted(
    tmp_path: Path, given: dict[str, str], attempts: int
) -> None:
    far = FarSide()
    await far.listen()
    far.answer = BROKEN_OFF
    async with serving(settings(tmp_path, **given)) as context:
        with pytest.raises(NoAnswer, match="broke off"):
            await context.loop.engines.stat(far.slot, STAT_URL)
        counted = b"".join(context.metrics.exposition()).decode()
    await far.close()
    assert len(far.requests) == attempts
    series = 'orch_communication_errors_total{error_type="broken",source="engine"}'
    assert f"\n{series} {attempts}.0\n" in counted


def test_the_clock_is_both_clocks() -> None:
    first, second = clock(), clock()
    assert first.wall > 1.7e9
    assert first.mono <= second.mono


async def test_what_is_below_the_level_of_the_log_is_not_even_put_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound: list[dict[str, Any]] = []
    bind = type(logger).bind

    def binds(self: Any, **fields: Any) -> Any:
        bound.append(fields)
        return bind(self, **fields)

    monkeypatch.setattr(type(logger), "bind", binds)
    logged: list[str] = []
    number = logger.add(lambda message: logged.append(message.record["message"]))
    async with serving(settings(tmp_path, LOG_LEVEL="WARNING")) as context:
        context.loop.tell(started("s"))
        context.loop.tell(RuntimeLost("gone"))
    logger.remove(number)
    assert "stream_started" not in logged
    assert {"why": "gone"} in bound
    assert {"stream": "s", "managed": False} not in bound
    assert "runtime_lost" in logged
