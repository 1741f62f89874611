"""Files that take long to make, kept under a key of all that went into them."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from .command import run
from .places import CACHE, locked, remove_tree

KEPT_DAYS = 30
WORK = CACHE / "work"


def kept(name: str, recipe: object, make: Callable[[Path], None]) -> Path:
    """What `make` writes at the path it is given, unless an equal recipe was made before."""
    stem, suffix = name.split(".", maxsplit=1)
    key = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:16]
    path = CACHE / f"{stem}-{key}.{suffix}"
    with locked("cache"):
        if not path.exists():
            run("find", str(CACHE), "-name", "*-*.tar.*", "-mtime", f"+{KEPT_DAYS}", "-delete")
            remove_tree(WORK)
            WORK.mkdir()
            try:
                make(WORK / name)
                (WORK / name).rename(path)
            finally:
                remove_tree(WORK)
        path.touch()
    return path
