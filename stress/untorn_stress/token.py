"""A schedule as one word: in a shell it replays a run, in a test it is a regression.

    u1.writer-writer.harvest-1a2b3c4d.31A-12B.metadata.real.7.WyJyZW...Il0.9f3c01aa
    |  scenario      tree             |       grain    locks | backend,    checksum
    version                           schedule            seed identity, bound

Rule 1: a token holds no character that a shell, a URL or a double click in a terminal treats as
        special: letters, digits and ``.-_+``. What a person may want to read stays legible; the
        backend's spec and identity and the bound, which may hold any text, are base64url of JSON.
Rule 2: ``.`` separates fields and ``-`` the runs of a schedule; neither occurs inside one. In a
        schedule ``_`` stands for the ``!`` of a fault (``1A_EIO``); any other character is written
        ``+XX``, a byte of its UTF-8.
Rule 3: one value has one token. Whatever decodes encodes to the same text again.
Rule 4: the checksum covers all that precedes it, so that a mistyped token is told from a foreign
        one before any process is started. It is CRC-32: it guards against accidents, not malice.

Source: Shuttle (AWS), whose schedules are strings for pasting; RFC 4648 section 5 (base64url).
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from untorn_stress.grain import Grain

VERSION: Final = 1
CHOICES_MAX: Final = 1_000_000
"""More steps than any run has; a token that promises more would only fill the memory."""

_PREFIX: Final = f"u{VERSION}"
_FIELDS: Final = 9
_CHECKSUM_DIGITS: Final = 8
_INTEGER_MAX: Final = 2**64 - 1
_QUOTED_CHARACTERS: Final = 60

_LABEL: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*(![A-Za-z0-9][A-Za-z0-9_.:=,@/+]*)?")
_RUN: Final = re.compile(r"([1-9][0-9]{0,6})(.+)")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,19}")
_ALPHABET: Final = re.compile(r"[A-Za-z0-9._+-]+")
_ANY_VERSION: Final = re.compile(r"u([0-9]+)\.")
_ESCAPE: Final = re.compile(r"\+([0-9A-F]{2})")
_NO_CHOICES: Final = "0"


class TokenError(ValueError):
    """A text is not a token, or not one for here; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """All that it takes to make one run again.

    ``backend`` is the text that ``--backend`` was given, ``identity`` the NAME@VERSION that the
    backend answered to ``hello``. ``tree`` names the initial state. ``locks`` is ``real`` or what
    takes their place (``noop``, ``ENOLCK``). ``bound`` is the number of preemptions, or the
    scheduler's own words (``pct d=3``). ``choices`` are the labels chosen, in order.

    Raises TokenError for a value that no run can have.
    """

    backend: str
    identity: str
    scenario: str
    tree: str
    grain: Grain = Grain.METADATA
    locks: str = "real"
    seed: int = 0
    bound: int | str
    choices: tuple[str, ...]

    def __post_init__(self) -> None:
        named = {"scenario": "a scenario", "tree": "a tree", "locks": "a kind of locks"}
        for name, what in named.items():
            if not _NAME.fullmatch(getattr(self, name)):
                raise TokenError(f"{getattr(self, name)!r} cannot be the name of {what}")
        for name in ("backend", "identity"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise TokenError(f"{getattr(self, name)!r} cannot be the {name} of a token")
        if self.grain not in list(Grain):
            raise TokenError(f"there is no grain {self.grain!r}, only {' and '.join(Grain)}")
        if not _is_natural(self.seed):
            raise TokenError(f"a seed is a number from 0 to 2**64 - 1, not {self.seed!r}")
        if not _is_natural(self.bound) and not (isinstance(self.bound, str) and self.bound):
            raise TokenError(f"a bound is a number of preemptions or words, not {self.bound!r}")
        _check_labels(self.choices)

    def encode(self) -> str:
        """Write the token as one word; ``decode`` is its inverse."""
        rest = json.dumps([self.backend, self.identity, self.bound], separators=(",", ":"))
        fields = (
            _PREFIX,
            self.scenario,
            self.tree,
            _escape(schedule_text(self.choices)),
            self.grain,
            self.locks,
            str(self.seed),
            base64.urlsafe_b64encode(rest.encode("ascii")).decode("ascii").rstrip("="),
        )
        body = ".".join(fields)
        return f"{body}.{_checksum(body)}"

    @classmethod
    def decode(cls, text: str) -> Token:
        """Read a token; blanks around it are ignored. Raises TokenError."""
        word = text.strip()
        fields = _fields(word)
        try:
            token = _of_fields(fields)
        except (TokenError, ValueError) as error:
            raise TokenError(f"{_quoted(word)} describes no run: {error}") from error
        if token.encode() != word:
            raise TokenError(f"{_quoted(word)} is not in the form that untorn writes; {_COPY}")
        return token


def schedule_text(labels: Iterable[str]) -> str:
    """Write choices as runs of equal labels: ``31A-12B-1A!EIO``; no choice at all is ``0``."""
    runs = [f"{len(list(run))}{label}" for label, run in itertools.groupby(labels)]
    return "-".join(runs) or _NO_CHOICES


def parse_schedule(text: str) -> tuple[str, ...]:
    """Read what ``schedule_text`` wrote, or a person did. Raises TokenError."""
    if text == _NO_CHOICES:
        return ()
    labels: list[str] = []
    for run in text.split("-"):
        found = _RUN.fullmatch(run)
        if not found or not _LABEL.fullmatch(found[2]):
            raise TokenError(
                f"{_quoted(run)} in a schedule is no count and actor; write 31A-12B-1A!EIO"
            )
        if len(labels) + int(found[1]) > CHOICES_MAX:
            raise TokenError(f"the schedule has more than {CHOICES_MAX} choices")
        labels += [found[2]] * int(found[1])
    return tuple(labels)


def check_fits(token: Token, *, spec: str, identity: str) -> None:
    """Refuse a token that was made with another backend, or with another version of it.

    ``spec`` and ``identity`` are those of the backend at hand. Two commands (``cmd:``) are the same
    program if it says so itself, wherever it is installed; a named or hosted backend *is* its spec:
    a mutant calls itself what the reference does. Raises TokenError.
    """
    name, _, version = token.identity.rpartition("@")
    name_here, _, version_here = identity.rpartition("@")
    moved = spec.startswith("cmd:") and token.backend.startswith("cmd:")
    if name != name_here or (spec != token.backend and not moved):
        raise TokenError(
            f"this token was made with another backend, {name} (--backend {token.backend!r}), "
            f"not with {name_here} (--backend {spec!r}); replay it with the one that it names"
        )
    if version != version_here:
        raise TokenError(
            f"this token was made with {name} {version}, and this is {version_here}: its calls may "
            f"be others; install {version}, or run `untorn explore` to look again"
        )


_COPY: Final = "copy it again from the report that printed it"


def _fields(word: str) -> list[str]:
    """Split a token whose checksum is right, or say in what way the text is none."""
    version = _ANY_VERSION.match(word)
    if not version:
        raise TokenError(f"{_quoted(word)} is no token; a token starts with {_PREFIX}.")
    if version[1] != str(VERSION):
        raise TokenError(
            f"{_quoted(word)} is a token of version {version[1]}, and this untorn reads "
            f"{_PREFIX}; replay it with the untorn that made it"
        )
    if any(letter.isspace() for letter in word):
        raise TokenError(f"{_quoted(word)} is broken by a blank; paste the token as one word")
    fields = word.split(".")
    if len(fields) < _FIELDS or (
        len(fields) == _FIELDS and len(fields[-1]) < _CHECKSUM_DIGITS and _ALPHABET.fullmatch(word)
    ):
        raise TokenError(f"{_quoted(word)} is cut short; {_COPY}")
    body, _, checksum = word.rpartition(".")
    if not _ALPHABET.fullmatch(word) or len(fields) > _FIELDS or checksum != _checksum(body):
        raise TokenError(f"{_quoted(word)} is damaged: its checksum is not right; {_COPY}")
    return fields


def _of_fields(fields: list[str]) -> Token:
    _, scenario, tree, schedule, grain, locks, seed, rest, _ = fields
    if not _NUMBER.fullmatch(seed):
        raise TokenError(f"a seed is a number, not {_quoted(seed)}")
    backend, identity, bound = _rest(rest)
    return Token(
        backend=backend,
        identity=identity,
        scenario=scenario,
        tree=tree,
        grain=Grain(grain),
        locks=locks,
        seed=int(seed),
        bound=bound,
        choices=parse_schedule(_unescape(schedule)),
    )


def _rest(text: str) -> tuple[Any, Any, Any]:
    """Read the field that holds backend, identity and bound; Token judges their types."""
    padded = text + "=" * (-len(text) % 4)
    try:
        values = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise TokenError("its backend cannot be read") from error
    if not isinstance(values, list) or len(values) != len(("backend", "identity", "bound")):
        raise TokenError("its backend, identity and bound are not all there")
    return values[0], values[1], values[2]


def _check_labels(choices: tuple[str, ...]) -> None:
    if len(choices) > CHOICES_MAX:
        raise TokenError(f"a token holds at most {CHOICES_MAX} choices, not {len(choices)}")
    for label in dict.fromkeys(choices):
        if not _LABEL.fullmatch(label):
            raise TokenError(f"{label!r} is no choice; a choice is an actor or actor!fault")


def _is_natural(value: object) -> bool:
    return type(value) is int and 0 <= value <= _INTEGER_MAX


def _escape(schedule: str) -> str:
    """Write ``!`` as ``_`` and what is no letter, digit or ``-`` as ``+XX``."""
    marked = re.sub(r"[^A-Za-z0-9!-]", lambda found: f"+{ord(found[0]):02X}", schedule)
    return marked.replace("!", "_")


def _unescape(field: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), field.replace("_", "!"))


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode('utf-8', 'surrogatepass')):0{_CHECKSUM_DIGITS}x}"


def _quoted(text: str) -> str:
    """Quote a text that a person gave us: printable, and no longer than a line."""
    if len(text) <= _QUOTED_CHARACTERS:
        return ascii(text)
    half = _QUOTED_CHARACTERS // 2
    return ascii(f"{text[:half]}...{text[-half:]}")
