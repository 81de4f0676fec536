"""Spans: a bounded index of ranges, of which nothing is believed (slices, D1)."""

import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from untorn import Cache, spans
from untorn.key import FrameFormat, KeyInputs, SourceIdentity
from untorn.root import Root

INPUTS = KeyInputs(
    source=SourceIdentity(path="/clip.mp4", mtime_ns=1, size=9),
    fps=Fraction(30),
    format=FrameFormat.PNG,
    decoder="d" * 64,
    start_s=Fraction(1),
    duration_s=Fraction(1, 2),
)


def range_of(start: int, duration: int | None = 1) -> KeyInputs:
    length = None if duration is None else Fraction(duration)
    return replace(INPUTS, start_s=Fraction(start, 3), duration_s=length)


@pytest.fixture
def opened(cache: Cache) -> Root:
    root = cache.access.root()
    assert root is not None
    return root


def test_what_was_noted_is_recalled_latest_first(opened: Root) -> None:
    noted = [range_of(0, None), range_of(1), range_of(2)]
    for each in noted:
        spans.note(opened, each)
    assert spans.recall(opened, INPUTS) == noted[::-1]
    assert spans.recall(opened, noted[1]) == [noted[2], noted[0]]


def test_a_record_keeps_the_latest_few(opened: Root) -> None:
    for number in range(100):
        spans.note(opened, range_of(number))
    assert [int(each.start_s * 3) for each in spans.recall(opened, INPUTS)] == list(
        range(99, 92, -1)
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"fps": Fraction(25)},
        {"format": FrameFormat.JPG, "quality": 95},
        {"decoder": "e" * 64},
        {"transform": "sdr2hdr-smpte2084"},
        {"source": SourceIdentity(path="/clip.mp4", mtime_ns=2, size=9)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_another_axis_is_another_family(opened: Root, changes: dict[str, object]) -> None:
    spans.note(opened, range_of(0))
    assert spans.recall(opened, replace(INPUTS, **changes)) == []  # type: ignore[arg-type]


def test_the_index_is_bounded_however_many_families_there_are(opened: Root, root: Path) -> None:
    families = [replace(INPUTS, fps=Fraction(number, 7)) for number in range(1, 200)]
    for each in families:
        spans.note(opened, each)
    path = root / "ctl" / "spans"
    assert path.stat().st_size <= spans.SLOTS * spans.RECORD_BYTES
    asked = [replace(each, start_s=Fraction(0)) for each in families]
    found = [spans.recall(opened, each) for each in asked]
    assert all(not got or got == [each] for got, each in zip(found, families, strict=True))
    assert sum(map(bool, found)) > 150  # a few took the places of others


def test_numbers_that_do_not_fit_are_not_noted(opened: Root) -> None:
    spans.note(opened, replace(INPUTS, start_s=Fraction(1, 10**30)))
    assert spans.recall(opened, INPUTS) == []


@pytest.mark.parametrize("offset", range(0, spans.RECORD_BYTES, 5))
def test_a_damaged_record_is_none(opened: Root, root: Path, offset: int) -> None:
    spans.note(opened, range_of(0))
    path = root / "ctl" / "spans"
    place = path.stat().st_size - spans.RECORD_BYTES + offset
    with path.open("r+b") as file:
        before = os.pread(file.fileno(), 1, place)
        os.pwrite(file.fileno(), bytes([before[0] ^ 1]), place)
    assert spans.recall(opened, INPUTS) == []
    spans.note(opened, range_of(0))
    assert spans.recall(opened, INPUTS) == [range_of(0)]


@pytest.mark.parametrize("kept", [0, 1, 100, spans.RECORD_BYTES - 1])
def test_a_cut_record_is_none(opened: Root, root: Path, kept: int) -> None:
    spans.note(opened, range_of(0))
    path = root / "ctl" / "spans"
    os.truncate(path, path.stat().st_size - spans.RECORD_BYTES + kept)
    assert spans.recall(opened, INPUTS) == []


def test_nothing_is_noted_under_a_name_that_leads_outside(opened: Root, root: Path) -> None:
    outside = root.parent / "outside"
    outside.write_bytes(b"precious")
    os.link(outside, root / "ctl" / "spans")
    with pytest.raises(OSError, match="another name"):
        spans.note(opened, range_of(0))
    assert outside.read_bytes() == b"precious"
