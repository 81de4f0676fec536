"""The plugin's options, seen from outside, and its manners in other people's runs."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from untorn_conformance.meta.inner_run import EVERY_OUTCOME, PASSING, Ran, run_pytest

CHECKOUT = Path(__file__).parents[3]


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
        (["--effort", "weekly"], "invalid choice: 'weekly'"),
        (["--machine-seed", "some"], "invalid int value: 'some'"),
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


TAKEN_OVER = """
import time

@pytest.mark.parametrize("number", range(80))
def test_case(number):
    ran = Path(os.environ["RAN"])
    deadline_s = time.monotonic() + 60
    while number == 0 and not (ran / "9").exists():  # it stands in line behind this one
        assert time.monotonic() < deadline_s, "nobody took the tenth case over"
        time.sleep(0.01)
    (ran / str(number)).touch()
"""


def test_idle_processes_take_cases_from_busy_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ran").mkdir()
    monkeypatch.setenv("RAN", str(tmp_path / "ran"))
    ran = run_pytest(tmp_path, "-n", "2", suite=TAKEN_OVER)
    assert ran.exit_code == 0, ran.text
    assert len(list((tmp_path / "ran").iterdir())) == 80


def test_cases_are_distributed_as_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAN", str(tmp_path / "ran"))
    suite = """
def test_case():
    with open(os.environ["RAN"], "a") as file:
        file.write("once, ")
"""
    run_pytest(tmp_path, "-n", "2", "--dist", "each", suite=suite)
    assert (tmp_path / "ran").read_text() == "once, once, "


# --- machines -------------------------------------------------------------------------------------

DRAWING = """
from untorn_conformance.verdict import Evidence, EvidenceClass

@requires("P1", evidence="none")
@pytest.mark.parametrize("part", range(4))
def test_P1_draws(part, wheel, grounds):
    told = f"{wheel.said}, {wheel.profile.plans} plans, kept: {wheel.examples is not None}"
    grounds.evidence = Evidence(kind=EvidenceClass.SAMPLED, detail=told)
"""


def drawn_from(ran: Ran) -> set[str]:
    return {case["evidence"]["detail"] for case in ran.document["cases"]}


@pytest.mark.parametrize("workers", ["0", "2"])
def test_all_processes_of_a_run_draw_from_one_seed_and_the_next_run_from_another(
    tmp_path: Path, workers: str
) -> None:
    runs = []
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        runs.append(run_pytest(folder, "--effort", "nightly", "-n", workers, suite=DRAWING))
    assert [len(drawn_from(each)) for each in runs] == [1, 1]
    assert drawn_from(runs[0]) != drawn_from(runs[1])


def test_profile_and_seed_are_said_before_anything_runs(tmp_path: Path) -> None:
    ran = run_pytest(tmp_path, "--effort", "ci", "--machine-seed", "7", suite=DRAWING)
    head = ran.text.partition("%]")[0]
    assert "effort: ci, machines draw from seed 7" in head
    assert drawn_from(ran) == {"profile ci, seed 7, 100 plans, kept: True"}


@pytest.mark.parametrize("ci", ["", "true"])
def test_the_environment_chooses_a_profile_and_CI_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ci: str
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("UNTORN_EFFORT", "ci")
    assert "profile ci, seed 1901" in drawn_from(run_pytest(tmp_path, suite=DRAWING)).pop()


def test_a_profile_in_the_environment_that_there_is_not_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNTORN_EFFORT", "weekly")
    ran = run_pytest(tmp_path, suite=DRAWING)
    assert ran.exit_code == pytest.ExitCode.USAGE_ERROR
    assert "UNTORN_EFFORT is 'weekly'; there are: dev, ci, nightly" in ran.text


SLOW = """
@requires("P1", evidence="none")
def test_P1_case(request):
    limits = [each.args for each in request.node.iter_markers("timeout")]
    Path(os.environ["RAN"]).write_text(str(limits))
"""


@pytest.mark.parametrize(("effort", "limits"), [("dev", "[]"), ("nightly", "[(0,)]")])
def test_a_case_may_take_as_long_as_it_takes_at_night(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, effort: str, limits: str
) -> None:
    monkeypatch.setenv("RAN", str(tmp_path / "ran"))
    ran = run_pytest(tmp_path, "--effort", effort, suite=SLOW)
    assert (tmp_path / "ran").read_text() == limits, ran.text


def test_a_run_without_machines_says_nothing_of_them(tmp_path: Path) -> None:
    assert "effort:" not in run_pytest(tmp_path, suite=PASSING).text
