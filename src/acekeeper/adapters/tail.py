"""The end of a log, bounded."""

from pathlib import Path

LONGEST_LOG = 1024 * 1024


def read_tail(path: Path, lines: int) -> str | None:
    """None: there is no such file."""
    try:
        with path.open("rb") as log:
            size = log.seek(0, 2)
            log.seek(max(0, size - LONGEST_LOG - 1))  # one more tells whether a line is whole
            end = log.read(LONGEST_LOG + 1)
    except FileNotFoundError:
        return None
    return last_lines(end, lines)


def last_lines(text: bytes, lines: int) -> str:
    """Whole ones, but for the first where a single line is too long."""
    if len(text) > LONGEST_LOG:
        cut = text[-LONGEST_LOG:]
        if text[-LONGEST_LOG - 1 : -LONGEST_LOG] != b"\n" and b"\n" in cut[:-1]:
            cut = cut.partition(b"\n")[2]
        text = cut
    return b"".join(text.splitlines(keepends=True)[-lines:]).decode(errors="replace")
