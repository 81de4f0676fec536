"""Real ffmpeg, started by a worker: ``ffmpeg_grandchild.py DIRECTORY``.

What it is for: a process tree whose leaf is a large program with threads of its own. ffmpeg has
several even with ``-threads 1``; the files are written by one of them.

Makes ``frame_00001.png`` to ``frame_00003.png`` in the directory, which must be there and empty;
exits with ffmpeg's exit code. Finding the executable starts it once more before, with ``-version``,
unless the environment variable IMAGEIO_FFMPEG_EXE names it.
"""

from __future__ import annotations

import os
import subprocess
import sys

import imageio_ffmpeg

SOURCE = "testsrc=size=32x24:rate=3:duration=1"


def main(directory: str) -> int:
    """Start ffmpeg and wait for it."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-threads", "1"]
    command += ["-f", "lavfi", "-i", SOURCE, "-frames:v", "3", "-threads", "1"]
    command += [os.path.join(directory, "frame_%05d.png")]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as decoder:
        return decoder.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
