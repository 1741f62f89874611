"""What is kept of Podman's word on a container."""

from typing import Any

from acekeeper.adapters.podman import read_inspection
from acekeeper.core.inspection import Inspection

UNIT = "engine@19000.service"
# As Podman 5 answers; of the fields nobody here asks for, a few.
SAID: dict[str, Any] = {
    "Id": "cd" * 32,
    "Created": "2026-05-01T10:00:00.123456789+02:00",
    "Path": "/acestream/acestreamengine",
    "State": {
        "OciVersion": "1.2.0",
        "Status": "running",
        "Running": True,
        "OOMKilled": False,
        "Dead": False,
        "Pid": 4242,
        "ExitCode": 0,
        "StartedAt": "2026-05-01T10:00:00.5+02:00",
    },
    "Image": "ab" * 32,
    "ImageDigest": "sha256:" + "ef" * 32,
    "ImageName": "localhost/engine:latest",
    "Config": {"Env": ["SECRET=hidden"]},
}


def test_what_an_operator_asks_for_is_read() -> None:
    assert read_inspection(UNIT, SAID) == Inspection(
        unit=UNIT,
        status="running",
        pid=4242,
        oom_killed=False,
        image="localhost/engine:latest",
        image_id="ab" * 32,
        image_digest="sha256:" + "ef" * 32,
        created=1777622400.123457,
    )


def test_of_one_that_exited_its_code_is_told_and_no_pid() -> None:
    state = {"Status": "exited", "Pid": 0, "ExitCode": 137, "OOMKilled": True}
    found = read_inspection(UNIT, SAID | {"State": state})
    assert (found.status, found.pid, found.exit_code, found.oom_killed) == (
        "exited",
        None,
        137,
        True,
    )


def test_a_word_that_is_not_understood_is_told_as_that() -> None:
    assert read_inspection(UNIT, {}) == Inspection(unit=UNIT)
    for wrong in ({"State": {"Pid": "one"}}, {"ImageName": "x" * 2000}, {"Created": "yesterday"}):
        found = read_inspection(UNIT, SAID | wrong)
        assert found.unread is not None
        assert found.image is None
