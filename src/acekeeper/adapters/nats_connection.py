"""One connection to one server of the fleet, from its begin to its end. Nothing is kept for the
next one, and nothing of nats-py's own reconnecting is used."""

import asyncio
import logging
import ssl
from asyncio import Future
from collections.abc import Callable, Sequence
from contextlib import suppress
from secrets import token_hex
from typing import NamedTuple, NoReturn

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.transport import TcpTransport
from nats.errors import Error

from acekeeper.errors import Failure, NoAnswer

_STEP_WITHIN = 2  # seconds, for TCP, for the server's greeting, for TLS, and for its first answer
_TICK = 0.5
_SILENT_TICKS = 6
_UNSENT_MOST = 16 * 1024 * 1024  # bytes
_ASK_EVERY = 2.0  # seconds
_NO_RESPONDERS = "503"
_CLOSED = "closed the connection"

# nats-py does not tell its protocol that it is over TLS, and asyncio minds at every end of one.
logging.getLogger("asyncio").addFilter(lambda record: "from eof_received()" not in record.msg)

Took = Callable[[str, bytes, str], None]
"""A message: its subject, its body, and where its answer is to go."""


class Server(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Ended(Exception):
    """The connection is over, or did not come to be; its words say what the server did."""


class _Heard(Future[Msg]):
    """Gets every message of a subscription, in the order in which they came. In nats-py's queues,
    of which each subscription has one, two messages of one host would change places."""

    def __init__(self, took: Callable[[Msg], None]) -> None:
        super().__init__()
        self._took = took

    def set_result(self, message: Msg, /) -> None:
        self._took(message)


class Connection:
    """Made on a running event loop; `close` it in any case. `refused` is told what the server did
    not let this host say, or hear."""

    def __init__(self, took: Took, refused: Callable[[str], object]) -> None:
        self._took = took
        self._tell_refused = refused
        self._client = Client()
        self._is_made = False
        self._is_echo_due = False
        self._refused = ""  # the last, while no echo came
        self._inbox = ""
        self._unsent: asyncio.Queue[tuple[str, bytes, str]] = asyncio.Queue()
        self._answers: dict[str, Future[Msg]] = {}
        self._defect: Future[None] = asyncio.get_running_loop().create_future()

    async def open(
        self, server: Server, tls: ssl.SSLContext | None, inbox: str, subjects: Sequence[str]
    ) -> None:
        """Raises Ended, OSError, or Error of nats-py."""
        try:
            await self._client.connect(
                servers=[f"nats://{server}"],
                tls=tls,
                error_cb=self._on_error,
                allow_reconnect=False,
                connect_timeout=_STEP_WITHIN,
                pending_size=0,  # so that nothing is kept, and `publish` waits for nothing
            )
        except (OSError, Error):
            raise
        except Exception as error:
            raise Ended("does not answer as NATS does") from error
        self._is_made = True
        if not self._client.is_connected:
            raise Ended(_CLOSED)
        if tls is not None and not self._is_encrypted:
            raise Ended("does not encrypt")
        self._inbox = f"{inbox}.{token_hex(8)}."
        await self._client.subscribe(f"{self._inbox}*", future=_Heard(self._answered))
        for subject in subjects:
            await self._client.subscribe(subject, future=_Heard(self._hear))

    async def last(self) -> NoReturn:
        """Until it ends: raises as `open`, or what `took` raised."""
        # nats-py stops reading in any case, but does not call back in any case.
        if (reading := self._client._reading_task) is None:
            raise Ended(_CLOSED)
        sending = asyncio.create_task(self._send())
        watching = asyncio.create_task(self._watch())
        own = (sending, watching)
        try:
            await asyncio.wait({reading, self._defect, *own}, return_when=asyncio.FIRST_COMPLETED)
            if self._defect.done():
                self._defect.result()
            if watching.done():
                watching.result()
            if self._client.last_error is not None:
                raise self._client.last_error
            if sending.done():
                sending.result()
            raise Ended(_CLOSED)
        finally:
            for task in own:
                task.cancel()
            await asyncio.gather(*own, return_exceptions=True)

    async def close(self) -> None:
        """Without a goodbye: a server that stands still would hold it for half a minute."""
        self._abort()
        if self._is_made:
            # It tries to write what it had not written.
            with suppress(OSError, Error):
                async with asyncio.timeout(_STEP_WITHIN):
                    await self._client.close()
        for answer in self._answers.values():
            if not answer.done():
                why = "the connection to the fleet was lost"
                answer.set_exception(NoAnswer(why, failure=Failure.BROKEN))

    def publish(self, subject: str, body: bytes, reply: str = "") -> None:
        if self._client.pending_data_size > _UNSENT_MOST:
            self._abort()
        else:
            self._unsent.put_nowait((subject, body, reply))

    def await_echo(self) -> None:
        """What was published last is to come back."""
        self._is_echo_due = True

    def echoed(self) -> None:
        self._is_echo_due = False
        self._refused = ""

    async def ask(self, subject: str, body: bytes) -> bytes:
        """The answer. Raises NoAnswer, which is BROKEN if the connection ends before it came. Asks
        again and again: what was sent may be lost between two connections of whoever is asked."""
        answer: Future[Msg] = asyncio.get_running_loop().create_future()
        tokens: list[str] = []
        try:
            while not answer.done():
                tokens.append(token_hex(8))  # a server lets each be answered once
                self._answers[tokens[-1]] = answer
                self.publish(subject, body, self._inbox + tokens[-1])
                await asyncio.wait({answer}, timeout=_ASK_EVERY)
            message = answer.result()
        finally:
            for token in tokens:
                del self._answers[token]
        if message.headers is not None and message.headers.get("Status") == _NO_RESPONDERS:
            raise NoAnswer("nobody of that name is connected", failure=Failure.UNREACHABLE)
        return message.data

    async def _send(self) -> None:
        while True:
            await self._client.publish(*await self._unsent.get())

    async def _watch(self) -> None:
        """By turns of the event loop, which may have stood still itself."""
        silent = 0
        while silent < _SILENT_TICKS:
            await asyncio.sleep(_TICK)
            silent = silent + 1 if self._is_echo_due else 0
        raise Ended(self._refused or f"said nothing for {_TICK * _SILENT_TICKS:.0f} s")

    def _hear(self, message: Msg) -> None:
        try:
            self._took(message.subject, message.data, message.reply)
        except Exception as error:
            if not self._defect.done():
                self._defect.set_exception(error)

    def _answered(self, message: Msg) -> None:
        answer = self._answers.get(message.subject.removeprefix(self._inbox))
        if answer is not None and not answer.done():
            answer.set_result(message)

    async def _on_error(self, error: Exception) -> None:
        if not self._is_made:
            raise error  # else nats-py tries for ever
        if "permissions violation" in str(error):
            self._refused = f"does not allow it ({str(error).removeprefix('nats: ')})"
            self._tell_refused(self._refused)

    @property
    def _writer(self) -> asyncio.StreamWriter | None:
        transport = self._client._transport
        return transport._io_writer if isinstance(transport, TcpTransport) else None

    @property
    def _is_encrypted(self) -> bool:
        writer = self._writer
        return writer is not None and writer.get_extra_info("ssl_object") is not None

    def _abort(self) -> None:
        if (writer := self._writer) is not None:
            writer.transport.abort()
