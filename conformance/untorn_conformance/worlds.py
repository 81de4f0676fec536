"""What the model of the contract is made of: what was promised, what is there, what is held.

Seconds are those by which the harness made everything older. Real time passes besides, less than
``SLACK_S`` in all, so that no claim rests on less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

SLACK_S: Final = 60.0
"""More real time than one sequence of operations takes; a longer one is not judged."""


class BreachError(Exception):
    """An answer that the contract does not allow: the row that it breaks, and in words how."""

    def __init__(self, requirement: str, message: str) -> None:
        super().__init__(message)
        self.requirement = requirement
        self.message = message


@dataclass(frozen=True, kw_only=True, slots=True)
class Promises:
    """What the backend declares, and what every entry weighs.

    ``weighs``: bytes mean ``st_size``, so that an entry weighs at least its payload, and at most
    half as much again.
    """

    leases: bool
    recency_resolution_s: float
    reap_grace_s: float
    payload_bytes: int
    weighs: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What a writer stages: the names of its files in order, and their SHA-256."""

    writer: str
    files: tuple[str, ...]
    digests: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A published entry; ``serial`` tells it from others of its key.

    Its recency is a time between ``used_from_s`` and ``used_to_s``. ``kept`` is the row by which
    the last collect had to leave it, or "".
    """

    serial: int
    content: Content
    published_s: float
    used_from_s: float
    used_to_s: float
    kept: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Handle:
    """What a worker was handed: an entry, or with ``serial`` 0 its own unpublished work."""

    worker: str
    label: str
    serial: int
    content: Content


World: TypeAlias = tuple[tuple[str, Entry], ...]
"""The entries that are there, by label."""
