"""Query parameters, strict where the framework would choose or convert silently."""

import re
from datetime import datetime
from typing import Any, get_args

from litestar import Request
from litestar.exceptions import ClientException
from litestar.handlers import BaseRouteHandler

# Converting takes 1e3 for an integer and 0.5 for a time.
_FORMS = {
    int: (re.compile(r"-?\d{1,18}", re.ASCII), "a whole number"),
    datetime: (re.compile(r"\d{4}-\d\d-\d\dT.+", re.ASCII), "a time as 2026-11-25T20:15:00Z"),
}
_PLAIN = re.compile(rb"[\w.~-]+=[\w.~-]+(?:&[\w.~-]+=[\w.~-]+)*", re.ASCII)


def plain(query: bytes) -> dict[str, str] | None:
    """Its parameters. None if one may be encoded, is empty, or is given twice: the framework reads
    those."""
    if not query:
        return {}
    if not _PLAIN.fullmatch(query):
        return None
    pairs = query.decode("ascii").split("&")
    found = dict(pair.split("=") for pair in pairs)
    return found if len(found) == len(pairs) else None


def check(request: Request[Any, Any, Any]) -> None:
    seen: set[str] = set()
    for name, value in request.query_params.items():
        if name in seen:
            raise ClientException(f"{name[:80]}: is given more than once")
        seen.add(name)
        for kind in _kinds(request.route_handler, name):
            form, meant = _FORMS.get(kind, (None, ""))
            if form is not None and not form.fullmatch(value):
                raise ClientException(f"{name}: is not {meant}")


def _kinds(route: BaseRouteHandler, name: str) -> tuple[Any, ...]:
    field = route.parsed_fn_signature.parameters.get(name)
    return () if field is None else (field.annotation, *get_args(field.annotation))
