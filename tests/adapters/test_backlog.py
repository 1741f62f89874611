"""What is saved stays known until it is in the database itself, and is bounded."""

from collections.abc import Callable

import pytest

from acekeeper.adapters import backlog
from acekeeper.adapters.backlog import Backlog, Rows
from acekeeper.adapters.rows import engine_row, gone_row, stream_row
from acekeeper.core.changes import Changes, Happening

from .storing import ENGINE, NOW, SLOT, stream


def save(of: Backlog, *kinds: str) -> None:
    of.add(Changes(happened=[Happening(kind) for kind in kinds]), wall=1.0)
    of.saved()


def again(of: Backlog) -> int:
    """How many rows are written once more when the log is lost."""
    of.again()
    return len(of.unsaved.log)


def test_of_more_than_so_many_rows_the_oldest_are_not_written_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backlog, "_MOST", 4)
    of = Backlog()
    for _ in range(3):
        save(of, "a", "b")
    assert again(of) == 4


@pytest.mark.parametrize("forget", [Backlog.in_database, Backlog.again])
def test_what_need_not_be_written_again_takes_no_room(
    monkeypatch: pytest.MonkeyPatch, forget: Callable[[Backlog], object]
) -> None:
    monkeypatch.setattr(backlog, "_MOST", 4)
    of = Backlog()
    save(of, "a", "b")
    save(of, "c", "d")
    forget(of)
    of._unsaved = Rows()
    save(of, "e", "f")
    save(of, "g")
    assert again(of) == 3


def test_a_save_costs_no_more_when_many_went_before(monkeypatch: pytest.MonkeyPatch) -> None:
    of, counted = Backlog(), 0
    length = Rows.__len__

    def count(rows: Rows) -> int:
        nonlocal counted
        counted += 1
        return length(rows)

    monkeypatch.setattr(Rows, "__len__", count)
    for _ in range(100):
        save(of, "a")
    assert counted < 1000


def test_what_is_told_often_before_a_save_is_one_row() -> None:
    of = Backlog()
    ended = stream("s", ended=NOW, reason="eof")
    for playing in (stream("s"), stream("s", container_id="c"), ended):
        of.add(Changes(streams={"s": playing}, engines={SLOT: ENGINE}), wall=1.0)
    assert list(of.unsaved.streams.values()) == [stream_row(ended)]
    assert list(of.unsaved.engines.values()) == [engine_row(ENGINE)]


def test_what_ended_and_was_forgotten_before_a_save_is_saved_as_it_ended() -> None:
    of = Backlog()
    ended = stream("s", ended=NOW, reason="eof")
    of.add(Changes(streams={"s": ended}), wall=1.0)
    of.add(Changes(streams={"s": None}), wall=2.0)
    assert of.unsaved.streams == {"s": stream_row(ended)}


def test_an_engine_that_came_and_went_before_a_save_is_saved_as_gone() -> None:
    of = Backlog()
    of.add(Changes(engines={SLOT: ENGINE}), wall=1.0)
    of.add(Changes(engines={SLOT: None}), wall=2.0)
    assert of.unsaved.engines == {ENGINE.ref: gone_row(engine_row(ENGINE), 2.0)}
