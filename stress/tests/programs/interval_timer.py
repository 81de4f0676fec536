"""A signal each millisecond while directories are made: ``interval_timer.py DIRECTORY``.

What it is for: a call that is held at the gate while signals come must be held once and answered
once, and handlers must run without becoming steps.

Makes ``d0`` to ``d9`` in the directory, which must be there and empty, each under another name
first (twenty calls); says on stdout how many signals were handled; exits with 0.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

PERIOD_S = 0.001
DIRECTORIES = 10


def main(directory: str) -> None:
    """Make and rename directories with the timer running, then say what was handled."""
    handled = 0

    def count(_number: int, _frame: FrameType | None) -> None:
        nonlocal handled
        handled += 1

    signal.signal(signal.SIGALRM, count)
    signal.setitimer(signal.ITIMER_REAL, PERIOD_S, PERIOD_S)
    for number in range(DIRECTORIES):
        made = os.path.join(directory, f"new-{number}")
        os.mkdir(made)
        os.rename(made, os.path.join(directory, f"d{number}"))
    signal.setitimer(signal.ITIMER_REAL, 0)
    sys.stdout.write(f"{handled}\n")


if __name__ == "__main__":
    main(sys.argv[1])
