"""What a route says of itself for the API's document, beside what its signature tells."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from acekeeper.api.access import Level
from acekeeper.api.context import AtOnce

JSON = "application/json"
_SAYS = "says"


class Says(Struct, frozen=True, kw_only=True):
    """Types are those that are encoded and decoded. Errors that every route of its kind has are
    not repeated here: they follow from who may call it and what it takes."""

    answer: Any
    status: int = 200
    media: str = JSON
    headers: Mapping[str, str] = {}  # of the good answer, with a meaning
    body: Any = None
    body_needed: bool = True
    also: Mapping[int, Any] = {}  # other answers: their type, or None
    at_once: AtOnce | None = None  # asked before the framework


def described(access: Level, answer: Any, **more: Any) -> dict[str, Any]:
    """A route's `opt`: who may call it, and what it `Says`."""
    return {"access": access, _SAYS: Says(answer=answer, **more)}


def says(opt: Mapping[str, Any]) -> Says:
    found: Says = opt[_SAYS]
    return found
