"""How a gated case fails: each kind of finding is written as a file, and the first one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import pytest
from untorn_conformance import exploring
from untorn_conformance.plugin import TRIAL, Grounds
from untorn_stress import counterexample, timeline
from untorn_stress.explorer import Found


def fail_with(found: Sequence[Found], grounds: Grounds, request: pytest.FixtureRequest) -> NoReturn:
    """Fail the rows that are broken; the last line replays the first finding."""
    grounds.rows = tuple(dict.fromkeys(each.finding.requirement for each in found))
    folder = request.config.stash[TRIAL].findings
    written = [exploring.write_finding(folder, each) for each in found]
    first = found[0]
    replay = counterexample.replay_line(first.token)
    also = ", ".join(path.name for path in written)
    drawn = timeline.render(first.run, replay=replay)
    pytest.fail(f"counterexamples: {also}\n{drawn}", pytrace=False)
