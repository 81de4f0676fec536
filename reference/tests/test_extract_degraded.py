"""Extract when something is wrong with the cache: the same bytes all the same (D1, D4, R5)."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from untorn import (
    Cache,
    DecoderError,
    Delivery,
    FrameFormat,
    Frames,
    Request,
    SourceChangedError,
    estimate,
    publish,
    space,
    staging,
)

OpenCache = Callable[..., Cache]
Child = Callable[..., Any]


def short(path: Path | str) -> Request:
    """Six frames."""
    return Request(clip=path, fps=30, duration="0.2")


def data_of(frames: Frames) -> list[bytes]:
    return [frames.read(index) for index in range(len(frames))]


def test_cache_that_is_off_delivers_the_same_bytes(
    sdr: Path, expected: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    off = Cache.open(environ={"UNTORN_CACHE_DIR": "off"})
    for _ in range(3):
        with off.extract(short(sdr)) as frames:
            assert (frames.delivery, data_of(frames)) == (Delivery.UNCACHED, expected)
            assert len(off.degraded) < 100
        assert not os.path.exists(frames.directory)
    assert caplog.records == []


def test_cache_that_cannot_be_used_delivers_the_same_bytes(
    open_cache: OpenCache, sdr: Path, expected: list[bytes]
) -> None:
    unusable = open_cache(sdr / "root")
    with unusable.extract(short(sdr)) as frames:
        assert (frames.delivery, data_of(frames)) == (Delivery.UNCACHED, expected)
        assert frames.failure is not None


def test_root_that_is_deleted_during_the_decode_means_the_same_bytes(
    cache: Cache, sdr: Path, decoder: Any, root: Path, expected: list[bytes]
) -> None:
    decoder.script(after=f"rm -rf '{root}'")
    with cache.extract(short(sdr)) as frames:
        assert (frames.delivery, data_of(frames)) == (Delivery.UNCACHED, expected)
    decoder.script()
    with cache.extract(short(sdr)) as frames:
        assert frames.delivery is Delivery.PUBLISHED


@pytest.mark.parametrize(
    ("module", "step"),
    [(staging, "seal"), (staging, "_write_manifest"), (publish, "publish")],
    ids=["list", "seal", "rename"],
)
@pytest.mark.usefixtures("decoder")
def test_root_that_is_deleted_during_the_publish_means_the_same_bytes(
    cache: Cache,
    sdr: Path,
    root: Path,
    expected: list[bytes],
    just_before: Callable[..., None],
    module: object,
    step: str,
) -> None:
    just_before(module, step, lambda: shutil.rmtree(root))
    with cache.extract(short(sdr)) as frames:
        assert (frames.delivery, data_of(frames)) == (Delivery.UNCACHED, expected)


def test_hit_whose_frames_were_taken_is_extracted_again_once(
    cache: Cache, sdr: Path, decoder: Any, expected: list[bytes]
) -> None:
    with cache.extract(short(sdr)) as frames:
        entry = Path(frames.directory)
    status = entry.stat()
    (entry / "frame_00001.png").unlink()
    os.utime(entry, ns=(status.st_atime_ns, status.st_mtime_ns))
    before = decoder.decodes()
    with cache.extract(short(sdr)) as frames:
        assert (frames.delivery, data_of(frames)) == (Delivery.PUBLISHED, expected)
    counters = cache.stats().counters
    assert decoder.decodes() == before + 1
    assert (counters["re_extracted"], counters["evicted_under_reader"]) == (1, 1)


def test_frames_outside_of_the_cache_need_room_as_well(
    sdr: Path, decoder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether there is any is looked at before the decoder starts, and nothing is left."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    with Cache.open(environ={"UNTORN_CACHE_DIR": "off"}) as off:
        monkeypatch.setattr(estimate, "_BYTES_PER_RAW", {FrameFormat.PNG: 1e12})
        with pytest.raises(DecoderError, match=f"{tmp_path}/tmp is short of [0-9]+ bytes"):
            off.extract(short(sdr))
        assert (decoder.decodes(), list((tmp_path / "tmp").iterdir())) == (0, [])
        monkeypatch.undo()
        off.extract(short(sdr)).release()


def test_nothing_is_evicted_for_room_that_eviction_cannot_make(
    open_cache: OpenCache, sdr: Path, put: Callable[..., Frames], key: str, key_of: Any
) -> None:
    """Somebody has promised himself more than the disk holds."""
    cache = open_cache(min_age_s=0)
    put(cache, key_of(1))
    with cache.stage(key) as other:
        space.reserve(other.work, space.Need(size=1 << 60, files=1))  # type: ignore[arg-type]
        with cache.extract(short(sdr)) as frames:
            assert frames.delivery is Delivery.UNCACHED
    stats = cache.stats()
    assert (stats.entries, stats.counters.get("collected", 0)) == (1, 0)


def test_entry_that_was_thinned_is_replaced(cache: Cache, sdr: Path, expected: list[bytes]) -> None:
    with cache.extract(short(sdr)) as frames:
        entry = Path(frames.directory)
    (entry / "frame_00003.png").unlink()
    with cache.extract(short(sdr)) as frames:
        assert (frames.delivery, data_of(frames)) == (Delivery.PUBLISHED, expected)


def test_flipped_byte_is_counted_once_and_replaced(
    open_cache: OpenCache, sdr: Path, expected: list[bytes]
) -> None:
    careful = open_cache(verify=True)
    with careful.extract(short(sdr)) as frames:
        frame = Path(frames.paths[2])
    status = frame.stat()
    frame.chmod(0o600)
    frame.write_bytes(frame.read_bytes()[:-1] + b"\0")
    os.utime(frame, ns=(status.st_atime_ns, status.st_mtime_ns))
    with careful.extract(short(sdr)) as frames:
        assert (frames.delivery, data_of(frames)) == (Delivery.PUBLISHED, expected)
    assert careful.stats().counters["verify_failed"] == 1


def test_disk_that_is_promised_to_others_means_uncached(
    cache: Cache, sdr: Path, key: str, expected: list[bytes]
) -> None:
    with cache.stage(key) as other:
        space.reserve(other.work, space.Need(size=1 << 60, files=1))  # type: ignore[arg-type]
        with cache.extract(short(sdr)) as frames:
            assert (frames.delivery, data_of(frames)) == (Delivery.UNCACHED, expected)
            assert frames.failure is not None
            assert frames.failure.errno_name == "ENOSPC"
    with cache.extract(short(sdr)) as frames:
        assert frames.delivery is Delivery.PUBLISHED


def test_limit_that_hits_the_decoder_is_its_own_error_and_leaves_nothing(
    root: Path, sdr: Path, decoder: Any, child: Child
) -> None:
    one = child(
        """
import resource
from untorn import Request
cache = Cache.open(sys.argv[1])
request = Request(clip=sys.argv[2], fps=30, duration="0.2")
resource.setrlimit(resource.RLIMIT_FSIZE, (12288, resource.RLIM_INFINITY))
try: cache.extract(request)
except DecoderError as error: say(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
say(*os.listdir(sys.argv[1] + "/staging"), *os.listdir(sys.argv[1] + "/v1"))
with cache.extract(request) as frames: say(frames.delivery)
""",
        root,
        sdr,
        UNTORN_FFMPEG=str(decoder.path),
    )
    assert "the decoder failed" in one.heard()
    assert one.heard() == ""
    assert one.heard() == "published"


def test_extracts_that_fail_leak_no_descriptor(
    cache: Cache, sdr: Path, decoder: Any, root: Path, descriptors: Callable[[], int]
) -> None:
    cache.extract(short(sdr)).release()
    before = descriptors()
    decoder.script(before="exit 1")
    with pytest.raises(DecoderError):
        cache.extract(short(sdr))
    decoder.script(after=f"echo more >> '{sdr}'")
    with pytest.raises(SourceChangedError):
        cache.extract(short(sdr))
    decoder.script(after=f"rm -rf '{root}'")
    cache.extract(short(sdr)).release()
    cache.lookup("0" * 64)
    assert descriptors() == before
