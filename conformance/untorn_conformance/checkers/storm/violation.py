"""What a judge of a storm says: a violation, and when it was told to stop."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

FOREVER: Final = 1 << 62
"""A time in nanoseconds after everything; its negative is before everything."""

CHUNK: Final = 1 << 14
"""Operations between two looks at the clock: about ten milliseconds of work."""

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Violation:
    """What no correct cache can have done: the checker, its rows, in words, and who did it.

    ``operations`` are ids; ``at_ns`` is when it was seen, on the history's clock.
    """

    checker: str
    requirements: tuple[str, ...]
    message: str
    operations: tuple[int, ...] = ()
    at_ns: int = 0


class OvertimeError(Exception):
    """The deadline of the judgement has passed."""


class Deadline:
    """A time on the monotonic clock by which all must be done; None for as long as it takes."""

    def __init__(self, seconds: float | None) -> None:
        self._until_s = None if seconds is None else time.monotonic() + seconds

    def check(self) -> None:
        """Raise OvertimeError when the time is up."""
        if self._until_s is not None and time.monotonic() >= self._until_s:
            raise OvertimeError

    def chunks(self, items: Sequence[_T]) -> Iterator[Sequence[_T]]:
        """The items in slices, with a look at the clock before each."""
        for begin in range(0, len(items), CHUNK):
            self.check()
            yield items[begin : begin + CHUNK]
