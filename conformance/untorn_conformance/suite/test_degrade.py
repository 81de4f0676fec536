"""Chapter D: trouble with the root means "uncached": the same frames, and all well afterwards.

Permissions mean nothing to root, so where the harness is root these workers are another user's.
Each case sees that its obstacle was one: the publish that meets it must be told unpublished.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from untorn_conformance import moves
from untorn_conformance.backend import Miss, Published, Unpublished, UnpublishedReason, Verb
from untorn_conformance.contract import Capability
from untorn_conformance.farm import Farm
from untorn_conformance.faults import write_protected
from untorn_conformance.moves import assert_gives, frames
from untorn_conformance.plugin import requires, unknown
from untorn_stress.worker import Worker


def give(path: Path, uid: int | None) -> None:
    """Make a path the worker's own, where that is not the harness' user."""
    if uid is not None:
        os.chown(path, uid, -1)


def below_a_file(farm: Farm, uid: int | None) -> tuple[Path, Callable[[], None]]:
    """A root whose parent is a file, and how that ends."""
    parent = farm.outside / "parent"
    parent.write_bytes(b"")

    def end() -> None:
        parent.unlink()
        parent.mkdir()
        give(parent, uid)

    return parent / "cache", end


def below_a_closed_directory(farm: Farm, uid: int | None) -> tuple[Path, Callable[[], None]]:
    """A root in whose parent nobody may make anything, and how that ends."""
    parent = farm.outside / "parent"
    parent.mkdir(mode=0o555)

    def end() -> None:
        parent.chmod(0o755)
        give(parent, uid)

    return parent / "cache", end


def without_permission(farm: Farm, uid: int | None) -> tuple[Path, Callable[[], None]]:
    """A root of the worker's own that it may neither read nor write, and how that ends."""
    root = farm.outside / "cache"
    root.mkdir()
    give(root, uid)
    root.chmod(0)
    return root, lambda: root.chmod(0o700)


OBSTACLES = (below_a_file, below_a_closed_directory, without_permission)


def open_at(worker: Worker, root: Path) -> None:
    """Open another root than the farm's."""
    worker.call(Verb.OPEN, root=str(root), env={}, clock_offset_s=0.0)


def publish_in_vain(farm: Farm, worker: Worker, label: str) -> Unpublished:
    """Publish where that cannot be: the answer, whose frames are those that were staged."""
    answer = moves.publish(farm, worker, label, frames(label))
    assert isinstance(answer, Unpublished), answer
    assert_gives(worker, answer, frames(label))
    worker.call(Verb.RELEASE, handle=answer.handle)
    return answer


@requires("D1", evidence="each obstacle once: open, lookup, 2 publishes, its end, publish, lookup")
@pytest.mark.parametrize("obstacle", OBSTACLES, ids=lambda each: str(each.__name__))
def test_D1_a_root_that_cannot_be_used(
    farm: Farm, obstacle: Callable[[Farm, int | None], tuple[Path, Callable[[], None]]]
) -> None:
    """Open is no error, lookups miss, frames are delivered; with the obstacle gone it works."""
    uid = farm.unprivileged_uid
    worker = farm.worker(uid=uid, open_root=False)
    root, end = obstacle(farm, uid)
    open_at(worker, root)
    assert isinstance(moves.look(worker, "a"), Miss)
    for label in "ab":
        publish_in_vain(farm, worker, label)
    end()
    moves.recover(farm, worker, "a", frames("again"))


@requires("D1", "P5", evidence="each obstacle once, one publish")
@pytest.mark.parametrize("obstacle", OBSTACLES, ids=lambda each: str(each.__name__))
def test_D1_says_errno_and_step(
    farm: Farm, obstacle: Callable[[Farm, int | None], tuple[Path, Callable[[], None]]]
) -> None:
    """Whoever wonders why nothing is cached is told the errno's name and where it was met."""
    uid = farm.unprivileged_uid
    worker = farm.worker(uid=uid, open_root=False)
    root, _ = obstacle(farm, uid)
    open_at(worker, root)
    answer = publish_in_vain(farm, worker, "a")
    assert answer.reason is UnpublishedReason.ERRNO
    assert answer.errno in errno.errorcode.values()
    assert answer.step


@requires("D1", evidence="every directory of the root write-protected under an open backend")
def test_D1_a_root_that_becomes_read_only(farm: Farm) -> None:
    """What is there is a whole hit or a miss, what is new is delivered; then all is well."""
    worker = farm.worker(uid=farm.unprivileged_uid)
    moves.put(farm, worker, "old", frames("old"))
    with write_protected(farm.root):
        moves.see(worker, "old", frames("old"))
        answer = moves.publish(farm, worker, "new", frames("new"))
        if isinstance(answer, Published):
            unknown("it publishes without making anything in a directory of its root")
        assert_gives(worker, answer, frames("new"))
        worker.call(Verb.RELEASE, handle=answer.handle)
    moves.recover(farm, worker, "new", frames("again"))


@requires("D1", evidence="the root deleted under an open backend, perhaps made again, once each")
@pytest.mark.parametrize("meanwhile", ["nothing", "made-again", "used-by-another"])
def test_D1_a_root_that_vanishes(farm: Farm, meanwhile: str) -> None:
    """Lookups miss, the next publish delivers its frames, and from then on it is a cache again."""
    worker, other = farm.worker(), farm.worker()
    moves.put(farm, worker, "a", frames("a"))
    shutil.rmtree(farm.root)
    if meanwhile != "nothing":
        farm.root.mkdir(mode=0o700)
    if meanwhile == "used-by-another":
        moves.recover(farm, other, "c", frames("c"))
    assert isinstance(moves.look(worker, "a"), Miss)
    answer = moves.publish(farm, worker, "b", frames("b"))
    assert_gives(worker, answer, frames("b"))
    moves.recover(farm, worker, "a", frames("again"))
    assert moves.has(other, "a")


@requires("D1", evidence="the root deleted where it cannot be made again, for one publish")
def test_D1_a_root_that_vanishes_for_a_while(farm: Farm) -> None:
    """Uncached meanwhile, and a cache again once the root is back."""
    uid = farm.unprivileged_uid
    worker = farm.worker(uid=uid, open_root=False)
    parent = farm.outside / "parent"
    parent.mkdir()
    give(parent, uid)
    open_at(worker, parent / "cache")
    moves.put(farm, worker, "a", frames("a"))
    shutil.rmtree(parent / "cache")
    with write_protected(parent):
        assert isinstance(moves.look(worker, "a"), Miss)
        publish_in_vain(farm, worker, "b")
    moves.recover(farm, worker, "a", frames("again"))


@requires("D1", evidence="the root renamed away between stage and publish, once")
def test_D1_a_root_that_is_moved_under_a_writer(farm: Farm) -> None:
    """The writer gets its frames, whatever became of the entry; then it is a cache again."""
    worker = farm.worker()
    handle = moves.stage(farm, worker, "a", frames("a"))
    farm.root.rename(farm.outside / "moved")
    answer = worker.call(Verb.PUBLISH, handle=handle)
    assert_gives(worker, answer, frames("a"))
    worker.call(Verb.RELEASE, handle=answer.handle)
    moves.recover(farm, worker, "a", frames("again"))


@requires("D3", evidence="2 processes, each with 2 opens, 3 publishes and 2 lookups in vain")
def test_D3_warns_once_a_process_and_cause(farm: Farm) -> None:
    """A render of a thousand clips must not say a thousand times that the disk is unusable."""
    farm.needs(Capability.LOG)
    root, _ = below_a_file(farm, None)
    for _ in range(2):
        worker = farm.worker(open_root=False)
        for label in "abc":
            open_at(worker, root)
            publish_in_vain(farm, worker, label)
            assert isinstance(moves.look(worker, label), Miss)
        events = worker.call(Verb.LOG).events
        causes = Counter(event.cause for event in events if event.level == "warning")
        assert causes
        assert set(causes.values()) == {1}, causes
