"""A shard: one command line with a seed of its own, and what is agreed about its scenario.

Rule 1: a shard's seed follows from the campaign's seed and the shard's number, and from nothing
        else, so that any machine draws the same.
Rule 2: the command is complete but for where its output goes: it can be typed again.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from untorn_stress.run_json import Json


class Strand(StrEnum):
    """What the shards of a campaign are about; what is called a scenario on its page."""

    CANARY = "canary"
    CORPUS = "corpus"
    STORMS = "storms"
    PCT = "pct"
    FAIL_NTH = "fail_nth"
    BOUNDS = "bounds"


SHARED: tuple[Strand, ...] = (Strand.STORMS, Strand.PCT, Strand.FAIL_NTH, Strand.BOUNDS)
"""Those among which the time is shared fairly."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One command to run.

    ``command`` begins with ``untorn``. ``expected_s`` is what its strand is charged while it runs,
    ``limit_s`` after how many seconds it is ended from outside. ``about`` says what it tries; a
    canary is a shard that must find something, ``entry`` the entry of the corpus that it tries.
    """

    number: int
    strand: Strand
    command: tuple[str, ...]
    seed: int
    expected_s: float
    limit_s: float
    about: str = ""
    entry: str = ""

    @property
    def line(self) -> str:
        """The command as it is typed."""
        return shlex.join(self.command)

    def to_json(self) -> dict[str, Json]:
        """The shard as the journal keeps it."""
        return {
            "number": self.number,
            "scenario": self.strand.value,
            "command": list(self.command),
            "seed": self.seed,
            "expected_s": self.expected_s,
            "limit_s": self.limit_s,
            "about": self.about,
            "entry": self.entry,
        }


def seed_of(campaign_seed: int, number: int) -> int:
    """The seed of a shard, of 32 bits."""
    digest = hashlib.sha256(f"untorn campaign {campaign_seed} shard {number}".encode())
    return int.from_bytes(digest.digest()[:4], "big")


def directory_name(number: int, attempt: int) -> str:
    """The directory of an attempt, below the campaign's: each attempt has its own."""
    return f"shards/{number:05d}" if attempt == 1 else f"shards/{number:05d}.{attempt}"


def is_storm(command: Sequence[str]) -> bool:
    """Whether the command is a storm: its result is a file, and it takes a directory."""
    return list(command[1:2]) == ["storm"]
