"""Reads what a player asks for, and checks all of it."""

import re

from acekeeper.core.doubt import Content
from acekeeper.core.gateway.model import Wanted
from acekeeper.gateway.again import HOP, SINCE
from acekeeper.gateway.door import Call
from acekeeper.listening import is_loopback
from acekeeper.usecases.admitted import FETCHED, NAMES, checked, passed_on

# A page could have pointed a name of its own here, so that it is asked by its visitor's browser as
# if it were us; such a name has a dot.
_OWN_HOST = re.compile(rb"[0-9.]+(?::[0-9]*)?|[^.]*")


def wanted(call: Call, *, is_hls: bool, may_name_urls: bool) -> Wanted:
    """Raises ValueError. `may_name_urls`: players beyond this host may ask for a `url` or a
    `magnet`."""
    name = next((name for name in NAMES if name in call.query), None)
    if name is None:
        raise ValueError("the request names no content: add content_id, infohash, url or magnet")
    kind = NAMES[name]
    if kind in FETCHED:
        _check_may_fetch(call, name, may_name_urls)
    try:
        key = checked(kind, call.query[name])
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None
    return Wanted(
        content=Content(kind.value, key),
        is_hls=is_hls,
        as_json=call.query.get("format") == "json",
        player=call.player,
        arrival=call.arrival[0],
        query=passed_on(call.raw_query, (SINCE, HOP)),
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
