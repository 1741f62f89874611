"""Some tasks of the role acekeeper, run on this machine with stand-ins for all that they call."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Sequence
from getpass import getuser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLAYBOOK = ROOT / ".venv-ansible/bin/ansible-playbook"
ROLE = ROOT / "ansible/roles/acekeeper"
USER = getuser()

needs_ansible = pytest.mark.skipif(
    not PLAYBOOK.parent.with_name("ready").exists(),
    reason="needs .venv-ansible (`make lint` makes it)",
)

# Each writes down that it was called, and fails if it is to. A release says its `knows` for help.
STAND_IN = """#!/bin/sh
words="${0##*/} $*"
case $words in *--help) exec cat "${0%/*}/knows" ;; esac
case $words in "acekeeper settings"* | "acekeeper canary"*) cat > HOME/given ;; esac
echo "$words" >> HOME/called
while read -r failing; do
    case $words in "$failing"*) ;; *) continue ;; esac
    [ "${0##*/}" = podman ] || echo "no $failing today" >&2
    exit 1
done < HOME/fails
[ "$1" != canary ] || grep -q -e "$1" "${0%/*}/knows" || exit 2
[ "$1" != back ] || [ -e HOME/kept ] || exit 3
[ "$1" != keep ] || touch HOME/kept
[ "${0##*/}" != wait_until_ready.py ] || echo '{"degraded": []}'
"""
WRITE = "- name: settings | Write them\n  ansible.builtin.command: write\n  changed_when: false\n"


class Role:
    """The tasks of the files `tried`; in those of the settings, one that writes is instead.
    Release 1+old is in use, and 2+new is to come."""

    def __init__(self, home: Path, tried: Collection[str]) -> None:
        self._home = home
        self._opt = home / "opt"
        self._bin = home / "bin"
        self._bin.mkdir()
        role = home / "roles/acekeeper"
        shutil.copytree(ROLE, role)
        for path in (role / "tasks").glob("*.yml"):
            if path.stem not in tried:
                path.write_text(WRITE if path.stem == "settings" else "[]\n")
        for name in ("changeover", "wait_until_ready.py"):
            self._stand_in(role / "files" / name)
        for name in ("podman", "write"):
            self._stand_in(self._bin / name)
        (home / "release").mkdir()
        (home / "release/BUILD").write_text("2+new\n")
        (home / "release/quadlets").symlink_to(ROOT / "quadlets")
        self.install("1+old")
        (self._opt / "current").symlink_to("1+old")

    def install(self, release: str, knows: str = "canary, drain --all") -> None:
        programs = self._opt / release / "bin"
        programs.mkdir(parents=True, exist_ok=True)
        self._stand_in(programs / "acekeeper")
        (programs / "knows").write_text(knows)
        (self._opt / release / "complete").touch()

    def _stand_in(self, path: Path) -> None:
        path.write_text(STAND_IN.replace("HOME", str(self._home)))
        path.chmod(0o755)

    def play(
        self,
        *options: str,
        failing: Sequence[str] = (),
        tasks_from: str = "main",
        **given: object,
    ) -> subprocess.CompletedProcess[str]:
        (self._home / "fails").write_text("".join(f"{words}\n" for words in failing))
        book = self._home / "book.yml"
        role = {"name": "acekeeper", "tasks_from": tasks_from}
        play = {"hosts": "localhost", "gather_facts": False, "tasks": [{"import_role": role}]}
        book.write_text(json.dumps([play]))
        known = {
            "ansible_python_interpreter": sys.executable,
            "acekeeper_image": "an-image",
            "acekeeper_engine_variant": "emulator",
            "acekeeper_release_dir": str(self._home / "release"),
            "__acekeeper_opt": str(self._opt),
            "__acekeeper_etc": str(self._home / "etc"),
            "__acekeeper_user": USER,
            "__acekeeper_home": str(self._home / "account"),
            "__acekeeper_account": ["x", str(os.getuid())],
            "__acekeeper_complete_file": str(self._opt / "2+new/complete"),
            **given,
        }
        path = f"{self._bin}:{os.environ['PATH']}"
        inventory = ("-i", "localhost,", "-c", "local", "-e", json.dumps(known))
        return subprocess.run(
            [PLAYBOOK, *inventory, str(book), *options],
            cwd=self._home,
            env={"PATH": path, "HOME": str(self._home), "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    def called(self) -> list[str]:
        path = self._home / "called"
        return path.read_text().splitlines() if path.exists() else []
