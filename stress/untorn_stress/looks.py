"""How fresh workers look at trees, many of them: each tree once, each look by workers as in a run.

Rule 1: a worker is new in each look, has opened the root as it is then, and ends with the look; or
        is as new as one in each run: it renewed itself, said that nothing was left, and keeps
        nothing open below the root. A foreign one closes the root, and opens it again.
Rule 2: nobody holds it. So all that it will be asked may be asked without a gate, where calls
        cost what they cost: a dialogue that was had before, if its programs would ask the same of
        these answers. Where they would not, the tree is put back and another is asked.
Rule 3: what no known dialogue fits is asked at the gate, answer by answer, and is known from then
        on. So is whoever died before it had answered: the gate tells of what.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from untorn_conformance import wire
from untorn_conformance.errors import ProtocolError

from untorn_stress.ensemble import JUDGE
from untorn_stress.gate.hosting import HostingError, HostingTimeoutError
from untorn_stress.laboratory import Laboratory
from untorn_stress.payloads import Payloads
from untorn_stress.player import Ledger
from untorn_stress.programs import afterwards
from untorn_stress.rules.history import Aftermath
from untorn_stress.run import Operation
from untorn_stress.scenario import Program
from untorn_stress.start import Start
from untorn_stress.tree import Tree
from untorn_stress.tree_restore import Restorer

Dialogue = tuple[bytes, ...]
"""The requests of one look, in order."""

_MOST_TRIED: Final = 2


class Looks:
    """What fresh workers of one backend find in trees. ``made`` counts the trees looked at."""

    def __init__(self, laboratory: Laboratory) -> None:
        self.made = 0
        self._laboratory = laboratory
        self._restorer = Restorer(laboratory.root)
        self._known: dict[tuple[str, ...], Aftermath] = {}
        self._dialogues: dict[int, list[Dialogue]] = {}

    def look(self, start: Start, labels: tuple[str, ...], digest: str = "") -> Aftermath:
        """What is found in such a tree, put back as old as it would be by now.

        ``digest`` is the tree's, where it is known.
        Raises UndecidedError, HostingError, BackendError, ProtocolError.
        """
        key = (*labels, digest or self._laboratory.digest(start.tree))
        if key not in self._known:
            tree = start.tree_at(time.time())
            programs = tuple(program for label in labels for program in afterwards(label))
            self._known[key] = Aftermath(
                operations=self._play(tree, programs),
                debris=self._laboratory.reclaim(tree, self._play),
            )
            self.made += 1
        return self._known[key]

    def _play(self, tree: Tree, programs: Sequence[Program]) -> tuple[Operation, ...]:
        """Put the tree back, and have one fresh worker play the programs."""
        dialogues = self._dialogues.setdefault(len(programs), [])
        for dialogue in dialogues[:_MOST_TRIED]:
            self._restorer.restore(tree)
            try:
                answers = self._laboratory.answers(dialogue)
            except HostingTimeoutError:
                raise  # who hangs there may hold what the next one waits for
            except HostingError:
                break
            had = follow(programs, self._laboratory.payloads, dialogue, answers)
            if had is not None:
                dialogues.remove(dialogue)
                dialogues.insert(0, dialogue)  # the next state is often of the same kind
                return had
        self._restorer.restore(tree)
        had = self._laboratory.play_alone(programs)
        if all(each.is_answered for each in had):
            dialogues.insert(0, tuple(map(_request, had)))
        return had


def follow(
    programs: Sequence[Program], payloads: Payloads, dialogue: Dialogue, answers: Sequence[bytes]
) -> tuple[Operation, ...] | None:
    """The operations of that dialogue; None unless the programs ask just that, so answered."""
    ledger = Ledger()
    said = list(zip(dialogue, answers, strict=False))
    for program in programs:
        playing = program(payloads)
        ask = next(playing, None)
        while ask is not None:
            asked = ledger.begin(JUDGE, ask)
            request = wire.encode_request(asked.index + 1, ask.verb, ask.args)
            if asked.index >= len(said) or said[asked.index][0] != request:
                return None
            try:
                answer = wire.decode_answer(said[asked.index][1], verb=ask.verb)
            except ProtocolError:
                return None
            asked.answer, asked.ended = answer.value, ledger.steps
            try:
                ask = playing.send(answer.value)
            except StopIteration:
                ask = None
    return ledger.operations() if len(ledger.asked) == len(dialogue) else None


def _request(operation: Operation) -> bytes:
    return wire.encode_request(operation.index + 1, operation.verb, operation.args)
