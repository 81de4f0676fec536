"""Names in canonical form: random parts numbered by first appearance, so that runs can be compared.

Rule 1: what the harness names (keys, frames, the names of the initial tree) stays as it is.
Rule 2: a part that looks like a word, a small number, or a word with a number stays as well.
Rule 3: a part that looks drawn (see ``_SHAPES``), and a process id that we were told of, becomes
        ``{1}``, ``{2}``, ... by first appearance in the run; a text keeps its number.
Rule 4: within a run two names are canonically equal if and only if they are literally equal.

Limit: looks can deceive. Of ``mkdtemp(prefix="x-")`` one name in eight has no digit where it would
show, and is taken for a word; a fixed name such as ``yuv420p`` is taken for drawn unless Rule 1
covers it. Either way Rule 4 holds; what suffers is the comparison of different runs.

Sources: Lib/tempfile.py (8 of [a-z0-9_]), Lib/secrets.py (token_hex, token_urlsafe), RFC 9562.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

_PART: Final = re.compile(r"[0-9A-Za-z]+")
_DIGITS: Final = re.compile(r"[0-9]+")
_MIN_DRAWN: Final = 6
_MIN_BARE_PID: Final = 1000  # A smaller number inside a word says nothing: the 264 of h264.
_MOST_REMEMBERED: Final = 20_000

_PLAIN: Final = re.compile(
    r"""
    (?: [a-z]+ | [A-Z]+ | [A-Z]?[a-z]+(?:[A-Z][a-z]{2,})* )  # gc, TAG, CacheDir,
        [0-9]{0,7}                                           # v1, sha256, frame00001
    | [0-9]{1,7}                                             # 42, 00001
    | 000[0-9]*                                              # 000000000001
    | [0-9]{1,4}[a-z]{1,2}                                   # 1080p, 9th
    """,
    re.VERBOSE,
)
_HEX: Final = re.compile(r"(?=.*[0-9])(?=.*[A-Fa-f])(?:[0-9a-f]{6,}|[0-9A-F]{6,})")


class _Shape(NamedTuple):
    """How some generator's names look. What it drew is the pattern's group.

    ``sure``: the pattern says enough; else one part at least must not be plain.
    """

    pattern: re.Pattern[str]
    sure: bool


_SHAPES: Final = (
    # uuid.uuid4(), also /proc/sys/kernel/random/boot_id
    _Shape(
        re.compile(
            r"(?<![0-9A-Za-z])([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})(?![0-9A-Za-z])"
        ),
        sure=True,
    ),
    # tempfile, with its own prefix; one in twelve has no digit at all
    _Shape(re.compile(r"(?<![0-9A-Za-z])tmp([a-z0-9_]{8})(?![0-9A-Za-z_])"), sure=True),
    # tempfile, with another prefix
    _Shape(
        re.compile(r"(?:(?<![0-9A-Za-z])|(?<=_))([a-z0-9_]{8})(?![0-9A-Za-z_])"),
        sure=False,
    ),
    # secrets.token_urlsafe() of 32 bytes (its default) and of 16
    _Shape(
        re.compile(
            r"(?<![0-9A-Za-z])"
            r"((?=[\w-]*[A-Z])(?=[\w-]*[a-z])(?=[\w-]*[0-9])[0-9A-Za-z_-]{43}|"
            r"(?=[\w-]*[A-Z])(?=[\w-]*[a-z])(?=[\w-]*[0-9])[0-9A-Za-z_-]{22})"
            r"(?![0-9A-Za-z_-])",
            re.ASCII,
        ),
        sure=False,
    ),
    # .tmpXXXXXX of the tempfile crate: letters of both cases and digits
    _Shape(re.compile(r"(?<![0-9A-Za-z])tmp([0-9A-Za-z]{6,})(?![0-9A-Za-z])"), sure=False),
)

Pieces = tuple[str, ...]
"""A component cut in pieces: what stays and what was drawn, in turn; the first and last stay."""


@dataclass(slots=True)
class _Looks:
    """What the stable words make of components; shared by all runs that have the same words."""

    stable: frozenset[str]
    remembered: dict[str, Pieces] = field(default_factory=dict)

    def pieces(self, component: str) -> Pieces:
        known = self.remembered.get(component)
        if known is None:
            if len(self.remembered) >= _MOST_REMEMBERED:
                self.remembered.clear()
            known = self.remembered[component] = self._cut(component)
        return known

    def is_plain(self, part: str) -> bool:
        if part in self.stable:
            return True
        return _PLAIN.fullmatch(part) is not None and _HEX.fullmatch(part) is None

    def _cut(self, component: str) -> Pieces:
        spans: list[tuple[int, int]] = []
        for start, end in self._drawn(component):
            if all(end <= taken[0] or taken[1] <= start for taken in spans):
                spans.append((start, end))
        return _cut_at(component, sorted(spans))

    def _drawn(self, component: str) -> Iterator[tuple[int, int]]:
        """Yield the spans that look drawn, the surest shape first."""
        for shape in _SHAPES:
            for match in shape.pattern.finditer(component):
                start, end = match.span(1)
                parts = [
                    part.group()
                    for part in _PART.finditer(component)
                    if part.start() < end and start < part.end()
                ]
                if parts and all(part in self.stable for part in parts):
                    continue
                if shape.sure or not all(self.is_plain(part) for part in parts):
                    yield start, end
        for match in _PART.finditer(component):
            if len(match.group()) >= _MIN_DRAWN and not self.is_plain(match.group()):
                yield match.span()


class Names:
    """The canonical names of one run.

    ``stable`` are words of the harness: keys, frame names, whole paths of the initial tree. Each of
    their alphanumeric parts stays wherever it occurs.
    """

    __slots__ = ("_canonical", "_looks", "_numbers", "_pids")

    def __init__(self, stable: Iterable[str] = ()) -> None:
        self._start(_Looks(frozenset(part for word in stable for part in _PART.findall(word))))

    def fresh(self) -> Names:
        """Return another run's names: the same stable words, nothing seen, no process known."""
        other = Names.__new__(Names)
        other._start(self._looks)
        return other

    def pid(self, worker: str, pid: int) -> None:
        """Learn that ``pid`` is a process of ``worker``; its number in a name counts as drawn.

        Below 1000 it only counts as a part of its own (``lock.42``, not ``h42``).
        """
        self._pids[str(pid)] = worker
        self._canonical.clear()

    def canonical(self, path: str) -> str:
        """Return the path with its drawn parts numbered. A brace of the path itself is doubled."""
        known = self._canonical.get(path)
        if known is None:
            known = "/".join(self._number(self.pieces(part)) for part in path.split("/"))
            self._canonical[path] = known
        return known

    def pieces(self, component: str) -> Pieces:
        """Cut one component of a path in what stays and what was drawn, in turn."""
        pieces = self._looks.pieces(component)
        return self._cut_pids(pieces) if self._pids else pieces

    def legend(self) -> dict[str, str]:
        """Return what the numbers stand for: ``{"{1}": "ab3k_9xz", "{2}": "4711, a pid of A"}``."""
        return {
            f"{{{number}}}": f"{text}, a pid of {self._pids[text]}" if text in self._pids else text
            for text, number in self._numbers.items()
        }

    def _start(self, looks: _Looks) -> None:
        self._looks = looks
        self._numbers: dict[str, int] = {}
        self._pids: dict[str, str] = {}
        self._canonical: dict[str, str] = {}

    def _number(self, pieces: Pieces) -> str:
        named = []
        for place, piece in enumerate(pieces):
            if place % 2:
                number = self._numbers.setdefault(piece, len(self._numbers) + 1)
                named.append(f"{{{number}}}")
            else:
                named.append(piece.replace("{", "{{"))
        return "".join(named)

    def _cut_pids(self, pieces: Pieces) -> Pieces:
        cut: list[str] = []
        for place, piece in enumerate(pieces):
            cut += (piece,) if place % 2 else _cut_at(piece, list(self._pid_spans(piece)))
        return tuple(cut)

    def _pid_spans(self, text: str) -> Iterator[tuple[int, int]]:
        for part in _PART.finditer(text):
            if part.group() in self._looks.stable:
                continue
            for digits in _DIGITS.finditer(part.group()):
                number = digits.group()
                bare = number == part.group() or int(number) >= _MIN_BARE_PID
                if number in self._pids and bare:
                    yield part.start() + digits.start(), part.start() + digits.end()


def _cut_at(text: str, spans: list[tuple[int, int]]) -> Pieces:
    edges = [0, *(edge for span in spans for edge in span), len(text)]
    return tuple(text[start:end] for start, end in itertools.pairwise(edges))
