"""Everything dies: which states that leaves, and which of them are C1 to C4 to fresh workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from untorn_conformance.backend import BytesMeaning, Limits
from untorn_conformance.specimens.seed_layout import SENTINEL
from untorn_conformance.verdict import EvidenceClass
from untorn_stress.crash_states import CrashStates, Judged, evidence
from untorn_stress.explorer import record
from untorn_stress.gate.availability import probe
from untorn_stress.grain import Grain
from untorn_stress.laboratory import Laboratory
from untorn_stress.run import FindingKind
from untorn_stress.scenarios import scenario
from untorn_stress.schedulers.protocol import Moment, Option

pytestmark = pytest.mark.skipif(not probe().ok, reason=f"no gate here: {probe().reason}")

Make = Callable[..., Laboratory]

GRACE = Limits(reap_grace_s=5.0, recency_resolution_s=0.0, flight_wait_s=0.0)

TRIPS_OVER_ITS_STAGING = """
def stage(self, *, key, files):
    from untorn_conformance.errors import BackendError, ErrorCode
    mine = Path(self._root, "staging")
    if mine.exists():
        raise BackendError(ErrorCode.INTERNAL, "somebody is staging")
    mine.mkdir()
    return super().stage(key=key, files=files)

def publish(self, *, handle):
    done = super().publish(handle=handle)
    Path(self._root, "staging").rmdir()
    return done
"""
"""Whoever dies between the two leaves what nobody takes away."""

RECOVERS_ONCE = """
def publish(self, *, handle):
    import errno
    from untorn_conformance.specimens.seed_algorithm import Refusal, Step
    dirty, mending = Path(self._root, "dirty"), Path(self._root, "mending")
    if mending.exists():
        refusal = Refusal(error=OSError(errno.EBUSY, "mending"), step=Step.SEAL)
        return self._unpublished(self._taken(handle), refusal)
    mark = mending if dirty.exists() else dirty
    mark.mkdir()
    done = super().publish(handle=handle)
    for each in (dirty, mending):
        if each.exists():
            each.rmdir()
    return done
"""
"""Who finds that a writer died says that it mends; if it dies of that, nobody mends any more."""

FORGETS_ITS_JOURNAL = """
def publish(self, *, handle):
    Path(self._root, "journal").write_bytes(b"")
    done = super().publish(handle=handle)
    Path(self._root, "journal").unlink()
    return done
"""
"""What a crash leaves of it no collect looks for."""

REAPS_NOTHING = """
def collect(self, **orders):
    from untorn_conformance.specimens import seed_layout, sweep
    sweep.is_swept = lambda name: not seed_layout.is_partial(name)
    return super().collect(**orders)
"""
"""The staging of the dead is none of its business."""

DIES_OF_DEBRIS = """
def collect(self, **orders):
    from untorn_conformance.specimens.seed_layout import is_partial
    if any(map(is_partial, os.listdir(self._root))):
        os._exit(3)
    return super().collect(**orders)
"""

TELLS_THE_TIME = """
def stage(self, *, key, files):
    import time
    Path(self._root, "since").write_text(str(time.time_ns()))
    return super().stage(key=key, files=files)
"""


def judge(laboratory: Laboratory, name: str, tree: str = "", *, sampled_every: int = 10) -> Judged:
    played = scenario(name)
    start = laboratory.start(tree or played.tree)
    return CrashStates(laboratory, sampled_every=sampled_every).judge(played, start)


def rules(*judged: Judged) -> set[tuple[str, str]]:
    return {(each.finding.requirement, each.finding.rule) for run in judged for each in run.found}


# --- which states there are


def test_each_step_is_a_stop_and_those_that_change_nothing_share_a_state(
    laboratory_of: Make,
) -> None:
    judged = judge(laboratory_of(limits=GRACE), "publish-alone")
    assert judged.stops > judged.states > 3
    assert (judged.looks, judged.found, judged.doubts) == (judged.states, (), ())


@pytest.mark.parametrize("meaning", list(BytesMeaning))
def test_what_is_held_to_be_stored_is_judged_where_it_is_told_in_sizes(
    laboratory_of: Make, meaning: BytesMeaning
) -> None:
    judged = judge(laboratory_of(limits=replace(GRACE, bytes_meaning=meaning)), "outgrown-alone")
    assert (judged.not_weighed == "") == (meaning is BytesMeaning.ST_SIZE)
    assert (judged.not_reclaimed, judged.found) == ("", ())


def test_all_states_of_all_runs_are_evidence_that_says_how_many(laboratory_of: Make) -> None:
    laboratory = laboratory_of(limits=GRACE)
    states = CrashStates(laboratory)
    names = ("publish-alone", "adopt-alone")
    judged = [states.judge(scenario(each), laboratory.start(scenario(each).tree)) for each in names]
    told = evidence(judged)
    assert told.kind is EvidenceClass.EXHAUSTIVE
    stops = sum(each.stops for each in judged)
    assert f"publish-alone, adopt-alone from 2 trees: everything dies at each of {stops}" in (
        told.detail
    )


def test_a_state_that_was_looked_at_is_not_looked_at_again(laboratory_of: Make) -> None:
    laboratory = laboratory_of(limits=GRACE)
    states = CrashStates(laboratory)
    played = scenario("collect-alone")
    first, again = (states.judge(played, laboratory.start("published")) for _ in range(2))
    assert (first.looks, again.looks) == (first.states, 0)
    assert again.states == first.states


def test_a_lone_worker_may_be_killed_before_its_very_first_step(laboratory_of: Make) -> None:
    laboratory = laboratory_of()
    played = scenario("publish-alone")
    offered: list[set[str]] = []

    def choose(moment: Moment) -> Option:
        offered.append({each.label for each in moment.options})
        return moment.options[0]

    laboratory.system(played, laboratory.start("empty"), kills=True).run(choose)
    assert offered
    assert all(each == {"A", "A!kill"} for each in offered)


EMPTY_FOR_A_MOMENT = """
def publish(self, *, handle):
    done = super().publish(handle=handle)
    for each in Path(self._root).glob("*/frame_00001.png"):
        content = each.read_bytes()
        file = os.open(each, os.O_WRONLY | os.O_TRUNC)  # and nothing is asked before the write
        os.write(file, content)
        os.close(file)
    return done
"""


@pytest.mark.parametrize(
    ("grain", "found"), [(Grain.METADATA, set()), (Grain.DATA, {("C1", "nobodys-bytes")})]
)
def test_a_file_that_holds_nothing_before_it_is_written_is_a_state_of_the_data_grain(
    laboratory_of: Make, grain: Grain, found: set[tuple[str, str]]
) -> None:
    laboratory = laboratory_of(EMPTY_FOR_A_MOMENT)
    laboratory.grain = grain
    judged = judge(laboratory, "publish-alone")
    assert (rules(judged), judged.grain) == (found, grain)


# --- a sample is made by SIGKILL


def test_a_stop_made_by_SIGKILL_leaves_the_tree_that_was_copied(laboratory_of: Make) -> None:
    judged = judge(laboratory_of(limits=GRACE), "repair-alone", sampled_every=1)
    assert (judged.killed, judged.doubts) == (judged.stops - 1, ()), "after the last none is left"


def test_where_SIGKILL_leaves_another_tree_nothing_is_known(laboratory_of: Make) -> None:
    judged = judge(laboratory_of(TELLS_THE_TIME), "publish-alone")
    (doubt,) = judged.doubts
    assert doubt.startswith("publish-alone from empty, killed after ")
    assert doubt.endswith("the tree is not the one that was copied there")
    assert evidence([judged]).kind is EvidenceClass.SAMPLED


# --- C1: a miss or a whole entry


def test_a_removal_that_takes_the_sentinel_last_leaves_a_torn_entry_that_is_C1(
    laboratory_of: Make,
) -> None:
    judged = judge(laboratory_of(order="REVERSED"), "collect-alone")
    assert rules(judged) == {("C1", "in-part")}


def test_a_removal_as_listed_tears_unless_the_sentinel_is_listed_first(laboratory_of: Make) -> None:
    laboratory = laboratory_of(order="AS_LISTED")
    listed = [path for path in laboratory.start("published").tree.nodes if "/" in path]
    torn = set() if listed[0].endswith(SENTINEL) else {("C1", "in-part")}
    assert rules(judge(laboratory, "collect-alone")) == torn


def test_a_removal_that_takes_the_sentinel_first_leaves_a_miss(laboratory_of: Make) -> None:
    assert rules(judge(laboratory_of(), "collect-alone")) == set()


def test_a_finding_was_made_again_by_SIGKILL_and_has_a_token(laboratory_of: Make) -> None:
    laboratory = laboratory_of(order="REVERSED")
    (found,) = judge(laboratory, "collect-alone").found
    assert found.token.choices[-2:] == ("A", "A!kill")
    assert [step.label for step in found.run.steps] == list(found.token.choices)
    played = scenario(found.token.scenario)
    system = laboratory.system(played, laboratory.start(found.token.tree), kills=True)
    again = record(system, found.run)
    assert again is not None
    assert again.findings == found.run.findings


def test_what_a_copy_shows_and_SIGKILL_does_not_is_no_finding(
    laboratory_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("untorn_stress.crash_states.record", lambda *_: None)
    judged = judge(laboratory_of(order="REVERSED"), "collect-alone")
    (found,) = judged.found
    assert found.finding.kind is FindingKind.NONDETERMINISTIC
    assert judged.doubts[0].endswith("not so when it was really killed")


def test_what_only_the_living_worker_shows_is_found_too(laboratory_of: Make) -> None:
    judged = judge(
        laboratory_of("""
        def publish(self, *, handle):
            done = super().publish(handle=handle)
            Path(self._root).with_name("cache.lock").write_bytes(b"")
            return done
        """),
        "publish-alone",
    )
    assert ("G5", "outside") in rules(judged)


# --- C2: publishing works


def test_a_writer_that_trips_over_the_staging_of_the_dead_is_C2(laboratory_of: Make) -> None:
    judged = judge(laboratory_of(TRIPS_OVER_ITS_STAGING), "publish-alone")
    assert rules(judged) == {("C2", "error")}


def test_a_key_that_stays_busy_after_a_crash_is_C2(laboratory_of: Make) -> None:
    stays_busy = RECOVERS_ONCE.replace("if mending.exists()", "if dirty.exists()")
    assert rules(judge(laboratory_of(stays_busy), "publish-alone")) == {("C2", "stuck")}


# --- C3: debris


@pytest.mark.parametrize("breaks", [FORGETS_ITS_JOURNAL, REAPS_NOTHING])
def test_debris_that_no_collect_takes_is_C3(laboratory_of: Make, breaks: str) -> None:
    judged = judge(laboratory_of(breaks, limits=GRACE), "publish-alone")
    assert rules(judged) == {("C3", "debris")}
    assert " names, where an undisturbed publish and a collect leave 0: " in (
        judged.found[0].finding.message
    )


def test_a_collector_that_dies_of_debris_is_C3(laboratory_of: Make) -> None:
    judged = judge(laboratory_of(DIES_OF_DEBRIS, limits=GRACE), "publish-alone")
    assert rules(judged) == {("C3", "not-collected")}


def test_debris_is_reclaimed_however_young_it_was_when_all_died(laboratory_of: Make) -> None:
    hours = Limits(reap_grace_s=7200.0, recency_resolution_s=0.0, flight_wait_s=0.0)
    respects_its_grace = """
    def collect(self, *, budget_bytes, min_age_s, dry_run):
        from untorn_conformance.specimens.seed_layout import is_partial
        young = [
            each
            for each in os.scandir(self._root)
            if is_partial(each.name) and self._now_ns() - each.stat().st_mtime_ns < 7200 * 10**9
        ]
        hidden = [(each.path, Path(self._root).parent / "tmp" / each.name) for each in young]
        for path, aside in hidden:
            os.rename(path, aside)
        done = super().collect(budget_bytes=budget_bytes, min_age_s=min_age_s, dry_run=dry_run)
        for path, aside in hidden:
            os.rename(aside, path)
        return done
    """
    judged = judge(laboratory_of(respects_its_grace, limits=hours), "publish-alone")
    assert (rules(judged), judged.doubts) == (set(), ())


def test_debris_is_not_judged_where_the_grace_is_not_known(laboratory_of: Make) -> None:
    judged = judge(laboratory_of(FORGETS_ITS_JOURNAL), "publish-alone")
    assert judged.found == ()
    assert judged.not_reclaimed == "the backend's grace for the dead is not known"


# --- C4: once more


def recovered(laboratory: Laboratory, name: str) -> list[Judged]:
    states = CrashStates(laboratory)
    return [states.judge(scenario(name), start) for start in laboratory.harvest().values()]


def rows_of_a_crash(judged: list[Judged]) -> set[tuple[str, str]]:
    """What was found, but for what this cache makes of entries that an outsider harmed."""
    return {(row, rule) for row, rule in rules(*judged) if row.startswith("C")}


def test_a_directory_that_a_killed_recovery_left_empty_weighs_nothing_and_stays(
    laboratory_of: Make,
) -> None:
    judged = recovered(laboratory_of(limits=GRACE), "recovery-alone")
    assert rows_of_a_crash(judged) == {("C4", "debris")}


@pytest.mark.parametrize("name", ["recovery-alone", "collect-alone"])
def test_who_recovers_may_be_killed_too(laboratory_of: Make, name: str) -> None:
    judged = recovered(laboratory_of(), name)
    assert len(judged) > 5
    assert evidence(judged).kind is EvidenceClass.EXHAUSTIVE
    assert rows_of_a_crash(judged) == set()


def test_a_recovery_that_no_crash_may_interrupt_is_C4_and_only_that(laboratory_of: Make) -> None:
    laboratory = laboratory_of(RECOVERS_ONCE)
    assert rules(judge(laboratory, "publish-alone")) == set()
    judged = recovered(laboratory, "recovery-alone")
    assert rows_of_a_crash(judged) == {("C4", "stuck")}
    every = (each for run in judged for each in run.found)
    found = next(each for each in every if each.finding.requirement == "C4")
    assert found.token.tree.startswith("harvest-")
    assert found.token.choices[-1] == "A!kill"
