"""Conversions between SDR and HDR in the decoding pass: which source of a render gets which.

A conversion changes every byte of a frame, so it is an axis of the key (contract K5): frames of one
clip with and without it are two entries. The axis stands for the filters below: whoever changes
them gives the conversion another text, or old entries are served for new ones. Golden texts:
untorn_fixtures/vectors/transforms.json.

Light is display light: SDR is decoded by BT.1886 with its white at 203 nits (ITU-R BT.2408), HLG by
the system gamma of a 1,000 nit display (BT.2100). Tone mapping leaves what is darker than 61 nits
as it is (but for the gamut) and bends the rest so that 1,000 nits are SDR's white; 203 nits become
217 of 255. What is brighter is white, what lies outside of BT.709 is clipped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from untorn import colour
from untorn.clip import ClipInfo, Transfer, printable
from untorn.colour import Family
from untorn.errors import ClipError, KeyInputError

FINAL_FRAME = "final-frame"
WHITE_NITS = 203
MAPPED_PEAK_NITS = 1000
_EIGHT_BITS = 8


class Transform(StrEnum):
    """A conversion, by the text that stands for it in keys, requests and command lines."""

    SDR_TO_PQ = "sdr2hdr-smpte2084"
    SDR_TO_HLG = "sdr2hdr-arib-std-b67"
    HDR_TO_SDR = "hdr2sdr"

    @property
    def to_hdr(self) -> bool:
        """Whether frames become HDR, which needs 16 bits a sample; else they become SDR of 8."""
        return self is not Transform.HDR_TO_SDR


_TO_HDR = {Transfer.PQ: Transform.SDR_TO_PQ, Transfer.HLG: Transform.SDR_TO_HLG}


def preflight(infos: Sequence[ClipInfo], *, tone_map: bool) -> list[Transform | None]:
    """What each source of one render needs so that all of them are of one kind; pure.

    With `tone_map` every HDR source becomes SDR. Else, where any source is HDR, SDR sources become
    what most HDR sources are; as many of PQ as of HLG is PQ, whatever their order. HDR sources keep
    their own kind: see `mixed`.
    """
    if tone_map:
        return [None if info.transfer is Transfer.SDR else Transform.HDR_TO_SDR for info in infos]
    kinds = [info.transfer for info in infos if info.transfer is not Transfer.SDR]
    if not kinds:
        return [None] * len(infos)
    most = Transfer.HLG if kinds.count(Transfer.HLG) * 2 > len(kinds) else Transfer.PQ
    return [_TO_HDR[most] if info.transfer is Transfer.SDR else None for info in infos]


def mixed(infos: Sequence[ClipInfo]) -> bool:
    """Whether PQ and HLG sources meet in one render, whose frames stay of two kinds."""
    return {Transfer.PQ, Transfer.HLG} <= {info.transfer for info in infos}


def axis(transform: Transform | None, final_frame: bool) -> str | None:
    """The text of the key's axis: what is done to the frames, joined by "+"; None for nothing."""
    parts = [] if transform is None else [transform.value]
    if final_frame:
        parts.append(FINAL_FRAME)
    return "+".join(parts) or None


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """One ffmpeg filter and its options."""

    name: str
    options: Mapping[str, str]

    def __str__(self) -> str:
        """As it is written in a filter graph."""
        options = ":".join(f"{name}={value}" for name, value in self.options.items())
        return f"{self.name}={options}" if options else self.name


@dataclass(frozen=True, kw_only=True, slots=True)
class Filters:
    """What is done to the picture. Where it has alpha, that goes its own way and is merged again.

    (zscale multiplies code values by alpha, changes their meaning, and divides: at half of alpha
    every colour came out wrong.)
    """

    picture: tuple[Filter, ...]
    alpha: tuple[Filter, ...] = ()
    merge: Filter | None = None

    @property
    def names(self) -> frozenset[str]:
        """The filters that the decoder must have."""
        merge = () if self.merge is None else (self.merge,)
        return frozenset(each.name for each in (*self.picture, *self.alpha, *merge))


def filters(transform: Transform, info: ClipInfo) -> Filters:
    """The filters that do `transform` to a clip that it fits; RGB, of 16 bits for HDR, else 8."""
    steps = [*_bare(info), *(_to_hdr(transform, info) if transform.to_hdr else _to_sdr(info))]
    depth = "16le" if transform.to_hdr else ""
    steps += [_format(f"gbrp{depth}"), Filter(name="sidedata", options={"mode": "delete"})]
    if not info.alpha:
        return Filters(picture=tuple(steps))
    planes = {f"map{n}{what}": v for n, pair in enumerate(_PLANES) for what, v in pair.items()}
    return Filters(
        picture=tuple(steps),
        alpha=(Filter(name="alphaextract", options={}), _format(f"gray{depth}")),
        merge=Filter(name="mergeplanes", options={**planes, "format": f"gbrap{depth}"}),
    )


_PLANES = (*({"s": "0", "p": str(plane)} for plane in range(3)), {"s": "1", "p": "0"})


def _to_hdr(transform: Transform, info: ClipInfo) -> list[Filter]:
    if transform is Transform.SDR_TO_PQ:
        target = {"t": "smpte2084", "p": "bt2020", "m": "gbr", "r": "pc"}
        return [_zscale({**_meaning(info), **target})]
    # The fast gamma leaves HLG's system gamma to each channel alone, which is right for grey only.
    linear = {"t": "linear", "p": "bt2020", "m": "gbr", "r": "pc"}
    return [
        _zscale({**_meaning(info), **linear}),
        _format("gbrpf32le"),
        _zscale({"t": "arib-std-b67", "agamma": "0"}),
    ]


def _to_sdr(info: ClipInfo) -> list[Filter]:
    linear = {"t": "linear", "p": "bt709", "m": "gbr", "r": "pc"}
    exact = {"agamma": "0"} if info.transfer is Transfer.HLG else {}
    # A peak that is stated: else the filter takes it from each frame's metadata, where there is any
    peak = f"{MAPPED_PEAK_NITS / WHITE_NITS:.6f}"
    mapping = {"tonemap": "mobius", "param": "0.3", "desat": "0", "peak": peak}
    return [
        _zscale({**_meaning(info), **linear, **exact}),
        _format("gbrpf32le"),
        Filter(name="tonemap", options=mapping),
        _zscale({"t": "bt709", "m": "gbr", "r": "pc"}),
        # Else ffmpeg makes YUV for jpg by the matrix that the source had.
        Filter(name="setparams", options={"colorspace": "gbr", "range": "pc"}),
    ]


def _zscale(options: Mapping[str, str]) -> Filter:
    return Filter(name="zscale", options={**options, "npl": str(WHITE_NITS)})


def _format(pixel_format: str) -> Filter:
    return Filter(name="format", options={"pix_fmts": pixel_format})


def _meaning(info: ClipInfo) -> dict[str, str]:
    means = colour.meaning(info.colour, width=info.width, height=info.height)
    return {
        "tin": means.transfer,
        "pin": means.primaries,
        "min": means.matrix,
        "rin": "pc" if means.full_range else "tv",
    }


def _bare(info: ClipInfo) -> list[Filter]:
    """The samples in a form that zscale takes: without alpha, and of odd size only unsubsampled."""
    deep = info.depth_bits > _EIGHT_BITS
    family, name = info.colour.family, info.pixel_format
    steps: list[Filter] = []
    if family is Family.RGB:
        packed = not name.startswith("gbr")
        wanted = ("gbrp16le" if deep else "gbrp") if packed else name.replace("gbrap", "gbrp")
    elif family is Family.GREY:
        wanted = ("gray16le" if deep else "gray") if info.alpha else name
    elif info.colour.subsampled and (info.width % 2 or info.height % 2):
        # Rounded carelessly, swscale moves flat chroma by a step.
        steps = [Filter(name="scale", options={"flags": "bicubic+accurate_rnd"})]
        wanted = f"yuv444p{info.depth_bits}le" if deep else "yuv444p"
    else:
        wanted = name.replace("yuva", "yuv")
    return [*steps, _format(wanted)] if wanted != name or info.alpha else []


def parse(value: Transform | str | None) -> Transform | None:
    """The conversion that a text stands for; KeyInputError names those there are."""
    if value is None:
        return None
    try:
        return Transform(value)
    except ValueError:
        words = ", ".join(Transform)
        raise KeyInputError(f"transform must be one of {words}, not {value!r}") from None


def require_fit(transform: Transform | None, info: ClipInfo, clip: str) -> None:
    """ClipError if the clip at path `clip` is what the conversion would make of it."""
    if transform is None:
        return
    is_hdr = info.transfer is not Transfer.SDR
    if not transform.to_hdr and not is_hdr:
        raise ClipError(f"{printable(clip)} is SDR already: {transform} is for PQ and HLG")
    if transform.to_hdr and is_hdr:
        kind = info.transfer.name
        raise ClipError(
            f"{printable(clip)} is {kind}, which is HDR already: {transform} is for SDR"
        )
