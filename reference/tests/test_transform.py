"""Which source of a render is converted to what, by which filters, and the key's text for it."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from untorn import ClipError, KeyInputError
from untorn.clip import ClipInfo, Transfer
from untorn.colour import Colour, Family, meaning
from untorn.transform import Transform, axis, filters, mixed, parse, preflight, require_fit
from untorn_fixtures.vectors import load_vectors

SDR, PQ, HLG = Transfer.SDR, Transfer.PQ, Transfer.HLG
TO_PQ, TO_HLG, TO_SDR = Transform.SDR_TO_PQ, Transform.SDR_TO_HLG, Transform.HDR_TO_SDR


def info(transfer: Transfer) -> ClipInfo:
    return ClipInfo(
        width=320,
        height=180,
        rate=Fraction(30),
        duration_s=Fraction(2),
        pixel_format="yuv420p",
        transfer=transfer,
    )


@pytest.mark.parametrize(
    ("kinds", "needed"),
    [
        ([], []),
        ([SDR, SDR], [None, None]),
        ([PQ, HLG], [None, None]),
        ([SDR, PQ], [TO_PQ, None]),
        ([HLG, SDR], [None, TO_HLG]),
        ([SDR, HLG, HLG, PQ], [TO_HLG, None, None, None]),
        ([SDR, HLG, PQ, PQ], [TO_PQ, None, None, None]),
        ([SDR, HLG, PQ], [TO_PQ, None, None]),
        ([SDR, PQ, HLG], [TO_PQ, None, None]),
    ],
)
def test_sdr_becomes_what_most_hdr_sources_are(
    kinds: list[Transfer], needed: list[Transform | None]
) -> None:
    assert preflight([info(kind) for kind in kinds], tone_map=False) == needed


def test_tone_mapping_makes_every_hdr_source_sdr() -> None:
    kinds = [SDR, PQ, HLG, SDR]
    needed = [None, TO_SDR, TO_SDR, None]
    assert preflight([info(kind) for kind in kinds], tone_map=True) == needed


@pytest.mark.parametrize(
    ("kinds", "is_mixed"),
    [([], False), ([SDR, PQ, PQ], False), ([HLG, SDR], False), ([PQ, SDR, HLG], True)],
)
def test_mixed_is_two_kinds_of_hdr(kinds: list[Transfer], is_mixed: bool) -> None:
    assert mixed([info(kind) for kind in kinds]) is is_mixed


@pytest.mark.parametrize(
    ("transform", "final_frame", "text"),
    [
        (None, False, None),
        (None, True, "final-frame"),
        (TO_PQ, False, "sdr2hdr-smpte2084"),
        (TO_HLG, False, "sdr2hdr-arib-std-b67"),
        (TO_SDR, False, "hdr2sdr"),
        (TO_PQ, True, "sdr2hdr-smpte2084+final-frame"),
    ],
)
def test_axis_text_is_this(transform: Transform | None, final_frame: bool, text: str) -> None:
    assert axis(transform, final_frame) == text


def made_of(vector: dict[str, Any]) -> ClipInfo:
    """The clip of a golden vector."""
    colour = Colour(**{**vector["colour"], "family": Family(vector["colour"].get("family", "yuv"))})
    kinds = {16: PQ, 18: HLG}
    return replace(
        info(kinds.get(colour.transfer, SDR)), rate=Fraction(5), colour=colour, **vector["clip"]
    )


@pytest.mark.parametrize("vector", load_vectors("transforms"), ids=lambda v: v["name"])
def test_filters_of_an_axis_are_the_golden_ones(vector: dict[str, Any]) -> None:
    """Other filters need another text of the axis: else old entries are served for new ones."""
    found = filters(Transform(vector["axis"]), made_of(vector))
    assert ",".join(map(str, found.picture)) == vector["picture"]
    assert ",".join(map(str, found.alpha)) == vector["alpha"]
    assert str(found.merge or "") == vector["merge"]


def test_every_axis_has_golden_filters() -> None:
    assert {vector["axis"] for vector in load_vectors("transforms")} == set(Transform)


@pytest.mark.parametrize("kind", [SDR, PQ, HLG])
@pytest.mark.parametrize("transform", Transform)
def test_conversion_is_refused_where_it_does_not_fit(transform: Transform, kind: Transfer) -> None:
    if (kind is SDR) is transform.to_hdr:
        require_fit(transform, info(kind), "a.mp4")
        return
    with pytest.raises(ClipError, match=rf"a\.mp4 is {kind.name}.* already: {transform} is for"):
        require_fit(transform, info(kind), "a.mp4")


def test_no_conversion_fits_everything() -> None:
    require_fit(None, info(SDR), "a.mp4")
    require_fit(None, info(PQ), "a.mp4")


def test_conversion_is_known_by_its_text() -> None:
    assert [parse(each.value) for each in Transform] == list(Transform)
    assert parse(None) is None


@pytest.mark.parametrize("text", ["", "hdr", "HDR2SDR", "final-frame", "hdr2sdr+final-frame"])
def test_unknown_conversion_is_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(KeyInputError, match="sdr2hdr-smpte2084, sdr2hdr-arib-std-b67, hdr2sdr"):
        parse(text)


@pytest.mark.parametrize(
    ("told", "size", "meant"),
    [
        ({}, (1280, 720), "bt709 bt709 bt709 tv"),
        ({}, (1024, 577), "bt709 bt709 bt709 tv"),
        ({}, (720, 486), "smpte170m smpte170m bt709 tv"),
        ({}, (720, 576), "smpte170m bt470bg bt709 tv"),
        ({}, (640, 360), "smpte170m bt709 bt709 tv"),
        ({"primaries": 1}, (640, 480), "bt709 bt709 bt709 tv"),
        ({"matrix": 6}, (1920, 1080), "smpte170m bt709 bt709 tv"),
        ({"matrix": 1}, (720, 480), "bt709 bt709 bt709 tv"),
        ({"primaries": 9}, (640, 480), "bt2020nc bt2020 bt709 tv"),
        ({"transfer": 18}, (640, 480), "bt2020nc bt2020 arib-std-b67 tv"),
        ({"transfer": 13, "full_range": True}, (1920, 1080), "bt709 bt709 iec61966-2-1 pc"),
        ({"matrix": 3, "primaries": 0, "transfer": 12}, (1920, 1080), "bt709 bt709 bt709 tv"),
        ({"matrix": 0}, (1920, 1080), "bt709 bt709 bt709 tv"),
        ({"family": Family.RGB}, (320, 180), "gbr bt709 bt709 pc"),
        ({"family": Family.RGB, "full_range": False}, (320, 180), "gbr bt709 bt709 pc"),
        ({"family": Family.GREY}, (320, 180), "smpte170m bt709 bt709 pc"),
        ({"family": Family.GREY, "full_range": False}, (320, 180), "smpte170m bt709 bt709 tv"),
    ],
)
def test_what_is_not_told_is_assumed_by_size(
    told: dict[str, Any], size: tuple[int, int], meant: str
) -> None:
    found = meaning(Colour(**told), width=size[0], height=size[1])
    words = (found.matrix, found.primaries, found.transfer, "pc" if found.full_range else "tv")
    assert " ".join(words) == meant
