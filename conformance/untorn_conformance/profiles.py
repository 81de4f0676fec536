"""How much a run tries: profiles of our own, chosen by ``--effort``.

    dev      the default: what a person waits for; the same plans every time
    ci       the same with more plans, for a commit
    nightly  a fresh seed each time, as many plans as a night has room for, and wider bounds

Rule 1: nothing is taken from Hypothesis' own profiles: where the environment says ``CI`` those
        derandomize, keep no database and say neither.
Rule 2: a seed is always named: in the options, in the evidence, and where a run begins.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

DEFAULT: Final = "dev"
_SEED: Final = 1901
_SEED_BITS: Final = 32
_NAME_CHARACTERS: Final = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """How much is drawn and searched, and how long what was found may be shrunk.

    ``plans`` are examples of the concurrent machine, ``sequences`` of the sequential one, each of
    at most ``steps`` rules. ``seed`` None draws a fresh one each time. Of two workers one is killed
    in schedules of at most ``kill_preemptions``, and ``failing_calls`` of their calls are made to
    fail; of an extraction so many with a decoder as ``failing_extractions`` says, and of a render
    ``failing_renders``, which dies at as many of its steps; None is all.
    ``limits_cases``: a case that takes very long hangs, and is given up.
    """

    name: str
    plans: int
    sequences: int
    steps: int
    shrink_s: float
    seed: int | None = _SEED
    kill_preemptions: int = 0
    failing_calls: int | None = 16
    failing_extractions: int | None = 30
    failing_renders: int | None = 3
    limits_cases: bool = True


PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        each.name: each
        for each in (
            Profile(name="dev", plans=60, sequences=40, steps=24, shrink_s=15),
            Profile(name="ci", plans=100, sequences=60, steps=24, shrink_s=30),
            Profile(
                name="nightly",
                plans=20_000,
                sequences=2_000,
                steps=60,
                shrink_s=240,
                seed=None,
                kill_preemptions=1,
                failing_calls=None,
                failing_extractions=None,
                failing_renders=None,
                limits_cases=False,
            ),
        )
    }
)
"""The profiles by name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wheel:
    """What is handed to a machine: its profile, the seed that it draws from, and its examples.

    ``examples`` is the folder of the failures that are tried first the next time, None for none.
    """

    profile: Profile
    seed: int
    examples: Path | None = None

    @property
    def said(self) -> str:
        """Profile and seed, for evidence."""
        return f"profile {self.profile.name}, seed {self.seed}"


def seed_of(profile: Profile, asked: int | None) -> int:
    """The seed that was asked for, or the profile's own, or a fresh one."""
    if asked is not None:
        return asked
    return secrets.randbits(_SEED_BITS) if profile.seed is None else profile.seed


def examples_of(runs: Path, backend: str) -> Path:
    """Where a backend's failing examples are kept: beside the runs, and no other backend's.

    A machine's examples are keyed by its source, so that in one folder a backend that passes would
    clear away what another one fails.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", backend.lower()).strip("-")[:_NAME_CHARACTERS]
    exact = hashlib.sha256(backend.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return runs / "examples" / f"{plain or 'backend'}-{exact}"
