"""A host that the playbook empties is never left so without a word, wherever the run fails.

The tasks of the role that have to do with it, on this machine, with stand-ins for all they call."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from getpass import getuser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLAYBOOK = ROOT / ".venv-ansible/bin/ansible-playbook"
ROLE = ROOT / "ansible/roles/acekeeper"
TRIED = ("back", "drain", "emptiable", "main", "switch", "switched", "undrain", "verify")
USER = getuser()
STILL = "is in maintenance still"
BEGIN, UNDO = "acekeeper drain --all", "acekeeper drain --undo"

pytestmark = [
    pytest.mark.skipif(
        not PLAYBOOK.parent.with_name("ready").exists(),
        reason="needs .venv-ansible (`make lint` makes it)",
    ),
    pytest.mark.timeout(300),
]

# Each writes down that it was called, and fails if it is named in $FAILS.
STAND_IN = """#!/bin/sh
words="${0##*/} $*"
echo "$words" >> HOME/called
case $words in *--help) exec cat "${0%/*}/knows" ;; esac
while read -r failing; do
    case $words in "$failing"*) echo "no $failing today" >&2; exit 9 ;; esac
done < HOME/fails
[ "$1" != back ] || [ -e HOME/kept ] || exit 3
[ "$1" != keep ] || touch HOME/kept
[ "${0##*/}" != wait_until_ready.py ] || echo '{"degraded": []}'
"""


class World:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.opt = home / "opt"
        role = home / "roles/acekeeper"
        shutil.copytree(ROLE, role)
        for path in (role / "tasks").glob("*.yml"):
            if path.stem not in TRIED:
                path.write_text("[]\n")
        for name in ("changeover", "wait_until_ready.py"):
            self._stand_in(role / "files" / name)
        (role / "tasks/settings.yml").write_text(
            "- name: settings | Fail where that is asked for\n"
            f"  ansible.builtin.command: {home}/write\n  changed_when: false\n"
        )
        self._stand_in(home / "write")
        (home / "release").mkdir()
        (home / "release/BUILD").write_text("2+new\n")
        self.install("1+old")
        (self.opt / "current").symlink_to("1+old")
        (home / "fails").touch()

    def install(self, release: str, knows: str = "--all --undo") -> None:
        programs = self.opt / release / "bin"
        programs.mkdir(parents=True, exist_ok=True)
        self._stand_in(programs / "acekeeper")
        (programs / "knows").write_text(knows)

    def _stand_in(self, path: Path) -> None:
        path.write_text(STAND_IN.replace("HOME", str(self.home)))
        path.chmod(0o755)

    def play(self, *failing: str, options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        (self.home / "fails").write_text("".join(f"{words}\n" for words in failing))
        book = self.home / "book.yml"
        play = {"hosts": "localhost", "gather_facts": False, "roles": ["acekeeper"]}
        book.write_text(json.dumps([play]))
        known = {
            "ansible_python_interpreter": sys.executable,
            "acekeeper_drain": True,
            "acekeeper_image": "none",
            "acekeeper_engine_variant": "emulator",
            "acekeeper_release_dir": str(self.home / "release"),
            "__acekeeper_opt": str(self.opt),
            "__acekeeper_user": USER,
            "__acekeeper_account": ["x", str(os.getuid())],
        }
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), "NO_COLOR": "1"}
        return subprocess.run(
            [
                PLAYBOOK,
                "-i",
                "localhost,",
                "-c",
                "local",
                "-e",
                json.dumps(known),
                str(book),
                *options,
            ],
            cwd=self.home,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def called(self) -> list[str]:
        path = self.home / "called"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if not line.endswith("--help")]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_viewers_are_kept_out_only_while_it_changes(world: World) -> None:
    played = world.play()
    assert played.returncode == 0, played.stdout
    assert world.called() == [
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
    failing: tuple[str, ...], outcome: str, world: World
) -> None:
    played = world.play(*failing)
    assert played.returncode != 0
    assert outcome in played.stdout
    assert "acekeeper drain --undo" in world.called()
    assert STILL not in said_at_last(played)


@pytest.mark.parametrize(
    "failing",
    [("acekeeper drain --undo",), ("changeover keep", "wait_until"), ("write", "wait_until")],
)
def test_a_host_where_that_fails_too_is_said_to_be_in_maintenance(
    failing: tuple[str, ...], world: World
) -> None:
    played = world.play(*failing)
    assert played.returncode != 0
    assert STILL in said_at_last(played)
    assert UNDO in said_at_last(played)


def test_a_host_that_does_not_become_empty_is_said_to_be_in_maintenance(world: World) -> None:
    played = world.play("acekeeper drain --all")
    assert played.returncode != 0
    assert world.called() == ["acekeeper drain --all --wait 3600"]
    assert (
        "is not empty, and nothing was changed there: no acekeeper drain --all today"
        in " ".join(said_at_last(played).split())
    )
    assert UNDO in said_at_last(played)


@pytest.mark.parametrize("release", ["1+old", "2+new"])
@pytest.mark.parametrize("options", [(), ("--check",)])
def test_a_release_that_cannot_empty_the_host_is_named_before_anything_is_touched(
    release: str, options: tuple[str, ...], world: World
) -> None:
    world.install(release, knows="an engine")
    played = world.play(options=options)
    assert played.returncode != 0
    assert f"cannot be emptied by acekeeper {release}, which has no `{BEGIN}`" in played.stdout
    assert world.called() == []


def said_at_last(played: subprocess.CompletedProcess[str]) -> str:
    return played.stdout.rpartition("TASK [")[2]
