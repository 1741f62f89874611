"""The user's systemd: jobs, units and their changes. Connects again when the bus goes away."""

import asyncio
import re
from asyncio import Future, Task
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus
from loguru import logger
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.wait import wait_exponential_jitter

from acekeeper.adapters import bus as user_bus
from acekeeper.adapters.bus import SYSTEMD, ask
from acekeeper.errors import RuntimeUnavailable

_PATH = "/org/freedesktop/systemd1"
_MANAGER = f"{SYSTEMD}.Manager"
_UNIT = f"{SYSTEMD}.Unit"
_SERVICE = f"{SYSTEMD}.Service"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_DBUS = "org.freedesktop.DBus"
_MATCHES = (
    f"type='signal',sender='{SYSTEMD}',interface='{_MANAGER}',member='JobRemoved'",
    f"type='signal',sender='{SYSTEMD}',interface='{_PROPERTIES}',member='PropertiesChanged',"
    f"path_namespace='{_PATH}/unit'",
    f"type='signal',sender='{_DBUS}',interface='{_DBUS}',member='NameOwnerChanged',"
    f"arg0='{SYSTEMD}'",
)
# dbus-fast drops the connection when a few thousand calls fill the socket's buffer.
_CALLS_AT_ONCE = 64
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0

GONE = frozenset({"inactive", "failed"})  # of ActiveState: nothing is left but what is recorded


class Unit(NamedTuple):
    """A service as its last change left it."""

    name: str
    active: str
    invocation: str
    busy: bool  # a job on it waits or runs
    main_pid: int
    result: str
    exit_code: int  # how its main process ended, as waitid(2) has it; 0 while it runs
    exit_status: int

    @property
    def is_gone(self) -> bool:
        return self.active in GONE

    @property
    def is_dead(self) -> bool:
        """What it ran has ended; systemd may still be clearing up."""
        return self.is_gone or (self.active == "deactivating" and self.main_pid == 0)


class Listener(Protocol):
    """Hears everything in the order in which systemd said it."""

    def connected(self) -> None: ...

    def lost(self, why: str) -> None: ...

    def changed(self, unit: Unit) -> None: ...


@dataclass(slots=True, eq=False)
class _Job:
    unit: str
    path: str = ""  # known when the reply to the request is in
    results: dict[str, str] = field(default_factory=dict)  # jobs may end before that
    ended: Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def settle(self) -> None:
        if self.path in self.results and not self.ended.done():
            self.ended.set_result(self.results[self.path])


class Systemd:
    """Made on a running event loop. Calls raise RuntimeUnavailable when nobody can answer, and
    EngineFailed when systemd refuses."""

    def __init__(self, address: str = "") -> None:
        self._address = address or user_bus.default_address()
        self._bus: MessageBus | None = None
        self._calls = asyncio.Semaphore(_CALLS_AT_ONCE)
        self._jobs: list[_Job] = []
        self._services: dict[str, dict[str, Any]] = {}  # the half of a change that comes first
        self._task: Task[None] | None = None

    def open(self, listener: Listener) -> None:
        """Connects in the background, and again whenever the connection is lost."""
        self._listener = listener
        self._task = asyncio.get_running_loop().create_task(self._stay_connected())
        self._task.add_done_callback(_log_defect)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._bus is not None:
            await user_bus.close(self._bus)
            self._bus = None

    async def start(self, unit: str) -> str:
        """The result of its job: `done`, `failed`, `canceled`, `timeout`, …"""
        return await self._job("StartUnit", unit, "fail")

    async def stop(self, unit: str) -> str:
        return await self._job("StopUnit", unit, "replace")

    async def states(self, pattern: str) -> dict[str, str]:
        """ActiveState by the unit's name, of all units that are loaded."""
        (units,) = await self._ask(_PATH, _MANAGER, "ListUnitsByPatterns", "asas", [], [pattern])
        return {unit[0]: unit[3] for unit in units}

    async def invocation(self, unit: str) -> str:
        """The start it is or was in; empty if it never ran or is forgotten."""
        property_name = (_UNIT, "InvocationID")
        (value,) = await self._ask(_path(unit), _PROPERTIES, "Get", "ss", *property_name)
        return bytes(value.value).hex()

    async def reset_failed(self, unit: str) -> None:
        await self._ask(_PATH, _MANAGER, "ResetFailedUnit", "s", unit)

    async def _job(self, method: str, unit: str, mode: str) -> str:
        job = _Job(unit)
        self._jobs.append(job)
        try:
            (job.path,) = await self._ask(_PATH, _MANAGER, method, "ss", unit, mode)
            job.settle()
            return await job.ended
        finally:
            self._jobs.remove(job)

    async def _ask(
        self, path: str, interface: str, method: str, signature: str, *arguments: object
    ) -> list[Any]:
        bus = self._bus
        if bus is None:
            raise RuntimeUnavailable("The user's systemd cannot be reached")
        async with self._calls:
            return await ask(bus, SYSTEMD, path, interface, method, signature, *arguments)

    async def _stay_connected(self) -> None:
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(RuntimeUnavailable),
            wait=wait_exponential_jitter(
                multiplier=_FIRST_PAUSE, max=_LONGEST_PAUSE, jitter=_FIRST_PAUSE
            ),
            before_sleep=_log_first,
        )
        while True:
            bus: MessageBus = await attempts(self._connect)
            self._bus = bus
            self._listener.connected()
            why = await user_bus.lost(bus)
            self._bus = None
            self._services.clear()
            for job in self._jobs:
                if not job.ended.done():
                    job.ended.set_exception(RuntimeUnavailable(f"systemd was lost: {why}"))
                    job.ended.exception()  # its reply may never come, and then nobody asks
            self._listener.lost(why)

    async def _connect(self) -> MessageBus:
        bus = await user_bus.connect(self._address)
        try:
            bus.add_message_handler(lambda message: self._heard(bus, message))
            for rule in _MATCHES:
                await ask(bus, _DBUS, "/org/freedesktop/DBus", _DBUS, "AddMatch", "s", rule)
            await ask(bus, SYSTEMD, _PATH, _MANAGER, "Subscribe")
        except BaseException:
            await user_bus.close(bus)
            raise
        return bus

    def _heard(self, bus: MessageBus, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        match message.member:
            case "JobRemoved":
                _, path, unit, result = message.body
                for job in self._jobs:
                    if job.unit == unit:
                        job.results[path] = result
                        job.settle()
            case "PropertiesChanged":
                self._properties_changed(message.path or "", *message.body[:2])
            case "NameOwnerChanged" if message.body[0] == SYSTEMD:
                bus.disconnect()  # another systemd, or none: what the last one was told is lost

    def _properties_changed(self, path: str, interface: str, properties: dict[str, Any]) -> None:
        """systemd tells all properties of a service, and right after them all of its unit."""
        if interface == _SERVICE:
            self._services[path] = properties
        elif interface == _UNIT and (service := self._services.pop(path, None)) is not None:
            self._listener.changed(
                Unit(
                    name=_name(path),
                    active=properties["ActiveState"].value,
                    invocation=bytes(properties["InvocationID"].value).hex(),
                    busy=properties["Job"].value[0] != 0,
                    main_pid=service["MainPID"].value,
                    result=service["Result"].value,
                    exit_code=service["ExecMainCode"].value,
                    exit_status=service["ExecMainStatus"].value,
                )
            )


def _path(unit: str) -> str:
    escaped = "".join(c if c.isascii() and c.isalnum() else f"_{ord(c):02x}" for c in unit)
    return f"{_PATH}/unit/{escaped}"


def _name(path: str) -> str:
    return re.sub("_([0-9a-f]{2})", lambda m: chr(int(m[1], 16)), path.rpartition("/")[2])


def _log_first(attempt: RetryCallState) -> None:
    """One line for an outage, however long it lasts."""
    if attempt.attempt_number == 1 and attempt.outcome is not None:
        logger.warning("systemd_unreachable", why=str(attempt.outcome.exception()))


def _log_defect(task: Task[None]) -> None:
    """It ends only when it is cancelled."""
    if not task.cancelled():
        logger.opt(exception=task.exception()).critical("nobody listens to systemd any more")
