"""What is to be done at an instant, in order: the timers of one loop."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable


class Timers:
    """Timers; equal instants ring in the order in which they were set."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = itertools.count()

    def at(self, when_s: float, what: Callable[[], None]) -> None:
        """Set one, by the monotonic clock."""
        heapq.heappush(self._heap, (when_s, next(self._sequence), what))

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        """Set one so long from now."""
        self.at(time.monotonic() + seconds, what)

    def left_s(self, most_s: float) -> float:
        """How long it is until the next one, ``most_s`` at most."""
        if not self._heap:
            return most_s
        return min(max(self._heap[0][0] - time.monotonic(), 0.0), most_s)

    def ring(self) -> None:
        """Do what is due."""
        now_s = time.monotonic()
        while self._heap and self._heap[0][0] <= now_s:
            heapq.heappop(self._heap)[2]()
