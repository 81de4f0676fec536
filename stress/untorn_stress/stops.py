"""The tree at every stop of a lone worker's run: what is left when everything dies there.

Rule 1: one run gives them all, since nobody else is there to see a death, or to go on after it.
Rule 2: a copy keeps what survives a death: names, bytes, modes, links, holes and times. Locks and
        descriptors do not; they are the dead's.
Rule 3: a stop is told by the steps before it. The death of the worker in place of the next step is
        the same state, made by a signal.

Source: Pillai et al., ALICE (OSDI 2014), for crash states as values; a crash of processes alone
leaves every completed call in its place, so that here each prefix of the calls is one state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from untorn_stress.gated import GatedSystem
from untorn_stress.run import KILL, Operation, Run
from untorn_stress.schedulers.protocol import Moment, Option
from untorn_stress.schedulers.replay import Replay
from untorn_stress.start import Start


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """What is left after the first ``steps`` of a run.

    ``death`` is the label of the death that takes the place of the next step, "" where none is on
    offer: nobody is left to die, or only another thread could move.
    """

    steps: int
    start: Start
    death: str

    def run(self, whole: Run) -> Run:
        """The run that ends here, of the one that went on."""
        choices = whole.choices[: self.steps]
        return replace(
            whole,
            choices=(*choices, self.death) if self.death else choices,
            steps=(),
            operations=_until(whole.operations, self.steps),
            findings=(),
        )


def stops(system: GatedSystem, take: Callable[[], Start]) -> tuple[Run, list[Stop]]:
    """The run of the system's lone worker, and what ``take`` gave after each of its steps.

    Raises UndecidedError, HostingError, BackendError, ProtocolError.
    """
    replay, deaths, taken = Replay(()), [], []

    def choose(moment: Moment) -> Option:
        dying = (option.label for option in moment.options if option.fault == KILL)
        deaths.append(next(dying, ""))
        return replay.choose(moment)

    system.on_stop = lambda: taken.append(take())
    try:
        run = system.run(choose).run
    finally:
        system.on_stop = None
    return run, [
        Stop(steps=steps, start=start, death=death)
        for steps, (start, death) in enumerate(zip(taken, [*deaths[1:], ""], strict=True), start=1)
    ]


def _until(operations: tuple[Operation, ...], steps: int) -> tuple[Operation, ...]:
    """The operations of one worker as they were after so many steps: the last without an answer."""
    told: list[Operation] = []
    for each in operations:
        if not 0 <= each.ended <= steps:
            told.append(replace(each, began=min(each.began, steps), ended=-1, answer=None))
            break
        told.append(each)
    return tuple(told)
