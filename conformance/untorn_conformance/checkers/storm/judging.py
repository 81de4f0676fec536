"""Judge a round: eleven checkers, each with its rows, and what could not be decided.

Rule 1: a violation is certain, and outweighs everything; what is not known is never a pass.
Rule 2: a checker that crashes or runs out of time is UNKNOWN, and so are those that wait for it.
Rule 3: a round without an audit was cut short: a strike that was not over yet was not written down,
        so that only what nothing excuses is judged (H1), and nothing passes.

Source: Jepsen's ``checker/compose`` and ``check-safe``: false outweighs unknown outweighs true.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType
from typing import Final

from untorn_conformance.checkers.storm.answers import judge_answers
from untorn_conformance.checkers.storm.collects import (
    Weighing,
    judge_collects,
    judge_moved_clocks,
)
from untorn_conformance.checkers.storm.counting import judge_counters
from untorn_conformance.checkers.storm.frames import judge_provenance, judge_torn
from untorn_conformance.checkers.storm.held import judge_held
from untorn_conformance.checkers.storm.judged import Judged
from untorn_conformance.checkers.storm.leftovers import judge_leftovers
from untorn_conformance.checkers.storm.lives import Lives
from untorn_conformance.checkers.storm.order import judge_order
from untorn_conformance.checkers.storm.refusals import judge_refusals
from untorn_conformance.checkers.storm.removals import Removals
from untorn_conformance.checkers.storm.replaced import judge_missed, judge_replaced
from untorn_conformance.checkers.storm.timeline import Timeline
from untorn_conformance.checkers.storm.violation import Deadline, OvertimeError, Violation
from untorn_conformance.checkers.storm.waits import judge_waits
from untorn_conformance.checkers.storm.weighed import Alone, judge_weighed, weighed
from untorn_conformance.history import Round
from untorn_conformance.verdict import Outcome

MOST: Final = 100
"""Violations of one kind (a checker and its rows) that are told of one round: the first are enough,
and a rule that speaks often takes no place from one that speaks once."""

MOST_LOOKED_AT: Final = 20_000
"""Violations of one family after which it is not asked for more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checker:
    """One of H1 to H11: what it claims, and the rows that it gives evidence of."""

    id: str
    title: str
    requirements: tuple[str, ...]


CHECKERS: Final[Mapping[str, Checker]] = MappingProxyType(
    {
        each.id: each
        for each in (
            Checker(
                id="H1",
                title="no handle gives a torn entry",
                requirements=("P1", "R1", "P5", "C1", "G9", "T1"),
            ),
            Checker(
                id="H2",
                title="what is seen was published before, under its key",
                requirements=("P1", "P2", "P3", "P5", "K7"),
            ),
            Checker(
                id="H3",
                title="what is gone does not come back",
                requirements=("P2", "P3", "R2", "G7"),
            ),
            Checker(
                id="H4",
                title="what is held reads the same until released",
                requirements=("R1", "R4", "R5", "P5", "G3"),
            ),
            Checker(
                id="H5",
                title="what was published is found until something removes it",
                requirements=("R2", "G13"),
            ),
            Checker(
                id="H6", title="one writer wins, and the winner stays", requirements=("P2", "P3")
            ),
            Checker(
                id="H7",
                title="collects keep budget and ages, and count what left",
                requirements=("G1", "G2", "G3", "G7", "G8", "G11", "G13"),
            ),
            Checker(id="H8", title="counters equal the answers", requirements=("O1",)),
            Checker(
                id="H9",
                title="no debris is left, bytes are counted as they weigh, what is others' stays",
                requirements=("C3", "G4", "G5", "G7", "E3"),
            ),
            Checker(
                id="H10",
                title="a fault gives an answer, and afterwards all works",
                requirements=(
                    *("D2", "L1", "L2", "L5", "C2", "P5", "P7"),
                    *("R1", "R6", "G2", "G4", "O1"),
                ),
            ),
            Checker(
                id="H11",
                title="moved clocks evict neither all nor nothing",
                requirements=("G11", "G3"),
            ),
        )
    }
)
"""The checkers in their order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What came of one round: what certainly is wrong, and of which checkers nothing is known.

    ``judged`` is by checker how many things its rules were applied to (`judged.py` says which):
    where that is 0 a pass says nothing. Of a round that was cut short nothing is told.
    """

    violations: tuple[Violation, ...]
    unknown: Mapping[str, str]
    judged: Mapping[str, int] = field(default_factory=dict)

    def outcome(self, checker: str) -> Outcome:
        """What came of a checker: FAIL before UNKNOWN before PASS."""
        if any(each.checker == checker for each in self.violations):
            return Outcome.FAIL
        return Outcome.UNKNOWN if checker in self.unknown else Outcome.PASS


@dataclass(frozen=True, slots=True)
class _Scene:
    """What the families look at."""

    timeline: Timeline
    removals: Removals
    lives: Lives
    weighing: Weighing
    alone: Alone
    judged: Judged


@dataclass(frozen=True, slots=True)
class _Family:
    """Rules that are judged together, and the checkers that they decide."""

    checkers: tuple[str, ...]
    judge: Callable[[_Scene], Iterator[Violation]]


_TORN: Final = _Family(("H1",), lambda on: judge_torn(on.timeline, on.judged))
_FAMILIES: Final = (
    _TORN,
    _Family(("H2",), lambda on: judge_provenance(on.timeline, on.lives, on.judged)),
    _Family(("H3", "H4", "H6", "H7"), lambda on: judge_replaced(on.timeline, on.lives, on.judged)),
    _Family(
        ("H3", "H4", "H5", "H7"),
        lambda on: judge_missed(on.timeline, on.lives, on.removals, on.judged),
    ),
    _Family(("H4",), lambda on: judge_held(on.timeline, on.removals, on.judged)),
    _Family(
        ("H7",),
        lambda on: judge_collects(on.timeline, on.lives, on.removals, on.weighing, on.judged),
    ),
    _Family(
        ("H7", "H11"),
        lambda on: judge_weighed(on.timeline, on.removals, on.weighing, on.alone, on.judged),
    ),
    _Family(("H7",), lambda on: judge_order(on.timeline, on.weighing, on.alone, on.judged)),
    _Family(("H8",), lambda on: judge_counters(on.timeline, on.judged)),
    _Family(("H9",), lambda on: judge_leftovers(on.timeline, on.judged)),
    _Family(("H10",), lambda on: judge_answers(on.timeline, on.judged)),
    _Family(("H10",), lambda on: judge_waits(on.timeline)),
    _Family(("H10",), lambda on: judge_refusals(on.timeline)),
    _Family(("H11",), lambda on: judge_moved_clocks(on.removals, on.weighing, on.judged)),
)


def judge(round_: Round, *, deadline_s: float | None = None) -> Judgement:
    """Judge one round by all checkers, for ``deadline_s`` seconds at most (None: to the end)."""
    with _no_garbage():
        return _judge(round_, deadline_s)


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Pause the cyclic collector: nothing here makes cycles, and it would walk a million values."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _judge(round_: Round, deadline_s: float | None) -> Judgement:
    deadline = Deadline(deadline_s)
    violations: list[Violation] = []
    unknown: dict[str, str] = {}
    families = _FAMILIES if round_.is_whole else (_TORN,)
    if not round_.is_whole:
        unknown.update(dict.fromkeys(CHECKERS, "the round was cut short"))
    try:
        timeline = Timeline(round_, deadline)
        removals = Removals(timeline)
        lives, weighing = Lives(timeline, removals), Weighing(timeline)
        scene = _Scene(timeline, removals, lives, weighing, weighed(timeline), Judged())
    except OvertimeError:
        return _nothing_known(f"no time was left after {deadline_s} s")
    except Exception as error:  # a crashed checker is an answer: unknown
        return _nothing_known(f"the checker crashed: {error!r}")
    if round_.audit is not None and round_.audit.debris is None:
        unknown["H9"] = "nobody swept"
    for family in families:
        why = _run(family, scene, violations)
        if why:
            unknown.update({each: unknown.get(each, why) for each in family.checkers})
    violations.sort(key=lambda each: (each.at_ns, each.operations))
    amounts = scene.judged.amounts(CHECKERS) if round_.is_whole else {}
    judged = {each: 0 if each in unknown else amount for each, amount in amounts.items()}
    return Judgement(violations=tuple(violations), unknown=unknown, judged=judged)


def _run(family: _Family, scene: _Scene, violations: list[Violation]) -> str:
    """Let a family judge; why it could not, or ``""``. What it found before stands."""
    try:
        scene.timeline.deadline.check()
        kinds: Counter[tuple[str, tuple[str, ...]]] = Counter()
        for found in islice(family.judge(scene), MOST_LOOKED_AT):
            kinds[found.checker, found.requirements] += 1
            if kinds[found.checker, found.requirements] <= MOST:
                violations.append(found)
    except OvertimeError:
        return "the time was up"
    except Exception as error:  # a crashed checker is an answer: unknown
        return f"the checker crashed: {error!r}"
    return ""


def _nothing_known(why: str) -> Judgement:
    return Judgement(violations=(), unknown=dict.fromkeys(CHECKERS, why))
