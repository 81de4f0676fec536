"""Picking among options: by label, and the plain policy of going on with whoever moved last."""

from __future__ import annotations

from collections.abc import Sequence

from untorn_stress.schedulers.protocol import Moment, NondeterminismError, Option


def labelled(options: Sequence[Option], label: str) -> Option | None:
    """The option of this label, or None."""
    for option in options:
        if option.label == label:
            return option
    return None


def offered(moment: Moment) -> str:
    """The labels on offer, as text for an error."""
    return ", ".join(option.label for option in moment.options)


def again(moment: Moment, label: str) -> Option:
    """The option that was taken at this step of an earlier run with the same choices.

    Raises NondeterminismError when it is not on offer now.
    """
    option = labelled(moment.options, label)
    if option is None:
        raise NondeterminismError(
            f"step {moment.step}: {label} was offered after the same choices before, "
            f"now only {offered(moment)}"
        )
    return option


def may_go_on(options: Sequence[Option], actor: str) -> bool:
    """Tell whether the actor could move on without waiting: to leave it now is a preemption."""
    return any(option.actor == actor and not option.yielded for option in options)


def going_on(options: Sequence[Option], last: str) -> Option:
    """The step without a fault of the last actor, else of the first that need not wait for time."""

    def rank(option: Option) -> tuple[bool, bool, bool]:
        return bool(option.fault), option.yielded, option.actor != last

    return min(options, key=rank)
