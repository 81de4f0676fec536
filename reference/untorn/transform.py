"""Conversions between SDR and HDR in the decoding pass: which source of a render gets which.

A conversion changes every byte of a frame, so it is an axis of the key (contract K5): frames of one
clip with and without it are two entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from untorn.clip import ClipInfo, Transfer

FINAL_FRAME = "final-frame"


class Transform(StrEnum):
    """A conversion, by the text that stands for it in keys, requests and command lines."""

    SDR_TO_PQ = "sdr2hdr-smpte2084"
    SDR_TO_HLG = "sdr2hdr-arib-std-b67"
    HDR_TO_SDR = "hdr2sdr"


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
