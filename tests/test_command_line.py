"""What the parser is made into for shells and for man, and what root runs on a host."""

import argparse
import pwd
import shutil
import subprocess
from pathlib import Path

import pytest

from acekeeper.cli.parser import parser
from acekeeper.core.happenings import HAPPENINGS

from .running import run

ROOT = Path(__file__).parent.parent
MADE = ROOT / "docs/command"
COMMAND = ROOT / "ansible/roles/acekeeper/files/acekeeper"
SOME = {"status", "engines", "streams", "log", "doctor", "drain", "stop", "scale", "reset-breaker"}
[COMMANDS] = (a.choices for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
COMPLETE = """
source acekeeper.bash
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_shtab_acekeeper
echo "${COMPREPLY[@]}"
"""


def completed(*words: str) -> list[str]:
    said = subprocess.check_output(["bash", "-c", COMPLETE, "-", *words], cwd=MADE, text=True)
    return said.split()


def test_bash_completes_commands_options_and_kinds() -> None:
    assert {*completed("acekeeper", "")} >= SOME
    assert completed("acekeeper", "dra") == ["drain"]
    assert "--watch" in completed("acekeeper", "status", "--")
    assert completed("acekeeper", "log", "--kind", "") == list(HAPPENINGS)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_a_shell_reads_is_a_script_of_its(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    subprocess.run([shell, "-n", MADE / f"acekeeper.{shell}"], check=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_its_help_and_does_nothing_else(command: str) -> None:
    ended = run({}, command, "--help")
    assert (ended.status, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"usage: acekeeper {command} ")


@pytest.mark.skipif(shutil.which("man") is None, reason="there is no man")
def test_man_shows_every_command() -> None:
    command = ["man", "--warnings=w", "-l", str(MADE / "acekeeper.1")]
    environ = {"PATH": "/usr/bin:/bin", "MANPAGER": "cat", "MANWIDTH": "200", "LC_ALL": "C"}
    shown = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert shown.stderr == ""
    for name in SOME:
        assert f"acekeeper {name}" in shown.stdout


def test_what_root_runs_is_a_script_of_any_shell_and_needs_a_deployment() -> None:
    subprocess.run(["sh", "-n", COMMAND], check=True)
    if "acekeeper" in {entry.pw_name for entry in pwd.getpwall()}:
        pytest.skip("this machine has an account acekeeper")
    ended = subprocess.run([COMMAND, "status"], capture_output=True, text=True, check=False)
    said = "acekeeper: this host has no account acekeeper. Deploy it first\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", said)
