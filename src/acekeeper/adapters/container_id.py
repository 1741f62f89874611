"""The container of a quadlet's unit: Podman writes its id where the unit tells it to."""

from pathlib import Path


def read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""  # Podman has not got so far
