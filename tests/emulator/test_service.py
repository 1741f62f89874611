"""Calls about the engine, to the letter: clients and health checks compare texts."""

import re

import pytest

from .running import CONTENT, Emulator

VERSION = '{"code": 3020300, "platform": "linux", "version": "3.2.3"}'


@pytest.mark.parametrize(
    ("target", "body"),
    [
        (
            "/webui/api/service?method=get_version&format=json",
            f'{{"result": {VERSION}, "error": null}}',
        ),
        (
            "/server/api?api_version=3&method=get_status",
            f'{{"result": {{"playlist_loaded": true, "version": {VERSION}}}}}',
        ),
        (
            "/server/api?api_version=3&method=get_network_connection_status",
            '{"result": {"connected": true}}',
        ),
        (
            f"/server/api?api_version=3&method=get_media_files&infohash={CONTENT}",
            '{"result": {"files": [{"index": 0, "filename": "Test picture 01234567"}],'
            f' "name": "Test picture 01234567", "infohash": "{CONTENT}",'
            ' "transport_type": "bt", "type": "live", "transport_file_cache_key": null}}',
        ),
        (
            "/server/api?api_version=3&method=get_media_files&infohash=0",
            '{"error": {"message": "failed to load content", "code": 0}}',
        ),
        (
            "/server/api?method=get_status",
            '{"error": {"message": "unknown protocol", "code": 0}}',
        ),
        (
            "/server/api?api_version=3&method=dance",
            '{"error": {"message": "unknown method", "code": 0}}',
        ),
        ("/webui/api/service?method=dance", '{"result": null, "error": "unknown method"}'),
    ],
)
def test_answers_as_an_engine_does(shared: Emulator, target: str, body: str) -> None:
    reply = shared.get(target)
    assert (reply.status, reply.body.decode()) == (200, body)
    assert reply.headers["Content-Type"] == "application/json"


def test_has_one_access_token(shared: Emulator) -> None:
    replies = {
        shared.get("/server/api", api_version="3", method="get_api_access_token").body.decode()
        for _ in range(2)
    }
    [reply] = replies
    assert re.fullmatch(r'\{"result": \{"token": "[0-9a-f]{64}"\}\}', reply)
