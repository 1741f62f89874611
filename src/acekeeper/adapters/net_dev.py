"""What went through an interface, as /proc/net/dev has it."""

from pathlib import Path


def counted(path: Path, interface: str) -> tuple[int, int] | None:
    """Bytes received and sent; None if it is not there, or cannot be seen."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, numbers = line.partition(":")
        fields = numbers.split()
        if name.strip() == interface and len(fields) > 8:
            return int(fields[0]), int(fields[8])
    return None
