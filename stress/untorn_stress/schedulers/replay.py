"""Replay: the labels of a schedule, exactly; then whoever moved last goes on."""

from __future__ import annotations

from collections.abc import Sequence

from untorn_stress.schedulers.choices import going_on, labelled, offered
from untorn_stress.schedulers.protocol import Ending, Moment, Option, ScheduleMismatchError


class Replay:
    """Makes one run of a schedule; what it leaves open is gone through without a fault."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = tuple(labels)
        self._made = False
        self._followed = 0

    def begin(self) -> bool:
        """True once."""
        made, self._made = self._made, True
        return not made

    def choose(self, moment: Moment) -> Option:
        """The option that the schedule names for this step.

        Raises ScheduleMismatchError when it is not on offer.
        """
        if moment.step >= len(self._labels):
            return going_on(moment.options, moment.executed.actor if moment.executed else "")
        wanted = self._labels[moment.step]
        option = labelled(moment.options, wanted)
        if option is None:
            raise ScheduleMismatchError(
                f"step {moment.step}: the schedule wants {wanted}, on offer: {offered(moment)}"
            )
        self._followed += 1
        return option

    def end(self, ending: Ending) -> None:
        """Check that nothing of the schedule is left.

        Raises ScheduleMismatchError when the run was over before the schedule was.
        """
        if self._followed < len(self._labels) and not ending.cut:
            raise ScheduleMismatchError(
                f"step {self._followed}: the schedule wants {self._labels[self._followed]}, "
                "on offer: nothing, the run is over"
            )
