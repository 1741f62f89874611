"""Joins a fleet, as the settings have it. Imported only where there is one."""

from contextlib import AsyncExitStack

from acekeeper.metrics import Metrics
from acekeeper.settings import Settings
from acekeeper.usecases.loop import Loop


def join(stack: AsyncExitStack, settings: Settings, loop: Loop, metrics: Metrics) -> None:
    """From here on, until `stack` ends it."""
    raise NotImplementedError
