"""What a laboratory's runs begin from, what they are judged by, and which are foreseen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from untorn_conformance.backend import BytesMeaning, Limits
from untorn_conformance.contract import Capability
from untorn_stress.explorer import Explored
from untorn_stress.gate.availability import probe
from untorn_stress.laboratory import Laboratory, TreeUnavailableError
from untorn_stress.scenario import KeyState
from untorn_stress.scenarios import scenario, starts_of
from untorn_stress.schedulers.protocol import Moment, Option

pytestmark = pytest.mark.skipif(not probe().ok, reason=f"no gate here: {probe().reason}")


Make = Callable[..., Laboratory]
Explore = Callable[..., Explored]


# --- what a run is judged by ----------------------------------------------------------------------


def limits(flight_wait_s: float = 0.0, meaning: BytesMeaning = BytesMeaning.ST_SIZE) -> Limits:
    return Limits(
        reap_grace_s=0.0,
        recency_resolution_s=0.0,
        flight_wait_s=flight_wait_s,
        bytes_meaning=meaning,
    )


def rules(explored: Explored) -> set[tuple[str, str]]:
    return {(each.finding.requirement, each.finding.rule) for each in explored.found}


COUNTS_ONE_BYTE_MORE = """
def collect(self, **orders):
    from dataclasses import replace
    done = super().collect(**orders)
    return replace(done, freed_bytes=done.freed_bytes + 1)
"""


def test_freed_bytes_are_compared_with_what_left_the_tree(
    laboratory_of: Make, explore: Explore
) -> None:
    right = explore(laboratory_of(limits=limits()), "collector-collector", runs=1)
    wrong = explore(laboratory_of(COUNTS_ONE_BYTE_MORE, limits=limits()), "collector-collector")
    assert (rules(right), ("G8", "bytes") in rules(wrong)) == (set(), True)


def test_freed_bytes_in_a_meaning_that_a_tree_does_not_tell_are_not_judged(
    laboratory_of: Make, explore: Explore
) -> None:
    allocated = limits(meaning=BytesMeaning.ALLOCATED)
    laboratory = laboratory_of(COUNTS_ONE_BYTE_MORE, limits=allocated)
    assert rules(explore(laboratory, "collector-collector", runs=1)) == set()


SKIPS = """
def collect(self, **orders):
    from untorn_conformance.backend import Skipped
    Path(self._root, "collector-" + str(os.getpid())).touch()
    if len(list(Path(self._root).glob("collector-*"))) > {others}:
        return Skipped(reason="in-use")
    return super().collect(**orders)
"""


@pytest.mark.parametrize(("others", "found"), [(0, set()), (1, {("G8", "all-skipped")})])
def test_where_every_collect_is_skipped_collectors_are_not_in_each_other_s_way(
    laboratory_of: Make, others: int, found: set[tuple[str, str]], explore: Explore
) -> None:
    laboratory = laboratory_of(SKIPS.format(others=others))
    skipped = rules(explore(laboratory, "collector-collector", runs=200))
    assert skipped & {("G8", "all-skipped")} == found


WORKS_EACH_TIME = """
def extract(self, *, inputs):
    from untorn_conformance.backend import Extracted, ExtractOutcome
    return Extracted(handle="h", files=(), outcome=ExtractOutcome.PUBLISHED)

def release(self, *, handle):
    pass
"""


@pytest.mark.parametrize(
    ("flight_wait_s", "found"), [(0.0, set()), (3600.0, {("P7", "worked-twice")})]
)
def test_a_second_worker_is_right_when_the_run_outlasts_the_wait(
    laboratory_of: Make, flight_wait_s: float, found: set[tuple[str, str]], explore: Explore
) -> None:
    laboratory = laboratory_of(
        WORKS_EACH_TIME,
        capabilities=frozenset({Capability.EXTRACT, Capability.SINGLE_FLIGHT}),
        limits=limits(flight_wait_s),
        clip="/no/clip",
    )
    assert rules(explore(laboratory, "single-flight", runs=1)) == found


RENDERS = """
def extract(self, *, inputs):
    from untorn_conformance.backend import Extracted, ExtractOutcome
    return Extracted(handle="h", files=(), outcome=ExtractOutcome.PUBLISHED)

def render(self, *, requests):
    from untorn_conformance.backend import Extracted, ExtractOutcome, Rendered
    item = Extracted(handle="h", files={files}, outcome=ExtractOutcome.PUBLISHED)
    return Rendered(items=(item,) * len(requests))

def release(self, *, handle):
    pass
"""


@pytest.mark.parametrize(
    ("files", "told"), [((), ""), (("a.png",), "4 of 4 requests do not give the same bytes")]
)
def test_frames_are_judged_where_a_render_gives_what_each_request_gives_alone(
    laboratory_of: Make, files: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    (tmp_path / "a.mp4").write_bytes(b"a clip")
    laboratory = laboratory_of(
        RENDERS.format(files=files),
        capabilities=frozenset({Capability.EXTRACT, Capability.RENDER}),
        clip=str(tmp_path / "a.mp4"),
    )
    laboratory.system(scenario("failing-render"), laboratory.natural("extracted"))
    assert laboratory.not_told[: len(told)] == told
    assert bool(laboratory.not_told) is bool(told) is not bool(laboratory.payloads.footage)


# --- trees ----------------------------------------------------------------------------------------


def test_a_harvest_is_the_same_in_another_laboratory(laboratory_of: Make) -> None:
    first, second = (list(laboratory_of().harvest()) for _ in range(2))
    assert (first, len(set(first))) == (second, len(first))
    assert len(first) > 1


def test_a_tree_that_there_is_not_is_said_to_be_unavailable(laboratory_of: Make) -> None:
    with pytest.raises(TreeUnavailableError, match=r"natural are empty.*harvested here were harv"):
        laboratory_of().start("harvest-00000000")


def test_a_tree_whose_maker_dies_is_said_to_be_unavailable(laboratory_of: Make) -> None:
    laboratory = laboratory_of("def publish(self, *, handle): os._exit(3)")
    with pytest.raises(TreeUnavailableError, match="the worker that was to make it died in pub"):
        laboratory.natural("published")


TAKES_FRAMES_FIRST = """
def collect(self, *, budget_bytes, min_age_s, dry_run):
    for frame in sorted(Path(self._root).rglob("frame_*")):
        frame.unlink()
    return super().collect(budget_bytes=budget_bytes, min_age_s=min_age_s, dry_run=dry_run)
"""


def test_what_a_crash_left_is_a_crash_state_though_an_outsider_may_leave_the_same(
    laboratory_of: Make,
) -> None:
    laboratory = laboratory_of(TAKES_FRAMES_FIRST)
    thinned = set(laboratory.natural("damaged").tree.nodes)
    assert thinned in [
        set(start.tree.nodes)
        for name, start in laboratory.harvest().items()
        if starts_of(name)["k"] is KeyState.CRASHED
    ]


def test_a_torn_hit_after_a_crash_is_found(laboratory_of: Make, explore: Explore) -> None:
    laboratory = laboratory_of(TAKES_FRAMES_FIRST)
    rules = {
        (each.finding.requirement, each.finding.rule)
        for name in laboratory.harvest()
        for each in explore(laboratory, "reader-writer", name).found
        if starts_of(name)["k"] is KeyState.CRASHED
    }
    assert ("C1", "in-part") in rules


def test_a_finding_says_after_how_many_runs_it_came(laboratory_of: Make, explore: Explore) -> None:
    explored = explore(laboratory_of("def publish(self, *, handle): os._exit(3)"), "writer-writer")
    assert [each.runs for each in explored.found] == [1]


@pytest.mark.parametrize(
    ("name", "are_seen"),
    [
        ("writer-writer", True),
        ("adopt-collector", True),
        ("repair", True),
        ("reader-writer", False),
    ],
)
def test_inode_numbers_count_where_one_makes_and_another_removes(
    laboratory_of: Make, name: str, are_seen: bool
) -> None:
    laboratory = laboratory_of()
    played = scenario(name)
    system = laboratory.system(played, laboratory.natural("empty"))
    touched: set[str] = set()

    def choose(moment: Moment) -> Option:
        touched.update(*(each.footprint.reads for each in moment.options))
        return moment.options[0]

    system.run(choose)
    assert ("#inodes" in touched) is are_seen


# --- what is only seen with two frames, and how names are foreseen --------------------------------


def test_a_publish_frame_by_frame_mixes_two_writers(laboratory_of: Make, explore: Explore) -> None:
    explored = explore(
        laboratory_of("""
        def _land(self, work):
            os.makedirs(work.entry, exist_ok=True)
            first = False
            for index, name in enumerate(sorted(os.listdir(work.partial))):
                try:
                    os.link(os.path.join(work.partial, name), os.path.join(work.entry, name))
                    first = first or index == 0
                except FileExistsError:
                    pass
            Path(work.entry, ".hf-complete").touch()
            self._discard(work.partial)
            from untorn_conformance.specimens.seed_algorithm import Landing
            return Landing.PUBLISHED if first else Landing.ADOPTED
        """),
        "writer-writer",
        "empty",
        runs=100,
    )
    assert "two-writers" in {each.finding.rule for each in explored.found}


@pytest.mark.parametrize(
    ("name", "is_foreseeable"),
    [
        ('f"{os.getpid()}-{name}"', True),
        ('f"{hash(os.getpid()) * 7919:x}-{name}"', False),
    ],
    ids=["a process id", "drawn from a process id"],
)
def test_runs_are_foreseen_where_names_are_the_same_in_each(
    laboratory_of: Make, name: str, is_foreseeable: bool, explore: Explore
) -> None:
    explored = explore(
        laboratory_of(f"""
        def stage(self, *, key, files):
            name = "scratch"
            Path(self._root, {name}).touch()
            return super().stage(key=key, files=files)
        """),
        "writer-writer",
        "empty",
        runs=200,
    )
    assert explored.exhaustive, explored
    assert (explored.made < explored.runs) is is_foreseeable
