"""Searching one scenario from many trees, and those alike for all that was touched only once.

Crash states differ mostly in debris that nobody looks at: what a dead writer had staged so far,
what is left in a trash. Where ``resemblance`` shows that a search went the same way from another
tree, the search is not made again.

Rule 1: a tree is searched unless a search before, which was exhaustive and without a finding or a
        doubt, touched nothing in which the two trees differ; what opening the root touches counts,
        and is watched for that.
Rule 2: each run without a preemption is made all the same, judged as ever and compared moment by
        moment. One that goes another way refutes the ground: its tree is searched, and none is
        taken for alike from then on.
Rule 3: what the other runs would leave of the tree is put there, once for each distinct state, and
        fresh workers look at it: no verdict is taken over. A finding, or trouble, has the tree
        searched: it is the search that finds.
Rule 4: workers that live on between runs may remember: foreign ones are searched each time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from untorn_stress.explore import Budget
from untorn_stress.explorer import OUT_OF_HAND, Exploration, Explored, bounded
from untorn_stress.gated import GatedSystem
from untorn_stress.laboratory import Laboratory
from untorn_stress.resemblance import Difference, difference, spliced
from untorn_stress.rules.history import Aftermath
from untorn_stress.run import Run
from untorn_stress.scenario import Scenario
from untorn_stress.schedulers.protocol import Footprint, Moment, Option
from untorn_stress.schedulers.replay import Replay
from untorn_stress.start import Start
from untorn_stress.tree_restore import Restorer


@dataclass(frozen=True, kw_only=True, slots=True)
class _Left:
    """A run that was made to its end, and what it left."""

    run: Run
    start: Start


@dataclass(frozen=True, kw_only=True, slots=True)
class _Searched:
    """A search of which others may be taken for the same: all that it touched, and left."""

    start: Start
    explored: Explored
    touched: Footprint
    left: tuple[_Left, ...]
    straight: list[Moment] = field(default_factory=list)

    def differs_from(self, start: Start) -> Difference:
        """In what the trees differ."""
        later_ns = int((start.taken_s - self.start.taken_s) * 1e9)
        return difference(self.start.tree, start.tree, later_ns=later_ns)


class AlikeSearches:
    """Bounded searches of one scenario; ``explore`` gives that of one tree."""

    def __init__(
        self, laboratory: Laboratory, scenario: Scenario, *, preemptions: int, budget: Budget
    ) -> None:
        self._laboratory = laboratory
        self._scenario = scenario
        self._preemptions = preemptions
        self._budget = budget
        self._restorer = Restorer(laboratory.root)
        self._searched: list[_Searched] = []
        self._is_refuted = False

    def explore(self, start: Start) -> Explored:
        """What a search from the tree gives, made or not."""
        for searched in self._searched:
            differs = searched.differs_from(start)
            if differs.is_untouched(searched.touched) and not self._is_refuted:
                try:
                    explored = self._as_from(searched, start, differs)
                except OUT_OF_HAND:
                    break  # the search meets it, too, and says what it is
                return explored or self._search(start)
        return self._search(start)

    def _search(self, start: Start) -> Explored:
        scheduler, described = bounded(self._preemptions)
        left: list[_Left] = []

        def keep(run: Run, start: Start) -> None:
            left.append(_Left(run=run, start=start))

        explored = Exploration(
            self._laboratory,
            self._scenario,
            start,
            scheduler,
            described=described,
            budget=self._budget,
            on_left=keep,
        ).run()
        if explored.exhaustive and scheduler.exhaustive and not explored.found:
            touched = scheduler.objects.touched_by_all.joined(self._opening(start))
            if not touched.opaque:
                self._searched.append(
                    _Searched(start=start, explored=explored, touched=touched, left=tuple(left))
                )
        return explored

    def _opening(self, start: Start) -> Footprint:
        """What the workers touch when they open the root; opaque where that is not known."""
        ensemble, rules = self._laboratory.workers(self._scenario)
        if not ensemble.is_hosted:
            return Footprint(opaque=True)
        self._restorer.restore(start.tree_at(time.time()))
        try:
            return ensemble.touched_by_opening(
                len(self._scenario.programs), rules, f"{self._laboratory.seed}:run"
            )
        except OUT_OF_HAND:
            return Footprint(opaque=True)

    def _as_from(self, searched: _Searched, start: Start, differs: Difference) -> Explored | None:
        """The other's search, as far as it is this tree's; None where it must be made."""
        began_s = time.monotonic()
        if not searched.straight:
            searched.straight.extend(self._straight(searched.start)[0])
        moments, found = self._straight(start)
        if moments != searched.straight:
            self._is_refuted = True
            return None
        if found or not self._holds(searched, start, differs):
            return None
        return replace(
            searched.explored,
            tree=start.name,
            made=1,
            seconds=time.monotonic() - began_s,
            alike=searched.start.name,
        )

    def _straight(self, start: Start) -> tuple[list[Moment], bool]:
        """The moments of the run without a preemption, and whether it shows anything."""
        replay, moments = Replay(()), []

        def choose(moment: Moment) -> Option | None:
            moments.append(moment)
            return replay.choose(moment)

        made = self._system(start).run(choose)
        doubt = made.run.findings or made.run.unobserved
        return moments, bool(doubt)

    def _holds(self, searched: _Searched, start: Start, differs: Difference) -> bool:
        """Whether nothing is found in what the runs would leave of the tree."""
        system = self._system(start)
        looked: dict[str, Aftermath] = {}
        for left in searched.left:
            now_s = time.time()
            tree = spliced(left.start.tree_at(now_s), start.tree_at(now_s), differs)
            digest = self._laboratory.digest(tree)
            if digest not in looked:
                self._restorer.restore(tree)
                looked[digest] = system.look_afterwards(tree)
            run = replace(left.run, tree=start.name)
            if system.judge_left(run, tree, looked[digest]):
                return False
        return True

    def _system(self, start: Start) -> GatedSystem:
        return self._laboratory.system(self._scenario, start)
