"""Chapter R: what a hit gives, how long it stays, and why there was none."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from untorn_conformance import moments
from untorn_conformance.backend import (
    Axis,
    Collected,
    Damaged,
    Evicted,
    ExtractOutcome,
    Hit,
    Miss,
    MissReason,
    PlantKind,
    Published,
    Skipped,
    Verb,
)
from untorn_conformance.contract import Capability
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_conformance.farm import Farm
from untorn_conformance.holdings import fill, room_for
from untorn_conformance.moves import (
    assert_gives,
    collect,
    digests,
    frames,
    has,
    key,
    look,
    must_hit,
    publish,
    put,
    read_all,
    see,
)
from untorn_conformance.place import Damage, damage, put_and_find
from untorn_conformance.plugin import not_applicable, requires, unknown
from untorn_fixtures.clips import clip
from untorn_stress.worker import Worker

SEED = 20261122
DAY_S = 86400.0


def shuffled(contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """The same files in an order drawn from SEED."""
    names = list(contents)
    random.Random(SEED).shuffle(names)
    return {name: contents[name] for name in names}


# --- R1: what a hit gives


ORDERS = {
    "one frame": ["frame_00001.png"],
    "120 frames": [f"frame_{number:05d}.png" for number in range(1, 121)],
    "past 99,999": [f"frame_{number:05d}.png" for number in range(99_998, 100_003)],
    "past 9, unpadded": [f"frame_{number}.png" for number in range(8, 13)],
}


@pytest.mark.parametrize("names", ORDERS.values(), ids=list(ORDERS))
@requires("R1", evidence=f"frames staged in an order drawn from seed {SEED}, one reader")
def test_R1_frames_come_in_numeric_order(farm: Farm, names: list[str]) -> None:
    """A hit lists every frame by its number, whatever the order of staging or of the alphabet."""
    writer, reader = farm.worker(), farm.worker()
    contents = {name: f"bytes of {name}".encode() for name in names}
    put(farm, writer, "k", shuffled(contents))
    assert_gives(reader, must_hit(reader, "k"), contents)


@requires("R1", evidence="one handle of lookup and one of publish, each read twice and released")
def test_R1_reads_last_until_the_release(farm: Farm) -> None:
    """A handle gives the same bytes again and again, and after its release nothing at all."""
    worker = farm.worker()
    handles = [publish(farm, worker, "k", frames()), must_hit(worker, "k")]
    for found in handles:
        assert read_all(worker, found) == read_all(worker, found) == digests(frames().values())
        worker.call(Verb.RELEASE, handle=found.handle)
        with pytest.raises(BackendError) as refused:
            worker.call(Verb.READ, handle=found.handle, index=0)
        assert refused.value.code is ErrorCode.BAD_REQUEST


# --- R2: acknowledged is visible


@requires("R2", evidence="40 publishes by 2 processes in turn, each looked up by the other at once")
def test_R2_an_acknowledged_publish_is_hit_by_others(farm: Farm) -> None:
    """Once publish has answered, whoever looks finds the entry."""
    pair = [farm.worker(), farm.worker()]
    for turn in range(40):
        writer, reader = pair if turn % 2 else reversed(pair)
        answer = publish(farm, writer, f"k{turn}", frames(f"w{turn}"))
        assert isinstance(answer, Published), answer
        must_hit(reader, f"k{turn}")


@requires("R2", evidence="20 dry runs over 20 entries, 400 lookups meanwhile; nothing is evicted")
def test_R2_a_deciding_collector_hides_nothing_for_long(farm: Farm) -> None:
    """While a collector decides a lookup may be busy; it never says that there is nothing."""
    writer, reader, collector = farm.worker(), farm.worker(), farm.worker()
    labels = [f"k{number}" for number in range(20)]
    for label in labels:
        put(farm, writer, label, frames(label))
    for _ in range(20):
        pending = collector.send(Verb.COLLECT, budget_bytes=0, min_age_s=0.0, dry_run=True)
        for label in labels:
            seen = look(reader, label)
            assert isinstance(seen, Hit) or seen.reason is MissReason.BUSY, seen
            if isinstance(seen, Hit):
                reader.call(Verb.RELEASE, handle=seen.handle)
        collector.receive(pending)
    assert all(has(reader, label) for label in labels)


# --- R3: a hit refreshes


@requires("R3", evidence="2 entries, the older one hit, one collect with room for one")
def test_R3_a_hit_outlives_what_was_not_hit(farm: Farm) -> None:
    """The entry that was used last stays, though it was published first."""
    worker, step_s = farm.worker(), 2 * farm.hello.limits.recency_resolution_s + 10
    for label in "ab":
        fill(farm, worker, label)
        farm.age(step_s)
    assert has(worker, "a")
    collect(worker, room_for(1))
    assert [has(worker, "a"), has(worker, "b")] == [True, False]


# --- R4: a lease


@requires("R4", evidence="one stopped holder, 10 days old; 3 collectors at once with budget 0")
def test_R4_what_a_stopped_reader_holds_stays(farm: Farm) -> None:
    """A hold has no age and needs no heartbeat; and it holds this entry, not the others."""
    farm.needs(Capability.LEASE)
    holder, collectors = farm.worker(), [farm.worker() for _ in range(3)]
    for label in ("k", "other"):
        put(farm, holder, label, frames(label))
    held = must_hit(holder, "k")
    farm.age(10 * DAY_S)
    holder.stop()
    asked = [
        each.send(Verb.COLLECT, budget_bytes=0, min_age_s=0.0, dry_run=False) for each in collectors
    ]
    for each, pending in zip(collectors, asked, strict=True):
        assert isinstance(each.receive(pending), Collected | Skipped)
    assert not has(collectors[0], "other"), "the collectors evicted nothing at all"
    holder.resume()
    assert_gives(holder, held, frames("k"))


@pytest.mark.parametrize("how", ["published", "adopted"])
@requires("R4", evidence="one handle of publish, aged by 10 days, one collect with budget 0")
def test_R4_what_a_writer_was_given_stays(farm: Farm, how: str) -> None:
    """The handle that publish answers with holds like that of a lookup."""
    farm.needs(Capability.LEASE)
    writer, other = farm.worker(), farm.worker()
    if how == "adopted":
        put(farm, other, "k", frames("k"))
    answer = publish(farm, writer, "k", frames("k"))
    farm.age(10 * DAY_S)
    collect(other)
    assert_gives(writer, answer, frames("k"))


@requires("R4", evidence="one holder released, one killed, one collect with budget 0 after each")
def test_R4_the_hold_ends_with_the_release_and_with_the_reader(farm: Farm) -> None:
    """What nobody holds any more can be evicted; nothing has to be cleaned up by hand."""
    farm.needs(Capability.LEASE)
    holder, collector = farm.worker(), farm.worker()
    for label in ("released", "left"):
        put(farm, holder, label, frames(label))
    released = must_hit(holder, "released")
    must_hit(holder, "left")
    holder.call(Verb.RELEASE, handle=released.handle)
    farm.age(10 * DAY_S)
    collect(collector)
    assert [has(collector, "released"), has(collector, "left")] == [False, True]
    farm.age(10 * DAY_S)
    holder.kill()
    collect(collector)
    assert not has(collector, "left")


@requires("R4", evidence="one holder that was killed and whose forked child lives on")
def test_R4_a_forked_child_does_not_prolong_the_hold(farm: Farm) -> None:
    """The hold is the reader's own: a pool worker that it forked does not inherit it."""
    farm.needs(Capability.LEASE, Capability.FORK)
    holder, collector = farm.worker(), farm.worker()
    put(farm, holder, "k", frames("k"))
    must_hit(holder, "k")
    moments.await_child(holder.call(Verb.FORK, exec=False).pid)
    holder.kill()
    farm.age(10 * DAY_S)
    collect(collector)
    assert not has(collector, "k")


@requires("R4", "R1", evidence="60 rounds: lookup and read against 2 collectors with budget 0")
def test_R4_a_hit_is_held_from_the_start(farm: Farm) -> None:
    """There is no moment between the hit and the hold: what was hit can be read to its end."""
    farm.needs(Capability.LEASE)
    writer, reader, *collectors = (farm.worker() for _ in range(4))
    contents, hits = frames("k", count=8), 0
    order = {"budget_bytes": 0, "min_age_s": 0.0, "dry_run": False}
    for number in range(60):
        writer.call(Verb.RELEASE, handle=publish(farm, writer, "k", contents).handle)
        early = [reader.call(Verb.LOOKUP, key=key("k"))] if number % 3 == 0 else []
        asked = [(each, each.send(Verb.COLLECT, **order)) for each in collectors]
        hits += isinstance(see(reader, "k", contents), Hit)
        for each, pending in asked:
            each.receive(pending)
        for hit in early:  # held since before the collect was asked for
            assert isinstance(hit, Hit)
            assert read_all(reader, hit) == digests(contents.values())
            reader.call(Verb.RELEASE, handle=hit.handle)
    assert hits >= 20, "what was held before a collect was not there after it"


# --- R5: without a lease


def assert_right_or_evicted(worker: Worker, hit: Hit, contents: Mapping[str, bytes]) -> None:
    """Each read gives the published bytes, or says evicted or damaged."""
    for index, right in enumerate(digests(contents.values())):
        answer = worker.call(Verb.READ, handle=hit.handle, index=index)
        assert isinstance(answer, Evicted | Damaged) or answer.sha256 == right, (index, answer)


@requires("R5", evidence="one entry evicted between a lookup and its reads")
def test_R5_what_was_evicted_is_said_to_be(farm: Farm) -> None:
    """A reader that holds nothing is told so by a word of its own, and never by wrong bytes."""
    if Capability.LEASE in farm.hello.capabilities:
        not_applicable("with the capability lease nothing is evicted under a reader")
    reader, collector = farm.worker(), farm.worker()
    put(farm, reader, "k", frames("k"))
    hit = must_hit(reader, "k")
    farm.age(10 * DAY_S)
    collect(collector)
    assert_right_or_evicted(reader, hit, frames("k"))
    put(farm, collector, "k", frames("anew"))
    assert_right_or_evicted(reader, hit, frames("k"))


@pytest.mark.parametrize("kind", [Damage.THINNED, Damage.EMPTIED, Damage.STRAY_DIRECTORY])
@requires("R5", evidence="one entry taken by an outsider between a lookup and its reads")
def test_R5_what_an_outsider_took_is_no_error(farm: Farm, kind: Damage) -> None:
    """No lease keeps rm away: the reads that follow give the right bytes or say evicted."""
    reader = farm.worker()
    place = put_and_find(farm, reader, "k")
    hit = must_hit(reader, "k")
    damage(farm, place, kind)
    assert_right_or_evicted(reader, hit, frames("k"))


@requires("R5", evidence="one extracted clip, its frames removed by an outsider, extracted again")
def test_R5_extract_makes_again_what_is_gone(farm: Farm) -> None:
    """Frames that were taken are extracted anew, to the same bytes and under the same names."""
    farm.needs(Capability.EXTRACT)
    worker, inputs = farm.worker(), {Axis.PATH: str(clip("sdr")), Axis.FPS: "5", Axis.FORMAT: "png"}
    first = worker.call(Verb.EXTRACT, inputs=inputs)
    right = read_all(worker, first)
    worker.call(Verb.RELEASE, handle=first.handle)
    files = [path for path, each in farm.tree().files().items() if each.sha256 in right]
    if len(files) != len(right):
        unknown("the backend does not keep its frames as plain files")
    for path in files:
        (farm.root / path).unlink()
    again = worker.call(Verb.EXTRACT, inputs=inputs)
    assert again.outcome is not ExtractOutcome.HIT
    assert (again.files, read_all(worker, again)) == (first.files, right)


# --- R6: why not


R = MissReason
FITTING: Mapping[PlantKind, set[MissReason]] = {
    PlantKind.OLD_GENERATION: {R.STALE_GENERATION, R.ABSENT},  # another generation is elsewhere
    PlantKind.WRONG_KEY: {R.CORRUPT, R.DAMAGED},
    PlantKind.DAMAGED: {R.CORRUPT, R.DAMAGED, R.INCOMPLETE},
    PlantKind.STRAY_DIRECTORY: {R.CORRUPT, R.DAMAGED, R.INCOMPLETE},
    PlantKind.STRAY_FILE: {R.CORRUPT, R.DAMAGED, R.INCOMPLETE},
    PlantKind.STRAY_SYMLINK: {R.CORRUPT, R.DAMAGED, R.INCOMPLETE},
}


@requires("R6", evidence="one key never published, one evicted")
def test_R6_absent_is_what_is_not_there(farm: Farm) -> None:
    """Never published and evicted are the same to a reader."""
    worker = farm.worker()
    put(farm, worker, "evicted")
    farm.age(DAY_S)
    collect(worker)
    for label in ("never", "evicted"):
        answer = look(worker, label)
        assert isinstance(answer, Miss)
        assert answer.reason is MissReason.ABSENT


@pytest.mark.parametrize("kind", PlantKind)
@requires("R6", evidence="each kind of planted state, looked up once")
def test_R6_the_reason_fits_what_was_planted(farm: Farm, kind: PlantKind) -> None:
    """Who debugs a cold cache learns what is wrong with the entry, not that there is none."""
    farm.needs(Capability.PLANT)
    worker = farm.worker()
    worker.call(Verb.PLANT, key=key("k"), kind=kind)
    answer = look(worker, "k")
    assert isinstance(answer, Miss)
    assert answer.reason in FITTING[kind]


@pytest.mark.parametrize("kind", [Damage.THINNED, Damage.EMPTIED, Damage.STRAY_FILE])
@requires("R6", evidence="each damage once, where the tree showed the place of the entry")
def test_R6_a_damaged_entry_is_not_called_absent(farm: Farm, kind: Damage) -> None:
    """Outsiders leave traces, and the reason names them."""
    worker = farm.worker()
    damage(farm, put_and_find(farm, worker, "k"), kind)
    farm.age(2 * farm.hello.limits.recency_resolution_s + 10)  # a thinned one shows when touched
    answer = look(worker, "k")
    assert isinstance(answer, Miss)
    assert answer.reason in {R.CORRUPT, R.DAMAGED, R.INCOMPLETE}


@requires("R6", evidence="one published entry whose path an unprivileged reader may not enter")
def test_R6_unreadable_is_not_called_absent(farm: Farm) -> None:
    """Missing permission is another trouble than a missing entry."""
    worker = farm.worker(uid=farm.unprivileged_uid)
    place = put_and_find(farm, worker, "k")
    place.path.chmod(0)
    answer = look(worker, "k")
    assert isinstance(answer, Miss)
    assert answer.reason in {R.UNREADABLE, R.DAMAGED}
