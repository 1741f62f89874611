import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from acekeeper.adapters.lock import hold, holder, waited_for
from acekeeper.errors import BadSetting

_HOLD = """
import sys
from pathlib import Path
from acekeeper.adapters.lock import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_one_is_told_of_the_first_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    state_dir = tmp_path / "state"
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(state_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        told = f"another acekeeper is running on.*{state_dir}"
        with pytest.raises(BadSetting, match=told), hold(state_dir):
            pytest.fail("held twice")
        other.kill()
    for _ in range(2):
        with hold(state_dir):
            assert state_dir.stat().st_mode & 0o777 == 0o700


def test_where_nothing_can_be_kept_there_is_nothing_to_hold(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert holder(tmp_path / "file") is None
    with hold(tmp_path / "file"):
        pass


def test_a_full_disk_is_no_reason_not_to_start(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to("/dev/full")
    with hold(tmp_path):
        assert holder(tmp_path) is None


def test_a_lock_that_cannot_be_opened_is_no_free_one(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "lock")  # stands in for one of another user
    with pytest.raises(BadSetting, match=f"{tmp_path} cannot be opened"):
        holder(tmp_path)


def test_a_number_that_is_not_its_holders_names_nobody(tmp_path: Path) -> None:
    """It could not write its own: the disk takes nothing."""
    with subprocess.Popen(["sleep", "60"]) as stranger:
        with hold(tmp_path):
            (tmp_path / "lock").write_text(str(stranger.pid))
            assert holder(tmp_path) is None
        stranger.kill()


def test_a_lock_that_can_only_be_read_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lock").touch()
    really = os.open

    def read_only(path: Path, flags: int, *mode: int) -> int:
        if flags & os.O_RDWR:
            raise OSError(errno.EROFS, "Read-only file system")
        return really(path, flags, *mode)

    monkeypatch.setattr(os, "open", read_only)
    told = "another acekeeper is running"
    with hold(tmp_path), pytest.raises(BadSetting, match=told), hold(tmp_path):
        pytest.fail("held twice")


def test_a_disk_that_hangs_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of its kind: a frozen file system, which lets be read and holds whoever writes."""
    (tmp_path / "lock").touch()
    may = threading.Event()
    monkeypatch.setattr("acekeeper.adapters.lock._DISK_WITHIN", 0.05)
    monkeypatch.setattr(os, "ftruncate", lambda *_: may.wait(60))
    with hold(tmp_path):
        assert holder(tmp_path) is None
    may.set()


def test_who_ends_engines_waits_for_what_a_killed_acekeeper_just_began_to_run(
    tmp_path: Path,
) -> None:
    """The child of a fork has all that its parent had open, until it runs its own program."""
    with hold(tmp_path):
        lock = os.open(tmp_path / "lock", os.O_RDONLY)
        inherited = next(
            os.dup(int(fd.name))
            for fd in Path("/proc/self/fd").iterdir()
            if int(fd.name) != lock and fd.exists() and os.path.samestat(fd.stat(), os.fstat(lock))
        )
        os.close(lock)
    order: list[str] = []

    def stop() -> None:
        with waited_for(tmp_path, 60):
            order.append("ended")

    stopping = threading.Thread(target=stop)
    stopping.start()
    order.append("runs")
    os.close(inherited)
    stopping.join()
    assert order == ["runs", "ended"]


def test_it_waits_for_nobody_where_no_acekeeper_ever_was(tmp_path: Path) -> None:
    with waited_for(tmp_path / "nothing", 60):
        assert not (tmp_path / "nothing").exists()
