"""`acekeeper canary`: whether these settings can be had on this host, and whether an engine of them
becomes ready, tried with one beside those that run. Nothing that runs is touched."""

import errno
import hashlib
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from acekeeper.adapters.podman import LOAD
from acekeeper.adapters.ports import present, test
from acekeeper.adapters.template import in_one_order
from acekeeper.adapters.unit import Unit, why
from acekeeper.core.names import HERE, Ports
from acekeeper.doctor import network
from acekeeper.doctor.finding import Ran, run
from acekeeper.drop_ins import drop_ins
from acekeeper.errors import BadSetting, EngineFailed
from acekeeper.listening import open_gateway
from acekeeper.settings import Settings, load

_ANY = {"0.0.0.0", "::"}
_STATUS = "/server/api?api_version=3&method=get_status"
_ANSWER_WITHIN_S = 5.0
_ASKED_EVERY_S = 0.25
_LINES = 10  # of its journal that are shown
_FIRST_PORT, _LAST_PORT = 32764, 1024  # tried downwards; the kernel gives out those above
# What it sends comes from the loopback's address, which nothing leaves a host with.
_NO_WAY_OUT = "pasta:-4,-o,127.0.0.1"
_ENGINE, _CANARY = "engine@", "canary@"
_PROPERTIES = ("ActiveState", "Job", "MainPID", "Result", "ExecMainCode", "ExecMainStatus")


def prove(environ: Mapping[str, str], *, engine: bool = True) -> Iterator[str]:
    """Says what it finds, line by line. Raises BadSetting or EngineFailed when acekeeper would not
    run, or no engine of it, which is tried unless that is not wanted."""
    settings = load(environ)
    if settings.runtime != "quadlet" or settings.target_image is None:
        raise BadSetting("RUNTIME=process: there is no quadlet to prove", "Set RUNTIME=quadlet")
    # `sudo -u` comes without it, and systemctl and podman need it.
    os.environ.setdefault("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    yield from judge(settings)
    if engine:
        yield from _Canary(settings, settings.target_image).prove()


def judge(settings: Settings) -> Iterator[str]:
    """What the host does not have of them: what acekeeper runs without is said, else it raises."""
    ours = _listening("acekeeper.socket")
    hosts = ("127.0.0.1", "::1") if settings.app_host == "localhost" else (settings.app_host,)
    for host in dict.fromkeys(("127.0.0.1", *hosts)):  # the unit listens there whatever is set
        _judge_api(host, settings.app_port, ours)
    if settings.gateway_port:
        ours = _listening("acekeeper-gateway.socket")
        others = [a for a in settings.gateway_host if not _has(ours, a, settings.gateway_port)]
        gateway = open_gateway(others, settings.gateway_port)
        for opened in gateway.sockets:
            opened.close()
        yield from (f"The gateway will do without: {why}" for why in gateway.off)
    wanted = {
        "APP_HOST": hosts,
        "GATEWAY_HOST": settings.gateway_host,
        "ENGINE_HOST": settings.engine_host,
    }
    for name, addresses in wanted.items():
        for address in sorted({*addresses} - {*present(addresses)}):
            yield f"{name}={address} is not an address of this host now"
    for finding in network.ports(settings, network.running()):
        if not finding.is_well:
            yield f"Engines will do without: {finding.text}"


def _judge_api(host: str, port: int, ours: set[tuple[str, int]]) -> None:
    if _has(ours, host, port):
        return
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family is socket.AF_INET6:
                tried.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            tried.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:  # the unit listens where there is no address yet
            raise BadSetting(
                f"APP_PORT={port}: another program listens on {host}:{port}",
                f"`ss -ltnp sport = :{port}` names it; stop it or set APP_PORT to a free port",
            ) from None


def _has(ours: set[tuple[str, int]], host: str, port: int) -> bool:
    """Whether our own unit is what keeps others from listening there."""
    there = {address for address, number in ours if number == port}
    return bool(there) and (host in there or host in _ANY or bool(there & _ANY))


def _listening(unit: str) -> set[tuple[str, int]]:
    shown = run("systemctl", "--user", "show", "--property=ActiveState,Listen", unit).out
    if "ActiveState=active" not in shown.splitlines():
        return set()
    found = re.findall(r"^Listen=\[?(.+?)\]?:(\d+) \(Stream\)$", shown, re.MULTILINE)
    return {(address, int(port)) for address, port in found}


class _Canary:
    def __init__(self, settings: Settings, image: str) -> None:
        self._settings = settings
        self._image = image
        self._directory = settings.state_dir / "canary"
        self._proved = self._directory / "proved"
        runtime = Path(os.environ["XDG_RUNTIME_DIR"])
        self._quadlets = runtime / f"containers/systemd/{_CANARY}.container.d"
        self._drop_ins = runtime / f"systemd/user/{_CANARY}.service.d"

    def prove(self) -> Iterator[str]:
        if run("podman", "image", "exists", self._image).failed:
            raise EngineFailed(f"TARGET_IMAGE={self._image} is not on this host", LOAD)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._unit():
            fingerprint = self._fingerprint()
            if _read(self._proved) == fingerprint:
                yield "The image, its variant, limits and quadlet are those that were proved last"
                return
            ports = self._free_ports()
            seconds = self._try(ports)
        _write_own(self._proved, fingerprint)
        yield f"An engine of {self._image} was ready after {seconds:.1f} s"

    def _fingerprint(self) -> str:
        """Of all that makes an engine, and of this Podman, whose generator wrote the unit."""
        unit = run("systemctl", "--user", "cat", f"{_CANARY}0.service")
        if unit.failed:
            raise EngineFailed(f"The quadlet cannot be had: {unit.complaint}", "Deploy again")
        told = in_one_order(unit.out.encode())
        return hashlib.sha256(self._image.encode() + b"\n" + told).hexdigest()

    def _free_ports(self) -> Ports:
        """Beyond all that the settings name, where acekeeper never looks for an engine."""
        s = self._settings
        taken = {s.app_port, s.gateway_port, *s.port_range_host}
        for base in (s.engine_https_base, s.engine_p2p_base, s.engine_api_base):
            taken.update(range(base, base + len(s.port_range_host)))
        for first in range(_FIRST_PORT, _LAST_PORT, -4):
            ports = Ports(*range(first, first + 4))
            if not taken.intersection(ports):
                try:
                    test(ports, (HERE,))
                except EngineFailed:
                    continue
                return ports
        raise EngineFailed("There are no four free ports beyond those of the settings")

    @contextmanager
    def _unit(self) -> Iterator[None]:
        """What the owner of the host adds to engines is in force for it, and what the settings
        will. What an interrupted run left goes first."""
        self._end()
        quadlets = Path(f"/etc/containers/systemd/users/{os.getuid()}")
        own = {path.name for path in (quadlets / f"{_CANARY}.container.d").glob("*.conf")}
        engines = quadlets / f"{_ENGINE}.container.d"
        texts = {name: text for name, text in _texts(engines).items() if name not in own}
        config = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
        limits = _texts(Path(config) / f"systemd/user/{_ENGINE}.service.d")
        prefix = f"{_ENGINE}.service.d/"
        for name, text in drop_ins(self._settings).items():
            if name.startswith(prefix):
                limits[name.removeprefix(prefix)] = text
        try:
            _write(self._quadlets, texts)
            _write(self._drop_ins, limits)
            _systemctl("daemon-reload")
            yield
        finally:
            self._end()

    def _end(self) -> None:
        run("systemctl", "--user", "stop", f"{_CANARY}*.service")
        run("systemctl", "--user", "reset-failed", f"{_CANARY}*.service")
        for path in self._directory.glob("*.env"):
            path.unlink()
        for directory in (self._quadlets, self._drop_ins):
            shutil.rmtree(directory, ignore_errors=True)
        run("systemctl", "--user", "daemon-reload")

    def _try(self, ports: Ports) -> float:
        """The seconds until it was ready. Where engines are behind VPNs it is behind none, and
        has no way out at all."""
        lines = [f"ENGINE_IMAGE={self._image}\n"]
        lines += (f"{name.upper()}_PORT={port}\n" for name, port in ports._asdict().items())
        if self._settings.vpns:
            lines += (f"ENGINE_NETWORK={_NO_WAY_OUT}\n", "NO_NAMES=--dns=127.0.0.1\n")
        path = self._directory / f"{ports.http}.env"
        _write_own(path, "".join(lines))
        unit = f"{_CANARY}{ports.http}.service"
        began = time.monotonic()
        _systemctl("start", "--no-block", unit)
        limit, grace = self._settings.provision_timeout_s, self._settings.provision_startup_grace_s
        due = began + limit
        while (state := _state(unit)).busy or state.active == "activating":
            if time.monotonic() > due:
                raise self._failed(unit, f"it did not start within PROVISION_TIMEOUT_S={limit:g}")
            time.sleep(_ASKED_EVERY_S)
        due = min(due, time.monotonic() + grace)
        while (state := _state(unit)).active == "active":
            if _is_ready(ports.http):
                return time.monotonic() - began
            if time.monotonic() > due:
                late = f"it runs, and did not answer within PROVISION_STARTUP_GRACE_S={grace:g}"
                raise self._failed(unit, late)
            time.sleep(_ASKED_EVERY_S)
        raise self._failed(unit, why(state, ran=False, asked=False).detail)

    def _failed(self, unit: str, reason: str) -> EngineFailed:
        ours = (f"_SYSTEMD_USER_UNIT={unit}", "+", f"USER_UNIT={unit}")
        journal = run("journalctl", "--quiet", "--output=cat", f"--lines={_LINES}", *ours)
        said = journal.out or f"nothing ({journal.complaint})"
        return EngineFailed(
            f"No engine of {self._image} becomes ready here: {reason}",
            f"Its journal says:\n{said}",
        )


def _is_ready(port: int) -> bool:
    connection = HTTPConnection(HERE, port, timeout=_ANSWER_WITHIN_S)
    try:
        connection.request("GET", _STATUS)
        answer = connection.getresponse()
        said = json.loads(answer.read(1 << 20))
    except (OSError, HTTPException, ValueError):
        return False
    finally:
        connection.close()
    return answer.status == 200 and isinstance(said, dict) and said.get("result") is not None


def _state(unit: str) -> Unit:
    names = f"--property={','.join(_PROPERTIES)}"
    shown = _systemctl("show", names, unit)
    said = dict(line.partition("=")[::2] for line in shown.out.splitlines())
    return Unit(
        name=unit,
        active=said["ActiveState"],
        invocation="",
        busy=bool(said.get("Job")),
        main_pid=int(said["MainPID"]),
        result=said["Result"],
        exit_code=int(said["ExecMainCode"]),
        exit_status=int(said["ExecMainStatus"]),
        ended=0,
    )


def _systemctl(*words: str) -> Ran:
    ran = run("systemctl", "--user", *words)
    if ran.failed:
        raise EngineFailed(f"systemctl --user {' '.join(words)} failed: {ran.complaint}")
    return ran


def _texts(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text("utf-8") for path in directory.glob("*.conf")}


def _write(directory: Path, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        directory.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text, "utf-8")


def _write_own(path: Path, text: str) -> None:
    """For this user alone, whatever umask there is."""
    path.touch(mode=0o600)
    path.write_text(text)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError:
        return ""
