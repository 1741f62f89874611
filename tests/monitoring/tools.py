"""Prometheus's own programs."""

import os
import shutil
import subprocess

import pytest


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        shutil.which(program) is None and "CI" not in os.environ,
        reason=f"needs {program} (Debian: prometheus)",
    )


def promtool(*words: object) -> str:
    """What it printed; it has to be content."""
    done = subprocess.run(
        ["promtool", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
