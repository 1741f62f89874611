"""The user's Podman, over its socket: what systemd does not know of a container, and whether the
engine image is on this host."""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import msgspec
from msgspec import Meta, Struct, field

from acekeeper.adapters.retries import Retries
from acekeeper.adapters.systemctl import systemctl
from acekeeper.adapters.tail import LONGEST_LOG, last_lines
from acekeeper.adapters.user_bus import runtime_dir
from acekeeper.core.inspection import Inspection
from acekeeper.core.model import Now
from acekeeper.errors import Failure, RuntimeUnavailable

if TYPE_CHECKING:
    from podman import PodmanClient

T = TypeVar("T")

_CALLS_AT_ONCE = 4
_ANSWER_WITHIN = 5.0
_ALL_WITHIN = 10.0  # all attempts together
_AGAIN = frozenset({Failure.TIMEOUT, Failure.BROKEN})  # a socket that is missing stays so
_ASK_EVERY = 300.0  # for an image: each time Podman's service is started for it
LOAD = "The playbook with `--tags image` brings it"
MEND = "`acekeeper doctor` says what to do"
SOCKET = "podman.socket"
_ACTIVATE = f"Start its socket: {systemctl('start', SOCKET)}"

_Text = Annotated[str, Meta(max_length=1024)]


class Podman:
    """Its calls run on threads of their own, so that a Podman that hangs holds up nobody else.
    There the package is loaded too, by who needs it: it is a fifth of what a start would load.

    All raise RuntimeUnavailable.
    """

    def __init__(
        self,
        retries: Retries,
        socket: Path | None = None,
        within: float = _ANSWER_WITHIN,
        asked: Callable[[str, float], None] = lambda _call, _seconds: None,
    ) -> None:
        """`asked` is told of every call, and the seconds it took."""
        self._retries = retries
        self._asked = asked
        self._socket = socket or Path(runtime_dir()) / "podman/podman.sock"
        self._within = within
        self._threads = ThreadPoolExecutor(_CALLS_AT_ONCE, thread_name_prefix="podman")
        self._lock = Lock()
        self._made: PodmanClient | None = None

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._made is not None:
            self._made.close()  # type: ignore[no-untyped-call]

    @property
    def has_socket(self) -> bool:
        """Its file: who listens there is systemd's to say."""
        return self._socket.is_socket()

    async def has_image(self, image: str) -> bool:
        return await self._call("has_image", lambda: self._client.images.get(image)) is not None

    async def inspect(self, container_id: str) -> dict[str, Any] | None:
        """None: there is no such container."""
        return await self._call(
            "inspect", lambda: dict(self._client.containers.get(container_id).attrs)
        )

    async def logs(self, container_id: str, tail: int) -> str | None:
        """The last lines of what the engine printed, as far as they fit `LONGEST_LOG` bytes. None:
        there is no such container."""

        def read() -> str:
            container = self._client.containers.get(container_id)
            frames = container.logs(tail=tail, stream=True, follow=False)
            kept = bytearray()
            for frame in cast(Iterable[bytes], frames):
                kept += frame
                if len(kept) > 2 * LONGEST_LOG:
                    del kept[:-LONGEST_LOG]
            return last_lines(bytes(kept), tail)

        return await self._call("logs", read)

    @property
    def _client(self) -> "PodmanClient":
        from podman import PodmanClient

        with self._lock:
            if self._made is None:
                url = f"http+unix://{self._socket}"
                self._made = PodmanClient(base_url=url, timeout=self._within)
            return self._made

    async def _call(self, name: str, work: Callable[[], T]) -> T | None:
        """All are reads."""

        async def attempt(left: float) -> T | None:
            began = perf_counter()
            try:
                return await self._attempt(work, left)
            finally:
                self._asked(name, perf_counter() - began)

        return await self._retries("podman", attempt, _ALL_WITHIN, _AGAIN)

    async def _attempt(self, work: Callable[[], T], left: float) -> T | None:
        within = min(self._within, left)
        if not self.has_socket:  # the package would leave one open at each attempt
            raise RuntimeUnavailable(
                f"Podman has no socket at {self._socket}", _ACTIVATE, Failure.UNREACHABLE
            )
        try:
            async with asyncio.timeout(within):
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._threads, _translated, work)
        except TimeoutError:
            raise RuntimeUnavailable(
                f"Podman did not answer within {within:.3g} s", failure=Failure.TIMEOUT
            ) from None


def _translated(work: Callable[[], T]) -> T | None:
    from podman.errors import APIError, ImageNotFound, NotFound, PodmanError
    from requests import RequestException

    try:
        return work()
    except (NotFound, ImageNotFound):
        return None
    except (APIError, PodmanError, RequestException, ValueError) as error:
        answered = getattr(error, "response", None) is not None
        raise RuntimeUnavailable(
            f"Podman cannot be asked: {error}",
            "" if answered else _ACTIVATE,
            Failure.ERROR if answered else _failure(error),
        ) from error


def _failure(error: Exception) -> Failure:
    from requests import exceptions

    match error.__cause__ or error:  # the package wraps what its client met
        case exceptions.Timeout():
            return Failure.TIMEOUT
        case exceptions.ConnectionError() | exceptions.ChunkedEncodingError():
            return Failure.BROKEN
        case _:
            return Failure.ERROR


class Image:
    """`name` by its digest or id, as Podman and a unit take it."""

    def __init__(self, name: str, podman: Podman, clock: Callable[[], Now]) -> None:
        self.name = name
        self._podman = podman
        self._clock = clock
        self._ask_at = 0.0
        self._lacked = ""

    async def lacks(self) -> str:
        """Why no engine can start from it; empty if all is well with it. While Podman cannot be
        asked, it is as it was. One that was there lately is not asked for again."""
        now = self._clock().mono
        if now < self._ask_at:
            return ""
        try:
            is_there = await self._podman.has_image(self.name)
        except RuntimeUnavailable as error:
            if error.failure is Failure.ERROR:  # it was asked, and cannot read its storage
                self._lacked = f"The image {self.name} cannot be read: {error.message}. {MEND}"
            return self._lacked
        self._lacked = "" if is_there else f"The image {self.name} is not on this host. {LOAD}"
        if is_there:
            self._ask_at = now + _ASK_EVERY
        return self._lacked

    def doubt(self) -> None:
        """A start failed as if it were missing."""
        self._ask_at = 0.0


class _State(Struct, rename="pascal"):
    status: _Text | None = None
    pid: int = 0
    exit_code: int | None = None
    oom_killed: bool | None = field(default=None, name="OOMKilled")


class _Container(Struct, rename="pascal"):
    state: _State = field(default_factory=_State)
    image: _Text | None = None
    image_name: _Text | None = None
    image_digest: _Text | None = None
    created: datetime | None = None


async def inspection(podman: Podman, unit: str, container_id: str) -> Inspection:
    if not container_id:
        return Inspection(unit=unit, unread="it has no container yet")
    try:
        attributes = await podman.inspect(container_id)
    except RuntimeUnavailable as error:
        return Inspection(unit=unit, unread=str(error))
    if attributes is None:
        return Inspection(unit=unit, unread="Podman has no such container any more")
    return read_inspection(unit, attributes)


def read_inspection(unit: str, attributes: dict[str, Any]) -> Inspection:
    try:
        found = msgspec.convert(attributes, _Container)
    except msgspec.ValidationError as error:
        return Inspection(unit=unit, unread=f"Podman said what is not understood: {error}")
    return Inspection(
        unit=unit,
        status=found.state.status,
        pid=found.state.pid or None,
        exit_code=None if found.state.status == "running" else found.state.exit_code,
        oom_killed=found.state.oom_killed,
        image=found.image_name,
        image_id=found.image,
        image_digest=found.image_digest,
        created=found.created.timestamp() if found.created else None,
    )
