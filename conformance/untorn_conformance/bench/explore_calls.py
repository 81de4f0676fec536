"""What a gated call costs: a loop of one call by one worker, held and let go each time, and bare.

Rule 1: the supervisor does all that it does in a search but for choosing: it resolves the paths,
        works out the footprint, holds, performs or lets go, and waits until all stands still.
Rule 2: worker, keeper and supervisor share one core, or may use all; the bare loop alike.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from untorn_stress.gate.hosting import Keeper, Order
from untorn_stress.gate.supervisor import Rules, Supervisor
from untorn_stress.gate.world import World

from untorn_conformance.bench import explore_loop
from untorn_conformance.bench.explore_site import Site, environment, one_core, pinned
from untorn_conformance.bench.row import Goal, Of, Row, Unit, measured
from untorn_conformance.bench.timing import Case, interleave

_GOAL = Goal(Of.MEDIAN, 20)
_LOOP = (sys.executable, "-m", "untorn_conformance.bench.explore_loop")


def measure(site: Site) -> list[Row]:
    """A held stat and mkdir, and a stat outside the root, on one core and on all."""
    site.say(f"gated calls, {site.plan.calls} a turn")
    cases: dict[str, Case] = {}
    everywhere = os.sched_getaffinity(0)
    places = {"one core": {one_core()}}
    if len(everywhere) > 1:
        places[f"{len(everywhere)} cores"] = everywhere
    with ExitStack() as stack:
        for place, cores in places.items():
            bench = stack.enter_context(_bench(site, place, cores))
            for call in explore_loop.CALLS:
                cases[f"gated {call}, {place}"] = bench.held(call)
                cases[f"bare {call}, {place}"] = bench.bare(call)
            cases[f"stat outside the root, {place}"] = bench.outside("stat")
        samples = interleave(cases, site.plan.rounds)
    rows = []
    for place in places:
        for call in explore_loop.CALLS:
            bare = f"bare {call}, {place}"
            rows.append(
                measured(
                    f"gated {call}, {place}", Unit.US, samples[f"gated {call}, {place}"],
                    floor=(f"bare {call}", samples[bare]), goal=_GOAL,
                    note=f"the mean of {site.plan.calls} calls a turn, below the root",
                )
            )  # fmt: skip
        rows.append(
            measured(
                f"stat outside the root, {place}", Unit.US,
                samples[f"stat outside the root, {place}"],
                floor=("bare stat", samples[f"bare stat, {place}"]),
                note="seen by the filter, found to concern nobody, let go",
            )
        )  # fmt: skip
    return rows


class _Bench:
    """One keeper and one bare loop on the same processors."""

    def __init__(
        self, keeper: Keeper, bare: subprocess.Popen[bytes], home: Path, cores: set[int], count: int
    ) -> None:
        self._keeper = keeper
        self._bare = bare
        self._root = home / "root"
        self._outside = home / "outside"
        self._outside.mkdir()
        self._cores = cores
        self._count = count

    def held(self, call: str) -> Case:
        """Each call is held, and let go by a supervisor."""
        return lambda: self._gated(call, self._root)

    def outside(self, call: str) -> Case:
        """Each call is outside the root."""
        return lambda: self._gated(call, self._outside)

    def bare(self, call: str) -> Case:
        """No call knows of a gate."""

        def turn() -> Sequence[float]:
            self._empty()
            stdin, stdout = self._bare.stdin, self._bare.stdout
            assert stdin is not None
            assert stdout is not None
            stdin.write(explore_loop.request(call, str(self._root), self._count))
            stdin.flush()
            return [json.loads(stdout.readline())]

        return turn

    def _gated(self, call: str, folder: Path) -> Sequence[float]:
        self._empty()
        world = World(str(self._root))
        answers: list[bytes] = []
        supervisor = Supervisor(world, Rules(), lambda _worker, line: answers.append(line))
        with pinned(self._cores):
            worker, _ = self._keeper.start(Order(letter="A", chance="bench"))
            try:
                supervisor.add(worker)
                world.begin()
                worker.begin(world)
                worker.send(explore_loop.request(call, str(folder), self._count))
                supervisor.settle()
                while held := supervisor.options():
                    supervisor.take(held[0])
            finally:
                worker.close()
        return [json.loads(answers[0])]

    def _empty(self) -> None:
        shutil.rmtree(self._root, ignore_errors=True)
        self._root.mkdir(mode=0o700)


@contextmanager
def _bench(site: Site, place: str, cores: set[int]) -> Iterator[_Bench]:
    home = site.fresh(f"calls on {place}")
    with ExitStack() as stack:
        with pinned(cores):
            keeper = stack.enter_context(Keeper(_LOOP, env=environment(), stderr=home / "stderr"))
            bare = subprocess.Popen(
                [*_LOOP, explore_loop.BARE],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(),
                start_new_session=True,
            )  # fmt: skip
        stack.enter_context(bare)
        stack.callback(bare.kill)  # called before the wait that Popen's own exit is
        yield _Bench(keeper, bare, home, cores, site.plan.calls)
