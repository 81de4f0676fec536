"""Asking for an exploration or a replay: all as it comes, but for what a test is about."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from untorn_conformance.done import Done
from untorn_conformance.exploring import explore_command
from untorn_conformance.replaying import replay_command
from untorn_stress import counterexample, timeline
from untorn_stress.token import Token

FIRST = "py:untorn_conformance.specimens.first_posted:factory"
REVIEWED = "py:untorn_conformance.specimens.after_review:factory"
DRAW = partial(timeline.render, width=150)


def explore(backend: str, out: Path, *scenarios: str, runs: int | None = None, **how: Any) -> Done:
    asked: dict[str, Any] = {
        "tree": None,
        "scheduler": "dfs",
        "preemptions": None,
        "budget_s": None,
        "seed": 0,
        "grain": "metadata",
        **how,
    }
    return explore_command(
        backend=backend,
        scenarios=scenarios,
        budget_runs=runs,
        out=out,
        draw=DRAW,
        progress=lambda _line: None,
        **asked,
    )


def replay(token: Token, *, times: int = 1, file: Path | None = None, backend: str = "") -> Done:
    return replay_command(
        token=token,
        saved=None if file is None else counterexample.read(file),
        backend=backend or None,
        times=times,
        draw=DRAW,
        progress=lambda _line: None,
    )
