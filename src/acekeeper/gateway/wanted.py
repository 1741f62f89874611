"""Reads what a player asks for, and checks all of it."""

import re
from collections.abc import Callable
from urllib.parse import parse_qsl, urlencode

from acekeeper.core.doubt import Content
from acekeeper.core.gateway.model import Wanted
from acekeeper.core.model import KeyType
from acekeeper.gateway.again import HOP, SINCE
from acekeeper.gateway.door import Call
from acekeeper.listening import is_loopback

_ID = re.compile(r"[0-9A-Fa-f]{40}")
_URL = re.compile(r"https?://[!-~]{1,2000}", re.IGNORECASE)
_MAGNET = re.compile(r"magnet:\?[!-~]{1,2000}", re.IGNORECASE)


def _id(said: str) -> str:
    if not _ID.fullmatch(said):
        raise ValueError("is not 40 hexadecimal digits")
    return said.lower()


def _url(said: str) -> str:
    if not _URL.fullmatch(said):
        raise ValueError("is no http or https URL of up to 2000 characters")
    return said


def _magnet(said: str) -> str:
    if not _MAGNET.fullmatch(said):
        raise ValueError("is no magnet link of up to 2000 characters")
    return said


_KEYS: dict[str, tuple[KeyType, Callable[[str], str]]] = {  # in an engine's order
    "content_id": (KeyType.CONTENT_ID, _id),
    "id": (KeyType.CONTENT_ID, _id),
    "infohash": (KeyType.INFOHASH, _id),
    "url": (KeyType.URL, _url),
    "magnet": (KeyType.MAGNET, _magnet),
}
# A page could have pointed a name of its own here, so that it is asked by its visitor's browser as
# if it were us; such a name has a dot.
_OWN_HOST = re.compile(rb"[0-9.]+(?::[0-9]*)?|[^.]*")
_FETCHED = (KeyType.URL, KeyType.MAGNET)
_OURS = {*_KEYS, "format", "use_api_events", SINCE, HOP}


def wanted(call: Call, *, is_hls: bool, may_name_urls: bool) -> Wanted:
    """Raises ValueError. `may_name_urls`: players beyond this host may ask for a `url` or a
    `magnet`."""
    name = next((name for name in _KEYS if name in call.query), None)
    if name is None:
        raise ValueError("the request names no content: add content_id, infohash, url or magnet")
    kind, checked = _KEYS[name]
    if kind in _FETCHED:
        _check_may_fetch(call, name, may_name_urls)
    try:
        key = checked(call.query[name])
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None
    others = parse_qsl(call.raw_query, keep_blank_values=True)
    return Wanted(
        content=Content(kind.value, key),
        is_hls=is_hls,
        as_json=call.query.get("format") == "json",
        player=call.player,
        arrival=call.arrival[0],
        query=urlencode([(name, value) for name, value in others if name not in _OURS]),
    )


def _check_may_fetch(call: Call, name: str, may_name_urls: bool) -> None:
    """The engine fetches what is named, from wherever it can reach: no web page may ask for
    that."""
    if b"origin" in call.headers or call.headers.get(b"sec-fetch-site", b"none") != b"none":
        raise ValueError(f"a web page may not ask for a {name}")
    if not _OWN_HOST.fullmatch(call.headers.get(b"host", b"")):
        raise ValueError(f"ask for a {name} by the address of this host, not by a name")
    if not (may_name_urls or is_loopback(call.player)):
        raise ValueError(
            f"only players on this host may ask for a {name}, unless GATEWAY_ALLOW_URLS is set"
        )
