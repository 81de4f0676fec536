"""A decoder held amid its frames: a pipe without a reader stands where a later frame goes.

Rule 1: who opens a pipe to write it waits for a reader, so the decoder comes as far as the pipe and
        no further, however late we look next.
Rule 2: the pipe goes while those are stopped who may wait at it: a stop interrupts their open, and
        it is made anew when they go on. What it makes then is a plain file.
Rule 3: who names frames otherwise is passed by. Whether it was amid them is then told by what was
        there when it was stopped.

Sources: fifo(7), signal(7) on calls that a signal interrupts.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from untorn_fixtures.real import real_clip
from untorn_stress import supervise
from untorn_stress.worker import Pending, Worker

from untorn_conformance import moments, moves
from untorn_conformance.backend import Axis, Extracted, Verb
from untorn_conformance.cases import unknown
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_conformance.farm import Farm

ATTEMPTS: Final = 5
"""How often an extraction is begun again whose frames were all there before a pipe could be."""

AMID: Final = 100
"""After how many frames the pipe stands: who is to be held makes more, half as many at least."""

CONTROL_FPS: Final = "49"
"""A rate that no case asks for: what is extracted at it is in no cache."""

Inputs = dict[Axis, str | int | float | None]


class Barrier:
    """A pipe where the decoder is to write a frame. Made before the extraction is begun."""

    def __init__(self, farm: Farm, *, after: int) -> None:
        self._farm = farm
        self._after = after
        self._before = moments.frame_names(farm, ".png")
        self._path: Path | None = None
        self.is_late = False
        """Whether the frame, or all of them, was done before the pipe could stand."""

    def written(self) -> list[Path]:
        """The frames that are there."""
        names = moments.frame_names(self._farm, ".png") - self._before
        return [each for each in map(self._farm.root.joinpath, names) if each != self._path]

    def stand(self) -> bool:
        """Stand after so many frames, as soon as one shows how they are called; whether one did."""
        if self._path is not None:
            return True
        if not (written := self.written()):
            return False
        first = min(written)
        if number := re.search("[0-9]+$", first.stem):
            stem = f"{int(number[0]) + self._after:0{len(number[0])}}"
            path = first.with_name(first.stem[: number.start()] + stem + first.suffix)
            try:
                os.mkfifo(path)
                self._path = path
            except OSError:  # it is there already, or its folder is gone
                self.is_late = True
        return True

    @property
    def is_standing(self) -> bool:
        """Whether the pipe is there still: then the frame in whose place it stands is not."""
        return self._path is not None and self._path.is_fifo()

    def lift(self, waiting: Iterable[int] = ()) -> None:
        """Go. Who is ``waiting`` is stopped meanwhile; others must be, or wait on at nothing."""
        stopped = [pid for pid in waiting if _signalled(supervise.stop, pid)]
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None
        for pid in stopped:
            _signalled(supervise.resume, pid)


def _signalled(act: Callable[[int], None], pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):  # it has ended
        act(pid)
        return True
    return False


@dataclass(frozen=True, kw_only=True, slots=True)
class Amid:
    """A stopped worker, its unanswered extraction, and the pipe that its decoder comes to.

    ``seen`` is how many frames were there when the worker was stopped, and ``is_held`` whether the
    pipe was: then more were to come, however many the answer has of what the clip is by then.
    """

    farm: Farm
    worker: Worker
    pending: Pending
    barrier: Barrier
    seen: int
    is_held: bool

    def lift(self) -> None:
        """Let the decoder go on; the worker is stopped still, or was killed meanwhile."""
        worker = self.worker
        self.barrier.lift(worker.started() if worker.is_alive else worker.left_behind())

    def finish(self) -> Extracted:
        """Have it go on; raises BackendError.

        Ends the case as unknown for a backend that fails where a pipe stands, whatever else is so.
        """
        try:
            return self.go_on()
        except BackendError as error:
            if error.code is not ErrorCode.SOURCE_CHANGED:
                _see_that_pipes_do_no_harm(self.farm)
            raise

    def go_on(self) -> Extracted:
        """Let decoder and worker go on, and return the answer; raises BackendError."""
        self.lift()
        self.worker.resume()
        answer = self.worker.receive(self.pending)
        assert isinstance(answer, Extracted), answer
        return answer


def stop_amid_extraction(farm: Farm, worker: Worker, inputs: Inputs) -> Amid:
    """Start to extract some 200 frames or more as png, and stop the worker amid them.

    Ends the case as unknown where no frame appears below the root, or all of them at once.
    """
    for _ in range(ATTEMPTS):
        barrier = Barrier(farm, after=AMID)
        pending = worker.send(Verb.EXTRACT, inputs=inputs)
        moments.await_moment(barrier.stand, "a frame in the cache's own staging")
        worker.stop()
        amid = Amid(
            farm=farm,
            worker=worker,
            pending=pending,
            barrier=barrier,
            seen=len(barrier.written()),
            is_held=barrier.is_standing,
        )
        if not barrier.is_late:
            return amid
        answer = amid.go_on()
        worker.call(Verb.RELEASE, handle=answer.handle)
        moves.collect(worker)
    return unknown(f"each of {ATTEMPTS} extractions had made its frames before a pipe could stand")


def _see_that_pipes_do_no_harm(farm: Farm) -> None:
    """Extract beside a pipe, where nothing else happens; the case ends unknown if that fails."""
    inputs: Inputs = {Axis.PATH: str(real_clip("carphone_pristine")), Axis.FPS: CONTROL_FPS}
    amid = stop_amid_extraction(farm, farm.worker(), {**inputs, Axis.FORMAT: "png"})
    try:
        amid.go_on()
    except BackendError as error:
        unknown(f"it does not extract where a pipe stands in a frame's place: {error}")
