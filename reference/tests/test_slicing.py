"""Slices: a range that a longer entry holds is cut out of it, as an entry of its own (X2)."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from untorn import Cache, Collected, Delivery, Frames, Request, cadence, slicing, spans
from untorn.key import KeyInputs
from untorn.superset import Offset

OpenCache = Callable[..., Cache]
WHOLE = {"fps": 30}
PART = {"fps": 30, "start": "0.5", "duration": "0.4"}


def request(path: Path, **axes: Any) -> Request:
    return Request(clip=path, **axes)


def data_of(frames: Frames) -> list[bytes]:
    return [frames.read(index) for index in range(len(frames))]


def count(cache: Cache, name: str) -> int:
    return cache.stats().counters.get(name, 0)


def test_a_contained_range_is_cut_and_not_decoded(
    cache: Cache, sdr: Path, decoder: Any, alone: list[bytes], whole_key: str
) -> None:
    before = decoder.decodes()
    with cache.extract(request(sdr, **PART)) as part:
        assert (part.delivery, part.failure) == (Delivery.PUBLISHED, None)
        assert part.names == tuple(f"frame_{number:05d}.png" for number in range(1, 13))
        assert data_of(part) == alone
        assert (part.key != whole_key, part.is_slice) == (True, True)
    assert decoder.decodes() == before
    assert (count(cache, "sliced"), count(cache, "extracted")) == (1, 1)
    with cache.extract(request(sdr, **PART)) as again:
        assert (again.delivery, data_of(again), again.is_slice) == (Delivery.HIT, alone, False)


@pytest.mark.usefixtures("alone")
def test_a_slice_of_jpgs_has_the_bytes_of_a_decode(
    cache: Cache, open_cache: OpenCache, sdr: Path, tmp_path: Path
) -> None:
    part = {**PART, "format": "jpg", "quality": 70}
    cache.extract(request(sdr, fps=30, format="jpg", quality=70)).release()
    with (
        cache.extract(request(sdr, **part)) as cut,
        open_cache(tmp_path / "other").extract(request(sdr, **part)) as decoded,
    ):
        assert data_of(cut) == data_of(decoded)
    assert count(cache, "sliced") == 1


@pytest.mark.parametrize(
    "axes",
    [
        {"fps": 30, "start": "0.51", "duration": "0.4"},
        {"fps": 25, "start": "0.48", "duration": "0.4"},
        {"fps": 30, "start": "0.5", "duration": "0.4", "format": "jpg"},
    ],
    ids=["between two frames", "another rate", "another format"],
)
@pytest.mark.usefixtures("whole_key")
def test_what_is_no_slice_is_decoded(
    cache: Cache, open_cache: OpenCache, sdr: Path, tmp_path: Path, axes: dict[str, Any]
) -> None:
    with (
        cache.extract(request(sdr, **axes)) as part,
        open_cache(tmp_path / "other").extract(request(sdr, **axes)) as decoded,
    ):
        assert data_of(part) == data_of(decoded)
    assert count(cache, "sliced") == 0


@pytest.mark.usefixtures("whole_key")
def test_a_hit_asks_nothing_of_the_index(
    cache: Cache, sdr: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.extract(request(sdr, **PART)).release()
    asked: list[object] = []
    real = spans.recall

    def recall(*given: Any) -> list[KeyInputs]:
        asked.append(given)
        return real(*given)

    monkeypatch.setattr(spans, "recall", recall)
    cache.extract(request(sdr, **PART)).release()
    assert asked == []
    cache.extract(request(sdr, **{**PART, "start": "0.6"})).release()
    assert len(asked) == 1


# --- shared inodes


def inodes(root: Path, key: str) -> set[int]:
    return {path.stat().st_ino for path in (root / "v1" / key).glob("frame_*")}


def on_disk(root: Path) -> tuple[int, int]:
    """Entries, and the bytes of every name below them: st_size per link."""
    entries = list((root / "v1").iterdir())
    return len(entries), sum(file.stat().st_size for each in entries for file in each.iterdir())


def counted(cache: Cache) -> tuple[int, int]:
    stats = cache.stats()
    return stats.entries, stats.entry_bytes


def test_a_slice_is_links_that_are_sealed_like_any_entry(
    cache: Cache, sdr: Path, root: Path, whole_key: str
) -> None:
    with cache.extract(request(sdr, **PART)) as part:
        assert inodes(root, part.key) < inodes(root, whole_key)
        for path in part.paths:
            status = os.stat(path)
            assert (stat.S_IMODE(status.st_mode), status.st_nlink) == (0o444, 2)
    assert not list((root / "staging").iterdir())


@pytest.mark.parametrize("goes", ["whole", "part"])
def test_either_side_may_be_evicted_and_the_count_is_what_is_on_disk(
    cache: Cache, open_cache: OpenCache, sdr: Path, root: Path, whole_key: str, goes: str
) -> None:
    with cache.extract(request(sdr, **PART)) as part:
        part_key, data = part.key, data_of(part)
    assert counted(cache) == on_disk(root)
    held = cache.lookup(part_key if goes == "whole" else whole_key)
    assert isinstance(held, Frames)
    with held:
        freed = cache.collect(budget_bytes=0, min_age_s=0)
        assert isinstance(freed, Collected)
        assert (freed.evicted, freed.freed_bytes > 0) == (1, True)
        assert counted(cache) == on_disk(root)
        assert set(data) <= set(data_of(held))
    stranger = open_cache(recency_resolution_s=0)
    with stranger.extract(request(sdr, **PART)) as again:
        assert data_of(again) == data
    cache.collect(budget_bytes="unlimited")
    assert counted(cache) == on_disk(root)
    last = cache.collect(budget_bytes=0, min_age_s=0)
    assert isinstance(last, Collected)
    assert last.evicted == (1 if goes == "whole" else 2)
    assert counted(cache) == on_disk(root) == (0, 0)


@pytest.mark.usefixtures("whole_key")
def test_the_longer_entry_is_whole_still_after_slices_and_ages(
    cache: Cache, open_cache: OpenCache, sdr: Path, whole_key: str
) -> None:
    cache.extract(request(sdr, **PART)).release()
    closely = open_cache(recency_resolution_s=0)
    for _ in range(2):
        found = closely.lookup(whole_key)
        assert isinstance(found, Frames), found
        found.release()


# --- what may be wrong with the longer entry


def cut_short(path: Path) -> None:
    path.chmod(0o644)
    os.truncate(path, 10)


def write_anew(path: Path) -> None:
    """Other bytes of the same size, written after the seal."""
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(data[:-1] + b"?")
    path.chmod(0o444)


def replace_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("frame_00001.png")


@pytest.mark.parametrize("harm", [cut_short, write_anew, Path.unlink, replace_by_link])
def test_a_damaged_longer_entry_is_not_cut_from(
    cache: Cache,
    sdr: Path,
    root: Path,
    alone: list[bytes],
    whole_key: str,
    harm: Callable[[Path], None],
    just_before: Callable[..., None],
) -> None:
    """Harmed after it was leased and believed, just before it is cut."""
    victim = root / "v1" / whole_key / "frame_00020.png"
    just_before(slicing, "publish", lambda: harm(victim))
    with cache.extract(request(sdr, **PART)) as part:
        assert data_of(part) == alone
    assert (count(cache, "sliced"), count(cache, "extracted")) == (0, 2)
    assert count(cache, "slice_failed") == 1
    assert not list((root / "staging").iterdir())


def test_an_evicted_longer_entry_costs_a_decode(
    cache: Cache, sdr: Path, alone: list[bytes], whole_key: str
) -> None:
    cache.collect(budget_bytes=0, min_age_s=0)
    assert not cache.lookup(whole_key)
    with cache.extract(request(sdr, **PART)) as part:
        assert data_of(part) == alone
    assert (count(cache, "sliced"), count(cache, "slice_failed")) == (0, 0)


@pytest.mark.usefixtures("whole_key")
def test_the_longer_entry_is_leased_while_it_is_cut(
    cache: Cache, open_cache: OpenCache, sdr: Path, just_before: Callable[..., None]
) -> None:
    collector = open_cache()
    said: list[Any] = []
    just_before(
        os, "link", lambda: said.append(collector.collect(budget_bytes=0, min_age_s=0)), call=3
    )
    cache.extract(request(sdr, **PART)).release()
    assert [(each.evicted, dict(each.protected)) for each in said] == [(0, {"leased": 1})]
    assert count(cache, "sliced") == 1


def test_a_clip_that_changes_while_it_is_looked_at_is_asked_for_anew(
    cache: Cache, sdr: Path, whole_key: str, just_before: Callable[..., None]
) -> None:
    just_before(cadence, "holds", lambda: os.utime(sdr, (1, 1)))
    with cache.extract(request(sdr, **PART)) as part:
        assert part.delivery is Delivery.PUBLISHED
    assert count(cache, "source_changed") == 1
    assert (count(cache, "sliced"), count(cache, "extracted"), bool(whole_key)) == (0, 2, True)


# --- what may be wrong with the index


def occupy(path: Path) -> None:
    path.unlink()
    path.mkdir()


def plant(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


@pytest.mark.parametrize("harm", [occupy, plant])
@pytest.mark.usefixtures("whole_key")
def test_an_index_that_cannot_be_read_costs_a_decode_and_one_warning(
    cache: Cache,
    sdr: Path,
    root: Path,
    alone: list[bytes],
    harm: Callable[[Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    harm(root / "ctl" / "spans")
    for start in ("0.5", "0.6"):
        with cache.extract(request(sdr, **{**PART, "start": start})) as part:
            assert part.delivery is Delivery.PUBLISHED
            assert start != "0.5" or data_of(part) == alone
    assert (count(cache, "sliced"), count(cache, "extracted")) == (0, 3)
    assert count(cache, "slice_failed") == 4  # neither read nor noted, twice
    assert len([each for each in caplog.records if "longer ones" in each.message]) == 1


# --- links that are refused


@pytest.mark.parametrize("name", ["EPERM", "EMLINK", "ENOTSUP", "EXDEV"])
@pytest.mark.usefixtures("whole_key")
def test_where_links_are_refused_frames_are_copied(
    cache: Cache,
    sdr: Path,
    root: Path,
    alone: list[bytes],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_given: object, **_named: object) -> None:
        raise OSError(getattr(errno, name), name)

    monkeypatch.setattr(os, "link", refuse)
    with cache.extract(request(sdr, **PART)) as part:
        assert data_of(part) == alone
        assert {os.stat(path).st_nlink for path in part.paths} == {1}
    assert (count(cache, "sliced"), count(cache, "slice_copied")) == (1, 12)
    assert counted(cache) == on_disk(root)
    assert any("copied" in each.message for each in caplog.records)


def test_frames_of_another_device_are_copied(cache: Cache, root: Path, key: str) -> None:
    """A real EXDEV: the source lies in memory."""
    elsewhere = Path("/dev/shm")
    cache.access.root()
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == root.stat().st_dev:
        pytest.skip("UNKNOWN: no second file system here")
    folder = elsewhere / f"untorn-test-slices-{os.getpid()}"
    folder.mkdir()
    try:
        data = [b"one", b"two", b"three!"]
        for number, each in enumerate(data, start=7):
            (folder / f"frame_{number:05d}.png").write_bytes(each)
        source = source_of(folder)
        try:
            frames = slicing.publish(
                cache.access, cache._upkeep, source, Offset(first=1, count=2), key
            )
        finally:
            os.close(source.fd)
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    assert frames is not None
    with frames:
        assert (frames.names, data_of(frames)) == (("frame_00001.png", "frame_00002.png"), data[1:])
    assert count(cache, "slice_copied") == 2


def source_of(folder: Path) -> slicing.Source:
    names = sorted(path.name for path in folder.iterdir())
    states = [(folder / name).stat() for name in names]
    return slicing.Source(
        os.open(folder, os.O_RDONLY),
        names,
        [each.st_size for each in states],
        max(each.st_mtime_ns for each in states),
    )


def test_a_slice_past_99999_is_numbered_from_one_and_widens(
    cache: Cache, tmp_path: Path, key: str
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(99_998, 100_003):
        (folder / f"frame_{number:05d}.jpg").write_bytes(b"%d" % number)
    source = source_of(folder)
    ordered = source._replace(names=sorted(source.names, key=len), sizes=sorted(source.sizes))
    try:
        frames = slicing.publish(
            cache.access, cache._upkeep, ordered, Offset(first=1, count=3), key
        )
    finally:
        os.close(source.fd)
    assert frames is not None
    with frames:
        assert frames.names == tuple(f"frame_0000{number}.jpg" for number in (1, 2, 3))
        assert data_of(frames) == [b"99999", b"100000", b"100001"]
