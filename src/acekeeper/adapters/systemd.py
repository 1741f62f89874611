"""The user's systemd: jobs, units and their changes. Connects again when the bus goes away."""

import asyncio
from asyncio import Future, Task
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Protocol

from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus
from loguru import logger
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from acekeeper.adapters import user_bus
from acekeeper.adapters.retries import Retries, failure_of, pauses
from acekeeper.adapters.unit import Unit, decode, name_of, path_of
from acekeeper.adapters.user_bus import SYSTEMD, ask
from acekeeper.errors import AcekeeperError, Failure, RuntimeUnavailable

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
# Of a connection. It is tried for ever, so that neither setting of the retries is for it.
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_READ_WITHIN = 20.0  # all attempts together; a list is two reads, one after the other
_SOURCE = "systemd"  # in metrics


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

    def __init__(
        self,
        retries: Retries,
        address: str = "",
        asked: Callable[[str, float], None] = lambda _method, _seconds: None,
    ) -> None:
        """`asked` is told of every call, and the seconds it took."""
        self._retries = retries
        self._asked = asked
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
        """The result of its job: `done`, `failed`, `canceled`, `timeout`, … Whoever calls says how
        long that may take."""
        before = await self.invocation(unit)
        asked = False

        async def attempt(left: float) -> str:
            nonlocal asked
            if asked and (result := await self._became(unit, before, left)):
                return result
            asked = True
            return await self._job("StartUnit", unit, "fail", left)

        return await self._retries(_SOURCE, attempt)

    async def restart(self, unit: str) -> str:
        """As `start`, also of what does not run."""
        return await self._retries(
            _SOURCE, lambda left: self._job("RestartUnit", unit, "replace", left)
        )

    async def stop(self, unit: str, incarnation: str = "") -> str:
        """As `start`. What is stopped again is that very start, if it is given."""
        asked = False

        async def attempt(left: float) -> str:
            nonlocal asked
            if asked and incarnation and await self._invocation(unit, left) != incarnation:
                return "done"
            asked = True
            return await self._job("StopUnit", unit, "replace", left)

        return await self._retries(_SOURCE, attempt)

    async def states(self, pattern: str) -> dict[str, str]:
        """ActiveState by the unit's name, of all units that are loaded."""

        async def attempt(left: float) -> dict[str, str]:
            (units,) = await self._call(left, "ListUnitsByPatterns", "asas", [], [pattern])
            return {unit[0]: unit[3] for unit in units}

        return await self._retries(_SOURCE, attempt, _READ_WITHIN)

    async def invocation(self, unit: str) -> str:
        """The start it is or was in; empty if it never ran or is forgotten."""
        return await self._retries(_SOURCE, lambda left: self._invocation(unit, left), _READ_WITHIN)

    async def reset_failed(self, unit: str) -> None:
        words = ("ResetFailedUnit", "s", unit)
        await self._retries(_SOURCE, lambda left: self._call(left, *words), _READ_WITHIN)

    async def _became(self, unit: str, before: str, left: float) -> str:
        """What came of a start that was not answered: the result of its job. Empty: nothing."""
        job = _Job(unit)
        self._jobs.append(job)  # it may end while we look
        try:
            of_unit = await self._properties(unit, _UNIT, left)
            found = decode(unit, of_unit, await self._properties(unit, _SERVICE, left))
            is_new = found.invocation not in ("", before)
            if is_new:
                self._listener.changed(found)  # nobody heard what was told meanwhile
            if found.busy:
                job.path = of_unit["Job"].value[1]
                job.settle()
                return await job.ended
        finally:
            self._jobs.remove(job)
        if not is_new:
            return ""
        return "failed" if found.is_dead else "done"

    async def _job(self, method: str, unit: str, mode: str, left: float) -> str:
        job = _Job(unit)
        self._jobs.append(job)
        try:
            (job.path,) = await self._call(left, method, "ss", unit, mode)
            job.settle()
            return await job.ended
        finally:
            self._jobs.remove(job)

    async def _invocation(self, unit: str, left: float) -> str:
        words = ("ss", _UNIT, "InvocationID")
        (value,) = await self._ask(left, _path(unit), _PROPERTIES, "Get", *words)
        return bytes(value.value).hex()

    async def _properties(self, unit: str, interface: str, left: float) -> dict[str, Any]:
        (found,) = await self._ask(left, _path(unit), _PROPERTIES, "GetAll", "s", interface)
        return dict(found)

    async def _call(self, left: float, method: str, signature: str, *words: object) -> list[Any]:
        return await self._ask(left, _PATH, _MANAGER, method, signature, *words)

    async def _ask(
        self, left: float, path: str, interface: str, method: str, *words: Any
    ) -> list[Any]:
        bus = self._bus
        if bus is None:
            raise RuntimeUnavailable(
                "The user's systemd cannot be reached", failure=Failure.UNREACHABLE
            )
        async with self._calls:
            began = perf_counter()
            try:
                return await ask(bus, SYSTEMD, path, interface, method, *words, within=left)
            finally:
                self._asked(method, perf_counter() - began)

    async def _stay_connected(self) -> None:
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(RuntimeUnavailable),
            wait=pauses(_FIRST_PAUSE, _LONGEST_PAUSE),
            before_sleep=self._not_connected,
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
                    error = RuntimeUnavailable(f"systemd was lost: {why}", failure=Failure.BROKEN)
                    job.ended.set_exception(error)
                    job.ended.exception()  # its reply may never come, and then nobody asks
            self._listener.lost(why)

    def _not_connected(self, attempt: RetryCallState) -> None:
        """Counts every attempt; one line for an outage, however long it lasts."""
        error = attempt.outcome.exception() if attempt.outcome else None
        if isinstance(error, AcekeeperError):
            self._retries.failed(_SOURCE, failure_of(error))
        if attempt.attempt_number == 1:
            logger.warning("systemd_unreachable", why=str(error))

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
            self._listener.changed(decode(name_of(path), properties, service))


def _path(unit: str) -> str:
    return f"{_PATH}/unit/{path_of(unit)}"


def _log_defect(task: Task[None]) -> None:
    """It ends only when it is cancelled."""
    if not task.cancelled():
        logger.opt(exception=task.exception()).critical("systemd_not_heard")
