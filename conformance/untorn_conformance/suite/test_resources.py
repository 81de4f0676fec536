"""Chapter E: descriptors at their limit, and what a forked child or another program inherits."""

from __future__ import annotations

import pytest
from untorn_conformance import faults, moments
from untorn_conformance.backend import Collected, Hit, Miss, Skipped, Verb
from untorn_conformance.contract import Capability
from untorn_conformance.counters import Counter
from untorn_conformance.farm import Farm
from untorn_conformance.moves import (
    assert_gives,
    collect,
    frames,
    has,
    look,
    must_hit,
    put,
    put_many,
    recover,
    see,
)
from untorn_conformance.plugin import requires, unknown

HELD = 20
DAY_S = 86400.0


def labels(farm: Farm) -> list[str]:
    """HELD published entries."""
    worker, entries = farm.worker(), {f"k{number}": frames(f"k{number}") for number in range(HELD)}
    put_many(farm, worker, entries)
    return list(entries)


# --- E1: descriptors


@requires("E1", evidence=f"{HELD} entries held and released by one process, three times")
def test_E1_one_descriptor_a_hold(farm: Farm) -> None:
    """Descriptors grow by at most one a hold, and by none in the end."""
    names, reader = labels(farm), farm.worker()
    assert has(reader, names[0])
    idle = faults.open_descriptors(reader.pid)
    for _ in range(3):
        held = [must_hit(reader, name) for name in names]
        assert faults.open_descriptors(reader.pid) <= idle + HELD
        for hit in held:
            reader.call(Verb.RELEASE, handle=hit.handle)
        assert faults.open_descriptors(reader.pid) <= idle


def at_the_limit(farm: Farm, names: list[str]) -> tuple[list[Hit], list[Miss], dict[str, int]]:
    """Hold what can be held with few descriptors left; hits, refusals, and counters that grew."""
    reader = farm.workers[-1]
    has_stats = Capability.STATS in farm.hello.capabilities
    before = reader.call(Verb.STATS).counters if has_stats else {}
    with faults.descriptor_limit(reader.pid, spare=HELD // 2):
        answers = [look(reader, name) for name in names]
        assert isinstance(collect_some(farm), Collected | Skipped)
    after = reader.call(Verb.STATS).counters if has_stats else {}
    hits = [answer for answer in answers if isinstance(answer, Hit)]
    refused = [answer for answer in answers if isinstance(answer, Miss)]
    if Capability.LEASE in farm.hello.capabilities and not refused:
        unknown(f"no hold was refused with {HELD // 2} descriptors for {HELD} of them")
    return hits, refused, {name: n - before.get(name, 0) for name, n in after.items()}


def collect_some(farm: Farm) -> object:
    """Let the process at the limit collect, within budget."""
    order = {"budget_bytes": 1 << 40, "min_age_s": DAY_S, "dry_run": False}
    return farm.workers[-1].call(Verb.COLLECT, **order)


@requires("E1", evidence=f"{HELD} lookups and a collect with {HELD // 2} descriptors left")
def test_E1_at_the_limit_holds_are_refused_and_nothing_breaks(farm: Farm) -> None:
    """A lookup without a descriptor is a miss; what is held stays good; releases make room."""
    names, reader = labels(farm), farm.worker()
    must_hit(reader, names[0])
    hits, refused, _ = at_the_limit(farm, names)
    assert len(hits) + len(refused) == HELD
    for hit, name in zip(hits, names, strict=False):
        assert_gives(reader, hit, frames(name))
        reader.call(Verb.RELEASE, handle=hit.handle)
    assert all(isinstance(see(reader, name, frames(name)), Hit) for name in names)


@requires("E1", evidence=f"{HELD} lookups with {HELD // 2} descriptors left, counters compared")
def test_E1_refusals_are_counted(farm: Farm) -> None:
    """Operators see that descriptors ran out: some counter says how often."""
    farm.needs(Capability.STATS, Capability.LEASE)
    names, reader = labels(farm), farm.worker()
    must_hit(reader, names[0])
    _, refused, grown = at_the_limit(farm, names)
    assert grown.get(Counter.LEASE_REFUSED) == len(refused)


@requires("E1", evidence="one stage and publish at the limit of descriptors, and one after it")
def test_E1_a_writer_at_the_limit_goes_on_afterwards(farm: Farm) -> None:
    """What fails for want of descriptors fails alone."""
    writer = farm.worker()
    put(farm, writer, "a neighbour")
    with faults.descriptor_limit(writer.pid, spare=0):
        assert isinstance(look(writer, "a neighbour"), Hit | Miss)
    recover(farm, writer, "k", frames("after"))


# --- E2: fork and exec


@pytest.mark.parametrize("execute", [False, True], ids=["fork", "exec"])
@requires("E2", evidence="one holder that forks and goes on holding, one collect with budget 0")
def test_E2_the_holder_keeps_what_it_holds(farm: Farm, execute: bool) -> None:
    """A child that starts or ends takes no hold from its parent."""
    farm.needs(Capability.LEASE, Capability.FORK)
    holder, collector = farm.worker(), farm.worker()
    put(farm, holder, "k", frames("k"))
    hit = must_hit(holder, "k")
    child = holder.call(Verb.FORK, exec=execute).pid
    moments.await_child(child)
    moments.end(child)
    farm.age(10 * DAY_S)
    collect(collector)
    assert_gives(holder, hit, frames("k"))


@pytest.mark.parametrize("execute", [False, True], ids=["fork", "exec"])
@requires("E2", evidence="one holder that forks and releases, its child alive; one collect")
def test_E2_no_child_keeps_what_was_released(farm: Farm, execute: bool) -> None:
    """Once released an entry can be evicted, child or not."""
    farm.needs(Capability.LEASE, Capability.FORK)
    holder, collector = farm.worker(), farm.worker()
    put(farm, holder, "k", frames("k"))
    hit = must_hit(holder, "k")
    child = holder.call(Verb.FORK, exec=execute).pid
    moments.await_child(child)
    holder.call(Verb.RELEASE, handle=hit.handle)
    farm.age(10 * DAY_S)
    collect(collector)
    assert not has(collector, "k")
