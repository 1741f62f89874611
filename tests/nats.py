"""The message system of a fleet: real servers on loopback, with the certificates and the rights
that the role gives them."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import pytest

from .ports import free_port

LIMIT_S = 30.0
SERVER = Path(sys.executable).with_name("nats-server")
FLEET = "home"
HERE = "127.0.0.1"
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Authority:
    """Makes certificates, of a directory for each host. They hold where OpenSSL is strict, too."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._serial = 1
        directory.mkdir()
        self.crt, self._key = directory / "ca.crt", directory / "ca.key"
        _openssl(
            *("req", "-x509", *_KEY, "-keyout", self._key, "-out", self.crt, "-days", 30),
            *("-subj", "/CN=fleet", "-addext", "basicConstraints=critical,CA:TRUE"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        )

    def certify(self, host: str, days: int = 30, address: str = HERE) -> Path:
        """The host's directory, for `FLEET_CERTIFICATES`; again: the old ones are replaced."""
        place = self._directory / host
        place.mkdir(exist_ok=True)
        request, extensions = place / "host.csr", place / "extensions"
        extensions.write_text(
            "basicConstraints=critical,CA:FALSE\n"
            "keyUsage=critical,digitalSignature\n"
            "extendedKeyUsage=serverAuth,clientAuth\n"
            f"subjectAltName=DNS:{host},IP:{address}\n"
            "subjectKeyIdentifier=hash\n"
            "authorityKeyIdentifier=keyid\n"
        )
        self._serial += 1
        _openssl(
            *("req", *_KEY, "-keyout", place / "host.key", "-out", request, "-subj", f"/CN={host}")
        )
        _openssl(
            *("x509", "-req", "-in", request, "-CA", self.crt, "-CAkey", self._key, "-days", days),
            *("-set_serial", self._serial, "-extfile", extensions, "-out", place / "host.crt"),
        )
        (place / "ca.crt").write_bytes(self.crt.read_bytes())
        return place


class NatsServer:
    """One, which `start` starts, also again. Without `authority` nothing is encrypted and everybody
    may do all."""

    def __init__(
        self,
        directory: Path,
        name: str,
        hosts: Sequence[str] = (),
        authority: Authority | None = None,
        certificates: Path | None = None,
    ) -> None:
        self.address = (HERE, free_port())
        self.route = (HERE, free_port())
        self._name = name
        self._hosts = list(hosts)
        self._directory = directory
        self._certificates = certificates or (authority.certify(name) if authority else None)
        self._process: subprocess.Popen[bytes] | None = None
        self._routes: list[tuple[str, int]] = []

    def start(self, *others: Self) -> None:
        """And waits until it takes connections. `others`: the servers it is to be joined to."""
        self._routes = [other.route for other in others] or self._routes
        self._write()
        with (self._directory / f"{self._name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [SERVER, "--config", self._config], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until_reached(self.address)

    def reload(self, hosts: Sequence[str]) -> None:
        """These hosts are let in, and no other."""
        self._hosts = list(hosts)
        self._write()
        self._signal(signal.SIGHUP)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return (self._directory / f"{self._name}.log").read_text()

    @property
    def _config(self) -> Path:
        return self._directory / f"{self._name}.conf"

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _write(self) -> None:
        tls, users = "", ""
        if self._certificates is not None:
            tls = (
                f'cert_file: "{self._certificates}/host.crt", '
                f'key_file: "{self._certificates}/host.key", '
                f'ca_file: "{self._certificates}/ca.crt", timeout: 10'
            )
            users = "authorization { users: [\n" + "\n".join(map(_user, self._hosts)) + "\n] }\n"
        routes = ", ".join(f'"nats://{host}:{port}"' for host, port in self._routes)
        self._config.write_text(
            f"server_name: {self._name}\n"
            f"listen: {self.address[0]}:{self.address[1]}\n"
            + (f"tls {{ {tls}, verify_and_map: true }}\n" if tls else "")
            + f"cluster {{ name: {FLEET}, listen: {self.route[0]}:{self.route[1]}, "
            f"no_advertise: true, routes: [{routes}]"
            + (f", tls {{ {tls}, verify: true }}" if tls else "")
            + " }\n"
            + users
        )


@contextmanager
def cluster(
    directory: Path, count: int, hosts: Sequence[str] = (), authority: Authority | None = None
) -> Iterator[list[NatsServer]]:
    """Servers that are joined, and run."""
    servers = [NatsServer(directory, f"n{n}", hosts, authority) for n in range(1, count + 1)]
    with ExitStack() as stack:
        for server in servers:
            stack.callback(server.kill)
            server.start(*(other for other in servers if other is not server))
        yield servers


def until_reached(address: tuple[str, int]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while True:
        try:
            socket.create_connection(address, timeout=1).close()
            break
        except OSError:
            assert time.monotonic() < deadline, "the server does not listen in time"
            time.sleep(0.01)


def _user(host: str) -> str:
    """What a host may say and hear."""
    at = f"acekeeper.v1.{FLEET}"
    said = [
        f"{at}.beat.{host}",
        f"{at}.state.{host}",
        f"{at}.snap.*.{host}",
        f"{at}.ask.*.*.{host}",
    ]
    heard = [f"{at}.beat.*", f"{at}.state.*", f"{at}.snap.{host}.*", f"{at}.ask.{host}.>"]
    heard.append(f"_INBOX.{host}.>")
    return (
        f"{{ user: {host}, permissions: {{ publish: {_listed(said)}, subscribe: {_listed(heard)}, "
        'allow_responses: { max: 1, expires: "30s" } } }'
    )


def _listed(subjects: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{subject}"' for subject in subjects) + "]"


def _openssl(*words: object) -> None:
    if shutil.which("openssl") is None:
        assert "CI" not in os.environ, "there is no openssl"
        pytest.skip("there is no openssl")
    made = subprocess.run(
        ["openssl", *map(str, words)],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
