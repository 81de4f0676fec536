"""Chapter G: who goes first, by use and by name, also when clocks jump (G1, G11, G15)."""

from __future__ import annotations

import os

import pytest
from untorn_conformance import moves, probe
from untorn_conformance.contract import Capability
from untorn_conformance.farm import Farm
from untorn_conformance.holdings import fill, kept, room_for
from untorn_conformance.moves import collect
from untorn_conformance.pauses import stop_in_collect
from untorn_conformance.plugin import requires, unknown
from untorn_stress.worker import Worker

DAY_S = 24 * 3600.0
NS = 1_000_000_000


def apart(farm: Farm) -> None:
    """Let so much time pass that uses before and after it can be told apart by recency."""
    farm.age(2 * max(1.0, farm.hello.limits.recency_resolution_s))


def use(farm: Farm, worker: Worker, labels: str) -> None:
    """Hit one after the other, apart in time."""
    for label in labels:
        apart(farm)
        assert moves.has(worker, label)


@requires(
    "G1", evidence="6 entries in one drawn order of publishes and hits, 5 budgets, sequential"
)
def test_G1_least_recently_used_goes_first(farm: Farm) -> None:
    """Survivors of falling budgets are those that a model LRU keeps, one fewer each time."""
    worker = farm.worker()
    for label in "dafbce":
        apart(farm)
        fill(farm, worker, label)
    use(farm, worker, "abd")
    apart(farm)
    least_to_most_recent = "fceabd"
    for entries in (5, 4, 3, 2, 1):
        collect(worker, room_for(entries))
        assert kept(farm, least_to_most_recent) == least_to_most_recent[-entries:]


@requires("G1", evidence="4 entries with equal mtimes, published in descending order of their keys")
def test_G1_ties_go_by_key(farm: Farm) -> None:
    """Of entries used at the same instant the one with the least key goes first."""
    worker = farm.worker()
    require_recency_in_mtimes(farm, worker)
    by_key = "".join(sorted("abcd", key=moves.key))
    fill(farm, worker, by_key[::-1])
    set_mtimes(farm, farm.tree(), age_s=DAY_S)
    for entries in (3, 2, 1):
        collect(worker, room_for(entries))
        assert kept(farm, by_key) == by_key[-entries:]


def require_recency_in_mtimes(farm: Farm, worker: Worker) -> None:
    """Prove that shifted mtimes decide the order here, and leave the cache empty."""
    fill(farm, worker, "x")
    before = farm.tree()
    fill(farm, worker, "y")
    added = probe.diff(before, farm.tree()).added
    set_mtimes(farm, farm.tree(), age_s=DAY_S)
    set_mtimes(farm, farm.tree(), age_s=2 * DAY_S, only=added)
    collect(worker, room_for(1))
    if kept(farm, "xy") != "x":
        unknown("recency is not kept in mtimes, so no case can make two uses equal")
    collect(worker)


def set_mtimes(
    farm: Farm, tree: probe.Snapshot, *, age_s: float, only: frozenset[str] | None = None
) -> None:
    """Give every path one and the same mtime, `age_s` before the root's own."""
    then_ns = farm.root.parent.stat().st_mtime_ns // NS * NS - round(age_s * NS)
    for path in tree.entries if only is None else only:
        os.utime(farm.root / path, ns=(then_ns, then_ns), follow_symlinks=False)


def assert_order_of_later_uses(farm: Farm, worker: Worker) -> None:
    """Over budget, `a b c` go in the order of the uses from here on."""
    use(farm, worker, "bca")
    apart(farm)
    for entries, survivors in ((2, "ac"), (1, "a")):
        collect(worker, room_for(entries))
        assert kept(farm, "abc") == survivors


@requires("G11", evidence="3 entries whose mtimes are a day ahead, one collect, sequential")
def test_G11_a_future_mtime_counts_as_now(farm: Farm) -> None:
    """What is dated tomorrow is young: min_age protects it, though the budget is nothing."""
    worker = farm.worker()
    fill(farm, worker, "abc")
    probe.shift_mtimes(farm.root, -DAY_S)
    collect(worker, 0, min_age_s=60)
    assert kept(farm, "abc") == "abc"


@requires("G11", evidence="3 entries whose mtimes are a day ahead, one collect, sequential")
def test_G11_what_is_dated_tomorrow_can_be_evicted(farm: Farm) -> None:
    """It is as old as what is made now: no min_age, no protection."""
    worker = farm.worker()
    fill(farm, worker, "abc")
    probe.shift_mtimes(farm.root, -DAY_S)
    collect(worker, 0)
    assert kept(farm, "abc") == ""


@requires(
    "G11", evidence="3 entries whose mtimes are a day off either way, 3 later uses, 3 collects"
)
@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S], ids=["day-old", "day-ahead"])
def test_G11_order_is_right_after_mtimes_jump(farm: Farm, jump_s: float) -> None:
    """Nothing goes within budget, and afterwards only later uses count."""
    worker = farm.worker()
    fill(farm, worker, "abc")
    probe.shift_mtimes(farm.root, jump_s)
    assert collect(worker, room_for(3)).evicted == 0
    assert_order_of_later_uses(farm, worker)


@requires("G11", evidence="3 entries whose mtimes are a day ahead, 3 later uses, no collect before")
def test_G11_uses_count_before_the_first_collect_too(farm: Farm) -> None:
    """A hit on an entry that is dated tomorrow is its last use."""
    worker = farm.worker()
    fill(farm, worker, "abc")
    probe.shift_mtimes(farm.root, -DAY_S)
    assert_order_of_later_uses(farm, worker)


@requires("G11", evidence="3 entries, a process whose clock is a day off either way, 3 later uses")
@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S], ids=["ahead", "behind"])
def test_G11_order_is_right_after_the_clock_jumps(farm: Farm, jump_s: float) -> None:
    """The same for a process that starts after the clock has jumped."""
    farm.needs(Capability.VIRTUAL_CLOCK)
    fill(farm, farm.worker(), "abc")
    later = farm.worker(clock_offset_s=jump_s)
    assert collect(later, room_for(3)).evicted == 0
    assert_order_of_later_uses(farm, later)


@requires("G11", evidence="an entry made a day ahead beside two made now, 3 later uses, sequential")
def test_G11_order_is_right_after_the_clock_is_set_back(farm: Farm) -> None:
    """An entry of a clock that ran ahead does not outlive those that are used after it."""
    farm.needs(Capability.VIRTUAL_CLOCK)
    fill(farm, farm.worker(clock_offset_s=DAY_S), "b")
    worker = farm.worker()
    fill(farm, worker, "ac")
    assert collect(worker, room_for(3)).evicted == 0
    assert_order_of_later_uses(farm, worker)


@requires(
    "G15",
    evidence="a collector stopped by SIGSTOP after its first eviction; 5 of the entries that it "
    "was to evict are hit, and it goes on; one moment of one sweep, later ones are not tried",
)
def test_G15_an_entry_hit_during_the_sweep_stays(farm: Farm) -> None:
    """What is used while the sweep is under way is the most recently used, and within budget."""
    reader = farm.worker()
    pause = stop_in_collect(farm, victims=150, keepers=10, left_at_least=10)
    hit = [label for label in pause.left[-5:] if moves.has(reader, label)]
    if not hit:
        unknown("none of the entries that were left could be hit")
    pause.collector.resume()
    pause.collector.receive(pause.pending)
    assert [label for label in hit if not moves.has(reader, label)] == []
