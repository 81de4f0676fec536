"""What workers do: write, read, collect, extract. As little as shows a wrong answer.

Everybody who is handed files reads all of them and then lets go: what a handle really gives is half
of what is judged.
"""

from __future__ import annotations

from collections.abc import Generator

from untorn_conformance.backend import (
    Adopted,
    Axis,
    Extracted,
    Hit,
    Published,
    Rendered,
    Staged,
    Unpublished,
    Verb,
)

from untorn_stress.payloads import AFTER_WRITER, Payloads
from untorn_stress.scenario import Ask, Program

_AGES_S = 1e9  # thirty years
_HANDED_OUT = (Hit, Published, Adopted, Unpublished, Extracted)


def writer(label: str, name: str) -> Program:
    """Stage the files of the writer ``name``, publish them, and use what comes of it."""

    def write(payloads: Payloads) -> Generator[Ask, object, None]:
        args: dict[str, object] = {
            "key": payloads.key(label),
            "files": payloads.files(label, name),
        }
        staged = yield Ask(verb=Verb.STAGE, args=args, tag=name)
        if isinstance(staged, Staged):
            handle: dict[str, object] = {"handle": staged.handle}
            yield from _use((yield Ask(verb=Verb.PUBLISH, args=handle, tag=name)))

    return write


def reader(label: str) -> Program:
    """Look the label up, and use a hit."""

    def read(payloads: Payloads) -> Generator[Ask, object, None]:
        yield from _use((yield Ask(verb=Verb.LOOKUP, args={"key": payloads.key(label)})))

    return read


def collector() -> Program:
    """Evict everything that may be evicted, however young."""

    def collect(_: Payloads) -> Generator[Ask, object, None]:
        args: dict[str, object] = {"budget_bytes": 0, "min_age_s": 0.0, "dry_run": False}
        yield Ask(verb=Verb.COLLECT, args=args)

    return collect


def weigher() -> Program:
    """Ask what goes beyond a budget of nothing: all that is stored, for all of it is too young."""

    def weigh(_: Payloads) -> Generator[Ask, object, None]:
        args: dict[str, object] = {"budget_bytes": 0, "min_age_s": _AGES_S, "dry_run": True}
        yield Ask(verb=Verb.COLLECT, args=args)

    return weigh


def in_turn(*programs: Program) -> Program:
    """One program after another, by the same worker."""

    def go_through(payloads: Payloads) -> Generator[Ask, object, None]:
        for program in programs:
            yield from program(payloads)

    return go_through


def ager(seconds: float) -> Program:
    """Have a backend with a clock of its own make everything older."""

    def age(_: Payloads) -> Generator[Ask, object, None]:
        yield Ask(verb=Verb.AGE, args={"seconds": seconds})

    return age


def requester(fps: str = "1") -> Program:
    """Extract the clip of the payloads, and use its frames."""

    def request(payloads: Payloads) -> Generator[Ask, object, None]:
        assert payloads.clip, "the scenario extracts, and whoever runs it named no clip"
        inputs = {Axis.PATH: payloads.clip, Axis.FPS: fps, Axis.FORMAT: "png"}
        yield from _use((yield Ask(verb=Verb.EXTRACT, args={"inputs": inputs})))

    return request


def composition(payloads: Payloads) -> list[dict[Axis, str]]:
    """A render of few frames: two ranges that overlap, another clip, and what ``requester`` asks.

    The ranges share whole frames, so that a cache that can may decode them at once.
    """
    assert payloads.clip, "the scenario renders, and whoever runs it named no clip"
    still = {Axis.PATH: payloads.clip, Axis.FPS: "1", Axis.FORMAT: "png"}
    moving = {**still, Axis.FPS: "2", Axis.DURATION_S: "1"}
    return [
        moving,
        {**moving, Axis.START_S: "0.5"},
        {**still, Axis.PATH: payloads.other_clip()},
        still,
    ]


def renderer() -> Program:
    """Render the composition, use what comes of it, and ask what was logged and counted."""

    def render(payloads: Payloads) -> Generator[Ask, object, None]:
        answer = yield Ask(verb=Verb.RENDER, args={"requests": composition(payloads)})
        for item in answer.items if isinstance(answer, Rendered) else ():
            yield from _use(item)
        yield Ask(verb=Verb.LOG)
        yield Ask(verb=Verb.STATS)

    return render


def requester_of(inputs: object) -> Program:
    """Extract what these inputs say, and use its frames."""

    def request(_: Payloads) -> Generator[Ask, object, None]:
        yield from _use((yield Ask(verb=Verb.EXTRACT, args={"inputs": inputs})))

    return request


def _use(answer: object) -> Generator[Ask, object, None]:
    """Read every file that was handed out, and release."""
    if isinstance(answer, _HANDED_OUT):
        for index in range(len(answer.files)):
            yield Ask(verb=Verb.READ, args={"handle": answer.handle, "index": index})
        yield Ask(verb=Verb.RELEASE, args={"handle": answer.handle})


def afterwards(label: str) -> tuple[Program, ...]:
    """What is asked when a run is over, in this order: read, publish anew, read again.

    By fresh workers and with nothing in their way, after those of the run were closed.
    """
    return (reader(label), writer(label, AFTER_WRITER), reader(label))
