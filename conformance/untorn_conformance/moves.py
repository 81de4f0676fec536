"""What cases do over and over: name a key, make frames, publish them, look them up, read them back.

Every payload is told by its key, its writer and its index, so that bytes of two publishes are never
alike and a read says which publish it came from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from untorn_stress.worker import Worker

from untorn_conformance.backend import (
    Adopted,
    Collected,
    Extracted,
    FrameRead,
    Hit,
    Miss,
    Published,
    Setting,
    Unpublished,
    Verb,
)
from untorn_conformance.cases import unknown
from untorn_conformance.farm import Farm

FRAME_BYTES = 4096
_AT_ONCE = 20  # requests that fit into a pipe, and so do their answers
MOST_NAMED = 5  # files of a handle that a failure lists

Outcome = Published | Adopted | Unpublished
Readable = Hit | Published | Adopted | Unpublished | Extracted


def key(label: str) -> str:
    """A full key for a label: 64 hexadecimal digits, the same in every run."""
    return hashlib.sha256(f"untorn case key {label}".encode()).hexdigest()


def frames(writer: str = "w", *, count: int = 3, size_bytes: int = FRAME_BYTES) -> dict[str, bytes]:
    """`count` frames of `size_bytes` each that only `writer` writes, by name, in frame order."""
    return {
        f"frame_{index:05d}.png": _payload(f"{writer}:{index}", size_bytes)
        for index in range(1, count + 1)
    }


def _payload(seed: str, size_bytes: int) -> bytes:
    block = hashlib.sha256(seed.encode()).digest()
    return (block * (size_bytes // len(block) + 1))[:size_bytes]


def digests(contents: Iterable[bytes]) -> list[str]:
    """SHA-256 of each, in hexadecimal, as `read` answers."""
    return [hashlib.sha256(content).hexdigest() for content in contents]


def stage(farm: Farm, worker: Worker, label: str, contents: Mapping[str, bytes]) -> str:
    """Stage frames under the label's key; the staging's handle."""
    staged = worker.call(Verb.STAGE, key=key(label), files=farm.files(contents))
    return str(staged.handle)


def publish(
    farm: Farm, worker: Worker, label: str, contents: Mapping[str, bytes] | None = None
) -> Outcome:
    """Stage and publish, and keep the handle: the answer of publish."""
    handle = stage(farm, worker, label, frames() if contents is None else contents)
    answer = worker.call(Verb.PUBLISH, handle=handle)
    assert isinstance(answer, Outcome)
    return answer


def put(
    farm: Farm, worker: Worker, label: str, contents: Mapping[str, bytes] | None = None
) -> None:
    """Publish, see that it was published, and hold nothing afterwards."""
    answer = publish(farm, worker, label, contents)
    assert isinstance(answer, Published), answer
    worker.call(Verb.RELEASE, handle=answer.handle)


def look(worker: Worker, label: str) -> Hit | Miss:
    """Look the label's key up; a hit stays held."""
    answer = worker.call(Verb.LOOKUP, key=key(label))
    assert isinstance(answer, Hit | Miss)
    return answer


def put_many(farm: Farm, worker: Worker, entries: Mapping[str, Mapping[str, bytes]]) -> None:
    """Publish many entries by label and hold nothing, without waiting for each answer."""
    labels = list(entries)
    for start in range(0, len(labels), _AT_ONCE):
        some = labels[start : start + _AT_ONCE]
        asked = [
            worker.send(Verb.STAGE, key=key(label), files=farm.files(entries[label]))
            for label in some
        ]
        staged = [worker.receive(each).handle for each in asked]
        asked = [worker.send(Verb.PUBLISH, handle=handle) for handle in staged]
        answers = [worker.receive(each) for each in asked]
        assert all(isinstance(answer, Published) for answer in answers), answers
        asked = [worker.send(Verb.RELEASE, handle=answer.handle) for answer in answers]
        for each in asked:
            worker.receive(each)


def must_hit(worker: Worker, label: str) -> Hit:
    """Look the label's key up and see that it hits; the hit stays held."""
    answer = look(worker, label)
    assert isinstance(answer, Hit), answer
    return answer


def read_all(worker: Worker, found: Readable) -> list[str]:
    """SHA-256 of every file of a handle, read by the worker; anything but bytes fails the case."""
    answers = [
        worker.call(Verb.READ, handle=found.handle, index=index)
        for index in range(len(found.files))
    ]
    assert all(isinstance(answer, FrameRead) for answer in answers), answers
    return [answer.sha256 for answer in answers]


def has(worker: Worker, label: str) -> bool:
    """Whether the label's key hits just now; nothing stays held."""
    answer = look(worker, label)
    if isinstance(answer, Hit):
        worker.call(Verb.RELEASE, handle=answer.handle)
        return True
    return False


def collect(
    worker: Worker,
    budget_bytes: int | None = 0,
    *,
    min_age_s: float | None = 0.0,
    dry_run: bool = False,
) -> Collected:
    """Collect, by default all that may go, and see that it was not skipped."""
    answer = worker.call(
        Verb.COLLECT, budget_bytes=budget_bytes, min_age_s=min_age_s, dry_run=dry_run
    )
    assert isinstance(answer, Collected), answer
    return answer


def variable(farm: Farm, setting: Setting) -> str:
    """The environment variable of a setting; the case ends unknown where the backend names none."""
    name = farm.hello.variables.get(setting)
    if name is None:
        unknown(f"hello names no variable for {setting}")
    return name


def assert_gives(worker: Worker, found: Readable, contents: Mapping[str, bytes]) -> None:
    """The handle lists these frames, in their order, and gives their bytes."""
    assert found.files == tuple(contents), f"listed: {', '.join(found.files[:MOST_NAMED])}"
    assert read_all(worker, found) == digests(contents.values())


def see(worker: Worker, label: str, *contents: Mapping[str, bytes]) -> Hit | Miss:
    """Look up, and see that a hit is whole: all the frames of one of the contents; hold nothing."""
    answer = look(worker, label)
    if isinstance(answer, Hit):
        found = (answer.files, read_all(worker, answer))
        assert found in [(tuple(each), digests(each.values())) for each in contents]
        worker.call(Verb.RELEASE, handle=answer.handle)
    return answer


def publish_at_once(staged: Mapping[Worker, str]) -> dict[Worker, Outcome]:
    """Let several workers publish their staged handles at the same time; every answer."""
    asked = {worker: worker.send(Verb.PUBLISH, handle=handle) for worker, handle in staged.items()}
    return {worker: worker.receive(pending) for worker, pending in asked.items()}


def recover(farm: Farm, worker: Worker, label: str, contents: Mapping[str, bytes]) -> None:
    """Publish, whatever was in the way before, and see that another's lookup would hit (L2).

    Raises AssertionError unless the answer is published or adopted, with these bytes.
    """
    answer = publish(farm, worker, label, contents)
    assert isinstance(answer, Published | Adopted), answer
    worker.call(Verb.RELEASE, handle=answer.handle)
    assert isinstance(see(worker, label, contents), Hit)
