"""The certificates by which this host and the servers of its fleet know each other."""

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_VERSION, _TWO_DIGITS = 0xA0, 0x17  # tags of ASN.1: [0], and a time whose year has two digits


class BadCertificates(Exception):
    """They cannot be used; its words say which, and why."""


class Certificates:
    """`ca.crt`, `host.crt` and `host.key` of a directory, as they are whenever they are asked
    for."""

    def __init__(self, directory: Path) -> None:
        self._ca = directory / "ca.crt"
        self._crt = directory / "host.crt"
        self._key = directory / "host.key"

    def context(self) -> ssl.SSLContext:
        """It blocks. Raises BadCertificates."""
        for path in (self._ca, self._crt, self._key):
            try:
                path.open("rb").close()
            except OSError as error:
                raise BadCertificates(f"{path} cannot be read: {error.strerror}") from None
        try:
            context = ssl.create_default_context(cafile=self._ca)
            context.load_cert_chain(self._crt, self._key)
        except OSError as error:
            why = getattr(error, "reason", None) or error
            raise BadCertificates(f"{self._crt.parent} has no usable certificates: {why}") from None
        return context

    def days(self) -> float | None:
        """Until that of this host ends; None where it cannot be read, which `context` tells."""
        try:
            return days_left(self._crt)
        except (OSError, ValueError):
            return None


def days_left(certificate: Path) -> float:
    """Fewer than 0 once it has ended. Raises OSError, or ValueError if the file has none."""
    return (ends(certificate.read_text("utf-8")) - datetime.now(UTC)) / timedelta(days=1)


def ends(pem: str) -> datetime:
    """When the first certificate in the text ends. Raises ValueError where there is none.

    Python's `ssl` tells it only of the other end of a connection, and of authorities; so the few
    fields before it are passed over here."""
    found = _PEM.search(pem)
    if found is None:
        raise ValueError("has no certificate")
    try:
        der = ssl.PEM_cert_to_DER_cert(found[0])
        _, whole = next(_fields(der))
        _, signed = next(_fields(whole))
        fields = [value for tag, value in _fields(signed) if tag != _VERSION]
        _serial, _algorithm, _issuer, validity = fields[:4]
        _begins, (tag, when) = _fields(validity)
        year = "%y" if tag == _TWO_DIGITS else "%Y"
        return datetime.strptime(when.decode(), f"{year}%m%d%H%M%SZ").replace(tzinfo=UTC)
    except (ValueError, IndexError, StopIteration) as error:
        raise ValueError("has a certificate that cannot be read") from error


def _fields(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and value of each."""
    at = 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length & 0x80:  # so many bytes of length follow
            size = length & 0x7F
            length, at = int.from_bytes(der[at : at + size], "big"), at + size
        yield tag, der[at : at + length]
        at += length
