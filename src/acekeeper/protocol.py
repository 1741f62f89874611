"""One connection: HTTP/1.1 in which nothing that a caller sends, or does not take, is unbounded."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from acekeeper.crowd import Crowd
from acekeeper.deadlines import Deadlines
from acekeeper.extensions import BODY, CUT, WAITED, WHOLE
from acekeeper.listening import since_data_came

_STEP = 4096  # bytes parsed at once: what they make is small
_STEPS = 8  # then other connections have their turn
# Bytes that make a request longer and no body of it: its head, and what frames and follows chunks.
_BARE_MOST = 64 * 1024
_FIELDS_MOST = 100  # of a head, or behind a body: each takes many times its bytes in memory
_FRAME = 16  # of these, what belongs to each piece of a body
_UNREAD_MOST = 1024 * 1024  # of a body that goes on after its answer began
_LINGER_S = 2  # from a refusal to the end, or its caller, who still sends, would not see it

_NOTHING = memoryview(b"")
_AFTER_AUTHORITY = re.compile(rb"[/?#]")


class Protocol(HttpToolsProtocol):
    """`unheard` makes the whole answer to what never gets to the app. `within` (seconds) a head
    comes, a body ends after its answer, and an answer is taken. `once`: there is one request on a
    connection, and what comes behind it is dropped; so a caller who hangs up is always noticed,
    while a second request that waits would keep us from reading on."""

    _rest = _NOTHING  # what came and waits; meanwhile nothing is read
    _is_held = False
    _is_in_head = True
    _bare = 0
    _unread = 0
    _refusal: tuple[int, str] | None = None
    _is_over = False  # whatever still comes is dropped
    _has_asked = False  # with `once`: the request is there, and what follows is dropped
    _answered: RequestResponseCycle | None = None  # the request whose turn it is
    _late: asyncio.TimerHandle | None = None
    _untaken: asyncio.TimerHandle | None = None

    def __init__(
        self,
        *given: Any,
        unheard: Callable[[int, str], bytes],
        within: float,
        idle: "Deadlines[Protocol]",
        crowd: Crowd,
        once: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(*given, **more)
        self._unheard = unheard
        self._within = within
        self._idle = idle
        self._crowd = crowd
        self._once = once

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = _Flow(transport, self._read_on)
        self._extensions: Any = {CUT: transport.abort, WHOLE: self._answer_whole}
        if self._once:
            self._extensions[WAITED] = since_data_came(transport.get_extra_info("socket"))
        if not self._crowd.enter(self, len(self.connections)):
            self._refuse(503, "too many connections wait for their answers; try again")
            return
        self._idle.add(self)  # one that never sends a request is closed after that time too

    def connection_lost(self, exc: Exception | None) -> None:
        self._drop()
        self._crowd.leave(self)
        self._unset_keepalive_if_required()
        if self._untaken is not None:
            self._untaken.cancel()
        if self._answered is not None and not self._answered.response_complete:
            self._answered.disconnected = True  # uvicorn tells the newest request alone
            self._answered.message_event.set()
        super().connection_lost(exc)
        self._is_held = False
        # These know us: there is no garbage to find.
        del self._extensions[WHOLE]
        self.flow = None  # type: ignore[assignment]

    def let_go(self) -> None:
        """Others need its place."""
        self._drop()
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if not (self._is_over or self._has_asked):
            self._rest = memoryview(data)
            self._read()

    def _read(self) -> None:
        if self.transport.is_closing():
            self._drop()
        for _ in range(_STEPS):
            if not self._rest or self._is_full:
                break
            most = min(_STEP, _BARE_MOST - self._bare)
            step, self._rest = self._rest[:most], self._rest[most:]
            self._bare += len(step)
            super().data_received(step)  # type: ignore[arg-type]
            if self._bare >= _BARE_MOST:
                self._refuse(431, f"more than {_BARE_MOST} bytes of a request are not its body")
            elif self._unread > _UNREAD_MOST:
                self._end()
        if self._rest:
            self._is_held = True
            self.transport.pause_reading()
            if not self._is_full:
                self.loop.call_soon(self._read)
        elif self._is_held:
            self._read_on()
        if self._is_in_head and not (self._is_over or self._is_answering):
            if not self._bare:
                self._idle.add(self)
            elif self._late is None:
                self._late = self.loop.call_later(self._within, self._head_is_late)

    def _read_on(self) -> None:
        """Parses what was read already before more is read."""
        self._is_held = True
        if self._is_full:
            return
        if self._rest:
            self.loop.call_soon(self._read)
        else:
            self._is_held = False
            self.transport.resume_reading()

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if len(self.headers) > _FIELDS_MOST:
            raise ValueError("too many fields")  # which ends the parsing: `send_400_response`

    def on_headers_complete(self) -> None:
        if self._has_asked:
            return
        self._be_in_time()
        super().on_headers_complete()
        self._is_in_head = False
        self._bare = 0
        self._unread = 0
        if not self.url.startswith(b"/"):
            self._name_target()
        self.scope["extensions"] = self._extensions
        self.headers = []  # what comes behind a body is no header

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def _answer_whole(self, status: int, headers: bytes, body: bytes) -> bool:
        cycle = self._answered
        if cycle is None or cycle.disconnected or self.flow.write_paused:
            return False
        cycle.response_started = cycle.response_complete = True
        given = [b"%b: %b\r\n" % header for header in cycle.default_headers]
        end = b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n"
        head = [httptools_impl.STATUS_LINE[status], *given, headers, end]
        self.transport.write(b"".join([*head, body]))
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()
        return True

    def on_body(self, body: bytes) -> None:
        self._bare = max(0, self._bare - len(body) - _FRAME)
        super().on_body(body)
        if self.cycle.response_started:
            self._unread += len(body)

    def on_message_complete(self) -> None:
        self._be_in_time()
        self._is_in_head = True
        self._bare = 0
        self._crowd.busy(self)
        super().on_message_complete()
        if len(self.cycle.body) <= _STEP:
            self.cycle.scope["state"][BODY] = bytes(self.cycle.body)
        if self._once:
            self._has_asked = True
            self._rest = _NOTHING

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()
            if self.pipeline:
                self._start_asgi_task(*self.pipeline.pop())
            else:
                self._idle.add(self)
        if self._is_held:
            self._read_on()
        if self._is_answering:  # the next of the pipeline
            return
        if self._refusal is not None:
            self._tell_refusal()
            return
        if self.transport.is_closing():
            self.loop.call_soon(self._wait_while_closing)  # most need no timer
        elif self.flow.write_paused:
            self._wait_until_taken()
        self._crowd.idle(self)
        if not self._is_in_head and self._late is None:
            self._late = self.loop.call_later(self._within, self._end)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._crowd.slow(self, self.transport.get_write_buffer_size())
        if not self._is_answering:
            self._wait_until_taken()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._crowd.took(self)
        if self._untaken is not None and not self.transport.is_closing():
            self._untaken.cancel()
            self._untaken = None

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        if len(self.headers) > _FIELDS_MOST:
            self._refuse(431, f"more than {_FIELDS_MOST} header fields")
        else:
            self._refuse(400, msg)

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and (bool(self.pipeline) or not self.cycle.response_complete)  # type: ignore[redundant-expr]

    @property
    def _is_full(self) -> bool:
        """No more is parsed before what was parsed is answered or taken."""
        return self.flow.read_paused or bool(self.pipeline)

    def _name_target(self) -> None:
        """A target with an authority is meant by that, whatever `Host` says (RFC 9112, 3.2.2)."""
        _, separator, rest = self.url.partition(b"://")
        if separator:
            authority = _AFTER_AUTHORITY.split(rest, maxsplit=1)[0]
            self.headers[:] = [header for header in self.headers if header[0] != b"host"]
            self.headers.append((b"host", authority))

    def _unset_keepalive_if_required(self) -> None:
        self._idle.discard(self)

    def _wait_while_closing(self) -> None:
        if not self._is_over:
            self._wait_until_taken()

    def _wait_until_taken(self) -> None:
        if self._untaken is None:
            self._untaken = self.loop.call_later(self._within, self.transport.abort)

    def _be_in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _head_is_late(self) -> None:
        within = f"the {self._within:g} s of API_REQUEST_TIMEOUT_S"
        self._refuse(408, f"its head did not come within {within}")

    def _refuse(self, status: int, why: str) -> None:
        """The requests before it are answered first."""
        if self._is_over:
            return
        is_behind = self._is_in_head
        self._drop()
        self._refusal = status, why
        if not self._is_answering:
            self._tell_refusal()
        elif not is_behind:
            self._break_off()

    def _break_off(self) -> None:
        """The body of the newest request is not to be had."""
        if self.pipeline or self.cycle.response_started:
            self.transport.abort()
            return
        self.cycle.disconnected = True
        self.cycle.message_event.set()
        self._tell_refusal()

    def _tell_refusal(self) -> None:
        if self._refusal is not None and not self.transport.is_closing():
            self.transport.write(self._unheard(*self._refusal))
            self._linger()

    def _end(self) -> None:
        """A body did not end with its answer."""
        if self._is_over:
            return
        self._drop()
        if self._is_answering:
            self.transport.abort()
        elif not self.transport.is_closing():
            self._linger()

    def _linger(self) -> None:
        self._unset_keepalive_if_required()
        self.loop.call_later(_LINGER_S, self.transport.abort)
        self.flow.resume_reading()
        self.transport.write_eof()

    def _drop(self) -> None:
        self._be_in_time()
        self._is_over = True
        self._rest = _NOTHING


class _Flow(FlowControl):
    """Asks before it goes on."""

    def __init__(self, transport: asyncio.Transport, read_on: Callable[[], None]) -> None:
        super().__init__(transport)
        self._read_on = read_on

    def resume_reading(self) -> None:
        if self.read_paused:
            self.read_paused = False
            self._read_on()
