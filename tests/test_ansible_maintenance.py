"""A host that the playbook empties is never left so without a word, wherever the run fails."""

from pathlib import Path
from subprocess import CompletedProcess

import pytest

from .role import USER, Role, needs_ansible

TRIED = ("back", "drain", "emptiable", "main", "switch", "switched", "undrain", "verify")
STILL = "is in maintenance still"
BEGIN, UNDO = "acekeeper drain --all", "acekeeper drain --undo"

pytestmark = [needs_ansible, pytest.mark.timeout(300)]


@pytest.fixture
def role(tmp_path: Path) -> Role:
    return Role(tmp_path, TRIED)


def test_viewers_are_kept_out_only_while_it_changes(role: Role) -> None:
    played = role.play(acekeeper_drain=True)
    assert played.returncode == 0, played.stdout
    assert role.called() == [
        "acekeeper drain --all --wait 3600",
        f"changeover keep {USER}",
        "write ",
        f"wait_until_ready.py {USER} 20",
        "acekeeper drain --undo",
        f"wait_until_ready.py {USER} 20 --version 2 --engine",
        "changeover done",
    ]
    announced, _, _ = played.stdout.partition("drain | Wait until nobody plays")
    assert UNDO in announced, "a run that is killed, or loses the host, has said it"


def test_without_that_wish_nobody_is_kept_out(role: Role) -> None:
    played = role.play()
    assert played.returncode == 0, played.stdout
    assert [words for words in role.called() if "drain" in words] == []


@pytest.mark.parametrize(
    ("failing", "outcome"),
    [
        (("changeover keep",), "Nothing that runs was changed."),
        (("write",), "It went back"),
        ((f"wait_until_ready.py {USER} 20 --version",), "It went back"),
        (("write", "changeover back"), "that failed too"),
        (("write", f"wait_until_ready.py {USER} 60"), "that failed too"),
    ],
)
def test_a_run_that_fails_once_the_host_is_empty_lets_viewers_in(
    failing: tuple[str, ...], outcome: str, role: Role
) -> None:
    played = role.play(failing=failing, acekeeper_drain=True)
    assert played.returncode != 0
    assert outcome in played.stdout
    assert "acekeeper drain --undo" in role.called()
    assert STILL not in said_at_last(played)


@pytest.mark.parametrize(
    "failing",
    [("acekeeper drain --undo",), ("changeover keep", "wait_until"), ("write", "wait_until")],
)
def test_a_host_where_that_fails_too_is_said_to_be_in_maintenance(
    failing: tuple[str, ...], role: Role
) -> None:
    played = role.play(failing=failing, acekeeper_drain=True)
    assert played.returncode != 0
    assert STILL in said_at_last(played)
    assert UNDO in said_at_last(played)


def test_a_host_that_does_not_become_empty_is_said_to_be_in_maintenance(role: Role) -> None:
    played = role.play(failing=[BEGIN], acekeeper_drain=True)
    assert played.returncode != 0
    assert role.called() == ["acekeeper drain --all --wait 3600"]
    assert (
        "is not empty, and nothing was changed there: no acekeeper drain --all today"
        in " ".join(said_at_last(played).split())
    )
    assert UNDO in said_at_last(played)


@pytest.mark.parametrize(("release", "options"), [("1+old", ["--check"]), ("2+new", [])])
def test_a_release_that_cannot_empty_the_host_is_named_before_anything_is_touched(
    release: str, options: list[str], role: Role
) -> None:
    role.install(release, knows="an engine")
    played = role.play(*options, acekeeper_drain=True)
    assert played.returncode != 0
    assert f"cannot be emptied by acekeeper {release}, which has no `{BEGIN}`" in played.stdout
    assert role.called() == []


def said_at_last(played: CompletedProcess[str]) -> str:
    return played.stdout.rpartition("TASK [")[2]
