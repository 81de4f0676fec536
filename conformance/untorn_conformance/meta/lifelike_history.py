"""A long lawful round, as a storm of a second or a minute writes it, and how fast it is judged.

Six readers, four writers and two collectors overlap; a reader reads every frame and releases; a
collector evicts a few entries at a time; now and then a process is killed amid its operation.

    python -m untorn_conformance.meta.lifelike_history 1000000
"""

from __future__ import annotations

import random
import resource
import sys
import time
from typing import Any, Final

from untorn_conformance.checkers.storm.judging import judge
from untorn_conformance.history import (
    Audit,
    Death,
    Op,
    OpOutcome,
    Round,
    RoundStart,
    Seen,
    begin_line,
    invoke_line,
    read,
    return_line,
)

FRAMES: Final = 8
KEYS: Final = 64
READERS: Final = 6
WRITERS: Final = 4
_OP_NS: Final = 300_000
_MS: Final = 1_000_000


class _Recorder:
    """Operations in the order in which they are asked, by a clock of its own."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.ops: list[Op] = []
        self.deaths: list[Death] = []
        self.now = 0
        self.life = 0

    def ask(self, process: str, verb: str, outcome: OpOutcome | None, **said: Any) -> Op:
        """One operation; it overlaps the next few."""
        self.now += _OP_NS // 12
        ended = -1 if outcome is None else self.now + _OP_NS
        op = Op(
            id=len(self.ops),
            process=process,
            verb=verb,
            began_ns=self.now,
            ended_ns=ended,
            outcome=outcome,
            **said,
        )
        self.ops.append(op)
        return op

    def process(self, role: str, number: int) -> str:
        """The name of a worker in its present life."""
        return f"{role}{number}.{self.life // 50}"


def lifelike(operations: int, *, seed: int = 7) -> Round:
    """A lawful round of at least so many operations."""
    recorder = _Recorder(seed)
    keys = [f"k{number}" for number in range(KEYS)]
    present = {key: f"{key}.0" for key in keys}
    there: dict[str, str] = dict(present)
    while len(recorder.ops) < operations:
        for number in range(READERS):
            _read(recorder, number, there, recorder.random.choice(keys))
        for number in range(WRITERS):
            _write(recorder, number, there, recorder.random.choice(keys))
        _collect(recorder, there)
        recorder.life += 1
    start = RoundStart(
        number=1,
        seed=seed,
        backend="lifelike",
        keys=tuple(keys),
        frames=FRAMES,
        capabilities=("lease", "stats"),
        present=present,
    )
    return Round(
        start=start,
        ops=tuple(recorder.ops),
        deaths=tuple(recorder.deaths),
        audit=Audit(at_ns=recorder.now + _OP_NS, counted_bytes=1, disk_bytes=1),
    )


def _read(recorder: _Recorder, number: int, there: dict[str, str], key: str) -> None:
    process, version = recorder.process("reader", number), there.get(key)
    if version is None:
        recorder.ask(process, "lookup", OpOutcome.MISS, key=key, reason="absent")
        return
    if recorder.life % 50 == 49:
        recorder.ask(process, "lookup", None, key=key)
        recorder.deaths.append(Death(process=process, at_ns=recorder.now + _OP_NS))
        return
    hit = recorder.ask(process, "lookup", OpOutcome.HIT, key=key, files=FRAMES)
    for index in range(FRAMES):
        seen = Seen(key=key, version=version, index=index)
        recorder.ask(process, "read", OpOutcome.READ, via=hit.id, index=index, seen=seen)
    recorder.ask(process, "release", OpOutcome.DONE, via=hit.id)


def _write(recorder: _Recorder, number: int, there: dict[str, str], key: str) -> None:
    process = recorder.process("writer", number)
    version = f"{key}.{process}.{len(recorder.ops)}"
    staged = recorder.ask(process, "stage", OpOutcome.STAGED, key=key, version=version)
    won = key not in there
    winner = there.setdefault(key, version)
    outcome = OpOutcome.PUBLISHED if won else OpOutcome.ADOPTED
    asked = {"key": key, "version": version, "via": staged.id, "files": FRAMES}
    publish = recorder.ask(process, "publish", outcome, **asked)
    seen = Seen(key=key, version=winner, index=0)
    recorder.ask(process, "read", OpOutcome.READ, via=publish.id, index=0, seen=seen)
    recorder.ask(process, "release", OpOutcome.DONE, via=publish.id)


def _collect(recorder: _Recorder, there: dict[str, str]) -> None:
    recorder.now += 2 * _OP_NS  # what was under way is over: nobody holds anything
    victims = recorder.random.sample(sorted(there), k=min(2, len(there)))
    for victim in victims:
        del there[victim]
    numbers = {"evicted": float(len(victims)), "min_age_s": 0.0, "budget_bytes": 0.0}
    recorder.ask("collector0.0", "collect", OpOutcome.COLLECTED, numbers=numbers)
    recorder.now += 2 * _OP_NS


def _main(operations: int) -> None:
    """Print operations a second of one core's time, to judge and to read, and the memory."""
    round_ = lifelike(operations)
    began_s = time.process_time()
    judged = judge(round_)
    took_s = time.process_time() - began_s
    print(f"judged   {len(round_.ops) / took_s:>10,.0f} operations/s")  # noqa: T201
    print(f"found    {len(judged.violations)} violations, {len(judged.unknown)} unknown")  # noqa: T201
    lines = [begin_line(round_.start)]
    for op in round_.ops:
        lines += [invoke_line(op), return_line(op)] if op.is_answered else [invoke_line(op)]
    began_s = time.process_time()
    read(lines)
    took_s = time.process_time() - began_s
    print(f"read     {len(round_.ops) / took_s:>10,.0f} operations/s")  # noqa: T201
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"memory   {peak_mib:>10,.0f} MiB at most, with the lines")  # noqa: T201


if __name__ == "__main__":
    _main(int(sys.argv[1]))
