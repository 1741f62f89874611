"""/provision: a client asks for an engine of its own."""

import asyncio
from asyncio import Task
from collections.abc import Callable
from typing import Any

import msgspec
from litestar import Request, post
from litestar.exceptions import ClientException
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from acekeeper.api import bodies, wire
from acekeeper.api.context import Context, json_answer
from acekeeper.api.described import described
from acekeeper.core.actions import Code, Refusal
from acekeeper.core.facts import AnswerDelivered, AnswerLost
from acekeeper.core.model import Engine
from acekeeper.extensions import until_hung_up
from acekeeper.log import request_id_var
from acekeeper.usecases.loop import Loop
from acekeeper.usecases.requests import provision

_decoder = msgspec.json.Decoder(wire.ProvisionRequest)
_RETRY_AFTER_UNKNOWN = 30  # seconds, where nobody can tell: a client's own polling interval
_ERRORS = {
    Code.CIRCUIT_BREAKER: "Circuit breaker is open",
    Code.MAX_CAPACITY: "Maximum capacity reached",
    Code.VPN_DISCONNECTED: "No VPN is connected",
    Code.GENERAL_ERROR: "No engine could be provided",
}


def _described(answer: type) -> dict[str, Any]:
    refused = {409: wire.NotProvided, 503: wire.NotProvided}
    return described("key", answer, body=wire.ProvisionRequest, body_needed=False, also=refused)


@post("/provision/acestream", opt=_described(wire.Provisioned))
async def provision_acestream(request: Request[Any, Any, Any]) -> ASGIResponse:
    """An engine that is promised to the caller for 60 s or until its stream starts."""
    return await _provision(request, _acestream)


@post("/provision", opt=_described(wire.Named))
async def provision_container(request: Request[Any, Any, Any]) -> ASGIResponse:
    """As `/provision/acestream`, with less said."""
    return await _provision(request, _container)


async def _provision(
    request: Request[Any, Any, Any], shape: Callable[[Context, Engine], object]
) -> ASGIResponse:
    context = Context.of(request)
    body = await bodies.read_or_default(request, _decoder, wire.ProvisionRequest())
    _check(body, context.target_image)
    request_id = request_id_var.get() or ""
    hung_up = asyncio.create_task(until_hung_up(request.receive))
    work = asyncio.create_task(
        provision(context.loop, request_id, body.host_port, body.labels or {})
    )
    try:
        await asyncio.wait({work, hung_up}, return_when=asyncio.FIRST_COMPLETED)
    except BaseException:  # our own time ran out, in the very moment of an answer perhaps
        hung_up.cancel()
        context.loop.tell(AnswerLost(request_id))
        raise
    finally:
        work.cancel()
    if not work.done():
        return json_answer(b"", status=503)  # nobody is there to read it
    outcome = work.result()
    if isinstance(outcome, Engine):
        answer = msgspec.json.encode(shape(context, outcome))
        return _ClaimAnswer(answer, context.loop, request_id, hung_up)
    hung_up.cancel()
    return _refused(outcome)


class _ClaimAnswer(ASGIResponse):
    """A claim belongs to an answer that was delivered."""

    def __init__(self, body: bytes, loop: Loop, request_id: str, hung_up: Task[None]) -> None:
        super().__init__(body=body, status_code=200, media_type="application/json")
        self._loop = loop
        self._request_id = request_id
        self._hung_up = hung_up

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            # Sending to a caller that left raises nothing: look before the last byte goes.
            await asyncio.sleep(0)
            gone = self._hung_up.done()
            await super().__call__(scope, receive, send)
        except BaseException:
            self._loop.tell(AnswerLost(self._request_id))
            raise
        finally:
            self._hung_up.cancel()
        self._loop.tell((AnswerLost if gone else AnswerDelivered)(self._request_id))


def _check(body: wire.ProvisionRequest, target_image: str | None) -> None:
    if body.image not in (None, "", target_image):
        raise ClientException(f"image: only the configured one is run here ({target_image})")
    if body.env:
        raise ClientException("env: must be empty, an engine's flags are the operator's")


def _acestream(context: Context, engine: Engine) -> wire.Provisioned:
    ports = context.rules.ports.ports(engine.slot.port)
    return wire.Provisioned(
        container_id=engine.container_id,
        container_name=engine.slot.container_name,
        host_http_port=ports.http,
        container_http_port=ports.http,
        container_https_port=ports.https,
    )


def _container(_: Context, engine: Engine) -> wire.Named:
    return wire.Named(engine.container_id, engine.slot.container_name)


def refusal_detail(refusal: Refusal) -> wire.Refused:
    return wire.Refused(
        error=_ERRORS[refusal.code],
        code=refusal.code.value,
        message=refusal.message,
        recovery_eta_seconds=refusal.eta,
        can_retry=not refusal.conflict,
        should_wait=refusal.should_wait,
    )


def _refused(refusal: Refusal) -> ASGIResponse:
    body = msgspec.json.encode(wire.NotProvided(refusal_detail(refusal)))
    if refusal.conflict:
        return json_answer(body, status=409)
    headers = {"Retry-After": str(refusal.eta or _RETRY_AFTER_UNKNOWN)}
    return json_answer(body, headers, status=503)
