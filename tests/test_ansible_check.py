"""A check refuses what a deployment would refuse, and changes nothing for it."""

from pathlib import Path

import pytest

from .role import Role, needs_ansible

TRIED = ("installed", "main", "prove")
SETTINGS = ("--check", "--tags=settings")
CANARY = "acekeeper canary --settings"

pytestmark = [needs_ansible, pytest.mark.timeout(300)]


@pytest.fixture
def role(tmp_path: Path) -> Role:
    return Role(tmp_path, TRIED)


def test_the_settings_are_tried_against_the_host_and_no_engine_is_started(role: Role) -> None:
    role.install("2+new")
    played = role.play(*SETTINGS)
    assert played.returncode == 0, played.stdout
    assert role.called()[-1] == CANARY


@pytest.mark.parametrize("options", [SETTINGS, ("--check",)])
def test_settings_that_the_host_cannot_have_are_refused(
    options: tuple[str, ...], role: Role
) -> None:
    role.install("2+new")
    played = role.play(*options, failing=[CANARY])
    assert played.returncode != 0
    assert f"stays as it is.  no {CANARY} today" in played.stdout


def test_an_earlier_release_tries_what_it_can(role: Role) -> None:
    role.install("2+new", knows="less")
    played = role.play(*SETTINGS)
    assert played.returncode == 0, played.stdout
    assert role.called()[-1] == CANARY


def test_an_image_that_is_not_there_is_refused(role: Role) -> None:
    role.install("2+new")
    played = role.play(*SETTINGS, failing=["podman image exists an-image"])
    assert played.returncode != 0
    assert "It needs an-image first, which is not there" in played.stdout
    assert "the tag image too" in played.stdout


def test_a_release_that_is_not_there_is_refused(role: Role) -> None:
    played = role.play(*SETTINGS)
    assert played.returncode != 0
    assert "It needs 2+new first, which is not installed there" in played.stdout


@pytest.mark.parametrize("part", ["release", "image"])
def test_what_the_run_would_bring_is_not_missed(part: str, tmp_path: Path) -> None:
    role = Role(tmp_path, {*TRIED, part})
    if part == "image":
        role.install("2+new")
    absent = ["podman image exists"] if part == "image" else []
    played = role.play("--check", f"--tags=settings,{part}", failing=absent)
    assert played.returncode == 0, played.stdout
    assert ("would try the settings" in played.stdout) == (part == "release")
