"""Three threads that make four directories each, started together: ``three_threads.py DIRECTORY``.

What it is for: with one seed the gate must give one trace, run after run. Which thread comes to its
first call first is up to the kernel, so an engine that chooses before all have come is found out.

Makes ``t0-0`` to ``t2-3`` in the directory, which must be there and empty; exits with 0.
"""

from __future__ import annotations

import os
import sys
import threading

THREADS = 3
STEPS = 4


def main(directory: str) -> None:
    """Start the threads, let them go at once, and join them."""
    together = threading.Barrier(THREADS)

    def make(number: int) -> None:
        together.wait()
        for step in range(STEPS):
            os.mkdir(os.path.join(directory, f"t{number}-{step}"))

    threads = [threading.Thread(target=make, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(sys.argv[1])
