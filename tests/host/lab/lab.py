from collections.abc import Iterator
from contextlib import ExitStack
from typing import Self

from . import machine
from .command import run
from .errors import LabError
from .host import Host
from .network import Network
from .places import STATE, locked, remove_tree

COMMAND_LINE = 0  # the lab of the command line: its hosts outlive the command
FOR_RUNS = range(1, 10)  # each is one test run's for as long as that lives
HOSTS = range(1, 254)


class Lab:
    """Hosts on one network. Two runs never share one; each heals what a killed one left."""

    def __init__(self, number: int) -> None:
        self._state = STATE / f"lab-{number}"
        self.number = number
        self.network = Network(number)
        self._key = self._state / "id"
        self._hosts: dict[int, Host] = {}
        self._lock = ExitStack()

    @classmethod
    def take(cls) -> Self:
        """A lab for this run; used as a context, it is removed at the end."""
        machine.check()
        heal()
        for number in FOR_RUNS:
            lab = cls(number)
            if lab._lock.enter_context(locked(f"lab-{number}", wait=False)):
                return lab
            lab._lock.close()
        raise LabError(f"{len(FOR_RUNS)} labs are in use")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.clean()

    @property
    def address(self) -> str:
        """This machine's, on the hosts' network."""
        return self.network.gateway

    def host(self, number: int) -> Host:
        if number not in HOSTS:
            raise LabError(f"a host's number is {HOSTS[0]} to {HOSTS[-1]}")
        if number not in self._hosts:
            state = self._state / str(number)
            self._hosts[number] = Host(number, self.network, state, self._key)
        return self._hosts[number]

    def up(self, number: int) -> Host:
        host = self.host(number)
        try:
            self._make_key()
            self.network.up()
            host.up()
        except BaseException:
            self.down(number)
            raise
        return host

    def down(self, number: int) -> None:
        """With the last host goes all the rest."""
        self.host(number).down()
        if not any(self._numbers()):
            self.clean()

    def clean(self) -> None:
        for number in self._numbers():
            self.host(number).down()
        self.network.down()
        remove_tree(self._state)
        if STATE.exists() and not any(STATE.iterdir()):
            STATE.rmdir()

    def is_used(self) -> bool:
        return self._state.exists()

    def _numbers(self) -> Iterator[int]:
        if self._state.exists():
            yield from (int(path.name) for path in self._state.iterdir() if path.name.isdigit())

    def _make_key(self) -> None:
        self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._key.with_suffix(".pub").exists():
            self._key.unlink(missing_ok=True)
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(self._key))


def heal() -> None:
    """Removes the labs of runs that were killed."""
    for number in FOR_RUNS:
        lab = Lab(number)
        if lab.is_used():
            with locked(f"lab-{number}", wait=False) as taken:
                if taken:
                    lab.clean()
