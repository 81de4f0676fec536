"""Payloads of a storm: every block says whose it is, and digests name one version."""

from __future__ import annotations

import hashlib
from pathlib import Path

from untorn_conformance.history import Seen
from untorn_stress.storm.stamps import BLOCK_BYTES, Provenance, Version, found_on_disk, inspect

ONE = Version(key="k1", name="writer1.1/1", sizes=(4096, 65536))
OTHER = Version(key="k1", name="writer2.1/1", sizes=(4096, 65536))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def known(*versions: Version) -> Provenance:
    whose = Provenance()
    for each in versions:
        whose.enter(each, each.frames())
    return whose


def test_frames_have_the_sizes_asked_for() -> None:
    assert [len(each) for each in ONE.frames()] == [4096, 65536]


def test_no_two_blocks_are_alike() -> None:
    frames = b"".join(each for version in (ONE, OTHER) for each in version.frames())
    blocks = {frames[at : at + BLOCK_BYTES] for at in range(0, len(frames), BLOCK_BYTES)}
    assert len(blocks) == len(frames) // BLOCK_BYTES


def test_a_digest_names_key_version_and_index() -> None:
    read = sha256(OTHER.frames()[1])
    seen = Seen(key="k1", version="writer2.1/1", index=1)
    assert known(ONE, OTHER).whose(read) == seen


def test_bytes_of_nobody_are_nobodys() -> None:
    assert known(ONE).whose(sha256(OTHER.frames()[0])) is None


def test_what_is_present_is_known_in_the_next_rounds() -> None:
    whose = known(ONE, OTHER)
    for _ in range(3):
        whose.next_round(["writer1.1/1"])
    assert whose.whose(sha256(ONE.frames()[0])) is not None


def test_what_is_gone_is_forgotten_after_another_round() -> None:
    whose = known(ONE, OTHER)
    sizes = []
    for _ in range(2):
        whose.next_round(["writer1.1/1"])
        sizes.append(len(whose))
    assert sizes == [4, 2]


def test_a_torn_file_says_whose_blocks_it_holds() -> None:
    torn = ONE.frames()[0][:2048] + OTHER.frames()[0][2048:]
    told = str(inspect(torn))
    assert told == (
        "4 blocks of frame 0 of writer1.1/1 of k1; 4 blocks of frame 0 of writer2.1/1 of k1"
    )


def test_a_short_file_says_how_long_it_was() -> None:
    assert str(inspect(ONE.frames()[0][:1024])).endswith("1024 bytes where 4096 were stamped")


def test_a_damaged_block_is_nobodys() -> None:
    damaged = ONE.frames()[0].replace(b"frame=0/2 block=3/", b"frame=1/2 block=3/")
    assert inspect(damaged).foreign == 1


def test_bytes_that_were_read_are_found_on_disk(tmp_path: Path) -> None:
    torn = ONE.frames()[0][:512]
    (tmp_path / "entry").mkdir()
    (tmp_path / "entry" / "frame").write_bytes(torn)
    assert found_on_disk(tmp_path, sha256(torn)).startswith("entry/frame holds 1 blocks of frame 0")
