"""When viewers come and how long they stay: what a trace says."""

import csv
import io
import json
import math
from datetime import datetime
from typing import NamedTuple

from acekeeper.errors import BadTrace

_MOST_VIEWERS = 100_000
_LONGEST_S = 31 * 86400.0
_SECONDS = ["start_seconds", "duration_seconds"]
_TIMES = ["started_at", "ended_at"]
_FORMS = f"The first line is {','.join(_SECONDS)} or {','.join(_TIMES)}"


class Viewer(NamedTuple):
    """One session, in seconds: from the start of the trace, and from its picture to its end.
    `player`: whose, where one has several; without, it is nobody else's."""

    arrives: float
    stays: float
    player: str = ""


def read(text: str) -> list[Viewer]:
    """From CSV, or from JSON as `GET /streams` answers it. Those who come first are first."""
    viewers = _from_json(text) if text.lstrip().startswith("[") else _from_csv(text)
    if not viewers:
        raise BadTrace("nobody comes in it")
    first = min(v.arrives for v in viewers)
    for viewer in viewers:
        if viewer.arrives - first > _LONGEST_S or viewer.stays > _LONGEST_S:
            raise BadTrace("it is longer than 31 days")
    return sorted(v._replace(arrives=v.arrives - first) for v in viewers)


def _from_csv(text: str) -> list[Viewer]:
    rows = csv.reader(io.StringIO(text), strict=True)
    viewers: list[Viewer] = []
    header: list[str] = []
    try:
        for row in rows:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if not header:
                if cells not in (_SECONDS, _TIMES):
                    raise ValueError("is no header")
                header = cells
                continue
            if len(cells) != len(header):
                raise ValueError(f"has not {len(header)} values")
            _add(viewers, _session(header, *cells))
    except (ValueError, csv.Error) as error:
        raise BadTrace(f"line {rows.line_num} {error}", _FORMS) from None
    return viewers


def _session(header: list[str], first: str, second: str) -> Viewer:
    if header == _SECONDS:
        return Viewer(_number(first), _number(second))
    return _between(_moment(first), _moment(second))


def _from_json(text: str) -> list[Viewer]:
    """A stream that still plays lasts as long as the others tell of."""
    try:
        streams = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadTrace(f"it is no JSON: {error}") from None
    spans: list[tuple[float, float | None, str]] = []
    for number, stream in enumerate(streams, 1):
        try:
            started, ended, player = _told(stream)
            spans.append((_moment(started), None if ended is None else _moment(ended), player))
        except ValueError as error:
            raise BadTrace(f"stream {number} {error}") from None
    last = max((start if end is None else end for start, end, _ in spans), default=0.0)
    viewers: list[Viewer] = []
    for number, (started, ended, player) in enumerate(spans, 1):
        try:
            viewer = _between(started, last if ended is None else ended)
            _add(viewers, viewer._replace(player=player))
        except ValueError as error:
            raise BadTrace(f"stream {number} {error}") from None
    return viewers


def _told(stream: object) -> tuple[object, object, str]:
    match stream:
        case {"started_at": started, "ended_at": ended, "player": str(player)}:
            return started, ended, player
        case {"started_at": started, "ended_at": ended}:
            return started, ended, ""
        case _:
            raise ValueError("has no started_at or no ended_at")


def _add(viewers: list[Viewer], viewer: Viewer) -> None:
    if len(viewers) == _MOST_VIEWERS:
        raise ValueError(f"is one viewer more than {_MOST_VIEWERS}")
    viewers.append(viewer)


def _number(said: str) -> float:
    try:
        number = float(said)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise ValueError(f"has {said[:40]!r}, which is no number of seconds")
    return number


def _moment(said: object) -> float:
    try:
        moment = datetime.fromisoformat(said if isinstance(said, str) else "")
    except ValueError:
        moment = datetime.min
    if moment.tzinfo is None:
        raise ValueError(f"has {str(said)[:40]!r}, which is no time with a zone")
    return moment.timestamp()


def _between(started: float, ended: float) -> Viewer:
    if ended < started:
        raise ValueError("ends before it starts")
    return Viewer(started, ended - started)
