"""The storm: rounds of work, death, audit and judgement, until the time is over.

    arena -> calibration -> round -> round -> ... -> storm.json
               round: present -> fray (nemeses strike) -> all killed -> audit -> judged -> present

Rule 1: a round is finished once it was begun: when the time is over its work ends early, and it is
        healed, audited and judged all the same. So is one that is interrupted.
Rule 2: a finding is on disk before the next round begins. After one the root is made anew: what
        one round left is not found again by the next.
Rule 3: the driver judges; it never decides by a clock what a backend did.

Read in this order: ``plan``, ``arena``, ``roles``, ``fray``, ``nemesis/``, ``audit``, ``ledger``.

Source: RocksDB, tools/db_crashtest.py (the crash-recovery loop).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from untorn_conformance.backend import Verb
from untorn_conformance.history import RoundStart, Strike

from untorn_stress.storm import foreign
from untorn_stress.storm.arena import (
    Arena,
    ArenaError,
    RefusedArenaError,
    Small,
    Stormed,
    open_arena,
)
from untorn_stress.storm.audit import Audited, Auditor, Usual, usual_of
from untorn_stress.storm.crew import StormWorker
from untorn_stress.storm.footage import Footage
from untorn_stress.storm.fray import Fray
from untorn_stress.storm.judging import Ruling, StormFinding, ruled
from untorn_stress.storm.nemesis.catalogue import SMALL_DISK
from untorn_stress.storm.plan import RoundPlan, dice, plan_round
from untorn_stress.storm.recorder import Recorder
from untorn_stress.storm.roles import FRAME_SIZES, Errand, Part, Store, collect
from untorn_stress.storm.solo import Solo
from untorn_stress.storm.stamps import Provenance, Version
from untorn_stress.storm.summary import RESOURCES, Account
from untorn_stress.storm.tally import Watch

_SMALL: Final = Small(size_bytes=16 * 1024 * 1024, inodes=4000)
_AUDIT_DEADLINE_S: Final = 60.0
_ROWS: Final = 0.6
"""In how many of the rounds the audit has a row of lone collects."""

_LEAST_LEFT_S: Final = 0.5
_LEAST_WORK_S: Final = 1.0
_MARGIN_BYTES: Final = 16 * 1024
"""What a backend and a file system may add to a frame, or to an entry."""

Tell = Callable[[str], None]


class BrokenBackendError(ArenaError):
    """The backend cannot even do what nothing befalls; the message says what."""


@dataclass(slots=True)
class _Ground:
    """An arena with what is known of it."""

    arena: Arena
    usual: Usual
    present: dict[str, str]
    whose: Provenance = field(default_factory=Provenance)
    paths: frozenset[str] = frozenset()
    footage: Footage = field(default_factory=Footage)


class Storm:
    """One storm over one backend; ``rage`` makes it. ``account`` tells what came of it so far."""

    def __init__(
        self,
        stormed: Stormed,
        account: Account,
        *,
        directory: Path,
        spool_directory: Path,
        tell: Tell,
        is_stopped: Callable[[], bool],
        filmed: Callable[[Path], Footage] | None = None,
        planned: Callable[..., RoundPlan] = plan_round,
    ) -> None:
        self.account: Final = account
        self._stormed = stormed
        self._wanted = account.wanted
        self._directory = directory
        self._spool_directory = spool_directory
        self._tell = tell
        self._is_stopped = is_stopped
        self._filmed = filmed
        self._planned = planned
        self._auditors = 0

    def rage(self) -> None:
        """Make rounds until the time is over or somebody stops it. Raises ArenaError, OSError."""
        end_s = time.monotonic() + self._wanted.duration_s
        with contextlib.ExitStack() as arenas:
            main = self._ground(arenas, None)
            small = self._small_ground(arenas) if self._wanted.needs_small else None
            end_s = max(end_s, time.monotonic() + _LEAST_WORK_S)
            number = 0
            while not self._is_stopped():
                left_s = end_s - time.monotonic()
                if number and left_s < _LEAST_LEFT_S:
                    break
                number += 1
                plan = self._planned(self._wanted, number, has_small=small is not None)
                ground = small if plan.is_small and small is not None else main
                self._round(ground, plan, lambda: time.monotonic() >= end_s or self._is_stopped())
                if self.account.invalid:
                    break

    # --- grounds

    def _small_ground(self, arenas: contextlib.ExitStack) -> _Ground | None:
        try:
            return self._ground(arenas, _SMALL)
        except RefusedArenaError as error:
            for name in sorted(SMALL_DISK.intersection(self._wanted.nemeses)):
                self.account.tally.inapplicable[name] = str(error)
            return None

    def _ground(self, arenas: contextlib.ExitStack, small: Small | None) -> _Ground:
        """Open an arena, and learn what is usual there: three audits that nothing befalls."""
        arena = arenas.enter_context(
            open_arena(
                self._stormed,
                directory=self._directory,
                spool_directory=self._spool_directory,
                small=small,
            )
        )
        ground = _Ground(arena, Usual(names=Counter()), {})
        self._film(ground)
        first = self._audit(ground, self._recorder(ground, 0, None), usual=None)
        self._empty(ground)
        second = self._audit(ground, self._recorder(ground, 0, None), usual=None)
        if second.unpublishable or first.unpublishable:
            label, why = next(iter({**first.unpublishable, **second.unpublishable}.items()))
            raise BrokenBackendError(f"with nothing in its way, {label} cannot be published: {why}")
        ground.usual = usual_of(first, second)
        ground.paths = second.paths
        ground.present = second.present
        for leak in first.leaks + second.leaks:
            self._keep([_leak(leak)], 0, list)
        return ground

    def _film(self, ground: _Ground) -> None:
        """Learn what the clips give, where some are extracted."""
        if self._filmed is None:
            return
        ground.footage = self._filmed(ground.arena.spool / "clips")
        solo = self._solo(ground, self._recorder(ground, 0, None))
        solo.ask(self._open_errand(ground))
        why = ground.footage.learn(solo)
        solo.leave()
        if why:
            raise BrokenBackendError(f"with nothing in its way, {why}")

    def _empty(self, ground: _Ground) -> None:
        """Evict all: what an emptied cache leaves lying about is usual, too."""
        recorder = self._recorder(ground, 0, None)
        solo = self._solo(ground, recorder)
        solo.ask(self._open_errand(ground))
        solo.ask(collect(0, 0.0))
        solo.leave()
        if solo.failure is not None:
            raise BrokenBackendError(f"with nothing in its way, a collect fails: {solo.failure}")

    def _reset(self, ground: _Ground) -> None:
        """Make the root anew."""
        shutil.rmtree(ground.arena.seen_root)
        ground.arena.make_root()
        ground.present = {}

    # --- a round

    def _round(self, ground: _Ground, plan: RoundPlan, is_over: Callable[[], bool]) -> None:
        path = ground.arena.spool / f"{plan.number:04d}.jsonl"
        recorder = self._recorder(ground, plan.number, path)
        store = self._store(ground)
        fray = Fray(
            ground.arena,
            recorder,
            self._wanted,
            plan,
            store,
            self.account.tally,
            _Onlooker(self.account),
            ground.footage,
        )
        had_room = ground.arena.has_room
        fray.rage(is_over)
        _tidy(ground.arena)
        found = self._audit(ground, recorder, usual=ground.usual)
        had_room = had_room and ground.arena.has_room
        recorder.audit(found.audit(ground.usual, had_room=had_room))
        self._conclude(ground, plan, recorder, fray, found)

    def _conclude(
        self, ground: _Ground, plan: RoundPlan, recorder: Recorder, fray: Fray, found: Audited
    ) -> None:
        ruling = _with_notes(ruled(recorder.round()), fray.notes)
        leaks = [_leak(each) for each in (*found.leaks, *self.account.resources.end_round())]
        if self.account.tally.killed_by_others:
            name = self.account.tally.killed_by_others[0]
            self.account.leave_open(f"{name} met a SIGKILL that is not ours: was memory short?")
        if recorder.trouble:
            self.account.leave_open(recorder.trouble)
        self.account.rule(ruling)
        findings = [*ruling.findings, *ground.footage.take_wrong(), *leaks]
        self._keep(findings, plan.number, recorder.lines)
        ground.present, ground.paths = found.present, found.paths
        ground.whose.next_round(found.present.values())
        if findings or found.unpublishable:
            # An unknown round may end so, too: what such a key holds is not known.
            self._reset(ground)
        ground.arena.plant_foreign()
        recorder.close()
        _clear(ground.arena.payload)
        self._report(ground, plan, len(recorder.ops), findings)

    def _keep(
        self, found: Sequence[StormFinding], number: int, lines: Callable[[], Sequence[str]]
    ) -> None:
        self.account.ledger.keep(found, number, lines)

    def _report(
        self, ground: _Ground, plan: RoundPlan, operations: int, found: Sequence[StormFinding]
    ) -> None:
        account = self.account
        elapsed_s = (time.monotonic_ns() - account.series.began_ns) / 1e9
        kills = account.tally.bit["kill"]
        line = (
            f"round {plan.number} ({ground.arena.name}): {operations} operations; so far "
            f"{elapsed_s:.0f} s of {self._wanted.duration_s:.0f} s, {kills} kills, "
            f"{sum(account.ledger.counts.values())} findings"
        )
        self._tell(line)
        for each in found[:3]:
            self._tell(f"  {each.checker} {', '.join(each.requirements)}: {each.message}")
        account.ledger.progress(
            {
                "rounds": account.rounds,
                "elapsed_s": round(elapsed_s, 3),
                "asked_s": self._wanted.duration_s,
                "operations": sum(account.tally.operations.values()),
                "kills": kills,
                "findings": sum(account.ledger.counts.values()),
            }
        )

    # --- its parts

    def _recorder(self, ground: _Ground, number: int, path: Path | None) -> Recorder:
        hello = self._stormed.hello
        start = RoundStart(
            number=number,
            seed=self._wanted.seed,
            backend=self._stormed.spec,
            keys=self._wanted.labels,
            frames=self._wanted.frames,
            entry_bytes=self._wanted.frames * (max(FRAME_SIZES) + _MARGIN_BYTES) + _MARGIN_BYTES,
            capabilities=tuple(sorted(each.value for each in hello.capabilities)),
            limits=_plain_limits(asdict(hello.limits)),
            min_age_s=self._wanted.min_age_s if hello.variables else None,
            present=dict(ground.present),
        )
        return Recorder(path, start, names=self._wanted.names, whose=ground.whose)

    def _store(self, ground: _Ground) -> Store:
        payload = ground.arena.payload

        def write(process: str, version: Version) -> list[dict[str, str]]:
            frames = version.frames()
            ground.whose.enter(version, frames)
            files = []
            for index, frame in enumerate(frames):
                path = payload / f"{process}.{index}"
                path.write_bytes(frame)
                path.chmod(0o644)  # not by the umask: workers may be another user's
                files.append({"name": self._wanted.names[index], "path": str(path)})
            return files

        labels = self._wanted.labels
        return Store(
            labels=labels, names=self._wanted.names, hot=max(1, len(labels) // 6), write=write
        )

    def _solo(self, ground: _Ground, recorder: Recorder) -> Solo:
        self._auditors += 1
        name = f"audit.{self._auditors}"
        part = Part(process=name, dice=dice(self._wanted.seed, name), store=self._store(ground))
        return Solo(ground.arena, recorder, part, deadline_s=_AUDIT_DEADLINE_S)

    def _open_errand(self, ground: _Ground) -> Errand:
        env = self._wanted.environment(self._stormed.hello.variables)
        args = {"root": str(ground.arena.root), "env": env, "clock_offset_s": 0.0}
        return Errand(verb=Verb.OPEN, args=args)

    def _audit(self, ground: _Ground, recorder: Recorder, *, usual: Usual | None) -> Audited:
        row = dice(self._wanted.seed, recorder.start.number, "row")
        has_row = not self._wanted.extractors and row.random() < _ROWS
        auditor = Auditor(ground.arena, self._wanted, ground.whose, usual, row if has_row else None)
        return auditor.audit(self._solo(ground, recorder), self._open_errand(ground))


class _Onlooker(Watch):
    """Hands what is seen to the series and the resources."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def answered(self, verb: str, outcome: str, began_ns: int, ended_ns: int, evicted: int) -> None:
        self._account.series.answered(verb, outcome, began_ns, ended_ns, evicted)

    def holds_nothing(self, worker: StormWorker) -> None:
        self._account.resources.holds_nothing(worker)

    def struck(self, strike: Strike) -> None:
        self._account.series.struck(strike)

    def tick(self, arena: Arena, workers: Sequence[StormWorker]) -> None:
        weight = self._account.resources.tick(arena, workers)
        if weight >= 0:
            self._account.series.weighed(weight)


def _leak(message: str) -> StormFinding:
    return StormFinding(
        checker=RESOURCES, requirements=("E3",), message=message, at_ns=time.monotonic_ns()
    )


def _with_notes(ruling: Ruling, notes: Mapping[int, str]) -> Ruling:
    """Say of bytes that nobody wrote what their own stamps say."""
    findings = tuple(
        StormFinding(
            checker=each.checker,
            requirements=each.requirements,
            message="; ".join(
                [each.message, *(notes[op] for op in each.operations if op in notes)]
            ),
            operations=each.operations,
            at_ns=each.at_ns,
        )
        for each in ruling.findings
    )
    return Ruling(findings=findings, unknown=ruling.unknown, judged=ruling.judged)


def _tidy(arena: Arena) -> None:
    """Remove what strikes left beside the root: fillers; and temporary files of the killed."""
    for path in arena.tmp.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    disk = arena.seen_root.parent
    for name in os.listdir(disk):
        path = disk / name
        if path == arena.seen_root or name in foreign.NAMES:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def _plain_limits(limits: dict[str, Any]) -> dict[str, Any]:
    return {name: getattr(value, "value", value) for name, value in limits.items()}
