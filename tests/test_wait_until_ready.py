"""What a deployment waits for, and what it says when that does not come."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from .strangers import stranger

ROLE = Path(__file__).parents[1] / "ansible/roles/acekeeper"
SCRIPT: dict[str, Any] = runpy.run_path(str(ROLE / "files/wait_until_ready.py"))


def test_what_is_no_web_server_is_waited_for_and_named() -> None:
    wait, healthy = SCRIPT["wait"], SCRIPT["healthy"]
    with stranger() as url, pytest.raises(SCRIPT["GaveUp"], match=r"within 0\.3 s: 220 mail"):
        wait("no engine was healthy", 0.3, lambda: healthy(url))
