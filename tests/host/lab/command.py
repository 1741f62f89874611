import os
import subprocess
from collections.abc import Sequence

from .errors import CommandError

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # su may leave out sbin

Result = subprocess.CompletedProcess[str]


def run(
    *command: str,
    title: str | None = None,
    stdin: str = "",
    timeout_s: float = 60,
    check: bool = True,
) -> Result:
    """`title` stands for the command in an error, where the command itself is long."""
    name = title or " ".join(command)
    try:
        result = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "PATH": PATH},
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        output = _text(error.stdout) + _text(error.stderr)
        raise CommandError(name, f"no end after {timeout_s:g} s", output) from None
    if check and result.returncode != 0:
        raise CommandError(name, f"status {result.returncode}", result.stdout + result.stderr)
    return result


def try_each(*commands: Sequence[str]) -> None:
    """For undoing what may not be there."""
    for command in commands:
        run(*command, check=False)


def _text(output: str | bytes | None) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""
