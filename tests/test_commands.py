"""The commands of an operator, in processes of their own, with a real service."""

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from acekeeper.adapters import proc
from acekeeper.adapters.processes import stop_all
from acekeeper.cli import overview
from acekeeper.cli.overview import TROUBLES
from acekeeper.client import call
from acekeeper.core.happenings import HAPPENINGS
from acekeeper.settings import load

from .running import COMMAND, LIMIT_S, Ended, Service, run, settings, until

COMMANDS = [
    *("status", "status --json", "engines", "streams", "log", "drain {}", "stop {}"),
    *("sweep health", "scale 1", "provision", "reset-breaker"),
]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """With two engines that are ready."""
    service = Service(settings(tmp_path, MIN_REPLICAS="2", API_KEY="right"), tmp_path)
    try:
        until(lambda: [line["event"] for line in service.log()].count("engine_ready") == 2)
        yield service
    finally:
        service.kill()
        stop_all(Path(service.environ["STATE_DIR"]))


def port(service: Service, number: int = 0) -> int:
    return int(service.environ["PORT_RANGE_HOST"].split("-")[0]) + number


def out(service: Service, *words: str) -> str:
    """Of a command that goes well."""
    status, stdout, stderr = run(service.environ, *words)
    assert (status, stderr) == (0, "")
    return stdout


def answered(service: Service, *words: str) -> Any:
    return json.loads(out(service, *words))


def refused(ended: Ended) -> str:
    """With one line."""
    assert (ended.status, ended.stdout) == (1, "")
    assert re.fullmatch(r"acekeeper: .+\n", ended.stderr)
    return ended.stderr


def tell(service: Service, path: str, body: dict[str, Any]) -> None:
    url = f"http://127.0.0.1:{service.address[1]}{path}"
    headers = {"Content-Type": "application/json", "Authorization": "Bearer right"}
    urlopen(Request(url, json.dumps(body).encode(), headers), timeout=LIMIT_S).close()


def play(service: Service, session: str = "b" * 32) -> None:
    """What a client tells of a stream on the first engine."""
    address = f"http://127.0.0.1:{port(service)}"
    body = {
        "engine": {"host": "127.0.0.1", "port": port(service)},
        "stream": {"key_type": "infohash", "key": "a" * 40},
        "session": {
            "playback_session_id": session,
            "stat_url": f"{address}/ace/stat/{'a' * 40}/{session}",
            "command_url": f"{address}/ace/cmd/{'a' * 40}/{session}",
            "is_live": 1,
        },
    }
    tell(service, "/events/stream_started", body)


def kill_an_engine(service: Service) -> None:
    mark = service.environ["STATE_DIR"]
    engine = next(p for p, said in proc.having("ACEKEEPER_ENGINE") if said.startswith(mark))
    os.kill(engine.pid, signal.SIGKILL)
    service.wait_for("engine_died")


def test_status_as_json_is_made_of_the_apis_answers(service: Service) -> None:
    shown = answered(service, "status", "--json")
    assert list(shown) == [
        *("ready", "wrong", "doing", "last_trouble"),
        *("forward", "orchestrator", "engines", "streams", "vpns"),
    ]
    assert (shown["ready"], shown["wrong"], shown["doing"]) == (True, [], [])
    assert shown["last_trouble"] is None
    assert shown["orchestrator"]["engines"]["total"] == 2
    assert [e["port"] for e in shown["engines"]] == [port(service), port(service, 1)]
    assert shown["streams"] == []


def test_status_shows_what_a_service_of_the_version_before_says(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_before(*asked: Any, **more: Any) -> Any:
        answer = call(*asked, **more)
        if isinstance(answer, dict):
            for name in ("rollout", "maintenance"):
                answer.pop(name, None)
        return answer

    monkeypatch.setattr(overview, "call", as_before)
    assert next(overview.lines(overview.look(load(service.environ)))) == "ready"


def test_status_as_json_says_that_nobody_answers(tmp_path: Path) -> None:
    ended = run(settings(tmp_path), "status", "--json")
    assert (ended.status, ended.stderr) == (1, "")
    shown = json.loads(ended.stdout)
    assert (shown["ready"], shown["orchestrator"], shown["engines"]) == (False, None, [])
    assert shown["wrong"][0].startswith("no acekeeper answers on ")


def test_status_says_what_went_wrong_last(service: Service) -> None:
    kill_an_engine(service)
    until(lambda: "last trouble" in out(service, "status"))
    [told] = re.findall(r"^last trouble, .*", out(service, "status"), re.MULTILINE)
    assert re.match(
        r"last trouble, \d+ seconds? ago \(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\): engine died:"
        r" engine-\d+; cause killed, detail SIGKILL, ",
        told,
    )
    trouble = answered(service, "status", "--json")["last_trouble"]
    assert (trouble["kind"], trouble["data"]["cause"]) == ("engine_died", "killed")


def test_what_is_called_trouble_can_happen() -> None:
    assert HAPPENINGS.keys() >= {*TROUBLES}


def test_status_says_what_goes_on(service: Service) -> None:
    play(service)
    out(service, "drain", str(port(service)))
    out(service, "scale", "2")
    shown = out(service, "status")
    assert f"\nnow: draining engine-{port(service)}\n" in shown
    assert "\nnow: keeping at least 2 engines, as an operator asked\n" in shown


def test_engines_and_streams_are_tables_or_the_apis_answers(service: Service) -> None:
    assert out(service, "streams") == "nothing plays\n"
    play(service)
    first, second, *_ = out(service, "engines").splitlines()[1:]
    assert re.match(rf"engine-{port(service)} .* running +healthy +1 stream ", first)
    assert re.match(rf"engine-{port(service, 1)} .* running +healthy +0 streams ", second)
    header, stream = out(service, "streams").splitlines()
    assert header.split() == ["ENGINE", "BEGAN", "FOR", "CONTENT"]
    assert re.fullmatch(rf"engine-{port(service)} +\d+ seconds? ago +- +infohash a{{40}}", stream)
    [stream] = answered(service, "streams", "--json")
    [engine] = (e for e in answered(service, "engines", "--json") if e["streams"])
    assert engine["streams"] == [stream["id"]]


def test_what_a_stranger_says_gives_a_terminal_no_command(service: Service) -> None:
    play(service, session="\x1b]0;owned\x07")
    for words in ("streams", "log", "status"):
        assert "\x1b" not in out(service, words)
    assert "?]0;owned?" in out(service, "log")


def test_an_engine_has_all_the_names_an_operator_sees(service: Service) -> None:
    number = port(service)
    [container] = (
        e["container_id"] for e in answered(service, "engines", "--json") if e["port"] == number
    )
    names = [
        *(str(number), f"engine-{number}", f"engine@{number}.service", f"engine@{number}"),
        *(f"127.0.0.1:{number}", container, container[:12]),
    ]
    play(service)  # so that it is there for them all
    for name in names:
        assert out(service, "drain", name) == f"engine-{number} is draining; 1 stream on it\n"


@pytest.mark.parametrize("command", ["drain", "stop"])
def test_a_wrong_name_is_answered_with_those_there_are_and_nothing_is_done(
    service: Service, command: str
) -> None:
    said = refused(run(service.environ, command, str(port(service)), "engine-1"))
    there = f"There are engine-{port(service)}, engine-{port(service, 1)}"
    assert said == f"acekeeper: no engine is called engine-1. {there}\n"
    assert {e["phase"] for e in answered(service, "engines", "--json")} == {"running"}


def test_an_engine_that_is_named_twice_is_meant_once_and_no_name_is_none(service: Service) -> None:
    names = str(port(service)), f"engine-{port(service)}"
    assert out(service, "stop", *names) == f"{names[1]} is stopping; 0 streams on it\n"
    assert "no engine is called" in refused(run(service.environ, "log", "--engine", ""))


def test_a_drained_engine_plays_on_and_a_stopped_one_does_not(service: Service) -> None:
    play(service)
    assert out(service, "drain", f"{port(service)}").endswith(" is draining; 1 stream on it\n")
    assert out(service, "log", "--kind", "engine_draining").count("\n") == 1
    assert out(service, "stop", f"{port(service)}").endswith(" is stopping; 1 stream on it\n")
    service.wait_for("engine_stopped")
    assert service.process.poll() is None
    until(lambda: "cause operator" in out(service, "log", "--kind", "engine_stopped"))


def test_scale_says_how_many_are_kept_and_what_is_too_many(service: Service) -> None:
    assert out(service, "scale", "3") == "keeps at least 3 engines; 2 run now\n"
    until(lambda: len(answered(service, "engines", "--json")) == 3)
    assert out(service, "scale", "0").startswith("keeps MIN_REPLICAS free; ")
    assert "at most MAX_REPLICAS (3)" in refused(run(service.environ, "scale", "4"))
    assert run(service.environ, "scale", "many").status == 2


def test_a_provision_says_where_the_engine_is_or_why_there_is_none(service: Service) -> None:
    for _ in range(3):
        said = out(service, "provision")
        number = re.match(r"engine-(\d+) at http://127\.0\.0\.1:\1 is kept for you for 60 s", said)
        assert number
        socket.create_connection(("127.0.0.1", int(number[1])), LIMIT_S).close()
    said = refused(run(service.environ, "provision"))
    assert re.fullmatch(r"acekeeper: POST /provision/acestream was answered \d+: [^{]+\n", said)


def test_the_breaker_is_reset(service: Service) -> None:
    assert out(service, "reset-breaker").startswith("the circuit breaker is closed; it was closed")


def test_the_log_is_told_the_newest_last_of_one_kind_or_engine(service: Service) -> None:
    told = out(service, "log", "-n", "3").splitlines()
    assert len(told) == 3
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  \w", line) for line in told)
    entries = [json.loads(line) for line in out(service, "log", "--json").splitlines()]
    assert [e["id"] for e in entries] == sorted(e["id"] for e in entries)
    assert entries[0]["kind"] == "log_begun"
    second = out(service, "log", "--engine", f"engine@{port(service, 1)}", "--json").splitlines()
    kinds = [json.loads(line)["kind"] for line in second]
    assert kinds == ["engine_starting", "engine_ready"]
    assert out(service, "log", "--kind", "engine_ready").count(" engine ready: ") == 2
    assert run(service.environ, "log", "--kind", "nonsense").status == 2
    assert run(service.environ, "log", "-n", "1001").status == 2
    assert "no engine is called nonsense" in refused(
        run(service.environ, "log", "--engine", "nonsense")
    )


def _interruptible() -> None:
    """A shell has what it runs in the background ignore Ctrl-C, and so would what that runs."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def following(service: Service, *words: str) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [COMMAND, "log", "-f", *words],
        env=service.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_interruptible,  # noqa: PLW1509 (no thread is here)
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_the_log_is_followed_over_a_restart_and_ends_by_ctrl_c(service: Service) -> None:
    with following(service, "-n", "1", "--kind", "scale_requested") as process:
        assert process.stdout
        assert process.stderr
        # Nothing of that kind so far; it follows once the first is told.
        until(lambda: bool(out(service, "scale", "2") and readable(process.stdout)))
        assert " scale requested: " in process.stdout.readline()
        assert service.end(signal.SIGTERM).status == 0
        assert "waiting for it" in process.stderr.readline()
        again = Service(service.environ, service.log_file.parent)
        try:
            again.wait_for("serving")
            out(again, "scale", "3")
            while "at least 3" not in (line := process.stdout.readline()):
                assert " scale requested: " in line
            process.send_signal(signal.SIGINT)
            assert process.wait(LIMIT_S) == 130
        finally:
            again.kill()


def readable(stream: Any) -> list[Any]:
    return select.select([stream], [], [], 0)[0]


def test_a_reader_of_the_log_who_has_enough_is_no_error(service: Service) -> None:
    with following(service) as process:
        assert process.stdout
        assert process.stdout.readline()
        process.stdout.close()
        until(lambda: bool(out(service, "scale", "2")) and process.poll() is not None)
        assert process.returncode == 1
        assert process.stderr
        assert process.stderr.read() == ""


class Watching:
    """`status --watch` on a terminal of its own."""

    def __init__(self, environ: dict[str, str], *words: str) -> None:
        self.screen, terminal = pty.openpty()
        self.process = subprocess.Popen(
            [COMMAND, "status", "--watch", *words],
            env={**environ, "COLUMNS": "60", "LINES": "5"},
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            preexec_fn=_interruptible,  # noqa: PLW1509 (no thread is here)
        )
        os.close(terminal)
        self.shown = ""

    def see(self, words: str) -> str:
        """The first picture with these words that comes from now on."""
        self.shown = ""
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            self.shown += os.read(self.screen, 65536).decode()
            for picture in self.shown.split("\x1b[H")[1:]:
                if words in picture and picture.endswith("\x1b[J"):
                    return picture
        raise AssertionError(f"no {words!r} in {self.shown!r}")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.screen)


def test_a_watch_shows_it_anew_survives_a_restart_and_ends_by_ctrl_c(service: Service) -> None:
    with closing(Watching(service.environ, "0.1")) as watching:
        picture = watching.see("ready\x1b[K")
        assert "\x1b[2J" not in picture  # nothing flickers
        lines = picture.removesuffix("\x1b[J").split("\r\n")
        assert len(lines) <= 4
        assert all(len(line.removesuffix("\x1b[K")) <= 60 for line in lines)
        assert service.end(signal.SIGTERM).status == 0
        assert "not ready: no acekeeper answers" in watching.see("not ready")
        again = Service(service.environ, service.log_file.parent)
        try:
            watching.see("\nready\x1b[K")
            os.write(watching.screen, b"\x03")
            assert watching.process.poll() is None or watching.process.returncode == 130
            watching.process.send_signal(signal.SIGINT)
            assert watching.process.wait(LIMIT_S) == 130
        finally:
            again.kill()


def test_a_watch_needs_a_terminal_and_a_sound_interval(service: Service) -> None:
    assert "--watch needs a terminal" in refused(run(service.environ, "status", "--watch"))
    for wrong in ("0", "nan", "soon", "1e9"):
        assert run(service.environ, "status", "--watch", wrong).status == 2
    assert run(service.environ, "status", "--watch", "--json").status == 2


@pytest.mark.parametrize("words", COMMANDS)
def test_when_the_service_does_not_run_each_says_so(tmp_path: Path, words: str) -> None:
    environ = settings(tmp_path)
    status, stdout, stderr = run(environ, *words.format("19000").split())
    assert status == 1
    assert f"no acekeeper answers on 127.0.0.1:{environ['APP_PORT']}" in stdout + stderr
    assert "Traceback" not in stderr


@pytest.mark.parametrize("words", COMMANDS)
def test_without_the_key_each_says_what_it_needs(service: Service, words: str) -> None:
    environ = {**service.environ, "API_KEY": "wrong"}
    status, stdout, stderr = run(environ, *words.format(port(service)).split())
    open_to_all = words in ("status", "status --json", "engines", "streams", "log")
    assert status == (0 if open_to_all else 1)
    assert open_to_all or "Give the API_KEY of the service" in stdout + stderr


def test_doctor_as_json_says_what_it_says_to_people(service: Service) -> None:
    found = answered(service, "doctor", "--json")
    assert all(list(finding) == ["ok", "text", "advice"] for finding in found)
    assert all(finding["ok"] for finding in found)
    said = [line.split(maxsplit=1)[1] for line in out(service, "doctor").splitlines()]
    assert said == [finding["text"] for finding in found]
    kill_an_engine(service)
    until(lambda: "note   an engine died in the last hour: " in out(service, "doctor"))
    bad = run({**service.environ, "MIN_REPLICAS": "many"}, "doctor", "--json")
    [wrong] = json.loads(bad.stdout)
    assert (bad.status, wrong["ok"]) == (1, False)
    assert "MIN_REPLICAS=many" in wrong["text"]
    assert wrong["advice"].startswith("Set it to ")


def test_settings_as_json_keep_the_secrets(service: Service) -> None:
    found = answered(service, "settings", "--json")
    assert all(list(setting) == ["name", "value", "source"] for setting in found)
    by_name = {setting.pop("name"): setting for setting in found}
    assert by_name["MIN_REPLICAS"] == {"value": "2", "source": "environment"}
    assert by_name["API_KEY"] == {"value": "***", "source": "environment"}
    assert by_name["TARGET_IMAGE"]["value"] == ""
    assert out(service, "settings").count("\n") == len(found)
