"""A host of a fleet that says what is another's to say."""

import json
import shlex
from pathlib import Path

from ..viewing import PYTHON
from .deployed import Member

FORGE = Path(__file__).with_name("forge.py")


def forged(by: Member, server: Member, body: str, *subjects: str) -> dict[str, list[str]]:
    """What the server said of each."""
    words = shlex.join((server.address, body, *subjects))
    return dict(json.loads(by.host.ssh(f"{PYTHON} - {words}", stdin=FORGE.read_text()).stdout))
