"""A release that does not work makes way for the one before, under load."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from . import deploying, failing
from .deploying import Play, append, build, engines, show
from .failing import CLIENTS, Deployed, fails
from .lab import Host, Lab

pytestmark = [pytest.mark.host, pytest.mark.timeout(3600)]

SETTINGS = {"MIN_REPLICAS": 2, "AUTO_DELETE": False}
UNIT = "acekeeper-more.service"
DATABASE = "/var/lib/acekeeper/.local/state/acekeeper/acekeeper.db"
COLUMNS = f"""
import sqlite3
for column in sqlite3.connect("{DATABASE}").execute("PRAGMA table_info(streams)"):
    print(column[1])
"""
BROKEN = "this release is broken"
RAISES = f"raise RuntimeError('{BROKEN}')\n"
HANGS = "import signal\n\nsignal.pause()\n"
Tell = Callable[[str], None]


@pytest.fixture(scope="module")
def deployed(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """Every test leaves it with this release."""
    with failing.deployed(lab, 64, tmp_path_factory.mktemp("deployed"), SETTINGS) as deployed:
        yield deployed


@pytest.mark.parametrize(
    ("what", "code", "said"),
    [
        pytest.param(
            *("a release that raises at its start", RAISES),
            ["it failed to start 2 times", BROKEN],
            id="raises",
        ),
        pytest.param(
            *("a release that is never ready", HANGS),
            ["it was not ready within"],
            id="hangs",
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_release_that_does_not_become_ready_makes_way(
    deployed: Deployed, tmp_path: Path, tell: Tell, what: str, code: str, said: list[str]
) -> None:
    made = deploying.release(tmp_path, lambda d: append(d / "src/acekeeper/app.py", code))
    with went_back(deployed, tell, what, made) as played:
        for words in said:
            assert words in played.output


@pytest.mark.long
def test_a_release_with_a_setting_a_column_and_a_unit_of_its_own_makes_way(
    deployed: Deployed, tmp_path: Path, tell: Tell
) -> None:
    """It serves for a while, and what it acknowledged is there afterwards."""
    host = deployed.host
    made = deploying.release(tmp_path, brings_more)
    settings = {"acekeeper_settings": {**SETTINGS, "MORE": 7}}
    what = "a release with a setting, a column and a unit of its own"
    with went_back(deployed, tell, what, made, **settings) as played:
        assert "it was not ready within" in played.output
        assert "MORE: unset -> 7" in played.output
    assert "more" in host.ssh("python3 -", stdin=COLUMNS).stdout.split(), "it ran, and migrated"
    assert show(host, UNIT, "LoadState") == "not-found"
    assert show(host, UNIT, "ActiveState") == "inactive"


def brings_more(directory: Path) -> None:
    """It takes events, and is never ready."""
    source, service = directory / "src/acekeeper", directory / "systemd/acekeeper.service"
    setting = '    more: Annotated[int, whole(1, 0, 10), "More."]\n    settings_file: Annotated['
    replace(source / "settings.py", "    settings_file: Annotated[", setting)
    column = '    "ALTER TABLE streams ADD COLUMN more INTEGER;",\n)\n\n\ndef migrate'
    replace(source / "adapters/migrations.py", ")\n\n\ndef migrate", column)
    replace(source / "api/status.py", "ready=where is not Circuit.OPEN and", "ready=False and")
    unit = "[Service]\nExecStart=/usr/bin/sleep infinity\n[Install]\nWantedBy=default.target\n"
    (directory / "systemd" / UNIT).write_text(unit)
    replace(service, "Wants=acekeeper-gateway.socket", f"Wants={UNIT} acekeeper-gateway.socket")


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, f"{path} has {old!r} {text.count(old)} times"
    path.write_text(text.replace(old, new))


@contextmanager
def went_back(
    deployed: Deployed, tell: Tell, what: str, release: Path, **variables: object
) -> Iterator[Play]:
    host = deployed.host
    there, before = engines(host), state(host)
    failed = fails(deployed, acekeeper_release_dir=str(release), **variables)
    report = failed.report
    assert len(report["failed"]) <= CLIENTS, report["failed"]
    assert f"It went back: {before['build']} runs again" in failed.played.output
    assert there.items() <= engines(host).items()
    assert state(host) == before
    tell(
        f"{what}: {failed.seconds:.0f} s in all; {report['calls']} calls,"
        f" {len(report['failed'])} failed, longest wait {report['longest']} s"
    )
    yield failed.played


def state(host: Host) -> dict[str, str]:
    """What is to be again as it was; dates are of when it was put back."""
    files = (
        "find /etc/acekeeper /opt/acekeeper/systemd /etc/containers/systemd/users/*/engine@*"
        " /var/lib/acekeeper/.config/systemd -type f -exec sha256sum {} + | sort"
    )
    links = "find /var/lib/acekeeper/.config/systemd /opt/acekeeper/current -type l -ls"
    return {
        "build": build(host),
        "files": host.ssh(files).stdout,
        "links": host.ssh(f"{links} | grep -o '/.*' | sort").stdout,
        "kept": host.ssh("find /opt/acekeeper -maxdepth 1 -name 'before*'").stdout,
    }
