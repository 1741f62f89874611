"""Calls the API of the acekeeper on this host. Standard library only: a command is soon there."""

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from acekeeper.errors import CallFailed
from acekeeper.settings import Settings

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_SILENT_S = 40.0  # an open stream of events says every 15 s that it lives
_KEY_NEEDED = (401, 403)
_OURS = "X-RateLimit-Provisioning-Limit"  # which every answer of an acekeeper has


def call(settings: Settings, method: str, path: str, within: float | None = None) -> Any:
    """What it answered, decoded. CallFailed when nobody answers, or with an error."""
    limit = settings.api_long_operation_timeout_s + 5 if within is None else within
    with closing(_connection(settings, limit)) as connection:
        response = _request(settings, connection, method, path)
        return _decoded(settings, response, f"{method} {path}")


def events(settings: Settings, path: str, last: int | None) -> Iterator[tuple[int, Any]]:
    """Server-sent events from after the one with the id `last`, or from now on: their ids and data,
    without data that of the last one before. Ends with the connection."""
    with closing(_connection(settings, _SILENT_S)) as connection:
        headers = {} if last is None else {"Last-Event-ID": str(last)}
        response = _request(settings, connection, "GET", path, headers)
        if response.status != 200:
            _decoded(settings, response, f"GET {path}")
        number, data = 0, None
        while line := _line(settings, response):
            name, _, value = line.rstrip("\n").partition(": ")
            if name == "id":
                number = int(value)
            elif name == "data":
                data = json.loads(value)
            elif not name and not value and number:
                yield number, data
                number, data = 0, None


def _line(settings: Settings, response: http.client.HTTPResponse) -> str:
    try:
        return response.readline().decode()
    except (OSError, http.client.HTTPException) as error:
        raise _no_answer(settings, error) from error


def _connection(settings: Settings, within: float) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(_host(settings), settings.app_port, timeout=within)


def _request(
    settings: Settings,
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    headers: dict[str, str] | None = None,
) -> http.client.HTTPResponse:
    headers = dict(headers or {})
    if settings.api_key:
        headers["Authorization"] = f"Bearer {settings.api_key.reveal()}"
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        raise _no_answer(settings, error) from error
    if response.getheader(_OURS) is None:
        raise CallFailed(
            f"what answers on {_host(settings)}:{settings.app_port} is no acekeeper",
            "Something else listens there: see APP_PORT",
        )
    return response


def _decoded(settings: Settings, response: http.client.HTTPResponse, asked: str) -> Any:
    try:
        answer = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _no_answer(settings, error) from error
    if not 200 <= response.status < 300:
        detail = answer.get("detail") if isinstance(answer, dict) else answer
        if isinstance(detail, dict):  # why a provision could not be done
            detail = detail.get("message", detail)
        hint = "Give the API_KEY of the service" if response.status in _KEY_NEEDED else ""
        raise CallFailed(f"{asked} was answered {response.status}: {detail}", hint)
    return answer


def _host(settings: Settings) -> str:
    return _ANY_ADDRESS.get(settings.app_host, settings.app_host)


def _no_answer(settings: Settings, error: Exception) -> CallFailed:
    why = str(error) or type(error).__name__
    return CallFailed(
        f"no acekeeper answers on {_host(settings)}:{settings.app_port} ({why})",
        "Start it, or set APP_HOST and APP_PORT to where it is",
    )
