"""What FFmpeg makes of a stream."""

import json
import os
import shutil
import subprocess
from typing import Any

import pytest

needs_ffprobe = pytest.mark.skipif(
    shutil.which("ffprobe") is None and "CI" not in os.environ,
    reason="needs ffprobe (Debian: ffmpeg)",
)


def ffprobe(url: str, frames: int) -> Any:
    """Of so many frames; it has to find nothing to warn of."""
    command = f"ffprobe -v warning -of json -count_frames -read_intervals %+#{frames} -show_entries"
    entries = "program=program_id:stream=codec_name,width,height,r_frame_rate,nb_read_frames"
    done = subprocess.run(
        [*command.split(), entries, url], capture_output=True, text=True, check=True, timeout=20
    )
    assert done.stderr == ""
    return json.loads(done.stdout)
