"""Twice: makes every run of another scheduler a second time, and expects the very same.

It is the proof that the harness is in control: what replays here replays from a token.
"""

from __future__ import annotations

from untorn_stress.schedulers.choices import again
from untorn_stress.schedulers.protocol import (
    Ending,
    Executed,
    Moment,
    NondeterminismError,
    Option,
    Scheduler,
)


class Twice:
    """Wraps a scheduler, which learns only of the first run of each pair."""

    def __init__(self, inner: Scheduler) -> None:
        self._inner = inner
        self._recorded: list[tuple[Moment, Option | None]] = []
        self._ending: Ending | None = None
        self._repeating = False
        self._asked = 0

    def begin(self) -> bool:
        """Every other time the last run once more, else the next run of the wrapped scheduler."""
        if self._ending is not None:
            self._repeating = True
            self._asked = 0
            return True
        self._repeating = False
        self._recorded = []
        return self._inner.begin()

    def choose(self, moment: Moment) -> Option | None:
        """What the wrapped scheduler chooses; then the same again.

        Raises NondeterminismError when other options are on offer than the first time, or the last
        step touched something else.
        """
        if not self._repeating:
            choice = self._inner.choose(moment)
            self._recorded.append((moment, choice))
            return choice
        if moment.step >= len(self._recorded):
            raise NondeterminismError(f"step {moment.step}: the run had ended here the first time")
        self._asked += 1
        before, chosen = self._recorded[moment.step]
        if moment != before:
            raise NondeterminismError(_difference(before, moment))
        return None if chosen is None else again(moment, chosen.label)

    def end(self, ending: Ending) -> None:
        """Pass on the first ending; compare the second with it.

        Raises NondeterminismError when they differ.
        """
        if not self._repeating:
            self._ending = ending
            self._inner.end(ending)
            return
        before, self._ending = self._ending, None
        if self._asked < len(self._recorded):
            raise NondeterminismError(
                f"the run ended after {self._asked} choices, the first time {len(self._recorded)}"
            )
        if ending != before:
            raise NondeterminismError(f"the run ended with {ending}, the first time with {before}")


def _difference(before: Moment, now: Moment) -> str:
    where = f"step {now.step}: after the same choices"
    if now.executed != before.executed:
        return f"{where} {_told(now.executed)}, the first time {_told(before.executed)}"
    return f"{where} {_offers(now)} are on offer, the first time {_offers(before)}"


def _told(step: Executed | None) -> str:
    if step is None:
        return "nothing was taken"
    touched = step.footprint
    return (
        f"{step.label} read {sorted(touched.reads)} and wrote {sorted(touched.writes)}"
        f"{' and more' if touched.opaque else ''}"
    )


def _offers(moment: Moment) -> str:
    return "; ".join(
        f"{option.label}{' (waiting)' if option.yielded else ''} "
        f"{sorted(option.footprint.reads)} {sorted(option.footprint.writes)}"
        f"{' and more' if option.footprint.opaque else ''}"
        for option in moment.options
    )
