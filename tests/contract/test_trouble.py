"""What stands in its way is said in one line; it goes on where it can, and loses nothing."""

import resource
import socket
import sys
from pathlib import Path

import pytest

from .client import Client, ProvisionRefused
from .conftest import MakeService
from .service import NO_SWEEPS, Service, eventually
from .test_durability import started

pytestmark = pytest.mark.timeout(300)

BAD_SETTING = 78
KEY = "correct-horse-battery-staple"
SETTINGS = {"MIN_REPLICAS": 0, **NO_SWEEPS}


async def refuses_to_start(service: Service, *said: str) -> int:
    """Its exit code, after a single line that has all this in it."""
    service.launch()
    code = await service.exited()
    (line,) = service.said().splitlines()
    assert all(part in line for part in said), line
    return code


async def test_a_port_in_use_is_named(service: MakeService) -> None:
    running = service(SETTINGS)
    with socket.create_server(("127.0.0.1", running.port)):
        code = await refuses_to_start(running, str(running.port), "APP_PORT")
    assert code not in (0, None)


async def test_a_bad_setting_is_named_with_what_is_allowed(service: MakeService) -> None:
    running = service(SETTINGS | {"MAX_REPLICAS": "many"})
    said = ("MAX_REPLICAS=many", "a whole number from 1 to 500")
    assert await refuses_to_start(running, *said) == BAD_SETTING


async def test_a_second_one_on_the_same_state_does_not_start(service: MakeService) -> None:
    first = service(SETTINGS | {"MIN_REPLICAS": 1})
    await first.start(engines=1)
    engines = await first.get("/engines")
    second = service(SETTINGS, state=first.state, slots=2)
    said = ("another acekeeper is running", str(first.state), "STATE_DIR of its own")
    second.log_file = first.state.with_name("second.stderr")
    assert await refuses_to_start(second, *said) == BAD_SETTING
    assert await first.get("/engines") == engines


async def test_without_its_engine_command_it_answers_and_says_why(service: MakeService) -> None:
    missing = "/nowhere/acestreamengine"
    running = service(
        {
            "MIN_REPLICAS": 1,
            "ENGINE_COMMAND": f"{missing} --http-port {{http_port}}",
            "CIRCUIT_BREAKER_THRESHOLD": 2,
            "MIN_PROVISION_INTERVAL_S": 0,
        }
    )
    running.launch()
    failed = await running.logged("engine_start_failed", 2)
    assert all(missing in line["why"] and "ENGINE_COMMAND" in line["why"] for line in failed)
    await running.logged("serving")
    ready = await running.get("/health/ready")
    assert (ready["ready"], ready["circuit_state"]) == (False, "open")
    assert await running.get("/engines") == []
    async with Client(running.base) as client:
        assert not client.can_provision
        with pytest.raises(ProvisionRefused) as refused:
            await client.provision()
        assert refused.value.refusal.code == "circuit_breaker"
    assert len(running.log("engine_start_failed")) == 2
    assert await running.stop() == 0


async def test_a_corrupt_database_is_moved_aside_and_a_new_one_begun(service: MakeService) -> None:
    running = service(SETTINGS | {"MIN_REPLICAS": 1})
    await running.start(engines=1)
    pids = running.engine_pids()
    await running.kill()
    database = running.state / "acekeeper.db"
    garbage = b"no database at all " * 1000
    for path in running.state.glob("acekeeper.db*"):
        path.write_bytes(garbage)

    await running.start(engines=1)
    (trouble,) = running.log("store_degraded")
    (aside,) = running.state.glob("acekeeper.db.corrupt-*Z")
    assert str(aside) in trouble["why"]
    assert "corrupt" in trouble["why"]
    assert aside.read_bytes() == garbage
    assert running.engine_pids() == pids
    assert database.read_bytes()[:15] == b"SQLite format 3"
    await keeps_what_it_acknowledges(running)


async def keeps_what_it_acknowledges(service: Service) -> None:
    async with Client(service.base) as client:
        assert await client.event("/events/stream_started", started("kept"))
    await service.kill()
    await service.start()
    assert "kept" in await service.stream_ids("started")


async def test_a_state_directory_that_cannot_be_is_no_reason_not_to_answer(
    service: MakeService, tmp_path: Path
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    running = service(SETTINGS, state=in_the_way / "state")
    running.log_file = tmp_path / "stderr"
    await running.start()
    await refuses_events(running, str(in_the_way))
    (trouble,) = running.log("store_degraded")
    assert str(in_the_way) in trouble["why"]
    assert await running.stop() == 0


async def refuses_events(service: Service, *named: str) -> None:
    """With a 503 that says what to look at; the list of what is not well says it too."""
    answer = await service.call("POST", "/events/stream_started", started("refused"))
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    (wrong,) = (await service.get("/health/ready"))["degraded"]
    for part in named:
        assert part in answer.json["detail"]
        assert part in wrong


async def test_a_full_disk_costs_nothing_that_was_acknowledged(service: MakeService) -> None:
    running = service(SETTINGS | {"LOG_LEVEL": "WARNING"})
    await running.start()
    kept: set[str] = set()
    async with Client(running.base) as client:

        async def tell() -> bool:
            stream_id = f"stream-{len(kept)}"
            if not await client.event("/events/stream_started", started(stream_id)):
                return False
            kept.add(stream_id)
            return True

        for _ in range(20):
            assert await tell()
        full = file_limit(running, (running.state / "acekeeper.db-wal").stat().st_size)
        while await tell():
            pass
        await refuses_events(running, str(running.state))
        assert kept <= await running.stream_ids("started")
        file_limit(running, full)
        await eventually(tell)
        assert (await running.get("/health/ready"))["degraded"] == []
    assert len(running.log("store_degraded")) == 1
    await running.kill()
    await running.start()
    assert kept <= await running.stream_ids("started")


@pytest.mark.parametrize("is_killed", [True, False])
async def test_a_start_that_can_read_but_not_write_serves_what_was_kept(
    service: MakeService, is_killed: bool
) -> None:
    running = service(SETTINGS | {"MIN_REPLICAS": 1})
    await running.start(engines=1)
    engines = await running.get("/engines")
    async with Client(running.base) as client:
        for name in ("plays", "played"):
            assert await client.event("/events/stream_started", started(name))
        assert await client.event("/events/stream_ended", {"stream_id": "played"})
    await (running.kill() if is_killed else running.stop())

    limit = ("-c", _LIMITED, "16384")  # SQLite needs a file of 32 KiB to open the database
    serve, running.command = running.command, [sys.executable, *limit, *running.command]
    running.log_file = running.state.with_name("limited.stderr")
    await running.start(engines=1)
    assert [e["container_id"] for e in await running.get("/engines")] == [
        e["container_id"] for e in engines
    ]
    assert await running.stream_ids("started") == {"plays"}
    assert await running.stream_ids("ended") == {"played"}
    await refuses_events(running, str(running.state))
    file_limit(running, resource.RLIM_INFINITY)
    await eventually(lambda: is_well(running))
    running.command = serve
    await keeps_what_it_acknowledges(running)
    assert await running.stream_ids("started") == {"plays", "refused", "kept"}
    assert await running.stream_ids("ended") == {"played"}


_LIMITED = """
import os, resource, sys
limit, *command = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
os.execv(command[0], command)
"""


async def is_well(service: Service) -> bool:
    degraded: list[str] = (await service.get("/health/ready"))["degraded"]
    return not degraded


def file_limit(service: Service, size: int) -> int:
    """No file of its may grow beyond this from now on; says what the limit was. It stands in for
    a full disk, which only root can make."""
    assert service.process
    before, most = resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (size, most))
    return before


async def test_the_key_is_in_no_log_and_no_engine_knows_it(service: MakeService) -> None:
    running = service({"MIN_REPLICAS": 1, "API_KEY": KEY, "LOG_LEVEL": "DEBUG"})
    await running.start(engines=1)
    async with Client(running.base, key=KEY) as client, Client(running.base, key="wrong") as other:
        assert await client.event("/events/stream_started", started(f"with {KEY}"))
        assert not await other.event("/events/stream_started", started("never"))
        await client.provision()
    for method, path, body in (
        ("GET", f"/{KEY}?key={KEY}", None),
        ("GET", f"/engines/{KEY}", None),
        ("GET", f"/{'a' * (199 - len(KEY) // 2)}{KEY}", None),
        ("GET", f"/streams?status={KEY}", None),
        ("POST", f"/sweeps/{KEY}", None),
        ("POST", "/events/stream_started", {"engine": KEY}),
        ("POST", "/provision/acestream", {"image": KEY, "labels": {KEY: KEY}}),
        ("POST", "/provision/acestream", {"labels": {KEY: KEY}}),
    ):
        assert (await running.call(method, path, body)).status < 500
    pids = running.engine_pids().values()
    assert not any(is_known_to(pid) for pid in pids)
    await running.stop()
    assert KEY[: len(KEY) // 2] not in running.said()
    assert "***" in running.said()  # where it would have been
    assert not any(KEY in log.read_text() for log in (running.state / "logs").iterdir())


def is_known_to(pid: int) -> bool:
    process = Path(f"/proc/{pid}")
    return any(KEY.encode() in (process / name).read_bytes() for name in ("environ", "cmdline"))
