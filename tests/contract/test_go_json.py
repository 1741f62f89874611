"""The client's decoder refuses what Go's refuses, and takes what Go's takes."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import pytest

from .go_json import ZERO_TIME, Refused, decode


@dataclass
class Inner:
    number: int


@dataclass
class Thing:
    text: str
    number: int
    flag: bool
    time: datetime
    maybe: datetime | None
    texts: list[str]
    labels: dict[str, str]
    inner: Inner
    pointer: Inner | None


NOTHING = Thing("", 0, False, ZERO_TIME, None, [], {}, Inner(0), None)


@pytest.mark.parametrize(
    "field",
    [
        '"text": 1',
        '"text": true',
        '"text": []',
        '"number": "1"',
        '"number": 1.0',
        '"number": 1e2',
        '"number": true',
        '"number": 9223372036854775808',
        '"number": -9223372036854775809',
        '"flag": 0',
        '"flag": 1',
        '"flag": "true"',
        '"time": 1764072000',
        '"time": ""',
        '"time": "2026-11-25"',
        '"time": "2026-11-25T12:00:00"',
        '"time": "2026-11-25 12:00:00Z"',
        '"time": "2026-11-25t12:00:00Z"',
        '"time": "2026-11-25T12:00:00z"',
        '"time": "2026-11-25T12:00Z"',
        '"time": "2026-11-25T12:00:00+0000"',
        '"time": "2026-11-25T12:00:00+00"',
        '"time": "2026-11-25T12:00:00.Z"',
        '"time": "2026-11-25T12:00:60Z"',
        '"time": "2026-11-25T24:00:00Z"',
        '"time": "2026-02-29T12:00:00Z"',
        '"time": "2026-11-25T12:00:00+24:00"',
        '"time": "2026-11-25T12:00:00Z "',
        '"maybe": "never"',
        '"texts": "a"',
        '"texts": {}',
        '"texts": ["a", 1]',
        '"labels": []',
        '"labels": {"a": 1}',
        '"inner": 1',
        '"inner": []',
        '"inner": {"number": "1"}',
        '"pointer": {"number": "1"}',
        '"NUMBER": "1"',
        '"number": "1", "number": 1',
    ],
)
def test_a_field_of_another_type_is_refused(field: str) -> None:
    with pytest.raises(Refused):
        decode(f"{{{field}}}".encode(), Thing)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b'{"number": 1,}',
        b'{"number": 01}',
        b'{"number": .5}',
        b'{"number": NaN}',
        b'{"else": Infinity}',
        b"{'number': 1}",
        b"{number: 1}",
        b'{"text": "a\nb"}',
        b'{"text": "\\x"}',
        b'\xef\xbb\xbf{"number": 1}',
        '{"number": 1}'.encode("utf-16"),
        b"<html>",
        b"[" * 20_000,
    ],
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(Refused):
        decode(body, Thing)


@pytest.mark.parametrize("body", [b"[]", b"1", b'"text"', b"[{}]"])
def test_another_thing_than_the_wanted_one_is_refused(body: bytes) -> None:
    with pytest.raises(Refused):
        decode(body, Thing)


def test_one_bad_element_fails_the_list() -> None:
    with pytest.raises(Refused, match=r"\$\[1\]\.number"):
        decode(b'[{"number": 1}, {"number": 2.5}, {"number": 3}]', list[Thing])


@pytest.mark.parametrize("body", [b"{}", b"null", b'{"else": [1e400, {"a": {}}], "text": null}'])
def test_what_is_missing_null_or_unknown_is_no_error(body: bytes) -> None:
    assert decode(body, Thing) == NOTHING


def test_nulls_leave_zeros() -> None:
    names = vars(NOTHING)
    body = "{" + ", ".join(f'"{name}": null' for name in names) + "}"
    assert decode(body.encode(), Thing) == NOTHING


def test_the_right_types_are_taken() -> None:
    body = b"""{"text": "\\u00e9 \xff", "number": -9223372036854775808, "flag": true,
        "time": "2026-11-25T12:00:00.123456789Z", "maybe": "2026-11-25T13:30:00+01:30",
        "texts": ["a", null], "labels": {"a": "b"}, "inner": {"number": 2},
        "pointer": {"Number": 3}} and what follows"""
    thing = decode(body, Thing)
    assert thing == Thing(
        "é \ufffd",
        -(2**63),
        True,
        datetime(2026, 11, 25, 12, 0, 0, 123456, UTC),
        datetime(2026, 11, 25, 13, 30, tzinfo=timezone(timedelta(hours=1.5))),
        ["a", ""],
        {"a": "b"},
        Inner(2),
        Inner(3),
    )
