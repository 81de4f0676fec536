"""K5 is unknown, and no pass, of a cache whose conversions cannot be told apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from untorn_conformance.meta.inner_run import run_pytest
from untorn_conformance.meta.killing import SUITE

WHY = {
    "Nameless": "its hello names no transforms",
    "Idle": "gives the frames of None: nobody could mix them up",
}


@pytest.mark.parametrize("name", WHY)
def test_conversions_that_cannot_be_told_apart_are_unknown(tmp_path: Path, name: str) -> None:
    ran = run_pytest(
        tmp_path,
        "--import-mode=importlib",
        str(SUITE / "test_transforms.py"),
        backend=f"py:untorn_conformance.meta.demo.converting:{name}",
    )
    assert ran.outcomes
    assert set(ran.outcomes.values()) == {"UNKNOWN"}
    assert all(WHY[name] in ran.detail(case) for case in ran.outcomes)
    assert ran.requirement("K5")["outcome"] == "UNKNOWN"
