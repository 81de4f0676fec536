"""Inputs of the protocol as requests of the reference, and a render's items as answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import untorn
from untorn.breakdown import Item, Origin
from untorn.frames import Frames
from untorn.key import FrameFormat
from untorn.outcome import Delivery
from untorn.request import Request
from untorn.transform import FINAL_FRAME

from untorn_conformance import backend as protocol
from untorn_conformance.backend import Axis, FailedCode, Inputs

_CODES: Final[Mapping[type[Exception], FailedCode]] = {
    untorn.SourceChangedError: FailedCode.SOURCE_CHANGED,
    untorn.ClipError: FailedCode.BAD_CLIP,
    untorn.DecoderError: FailedCode.DECODER_FAILED,
    untorn.KeyInputError: FailedCode.INVALID_KEY,
}
_IN_THE_CACHE: Final = frozenset({Delivery.HIT, Delivery.PUBLISHED, Delivery.ADOPTED})


def request_of(inputs: Inputs) -> Request:
    """The request that a clip's axes are."""
    start, quality = inputs.get(Axis.START_S), inputs.get(Axis.QUALITY)
    done = str(inputs.get(Axis.TRANSFORM) or "").split("+")
    transform = "+".join(each for each in done if each != FINAL_FRAME)
    return Request(
        clip=str(inputs[Axis.PATH]),
        fps=inputs.get(Axis.FPS) or 0,
        format=str(inputs.get(Axis.FORMAT) or FrameFormat.PNG),
        start=0 if start is None else start,
        duration=inputs.get(Axis.DURATION_S),
        quality=None if quality is None else int(quality),
        transform=transform or None,
        final_frame=FINAL_FRAME in done,
    )


def extracted(handle: str, frames: Frames, *, shared: bool = False) -> protocol.Extracted:
    """The answer for frames; to who shares an equal request's they were there already."""
    is_hit = shared and frames.delivery in _IN_THE_CACHE
    outcome = Delivery.HIT if is_hit else frames.delivery
    return protocol.Extracted(
        handle=handle,
        files=frames.names,
        outcome=protocol.ExtractOutcome(outcome.value),
        reason="" if frames.failure is None else str(frames.failure),
    )


def answer_of(item: Item, keep: Callable[[Frames], str]) -> protocol.Extracted | protocol.Failed:
    """The answer for one item of a render; an error that no request can cause flies."""
    if item.frames is not None:
        return extracted(keep(item.frames), item.frames, shared=item.origin is Origin.SHARED)
    assert item.error is not None, "an item has frames or an error"
    for known, code in _CODES.items():
        if isinstance(item.error, known):
            return protocol.Failed(code=code, message=str(item.error))
    raise item.error
