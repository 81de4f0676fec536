"""The specimens one process at a time; what goes wrong between two is the gate's to find."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from untorn_conformance import probe
from untorn_conformance.backend import (
    Adopted,
    Collected,
    Evicted,
    FrameRead,
    Hello,
    Hit,
    Miss,
    Published,
    Staged,
    StagedFile,
    Unpublished,
    UnpublishedReason,
    Verb,
)
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_conformance.registry import parse
from untorn_conformance.specimens import after_review, first_posted
from untorn_conformance.specimens.removal import DeletionOrder, remove_tree
from untorn_conformance.specimens.seed_algorithm import (
    Landing,
    Refusal,
    SeedAlgorithm,
    Step,
    Work,
)
from untorn_stress.worker import Worker

HOUR_S = 3600
KEY = "a clip"
SENTINEL = ".hf-complete"

Specimen = SeedAlgorithm


def entry_name(key: str) -> str:
    return "hfcache-v3-" + hashlib.sha256(key.encode()).hexdigest()[:16]


ENTRY = entry_name(KEY)


def opened(specimen: Specimen, root: Path) -> Specimen:
    specimen.open(root=str(root), env={}, clock_offset_s=0.0)
    return specimen


@pytest.fixture(params=[first_posted.factory, after_review.factory])
def specimen(request: pytest.FixtureRequest, tmp_path: Path) -> Specimen:
    make: Callable[[], Specimen] = request.param
    return opened(make(), tmp_path / "root")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def entry(root: Path) -> Path:
    return root / ENTRY


Stage = Callable[..., Staged]


@pytest.fixture
def stage(specimen: Specimen, tmp_path: Path) -> Stage:
    """Stage two frames of ten bytes whose text is the writer's."""

    def stage_frames(writer: str = "w", key: str = KEY) -> Staged:
        files = []
        for number in (2, 1):
            path = tmp_path / f"{writer}-{number}"
            path.write_bytes(f"{writer} {number}".ljust(10).encode())
            files.append(StagedFile(name=f"frame_{number:05}.png", path=str(path)))
        return specimen.stage(key=key, files=files)

    return stage_frames


Publish = Callable[..., Published | Adopted | Unpublished]


@pytest.fixture
def publish(specimen: Specimen, stage: Stage, root: Path) -> Publish:
    def publish_frames(
        writer: str = "w", key: str = KEY, age_s: float = 0
    ) -> Published | Adopted | Unpublished:
        answer = specimen.publish(handle=stage(writer, key).handle)
        if age_s:
            make_older(root / entry_name(key) / SENTINEL, age_s)
        return answer

    return publish_frames


def make_older(path: Path, seconds: float) -> None:
    then_ns = path.stat().st_mtime_ns - round(seconds * 1e9)
    os.utime(path, ns=(then_ns, then_ns))


def text(specimen: Specimen, handle: str, index: int = 0) -> object:
    """The digest that a read gives, or the answer itself."""
    answer = specimen.read(handle=handle, index=index)
    return answer.sha256 if isinstance(answer, FrameRead) else answer


def digest(writer: str, number: int) -> str:
    return hashlib.sha256(f"{writer} {number}".ljust(10).encode()).hexdigest()


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


# --- publish


def test_what_was_published_is_hit_and_read_in_frame_order(
    specimen: Specimen, publish: Publish
) -> None:
    published = publish()
    assert isinstance(published, Published)
    hit = specimen.lookup(key=KEY)
    assert isinstance(hit, Hit)
    assert hit.files == published.files == ("frame_00001.png", "frame_00002.png")
    assert [text(specimen, hit.handle, i) for i in (0, 1)] == [digest("w", 1), digest("w", 2)]


def test_an_entry_is_its_frames_and_an_empty_sentinel(publish: Publish, entry: Path) -> None:
    publish()
    assert names(entry.parent) == [ENTRY]
    assert names(entry) == [SENTINEL, "frame_00001.png", "frame_00002.png"]
    assert (entry / SENTINEL).stat().st_size == 0


def test_staged_work_is_named_for_its_entry_and_its_process(stage: Stage, root: Path) -> None:
    stage()
    (name,) = names(root)
    target, _, owner = name.partition(".partial-")
    pid, _, random_part = owner.partition("-")
    assert (target, pid) == (ENTRY, str(os.getpid()))
    assert len(bytes.fromhex(random_part)) == 4


def test_work_is_invisible_until_it_is_published(specimen: Specimen, stage: Stage) -> None:
    stage()
    assert isinstance(specimen.lookup(key=KEY), Miss)


def test_abandoned_work_is_removed(specimen: Specimen, stage: Stage, root: Path) -> None:
    specimen.abandon(handle=stage().handle)
    assert names(root) == []


def test_the_loser_adopts_a_complete_winner_and_its_own_work_goes(
    specimen: Specimen, stage: Stage, publish: Publish, root: Path
) -> None:
    loser = stage("loser")
    publish("winner")
    adopted = specimen.publish(handle=loser.handle)
    assert isinstance(adopted, Adopted)
    assert text(specimen, adopted.handle) == digest("winner", 1)
    assert names(root) == [ENTRY]


def test_a_stale_target_without_a_sentinel_is_replaced(publish: Publish, entry: Path) -> None:
    entry.mkdir()
    (entry / "frame_00009.png").write_bytes(b"stale")
    published = publish("w")
    assert isinstance(published, Published)
    assert names(entry) == [SENTINEL, "frame_00001.png", "frame_00002.png"]


def test_a_publish_whose_work_is_gone_says_where_it_failed(
    specimen: Specimen, stage: Stage, root: Path
) -> None:
    staged = stage()
    remove_tree(str(root), DeletionOrder.SORTED)
    answer = specimen.publish(handle=staged.handle)
    assert isinstance(answer, Unpublished)
    assert (answer.errno, answer.step) == ("ENOENT", Step.SEAL)
    assert answer.reason is UnpublishedReason.ERRNO
    assert text(specimen, answer.handle) == Evicted()


def test_a_failed_publish_leaves_the_caller_its_frames_until_released(
    specimen: Specimen, publish: Publish, entry: Path
) -> None:
    entry.write_bytes(b"a file in the way")
    answer = publish("w")
    assert isinstance(answer, Unpublished)
    assert (answer.errno, answer.step) == ("ENOTDIR", Step.RENAME)
    assert text(specimen, answer.handle, 1) == digest("w", 2)
    specimen.release(handle=answer.handle)
    assert names(entry.parent) == [ENTRY]


def test_a_target_that_cannot_be_removed_ends_the_publish(
    publish: Publish, entry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(errno.EACCES, "refused", path)

    entry.mkdir()
    (entry / "frame_00001.png").write_bytes(b"stale")
    monkeypatch.setattr(os, "rmdir", refuse)
    answer = publish()
    assert isinstance(answer, Unpublished)
    assert (answer.errno, answer.step) == ("EACCES", Step.REMOVE_TARGET)


@pytest.mark.parametrize(
    ("make", "complete", "adopts"),
    [
        (first_posted.factory, True, False),
        (after_review.factory, True, True),
        (first_posted.factory, False, False),
        (after_review.factory, False, False),
    ],
)
def test_only_the_reviewed_version_adopts_a_winner_after_its_second_refusal(
    make: Callable[[], Specimen], complete: bool, adopts: bool, tmp_path: Path
) -> None:
    specimen, winner, partial = opened(make(), tmp_path), tmp_path / "winner", tmp_path / "mine"
    winner.mkdir()
    partial.mkdir()
    if complete:
        (winner / SENTINEL).touch()
    refusal = Refusal(error=OSError(errno.ENOTEMPTY, "in the way"), step=Step.RENAME_AGAIN)
    work = Work(partial=str(partial), entry=str(winner), files=())
    landing = specimen.after_second_refusal(work, refusal)
    assert landing == (Landing.ADOPTED if adopts else refusal)
    assert partial.exists() is not adopts


def test_a_name_that_is_no_frames_is_refused(specimen: Specimen, root: Path) -> None:
    files = [StagedFile(name="frame_/../../escape", path=__file__)]
    with pytest.raises(BackendError) as caught:
        specimen.stage(key=KEY, files=files)
    assert caught.value.code is ErrorCode.INVALID_KEY
    assert names(root) == []


# --- lookup and read


def test_frames_without_a_sentinel_are_a_miss(
    specimen: Specimen, publish: Publish, entry: Path
) -> None:
    publish()
    (entry / SENTINEL).unlink()
    assert isinstance(specimen.lookup(key=KEY), Miss)


def test_a_hit_is_whatever_frames_are_beside_the_sentinel(
    specimen: Specimen, publish: Publish, entry: Path
) -> None:
    """The flaw that the deletion order brings out: nothing says how many there should be."""
    publish()
    (entry / "frame_00001.png").unlink()
    hit = specimen.lookup(key=KEY)
    assert isinstance(hit, Hit)
    assert hit.files == ("frame_00002.png",)


def test_a_hit_touches_the_sentinel(specimen: Specimen, publish: Publish, entry: Path) -> None:
    publish()
    make_older(entry / SENTINEL, HOUR_S)
    before_ns = (entry / SENTINEL).stat().st_mtime_ns
    specimen.lookup(key=KEY)
    assert (entry / SENTINEL).stat().st_mtime_ns >= before_ns + HOUR_S * 10**9


def test_an_entry_that_goes_between_check_and_listing_is_an_error_of_the_lookup(
    specimen: Specimen, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanished(path: str) -> list[str]:
        raise FileNotFoundError(errno.ENOENT, "gone", path)

    publish()
    monkeypatch.setattr(os, "listdir", vanished)
    with pytest.raises(BackendError, match="between its check and its listing") as caught:
        specimen.lookup(key=KEY)
    assert caught.value.code is ErrorCode.INTERNAL


def test_a_released_handle_is_refused(specimen: Specimen, publish: Publish) -> None:
    published = publish()
    specimen.release(handle=published.handle)
    with pytest.raises(BackendError) as caught:
        specimen.read(handle=published.handle, index=0)
    assert caught.value.code is ErrorCode.BAD_REQUEST


# --- collect


def test_a_collect_evicts_and_reaps_and_leaves_what_is_within_the_budget(
    specimen: Specimen, publish: Publish, stage: Stage, root: Path
) -> None:
    publish(key="older", age_s=200)
    publish(key="newer", age_s=100)
    stage()
    done = specimen.collect(budget_bytes=20, min_age_s=0, dry_run=False)
    assert done == Collected(evicted=1, freed_bytes=20, reaped=1)
    assert isinstance(specimen.lookup(key="newer"), Hit)
    assert len(names(root)) == 1


def test_by_default_little_is_within_the_budget_and_an_hour_is_young(
    specimen: Specimen, publish: Publish
) -> None:
    publish(key="old", age_s=HOUR_S + 60)
    publish(key="young", age_s=HOUR_S - 60)
    nothing = Collected(evicted=0, freed_bytes=0, reaped=0)
    assert specimen.collect(budget_bytes=None, min_age_s=None, dry_run=False) == nothing
    assert specimen.collect(budget_bytes=0, min_age_s=None, dry_run=False).evicted == 1


def test_the_clocks_offset_makes_entries_older(
    specimen: Specimen, publish: Publish, root: Path
) -> None:
    publish()
    specimen.open(root=str(root), env={}, clock_offset_s=HOUR_S + 60)
    assert specimen.collect(budget_bytes=0, min_age_s=None, dry_run=False).evicted == 1


def test_a_read_after_an_eviction_answers_evicted(specimen: Specimen, publish: Publish) -> None:
    published = publish()
    specimen.collect(budget_bytes=0, min_age_s=0, dry_run=False)
    assert text(specimen, published.handle) == Evicted()


def test_errors_that_nobody_hears_of_are_counted(
    specimen: Specimen, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(errno.EACCES, "refused", path)

    publish()
    monkeypatch.setattr(os, "unlink", refuse)
    specimen.collect(budget_bytes=0, min_age_s=0, dry_run=False)
    assert specimen.stats().counters["ignored_errors"] == 1


def test_each_factory_removes_in_the_order_of_its_name() -> None:
    said = {
        (module.__name__.rpartition(".")[2], how): getattr(module, how)().hello().name
        for module in (first_posted, after_review)
        for how in ("factory", "factory_reversed", "factory_as_listed")
    }
    assert said == {
        ("first_posted", "factory"): "seed-first-posted (sorted)",
        ("first_posted", "factory_reversed"): "seed-first-posted (reversed)",
        ("first_posted", "factory_as_listed"): "seed-first-posted (as-listed)",
        ("after_review", "factory"): "seed-after-review (sorted)",
        ("after_review", "factory_reversed"): "seed-after-review (reversed)",
        ("after_review", "factory_as_listed"): "seed-after-review (as-listed)",
    }


# --- open


def test_without_a_root_the_cache_is_the_users_own_among_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    after_review.factory().open(root=None, env={}, clock_offset_s=0.0)
    assert names(tmp_path) == [f"hyperframes-extract-cache-{os.getuid()}"]


def test_a_root_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BackendError) as caught:
        opened(after_review.factory(), tmp_path / "file" / "root")
    assert caught.value.code is ErrorCode.ROOT_REFUSED


# --- hosted


@pytest.fixture
def hosted(tmp_path: Path) -> Iterator[Worker]:
    backend = parse("py:untorn_conformance.specimens.after_review:factory")
    environment = {**os.environ, **backend.environment()}
    stderr = tmp_path / "stderr"
    with Worker.start(backend.command(), env=environment, stderr_path=stderr) as worker:
        yield worker


def test_a_hosted_specimen_publishes_and_hits(hosted: Worker, root: Path, tmp_path: Path) -> None:
    (tmp_path / "frame").write_bytes(b"pixels")
    assert isinstance(hosted.call(Verb.HELLO), Hello)
    hosted.call(Verb.OPEN, root=str(root), env={}, clock_offset_s=0.0)
    files = [{"name": "frame_00001.png", "path": str(tmp_path / "frame")}]
    staged = hosted.call(Verb.STAGE, key=KEY, files=files)
    assert isinstance(hosted.call(Verb.PUBLISH, handle=staged.handle), Published)
    hit = hosted.call(Verb.LOOKUP, key=KEY)
    assert hosted.call(Verb.READ, handle=hit.handle, index=0).bytes == len(b"pixels")
    assert list(probe.take(root).entries) == [
        ENTRY,
        f"{ENTRY}/{SENTINEL}",
        f"{ENTRY}/frame_00001.png",
    ]
