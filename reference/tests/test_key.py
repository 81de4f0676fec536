"""The key: every input that can change a byte is in it, and equal inputs agree everywhere."""

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from untorn import KeyInputError
from untorn.key import (
    FrameFormat,
    KeyInputs,
    SourceIdentity,
    canonical_bytes,
    compute_key,
    derive_key,
    exact,
    require_key,
)

REFERENCE = Path(__file__).resolve().parents[1]
PLAIN = KeyInputs(
    source=SourceIdentity(path="/clips/a.mp4", mtime_ns=1_700_000_000_000_000_001, size=4096),
    fps=Fraction(30000, 1001),
    format=FrameFormat.PNG,
    decoder="d" * 64,
)
FULL = replace(
    PLAIN,
    start_s=Fraction(1, 3),
    duration_s=Fraction(5, 2),
    format=FrameFormat.JPG,
    quality=90,
    transform="hdr10-to-sdr",
)
OTHER_PYTHON = """
import sys
sys.path.insert(0, sys.argv[1])
from fractions import Fraction
from untorn.key import FrameFormat, KeyInputs, SourceIdentity, compute_key
print(compute_key(KeyInputs(
    source=SourceIdentity(path="/clips/a\\udcff.mp4", mtime_ns=7, size=9),
    fps=Fraction(30000, 1001), format=FrameFormat.JPG, decoder="d", quality=90,
    start_s=Fraction(1, 3), duration_s=Fraction(5, 2), transform="t\\u00e9")))
"""
SAME = KeyInputs(
    source=SourceIdentity(path="/clips/a\udcff.mp4", mtime_ns=7, size=9),
    fps=Fraction(30000, 1001),
    format=FrameFormat.JPG,
    decoder="d",
    quality=90,
    start_s=Fraction(1, 3),
    duration_s=Fraction(5, 2),
    transform="t\u00e9",
)


def test_canonical_bytes_are_these() -> None:
    assert canonical_bytes(PLAIN) == (
        b"untorn-key-1\n"
        b'{"decoder":"' + b"d" * 64 + b'","format":"png","fps":"30000/1001",'
        b'"mtime_ns":1700000000000000001,"path":"/clips/a.mp4","size":4096,"start_s":"0/1"}'
    )


@pytest.mark.parametrize(
    ("inputs", "golden"),
    [
        (PLAIN, "95987c135a0c0de0679f787fc29067686ec05c61e1a9a7969bb068c8acc257b1"),
        (FULL, "f28a5b5bdb6a37164b8397f756ffaa0da63f216304e5d8f25b80712e37f37533"),
    ],
    ids=["plain", "full"],
)
def test_key_is_golden(inputs: KeyInputs, golden: str) -> None:
    assert compute_key(inputs) == golden


@pytest.mark.parametrize(
    "changed",
    [
        replace(FULL, source=replace(FULL.source, path="/clips/b.mp4")),
        replace(FULL, source=replace(FULL.source, mtime_ns=FULL.source.mtime_ns + 1)),
        replace(FULL, source=replace(FULL.source, size=4097)),
        replace(FULL, source=replace(FULL.source, content_sha256="0" * 64)),
        replace(FULL, fps=Fraction(2997, 100)),
        replace(FULL, start_s=Fraction(333333, 1000000)),
        replace(FULL, duration_s=Fraction(2)),
        replace(FULL, duration_s=None),
        replace(FULL, quality=91),
        replace(FULL, quality=None),
        replace(FULL, format=FrameFormat.PNG),
        replace(FULL, transform="hdr10-to-hlg"),
        replace(FULL, transform=None),
        replace(FULL, decoder="e" * 64),
    ],
    ids=lambda inputs: next(
        name for name in KeyInputs.__slots__ if getattr(inputs, name) != getattr(FULL, name)
    ),
)
def test_each_axis_changes_the_key(changed: KeyInputs) -> None:
    assert compute_key(changed) != compute_key(FULL)


@pytest.mark.parametrize("axis", ["duration_s", "quality", "transform"])
def test_absent_axis_is_not_in_the_canonical_bytes(axis: str) -> None:
    axes = json.loads(canonical_bytes(PLAIN).split(b"\n", 1)[1])
    assert axis not in axes


def test_content_identity_leaves_path_mtime_and_size_out() -> None:
    moved = replace(PLAIN.source, path="/elsewhere", mtime_ns=1, size=2, content_sha256="0" * 64)
    here = replace(PLAIN.source, content_sha256="0" * 64)
    assert compute_key(replace(PLAIN, source=moved)) == compute_key(replace(PLAIN, source=here))


def test_path_that_is_not_utf8_has_a_key_of_its_own() -> None:
    paths = [os.fsdecode(b"/clips/\xff.mp4"), os.fsdecode(b"/clips/\xfe.mp4"), "/clips/\u00ff.mp4"]
    keys = {compute_key(replace(PLAIN, source=replace(PLAIN.source, path=path))) for path in paths}
    assert len(keys) == len(paths)


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_key_is_the_same_in_another_process(seed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OTHER_PYTHON, str(REFERENCE)],
        env={**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == compute_key(SAME)


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_key_is_the_same_under_another_python(version: str) -> None:
    command = shutil.which(f"python{version}")
    if command is None:
        pytest.skip(f"UNKNOWN: no python{version} in PATH")
    env = {**os.environ, "PYENV_VERSION": version}
    if subprocess.run([command, "-V"], env=env, capture_output=True, check=False).returncode:
        pytest.skip(f"UNKNOWN: python{version} does not run")
    done = subprocess.run(
        [command, "-c", OTHER_PYTHON, str(REFERENCE)],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == compute_key(SAME)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (30, Fraction(30)),
        (29.97, Fraction(2997, 100)),
        (0.1, Fraction(1, 10)),
        ("30000/1001", Fraction(30000, 1001)),
        (" 25 ", Fraction(25)),
        ("1e3", Fraction(1000)),
        (Decimal("23.976"), Fraction(23976, 1000)),
        (Fraction(60000, 1001), Fraction(60000, 1001)),
        (0, Fraction(0)),
        (0.0, Fraction(0)),
    ],
)
def test_number_means_exactly_what_is_written(written: object, meant: Fraction) -> None:
    assert exact(written, "fps") == meant  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "written",
    [
        math.nan,
        math.inf,
        -math.inf,
        -0.0,
        "-0",
        "-0/7",
        "nan",
        "inf",
        "1/0",
        "",
        "thirty",
        "1/2/3",
        "30 fps",
        Decimal("NaN"),
        Decimal("Infinity"),
        Decimal("-0"),
        None,
        [30],
        b"30",
        "9" * 5000,
    ],
    ids=lambda value: repr(value)[:12],
)
def test_what_is_no_number_is_refused_by_name(written: object) -> None:
    with pytest.raises(KeyInputError, match="fps"):
        exact(written, "fps")  # type: ignore[arg-type]


def test_float_of_another_library_means_its_decimal() -> None:
    class Wide(float):
        def __repr__(self) -> str:
            return f"np.float64({float(self)})"

    assert exact(Wide(29.97), "fps") == Fraction(2997, 100)


@pytest.mark.parametrize("written", ["1e999999999", "1e-999999999", Decimal("1e999999")])
def test_exponent_that_would_take_hours_is_refused(written: str | Decimal) -> None:
    with pytest.raises(KeyInputError, match="fps"):
        exact(written, "fps")


@pytest.mark.parametrize(
    "wrong",
    [
        {"fps": Fraction(0)},
        {"fps": Fraction(-30)},
        {"fps": Fraction(10_001)},
        {"start_s": Fraction(-1)},
        {"start_s": Fraction(10**7 + 1)},
        {"duration_s": Fraction(0)},
        {"duration_s": Fraction(-1)},
        {"duration_s": Fraction(10**7 + 1)},
        {"quality": 0},
        {"quality": 101},
        {"quality": 95.0},
        {"quality": math.nan},
        {"quality": "95"},
        {"quality": True},
        {"decoder": ""},
        {"transform": ""},
        {"source": SourceIdentity(path="/a", mtime_ns=0, size=-1)},
    ],
    ids=str,
)
def test_input_out_of_range_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(KeyInputError):
        replace(FULL, **wrong)  # type: ignore[arg-type]


def test_derived_key_keeps_field_boundaries() -> None:
    assert len({derive_key("ab", "c"), derive_key("a", "bc"), derive_key("abc")}) == 3


def test_derived_key_takes_bytes_and_text_alike() -> None:
    assert derive_key("a\udcff", b"b") == derive_key(b"a\xff", "b")


@pytest.mark.parametrize(
    "name",
    ["", "a", "A" * 64, "g" * 64, "a" * 63, "a" * 65, "../" + "a" * 61, "a" * 64 + "\n", None, 7],
    ids=lambda value: repr(value)[:10],
)
def test_what_is_no_key_is_refused(name: str) -> None:
    with pytest.raises(KeyInputError):
        require_key(name)


def test_key_is_returned_as_it_is(key_of: Callable[[int], str]) -> None:
    assert require_key(key_of(7)) == key_of(7)
