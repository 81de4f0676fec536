"""Runs in which a fault is to last, and no further call meets it: they go as where it is met once.

A refusal that goes on (``EIO+``, ``EINTRx2``) is met by the calls of its worker that can return the
errno. Whoever stands before such a call is offered the errno, where it was met once only. So a run
with ``EIO`` after which the worker is offered it nowhere is, step for step, the run with ``EIO+``
at that place; but in that no further fault is on offer to the worker (rule 2 of ``faults``).

Source: the claim is that of ``foresight``: a step is determined by its causes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from untorn_stress.explore import R
from untorn_stress.faults import SHORT, Lasts, Refusal, lasting
from untorn_stress.schedulers.protocol import Executed, Moment, Option

V = TypeVar("V")


class Remainder(NamedTuple, Generic[V]):
    """What comes of a fault that lasts: moments, what is chosen at each, the last step, a result.

    ``result`` is that of the run in which the fault was met once.
    """

    moments: tuple[Moment, ...]
    labels: tuple[str, ...]
    executed: Executed | None
    result: V


class MetOnce(Generic[R]):
    """What is known of faults that last from runs in which they were met once."""

    def __init__(self) -> None:
        self._rests: dict[tuple[str, ...], Remainder[R]] = {}

    def find(self, labels: Sequence[str]) -> Remainder[R] | None:
        """What comes after these choices, the last of them a fault; None where it is not known."""
        return self._rests.get(tuple(labels)) if "!" in labels[-1] else None

    def learn(
        self,
        moments: Sequence[Moment],
        labels: Sequence[str],
        executed: Executed | None,
        result: R,
    ) -> None:
        """Take in a run that was made to its end: its moments, and what was chosen at each."""
        faults = [step for step, label in enumerate(labels) if "!" in label]
        if len(faults) != 1:
            return
        (step,) = faults
        actor, _, fault = labels[step].partition("!")
        refusal, after = Refusal.of(fault), moments[step + 1 :]
        if refusal is None or refusal.lasts is not Lasts.ONCE or _is_offered(actor, refusal, after):
            return
        on = f"{actor}!{lasting(refusal)}"
        met = [moment.executed for moment in after] + [executed]
        met[0] = met[0] and met[0]._replace(label=on)
        self._rests[(*labels[:step], on)] = Remainder(
            tuple(
                moment._replace(options=_left_to(actor, moment.options), executed=executed)
                for moment, executed in zip(after, met, strict=False)
            ),
            tuple(labels[step + 1 :]),
            met[-1],
            result,
        )


def _is_offered(actor: str, refusal: Refusal, moments: Sequence[Moment]) -> bool:
    """Whether a thread of the worker could meet the errno at one of these moments."""
    return any(
        option.fault == str(refusal) and option.actor[0] == actor[0]
        for moment in moments
        for option in moment.options
    )


def _left_to(actor: str, options: Sequence[Option]) -> tuple[Option, ...]:
    """What is on offer of these when the actor's worker is afflicted."""
    return tuple(
        option
        for option in options
        if option.actor[0] != actor[0]
        or (option.fault != SHORT and Refusal.of(option.fault) is None)
    )
