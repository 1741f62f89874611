"""Bodies are decoded by our own decoders: strict where the framework would coerce."""

from typing import Any, TypeVar

import msgspec
from litestar import Request
from litestar.exceptions import HTTPException

T = TypeVar("T")


async def read(request: Request[Any, Any, Any], decoder: msgspec.json.Decoder[T]) -> T:
    """Raises msgspec's errors (400 with the path of the bad field), 415, or 413."""
    body = await request.body()
    _require_json(request)
    return decoder.decode(body)


async def read_or_default(
    request: Request[Any, Any, Any], decoder: msgspec.json.Decoder[T], default: T
) -> T:
    body = await request.body()
    if not body:
        return default
    _require_json(request)
    return decoder.decode(body)


def _require_json(request: Request[Any, Any, Any]) -> None:
    """A form post of another site's page cannot say that it is JSON without asking first."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(
            status_code=415, detail="send Content-Type: application/json with a JSON body"
        )
