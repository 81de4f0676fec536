"""A round before the checkers H1 to H11: what they found, and which of them could not tell."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from untorn_conformance.history import Round

CHECKERS: Final = tuple(f"H{number}" for number in range(1, 12))
DEADLINE_S: Final = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class StormFinding:
    """What is wrong: the checker that says so, the contract's rows, in words, and where.

    ``operations`` are the numbers of operations of the round, ``at_ns`` when it was, -1 where that
    is not known.
    """

    checker: str
    requirements: tuple[str, ...]
    message: str
    operations: tuple[int, ...] = ()
    at_ns: int = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class Ruling:
    """What came of a round. ``unknown`` are checkers that could not tell, with the reason."""

    findings: tuple[StormFinding, ...] = ()
    unknown: Mapping[str, str] = field(default_factory=dict)
    requirements: Mapping[str, Sequence[str]] = field(default_factory=dict)


def ruled(round_: Round, *, deadline_s: float = DEADLINE_S) -> Ruling:
    """Judge a round. A judge that crashes has not judged: then nobody could tell."""
    try:
        judge: Any = importlib.import_module("untorn_conformance.checkers.storm.judging").judge
    except ImportError as error:
        return Ruling(unknown=dict.fromkeys(CHECKERS, f"there are no checkers: {error}"))
    judgement = judge(round_, deadline_s=deadline_s)
    return Ruling(
        findings=tuple(
            StormFinding(
                checker=each.checker,
                requirements=tuple(each.requirements),
                message=each.message,
                operations=tuple(each.operations),
                at_ns=each.at_ns or -1,
            )
            for each in judgement.violations
        ),
        unknown=dict(judgement.unknown),
    )
