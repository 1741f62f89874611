"""The user's D-Bus: one connection, and a call on it, with what went wrong in our words."""

import asyncio
import math
import os
from typing import Any

from dbus_fast import Message, MessageFlag, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusFastError

from acekeeper.adapters.systemctl import systemctl
from acekeeper.errors import AcekeeperError, EngineFailed, Failure, RuntimeUnavailable

SYSTEMD = "org.freedesktop.systemd1"
_ANSWER_WITHIN = 10.0
_GENERATED = (
    "The quadlet is not installed, or its generator refuses it:"
    " see /usr/lib/systemd/system-generators/podman-system-generator --user --dryrun"
)
# What an error of systemd's own means; every other error says that it could not answer.
_ERRORS: dict[str, tuple[type[AcekeeperError], str]] = {
    f"{SYSTEMD}.NoSuchUnit": (EngineFailed, _GENERATED),
    f"{SYSTEMD}.LoadFailed": (EngineFailed, _GENERATED),
    f"{SYSTEMD}.BadUnitSetting": (EngineFailed, _GENERATED),
    f"{SYSTEMD}.UnitMasked": (EngineFailed, f"Unmask it: {systemctl('unmask', 'UNIT')}"),
    f"{SYSTEMD}.TransactionIsDestructive": (EngineFailed, "Another job on it is under way"),
}
# Errors that the bus answers with in its place.
_NOT_ANSWERED = {
    "org.freedesktop.DBus.Error.NoReply": Failure.BROKEN,
    "org.freedesktop.DBus.Error.Disconnected": Failure.BROKEN,
    "org.freedesktop.DBus.Error.ServiceUnknown": Failure.UNREACHABLE,
    "org.freedesktop.DBus.Error.NameHasNoOwner": Failure.UNREACHABLE,
}


def default_address() -> str:
    return os.environ.get("DBUS_SESSION_BUS_ADDRESS") or f"unix:path={runtime_dir()}/bus"


def runtime_dir() -> str:
    return os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"


async def connect(address: str) -> MessageBus:
    try:
        bus = MessageBus(bus_address=address)
        async with asyncio.timeout(_ANSWER_WITHIN):
            await bus.connect()
    except Exception as error:  # dbus-fast lets through whatever it meets
        raise RuntimeUnavailable(
            f"No bus at {address}: {_reason(error)}", failure=Failure.UNREACHABLE
        ) from error
    return bus


async def close(bus: MessageBus) -> None:
    bus.disconnect()
    await asyncio.gather(lost(bus), return_exceptions=True)


async def lost(bus: MessageBus) -> str:
    """Waits until the connection is, and says why."""
    try:
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
    except Exception as error:  # whatever broke it
        return _reason(error)
    return "the bus hung up"


async def ask(
    bus: MessageBus,
    destination: str,
    path: str,
    interface: str,
    method: str,
    signature: str = "",
    *arguments: object,
    within: float = math.inf,
) -> list[Any]:
    within = min(within, _ANSWER_WITHIN)
    message = Message(
        destination=destination,
        path=path,
        interface=interface,
        member=method,
        flags=MessageFlag.NO_AUTOSTART,
        signature=signature,
        body=list(arguments),
    )
    try:
        async with asyncio.timeout(within):
            # On a closed connection a call would neither be answered nor fail.
            reply = await bus.call(message) if bus.connected else None
    except TimeoutError:
        raise RuntimeUnavailable(
            f"systemd did not answer {method} within {within:.3g} s", failure=Failure.TIMEOUT
        ) from None
    except (OSError, EOFError, DBusFastError) as error:
        raise RuntimeUnavailable(
            f"The bus broke during {method}: {_reason(error)}", failure=Failure.BROKEN
        ) from error
    if reply is None:
        raise RuntimeUnavailable(f"The bus hung up during {method}", failure=Failure.BROKEN)
    if reply.message_type is MessageType.ERROR:
        name, text = reply.error_name or "", str(reply.body[0]) if reply.body else ""
        if name in _NOT_ANSWERED:
            raise RuntimeUnavailable(
                f"systemd did not answer {method}: {text or name}", failure=_NOT_ANSWERED[name]
            )
        kind, hint = _ERRORS.get(name, (RuntimeUnavailable, ""))
        raise kind(f"systemd refused {method}: {text or name}", hint)
    return list(reply.body)


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
