"""The log, as whoever collects this process's stderr sees it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SETUP = """
import asyncio, logging, os, sys, threading, time, warnings
from loguru import logger
from acekeeper import log
sink = log.setup(os.environ["LEVEL"], [s for s in os.environ["SECRETS"].split() if s])
"""
PIPES: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
SECRET = "k'ey\\\"1"  # a `repr` and JSON write it in other ways


def run(code: str, *secrets: str, level: str = "INFO", **more: Any) -> subprocess.Popen[bytes]:
    environ = {**os.environ, "LEVEL": level, "SECRETS": " ".join(secrets)}
    command = [sys.executable, "-c", SETUP + code]
    return subprocess.Popen(command, env=environ, **more)


def written(code: str, *secrets: str, level: str = "INFO", status: int = 0) -> bytes:
    process = run(code, *secrets, level=level, stderr=subprocess.PIPE)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == status, stderr
    assert stderr.endswith(b"\n") or not stderr
    return stderr


def logged(code: str, *secrets: str, level: str = "INFO", status: int = 0) -> list[dict[str, Any]]:
    """What it logged: every line of its stderr is one JSON object."""
    lines = written(code, *secrets, level=level, status=status).decode().split("\n")[:-1]
    found = [json.loads(line) for line in lines]
    for fields in found:
        assert list(fields)[:3] == ["ts", "level", "event"]
        assert fields["ts"].endswith("Z")
        assert "T" in fields["ts"]
    return found


def test_whoever_logs_it_is_one_object_on_one_line() -> None:
    ours, library, traced, misfit, warning, of_asyncio = logged(
        """
logger.info("two\\nlines", n=1, where={"a": (1, None)}, long="x\\r\\ny")
library = logging.getLogger("some.library")
library.warning("it says %s", "that\\nand {this}")
try:
    1 / 0
except ZeroDivisionError:
    library.exception("it failed")
library.error("%d of them", "none")
warnings.warn("old\\nway")
async def main():
    def fails():
        raise ValueError("in a callback")
    asyncio.get_running_loop().call_soon(fails)
    await asyncio.sleep(0)
asyncio.run(main())
"""
    )
    assert ours["event"] == "two\nlines"
    assert (ours["level"], ours["n"], ours["where"]) == ("INFO", 1, {"a": [1, None]})
    assert (library["level"], library["logger"]) == ("WARNING", "some.library")
    assert library["event"] == "it says that\nand {this}"
    assert (traced["event"], traced["error"]) == (
        "it failed",
        "ZeroDivisionError: division by zero",
    )
    assert traced["traceback"].startswith("Traceback (most recent call last):\n")
    assert misfit["event"] == "%d of them ('none',)"
    assert (warning["logger"], "old\nway" in warning["event"]) == ("py.warnings", True)
    assert of_asyncio["error"] == "ValueError: in a callback"


def test_what_nobody_caught_is_logged_wherever_it_happens() -> None:
    ignored, in_thread, in_main = logged(
        """
class Bad:
    def __del__(self):
        raise ValueError("in a finalizer")
Bad()
def fails():
    raise ValueError("in a thread")
thread = threading.Thread(target=fails, name="worker")
thread.start()
thread.join()
quits = threading.Thread(target=sys.exit)  # no news
quits.start()
quits.join()
raise ValueError("in main")
""",
        status=1,
    )
    assert (ignored["level"], ignored["error"]) == ("ERROR", "ValueError: in a finalizer")
    assert "Bad.__del__" in ignored["object"]
    assert (in_thread["level"], in_thread["thread"]) == ("CRITICAL", "worker")
    assert in_thread["error"] == "ValueError: in a thread"
    assert (in_main["level"], in_main["event"]) == ("CRITICAL", "uncaught_exception")
    assert in_main["traceback"].startswith("Traceback (most recent call last):\n")


def test_what_a_request_caused_has_its_id() -> None:
    lines = logged(
        """
async def request(name):
    log.request_id_var.set(name)
    logger.info("begun")
    await asyncio.gather(asyncio.create_task(task()), asyncio.to_thread(work))
async def task():
    logging.getLogger("library").warning("in a task")
def work():
    logger.info("in a thread")
async def main():
    await asyncio.gather(request("one"), request("two"))
    logger.info("after")
asyncio.run(main())
"""
    )
    for name in ("one", "two"):
        events = [fields["event"] for fields in lines if fields.get("request_id") == name]
        assert sorted(events) == ["begun", "in a task", "in a thread"]
    assert [fields["event"] for fields in lines if "request_id" not in fields] == ["after"]


@pytest.mark.parametrize("secret", ["plain-key", SECRET, "12345"])
def test_a_secret_appears_nowhere(secret: str) -> None:
    code = f"""
secret = {secret!r}
class Shows:
    def __str__(self):
        return f"shows {{secret}}"
class Hides:
    def __str__(self):
        raise ValueError(secret)
logger.info(f"it is {{secret}}!", **{{f"k{{secret}}": 1, "v": secret, "longer": f"<{{secret}}>"}})
logger.info("nested", d={{secret: [secret, (secret,), {{secret}}]}}, quoted=repr([secret]))
logger.info("objects", raw=secret.encode(), shows=Shows(), hides=Hides(), error=OSError(secret))
import json
logger.info("in JSON", text=json.dumps({{"k": secret}}), n=int(secret) if secret.isdecimal() else 0)
log.request_id_var.set(secret)
logging.getLogger(secret).error("%s %r", secret, secret)
logging.getLogger("misfit").error("%d", secret)
def fails(key):
    try:
        raise OSError(key)
    except OSError as error:
        raise KeyError(key) from error
try:
    fails(secret)
except KeyError:
    logger.exception("caught")
    logging.getLogger("library").exception("caught too")
threading.Thread(target=fails, args=(secret,), name=secret).start()
fails(secret)
"""
    stderr = written(code, secret, "another", status=1).decode()
    lines = stderr.split("\n")[:-1]
    assert len(lines) == 10
    for line in lines:
        json.loads(line)
        assert "***" in line
    for form in (secret, repr(secret)[1:-1], json.dumps(secret)[1:-1]):
        assert form not in stderr
        assert json.dumps(form)[1:-1] not in stderr


def test_a_secret_within_another_leaves_no_rest() -> None:
    [line] = logged('logger.info("key and key-longer")', "key", "key-longer")
    assert line["event"] == "*** and ***"


def test_below_the_level_nothing_is_written_whoever_logs() -> None:
    code = """
logger.debug("ours"); logger.info("ours"); logger.warning("ours")
library = logging.getLogger("library")
library.debug("its"); library.info("its"); library.warning("its"); library.log(35, "its own level")
"""
    levels = [(line["level"], line["event"]) for line in logged(code, level="WARNING")]
    assert levels == [("WARNING", "ours"), ("WARNING", "its"), ("Level 35", "its own level")]
    assert len(logged(code, level="DEBUG")) == 7


def test_any_value_can_be_logged() -> None:
    lines = logged(
        """
import enum
class Number(int): pass
class Real(float): pass
class Word(str): pass
class Bad:
    def __str__(self):
        raise ValueError
loop = []
loop.append(loop)
for value in (2**70, 10**5000, Number(1), Real(1.5), Word("w"), float("inf"), Bad(), [Bad()], loop,
              b"\\xff", "\\udcff", enum.IntEnum("Kind", "A").A):
    logger.info("a value", value=value)
logger.info("taken names", ts=1, level=2, request_id=3)
logging.getLogger("library").error(Bad())
logger.info("after", dropped=sink.dropped)
"""
    )
    lines, missing = lines[:-1], lines[-1]
    assert (missing["event"], missing["level"], missing["count"]) == ("log_lines_lost", "ERROR", 1)
    values = [line["value"] for line in lines if line["event"] == "a value"]
    assert values == [
        2**70,
        "<int>",
        1,
        1.5,
        "w",
        None,
        "<Bad>",
        "<list>",
        "<list>",
        "b'\\xff'",
        "\\udcff",
        1,
    ]
    named, last = lines[-2:]
    assert (named["level"], named["request_id"]) == ("INFO", 3)
    assert (last["event"], last["dropped"]) == ("after", 1)  # what no one can show is counted


def test_a_broken_pipe_costs_lines_and_nothing_else() -> None:
    code = """
sys.stdin.readline()
logger.info("nobody reads this")
logging.getLogger("library").error("nor this")
threading.Thread(target=lambda: 1 / 0).start()
while sink.dropped < 3:
    time.sleep(0.001)
print(sink.dropped)
"""
    process = run(code, **PIPES)
    assert process.stderr
    process.stderr.close()
    process.stderr = None
    stdout, _ = process.communicate(b"\n", timeout=20)
    assert (process.returncode, stdout) == (0, b"3\n")


def test_a_full_stderr_costs_lines_and_nothing_else() -> None:
    code = """
logger.info("no room")
while not sink.dropped:
    time.sleep(0.001)
print(sink.dropped)
"""
    with open("/dev/full", "wb") as full:  # noqa: PTH123 (no file to be resolved)
        process = run(code, stdout=subprocess.PIPE, stderr=full)
        stdout, _ = process.communicate(timeout=20)
    assert (process.returncode, stdout) == (0, b"1\n")


def test_after_a_torn_line_the_next_one_is_whole(tmp_path: Path) -> None:
    """A file that may not grow takes a part of a line, and later the rest of the log."""
    code = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (5500, resource.RLIM_INFINITY))
for _ in range(3):
    logger.info("x" * 5000)
while sink.dropped < 2:
    time.sleep(0.001)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
logger.info("after")
"""
    path = tmp_path / "stderr"
    with path.open("wb") as file:
        assert run(code, stderr=file).wait(timeout=20) == 0
    whole, torn, after, missing, end = path.read_bytes().split(b"\n")
    assert json.loads(whole)["event"] == "x" * 5000
    assert torn.startswith(b"{")
    assert not torn.endswith(b"}")
    assert json.loads(after)["event"] == "after"
    assert (json.loads(missing)["event"], json.loads(missing)["count"]) == ("log_lines_lost", 2)
    assert end == b""


def test_a_pipe_that_somebody_made_non_blocking_costs_nothing() -> None:
    code = """
os.set_blocking(2, False)
for n in range(100):
    logger.info("x" * 5000, n=n)
print("logged", flush=True)
sys.stdin.readline()
"""
    process = run(code, **PIPES)
    assert process.stdout
    assert process.stdout.readline() == b"logged\n"
    _, stderr = process.communicate(b"\n", timeout=20)
    assert [json.loads(line)["n"] for line in stderr.splitlines()] == list(range(100))


def test_who_logs_does_not_wait_for_a_reader_that_stands_still() -> None:
    """Lines are dropped and counted; when they are taken again, the log says how many."""
    code = """
for n in range(20000):
    logger.info("x" * 50, n=n)
print(sink.dropped, flush=True)
sys.stdin.readline()
for n in range(20000, 20010):
    logger.info("y", n=n)
"""
    process = run(code, **PIPES)
    assert process.stdin
    assert process.stdout
    assert process.stderr
    dropped = int(process.stdout.readline())
    assert dropped > 5000
    lines: list[dict[str, Any]] = []
    while not lines or lines[-1]["event"] != "log_lines_lost":
        lines.append(json.loads(process.stderr.readline()))
    assert lines[-1]["count"] == dropped
    _, rest = process.communicate(b"\n", timeout=20)
    lines += [json.loads(line) for line in rest.splitlines()]
    numbers = [line["n"] for line in lines if "n" in line]
    assert numbers == [*range(20000 - dropped), *range(20000, 20010)]


def test_long_lines_that_nobody_takes_do_not_fill_the_memory() -> None:
    code = """
for n in range(200):
    logger.info("x" * (1 << 16))
print(sink.dropped, flush=True)
sys.stdin.readline()
"""
    process = run(code, **PIPES)
    assert process.stdout
    assert 200 - int(process.stdout.readline()) <= 64
    process.communicate(b"\n", timeout=20)


def test_an_end_does_not_wait_for_a_reader_that_stands_still() -> None:
    with run("for n in range(20000):\n    logger.info('x' * 50)", **PIPES) as process:
        assert process.wait(timeout=20) == 0


def test_without_a_stderr_nothing_is_written_elsewhere() -> None:
    """Its number may belong to another file by then."""
    code = """
import tempfile
other = tempfile.TemporaryFile()
assert other.fileno() == 2
logger.info("no place for this")
while not sink.dropped:
    time.sleep(0.001)
print(os.fstat(2).st_size, sink.dropped)
"""
    process = run(code, stdout=subprocess.PIPE, preexec_fn=lambda: os.close(2))
    stdout, _ = process.communicate(timeout=20)
    assert stdout == b"0 1\n"
