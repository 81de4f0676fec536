"""What a storm makes of caches that hang, die, or are killed by others; and how kills are aimed."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from untorn_conformance import history
from untorn_stress.storm import fray
from untorn_stress.storm.aiming import Aiming
from untorn_stress.storm.arena import Streams
from untorn_stress.storm.crew import StormWorker
from untorn_stress.storm.gathering import Gathering
from untorn_stress.storm.plan import RoundPlan, Wanted, dice
from untorn_stress.storm.roles import Gather, Part, Race, Role, Store
from untorn_stress.storm.summary import Account
from untorn_stress.storm.timers import Timers

BROKEN = """
    import os
    import signal
    import tempfile
    import time
    from dataclasses import replace
    from untorn_conformance.backends.reference import Reference

    class _Seen(Reference):
        looked = False

        def hello(self):
            said = super().hello()
            return replace(said, limits=replace(said.limits, flight_wait_s=0.1))

        def lookup(self, *, key):
            self.looked = True
            return super().lookup(key=key)

    class Hangs(_Seen):
        def collect(self, **how):
            if not self.looked and how["budget_bytes"] != 0:
                time.sleep(1000)
            return super().collect(**how)

    class Shot(_Seen):
        def collect(self, **how):
            if not self.looked and how["budget_bytes"] != 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().collect(**how)

    class NameLeft(Reference):
        def publish(self, *, handle):
            root = self._open_cache.settings.root
            os.close(tempfile.mkstemp(dir=root, prefix="left-")[0])
            return super().publish(handle=handle)
"""


def quiet(_wanted: Wanted, number: int, *, has_small: bool) -> RoundPlan:
    """A round in which nothing strikes, and all are idle at its end."""
    del has_small
    return RoundPlan(
        number=number, is_small=False, work_s=1.0, drains=True, spares=False, strikes=()
    )


@pytest.fixture
def stormed(
    passable: Callable[[], Path], storm: Callable[..., Account], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Account]:
    """One quiet round over a broken cache."""

    def make(name: str, **how: Any) -> Account:
        folder = passable()
        (folder / "broken.py").write_text(textwrap.dedent(BROKEN))
        monkeypatch.syspath_prepend(folder)
        workers = {"readers": 0, "writers": 1, "collectors": 0, **how}
        wanted = Wanted(seed=3, duration_s=1.0, nemeses=(), keys=8, **workers)
        return storm(
            folder,
            wanted,
            backend=f"py:broken:{name}",
            until=lambda account: account.rounds > 0,
            planned=quiet,
        )

    return make


def test_who_hangs_is_found(
    stormed: Callable[..., Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fray, "ANSWER_GRACE_S", 1.0)
    account = stormed("Hangs", collectors=1)
    told = [each["message"] for each in account.ledger.findings]
    assert any("did not answer collect" in each for each in told), told
    assert all("collect" in each for each in told), told


def test_a_sigkill_of_somebody_else_is_no_finding_and_no_pass(
    stormed: Callable[..., Account],
) -> None:
    account = stormed("Shot", collectors=1)
    assert (account.verdict, account.ledger.findings) == ("unknown", [])
    assert "met a SIGKILL that is not ours" in account.reason


def test_lone_collects_say_what_the_disk_says(stormed: Callable[..., Account]) -> None:
    account = stormed("NameLeft")  # whose debris keeps the history of the round
    with (account.ledger.out / "rounds" / "0001.jsonl").open() as lines:
        ops = history.read(lines).ops
    row = [op.numbers for op in ops if "stood" in op.numbers]
    assert len(row) >= 5
    for each in row:
        went = 0 if each["dry_run"] else each["evicted"]
        freed = 0 if each["dry_run"] else each["freed_bytes"]
        assert each["stood"] - each["stayed"] == went
        assert each["stood_bytes"] - each["stayed_bytes"] == freed
    assert {each["stayed"] for each in row} >= {0, 8}
    shifts = [each["shifted_s"] for each in row if "shifted_s" in each]
    assert shifts == [-86_400.0, 600.0, 600.0]  # from tomorrow; older before and after it is used


# --- aims, and gatherings


def nothing() -> Role:
    yield from ()


@pytest.fixture
def worker() -> Callable[[int], StormWorker]:
    """A worker of a slot that lives, as far as anybody was told."""

    def make(slot: int) -> StormWorker:
        store = Store(labels=("k1",), names=(), hot=1, write=lambda *_: [])
        part = Part(process=f"writer{slot}.1", dice=dice(slot), store=store)
        made = StormWorker(part, nothing(), slot, Streams(-1, -1))
        made.pid = 1 + slot
        return made

    return make


def test_an_aimed_kill_meets_who_is_asked_that(worker: Callable[[int], StormWorker]) -> None:
    killed: list[StormWorker] = []
    aiming = Aiming(killed.append)
    shot = aiming.aim("publish", 0.5)
    others, victim = worker(1), worker(2)
    aiming.asked(others, "lookup")
    assert killed == []
    aiming.asked(victim, "publish")
    aiming.asked(others, "publish")
    assert (killed, shot.victim) == ([victim], victim)


def test_an_aimed_kill_spares_the_stopped(worker: Callable[[int], StormWorker]) -> None:
    killed: list[StormWorker] = []
    aiming = Aiming(killed.append)
    shot = aiming.aim("publish", 0.5)
    stopped = worker(1)
    stopped.stopped = True
    aiming.asked(stopped, "publish")
    assert (killed, shot.victim) == ([], None)


def gathered(waited_s: float, workers: Iterator[StormWorker], count: int) -> list[str]:
    timers, went = Timers(), list[str]()
    gathering = Gathering(Race(), timers.after, lambda each: went.append(each.name))
    for _ in range(count):
        gathering.join(next(workers), Gather(size=3, seconds=waited_s))
    timers.ring()
    return went


def test_who_gathers_waits_for_the_last(worker: Callable[[int], StormWorker]) -> None:
    two = gathered(60.0, map(worker, range(9)), 2)
    three = gathered(60.0, map(worker, range(9)), 3)
    assert (two, three) == ([], ["writer0.1", "writer1.1", "writer2.1"])


def test_nobody_gathers_for_ever(worker: Callable[[int], StormWorker]) -> None:
    assert gathered(0.0, map(worker, range(9)), 2) == ["writer0.1", "writer1.1"]
