"""The message system of the fleet: core NATS, without anything that stores."""

import asyncio
import ssl
import time
from asyncio import Task
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from random import SystemRandom
from typing import NamedTuple

from loguru import logger
from msgspec.structs import replace
from nats.errors import Error, UnexpectedEOF

from acekeeper.adapters import nats_wire as wire
from acekeeper.adapters.certificates import BadCertificates, Certificates
from acekeeper.adapters.nats_connection import Connection, Ended, Server
from acekeeper.adapters.nats_wire import BadMessage, Subjects, Topic
from acekeeper.core.fleet.facts import FleetFact, LinkDown, LinkUp
from acekeeper.core.fleet.model import Digest, Position, SharedEngine
from acekeeper.core.gateway.model import Declined, Elsewhere, NotPlayed, PlayAsk
from acekeeper.errors import Failure, NoAnswer

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # a random part of it; it doubles
_DOUBLINGS = 6
_LOG_EVERY = 60.0
_SYNC_EVERY = 0.5  # of one host: an answer is long
_PLAYS_MOST = 64  # of one host, at once

_chances = SystemRandom()


class _Ears(NamedTuple):
    """Who is told of what is heard."""

    told: Callable[[FleetFact], object]
    sync_asked: Callable[[str], object]
    play_asked: Callable[[str, PlayAsk], Awaitable[Elsewhere | Declined]]
    dropped: Callable[[str, str], object]


class _Seldom:
    """Lets through what was not let through for a while."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._last: dict[str, float] = {}

    def __call__(self, key: str) -> bool:
        now = time.monotonic()
        if now - self._last.get(key, -self._every) < self._every:
            return False
        self._last = {k: at for k, at in self._last.items() if now - at < self._every}
        self._last[key] = now
        return True


class NatsBus:
    """`name`: of the fleet, which calls this host `me`. Without `certificates`, a directory,
    nothing is encrypted. To be run once."""

    def __init__(
        self, name: str, me: str, servers: Sequence[tuple[str, int]], certificates: Path | None
    ) -> None:
        self._me = me
        self._subjects = Subjects(name, me)
        # Each host in an order of its own: no server has all of them.
        self._servers = _chances.sample([Server(*at) for at in servers], len(servers))
        self._certificates = Certificates(certificates) if certificates is not None else None
        self._connection: Connection | None = None  # takes what is published
        self._is_connected = asyncio.Event()
        self._has_echo = False  # something came back on this connection, or else on the last
        self._epoch = ""  # of our last beat
        self._plays: dict[Task[None], str] = {}  # the hosts that asked
        self._may_log = _Seldom(_LOG_EVERY)
        self._may_sync = _Seldom(_SYNC_EVERY)

    @property
    def is_up(self) -> bool:
        return self._has_echo and self._connection is not None

    @property
    def certificate_days(self) -> float | None:
        """Until that of this host ends; None without one."""
        return self._certificates.days() if self._certificates is not None else None

    async def run(
        self,
        told: Callable[[FleetFact], object],
        sync_asked: Callable[[str], object],
        play_asked: Callable[[str, PlayAsk], Awaitable[Elsewhere | Declined]],
        dropped: Callable[[str, str], object],
    ) -> None:
        """The link is up when a beat of ours came back; so `beat` is to be called while it is
        down, too."""
        ears = _Ears(told, sync_asked, play_asked, dropped)
        tries = 0  # since the link went down
        for server in cycle(self._servers):
            longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(tries, _DOUBLINGS))
            await asyncio.sleep(_chances.uniform(0, longest))
            connection = Connection(partial(self._take, ears), self._refused)
            try:
                why = await self._connected(connection, server)
                if self._has_echo:
                    tries = 0
                if tries == 0:
                    told(LinkDown(why))
                elif self._may_log(why):
                    logger.warning("fleet_not_reached", why=why)
            finally:
                await self._leave(connection)
            tries += 1

    def beat(self, at: Position, digest: Digest) -> None:
        if self._connection is not None:
            self._epoch = at.epoch
            self._connection.publish(self._subjects.told(Topic.BEAT), wire.beat(at, digest))
            self._connection.await_echo()

    def changed(
        self, at: Position, digest: Digest, up: Sequence[SharedEngine], gone: Sequence[str]
    ) -> None:
        self._publish(self._subjects.told(Topic.STATE), wire.change(at, digest, up, gone))

    def snapshot(
        self, host: str, at: Position, digest: Digest, engines: Sequence[SharedEngine]
    ) -> None:
        self._publish(self._subjects.snapshot(host), wire.snapshot(at, digest, engines))

    def sync(self, host: str) -> None:
        self._publish(self._subjects.asked(host, Topic.SYNC), b"")

    async def play(self, host: str, ask: PlayAsk) -> Elsewhere | Declined:
        until = asyncio.get_running_loop().time() + ask.within
        try:
            async with asyncio.timeout_at(until):
                said = await self._answer(host, ask, until)
        except TimeoutError:
            raise NoAnswer(f"no answer in {ask.within:.1f} s", failure=Failure.TIMEOUT) from None
        try:
            return wire.read_answer(host, said)
        except BadMessage as error:
            raise NoAnswer(f"its answer cannot be read: {error}") from None

    def drop(self, host: str, request: str) -> None:
        self._publish(self._subjects.asked(host, Topic.DROP), wire.drop(request))

    async def _answer(self, host: str, ask: PlayAsk, until: float) -> bytes:
        """It is asked again where a connection was lost, perhaps with the answer: the same request
        gets the same session."""
        loop, subject = asyncio.get_running_loop(), self._subjects.asked(host, Topic.PLAY)
        while True:
            await self._is_connected.wait()
            if self._connection is None:
                continue  # it is lost already
            within = max(0.0, until - loop.time())
            try:
                return await self._connection.ask(subject, wire.play(replace(ask, within=within)))
            except NoAnswer as error:
                if error.failure is not Failure.BROKEN:
                    raise

    def _publish(self, subject: str, body: bytes) -> None:
        if self._connection is not None:
            self._connection.publish(subject, body)

    async def _connected(self, connection: Connection, server: Server) -> str:
        """Why it is not any more, or did not come to be."""
        self._has_echo = False
        try:
            tls = None
            if self._certificates is not None:
                tls = await asyncio.to_thread(self._certificates.context)
            await connection.open(server, tls, self._subjects.inbox, self._subjects.heard)
            self._connection = connection
            self._is_connected.set()
            await connection.last()
        except BadCertificates as error:
            return str(error)
        except (Ended, OSError, Error) as error:
            if (self.certificate_days or 0) < 0:
                return "the certificate of this host has expired"
            return f"{server} {_words(error)}"
        finally:
            self._connection = None
            self._is_connected.clear()

    async def _leave(self, connection: Connection) -> None:
        """The answers to those that asked have no way any more."""
        for play in self._plays:
            play.cancel()
        await asyncio.gather(*self._plays, return_exceptions=True)
        await connection.close()

    def _take(self, ears: _Ears, subject: str, body: bytes, reply: str) -> None:
        host = ""
        try:
            topic, host = self._subjects.read(subject)
            if host == self._me:
                self._take_own(ears, topic, body)
                return
            match topic:
                case Topic.BEAT:
                    ears.told(wire.read_beat(host, body))
                case Topic.STATE:
                    ears.told(wire.read_change(host, body))
                case Topic.SNAP:
                    ears.told(wire.read_snapshot(host, body))
                case Topic.SYNC:
                    if self._may_sync(host):
                        ears.sync_asked(host)
                case Topic.PLAY:
                    self._take_play(ears, host, wire.read_play(body), reply)
                case Topic.DROP:
                    ears.dropped(host, wire.read_drop(body))
        except BadMessage as error:
            if self._may_log(host):
                logger.warning("fleet_message_unread", host=host, why=str(error))

    def _take_own(self, ears: _Ears, topic: Topic, body: bytes) -> None:
        if topic is not Topic.BEAT or self._connection is None:
            return
        if wire.read_beat(self._me, body).at.epoch != self._epoch:
            raise BadMessage("another host has the name of this one: set FLEET_HOST there")
        self._connection.echoed()
        if not self._has_echo:
            self._has_echo = True
            ears.told(LinkUp())

    def _take_play(self, ears: _Ears, host: str, ask: PlayAsk, reply: str) -> None:
        if not reply:
            raise BadMessage("it asks for a play, and not for an answer")
        if sum(asking == host for asking in self._plays.values()) >= _PLAYS_MOST:
            words = f"{_PLAYS_MOST} plays of this host are under way"
            self._publish(reply, wire.answer(Declined(NotPlayed.NO_ENGINE, words)))
            return
        play = asyncio.create_task(self._play(ears, host, ask, reply))
        self._plays[play] = host
        play.add_done_callback(self._plays.pop)

    async def _play(self, ears: _Ears, host: str, ask: PlayAsk, reply: str) -> None:
        self._publish(reply, wire.answer(await ears.play_asked(host, ask)))

    def _refused(self, why: str) -> None:
        if self._may_log(why):
            logger.warning("fleet_message_refused", why=why)


def _words(error: Exception) -> str:
    """What a server did."""
    match error:
        case Ended():
            return str(error)
        case ssl.SSLCertVerificationError():
            return f"has a certificate that does not hold: {error.verify_message}"
        case ssl.SSLError():
            reason = (error.reason or "no reason given").lower().replace("_", " ")
            return f"does not take the certificate of this host: {reason}"
        case TimeoutError():
            return "does not answer"
        case ConnectionRefusedError():
            return "refuses the connection"
        case ConnectionError() | UnexpectedEOF():
            return "closed the connection"
        case OSError():
            return f"cannot be reached: {error.strerror or error}"
        case _:
            pass
    said = str(error).removeprefix("nats: ").strip("'")
    if "authorization" in said.lower():
        return "does not let this host in"
    return f"ended the connection: {said}"
