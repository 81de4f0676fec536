"""Which source of a render is converted to what, and the text that the key has for it."""

from fractions import Fraction

import pytest
from untorn.clip import ClipInfo, Transfer
from untorn.transform import Transform, axis, mixed, preflight

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
