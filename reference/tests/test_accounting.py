"""Counter, ledger and totals: hints that any damage leaves usable, and that a sweep heals."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from untorn import Cache, Frames, accounting, events, syscalls
from untorn.root import Root

Put = Callable[..., Frames]
KeyOf = Callable[[int], str]
Child = Callable[..., Any]


@pytest.fixture
def opened(cache: Cache) -> Root:
    """The cache's open root."""
    root = cache.access.root()
    assert root is not None
    return root


def size_of(root: Path, key: str) -> int:
    return sum(path.stat().st_size for path in (root / "v1" / key).iterdir())


def test_counter_follows_publishes(cache: Cache, root: Path, key_of: KeyOf, put: Put) -> None:
    put(cache, key_of(1))
    put(cache, key_of(2))
    put(cache, key_of(2))
    stats = cache.stats()
    assert (stats.entries, stats.entry_bytes) == (
        2,
        size_of(root, key_of(1)) + size_of(root, key_of(2)),
    )


@pytest.mark.parametrize(
    "text", [b"", b"\0", b"\xff" * 16, b"\x7f" * 16, (b"\xff" * 7 + b"\x7f") * 2, b"x" * 4096]
)
def test_damaged_counter_is_healed_by_the_next_sweep(
    cache: Cache, root: Path, key_of: KeyOf, put: Put, text: bytes
) -> None:
    put(cache, key_of(1))
    (root / "ctl" / "usage").write_bytes(text)
    put(cache, key_of(2))
    cache.collect(budget_bytes="unlimited")
    stats = cache.stats()
    total = size_of(root, key_of(1)) + size_of(root, key_of(2))
    assert (stats.entries, stats.entry_bytes) == (2, total)


def test_count_of_a_writer_that_died_before_it_counted_is_healed(
    cache: Cache, root: Path, key_of: KeyOf, put: Put, child: Child
) -> None:
    put(cache, key_of(1))
    writer = child(
        """
from untorn import upkeep
accounting.record = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
fill(Cache.open(sys.argv[1]).stage(KEY)).publish()
""",
        root,
    )
    writer.ended()
    assert cache.stats().entries == 1
    cache.collect()
    assert cache.stats().entries == 2


def test_stopped_process_that_is_counting_makes_no_publish_wait_for_it(
    cache: Cache, root: Path, key_of: KeyOf, put: Put, child: Child
) -> None:
    put(cache, key_of(1))
    other = child(
        """
fd = os.open(os.path.join(sys.argv[1], "ctl", "usage"), os.O_RDWR)
syscalls.lock_byte(fd, 0); say("counting"); hear()
""",
        root,
    )
    assert other.heard() == "counting"
    other.stop()
    assert put(cache, key_of(2)).delivery == "published"


def test_ledger_knows_the_sizes_of_entries(
    cache: Cache, opened: Root, root: Path, key: str, put: Put
) -> None:
    put(cache, key)
    assert accounting.read_ledger(opened).size_of(key) == size_of(root, key)


@pytest.mark.parametrize(
    "text",
    [
        b"+%s 123",
        b"+%s 12+%s 345\n",
        b"+%s\n",
        b"+%s x\n",
        b"%s 5\n",
        b"+%s -5\n",
        b"+%s 5 \n",
        b"\xff\x00\n\n+%s 9999999999999999\n",
        b"[" * 100_000,
    ],
    ids=lambda text: repr(text)[:20],
)
def test_ledgers_cut_or_joined_line_is_passed_over(
    opened: Root, root: Path, key: str, key_of: KeyOf, text: bytes
) -> None:
    good = b"+%s 77\n" % key_of(1).encode()
    torn = text.replace(b"%s", key.encode())
    (root / "ctl" / "ledger").write_bytes(good + torn)
    ledger = accounting.read_ledger(opened)
    assert (ledger.size_of(key_of(1)), ledger.size_of(key)) == (77, None)


@pytest.mark.parametrize("size", [1, 7, 84, 85, 1000])
def test_ledger_is_the_same_in_pieces_of_any_size(
    opened: Root, key_of: KeyOf, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    for number in range(5):
        accounting.record(opened, key_of(number), number + 1)
    monkeypatch.setattr(accounting, "_READ_BYTES", size)
    ledger = accounting.read_ledger(opened)
    assert [ledger.size_of(key_of(number)) for number in range(5)] == [1, 2, 3, 4, 5]
    assert ledger.lines == 5


def test_end_of_a_line_that_is_too_long_is_no_line(
    opened: Root, root: Path, key: str, key_of: KeyOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounting, "_READ_BYTES", 64)
    good = b"+%s 77\n" % key_of(1).encode()
    (root / "ctl" / "ledger").write_bytes(bytes(5000) + b"+%s 5\n" % key.encode() + good)
    ledger = accounting.read_ledger(opened)
    assert (ledger.size_of(key_of(1)), ledger.size_of(key)) == (77, None)


def test_last_size_of_a_key_counts(opened: Root, key: str) -> None:
    accounting.record(opened, key, 5)
    accounting.record(opened, key, 7)
    assert accounting.read_ledger(opened).size_of(key) == 7


def test_collect_without_a_ledger_reads_the_manifests(
    cache: Cache, root: Path, key: str, put: Put
) -> None:
    put(cache, key)
    (root / "ctl" / "ledger").unlink()
    done = cache.collect(budget_bytes="unlimited")
    assert done.entry_bytes == size_of(root, key)  # type: ignore[union-attr]


def test_long_ledger_is_shortened_to_what_lives(
    cache: Cache, opened: Root, root: Path, key: str, key_of: KeyOf, put: Put
) -> None:
    put(cache, key)
    for number in range(1100):
        accounting.record(opened, key_of(number), 1)
    inode = (root / "ctl" / "ledger").stat().st_ino
    cache.collect()
    ledger = accounting.read_ledger(opened)
    assert (ledger.lines, ledger.size_of(key)) == (1, size_of(root, key))
    assert (root / "ctl" / "ledger").stat().st_ino == inode


# --- totals of all processes


def test_counters_are_handed_in_at_the_close(
    cache: Cache, root: Path, key: str, child: Child
) -> None:
    for _ in range(2):
        child("with Cache.open(sys.argv[1]) as cache: cache.lookup(KEY)", root).ended()
    assert cache.stats().handed_in == {"miss.absent": 2}
    assert key


def test_processes_that_close_at_the_same_moment_wait_for_one_another(
    opened: Root, just_before: Callable[..., None]
) -> None:
    counters = events.Counters()
    counters.add("hit")
    other = os.open("counters", os.O_RDWR | os.O_CREAT, dir_fd=opened.ctl_fd)
    assert syscalls.lock_byte(other, 0)
    just_before(time, "sleep", lambda: os.close(other))
    counters.hand_in(opened.ctl_fd)
    assert events.handed_in(opened.ctl_fd) == {"hit": 1}


def test_stopped_process_that_hands_in_makes_no_close_wait_for_it(
    cache: Cache, root: Path, child: Child
) -> None:
    other = child(
        """
fd = os.open(os.path.join(sys.argv[1], "ctl", "counters"), os.O_RDWR | os.O_CREAT)
syscalls.lock_byte(fd, 0); say("handing in"); hear()
""",
        root,
    )
    assert other.heard() == "handing in"
    other.stop()
    cache.access.counters.add("hit")
    cache.close()
    other.kill()
    cache.close()
    assert cache.stats().handed_in == {}
    cache.close()
    assert cache.stats().handed_in == {"hit": 1}


def test_count_that_is_handed_in_is_handed_in_once(opened: Root) -> None:
    counters = events.Counters()
    counters.add("hit", 3)
    counters.hand_in(opened.ctl_fd)
    counters.hand_in(opened.ctl_fd)
    assert events.handed_in(opened.ctl_fd) == {"hit": 3}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 16000,
        b'{"hit": "many"}',
        b'{"hit": -5}',
        b'{"hit": 1e3}',
        b'{"%s": 1}' % (b"n" * 16000),
        b'{"hit": 9%s}' % (b"9" * 4000),
    ],
    ids=lambda text: repr(text)[:16],
)
def test_damaged_totals_start_anew(opened: Root, root: Path, text: bytes) -> None:
    (root / "ctl" / "counters").write_bytes(text)
    counters = events.Counters()
    counters.add("hit")
    counters.hand_in(opened.ctl_fd)
    assert events.handed_in(opened.ctl_fd) == {"hit": 1}


def test_nothing_below_ctl_is_followed_or_waited_for(
    cache: Cache, root: Path, tmp_path: Path, key: str, put: Put
) -> None:
    (tmp_path / "outside").write_text("not ours")
    (root / "ctl" / "usage").symlink_to(tmp_path / "outside")
    os.mkfifo(root / "ctl" / "ledger")
    (root / "ctl" / "counters").symlink_to(tmp_path / "outside")
    put(cache, key)
    cache.collect()
    cache.close()
    assert (tmp_path / "outside").read_text() == "not ours"


def test_accounting_that_fails_is_counted_and_fails_no_publish(
    cache: Cache, root: Path, key: str, put: Put
) -> None:
    (root / "ctl" / "usage").mkdir()
    assert put(cache, key).delivery == "published"
    assert cache.stats().counters["accounting_failed"] == 1


def test_byte_locks_of_two_openings_exclude_one_another(opened: Root) -> None:
    flags = os.O_RDWR | os.O_CREAT
    with (
        syscalls.opened("usage", flags, dir_fd=opened.ctl_fd) as one,
        syscalls.opened("usage", flags, dir_fd=opened.ctl_fd) as two,
    ):
        assert syscalls.lock_byte(one, 7)
        assert not syscalls.lock_byte(two, 7)
        assert syscalls.lock_byte(two, 8)


def test_wait_for_a_held_byte_is_short_and_takes_few_steps(
    opened: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    flags = os.O_RDWR | os.O_CREAT
    with (
        syscalls.opened("usage", flags, dir_fd=opened.ctl_fd) as one,
        syscalls.opened("usage", flags, dir_fd=opened.ctl_fd) as two,
    ):
        assert syscalls.lock_byte(one, 0)
        assert not syscalls.lock_byte_soon(two, 0)
    assert len(pauses) < 10
    assert 0.05 < sum(pauses) < 0.1


def test_byte_that_is_let_go_during_the_wait_is_taken(
    opened: Root, just_before: Callable[..., None]
) -> None:
    flags = os.O_RDWR | os.O_CREAT
    one = os.open("usage", flags, dir_fd=opened.ctl_fd)
    assert syscalls.lock_byte(one, 0)
    just_before(time, "sleep", lambda: os.close(one))
    with syscalls.opened("usage", flags, dir_fd=opened.ctl_fd) as two:
        assert syscalls.lock_byte_soon(two, 0)
