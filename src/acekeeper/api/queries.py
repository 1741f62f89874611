"""What the framework would choose from silently."""

from typing import Any

from litestar import Request
from litestar.exceptions import ClientException


def refuse_repeated(request: Request[Any, Any, Any]) -> None:
    """Of a parameter that is there twice, nobody can say which one was meant."""
    if b"&" not in request.scope["query_string"]:
        return
    seen: set[str] = set()
    for name, _ in request.query_params.items():
        if name in seen:
            raise ClientException(f"{name[:80]}: is given more than once")
        seen.add(name)
