"""Keeps what a fleet is by, on the machine from which its hosts are deployed: the authority that
signs its certificates, a key and a certificate of each host, which hosts have servers, and at which
address a host was last, for a run that does not reach it.

It reads the fleet as JSON on its standard input and prints it completed. With --check it writes
nothing."""

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
SERVERS = 3
AUTHORITY_LASTS = timedelta(days=3650)
CERTIFICATE_LASTS = timedelta(days=365)
RENEWED_BEFORE = timedelta(days=60)
# Clocks of hosts differ.
VALID_SINCE = timedelta(days=1)


class RefusedError(Exception):
    """What is wrong, and what to do."""


class Member(NamedTuple):
    inventory: str
    host: str
    address: str | None
    is_deployed: bool
    knows: str | None
    """The fingerprint of the authority that it goes by."""


def label(inventory: str) -> str:
    """What the fleet calls a host: a part of a subject, and a DNS name."""
    host = re.sub("[^a-z0-9-]", "-", inventory.lower()).strip("-")
    if not LABEL.fullmatch(host):
        raise RefusedError(f"no name can be made of the host {inventory}; give it another")
    return host


class Directory:
    """Of one fleet."""

    def __init__(self, path: Path, *, dry: bool) -> None:
        self._path = path
        self._dry = dry
        self.changed: list[str] = []

    def write(self, name: str, data: bytes, what: str, mode: int = 0o644) -> None:
        """Whole or not at all."""
        self.changed.append(what)
        if self._dry:
            return
        path = self._path / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = path.with_name(f"{path.name}.new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
            os.fsync(file.fileno())
        new.replace(path)

    def read(self, name: str) -> bytes | None:
        path = self._path / name
        return path.read_bytes() if path.exists() else None

    def remove_hosts_but(self, hosts: Iterable[str]) -> None:
        for path in sorted(self._path.glob("hosts/*")):
            if path.stem not in hosts:
                self.changed.append(f"{path.name} is removed")
                if not self._dry:
                    path.unlink()

    def key(self, name: str, what: str) -> ec.EllipticCurvePrivateKey:
        kept = self.read(name)
        if kept is not None:
            key = load_pem_private_key(kept, None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise RefusedError(f"{self._path / name} is no key of this fleet")
            return key
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.write(name, pem, what, 0o600)
        return key


class Authority:
    def __init__(self, directory: Directory, fleet: str) -> None:
        self._directory = directory
        kept = directory.read("ca.crt")
        if (kept is None) != (directory.read("ca.key") is None):
            raise RefusedError("of ca.key and ca.crt one is missing; bring back the other")
        self.key = directory.key("ca.key", "a key of the authority is made")
        if kept is None:
            name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"acekeeper fleet {fleet}")])
            now = datetime.now(UTC)
            builder = (
                _begun(name, name, self.key.public_key(), now + AUTHORITY_LASTS)
                .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                .add_extension(_usage(signs=True), critical=True)
            )
            self.certificate = builder.sign(self.key, hashes.SHA256())
            pem = self.certificate.public_bytes(Encoding.PEM)
            directory.write("ca.crt", pem, "a certificate of the authority is made")
        else:
            self.certificate = x509.load_pem_x509_certificate(kept)
        if self.certificate.public_key() != self.key.public_key():
            raise RefusedError("ca.crt is not of ca.key; bring back the two that belong together")

    def certify(self, host: str, address: str) -> str:
        """The fingerprint of the host's key, which stays when its certificate is renewed."""
        key = self._directory.key(f"hosts/{host}.key", f"a key of {host} is made")
        kept = self._directory.read(f"hosts/{host}.crt")
        if kept is None or not self._holds(
            x509.load_pem_x509_certificate(kept), key, host, address
        ):
            names: list[x509.GeneralName] = [
                x509.DNSName(host),
                x509.IPAddress(IPv4Address(address)),
            ]
            subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
            both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            until = min(datetime.now(UTC) + CERTIFICATE_LASTS, self.certificate.not_valid_after_utc)
            certificate = (
                _begun(subject, self.certificate.subject, key.public_key(), until)
                .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                .add_extension(_usage(signs=False), critical=True)
                .add_extension(x509.ExtendedKeyUsage(both), critical=False)
                .add_extension(x509.SubjectAlternativeName(names), critical=False)
                .add_extension(
                    x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                    critical=False,
                )
                .sign(self.key, hashes.SHA256())
            )
            pem = certificate.public_bytes(Encoding.PEM)
            self._directory.write(f"hosts/{host}.crt", pem, f"a certificate of {host} is made")
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return sha256(public).hexdigest()

    def _holds(
        self,
        certificate: x509.Certificate,
        key: ec.EllipticCurvePrivateKey,
        host: str,
        address: str,
    ) -> bool:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return (
            certificate.public_key() == key.public_key()
            and certificate.issuer == self.certificate.subject
            and certificate.not_valid_after_utc - datetime.now(UTC) > RENEWED_BEFORE
            and list(names) == [x509.DNSName(host), x509.IPAddress(IPv4Address(address))]
        )


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - VALID_SINCE)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def members_of(given: Sequence[Mapping[str, Any]], known: Mapping[str, str]) -> list[Member]:
    members: dict[str, Member] = {}
    for one in given:
        host = label(one["name"])
        if host in members:
            raise RefusedError(
                f"{members[host].inventory} and {one['name']} would both be {host} in the fleet;"
                " give one of them another name in the inventory"
            )
        address = one["address"] or known.get(host)
        members[host] = Member(one["name"], host, address, one["is_deployed"], one["knows"])
    at: dict[str, str] = {}
    for member in members.values():
        if member.address is None:
            raise RefusedError(
                f"{member.inventory} was never reached, and its address is not known; deploy it too"
                " or take it out of the fleet until it is there"
            )
        try:
            IPv4Address(member.address)
        except ValueError:
            raise RefusedError(
                f"acekeeper_fleet_address of {member.inventory} is {member.address},"
                " which is no IPv4 address"
            ) from None
        if member.address in at:
            raise RefusedError(
                f"{at[member.address]} and {member.inventory} have both the address"
                f" {member.address}; give them their acekeeper_fleet_address"
            )
        at[member.address] = member.inventory
    return list(members.values())


def servers_of(members: Sequence[Member], kept: Sequence[str]) -> list[str]:
    """Those that there are, and the first of the others in place of what is missing."""
    hosts = [member.host for member in members]
    stay = [host for host in kept if host in hosts]
    return [*stay, *(host for host in hosts if host not in stay)][:SERVERS]


def complete(given: Mapping[str, Any], *, dry: bool) -> dict[str, Any]:
    fleet = given["fleet"]
    if not LABEL.fullmatch(fleet):
        raise RefusedError(
            f"acekeeper_fleet is {fleet}; it must be up to 63 characters of a-z, 0-9 and -"
        )
    path = Path(given["directory"])
    directory = Directory(path, dry=dry)
    record = json.loads(directory.read("fleet.json") or b'{"hosts": {}, "servers": []}')
    members = members_of(given["members"], record["hosts"])
    servers = [] if given["has_servers"] else servers_of(members, record["servers"])
    hosts = {member.host: member.address for member in members}

    left_out = [m.inventory for m in members if m.host in servers and not m.is_deployed]
    if left_out and (hosts.keys() != record["hosts"].keys() or servers != record["servers"]):
        raise RefusedError(
            f"hosts join or leave the fleet, its servers have to be told first, and"
            f" {', '.join(left_out)} {'is' if len(left_out) == 1 else 'are'} not deployed;"
            " deploy without --limit"
        )

    known = {m.knows for m in members if m.knows}
    ours = directory.read("ca.crt")
    if known - ({sha256(ours).hexdigest()} if ours else set()):
        strange = [m.inventory for m in members if m.knows in known]
        raise RefusedError(
            f"{', '.join(strange)} {'goes' if len(strange) == 1 else 'go'} by an authority that is"
            f" not in {path}; bring that directory from where the fleet was deployed last. If it is"
            " lost, remove /etc/acekeeper/fleet/ca.crt on every host, and the fleet gets a new one:"
            " hosts play alone until all are deployed"
        )

    authority = Authority(directory, fleet)
    pins = {member.host: authority.certify(member.host, str(member.address)) for member in members}
    directory.remove_hosts_but(hosts)
    if record != (now := {"hosts": hosts, "servers": servers}):
        directory.write("fleet.json", json.dumps(now, indent=1).encode() + b"\n", "who is in it")
    if directory.read(".gitignore") is None:
        directory.write(".gitignore", b"*.key\n", "git is told to leave its keys alone")
    return {
        "changed": directory.changed,
        "hosts": [
            {"inventory": m.inventory, "host": m.host, "address": m.address} for m in members
        ],
        "servers": servers,
        "pins": [pins[host] for host in servers],
    }


def main() -> int:
    try:
        completed = complete(json.load(sys.stdin), dry="--check" in sys.argv[1:])
    except RefusedError as refused:
        sys.stderr.write(f"{refused}\n")
        return 1
    json.dump(completed, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
