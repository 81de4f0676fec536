"""The manifest: what was sealed is read back, and no damage to it makes another exception."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from untorn.errors import InvalidEntryError
from untorn.manifest import Manifest, ManifestError, StagedFrame, order_frames, parse, render
from untorn.outcome import MissReason

KEY = "a" * 64
BOOT = "00000000-0000-0000-0000-000000000001"
DIGEST = "b" * 64


def sealed(count: int = 3, *, digested: bool = False) -> bytes:
    frames = [
        StagedFrame(name=f"frame_{n:05d}.png", size=n, digest=DIGEST if digested else None)
        for n in range(1, count + 1)
    ]
    return render(KEY, frames, BOOT)


def read_in_full(text: bytes) -> Manifest:
    """As a lookup that checks everything reads it."""
    manifest = parse(text, KEY)
    manifest.sizes()
    manifest.digests()
    return manifest


@given(
    sizes=st.lists(st.integers(1, 2**50), min_size=1, max_size=20),
    first=st.integers(0, 10**6),
    digested=st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_what_was_sealed_is_read_back(sizes: list[int], first: int, digested: bool) -> None:
    frames = [
        StagedFrame(name=f"f{first + n}.jpg", size=size, digest=DIGEST if digested else None)
        for n, size in enumerate(sizes)
    ]
    manifest = parse(render(KEY, frames, BOOT), KEY)
    assert manifest.names == tuple(frame.name for frame in frames)
    assert manifest.sizes() == sizes
    assert manifest.digests() == ([DIGEST] * len(sizes) if digested else [])
    assert manifest.frame_bytes == sum(sizes)
    assert manifest.boot_id == BOOT
    assert manifest.entry_bytes == sum(sizes) + len(manifest.text)


@pytest.mark.parametrize("digested", [False, True])
def test_every_cut_is_noticed(digested: bool) -> None:
    text = sealed(digested=digested)
    for length in range(len(text)):
        with pytest.raises(ManifestError):
            read_in_full(text[:length])


def test_manifest_that_was_not_finished_is_incomplete() -> None:
    with pytest.raises(ManifestError) as caught:
        parse(sealed()[:-1], KEY)
    assert caught.value.reason is MissReason.INCOMPLETE


@given(data=st.data(), digested=st.booleans())
@settings(max_examples=400, deadline=None)
def test_altered_bytes_make_a_manifest_error_or_a_manifest(
    data: st.DataObject, digested: bool
) -> None:
    text = sealed(digested=digested)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    altered = text[:start] + data.draw(st.binary(max_size=20)) + text[end:]
    try:
        read_in_full(altered)
    except ManifestError as error:
        assert error.detail  # noqa: PT017 - either outcome is right, any other exception is not


@given(text=st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_no_manifest(text: bytes) -> None:
    with pytest.raises(ManifestError):
        parse(text + b"\n", KEY)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (0, b"[" * 200_000),
        (0, b"null"),
        (0, b"[]"),
        (0, b"\xff\xfe"),
        (0, b"9" * 5000),
        (2, b"[" * 200_000),
        (2, b"{}"),
        (2, b"[1,2]"),
        (2, b"[1,5,0]"),
        (2, b"[1,8,-3]"),
        (2, b'[1,2,"3"]'),
        (2, b"[1,2,3e0]"),
        (3, b"[" * 200_000),
        (3, b"[]"),
        (3, b"null"),
        (1, b""),
        (1, b"frame_00001.png//frame_00003.png"),
        (1, b"frame_00001.png/../frame_00003.png"),
        (1, b"frame_00001.png/a\0b/frame_00003.png"),
        (1, b"frame_00001.png/\xff/frame_00003.png"),
        (1, b"frame_00001.png/frame_00002.png"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_line_that_means_nothing_is_corrupt(line: int, value: bytes) -> None:
    lines = sealed(digested=True).split(b"\n")
    lines[line] = value
    with pytest.raises(ManifestError) as caught:
        read_in_full(b"\n".join(lines))
    assert caught.value.reason is MissReason.CORRUPT


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("v", 0, MissReason.STALE_GENERATION),
        ("v", None, MissReason.STALE_GENERATION),
        ("key", "b" * 64, MissReason.CORRUPT),
        ("n", 4, MissReason.CORRUPT),
        ("bytes", "6", MissReason.CORRUPT),
        ("bytes", -6, MissReason.CORRUPT),
        ("bytes", 7, MissReason.CORRUPT),
        ("boot", None, MissReason.CORRUPT),
        ("digest", "blake2b-256", MissReason.CORRUPT),
    ],
)
def test_header_that_does_not_fit_says_why(field: str, value: object, reason: MissReason) -> None:
    lines = sealed().split(b"\n")
    header = json.loads(lines[0])
    header[field] = value
    lines[0] = json.dumps(header).encode()
    with pytest.raises(ManifestError) as caught:
        read_in_full(b"\n".join(lines))
    assert caught.value.reason is reason


def test_manifest_of_another_key_is_corrupt() -> None:
    with pytest.raises(ManifestError) as caught:
        parse(sealed(), "b" * 64)
    assert caught.value.reason is MissReason.CORRUPT


def test_frames_are_ordered_by_number_and_not_by_name() -> None:
    names = [f"frame_{n}.png" for n in range(8, 13)]
    assert order_frames(sorted(names)) == names


@pytest.mark.parametrize("width", [1, 5])
def test_numbers_may_grow_a_digit(width: int) -> None:
    names = [f"f{n:0{width}d}.png" for n in range(99_998, 100_003)]
    assert order_frames(sorted(names)) == names


@given(numbers=st.sets(st.integers(0, 30), min_size=1, max_size=12), shuffled=st.randoms())
@settings(max_examples=200, deadline=None)
def test_only_numbers_in_a_row_are_an_entry(numbers: set[int], shuffled: random.Random) -> None:
    names = [f"frame_{n:05d}.png" for n in numbers]
    shuffled.shuffle(names)
    in_a_row = max(numbers) - min(numbers) + 1 == len(numbers)
    if in_a_row:
        assert order_frames(names) == sorted(names)
    else:
        with pytest.raises(InvalidEntryError, match="gap"):
            order_frames(names)


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["frame_00001.png", "frame_00003.png"],
        ["frame_00001.png", "frame_1.png"],
        ["frame_00001.png", "frame_00001.png"],
        ["frame_00001.png", "frame_00002.jpg"],
        ["frame_00001.png", "image_00002.png"],
        ["frame_00001.png", "notes.txt"],
        ["frame_00001.png", "frame_00002.png", "Thumbs.db"],
    ],
    ids=str,
)
def test_what_is_no_row_of_frames_is_refused(names: list[str]) -> None:
    with pytest.raises(InvalidEntryError):
        order_frames(names)
