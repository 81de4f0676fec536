"""Digests: flipped bytes under verify, and entries of another boot (T2, W1)."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from untorn import Cache, Delivery, Durability, Frames, Miss, MissReason

OpenCache = Callable[..., Cache]
Put = Callable[..., Frames]
Hit = Callable[[Cache, str], Frames]
LookedUp = Callable[[Cache, str], Miss]
RESOLUTION_S = 300.0


@pytest.fixture
def cache(open_cache: OpenCache, clock: Any) -> Cache:
    """A cache whose clock is turned by hand."""
    return open_cache(clock=clock, recency_resolution_s=RESOLUTION_S)


@pytest.fixture
def entry(cache: Cache, root: Path, key: str, put: Put) -> Path:
    """A published entry of three frames."""
    put(cache, key)
    return root / "v1" / key


def overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(data)
    path.chmod(0o444)


def edit_header(entry: Path, **fields: object) -> None:
    lines = (entry / "manifest").read_bytes().split(b"\n")
    lines[0] = json.dumps({**json.loads(lines[0]), **fields}).encode()
    overwrite(entry / "manifest", b"\n".join(lines))


def restore(path: Path, act: Callable[[], object]) -> None:
    """Do something to a file or directory and put its mtime back, as `cp -p` and `rsync` do."""
    status = path.stat()
    act()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def seal_in_another_boot(entry: Path) -> None:
    edit_header(entry, boot="00000000-0000-0000-0000-000000000000")


@pytest.fixture
def careful(open_cache: OpenCache, clock: Any) -> Cache:
    """A cache that checks the bytes of every hit."""
    return open_cache(verify=True, clock=clock)


def flip_a_byte(frame: Path) -> None:
    data = frame.read_bytes()
    restore(frame, lambda: overwrite(frame, data[:-1] + bytes([data[-1] ^ 1])))


def test_flipped_byte_with_restored_mtime_is_found_by_verify(
    careful: Cache, root: Path, key: str, put: Put, miss: LookedUp
) -> None:
    put(careful, key)
    flip_a_byte(root / "v1" / key / "frame_00002.png")
    found = miss(careful, key)
    assert (found.reason, found.by_digest) == (MissReason.DAMAGED, True)
    assert careful.stats().counters["verify_failed"] == 1


def test_flipped_byte_is_replaced_by_the_next_publish(
    careful: Cache, root: Path, key: str, put: Put, hit: Hit
) -> None:
    put(careful, key)
    flip_a_byte(root / "v1" / key / "frame_00002.png")
    assert put(careful, key).delivery is Delivery.PUBLISHED
    with hit(careful, key) as found:
        assert found.read(1) == b"frame 2"


def test_verify_does_not_believe_an_entry_without_digests(
    careful: Cache, entry: Path, key: str, miss: LookedUp
) -> None:
    assert entry.exists()
    assert miss(careful, key).reason is MissReason.UNVERIFIED


def test_entry_of_another_boot_is_served_for_its_digests(
    open_cache: OpenCache, root: Path, key: str, put: Put, hit: Hit
) -> None:
    cache = open_cache(durability=Durability.DIGEST)
    put(cache, key)
    seal_in_another_boot(root / "v1" / key)
    with hit(cache, key) as found:
        assert len(found) == 3


def test_entry_of_another_boot_with_other_bytes_is_damaged(
    open_cache: OpenCache, root: Path, key: str, put: Put, miss: LookedUp
) -> None:
    cache = open_cache(durability=Durability.DIGEST)
    put(cache, key)
    seal_in_another_boot(root / "v1" / key)
    flip_a_byte(root / "v1" / key / "frame_00002.png")
    assert miss(cache, key).reason is MissReason.DAMAGED


def test_frame_of_another_boot_is_read_once_a_process(
    open_cache: OpenCache, root: Path, key: str, put: Put, hit: Hit
) -> None:
    cache = open_cache(durability=Durability.DIGEST)
    put(cache, key)
    seal_in_another_boot(root / "v1" / key)
    hit(cache, key).release()
    flip_a_byte(root / "v1" / key / "frame_00002.png")  # unseen proves that it was not read again
    hit(cache, key).release()


@pytest.mark.parametrize("durability", list(Durability))
def test_each_durability_is_served_in_its_own_boot(
    open_cache: OpenCache, key: str, put: Put, hit: Hit, durability: Durability
) -> None:
    cache = open_cache(durability=durability)
    put(cache, key)
    hit(cache, key).release()
