"""Gather schedules that fail: ``python -m untorn_conformance.meta.gather``; it takes minutes.

Rule 1: specimens, and mutants that schedules or deaths show, are run in scenarios that show them,
        from their natural trees; two writers of a specimen from some that a crash leaves.
Rule 2: schedules are searched (few preemptions, one kill) and drawn from fixed seeds (pct);
        then those near what failed are tried, with some neighbouring steps exchanged. Each finding
        gives as many as it can, up to a share.
Rule 3: what is kept was replayed and showed the same: at once, and again on a file system that
        lists directories in another order, where there is one.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from untorn_conformance.meta.gathered import (
    FILE,
    Gathered,
    Key,
    astray,
    laboratory,
    outcome,
    replayed,
    sample,
    write,
)
from untorn_stress.explore import Budget, Search
from untorn_stress.gated import GatedSystem
from untorn_stress.laboratory import Laboratory
from untorn_stress.run import Run, is_kill
from untorn_stress.scenario import Scenario
from untorn_stress.scenarios import scenario
from untorn_stress.schedulers.choices import going_on, labelled
from untorn_stress.schedulers.dfs_bounded import BoundedDfs
from untorn_stress.schedulers.pct import Pct
from untorn_stress.schedulers.protocol import (
    Ending,
    Moment,
    Option,
    ScheduleMismatchError,
    Scheduler,
)
from untorn_stress.start import Start
from untorn_stress.token import Token

WANTED: Final = 1000
SHARE: Final = 45
"""How many schedules one finding of one backend in one scenario gives at most."""

PATIENCE: Final = 25
"""How many runs a search may go on without anything new."""

MOST_RUNS: Final = 120
"""How many runs a search may make in all."""

DRAWN: Final = 30
"""How many schedules are drawn from each tree."""

EXCHANGED: Final = 3
"""How many pairs of steps are exchanged at most."""

TREES: Final = 5
"""From how many crash states a specimen is run."""

ELSEWHERE: Final = Path("/dev/shm")

_SPECIMEN: Final = "py:untorn_conformance.specimens.{}"
_MUTANT: Final = "py:untorn_conformance.mutants.{}:factory"

_SEED_SCENARIOS: Final = (
    "writer-writer",
    "adopt",
    "repair",
    "reader-collector",
)
"""None of a collector beside who changes directories, another collector included: the specimens'
collector compares its clock, which it read before its first step, with the time of the change: no
schedule says which was first."""

PLACES: Final[dict[str, tuple[str, ...]]] = {
    **{
        _SPECIMEN.format(name): _SEED_SCENARIOS
        for name in (
            "first_posted:factory",
            "after_review:factory",
            "first_posted:factory_reversed",
            "after_review:factory_reversed",
        )
    },
    _MUTANT.format("no_lease"): ("reader-collector", "reader-writer-collector"),
    _MUTANT.format("ruin_unlocked"): ("repair",),
    _MUTANT.format("wedging_lock_file"): ("writer-writer", "reader-writer"),
}
"""Where each backend is run.

Left out: ``copied_into_place``, since in an entry of two writers the stamps of their files decide
whether it looks altered, and ``shared_staging``, which goes on outside the root.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """A way to come by schedules, in the words of the token, and whether deaths are offered."""

    scheduler: Scheduler
    described: str
    kills: bool = False


def ways(seed: int) -> Iterator[Way]:
    """Every way that needs no schedule to begin with, those that find most first."""
    yield Way(scheduler=BoundedDfs(preemptions=1), described="at most 1 preemption")
    yield Way(
        scheduler=BoundedDfs(preemptions=0, faults=1),
        described="at most 0 preemptions and 1 kill",
        kills=True,
    )
    yield Way(scheduler=Pct(seed=seed, runs=DRAWN, depth=4), described=f"pct d=4 seed={seed}")


class Nearby:
    """Schedules near known ones: a few pairs of neighbouring steps of two workers are exchanged.

    Where the step that comes next is not on offer any more, whoever moved last goes on.
    """

    def __init__(self, known: Sequence[tuple[str, ...]], *, seed: int) -> None:
        self._known = known
        self._rng = random.Random(seed)
        self._left: list[str] = []

    def begin(self) -> bool:
        """Draw one of the known schedules, and exchange some of its steps."""
        labels = list(self._rng.choice(self._known))
        for _ in range(self._rng.randint(1, EXCHANGED)):
            pairs = [at for at in range(1, len(labels)) if labels[at - 1] != labels[at]]
            if pairs:
                at = self._rng.choice(pairs)
                labels[at - 1], labels[at] = labels[at], labels[at - 1]
        self._left = labels[::-1]
        return True

    def choose(self, moment: Moment) -> Option:
        """The next step of the schedule that can be taken."""
        while self._left:
            option = labelled(moment.options, self._left.pop())
            if option is not None:
                return option
        return going_on(moment.options, moment.executed.actor if moment.executed else "")

    def end(self, ending: Ending) -> None:
        """Learn nothing."""


class Gatherer:
    """Collects what fails; ``kept`` by finding."""

    def __init__(self) -> None:
        self.kept: dict[tuple[Key, tuple[str, ...], str], Gathered] = {}
        self.of_key: Counter[Key] = Counter()

    def visit(self, opened: Laboratory, played: Scenario, start: Start, way: Way) -> None:
        """Search in one way from one tree, until nothing new comes."""
        system = opened.system(played, start, kills=way.kills)
        since = 0
        for result in Search(system, way.scheduler, Budget(runs=MOST_RUNS)):
            since = 0 if self._take(opened, system, result.run, way) else since + 1
            if since == PATIENCE:
                return

    def look_around(self, opened: Laboratory, played: Scenario, start: Start, seed: int) -> None:
        """Search near what has failed from this tree."""
        known = [
            each.token.choices
            for each in self.kept.values()
            if (each.token.backend, each.token.scenario, each.token.tree)
            == (opened.subject.spec, played.name, start.name)
        ]
        if known:
            kills = any(is_kill(label) for labels in known for label in labels)
            nearby = Nearby(known, seed=seed)
            way = Way(scheduler=nearby, described=f"near others seed={seed}", kills=kills)
            self.visit(opened, played, start, way)

    def _take(self, opened: Laboratory, system: GatedSystem, run: Run, way: Way) -> bool:
        """Keep the run for one of its findings that has had the fewest yet."""
        if run.cut or run.unobserved or not run.findings:
            return False
        spec = opened.subject.spec
        keys = {(spec, run.scenario, each.row, each.rule) for each in outcome(run)}
        key = min(keys, key=lambda each: (self.of_key[each], each))
        if self.of_key[key] == SHARE or (key, run.choices, run.tree) in self.kept:
            return False
        token = Token(
            backend=spec,
            identity=opened.subject.identity,
            scenario=run.scenario,
            tree=run.tree,
            grain=opened.grain,
            locks=system.scenario.locks.value,
            seed=run.seed,
            bound=way.described,
            choices=run.choices,
        )
        if not _comes_again(system, token, run):
            sys.stderr.write(f"did not come again: {token.encode()}\n")
            return False
        kept = Gathered(row=key[2], rule=key[3], token=token)
        self.kept[key, run.choices, run.tree] = kept
        self.of_key[key] += 1
        return True


def _comes_again(system: GatedSystem, token: Token, run: Run) -> bool:
    try:
        return outcome(replayed(system, token)) == outcome(run)
    except ScheduleMismatchError:
        return False


def starts(opened: Laboratory, played: Scenario) -> Iterator[Start]:
    """The natural tree; for the specimens' two writers, whose race needs more, crash states.

    An entry of the reference says in which boot it was sealed, so its crash states have other names
    in the next one.
    """
    if ".specimens." in opened.subject.spec and played.name == "writer-writer":
        yield from list(opened.harvest().values())[:TREES]
    else:
        yield opened.natural(played.tree)


def gather_from(backend: str, seed: int) -> list[Gathered]:
    """All that one backend gives."""
    gatherer = Gatherer()
    with laboratory(backend, seed) as opened:
        for played in map(scenario, PLACES[backend]):
            for start in starts(opened, played):
                for way in ways(seed):
                    gatherer.visit(opened, played, start, way)
                gatherer.look_around(opened, played, start, seed)
            sys.stderr.write(f"{backend} {played.name}: {len(gatherer.kept)} schedules\n")
    return _steady(list(gatherer.kept.values()))


def _steady(gathered: list[Gathered]) -> list[Gathered]:
    """Those that show the same on the other file system, too."""
    if not ELSEWHERE.is_dir():
        return gathered
    with tempfile.TemporaryDirectory(dir=ELSEWHERE) as base:
        lost = astray(gathered, times=1, base=Path(base))
    for each, why in lost.items():
        sys.stderr.write(f"not so elsewhere: {each.token.encode()}: {why}\n")
    return [each for each in gathered if each not in lost]


def main() -> None:
    """Gather, and write the file anew."""
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as workers:
        gathered = list(workers.map(gather_from, PLACES, range(1, len(PLACES) + 1)))
    chosen = sample([each for group in gathered for each in group], WANTED)
    order = {key: number for number, key in enumerate(dict.fromkeys(each.key for each in chosen))}
    write(sorted(chosen, key=lambda each: order[each.key]), FILE)
    sys.stderr.write(f"{len(chosen)} of {len(order)} findings written to {FILE}\n")


if __name__ == "__main__":
    main()
