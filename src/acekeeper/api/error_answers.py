"""Every error answer, in one table: `{"detail": …}` whatever went wrong."""

from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from loguru import logger

from acekeeper.errors import RuntimeUnavailable, StoreFailed

_RETRY_AFTER = {"Retry-After": "2"}


def detail(
    request: Request[Any, Any, Any], status: int, text: str, headers: dict[str, str] | None = None
) -> Response[bytes]:
    request.scope["state"]["why"] = text  # for the log
    return Response(
        msgspec.json.encode({"detail": text}),
        status_code=status,
        headers=headers,
        media_type="application/json",
    )


def answer(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    match error:
        case msgspec.ValidationError() | msgspec.DecodeError():
            return detail(request, 400, str(error))
        case ValidationException(extra=[{"key": key, "message": message}, *_]):
            return detail(request, 400, f"{key}: {message}")
        case HTTPException():
            headers = dict(error.headers or {})
            return detail(request, error.status_code, error.detail, headers)
        case StoreFailed() | RuntimeUnavailable():
            return detail(request, 503, str(error), _RETRY_AFTER)
        case _:
            logger.opt(exception=error).error("request_failed", path=request.url.path)
            text = "internal error; the log has it under this request's id"
            return detail(request, 500, text)
