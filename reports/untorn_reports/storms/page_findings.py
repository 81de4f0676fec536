"""The findings of a storm's page: each kind once, with a drawing of what happened around it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from untorn_conformance.history import Round

from untorn_reports.drawing import Drawing
from untorn_reports.storms.around import Around, around
from untorn_reports.storms.document import StormFinding, kind_of
from untorn_reports.storms.files import StormFileError, read_round
from untorn_reports.storms.over_time import clock

MOST_DRAWN: Final = 12
"""Kinds of findings that have a drawing."""
MOST_TOLD: Final = 100
"""Kinds that are told at all; the files have the others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FindingLine:
    """A kind of finding, as the first of its kind tells it; ``again`` says how often it came.

    ``drawing`` is the counterexample of a search; ``around`` is None there, and where ``problem``
    says why.
    """

    number: int
    finding: StormFinding
    where: str
    again: str
    around: Around | None
    drawing: Drawing | None
    problem: str


def kinds_of(findings: Iterable[StormFinding]) -> list[list[StormFinding]]:
    """Findings that differ in numbers only are of one kind; kinds in the order of their firsts."""
    kinds: dict[tuple[str, str, str], list[StormFinding]] = {}
    for each in findings:
        kinds.setdefault(kind_of(each), []).append(each)
    return list(kinds.values())


def finding_lines(
    kinds: Sequence[Sequence[StormFinding]],
    directory_of: Callable[[StormFinding], Path],
    drawings: Mapping[str, Drawing],
) -> Iterator[FindingLine]:
    """One line a kind; the first ones are drawn."""
    rounds = _Rounds()
    for number, kind in enumerate(kinds[:MOST_TOLD], 1):
        first = kind[0]
        drawn, problem = None, f"Not drawn: the first {MOST_DRAWN} kinds are."
        drawing = drawings.get(first.history or "")
        if drawing is not None:
            problem = drawing.problem
        elif number <= MOST_DRAWN:
            drawn, problem = _drawn(rounds, directory_of(first), first)
        yield FindingLine(
            number=number,
            finding=first,
            where=_where(first),
            again=_again(kind),
            around=drawn,
            drawing=drawing,
            problem=problem,
        )


class _Rounds:
    """The round read last: findings of one round follow each other, and rounds are large."""

    def __init__(self) -> None:
        self._name: tuple[Path, str] | None = None
        self._round: Round | None = None

    def read(self, directory: Path, name: str) -> Round:
        if self._round is None or self._name != (directory, name):
            self._round, self._name = None, None
            self._round, self._name = read_round(directory, name), (directory, name)
        return self._round


def _drawn(rounds: _Rounds, directory: Path, finding: StormFinding) -> tuple[Around | None, str]:
    if not finding.history:
        return None, "No history of its round was kept."
    try:
        return around(rounds.read(directory, finding.history), finding.operations), ""
    except StormFileError as error:
        return None, f"It cannot be drawn: {error}"
    except (TypeError, ValueError, OverflowError) as error:
        return None, f"It cannot be drawn: {finding.history} has values that are none: {error}"


def _where(finding: StormFinding) -> str:
    parts = (
        f"shard {finding.shard}" if finding.shard is not None else "",
        finding.strand,
        finding.scenario,
        f"round {finding.round}" if finding.round is not None else "",
        f"at {clock(finding.at_s)}" if finding.at_s is not None else "",
    )
    return ", ".join(filter(None, parts))


def _again(kind: Sequence[StormFinding]) -> str:
    first = kind[0]
    if first.shard is not None:
        shards = dict.fromkeys(each for found in kind for each in (found.shard, *found.shards))
        others = [str(each) for each in shards if each not in (None, first.shard)]
        many = "shards" if len(others) > 1 else "shard"
        return f"also in {many} {', '.join(others)}" if others else ""
    if len(kind) == 1:
        return ""
    rounds = len({each.round for each in kind})
    return f"{len(kind):,} times, in {rounds:,} {'round' if rounds == 1 else 'rounds'}"
