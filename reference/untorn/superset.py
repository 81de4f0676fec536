"""Which ranges of a clip can be decoded once and cut out of the result; pure arithmetic.

What the decoder writes of a range [S, S+D) at F frames a second, of a source whose frame i is
shown from t = T + i/r on (r its constant rate, T its first frame's time in the container):

    kept    source frames with t >= S (an accurate seek), the first D seconds of them
    placed  a frame at output n = round((t - S) F), halves upwards (the `fps` filter)
    shown   output n shows the last kept frame placed at n or before
    ended   after round((e - S) F) outputs, where e is when the last kept frame has been shown

From that follows when
the outputs of [S, S+D) are those of a longer range [L, L+E) from the k-th on. Sufficient is

    A  k = (S - L) F is a whole number: then every frame that both keep is placed k further on
    B  the first frame kept is placed at 0, of both: no output shows a frame from before S
    C  the longer range keeps the last frame that the shorter keeps: none is missing at its end

For an output n of the shorter range let i be the last of all source frames placed at n or before.
By B it is not before the shorter one's first; it is not behind its last, j, since n is below
round((T + (j+1)/r - S) F), where j+1 would be placed. By C both ranges keep it, and by A the
longer shows it at n + k. Starts that fall between source frames may break B: with a source of 24
frames a second, 1.01 s begins with the frame of 1.0417 s, but the longer range shows that of 1.0.

All this takes the clip at its word; `cadence` looks whether its time stamps are as regular as its
rate says, before anything is cut.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from untorn.clip import ClipInfo
from untorn.command import Range
from untorn.request import Resolved

_HALF = Fraction(1, 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Offset:
    """Where a shorter range lies in a longer one: its first output frame, from 0, and how many."""

    first: int
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One of a group: its place in what was asked for, and its frames within the union."""

    index: int
    offset: Offset


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Ranges of one clip that are decoded as one: the union, and each member's part of it."""

    union: Resolved
    info: ClipInfo
    members: tuple[Member, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What is kept of a source: frames `first` up to `stop`, and the outputs they are shown as."""

    first: int
    stop: int
    count: int


def kept(info: ClipInfo, wanted: Range) -> Kept | None:
    """What the decoder keeps of a range; None where this arithmetic is not the decoder's.

    That is of a varying rate or a final frame, where B does not hold, and without a known end.
    """
    if info.variable_rate or wanted.final_frame:
        return None
    start_s = wanted.start_s - info.start_s
    first = max(0, math.ceil(start_s * info.rate))
    if (first / info.rate - start_s) * wanted.fps >= _HALF:
        return None
    stops = []
    if info.duration_s is not None:
        stops.append(_round(info.duration_s * info.rate))
    if wanted.duration_s is not None:
        stops.append(first + math.ceil(wanted.duration_s * info.rate))
    if not stops:
        return None
    stop = min(stops)
    count = _round((stop / info.rate - start_s) * wanted.fps)
    return Kept(first=first, stop=stop, count=count) if stop > first and count > 0 else None


def sliceable(info: ClipInfo, longer: Range, shorter: Range) -> Offset | None:
    """Where the frames of `shorter` are among those of `longer`, pixel for pixel; None if unsure.

    The ranges may differ in start and duration alone. The argument is at the top of this module.
    """
    if _axes(longer) != _axes(shorter):
        return None
    first = (shorter.start_s - longer.start_s) * shorter.fps
    if first < 0 or first.denominator != 1:
        return None
    inner, outer = kept(info, shorter), kept(info, longer)
    if inner is None or outer is None or inner.stop > outer.stop:
        return None
    return Offset(first=int(first), count=inner.count)


def plan(wanted: Sequence[tuple[ClipInfo, Resolved]]) -> list[Group]:
    """The groups among `wanted`, each worth one decode; who is in none is extracted alone.

    A group has two members or more, whose ranges of one clip overlap or touch, so that its union
    is no longer than they are together; each is an exact slice of the union. Groups come in the
    order of their first members, members in the order of their starts.
    """
    families: dict[object, list[int]] = defaultdict(list)
    for index, (info, resolved) in enumerate(wanted):
        if sliceable(info, resolved.range, resolved.range) is not None:
            families[_family(info, resolved)].append(index)
    groups = [
        group
        for members in families.values()
        for cluster in _clusters(wanted, members)
        for group in _grouped(wanted, cluster)
    ]
    return sorted(groups, key=lambda group: min(member.index for member in group.members))


def _family(info: ClipInfo, resolved: Resolved) -> object:
    """What must be equal in a group: all but start and duration, and where starts lie between."""
    phase = resolved.range.start_s * resolved.range.fps % 1
    return info, dataclasses.replace(resolved, range=_axes(resolved.range)), phase


def _axes(wanted: Range) -> Range:
    """The range without its start and its duration."""
    return dataclasses.replace(wanted, start_s=Fraction(0), duration_s=None)


def _clusters(
    wanted: Sequence[tuple[ClipInfo, Resolved]], members: Sequence[int]
) -> list[list[int]]:
    """Members of a family whose ranges hang together, by start; those that are alone too."""
    clusters: list[list[int]] = []
    reach = Fraction(-1)
    for index in sorted(members, key=lambda index: (wanted[index][1].range.start_s, index)):
        info, resolved = wanted[index]
        if resolved.range.start_s > reach:
            clusters.append([])
        clusters[-1].append(index)
        reach = max(reach, _end(info, resolved.range))
    return clusters


def _end(info: ClipInfo, wanted: Range) -> Fraction:
    """Where a range ends in seconds, at the latest where the clip does."""
    ends = [] if info.end_s is None else [info.end_s]
    if wanted.duration_s is not None:
        ends.append(wanted.start_s + wanted.duration_s)
    return min(ends)


def _grouped(wanted: Sequence[tuple[ClipInfo, Resolved]], cluster: Sequence[int]) -> list[Group]:
    """The cluster as a group; without the members that are no slice of its union, where some are.

    What is left without those may fall apart, so it is clustered again.
    """
    if len(cluster) < 2:  # noqa: PLR2004 - two make a group
        return []
    info, leader = wanted[cluster[0]]
    union = dataclasses.replace(leader, range=_union([wanted[index][1].range for index in cluster]))
    offsets = {index: sliceable(info, union.range, wanted[index][1].range) for index in cluster}
    members = tuple(
        Member(index=index, offset=offset)
        for index, offset in offsets.items()
        if offset is not None
    )
    if len(members) == len(cluster):
        return [Group(union=union, info=info, members=members)]
    rest = [member.index for member in members]
    return [group for part in _clusters(wanted, rest) for group in _grouped(wanted, part)]


def _union(ranges: Sequence[Range]) -> Range:
    """From the first start to the last end; to the clip's end if one of them goes there."""
    start_s = min(each.start_s for each in ranges)
    durations = [each.duration_s for each in ranges]
    duration_s = None
    if None not in durations:
        duration_s = max(each.start_s + (each.duration_s or 0) for each in ranges) - start_s
    return dataclasses.replace(ranges[0], start_s=start_s, duration_s=duration_s)


def _round(value: Fraction) -> int:
    """To the nearest whole number, halves upwards; for nothing below zero."""
    return math.floor(value + _HALF)
