"""The user's Podman, over its socket: what systemd does not know of a container."""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar, cast

from podman import PodmanClient
from podman.errors import APIError, ImageNotFound, NotFound, PodmanError
from requests import RequestException

from acekeeper.adapters.bus import runtime_dir
from acekeeper.errors import RuntimeUnavailable

T = TypeVar("T")

_CALLS_AT_ONCE = 4
_ANSWER_WITHIN = 5.0
_ACTIVATE = "Start its socket: systemctl --user start podman.socket"


class Podman:
    """Its calls run on threads of their own, so that a Podman that hangs holds up nobody else.

    All raise RuntimeUnavailable.
    """

    def __init__(self, socket: Path | None = None, within: float = _ANSWER_WITHIN) -> None:
        self._socket = socket or Path(runtime_dir()) / "podman/podman.sock"
        self._within = within
        self._client = PodmanClient(base_url=f"http+unix://{self._socket}", timeout=within)
        self._threads = ThreadPoolExecutor(_CALLS_AT_ONCE, thread_name_prefix="podman")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()  # type: ignore[no-untyped-call]

    async def has_image(self, image: str) -> bool:
        return await self._call(lambda: self._client.images.get(image)) is not None

    async def inspect(self, container_id: str) -> dict[str, Any] | None:
        """None: there is no such container."""
        return await self._call(lambda: dict(self._client.containers.get(container_id).attrs))

    async def logs(self, container_id: str, tail: int) -> str | None:
        """The last lines of what the engine printed. None: there is no such container."""

        def read() -> str:
            container = self._client.containers.get(container_id)
            frames = cast(Iterable[bytes], container.logs(tail=tail))
            return b"".join(frames).decode(errors="replace")

        return await self._call(read)

    async def stats(self, container_id: str) -> dict[str, Any] | None:
        """What it uses at the moment. None: there is no such container."""

        def read() -> dict[str, Any] | None:
            container = self._client.containers.get(container_id)
            answer = cast(dict[str, Any], container.stats(stream=False, decode=True))
            return next(iter(answer["Stats"] or ()), None)

        return await self._call(read)

    async def _call(self, work: Callable[[], T]) -> T | None:
        if not self._socket.is_socket():  # the package would leave one open at each attempt
            raise RuntimeUnavailable(f"Podman has no socket at {self._socket}", _ACTIVATE)
        try:
            async with asyncio.timeout(self._within):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except (NotFound, ImageNotFound):
            return None
        except TimeoutError:
            raise RuntimeUnavailable(f"Podman did not answer within {self._within:g} s") from None
        except (APIError, PodmanError, RequestException, ValueError) as error:
            hint = "" if getattr(error, "response", None) is not None else _ACTIVATE
            raise RuntimeUnavailable(f"Podman cannot be asked: {error}", hint) from error
