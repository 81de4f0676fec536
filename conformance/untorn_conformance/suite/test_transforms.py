"""Row K5: frames that were converted on their way are nobody's who asked for the plain ones.

A backend names its transforms by `hello`, each with the kind of clip that it is for. The right
frames of a request are those that the same backend gives for it alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from untorn_conformance.backend import Axis, Extracted, ExtractOutcome, SourceKind, Verb
from untorn_conformance.contract import Capability
from untorn_conformance.farm import Farm
from untorn_conformance.plugin import requires, unknown
from untorn_conformance.suite.test_merged_requests import (
    Alone,
    Inputs,
    Shot,
    begin_anew,
    differences,
    shot,
)
from untorn_fixtures.clips import clip

CLIPS: Final[Mapping[SourceKind, str]] = MappingProxyType(
    {SourceKind.SDR: "sdr", SourceKind.PQ: "hdr10", SourceKind.HLG: "hlg"}
)


def request(kind: SourceKind, transform: str | None) -> Inputs:
    """Three frames of a clip of that kind."""
    return {
        Axis.PATH: str(clip(CLIPS[kind])),
        Axis.DURATION_S: "0.6",
        Axis.FPS: "5",
        Axis.FORMAT: "png",
        Axis.TRANSFORM: transform,
    }


def pairs(farm: Farm) -> Iterator[tuple[SourceKind, dict[str | None, Shot]]]:
    """For each clip and two of its ways, one of them plain or not, the right frames of both."""
    farm.needs(Capability.TRANSFORM, Capability.EXTRACT)
    if not farm.hello.transforms:
        unknown("the backend declares [transform], and its hello names no transforms")
    alone = Alone(farm)
    for kind in sorted(set(farm.hello.transforms.values())):
        names = [None, *sorted(name for name, of in farm.hello.transforms.items() if of is kind)]
        right = {name: alone.of(request(kind, name)) for name in names}
        for one, other in itertools.combinations(names, 2):
            if not list(differences(right[one], right[other])):
                unknown(f"{other} gives the frames of {one}: nobody could mix them up")
            yield kind, {one: right[one], other: right[other]}


@requires("K5", evidence="each two of a clip's transforms and none: both orders, cold and warm")
def test_K5_neither_order_serves_the_frames_of_the_other(farm: Farm) -> None:
    """Who extracts plain frames after converted ones gets plain ones, and the other way round."""
    worker = farm.worker()
    for kind, right in pairs(farm):
        for order in (list(right), list(right)[::-1]):
            begin_anew(farm, worker)
            for number, name in enumerate((*order, *order)):
                answer = worker.call(Verb.EXTRACT, inputs=request(kind, name))
                found = list(differences(shot(farm, worker, answer), right[name]))
                assert not found, f"{name} was asked for, in the order {order}: {found[:3]}"
                is_warm = number >= len(order)
                wanted = ExtractOutcome.HIT if is_warm else ExtractOutcome.PUBLISHED
                assert answer.outcome is wanted, f"{name}, in the order {order}"


@requires("K5", evidence="each two of a clip's transforms and none, by two workers at once")
def test_K5_both_at_once_get_their_own_frames(farm: Farm) -> None:
    """One clip on its way to two kinds of frames is two pieces of work."""
    workers = [farm.worker(), farm.worker()]
    for kind, right in pairs(farm):
        begin_anew(farm, *workers)
        pending = [
            worker.send(Verb.EXTRACT, inputs=request(kind, name))
            for worker, name in zip(workers, right, strict=True)
        ]
        for name, worker, each in zip(right, workers, pending, strict=True):
            found = list(differences(shot(farm, worker, worker.receive(each)), right[name]))
            assert not found, f"{name} was asked for at once with the other: {found[:3]}"


@requires("K5", evidence="each two of a clip's transforms and none, in one render")
def test_K5_one_render_gives_each_its_own_frames(farm: Farm) -> None:
    """Requests of one render that differ in their transform alone are two pieces of work, too."""
    farm.needs(Capability.RENDER)
    worker = farm.worker()
    for kind, right in pairs(farm):
        begin_anew(farm, worker)
        answer = worker.call(Verb.RENDER, requests=[request(kind, name) for name in right])
        items = [each for each in answer.items if isinstance(each, Extracted)]
        for name, item in zip(right, items, strict=True):
            found = list(differences(shot(farm, worker, item), right[name]))
            assert not found, f"{name} was asked for beside the other: {found[:3]}"
