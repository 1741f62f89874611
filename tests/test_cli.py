"""The `acekeeper` command, in processes of its own."""

import json
import os
import pwd
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from acekeeper import __version__
from acekeeper.adapters import proc
from acekeeper.adapters.processes import stop_all

from .ports import engine_ports, free_port
from .running import COMMAND, LIMIT_S, Service, run, settings, until

Start = Callable[..., Service]


@contextmanager
def services(tmp_path: Path) -> Iterator[Start]:
    """Starts services and waits until they serve."""
    started: list[Service] = []

    def begin(environ: dict[str, str] | None = None, **given: str) -> Service:
        service = Service(environ or settings(tmp_path, **given), tmp_path)
        started.append(service)
        service.wait_for("serving")
        return service

    try:
        yield begin
    finally:
        for service in started:  # all of them first: one starts engines anew that another had
            service.kill()
        for service in started:
            stop_all(Path(service.environ["STATE_DIR"]))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with services(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One for those who only ask, with an engine."""
    with services(tmp_path_factory.mktemp("shared")) as start:
        service = start(MIN_REPLICAS="1", MAX_REPLICAS="1", API_KEY="right")
        service.wait_for("engine_ready")
        yield service


def call(service: Service, path: str, body: bytes | None = None) -> dict[str, Any]:
    """Status 200, or it raises."""
    host, port = service.address
    request = Request(f"http://{host}:{port}{path}", body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=LIMIT_S) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def one_line(text: str) -> str:
    """An error is one line that says what and what to do, and no traceback."""
    assert text.startswith("acekeeper: ")
    assert text.count("\n") == 1
    assert text.endswith("\n")
    return text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_status_0_and_a_clean_terminal(start: Start, number: int) -> None:
    service = start(API_KEY="a-secret-key")
    status, stdout, stderr = service.end(number)
    assert status == 0
    assert stdout.startswith(f"acekeeper {__version__}\n")
    assert f"http://127.0.0.1:{service.address[1]}/engines" in stdout
    assert service.environ["STATE_DIR"] in stdout
    assert "$API_KEY" in stdout
    events = [fields["event"] for fields in service.log()]
    assert events[-2:] == ["stopping", "service_stopped"]
    assert "a-secret-key" not in stdout + stderr


def test_engines_get_its_environment_as_it_was_given(service: Service) -> None:
    marked = proc.having("ACEKEEPER_ENGINE")
    [engine] = [p for p, mark in marked if mark.startswith(service.environ["STATE_DIR"])]
    theirs = Path(f"/proc/{engine.pid}/environ").read_text().split("\0")
    given = {f"{name}={value}" for name, value in service.environ.items() if name != "API_KEY"}
    assert given <= {*theirs}
    assert not [assignment for assignment in theirs if assignment.startswith("SSL_CERT_FILE=")]


VERSION = "/webui/api/service?method=get_version"


def at_gateway(service: Service, path: str, host: str = "127.0.0.1") -> int:
    """The status."""
    connection = HTTPConnection(host, int(service.environ["GATEWAY_PORT"]), timeout=LIMIT_S)
    with closing(connection):
        connection.request("GET", path)
        return connection.getresponse().status


def degraded(service: Service) -> list[str]:
    found: list[str] = call(service, "/health/ready")["degraded"]
    return found


def test_the_gateway_and_the_api_have_nothing_of_each_other(start: Start) -> None:
    service = start()
    assert at_gateway(service, VERSION) == 200
    assert at_gateway(service, "/engines") == 404
    with pytest.raises(HTTPError, match="404"):
        call(service, VERSION)
    assert degraded(service) == []
    stdout = service.end(signal.SIGTERM).stdout
    address = f"http://127.0.0.1:{service.environ['GATEWAY_PORT']}"
    assert f"  Gateway  {address}\n" in stdout
    assert f"ffplay '{address}/ace/getstream?id=" in stdout


def test_an_engine_on_the_gateways_port_keeps_the_gateway_away_and_nothing_else(
    start: Start,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as engine:
        port = engine.getsockname()[1]
        service = start(GATEWAY_PORT=str(port))
        why = f"another program listens on 127.0.0.1:{port}; `ss -ltnp sport = :{port}` names it"
        assert degraded(service) == [f"gateway: {why}"]
        [lacks] = [line for line in service.log() if line["event"] == "gateway_lacks"]
        assert (lacks["level"], lacks["why"]) == ("WARNING", why)
        assert f"gateway: {why}" in run(service.environ, "status").stdout
        stdout = service.end(signal.SIGTERM).stdout
    assert f"  Gateway  {why}\n" in stdout
    assert "ffplay" not in stdout


def test_an_address_that_is_not_there_yet_is_no_failure(start: Start) -> None:
    service = start(GATEWAY_HOST="192.0.2.1", GATEWAY_ALLOW="192.0.2.0/24")
    service.wait_for("addresses_absent")
    assert degraded(service) == ["GATEWAY_HOST: 192.0.2.1 is not an address of this host (yet)"]
    assert at_gateway(service, VERSION) == 200


def test_without_a_gateway_nothing_listens_for_players(start: Start) -> None:
    service = start(GATEWAY_PORT="0")
    assert degraded(service) == []
    assert "  Gateway  off (GATEWAY_PORT=0)\n" in service.end(signal.SIGTERM).stdout


def test_of_what_systemd_hands_over_each_has_its_own(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as api,
        socket.create_server(("127.0.0.1", 0)) as players,
    ):
        ports = {
            "APP_PORT": str(api.getsockname()[1]),
            "GATEWAY_PORT": str(players.getsockname()[1]),
        }
        service = Service(settings(tmp_path, **ports), tmp_path, api, players)
        try:
            assert degraded(service) == []
            assert at_gateway(service, VERSION) == 200
            assert service.end(signal.SIGTERM).status == 0
            without = Service(settings(tmp_path, **ports), tmp_path, api)
            try:
                [why] = degraded(without)
                assert why.startswith(
                    f"gateway: another program listens on 127.0.0.1:{ports['GATEWAY_PORT']}"
                )
            finally:
                without.kill()
        finally:
            service.kill()


def test_engines_outlive_it_until_stop_ends_them_too_and_says_how_many(start: Start) -> None:
    first = start(MIN_REPLICAS="2")
    until(lambda: [f["event"] for f in first.log()].count("engine_ready") == 2)
    assert first.end(signal.SIGTERM).status == 0
    second = start(first.environ)
    assert run(second.environ, "stop") == (0, "stopped the service\nstopped 2 engines\n", "")
    assert second.process.wait(LIMIT_S) == 0
    # It took over the engines it found.
    assert "engine_starting" not in [fields["event"] for fields in second.log()]
    assert run(second.environ, "stop") == (0, "stopped 0 engines\n", "")
    port = int(second.environ["PORT_RANGE_HOST"].split("-")[0])
    for gone in (port, port + 1, second.address[1]):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", gone), LIMIT_S)


def test_a_stop_is_no_failure_and_the_next_start_provisions_at_once(start: Start) -> None:
    """Four engines that were about to start or had just become ready."""
    first = start(MAX_REPLICAS="4", CIRCUIT_BREAKER_THRESHOLD="1", **engine_ports(4))
    for _ in range(4):
        assert call(first, "/provision/acestream", b"{}")["container_id"]
    assert run(first.environ, "stop").stdout == "stopped the service\nstopped 4 engines\n"
    first.process.wait(LIMIT_S)
    second = start(first.environ)
    ended = [line for line in second.log() if line["event"] in ("engine_died", "engine_stopped")]
    told = [(line["event"], line["cause"], line["early"]) for line in ended]
    assert told == [("engine_stopped", "stopped", False)] * 4
    assert call(second, "/health/ready")["circuit_state"] == "closed"
    assert call(second, "/provision/acestream", b"{}")["container_id"]


def test_a_stop_whose_word_cannot_be_kept_stops_all_the_same(start: Start) -> None:
    service = start(MIN_REPLICAS="1")
    service.wait_for("engine_ready")
    (Path(service.environ["STATE_DIR"]) / "stopped").mkdir()
    status, stdout, stderr = run(service.environ, "stop")
    assert (status, stdout) == (0, "stopped the service\nstopped 1 engine\n")
    assert "call the engines vanished" in one_line(stderr)


def test_stop_is_not_for_engines_of_systemd(tmp_path: Path) -> None:
    image = f"name@sha256:{'0' * 64}"
    ended = run(settings(tmp_path, RUNTIME="quadlet", TARGET_IMAGE=image), "stop")
    assert ended.status == 78
    # The socket too: the next connection would start the service again.
    units = "acekeeper.socket acekeeper.service 'engine@*'"
    account = pwd.getpwuid(os.getuid()).pw_name  # whose systemd has them, whoever pastes it
    assert f"Use systemctl --user -M {account}@ stop {units}\n" in one_line(ended.stderr)


@pytest.mark.parametrize("command", ["serve", "stop"])
def test_a_bad_setting_is_named_in_one_line(tmp_path: Path, command: str) -> None:
    status, stdout, stderr = run(settings(tmp_path, MIN_REPLICAS="many"), command)
    assert (status, stdout) == (78, "")
    assert one_line(stderr) == (
        "acekeeper: MIN_REPLICAS=many is not a whole number."
        " Set it to a whole number from 0 to 500\n"
    )


def test_without_a_key_no_socket_that_others_reach_is_taken_over(tmp_path: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as reachable:
        service = Service(settings(tmp_path), tmp_path, reachable)
        status = service.process.wait(LIMIT_S)
        service.kill()
    assert status == 78
    assert "listens on 0.0.0.0 and there is no API_KEY" in one_line(service.log_file.read_text())


def test_a_port_in_use_is_named_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        status, stdout, stderr = run(settings(tmp_path, APP_PORT=str(port)), "serve")
    assert (status, stdout) == (78, "")
    assert f"APP_PORT={port}: another program listens there" in one_line(stderr)


def test_a_second_one_on_the_same_directory_is_refused(service: Service) -> None:
    second = {**service.environ, "APP_PORT": str(free_port())}
    status, stdout, stderr = run(second, "serve")
    assert (status, stdout) == (78, "")
    assert f"another acekeeper is running on STATE_DIR {second['STATE_DIR']}" in one_line(stderr)
    assert service.process.poll() is None


def test_status_shows_the_engines(service: Service) -> None:
    port = service.environ["PORT_RANGE_HOST"].split("-")[0]
    status, stdout, stderr = run(service.environ, "status")
    assert (status, stderr) == (0, "")
    *told, header, engine = stdout.splitlines()
    assert told == [
        "ready",
        "1 engine, 1 free; 0 streams; breaker closed",
        f"gateway on 127.0.0.1:{service.environ['GATEWAY_PORT']}; 0 playing, 0 waiting",
        "",
    ]
    assert header.split() == ["ENGINE", "ADDRESS", "PHASE", "HEALTH", "STREAMS", "FOR", "CONTAINER"]
    shown = rf"engine-{port} +127\.0\.0\.1:{port} +running +healthy +0 streams +- +[0-9a-f]{{12}}"
    assert re.fullmatch(shown, engine)


def test_status_says_for_whom_the_gateway_plays(start: Start) -> None:
    service = start(MIN_REPLICAS="1", MAX_REPLICAS="1")
    service.wait_for("engine_ready")
    assert at_gateway(service, f"/ace/getstream?id={'a' * 40}") == 302
    _, stdout, _ = run(service.environ, "status")
    assert "; 1 playing, 0 waiting\n" in stdout
    assert re.search(r"^engine-\d+ .* 1 stream +127\.0\.0\.1 ", stdout, re.MULTILINE)


def test_status_says_what_is_wrong(start: Start, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the directory should be")
    command = "/nowhere/engine {http_port}"
    service = start(
        MIN_REPLICAS="1", CIRCUIT_BREAKER_THRESHOLD="1", ENGINE_COMMAND=command, GATEWAY_PORT="0"
    )
    service.wait_for("engine_start_failed")
    status, stdout, stderr = run(service.environ, "status")
    assert (status, stderr) == (1, "")
    first, totals, now = stdout.splitlines()
    assert first.startswith("not ready: starts of engines failed, and the circuit breaker is open")
    assert "; store: the database cannot be opened" in first
    assert str(tmp_path / "state") in first
    assert totals == "0 engines, 0 free; 0 streams; breaker open"
    assert now.startswith("now: refusing provisions: ")
    assert service.end(signal.SIGTERM).status == 0
    service.log()


@pytest.mark.parametrize(
    ("kind", "counted"),
    [
        ("health", "answered 1, silent 0, unhealthy 0"),
        ("streams", "ended 0, silent engines 0"),
        ("scale", "adopted 0, gone 0, free 1"),
    ],
)
def test_a_sweep_says_in_one_line_what_it_found(service: Service, kind: str, counted: str) -> None:
    status, stdout, stderr = run(service.environ, "sweep", kind)
    assert (status, stderr) == (0, "")
    assert stdout.startswith(f"{kind}: checked ")
    assert counted in stdout
    assert stdout.count("\n") == 1


@pytest.mark.parametrize(("key", "code"), [("wrong", 403), ("", 401)])
def test_without_the_key_a_sweep_is_refused_and_says_so(
    service: Service, key: str, code: int
) -> None:
    status, stdout, stderr = run({**service.environ, "API_KEY": key}, "sweep", "health")
    assert (status, stdout) == (1, "")
    assert f"POST /sweeps/health was answered {code}: " in one_line(stderr)


@pytest.mark.parametrize("words", [("sweep", "health"), ("status",)])
def test_when_nobody_answers_it_says_where_it_asked(tmp_path: Path, words: tuple[str]) -> None:
    environ = settings(tmp_path, APP_HOST="0.0.0.0", API_KEY="key")
    status, stdout, stderr = run(environ, *words)
    assert (status, stdout) == (1, "")
    assert f"no acekeeper answers on 127.0.0.1:{environ['APP_PORT']}" in one_line(stderr)


class _Other(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.said)  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("said", [b"<html>\nhello\n</html>", b'{"status": "ok"}', b"null"])
def test_when_somebody_else_answers_it_says_so(tmp_path: Path, said: bytes) -> None:
    with HTTPServer(("127.0.0.1", 0), _Other) as server:
        server.said = said  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        environ = settings(tmp_path, APP_PORT=str(server.server_address[1]))
        status, stdout, stderr = run(environ, "sweep", "health")
        thread.join(LIMIT_S)
    assert (status, stdout) == (1, "")
    assert "is no acekeeper" in one_line(stderr)


def test_a_reader_who_has_enough_is_no_error(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(
        [COMMAND, "settings"],
        env=settings(tmp_path),
        stdout=write,
        stderr=subprocess.PIPE,
        timeout=LIMIT_S,
        check=False,
    )
    os.close(write)
    assert ended.stderr == b""


@pytest.mark.parametrize(
    "words",
    [
        *("settings", "status", "engines", "streams", "log", "log -f", "sweep scale", "doctor"),
        *("stop", "serve", "simulate quiet", "--help", "emulator --help"),
    ],
)
def test_output_that_is_not_taken_is_told_in_one_line(
    service: Service, tmp_path: Path, words: str
) -> None:
    environ = settings(tmp_path) if words in ("stop", "serve") else service.environ
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [COMMAND, *words.split()],
            env=environ,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    assert ended.returncode == 1
    assert one_line(ended.stderr) == (
        "acekeeper: standard output cannot be written: No space left on device\n"
    )


def test_lines_of_the_log_that_nobody_takes_are_counted(tmp_path: Path) -> None:
    environ = settings(tmp_path)
    url = f"http://127.0.0.1:{environ['APP_PORT']}/metrics"
    with (
        open("/dev/full", "wb") as full,  # noqa: PTH123 (no file to be resolved)
        subprocess.Popen(
            [COMMAND, "serve"], env=environ, stdout=subprocess.DEVNULL, stderr=full
        ) as process,
    ):
        try:
            until(lambda: not process.poll() and lost(url) > 0)
        finally:
            process.terminate()


def lost(url: str) -> float:
    try:
        with urlopen(url, timeout=LIMIT_S) as answer:
            said: str = answer.read().decode()
    except URLError:
        return 0  # not yet
    return float(said.rpartition("\norch_log_lines_lost_total ")[2].split("\n")[0])


def test_output_that_is_closed_is_no_error(tmp_path: Path) -> None:
    ended = subprocess.run(
        ["sh", "-c", f"{COMMAND} settings >&-"],
        env=settings(tmp_path),
        stderr=subprocess.PIPE,
        timeout=LIMIT_S,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_an_unknown_command_or_kind_is_refused() -> None:
    for words in (("nonsense",), (), ("sweep", "nonsense"), ("status", "more")):
        ended = run({}, *words)
        assert (ended.status, ended.stdout) == (2, "")
        assert ended.stderr.startswith("usage: acekeeper")
        assert "Traceback" not in ended.stderr
    assert run({}, "--version").stdout == f"acekeeper {__version__}\n"


def test_a_simulated_day_is_that_of_the_settings_in_force() -> None:
    ended = run({"PROFILE": "high-availability", "MAX_REPLICAS": "9"}, "simulate", "quiet")
    assert ended.stderr == ""
    assert ended.stdout.startswith("MIN_REPLICAS=5 MAX_REPLICAS=9 ENGINE_GRACE_PERIOD_S=15 ")
    assert re.search(r"^  waited +0 +0$", ended.stdout, re.MULTILINE)
    assert run({"MIN_REPLICAS": "many"}, "simulate", "quiet").status == 78


def test_a_simulated_day_may_lose_the_tunnels_of_vpns() -> None:
    ended = run({"VPNS": "de,ch"}, "simulate", "evening", "--vpn-losses", "24")
    assert ended.stderr == ""
    assert re.search(r"^  lost their tunnel +[1-9]", ended.stdout, re.MULTILINE)
    for wrong in ("-1", "often", "101"):
        assert run({}, "simulate", "quiet", f"--vpn-losses={wrong}").status == 2


def test_a_trace_may_come_from_standard_input(tmp_path: Path) -> None:
    trace = tmp_path / "streams.json"
    trace.write_text('[{"started_at": "2026-05-01T20:00:00Z", "ended_at": "2026-05-01T21:00:00Z"}]')
    with trace.open() as stdin:
        shown = subprocess.check_output(
            [COMMAND, "simulate", "-"], env={}, stdin=stdin, text=True, timeout=LIMIT_S
        )
    assert re.search(r"^viewers +1 +1$", shown, re.MULTILINE)


def test_a_trace_that_cannot_be_used_is_named_with_its_line(tmp_path: Path) -> None:
    trace = tmp_path / "day.csv"
    trace.write_text("start_seconds,duration_seconds\n0,60\n1,soon\n")
    status, stdout, stderr = run({}, "simulate", str(trace))
    assert (status, stdout) == (1, "")
    assert one_line(stderr).startswith(f"acekeeper: {trace}: line 3 has 'soon', which is no number")
    trace.write_bytes(b"\xff")
    assert f"{trace} is not UTF-8 text" in one_line(run({}, "simulate", str(trace)).stderr)
    nowhere = run({}, "simulate", "nowhere")
    assert "Name a file, or one of evening, quiet" in one_line(nowhere.stderr)
    piped = subprocess.run(
        [COMMAND, "simulate", "-"],
        env={},
        input="a,b\n",
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert one_line(piped.stderr).startswith("acekeeper: standard input: line 1 is no header")
    assert run({}, "simulate", "quiet", "--start-seconds", "0").status == 2


def test_the_emulator_gets_its_options_as_they_are() -> None:
    port = free_port()
    options = ["--http-port", str(port), "--start-delay", "0", "--unknown-to-argparse"]
    with subprocess.Popen(
        [COMMAND, "emulator", *options], stdout=subprocess.PIPE, env={}
    ) as emulator:
        try:
            assert emulator.stdout
            assert any(str(port).encode() in line for line in emulator.stdout)
            socket.create_connection(("127.0.0.1", port), LIMIT_S).close()
        finally:
            emulator.terminate()
        assert emulator.wait(LIMIT_S) in (0, -signal.SIGTERM)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file away: needs root")
def test_root_is_not_the_account_that_settings_are_for(tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    file.write_text(f"TARGET_IMAGE={'0' * 64}\n")
    environ = {**settings(tmp_path), "RUNTIME": "quadlet", "SETTINGS_FILE": str(file)}
    assert run(environ, "settings").status == 0
    os.chown(file, 0, 65534)
    ended = run(environ, "settings")
    assert (ended.status, ended.stdout) == (78, "")
    assert f"{file} is for the account nogroup, and this is another. " in one_line(ended.stderr)
    assert run({**environ, "RUNTIME": "process"}, "settings").status == 0
    file.unlink()
    assert "cannot be read: No such file" in one_line(run(environ, "settings").stderr)
