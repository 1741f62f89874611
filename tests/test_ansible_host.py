"""What the playbook leaves as its owner has it."""

from pathlib import Path

import pytest

from .role import Role, needs_ansible

DAMAGED = """#!/bin/sh
[ "$1" != save ] || { echo 'layer not known' >&2; exit 125; }
"""
FAILS_FIRST = """#!/bin/sh
[ "$1" != --no-target-directory ] || { echo 'it is busy' >&2; exit 1; }
exec /bin/mv "$@"
"""

pytestmark = [needs_ansible, pytest.mark.timeout(300)]


def test_a_directory_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    role = Role(tmp_path, {"command"})
    there, new = tmp_path / "local/bin", tmp_path / "local/share/man1"
    there.mkdir(parents=True)
    there.chmod(0o2775)
    places = dict.fromkeys((f"{there}/acekeeper", f"{new}/acekeeper.1"), "bin/acekeeper")
    played = role.play("-e", f"{{'__acekeeper_command': {places}}}", tasks_from="command")
    assert played.returncode == 0, played.stdout
    assert (there.stat().st_mode & 0o7777, new.stat().st_mode & 0o7777) == (0o2775, 0o755)
    assert (there / "acekeeper").is_symlink()


def test_a_storage_that_could_not_be_put_aside_stays(tmp_path: Path) -> None:
    """Nor does what is to put it back take it away."""
    role = Role(tmp_path, {"image"})
    storage = tmp_path / "storage"
    storage.mkdir()
    (tmp_path / "bin/podman").write_text(DAMAGED)
    (tmp_path / "bin/mv").write_text(FAILS_FIRST)
    (tmp_path / "bin/mv").chmod(0o755)
    played = role.play(tasks_from="image", __acekeeper_storage=str(storage))
    assert played.returncode != 0
    assert '"image | Put a damaged storage aside" was in vain: it is busy' in played.stdout
    assert storage.is_dir()
