"""The root: made safe, refused where it is not, and found again after it was taken away."""

import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from untorn import Cache, Collected, Delivery, EvictedError, Frames, MissReason, RootRefusedError
from untorn.root import open_root

OpenCache = Callable[..., Cache]
Put = Callable[..., Frames]
BELOW = ["v1", "staging", "trash", "ctl"]


@pytest.fixture
def loose_umask() -> Any:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("loose_umask")
def test_root_is_made_for_its_owner_alone(open_cache: OpenCache, root: Path) -> None:
    open_cache()
    assert [stat.S_IMODE((root / name).stat().st_mode) for name in (".", *BELOW)] == [0o700] * 5


def test_missing_parents_are_made(open_cache: OpenCache, tmp_path: Path) -> None:
    assert not open_cache(tmp_path / "a" / "b" / "root").degraded


def test_root_tells_backup_tools_to_pass_by(open_cache: OpenCache, root: Path) -> None:
    open_cache()
    assert (root / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806")


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755])
def test_root_that_others_may_only_read_is_used(
    open_cache: OpenCache, root: Path, mode: int
) -> None:
    root.mkdir()
    root.chmod(mode)
    assert not open_cache().degraded


def a_file(root: Path) -> None:
    root.write_text("mine")


def a_symlink(root: Path) -> None:
    (root.parent / "elsewhere").mkdir(mode=0o700)
    root.symlink_to(root.parent / "elsewhere")


def a_dangling_symlink(root: Path) -> None:
    root.symlink_to(root.parent / "nowhere")


def a_fifo(root: Path) -> None:
    os.mkfifo(root)


def writable_by_the_group(root: Path) -> None:
    root.mkdir()
    root.chmod(0o770)


def writable_by_all(root: Path) -> None:
    root.mkdir()
    root.chmod(0o1777)


def a_symlink_below(root: Path) -> None:
    (root.parent / "elsewhere").mkdir(mode=0o700)
    root.mkdir(mode=0o700)
    (root / "trash").symlink_to(root.parent / "elsewhere")


def a_file_below(root: Path) -> None:
    root.mkdir(mode=0o700)
    (root / "ctl").write_text("mine")


def writable_below(root: Path) -> None:
    root.mkdir(mode=0o700)
    (root / "v1").mkdir()
    (root / "v1").chmod(0o777)


UNSAFE = [
    a_file,
    a_symlink,
    a_dangling_symlink,
    a_fifo,
    writable_by_the_group,
    writable_by_all,
    a_symlink_below,
    a_file_below,
    writable_below,
]
unsafe = pytest.mark.parametrize("make", UNSAFE, ids=lambda make: make.__name__)


@unsafe
def test_unsafe_root_that_somebody_chose_is_refused(
    root: Path, make: Callable[[Path], None]
) -> None:
    make(root)
    with pytest.raises(RootRefusedError, match=str(root)):
        Cache.open(root)


@unsafe
def test_refusal_leaves_no_descriptor(
    root: Path, make: Callable[[Path], None], descriptors: Callable[[], int]
) -> None:
    make(root)
    before = descriptors()
    with pytest.raises(RootRefusedError):
        open_root(str(root))
    assert descriptors() == before


def test_unsafe_root_of_the_environment_is_refused(root: Path) -> None:
    writable_by_all(root)
    with pytest.raises(RootRefusedError):
        Cache.open(environ={"UNTORN_CACHE_DIR": str(root)})


def test_unsafe_default_root_means_uncached_and_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, key: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    writable_by_all(tmp_path / f"untorn-{os.getuid()}")
    with Cache.open(environ={}) as cache:
        for _ in range(3):
            assert not cache.lookup(key)
        assert "written by group or others" in cache.degraded
    assert len(caplog.records) == 1


def test_symlink_below_is_not_followed(root: Path) -> None:
    a_symlink_below(root)
    with pytest.raises(RootRefusedError):
        Cache.open(root)
    assert list((root.parent / "elsewhere").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="UNKNOWN: only root can give a directory away")
@pytest.mark.parametrize("name", [".", *BELOW])
def test_root_of_another_user_is_refused(
    open_cache: OpenCache, root: Path, nobody: int, name: str
) -> None:
    open_cache().close()
    os.chown(root / name, nobody, -1)
    with pytest.raises(RootRefusedError, match=f"belongs to user {nobody}"):
        Cache.open(root)


@pytest.mark.skipif(os.geteuid() != 0, reason="UNKNOWN: it takes two users")
def test_roots_root_is_refused_to_another_user(
    child: Callable[..., Any], open_path: Path, nobody: int
) -> None:
    (open_path / "root").mkdir(mode=0o755)
    other = child(
        """
try: Cache.open(sys.argv[1])
except RootRefusedError as error: say(error)
""",
        open_path / "root",
        uid=nobody,
    )
    assert "belongs to user 0" in other.heard()


def test_root_that_cannot_be_made_means_uncached(
    open_cache: OpenCache, tmp_path: Path, key: str
) -> None:
    (tmp_path / "file").touch()
    cache = open_cache(tmp_path / "file" / "root")
    assert cache.lookup(key).reason is MissReason.UNREADABLE  # type: ignore[union-attr]
    assert "Not a directory" in cache.degraded or "File exists" in cache.degraded


def test_uncached_frames_are_delivered_and_removed(
    open_cache: OpenCache, tmp_path: Path, key: str, put: Put
) -> None:
    (tmp_path / "file").touch()
    frames = put(open_cache(tmp_path / "file" / "root"), key, hold=True)
    assert (frames.delivery, frames.read(2)) == (Delivery.UNCACHED, b"frame 3")
    frames.release()
    assert not os.path.exists(frames.directory)


def test_unwritable_parent_means_uncached_with_one_warning(
    child: Callable[..., Any], open_path: Path, nobody: int
) -> None:
    open_path.chmod(0o555)
    one = child(
        """
import logging
records = []
class Keep(logging.Handler):
    def emit(self, record): records.append(record)
logging.getLogger("untorn").addHandler(Keep())
cache = Cache.open(sys.argv[1])
for _ in range(3): cache.lookup(KEY)
with fill(cache.stage(KEY)).publish() as frames: say(frames.delivery, frames.read(0).decode())
say(len(records), cache.stats().counters["degraded.EACCES"] > 3)
""",
        open_path / "root",
        uid=nobody,
    )
    assert (one.heard(), one.heard()) == ("uncached frame 1", "1 True")


def test_read_only_root_serves_what_it_has_and_delivers_the_rest_uncached(
    child: Callable[..., Any], open_path: Path, nobody: int
) -> None:
    one = child(
        """
root = sys.argv[1]
with Cache.open(root) as cache: fill(cache.stage(KEY)).publish().release()
os.utime(os.path.join(root, "v1", KEY), (1, 1))
for name in ("v1", "staging", "trash", "ctl", "."): os.chmod(os.path.join(root, name), 0o500)
with Cache.open(root, min_age_s=0) as cache:
    with cache.lookup(KEY) as hit: say(hit.delivery, hit.read(0).decode())
    with fill(cache.stage("d" * 64)).publish() as frames:
        failure = frames.failure
        say(frames.delivery, failure.errno_name, failure.step, frames.read(2).decode())
    say(cache.collect(budget_bytes=0))
    with cache.lookup(KEY) as hit: say(hit.delivery)
for name in (".", "v1", "staging", "trash", "ctl"): os.chmod(os.path.join(root, name), 0o700)
""",
        open_path / "root",
        uid=nobody,
    )
    assert one.heard() == "hit frame 1"
    assert one.heard() == "uncached EACCES stage frame 3"
    assert "over_budget_bytes=" in one.heard()
    assert one.heard() == "hit"
    assert one.ended() == 0


def test_root_that_is_deleted_mid_run_is_made_again(
    open_cache: OpenCache, root: Path, key: str, put: Put
) -> None:
    cache = open_cache()
    put(cache, key)
    shutil.rmtree(root)
    assert cache.lookup(key).reason is MissReason.ABSENT  # type: ignore[union-attr]
    assert put(cache, key).delivery is Delivery.PUBLISHED


def test_root_that_is_deleted_and_made_by_another_is_shared_with_it(
    open_cache: OpenCache, root: Path, key: str, put: Put
) -> None:
    cache = open_cache()
    shutil.rmtree(root)
    put(open_cache(), key)
    with cache.lookup(key) as hit:  # type: ignore[union-attr]
        assert hit.read(0) == b"frame 1"


def test_root_that_turns_unsafe_mid_run_is_refused(
    open_cache: OpenCache, root: Path, key: str
) -> None:
    cache = open_cache()
    shutil.rmtree(root)
    writable_by_all(root)
    with pytest.raises(RootRefusedError):
        cache.lookup(key)


@pytest.mark.parametrize("name", BELOW)
def test_directory_that_is_deleted_mid_run_is_made_again(
    open_cache: OpenCache, root: Path, key_of: Callable[[int], str], put: Put, name: str
) -> None:
    cache = open_cache(min_age_s=0)
    put(cache, key_of(1))
    shutil.rmtree(root / name)
    assert put(cache, key_of(2)).delivery is Delivery.PUBLISHED
    done = cache.collect(budget_bytes=0)
    assert isinstance(done, Collected)
    assert (done.evicted, list((root / "v1").iterdir())) == (1 if name == "v1" else 2, [])


@pytest.mark.parametrize("name", ["staging", "trash", "ctl"])
def test_collect_works_though_a_cleaner_took_an_empty_directory(
    open_cache: OpenCache, root: Path, key: str, put: Put, name: str
) -> None:
    cache = open_cache(min_age_s=0)
    put(cache, key)
    shutil.rmtree(root / name)
    done = cache.collect(budget_bytes=0)
    assert isinstance(done, Collected)
    assert done.evicted == 1


def test_publish_is_counted_though_a_cleaner_took_ctl(
    open_cache: OpenCache, root: Path, key: str, put: Put
) -> None:
    cache = open_cache()
    shutil.rmtree(root / "ctl")
    put(cache, key)
    assert cache.stats().entries == 1


def test_collectors_exclude_one_another_after_ctl_was_deleted(
    open_cache: OpenCache, root: Path, child: Callable[..., Any]
) -> None:
    cache = open_cache()
    shutil.rmtree(root / "ctl")
    other = child(
        """
cache = Cache.open(sys.argv[1])
fd = os.open(os.path.join(sys.argv[1], "ctl", "gc.lock"), os.O_RDWR)
syscalls.lock_exclusive(fd); say("locked"); hear()
""",
        root,
    )
    assert other.heard() == "locked"
    assert cache.collect().reason == "another-collector"  # type: ignore[union-attr]


def test_frames_that_are_deleted_while_held_are_evicted(
    cache: Cache, root: Path, key: str, put: Put
) -> None:
    with put(cache, key, hold=True) as frames:
        shutil.rmtree(root)
        with pytest.raises(EvictedError):
            frames.read(0)


def test_frames_stay_valid_after_close(cache: Cache, key: str, put: Put) -> None:
    with put(cache, key, hold=True) as frames:
        cache.close()
        assert Path(frames.paths[0]).read_bytes() == b"frame 1"


def test_closed_cache_leaves_no_descriptor(
    root: Path, key: str, put: Put, descriptors: Callable[[], int]
) -> None:
    before = descriptors()
    with Cache.open(root) as cache:
        put(cache, key)
        shutil.rmtree(root)
        put(cache, key)
    assert descriptors() == before


def test_cache_can_be_used_after_close(cache: Cache, key: str, put: Put) -> None:
    put(cache, key)
    cache.close()
    with cache.lookup(key) as hit:  # type: ignore[union-attr]
        assert len(hit) == 3


def test_two_caches_with_other_roots_do_not_mix(
    open_cache: OpenCache, tmp_path: Path, key: str, put: Put
) -> None:
    one, two = open_cache(tmp_path / "one"), open_cache(tmp_path / "two")
    put(one, key)
    assert two.lookup(key).reason is MissReason.ABSENT  # type: ignore[union-attr]
