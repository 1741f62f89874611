"""Which broadcast a request asks for: its infohash, out of the forms a client may name it in."""

import re
import zlib

_HEX40 = re.compile(r"[0-9a-fA-F]{40}")
_BTIH = re.compile(r"xt=urn:btih:([0-9a-fA-F]{40})")
# Content ids and infohashes are as long as each other and must differ, for ever the same way.
_MASK = 0xACE5_0F1D_27C3_94B8_6E2A_58D1_039F_B7E4_7C60_1A35


def wanted_infohash(query: dict[str, str]) -> str | None:
    """The first form present decides, even when a later one would be usable; None: unusable."""
    if name := query.get("content_id") or query.get("id"):
        return infohash_of_content_id(name) if is_id(name) else None
    if name := query.get("infohash"):
        return name.lower() if is_id(name) else None
    if name := query.get("url"):
        return _infohash_of_text(name) if "://" in name else None
    if name := query.get("magnet"):
        found = _BTIH.search(name)
        return found[1].lower() if found else None
    return None


def infohash_of_content_id(content_id: str) -> str:
    return f"{int(content_id, 16) ^ _MASK:040x}"


def is_id(name: str) -> bool:
    return _HEX40.fullmatch(name) is not None


def _infohash_of_text(name: str) -> str:
    # Not cryptography, only stable; hashlib would add a quarter to the memory of the process.
    return "".join(f"{zlib.crc32(f'{part} {name}'.encode()):08x}" for part in range(5))
