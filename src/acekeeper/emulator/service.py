"""Calls about the engine itself."""

import os

from .content import wanted_infohash
from .faults import Faults
from .wire import Answer, Request, as_json

_VERSION = {"code": 3020300, "platform": "linux", "version": "3.2.3"}


class Service:
    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._access_token = os.urandom(32).hex()

    def webui(self, request: Request) -> Answer:
        """/webui/api/service"""
        if request.query.get("method") != "get_version":
            return as_json({"result": None, "error": "unknown method"})
        return as_json({"result": _VERSION, "error": None})

    def server_api(self, request: Request) -> Answer:
        """/server/api, where a success has no `error` and an error is an object"""
        if request.query.get("api_version") != "3":
            return _failed("unknown protocol")
        result: dict[str, object]
        match request.query.get("method"):
            case "get_status":
                result = {"playlist_loaded": True, "version": _VERSION}
            case "get_network_connection_status":
                result = {"connected": self._faults.of("offline") is None}
            case "get_api_access_token":
                result = {"token": self._access_token}
            case "get_media_files":
                infohash = wanted_infohash(request.query)
                if infohash is None:
                    return _failed("failed to load content")
                result = _media_files(infohash)
            case _:
                return _failed("unknown method")
        return as_json({"result": result})


def _media_files(infohash: str) -> dict[str, object]:
    name = f"Test picture {infohash[:8]}"
    return {
        "files": [{"index": 0, "filename": name}],
        "name": name,
        "infohash": infohash,
        "transport_type": "bt",
        "type": "live",
        "transport_file_cache_key": None,
    }


def _failed(message: str) -> Answer:
    return as_json({"error": {"message": message, "code": 0}})
