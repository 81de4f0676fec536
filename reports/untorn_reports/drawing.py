"""A counterexample as a report shows it: drawn by whoever can read it, in columns of plain text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawing:
    """One counterexample.

    ``name`` is its file in the run's directory, ``requirements`` the rows that it breaks, ``text``
    the run in columns of fixed width, ``replay`` the command that makes it again; both may be empty
    where ``problem`` says why.
    """

    name: str
    requirements: tuple[str, ...] = ()
    text: str = ""
    replay: str = ""
    problem: str = ""
