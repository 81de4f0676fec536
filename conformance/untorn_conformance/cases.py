"""Cases: tests that say which requirements of the contract they judge, under an id that stays.

A case is named by the first requirement it serves and by its function, never by pytest's node id,
which changes with the directory that pytest is started in. A *canary* judges no requirement: it
judges a cache that is known to be broken, and a run in which it passes could not have failed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

import pytest

from untorn_conformance.contract import REQUIREMENTS
from untorn_conformance.verdict import CANARY_PREFIX, Evidence, EvidenceClass

MARK = "requires"
CANARY_MARK = "canary"
TURN_MARK = "begins"
UNKNOWN_PREFIX = "UNKNOWN: "
NOT_APPLICABLE_PREFIX = "NOT_APPLICABLE: "


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A collected case; ``nodeid`` is pytest's name for it in this run only.

    ``fails_with`` are words of the failure that a canary must end with; empty for all others.
    """

    id: str
    requirements: tuple[str, ...]
    evidence: Evidence
    nodeid: str
    fails_with: str = ""


def requires(*requirements: str, evidence: str | Evidence) -> pytest.MarkDecorator:
    """Mark a test as a case of the contract's rows, the first of which names it.

    ``evidence`` says what a pass rests on: as text, how it was sampled. Raises ValueError for a row
    that the contract does not have and for evidence that says nothing.
    """
    unknown_rows = [row for row in requirements if row not in REQUIREMENTS]
    if unknown_rows or not requirements:
        raise ValueError(f"no such rows of the contract: {', '.join(unknown_rows) or 'none given'}")
    if isinstance(evidence, str):
        evidence = Evidence(kind=EvidenceClass.SAMPLED, detail=evidence)
    if not evidence.detail:
        raise ValueError("evidence without a word on what it rests on")
    mark: pytest.MarkDecorator = getattr(pytest.mark, MARK)
    return mark.with_args(*requirements, evidence=evidence)


def canary(*, says: str) -> pytest.MarkDecorator:
    """Mark a test of a broken cache as one that must fail, with these words in its failure."""
    if not says:
        raise ValueError("a canary that may fail for any reason")
    mark: pytest.MarkDecorator = getattr(pytest.mark, CANARY_MARK)
    return mark.with_args(says)


def begins(turn: int) -> pytest.MarkDecorator:
    """Mark a test that takes long: it begins before others, the lower its turn the earlier."""
    mark: pytest.MarkDecorator = getattr(pytest.mark, TURN_MARK)
    return mark.with_args(turn)


def turn_of(item: pytest.Item) -> int | None:
    """When a collected test begins that takes long; None for any other."""
    mark = item.get_closest_marker(TURN_MARK)
    return None if mark is None else int(mark.args[0])


def case_of(item: pytest.Item) -> Case | None:
    """Return the case that a collected test is, or None for an ordinary test."""
    mark = item.get_closest_marker(MARK)
    if mark is None:
        return _canary_of(item)
    first = mark.args[0]
    name = getattr(item, "originalname", item.name).removeprefix("test_").removeprefix(f"{first}_")
    callspec = getattr(item, "callspec", None)
    parameters = f"[{callspec.id}]" if callspec is not None else ""
    return Case(
        id=f"{first}.{name}{parameters}",
        requirements=tuple(mark.args),
        evidence=mark.kwargs["evidence"],
        nodeid=item.nodeid,
    )


def _canary_of(item: pytest.Item) -> Case | None:
    mark = item.get_closest_marker(CANARY_MARK)
    if mark is None:
        return None
    rests_on = Evidence(kind=EvidenceClass.SAMPLED, detail="a cache that is known to be broken")
    return Case(
        id=f"{CANARY_PREFIX}{item.name.removeprefix('test_')}",
        requirements=(),
        evidence=rests_on,
        nodeid=item.nodeid,
        fails_with=mark.args[0],
    )


def check_unique(cases: Iterable[Case]) -> None:
    """Raise pytest.UsageError when two cases have one id: one result would hide the other."""
    seen: dict[str, Case] = {}
    for case in cases:
        other = seen.setdefault(case.id, case)
        if other.nodeid != case.nodeid:
            raise pytest.UsageError(f"one case id {case.id}: {other.nodeid} and {case.nodeid}")


def unknown(reason: str) -> NoReturn:
    """End a case without a verdict: it was tried, and nothing certain came of it."""
    pytest.skip(UNKNOWN_PREFIX + reason)


def not_applicable(reason: str) -> NoReturn:
    """End a case that this backend does not claim to pass."""
    pytest.skip(NOT_APPLICABLE_PREFIX + reason)
