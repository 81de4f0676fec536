"""Real clips in a storm: what is extracted, and what frames it gives when nothing befalls it.

Rule 1: all attempts at one clip give the same bytes, so that reads do not say whose they are: they
        are compared here, with what an undisturbed worker read first, and are not in the history.
Rule 2: every request gives as many frames as every other version has.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from untorn_conformance.backend import Axis, Extracted, FrameRead, Verb

from untorn_stress.storm.judging import StormFinding
from untorn_stress.storm.roles import Errand, read_all, release
from untorn_stress.storm.solo import Solo


@dataclass(slots=True)
class Footage:
    """Clips by label: the inputs of their extraction, and the digests of their frames."""

    inputs: Mapping[str, Mapping[Axis, object]] = field(default_factory=dict)
    digests: dict[str, tuple[str, ...]] = field(default_factory=dict)
    wrong: list[StormFinding] = field(default_factory=list)

    def learn(self, solo: Solo) -> str:
        """Extract every clip with nothing in the way; why that cannot be done, empty if it can."""
        for label in self.inputs:
            word = solo.ask(self.errand(label))
            if not isinstance(word.value, Extracted):
                return f"clip {label} cannot be extracted: {word.value}"
            reads = []
            for errand in read_all(word, label, solo.part.dice):
                assert isinstance(errand, Errand)
                answer = solo.ask(errand, record=False).value
                reads.append((errand.index, answer))
            solo.ask(release(word, ""))
            if not all(isinstance(answer, FrameRead) for _, answer in reads):
                return f"the frames of clip {label} cannot be read"
            self.digests[label] = tuple(answer.sha256 for _, answer in sorted(reads, key=_index))
        return ""

    def errand(self, label: str) -> Errand:
        """Extract a clip. It has no key in the history: its reads would name no version."""
        return Errand(verb=Verb.EXTRACT, args={"inputs": self.inputs[label]})

    def look(self, errand: Errand, value: object, at_ns: int) -> None:
        """Compare what was read of a clip with what it gave undisturbed."""
        if not isinstance(value, FrameRead):
            return
        right = self.digests[errand.key]
        if errand.index >= len(right) or value.sha256 != right[errand.index]:
            self.wrong.append(
                StormFinding(
                    checker="H1",
                    requirements=("P1", "R1", "X1"),
                    message=f"frame {errand.index} of clip {errand.key} has other bytes than it "
                    "gave when nothing befell its extraction",
                    operations=(errand.via,),
                    at_ns=at_ns,
                )
            )

    def take_wrong(self) -> list[StormFinding]:
        """What was found wrong since, and is told once."""
        wrong, self.wrong = self.wrong, []
        return wrong


def copied(
    clips: Mapping[str, Path], folder: Path, requests: Sequence[Mapping[str, Any]]
) -> Footage:
    """Footage of copies in a folder that every worker can read.

    A request names its ``clip`` and gives further axes by name. Raises OSError.
    """
    folder.mkdir(mode=0o755)
    inputs = {}
    for number, request in enumerate(requests, 1):
        source = clips[request["clip"]]
        path = folder / source.name
        if not path.exists():
            shutil.copyfile(source, path)
            path.chmod(0o644)
        axes = {Axis(name): value for name, value in request.items() if name != "clip"}
        inputs[f"clip{number}"] = {Axis.PATH: str(path), **axes}
    return Footage(inputs)


def _index(read: tuple[int, object]) -> int:
    return read[0]
