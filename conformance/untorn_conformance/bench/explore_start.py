"""What a run costs before its first step: a worker that meets the gate, and the tree put back.

worker    asked of the warm zygote until it is forked, has opened the root and handed its gate over
floor     a bare fork that ends at once, waited for; and beside it an interpreter started anew
tree      restored in place from one published entry to none, and back
floor     the root removed and copied anew
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from untorn_stress.laboratory import Laboratory
from untorn_stress.tree_restore import Restorer

from untorn_conformance.bench.explore_rate import workers
from untorn_conformance.bench.explore_site import REFERENCE, Site, laboratory, one_core, pinned
from untorn_conformance.bench.row import Row, Unit, measured
from untorn_conformance.bench.timing import Case, Samples, interleave, repeated

_START: Final = "start of a worker (fork, open, gate)"
_END: Final = "end of a worker (SIGKILL until its gate is gone)"
_FORK: Final = "bare os.fork + waitpid"
_ANEW: Final = "python -c pass"
_RESTORE: Final = "restore of the tree"
_COPY: Final = "rmtree + copytree"


def measure(site: Site) -> list[Row]:
    """Start and end of a worker, and the restore of a tree; all on one core."""
    site.say("start of a worker, restore of the tree")
    with pinned(), laboratory(site, REFERENCE) as lab, workers(lab) as ensemble:
        ends: list[float] = []

        def start_and_end() -> Sequence[float]:
            starts = []
            for _ in range(site.plan.starts):
                began_s = time.perf_counter()
                worker = ensemble.enter("A", "bench")
                started_s = time.perf_counter()
                ensemble.leave(worker, at_rest=True)
                ends.append(time.perf_counter() - started_s)
                starts.append(started_s - began_s)
            return starts

        cases: dict[str, Case] = {
            _START: start_and_end,
            _FORK: repeated(_fork, site.plan.starts),
            _ANEW: repeated(_interpreter, max(1, site.plan.starts // 10)),
            **_trees(site, lab),
        }
        samples = interleave(cases, site.plan.rounds)
    samples[_END] = Samples(tuple(ends[site.plan.starts :]))  # without the first round, as all are
    return _rows(samples)


def _rows(samples: dict[str, Samples]) -> list[Row]:
    note = f"the reference, all on processor {one_core()}"
    return [
        measured(_START, Unit.MS, samples[_START], floor=(_FORK, samples[_FORK]), note=note),
        measured(
            f"{_START} beside one anew", Unit.MS, samples[_START], floor=(_ANEW, samples[_ANEW])
        ),
        measured(_END, Unit.MS, samples[_END]),
        measured(
            _RESTORE, Unit.MS, samples[_RESTORE], floor=(_COPY, samples[_COPY]),
            note="one entry there and back: the mean of both ways; the copy brings back neither "
            "inodes nor times of directories",
        ),
    ]  # fmt: skip


def _fork() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _interpreter() -> None:
    subprocess.run([sys.executable, "-c", "pass"], check=True)


def _trees(site: Site, lab: Laboratory) -> dict[str, Case]:
    """Both ways to bring a tree back, each from the other tree."""
    trees = (lab.natural("empty").tree, lab.natural("published").tree)
    restorer = Restorer(lab.root)
    copies = []
    for number, tree in enumerate(trees):
        restorer.restore(tree)
        copies.append(site.home / f"copy-{number}")
        shutil.copytree(lab.root, copies[-1], symlinks=True)

    def restore() -> None:
        for tree in trees:
            restorer.restore(tree)

    def copy() -> None:
        for each in copies:
            shutil.rmtree(lab.root)
            shutil.copytree(each, lab.root, symlinks=True)

    return {
        _RESTORE: _half(restore, site.plan.starts),
        _COPY: _half(copy, site.plan.starts),
    }


def _half(there_and_back: Callable[[], None], times: int) -> Case:
    return lambda: [each / 2 for each in repeated(there_and_back, times)()]
