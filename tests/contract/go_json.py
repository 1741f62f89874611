"""Decoding JSON as Go's encoding/json does into typed structs, for that is what the client does.

Exact types, unknown fields passed over, missing ones and nulls left at zero, and one bad element
fails the whole. Times are taken as RFC 3339 has them.
"""

import json
import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from types import NoneType, UnionType
from typing import Any, NoReturn, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")

ZERO_TIME = datetime.min.replace(tzinfo=UTC)
_INT64 = range(-(2**63), 2**63)
_TIME = re.compile(
    r"\d{4}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)


class Refused(Exception):
    pass


class _Number(str):
    """A number as it is written: Go takes neither 1.0 nor 1e3 for an integer."""


class _Object(list[tuple[str, Any]]):
    """Names and values in order: a name given twice is decoded twice."""


def decode(body: bytes, kind: type[T]) -> T:
    """The first JSON value in `body`; like Go's Decoder it does not look at what follows."""
    try:
        # Go puts U+FFFD for what is not UTF-8.
        found, _ = _JSON.raw_decode(body.decode(errors="replace").lstrip(" \t\r\n"))
    except (ValueError, RecursionError) as error:
        raise Refused(f"not JSON: {error}") from None
    value: T = _decoded(kind, found, "$")
    return value


def _not_json(word: str) -> NoReturn:
    raise ValueError(word)


_JSON = json.JSONDecoder(
    object_pairs_hook=_Object, parse_int=_Number, parse_float=_Number, parse_constant=_not_json
)


def _decoded(kind: Any, found: object, path: str) -> Any:
    if found is None:
        return _zero(kind)
    if isinstance(kind, UnionType):
        kind = next(k for k in get_args(kind) if k is not NoneType)
    if is_dataclass(kind) and isinstance(found, _Object):
        return _struct(kind, found, path)
    match get_origin(kind) or kind:
        case origin if origin is list and type(found) is list:
            (item,) = get_args(kind)
            return [_decoded(item, value, f"{path}[{n}]") for n, value in enumerate(found)]
        case origin if origin is dict and isinstance(found, _Object):
            _, item = get_args(kind)
            return {name: _decoded(item, value, f"{path}.{name}") for name, value in found}
        case origin if origin in _SCALARS and (scalar := _SCALARS[origin](found)) is not None:
            return scalar
        case _:
            raise Refused(f"{path}: {found!r} is no {getattr(kind, '__name__', kind)}")


def _struct(kind: Any, found: _Object, path: str) -> Any:
    kinds = get_type_hints(kind)
    any_case = {name.lower(): name for name in kinds}
    values = {name: _zero(field) for name, field in kinds.items()}
    for written, value in found:
        name = written if written in kinds else any_case.get(written.lower())
        if name is not None:
            values[name] = _decoded(kinds[name], value, f"{path}.{name}")
    return kind(**values)


def _zero(kind: Any) -> Any:
    if isinstance(kind, UnionType):
        return None
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        return kind(**{field.name: _zero(hints[field.name]) for field in fields(kind)})
    return ZERO_TIME if kind is datetime else (get_origin(kind) or kind)()


def _str(found: object) -> str | None:
    return found if type(found) is str else None


def _bool(found: object) -> bool | None:
    return found if isinstance(found, bool) else None


def _int(found: object) -> int | None:
    if not isinstance(found, _Number) or not found.removeprefix("-").isdigit() or len(found) > 20:
        return None
    return int(found) if int(found) in _INT64 else None


def _time(found: object) -> datetime | None:
    if type(found) is not str or not _TIME.fullmatch(found):
        return None
    try:
        return datetime.fromisoformat(found)
    except ValueError:
        return None


_SCALARS: dict[type, Callable[[object], object]] = {
    str: _str,
    bool: _bool,
    int: _int,
    datetime: _time,
}
