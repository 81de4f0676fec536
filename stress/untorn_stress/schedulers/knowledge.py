"""What actors have learned in a run: one digest for all the ways in which they learn the same.

Two steps that conflict need not tell each other anything. Who makes an entry learns nothing of the
entries that others made in that directory before, though a listing shows in which order they came;
who dies tells nobody what it knew. ``happens_before`` counts such orders as different, for they
lead to different states. What an actor does next follows from less.

Rule 1: what an actor knows are its own steps, each with the versions of what it learned of: of all
        objects that it touched, but for those of which the footprint says that they are *unseen*.
Rule 2: an object's version stands for all that can have made it what it is. What was written seen
        follows from what the writer knows then; what was written unseen, from that and from the
        version before; what is *fed*, from all that the step read unseen, too.
Rule 3: a read leaves no trace in a version, unless the footprint says that it *marks* the object:
        who shares a lock decides what an exclusive attempt comes to.
Rule 4: the step that *ends* its actor comes to the same whatever the actor knew, and afterwards
        nothing is known of that.
Rule 5: an opaque step learns of everything, and all that comes after it learns of that.

Source: Denning, A Lattice Model of Secure Information Flow (CACM 1976): which flows there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Final

from untorn_stress.schedulers.protocol import Executed, Footprint

_DIGEST_BYTES: Final = 16


class Knowledge:
    """What all actors know, and the versions of all objects; all are as at first where none is."""

    __slots__ = ("_actors", "_barrier", "_marks", "_versions")

    def __init__(self) -> None:
        self._actors: dict[str, bytes] = {}  # since the barrier, as what follows
        self._versions: dict[str, bytes] = {}
        self._marks: dict[str, tuple[bytes, ...]] = {}  # by whom, since the last write
        self._barrier = b""  # the last opaque step

    def copy(self) -> Knowledge:
        """The same, to be gone on with apart from this one."""
        made = Knowledge()
        made._actors = self._actors.copy()
        made._versions = self._versions.copy()
        made._marks = self._marks.copy()
        made._barrier = self._barrier
        return made

    def of(self, actor: str) -> bytes:
        """What the actor knows; the same for the same knowledge."""
        return self._actors.get(actor, self._barrier)

    def learned(self, footprint: Footprint) -> bytes:
        """What such a step would learn of, were it taken now."""
        if footprint.opaque:
            return self._everything()
        seen = footprint.seen
        return self._barrier + self._found(seen, footprint.writes & seen)

    def left(self, remains: Callable[[str], bool]) -> bytes:
        """One digest for what everybody knows and what became of the objects that remain."""
        versions = self._versions.items()
        found = [_named(name, version) for name, version in versions if remains(name)]
        found += [_named(f"\0{actor}", known) for actor, known in self._actors.items()]
        return _digest(self._barrier + b"".join(sorted(found)))

    def add(self, step: Executed) -> None:
        """Take in a step that was taken."""
        actor, footprint = step.actor, step.footprint
        label = f"{step.label}\0".encode()
        if footprint.opaque:
            known = _digest(label + self.of(actor) + self._everything())
            self._actors.clear()
            self._versions.clear()
            self._marks.clear()
            self._barrier = known
            return
        if footprint.ends:
            known = _digest(label)
        else:
            known = _digest(label + self.of(actor) + self.learned(footprint))
        self._write(footprint, known)
        for name in footprint.marks:
            self._marks[name] = (*self._marks.get(name, ()), known)
        self._actors[actor] = known

    def _write(self, footprint: Footprint, known: bytes) -> None:
        versions, marks = self._versions, self._marks
        fed = b""
        if footprint.fed:
            fed = self._found(footprint.unseen & footprint.reads, ())
        for name in footprint.writes:
            if footprint.ends or name in footprint.unseen:
                before = versions.get(name, b"") + b"".join(sorted(marks.get(name, ())))
                versions[name] = _digest(known + before + (fed if name in footprint.fed else b""))
            else:
                versions[name] = known
            marks.pop(name, None)

    def _found(self, names: Iterable[str], written: Iterable[str]) -> bytes:
        """The versions of these, and who has marked those that are written."""
        versions, marks = self._versions, self._marks
        found = [_named(name, versions[name]) for name in names if name in versions]
        if marks:
            found += [_named(name, mark) for name in written for mark in marks.get(name, ())]
        return b"".join(sorted(found))

    def _everything(self) -> bytes:
        marked = (mark for marks in self._marks.values() for mark in marks)
        found = {*self._actors.values(), *self._versions.values(), *marked}
        return self._barrier + b"".join(sorted(found))


def _named(name: str, of: bytes) -> bytes:
    return f"{name}\0".encode() + of


def _digest(of: bytes) -> bytes:
    return blake2b(of, digest_size=_DIGEST_BYTES).digest()
