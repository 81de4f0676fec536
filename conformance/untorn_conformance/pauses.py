"""A collector stopped in the middle of its work: seen to have begun, and seen not to have ended."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import Final

from untorn_stress.worker import Pending, Worker

from untorn_conformance import moves
from untorn_conformance.backend import Verb
from untorn_conformance.cases import unknown
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_conformance.farm import Farm
from untorn_conformance.holdings import weights
from untorn_conformance.moments import await_moment

ATTEMPTS: Final = 5
"""How often a collect that ended before the stop is tried again, with new entries."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pause:
    """A stopped collector, its unanswered collect, and the entries that it has yet to evict."""

    collector: Worker
    pending: Pending
    left: tuple[str, ...]


def stop_in_collect(
    farm: Farm, *, victims: int = 100, keepers: int = 0, left_at_least: int = 0
) -> Pause:
    """Stop a collector by SIGSTOP after its first eviction; a collect too quick to stop is unknown.

    It evicts old `victims` and has room for the younger `keepers`; of the victims `left_at_least`
    are still there when it is stopped.
    """
    filler, collector = farm.worker(), farm.worker()
    for attempt in range(ATTEMPTS):
        old = _fill(farm, filler, f"old {attempt}", victims)
        farm.age(2 * max(1.0, farm.hello.limits.recency_resolution_s))
        light = sum(weights(farm).values())
        _fill(farm, filler, f"young {attempt}", keepers)
        budget = sum(weights(farm).values()) - light
        files = _files_of(farm, old)
        pending = collector.send(Verb.COLLECT, budget_bytes=budget, min_age_s=0.0, dry_run=False)
        await_moment(partial(_is_one_gone, files), "an eviction")
        collector.stop()
        left = tuple(label for label, path in files.items() if os.path.lexists(path))
        if not is_answered(collector, pending):
            if len(left) >= left_at_least:
                return Pause(collector=collector, pending=pending, left=left)
            collector.resume()
            collector.receive(pending)
        else:
            collector.resume()
        moves.collect(filler)
    return unknown(f"each of {ATTEMPTS} collects had done too much before it could be stopped")


def is_answered(worker: Worker, pending: Pending) -> bool:
    """Take the answer in if it is there, without waiting for it."""
    try:
        worker.receive(pending, deadline_s=0)
    except BackendError as error:
        if error.code is not ErrorCode.DEADLINE:
            raise
        return False
    return True


def _fill(farm: Farm, worker: Worker, prefix: str, count: int) -> list[str]:
    labels = [f"{prefix}.{number}" for number in range(count)]
    moves.put_many(farm, worker, {label: moves.frames(label) for label in labels})
    return labels


def _files_of(farm: Farm, labels: list[str]) -> dict[str, str]:
    """One file of each entry by its label, found by its bytes."""
    paths = {entry.sha256: path for path, entry in farm.tree().files().items()}
    first = {label: moves.digests(moves.frames(label).values())[0] for label in labels}
    if not paths.keys() >= set(first.values()):
        unknown("the backend does not keep its frames as plain files")
    return {label: str(farm.root / paths[digest]) for label, digest in first.items()}


def _is_one_gone(files: dict[str, str]) -> bool:
    return any(not os.path.lexists(path) for path in files.values())
