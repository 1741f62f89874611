"""Who may play here, and what may be asked for: the same for players that come to the gateway and
for those of other hosts."""

import ipaddress
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from urllib.parse import parse_qsl, urlencode

from acekeeper.core.model import KeyType
from acekeeper.setting_kinds import Network

PARAMETERS_MOST = 64
NAMES: Mapping[str, KeyType] = {  # of what names a content, in an engine's order
    "content_id": KeyType.CONTENT_ID,
    "id": KeyType.CONTENT_ID,
    "infohash": KeyType.INFOHASH,
    "url": KeyType.URL,
    "magnet": KeyType.MAGNET,
}
FETCHED = (KeyType.URL, KeyType.MAGNET)  # by the engine, from wherever it can reach

_ID = re.compile(r"[0-9A-Fa-f]{40}")
_URL = re.compile(r"https?://[!-~]{1,2000}", re.IGNORECASE)
_MAGNET = re.compile(r"magnet:\?[!-~]{1,2000}", re.IGNORECASE)
_OURS = {*NAMES, "format", "use_api_events"}


def may_enter(player: str, arrival: str, allowed: Sequence[Network]) -> bool:
    """Raises ValueError for what is no address."""
    address = ipaddress.ip_address(player)
    return is_of_this_host(player, arrival) or any(address in network for network in allowed)


def is_of_this_host(player: str, arrival: str) -> bool:
    """One that asks at another address of its host than loopback comes from that address."""
    return ipaddress.ip_address(player).is_loopback or player == arrival


def checked(kind: KeyType, said: str) -> str:
    """The key of a content. Raises ValueError."""
    return _CHECKS[kind](said)


def passed_on(query: str, but: Collection[str] = ()) -> str:
    """What else a player says to the engine. Raises ValueError for too many parameters."""
    pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=PARAMETERS_MOST)
    return urlencode([(name, value) for name, value in pairs if name not in {*_OURS, *but}])


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


_CHECKS: Mapping[KeyType, Callable[[str], str]] = {
    KeyType.CONTENT_ID: _id,
    KeyType.INFOHASH: _id,
    KeyType.URL: _url,
    KeyType.MAGNET: _magnet,
}
