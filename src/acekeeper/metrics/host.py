"""Gauges of what acekeeper stands on: its settings, its sweeps, its store and the disk."""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from loguru import logger
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from acekeeper import __version__
from acekeeper.metrics.families import FAMILIES
from acekeeper.metrics.series import gauge
from acekeeper.usecases.protocols import Store
from acekeeper.usecases.sweep import Sweeps

_LOOK_EVERY = 15.0


class Host(Collector):
    def __init__(
        self,
        runtime: str,
        sweeps: Sweeps,
        store: Store,
        state_dir: Path,
        lines_lost: Callable[[], int],
    ) -> None:
        self._runtime = runtime
        self._sweeps = sweeps
        self._store = store
        self._state_dir = state_dir
        self._lines_lost = lines_lost
        self._free = self._size = float("nan")  # until it is known

    async def watch_disk(self) -> None:
        """A file system may hang, and then it must hang nobody who reads the metrics."""
        while True:
            try:
                found = await asyncio.to_thread(os.statvfs, self._state_dir)
            except OSError as error:
                logger.warning("disk_unread", why=str(error))
                self._free = self._size = float("nan")
            else:
                self._free = found.f_frsize * found.f_bavail
                self._size = found.f_frsize * found.f_blocks
            await asyncio.sleep(_LOOK_EVERY)

    def collect(self) -> Iterator[Metric]:
        build = gauge("orch_build_info")
        build.add_metric([__version__, self._runtime], 1)
        yield build
        intervals = gauge("orch_sweep_interval_seconds")
        for kind, seconds in self._sweeps.intervals.items():
            intervals.add_metric([kind.value], seconds)
        yield intervals
        last = gauge("orch_sweep_last_success_timestamp_seconds")
        for kind, when in self._sweeps.last.items():
            last.add_metric([kind.value], when.wall)
        yield last
        yield gauge("orch_store_queue", self._store.waiting)
        yield gauge("orch_store_degraded", bool(self._store.degraded))
        yield gauge("orch_state_dir_free_bytes", self._free)
        yield gauge("orch_state_dir_size_bytes", self._size)
        lost = "orch_log_lines_lost_total"
        yield CounterMetricFamily(lost, FAMILIES[lost].meaning, self._lines_lost())
