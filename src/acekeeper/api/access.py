"""Who may call what: keys in constant time, and no visitor from another site's page."""

from collections.abc import Sequence
from hmac import compare_digest
from typing import Any, Literal

from litestar import Request
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException

from acekeeper.listening import is_loopback

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})  # the usual ones

Level = Literal["open", "read", "key"]


class Access:
    """`only_loopback`: judged by the addresses the listening sockets really have."""

    def __init__(self, keys: Sequence[str], only_loopback: bool) -> None:
        self._keys = [key.encode() for key in keys]
        self._only_loopback = only_loopback

    async def __call__(self, request: Request[Any, Any, Any]) -> None:
        """A route says `opt={"access": …}`; one that does not needs the key."""
        if not self._keys:
            self._refuse_foreign_names(request)
            return
        level: Level = request.route_handler.opt.get("access", "key")
        if level == "open" or (level == "read" and self._only_loopback):
            return
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotAuthorizedException(
                "this needs the API key: Authorization: Bearer KEY",
                headers={"WWW-Authenticate": "Bearer"},
            )
        given = token.strip().encode()
        if not any(compare_digest(given, key) for key in self._keys):
            raise PermissionDeniedException("this API key is not valid")

    def _refuse_foreign_names(self, request: Request[Any, Any, Any]) -> None:
        """Without a key a page of another site could reach us: by a name it points here, or with
        a form, whose answer it need not see. Only pages and forms send an `Origin`."""
        host = request.headers.get("host", "")
        origin = request.headers.get("origin")
        site = host if origin is None else origin.partition("://")[2]
        if not (_is_ours(host) and _is_ours(site)):
            raise PermissionDeniedException(
                "without an API_KEY only loopback names are served: call localhost"
            )


def _is_ours(host: str) -> bool:
    name = host if host.endswith("]") else host.rsplit(":", 1)[0]
    return name.lower() in _LOOPBACK_NAMES or is_loopback(name.strip("[]"))
