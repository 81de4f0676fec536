"""A run of pytest inside a test: a small suite in a folder that no other project owns."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from untorn_conformance.meta import forked

PLAIN = "py:untorn_conformance.meta.demo.directory:DirectoryCache"
TORN = "py:untorn_conformance.meta.demo.torn:TornCache"

PREAMBLE = """
import os, signal
import pytest
from pathlib import Path
from untorn_conformance.backend import Published, Verb
from untorn_conformance.contract import Capability
from untorn_conformance.plugin import requires, unknown
"""

EVERY_OUTCOME = """
@requires("P1", evidence="one publish")
def test_P1_passes(farm, measure):
    worker = farm.worker()
    files = farm.files({"frame_00001.png": b"a", "frame_00002.png": b"b"})
    staged = worker.call(Verb.STAGE, key="k", files=files)
    assert isinstance(worker.call(Verb.PUBLISH, handle=staged.handle), Published)
    measure("one publish", took_s=0.25)

@requires("P2", "R1", evidence="none")
def test_P2_fails(farm):
    assert farm.tree().files(), "nothing was published"

@requires("P3", evidence="none")
def test_P3_is_unknown(farm):
    unknown("the fault never fired")

@requires("P5", evidence="none")
def test_P5_skips_for_no_good_reason(farm):
    pytest.skip("not today")

@requires("P6", evidence="none")
def test_P6_passes_its_deadline(farm):
    worker = farm.worker()
    worker.stop()
    worker.call(Verb.STATS, deadline_s=0.05)

@requires("R4", evidence="none")
def test_R4_needs_what_is_not_declared(farm):
    farm.needs(Capability.LEASE)

@requires("G1", evidence="none")
def test_G1_is_wrong_itself(farm):
    {}["no such name"]

@pytest.fixture
def broken_fixture():
    assert False, "a broken fixture"

@requires("G2", evidence="none")
def test_G2_has_a_broken_fixture(broken_fixture):
    pass

@pytest.fixture
def broken_teardown():
    yield
    raise OSError("a broken teardown")

@requires("G3", evidence="none")
def test_G3_has_a_broken_teardown(broken_teardown):
    pass

@requires("G5", evidence="none")
@pytest.mark.parametrize("how", ["a", "b"])
def test_G5_has_parameters(how):
    pass

def test_that_is_no_case():
    pass
"""

OUTCOMES = {
    "P1.passes": "PASS",
    "P2.fails": "FAIL",
    "P3.is_unknown": "UNKNOWN",
    "P5.skips_for_no_good_reason": "UNKNOWN",
    "P6.passes_its_deadline": "UNKNOWN",
    "R4.needs_what_is_not_declared": "NOT_APPLICABLE",
    "G1.is_wrong_itself": "HARNESS_ERROR",
    "G2.has_a_broken_fixture": "HARNESS_ERROR",
    "G3.has_a_broken_teardown": "HARNESS_ERROR",
    "G5.has_parameters[a]": "PASS",
    "G5.has_parameters[b]": "PASS",
}

PASSING = """
@requires("P1", evidence="nothing at all")
def test_P1_first(farm):
    pass

@requires("P1", "P2", evidence="nothing at all")
def test_P1_second(farm):
    pass

@requires("G1", evidence="nothing at all")
def test_G1_third(farm):
    pass
"""


_LIMIT_S: Final = 600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """A run of pytest that is over; ``document`` is its verdict.json, empty if there is none.

    ``core_s`` are the seconds of processor time that it took, with all its processes.
    """

    exit_code: int
    text: str
    document: dict[str, Any]
    leftovers: list[str]
    core_s: float

    @property
    def outcomes(self) -> dict[str, str]:
        return {case["case"]: case["outcome"] for case in self.document["cases"]}

    def detail(self, name: str) -> str:
        return next(str(c["detail"]) for c in self.document["cases"] if c["case"] == name)

    def requirement(self, name: str) -> dict[str, Any]:
        return next(row for row in self.document["requirements"] if row["id"] == name)


def run_pytest(
    folder: Path,
    *arguments: str,
    suite: str = "",
    backend: str = PLAIN,
    launcher: Sequence[str] = (),
    fresh: bool = False,
    env: Mapping[str, str] | None = None,
) -> Ran:
    """Run the suite with pytest in a process of its own, in a folder that no other project owns.

    ``launcher`` is a program that becomes the command which it is given; ``fresh`` has pytest start
    in an interpreter that has loaded nothing yet. ``env`` is added to the environment.
    """
    trial, runs = folder / "trial", folder / "runs"
    trial.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    options = ["-p", "untorn_conformance.plugin"]
    options += [f"--backend={backend}", f"--dir={trial}", f"--run-dir={runs}", *arguments]
    if suite:
        (folder / "test_suite.py").write_text(PREAMBLE + suite)
        options.append("-pno:hypothesispytest")  # it loads Hypothesis at the end, used or not
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    environment |= env or {}
    environment.pop("PYTEST_ADDOPTS", None)
    ended = forked.run(
        "pytest",
        *options,
        cwd=folder,
        env=environment,
        limit_s=_LIMIT_S,
        launcher=launcher,
        fresh=fresh,
    )
    verdict = runs / "latest" / "verdict.json"
    return Ran(
        exit_code=ended.returncode,
        text=ended.stdout + ended.stderr,
        document=json.loads(verdict.read_text()) if verdict.exists() else {},
        leftovers=os.listdir(trial),
        core_s=ended.core_s,
    )
