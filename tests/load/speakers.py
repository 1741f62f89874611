"""Hosts of a fleet that only speak: `python -m tests.load.speakers PORT FIRST HOSTS ENGINES`.

Each has a connection of its own, beats once a second, and tells of one of its engines as often as
all of them change once a minute. It answers whoever asks for its engines.
"""

import asyncio
import random
import sys

from nats.aio.client import Client
from nats.aio.msg import Msg

import nats
from acekeeper.adapters import nats_wire
from acekeeper.adapters.nats_wire import Subjects, Topic
from acekeeper.core.fleet.model import Digest, Doing, Position, SharedEngine

FLEET = "home"
CHANGES_EVERY_S = 60.0  # of each engine


class Speaker:
    def __init__(self, number: int, engines: int) -> None:
        self._subjects = Subjects(FLEET, name(number))
        self._at = Position(f"{random.getrandbits(64):016x}", 0)
        self._engines = {
            f"engine-{19000 + n}": SharedEngine(f"engine-{19000 + n}", 19000 + n, Doing.FREE, 0)
            for n in range(engines)
        }
        self._client = Client()

    async def run(self, port: int) -> None:
        self._client = await nats.connect(f"nats://127.0.0.1:{port}", connect_timeout=30)
        asked = self._subjects.asked(self._subjects.me, Topic.SYNC).rpartition(".")[0]
        await self._client.subscribe(f"{asked}.*", cb=self._snapshot)
        await asyncio.gather(self._beats(), self._changes())

    async def _beats(self) -> None:
        await asyncio.sleep(random.random())
        while True:
            body = nats_wire.beat(self._at, self._digest)
            await self._client.publish(self._subjects.told(Topic.BEAT), body)
            await asyncio.sleep(1.0)

    async def _changes(self) -> None:
        while True:
            await asyncio.sleep(random.expovariate(len(self._engines) / CHANGES_EVERY_S))
            before = random.choice([*self._engines.values()])
            doing, streams = (Doing.FREE, 0) if before.streams else (Doing.TAKEN, 1)
            after = SharedEngine(before.id, before.port, doing, streams)
            self._engines[after.id] = after
            self._at = Position(self._at.epoch, self._at.seq + 1)
            body = nats_wire.change(self._at, self._digest, [after], [])
            await self._client.publish(self._subjects.told(Topic.STATE), body)

    async def _snapshot(self, asked: Msg) -> None:
        _, host = self._subjects.read(asked.subject)
        body = nats_wire.snapshot(self._at, self._digest, [*self._engines.values()])
        await self._client.publish(self._subjects.snapshot(host), body)

    @property
    def _digest(self) -> Digest:
        streams = sum(engine.streams for engine in self._engines.values())
        engines = len(self._engines)
        return Digest(
            version="1.0.0", engines=engines, free=engines - streams, room=0, streams=streams
        )


def name(number: int) -> str:
    return f"host-{number}"


async def main(port: int, first: int, hosts: int, engines: int) -> None:
    speakers = (Speaker(number, engines) for number in range(first, first + hosts))
    await asyncio.gather(*(speaker.run(port) for speaker in speakers))


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
