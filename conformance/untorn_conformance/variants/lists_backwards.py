"""The reference on a file system that lists directories the other way round.

So frames are deleted, and staging is reaped, in another order.
"""

from __future__ import annotations

from typing import Final

from untorn import syscalls

from untorn_conformance.backends.reference import Reference

NEAR: Final = frozenset({"G7", "G13", "T3"})

_list_directory = syscalls.list_directory


def factory() -> Reference:
    """The variant, in a process of its own."""
    syscalls.list_directory = _backwards
    return Reference()


def _backwards(fd: int) -> list[str]:
    return sorted(_list_directory(fd), reverse=True)
