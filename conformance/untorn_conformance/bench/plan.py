"""How much is measured: the full run, a quick one, and a tiny one that only tests the command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

FULL_ENTRIES = 100_000  # the size that the goals for memory and for flat cost name
SCAN_ENTRIES = 10_000  # the size that the goals for the gc decision name

Say = Callable[[str], None]
"""Takes one line of progress."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Sizes of one run.

    An entry is `frames` files of `frame_bytes` bytes. `rounds` is how often the cases take turns,
    `heavy_rounds` the same where one turn takes seconds. `populations` are the numbers of entries
    that sweeps and publishes are measured at, `scanned_entries` how many have all their frames
    listed for comparison. `crowd` processes look one key up `crowd_calls` times each.
    """

    rounds: int
    heavy_rounds: int
    calls: int
    frames: int
    frame_bytes: int
    populations: tuple[int, ...]
    scanned_entries: int
    crowd: int
    crowd_calls: int
    steady_calls: int


FULL = Plan(
    rounds=15,
    heavy_rounds=5,
    calls=200,
    frames=120,
    frame_bytes=50_000,
    populations=(100, 1_000, SCAN_ENTRIES, FULL_ENTRIES),
    scanned_entries=SCAN_ENTRIES,
    crowd=8,
    crowd_calls=2_000,
    steady_calls=100_000,
)

QUICK = Plan(
    rounds=7,
    heavy_rounds=2,
    calls=100,
    frames=120,
    frame_bytes=50_000,
    populations=(100, 1_000, SCAN_ENTRIES),
    scanned_entries=1_000,
    crowd=8,
    crowd_calls=500,
    steady_calls=20_000,
)

TINY = Plan(
    rounds=2,
    heavy_rounds=1,
    calls=3,
    frames=6,
    frame_bytes=500,
    populations=(5, 20),
    scanned_entries=5,
    crowd=2,
    crowd_calls=5,
    steady_calls=100,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ground:
    """Where one run works: an empty directory of its own, what to do, and whom to tell."""

    home: Path
    plan: Plan
    say: Say

    def fresh(self, name: str) -> Path:
        """Make an empty directory below the run's own."""
        directory = self.home / name
        directory.mkdir(mode=0o700)
        return directory
