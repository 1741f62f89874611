"""Events pour in and acekeeper is killed, again and again: nothing acknowledged may be missing.

Meanwhile another program is at its database, and the reader of its log stands still now and then;
or its disk is full or hangs.
"""

import asyncio
import sqlite3
from collections import deque
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import aiohttp

from ..api import bodies
from ..contract.service import NO_SWEEPS, eventually
from ..disks import Disk
from .books import Books, Kind
from .troubles import Collected, disk_faults, foreign, log_readers, pauses_of_the_collector

SETTINGS: dict[str, object] = {"MIN_REPLICAS": 0, **NO_SWEEPS}
_OF_TROUBLES = ("store_degraded", "store_recovered", "log_lines_lost", "request_refused")
_SINGLES, _BATCHES = 6, 2
_EVENTS_A_LIFE = 1000  # at the most, before the kill
_OPEN = 30  # started streams of one teller, so that the list of all of them stays short
_LATE = 3  # ends of one teller that went ahead: the service remembers so many thousands
_NEWEST = 10_000  # ended streams the API still lists
_AFTER_A_REFUSAL_S = 0.05
_UNREACHABLE = (aiohttp.ClientError, OSError, TimeoutError)


class Event(NamedTuple):
    kind: Kind
    stream: str

    @property
    def body(self) -> dict[str, Any]:
        """On an engine that is not ours: nobody but the client can say that it has ended."""
        if self.kind is Kind.STARTED:
            return bodies.started(labels={"stream_id": self.stream})
        return {"stream_id": self.stream, "reason": "eof"}


@dataclass(slots=True)
class Tally:
    kills: int = 0
    missing: int = 0
    acknowledged: int = 0
    unkept: int = 0

    def __str__(self) -> str:
        return (
            f"{self.kills} kills, {self.acknowledged:,} acknowledged events,"
            f" {self.missing} missing; {self.unkept:,} that were not kept"
        )


class Teller:
    """A client that tells of streams, some twice, some ends before their starts."""

    def __init__(self, name: str, rng: Random, books: Books, recent: deque[Event]) -> None:
        self._name = name
        self._rng = rng
        self._books = books
        self._recent = recent  # of all tellers: one repeats what another has just said
        self._numbers = count()
        self._open: list[str] = []
        self._late: list[str] = []  # their ends went ahead
        self.unkept = 0

    def event(self) -> Event:
        draw = self._rng.random()
        if draw < 0.1 and self._recent:
            return self._rng.choice(self._recent)
        if draw < 0.1 + 0.05 * (len(self._late) < _LATE):
            self._late.append(self._new())
            event = Event(Kind.ENDED, self._late[-1])
        elif draw < 0.2 and self._late:
            event = Event(Kind.STARTED, self._late.pop(0))
        elif self._open and (draw < 0.55 or len(self._open) >= _OPEN):
            event = Event(Kind.ENDED, self._taken(self._open))
        else:
            self._open.append(self._new())
            event = Event(Kind.STARTED, self._open[-1])
        self._recent.append(event)
        return event

    async def singles(self, http: aiohttp.ClientSession, base: str) -> None:
        """Until nobody answers any more."""
        while await self._tell(http, base, self.event()):
            pass

    async def batches(self, http: aiohttp.ClientSession, base: str) -> None:
        while await self._tell_all(http, base, [self.event() for _ in range(self._size())]):
            pass

    async def tell_late(self, http: aiohttp.ClientSession, base: str) -> None:
        """The starts that are still to come. They must be known as over by the end before them."""
        for stream in self._late:
            event = Event(Kind.STARTED, stream)
            while not self._books.is_acknowledged(*event):
                assert await self._tell(http, base, event)
        self._late.clear()

    async def _tell(self, http: aiohttp.ClientSession, base: str, event: Event) -> bool:
        self._books.sent(*event)
        try:
            async with http.post(f"{base}/events/stream_{event.kind}", json=event.body) as answer:
                status = answer.status
        except _UNREACHABLE:
            return False
        if status == 503:
            return await self._was_not_kept()
        assert status == 202, status
        self._books.was_acknowledged(*event)
        return True

    async def _was_not_kept(self) -> bool:
        self.unkept += 1
        await asyncio.sleep(_AFTER_A_REFUSAL_S)
        return True

    async def _tell_all(self, http: aiohttp.ClientSession, base: str, events: list[Event]) -> bool:
        by_kind = {kind: [event for event in events if event.kind is kind] for kind in Kind}
        for event in events:
            self._books.sent(*event)
        body = {kind.value: [event.body for event in told] for kind, told in by_kind.items()}
        try:
            async with http.post(f"{base}/events/batch", json=body) as answer:
                if answer.status == 503:
                    return await self._was_not_kept()
                assert answer.status == 200, answer.status
                results = await answer.json()
        except _UNREACHABLE:
            return False
        for kind, told in by_kind.items():
            for event, result in zip(told, results[kind.value], strict=True):
                if result["success"]:
                    self._books.was_acknowledged(*event)
                elif result["error"] == "stream not found":
                    assert kind is Kind.ENDED
                else:
                    self.unkept += 1
        return True

    def _new(self) -> str:
        return f"{self._name}-{next(self._numbers)}"

    def _size(self) -> int:
        return self._rng.choice([2, 20, 200])

    def _taken(self, streams: list[str]) -> str:
        return streams.pop(self._rng.randrange(len(streams)))


class Killing:
    """On a disk of its own, if given, and then the troubles are those of the disk."""

    def __init__(self, directory: Path, seed: int, disk: Disk | None = None) -> None:
        self._seed = seed
        self._rng = Random(seed)
        self._disk = disk
        self._books = Books()
        state = (disk.path if disk else directory) / "state"
        self._service = Collected(state, SETTINGS, slots=1, start_delay=0)
        self._service.log_file = directory / "log"
        recent: deque[Event] = deque(maxlen=50)
        self._tellers = [
            Teller(f"{n}", Random(f"{seed}-{n}"), self._books, recent)
            for n in range(_SINGLES + _BATCHES)
        ]
        self.tally = Tally()

    async def run(self, kills: int) -> Tally:
        """What is missing, or otherwise not as it must be, fails with the lines that say so."""
        try:
            await self._service.start()
            while self.tally.kills < kills:
                async with AsyncExitStack() as troubles:
                    await self._begin(troubles)
                    await self._round()
                await self._check()
            async with aiohttp.ClientSession() as http:
                for teller in self._tellers:
                    await teller.tell_late(http, self._service.base)
            await self._check()
            assert await self._service.stop() == 0
            self._service.wait_for_collector()
            log = [line for line in self._service.log() if line["level"] != "INFO"]
            assert [line for line in log if line["event"] not in _OF_TROUBLES] == []
        finally:
            self._service.end()
        return self.tally

    async def _begin(self, troubles: AsyncExitStack) -> None:
        rng = Random(f"{self._seed}-troubles-{self.tally.kills}")
        if self._disk is not None:
            await troubles.enter_async_context(disk_faults(self._disk, rng))
            return
        troubles.enter_context(foreign(self._service, rng.randrange(1_000_000)))
        await troubles.enter_async_context(log_readers(self._service))
        await troubles.enter_async_context(pauses_of_the_collector(self._service, rng))

    async def _round(self) -> None:
        async with aiohttp.ClientSession() as http:
            tasks = [
                asyncio.create_task(
                    teller.singles(http, self._service.base)
                    if n < _SINGLES
                    else teller.batches(http, self._service.base)
                )
                for n, teller in enumerate(self._tellers)
            ]
            enough = self._books.acknowledged + self._rng.randrange(_EVENTS_A_LIFE)
            await eventually(lambda: self._have_come(enough))
            await self._kill()
            await asyncio.gather(*tasks)
        while self._rng.random() < 0.15:  # it gets no further than into its start
            self._service.launch()
            await asyncio.sleep(self._rng.uniform(0, 1.0))
            await self._kill()
        await self._service.start()

    async def _have_come(self, events: int) -> bool:
        return self._books.acknowledged >= events

    async def _kill(self) -> None:
        await self._service.kill()
        self.tally.kills += 1

    async def _check(self) -> None:
        started = await self._service.stream_ids("started")
        ended = await self._service.stream_ids("ended")
        stored = self._stored()
        assert len(ended) == min(_NEWEST, sum(status == Kind.ENDED for status in stored.values()))
        listed = dict.fromkeys(started, Kind.STARTED) | dict.fromkeys(ended, Kind.ENDED)
        assert listed.items() <= stored.items()
        self.tally.acknowledged = self._books.acknowledged
        self.tally.unkept = sum(teller.unkept for teller in self._tellers)
        self.tally.missing += len(self._books.missing(stored))
        wrong = self._books.disagreements(stored)
        assert not wrong, "\n".join([str(self.tally), *wrong[:20]])

    def _stored(self) -> dict[str, Kind]:
        """From the file itself: of many ended streams the API lists the newest."""
        path = self._service.state / "acekeeper.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            rows = db.execute("SELECT id, ended IS NOT NULL FROM streams").fetchall()
        return {stream: Kind.ENDED if ended else Kind.STARTED for stream, ended in rows}
