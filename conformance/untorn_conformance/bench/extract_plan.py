"""How much `untorn bench extract` measures: the full run, a quick one, a tiny one to test it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from untorn_conformance.bench.plan import Say


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtractPlan:
    """Sizes of one run.

    `rounds` is how often the cases take turns, `clips` how many of four_clips are rendered, the
    last of them; `warm_renders` how many warm renders one turn holds. `overlapping` ranges of one
    clip are rendered together, as are `copies` of one range. `crowds` are the numbers of renders
    that start at once, `crowd_rounds` how often each does.
    """

    rounds: int
    clips: int
    warm_renders: int
    overlapping: int
    copies: int
    crowds: tuple[int, ...]
    crowd_rounds: int


FULL: Final = ExtractPlan(
    rounds=5,
    clips=4,
    warm_renders=20,
    overlapping=6,
    copies=4,
    crowds=(1, 4, 16),
    crowd_rounds=3,
)
QUICK: Final = ExtractPlan(
    rounds=2,
    clips=4,
    warm_renders=10,
    overlapping=4,
    copies=4,
    crowds=(1, 4, 16),
    crowd_rounds=1,
)
TINY: Final = ExtractPlan(
    rounds=2,
    clips=1,
    warm_renders=2,
    overlapping=2,
    copies=2,
    crowds=(1, 2),
    crowd_rounds=1,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Studio:
    """Where one run works: an empty directory of its own, what to do, and whom to tell."""

    home: Path
    plan: ExtractPlan
    say: Say

    def fresh(self, name: str) -> Path:
        """Make an empty directory below the run's own."""
        directory = self.home / name
        directory.mkdir(mode=0o700)
        return directory
