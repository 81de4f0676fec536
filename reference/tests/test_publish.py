"""Publish: in one step, once a key, and the caller keeps its frames whatever happens (P)."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from untorn import Cache, Delivery, Frames, InvalidEntryError, KeyInputError
from untorn.outcome import Step, UnpublishedReason

OpenCache = Callable[..., Cache]
Put = Callable[..., Frames]
Hit = Callable[[Cache, str], Frames]
Child = Callable[..., Any]
WRITERS = 8


def leftovers(root: Path) -> list[str]:
    """What lies where nothing should be left."""
    return [path.name for name in ("staging", "trash") for path in (root / name).iterdir()]


def test_published_frames_are_leased_and_readable(cache: Cache, key: str, put: Put) -> None:
    with put(cache, key, hold=True) as frames:
        assert frames.delivery is Delivery.PUBLISHED
        assert [Path(path).read_bytes() for path in frames] == [b"frame 1", b"frame 2", b"frame 3"]


def test_nothing_is_visible_before_the_publish(
    cache: Cache, root: Path, key: str, frames: dict[str, bytes]
) -> None:
    with cache.stage(key) as area:
        for name, data in frames.items():
            Path(area.path, name).write_bytes(data)
        assert list((root / "v1").iterdir()) == []


def test_published_frames_are_read_only(cache: Cache, root: Path, key: str, put: Put) -> None:
    put(cache, key)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (root / "v1" / key).iterdir()}
    assert modes == {0o444}


def test_frame_that_its_owner_cannot_read_becomes_readable(
    cache: Cache, key: str, frames: dict[str, bytes], hit: Hit
) -> None:
    with cache.stage(key) as area:
        for name, data in frames.items():
            Path(area.path, name).write_bytes(data)
            Path(area.path, name).chmod(0)
        area.publish().release()
    with hit(cache, key) as found:
        assert {stat.S_IMODE(os.stat(path).st_mode) for path in found} == {0o444}


def test_second_writer_adopts(cache: Cache, root: Path, key: str, put: Put) -> None:
    put(cache, key, {"f1": b"first"})
    with put(cache, key, {"f1": b"second"}, hold=True) as frames:
        assert (frames.delivery, frames.read(0)) == (Delivery.ADOPTED, b"first")
    assert leftovers(root) == []


def test_publish_after_abandon_is_as_if_nothing_had_been(
    cache: Cache, root: Path, key: str, put: Put
) -> None:
    with cache.stage(key) as area:
        Path(area.path, "f1").write_bytes(b"given up")
    assert leftovers(root) == []
    assert put(cache, key).delivery is Delivery.PUBLISHED


def test_error_inside_the_staging_abandons_it(cache: Cache, root: Path, key: str) -> None:
    with pytest.raises(ZeroDivisionError), cache.stage(key):
        raise ZeroDivisionError
    assert leftovers(root) == []


def test_name_that_is_no_key_is_not_staged(cache: Cache, root: Path) -> None:
    with pytest.raises(KeyInputError):
        cache.stage("../escape")
    assert leftovers(root) == []


def test_of_many_processes_exactly_one_publishes(
    root: Path, cache: Cache, key: str, child: Child, hit: Hit
) -> None:
    writers = [
        child(
            """
cache = Cache.open(sys.argv[1])
area = fill(cache.stage(KEY), {f"f{n}": sys.argv[2].encode() for n in range(20)})
say("staged"); hear()
with area.publish() as frames:
    say(frames.delivery, len({frames.read(n) for n in range(20)}), frames.read(0).decode())
""",
            root,
            number,
        )
        for number in range(WRITERS)
    ]
    for writer in writers:
        assert writer.heard() == "staged"
    for writer in writers:
        writer.tell()
    said = [writer.heard().split() for writer in writers]
    assert sorted(words[0] for words in said) == ["adopted"] * (WRITERS - 1) + ["published"]
    winner = next(words[2] for words in said if words[0] == "published")
    assert {(words[1], words[2]) for words in said} == {("1", winner)}
    assert [writer.ended() for writer in writers] == [0] * WRITERS
    with hit(cache, key) as found:
        assert found.read(0).decode() == winner
    assert leftovers(root) == []


def test_staging_of_concurrent_writers_does_not_collide(cache: Cache, key: str) -> None:
    areas = [cache.stage(key) for _ in range(20)]
    assert len({area.path for area in areas}) == 20
    for area in areas:
        area.abandon()


# --- what cannot be published


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"frame_1.png": b"x", "frame_3.png": b"x"},
        {"frame_1.png": b"x", "frame_01.png": b"x"},
        {"frame_1.png": b"x", "frame_2.png": b""},
        {"frame_1.png": b"x", "frame_2.jpg": b"x"},
        {"notes.txt": b"x"},
    ],
    ids=str,
)
def test_what_is_no_entry_is_refused_and_leaves_nothing(
    cache: Cache, root: Path, key: str, put: Put, files: dict[str, bytes]
) -> None:
    with pytest.raises(InvalidEntryError):
        put(cache, key, files)
    assert leftovers(root) == []
    assert list((root / "v1").iterdir()) == []


@pytest.mark.parametrize(
    "make",
    [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/etc/passwd")],
    ids=["directory", "fifo", "symlink"],
)
def test_what_is_no_regular_file_is_refused(
    cache: Cache, root: Path, key: str, make: Callable[[Path], None]
) -> None:
    with cache.stage(key) as area:
        make(Path(area.path, "frame_1.png"))
        with pytest.raises(InvalidEntryError, match="regular"):
            area.publish()
    assert leftovers(root) == []


def test_work_can_be_mended_after_a_refusal(cache: Cache, key: str) -> None:
    with cache.stage(key) as area:
        Path(area.path, "f1").write_bytes(b"one")
        Path(area.path, "f3").write_bytes(b"three")
        with pytest.raises(InvalidEntryError, match="gap"):
            area.publish()
        Path(area.path, "f2").write_bytes(b"two")
        with area.publish() as frames:
            assert (frames.delivery, frames.read(1)) == (Delivery.PUBLISHED, b"two")


# --- unpublished


def test_entry_larger_than_the_budget_is_delivered_unpublished(
    open_cache: OpenCache, root: Path, key: str, key_of: Callable[[int], str], put: Put, hit: Hit
) -> None:
    cache = open_cache(budget_bytes=1000)
    put(cache, key_of(1), {"f1": b"small"})
    frames = put(cache, key, {"f1": bytes(1001)}, hold=True)
    assert frames.failure is not None
    assert frames.failure.reason is UnpublishedReason.TOO_LARGE
    assert frames.read(0) == bytes(1001)
    frames.release()
    assert leftovers(root) == []
    hit(cache, key_of(1)).release()


def test_budget_of_zero_is_not_too_small_to_publish(
    open_cache: OpenCache, key: str, put: Put
) -> None:
    assert put(open_cache(budget_bytes=0), key).delivery is Delivery.PUBLISHED


LIMIT = """
import resource
cache = Cache.open(sys.argv[1])
frames = {{f"frame_{{n:05d}}.png": b"%d" % n for n in range(500)}}
area = fill(cache.stage(KEY), frames)
resource.setrlimit(resource.{limit}, ({size}, resource.RLIM_INFINITY))
got = area.publish()
resource.setrlimit(resource.{limit}, (resource.RLIM_INFINITY if {size} > 9 else 512,) * 2)
say(got.delivery, got.failure.errno_name, got.failure.step, got.failure.reason)
say(all(got.read(n) == b"%d" % n for n in range(500)), os.path.isdir(got.directory))
say(cache.lookup(KEY).reason)
got.release()
say(os.listdir(os.path.join(sys.argv[1], "staging")), os.listdir(os.path.join(sys.argv[1], "v1")))
with fill(cache.stage(KEY), frames).publish() as again: say(again.delivery)
"""


def test_disk_that_fills_up_inside_the_manifest_leaves_readable_frames_and_no_entry(
    root: Path, child: Child
) -> None:
    # A limit of 4096 bytes a file: the manifest's write is short first and fails at the next one.
    writer = child(LIMIT.format(limit="RLIMIT_FSIZE", size=4096), root)
    assert writer.heard() == "unpublished EFBIG seal errno"
    assert writer.heard() == "True True"
    assert writer.heard() == "absent"
    assert writer.heard() == "[] []"
    assert writer.heard() == "published"


def test_root_that_is_deleted_before_the_publish_is_no_entry_of_the_next(
    cache: Cache, root: Path, key: str, frames: dict[str, bytes], put: Put
) -> None:
    area = cache.stage(key)
    for name, data in frames.items():
        Path(area.path, name).write_bytes(data)
    root.rename(root.with_name("moved"))  # a deletion that has not come to our files yet
    root.mkdir(mode=0o700)
    with area.publish() as got:
        assert [got.read(index) for index in range(3)] == list(frames.values())
    assert put(cache, key).delivery is Delivery.PUBLISHED


def test_stage_without_descriptors_leaves_no_directory(root: Path, child: Child) -> None:
    writer = child(
        """
import resource, tempfile
tempfile.tempdir = sys.argv[2]
cache = Cache.open(sys.argv[1])
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
try: cache.stage(KEY)
except OSError as error: say(errno.errorcode[error.errno])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
say(os.listdir(os.path.join(sys.argv[1], "staging")))
say([name for name in os.listdir(sys.argv[2]) if name.startswith("untorn-")])
""",
        root,
        root.parent,
    )
    assert writer.heard() == "EMFILE"
    assert writer.heard() == "[]"
    assert writer.heard() == "[]"


def test_publish_counts_its_outcomes(cache: Cache, key: str, put: Put) -> None:
    put(cache, key)
    put(cache, key)
    counters = cache.stats().counters
    assert (counters["published"], counters["adopted"]) == (1, 1)


def test_publishes_leak_no_descriptor(
    cache: Cache, key: str, put: Put, descriptors: Callable[[], int]
) -> None:
    before = descriptors()
    put(cache, key)
    put(cache, key)
    with pytest.raises(InvalidEntryError):
        put(cache, key, {})
    assert descriptors() == before


def test_failure_names_its_step(open_cache: OpenCache, key: str, put: Put) -> None:
    with put(open_cache(budget_bytes=1), key, hold=True) as frames:
        assert frames.failure is not None
        assert (frames.failure.step, frames.failure.errno_name) == (Step.SEAL, None)
