"""The settings file: `NAME=value` lines as systemd's `EnvironmentFile=` reads them.

Where systemd skips a line it does not understand, this refuses it.
"""

import difflib
import re
from collections.abc import Collection
from pathlib import Path

from acekeeper.errors import BadSetting


def read(path: Path, known: Collection[str]) -> dict[str, str]:
    try:
        lines = path.read_text("utf-8").split("\n")
    except OSError as error:
        hint = "Set it to a file this user may read"
        raise BadSetting(f"SETTINGS_FILE={path} cannot be read: {error.strerror}", hint) from None
    except UnicodeDecodeError:
        raise BadSetting(f"SETTINGS_FILE={path} is not UTF-8 text") from None
    said = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line[0] in "#;":
            continue
        where = f"SETTINGS_FILE={path}, line {number},"
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
            # Not shown: it may be a piece of a secret.
            raise BadSetting(f"{where} is not NAME=value")
        if name not in known:
            near = difflib.get_close_matches(name.upper(), known, 1)
            hint = f"Did you mean {near[0]}?" if near else "docs/settings.md lists them all"
            raise BadSetting(f"{where} sets {name}, which is no setting", hint)
        try:
            said[name] = _unquote(value)
        except ValueError as error:
            raise BadSetting(f"{where} {error}", "Write each value on one line") from None
    return said


def _unquote(value: str) -> str:
    """As systemd does it: quotes count at the start only, backslashes all but in single quotes."""
    parts = []
    while quoted := re.match(r"""\s*(?:'([^']*)'|"((?:[^"\\]|\\.)*)")""", value):
        single, double = quoted.groups()
        parts.append(re.sub(r'\\(["\\`$])', r"\1", double) if single is None else single)
        value = value[quoted.end() :]
    value = value.strip()
    if value[:1] in ("'", '"'):
        raise ValueError("has a quote that is not closed")
    if not re.fullmatch(r"([^\\]|\\.)*", value):
        raise ValueError("ends in a backslash")
    return "".join(parts) + re.sub(r"\\(.)", r"\1", value)
