"""Converted frames against the standards' formulas, for flat colours in many kinds of source.

The colours are read from the source as they are stored, so that no encoder is between the formulas
and what is compared. The formulas are those of ITU-R BT.709, BT.1886, BT.2020, BT.2100 and SMPTE
ST 2084 in double precision: light in nits, signals from 0 to 1, red, green and blue along the last
axis.
"""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from untorn import Cache, Request
from untorn_fixtures.clips import ffmpeg_exe

Light = NDArray[np.float64]

WHITE_NITS = 203.0
HLG_PEAK_NITS = 1000.0
_D65 = (0.3127, 0.3290)
BT709 = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
BT601_525 = ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070))
BT2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
LUMA_709 = (0.2126, 0.7152, 0.0722)
LUMA_601 = (0.299, 0.587, 0.114)
LUMA_2020 = np.array((0.2627, 0.6780, 0.0593))

Primaries = Sequence[tuple[float, float]]


def _xyz(x: float, y: float) -> list[float]:
    return [x / y, 1, (1 - x - y) / y]


def _to_xyz(primaries: Primaries) -> Light:
    columns = np.array([_xyz(*each) for each in primaries]).T
    return columns * np.linalg.solve(columns, np.array(_xyz(*_D65)))


def between(light: Light, source: Primaries, target: Primaries) -> Light:
    """The same light in other primaries."""
    return light @ (np.linalg.inv(_to_xyz(target)) @ _to_xyz(source)).T


def rgb_of(yuv: Light, bits: int, luma: tuple[float, float, float], *, full: bool) -> Light:
    """The signals that integer samples of luma and chroma stand for."""
    step = 2.0 ** (bits - 8)
    top = 2.0**bits - 1
    y = yuv[..., 0] / top if full else (yuv[..., 0] - 16 * step) / (219 * step)
    chroma = (yuv[..., 1:] - 128 * step) / (top if full else 224 * step)
    red, green, blue = luma
    r, b = y + 2 * (1 - red) * chroma[..., 1], y + 2 * (1 - blue) * chroma[..., 0]
    return np.stack([r, (y - red * r - blue * b) / green, b], -1)


def sdr_light(signal: Light) -> Light:
    """BT.1886 with a black of no light."""
    return np.asarray(WHITE_NITS * np.clip(signal, 0, None) ** 2.4)


def sdr_signal(nits: Light) -> Light:
    return np.asarray(np.clip(nits / WHITE_NITS, 0, 1) ** (1 / 2.4))


_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32


def pq_signal(nits: Light) -> Light:
    power = np.clip(nits / 10_000, 0, 1) ** _M1
    return np.asarray(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2)


def pq_light(signal: Light) -> Light:
    power = np.clip(signal, 0, 1) ** (1 / _M2)
    return np.asarray(10_000 * (np.clip(power - _C1, 0, None) / (_C2 - _C3 * power)) ** (1 / _M1))


_A = 0.17883277
_B, _C = 1 - 4 * _A, 0.5 - _A * np.log(4 * _A)


def hlg_signal(nits: Light) -> Light:
    """Of a display of 1,000 nits, whose system gamma is 1.2."""
    display = np.clip(nits / HLG_PEAK_NITS, 0, None)
    luminance = np.maximum(display @ LUMA_2020, 1e-12)[..., None]
    scene = np.clip(display * luminance ** (1 / 1.2 - 1), 0, 1)
    high = _A * np.log(np.maximum(12 * scene - _B, 1e-12)) + _C
    return np.asarray(np.where(scene <= 1 / 12, np.sqrt(3 * scene), high))


def hlg_light(signal: Light) -> Light:
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - _C) / _A) + _B) / 12)
    return np.asarray(HLG_PEAK_NITS * scene * (scene @ LUMA_2020)[..., None] ** 0.2)


def tone_mapped(nits: Light, *, knee: float = 0.3, peak_nits: float = 1000) -> Light:
    """The brightest of the three bent by a Moebius curve above `knee`, the others alike."""
    light, peak = nits / WHITE_NITS, peak_nits / WHITE_NITS
    brightest = np.maximum(light.max(-1), 1e-6)
    a = -(knee**2) * (peak - 1) / (knee**2 - 2 * knee + peak)
    b = (knee**2 - 2 * knee * peak + peak) / (peak - 1)
    bent = (b * b + 2 * b * knee + knee**2) / (b - a) * (brightest + a) / (brightest + b)
    mapped = np.where(brightest <= knee, brightest, bent)
    return np.asarray(WHITE_NITS * light * (mapped / brightest)[..., None])


PQ, HLG, SDR = "sdr2hdr-smpte2084", "sdr2hdr-arib-std-b67", "hdr2sdr"
SIGNALS: dict[str, Callable[[Light], Light]] = {
    PQ: pq_signal,
    HLG: hlg_signal,
}
# The decoder's fast gamma is off by at most 15 codes of 16 bits near black (0.0002 nits), else 1.
TOLERANCE_CODES = {PQ: 16, HLG: 2}
SQUARES = "r=51*floor(6*X/W):g=85*floor(4*Y/H):b=mod(127*floor(6*X/W)+43*floor(4*Y/H)\\,256)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A source of flat squares: how it is stored, what it says of itself, what that means."""

    pixels: str
    size: tuple[int, int] = (96, 64)
    matrix: str = "bt709"
    told: str = ""
    full: bool = False
    bits: int = 8
    luma: tuple[float, float, float] = LUMA_709
    primaries: Primaries = BT709
    codec: str = "ffv1"
    alpha: bool = False


TAGS = "setparams=range={range}:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
LIMITED, FULL = TAGS.format(range="tv"), TAGS.format(range="pc")
KINDS = {
    "8 bits": Kind(pixels="yuv420p", told=LIMITED),
    "10 bits 4:4:4": Kind(pixels="yuv444p10le", told=LIMITED, bits=10),
    "12 bits 4:2:2": Kind(pixels="yuv422p12le", told=LIMITED, bits=12),
    "full range": Kind(pixels="yuv444p", told=FULL, full=True),
    "odd 4:2:0": Kind(pixels="yuv420p", size=(97, 67), told=LIMITED),
    "odd 4:2:0 of 10 bits": Kind(pixels="yuv420p10le", size=(97, 67), told=LIMITED, bits=10),
    "odd full range": Kind(pixels="yuv420p", size=(97, 67), told=FULL, full=True),
    "odd 4:4:4": Kind(pixels="yuv444p", size=(97, 67), told=LIMITED),
    "untagged and large": Kind(pixels="yuv420p", size=(1280, 720)),
    "untagged 525 lines": Kind(
        pixels="yuv420p", size=(720, 480), primaries=BT601_525, luma=LUMA_601, matrix="bt601"
    ),
    "untagged and small": Kind(pixels="yuv420p", size=(320, 180), luma=LUMA_601, matrix="bt601"),
    "semi-planar": Kind(
        pixels="nv12", size=(96, 64), codec="rawvideo", luma=LUMA_601, matrix="bt601"
    ),
    "RGB": Kind(pixels="rgb24", codec="png"),
    "RGB with alpha": Kind(pixels="rgba", codec="png", alpha=True),
    "planar RGB of 16 bits": Kind(pixels="gbrp16le", bits=16),
    "alpha beside YUV": Kind(pixels="yuva420p", told=LIMITED, alpha=True),
    "alpha of 10 bits": Kind(pixels="yuva444p10le", told=LIMITED, bits=10, alpha=True),
}


def encode(kind: Kind, folder: Path) -> Path:
    """One frame of flat squares, without loss."""
    steps = [
        f"color=size={kind.size[0]}x{kind.size[1]}:rate=1:duration=1,format=gbrp,geq={SQUARES}",
        "format=gbrap,colorchannelmixer=aa=0.5" if kind.alpha else "null",
        f"scale=out_color_matrix={kind.matrix}:out_range={'pc' if kind.full else 'tv'}",
        f"format={kind.pixels}",
        kind.told or "setparams=colorspace=unknown:color_primaries=unknown:color_trc=unknown",
    ]
    target = folder / ("clip.nut" if kind.codec == "rawvideo" else "clip.mkv")
    command = [ffmpeg_exe(), "-nostdin", "-v", "error", "-f", "lavfi", "-i", ",".join(steps)]
    options = ["-color_range", "pc" if kind.full else "tv", "-c:v", kind.codec]
    subprocess.run([*command, *options, str(target)], check=True)
    return target


def stored(path: Path) -> tuple[Light, bool]:
    """The samples of the first frame at the centres of the squares, and whether they are RGB."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    # Only the order of bytes changes here.
    same = {"nv12": "yuv420p", "rgb24": "gbrp", "rgba": "gbrap"}
    frame = frame.reformat(format=same.get(frame.format.name, frame.format.name))
    components = [each for each in frame.format.components if not each.is_alpha]
    found = []
    for each in components:
        plane = frame.planes[each.plane]
        kind = np.uint8 if each.bits == 8 else np.dtype("<u2")
        lines = np.frombuffer(bytes(plane), kind).reshape(plane.height, -1)
        rows = [(2 * row + 1) * each.height // 8 for row in range(4)]
        columns = [(2 * column + 1) * each.width // 12 for column in range(6)]
        found.append(lines[np.ix_(rows, columns)])
    return np.stack(found, -1).astype(np.float64), frame.format.is_rgb


def signals(path: Path, kind: Kind) -> Light:
    """What the stored samples stand for, from 0 to 1 (and beyond, where they leave the range)."""
    samples, is_rgb = stored(path)
    if is_rgb:
        return np.asarray(samples / (2.0**kind.bits - 1))
    return rgb_of(samples, kind.bits, kind.luma, full=kind.full)


def converted(root: Path, path: Path, transform: str) -> NDArray[Any]:
    """The first frame as the cache delivers it, in native depth."""
    with (
        Cache.open(root) as cache,
        cache.extract(Request(clip=path, fps=1, transform=transform)) as frames,
        av.open(frames.paths[0]) as image,
    ):
        return next(image.decode(video=0)).to_ndarray()


def centres(picture: NDArray[Any]) -> Light:
    """The pixels at the centres of the squares."""
    rows = [(2 * row + 1) * picture.shape[0] // 8 for row in range(4)]
    columns = [(2 * column + 1) * picture.shape[1] // 12 for column in range(6)]
    return picture[np.ix_(rows, columns)].astype(np.float64)


@pytest.mark.parametrize("transform", [PQ, HLG])
@pytest.mark.parametrize("name", KINDS)
def test_sdr_becomes_the_hdr_of_the_standards(
    root: Path, tmp_path: Path, name: str, transform: str
) -> None:
    kind = KINDS[name]
    path = encode(kind, tmp_path)
    picture = converted(root, path, transform)
    light = sdr_light(signals(path, kind))
    wanted = SIGNALS[transform](between(light, kind.primaries, BT2020)) * 65535
    assert (str(picture.dtype), picture.shape[:2]) == ("uint16", kind.size[::-1])
    assert np.abs(centres(picture)[..., :3] - wanted).max() <= TOLERANCE_CODES[transform]
    if kind.alpha:
        assert set(np.unique(picture[..., 3])) <= {*range(32600, 32900)}


def gradient(transfer: str, folder: Path) -> Path:
    """Two rows of 64 squares: a ramp of grey, and colours of every hue; BT.2020, of 16 bits."""
    wave = "32767*(1+cos(2*PI*(floor(X/8)/64-{turn}/3)))"
    channels = (
        f"{name}=if(lt(Y\\,8)\\,65535*floor(X/8)/63\\,{wave.format(turn=turn)})"
        for turn, name in enumerate("rgb")
    )
    tags = f"range=pc:colorspace=gbr:color_primaries=bt2020:color_trc={transfer}"
    source = f"color=size=512x16:rate=1:duration=1,format=gbrp16le,geq={':'.join(channels)}"
    target = folder / "gradient.mkv"
    command = [ffmpeg_exe(), "-nostdin", "-v", "error", "-f", "lavfi", "-i"]
    command += [f"{source},setparams={tags}", "-c:v", "ffv1", str(target)]
    subprocess.run(command, check=True)
    return target


def stored_gradient(path: Path) -> Light:
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    return np.asarray(frame.to_ndarray(format="gbrp16le")[4::8, 4::8] / 65535.0)


@pytest.mark.parametrize(
    ("transfer", "light_of"), [("smpte2084", pq_light), ("arib-std-b67", hlg_light)]
)
def test_hdr_becomes_the_sdr_of_the_curve(
    root: Path, tmp_path: Path, transfer: str, light_of: Callable[[Light], Light]
) -> None:
    path = gradient(transfer, tmp_path)
    picture = converted(root, path, SDR)
    light = between(light_of(stored_gradient(path)), BT2020, BT709)
    wanted = sdr_signal(tone_mapped(light)) * 255
    assert (str(picture.dtype), picture.shape) == ("uint8", (16, 512, 3))
    assert np.abs(picture[4::8, 4::8] - wanted).max() <= 1


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_tone_mapped_greys_stay_grey_and_in_order(
    root: Path, tmp_path: Path, transfer: str
) -> None:
    greys = converted(root, gradient(transfer, tmp_path), SDR)[4, 4::8].astype(int)
    assert (greys.max(-1) - greys.min(-1)).max() <= 1
    assert (np.diff(greys[:, 1]) >= 0).all()
    assert (greys[0].tolist(), greys[-1].tolist()) == ([0] * 3, [255] * 3)


def test_white_stays_near_white(root: Path, tmp_path: Path) -> None:
    path = gradient("smpte2084", tmp_path)
    nits = pq_light(stored_gradient(path))[0, :, 1]
    greys = converted(root, path, SDR)[4, 4::8, 1]
    assert abs(np.interp(WHITE_NITS, nits, greys) - 217) <= 2
    assert (greys[nits > 1000] == 255).all()


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_channels_keep_their_places(root: Path, tmp_path: Path, transfer: str) -> None:
    path = gradient(transfer, tmp_path)
    hues, wanted = converted(root, path, SDR)[12, 4::8], stored_gradient(path)[1]
    for channel in range(3):
        pure = np.argmax(wanted[:, channel] - wanted.sum(-1))
        assert hues[pure].argmax() == channel
