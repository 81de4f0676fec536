"""The concurrent machine on a cache that races: found by itself, shrunk, saved, and replayed."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from untorn_conformance import exploring, registry, subjects
from untorn_conformance.done import FOUND
from untorn_conformance.meta.asking import FIRST, REVIEWED, replay
from untorn_conformance.meta.inner_run import Ran, run_pytest
from untorn_conformance.profiles import PROFILES, Wheel
from untorn_conformance.suite import test_machine_concurrent as case
from untorn_conformance.suite.hunting import Hunt
from untorn_conformance.suite.planning import WRITE, Machine, Plan, Shown, trees_of
from untorn_stress import counterexample
from untorn_stress.gate.availability import probe
from untorn_stress.gate.supervisor import UndecidedError
from untorn_stress.laboratory import Laboratory
from untorn_stress.run import Finding
from untorn_stress.schedulers.planned import Planned, Turn

pytestmark = pytest.mark.skipif(not probe().ok, reason=f"no gate here: {probe().reason}")

SEED = 1
PLANS = 120
RACE = {("P2", "winners"), ("P3", "winners"), ("P3", "replaced")}
"""What a writer that removes a complete entry is told apart by from one that finds less."""

THREE_TURNS = ((5, 1), (0, 0), (0, 1), (0, 1))
SUITE = Path(case.__file__)
NO_GATE = Path(__file__).resolve().parents[3] / "stress/tests/programs/no_gate.py"
REFUSING = """
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_conformance.meta.demo.packed import PackedCache

class Refusing(PackedCache):
    def open(self, *, root, env, clock_offset_s):
        raise BackendError(ErrorCode.ROOT_REFUSED, "not this one")
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hunted:
    """What a hunt for the race has left: the smallest plan, and the folder of its files."""

    plan: Plan
    shown: Shown
    folder: Path
    first: Path
    made: int


def is_race(finding: Finding) -> bool:
    return (finding.requirement, finding.rule) in RACE


def laboratory_of(backend: str, folder: Path) -> Laboratory:
    spec = registry.parse(backend)
    return Laboratory(subjects.subject_of(spec, subjects.ask_hello(spec, folder)), base=folder)


@pytest.fixture(
    scope="module",
    params=[FIRST, REVIEWED],
    ids=["first-posted", "after-review"],
)
def race(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Hunted:
    folder = tmp_path_factory.mktemp("hunt")
    hunt: Hunt[Plan, Shown] = Hunt(Wheel(profile=PROFILES["ci"], seed=SEED))
    written: list[Path] = []
    with laboratory_of(request.param, folder) as laboratory:
        machine = Machine(
            laboratory,
            trees_of(laboratory),
            hunt,
            wanted=is_race,
            on_found=lambda each: written.append(exploring.write_finding(folder, each)),
        )
        machine.run(PLANS)
    assert hunt.smallest is not None, f"the race was not met in {hunt.made} plans"
    plan, shown = hunt.smallest[0], machine.smallest
    assert shown is not None
    first = next(each for each in written if each.name.startswith(("P2-winners", "P3-")))
    return Hunted(plan=plan, shown=shown, folder=folder, first=first, made=hunt.made_first)


def test_the_race_is_shrunk_to_two_operations_and_one_preemption(race: Hunted) -> None:
    assert is_race(race.shown.found.finding)
    assert (race.plan.operations, race.shown.preemptions, race.shown.faults) == (2, 1, 0)


def test_the_preemption_is_seen_in_the_run_itself(race: Hunted) -> None:
    """One worker is left in the middle, the other publishes, the first goes on."""
    turns = [each[-1] for each in race.shown.found.token.encode().split(".")[3].split("-")]
    assert turns in (["A", "B", "A"], ["B", "A", "B"])


def test_the_first_example_was_saved_when_it_was_met(race: Hunted) -> None:
    assert is_race(counterexample.read(race.first).run.findings[0])


def test_the_smallest_replays_from_its_token_alone(race: Hunted) -> None:
    done = replay(race.shown.found.token, times=2)
    assert (done.exit_code, done.document["different_logs"]) == (FOUND, 1), done.text
    finding = race.shown.found.finding
    assert done.document["shown"] == {f"{finding.requirement} {finding.rule}": 2}


def test_the_smallest_replays_from_its_file(race: Hunted) -> None:
    path = exploring.write_finding(race.folder, race.shown.found)
    token = counterexample.read(path).token
    assert replay(token, file=path).exit_code == FOUND


def test_where_three_turns_do_what_a_later_one_could_one_preemption_is_left(
    tmp_path: Path,
) -> None:
    """No number of such a plan can become smaller by itself, so that Hypothesis ends there."""
    turns = tuple(Turn(after=after, choice=choice) for after, choice in THREE_TURNS)
    plan = Plan(composition=((WRITE,), (WRITE,)), harvested=True, tree=0, turns=turns)
    hunt: Hunt[Plan, Shown] = Hunt(Wheel(profile=PROFILES["ci"], seed=SEED))
    with laboratory_of(REVIEWED, tmp_path) as laboratory:
        machine = Machine(laboratory, trees_of(laboratory), hunt, wanted=is_race)
        shown = machine.make(plan)
        assert shown is not None
        least = machine.least_interrupted(plan, shown)
    assert (shown.preemptions, least.preemptions) == (3, 1)
    assert is_race(least.found.finding)


# --- in the suite ---------------------------------------------------------------------------------


def run_case(folder: Path, backend: str, *more: str, launcher: tuple[str, ...] = ()) -> Ran:
    config = ("-c", str(folder / "pytest.ini"), f"--rootdir={folder}")
    return run_pytest(folder, *config, str(SUITE), *more, backend=backend, launcher=launcher)


def test_a_race_fails_the_case_with_a_line_that_replays_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where ``CI`` is set, too: no profile of Hypothesis' own is taken."""
    monkeypatch.setitem(os.environ, "CI", "true")
    ran = run_case(tmp_path, REVIEWED, "--machine-seed", str(SEED))
    (judged,) = ran.document["cases"]
    assert (ran.exit_code, judged["outcome"]) == (1, "FAIL"), ran.text
    evidence = judged["evidence"]
    assert (evidence["kind"], f"seed {SEED}" in evidence["detail"]) == ("SAMPLED", True)
    token = judged["detail"].splitlines()[-1].removeprefix("untorn replay ")
    folder = tmp_path / "runs" / "latest" / "counterexamples"
    assert token in {counterexample.read(each).token.encode() for each in folder.iterdir()}
    kinds = [each.name.split("-machine-")[0] for each in folder.iterdir()]
    assert len(kinds) == len(set(kinds))
    assert len(list((tmp_path / "runs" / "examples").iterdir())) == 1


def test_without_a_report_no_example_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where findings stay that no report takes over
    run_case(tmp_path, REVIEWED, "--machine-seed", str(SEED), "--no-report")
    assert not (tmp_path / "runs").exists()
    assert not list(tmp_path.rglob(".hypothesis"))


def test_what_gets_out_of_hand_ends_the_machine_undecided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(*_: object) -> None:
        raise UndecidedError("no answer in time")

    hunt: Hunt[Plan, Shown] = Hunt(Wheel(profile=PROFILES["dev"], seed=SEED))
    with laboratory_of("reference", tmp_path) as laboratory:
        machine = Machine(laboratory, trees_of(laboratory), hunt)
        monkeypatch.setattr(Planned, "choose", raises)
        machine.run(20)
    assert (list(machine.doubts), hunt.smallest) == (["no answer in time"], None)


def test_a_cache_that_cannot_be_opened_leaves_the_case_unknown(tmp_path: Path) -> None:
    (tmp_path / "refusing.py").write_text(REFUSING)
    ran = run_case(tmp_path, "py:refusing:Refusing")
    (judged,) = ran.document["cases"]
    assert (judged["outcome"], "not this one" in judged["detail"]) == ("UNKNOWN", True), ran.text


def test_without_a_gate_the_case_is_unknown_and_says_why(tmp_path: Path) -> None:
    ran = run_case(tmp_path, "reference", launcher=(sys.executable, str(NO_GATE), "listener=EPERM"))
    (judged,) = ran.document["cases"]
    assert judged["outcome"] == "UNKNOWN"
    assert "the gate cannot be used here" in judged["detail"]


def test_a_cache_whose_entries_cannot_be_damaged_is_judged_from_its_other_trees(
    tmp_path: Path,
) -> None:
    spec = "py:untorn_conformance.meta.demo.packed:PackedCache"
    with laboratory_of(spec, tmp_path) as laboratory:
        natural, _ = trees_of(laboratory)
    assert [each.name for each in natural] == ["empty", "published", "two-published"]
