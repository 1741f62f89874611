"""Players that are sent to where they asked."""

from typing import Any

import pytest

from acekeeper.core.model import Now
from acekeeper.gateway.again import again, hop, waits_since
from acekeeper.gateway.door import Call

NOW = Now(1_700_000_000.0, 1000.0)


def call(raw_query: str = "", **more: Any) -> Call:
    pairs = (pair.partition("=") for pair in raw_query.split("&"))
    return Call(
        path="/ace/r/a/b",
        query={name: value for name, _, value in pairs},
        raw_query=raw_query,
        player="127.0.0.1",
        headers={},
        **{"arrival": ("127.0.0.1", 6878), **more},
    )


def waited(raw_query: str, **more: Any) -> float:
    since = waits_since(call(raw_query, **more), NOW, 9)
    assert NOW.wall - since.wall == pytest.approx(NOW.mono - since.mono)
    return NOW.mono - since.mono


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("", 0),
        ("1699999996.5", 3.5),
        ("1699999000", 9),
        ("-inf", 9),
        ("1700000001", 0),
        ("inf", 0),
        ("nan", 0),
        ("x", 0),
    ],
)
def test_what_a_player_says_of_its_wait_is_believed_within_bounds(
    said: str, seconds: float
) -> None:
    assert waited(f"since={said}") == seconds
    assert waited("id=1") == 0


def test_who_came_while_the_service_was_away_waits_since_then() -> None:
    assert waited("id=1", waited=2.5) == 2.5
    assert waited("since=x", waited=2.5) == 2.5
    assert waited("since=1699999999", waited=2.5) == 2.5
    assert waited("since=1699999994", waited=2.5) == 6


@pytest.mark.parametrize(
    ("said", "number"), [("", 3), ("0", 0), ("1", 1), ("2", 2), ("3", 3), ("4", 3), ("-1", 3)]
)
def test_so_often_it_was_sent_on(said: str, number: int) -> None:
    assert hop(call(f"hop={said}")) == number
    assert hop(call()) == 0


def test_it_is_sent_to_the_same_url_with_what_we_know() -> None:
    asked = call("pid=a%26b&since=1&hop=1&x=", arrival=("fd00::1", 6878))
    answer = again(asked, NOW, 2)
    assert answer.status == 302
    assert answer.headers["Location"] == (
        "http://[fd00::1]:6878/ace/r/a/b?pid=a%26b&x=&since=1700000000.000&hop=2"
    )
    assert "hop" not in again(call("hop=1"), NOW, 0).headers["Location"]
