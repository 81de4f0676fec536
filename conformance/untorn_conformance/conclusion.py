"""The end of a run: judge it, say where it was run, and write it down."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from untorn_conformance import provenance
from untorn_conformance.baseline import Baseline
from untorn_conformance.results import Manifest, expected_cases
from untorn_conformance.trial import Trial
from untorn_conformance.verdict import judge, to_json
from untorn_conformance.wire import to_plain


def conclude(
    trial: Trial, manifest: Manifest, *, command: str, workers: int, directory: Path
) -> dict[str, Any]:
    """Judge the run and return the document ``verdict.json``.

    ``command`` reproduces the run from ``directory``, where it was started.
    """
    hello = trial.greet().hello
    verdict = judge(
        trial.results.all(manifest),
        capabilities=frozenset() if hello is None else hello.capabilities,
        selected=trial.selected,
        expected_cases=expected_cases(manifest.cases),
    )
    origin = {
        **_of_backend(trial),
        "command": command,
        "started_in": str(directory),
        "started_utc": trial.started_utc.isoformat(timespec="seconds"),
        "duration_s": round(time.monotonic() - trial.started_s, 3),
        "workers": workers,
        "require_evidence": trial.require_evidence,
        **_of_baseline(trial.baseline),
        **_of_file_systems(trial),
        **provenance.of_machine(),
    }
    return to_json(verdict, provenance=origin, measurements=trial.results.measurements)


def _of_backend(trial: Trial) -> Mapping[str, object]:
    greeting = trial.greet()
    if greeting.hello is None:
        return {"backend": trial.spec.name, "backend_problem": greeting.problem}
    return {
        "backend": greeting.hello.name,
        "backend_version": greeting.hello.version,
        "backend_spec": trial.spec.name,
        "hello": to_plain(greeting.hello),
    }


def _of_baseline(baseline: Baseline) -> Mapping[str, object]:
    if not baseline.name:
        return {}
    counts = {"deviations": len(baseline.deviations), "exclusions": len(baseline.exclusions)}
    return {"baseline": {"file": baseline.name, **counts}}


def _of_file_systems(trial: Trial) -> Mapping[str, object]:
    mounts = provenance.file_systems(trial.directories)
    return {
        "file_system": ", ".join(dict.fromkeys(mount.type for mount in mounts)),
        "directories": to_plain({mount.path: mount for mount in mounts}),
    }
