"""Events as the client sends them."""

from typing import Any


def started(**changes: Any) -> dict[str, Any]:
    port = changes.pop("port", 19998)
    key = changes.pop("key", "a" * 40)
    token = changes.pop("token", "b" * 32)
    body: dict[str, Any] = {
        "container_id": "",
        "engine": {"host": "localhost", "port": port},
        "stream": {"key_type": "infohash", "key": key},
        "session": {
            "playback_session_id": token,
            "stat_url": f"http://localhost:{port}/ace/stat/{key}/{token}",
            "command_url": f"http://localhost:{port}/ace/cmd/{key}/{token}",
            "is_live": 1,
        },
        "labels": {"stream_id": f"{key}|{token}"},
    }
    return body | changes


def changed(body: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy with one field, named by a dotted path, set; without it for `...`."""
    head, _, rest = path.partition(".")
    if rest:
        return body | {head: changed(body[head], rest, value)}
    if value is ...:
        return {name: old for name, old in body.items() if name != head}
    return body | {head: value}
