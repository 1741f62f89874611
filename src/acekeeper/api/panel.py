"""/panel: the pool as a page that stays true. Its files hold no data and are open: a browser sends
no key with an address. What they show is asked for with the key."""

from pathlib import Path
from typing import Any

from litestar import Request, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response.base import ASGIResponse

from acekeeper.api.board import Board
from acekeeper.api.context import Context
from acekeeper.api.deadline import ENDLESS
from acekeeper.api.described import described

_MEDIA = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_FILES = {
    path.name: (path.read_bytes(), _MEDIA[path.suffix])
    for path in Path(__file__).parents[1].joinpath("panel").iterdir()
}
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # one version of us, one version of them
}


@get("/panel", opt=described("open", str, media="text/html"))
async def page() -> ASGIResponse:
    """The pool as a page that stays true, with buttons for what an operator does."""
    return _file("index.html")


@get("/panel/{name:str}", opt=described("open", str, media="*/*"))
async def file(name: FromPath[str]) -> ASGIResponse:
    """What the page consists of."""
    return _file(name)


@get("/panel/live", opt=described("read", str, media="text/event-stream") | {ENDLESS: True})
async def follow(request: Request[Any, Any, Any]) -> ASGIResponse:
    """What the page shows, as server-sent events: all of it first, then what changes.

    An event's `data` has `engines`, `streams` and the fleet's `hosts` by name, null for what is
    gone, and the whole `overview`; there is at most one in a second.
    """
    board: Board = request.app.state["board"]
    return Context.of(request).followers.follow(board.feed)


def _file(name: str) -> ASGIResponse:
    found = _FILES.get(name)
    if found is None:
        raise NotFoundException(f"the panel has no file {name[:80]}")
    body, media = found
    return ASGIResponse(body=body, media_type=media, headers=_HEADERS)
