"""What a check finds: that something is well, or what is wrong and what to do about it."""

from typing import NamedTuple


class Finding(NamedTuple):
    text: str
    advice: str = ""
    is_well: bool = True


def well(text: str) -> Finding:
    return Finding(text)


def wrong(text: str, advice: str) -> Finding:
    return Finding(text, advice, is_well=False)
