"""Which entries a collect may have evicted, by its answer and the contract (G1 G2 G3 G7 R4).

Rule 1: what is held under a lease stays (R4), and what was published within min_age (G3).
Rule 2: what can go goes in the order of use, as far as recency tells uses apart (G1).
Rule 3: enough goes for the budget and no more (G2); work that did not become an entry may weigh as
        much as an entry, or nothing.
Rule 4: where several ways are left, all are followed, the least recently used first.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from untorn_conformance.backend import Collected
from untorn_conformance.worlds import SLACK_S, BreachError, Entry, Promises

There = Mapping[str, Entry]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A collect: a budget with room for so many entries, and no more."""

    room: int
    budget_bytes: int
    min_age_s: float
    dry_run: bool = False


class _Fate(StrEnum):
    """What a collect may do with an entry: must leave it, may take it, or cannot be told."""

    KEPT = "kept"
    FREE = "free"
    OPEN = "open"


@dataclass(frozen=True, kw_only=True, slots=True)
class Collect:
    """A collect that did its work. ``held`` are serials; ``loose`` counts unpublished work."""

    promises: Promises
    asked: Asked
    answer: Collected
    now_s: float
    held: frozenset[int]
    loose: int

    def follow(self, there: There) -> Iterator[dict[str, Entry]]:
        """What may be there afterwards. Raises BreachError where the answer allows nothing."""
        fates = {label: self._fate(entry) for label, entry in there.items()}
        self._check_count(there, fates)
        self._check_bytes(there)
        ways = list(self._ways(there, fates))
        if not ways:
            told = f"over budget with {self.answer.evicted} evicted, and more could have been"
            raise BreachError("G2", told)
        for gone in ways:
            yield {
                label: replace(entry, kept=self._row(fates[label]))
                for label, entry in there.items()
                if self.asked.dry_run or label not in gone
            }

    def _fate(self, entry: Entry) -> tuple[_Fate, str]:
        """What may become of an entry, and by which row."""
        held, min_age_s = entry.serial in self.held, self.asked.min_age_s
        if held and self.promises.leases:
            return _Fate.KEPT, "R4"
        if self.now_s - entry.published_s < min_age_s - SLACK_S:
            return _Fate.KEPT, "G3"
        is_old = not min_age_s or self.now_s - entry.used_to_s > min_age_s + SLACK_S
        return (_Fate.FREE if is_old and not held else _Fate.OPEN), ""

    def _check_count(self, there: There, fates: Mapping[str, tuple[_Fate, str]]) -> None:
        """No more went than there were, than may go, and than had to."""
        evicted = self.answer.evicted
        told = f"{evicted} entries were evicted of {len(there)}"
        if evicted > len(there):
            raise BreachError("G7", told)
        kept = [row for fate, row in fates.values() if fate is _Fate.KEPT]
        if evicted > len(there) - len(kept):
            raise BreachError(kept[0], f"{told}, {len(kept)} of which are protected")
        most = max(0, len(there) - max(0, self.asked.room - self.loose))
        if evicted > most:
            raise BreachError("G2", f"{told}, and {most} are enough for the budget")

    def _check_bytes(self, there: There) -> None:
        """The bytes told are those of the entries that went, and that keep it over budget."""
        weight, answer = self.promises.payload_bytes, self.answer
        least = (len(there) - answer.evicted) * weight - self.asked.budget_bytes
        if least > 0 and self.promises.weighs and answer.over_budget_bytes < least:
            told = f"over budget by {answer.over_budget_bytes} bytes, and by {least} at least"
            raise BreachError("G2", told)
        if least > 0 and not answer.protected:
            raise BreachError("G2", "over budget, and nothing is said to have protected it")
        if answer.reaped or self.loose or not self.promises.weighs:
            return
        if not answer.evicted * weight <= answer.freed_bytes <= answer.evicted * weight * 1.5:
            told = f"{answer.evicted} entries went, and {answer.freed_bytes} bytes with them"
            raise BreachError("G7", told)

    def _ways(
        self, there: There, fates: Mapping[str, tuple[_Fate, str]]
    ) -> Iterator[frozenset[str]]:
        """Which entries may have gone; where it is still over budget all that are free have."""
        may_go = [label for label in there if fates[label][0] is not _Fate.KEPT]
        free = {label for label in may_go if fates[label][0] is _Fate.FREE}
        over = len(there) - self.answer.evicted > self.asked.room
        may_go.sort(key=lambda label: there[label].used_to_s)
        for chosen in itertools.combinations(may_go, self.answer.evicted):
            gone = frozenset(chosen)
            stayed = free - gone
            in_order = not any(
                there[each].used_to_s + SLACK_S < there[other].used_from_s
                for each in stayed
                for other in gone
            )
            if in_order and not (over and stayed):
                yield gone

    def _row(self, fate: tuple[_Fate, str]) -> str:
        """By which row the collect had to leave what it left."""
        if self.asked.dry_run:
            return "G13"
        return fate[1] or ("G1" if self.answer.evicted else "")
