"""ENGINE_COMMAND of a storm: an emulated engine that starts as the file at hand says just now.

Arguments: that file, the HTTP port, the admin port.
"""

import os
import sys
from pathlib import Path


def main(behaviour: Path, http_port: str, admin_port: str) -> None:
    words = behaviour.read_text("utf-8").split()
    if words[0] == "exit":
        sys.exit(int(words[1]))
    emulator = [sys.executable, "-m", "acekeeper.emulator"]
    ports = ["--http-port", http_port, "--admin-port", admin_port]
    # In place of us, so that there is one process that bears the mark of the state directory.
    os.execv(sys.executable, [*emulator, *ports, *words])  # noqa: S606


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
