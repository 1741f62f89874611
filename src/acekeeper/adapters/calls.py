"""HTTP calls to engines and VPNs, bounded in time and in size."""

import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import aiohttp
from aiohttp import AddrInfoType, ClientTimeout
from yarl import URL

from acekeeper.core.names import Slot, bracketed
from acekeeper.errors import Failure, NoAnswer

_LONGEST_ANSWER = 64 * 1024


class Reply(NamedTuple):
    status: int
    media_type: str
    location: str | None
    body: bytes

    def json(self) -> dict[str, Any]:
        try:
            answer = json.loads(self.body)
        except (ValueError, RecursionError):
            raise NoAnswer(
                f"answered {self.status} {shown(self.media_type)}, which is not JSON"
            ) from None
        if not isinstance(answer, dict):
            raise NoAnswer(f"answered {self.status}: {shown(answer)}")
        return answer


def new_session(most: int, to_one: int) -> aiohttp.ClientSession:
    """`most` connections at once, and `to_one` engine; 0 is any number."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=most, limit_per_host=to_one, socket_factory=connect),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": "identity"},
        auto_decompress=False,  # a small answer must not become a large one here
        trust_env=False,
    )


def connect(to: AddrInfoType) -> socket.socket:
    """On one host the connection is there when this returns, so that nobody waits for it."""
    connection = socket.socket(*to[:3])
    connection.setblocking(False)
    with suppress(OSError):  # raised again when it is waited for
        connection.connect_ex(to[4])
    return connection


async def get(
    session: aiohttp.ClientSession,
    slot: Slot,
    path: str,
    query: str,
    within: float,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    try:
        url = URL.build(
            scheme="http",
            host=bracketed(slot.host),
            port=slot.port,
            path=path,
            query_string=query,
            encoded=True,
        )
        async with session.get(
            url,
            allow_redirects=False,
            timeout=ClientTimeout(total=within),
            headers=headers,
        ) as response:
            return Reply(
                response.status,
                response.content_type,
                response.headers.get("Location"),
                await _body(response),
            )
    except TimeoutError:
        raise NoAnswer(f"no answer within {within:.3g} s", failure=Failure.TIMEOUT) from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        why, failure = _why(error)
        raise NoAnswer(why, failure=failure) from error


def shown(value: object) -> str:
    """Safe to log, whatever an engine or an event said."""
    return f"{value!a:.80}"


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > _LONGEST_ANSWER:
            raise NoAnswer(f"answered more than {_LONGEST_ANSWER} bytes")
    return bytes(body)


def _why(error: aiohttp.ClientError | OSError | ValueError) -> tuple[str, Failure]:
    match error:
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
            return "refused the connection", Failure.UNREACHABLE
        case aiohttp.ClientConnectorError():
            return f"cannot be reached: {error.os_error.strerror}", Failure.UNREACHABLE
        case aiohttp.ClientConnectionError():
            return "hung up", Failure.BROKEN
        case aiohttp.ClientPayloadError():
            return "broke off its answer", Failure.BROKEN
        case aiohttp.ClientError():
            return "answered what is not HTTP", Failure.ERROR
        case OSError():
            return f"cannot be reached: {error.strerror}", Failure.UNREACHABLE
        case _:
            return f"cannot be asked: {error}", Failure.ERROR  # its address is not one
