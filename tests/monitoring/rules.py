"""The file of alert rules, and what it has to have."""

from pathlib import Path
from typing import Literal

import msgspec

ROOT = Path(__file__).parent.parent.parent
FILES = ROOT / "ansible/roles/monitoring/files"
RULES = FILES / "acekeeper.rules.yml"
INSTALLED = "file:///opt/acekeeper/current/share/doc/acekeeper/"  # by the wheel


class Labels(msgspec.Struct, forbid_unknown_fields=True):
    severity: Literal["critical", "warning"]


class Annotations(msgspec.Struct, forbid_unknown_fields=True):
    summary: str
    description: str
    runbook_url: str


class Alert(msgspec.Struct, forbid_unknown_fields=True, rename={"name": "alert", "lasts": "for"}):
    name: str
    expr: str
    labels: Labels
    annotations: Annotations
    lasts: str = ""
    keep_firing_for: str = ""


class _Group(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    rules: list[Alert]


class _File(msgspec.Struct, forbid_unknown_fields=True):
    groups: list[_Group]


def alerts() -> list[Alert]:
    file = msgspec.yaml.decode(RULES.read_bytes(), type=_File)
    return [alert for group in file.groups for alert in group.rules]
