"""What a scheduler is asked and told, whatever it schedules: gated processes or model programs.

    begin() -> bool          is there another run to make?
    choose(moment) -> Option | None
                             who moves now; None cuts this run, whose rest is explored elsewhere
    end(ending)              how the run ended

Rule 1: a scheduler sees actors, options and footprints, never paths or processes.
Rule 2: an option is a step of one actor, or a fault in its place. Options of a moment are in a
        fixed order: by actor, the faultless one first.
Rule 3: two steps commute unless they touch a common object, one writing. When unsure they conflict:
        an opaque footprint conflicts with everything.
Rule 4: the step that an option stood for is told at the next moment (or the ending) as *executed*,
        with the footprint that it really had.

Sources: Godefroid, Partial-Order Methods (1996); Musuvathi and Qadeer, CHESS (OSDI 2008).
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol


class Footprint(NamedTuple):
    """The objects that a step reads and writes, named alike in every run of one system.

    What its actor learns by it is told by the rest, which may be left out: then it learns of all.
    ``unseen`` are the objects of which it learns nothing: what the step comes to, and all that the
    actor does from then on, is the same whatever they were. ``fed`` are those writes into which
    what was read unseen goes. ``marks`` are the reads that a later writer can tell: a lock that
    is shared. ``ends``: it is the actor's death, which comes to the same whatever the actor knew.
    """

    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    opaque: bool = False
    unseen: frozenset[str] = frozenset()
    fed: frozenset[str] = frozenset()
    marks: frozenset[str] = frozenset()
    ends: bool = False

    @property
    def seen(self) -> frozenset[str]:
        """The objects of which the actor learns."""
        touched = self.reads | self.writes
        return touched - self.unseen if self.unseen else touched

    def conflicts(self, other: Footprint) -> bool:
        """Tell whether the order of two steps of different actors may matter."""
        if self.opaque or other.opaque:
            return True
        return not (
            self.writes.isdisjoint(other.writes)
            and self.writes.isdisjoint(other.reads)
            and self.reads.isdisjoint(other.writes)
        )

    def joined(self, other: Footprint) -> Footprint:
        """What both touch."""
        if not (other.reads or other.writes or other.opaque):
            return self
        if not (self.reads or self.writes or self.opaque):
            return other
        writes = self.writes | other.writes
        unseen = self.unseen | other.unseen
        return Footprint(
            (self.reads | other.reads) - writes,
            writes,
            self.opaque or other.opaque,
            unseen - self.seen - other.seen if unseen else unseen,
            self.fed | other.fed,
            self.marks | other.marks,
            self.ends or other.ends,
        )


NOTHING: Final = Footprint()


class Option(NamedTuple):
    """One thing that can happen next: ``actor`` takes its pending step, or meets ``fault`` instead.

    ``footprint`` is what the step is expected to touch. ``yielded``: the actor waits for time to
    pass; it is only offered when another has moved since, or when nothing else can.
    """

    actor: str
    footprint: Footprint = NOTHING
    fault: str = ""
    yielded: bool = False

    @property
    def label(self) -> str:
        """The text that names the option in a schedule: ``A``, or ``A!EIO`` for a fault."""
        return f"{self.actor}!{self.fault}" if self.fault else self.actor


class Executed(NamedTuple):
    """A step that was taken, under the option's label, and what it really touched."""

    actor: str
    label: str
    footprint: Footprint


class Moment(NamedTuple):
    """A point where a choice is due: ``step`` counts the choices made so far in this run.

    ``executed`` is the step that the last choice stood for, None at the first moment. ``options``
    is never empty. ``waiting`` are those who have not ended and are not on offer, with what they
    wait for: opaque where that is not known.
    """

    step: int
    options: tuple[Option, ...]
    executed: Executed | None = None
    waiting: tuple[Option, ...] = ()


class Ending(NamedTuple):
    """How a run ended: its last step, whether it was cut by the scheduler, and what came of it.

    ``outcome`` is any text that stands for what the run showed; equal outcomes are equal texts.
    ``waiting`` are those who have not ended and never will, with what they wait for.
    """

    executed: Executed | None
    cut: bool
    outcome: str = ""
    waiting: tuple[Option, ...] = ()


class Scheduler(Protocol):
    """One algorithm. Not for use by several systems: its memory is that of one search."""

    def begin(self) -> bool:
        """Prepare the next run; False when there is none left."""

    def choose(self, moment: Moment) -> Option | None:
        """Pick one of the moment's options, or None to cut the run here."""

    def end(self, ending: Ending) -> None:
        """Learn how the run ended."""


class ScheduleMismatchError(Exception):
    """A schedule names an option that the run does not offer at this step."""


class NondeterminismError(Exception):
    """The same choices led to other options than before: the system is not under control."""
