"""Opening a session: what an engine is asked for it, and what its answer says."""

import re
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp

from acekeeper.adapters.calls import Reply, get, shown
from acekeeper.core.doubt import Content
from acekeeper.core.model import Opening
from acekeeper.core.names import Slot
from acekeeper.errors import EngineInUse, EngineRefused, NoAnswer

TAKEN_OVER = "got newer download"
_WORDS_MOST = 200
_URLS = {
    "playback_url": re.compile(r"/ace/[rm]/(\w{1,64})/(\w{1,64})(?:\.m3u8)?", re.ASCII),
    "stat_url": re.compile(r"/ace/stat/(\w{1,64})/(\w{1,64})", re.ASCII),
    "command_url": re.compile(r"/ace/cmd/(\w{1,64})/(\w{1,64})", re.ASCII),
}
_CONTENT = re.compile(r"/content/[\w./~-]+", re.ASCII)
_QUERY = re.compile(r"[!-~]*")
_NAME = re.compile(r"[!-~]{0,64}")


async def open_session(
    session: aiohttp.ClientSession,
    slot: Slot,
    content: Content,
    within: float,
    *,
    is_hls: bool = False,
    query: str = "",
    headers: Mapping[str, str] | None = None,
) -> Opening:
    """EngineRefused: the content cannot be had there. EngineInUse: somebody else is there. `query`
    has what else the player says."""
    words = {content.key_type: content.key, "format": "json"}
    if "pid" not in parse_qs(query):
        words["pid"] = uuid.uuid4().hex
    path = "/ace/manifest.m3u8" if is_hls else "/ace/getstream"
    said = "&".join(filter(None, (urlencode(words), query)))
    return _opening(await get(session, slot, path, said, within, headers))


def session_path(call: str, opening: Opening) -> str:
    return f"/ace/{call}/{opening.infohash}/{opening.token}"


def check_text(reply: Reply) -> None:
    """Raises what an engine says in plain text against a session."""
    if reply.status >= 400 and reply.media_type == "text/plain":
        raise _error(reply.body.decode("ascii", "backslashreplace").strip())


def _error(said: object) -> EngineRefused | EngineInUse:
    if said == TAKEN_OVER:
        return EngineInUse(TAKEN_OVER)
    is_plain = isinstance(said, str) and said.isascii() and said.isprintable()
    return EngineRefused(str(said) if is_plain and len(str(said)) <= _WORDS_MOST else shown(said))


def content_path(location: str | None) -> str:
    """Where an engine sends its reader for the picture: the path there, and the query."""
    try:
        url = urlsplit(location or "")
    except ValueError:
        url = urlsplit("")
    # No "..", which would lead to another call of the engine.
    if not _CONTENT.fullmatch(url.path) or ".." in url.path or not _QUERY.fullmatch(url.query):
        raise NoAnswer(f"sends its reader to {shown(location)}")
    return f"{url.path}?{url.query}" if url.query else url.path


def _opening(reply: Reply) -> Opening:
    check_text(reply)
    answer = reply.json()
    if answer.get("error") is not None:
        raise _error(answer["error"])
    response = answer.get("response")
    if not isinstance(response, dict):
        raise NoAnswer(f"answered getstream {shown(response)}")
    named = [_named(response.get(name), path) for name, path in _URLS.items()]
    if len(set(named)) > 1:
        raise NoAnswer(f"answered getstream with the URLs of several sessions: {named}")
    name = response.get("playback_session_id")
    return Opening(
        infohash=named[0][0],
        token=named[0][1],
        session=name if isinstance(name, str) and _NAME.fullmatch(name) else "",
        is_live=_number(response, "is_live", 1) != 0,
        is_encrypted=_number(response, "is_encrypted", 0) != 0,
        client_session_id=_number(response, "client_session_id", -1),
    )


def _named(url: object, allowed: re.Pattern[str]) -> tuple[str, str]:
    """The infohash and the token. Of the URL only the path is used: nobody else is contacted."""
    try:
        found = allowed.fullmatch(urlsplit(url).path) if isinstance(url, str) else None
    except ValueError:
        found = None
    if found is None:
        raise NoAnswer(f"answered getstream with {shown(url)}")
    return found[1], found[2]


def _number(response: dict[str, Any], name: str, otherwise: int) -> int:
    value = response.get(name)
    return value if isinstance(value, int) and abs(value) < 2**31 else otherwise
