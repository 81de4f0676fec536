"""Chapter L: after a fault everything goes on, and who holds one thing is in nobody's way."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from untorn_conformance import faults
from untorn_conformance.backend import Collected, Verb
from untorn_conformance.errors import BackendError
from untorn_conformance.farm import Farm
from untorn_conformance.moves import (
    assert_gives,
    collect,
    frames,
    has,
    key,
    must_hit,
    publish,
    put,
    recover,
    stage,
)
from untorn_conformance.pauses import stop_in_collect
from untorn_conformance.place import Damage, damage, put_and_find
from untorn_conformance.plugin import requires
from untorn_stress.worker import Worker

DAY_S = 86400.0
DISK_BYTES = 2 << 20


def a_writer_is_killed(farm: Farm, worker: Worker) -> None:
    """While it stages and after it has staged."""
    del worker
    for verb_is_done in (True, False):
        victim = farm.worker()
        staging = victim.send(Verb.STAGE, key=key("k"), files=farm.files(frames("dead")))
        if verb_is_done:
            victim.receive(staging)
        victim.kill()


def a_writer_is_stopped(farm: Farm, worker: Worker) -> None:
    """With staged work, for good."""
    del worker
    victim = farm.worker()
    stage(farm, victim, "k", frames("stopped"))
    victim.stop()


def the_root_is_read_only(farm: Farm, worker: Worker) -> None:
    """A publish fails for want of permission."""
    handle = stage(farm, worker, "k", frames("after"))
    with faults.write_protected(farm.root):
        answer = worker.call(Verb.PUBLISH, handle=handle)
    worker.call(Verb.RELEASE, handle=answer.handle)


def descriptors_run_out(farm: Farm, worker: Worker) -> None:
    """A publish and a lookup fail for want of descriptors."""
    handle = stage(farm, worker, "k", frames("after"))
    with faults.descriptor_limit(worker.pid, spare=0):
        answer = worker.call(Verb.PUBLISH, handle=handle)
        worker.call(Verb.LOOKUP, key=key("k"))
    worker.call(Verb.RELEASE, handle=answer.handle)


def an_entry_is_damaged(farm: Farm, worker: Worker) -> None:
    """Its files are gone, its directory is there."""
    damage(farm, put_and_find(farm, worker, "k"), Damage.EMPTIED)


def the_root_is_emptied(farm: Farm, worker: Worker) -> None:
    """Somebody runs rm -r on all that is below it."""
    put(farm, worker, "k")
    _empty(farm.root)


def the_root_is_replaced(farm: Farm, worker: Worker) -> None:
    """Somebody moves the directory itself away, whole, and makes another under its name."""
    put(farm, worker, "k")
    status = farm.root.stat()
    farm.root.rename(farm.outside / "old root")
    farm.root.mkdir(mode=0o700)
    os.chown(farm.root, status.st_uid, status.st_gid)


def a_collector_is_killed(farm: Farm, worker: Worker) -> None:
    """In the middle of its evictions."""
    del worker
    stop_in_collect(farm, victims=60).collector.kill()


def a_collector_is_stopped(farm: Farm, worker: Worker) -> None:
    """In the middle of its evictions, for good."""
    del worker
    stop_in_collect(farm, victims=60)


def _empty(root: Path) -> None:
    for child in root.iterdir():
        if child.is_dir():
            shutil.rmtree(child)
        else:
            child.unlink()


FAULTS = (
    a_writer_is_killed,
    a_writer_is_stopped,
    descriptors_run_out,
    an_entry_is_damaged,
    the_root_is_emptied,
    the_root_is_replaced,
    a_collector_is_killed,
    a_collector_is_stopped,
)


def goes_on(farm: Farm, survivor: Worker) -> None:
    """Who was there and who comes now publish the key of the fault and a new one, and read them."""
    both = (survivor, farm.worker())
    for number, worker in enumerate(both):
        for label in ("k", f"new {number}"):
            answer = publish(farm, worker, label, frames("after"))
            assert_gives(worker, answer, frames("after"))
            worker.call(Verb.RELEASE, handle=answer.handle)
            for reader in both:
                assert_gives(reader, must_hit(reader, label), frames("after"))


@pytest.mark.parametrize("fault", FAULTS)
@requires("L2", evidence="each fault once; then 2 keys by a survivor and by a new process")
def test_L2_after_the_fault_everything_goes_on(
    farm: Farm, fault: Callable[[Farm, Worker], None]
) -> None:
    """No fault leaves a key that cannot be published and read."""
    survivor = farm.worker()
    fault(farm, survivor)
    goes_on(farm, survivor)


@requires("L2", evidence="one publish into a root that was read-only for a while")
def test_L2_after_a_read_only_root_everything_goes_on(farm: Farm) -> None:
    """Permission that comes back is used: a failure is not remembered."""
    uid = farm.unprivileged_uid
    survivor = farm.worker(uid=uid)
    put(farm, survivor, "a neighbour")
    the_root_is_read_only(farm, survivor)
    for worker in (survivor, farm.worker(uid=uid)):
        recover(farm, worker, "k", frames("after"))


@requires("L2", evidence="one stage of twice the size of a full disk, then a collect")
def test_L2_after_a_full_disk_everything_goes_on(farm: Farm) -> None:
    """Room that comes back is used, and what did not fit is in nobody's way."""
    small = faults.small_file_system(farm.root, size_bytes=DISK_BYTES, inodes=1000)
    worker = farm.worker(inside=small)
    too_large = frames("too large", count=8, size_bytes=DISK_BYTES // 4)
    with contextlib.suppress(BackendError):  # how it says so is the business of chapter D
        put(farm, worker, "old", frames("old", size_bytes=DISK_BYTES // 8))
        answer = publish(farm, worker, "k", too_large)
        worker.call(Verb.RELEASE, handle=answer.handle)
    collect(worker)
    for label in ("k", "new"):
        recover(farm, worker, label, frames("after", size_bytes=DISK_BYTES // 8))


@requires("L3", evidence="one stopped holder of an entry among 5, one collect with budget 0")
def test_L3_a_stopped_holder_blocks_no_collect_of_others(farm: Farm) -> None:
    """One long hold protects one entry; the collect answers, and the others go."""
    holder, collector = farm.worker(), farm.worker()
    labels = [f"k{number}" for number in range(5)]
    for label in labels:
        put(farm, holder, label, frames(label))
    must_hit(holder, labels[2])
    farm.age(10 * DAY_S)
    holder.stop()
    answer = collector.call(Verb.COLLECT, budget_bytes=0, min_age_s=0.0, dry_run=False)
    assert isinstance(answer, Collected), answer
    assert answer.evicted >= len(labels) - 1
    others = [label for label in labels if label != labels[2]]
    assert not any(has(collector, label) for label in others)


@requires("L3", evidence="one stopped holder, 5 other keys published, hit and collected")
def test_L3_a_stopped_holder_blocks_no_use_of_others(farm: Farm) -> None:
    """Who holds one key is in nobody's way at another."""
    holder, worker = farm.worker(), farm.worker()
    put(farm, holder, "held")
    must_hit(holder, "held")
    holder.stop()
    for number in range(5):
        recover(farm, worker, f"k{number}", frames(f"w{number}"))
