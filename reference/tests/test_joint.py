"""One decode for a group of overlapping ranges, and each of them as an entry of its own (X2)."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from untorn import Cache, Delivery, Frames, Request, extract, flight, joint, probes, superset
from untorn import decoder as decoders
from untorn.extract import Job
from untorn.request import resolve
from untorn.superset import Group

RANGES = [("0.5", "0.5"), ("0.2", "0.5"), ("0.9", "0.4")]


@pytest.fixture
def alone(tmp_path: Path, sdr: Path, decoder: Any) -> list[list[bytes]]:
    """Each range as it is decoded alone, in a root of its own."""
    assert decoder.decodes() == 0
    found = []
    for number, (start, duration) in enumerate(RANGES):
        with (
            Cache.open(tmp_path / f"alone{number}") as other,
            other.extract(Request(clip=sdr, fps=30, start=start, duration=duration)) as frames,
        ):
            found.append(data_of(frames))
    return found


def data_of(frames: Frames) -> list[bytes]:
    return [frames.read(index) for index in range(len(frames))]


def group_of(cache: Cache, path: Path) -> tuple[Group, list[Job]]:
    """The one group that the ranges are, and the jobs of its members in its order."""
    ffmpeg = decoders.find(os.environ)
    requests = [
        Request(clip=path, fps=30, start=start, duration=duration) for start, duration in RANGES
    ]
    resolved = [resolve(each) for each in requests]
    infos = [probes.probe(each.path, each.state) for each in resolved]
    (group,) = superset.plan(list(zip(infos, resolved, strict=True)))
    jobs = [extract.job_of(cache.access, resolved[each.index], ffmpeg) for each in group.members]
    return group, jobs


def obtain(cache: Cache, path: Path) -> dict[int, Frames | None]:
    group, jobs = group_of(cache, path)
    found = joint.obtain(cache.access, cache._upkeep, group, jobs)
    return {member.index: each for member, each in zip(group.members, found, strict=True)}


def release(found: dict[int, Frames | None]) -> None:
    for frames in found.values():
        if frames is not None:
            frames.release()


def test_three_ranges_are_one_decode_and_three_entries(
    cache: Cache, sdr: Path, root: Path, decoder: Any, alone: list[list[bytes]]
) -> None:
    before = decoder.decodes()
    found = obtain(cache, sdr)
    assert decoder.decodes() == before + 1
    for index, frames in found.items():
        assert frames is not None
        assert (frames.delivery, data_of(frames)) == (Delivery.PUBLISHED, alone[index])
        assert frames.names[0] == "frame_00001.png"
    release(found)
    assert not list((root / "staging").iterdir())
    assert len(list((root / "v1").iterdir())) == len(RANGES)
    counters = cache.stats().counters
    names = ("sliced", "extracted", "supersets", "miss.absent")
    assert [counters[name] for name in names] == [3, 1, 1, 3]
    release(again := obtain(cache, sdr))
    assert {each.delivery for each in again.values() if each} == {Delivery.HIT}
    assert decoder.decodes() == before + 1


def test_members_that_are_there_are_hits_and_the_rest_is_cut(
    cache: Cache, sdr: Path, decoder: Any, alone: list[list[bytes]]
) -> None:
    start, duration = RANGES[1]
    cache.extract(Request(clip=sdr, fps=30, start=start, duration=duration)).release()
    before = decoder.decodes()
    found = obtain(cache, sdr)
    assert {index: each.delivery for index, each in found.items() if each} == {
        0: Delivery.PUBLISHED,
        1: Delivery.HIT,
        2: Delivery.PUBLISHED,
    }
    assert [data_of(each) for _, each in sorted(found.items()) if each] == alone
    assert decoder.decodes() == before + 1
    release(found)


def test_a_warm_longer_entry_serves_the_whole_group(
    cache: Cache, sdr: Path, decoder: Any, alone: list[list[bytes]]
) -> None:
    cache.extract(Request(clip=sdr, fps=30)).release()
    before = decoder.decodes()
    found = obtain(cache, sdr)
    assert [data_of(each) for _, each in sorted(found.items()) if each] == alone
    assert decoder.decodes() == before
    counters = cache.stats().counters
    assert (counters["sliced"], counters["miss.absent"]) == (3, 4)
    release(found)


def test_a_single_member_that_is_missing_is_left_to_be_extracted_alone(
    cache: Cache, sdr: Path, decoder: Any, alone: list[list[bytes]]
) -> None:
    for start, duration in RANGES[:2]:
        cache.extract(Request(clip=sdr, fps=30, start=start, duration=duration)).release()
    before = decoder.decodes()
    found = obtain(cache, sdr)
    assert (found[2], decoder.decodes(), len(alone)) == (None, before, 3)
    release(found)


@pytest.mark.parametrize(
    "script",
    [{"before": "exit 1"}, {"after": "rm frame_00007.png"}, {"after": "rm frame_00033.png"}],
    ids=["fails", "a gap", "falls short"],
)
def test_a_union_that_fails_leaves_its_members_to_the_caller(
    cache: Cache, sdr: Path, decoder: Any, empty: Callable[[], bool], script: dict[str, str]
) -> None:
    group, jobs = group_of(cache, sdr)
    decoder.script(**script)
    assert joint.obtain(cache.access, cache._upkeep, group, jobs) == [None] * 3
    assert empty()
    counters = cache.stats().counters
    assert (counters["union_failed"], counters.get("miss.absent", 0)) == (1, 0)


def test_a_cache_that_is_off_decodes_no_union(cache: Cache, sdr: Path) -> None:
    with Cache.open(environ={"UNTORN_CACHE_DIR": "off"}) as off:
        group, jobs = group_of(off, sdr)
        assert joint.obtain(off.access, off._upkeep, group, jobs) == [None] * 3
    assert cache.stats().entries == 0


def test_others_that_want_the_same_union_wait_for_it(
    cache: Cache, open_cache: Callable[..., Cache], sdr: Path, decoder: Any,
    just_before: Callable[..., None],
) -> None:  # fmt: skip
    other = open_cache()
    just_before(flight, "take_off", lambda: release(obtain(other, sdr)))
    release(found := obtain(cache, sdr))
    assert {each.delivery for each in found.values() if each} == {Delivery.HIT}
    assert decoder.decodes() == 1
