"""Plans of the concurrent machine: who does what, from which tree, and when somebody else moves.

Rule 1: a plan is drawn whole before anything is run, and no draw depends on what the backend does:
        all its numbers are taken modulo what there is.
Rule 2: the simplest plan is one worker with one task from the empty tree; where a plan has no turn
        whoever moved last goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import given, seed
from hypothesis import strategies as st
from untorn_conformance.suite.drawing import any_of, numbers, some_of
from untorn_conformance.suite.hunting import Hunt, ShownError
from untorn_stress.composition import Composition, Task, TaskKind, composed
from untorn_stress.explore import Budget
from untorn_stress.explorer import Exploration, Explored, Found, bounded
from untorn_stress.laboratory import Laboratory
from untorn_stress.run import Finding, is_kill
from untorn_stress.scenarios import TREES
from untorn_stress.schedulers.planned import Planned, Turn
from untorn_stress.start import Start

FAULTS_MAX = 1
"""Faults of one run: what two deaths at once show, a crash of everything shows as well."""

TURNS_MAX = 4
FIRST_TREES = 4
STEPS_MAX = 16
"""Between two turns. A publish takes 20 to 40 steps; turns add up."""

WRITE = Task(kind=TaskKind.WRITE, label="k")
READ = Task(kind=TaskKind.READ, label="k")
COLLECT = Task(kind=TaskKind.COLLECT)
OTHERS = (Task(kind=TaskKind.WRITE, label="l"), Task(kind=TaskKind.READ, label="l"))
TASKS = (WRITE, READ, COLLECT, WRITE, WRITE, WRITE, COLLECT, WRITE, *OTHERS)
"""What is drawn from: mostly one key, and mostly its writers, since those race."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """One run to be; ``tree`` counts among the natural trees or the harvested ones."""

    composition: Composition
    harvested: bool
    tree: int
    turns: tuple[Turn, ...]

    @property
    def operations(self) -> int:
        """How many tasks there are in all."""
        return sum(map(len, self.composition))


def plans() -> st.SearchStrategy[Plan]:
    """Any plan; smaller is fewer workers, tasks and turns."""
    return st.builds(
        Plan,
        composition=_compositions(),
        harvested=any_of((False, True, True, True)),
        tree=_trees(),
        # Most races need one turn at the right step, and a second one only spoils them.
        turns=some_of(_turns(), (0, 1, 1, 1, 1, 2, 2, TURNS_MAX)),
    )


def _turns() -> st.SearchStrategy[Turn]:
    """Another takes over; or, less often, a fault, of which there may be many to choose from."""
    return st.builds(
        lambda fault, actor, which, after: Turn(
            after=after, choice=1 + which if fault else actor, fault=fault
        ),
        any_of((False, False, False, True)),
        any_of((0, 1, 2, 1, 1, 1, 2, 1)),
        numbers(32),
        numbers(STEPS_MAX),
    )


def _compositions() -> st.SearchStrategy[Composition]:
    """One to three workers, each with tasks of its own or all with the same: likes race most."""
    tasks = some_of(any_of(TASKS), (1, 1, 1, 2))
    own = some_of(tasks, (1, 2, 2, 3))
    return st.builds(
        lambda lists, alike: (lists[0],) * len(lists) if alike else lists, own, st.booleans()
    )


def _trees() -> st.SearchStrategy[int]:
    """The first ones more often: what crashes of a removal left is stumbled over most."""
    return st.builds(
        lambda first, number: number % FIRST_TREES if first else number,
        any_of((True, True, False)),
        numbers(64),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A plan that was run, and shows ``found``; what it came to is counted."""

    found: Found
    preemptions: int
    faults: int


Trees = tuple[list[Start], list[Start]]
"""The natural trees that the backend can be brought to, and its crash states."""


def trees_of(laboratory: Laboratory) -> Trees:
    """Make them all. Raises what gets out of hand, and TreeUnavailableError where none can be."""
    laboratory.natural("empty")
    natural = [laboratory.natural(name) for name in TREES if not laboratory.why_not(name)]
    return natural, list(laboratory.harvest().values())


class _FoundAgain(Exception):  # noqa: N818 (no error: what was looked for)
    """A search met what is hunted."""

    def __init__(self, found: Found) -> None:
        super().__init__()
        self.found = found


class Machine:
    """Runs plans on a laboratory. ``found`` has the first of each kind that was shown.

    ``smallest`` is what was hunted, of fewest operations and of these with fewest preemptions.
    ``doubts`` says what kept runs from being judged.
    """

    def __init__(
        self,
        laboratory: Laboratory,
        trees: Trees,
        hunt: Hunt[Plan, Shown],
        *,
        wanted: Callable[[Finding], bool] = lambda _: True,
        on_found: Callable[[Found], object] = lambda _: None,
    ) -> None:
        self._laboratory = laboratory
        self._hunt = hunt
        self._wanted = wanted
        self._on_found = on_found
        self._hunted: tuple[str, str] | None = None
        self._trees = trees
        self.smallest: Shown | None = None
        self.found: dict[tuple[str, str], Found] = {}
        self.doubts: dict[str, None] = {}
        self.is_out_of_hand = False

    def run(self, examples: int) -> None:
        """Draw and run plans, and shrink what is found first."""
        for drawn in self._hunt.rounds(examples):

            @drawn.settings  # above the seed, which would take its database
            @seed(drawn.seed)
            @given(plans())
            def machine(plan: Plan) -> None:
                self._hunt.try_out(plan, lambda: self.make(plan))

            try:
                machine()
            except ShownError:
                assert self._hunt.smallest is not None
                self.smallest = self.least_interrupted(*self._hunt.smallest)
                return

    def least_interrupted(self, plan: Plan, shown: Shown) -> Shown:
        """The same finding of the same operations, with as few preemptions as can be.

        Who has to be interrupted later for one turn to do what three do is not come to by making
        numbers smaller; a search from few preemptions to many comes to it at once.
        """
        for preemptions in range(shown.preemptions):
            kills = sum(map(is_kill, shown.found.run.choices))
            errnos = shown.faults - kills
            scheduler, words = bounded(preemptions, kills, errnos)
            search = Exploration(
                self._laboratory,
                composed(plan.composition),
                self._start_of(plan),
                scheduler,
                described=f"machine, {self._hunt.wheel.said}, {words}",
                budget=Budget(seconds=self._hunt.left_s),
                on_found=self._stop_at_hunted,
                kills=kills > 0,
                errnos=errnos > 0,
            )
            try:
                search.run()
            except _FoundAgain as again:
                return Shown(found=again.found, preemptions=preemptions, faults=shown.faults)
        return shown

    def _stop_at_hunted(self, found: Found) -> None:
        if self._is_hunted(found):
            raise _FoundAgain(found)

    def smallest_first(self) -> list[Found]:
        """One finding of each kind: the one that was shrunk, then those that were met on the way.

        There must have been one.
        """
        assert self.smallest is not None
        smallest = self.smallest.found
        others = [each for kind, each in self.found.items() if kind != _kind(smallest)]
        return [smallest, *others]

    def first_of(self, found: Found) -> Found:
        """The first of its kind."""
        return self.found[_kind(found)]

    def make(self, plan: Plan) -> Shown | None:
        """Run a plan: what it shows of what is hunted, or None."""
        if self.is_out_of_hand:
            return None
        scheduler = Planned(plan.turns, faults=FAULTS_MAX)
        has_faults = any(each.fault for each in plan.turns)
        explored = Exploration(
            self._laboratory,
            composed(plan.composition),
            self._start_of(plan),
            scheduler,
            described=f"machine, {self._hunt.wheel.said}",
            kills=has_faults,
            errnos=has_faults,
            must_fail=False,
        ).run()
        self._take_in(explored)
        found = next(filter(self._is_hunted, explored.found), None)
        if found is None:
            return None
        self._hunted = _kind(found)
        return Shown(found=found, preemptions=scheduler.preemptions, faults=scheduler.faults_taken)

    def _start_of(self, plan: Plan) -> Start:
        natural, harvested = self._trees
        trees = harvested if plan.harvested and harvested else natural
        return trees[plan.tree % len(trees)]

    def _take_in(self, explored: Explored) -> None:
        for each in explored.found:
            if _kind(each) not in self.found:
                self.found[_kind(each)] = each
                self._on_found(each)
        doubts = [explored.undecided, explored.nondeterministic, *explored.unobserved]
        self.doubts.update(dict.fromkeys(filter(None, doubts)))
        self.is_out_of_hand |= bool(explored.undecided)

    def _is_hunted(self, found: Found) -> bool:
        if self._hunted is not None:
            return _kind(found) == self._hunted
        return self._wanted(found.finding)


def _kind(found: Found) -> tuple[str, str]:
    return found.finding.requirement, found.finding.rule
