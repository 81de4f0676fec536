"""The operations of a run, laid on another order of the same steps.

Two runs in which every worker learns the same give the same answers, but what ended before what
began may differ, and that is judged. A score says at which of its own steps each worker was asked
and answered, so that the operations of a run that was not made can be told from one that was.

Rule 1: a worker answers within a step of its own. Where one answered in another's, or before it had
        taken any, there is no score: what it did may depend on more than its steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from untorn_stress.player import Asked, Ledger
from untorn_stress.rules.history import Aftermath
from untorn_stress.run import Operation
from untorn_stress.start import Start


@dataclass(frozen=True, slots=True)
class Score:
    """``parts`` are what each was asked, ``answers`` how often it answered in its Nth step."""

    parts: dict[str, tuple[Asked, ...]]
    answers: Counter[tuple[str, int]]

    def laid_on(self, labels: Iterable[str]) -> tuple[Operation, ...]:
        """The operations where the workers took their steps in that order."""
        ledger, own_steps = Ledger(), Counter[str]()
        coming = {letter: iter(part) for letter, part in self.parts.items()}
        current = {letter: _ask_again(ledger, next(part)) for letter, part in coming.items()}
        for number, label in enumerate(labels):
            letter = label[0]
            asked = current.get(letter)
            if asked is not None:
                asked.moves(number)
            ledger.steps += 1
            for _ in range(self.answers[letter, own_steps[letter]]):
                current[letter].ended = ledger.steps
                again = next(coming[letter], None)
                if again is not None:
                    current[letter] = _ask_again(ledger, again)
            own_steps[letter] += 1
        return ledger.operations()


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """What a run left that showed nothing: from it the same steps in another order are judged."""

    score: Score
    start: Start
    aftermath: Aftermath


def score_of(ledger: Ledger, labels: Sequence[str]) -> Score | None:
    """The score of a run, None where it has none."""
    nth: list[tuple[str, int]] = []
    own_steps = Counter[str]()
    for label in labels:
        nth.append((label[0], own_steps[label[0]]))
        own_steps[label[0]] += 1
    parts: dict[str, tuple[Asked, ...]] = {}
    answers = Counter[tuple[str, int]]()
    for asked in ledger.asked:
        parts[asked.worker] = (*parts.get(asked.worker, ()), asked)
        if asked.ended == 0 or (asked.ended > 0 and nth[asked.ended - 1][0] != asked.worker):
            return None
        if asked.ended > 0:
            answers[nth[asked.ended - 1]] += 1
    return Score(parts, answers)


def _ask_again(ledger: Ledger, before: Asked) -> Asked:
    asked = ledger.begin(before.worker, before.ask)
    asked.answer, asked.may_have_read = before.answer, before.may_have_read
    asked.faults = before.faults
    return asked
