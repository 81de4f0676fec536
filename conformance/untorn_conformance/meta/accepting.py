"""Accepting variants: what shows mutants is run on caches that are right, and must find nothing.

Rule 1: every case passes, but those that the variant itself says do not apply to it; and every
search ends without a finding. Anything else is a false alarm.
Rule 2: what stays unknown is no alarm, and no pass.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from untorn_conformance import variants
from untorn_conformance.meta.killing import (
    NAMES,
    Shot,
    cases_of,
    core_seconds,
    explore,
    gated_of,
    passable_folder,
    run_cases,
)
from untorn_conformance.mutants import Case, Search
from untorn_stress.gate import availability

VARIANTS: Final = tuple(sorted(module.name for module in pkgutil.iter_modules(variants.__path__)))
CASES: Final = tuple(dict.fromkeys(case for name in NAMES for case in cases_of(name)))
"""Every plain case that shows a mutant."""

CHEAPEST: Final = tuple(
    search
    for name in ("no_lease", "locks_believed")
    for search in gated_of(name)
    if isinstance(search, Search)
)
"""Two searches that take few runs to their end."""

_NO_ALARM: Final = frozenset({"PASS", "UNKNOWN"})


def near(name: str) -> frozenset[str]:
    """The rows that the variant's difference comes near to."""
    rows: frozenset[str] = importlib.import_module(f"untorn_conformance.variants.{name}").NEAR
    return rows


def lacking(name: str) -> frozenset[str]:
    """The cases that do not apply to the variant, by what its hello leaves out."""
    module = f"{variants.__name__}.{name}"
    cases: frozenset[str] = frozenset()
    if name in VARIANTS:
        cases = getattr(importlib.import_module(module), "LACKING", cases)
    return cases


def backend_of(name: str) -> str:
    """What ``--backend`` is given to run the variant; the reference is one, too."""
    return name if name == "reference" else f"py:untorn_conformance.variants.{name}:factory"


def accept_cases(name: str, cases: Sequence[Case]) -> Shot:
    """Run these cases on the variant; ``missed`` is the false alarm."""
    with passable_folder() as folder:
        ran = run_cases(folder, backend_of(name), cases)
    outcomes = ran.outcomes if ran.document else {}
    lacks = lacking(name)
    wrong = {
        case: how
        for case, how in outcomes.items()
        if how not in (_NO_ALARM | {"NOT_APPLICABLE"} if case in lacks else _NO_ALARM)
    }
    unknown = [ran.detail(case) for case, how in outcomes.items() if how == "UNKNOWN"]
    missed = f"{wrong}\n{ran.text}" if wrong or not outcomes else ""
    return Shot(missed=missed, unknown="; ".join(unknown), core_s=ran.core_s)


def accept_search(name: str, search: Search, base: Path) -> Shot:
    """Make the search on the variant, to its end."""
    began_s = core_seconds()
    gate = availability.probe()
    if not gate.ok:
        return Shot(unknown=f"the gate cannot be used here: {gate.reason}")
    explored = explore(backend_of(name), search, base, stop_at_first=False)
    findings = [each.finding for each in explored.found]
    is_whole = explored.exhaustive and not findings
    doubt = explored.undecided or explored.nondeterministic
    missed = "" if is_whole else f"{search.scenario}: {findings or doubt or 'not exhausted'}"
    return Shot(missed=missed, core_s=core_seconds() - began_s)
