"""Chapter P: an entry becomes visible whole and once, and nobody harms it afterwards.

Races here are those of real processes that run freely; every interleaving, up to a bound, is in
``test_interleavings``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import pytest
from untorn_conformance import faults, probe
from untorn_conformance.backend import (
    Adopted,
    Hit,
    Miss,
    PlantKind,
    Published,
    Unpublished,
    UnpublishedReason,
    Verb,
)
from untorn_conformance.contract import Capability
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_conformance.farm import Farm
from untorn_conformance.moves import (
    assert_gives,
    collect,
    digests,
    frames,
    key,
    look,
    must_hit,
    publish,
    publish_at_once,
    put,
    read_all,
    recover,
    see,
    stage,
)
from untorn_conformance.place import Damage, damage, put_and_find
from untorn_conformance.plugin import requires, unknown
from untorn_stress.worker import Worker

WRITERS = 4
ROUNDS = 20
LARGE = 256 * 1024


def staged_by(farm: Farm, workers: Sequence[Worker], label: str) -> dict[Worker, str]:
    """A staging of each worker under one key, each with frames of its own, made at once."""
    asked = {
        worker: worker.send(Verb.STAGE, key=key(label), files=farm.files(of(label, number)))
        for number, worker in enumerate(workers)
    }
    return {worker: worker.receive(pending).handle for worker, pending in asked.items()}


def of(label: str, writer: int, size_bytes: int = 4096) -> dict[str, bytes]:
    """The frames that only this writer has for this key."""
    return frames(f"{label}, writer {writer}", size_bytes=size_bytes)


def remove(worker: Worker, label: str) -> None:
    """Evict everything that nobody holds, this key's entry too."""
    collect(worker)
    assert isinstance(look(worker, label), Miss), "a collect with budget 0 removed nothing"


def release_all(answers: Mapping[Worker, Published | Adopted | Unpublished]) -> None:
    """Hold nothing any more."""
    for worker, answer in answers.items():
        worker.call(Verb.RELEASE, handle=answer.handle)


# --- P1: whole, in one step


@requires("P1", "R2", evidence="one writer, one reader, sequential")
def test_P1_absent_until_published_whole_after(farm: Farm) -> None:
    """What is staged shows to nobody; what is published shows whole to everybody."""
    writer, reader, contents = farm.worker(), farm.worker(), frames()
    handle = stage(farm, writer, "k", contents)
    assert isinstance(look(reader, "k"), Miss)
    assert isinstance(writer.call(Verb.PUBLISH, handle=handle), Published)
    assert_gives(reader, must_hit(reader, "k"), contents)


@requires("P1", evidence="30 publishes of 8 frames of 256 KiB, looked up all the while, one reader")
def test_P1_whole_at_every_look(farm: Farm) -> None:
    """A reader that never stops looking sees nothing, and then everything."""
    writer, reader = farm.worker(), farm.worker()
    for turn in range(30):
        label, contents = f"k{turn}", frames(f"w{turn}", count=8, size_bytes=LARGE)
        pending = writer.send(Verb.STAGE, key=key(label), files=farm.files(contents))
        assert isinstance(see(reader, label, contents), Miss)
        pending = writer.send(Verb.PUBLISH, handle=writer.receive(pending).handle)
        looks = 0
        while not isinstance(see(reader, label, contents), Hit):
            looks += 1
            assert looks < 10_000, "the publish never shows"
        writer.call(Verb.RELEASE, handle=writer.receive(pending).handle)


@requires("P1", evidence=f"3 racing writers, one reader that looks all the while, {ROUNDS} rounds")
def test_P1_files_of_one_writer_only(farm: Farm) -> None:
    """However writers race for a key, a hit has the files of one of them and of no other."""
    *writers, reader = (farm.worker() for _ in range(4))
    for turn in range(ROUNDS):
        label = f"k{turn}"
        staged = staged_by(farm, writers, label)
        asked = {each: each.send(Verb.PUBLISH, handle=staged[each]) for each in writers}
        candidates = [of(label, number) for number in range(len(writers))]
        looks = 0
        while not isinstance(see(reader, label, *candidates), Hit):
            looks += 1
            assert looks < 10_000, "no publish ever shows"
        release_all({each: each.receive(pending) for each, pending in asked.items()})
        assert isinstance(see(reader, label, *candidates), Hit)


# --- P2: published once


@requires("P2", evidence=f"{WRITERS} racing writers, {ROUNDS} rounds on {ROUNDS} keys")
def test_P2_one_of_the_racing_writers_is_told_published(farm: Farm) -> None:
    """Of many that publish an absent key at once, one publishes; all others adopt or say why."""
    writers = [farm.worker() for _ in range(WRITERS)]
    for turn in range(ROUNDS):
        answers = publish_at_once(staged_by(farm, writers, f"k{turn}"))
        told = Counter(type(each) for each in answers.values())
        failed = [each for each in answers.values() if isinstance(each, Unpublished)]
        if any(each.reason is UnpublishedReason.BUSY for each in failed):
            assert told[Published] <= 1, answers
        else:
            assert told[Published] == 1, answers
        release_all(answers)


@requires("P2", evidence="3 removals of one key, 2 writers after each")
def test_P2_one_is_told_published_after_each_removal(farm: Farm) -> None:
    """A removed key is published again, once; a key that is there is not."""
    first, second = farm.worker(), farm.worker()
    for turn in range(3):
        put(farm, first, "k", of(f"turn {turn}", 1))
        late = publish(farm, second, "k", of(f"turn {turn}", 2))
        assert not isinstance(late, Published)
        second.call(Verb.RELEASE, handle=late.handle)
        remove(first, "k")


@requires("P2", "R1", evidence="one winner, one adopting writer with other bytes")
def test_P2_who_adopts_reads_the_winner(farm: Farm) -> None:
    """Adopted means the winner's entry: its bytes, not the loser's."""
    winner, loser = farm.worker(), farm.worker()
    put(farm, winner, "k", of("k", 1))
    answer = publish(farm, loser, "k", of("k", 2))
    if not isinstance(answer, Adopted):
        unknown(f"the second publish answered {answer}")
    assert_gives(loser, answer, of("k", 1))


# --- P3: a complete entry is left alone


def remains(before: probe.Snapshot, after: probe.Snapshot, contents: Mapping[str, bytes]) -> None:
    """Every file with the frames' bytes is the same inode, unaltered, under the same path."""
    expected = set(digests(contents.values()))
    ours = {path: each for path, each in before.files().items() if each.sha256 in expected}
    if {each.sha256 for each in ours.values()} != expected:
        unknown("the backend does not keep its frames as plain files")
    kept = {path: after.entries.get(path) for path in ours}
    fields = ("inode", "sha256", "size", "mode", "uid")
    for path, entry in ours.items():
        now = kept[path]
        assert now is not None, f"{path} is gone"
        assert [getattr(now, f) for f in fields] == [getattr(entry, f) for f in fields], path


@requires("P3", evidence="one winner, one losing writer, sequential; inodes and digests compared")
def test_P3_losing_writer_leaves_the_winner_alone(farm: Farm) -> None:
    """Who loses neither removes, replaces nor alters the winner's files."""
    winner, loser = farm.worker(), farm.worker()
    put(farm, winner, "k", of("k", 1))
    before = farm.tree()
    answer = publish(farm, loser, "k", of("k", 2))
    loser.call(Verb.RELEASE, handle=answer.handle)
    remains(before, farm.tree(), of("k", 1))


@requires("P3", evidence=f"{WRITERS} losing writers at once, {ROUNDS} rounds on one entry")
def test_P3_racing_losers_leave_the_winner_alone(farm: Farm) -> None:
    """Losers that race one another do not mistake the winner for something in their way."""
    winner, *losers = (farm.worker() for _ in range(WRITERS + 1))
    put(farm, winner, "k", of("k", 99))
    before = farm.tree()
    for _ in range(ROUNDS):
        answers = publish_at_once(staged_by(farm, losers, "k"))
        assert not any(isinstance(each, Published) for each in answers.values()), answers
        release_all(answers)
    remains(before, farm.tree(), of("k", 99))


@requires("P3", evidence="2 writers abandon what they staged for a published key")
def test_P3_abandoning_leaves_the_winner_alone(farm: Farm) -> None:
    """Giving up one's own work touches nobody else's."""
    winner, loser = farm.worker(), farm.worker()
    handles = [stage(farm, loser, "k", of("k", number)) for number in (2, 3)]
    put(farm, winner, "k", of("k", 1))
    before = farm.tree()
    for handle in handles:
        loser.call(Verb.ABANDON, handle=handle)
    remains(before, farm.tree(), of("k", 1))


# --- P4: something else in the place


@pytest.mark.parametrize("kind", PlantKind)
@requires("P4", evidence="each kind of planted state once: one lookup, one publish, one lookup")
def test_P4_a_planted_state_is_replaced(farm: Farm, kind: PlantKind) -> None:
    """What is no entry of this key is never served, and the next publish takes its place."""
    farm.needs(Capability.PLANT)
    worker = farm.worker()
    worker.call(Verb.PLANT, key=key("k"), kind=kind)
    assert isinstance(look(worker, "k"), Miss)
    recover(farm, worker, "k", frames())


REPLACED = (Damage.THINNED, Damage.EMPTIED, Damage.STRAY_FILE, Damage.STRAY_SYMLINK)


@pytest.mark.parametrize("kind", [*REPLACED, Damage.STRAY_DIRECTORY])
@requires("P4", evidence="each kind of damage once, where the tree showed the place of the entry")
def test_P4_a_damaged_entry_is_replaced(farm: Farm, kind: Damage) -> None:
    """An entry that an outsider broke or swapped is not served, and is published anew."""
    worker = farm.worker()
    place = put_and_find(farm, worker, "k")
    damage(farm, place, kind)
    farm.age(2 * farm.hello.limits.recency_resolution_s + 10)  # a thinned one shows when touched
    assert isinstance(look(worker, "k"), Miss)
    recover(farm, worker, "k", frames("anew"))


@requires("P4", evidence="one holder of an emptied entry, released, then one publish")
def test_P4_damage_that_was_held_is_replaced_after_the_release(farm: Farm) -> None:
    """While somebody holds the ruin a publish may be busy; afterwards it is not."""
    holder, writer = farm.worker(), farm.worker()
    place = put_and_find(farm, holder, "k")
    held = must_hit(holder, "k")
    damage(farm, place, Damage.EMPTIED)
    answer = publish(farm, writer, "k", frames("early"))
    assert_gives(writer, answer, frames("early"))
    writer.call(Verb.RELEASE, handle=answer.handle)
    holder.call(Verb.RELEASE, handle=held.handle)
    answer = publish(farm, writer, "k", frames("early"))
    assert isinstance(answer, Published | Adopted), answer


# --- P5: a publish that fails


@pytest.mark.parametrize("spared", ["nothing", "staging"])
@requires("P5", evidence="one unprivileged writer whose staged work meets a read-only root")
def test_P5_a_failed_publish_says_why_and_keeps_the_frames(farm: Farm, spared: str) -> None:
    """The caller learns errno and step, and goes on with its own frames until it releases them."""
    writer = farm.worker(uid=farm.unprivileged_uid)
    put(farm, writer, "a neighbour")
    before = farm.tree()
    handle = stage(farm, writer, "k", frames("own"))
    staged = probe.diff(before, farm.tree()).added if spared == "staging" else ()
    with faults.write_protected(farm.root, spare=[farm.root / each for each in staged]):
        answer = writer.call(Verb.PUBLISH, handle=handle)
        if not isinstance(answer, Unpublished):
            unknown(f"the publish into a read-only root did not fail: {answer}")
        assert_gives(writer, answer, frames("own"))
    assert_gives(writer, answer, frames("own"))
    assert answer.reason is UnpublishedReason.ERRNO
    assert answer.errno
    assert answer.step


@requires("P5", "E1", evidence="one publish at the limit of descriptors, which is then lifted")
def test_P5_a_publish_without_descriptors_keeps_the_frames(farm: Farm) -> None:
    """Even where nothing can be opened, the frames are there once it can be again."""
    writer = farm.worker()
    put(farm, writer, "a neighbour")
    handle = stage(farm, writer, "k", frames("own"))
    with faults.descriptor_limit(writer.pid, spare=0):
        answer = writer.call(Verb.PUBLISH, handle=handle)
    assert_gives(writer, answer, frames("own"))
    if isinstance(answer, Unpublished):
        assert answer.errno == "EMFILE", answer
        assert answer.step


# --- P6: staging of one's own


@requires("P6", evidence="3 processes with 2 stagings each of one key at once; digests of the tree")
def test_P6_stagings_never_collide(farm: Farm) -> None:
    """Each writer's staged files are its own, also two stagings of one key in one process."""
    workers = [farm.worker() for _ in range(3)]
    staged = staged_by(farm, workers, "k")
    more = {worker: stage(farm, worker, "k", of("more", n)) for n, worker in enumerate(workers)}
    assert all(staged[worker] != more[worker] for worker in workers)
    publish_last(workers, [staged, more], 0)


def publish_last(
    workers: Sequence[Worker], staged: Sequence[Mapping[Worker, str]], last: int
) -> None:
    """Abandon all stagings but the first of one, and see that it publishes its own bytes."""
    survivor, contents = workers[last], of("k", last)
    for worker in workers:
        for handles in staged[worker is survivor :]:
            worker.call(Verb.ABANDON, handle=handles[worker])
    answer = survivor.call(Verb.PUBLISH, handle=staged[0][survivor])
    assert isinstance(answer, Published), answer
    assert_gives(survivor, answer, contents)
    assert read_all(survivor, must_hit(survivor, "k")) == digests(contents.values())


@pytest.mark.parametrize("last", [0, 1], ids=["first", "second"])
@requires("P6", evidence="2 writers of one key whose process ids are equal, each in a namespace")
def test_P6_equal_process_ids_do_not_collide(farm: Farm, last: int) -> None:
    """In two containers that share a root a process id names nobody, whoever is left to publish."""
    workers = [farm.worker(inside=faults.new_pid_namespace()) for _ in range(2)]
    staged, more = (
        {worker: stage(farm, worker, "k", of(label, n)) for n, worker in enumerate(workers)}
        for label in ("k", "more")
    )
    publish_last(workers, [staged, more], last)


# --- P8: what is no entry


def gap(farm: Farm) -> list[dict[str, str]]:
    """Frames 1 and 3."""
    both = frames(count=3)
    del both["frame_00002.png"]
    return farm.files(both)


def same_number(farm: Farm) -> list[dict[str, str]]:
    """Frame 1 under two names."""
    return farm.files({**frames(count=2), "frame_1.png": b"again"})


def same_name(farm: Farm) -> list[dict[str, str]]:
    """Frame 2 twice."""
    return farm.files(frames(count=2)) + farm.files(frames("x", count=2))[1:]


def zero_length(farm: Farm) -> list[dict[str, str]]:
    """An empty frame between others."""
    return farm.files({**frames(count=3), "frame_00002.png": b""})


def no_file(farm: Farm) -> list[dict[str, str]]:
    """Nothing at all."""
    del farm
    return []


def offer(worker: Worker, files: Sequence[Mapping[str, str]]) -> object:
    """The code that stage or publish refuses the files with, or what publish answers."""
    try:
        handle = worker.call(Verb.STAGE, key=key("k"), files=files).handle
        return worker.call(Verb.PUBLISH, handle=handle)
    except BackendError as error:
        return error.code


@pytest.mark.parametrize("payload", [no_file, gap, same_number, same_name, zero_length])
@requires("P8", evidence="each of the four offered once, a duplicate by number and by name")
def test_P8_no_entry_of_broken_frames(
    farm: Farm, payload: Callable[[Farm], list[dict[str, str]]]
) -> None:
    """It is refused at stage or at publish, and nothing is visible afterwards."""
    worker = farm.worker()
    assert offer(worker, payload(farm)) is ErrorCode.INVALID_ENTRY
    assert isinstance(look(worker, "k"), Miss)
