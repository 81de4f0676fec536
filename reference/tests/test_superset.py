"""Superset: what is cut out of a longer range is what would have been decoded alone (X2)."""

import dataclasses
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from untorn import superset
from untorn.clip import ClipInfo, SourceState, Transfer
from untorn.command import Range
from untorn.key import FrameFormat
from untorn.request import Identity, Resolved

RATES = [Fraction(text) for text in ("24", "25", "30", "60", "30000/1001", "24000/1001")]
OUTPUTS = [*RATES, Fraction(10), Fraction(15), Fraction(12), Fraction(20)]


def info_of(rate: Fraction, frames: int, begin: Fraction = Fraction(0)) -> ClipInfo:
    return ClipInfo(
        start_s=begin,
        width=64,
        height=48,
        rate=rate,
        duration_s=frames / rate,
        pixel_format="yuv420p",
        transfer=Transfer.SDR,
    )


def range_of(fps: Fraction, start: Fraction, duration: Fraction | None) -> Range:
    return Range(start_s=start, duration_s=duration, fps=fps, format=FrameFormat.PNG, quality=None)


def resolved_of(wanted: Range, inode: int = 1) -> Resolved:
    state = SourceState(device=1, inode=inode, size=9, mtime_ns=1, ctime_ns=1)
    return Resolved(path=f"/clip{inode}", state=state, identity=Identity.STAT, range=wanted)


def shown(rate: Fraction, frames: int, wanted: Range, begin: Fraction = Fraction(0)) -> list[int]:
    """What each output shows, frame by frame as the decoder goes about it (see superset)."""
    start = wanted.start_s - begin
    kept = [each for each in range(frames) if each / rate >= start]
    if wanted.duration_s is not None:
        kept = [each for each in kept if (each - kept[0]) / rate < wanted.duration_s]
    if not kept:
        return []
    half = Fraction(1, 2)
    places = [math.floor((each / rate - start) * wanted.fps + half) for each in kept]
    end = math.floor(((kept[-1] + 1) / rate - start) * wanted.fps + half)
    outputs = []
    for output in range(places[0], end):
        outputs.append(
            max(each for each, place in zip(kept, places, strict=True) if place <= output)
        )
    return outputs


@st.composite
def starts(draw: st.DrawFn, fps: Fraction, rate: Fraction) -> Fraction:
    """On the grid of outputs, on that of the source, or anywhere."""
    grid = draw(st.sampled_from([fps, rate, Fraction(1000)]))
    return draw(st.integers(0, int(2 * grid))) / grid


@st.composite
def durations(draw: st.DrawFn, fps: Fraction, rate: Fraction) -> Fraction | None:
    grid = draw(st.sampled_from([fps, rate, Fraction(1000)]))
    return draw(st.none() | st.builds(lambda count: count / grid, st.integers(1, int(2 * grid))))


@given(st.data())
@settings(max_examples=120, deadline=None)
def test_a_slice_shows_what_the_range_shows_alone(data: st.DataObject) -> None:
    rate, fps = data.draw(st.sampled_from(RATES)), data.draw(st.sampled_from(OUTPUTS))
    frames, begin = data.draw(st.integers(1, 70)), Fraction(data.draw(st.integers(0, 15)), 30)
    longer = range_of(fps, data.draw(starts(fps, rate)), data.draw(durations(fps, rate)))
    later = longer.start_s + data.draw(st.integers(0, 40)) / fps
    shorter = range_of(fps, later, data.draw(durations(fps, rate)))
    offset = superset.sliceable(info_of(rate, frames, begin), longer, shorter)
    assume(offset is not None)
    assert offset is not None
    whole, alone = (shown(rate, frames, each, begin) for each in (longer, shorter))
    assert alone == whole[offset.first : offset.first + offset.count]
    assert alone


@pytest.mark.parametrize(
    ("start", "duration", "offset"),
    [
        ("1", "0.5", (15, 8)),  # half an output frame at its end: it is shown
        ("1", "1/3", (15, 5)),
        ("0", "2", (0, 30)),
        ("16/15", "1/15", (16, 1)),
        ("31/30", "1/3", None),  # between two outputs
        ("1.9", "0.1", None),
        ("29/15", None, (29, 1)),
        ("1", "3", (15, 15)),  # to the clip's end
        ("2", "1", None),  # nothing there
    ],
)
def test_a_range_lies_where_arithmetic_says(
    start: str, duration: str | None, offset: tuple[int, int] | None
) -> None:
    whole = range_of(Fraction(15), Fraction(0), None)
    length = None if duration is None else Fraction(duration)
    found = superset.sliceable(
        info_of(Fraction(30), 60), whole, range_of(Fraction(15), Fraction(start), length)
    )
    assert (None if found is None else (found.first, found.count)) == offset


def test_a_start_between_source_frames_is_no_slice() -> None:
    """The longer range still shows the frame before, which the shorter does not have."""
    rate, fps = Fraction(24), Fraction(100)
    longer = range_of(fps, Fraction(0), None)
    shorter = range_of(fps, Fraction("1.01"), Fraction(1, 2))
    assert superset.sliceable(info_of(rate, 60), longer, shorter) is None
    assert shown(rate, 60, shorter)[:3] != shown(rate, 60, longer)[101:104]


@pytest.mark.parametrize(
    "changes",
    [{"fps": Fraction(15)}, {"format": FrameFormat.JPG, "quality": 95}],
    ids=["fps", "format"],
)
def test_another_axis_is_no_slice(changes: dict[str, Any]) -> None:
    info, longer = info_of(Fraction(30), 60), range_of(Fraction(30), Fraction(0), None)
    shorter = range_of(Fraction(30), Fraction(1), Fraction(1, 2))
    assert superset.sliceable(info, longer, shorter) is not None
    assert superset.sliceable(info, longer, dataclasses.replace(shorter, **changes)) is None


@pytest.mark.parametrize(
    ("clip", "asked"),
    [
        ({"variable_rate": True}, {}),
        ({"start_s": Fraction(1, 2)}, {}),
        ({}, {"final_frame": True}),
    ],
    ids=["uneven pace", "late pictures", "final frame"],
)
def test_what_is_not_counted_from_the_clips_beginning_is_no_slice(
    clip: dict[str, Any], asked: dict[str, Any]
) -> None:
    info = dataclasses.replace(info_of(Fraction(30), 300), **clip)
    longer = dataclasses.replace(range_of(Fraction(30), Fraction(0), Fraction(4)), **asked)
    shorter = dataclasses.replace(longer, start_s=Fraction(1), duration_s=Fraction(1))
    assert superset.sliceable(info, longer, shorter) is None
    assert superset.plan([(info, resolved_of(longer)), (info, resolved_of(shorter))]) == []


def test_the_end_of_a_clip_of_unknown_length_is_no_slice() -> None:
    info = dataclasses.replace(info_of(Fraction(30), 60), duration_s=None)
    longer = range_of(Fraction(30), Fraction(0), None)
    assert superset.sliceable(info, longer, longer) is None


# --- groups


def model_of_plan(wanted: Sequence[tuple[ClipInfo, Resolved]]) -> set[tuple[Range, frozenset[int]]]:
    """Groups by comparing each with each: components, without what is no slice of their union."""
    left = {
        index
        for index, (info, resolved) in enumerate(wanted)
        if superset.sliceable(info, resolved.range, resolved.range)
    }
    groups = set()
    while left:
        component = {min(left)}
        while more := {
            other
            for one in component
            for other in left - component
            if are_neighbours(wanted[one], wanted[other])
        }:
            component |= more
        union = union_of([wanted[index][1].range for index in sorted(component)])
        outside = {
            index
            for index in component
            if superset.sliceable(wanted[index][0], union, wanted[index][1].range) is None
        }
        left -= outside or component
        if not outside and len(component) > 1:
            groups.add((union, frozenset(component)))
    return groups


def are_neighbours(one: tuple[ClipInfo, Resolved], other: tuple[ClipInfo, Resolved]) -> bool:
    (info, first), (other_info, second) = one, other
    one_range, other_range = first.range, second.range
    same = (info, first.path, one_range.fps) == (other_info, second.path, other_range.fps)
    apart = (one_range.start_s - other_range.start_s) * one_range.fps
    return (
        same
        and apart.denominator == 1
        and one_range.start_s <= end_of(info, other_range)
        and other_range.start_s <= end_of(info, one_range)
    )


def end_of(info: ClipInfo, wanted: Range) -> Fraction:
    assert info.end_s is not None
    if wanted.duration_s is None:
        return info.end_s
    return min(info.end_s, wanted.start_s + wanted.duration_s)


def union_of(ranges: Sequence[Range]) -> Range:
    start = min(each.start_s for each in ranges)
    if any(each.duration_s is None for each in ranges):
        return dataclasses.replace(ranges[0], start_s=start, duration_s=None)
    end = max(each.start_s + (each.duration_s or 0) for each in ranges)
    return dataclasses.replace(ranges[0], start_s=start, duration_s=end - start)


@given(st.data())
@settings(max_examples=120, deadline=None)
def test_groups_are_those_of_comparing_each_with_each(data: st.DataObject) -> None:
    rate, fps = data.draw(st.sampled_from(RATES)), data.draw(st.sampled_from(OUTPUTS))
    info = info_of(rate, 60)
    wanted = []
    for _ in range(data.draw(st.integers(0, 7))):
        asked = data.draw(st.sampled_from([fps, fps, fps, Fraction(50)]))
        each = range_of(asked, data.draw(starts(fps, rate)), data.draw(durations(fps, rate)))
        wanted.append((info, resolved_of(each, data.draw(st.sampled_from([1, 1, 1, 2])))))
    groups = superset.plan(wanted)
    found = {
        (group.union.range, frozenset(member.index for member in group.members)) for group in groups
    }
    assert found == model_of_plan(wanted)
    for group in groups:
        ranges = [wanted[member.index][1].range for member in group.members]
        lengths = [end_of(info, each) - each.start_s for each in ranges]
        assert end_of(info, group.union.range) - group.union.range.start_s <= sum(lengths)


def test_touching_ranges_are_a_group_and_parted_ones_are_none() -> None:
    info, fps = info_of(Fraction(30), 60), Fraction(30)
    halves = [range_of(fps, Fraction(start), Fraction(1, 2)) for start in ("0", "0.5", "1.5")]
    (group,) = superset.plan([(info, resolved_of(each)) for each in halves])
    assert group.union.range == range_of(fps, Fraction(0), Fraction(1))
    assert [
        (member.index, member.offset.first, member.offset.count) for member in group.members
    ] == [(0, 0, 15), (1, 15, 15)]
