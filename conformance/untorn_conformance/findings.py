"""How a gated case ends: with findings, drawn and written; without an answer; or it goes on.

Rule 1: what was found counts against the rows that it breaks, whatever the case was about; where
        the case brings about just what a row speaks of, against that row besides.
Rule 2: of each kind the first is shown: other trees show the same.
Rule 3: a doubt is no finding, and no pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NoReturn

import pytest
from untorn_stress import counterexample, timeline
from untorn_stress.explorer import Found

from untorn_conformance import exploring
from untorn_conformance.plugin import TRIAL, Grounds, unknown


def settle(
    found: Iterable[Found],
    doubts: Iterable[str],
    grounds: Grounds,
    request: pytest.FixtureRequest,
    besides: tuple[str, ...] = (),
) -> None:
    """Fail with the first finding, or say UNKNOWN; nothing where there is neither.

    ``besides`` are rows that any finding of this case breaks, too.
    """
    kinds: dict[tuple[str, str], Found] = {}
    for each in found:
        kinds.setdefault((each.finding.requirement, each.finding.rule), each)
    if kinds:
        fail_with(list(kinds.values()), grounds, request, besides)
    if said := list(dict.fromkeys(filter(None, doubts))):
        unknown("; ".join(said))


def fail_with(
    found: Sequence[Found],
    grounds: Grounds,
    request: pytest.FixtureRequest,
    besides: tuple[str, ...] = (),
) -> NoReturn:
    """Write each finding as a file, and fail the rows that are broken; the first is drawn."""
    broken = [each.finding.requirement for each in found]
    grounds.rows = tuple(dict.fromkeys((*broken, *besides)))
    folder = request.config.stash[TRIAL].findings
    written = [exploring.write_finding(folder, each) for each in found]
    drawn = timeline.render(found[0].run, replay=counterexample.replay_line(found[0].token))
    also = ", ".join(path.name for path in written)
    pytest.fail(f"counterexamples: {also}\n{drawn}", pytrace=False)
