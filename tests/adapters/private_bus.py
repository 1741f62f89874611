"""A real dbus-daemon of the test's own, and a systemd on its far side that does as it is told."""

import asyncio
import itertools
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Message, MessageType, RequestNameReply, Variant
from dbus_fast.aio import MessageBus

NAME = "org.freedesktop.systemd1"
NO_REPLY = "org.freedesktop.DBus.Error.NoReply"  # what the bus says in the place of who left
PATH = "/org/freedesktop/systemd1"
CONFIG = """\
<busconfig>
  <type>session</type>
  <listen>{address}</listen>
  <policy context="default">
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


class Daemon:
    def __init__(self, directory: Path) -> None:
        self.address = f"unix:path={directory}/bus"
        self._socket = directory / "bus"
        self._config = directory / "bus.conf"
        self._config.write_text(CONFIG.format(address=self.address))
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        program = shutil.which("dbus-daemon")
        if program is None:
            if os.environ.get("CI"):
                pytest.fail("dbus-daemon is not installed")
            pytest.skip("dbus-daemon is not installed")
        options = (f"--config-file={self._config}", "--nofork", "--print-address")
        self._process = await asyncio.create_subprocess_exec(
            program, *options, stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        assert await self._process.stdout.readline()  # it listens now

    async def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process._transport.close()  # type: ignore[attr-defined]
            self._process = None
            self._socket.unlink(missing_ok=True)


@dataclass
class FakeUnit:
    """As `systemctl show` would have it."""

    active: str = "inactive"
    invocation: str = ""
    main_pid: int = 0
    result: str = "success"
    exit_code: int = 0
    exit_status: int = 0
    ended: float = 0.0
    job: int = 0

    def of_service(self) -> dict[str, Variant]:
        return {
            "MainPID": Variant("u", self.main_pid),
            "Result": Variant("s", self.result),
            "ExecMainCode": Variant("i", self.exit_code),
            "ExecMainStatus": Variant("i", self.exit_status),
            "ExecMainExitTimestampMonotonic": Variant("t", round(self.ended * 1e6)),
        }

    def of_unit(self) -> dict[str, Variant]:
        job = (self.job, f"{PATH}/job/{self.job}" if self.job else "/")
        return {
            "ActiveState": Variant("s", self.active),
            "InvocationID": Variant("ay", bytes.fromhex(self.invocation)),
            "Job": Variant("(uo)", list(job)),
        }


@dataclass
class Job:
    """A request for a job, which the test answers in its own time and order."""

    systemd: "FakeSystemd"
    call: Message
    number: int

    @property
    def unit(self) -> str:
        return str(self.call.body[0])

    @property
    def path(self) -> str:
        return f"{PATH}/job/{self.number}"

    def reply(self) -> None:
        self.systemd.send(Message.new_method_return(self.call, "o", [self.path]))

    def refuse(self, error: str, text: str) -> None:
        self.systemd.send(Message.new_error(self.call, error, text))

    def removed(self, result: str = "done") -> None:
        self.systemd.job_removed(self.number, self.unit, result)

    def run(self, *steps: Callable[[], None]) -> None:
        for step in steps:
            step()


@dataclass
class FakeSystemd:
    """By itself it starts and stops what it is asked to; a test may put its own in place."""

    units: dict[str, FakeUnit] = field(default_factory=dict)
    calls: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    on_start: Callable[[Job], None] | None = None
    on_stop: Callable[[Job], None] | None = None
    on_get: Callable[[Message], bool] | None = None  # True: it is not answered
    refuses: dict[str, tuple[str, str]] = field(default_factory=dict)  # methods, by error and text
    loses: dict[str, int] = field(default_factory=dict)  # how often still: calls, by method
    jobs: "asyncio.Queue[Job]" = field(default_factory=asyncio.Queue)
    subscribed: "asyncio.Queue[None]" = field(default_factory=asyncio.Queue)
    _numbers: Iterable[int] = field(default_factory=lambda: itertools.count(1))
    _bus: MessageBus | None = None

    async def open(self, address: str) -> None:
        self._bus = await MessageBus(bus_address=address).connect()
        self._bus.add_message_handler(self._handle)
        assert await self._bus.request_name(NAME) is RequestNameReply.PRIMARY_OWNER

    async def close(self) -> None:
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.disconnect()
            await asyncio.gather(bus.wait_for_disconnect(), return_exceptions=True)  # type: ignore[no-untyped-call]

    def send(self, message: Message) -> None:
        assert self._bus is not None
        self._bus.send(message)

    def count(self, method: str) -> int:
        return sum(name == method for name, _ in self.calls)

    def started(self, unit: str, invocation: str, main_pid: int = 100) -> None:
        """Signals of a start that succeeds."""
        self.change(unit, active="activating", invocation=invocation, main_pid=main_pid, job=1)
        self.change(unit, active="active")
        self.change(unit, job=0)

    def change(self, unit: str, **values: Any) -> None:
        """As systemd tells it: all of the service's properties, then all of its unit's."""
        state = self.units.setdefault(unit, FakeUnit())
        for name, value in values.items():
            assert hasattr(state, name)
            setattr(state, name, value)
        self._signal(unit, "Service", state.of_service())
        self._signal(unit, "Unit", state.of_unit())

    def job_removed(self, number: int, unit: str, result: str) -> None:
        body = [number, f"{PATH}/job/{number}", unit, result]
        manager = f"{NAME}.Manager"
        self.send(Message.new_signal(PATH, manager, "JobRemoved", "uoss", body))

    def _signal(self, unit: str, kind: str, properties: dict[str, Variant]) -> None:
        path = f"{PATH}/unit/{escaped(unit)}"
        body = [f"{NAME}.{kind}", properties, []]
        interface = "org.freedesktop.DBus.Properties"
        self.send(Message.new_signal(path, interface, "PropertiesChanged", "sa{sv}as", body))

    def _handle(self, call: Message) -> Message | bool:
        if call.message_type is not MessageType.METHOD_CALL:
            return False
        method = call.member or ""
        self.calls.append((method, tuple(call.body)))
        if self.loses.get(method):
            self.loses[method] -= 1
            return Message.new_error(call, NO_REPLY, "left without a word")
        if method in self.refuses:
            return Message.new_error(call, *self.refuses[method])
        match method:
            case "Subscribe":
                self.subscribed.put_nowait(None)
            case "StartUnit" | "RestartUnit":
                self._job(call, self.on_start or self._start)
                return True
            case "StopUnit":
                self._job(call, self.on_stop or self._stop)
                return True
            case "ListUnitsByPatterns":
                rows = [
                    [name, "", "loaded", unit.active, "", "", "/", 0, "", "/"]
                    for name, unit in self.units.items()
                ]
                return Message.new_method_return(call, "a(ssssssouso)", [rows])
            case "Get":
                if self.on_get is not None and self.on_get(call):
                    return True
                return self.got(call)
            case "GetAll":
                return self._all(call)
            case _:
                pass
        return Message.new_method_return(call)

    def got(self, call: Message) -> Message:
        return Message.new_method_return(call, "v", [self._unit(call).of_unit()["InvocationID"]])

    def _all(self, call: Message) -> Message:
        unit = self._unit(call)
        is_unit = call.body[0] == f"{NAME}.Unit"
        properties = unit.of_unit() if is_unit else unit.of_service()
        return Message.new_method_return(call, "a{sv}", [properties])

    def _unit(self, call: Message) -> FakeUnit:
        """One that is not known is loaded, as systemd does it."""
        name = next((n for n in self.units if (call.path or "").endswith(escaped(n))), "")
        return self.units.get(name, FakeUnit())

    def _job(self, call: Message, then: Callable[[Job], None]) -> None:
        job = Job(self, call, next(iter(self._numbers)))
        self.jobs.put_nowait(job)
        then(job)

    def _start(self, job: Job) -> None:
        job.reply()
        self.started(job.unit, f"{job.number:032x}")
        job.removed()

    def _stop(self, job: Job) -> None:
        job.reply()
        self.change(job.unit, active="deactivating", job=job.number)
        self.change(job.unit, main_pid=0, exit_code=os.CLD_EXITED, exit_status=0)
        self.change(job.unit, active="inactive")
        job.removed()
        self.change(job.unit, job=0)


def escaped(unit: str) -> str:
    return unit.replace("@", "_40").replace(".", "_2e").replace("-", "_2d")
