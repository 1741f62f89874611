"""The certificate of a host of a fleet ends, or soon will."""

from pathlib import Path

from .. import deploying
from ..lab.command import run
from .deployed import NAME, Fleet, Member

PYTHON = deploying.ROOT / ".venv-ansible/bin/python"  # which has what reads certificates
CERTIFY = Path(__file__).with_name("certify.py")
PLACES = ("/etc/acekeeper/fleet/host.crt", "/etc/acekeeper-fleet/host.crt")


def ends_in(fleet: Fleet, member: Member, days: float) -> None:
    """What is connected stays so."""
    kept = fleet.deployer.directory / f"fleet-{NAME}"
    run(str(PYTHON), str(CERTIFY), str(kept), member.name, str(days))
    certificate = (kept / f"hosts/{member.name}.crt").read_text()
    for place in PLACES:
        member.host.ssh(f"cat > {place}", stdin=certificate)


def connect_again(member: Member) -> None:
    """It and its server, with the certificates that they have now."""
    member.server("restart")
    member.restart()


def of(member: Member) -> str:
    return member.host.ssh(f"cat {' '.join(PLACES)}").stdout
