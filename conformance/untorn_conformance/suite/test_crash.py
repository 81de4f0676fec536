"""Chapter C: SIGKILL at drawn moments of staging, publishing, adopting, collecting, extracting.

The moments are seen in the tree and drawn from SEED: a writer dies after so many of its files have
appeared, or some looks at the tree after its publish was asked for. Every single system call is for
the gate: ``test_crash_states``.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from untorn_conformance import moments
from untorn_conformance.backend import Adopted, Axis, ExtractOutcome, Hit, Published, Verb
from untorn_conformance.barriers import Inputs, stop_amid_extraction
from untorn_conformance.contract import Capability
from untorn_conformance.farm import Farm
from untorn_conformance.moves import (
    collect,
    frames,
    key,
    publish,
    put,
    put_many,
    read_all,
    see,
    stage,
)
from untorn_conformance.pauses import is_answered
from untorn_conformance.plugin import Measure, requires, unknown
from untorn_fixtures.real import real_clip
from untorn_stress import supervise
from untorn_stress.worker import Worker

SEED = 20261122
KILLS = 10
DAY_S = 86400.0


def large(writer: str) -> dict[str, bytes]:
    """Frames that take a while to stage."""
    return frames(writer, count=24, size_bytes=64 * 1024)


def kill_a_writer(
    farm: Farm, draw: random.Random, label: str, contents: Mapping[str, bytes], *, in_stage: float
) -> str:
    """Start a writer and kill it at a drawn moment of its stage or its publish; which it was.

    ``in_stage`` is the probability of the first.
    """
    writer, before = farm.worker(), moments.names(farm)
    pending = writer.send(Verb.STAGE, key=key(label), files=farm.files(contents))
    if draw.random() < in_stage:
        files = draw.randrange(len(contents))
        moments.await_moment(
            lambda: len(moments.names(farm) - before) > files or is_answered(writer, pending),
            "a file of the staging",
        )
        writer.kill()
        return "stage"
    handle = writer.receive(pending).handle
    if draw.random() < 0.1:
        writer.kill()
        return "staged"
    writer.send(Verb.PUBLISH, handle=handle)
    for _ in range(int(2 ** draw.uniform(0, 5))):
        moments.names(farm)  # each look lets the publish go on for a fraction of its length
    writer.kill()
    return "publish"


def kill_writers(
    farm: Farm, observer: Worker, measure: Measure, aim: str, *, published: bool = False
) -> list[str]:
    """Kill KILLS writers, each at a key of its own, and see each key at once; the labels.

    With ``published`` the entry of another writer is there before, so that the writers adopt.
    """
    draw, where, labels = random.Random(SEED), [], []
    for number in range(KILLS):
        label, own, others = f"k{number}", large(f"dead {number}"), frames(f"first {number}")
        if published:
            put(farm, observer, label, others)
        in_stage = 0.0 if published else 0.4
        where.append(kill_a_writer(farm, draw, label, own, in_stage=in_stage))
        labels.append(label)
        seen = see(observer, label, others if published else own)
        assert isinstance(seen, Hit) or not published, seen
    struck = {name: where.count(name) for name in ("stage", "staged", "publish")}
    measure(f"writers killed: {aim}", **struck)
    return labels


# --- C1, C2: afterwards


@requires("C1", evidence=f"{KILLS} writers killed at moments drawn from seed {SEED}, looked up")
def test_C1_a_killed_writer_leaves_a_miss_or_a_whole_entry(farm: Farm, measure: Measure) -> None:
    """Half an entry is never served, to those who watched and to those who come later."""
    labels = kill_writers(farm, farm.worker(), measure, "then looked up")
    late = farm.worker()
    for number, label in enumerate(labels):
        see(late, label, large(f"dead {number}"))


@requires("C1", "P3", evidence=f"{KILLS} adopting writers killed at moments drawn from seed {SEED}")
def test_C1_a_killed_loser_leaves_the_winner_whole(farm: Farm, measure: Measure) -> None:
    """Who dies while it adopts takes nothing with it."""
    kill_writers(farm, farm.worker(), measure, "beside a winner", published=True)


@requires("C2", evidence=f"{KILLS} writers killed at moments drawn from seed {SEED}, one after")
def test_C2_the_dead_writers_keys_can_be_published(farm: Farm, measure: Measure) -> None:
    """No debris stands in the way of the next writer, and nobody has to repair anything."""
    labels = kill_writers(farm, farm.worker(), measure, "then published")
    writer, reader = farm.worker(), farm.worker()
    for number, label in enumerate(labels):
        answer = publish(farm, writer, label, frames("next"))
        assert isinstance(answer, Published | Adopted), answer
        assert isinstance(see(reader, label, large(f"dead {number}"), frames("next")), Hit)


@requires("C1", "C2", evidence="5 rounds of 3 writers of one key, killed together amid the publish")
def test_C2_all_writers_killed_at_once(farm: Farm) -> None:
    """If all die that raced for a key, the key is absent or whole, and the next writer has it."""
    observer = farm.worker()
    for turn in range(5):
        label, writers = f"k{turn}", [farm.worker() for _ in range(3)]
        contents = [large(f"{turn}, writer {number}") for number in range(3)]
        staged = [stage(farm, *each) for each in zip(writers, [label] * 3, contents, strict=True)]
        for writer, handle in zip(writers, staged, strict=True):
            writer.send(Verb.PUBLISH, handle=handle)
        for writer in writers:
            writer.kill()
        see(observer, label, *contents)
        answer = publish(farm, observer, label, frames("next"))
        assert isinstance(answer, Published | Adopted), answer
        assert isinstance(see(observer, label, *contents, frames("next")), Hit)


# --- C3: debris


@requires("C3", evidence=f"{KILLS} writers killed at moments drawn from seed {SEED}, one collect")
def test_C3_debris_of_writers_is_reclaimed(farm: Farm, measure: Measure) -> None:
    """One collect after the grace leaves what an empty cache leaves."""
    observer = farm.worker()
    empty = emptied(farm, observer, [f"k{number}" for number in range(KILLS)])
    kill_writers(farm, observer, measure, "for their debris")
    if not moments.names(farm) - empty:
        unknown("the dead left nothing that could be reclaimed")
    farm.age(DAY_S + farm.hello.limits.reap_grace_s)
    collect(observer)
    left = moments.names(farm) - empty
    assert not left, sorted(left)


def emptied(farm: Farm, worker: Worker, labels: list[str]) -> frozenset[str]:
    """What is left in the tree when entries of these keys have come and gone."""
    put_many(farm, worker, {label: frames(label) for label in labels})
    farm.age(DAY_S)
    collect(worker)
    return moments.names(farm)


@requires("C1", "C2", "C3", evidence=f"4 collectors killed after evictions drawn from seed {SEED}")
def test_C3_a_killed_collector_is_survived(farm: Farm, measure: Measure) -> None:
    """Half an eviction is no entry, and the next collector finishes it."""
    draw, observer = random.Random(SEED), farm.worker()
    labels = [f"k{number}" for number in range(60)]
    empty, amid = emptied(farm, observer, labels), 0
    for _ in range(4):
        for label in labels:  # those that the last one did not evict are adopted
            publish(farm, observer, label, frames(label))
        observer.call(Verb.CLOSE)
        observer.call(Verb.OPEN, root=str(farm.root), env={}, clock_offset_s=0.0)
        farm.age(DAY_S)
        amid += kill_a_collector(farm, draw.randrange(1, 100))
        for label in labels:
            see(observer, label, frames(label))
    measure("collectors killed", amid_their_work=amid)
    answer = publish(farm, observer, labels[0], frames(labels[0]))
    assert isinstance(answer, Published | Adopted), answer
    observer.call(Verb.RELEASE, handle=answer.handle)
    farm.age(DAY_S + farm.hello.limits.reap_grace_s)
    collect(observer)
    assert not moments.names(farm) - empty


def kill_a_collector(farm: Farm, files: int) -> bool:
    """Kill a collector when so many names have gone; whether it was still at work."""
    collector, before = farm.worker(), moments.names(farm)
    order = {"budget_bytes": 0, "min_age_s": 0.0, "dry_run": False}
    pending, answered = collector.send(Verb.COLLECT, **order), False

    def is_far_enough() -> bool:
        nonlocal answered
        answered = is_answered(collector, pending)
        return answered or len(before - moments.names(farm)) >= files

    moments.await_moment(is_far_enough, "an eviction")
    collector.kill()
    return not answered


# --- extractions, C5


CLIP = "carphone_pristine"
REQUEST: Inputs = {Axis.PATH: "", Axis.FPS: "120", Axis.FORMAT: "png"}


def request() -> Inputs:
    """Some hundred frames, so that the decoder is held amid them."""
    return {**REQUEST, Axis.PATH: str(real_clip(CLIP))}


@requires("C1", "C2", "C3", evidence="one extraction killed with its decoder amid its frames")
def test_C3_a_killed_extraction_leaves_nothing(farm: Farm) -> None:
    """Nothing is served, the debris goes, and the next request gets all frames."""
    farm.needs(Capability.EXTRACT)
    amid = stop_amid_extraction(farm, farm.worker(), request())
    amid.worker.kill_tree()
    amid.lift()
    written = moments.frame_names(farm, ".png")
    other = farm.worker()
    farm.age(DAY_S + farm.hello.limits.reap_grace_s)
    collect(other)
    assert not written & moments.names(farm)
    answer = other.call(Verb.EXTRACT, inputs=request())
    assert answer.outcome is ExtractOutcome.PUBLISHED
    assert len(set(read_all(other, answer))) > 1


@requires("C5", evidence="one parent killed; age, collect, extract while its decoder is stopped")
def test_C5_an_orphaned_decoder_is_not_swept_from_under_itself(farm: Farm) -> None:
    """A decoder that lost its parent keeps its staging, harms nobody, and is cleaned up after."""
    farm.needs(Capability.EXTRACT)
    amid = stop_amid_extraction(farm, farm.worker(), request())
    parent = amid.worker
    parent.kill()
    orphans = stop_orphans(parent)
    amid.barrier.lift()
    written = moments.frame_names(farm, ".png")
    other = farm.worker()
    farm.age(DAY_S + farm.hello.limits.reap_grace_s)
    collect(other)
    assert written <= moments.names(farm)
    right = other.call(Verb.EXTRACT, inputs=request())
    assert right.outcome is ExtractOutcome.PUBLISHED
    before = read_all(other, right)
    for pid in orphans:
        supervise.resume(pid)
    moments.await_moment(lambda: not parent.left_behind(), "the end of the orphaned decoder")
    assert read_all(other, right) == before
    other.call(Verb.RELEASE, handle=right.handle)
    farm.age(DAY_S + farm.hello.limits.reap_grace_s)
    collect(other)
    assert not moments.frame_names(farm, ".png")


def stop_orphans(parent: Worker) -> list[int]:
    """Stop what the dead parent left behind; ends the case as unknown where that is nothing."""
    orphans = parent.left_behind()
    for pid in orphans:
        supervise.stop(pid)
    running = [pid for pid in orphans if not supervise.is_gone(pid)]
    if not running:
        unknown("no decoder outlived its parent")
    return running
