"""The plugin, seen from outside: real runs of pytest on small suites, judged by what they leave."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from untorn_stress import supervise

CHECKOUT = Path(__file__).parents[3]
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """A run of pytest that is over; ``document`` is its verdict.json, empty if there is none."""

    exit_code: int
    text: str
    document: dict[str, Any]
    leftovers: list[str]

    @property
    def outcomes(self) -> dict[str, str]:
        return {case["case"]: case["outcome"] for case in self.document["cases"]}

    def detail(self, name: str) -> str:
        return next(str(c["detail"]) for c in self.document["cases"] if c["case"] == name)

    def requirement(self, name: str) -> dict[str, Any]:
        return next(row for row in self.document["requirements"] if row["id"] == name)


def run_pytest(folder: Path, *arguments: str, suite: str = "", backend: str = PLAIN) -> Ran:
    """Run the suite with pytest in a process of its own, in a folder that no other project owns."""
    trial, runs = folder / "trial", folder / "runs"
    trial.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    if suite:
        (folder / "test_suite.py").write_text(PREAMBLE + suite)
    command = [sys.executable, "-m", "pytest", "-p", "untorn_conformance.plugin"]
    command += [f"--backend={backend}", f"--dir={trial}", f"--run-dir={runs}", *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    environment.pop("PYTEST_ADDOPTS", None)
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    verdict = runs / "latest" / "verdict.json"
    return Ran(
        exit_code=ended.returncode,
        text=ended.stdout + ended.stderr,
        document=json.loads(verdict.read_text()) if verdict.exists() else {},
        leftovers=os.listdir(trial),
    )


@pytest.fixture(scope="module", params=["0", "2"])
def every_outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("run")
    return run_pytest(folder, "-n", request.param, suite=EVERY_OUTCOME)


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


# --- options -------------------------------------------------------------------------------------


def test_an_unknown_alone_does_not_fail_the_run(tmp_path: Path) -> None:
    ran = run_pytest(tmp_path, "-k", "unknown", suite=EVERY_OUTCOME)
    assert ran.exit_code == 0


@pytest.mark.parametrize("name", ["is_unknown", "no_good_reason", "deadline"])
def test_under_require_evidence_an_unknown_fails_the_run_and_stays_unknown(
    tmp_path: Path, name: str
) -> None:
    ran = run_pytest(tmp_path, "--require-evidence", "-k", name, suite=EVERY_OUTCOME)
    assert ran.exit_code == pytest.ExitCode.TESTS_FAILED
    assert "UNKNOWN" in ran.outcomes.values()
    assert "FAIL" not in ran.outcomes.values()


def test_under_require_evidence_what_is_untested_or_does_not_apply_fails_nothing(
    tmp_path: Path,
) -> None:
    ran = run_pytest(tmp_path, "--require-evidence", "-k", "declared", suite=EVERY_OUTCOME)
    assert ran.exit_code == 0


@pytest.mark.parametrize("workers", ["0", "2"])
def test_req_runs_only_the_cases_that_serve_the_rows(tmp_path: Path, workers: str) -> None:
    ran = run_pytest(tmp_path, "--req", "P2", "-n", workers, suite=PASSING)
    assert ran.outcomes == {"P1.second": "PASS"}
    assert [row["id"] for row in ran.document["requirements"]] == ["P2"]
    assert ran.document["word"] == "partial"


def test_req_may_be_repeated(tmp_path: Path) -> None:
    ran = run_pytest(tmp_path, "--req", "P2", "--req", "G", suite=PASSING)
    assert set(ran.outcomes) == {"P1.second", "G1.third"}


def test_req_that_no_case_serves_is_an_invalid_run_and_no_silence(tmp_path: Path) -> None:
    ran = run_pytest(tmp_path, "--req", "E1", suite=PASSING)
    assert ran.document["word"] == "invalid"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--req", "P99"], "P99"),
        (["--backend", "nonsense"], "there is no backend 'nonsense'"),
        (["--backend", "py:nocolon"], "py:MODULE:FACTORY"),
        (["--dir", "/no/such/directory"], "/no/such/directory"),
    ],
)
def test_what_cannot_be_understood_is_a_usage_error(
    tmp_path: Path, arguments: list[str], problem: str
) -> None:
    ran = run_pytest(tmp_path, *arguments, suite=PASSING)
    assert ran.exit_code == pytest.ExitCode.USAGE_ERROR
    assert problem in ran.text


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize(
    ("backend", "problem"),
    [
        ("py:no_such_module:factory", "No module named 'no_such_module'"),
        ("cmd:/no/such/program", "cannot be started"),
        ("cmd:echo hello", "was this line meant for stderr?"),
    ],
)
def test_a_backend_that_does_not_say_hello_is_a_harness_error_that_says_why(
    tmp_path: Path, workers: str, backend: str, problem: str
) -> None:
    ran = run_pytest(tmp_path, "-n", workers, suite=PASSING, backend=backend)
    assert set(ran.outcomes.values()) == {"HARNESS_ERROR"}
    assert ran.document["word"] == "invalid"
    assert problem in ran.detail("P1.first")


def test_each_case_runs_once_in_each_directory(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    suite = """
@requires("P1", evidence="none")
def test_P1_place(farm):
    farm.root.relative_to(Path.cwd())
"""
    ran = run_pytest(tmp_path, "--dir", str(other), suite=suite)
    assert ran.outcomes == {
        f"P1.place[{tmp_path / 'trial'}]": "PASS",
        f"P1.place[{other}]": "PASS",
    }
    assert os.listdir(other) == []


def test_no_report_writes_no_run_directory_and_still_gives_the_verdict(tmp_path: Path) -> None:
    ran = run_pytest(tmp_path, "--no-report", suite=PASSING)
    assert "verdict: partial" in ran.text
    assert not (tmp_path / "runs").exists()


def test_the_backend_is_asked_who_it_is_once(tmp_path: Path) -> None:
    (tmp_path / "counting.py").write_text(
        textwrap.dedent(f"""
        from untorn_conformance.meta.demo.directory import DirectoryCache

        class Counting(DirectoryCache):
            def hello(self):
                with open({str(tmp_path / "greetings")!r}, "a") as greetings:
                    greetings.write("hello\\n")
                return super().hello()
        """)
    )
    run_pytest(tmp_path, "-n", "2", suite=PASSING, backend="py:counting:Counting")
    assert (tmp_path / "greetings").read_text() == "hello\n"


# --- being a good guest --------------------------------------------------------------------------


@pytest.mark.parametrize("workers", ["0", "2"])
def test_without_a_case_the_plugin_says_and_writes_nothing(tmp_path: Path, workers: str) -> None:
    ran = run_pytest(tmp_path, "-n", workers, suite="def test_plain(): pass")
    assert ran.exit_code == 0
    assert "verdict" not in ran.text
    assert not (tmp_path / "runs").exists()
    assert ran.leftovers == []


def test_collecting_only_runs_and_writes_nothing(tmp_path: Path) -> None:
    ran = run_pytest(tmp_path, "--collect-only", suite=PASSING)
    assert ran.exit_code == 0
    assert not (tmp_path / "runs").exists()


Collect = Callable[..., str]


@pytest.fixture
def collect() -> Collect:
    def collect_in_checkout(*arguments: str) -> str:
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *arguments]
        ended = subprocess.run(
            command, cwd=CHECKOUT, capture_output=True, text=True, check=False, env=os.environ
        )
        return ended.stdout

    return collect_in_checkout


@pytest.mark.parametrize("argument", ["conformance/", "conformance/untorn_conformance"])
def test_the_tests_of_the_suite_are_not_part_of_it(collect: Collect, argument: str) -> None:
    assert "meta/" not in collect(argument)


@pytest.mark.parametrize(
    "argument",
    ["conformance/untorn_conformance/meta", "conformance/untorn_conformance/meta/test_probe.py"],
)
def test_the_tests_of_the_suite_are_collected_when_they_are_named(
    collect: Collect, argument: str
) -> None:
    assert "meta/test_probe.py" in collect(argument)
