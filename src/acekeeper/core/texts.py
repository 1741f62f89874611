"""Texts of streams that are alike, or follow from each other."""

from functools import lru_cache


@lru_cache(1024)
def shared(text: str) -> str:
    """The same object for equal texts, as many streams have them."""
    return text


def command_url_of(stat_url: str) -> str:
    """Where engines are told about the session of which this URL tells."""
    return stat_url.replace("/ace/stat/", "/ace/cmd/", 1)


def of_its_own(url: str, stat_url: str) -> str | None:
    """None for the command URL that engines give with this one."""
    return None if url == command_url_of(stat_url) else url
