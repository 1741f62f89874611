"""The end of a log."""

from pathlib import Path

import pytest

from acekeeper.adapters import tail
from acekeeper.adapters.tail import last_lines, read_tail


def test_the_last_lines_are_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\ntwo\nthree\nhalf")
    assert read_tail(log, 2) == "three\nhalf"
    assert read_tail(log, 100) == "one\ntwo\nthree\nhalf"
    log.write_bytes(b"")
    assert read_tail(log, 5) == ""


def test_no_file_is_none_and_bytes_that_are_no_text_are_shown_as_such(tmp_path: Path) -> None:
    assert read_tail(tmp_path / "absent", 5) is None
    assert last_lines(b"\xff\xfe\n", 5) == "\ufffd\ufffd\n"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (b"aaaa\nbbb\ncc\n", "cc\n"),  # the limit falls within a line
        (b"aaaa\nbb\ncc\nd\n", "cc\nd\n"),  # and between two
        (b"aaaaaaaaaaaaaaaa\n", "aaaa\n"),  # a line that is too long by itself
        (b"aaaaaaaaaaaaaaaa", "aaaaa"),
    ],
)
def test_it_is_bounded_and_begins_with_a_whole_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: bytes, kept: str
) -> None:
    monkeypatch.setattr(tail, "LONGEST_LOG", 5)
    log = tmp_path / "log"
    log.write_bytes(text)
    assert read_tail(log, 100) == last_lines(text, 100) == kept
