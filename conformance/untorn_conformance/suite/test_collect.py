"""Chapter G: what a collect takes, what it leaves, and what it says about both."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from untorn_conformance import moves, probe
from untorn_conformance.backend import (
    Collected,
    Published,
    Setting,
    Unpublished,
    UnpublishedReason,
    Verb,
)
from untorn_conformance.contract import Capability
from untorn_conformance.farm import Farm
from untorn_conformance.holdings import (
    PAYLOAD_BYTES,
    fill,
    is_present,
    kept,
    lost_bytes,
    payload,
    room_for,
    weights,
)
from untorn_conformance.moves import collect
from untorn_conformance.plugin import requires

DAY_S = 24 * 3600.0
BYTES_PER_MB = 2**20


@requires("G2", evidence="five entries and every budget from none to all of them, sequential")
def test_G2_ends_within_the_budget(farm: Farm) -> None:
    """A budget that can be reached is reached, and no further than it must be."""
    worker = farm.worker()
    fill(farm, worker, "abcde")
    farm.age(DAY_S)
    for entries in (5, 4, 3, 2, 1, 0):
        done = collect(worker, room_for(entries))
        assert (len(kept(farm, "abcde")), done.over_budget_bytes) == (entries, 0)


@requires("G2", evidence="three young entries and one old one, one collect, sequential")
def test_G2_says_how_far_over_and_that_youth_protects(farm: Farm) -> None:
    """What keeps a collect from its budget is counted by reason, and the bytes are those left."""
    worker = farm.worker()
    fill(farm, worker, "a")
    farm.age(DAY_S)
    fill(farm, worker, "bcd")
    done = collect(worker, PAYLOAD_BYTES, min_age_s=DAY_S / 2)
    assert kept(farm, "abcd") == "bcd"
    assert_over_by(farm, done, budget_bytes=PAYLOAD_BYTES, entries=3)


@requires("G2", evidence="two leased entries and one free one, one collect, sequential")
def test_G2_says_how_far_over_and_that_leases_protect(farm: Farm) -> None:
    """The same with readers that hold what is to go."""
    farm.needs(Capability.LEASE)
    worker, reader = farm.worker(), farm.worker()
    fill(farm, worker, "abc")
    farm.age(DAY_S)
    moves.must_hit(reader, "a")
    moves.must_hit(reader, "b")
    done = collect(worker, 0)
    assert kept(farm, "abc") == "ab"
    assert_over_by(farm, done, budget_bytes=0, entries=2)


def assert_over_by(farm: Farm, done: Collected, *, budget_bytes: int, entries: int) -> None:
    """The excess is that of `entries` payloads, with at most all that the tree weighs besides."""
    least = entries * PAYLOAD_BYTES - budget_bytes
    most = sum(weights(farm).values()) - budget_bytes
    assert least <= done.over_budget_bytes <= most, done
    assert sum(done.protected.values()) == entries, done


@requires("G3", evidence="entries on both sides of min_age, budget 0, sequential")
def test_G3_spares_what_is_younger_than_min_age(farm: Farm) -> None:
    """Even with a budget of nothing."""
    worker = farm.worker()
    fill(farm, worker, "ab")
    farm.age(1000)
    fill(farm, worker, "cd")
    farm.age(500)
    collect(worker, 0, min_age_s=1000)
    assert kept(farm, "abcd") == "cd"


@requires("G3", evidence="one entry 100 s on either side of an hour, budget 0, sequential")
def test_G3_min_age_is_an_hour_by_default(farm: Farm) -> None:
    """Nobody configures it: 3500 s protect, 3700 s do not."""
    farm.needs(Capability.CONFIG)
    worker = farm.worker()
    fill(farm, worker, "a")
    farm.age(3500)
    collect(worker, 0, min_age_s=None)
    assert kept(farm, "a") == "a"
    farm.age(200)
    collect(worker, 0, min_age_s=None)
    assert kept(farm, "a") == ""


@requires("G4", evidence="one writer two days old, running or stopped by SIGSTOP, two collects")
@pytest.mark.parametrize("is_stopped", [False, True], ids=["running", "stopped"])
def test_G4_leaves_a_live_writers_staging(farm: Farm, is_stopped: bool) -> None:
    """However old the work is, its writer can still publish all of it."""
    writer, collector = farm.worker(), farm.worker()
    handle = moves.stage(farm, writer, "a", payload("a"))
    if is_stopped:
        writer.stop()
    for _ in range(2):
        farm.age(DAY_S)
        assert collect(collector).reaped == 0
    if is_stopped:
        writer.resume()
    answer = writer.call(Verb.PUBLISH, handle=handle)
    assert isinstance(answer, Published), answer
    assert moves.read_all(writer, answer) == moves.digests(payload("a").values())


@requires("G4", evidence="one writer killed with staged work, aged by reap_grace_s, one collect")
def test_G4_reaps_a_dead_writers_staging(farm: Farm) -> None:
    """The first collect after the declared grace takes it, budget or not; a minute is the limit."""
    writer, collector = farm.worker(), farm.worker()
    fill(farm, collector, "b")  # makes whatever directories all stagings share
    before = farm.tree()
    moves.stage(farm, writer, "a", payload("a"))
    staged = probe.diff(before, farm.tree()).added
    writer.kill()
    grace_s = farm.hello.limits.reap_grace_s
    assert grace_s <= 60
    farm.age(grace_s + 1)
    done = collect(collector, budget_bytes=room_for(10), min_age_s=DAY_S)
    assert done.reaped == 1
    assert staged.isdisjoint(farm.tree().entries)


FOREIGN_NAMES = ("animated-gif", "photos.partial-2019", "holiday.png", "v0.9", ".hidden")


def plant_foreign(folder: Path, outside: Path) -> None:
    """Put what others might keep there: files, full directories, links out, a link to nothing."""
    for name in FOREIGN_NAMES[:2]:
        (folder / name).mkdir()
        (folder / name / "frame_00001.png").write_bytes(b"not the cache's")
    for name in FOREIGN_NAMES[2:]:
        (folder / name).write_bytes(b"not the cache's either")
    (folder / "link-out").symlink_to(outside)
    (folder / "link-nowhere").symlink_to(outside / "nothing")


@requires(
    "G5",
    evidence="foreign files, directories and links in the root and beside an entry, two collects "
    "with budget 0; where the harness is root also an entry given to another user",
)
def test_G5_touches_nothing_foreign(farm: Farm) -> None:
    """Names, bytes, modes and times of what is not the cache's stay, whatever goes beside them."""
    worker, writer = farm.worker(), farm.worker()
    (farm.outside / "precious").write_bytes(b"precious")
    before = farm.tree()
    moves.put(farm, worker, "a", payload("a"))
    moves.stage(farm, writer, "b", payload("b"))
    writer.kill()
    for folder in parents_of(farm, probe.diff(before, farm.tree()).added):
        plant_foreign(folder, farm.outside)
    before = farm.tree()
    moves.put(farm, worker, "c", payload("c"))
    strangers = give_away(farm, probe.diff(before, farm.tree()).added)
    farm.age(2 * DAY_S)
    planted, outside = foreign(farm, strangers), probe.take(farm.outside)
    for _ in range(2):
        collect(worker)
    assert not is_present(farm.tree(), payload("a"))
    assert foreign(farm, strangers) == planted
    assert not probe.diff(outside, probe.take(farm.outside))


def parents_of(farm: Farm, added: frozenset[str]) -> set[Path]:
    """The directories that got something new, and the root."""
    return {farm.root} | {
        farm.root / os.path.dirname(path) for path in added if os.path.dirname(path) not in added
    }


def give_away(farm: Farm, paths: frozenset[str]) -> frozenset[str]:
    """Make the paths another user's; only root can, for others it is none of them."""
    uid = farm.unprivileged_uid
    if uid is None:
        return frozenset()
    for path in paths:
        os.chown(farm.root / path, uid, -1)
    return paths


def foreign(farm: Farm, others: frozenset[str]) -> dict[str, probe.Node]:
    """What `plant_foreign` made and all below it, and what is given away."""
    names = {*FOREIGN_NAMES, "link-out", "link-nowhere"}
    return {
        path: entry
        for path, entry in farm.tree().entries.items()
        if path in others or not names.isdisjoint(Path(path).parts)
    }


@requires("G6", evidence="one planted entry of an older generation, aged, budget not reached")
def test_G6_reclaims_an_old_generation(farm: Farm) -> None:
    """Nobody can reach it any more, so it goes without any need for room."""
    farm.needs(Capability.PLANT)
    worker = farm.worker()
    fill(farm, worker, "a")
    planted = worker.call(Verb.PLANT, key=moves.key("b"), kind="old-generation")
    farm.age(2 * DAY_S)
    assert os.path.lexists(farm.root / planted.path)
    collect(worker, budget_bytes=room_for(100))
    assert not os.path.lexists(farm.root / planted.path)
    assert moves.has(worker, "a")


@requires("G7", evidence="two of five entries evicted, trees weighed before and after, sequential")
def test_G7_statistics_are_what_left_the_tree(farm: Farm) -> None:
    """`evicted` and `freed_bytes` are the difference of the trees, to the byte."""
    worker = farm.worker()
    fill(farm, worker, "abcde")
    farm.age(DAY_S)
    before = weights(farm)
    done = collect(worker, room_for(3))
    assert done.evicted == 5 - len(kept(farm, "abcde")) == 2
    assert done.freed_bytes == lost_bytes(before, weights(farm))


@requires("G7", evidence="a collect that evicts nothing, beside one dead staging, sequential")
def test_G7_counts_nothing_that_was_not_freed(farm: Farm) -> None:
    """Entries within budget are no eviction; staging counts as reaped, and as what it was."""
    worker, writer = farm.worker(), farm.worker()
    fill(farm, worker, "ab")
    moves.stage(farm, writer, "c", payload("c"))
    writer.kill()
    farm.age(DAY_S)
    before = weights(farm)
    done = collect(worker, room_for(2))
    assert (done.evicted, done.reaped) == (0, 1)
    assert done.freed_bytes in {0, lost_bytes(before, weights(farm))}


@requires("G13", evidence="entries, dead staging, one collect each way, sequential")
def test_G13_dry_run_changes_nothing(farm: Farm) -> None:
    """Not a name, byte, mode or time below the root."""
    worker, writer = farm.worker(), farm.worker()
    fill(farm, worker, "abc")
    moves.stage(farm, writer, "d", payload("d"))
    writer.kill()
    farm.age(DAY_S)
    before = farm.tree()
    collect(worker, room_for(1), dry_run=True)
    assert not probe.diff(before, farm.tree())


@requires("G13", evidence="old and young entries, dead staging, dry then in earnest, sequential")
def test_G13_dry_run_reports_what_the_real_one_does(farm: Farm) -> None:
    """The same numbers, bytes and reasons."""
    worker, writer = farm.worker(), farm.worker()
    fill(farm, worker, "abc")
    moves.stage(farm, writer, "d", payload("d"))
    writer.kill()
    farm.age(DAY_S / 2)
    fill(farm, worker, "ef")
    told = collect(worker, room_for(1), min_age_s=DAY_S / 4, dry_run=True)
    assert told == collect(worker, room_for(1), min_age_s=DAY_S / 4)


@requires("G13", "G6", evidence="one planted old generation, dry then in earnest, sequential")
def test_G13_dry_run_reports_old_generations_too(farm: Farm) -> None:
    """What is reclaimed without regard to the budget is announced like everything else."""
    farm.needs(Capability.PLANT)
    worker = farm.worker()
    fill(farm, worker, "a")
    worker.call(Verb.PLANT, key=moves.key("b"), kind="old-generation")
    farm.age(DAY_S)
    told = collect(worker, room_for(10), dry_run=True)
    assert told == collect(worker, room_for(10))


@requires("G14", evidence="one entry of 2 MB beside three old small ones, budget 1 MB, sequential")
def test_G14_an_entry_larger_than_the_budget_evicts_no_other(farm: Farm) -> None:
    """It is published or told too-large, and either way its frames can be read."""
    farm.needs(Capability.CONFIG)
    env = {moves.variable(farm, Setting.BUDGET_MB): "1"}
    env |= {moves.variable(farm, Setting.MIN_AGE_S): "0"}
    worker = farm.worker(env)
    fill(farm, worker, "abc")
    farm.age(DAY_S)
    huge = moves.frames("huge", count=2, size_bytes=BYTES_PER_MB)
    answer = moves.publish(farm, worker, "huge", huge)
    is_published = isinstance(answer, Published)
    assert is_published or (
        isinstance(answer, Unpublished) and answer.reason is UnpublishedReason.TOO_LARGE
    )
    assert moves.read_all(worker, answer) == moves.digests(huge.values())
    assert kept(farm, "abc") == "abc"


@requires("G14", evidence="a collect as configured while such an entry is held, and one after")
def test_G14_no_collect_loops_over_it(farm: Farm) -> None:
    """Each collect is answered, and once nobody holds the entry the budget is kept."""
    farm.needs(Capability.CONFIG)
    worker = farm.worker({moves.variable(farm, Setting.BUDGET_MB): "1"})
    huge = moves.frames("huge", count=2, size_bytes=BYTES_PER_MB)
    answer = moves.publish(farm, worker, "huge", huge)
    farm.age(DAY_S)
    collect(worker, budget_bytes=None)
    worker.call(Verb.RELEASE, handle=answer.handle)
    farm.age(DAY_S)
    assert collect(worker, budget_bytes=None).over_budget_bytes == 0
    assert sum(weights(farm).values()) < 2 * BYTES_PER_MB
