"""A round before the checkers H1 to H11: what they found, and which of them could not tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from untorn_conformance.checkers.storm import judging
from untorn_conformance.history import Round

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
    """What came of a round. ``unknown`` are checkers that could not tell, with the reason.

    ``judged`` is of how many things each checker had something to say, where it counts them.
    """

    findings: tuple[StormFinding, ...] = ()
    unknown: Mapping[str, str] = field(default_factory=dict)
    judged: Mapping[str, int] = field(default_factory=dict)


def ruled(round_: Round, *, deadline_s: float = DEADLINE_S) -> Ruling:
    """Judge a round; what is not judged in time is unknown."""
    judgement = judging.judge(round_, deadline_s=deadline_s)
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
        judged=dict(judgement.judged),
    )
