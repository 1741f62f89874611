"""What `acekeeper doctor --fix` does, and what it leaves alone."""

import subprocess
from pathlib import Path

import pytest

from acekeeper.cli import main
from acekeeper.doctor import leftovers, mend
from acekeeper.doctor.finding import Finding, wrong

from .conftest import HEALTHY, IMAGE, World

BROKEN = 'Error: configure storage: loading "/x/images.json": unexpected end of input'
KNOWN, WATCHED, GONE = "a" * 64, "b" * 64, "c" * 64


@pytest.fixture(autouse=True)
def data(world: World, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", f"{world.root}/data")
    storage = world.root / "data/containers/storage"
    storage.mkdir(parents=True)
    return storage


def steps(world: World) -> list[str]:
    return list(mend(world.environ))


def test_where_all_is_well_nothing_is_done(world: World) -> None:
    assert steps(world) == []


def changed_on_disk(world: World, *, mends: bool) -> None:
    """Until a daemon-reload, if that `mends`."""
    done = world.root / "reloaded"
    shown = "LoadState=loaded\\nActiveState=active\\nNeedDaemonReload=yes\\n"
    world.tool(
        "systemctl",
        f"""
case "$*" in
    *daemon-reload) echo >> {done}; exit {0 if mends else 1};;
    *LoadState*socket) [ {int(mends)} = 1 ] && [ -e {done} ] || {{ printf '{shown}'; exit; }};;
esac
{HEALTHY["systemctl"]}""",
    )


def test_what_the_advice_says_is_done_and_then_all_is_well(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changed_on_disk(world, mends=True)
    (text,) = world.wrong()
    assert text.endswith("Run `systemctl --user daemon-reload`; `acekeeper doctor --fix` does that")
    for name, value in world.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("acekeeper.output.tell_failures_apart", lambda: None)  # once a process
    assert main(["doctor"]) == 1
    capsys.readouterr()
    assert main(["doctor", "--fix"]) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == (
        "fixed  acekeeper.socket has changed on disk since it was loaded:"
        " `systemctl --user daemon-reload`"
    )
    assert {line.split()[0] for line in rest} == {"ok"}


def test_a_fix_that_fails_is_said_and_not_repeated(world: World) -> None:
    changed_on_disk(world, mends=False)
    (step,) = steps(world)
    assert step.startswith("failed acekeeper.socket has changed on disk")
    assert (world.root / "reloaded").read_text() == "\n"
    assert len(world.wrong()) == 1


def storage_opens_if_new(world: World, storage: Path) -> None:
    (storage / "images.json").write_text("[{")
    broken = f'[ "$1" != --version ] && [ -e {storage}/images.json ]'
    complain = f"{{ echo '{BROKEN}' >&2; exit 125; }}"
    world.tool("podman", f"{broken} && {complain}\n{HEALTHY['podman']}")


def test_a_storage_that_cannot_be_opened_is_put_aside_and_kept(world: World, data: Path) -> None:
    storage_opens_if_new(world, data)
    (step,) = steps(world)
    assert step.startswith("fixed  Podman's storage cannot be opened: Error: configure storage")
    (aside,) = data.parent.iterdir()
    assert (aside / "images.json").read_text() == "[{"
    assert world.wrong() == []


@pytest.mark.parametrize(
    "complaint",
    [
        'Error: configure storage: loading "/x": no space left on device',
        "Error: invalid internal status, try resetting the pause process: x",
        "Error: never heard of",
    ],
)
def test_a_storage_that_is_not_to_blame_stays(world: World, data: Path, complaint: str) -> None:
    failing = f"[ \"$1\" = ps ] && {{ echo '{complaint}' >&2; exit 125; }}\n"
    world.tool("podman", failing + HEALTHY["podman"])
    assert steps(world) == []
    assert data.exists()
    assert complaint in world.wrong()[0]


def test_a_damaged_image_is_the_playbooks_to_bring(world: World, data: Path) -> None:
    said = 'Error: reading blob sha256:ab: file integrity checksum failed for "usr/bin/x"'
    failing = f"[ \"$1\" = save ] && {{ echo '{said}' >&2; exit 125; }}\n"
    world.tool("podman", failing + HEALTHY["podman"])
    assert steps(world) == []
    (text,) = world.wrong()
    assert text.startswith(f"the engine image {IMAGE} is damaged: {said}. Run the playbook with")


def test_an_image_that_a_registry_has_is_pulled(world: World) -> None:
    world.environ["TARGET_IMAGE"] = f"registry.example/engine@sha256:{IMAGE}"
    pulled = world.root / "pulled"
    script = f"""
case " $* " in *" pull "*) echo "$*" > {pulled};; esac
[ "$1 $2" = "image exists" ] && ! [ -e {pulled} ] && exit 1
{HEALTHY["podman"]}"""
    world.tool("podman", script)
    (step,) = steps(world)
    assert step.startswith("fixed  the engine image registry.example/engine@sha256")
    image = world.environ["TARGET_IMAGE"]
    assert pulled.read_text() == f"pull --quiet {image}\n"
    assert world.wrong() == []
    login = world.root / "config/containers/acekeeper-auth.json"
    login.parent.mkdir()
    login.touch()
    pulled.unlink()
    assert len(steps(world)) == 1
    assert pulled.read_text() == f"pull --quiet --authfile={login} {image}\n"
    proxy = login.with_name("acekeeper-pull.conf")
    proxy.touch()
    pulled.unlink()
    (step,) = steps(world)
    by = f"--module={proxy} pull --quiet --authfile={login} {image}"
    assert pulled.read_text() == f"{by}\n"
    assert "acekeeper-pull.conf" in step


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def room(path: Path) -> Finding:
        return wrong(f"{path} has only 3 inodes left", "Remove files there")

    monkeypatch.setattr(leftovers, "room", room)


@pytest.mark.usefixtures("no_room")
def test_what_is_left_of_containers_that_are_no_more_is_removed(world: World) -> None:
    for place in leftovers._PLACES:
        for name in (KNOWN, WATCHED, GONE, "alive"):
            (world.runtime_dir / place / name / "userdata").mkdir(parents=True)
    world.tool("podman", f'[ "$1" = ps ] && echo {KNOWN}\n{HEALTHY["podman"]}')
    waiting = world.root / "waiting.sh"
    waiting.write_text("read -r line\n")
    with subprocess.Popen(
        ["conmon", str(waiting), "-c", WATCHED], executable="/bin/sh", stdin=subprocess.PIPE
    ) as monitor:  # of a container that Podman has forgotten
        (step,) = steps(world)
        assert monitor.stdin
        monitor.stdin.close()
    assert step.startswith(f"fixed  {world.runtime_dir} has only 3 inodes left, and 4 files")
    for place in leftovers._PLACES:
        left = {path.name for path in (world.runtime_dir / place).iterdir()}
        assert left == {KNOWN, WATCHED, "alive"}


@pytest.mark.usefixtures("no_room")
def test_without_such_leftovers_nothing_is_removed(world: World) -> None:
    kept = world.runtime_dir / "crun" / "alive"
    kept.mkdir(parents=True)
    assert steps(world) == []
    assert world.wrong() == [f"{world.runtime_dir} has only 3 inodes left. Remove files there"]
    assert kept.exists()
