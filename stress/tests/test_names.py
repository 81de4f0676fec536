from __future__ import annotations

import random
import secrets
import string
import uuid
from tempfile import _RandomNameSequence  # type: ignore[attr-defined]

import pytest
from untorn_stress.names import Names

KEY = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
SEEDS = range(300)


def tempfile_name(seed: int) -> str:
    source = random.Random(seed)
    return "".join(source.choices(_RandomNameSequence.characters, k=8))


def token(seed: int, size: int) -> str:
    return random.Random(seed).randbytes(size).hex()


@pytest.mark.parametrize(
    "name",
    [
        "frame_00001.png",
        "CACHEDIR.TAG",
        "v1",
        "gc.lock",
        ".hf-complete",
        "hfcache-v3-",
        "manifest",
        "sha256",
        "smpte2084",
        "1080p",
        "CacheDirectory",
        "frame_01",
        "x264_mp4",
        "000000000001.ppm",
        "My-Cached-Thing-000001",
        "",
        "..",
    ],
)
def test_words_numbers_and_words_with_numbers_stay(name: str) -> None:
    assert Names().canonical(name) == name


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("tmpab3k_9xz", "tmp{1}"),
        ("tmpabcdefgh", "tmp{1}"),
        ("tmp________", "tmp{1}"),
        (".tmpaB3xY9", ".tmp{1}"),
        ("hfcache-v3-ab3k_9xz", "hfcache-v3-{1}"),
        ("stage_ab3k_9xz.part", "stage_{1}.part"),
        ("3fa4b1c2", "{1}"),
        ("fade1234", "{1}"),
        ("3F2504E0-4F89-41D3-9A0C-0305E82C3301", "{1}"),
        ("lock-1732291200123456789", "lock-{1}"),
        ("x.Drmhze6EPcv0fN_81Bj-nA", "x.{1}"),
        ("aBxYqZ", "{1}"),
        ("staging/stage.3fa4b1c2/frame_00001.png", "staging/stage.{1}/frame_00001.png"),
    ],
)
def test_what_was_drawn_is_numbered(name: str, canonical: str) -> None:
    assert Names().canonical(name) == canonical


def test_every_name_of_tempfile_is_caught() -> None:
    assert {Names().canonical(f"tmp{tempfile_name(seed)}.part") for seed in SEEDS} == {
        "tmp{1}.part"
    }


def test_every_uuid_is_caught() -> None:
    drawn = [uuid.UUID(int=random.Random(seed).getrandbits(128), version=4) for seed in SEEDS]
    assert {Names().canonical(f"a.{each.hex}") for each in drawn} == {"a.{1}"}
    assert {Names().canonical(f"a.{each}") for each in drawn} == {"a.{1}"}


@pytest.mark.parametrize("size", [8, 16, 32])
def test_every_token_hex_is_caught(size: int) -> None:
    assert len(secrets.token_hex(size)) == len(token(0, size))
    assert {Names().canonical(f"a-{token(seed, size)}") for seed in SEEDS} == {"a-{1}"}


def test_a_key_stays_when_the_harness_names_it() -> None:
    assert Names([KEY]).canonical(f"staging/{KEY}.{token(1, 16)}") == f"staging/{KEY}.{{1}}"
    assert Names().canonical(f"v1/{KEY}") == "v1/{1}"


def test_the_parts_of_a_stable_path_stay_wherever_they_occur() -> None:
    names = Names(["v1/clip_yuv420p.3fa4b1c2"])
    assert names.canonical("trash/clip_yuv420p.4711") == "trash/clip_yuv420p.4711"
    assert names.canonical("3fa4b1c2") == "3fa4b1c2"


@pytest.mark.parametrize("name", ["ab3k_9xz", "tmpdownload", "tmpab3k_9xz", str(uuid.UUID(int=7))])
def test_a_stable_name_stays_whatever_it_looks_like(name: str) -> None:
    assert Names([name]).canonical(f"a-{name}") == f"a-{name}"


def test_the_same_text_has_the_same_number_for_the_whole_run() -> None:
    names = Names()
    assert names.canonical("staging/a.3fa4b1c2") == "staging/a.{1}"
    assert names.canonical("staging/a.77fa4b1c") == "staging/a.{2}"
    assert names.canonical("trash/b.3fa4b1c2") == "trash/b.{1}"


def test_fresh_names_count_from_one_and_keep_what_is_stable() -> None:
    names = Names([KEY])
    names.canonical("3fa4b1c2")
    names.pid("A", 4711)
    fresh = names.fresh()
    assert fresh.canonical(f"{KEY}.77fa4b1c") == f"{KEY}.{{1}}"
    assert fresh.canonical("lock.4711") == "lock.4711"


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("lock.4711", "lock.{1}"),
        ("pid4711.tmp", "pid{1}.tmp"),
        ("lock.47110", "lock.47110"),
        ("lock.14711", "lock.14711"),
        ("lock.264", "lock.{1}"),
        ("clip.h264", "clip.h264"),
        ("frame_00264", "frame_00264"),
    ],
)
def test_a_known_process_id_is_numbered(name: str, canonical: str) -> None:
    names = Names()
    names.pid("A", 4711)
    names.pid("B", 264)
    assert names.canonical(name) == canonical


def test_a_process_id_counts_from_when_it_is_known() -> None:
    names = Names()
    names.canonical("lock.4711")
    names.pid("A", 4711)
    assert names.canonical("lock.4711") == "lock.{1}"


def test_a_stable_number_is_no_process_id() -> None:
    names = Names(["part.4711"])
    names.pid("A", 4711)
    assert names.canonical("part.4711") == "part.4711"
    assert names.canonical("other.4711") == "other.4711"


def test_the_legend_tells_what_the_numbers_stand_for() -> None:
    names = Names()
    names.pid("A", 4711)
    names.canonical("a.3fa4b1c2")
    names.canonical("lock.4711")
    assert names.legend() == {"{1}": "3fa4b1c2", "{2}": "4711, a pid of A"}


def test_a_brace_in_a_name_is_told_from_a_number() -> None:
    names = Names()
    names.canonical("3fa4b1c2")
    assert names.canonical("{1}") != names.canonical("3fa4b1c2")


@pytest.mark.parametrize("seed", range(20))
def test_names_are_canonically_equal_only_if_they_are_equal(seed: int) -> None:
    draw = random.Random(seed)
    words = ["frame", "1", "{", "}", "tmp", "_", "-", ".", "/", "4711", KEY, "{1}", "{{1}"]
    words += [token(draw.randrange(9), 4) for _ in range(4)]
    words += ["".join(draw.choices(string.ascii_letters + string.digits, k=6)) for _ in range(4)]
    made = {"".join(draw.choices(words, k=draw.randint(1, 6))) for _ in range(400)}
    names = Names([KEY])
    names.pid("A", 4711)
    assert len({names.canonical(name) for name in made}) == len(made)
