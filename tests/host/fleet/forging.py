"""A host of a fleet that says what is another's to say."""

import json
import shlex
from pathlib import Path

from ..viewing import PYTHON
from .deployed import Member

FORGE = Path(__file__).with_name("forge.py")


def forged(by: Member, server: Member, *subjects: str) -> list[str]:
    """What the server said to it."""
    words = shlex.join((server.address, *subjects))
    said = by.host.ssh(f"{PYTHON} - {words}", stdin=FORGE.read_text(), timeout_s=120).stdout
    return list(json.loads(said))
