"""Calls the API of the acekeeper on this host. Standard library only: a command is soon there."""

import http.client
import json
from typing import Any

from acekeeper.errors import CallFailed
from acekeeper.settings import Settings

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def call(settings: Settings, method: str, path: str) -> Any:
    """What it answered, decoded. CallFailed when nobody answers, or with an error."""
    host = _ANY_ADDRESS.get(settings.app_host, settings.app_host)
    headers = {}
    if settings.api_key:
        headers["Authorization"] = f"Bearer {settings.api_key.reveal()}"
    limit = settings.api_long_operation_timeout_s + 5
    connection = http.client.HTTPConnection(host, settings.app_port, timeout=limit)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        why = str(error) or type(error).__name__
        raise CallFailed(
            f"no acekeeper answers on {host}:{settings.app_port} ({why})",
            "Start it, or set APP_HOST and APP_PORT to where it is",
        ) from error
    finally:
        connection.close()
    try:
        answer = json.loads(body)
    except ValueError:
        raise CallFailed(
            f"{host}:{settings.app_port} answered {response.status} without JSON",
            "Something else may listen there: see APP_PORT",
        ) from None
    if response.status != 200:
        detail = answer.get("detail") if isinstance(answer, dict) else answer
        raise CallFailed(f"{method} {path} was answered {response.status}: {detail}")
    return answer
