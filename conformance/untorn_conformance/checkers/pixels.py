"""Whether two runs of frames are the same pictures, sample by sample, in native bit depth.

Frames are decoded with PyAV as they were stored: skimage.io.imread would read a 16-bit PNG as eight
bits and find images equal that differ in every sample. The measure is scikit-image's peak
signal-to-noise ratio with the data range of the depth; identical frames have an infinite one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.uint8] | NDArray[np.uint16]
Image = str | os.PathLike[str] | Samples
"""One image: its file, or its samples, for who compares it more than once."""

_PNG: Final = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What was found: frames compared, the lowest PSNR in dB, and every difference in words.

    `psnr_db` is infinite if every frame is identical; it is -inf where frames could not be compared
    at all (another count, name, shape or depth).
    """

    frames: int
    psnr_db: float
    differences: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """Whether every sample of every frame is the same, under equal names in equal order."""
        return not self.differences and math.isinf(self.psnr_db) and self.psnr_db > 0


def decode(path: str | os.PathLike[str]) -> Samples:
    """The samples of one image, in its own pixel format: uint8 up to 8 bits, uint16 above.

    Raises ValueError for a file that holds no image, or one of a format without an array form.
    """
    try:
        samples = _first_frame(os.fspath(path)).to_ndarray()
    except (av.FFmpegError, StopIteration, IndexError) as error:
        raise ValueError(f"no image in {os.fspath(path)!r}: {error}") from error
    if samples.dtype == np.uint8:
        return samples.astype(np.uint8, copy=False)
    if samples.dtype == np.uint16:
        return samples.astype(np.uint16, copy=False)
    raise ValueError(f"samples of type {samples.dtype} in {os.fspath(path)!r}")


def _first_frame(path: str) -> av.VideoFrame:
    """The frame of an image file. What opens one decodes it once to see what it is: a png is told.

    A frame comes only of a whole file, as in a container, whose end is all that it has to give.
    """
    with open(path, "rb") as file:
        content = file.read()
    if not content.startswith(_PNG):
        with av.open(path, mode="r") as container:
            return next(container.decode(video=0))
    decoder = av.VideoCodecContext.create("png", "r")
    frames = [*decoder.decode(av.Packet(content)), *decoder.decode(None)]
    return frames[0]


def psnr_db(one: Samples, other: Samples) -> float:
    """Peak signal-to-noise ratio in dB of two images of one shape and depth; inf if identical."""
    # It loads SciPy's statistics, which takes longer than most cases; few processes compare frames.
    from skimage.metrics import peak_signal_noise_ratio  # noqa: PLC0415

    data_range = float(np.iinfo(one.dtype).max)
    with np.errstate(divide="ignore"):  # no noise at all is what we hope for
        return float(peak_signal_noise_ratio(one, other, data_range=data_range))  # type: ignore[no-untyped-call]


def compare(
    ours: Sequence[Image],
    theirs: Sequence[Image],
    *,
    names: tuple[Sequence[str], Sequence[str]] | None = None,
) -> Comparison:
    """Compare two ordered runs of images frame by frame.

    `names` are what the frames are called, where that is not the last part of their paths.
    """
    called = names or (_base_names(ours), _base_names(theirs))
    if list(called[0]) != list(called[1]):
        return Comparison(frames=0, psnr_db=-math.inf, differences=(_name_difference(*called),))
    lowest, differences = math.inf, []
    for name, one, other in zip(called[0], ours, theirs, strict=True):
        value, difference = _compare_frame(_samples_of(one), _samples_of(other))
        lowest = min(lowest, value)
        if difference:
            differences.append(f"{name}: {difference}")
    if not ours:
        return Comparison(frames=0, psnr_db=-math.inf, differences=("no frames at all",))
    return Comparison(frames=len(ours), psnr_db=lowest, differences=tuple(differences))


def _samples_of(image: Image) -> Samples:
    return image if isinstance(image, np.ndarray) else decode(image)


def _base_names(images: Sequence[Image]) -> list[str]:
    return [os.path.basename(each) for each in images if not isinstance(each, np.ndarray)]


def _compare_frame(one: Samples, other: Samples) -> tuple[float, str]:
    if one.shape != other.shape or one.dtype != other.dtype:
        return -math.inf, f"{one.shape} {one.dtype} against {other.shape} {other.dtype}"
    value = psnr_db(one, other)
    if math.isinf(value):
        return value, ""
    return value, f"{np.count_nonzero(one != other)} samples differ, PSNR {value:.2f} dB"


def _name_difference(ours: Sequence[str], theirs: Sequence[str]) -> str:
    if len(ours) != len(theirs):
        return f"{len(ours)} frames against {len(theirs)}"
    first = next(index for index in range(len(ours)) if ours[index] != theirs[index])
    return f"frame {first + 1} is called {ours[first]!r} against {theirs[first]!r}"
