"""One decode for a group of overlapping ranges: the union into locked staging, a slice for each.

    J1 wait for whoever is at one of the members, look all of them up again
    J2 are all that are missing true slices of it?   who is not is left to the caller
    J3 decode the union into locked staging
    J4 count: as many frames as were reckoned with   else all are left to the caller
    J5 cut each member out of it and publish it under its own key (see slicing)

The turn is at each member's key, and not at the union's: others may want a member alone, or within
another union, and each range is made once. The union is nobody's entry: its staging is dropped, the
members keep its frames. Whatever fails here leaves members to be extracted alone, where the same
trouble shows as their own error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from untorn import (
    cadence,
    estimate,
    events,
    extract,
    reading,
    slicing,
    space,
    superset,
    warm,
    writing,
)
from untorn.access import Access
from untorn.clip import ClipInfo
from untorn.errors import InvalidEntryError, UntornError
from untorn.extract import Job
from untorn.extraction import Progress
from untorn.frames import Frames
from untorn.outcome import Miss
from untorn.staging import Workdir
from untorn.stopwatch import Phase
from untorn.superset import Group, Offset
from untorn.upkeep import Upkeep
from untorn.warm import Cut


@dataclass(frozen=True, kw_only=True, slots=True)
class _Member:
    """A member that is missing: its job, its place in the union, and why it is no hit."""

    place: int
    job: Job
    offset: Offset
    miss: Miss


def obtain(
    access: Access, upkeep: Upkeep, group: Group, jobs: Sequence[Job]
) -> list[Frames | None]:
    """The frames of each member of `group`, in its order; None for who is to be extracted alone.

    `jobs` are the members' own. Busy if somebody is at one of them and the first is not patient;
    Cancelled. Nothing else is raised for the sake of the cache, the clip or the decoder.
    """
    found: list[Frames | None] = [None] * len(jobs)
    leader = jobs[0]
    root = access.root()
    if root is None or leader.inputs is None:
        return found
    with access.phase(Phase.EXTRACT):
        union = replace(extract.with_range(leader, group.union), progress=_shared_out(group, jobs))
        keys = [job.key for job in jobs[1:] if job.key is not None]
        turn = extract.wait_for_turn(access, root, leader, keys)
        try:
            missing = _missing(access, upkeep, group, jobs, found)
            if len(missing) > 1:
                _make(access, upkeep, union, missing, found)
        except (UntornError, OSError) as error:
            events.note("union-failed", cause=type(error).__name__)
            access.counters.add("union_failed")
        except BaseException:
            for frames in found:
                if frames is not None:
                    frames.release()
            raise
        finally:
            turn.land()
    return found


def _shared_out(group: Group, jobs: Sequence[Job]) -> Progress | None:
    """The union's progress, told to each member as its own; None where nobody wants to know."""
    told = [
        (job.progress, member.offset)
        for member, job in zip(group.members, jobs, strict=True)
        if job.progress is not None
    ]

    def tell(done: int, _expected: int | None) -> None:
        for progress, offset in told:
            if done > offset.first:
                progress(min(done - offset.first, offset.count), offset.count)

    return tell if told else None


def _missing(
    access: Access,
    upkeep: Upkeep,
    group: Group,
    jobs: Sequence[Job],
    found: list[Frames | None],
) -> list[_Member]:
    """J1 and J2; hits go into `found`, and what a warm longer entry holds."""
    missing = []
    for place, (member, job) in enumerate(zip(group.members, jobs, strict=True)):
        if job.key is None or job.inputs is None:
            continue
        look = extract.find_whole(access, job.key)
        if isinstance(look, Frames):
            reading.count(access, look, lost=job.lost)
            found[place] = look
            continue
        wanted = Cut(inputs=job.inputs, resolved=job.resolved, info=group.info)
        found[place] = warm.cut(access, upkeep, wanted, look)
        if found[place] is None:
            missing.append(_Member(place=place, job=job, offset=member.offset, miss=look))
        else:
            reading.count(access, look, lost=job.lost)
    path, whole = group.union.path, group.union.range
    return [
        each
        for each in missing
        if cadence.holds(path, group.info, whole, each.job.resolved.range, each.offset)
    ]


def _make(
    access: Access,
    upkeep: Upkeep,
    union: Job,
    missing: Sequence[_Member],
    found: list[Frames | None],
) -> None:
    """J3 to J5; what is raised leaves the rest to the caller."""
    wanted = union.resolved.range
    info = extract.examined(union)
    kept = superset.kept(info, wanted)
    expected = estimate.expected_frames(info, wanted)
    need = estimate.need(info, wanted, expected)
    if kept is None or extract.room(access, upkeep, need) is not None:
        return
    with writing.stage(access, upkeep, union.entry_key) as area:
        if isinstance(area.work, Workdir):
            return
        space.reserve(area.work, need)
        count = extract.decode(union, area, info, expected)
        access.counters.add("extracted")
        access.counters.add("supersets")
        if count != kept.count:
            access.counters.add("union_failed")
            return
        with access.phase(Phase.SLICE):
            source = slicing.source_of_staging(area.work, count)
            for each in missing:
                found[each.place] = _cut(access, upkeep, source, each, info)


def _cut(
    access: Access, upkeep: Upkeep, source: slicing.Source, member: _Member, info: ClipInfo
) -> Frames | None:
    job = member.job
    assert job.inputs is not None and job.key is not None, "it was looked up"  # noqa: PT018
    try:
        frames = slicing.publish(access, upkeep, source, member.offset, job.key, member.miss)
    except (InvalidEntryError, OSError) as error:
        access.counters.add("slice_failed")
        events.warn_once("slice", f"a range is not cut out of its union: {error}")
        return None
    if frames is not None:
        reading.count(access, member.miss, lost=job.lost)
        warm.note(access, Cut(inputs=job.inputs, resolved=job.resolved, info=info), frames)
    return frames
