"""The plugin, seen from outside: real runs of pytest on small suites, judged by what they leave."""

from __future__ import annotations

import json
import os
import re
from importlib import resources
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
from untorn_conformance.meta.inner_run import (
    EVERY_OUTCOME,
    OUTCOMES,
    PASSING,
    PLAIN,
    PREAMBLE,
    TORN,
    Ran,
    run_pytest,
)
from untorn_stress import supervise


@pytest.fixture(scope="module", params=["0", "2"])
def every_outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("run")
    is_alone = request.param == "0"
    return run_pytest(folder, "-n", request.param, suite=EVERY_OUTCOME, fresh=is_alone)


# --- outcomes ------------------------------------------------------------------------------------


def test_every_case_lands_in_the_verdict_with_its_outcome(every_outcome: Ran) -> None:
    assert every_outcome.outcomes == OUTCOMES


def test_the_document_is_of_its_schema(every_outcome: Ran) -> None:
    schema = resources.files("untorn_reports").joinpath("schema/verdict.schema.json").read_text()
    jsonschema.validate(every_outcome.document, json.loads(schema))


def test_a_result_says_why(every_outcome: Ran) -> None:
    assert "nothing was published" in every_outcome.detail("P2.fails")
    assert every_outcome.detail("P3.is_unknown") == "the fault never fired"
    assert "no answer of stats in 0.05 s" in every_outcome.detail("P6.passes_its_deadline")
    assert every_outcome.detail("R4.needs_what_is_not_declared") == (
        "capability lease is not declared"
    )
    assert "a broken teardown" in every_outcome.detail("G3.has_a_broken_teardown")


def test_a_pass_rests_on_the_evidence_that_the_case_names(every_outcome: Ran) -> None:
    evidence = every_outcome.requirement("P1")["evidence"]
    assert evidence == [{"kind": "SAMPLED", "detail": "one publish"}]


def test_what_is_unknown_rests_on_nothing(every_outcome: Ran) -> None:
    evidence = every_outcome.requirement("P3")["evidence"]
    assert evidence == [{"kind": "UNTESTED", "detail": "the fault never fired"}]


def test_a_case_counts_for_each_row_that_it_names(every_outcome: Ran) -> None:
    assert every_outcome.requirement("R1")["cases"] == ["P2.fails"]


def test_a_deadline_is_shown_as_a_skip_that_starts_with_unknown(
    tmp_path: Path,
) -> None:
    ran = run_pytest(tmp_path, "-rs", "-k", "deadline", suite=EVERY_OUTCOME)
    assert ran.exit_code == 0
    assert "UNKNOWN: what happened is not known" in ran.text


def test_the_summary_has_the_verdict_and_where_the_report_is(every_outcome: Ran) -> None:
    assert "verdict: invalid" in every_outcome.text
    assert "HARNESS_ERROR G1: G1.is_wrong_itself: KeyError: 'no such name'" in every_outcome.text
    assert "report.html" in every_outcome.text


def test_measurements_are_in_the_verdict_and_in_the_summary(every_outcome: Ran) -> None:
    assert every_outcome.document["measurements"] == [
        {"name": "one publish", "numbers": {"took_s": 0.25}}
    ]
    assert re.search(r"one publish +0\.250", every_outcome.text)


def test_the_provenance_says_what_was_run_where(every_outcome: Ran) -> None:
    origin = every_outcome.document["provenance"]
    assert (origin["backend"], origin["backend_version"]) == ("demo-directory", "1.0")
    assert origin["backend_spec"] == PLAIN
    assert f"--backend={PLAIN}" in origin["command"]
    assert origin["tools"]["pytest"] == pytest.__version__
    assert origin["kernel"] == os.uname().release
    assert origin["uid"] == os.getuid()
    (mount,) = origin["directories"].values()
    assert mount["type"] == origin["file_system"]
    assert {"rw", "ro"} & set(mount["options"])


def test_no_directory_of_any_case_is_left(every_outcome: Ran) -> None:
    assert every_outcome.leftovers == []


def test_a_case_that_failed_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    suite = """
@requires("P1", evidence="none")
def test_P1_leaves_a_worker_behind(farm):
    worker = farm.worker()
    worker.stop()
    Path("left").write_text(f"{worker.pid} {farm.root.parent}")
    assert False

@requires("P2", evidence="none")
def test_P2_finds_nothing():
    pid, folder = Path("left").read_text().split()
    assert not Path("/proc", pid).exists()
    assert not Path(folder).exists()
"""
    ran = run_pytest(tmp_path, suite=suite)
    assert ran.outcomes == {"P1.leaves_a_worker_behind": "FAIL", "P2.finds_nothing": "PASS"}


def test_a_broken_backend_fails_and_its_death_is_called_unasked(tmp_path: Path) -> None:
    suite = """
@requires("P1", evidence="one publish")
def test_P1_whole(farm):
    worker = farm.worker()
    files = farm.files({"frame_00001.png": b"a", "frame_00002.png": b"b"})
    staged = worker.call(Verb.STAGE, key="k", files=files)
    worker.call(Verb.PUBLISH, handle=staged.handle)
    assert len(worker.call(Verb.LOOKUP, key="k").files) == 2

@requires("R6", evidence="one lookup")
def test_R6_survives(farm):
    farm.worker().call(Verb.LOOKUP, key="die")

@requires("P8", evidence="one stage")
def test_P8_unexpected_refusal(farm):
    farm.worker().call(Verb.STAGE, key="k", files=[])

@requires("C1", evidence="a death that the case forgot")
def test_C1_forgets_its_own_kill(farm):
    worker = farm.worker()
    worker.kill()
    worker.call(Verb.STATS)
"""
    ran = run_pytest(tmp_path, suite=suite, backend=TORN)
    assert ran.outcomes == {
        "P1.whole": "FAIL",
        "R6.survives": "FAIL",
        "P8.unexpected_refusal": "FAIL",
        "C1.forgets_its_own_kill": "HARNESS_ERROR",
    }
    assert "unasked: exit code 3" in ran.detail("R6.survives")
    assert "killed by the harness" in ran.detail("C1.forgets_its_own_kill")


# --- what did not run ----------------------------------------------------------------------------

KILLER = """
@requires("P1", evidence="none")
def test_P1_kills_its_own_process(farm):
    worker = farm.worker()
    worker.stop()
    Path("pid").write_text(str(worker.pid))
    os.kill(os.getpid(), signal.SIGKILL)

@requires("P2", evidence="none")
def test_P2_runs_all_the_same(farm):
    farm.worker()
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, int]:
    folder = tmp_path_factory.mktemp("killed")
    ran = run_pytest(folder, "-n", "2", suite=KILLER)
    return ran, int((folder / "pid").read_text())


def test_a_case_whose_process_died_did_not_run_and_the_others_did(killed: tuple[Ran, int]) -> None:
    ran, _ = killed
    assert ran.outcomes == {
        "P1.kills_its_own_process": "NOT_RUN",
        "P2.runs_all_the_same": "PASS",
    }
    assert ran.document["word"] == "invalid"
    assert "NOT_RUN P1: P1.kills_its_own_process" in ran.text


def test_nothing_of_a_dead_process_is_left_not_even_a_stopped_worker(
    killed: tuple[Ran, int],
) -> None:
    ran, pid = killed
    assert ran.leftovers == []
    assert supervise.is_gone(pid)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_case_that_was_never_reached_did_not_run(tmp_path: Path, workers: str) -> None:
    suite = "\n".join(
        f'@requires("P1", evidence="none")\ndef test_P1_n{n}():\n    assert False\n'
        for n in range(20)
    )
    ran = run_pytest(tmp_path, "-x", "-n", workers, suite=suite)
    assert set(ran.outcomes.values()) == {"FAIL", "NOT_RUN"}
    assert ran.document["word"] == "invalid"


def test_a_case_that_a_filter_leaves_out_takes_its_row_s_pass_away(tmp_path: Path) -> None:
    ran = run_pytest(tmp_path, "-k", "not second", suite=PASSING)
    assert ran.outcomes == {"P1.first": "PASS", "G1.third": "PASS", "P1.second": "UNTESTED"}
    assert ran.requirement("P1")["outcome"] == "UNTESTED"


def test_a_file_that_cannot_be_collected_makes_the_run_invalid(tmp_path: Path) -> None:
    (tmp_path / "test_broken.py").write_text("import no_such_module\n")
    ran = run_pytest(tmp_path, "--continue-on-collection-errors", suite=PASSING)
    assert ran.outcomes["collection of test_broken.py"] == "HARNESS_ERROR"
    assert ran.document["word"] == "invalid"


def test_a_row_that_the_contract_does_not_have_cannot_be_collected(tmp_path: Path) -> None:
    suite = '@requires("P99", evidence="none")\ndef test_P99_nothing(): pass'
    ran = run_pytest(tmp_path, suite=suite)
    assert "no such rows of the contract: P99" in ran.text
    assert ran.exit_code == pytest.ExitCode.INTERRUPTED


def test_two_cases_of_one_id_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(PREAMBLE + PASSING)
    ran = run_pytest(tmp_path, suite=PASSING)
    assert ran.exit_code == pytest.ExitCode.USAGE_ERROR
    assert "one case id P1.first" in ran.text
