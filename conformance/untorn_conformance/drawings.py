"""The counterexamples of a run as its reports show them: the columns of `untorn replay`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from untorn_reports.drawing import Drawing
from untorn_stress import counterexample, timeline
from untorn_stress.counterexample import CounterexampleError

FOLDER: Final = "counterexamples"
_WIDTH: Final = 120
"""Columns of a page on a desk; on a phone it scrolls."""


def drawings_of(run: Path) -> tuple[Drawing, ...]:
    """Draw each counterexample in a run's directory; one that cannot be read says why."""
    paths = sorted((run / FOLDER).glob("*.json"))
    return tuple(drawing_of(path, f"{FOLDER}/{path.name}") for path in paths)


def drawing_of(path: Path, name: str) -> Drawing:
    """Draw a counterexample under a name; one that cannot be read says why."""
    try:
        saved = counterexample.read(path)
    except CounterexampleError as error:
        return Drawing(name=name, problem=f"it cannot be drawn: {error}")
    return Drawing(
        name=name,
        requirements=tuple(dict.fromkeys(each.requirement for each in saved.run.findings)),
        text=timeline.render(saved.run, width=_WIDTH),
        replay=counterexample.replay_line(saved.token),
    )
