"""How a clip's samples mean colours: what it tells, and what is assumed where it tells nothing.

Numbers are those of ITU-T H.273, which containers and codecs share. zscale does not guess, so it is
always given all four: matrix, primaries, transfer and range. What a clip does not tell is assumed
as players do: HDR is BT.2020; 1280 pixels wide or more than 576 high is BT.709; less has the matrix
of BT.601, and its primaries where the height is of that standard (480 or 486 lines, or 576); YUV
has the limited range, grey and RGB the full one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

UNSPECIFIED = 2
PQ = 16
HLG = 18

# What zscale calls them. A number that it has no name for counts as not told.
_MATRICES: Mapping[int, str] = {
    1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco", 9: "bt2020nc",
    10: "bt2020c", 12: "chroma-derived-nc", 13: "chroma-derived-c", 14: "ictcp",
}  # fmt: skip
_PRIMARIES: Mapping[int, str] = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020",
    10: "smpte428", 11: "smpte431", 12: "smpte432", 22: "jedec-p22",
}  # fmt: skip
_TRANSFERS: Mapping[int, str] = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "linear",
    9: "log100", 10: "log316", 11: "iec61966-2-4", 13: "iec61966-2-1", 14: "bt2020-10",
    15: "bt2020-12", PQ: "smpte2084", HLG: "arib-std-b67",
}  # fmt: skip
_HD_WIDTH = 1280
_SD_HEIGHT = 576
_LINES_OF_525 = (480, 486)
_LINES_OF_625 = (576,)


class Family(StrEnum):
    """What a pixel is made of."""

    YUV = "yuv"
    RGB = "rgb"
    GREY = "grey"


@dataclass(frozen=True, kw_only=True, slots=True)
class Colour:
    """What a stream tells of its colours; `full_range` is None where it does not tell.

    `subsampled`: chroma has fewer samples than luma, in width or height.
    """

    family: Family = Family.YUV
    subsampled: bool = False
    matrix: int = UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    full_range: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Meaning:
    """What the samples are taken for, in zscale's names."""

    matrix: str
    primaries: str
    transfer: str
    full_range: bool


def meaning(colour: Colour, *, width: int, height: int) -> Meaning:
    """What `colour` means for a picture of this size in pixels, assumed where it is not told."""
    matrix = "gbr" if colour.family is Family.RGB else _matrix(colour, width, height)
    full = colour.full_range
    if full is None or colour.family is Family.RGB:
        full = colour.family is not Family.YUV
    return Meaning(
        matrix=matrix,
        primaries=_PRIMARIES.get(colour.primaries) or _primaries_of(colour, matrix, height),
        transfer=_TRANSFERS.get(colour.transfer, "bt709"),
        full_range=full,
    )


def _matrix(colour: Colour, width: int, height: int) -> str:
    told = _MATRICES.get(colour.matrix)
    if told is not None:
        return told
    primaries = _PRIMARIES.get(colour.primaries)
    if colour.transfer in (PQ, HLG) or primaries == "bt2020":
        return "bt2020nc"
    large = width >= _HD_WIDTH or height > _SD_HEIGHT
    return "bt709" if large or primaries == "bt709" else "smpte170m"


def _primaries_of(colour: Colour, matrix: str, height: int) -> str:
    if colour.transfer in (PQ, HLG) or matrix in ("bt2020nc", "bt2020c", "ictcp"):
        return "bt2020"
    if matrix in ("bt470bg", "smpte170m"):
        if height in _LINES_OF_525:
            return "smpte170m"
        if height in _LINES_OF_625:
            return "bt470bg"
    return "bt709"
