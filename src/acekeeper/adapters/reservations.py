"""The environment files of engines, each the reservation of its engine's port.

Made exclusively before a unit is started, and removed when it is gone: systemd reads it again for
each command of the unit. It also remembers at which addresses players reach the engine, what its
start was made of, and how the host got out then, or behind which VPN it is.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec
from loguru import logger

from acekeeper.core.build import Build
from acekeeper.core.names import HERE, Ports, Slot
from acekeeper.core.vpn import Behind
from acekeeper.core.way_out import WayOut
from acekeeper.errors import EngineFailed, PortTaken

_ADDRESSES = "HTTP_ADDRESSES="
_IMAGE = "ENGINE_IMAGE="
_FINGERPRINT = "FINGERPRINT="
_WAY_OUT = "WAY_OUT="
_BEHIND = "BEHIND="


class Reserved(NamedTuple):
    """What stays as it is from an engine's start on. `way_out`: None if it is that of a VPN, or
    an earlier version did not look."""

    addresses: tuple[str, ...] = (HERE,)
    build: Build = Build()
    way_out: WayOut | None = None
    behind: Behind | None = None

    @property
    def told(self) -> tuple[tuple[str, ...], Build, WayOut | None]:
        """Of it with a start, whose VPN whoever asked for it knows."""
        return self.addresses, self.build, self.way_out


class Reservations:
    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def open(self) -> None:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            # Every start will fail with it; what runs is kept all the same.
            logger.error("no_environment_files", why=str(error))

    def make(self, slot: Slot, ports: Ports, reserved: Reserved, joined: str) -> None:
        """`joined`: the container whose network it joins, and which publishes its ports; empty if
        none."""
        addresses, build, way_out, behind = reserved
        path = self._directory / slot.environment_file
        lines = [f"{_IMAGE}{build.image}\n", f"{_FINGERPRINT}{build.fingerprint}\n"]
        lines += (f"{name.upper()}_PORT={port}\n" for name, port in ports._asdict().items())
        lines.append(f"{_ADDRESSES}{' '.join(addresses)}\n")
        published = [f"--publish={address}:{ports.http}:{ports.http}/tcp" for address in addresses]
        if joined:
            published = []
            lines.append(f"ENGINE_NETWORK=container:{joined}\n")
        lines.append(f"HTTP_PUBLISH={' '.join(published)}\n")
        lines.append(f"{_WAY_OUT}{msgspec.json.encode(way_out).decode()}\n")
        if behind is not None:
            lines.append(f"ENGINE_VPN={behind.vpn}\n")
            lines.append(f"{_BEHIND}{msgspec.json.encode(behind).decode()}\n")
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise PortTaken(f"Port {slot.port} is reserved by {path}") from None
        except OSError as error:
            raise EngineFailed(f"{path} cannot be made: {error.strerror}") from error
        try:
            with open(file, "w") as text:  # noqa: PTH123 (it is a descriptor)
                text.writelines(lines)
        except OSError as error:
            _remove(path)
            raise EngineFailed(f"{path} cannot be written: {error.strerror}") from error

    def read(self, slot: Slot) -> Reserved:
        """As the file says, unless it is gone. An earlier version's knows one address, or no
        fingerprint and no way out."""
        try:
            lines = (self._directory / slot.environment_file).read_text().splitlines()
        except OSError:
            return Reserved()

        def said(name: str, otherwise: str) -> str:
            values = (line.removeprefix(name) for line in lines if line.startswith(name))
            return next(values, otherwise)

        build = Build(said(_IMAGE, ""), said(_FINGERPRINT, ""))
        way_out = behind = None
        with suppress(msgspec.DecodeError):
            way_out = msgspec.json.decode(said(_WAY_OUT, ""), type=WayOut)
        with suppress(msgspec.DecodeError):
            behind = msgspec.json.decode(said(_BEHIND, ""), type=Behind)
        return Reserved(tuple(said(_ADDRESSES, HERE).split()), build, way_out, behind)

    def remove(self, slot: Slot) -> None:
        _remove(self._directory / slot.environment_file)

    def keep(self, slots: Iterable[Slot]) -> None:
        """Removes all others: what a crash left behind."""
        kept = {slot.environment_file for slot in slots}
        for path in self._directory.glob("*.env"):
            if path.name not in kept:
                _remove(path)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.error("environment_file_stays", path=str(path), why=str(error))
