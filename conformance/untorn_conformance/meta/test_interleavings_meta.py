"""The suite under the gate, seen from outside: real runs of pytest, judged by what they leave."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from untorn_conformance.meta.inner_run import Ran, run_pytest
from untorn_stress import counterexample
from untorn_stress.gate.availability import probe

SUITE = Path(__file__).resolve().parents[1] / "suite/test_interleavings.py"
NO_GATE = Path(__file__).resolve().parents[3] / "stress/tests/programs/no_gate.py"
STOPPED = SUITE.with_name("test_stopped_workers.py")
PACKED = "py:untorn_conformance.meta.demo.packed:PackedCache"
REFUSING = """
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_conformance.meta.demo.packed import PackedCache

class Refusing(PackedCache):
    def open(self, *, root, env, clock_offset_s):
        raise BackendError(ErrorCode.ROOT_REFUSED, "not this one")
"""
SPECIMEN = "py:untorn_conformance.specimens.after_review:factory"

gated = pytest.mark.skipif(not probe().ok, reason=f"no gate here: {probe().reason}")


def run_suite(
    folder: Path,
    case: str,
    backend: str,
    *more: str,
    launcher: tuple[str, ...] = (),
    suite: Path = SUITE,
) -> Ran:
    """Run one case of the suite, as a project of its own."""
    config = ("-c", str(folder / "pytest.ini"), f"--rootdir={folder}")
    return run_pytest(
        folder, *config, f"{suite}::{case}", *more, backend=backend, launcher=launcher
    )


@pytest.fixture(scope="module")
def on_a_specimen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, Path]:
    folder = tmp_path_factory.mktemp("specimen")
    ran = run_suite(folder, "test_every_schedule_after_a_crash[writer-writer]", SPECIMEN)
    return ran, folder / "runs" / "latest" / "counterexamples"


# --- a cache that races ---------------------------------------------------------------------------


@gated
def test_a_race_fails_the_rows_that_it_breaks_and_no_other(
    on_a_specimen: tuple[Ran, Path],
) -> None:
    ran, _ = on_a_specimen
    failed = [row["id"] for row in ran.document["requirements"] if row["outcome"] == "FAIL"]
    assert (ran.exit_code, failed) == (1, ["P1", "P2"])


@gated
def test_the_last_line_of_a_failure_replays_it(on_a_specimen: tuple[Ran, Path]) -> None:
    ran, counterexamples = on_a_specimen
    (case,) = ran.document["cases"]
    written = {counterexample.read(each).token.encode() for each in counterexamples.iterdir()}
    command, subcommand, token = case["detail"].splitlines()[-1].split()
    assert (command, subcommand, token in written) == ("untorn", "replay", True)
    shown = ran.text.partition("= FAILURES =")[2].partition("= conformance =")[0].splitlines()
    assert shown[-2] == f"untorn replay {token}"


@gated
def test_each_kind_of_counterexample_lands_in_the_run_s_directory_once(
    on_a_specimen: tuple[Ran, Path],
) -> None:
    _, counterexamples = on_a_specimen
    kinds = sorted(
        each.name.partition("-writer-writer-harvest-")[0] for each in counterexamples.iterdir()
    )
    assert kinds == ["P1-in-part", "P2-winners"]


# --- a cache that does not ------------------------------------------------------------------------


@gated
def test_a_pass_says_that_every_schedule_was_made_and_to_which_bound(tmp_path: Path) -> None:
    ran = run_suite(tmp_path, "test_every_schedule[reader-writer]", "reference")
    (case,) = ran.document["cases"]
    evidence = case["evidence"]
    assert (ran.exit_code, case["outcome"], evidence["kind"]) == (0, "PASS", "EXHAUSTIVE")
    told = "reader-writer: every schedule of at most 2 preemptions from empty ("
    assert evidence["detail"].startswith(told)
    assert ran.leftovers == []


# --- a cache whose frames are no files of the root ------------------------------------------------


@gated
@pytest.mark.parametrize(
    "case", ["test_every_schedule[repair]", "test_every_schedule[repair-reader]"]
)
def test_a_tree_that_a_cache_cannot_be_brought_to_is_not_applicable(
    case: str, tmp_path: Path
) -> None:
    ran = run_suite(tmp_path, case, PACKED)
    (judged,) = ran.document["cases"]
    assert (ran.exit_code, judged["outcome"]) == (0, "NOT_APPLICABLE"), ran.text
    assert "the tree 'damaged' cannot be made: the published frame is no file" in judged["detail"]


@gated
def test_the_crash_states_that_can_be_made_are_judged_and_the_others_named(tmp_path: Path) -> None:
    ran = run_suite(tmp_path, "test_every_schedule_after_a_crash[reader-writer]", PACKED)
    (judged,) = ran.document["cases"]
    assert (ran.exit_code, judged["outcome"]) == (0, "PASS"), ran.text
    assert "; not harvested: repair (the published frame is no" in judged["evidence"]["detail"]


@gated
def test_nobody_is_stopped_in_a_tree_that_there_is_not(tmp_path: Path) -> None:
    case = "test_L4_nobody_spins_or_waits_for_a_stopped_worker[repair-A]"
    ran = run_suite(tmp_path, case, PACKED, suite=STOPPED)
    (judged,) = ran.document["cases"]
    assert (ran.exit_code, judged["outcome"]) == (0, "NOT_APPLICABLE"), ran.text


@gated
@pytest.mark.parametrize(
    ("suite", "case"),
    [
        (SUITE, "test_every_schedule[adopt]"),
        (SUITE, "test_every_schedule_after_a_crash[writer-writer]"),
        (STOPPED, "test_L4_nobody_spins_or_waits_for_a_stopped_worker[reader-collector-A]"),
    ],
)
def test_a_cache_that_cannot_be_opened_leaves_the_case_unknown(
    suite: Path, case: str, tmp_path: Path
) -> None:
    (tmp_path / "refusing.py").write_text(REFUSING)
    ran = run_suite(tmp_path, case, "py:refusing:Refusing", suite=suite)
    (judged,) = ran.document["cases"]
    assert (judged["outcome"], "not this one" in judged["detail"]) == ("UNKNOWN", True), ran.text


# --- where there is no gate -----------------------------------------------------------------------


@pytest.mark.parametrize(("more", "exit_code"), [([], 0), (["--require-evidence"], 1)])
def test_a_gate_that_is_refused_is_unknown_with_advice_and_no_evidence(
    tmp_path: Path, more: list[str], exit_code: int
) -> None:
    refusing = (sys.executable, str(NO_GATE), "listener=EPERM")
    ran = run_suite(
        tmp_path, "test_every_schedule[reader-writer]", SPECIMEN, *more, launcher=refusing
    )
    (case,) = ran.document["cases"]
    assert (ran.exit_code, case["outcome"]) == (exit_code, "UNKNOWN")
    assert "a seccomp filter with a listener is refused (EPERM)" in case["detail"]
    assert "--security-opt seccomp=unconfined" in case["detail"]


LOCKLESS = "py:untorn_conformance.meta.demo.directory:DirectoryCache"
RECORD_LOCKED = "py:untorn_conformance.meta.demo.record_locked:RecordLockedCache"
UNTRUSTED = "test_every_schedule[writer-collector-noop]"


@gated
def test_who_asks_for_no_lock_has_not_passed_the_row_of_locks(tmp_path: Path) -> None:
    ran = run_suite(tmp_path, UNTRUSTED, LOCKLESS)
    assert ran.requirement("N1")["outcome"] == "UNTESTED", ran.text
    (case,) = ran.document["cases"]
    assert "nobody asked for a lock" in case["evidence"]["detail"]
    assert "N1" not in case["requirements"]


@gated
def test_who_asks_for_record_locks_is_judged_by_that_row(tmp_path: Path) -> None:
    """The kernel takes them, and nobody can lie about them; the collector trusts its own."""
    ran = run_suite(tmp_path, UNTRUSTED, RECORD_LOCKED)
    assert ran.requirement("N1")["outcome"] == "FAIL", ran.text
