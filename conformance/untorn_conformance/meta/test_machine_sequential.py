"""The sequential machine on caches with one bug each: found by the row, and made short."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from untorn_conformance.backend import Verb
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_conformance.meta.inner_run import run_pytest
from untorn_conformance.profiles import PROFILES, Wheel
from untorn_conformance.suite import test_machine_sequential as case
from untorn_conformance.suite.hunting import Hunt
from untorn_conformance.suite.sequences import Act, Move, Stage, Told, owing
from untorn_conformance.worlds import BreachError

SUITE = Path(case.__file__)
NO_LEASE = "py:untorn_conformance.mutants.no_lease:factory"
REVIEWED = "py:untorn_conformance.specimens.after_review:factory"


@pytest.mark.parametrize(("backend", "rows"), [(NO_LEASE, {"R4"}), (REVIEWED, {"R5", "G4"})])
def test_a_bug_is_found_by_its_row_and_told_in_moves(
    tmp_path: Path, backend: str, rows: set[str]
) -> None:
    config = ("-c", str(tmp_path / "pytest.ini"), f"--rootdir={tmp_path}")
    ran = run_pytest(tmp_path, *config, str(SUITE), "--machine-seed", "1", backend=backend)
    (judged,) = ran.document["cases"]
    assert (ran.exit_code, judged["outcome"]) == (1, "FAIL"), ran.text
    failed = {row["id"] for row in ran.document["requirements"] if row["outcome"] == "FAIL"}
    assert failed <= rows
    *lines, told = judged["detail"].splitlines()
    assert told.partition(":")[0] in failed
    assert sum(" publish " in line for line in lines) <= 4, judged["detail"]
    (written,) = (tmp_path / "runs" / "latest" / "counterexamples").iterdir()
    assert written.read_text().splitlines()[-1] == told
    assert (judged["evidence"]["kind"], "seed 1" in judged["evidence"]["detail"]) == (
        "SAMPLED",
        True,
    )


# --- shortening -----------------------------------------------------------------------------------


class Wanting(Stage):
    """A stage that breaks something once it has been asked to look each of these labels up."""

    def __init__(self, wanted: str) -> None:
        self.wanted = wanted
        self.played = 0

    def play(self, sequence: tuple[Move, ...]) -> Told | None:
        self.played += 1
        labels = "".join(each.label for each in sequence)
        if not set(self.wanted) <= set(labels):
            return None
        moves = max(labels.index(each) for each in self.wanted) + 1
        return Told(breach=BreachError("R2", ""), moves=moves, lines=())


def looks(labels: str) -> tuple[Move, ...]:
    return tuple(Move(act=Act.LOOK, worker=0, label=each, pick=0) for each in labels)


def hunt(shrink_s: float) -> Hunt[tuple[Move, ...], Told]:
    profile = replace(PROFILES["dev"], shrink_s=shrink_s)
    return Hunt(Wheel(profile=profile, seed=1), clock=lambda: 0.0)


@pytest.mark.parametrize("labels", ["abc", "cccabcc", "ccacccccbcc", "ab", "ba" * 8])
def test_what_a_breach_does_not_need_is_left_out(labels: str) -> None:
    stage = Wanting("ab")
    told = stage.play(looks(labels))
    assert told is not None
    assert case.shortened(hunt(1), stage, looks(labels), told).moves == 2


def test_nothing_is_played_when_the_time_is_spent() -> None:
    stage = Wanting("ab")
    told = stage.play(looks("cccabc"))
    assert told is not None
    assert case.shortened(hunt(0), stage, looks("cccabc"), told) is told
    assert stage.played == 1


def test_a_passed_deadline_is_no_breach_and_leaves_the_case_unknown(
    tmp_path: Path,
) -> None:
    (tmp_path / "slow.py").write_text(
        "import time\n"
        "from untorn_conformance.meta.demo.directory import DirectoryCache\n"
        "class Slow(DirectoryCache):\n"
        "    def lookup(self, *, key):\n"
        "        time.sleep(3600)\n"
    )
    config = ("-c", str(tmp_path / "pytest.ini"), f"--rootdir={tmp_path}")
    patch = "import untorn_stress.worker as w\nw.Worker.call.__kwdefaults__['deadline_s'] = 2.0\n"
    (tmp_path / "conftest.py").write_text(patch)
    ran = run_pytest(tmp_path, *config, str(SUITE), "-p", "conftest", backend="py:slow:Slow")
    (judged,) = ran.document["cases"]
    assert (judged["outcome"], "no answer of lookup" in judged["detail"]) == ("UNKNOWN", True)


def test_an_error_in_the_place_of_an_answer_breaks_what_the_verb_owes() -> None:
    with pytest.raises(BreachError) as breach, owing(Verb.LOOKUP):
        raise BackendError(ErrorCode.INTERNAL, "oh")
    assert breach.value.requirement == "R6"
    with pytest.raises(BackendError), owing(Verb.LOOKUP):
        raise BackendError(ErrorCode.DEADLINE, "late")
