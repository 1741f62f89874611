"""Who may call what: keys in constant time, and no visitor from another site's page."""

import re
from collections.abc import Collection, Iterable, Sequence
from hmac import compare_digest
from typing import Literal

from litestar.exceptions import HTTPException, NotAuthorizedException, PermissionDeniedException

from acekeeper.listening import is_loopback

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})  # the usual ones
_HOST = re.compile(rb"(?:\[([^][]+)\]|([^][:]+))(?::[0-9]*)?")

Level = Literal["open", "read", "key"]
Headers = Iterable[tuple[bytes, bytes]]  # names in small letters


class Access:
    """`read_keys` open all but what needs the key. `only_loopback`: judged by the addresses the
    listening sockets really have. `names` are those of this host; its owner chose them, and nobody
    else can point them here."""

    def __init__(
        self,
        keys: Sequence[str],
        read_keys: Sequence[str],
        only_loopback: bool,
        names: Collection[str],
    ) -> None:
        self._keys = [key.encode() for key in keys]
        self._read_keys = [key.encode() for key in read_keys]
        self._only_loopback = only_loopback
        self._names = _LOOPBACK_NAMES | {name.lower() for name in names}

    def refusal(self, level: Level, headers: Headers) -> HTTPException | None:
        """To a request with these headers on a route of this level."""
        if self._needs_key(level):
            return self._without_key(level, headers)
        if (self._only_loopback or not self._keys) and not (
            self._is_from_here(headers) or self._may(level, headers)
        ):
            return PermissionDeniedException(
                "without a valid API key only this host's own names are served, and no page of"
                " another site: call localhost, or send Authorization: Bearer KEY"
            )
        return None

    def _needs_key(self, level: Level) -> bool:
        is_open = level == "open" or (level == "read" and self._only_loopback)
        return bool(self._keys) and not is_open

    def _without_key(self, level: Level, headers: Headers) -> HTTPException | None:
        if not _given(headers):
            return NotAuthorizedException(
                "this needs the API key: Authorization: Bearer KEY",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if self._may(level, headers):
            return None
        if self._may("read", headers):
            return PermissionDeniedException(
                "this needs API_KEY: the key that was sent, API_KEY_READ, may only read",
                headers={"WWW-Authenticate": 'Bearer error="insufficient_scope"'},
            )
        return PermissionDeniedException("this API key is not valid")

    def _may(self, level: Level, headers: Headers) -> bool:
        """Whether a key was sent that is valid for this."""
        given = _given(headers).encode()
        keys = self._keys if level == "key" else [*self._keys, *self._read_keys]
        return any(compare_digest(given, key) for key in keys)

    def _is_from_here(self, headers: Headers) -> bool:
        """A page of another site could reach us through its visitor's browser: by a name it points
        here, with a form whose answer it need not see, or as the address of a picture. Only
        browsers send `Origin` and `Sec-Fetch-Site`. A link to us may be followed from anywhere."""
        hosts = 0
        fetched = {}
        for name, value in headers:
            if name == b"host":
                hosts += 1
                if not self._is_ours(value):
                    return False
            elif name == b"origin":
                if not self._is_ours(value.partition(b"://")[2]):
                    return False
            elif name.startswith(b"sec-fetch-"):
                fetched[name] = value
        is_foreign = fetched.get(b"sec-fetch-site") == b"cross-site"
        return hosts == 1 and (not is_foreign or fetched.get(b"sec-fetch-mode") == b"navigate")

    def _is_ours(self, host: bytes) -> bool:
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = (found[1] or found[2]).decode("latin-1").lower()
        return name in self._names or is_loopback(name)


def _given(headers: Headers) -> str:
    """The key as it was sent, or nothing."""
    said = next((value for name, value in headers if name == b"authorization"), b"")
    scheme, _, token = said.decode("latin-1").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
