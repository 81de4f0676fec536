"""The cases of the suite, as pytest collects them; nothing is run and no backend is asked."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from untorn_conformance.cases import Case
from untorn_conformance.results import Manifest
from untorn_conformance.verify import SUITE, suite_command, suite_environment

__all__ = ["SUITE", "CollectionError", "cases_of_suite"]


class CollectionError(Exception):
    """The suite could not be collected; the message is the end of what pytest said."""


def cases_of_suite() -> tuple[Case, ...]:
    """Collect the suite, but for its canaries, in a process of its own. Raises CollectionError."""
    with tempfile.TemporaryDirectory(prefix="untorn-cases-") as scratch:
        listed = Path(scratch) / "cases.json"
        options = ("--collect-only", "--case-list", str(listed))
        done = subprocess.run(
            suite_command(*options, scratch=Path(scratch)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=suite_environment(),
            check=False,
        )
        if done.returncode != 0 or not listed.exists():
            said = (done.stdout + done.stderr).strip().splitlines()
            raise CollectionError(f"the suite cannot be collected: {said[-1] if said else 'why?'}")
        cases = Manifest.read_file(listed).cases
    return tuple(case for case in cases if not case.fails_with)
