"""What a check finds, and the host's own tools that it asks, with what their complaints mean."""

import os
import shlex
import shutil
import subprocess
from typing import NamedTuple

_WITHIN_S = 60
_MISSING = 127  # as a shell says it

# Podman misses processes that were killed, and `podman system migrate` fails over them too.
_AFRESH = (
    f"Run `systemctl restart user-runtime-dir@{os.getuid()}.service`, as root: all that is this"
    " user's starts as after a boot, engines too"
)
# By what the complaint contains.
SYMPTOMS = {
    "additional UIDs or GIDs defined in /etc/subuid": (
        "Give the user subordinate ids in /etc/subuid and /etc/subgid, then run"
        " `podman system migrate` as the user"
    ),
    "is not logged in or lingering": "Run `loginctl enable-linger` for the user, as root",
    "no space left on device": "Make room: `df -h` and `df -i` show where there is none",
    "Address already in use": "`ss -ltnup` names the program on that port; stop or move it",
    "address already in use": "`ss -ltnup` names the program on that port; stop or move it",
    "Failed to set up tap device": "Let the user open /dev/net/tun: mode 0666, as Debian has it",
    "is not supported over overlayfs": (
        "Put the user's home directory on a real file system such as ext4"
    ),
    "unsupported key": "This Podman is too old for the quadlet: upgrade it, or deploy again",
    "try resetting the pause process": _AFRESH,
    "join the existing user namespace": _AFRESH,
    "could not find pasta": "Install the package passt",
    "connect to bus": "Install dbus-user-session, and run this in the user's own session",
    "user scope bus": "Install dbus-user-session, and run this in the user's own session",
}


Command = tuple[str, ...]


class Finding(NamedTuple):
    """That something is well, or what is wrong and what to do about it. What is well and comes with
    advice may be worth a look. `fix`: this user's commands that do it; they stop no engine, and
    delete nothing that is used or cannot be made again."""

    text: str
    advice: str = ""
    is_well: bool = True
    fix: tuple[Command, ...] = ()


class Ran(NamedTuple):
    status: int
    out: str
    complaint: str  # one line, the last thing it said when it failed

    @property
    def failed(self) -> bool:
        return self.status != 0


def well(text: str) -> Finding:
    return Finding(text)


def note(text: str, advice: str) -> Finding:
    return Finding(text, advice)


def wrong(text: str, advice: str) -> Finding:
    return Finding(text, advice, is_well=False)


def mendable(text: str, *fix: Command, advice: str = "") -> Finding:
    """`advice` is what the commands do, where they are too long to be read."""
    said = advice or f"Run {' and '.join(f'`{shlex.join(command)}`' for command in fix)}"
    return Finding(text, f"{said}; `acekeeper doctor --fix` does that", is_well=False, fix=fix)


def run(*command: str, within_s: float = _WITHIN_S) -> Ran:
    program = shutil.which(command[0])
    if program is None:
        return Ran(_MISSING, "", f"{command[0]} is not installed")
    try:
        ran = subprocess.run(  # noqa: S603 (fixed commands, no shell)
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=within_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Ran(1, "", f"no end after {within_s} s")
    said = (ran.stderr.strip() or ran.stdout.strip()).split("\n")
    return Ran(ran.returncode, ran.stdout.strip(), said[-1])


def is_known(ran: Ran) -> bool:
    return any(symptom in ran.complaint for symptom in SYMPTOMS)


def complaint(what: str, ran: Ran, advice: str) -> Finding:
    """`advice` is for complaints nobody knows better."""
    known = (text for symptom, text in SYMPTOMS.items() if symptom in ran.complaint)
    return wrong(f"{what}: {ran.complaint or f'exit status {ran.status}'}", next(known, advice))
