"""Runs pytest, and every test that failed once more by itself, in a session of its own:

    python -m tests.again ARGUMENTS OF PYTEST

A test that passes alone is told and forgiven. Nothing else is: no test that fails again or is
skipped then, no file that cannot be collected, no process of pytest's that died. Both runs have
the same seed, so that chance alone makes no difference.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import randrange

import pytest

MOST = 20  # more than these are no accident


@dataclass
class Outcome:
    failed: dict[str, str] = field(default_factory=dict)  # why, by test
    passed: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)  # what is no test that failed


def main(arguments: list[str]) -> int:
    seed = f"--randomly-seed={randrange(2**32)}"
    status, first = _run(seed, *arguments)
    if first is None:
        _say(f"pytest did not come to its end: {status}")
        return status or pytest.ExitCode.INTERNAL_ERROR
    if status != pytest.ExitCode.TESTS_FAILED or first.broken or not first.failed:
        return status
    if len(first.failed) > MOST:
        _say(f"{len(first.failed)} tests failed; over {MOST} none is run again")
        return status
    told = [_again(seed, test, why) for test, why in first.failed.items()]
    _say(*(line for _, line in told))
    return 0 if all(passed for passed, _ in told) else status


def _again(seed: str, test: str, why: str) -> tuple[bool, str]:
    _say(f"once more, by itself: {test}")
    status, second = _run(seed, "-n", "0", test)
    if status == 0 and second is not None and second.passed == [test]:
        return True, f"failed once, passed alone: {test} ({why})"
    alone = second.failed.get(test) if second else None
    alone = alone or f"did not pass, pytest ended with {status}"
    return False, f"failed twice: {test} ({why}; alone: {alone})"


def _run(*arguments: str) -> tuple[int, Outcome | None]:
    """None when pytest did not come to its end."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "outcome.json")
        command = [sys.executable, "-m", "pytest", "-p", "tests.again", "--outcome", str(file)]
        status = subprocess.run([*command, *arguments], check=False).returncode
        return status, Outcome(**json.loads(file.read_text())) if file.exists() else None


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


# What follows is called by pytest, for which this file is a plugin.


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--outcome", type=Path, help="where tests.again is told what became of them")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # workers of xdist tell their controller
        config.pluginmanager.register(Recorder(config.getoption("--outcome")))


class Recorder:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._outcome = Outcome()

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._outcome.broken.append(report.nodeid)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object, error: object) -> None:
        if error:
            self._outcome.broken.append(f"{node}: {error}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            said = (crash.message if crash else str(report.longrepr)).strip()
            self._outcome.failed[report.nodeid] = f"{report.when}: {said.splitlines()[0][:200]}"
        elif report.when == "call" and report.passed:
            self._outcome.passed.append(report.nodeid)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self._outcome.broken.append(excinfo.exconly())  # so also what calls pytest.exit

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if stopped := session.shouldfail or session.shouldstop:
            self._outcome.broken.append(str(stopped))
        self._file.write_text(json.dumps(asdict(self._outcome)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
