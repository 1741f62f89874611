"""Gives a host of a fleet another certificate, with its authority on this machine.

    certify.py DIRECTORY HOST DAYS

DIRECTORY: where the playbook keeps them. The certificate ends in so many days, or ended.
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key


def main(directory: str, host: str, days: str) -> None:
    authority = load_pem_private_key(Path(directory, "ca.key").read_bytes(), None)
    path = Path(directory, "hosts", f"{host}.crt")
    was = x509.load_pem_x509_certificate(path.read_bytes())
    ends = datetime.now(UTC) + timedelta(days=float(days))
    builder = x509.CertificateBuilder(
        was.issuer,
        was.subject,
        was.public_key(),
        x509.random_serial_number(),
        ends - timedelta(days=100),
        ends,
        list(was.extensions),
    )
    path.write_bytes(builder.sign(authority, hashes.SHA256()).public_bytes(Encoding.PEM))


if __name__ == "__main__":
    main(*sys.argv[1:])
