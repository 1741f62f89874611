"""Tests that fail once are run again by themselves; whatever else goes wrong stays wrong."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PLAIN = "def test_passes(): pass\n"
ONCE = """
import os, pathlib, pytest, sys

def is_first():
    seen = pathlib.Path(__file__).with_suffix(".seen")
    if seen.exists():
        return False
    seen.touch()
    return True
"""


class Ended(NamedTuple):
    status: int
    output: str
    told: list[str]  # the lines about tests that were run again


def run(directory: Path, *arguments: str, **files: str) -> Ended:
    for name, text in files.items():
        (directory / f"{name}.py").write_text(text)
    (directory / "pytest.ini").write_text("[pytest]\naddopts = -p xdist -p randomly -p timeout\n")
    ended = subprocess.run(
        [sys.executable, "-m", "tests.again", *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    told = [line for line in ended.stdout.splitlines() if line.startswith("failed ")]
    return Ended(ended.returncode, ended.stdout, told)


PLACES = pytest.mark.parametrize("workers", ["0", "2"])


@PLACES
def test_one_that_passes_alone_is_told_and_forgiven(tmp_path: Path, workers: str) -> None:
    flaky = f"{ONCE}\n@pytest.mark.parametrize('at', ['a::b c'])\ndef test_it(at):\n"
    flaky += "    assert not is_first(), 'the first time'\n"
    flaky += "def test_beside_it(): pass\n"
    ended = run(tmp_path, "-n", workers, test_flaky=flaky, test_plain=PLAIN)
    assert ended.status == 0, ended.output
    name = "test_flaky.py::test_it[a::b c]"
    assert ended.told == [
        f"failed once, passed alone: {name} (call: AssertionError: the first time)"
    ]
    assert "1 failed, 2 passed in " in ended.output
    assert "1 passed in " in ended.output


@PLACES
@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("def test_it():\n    assert False, is_first()", "call: AssertionError: {}"),
        (
            "@pytest.fixture\ndef it():\n    raise OSError(is_first())\ndef test_it(it): pass",
            "setup: OSError: {}",
        ),
        (
            "@pytest.fixture\ndef it():\n    yield\n    raise OSError(is_first())\n"
            "def test_it(it): pass",
            "teardown: OSError: {}",
        ),
    ],
    ids=["call", "setup", "teardown"],
)
def test_one_that_fails_twice_fails(tmp_path: Path, workers: str, body: str, why: str) -> None:
    ended = run(tmp_path, "-n", workers, test_bad=f"{ONCE}\n{body}\n", test_plain=PLAIN)
    assert ended.status == 1, ended.output
    both = f"{why.format(True)}; alone: {why.format(False)}"
    assert ended.told == [f"failed twice: test_bad.py::test_it ({both})"]


def test_one_that_fails_twice_is_not_forgiven_for_another(tmp_path: Path) -> None:
    flaky = f"{ONCE}\ndef test_it(): assert not is_first()\n"
    ended = run(tmp_path, test_flaky=flaky, test_bad="def test_it(): assert False\n")
    assert ended.status == 1, ended.output
    assert sorted(line.partition(":")[0] for line in ended.told) == [
        "failed once, passed alone",
        "failed twice",
    ]


def test_one_that_is_skipped_the_second_time_did_not_pass(tmp_path: Path) -> None:
    body = "def test_it():\n    assert not is_first()\ndef setup_module():\n"
    body += "    if pathlib.Path(__file__).with_suffix('.seen').exists(): pytest.skip('no more')\n"
    ended = run(tmp_path, test_it=f"{ONCE}\n{body}")
    assert ended.status == 1, ended.output
    assert ended.told[0].startswith("failed twice: test_it.py::test_it (")
    assert ended.told[0].endswith("; alone: did not pass, pytest ended with 0)")


def test_both_runs_have_the_same_chances(tmp_path: Path) -> None:
    body = "import random\ndef test_it(): assert False, random.random()\n"
    ended = run(tmp_path, test_chance=body)
    [line] = ended.told
    first, _, second = line.partition("; alone: ")
    assert second.removesuffix(")") == first.partition(" (")[2]


@PLACES
@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("import nothing_of_this_name", {1, 2}),
        ("if is_first(): raise OSError\ndef test_it(): assert False", {1, 2}),
        ("def test_it():\n    if is_first(): os._exit(1)", {1}),
        ("def test_it():\n    if is_first(): os._exit(0)", {1, 3}),
        ("def test_it():\n    if is_first(): pytest.exit('enough', 1)", {1, 3}),
        ("def test_it():\n    if is_first(): raise KeyboardInterrupt", {2, 3}),
        (
            "@pytest.mark.timeout(0.2, method='thread')\ndef test_it():\n    while is_first: pass",
            {1},
        ),
    ],
    ids=["import", "collection", "died", "ended", "exit", "interrupt", "killed"],
)
def test_what_is_no_test_that_failed_is_not_run_again(
    tmp_path: Path, workers: str, body: str, status: set[int]
) -> None:
    flaky = f"{ONCE}\ndef test_flaky(): assert not is_first()\n"
    ended = run(tmp_path, "-n", workers, test_bad=f"{ONCE}\n{body}\n", test_flaky=flaky)
    assert ended.status in status, ended.output
    assert ended.told == []


def test_a_run_that_stopped_early_is_not_made_up_for(tmp_path: Path) -> None:
    flaky = f"{ONCE}\ndef test_flaky(): assert not is_first()\n"
    ended = run(tmp_path, "-x", test_flaky=flaky, test_plain=PLAIN)
    assert (ended.status, ended.told) == (1, [])


@pytest.mark.parametrize(
    ("arguments", "status"), [(("nowhere",), 4), (("-k", "nothing"), 5), (("--nonsense",), 4)]
)
def test_a_run_without_tests_ends_as_pytest_ends_it(
    tmp_path: Path, arguments: tuple[str, ...], status: int
) -> None:
    assert run(tmp_path, *arguments, test_plain=PLAIN).status == status


def test_many_are_no_accident(tmp_path: Path) -> None:
    body = "@pytest.mark.parametrize('n', range(21))\ndef test_it(n): assert False\n"
    ended = run(tmp_path, test_many=f"{ONCE}\n{body}")
    assert ended.status == 1
    assert ended.told == []
    assert "21 tests failed; over 20 none is run again" in ended.output


def test_what_all_passes_runs_once(tmp_path: Path) -> None:
    ended = run(tmp_path, test_plain=PLAIN)
    assert ended.status == 0
    assert ended.output.count("test session starts") == 1
