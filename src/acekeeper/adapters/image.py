"""The engine image: whether it is on this host, as Podman says."""

from collections.abc import Callable

from acekeeper.adapters.podman import Podman
from acekeeper.core.model import Now
from acekeeper.errors import RuntimeUnavailable

_ASK_EVERY = 300.0  # each time Podman's service is started for it
HINT = "Pull or load it as our user"


class Image:
    """`name` by its digest or id, as Podman and a unit take it."""

    def __init__(self, name: str, podman: Podman, clock: Callable[[], Now]) -> None:
        self.name = name
        self._podman = podman
        self._clock = clock
        self._ask_at = 0.0

    @property
    def absence(self) -> str:
        return f"The image {self.name} is not on this host"

    async def is_missing(self) -> bool:
        """One that was there lately is not asked for again. Nor is it missing as long as Podman
        cannot be asked."""
        now = self._clock().mono
        if now < self._ask_at:
            return False
        try:
            if not await self._podman.has_image(self.name):
                return True
        except RuntimeUnavailable:
            return False
        self._ask_at = now + _ASK_EVERY
        return False

    def doubt(self) -> None:
        """A start failed as if it were missing."""
        self._ask_at = 0.0
