"""Chapter D, for backends that extract: no root, no room, no whole clip (D1, D4, D5)."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterable
from pathlib import Path

import pytest
from untorn_conformance import moments, moves, probe
from untorn_conformance.backend import Axis, Extracted, ExtractOutcome, Published, Verb
from untorn_conformance.barriers import Barrier
from untorn_conformance.cases import begins
from untorn_conformance.contract import Capability
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_conformance.farm import Farm
from untorn_conformance.faults import small_file_system
from untorn_conformance.moves import read_all
from untorn_conformance.plugin import not_applicable, requires, unknown
from untorn_fixtures.clips import clip
from untorn_stress import supervise
from untorn_stress.worker import Worker

DAY_S = 24 * 3600.0
MIB = 2**20
SMALL_BYTES = 64 * MIB
MANY_INODES = 10_000
FEW_INODES = 300
UNCOUNTED = 0
"""For a file system that says 0 of 0 inodes free, as btrfs does: there is no limit on them."""

FULL = f"a tmpfs of {SMALL_BYTES // MIB} MiB in a mount namespace of its own"


def inputs_of(path: Path, fps: str = "30") -> dict[Axis, str]:
    """A clip as png, by default at its own rate."""
    return {Axis.PATH: str(path), Axis.FPS: fps, Axis.FORMAT: "png"}


def extract(worker: Worker, path: Path) -> Extracted:
    """The frames of a clip."""
    answer = worker.call(Verb.EXTRACT, inputs=inputs_of(path))
    assert isinstance(answer, Extracted)
    return answer


def extract_and_release(worker: Worker, path: Path) -> tuple[ExtractOutcome, list[str]]:
    """Where the frames came from, and their digests."""
    answer = extract(worker, path)
    given = answer.outcome, read_all(worker, answer)
    worker.call(Verb.RELEASE, handle=answer.handle)
    return given


@requires("D1", evidence="one clip below a directory that is closed, and with a root, sequential")
def test_D1_extracts_without_a_root(farm: Farm) -> None:
    """The frames are those that a working cache gives."""
    farm.needs(Capability.EXTRACT)
    source = Path(shutil.copy(clip("sdr"), farm.outside / "sdr.mp4"))
    source.chmod(0o644)
    closed = farm.outside / "closed"
    closed.mkdir(mode=0o555)
    worker = farm.worker(uid=farm.unprivileged_uid)
    try:
        outcome, cached = extract_and_release(worker, source)
    except BackendError as error:
        unknown(f"a user without privileges cannot extract here at all: {error}")
    assert outcome is ExtractOutcome.PUBLISHED
    worker.call(Verb.OPEN, root=str(closed / "cache"), env={}, clock_offset_s=0.0)
    outcome, uncached = extract_and_release(worker, source)
    assert outcome in {ExtractOutcome.UNCACHED, ExtractOutcome.UNPUBLISHED}
    assert uncached == cached


class SmallDisk:
    """A worker whose root is a file system of its own, and what only a full one shows."""

    def __init__(self, farm: Farm, *, inodes: int, size_bytes: int = SMALL_BYTES) -> None:
        self._farm = farm
        inside = small_file_system(farm.root, size_bytes=size_bytes, inodes=inodes)
        self.worker = farm.worker(inside=inside)
        self.root = Path(f"/proc/{self.worker.pid}/root{farm.root}")
        self._filled = 0

    def free(self) -> tuple[int, int]:
        """Bytes and inodes."""
        status = os.statvfs(self.root)
        return status.f_bavail * status.f_frsize, status.f_favail

    def fill(self, size_bytes: int) -> None:
        """Publish entries of about this size until one does not fit any more."""
        while True:
            self._filled += 1
            label = f"filler {self._filled}"
            contents = moves.frames(label, count=2, size_bytes=size_bytes // 2)
            answer = moves.publish(self._farm, self.worker, label, contents)
            self.worker.call(Verb.RELEASE, handle=answer.handle)
            if not isinstance(answer, Published):
                return

    def age(self, seconds: float) -> None:
        """Make everything there older."""
        if Capability.VIRTUAL_CLOCK in self._farm.hello.capabilities:
            self.worker.call(Verb.AGE, seconds=seconds)
        else:
            probe.shift_mtimes(self.root, seconds)

    def measure(self, path: Path) -> tuple[list[str], int]:
        """Extract with all the room there is: the right digests, and the frames' bytes."""
        answer = extract(self.worker, path)
        assert answer.outcome is ExtractOutcome.PUBLISHED
        sizes = [
            self.worker.call(Verb.READ, handle=answer.handle, index=index).bytes
            for index in range(len(answer.files))
        ]
        right = read_all(self.worker, answer)
        self.worker.call(Verb.RELEASE, handle=answer.handle)
        moves.collect(self.worker)
        return right, sum(sizes)

    def holds(self, digests: Iterable[str]) -> bool:
        """Whether any file there has one of these digests."""
        there = {entry.sha256 for entry in probe.take(self.root).files().values()}
        return not there.isdisjoint(digests)


def fill_up(disk: SmallDisk, need_bytes: int) -> None:
    """Leave less room than the frames of a clip need."""
    disk.fill(4 * MIB)
    disk.fill(need_bytes // 4)
    assert disk.free()[0] < need_bytes


@requires("D4", evidence=f"old entries fill {FULL}; one clip")
def test_D4_makes_room_in_bytes(farm: Farm) -> None:
    """Old entries go before the decoder starts, not when it has run into the wall."""
    farm.needs(Capability.EXTRACT)
    disk = SmallDisk(farm, inodes=MANY_INODES)
    right, need_bytes = disk.measure(clip("sdr"))
    fill_up(disk, need_bytes)
    disk.age(2 * DAY_S)
    assert extract_and_release(disk.worker, clip("sdr")) == (ExtractOutcome.PUBLISHED, right)


@requires("D4", evidence=f"old entries use up {FEW_INODES} inodes of {FULL}; one clip")
def test_D4_makes_room_in_inodes(farm: Farm) -> None:
    """The same where files are short and not bytes."""
    farm.needs(Capability.EXTRACT)
    disk = SmallDisk(farm, inodes=FEW_INODES)
    right, _ = disk.measure(clip("sdr"))
    disk.fill(64)
    assert disk.free()[1] < len(right)
    disk.age(2 * DAY_S)
    assert extract_and_release(disk.worker, clip("sdr")) == (ExtractOutcome.PUBLISHED, right)


@requires("D4", evidence=f"an old entry on {FULL} that counts no inodes; one clip")
def test_D4_where_inodes_are_not_counted(farm: Farm) -> None:
    """None free of none is no shortage: the frames are published, and nothing goes for them."""
    farm.needs(Capability.EXTRACT)
    disk = SmallDisk(farm, inodes=UNCOUNTED)
    assert disk.free()[1] == 0
    moves.put(farm, disk.worker, "old")
    disk.age(2 * DAY_S)
    assert extract(disk.worker, clip("sdr")).outcome is ExtractOutcome.PUBLISHED
    assert moves.has(disk.worker, "old")


@requires("D4", "D1", evidence=f"young entries fill {FULL}; one clip, then and when they are old")
def test_D4_delivers_where_no_room_can_be_made(farm: Farm) -> None:
    """The right frames, nothing of them left behind; once the entries are old, published."""
    farm.needs(Capability.EXTRACT)
    disk = SmallDisk(farm, inodes=MANY_INODES)
    right, need_bytes = disk.measure(clip("sdr"))
    fill_up(disk, need_bytes)
    outcome, digests = extract_and_release(disk.worker, clip("sdr"))
    assert outcome in {ExtractOutcome.UNCACHED, ExtractOutcome.UNPUBLISHED}
    assert digests == right
    assert not disk.holds(right)
    disk.age(2 * DAY_S)
    assert extract_and_release(disk.worker, clip("sdr")) == (ExtractOutcome.PUBLISHED, right)


BROKEN = ("truncated", "headless", "audio_only", "not_a_video", "empty")


@requires("D5", evidence=f"{len(BROKEN)} broken clips once each, trees and collects compared")
@pytest.mark.parametrize("name", BROKEN)
def test_D5_a_failed_extraction_publishes_nothing(farm: Farm, name: str) -> None:
    """Its error says that the clip or the decoder failed, and no frame of it stays on disk."""
    farm.needs(Capability.EXTRACT)
    worker = farm.worker()
    extract_and_release(worker, clip("sdr"))
    before = pictures(farm)
    with pytest.raises(BackendError) as caught:
        extract(worker, clip(name))
    assert caught.value.code in {ErrorCode.DECODER_FAILED, ErrorCode.BAD_CLIP}
    assert pictures(farm) == before
    assert moves.collect(worker, 0, dry_run=True).evicted == 1


MOST_STARTS = 5
"""How many decoders are started to catch one at its end."""

REPEATED = 16
"""How many frames are made of each of the clip: fewer may be missing without anybody's fault."""


@begins(4)
@requires("D5", evidence="one decoder killed with all frames but some of the clip's last one")
def test_D5_a_decoder_killed_at_its_end_publishes_nothing(farm: Farm) -> None:
    """As many frames as could be expected are not enough: the last one may be cut."""
    farm.needs(Capability.EXTRACT)
    worker, inputs = farm.worker(), inputs_of(clip("sdr"), fps=str(30 * REPEATED))
    answer = worker.call(Verb.EXTRACT, inputs=inputs)
    for _ in range(MOST_STARTS):
        worker.call(Verb.RELEASE, handle=answer.handle)
        moves.collect(worker)
        frames = len(answer.files) - REPEATED + 2
        barrier = Barrier(farm, after=frames)
        pending = worker.send(Verb.EXTRACT, inputs=inputs)
        if kill_decoder_at(barrier, worker, frames=frames):
            break
        answer = worker.receive(pending)
    else:
        unknown(f"each of {MOST_STARTS} decoders was done before it could be killed")
    with pytest.raises(BackendError) as caught:
        worker.receive(pending)
    assert caught.value.code is ErrorCode.DECODER_FAILED
    assert not pictures(farm)


def kill_decoder_at(barrier: Barrier, worker: Worker, *, frames: int) -> bool:
    """Let the decoder go on until it has so many frames, where a barrier holds it, and kill it.

    False where it was done before.
    """

    def has_all() -> bool:
        """A file that was only just made is found out for that, whatever became of its decoder."""
        written = barrier.written()
        with contextlib.suppress(FileNotFoundError):  # it was renamed: looked at again
            return len(written) >= frames and all(each.stat().st_size for each in written)
        return False

    decoders: list[int] = []

    def has_begun() -> bool:
        decoders[:] = worker.started()
        return bool(decoders) or bool(barrier.written())

    def is_far_enough() -> bool:
        if all(map(supervise.is_gone, decoders)):
            decoders[:] = worker.started()  # those were none, but looked at the clip, say
        for step in (supervise.resume, supervise.stop):
            for pid in decoders:
                with contextlib.suppress(ProcessLookupError):
                    step(pid)
        barrier.stand()
        return has_all()

    moments.await_moment(has_begun, "a decoder, or its first frame")
    decoders = decoders or worker.started()  # it may have begun between the two looks
    if not decoders and len(barrier.written()) < frames:
        not_applicable("it decodes in its own process")
    try:
        moments.await_moment(is_far_enough, "the decoder's last frames")
    finally:
        barrier.lift()
    running = [pid for pid in decoders if not supervise.is_gone(pid)]
    for pid in running:
        os.kill(pid, signal.SIGKILL)
    return bool(running)


def pictures(farm: Farm) -> set[str]:
    """The files below the root, and in the temporary directory, that are png pictures."""
    found = set()
    for folder in (farm.root, farm.tmp):
        for path in probe.take(folder).files():
            with open(folder / path, "rb") as file:
                if file.read(8) == b"\x89PNG\r\n\x1a\n":
                    found.add(f"{folder.name}/{path}")
    return found
