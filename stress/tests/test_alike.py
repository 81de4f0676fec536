"""Trees that differ only in what nobody touched are searched once, and judged each."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from untorn_stress.alike import AlikeSearches
from untorn_stress.explore import Budget
from untorn_stress.explorer import Explored
from untorn_stress.gate.availability import probe
from untorn_stress.laboratory import Laboratory
from untorn_stress.resemblance import Difference
from untorn_stress.scenarios import scenario
from untorn_stress.start import Start

Make = Callable[..., Laboratory]
Explore = Callable[..., Explored]

pytestmark = pytest.mark.skipif(not probe().ok, reason=f"no gate here: {probe().reason}")

ONE_STAGED, BOTH_STAGED = ("frame_00001.png",), ("frame_00001.png", "frame_00002.png")


def staged(laboratory: Laboratory, *names: str) -> Start:
    """The crash state in which a writer that died had staged just these."""
    for start in laboratory.harvest().values():
        paths = [path for path in start.tree.nodes if path]
        inside = sorted(path.partition("/")[2] for path in paths if "/" in path)
        if all(".partial-" in path for path in paths) and inside == list(names):
            return start
    raise AssertionError(f"no crash state holds {names}")


def both(laboratory: Laboratory, name: str) -> list[Explored]:
    """The searches from a dead writer's first frame, and from its second."""
    searches = AlikeSearches(laboratory, scenario(name), preemptions=1, budget=Budget())
    starts = (staged(laboratory, *ONE_STAGED), staged(laboratory, *BOTH_STAGED))
    return [searches.explore(start) for start in starts]


def kinds(explored: Explored) -> set[tuple[str, str]]:
    return {(each.finding.requirement, each.finding.rule) for each in explored.found}


def test_a_tree_with_other_debris_that_nobody_looks_at_is_not_searched_again(
    laboratory_of: Make, explore: Explore
) -> None:
    laboratory = laboratory_of()
    one, other = both(laboratory, "writer-writer")
    assert (one.alike, other.alike) == ("", one.tree)
    assert one.made > other.made == 1
    alone = explore(laboratory, "writer-writer", other.tree, None)
    told = (other.runs, other.exhaustive, other.found, other.completed)
    assert (alone.runs, alone.exhaustive, alone.found, alone.completed) == told


def test_the_evidence_says_from_which_tree_the_search_was(laboratory_of: Make) -> None:
    one, other = both(laboratory_of(), "writer-writer")
    assert f", 1 made, as from {one.tree})" in other.evidence.detail
    assert "as from" not in one.evidence.detail


REAPS = """
def stage(self, *, key, files):
    from untorn_conformance.specimens.seed_layout import is_partial
    for name in os.listdir(self._root):
        if is_partial(name):
            {what}
    return super().stage(key=key, files=files)
"""


def test_who_reaps_the_debris_touches_it(laboratory_of: Make) -> None:
    what = "shutil.rmtree(os.path.join(self._root, name), ignore_errors=True)"
    _, other = both(laboratory_of(REAPS.format(what=what)), "writer-writer")
    assert other.alike == ""
    assert other.made > 1


def test_who_moves_the_debris_away_touches_it(laboratory_of: Make) -> None:
    what = "os.rename(os.path.join(self._root, name), os.path.join(self._root, 'moved-' + name))"
    _, other = both(laboratory_of(REAPS.format(what=what)), "writer-writer")
    assert other.alike == ""


OPENS = """
def open(self, *, root, env, clock_offset_s):
    super().open(root=root, env=env, clock_offset_s=clock_offset_s)
    {how}
"""
COUNTS = "self.found = sum(len(inside) for _, _, inside in os.walk(self._root))"


def test_what_opening_the_root_looks_at_counts(laboratory_of: Make) -> None:
    _, other = both(laboratory_of(OPENS.format(how=COUNTS)), "writer-writer")
    assert other.alike == ""


LOOKUP_MISLED = """
def lookup(self, *, key):
    from untorn_conformance.backend import Miss, MissReason
    for folder, _, inside in os.walk(self._root):
        if ".partial-" in folder and "frame_00002.png" in inside:
            return Miss(reason=MissReason.ABSENT)
    return super().lookup(key=key)
"""


def test_a_bug_that_only_a_fresh_worker_meets_in_one_of_the_trees_is_found(
    laboratory_of: Make, explore: Explore
) -> None:
    """No writer looks anything up: it is whoever looks at the end, at all that is there."""
    laboratory = laboratory_of(LOOKUP_MISLED)
    one, other = both(laboratory, "writer-writer")
    assert not one.found
    assert other.alike == ""
    assert other.found
    alone = explore(laboratory, "writer-writer", other.tree, None)
    assert other.nondeterministic == alone.nondeterministic == ""  # else either ends early
    assert kinds(other) == kinds(alone)


LOOKUP_MISLED_BY_B = """
def lookup(self, *, key):
    from untorn_conformance.backend import Miss, MissReason
    from untorn_conformance.specimens.seed_layout import entry_path
    first = os.path.join(entry_path(self._root, key), "frame_00001.png")
    is_bs = os.path.exists(first) and b"writer wB" in Path(first).read_bytes()
    for folder, _, inside in os.walk(self._root):
        if is_bs and ".partial-" in folder and "frame_00002.png" in inside:
            return Miss(reason=MissReason.ABSENT)
    return super().lookup(key=key)
"""


def test_what_each_run_would_leave_of_the_other_tree_is_looked_at(laboratory_of: Make) -> None:
    """The run without a preemption leaves the first writer's entry; the second's ails."""
    one, other = both(laboratory_of(LOOKUP_MISLED_BY_B), "writer-writer")
    assert not one.found
    assert other.alike == ""
    assert other.found


PUBLISH_MISLED = """
def publish(self, *, handle):
    for name in sorted(os.listdir(self._root)):
        dead = os.path.join(self._root, name)
        if name.endswith("-{dead}") and "frame_00002.png" in os.listdir(dead):
            shutil.rmtree(dead.partition(".partial-")[0], ignore_errors=True)
    return super().publish(handle=handle)
"""


def test_a_bug_that_a_worker_meets_in_one_of_the_trees_is_found(
    laboratory_of: Make, explore: Explore
) -> None:
    dead = staged(laboratory_of(), *ONE_STAGED).tree
    suffix = next(path for path in dead.nodes if path).rpartition("-")[2]
    laboratory = laboratory_of(PUBLISH_MISLED.format(dead=suffix))
    one, other = both(laboratory, "writer-writer")
    assert not one.found
    assert other.alike == ""
    assert other.found
    alone = explore(laboratory, "writer-writer", other.tree, None)
    assert other.nondeterministic == alone.nondeterministic == ""  # else either ends early
    assert kinds(other) == kinds(alone)


def test_a_tree_whose_run_goes_another_way_is_searched_and_so_are_all_after_it(
    laboratory_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ground is taken away: whatever differs is said to be untouched."""
    monkeypatch.setattr(Difference, "is_untouched", lambda *_: True)
    laboratory = laboratory_of()
    searches = AlikeSearches(laboratory, scenario("writer-writer"), preemptions=1, budget=Budget())
    first = searches.explore(laboratory.natural("empty"))
    parted = searches.explore(laboratory.natural("published"))
    later = searches.explore(laboratory.natural("empty"))
    assert [each.alike for each in (first, parted, later)] == ["", "", ""]
