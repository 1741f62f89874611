"""When a certificate ends, by the file alone."""

import base64
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from acekeeper.adapters.certificates import BadCertificates, Certificates, ends

from ..nats import Authority


@pytest.mark.parametrize("days", [-1, 1, 60, 365, 20_000])  # from 2050 on, years have four digits
def test_the_end_is_read(days: int, authority: Authority) -> None:
    pem = (authority.certify("a", days=days) / "host.crt").read_text()
    expected = datetime.now(UTC) + timedelta(days=days)
    assert abs(ends(f"Certificate:\n  Data:\n{pem}{pem}") - expected) < timedelta(minutes=2)


def test_it_is_the_end_that_python_reads_from_an_authority(authority: Authority) -> None:
    """Of others it does not tell."""
    context = ssl.create_default_context(cafile=authority.crt)
    said = str(context.get_ca_certs()[0]["notAfter"])
    assert ends(authority.crt.read_text()).timestamp() == ssl.cert_time_to_seconds(said)


def test_what_is_no_certificate_is_told(authority: Authority) -> None:
    whole = ssl.PEM_cert_to_DER_cert((authority.certify("a") / "host.crt").read_text())
    for size in (0, 1, 4, 50):
        cut = base64.b64encode(whole[:size]).decode()
        pem = f"-----BEGIN CERTIFICATE-----\n{cut}\n-----END CERTIFICATE-----\n"
        with pytest.raises(ValueError, match="certificate"):
            ends(pem)
    with pytest.raises(ValueError, match="has no certificate"):
        ends("")


def test_files_that_cannot_be_used_are_named(authority: Authority, tmp_path: Path) -> None:
    none = Certificates(tmp_path)
    assert none.days() is None
    with pytest.raises(BadCertificates, match=r"ca\.crt cannot be read: No such file"):
        none.context()
    place = authority.certify("a")
    (place / "host.key").write_bytes((authority.certify("b") / "host.key").read_bytes())
    with pytest.raises(BadCertificates, match=rf"{place} has no usable certificates: .*MISMATCH"):
        Certificates(place).context()
