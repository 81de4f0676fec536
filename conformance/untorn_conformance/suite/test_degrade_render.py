"""Chapter D over whole renders: no room for all of it, and clips that fail among good ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import pytest
from untorn_conformance import moves
from untorn_conformance.backend import (
    Axis,
    Extracted,
    ExtractOutcome,
    Failed,
    FailedCode,
    Rendered,
    Verb,
)
from untorn_conformance.contract import Capability
from untorn_conformance.farm import Farm
from untorn_conformance.plugin import requires
from untorn_conformance.suite.test_degrade_extract import (
    BROKEN,
    DAY_S,
    FEW_INODES,
    MANY_INODES,
    SmallDisk,
    inputs_of,
    pictures,
)
from untorn_fixtures.clips import clip
from untorn_stress.worker import Worker

Inputs = dict[Axis, str]

GOOD: Final = ("sdr", "ntsc", "odd")
RATES: Final = (6, 7, 8, 9, 10)
"""Rates of a large render: many small extractions, each of which would have room by itself."""

OWN: Final = "a tmpfs in a mount namespace of its own"
PAST_THE_CACHE: Final = frozenset({ExtractOutcome.UNCACHED, ExtractOutcome.UNPUBLISHED})


def composition(*rates: int) -> list[Inputs]:
    """Three clips, each whole, as png, at each of these frame rates."""
    return [inputs_of(clip(name), fps=str(rate)) for rate in rates or (25,) for name in GOOD]


def render(worker: Worker, requests: Sequence[Inputs]) -> list[Extracted | Failed]:
    """An item for each request."""
    answer = worker.call(Verb.RENDER, requests=list(requests))
    assert isinstance(answer, Rendered)
    assert len(answer.items) == len(requests)
    return list(answer.items)


def delivered(
    worker: Worker, requests: Sequence[Inputs]
) -> tuple[list[ExtractOutcome], list[list[str]]]:
    """Where the frames of each request came from, and their digests; nothing is held then."""
    outcomes, digests = [], []
    for item in render(worker, requests):
        assert isinstance(item, Extracted), item
        outcomes.append(item.outcome)
        digests.append(moves.read_all(worker, item))
        worker.call(Verb.RELEASE, handle=item.handle)
    return outcomes, digests


def alone(farm: Farm, requests: Sequence[Inputs]) -> tuple[list[list[str]], int]:
    """The right digests of each request and the bytes of all, where there is room enough."""
    worker, digests, size_bytes = farm.worker(), [], 0
    for inputs in requests:
        answer = worker.call(Verb.EXTRACT, inputs=inputs)
        reads = [
            worker.call(Verb.READ, handle=answer.handle, index=index)
            for index in range(len(answer.files))
        ]
        digests.append([each.sha256 for each in reads])
        size_bytes += sum(each.bytes for each in reads)
        worker.call(Verb.RELEASE, handle=answer.handle)
    farm.begin_anew()
    return digests, size_bytes


def assert_warned_once(farm: Farm, worker: Worker) -> None:
    """It went past the cache: once for each cause, and not in silence."""
    if Capability.LOG in farm.hello.capabilities:
        events = worker.call(Verb.LOG).events
        causes = Counter(each.cause for each in events if each.level == "warning")
        assert causes
        assert set(causes.values()) == {1}, causes


@requires("D4", evidence=f"old entries fill {OWN}, in bytes or inodes; one render of 3 clips")
@pytest.mark.parametrize("inodes", [MANY_INODES, FEW_INODES], ids=["bytes", "inodes"])
def test_D4_a_render_makes_room(farm: Farm, inodes: int) -> None:
    """What fits only when old entries have gone is published, all of it."""
    farm.needs(Capability.EXTRACT, Capability.RENDER)
    right, need_bytes = alone(farm, composition())
    disk = SmallDisk(farm, size_bytes=3 * need_bytes, inodes=inodes)
    disk.fill(need_bytes // 8 if inodes == MANY_INODES else 64)
    free_bytes, free_inodes = disk.free()
    assert free_bytes < need_bytes or free_inodes < sum(map(len, right))
    disk.age(2 * DAY_S)
    outcomes, digests = delivered(disk.worker, composition())
    assert digests == right
    assert outcomes == [ExtractOutcome.PUBLISHED] * len(right)


@requires("D4", "D1", evidence=f"one render larger than {OWN}, in bytes or in inodes")
@pytest.mark.parametrize("short_of", ["bytes", "inodes"])
def test_D4_a_render_larger_than_the_disk(farm: Farm, short_of: str) -> None:
    """What fits is published, the others have their frames past the cache, and it is said once."""
    farm.needs(Capability.EXTRACT, Capability.RENDER)
    right, need_bytes = alone(farm, composition(*RATES))
    disk = (
        SmallDisk(farm, size_bytes=need_bytes * 2 // 3, inodes=MANY_INODES)
        if short_of == "bytes"
        else SmallDisk(farm, size_bytes=3 * need_bytes, inodes=sum(map(len, right)) * 2 // 3)
    )
    outcomes, digests = delivered(disk.worker, composition(*RATES))
    assert digests == right
    assert ExtractOutcome.PUBLISHED in outcomes, outcomes
    assert PAST_THE_CACHE & set(outcomes), outcomes
    assert_warned_once(farm, disk.worker)
    published = {
        digest
        for frames, outcome in zip(right, outcomes, strict=True)
        if outcome is ExtractOutcome.PUBLISHED
        for digest in frames
    }
    assert not disk.holds(set().union(*right) - published)


@requires("D5", evidence=f"one render of {len(GOOD)} good clips and {len(BROKEN) + 1} bad ones")
def test_D5_a_bad_clip_harms_no_other(farm: Farm) -> None:
    """The good ones are delivered and published, the bad ones named, and nothing of them stays."""
    farm.needs(Capability.EXTRACT, Capability.RENDER)
    right, _ = alone(farm, composition())
    bad = [inputs_of(clip(name)) for name in BROKEN]
    bad.append(inputs_of(farm.outside / "no-clip.mp4"))
    worker, middle = farm.worker(), len(bad) // 2
    items = render(worker, [*bad[:middle], *composition(), *bad[middle:]])
    good = [items.pop(middle) for _ in right]
    for item in items:
        assert isinstance(item, Failed), item
        assert item.code in {FailedCode.DECODER_FAILED, FailedCode.BAD_CLIP}
    for item, frames in zip(good, right, strict=True):
        assert isinstance(item, Extracted), item
        assert item.outcome is ExtractOutcome.PUBLISHED
        assert moves.read_all(worker, item) == frames
    assert len(pictures(farm)) == sum(map(len, right))
