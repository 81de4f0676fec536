"""What a storm's processes did, as values and as JSON lines: the input of the checkers H1 to H11.

One file is one *round*: from workers that find a known state to an audit that finds the next. Its
lines are a header, then events in the order in which the recorder saw them:

    {"round": {...}}                                what is known before anything is asked
    {"invoke": {"id": 7, "process": "writer2.5", "verb": "publish", "at_ns": ..., ...}}
    {"invoke": {"id": 8, ..., "verb": "collect", "numbers": {"min_age_s": 60.0, ...}}}
    {"return": {"id": 7, "at_ns": ..., "outcome": "published", ...}}
    {"strike": {"name": "root-removed", "begin_ns": ..., "end_ns": ..., ...}}
    {"death": {"process": "writer2.5", "at_ns": ...}}
    {"audit": {...}}                                what was left when all were dead and reaped

Rule 1: one clock (CLOCK_MONOTONIC, nanoseconds) and one recorder: real time orders the events.
Rule 2: an operation without a return is indeterminate for ever: it may have happened, or may not.
        The process that was asked is retired; its successor has another name.
Rule 3: a version is one attempt of one process to publish one key. No two share a byte of payload,
        so each frame that is read names the version that it came from.
Rule 4: a file that ends amid a line lost nothing but that line: it is read up to there.

Source: Kingsbury, Jepsen (invoke, ok, info; retired processes); Kingsbury and Alvaro, Elle (VLDB
2020), for versions that reads recover.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

HISTORY_VERSION: Final = 1


class HistoryError(Exception):
    """The lines are no history of this version; the message says which line, and why."""


class OpOutcome(StrEnum):
    """What an operation came to; the words are those of the backend's answers."""

    __hash__ = str.__hash__  # that of enums is a function in Python, and judges ask for it often

    HIT = "hit"
    MISS = "miss"
    READ = "read"
    EVICTED = "evicted"
    DAMAGED = "damaged"
    STAGED = "staged"
    PUBLISHED = "published"
    ADOPTED = "adopted"
    UNPUBLISHED = "unpublished"
    UNCACHED = "uncached"
    COLLECTED = "collected"
    SKIPPED = "skipped"
    COUNTED = "counted"
    DONE = "done"
    ERROR = "error"


class Excuse(StrEnum):
    """What a strike may do to operations that overlap it, and to what comes after it.

    ``removes``: entries may be gone or thinned without a collect. ``refuses``: calls may fail with
    errnos, so that lookups miss and publishes do not publish. ``ages``: what is young may count as
    old, and the other way round. ``kills`` and ``stops``: processes end, or stand still.
    """

    REMOVES = "removes"
    REFUSES = "refuses"
    AGES = "ages"
    KILLS = "kills"
    STOPS = "stops"


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundStart:
    """What is known when a round begins.

    ``present`` is the version that each key held (keys that held none are absent). ``frames`` is
    how many files every version has, ``entry_bytes`` what no entry weighs more than (its payload,
    all the backend adds, and what the file system rounds up); None if that is not known.
    ``capabilities`` and ``limits`` are those of hello. ``budget_bytes`` is the budget that the
    backend was configured with: one that evicts by itself may do so when it publishes. None: so
    much that it never does. ``min_age_s`` is the age that it was configured with, None if none was.
    """

    number: int
    seed: int
    backend: str
    keys: tuple[str, ...]
    frames: int
    entry_bytes: int | None = None
    capabilities: tuple[str, ...] = ()
    limits: Mapping[str, Any] = field(default_factory=dict)
    budget_bytes: int | None = None
    min_age_s: float | None = None
    present: Mapping[str, str] = field(default_factory=dict)
    history_version: int = HISTORY_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """Whose bytes a read gave: the frame ``index`` of ``version`` of ``key``."""

    key: str
    version: str
    index: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Op:
    """One operation: asked of a process, and answered or not.

    ``id`` counts the operations of a round from 0, in the order in which they were asked. ``key``
    is the key's label, ``""`` where there is none. ``via`` is the operation whose handle this one
    uses (a read, a publish, a release, an abandon), -1 for none. ``version`` is the attempt that a
    stage, a publish or an extract makes. ``ended_ns`` is -1 while there is no answer; ``outcome``
    is None then. ``reason`` is that of a miss, an unpublished or a skip, or the error's code, and
    ``message`` what the error said.
    ``index`` is the frame that a read asks for, from 0; ``seen`` whose bytes it gave, None for
    bytes that nobody wrote. ``files`` is how many files a handle lists, ``in_order`` whether they
    are the version's first ``files`` names in frame order. ``numbers`` are the counters that stats
    gave, or a collect's arguments, known from its asking on (``ARGUMENTS``), and its answer:
    ``evicted``, ``freed_bytes``, ``reaped``, ``over_budget_bytes``, ``protected``. Who collects
    alone may weigh the entries before and after: ``stood`` and ``stayed`` count them,
    ``stood_bytes`` and ``stayed_bytes`` are their bytes in the meaning of the limits, ``shifted_s``
    is how much older every mtime was made before (less than 0: younger). What is not known is
    absent.
    """

    id: int
    process: str
    verb: str
    key: str = ""
    via: int = -1
    version: str = ""
    index: int = -1
    began_ns: int = 0
    ended_ns: int = -1
    outcome: OpOutcome | None = None
    reason: str = ""
    message: str = ""
    seen: Seen | None = None
    files: int = -1
    in_order: bool = True
    numbers: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_answered(self) -> bool:
        """Whether its answer came."""
        return self.ended_ns >= 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Strike:
    """Something that a nemesis did from ``begin_ns`` to ``end_ns`` (-1: not healed in this round).

    ``bit`` says that it was seen to work; one that was not counts as nothing done. ``processes``
    are those that it struck, where it struck some.
    """

    name: str
    begin_ns: int
    end_ns: int = -1
    excuses: tuple[Excuse, ...] = ()
    bit: bool = False
    detail: str = ""
    processes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Death:
    """A process ended: ``asked`` tells whether we killed it; ``how`` its exit or signal.

    ``leaves_children``: processes that it had started may live on, since it alone was killed; what
    it was asked last may then happen at any later time of the round.
    """

    process: str
    at_ns: int
    asked: bool = True
    how: str = ""
    leaves_children: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """What was left when every process was dead, and a fresh one had swept what it may sweep.

    ``debris`` are names below the root that belong to nothing (None: nobody swept),
    ``counted_bytes`` what the backend holds itself to occupy (None where it does not say),
    ``disk_bytes`` what its entries weigh on disk in the meaning of bytes of its limits.
    ``unpublishable`` are keys that could not be published and read once all strikes were over.
    ``had_room``: the file system was seen to have far more room than anything here needs, when the
    round began and when it ended. ``harmed`` is what is not the cache's, in its root or beside it,
    and was taken or changed by no strike.
    """

    at_ns: int
    debris: tuple[str, ...] | None = ()
    counted_bytes: int | None = None
    disk_bytes: int | None = None
    unpublishable: Mapping[str, str] = field(default_factory=dict)
    had_room: bool = False
    harmed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """Everything that the checkers judge; ``ops[n].id == n``.

    ``is_whole``: the recorder closed the file with an audit; otherwise it was cut short.
    """

    start: RoundStart
    ops: tuple[Op, ...]
    strikes: tuple[Strike, ...] = ()
    deaths: tuple[Death, ...] = ()
    audit: Audit | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the round came to its audit."""
        return self.audit is not None


# --- lines ---------------------------------------------------------------------------------------

_INVOKED: Final = ("id", "process", "verb", "key", "via", "version", "index")
ARGUMENTS: Final = ("budget_bytes", "min_age_s", "dry_run", "shifted_s", "stood", "stood_bytes")
"""The numbers of a collect that are known when it is asked."""

_RETURNED: Final = ("outcome", "reason", "message", "files", "in_order", "numbers")
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))  # json.dumps would make one a line
_OUTCOMES: Final = MappingProxyType({each.value: each for each in OpOutcome})
_NEEDED: Final = frozenset({"id", "process", "verb", "at_ns"})
_ASKED: Final = frozenset({*_INVOKED, "at_ns", "numbers"})
_ANSWERED: Final = frozenset({*_RETURNED, "seen", "at_ns"})
_PLAIN: Final[Mapping[str, object]] = MappingProxyType(
    {each.name: each.default for each in fields(Op)}
)


def begin_line(start: RoundStart) -> str:
    """The first line of a round."""
    return _line("round", asdict(start))


def invoke_line(op: Op) -> str:
    """The line that is written before an operation is asked."""
    said = {name: getattr(op, name) for name in _INVOKED if getattr(op, name) != _PLAIN[name]}
    said["id"] = op.id
    if op.numbers:
        known = {name: op.numbers[name] for name in ARGUMENTS if name in op.numbers}
        said.update({"numbers": known} if known else {})
    return _line("invoke", {**said, "at_ns": op.began_ns})


def return_line(op: Op) -> str:
    """The line that is written when an operation was answered."""
    said = {name: getattr(op, name) for name in _RETURNED}
    said = {name: value for name, value in said.items() if value not in (_PLAIN[name], {})}
    if op.seen is not None:
        said["seen"] = [op.seen.key, op.seen.version, op.seen.index]
    return _line("return", {"id": op.id, "at_ns": op.ended_ns, **said})


def strike_line(strike: Strike) -> str:
    """The line of a strike, written when it is over or when the round is."""
    return _line("strike", asdict(strike))


def death_line(death: Death) -> str:
    """The line of a process' end."""
    return _line("death", asdict(death))


def audit_line(audit: Audit) -> str:
    """The last line of a round."""
    return _line("audit", asdict(audit))


def _line(kind: str, said: object) -> str:
    return _ENCODER.encode({kind: said}) + "\n"


def read(lines: Iterable[str]) -> Round:
    """Read one round back. Raises HistoryError for what is none; a last line cut short is left."""
    reading = _Reading()
    for number, line in enumerate(lines, 1):
        if not line.endswith("\n"):
            break  # the recorder died, or its disk was full, amid this line
        try:
            reading.take(line)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise HistoryError(f"line {number} is no line of a history: {error!r}") from error
    if reading.start is None:
        raise HistoryError("no round begins here: the first line is missing or was cut short")
    return Round(
        start=reading.start,
        ops=tuple(reading.operations()),
        strikes=tuple(reading.strikes),
        deaths=tuple(reading.deaths),
        audit=reading.audit,
    )


class _Reading:
    """A round while its lines are read."""

    def __init__(self) -> None:
        self.start: RoundStart | None = None
        self.strikes: list[Strike] = []
        self.deaths: list[Death] = []
        self.audit: Audit | None = None
        self._invoked: list[dict[str, Any]] = []

    def take(self, line: str) -> None:
        """Take one line in."""
        ((kind, said),) = json.loads(line).items()
        if self.start is None and kind != "round":
            raise ValueError("a history begins with its round")
        if kind == "invoke":
            self._invoke(said)
        elif kind == "return":
            self._return(said)
        elif kind == "strike":
            excuses = tuple(Excuse(each) for each in said.pop("excuses"))
            self.strikes.append(Strike(excuses=excuses, **_tuples(said)))
        elif kind == "death":
            self.deaths.append(Death(**said))
        elif kind == "audit":
            self.audit = Audit(**_tuples(said))
        elif kind == "round":
            self._begin(said)
        else:
            raise ValueError(f"there is no event {kind!r}")

    def operations(self) -> Iterator[Op]:
        """What was asked, with what was answered."""
        return (Op(**each) for each in self._invoked)

    def _begin(self, said: dict[str, Any]) -> None:
        if self.start is not None:
            raise ValueError("a second round in one file")
        if said.get("history_version") != HISTORY_VERSION:
            raise ValueError(f"version {said.get('history_version')}, not {HISTORY_VERSION}")
        self.start = RoundStart(**_tuples(said))

    def _invoke(self, said: dict[str, Any]) -> None:
        if said["id"] != len(self._invoked):
            raise ValueError(f"operation {said['id']} where {len(self._invoked)} comes next")
        if not _NEEDED <= said.keys() <= _ASKED:
            raise ValueError(f"not what an operation is asked with: {sorted(said)}")
        said["began_ns"] = said.pop("at_ns")
        self._invoked.append(said)

    def _return(self, said: dict[str, Any]) -> None:
        number = said.pop("id")
        if not 0 <= number < len(self._invoked):
            raise ValueError(f"an answer to operation {number}, which nobody asked for")
        op = self._invoked[number]
        if "outcome" in op:
            raise ValueError("a second answer to one operation")
        if not said.keys() <= _ANSWERED:
            raise ValueError(f"not what an operation is answered with: {sorted(said)}")
        said["ended_ns"] = said.pop("at_ns")
        said["outcome"] = _OUTCOMES[said["outcome"]]
        if "seen" in said:
            key, version, index = said["seen"]
            said["seen"] = Seen(key=key, version=version, index=index)
        if "numbers" in said and "numbers" in op:
            said["numbers"] = {**op["numbers"], **said["numbers"]}
        op.update(said)


def _tuples(said: dict[str, Any]) -> dict[str, Any]:
    """Lists of JSON as the tuples that they were."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in said.items()
    }
