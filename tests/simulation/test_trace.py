"""What a trace of viewers may look like, and how it is refused."""

import json

import pytest

from acekeeper.errors import BadTrace
from acekeeper.simulation import Viewer, read, trace

SECONDS = "start_seconds,duration_seconds\n"
TIMES = "started_at,ended_at\n"


def refusal(text: str) -> str:
    with pytest.raises(BadTrace) as caught:
        read(text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_seconds_come_from_the_first_viewer_on() -> None:
    text = SECONDS + "100,5\n\n 90 , 2.5 \n"
    assert read(text) == [Viewer(0, 2.5), Viewer(10, 5)]


def test_times_have_a_zone() -> None:
    text = TIMES + "2026-05-01T20:00:00Z,2026-05-01T20:01:00.5Z\n"
    text += "2026-05-01T22:00:10+02:00,2026-05-01T22:00:20+02:00\n"
    assert read(text) == [Viewer(0, 60.5), Viewer(10, 10)]


def test_what_the_api_lists_is_a_trace_too() -> None:
    streams: list[dict[str, str | None]] = [
        {"id": "b", "started_at": "2026-05-01T20:00:30Z", "ended_at": None},
        {"id": "a", "started_at": "2026-05-01T20:00:00Z", "ended_at": "2026-05-01T20:10:00Z"},
    ]
    assert read(json.dumps(streams)) == [Viewer(0, 600), Viewer(30, 570)]
    streams[0]["player"], streams[1]["player"] = "192.168.1.7", None
    assert read(json.dumps(streams)) == [Viewer(0, 600), Viewer(30, 570, "192.168.1.7")]


BAD = [
    ("", "nobody comes in it"),
    (SECONDS, "nobody comes in it"),
    ("[]", "nobody comes in it"),
    ("0,60\n", "line 1 is no header"),
    (SECONDS + "0,60\n1\n", "line 3 has not 2 values"),
    (SECONDS + "0,60\n1,x\n", "line 3 has 'x', which is no number of seconds"),
    (SECONDS + "-1,60\n", "line 2 has '-1', which is no number"),
    (SECONDS + "nan,60\n", "line 2 has 'nan'"),
    (SECONDS + "0,inf\n", "line 2 has 'inf'"),
    (SECONDS + '0,"60\n', "line 2 "),
    (SECONDS + "0,1e9\n", "it is longer than 31 days"),
    (TIMES + "2026-05-01T20:00:00,2026-05-01T21:00:00Z\n", "line 2 has '2026-05-01T20:00:00'"),
    (TIMES + "2026-05-01T20:00:00Z,\n", "line 2 has '', which is no time with a zone"),
    (TIMES + "2026-05-01T20:00:00Z,2026-05-01T19:00:00Z\n", "line 2 ends before it starts"),
    ('[{"started_at": "2026-05-01T20:00:00Z"}]', "stream 1 has no started_at or no ended_at"),
    ('[{"started_at": 5, "ended_at": null}]', "stream 1 has '5', which is no time"),
    ("[5]", "stream 1 has no"),
    ("[", "it is no JSON: "),
    ("[" * 100_000, "it is no JSON: "),
]


@pytest.mark.parametrize(("text", "wrong"), BAD)
def test_a_bad_trace_is_refused_with_its_line(text: str, wrong: str) -> None:
    assert wrong in refusal(text)


def test_a_trace_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "_MOST_VIEWERS", 3)
    assert len(read(SECONDS + "0,1\n" * 3)) == 3
    assert refusal(SECONDS + "0,1\n" * 4).startswith("line 5 is one viewer more than 3.")
