"""When a certificate ends, by its file. It is read anew each time, since it may be renewed."""

import _ssl
import ssl
from pathlib import Path

_DAY = 86400.0


def days_left(certificate: Path, wall: float) -> float:
    """Fewer than 0 once it has ended. Raises OSError if it cannot be read."""
    # Nothing public reads one.
    said = _ssl._test_decode_cert(certificate)  # type: ignore[attr-defined]
    return (ssl.cert_time_to_seconds(str(said["notAfter"])) - wall) / _DAY
