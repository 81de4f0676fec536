"""What the processes did around a finding: one lane a process, time to the right.

Rule 1: the operations that the finding names are always drawn, and numbered as in the table below.
Rule 2: an operation that never returned is indeterminate to the death of its process.
Rule 3: where more happened than can be told apart, operations of other keys are left out, then
        those that are farthest away; how many is said.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from untorn_conformance.history import Op, OpOutcome, Round, Strike

WIDE: Final = 836
"""The width of a drawing, in its own units; one lane is ``LANE`` high."""
LANE: Final = 26
_MOST_OPERATIONS: Final = 240
_MOST_LANES: Final = 24
_MOST_TICKS: Final = 9
_PAD_SHARE: Final = 0.12
_LEAST_PAD_NS: Final = 4_000_000
_WITHOUT_NAMES_NS: Final = 500_000_000
"""How much is shown before the audit where a finding names no operations."""
_MS: Final = 1e6
_STEPS_MS: Final = tuple(step * 10**power for power in range(-3, 6) for step in (1, 2, 5))
_FAILED: Final = frozenset(
    {
        OpOutcome.UNPUBLISHED,
        OpOutcome.UNCACHED,
        OpOutcome.EVICTED,
        OpOutcome.DAMAGED,
        OpOutcome.SKIPPED,
        OpOutcome.ERROR,
    }
)


class Fate(StrEnum):
    """How an operation ended: each has a colour and a shape of its own."""

    OK = "ok"
    FAIL = "fail"
    INDETERMINATE = "indeterminate"


@dataclass(frozen=True, kw_only=True, slots=True)
class Act:
    """An operation in its lane, from ``x`` to ``end``; one that is not named has number 0.

    ``is_cut``: its end is not in the drawing. ``is_near``: it is of a key of the named ones.
    """

    x: float
    end: float
    fate: Fate
    number: int
    is_cut: bool
    is_near: bool
    told: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Lane:
    """A process: when it was there, what it did, and where it died (None: not here)."""

    process: str
    x: float
    end: float
    death: float | None
    death_told: str
    acts: tuple[Act, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class StrikeSpan:
    """A strike behind the lanes; ``row`` is the row of its name above them."""

    name: str
    row: int
    x: float
    width: float
    bit: bool
    told: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """A label of the time axis, in milliseconds of the round."""

    x: float
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """An operation that the finding names, as a line of a table."""

    number: int
    id: int
    process: str
    verb: str
    key: str
    version: str
    outcome: str
    fate: Fate
    began: str
    took: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Around:
    """The drawing and its table; ``left_out`` says what is not drawn ("": nothing)."""

    lanes: tuple[Lane, ...]
    strikes: tuple[StrikeSpan, ...]
    strike_names: tuple[str, ...]
    moments: tuple[Moment, ...]
    named: tuple[Named, ...]
    left_out: str


class _Window:
    """The stretch of time that is drawn."""

    def __init__(self, begin_ns: int, end_ns: int, zero_ns: int) -> None:
        self.begin_ns, self.end_ns, self.zero_ns = begin_ns, max(end_ns, begin_ns + 1), zero_ns

    def x(self, at_ns: int) -> float:
        share = (at_ns - self.begin_ns) / (self.end_ns - self.begin_ns)
        return round(WIDE * min(max(share, 0.0), 1.0), 1)

    def overlaps(self, begin_ns: int, end_ns: int) -> bool:
        return begin_ns <= self.end_ns and end_ns >= self.begin_ns


def around(judged: Round, operations: Sequence[int]) -> Around:
    """Draw what was done around these operations of a round; without any, before its end."""
    named = [judged.ops[each] for each in operations if 0 <= each < len(judged.ops)]
    ends = _Ends(judged)
    window = _window(judged, named, ends)
    chosen, left_out = _chosen(judged, named, ends, window)
    numbers = {op.id: number for number, op in enumerate(sorted(named, key=_began), 1)}
    keys = {_key(op, judged.ops) for op in named} - {""}
    near = {op.id for op in chosen if op.id in numbers or _key(op, judged.ops) in keys}
    strikes = tuple(each for each in judged.strikes if window.overlaps(*_strike_ns(each, window)))
    names = tuple(sorted({each.name for each in strikes}))
    return Around(
        lanes=tuple(_lanes(chosen, numbers, near, ends, window)),
        strikes=tuple(_spans(strikes, names, window)),
        strike_names=names,
        moments=tuple(_moments(window)),
        named=tuple(_table(judged, named, numbers, window)),
        left_out=left_out,
    )


def fate_of(op: Op) -> Fate:
    """How an operation ended."""
    if not op.is_answered:
        return Fate.INDETERMINATE
    return Fate.FAIL if op.outcome in _FAILED else Fate.OK


class _Ends:
    """When processes died, and when operations ended: answered, or with their process."""

    def __init__(self, judged: Round) -> None:
        self.deaths = {each.process: each for each in reversed(judged.deaths)}
        times = [op.ended_ns for op in judged.ops] + [op.began_ns for op in judged.ops]
        times += [each.at_ns for each in judged.deaths]
        self.last_ns = judged.audit.at_ns if judged.audit else max(times, default=0)

    def of(self, op: Op) -> int:
        if op.is_answered:
            return op.ended_ns
        death = self.deaths.get(op.process)
        return max(death.at_ns if death else self.last_ns, op.began_ns)


def _began(op: Op) -> tuple[int, int]:
    return op.began_ns, op.id


def _window(judged: Round, named: Sequence[Op], ends: _Ends) -> _Window:
    zero = min((op.began_ns for op in judged.ops), default=0)
    if named:
        begin, end = min(op.began_ns for op in named), max(ends.of(op) for op in named)
        pad = max(round(_PAD_SHARE * (end - begin)), _LEAST_PAD_NS)
        return _Window(begin - pad, end + pad, zero)
    return _Window(max(zero, ends.last_ns - _WITHOUT_NAMES_NS), ends.last_ns, zero)


def _chosen(
    judged: Round, named: Sequence[Op], ends: _Ends, window: _Window
) -> tuple[list[Op], str]:
    """The operations to draw, by Rule 3."""
    there = [op for op in judged.ops if window.overlaps(op.began_ns, ends.of(op))]
    ids = {op.id for op in named}
    chosen = there
    if len(there) > _MOST_OPERATIONS:
        keys = {_key(op, judged.ops) for op in named} - {""}
        middle = (window.begin_ns + window.end_ns) / 2

        def rank(op: Op) -> tuple[bool, bool, float]:
            own = _key(op, judged.ops) in keys
            return op.id not in ids, not own, abs(op.began_ns - middle)

        chosen = sorted(there, key=rank)[:_MOST_OPERATIONS]
    kept = _processes(chosen, named)
    chosen = [op for op in chosen if op.process in kept]
    missing = len(there) - len(chosen)
    left_out = f"{missing:,} more operations of this time are not drawn" if missing else ""
    return sorted(chosen, key=_began), left_out


def _processes(chosen: Iterable[Op], named: Iterable[Op]) -> Collection[str]:
    """The processes that have lanes: those of named operations first, then the busiest."""
    count: dict[str, int] = {}
    for op in chosen:
        count[op.process] = count.get(op.process, 0) + 1
    first = {op.process for op in named}
    ranked = sorted(count, key=lambda each: (each not in first, -count[each], each))
    return ranked[: max(_MOST_LANES, len(first))]


def _key(op: Op, ops: Sequence[Op]) -> str:
    """The key of an operation: its own, or that of the handle that it uses."""
    while not op.key and 0 <= op.via < op.id:  # a handle is older than what uses it
        op = ops[op.via]
    return op.key


def _lanes(
    chosen: Sequence[Op],
    numbers: Mapping[int, int],
    near: Collection[int],
    ends: _Ends,
    window: _Window,
) -> Iterator[Lane]:
    by_process: dict[str, list[Op]] = {}
    for op in chosen:
        by_process.setdefault(op.process, []).append(op)
    for process in sorted(by_process, key=natural):
        ops = by_process[process]
        death = ends.deaths.get(process)
        here = death is not None and window.begin_ns <= death.at_ns <= window.end_ns
        yield Lane(
            process=process,
            x=window.x(ops[0].began_ns),
            end=window.x(death.at_ns if death else window.end_ns),
            death=window.x(death.at_ns) if death and here else None,
            death_told=f"{process} ended: {death.how or 'killed'}" if death else "",
            acts=tuple(
                Act(
                    x=window.x(op.began_ns),
                    end=window.x(ends.of(op)),
                    fate=fate_of(op),
                    number=numbers.get(op.id, 0),
                    is_cut=ends.of(op) > window.end_ns,
                    is_near=op.id in near,
                    told=f"{op.id} {_what(op)}: {_outcome(op)}, {_took(op)}",
                )
                for op in ops
            ),
        )


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key for sorting: ``writer10`` comes after ``writer9``."""
    parts: list[tuple[int, int, str]] = []
    for char in name:
        if char in "0123456789":
            number = int(char)
            if parts and parts[-1][0] == 0:
                number += 10 * parts.pop()[1]
            parts.append((0, number, ""))
        else:
            parts.append((1, 0, char))
    return tuple(parts)


def _what(op: Op) -> str:
    return " ".join(filter(None, (op.process, op.verb, op.key, op.version)))


def _outcome(op: Op) -> str:
    if op.outcome is None:
        return "no answer"
    told = " ".join(filter(None, (op.outcome.value, op.reason)))
    if op.seen is not None:
        told += f": frame {op.seen.index} of {op.seen.version}"
    return told


def _took(op: Op) -> str:
    return _ms(op.ended_ns - op.began_ns) if op.is_answered else "never returned"


def _ms(span_ns: int) -> str:
    return f"{span_ns / _MS:,.2f} ms"


def _strike_ns(strike: Strike, window: _Window) -> tuple[int, int]:
    end = strike.end_ns if strike.end_ns >= 0 else window.end_ns
    return strike.begin_ns, max(end, strike.begin_ns)


def _spans(
    strikes: Iterable[Strike], names: Sequence[str], window: _Window
) -> Iterator[StrikeSpan]:
    for strike in strikes:
        begin, end = _strike_ns(strike, window)
        x, after = window.x(begin), window.x(end)
        struck = f" of {', '.join(strike.processes)}" if strike.processes else ""
        healed = "" if strike.end_ns >= 0 else ", not healed in this round"
        did = "" if strike.bit else ", did not bite"
        yield StrikeSpan(
            name=strike.name,
            row=names.index(strike.name),
            x=x,
            width=max(after - x, 2.0),
            bit=strike.bit,
            told=f"{strike.name}{struck}, {_ms(end - begin)}{healed}{did} {strike.detail}".rstrip(),
        )


def _moments(window: _Window) -> Iterator[Moment]:
    begin, end = ((each - window.zero_ns) / _MS for each in (window.begin_ns, window.end_ns))
    step = next((each for each in _STEPS_MS if (end - begin) / each <= _MOST_TICKS), end - begin)
    number = -(-begin // step)
    while number * step <= end:
        at_ms = number * step
        yield Moment(x=window.x(round(at_ms * _MS) + window.zero_ns), text=f"{round(at_ms, 3):,g}")
        number += 1


def _table(
    judged: Round, named: Iterable[Op], numbers: Mapping[int, int], window: _Window
) -> Iterator[Named]:
    for op in sorted(named, key=_began):
        yield Named(
            number=numbers[op.id],
            id=op.id,
            process=op.process,
            verb=op.verb,
            key=_key(op, judged.ops),
            version=op.version or (op.seen.version if op.seen else ""),
            outcome=_outcome(op),
            fate=fate_of(op),
            began=_ms(op.began_ns - window.zero_ns),
            took=_took(op),
        )
