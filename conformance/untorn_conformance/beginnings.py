"""Where gated cases begin: a tree, or the outcome that says why there is none.

Rule 1: a tree that this backend's cache cannot be brought into is not applicable.
Rule 2: a backend that gets out of hand while its tree is made leaves the case unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from untorn_stress.explorer import OUT_OF_HAND
from untorn_stress.laboratory import Laboratory, TreeUnavailableError
from untorn_stress.start import Start

from untorn_conformance.cases import not_applicable, unknown


def natural(laboratory: Laboratory, tree: str) -> Start:
    """The natural tree of that name."""
    with outcomes(f"the tree {tree!r} cannot be made"):
        return laboratory.natural(tree)


def crash_states(laboratory: Laboratory) -> list[Start]:
    """All that a crash can leave; at least one."""
    with outcomes("no crash state can be harvested"):
        starts = list(laboratory.harvest().values())
    return starts or not_applicable(f"no crash state differs: {not_harvested(laboratory)}")


def not_harvested(laboratory: Laboratory) -> str:
    """Whose crash states could not be made and why, or ""."""
    return ", ".join(f"{name} ({why})" for name, why in laboratory.not_harvested.items())


@contextmanager
def outcomes(problem: str) -> Iterator[None]:
    """End the case where a tree cannot be made."""
    try:
        yield
    except TreeUnavailableError as error:
        not_applicable(f"{problem}: {error}")
    except OUT_OF_HAND as error:
        unknown(f"{problem}: {error}")
