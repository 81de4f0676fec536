"""What workers use: memory, descriptors, processes, disk; and what is certainly a leak (E3).

Rule 1: a worker is looked at when it holds nothing and was asked nothing: then what it has open is
        its own affair, and must not depend on how much it has done.
Rule 2: peaks are told, and are no finding. A finding is growth in one worker that never came back
        over many such looks, of more than any warming up explains.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import psutil

from untorn_stress.storm.arena import Arena
from untorn_stress.storm.crew import StormWorker
from untorn_stress.storm.nemesis.kill_tree import descendants_of

_SAMPLE_S: Final = 0.25
_LOOK_EVERY: Final = 4
"""Turns of a worker between two looks at it."""

_FEWEST_LOOKS: Final = 8
_MOST_DESCRIPTORS: Final = 64
_MOST_BYTES: Final = 256 * 1024 * 1024


@dataclass(slots=True)
class _Grown:
    """How one worker grew: the first look, and whether no later one was below the one before."""

    first: int
    last: int
    looks: int = 1
    never_less: bool = True

    def look(self, now: int) -> None:
        self.never_less = self.never_less and now >= self.last
        self.looks += 1
        self.last = now

    def is_leak(self, most: int) -> bool:
        grown = self.last - self.first
        return self.never_less and self.looks >= _FEWEST_LOOKS and grown > most


@dataclass(slots=True)
class Resources:
    """Peaks and leaks of a storm."""

    peak_rss_bytes: int = 0
    peak_descriptors: int = 0
    peak_orphans: int = 0
    peak_disk_bytes: int = 0
    samples: int = 0
    leaks: list[str] = field(default_factory=list)
    _next_s: float = 0.0
    _grown: dict[str, tuple[_Grown, _Grown]] = field(default_factory=dict)

    def holds_nothing(self, worker: StormWorker) -> None:
        """Look at a worker between two turns, now and then."""
        if not worker.pid or worker.turns % _LOOK_EVERY or worker.killed or worker.stopped:
            return
        try:
            process = psutil.Process(worker.pid)
            descriptors, rss = process.num_fds(), process.memory_info().rss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return  # it has just ended, or is nobody's business
        self.samples += 1
        self.peak_rss_bytes = max(self.peak_rss_bytes, rss)
        self.peak_descriptors = max(self.peak_descriptors, descriptors)
        known = self._grown.get(worker.name)
        if known is None:
            self._grown[worker.name] = (
                _Grown(first=descriptors, last=descriptors),
                _Grown(first=rss, last=rss),
            )
            return
        known[0].look(descriptors)
        known[1].look(rss)

    def tick(self, arena: Arena, workers: Sequence[StormWorker]) -> int:
        """Weigh the disk and count orphans, now and then; the bytes on disk, -1 between."""
        if time.monotonic() < self._next_s:
            return -1
        self._next_s = time.monotonic() + _SAMPLE_S
        known = {each.pid for each in workers}
        below = {pid for each in known if each for pid in descendants_of(each)}
        all_below = set(descendants_of(arena.pid))
        self.peak_orphans = max(self.peak_orphans, len(all_below - known - below))
        weight = weigh(arena)
        self.peak_disk_bytes = max(self.peak_disk_bytes, weight)
        return weight

    def end_round(self) -> list[str]:
        """What leaked in this round; each worker of it is forgotten."""
        found = []
        for name, (descriptors, rss) in self._grown.items():
            if descriptors.is_leak(_MOST_DESCRIPTORS):
                found.append(
                    f"{name}, holding nothing, had {descriptors.first} descriptors open and then "
                    f"ever more: {descriptors.last} at the last of {descriptors.looks} looks"
                )
            if rss.is_leak(_MOST_BYTES):
                found.append(
                    f"{name}, holding nothing, had {rss.first} bytes of memory and then ever more: "
                    f"{rss.last} at the last of {rss.looks} looks"
                )
        self._grown.clear()
        self.leaks += found
        return found

    def document(self) -> dict[str, Any]:
        """Peaks and leaks, for the summary."""
        return {
            "peak_rss_bytes": self.peak_rss_bytes,
            "peak_descriptors": self.peak_descriptors,
            "peak_orphans": self.peak_orphans,
            "peak_disk_bytes": self.peak_disk_bytes,
            "samples": self.samples,
            "leaks": list(self.leaks),
        }


def weigh(arena: Arena) -> int:
    """Bytes of the regular files below the root (st_size), as far as they can be seen just now."""
    total = 0
    for folder, _, files in os.walk(arena.seen_root):
        for name in files:
            try:
                status = os.lstat(os.path.join(folder, name))
            except (FileNotFoundError, PermissionError):
                continue  # removed meanwhile, or closed by a nemesis
            total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total
