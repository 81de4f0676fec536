"""Row K6: what is asked for at once is merged only where it is the same in every axis.

The right frames of a request are those that the same backend gives for it alone, with the cache
off where it can be, else in a root of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias

from untorn_conformance import moves
from untorn_conformance.backend import (
    Axis,
    Extracted,
    ExtractOutcome,
    Setting,
    SourceKind,
    Verb,
)
from untorn_conformance.checkers import pixels
from untorn_conformance.contract import Capability
from untorn_conformance.farm import Farm
from untorn_conformance.plugin import requires, unknown
from untorn_fixtures.clips import clip
from untorn_stress.worker import Worker

Inputs: TypeAlias = dict[Axis, str | int | float | None]

OTHER_CLIP: Final = "odd"
OTHERWISE: Final[Mapping[Axis, str | int]] = MappingProxyType(
    {
        Axis.START_S: "0.6",
        Axis.DURATION_S: "0.2",
        Axis.FPS: "20",
        Axis.FORMAT: "png",
        Axis.QUALITY: 30,
        Axis.PATH: OTHER_CLIP,
    }
)
"""For each axis another value than the usual one, which means other frames."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shot:
    """The frames of one answer: their names, their digests and files that hold these bytes."""

    names: Sequence[str]
    digests: Sequence[str]
    paths: Sequence[Path]


def request(axis: Axis | None = None, transform: str | None = None) -> Inputs:
    """A few frames of a clip, with another value in this axis; png has no quality.

    What is converted is png, as for the axis of the format, so that one axis is all that differs.
    """
    inputs: Inputs = {
        Axis.PATH: str(clip("sdr")),
        Axis.START_S: "0.2",
        Axis.DURATION_S: "0.4",
        Axis.FPS: "10",
        Axis.FORMAT: "jpg",
        Axis.QUALITY: 90,
    }
    if axis in {Axis.FORMAT, Axis.TRANSFORM}:
        return {**inputs, Axis.FORMAT: "png", Axis.QUALITY: None, Axis.TRANSFORM: transform}
    if axis is Axis.PATH:
        return {**inputs, axis: str(clip(OTHER_CLIP))}
    return inputs if axis is None else {**inputs, axis: OTHERWISE[axis]}


def beside(axis: Axis) -> Axis | None:
    """The request from which that of the axis differs in nothing else."""
    return Axis.FORMAT if axis is Axis.TRANSFORM else None


def requests(farm: Farm) -> dict[Axis | None, Inputs]:
    """The plain request, and one for each axis; for transforms where there is one for the clip."""
    found = {axis: request(axis) for axis in (None, *OTHERWISE)}
    known = (name for name, of in farm.hello.transforms.items() if of is SourceKind.SDR)
    transform = next(known, None)
    if transform is not None and Capability.TRANSFORM in farm.hello.capabilities:
        found[Axis.TRANSFORM] = request(Axis.TRANSFORM, transform)
    return found


def shot(farm: Farm, worker: Worker, answer: Extracted) -> Shot:
    """Read all frames of an answer and find their files by their bytes; it stays held."""
    digests, kept = moves.read_all(worker, answer), farm.files_by_digest()
    if not kept.keys() >= set(digests):
        unknown("the backend does not keep its frames as plain files")
    return Shot(names=answer.files, digests=digests, paths=[kept[each] for each in digests])


class Alone:
    """What each request gives when nobody else asks for anything."""

    def __init__(self, farm: Farm) -> None:
        self._farm = farm
        self._variable = farm.hello.variables.get(Setting.ROOT)
        self._worker = farm.worker(open_root=self._variable is None)
        if self._variable is not None:
            off = {self._variable: "off"}
            self._worker.call(Verb.OPEN, root=None, env=off, clock_offset_s=0.0)

    def of(self, inputs: Inputs) -> Shot:
        """The right frames of a request."""
        if self._variable is None:
            begin_anew(self._farm, self._worker)
        answer = self._worker.call(Verb.EXTRACT, inputs=inputs)
        return shot(self._farm, self._worker, answer)


def begin_anew(farm: Farm, *workers: Worker) -> None:
    """Give the workers an empty root."""
    farm.begin_anew()
    for worker in workers:
        worker.call(Verb.OPEN, root=str(farm.root), env={}, clock_offset_s=0.0)


def differences(given: Shot, right: Shot) -> Iterator[str]:
    """How the frames of an answer differ from the right ones, if they do."""
    if (given.names, given.digests) != (right.names, right.digests):
        yield from pixels.compare(
            given.paths, right.paths, names=(given.names, right.names)
        ).differences


def right_frames(farm: Farm, asked: Mapping[Axis | None, Inputs]) -> dict[Axis | None, Shot]:
    """What each request is owed: frames of its own, so that who mixes two up is seen to."""
    alone = Alone(farm)
    right = {axis: alone.of(inputs) for axis, inputs in asked.items()}
    for axis in filter(None, asked):
        if not list(differences(right[axis], right[beside(axis)])):
            unknown(f"another {axis} gives the same frames here, so that nobody can mix them up")
    return right


@requires(
    "K6", evidence="for each axis two requests that differ in it alone, by two workers at once"
)
def test_K6_workers_that_ask_for_different_things_get_them(farm: Farm) -> None:
    """Two requests that differ in any axis are not each other's work to wait for."""
    farm.needs(Capability.DEDUPE, Capability.EXTRACT)
    asked = requests(farm)
    right = right_frames(farm, asked)
    workers = [farm.worker(), farm.worker()]
    for axis in filter(None, asked):
        begin_anew(farm, *workers)
        names = (beside(axis), axis)
        pending = [
            worker.send(Verb.EXTRACT, inputs=asked[name])
            for worker, name in zip(workers, names, strict=True)
        ]
        for name, worker, each in zip(names, workers, pending, strict=True):
            found = list(differences(shot(farm, worker, worker.receive(each)), right[name]))
            assert not found, f"another {axis} was asked for at once: {found[:3]}"


@requires("K6", evidence="one render: a request for each axis, and one that is equal to the first")
def test_K6_a_render_merges_what_is_equal_alone(farm: Farm) -> None:
    """Each request has the pixels of its own axes; the two that are equal are one work."""
    farm.needs(Capability.DEDUPE, Capability.EXTRACT, Capability.RENDER)
    asked = requests(farm)
    right, worker = right_frames(farm, asked), farm.worker()
    names = (*asked, None)
    answer = worker.call(Verb.RENDER, requests=[asked[name] for name in names])
    items = [each for each in answer.items if isinstance(each, Extracted)]
    assert len({each.handle for each in items}) == len(names), answer
    for name, item in zip(names, items, strict=True):
        found = list(differences(shot(farm, worker, item), right[name]))
        assert not found, f"another {name} was asked for beside it: {found[:3]}"
    outcomes = [items[0].outcome, items[-1].outcome]
    assert outcomes.count(ExtractOutcome.PUBLISHED) == 1, outcomes
    assert ExtractOutcome.ADOPTED not in outcomes, outcomes
