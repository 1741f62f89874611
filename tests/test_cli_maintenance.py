"""`acekeeper drain --all` at a service that runs."""

import json
import re
import subprocess
import threading
from pathlib import Path
from urllib.request import Request, urlopen

from .running import COMMAND, LIMIT_S, Service, run
from .test_cli import Start, at_gateway, call, one_line, start

__all__ = ["start"]

PLAY = f"/ace/getstream?format=json&infohash={'a' * 40}"


def listed(service: Service) -> list[dict[str, object]]:
    host, port = service.address
    with urlopen(f"http://{host}:{port}/engines", timeout=LIMIT_S) as answer:
        engines: list[dict[str, object]] = json.load(answer)
        return engines


def opened(service: Service) -> dict[str, str]:
    """A session of a player of the gateway."""
    port = service.environ["GATEWAY_PORT"]
    with urlopen(f"http://127.0.0.1:{port}{PLAY}", timeout=LIMIT_S) as answer:
        session: dict[str, str] = json.load(answer)["response"]
        return session


def test_it_begins_lasts_over_a_restart_and_ends(start: Start) -> None:
    service = start(MIN_REPLICAS="1", MAX_REPLICAS="1")
    service.wait_for("engine_ready")
    began = run(service.environ, "drain", "--all")
    assert began.status == 0
    assert "in maintenance since 20" in began.stdout
    status = call(service, "/orchestrator/status")
    assert status["provisioning"]["can_provision"] is False
    assert "maintenance" in status["provisioning"]["blocked_reason_details"]["message"]
    assert call(service, "/health/ready")["maintenance"] == status["maintenance"]
    assert call(service, "/health/ready")["ready"] is True
    assert at_gateway(service, PLAY) == 503
    assert listed(service) == []
    service.kill()
    again = start(service.environ)
    assert call(again, "/orchestrator/status")["maintenance"] == status["maintenance"]
    said = r"now: in maintenance since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d, \d+ seconds? ago: no viewer"
    shown = run(service.environ, "status").stdout
    assert re.search(said, shown)
    assert "no engine that a client may use" not in shown, "it is meant to have none"
    noted = "note   this host has been in maintenance since 20"
    assert noted in run(service.environ, "doctor").stdout
    assert listed(again) == []
    ended = run(service.environ, "drain", "--undo")
    assert ended.stdout == "viewers begin again; left: 1 engine\n"
    assert len(listed(again)) == 1
    assert at_gateway(again, PLAY) == 200
    assert "maintenance since" not in run(service.environ, "status").stdout


def test_a_wait_that_runs_out_says_what_is_left_and_ends_with_1(start: Start) -> None:
    service = start(MIN_REPLICAS="1", MAX_REPLICAS="1")
    service.wait_for("engine_ready")
    opened(service)
    waited = run(service.environ, "drain", "--all", "--wait", "0")
    assert waited.status == 1
    assert waited.stdout.endswith("\nleft: 1 engine, 1 stream\n")
    assert "the maintenance goes on" in one_line(waited.stderr)


def test_a_wait_ends_when_the_last_engine_has_gone(start: Start) -> None:
    """The engine is stopped by hand: a drain waits half a minute for who has just chosen it."""
    service = start(MIN_REPLICAS="1", MAX_REPLICAS="1")
    service.wait_for("engine_ready")
    [engine] = listed(service)
    with subprocess.Popen(
        [COMMAND, "drain", "--all", "--wait", str(LIMIT_S)],
        env=service.environ,
        stdout=subprocess.PIPE,
        text=True,
    ) as waiting:
        assert waiting.stdout is not None
        lines = [waiting.stdout.readline(), waiting.stdout.readline()]
        assert lines[1] == "left: 1 engine, 0 streams\n"
        host, port = service.address
        where = f"http://{host}:{port}/containers/{engine['container_id']}"
        urlopen(Request(where, method="DELETE"), timeout=LIMIT_S).close()
        rest, _ = waiting.communicate(timeout=LIMIT_S)
    assert rest == "left: 0 engines, 0 streams\n"
    assert waiting.returncode == 0


def test_a_wait_for_a_maintenance_that_somebody_ended_is_told_so(start: Start) -> None:
    service = start(MIN_REPLICAS="1", MAX_REPLICAS="1")
    service.wait_for("engine_ready")
    with subprocess.Popen(
        [COMMAND, "drain", "--all", "--wait"],
        env=service.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as waiting:
        assert waiting.stdout is not None
        waiting.stdout.readline()
        killer = threading.Timer(LIMIT_S, waiting.kill)
        killer.start()
        waiting.stdout.readline()
        run(service.environ, "drain", "--undo")
        _, stderr = waiting.communicate()
        killer.cancel()
    assert waiting.returncode == 1
    assert "ended meanwhile" in one_line(stderr)


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    environ = {"PATH": "/usr/bin", "STATE_DIR": str(tmp_path)}
    assert run(environ, "drain").status == 2
    assert run(environ, "drain", "--all", "--undo").status == 2
    assert run(environ, "drain", "--all", "--wait", "soon").status == 2
    assert "--wait is for --all" in run(environ, "drain", "--undo", "--wait", "1").stderr
