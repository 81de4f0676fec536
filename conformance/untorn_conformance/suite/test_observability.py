"""Chapter O: the counters equal the history (O1).

Each case plays a short history and compares everything that `counters` names: what happened rises
by what happened, and what did not happen does not rise.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from untorn_conformance import moves
from untorn_conformance.backend import (
    Adopted,
    Axis,
    Hit,
    Miss,
    Published,
    Setting,
    Unpublished,
    Verb,
)
from untorn_conformance.contract import Capability
from untorn_conformance.counters import Counter, Family, is_named
from untorn_conformance.farm import Farm
from untorn_conformance.faults import descriptor_limit
from untorn_conformance.holdings import PAYLOAD_BYTES, fill, payload
from untorn_conformance.moves import collect
from untorn_conformance.pauses import stop_in_collect
from untorn_conformance.place import Damage, damage, put_and_find, times_put_back
from untorn_conformance.plugin import requires, unknown
from untorn_fixtures.clips import clip
from untorn_stress.worker import Worker

DAY_S = 24 * 3600.0
REFUSED = Counter.LEASE_REFUSED


@contextlib.contextmanager
def counting(worker: Worker, expected: dict[str, int]) -> Iterator[None]:
    """Inside, exactly the expected is counted; filled in while it is found out."""
    before = named(worker)
    yield
    after = named(worker)
    risen = {name: after[name] - before.get(name, 0) for name in after}
    assert {name: n for name, n in risen.items() if n} == {k: n for k, n in expected.items() if n}


def named(worker: Worker) -> dict[str, int]:
    """The counters that have a name in the protocol."""
    counters = worker.call(Verb.STATS).counters
    return {name: number for name, number in counters.items() if is_named(name)}


@requires("O1", evidence="6 lookups by one process: 3 hits, 2 absent, 1 damaged; sequential")
def test_O1_hits_and_misses_by_reason(farm: Farm) -> None:
    """Every lookup is counted once, a miss under its reason."""
    farm.needs(Capability.STATS)
    worker = farm.worker()
    place = put_and_find(farm, worker, "a")
    fill(farm, worker, "b")
    expected = {Counter.HIT: 3, Family.MISS.of("absent"): 2}
    with counting(worker, expected):
        found = [moves.has(worker, label) for label in ("a", "b", "b", "none", "nothing")]
        damage(farm, place, Damage.EMPTIED)
        missed = moves.look(worker, "a")
        assert isinstance(missed, Miss)
        expected[Family.MISS.of(missed.reason)] = 1
    assert found == [True, True, True, False, False]


@requires("O1", evidence="2 published, 1 adopted by one process, sequential")
def test_O1_publishes(farm: Farm) -> None:
    """Every publish is counted once, by its answer."""
    farm.needs(Capability.STATS)
    worker, other = farm.worker(), farm.worker()
    fill(farm, other, "c")
    with counting(worker, {Counter.PUBLISHED: 2, Counter.ADOPTED: 1}):
        answers = [moves.publish(farm, worker, label) for label in "abc"]
    assert [type(each) for each in answers] == [Published, Published, Adopted]


@requires("O1", evidence="2 publishes below a root that is no directory, one process, sequential")
def test_O1_what_is_not_published_by_errno_and_cause(farm: Farm) -> None:
    """Work that stays uncached is counted under its errno, and that the cache is degraded too."""
    farm.needs(Capability.STATS)
    worker = farm.worker(open_root=False)
    in_the_way = farm.outside / "file"
    in_the_way.write_bytes(b"")
    worker.call(Verb.OPEN, root=str(in_the_way / "cache"), env={}, clock_offset_s=0.0)
    before = named(worker)
    answers = [moves.publish(farm, worker, label) for label in "ab"]
    after = named(worker)
    for answer in answers:
        assert isinstance(answer, Unpublished)
        name = Family.UNPUBLISHED.of(answer.errno or answer.reason)
        assert after[name] - before.get(name, 0) == len(answers)
    assert Family.DEGRADED.total(after) > 0
    assert Counter.PUBLISHED not in after


@requires("O1", evidence="2 collects over budget, one evicts 2 of 3 and reaps 1, sequential")
def test_O1_collects(farm: Farm) -> None:
    """What a collect answers is what it counts."""
    farm.needs(Capability.STATS)
    worker, writer = farm.worker(), farm.worker()
    fill(farm, worker, "ab")
    moves.stage(farm, writer, "d", payload("d"))
    writer.kill()
    farm.age(DAY_S / 2)
    fill(farm, worker, "c")
    expected: dict[str, int] = {Counter.EVICTED: 2, Counter.REAPED: 1}
    expected[Counter.OVER_BUDGET_SWEEPS] = 2
    with counting(worker, expected):
        done = [collect(worker, 0, min_age_s=DAY_S / 4) for _ in range(2)]
        expected[Counter.FREED_BYTES] = done[0].freed_bytes
    assert done[0].freed_bytes >= 2 * PAYLOAD_BYTES
    assert (done[1].evicted, done[1].freed_bytes, done[1].reaped) == (0, 0, 0)


@requires("O1", evidence="2 collects that change nothing, one dry run, sequential")
def test_O1_a_dry_run_counts_nothing(farm: Farm) -> None:
    """What has not left is not counted, whatever a dry run reports."""
    farm.needs(Capability.STATS)
    worker = farm.worker()
    fill(farm, worker, "ab")
    farm.age(DAY_S)
    with counting(worker, {}):
        assert collect(worker, 0, dry_run=True).evicted == 2
        assert collect(worker, 10 * PAYLOAD_BYTES).evicted == 0


@requires("O1", evidence="one byte changed and no time, 2 verified lookups by one process")
def test_O1_verify_failures(farm: Farm) -> None:
    """Bytes that are not those published are a cause of their own."""
    farm.needs(Capability.STATS, Capability.VERIFY)
    worker = farm.worker({moves.variable(farm, Setting.VERIFY): "1"})
    place = put_and_find(farm, worker, "a")
    with times_put_back(place):
        damage(farm, place, Damage.FLIPPED)
    expected: dict[str, int] = {Counter.VERIFY_FAILED: 2}
    with counting(worker, expected):
        missed = [moves.look(worker, "a") for _ in range(2)]
        for answer in missed:
            assert isinstance(answer, Miss)
            name = Family.MISS.of(answer.reason)
            expected[name] = expected.get(name, 0) + 1


@requires("O1", evidence="8 lookups with descriptors for about 4, by one process, sequential")
def test_O1_refused_leases(farm: Farm) -> None:
    """Whoever cannot hold one more entry counts a refusal beside the miss."""
    farm.needs(Capability.STATS, Capability.LEASE)
    worker = farm.worker()
    fill(farm, worker, "a")
    expected = dict[str, int]()
    with counting(worker, expected):
        with descriptor_limit(worker.pid, spare=4):
            answers = [moves.look(worker, "a") for _ in range(8)]
        for answer in answers:
            if isinstance(answer, Hit):
                expected[Counter.HIT] = expected.get(Counter.HIT, 0) + 1
            else:
                for name in (Family.MISS.of(answer.reason), REFUSED):
                    expected[name] = expected.get(name, 0) + 1
    if REFUSED not in expected:
        unknown("eight leases need no more than four descriptors here")


@requires("O1", evidence="one clip extracted twice by one process, sequential")
def test_O1_extractions(farm: Farm) -> None:
    """The first one misses, leads and publishes; the second one hits."""
    farm.needs(Capability.STATS, Capability.EXTRACT, Capability.SINGLE_FLIGHT)
    worker = farm.worker()
    inputs = {Axis.PATH: str(clip("sdr")), Axis.FPS: "5", Axis.FORMAT: "png"}
    expected = {Family.MISS.of("absent"): 1, Family.FLIGHT.of("led"): 1}
    expected |= {Counter.PUBLISHED: 1, Counter.HIT: 1}
    with counting(worker, expected):
        for _ in range(2):
            done = worker.call(Verb.EXTRACT, inputs=inputs)
            worker.call(Verb.RELEASE, handle=done.handle)


@requires("O1", evidence="3 collects beside one that is stopped by SIGSTOP")
def test_O1_skipped_collects(farm: Farm) -> None:
    """Each is counted under the reason that it was answered with."""
    farm.needs(Capability.STATS)
    stop_in_collect(farm)
    worker, expected = farm.worker(), dict[str, int]()
    with counting(worker, expected):
        for _ in range(3):
            answer = worker.call(Verb.COLLECT, budget_bytes=0, min_age_s=0.0, dry_run=False)
            reason = getattr(answer, "reason", None)
            if reason is not None:
                name = Family.COLLECT_SKIPPED.of(reason)
                expected[name] = expected.get(name, 0) + 1
