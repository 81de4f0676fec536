"""The contract: every requirement that a cache is judged by, read from ``contract.toml``.

``python -m untorn_conformance.contract > CONTRACT.md`` renders the page that people read.
"""

from __future__ import annotations

import sys
import textwrap
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

CONTRACT_VERSION: Final = "1.0"

_LINE_WIDTH = 120


class Level(StrEnum):
    """How binding a requirement is; the words are those of RFC 2119."""

    MUST = "MUST"
    SHOULD = "SHOULD"


class Capability(StrEnum):
    """What a backend may declare; undeclared, the rows that need it do not apply to it."""

    KEY = "key"
    EXTRACT = "extract"
    RENDER = "render"
    TRANSFORM = "transform"
    SLICE = "slice"
    DEDUPE = "dedupe"
    PLANT = "plant"
    SINGLE_FLIGHT = "single-flight"
    LEASE = "lease"
    VERIFY = "verify"
    VIRTUAL_CLOCK = "virtual-clock"
    CONFIG = "config"
    STATS = "stats"
    LOG = "log"
    SHARED_ROOT = "shared-root"
    POWER_SAFE = "power-safe"
    DURABLE = "durable"
    FORK = "fork"


RESERVED: Final = frozenset(
    {
        Capability.POWER_SAFE,
        Capability.DURABLE,
    }
)
"""Capabilities that no case of this release judges: who declares one would be believed unproved."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Requirement:
    """One row of the contract.

    ``needs`` are the capabilities without which the row does not apply. ``untested`` says why no
    case of this release judges the row, or a part of it; such a row is at best judged UNTESTED.
    ``depends_on`` names the rows whose failure makes a pass of this one meaningless.
    """

    id: str
    chapter: str
    level: Level
    text: str
    needs: frozenset[Capability]
    observed_by: str
    brought_about_by: str
    oracle: str
    untested: str
    depends_on: tuple[str, ...]

    def applies_to(self, capabilities: frozenset[Capability]) -> bool:
        """Say whether a backend that declares these capabilities is bound by the row."""
        return self.needs <= capabilities


@dataclass(frozen=True, kw_only=True, slots=True)
class _Chapter:
    title: str
    needs: frozenset[Capability]
    note: str


def _packaged(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _capabilities(names: Iterable[str]) -> frozenset[Capability]:
    return frozenset(map(Capability, names))


def _chapter(row: Mapping[str, Any]) -> _Chapter:
    return _Chapter(
        title=row["title"], needs=_capabilities(row.get("needs", ())), note=row.get("note", "")
    )


def _requirement(name: str, row: Mapping[str, Any], chapter: _Chapter) -> Requirement:
    return Requirement(
        id=name,
        chapter=name[0],
        level=Level(row.get("level", Level.MUST)),
        text=row["text"],
        needs=chapter.needs | _capabilities(row.get("needs", ())),
        observed_by=row["observed_by"],
        brought_about_by=row["brought_about_by"],
        oracle=row["oracle"],
        untested=row.get("untested", ""),
        depends_on=tuple(row.get("depends_on", ())),
    )


_TOML: Final[Mapping[str, Any]] = tomllib.loads(_packaged("contract.toml"))
_CHAPTERS: Final = {letter: _chapter(row) for letter, row in _TOML["chapters"].items()}

CHAPTERS: Final[Mapping[str, str]] = MappingProxyType(
    {letter: chapter.title for letter, chapter in _CHAPTERS.items()}
)
"""The title of each chapter by its letter, in the order of the contract."""

REQUIREMENTS: Final[Mapping[str, Requirement]] = MappingProxyType(
    {
        name: _requirement(name, row, _CHAPTERS[name[0]])
        for name, row in _TOML["requirements"].items()
    }
)
"""Every row by its id, in the order of the contract."""


def select(patterns: Iterable[str]) -> tuple[Requirement, ...]:
    """Choose rows by chapter (``"P"``), id (``"P3"``) or lists of them (``"G1,G2"``).

    The answer is in the order of the contract, each row once; no pattern at all chooses every row.
    Raises ValueError for a name that is neither a chapter nor an id, naming those that are near.
    """
    names = [name.strip() for pattern in patterns for name in pattern.split(",")]
    wanted = set().union(*map(_ids_named, names)) if names else set(REQUIREMENTS)
    return tuple(row for row in REQUIREMENTS.values() if row.id in wanted)


def _ids_named(name: str) -> tuple[str, ...]:
    if name in REQUIREMENTS:
        return (name,)
    in_chapter = tuple(each for each in REQUIREMENTS if each[0] == name[:1].upper())
    if in_chapter and name in CHAPTERS:
        return in_chapter
    near = f"near: {', '.join(in_chapter)}" if in_chapter else f"chapters: {', '.join(CHAPTERS)}"
    raise ValueError(f"the contract has no requirement {name!r}; {near}")


def render_markdown() -> str:
    """Render the whole contract as the Markdown page ``CONTRACT.md``."""
    return "\n".join((_packaged("contract_preamble.md"), *_chapter_lines()))


def _chapter_lines() -> Iterator[str]:
    for letter, chapter in _CHAPTERS.items():
        yield f"## {letter}: {chapter.title}{_brackets(chapter.needs)}\n"
        if chapter.note:
            yield f"{_wrapped(chapter.note)}\n"
        for row in REQUIREMENTS.values():
            if row.chapter == letter:
                yield _row_markdown(row)


def _row_markdown(row: Requirement) -> str:
    how = [
        ("Observed by", row.observed_by),
        ("Brought about by", row.brought_about_by),
        ("Oracle", row.oracle),
        ("Depends on", ", ".join(row.depends_on)),
        ("Untested in this release", row.untested),
    ]
    items = [_wrapped(f"- *{name}:* {text}", indent="  ") for name, text in how if text]
    heading = f"### {row.id} {row.level}{_brackets(row.needs)}"
    return "\n".join((heading, "", _wrapped(row.text), "", *items, ""))


def _brackets(needs: frozenset[Capability]) -> str:
    """Name the capabilities as the preamble does, in the order of their declaration above."""
    return "".join(f" [{capability}]" for capability in Capability if capability in needs)


def _wrapped(text: str, *, indent: str = "") -> str:
    return textwrap.fill(
        text,
        _LINE_WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


if __name__ == "__main__":
    sys.stdout.write(render_markdown())
