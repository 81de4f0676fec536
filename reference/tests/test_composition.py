"""What a composition file means, and what each mistake in one is told as; no clip is looked at."""

import os
import re
from fractions import Fraction
from pathlib import Path

import pytest
from untorn.composition import MAX_BYTES, Composition, parse, read
from untorn.errors import CompositionError
from untorn.exit_codes import ExitCode, of_error
from untorn.key import FrameFormat
from untorn.request import Identity, Request

WHOLE = """
fps = "30000/1001"
format = "jpg"
quality = 90
identity = "content"
tone_map = true

[[clip]]
path = "a.mp4"

# A comment that says [[clip]] is none.
[[ clip ]]
path = "/elsewhere/b.mov"
start = 0.1
duration = "1001/30000"
fps = 29.97
format = "png"
identity = "stat"

[[clip]]
path = "../c.webm"
start = 7
quality = 5
final_frame = true
transform = "hdr2sdr"
"""


def parsed(text: str) -> Composition:
    return parse(text, directory="/films", file="c.toml")


def told(text: str) -> str:
    """The one line that a bad composition is told as."""
    with pytest.raises(CompositionError) as caught:
        parsed(text)
    line = str(caught.value)
    assert line.isprintable()
    assert line.startswith("c.toml")
    assert of_error(caught.value) is ExitCode.USAGE
    return line


def test_every_key_has_its_meaning() -> None:
    done = parsed(WHOLE)
    assert done.tone_map is True
    assert done.requests == (
        Request(
            clip="/films/a.mp4",
            fps=Fraction(30000, 1001),
            format=FrameFormat.JPG,
            start=Fraction(0),
            quality=90,
            identity=Identity.CONTENT,
        ),
        Request(
            clip="/elsewhere/b.mov",
            fps=Fraction(2997, 100),
            format=FrameFormat.PNG,
            start=Fraction(1, 10),
            duration=Fraction(1001, 30000),
        ),
        Request(
            clip="/films/../c.webm",
            fps=Fraction(30000, 1001),
            format=FrameFormat.JPG,
            start=Fraction(7),
            quality=5,
            identity=Identity.CONTENT,
            final_frame=True,
            transform="hdr2sdr",
        ),
    )


def test_clips_are_called_by_number_and_line() -> None:
    assert parsed(WHOLE).names == ("clip 1 (line 8)", "clip 2 (line 12)", "clip 3 (line 20)")


def test_line_is_left_out_where_it_is_not_certain() -> None:
    string = 'fps = 30\n[[clip]]\npath = """\n[[clip]]\n"""\n'
    inline = 'fps = 30\nclip = [{path = "a"}, {path = "b"}]\n'
    assert parsed(string).names == ("clip 1",)
    assert parsed(inline).names == ("clip 1", "clip 2")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0.1", Fraction(1, 10)),
        ("1e-3", Fraction(1, 1000)),
        ("0.30000000000000004", Fraction("0.30000000000000004")),
        ('"0.1"', Fraction(1, 10)),
        ('" 1/3 "', Fraction(1, 3)),
        ("10_0", Fraction(100)),
        ("0x10", Fraction(16)),
    ],
)
def test_number_is_exactly_what_is_written(value: str, seconds: Fraction) -> None:
    (request,) = parsed(f'[[clip]]\npath = "a"\nfps = 30\nstart = {value}\n').requests
    assert request.start == seconds
    assert isinstance(request.start, Fraction)


def test_default_quality_is_for_the_clips_that_are_jpg() -> None:
    done = parsed(
        'fps = 30\nquality = 80\n[[clip]]\npath = "a"\n[[clip]]\npath = "b"\nformat = "JPG"\n'
    )
    assert [request.quality for request in done.requests] == [None, 80]


def test_one_range_twice_and_ranges_that_overlap_are_no_mistake() -> None:
    clip = '[[clip]]\npath = "a"\nduration = 2\n'
    done = parsed(f"fps = 30\n{clip}{clip}{clip}start = 1\n")
    assert len(done.requests) == 3
    assert done.requests[0] == done.requests[1]


CLIP = '[[clip]]\npath = "a"\n'
MISTAKES = {
    # the file's text -> what the line says behind the file's name
    "": ": no clip at all",
    "fps = 30": ": no clip at all",
    "clip = []": ": no clip at all",
    "[clip]\npath = 'a'": r": clip is a table; write \[\[clip\]\]",
    "clip = 7": r": clip must be tables: write \[\[clip\]\]",
    "clip = [7]": r": clip must be tables: write \[\[clip\]\]",
    "fps = ": ", line 1: not TOML: Invalid value",
    "fps = 30\n[[clip]": ", line 2: not TOML: ",
    "fps = 30\nfps = 25": ", line 2: not TOML: Cannot overwrite a value",
    "fps = '": ", line 1: not TOML: ",
    "\x1b[31m = 1": ", line 1: not TOML: ",
    f"fps = {'9' * 5000}\n{CLIP}": ": Exceeds the limit",
    f"fps = {'[' * 20_000}": ": nested too deeply",
    f"fsp = 30\n{CLIP}": r": unknown key fsp; did you mean fps\?",
    f"Format = 'png'\n{CLIP}": r": unknown key Format; did you mean format\?",
    f"[[clips]]\n{CLIP}": r": unknown key clips; did you mean clip\?",
    f"zzz = 30\n{CLIP}": ": unknown key zzz; known are clip, format, fps, ",
    f'"a\\nb" = 30\n{CLIP}': r": unknown key 'a\\nb'; known are",
    f"path = 'x'\n{CLIP}": r": path is of one clip: write it below a \[\[clip\]\]",
    f"duration = 3\n{CLIP}": ": duration is of one clip",
    f"{CLIP}tone_map = true": r", clip 1 \(line 1\): tone_map is of the whole render",
    f"{CLIP}fps = 30\n{CLIP}durration = 3": (
        r", clip 2 \(line 4\): unknown key durration; did you mean duration\?"
    ),
    f"fps = true\n{CLIP}": ": fps must be a number, or text .*, not true",
    f"fps = 1979-05-27\n{CLIP}": ": fps must be a number, or text ",
    f"fps = [30]\n{CLIP}": r": fps must be a number, or text .*, not \[30\]",
    f"tone_map = 1\n{CLIP}": ": tone_map must be true or false, not 1",
    f"{CLIP}fps = 30\nfinal_frame = 'yes'": ", clip 1 .*: final_frame must be true or false, not ",
    f"final_frame = true\n{CLIP}": ": final_frame is of one clip",
    f"format = 1\n{CLIP}": ": format must be text, not 1",
    f"{CLIP}fps = 30\nquality = 9.5": r", clip 1 \(line 1\): quality must be a whole number, not 9",
    f"{CLIP}fps = 30\nquality = '9'": ", clip 1 .*: quality must be a whole number, not '9'",
    f"{CLIP}fps = 30\nstart = 07:32:00": ", clip 1 .*: start must be a number",
    "fps = 30\n[[clip]]\nstart = 1": r", clip 1 \(line 2\): no path",
    "fps = 30\n[[clip]]\npath = ''": r", clip 1 \(line 2\): an empty path",
    "fps = 30\n[[clip]]\npath = 7": r", clip 1 \(line 2\): path must be text, not 7",
    'fps = 30\n[[clip]]\npath = "a\\u0000b"': ", clip 1 .*: no path holds a zero byte",
    CLIP: r", clip 1 \(line 1\): no fps, and none above",
    f"{CLIP}fps = 0": ", clip 1 .*: fps must be above 0",
    f"{CLIP}fps = -1": ", clip 1 .*: fps must be above 0",
    f"{CLIP}fps = nan": ", clip 1 .*: fps must be a finite number",
    f"{CLIP}fps = inf": ", clip 1 .*: fps must be a finite number",
    f"{CLIP}fps = '1/0'": ", clip 1 .*: fps has a zero denominator",
    f"{CLIP}fps = 'fast'": ", clip 1 .*: fps must be a number such as",
    f"{CLIP}fps = '{'9' * 200}'": ", clip 1 .*: fps is out of range",
    f"{CLIP}fps = 1e300": ", clip 1 .*: fps ",
    f"{CLIP}fps = 30\nstart = -1": ", clip 1 .*: start must be from 0",
    f"{CLIP}fps = 30\nstart = -0.0": ", clip 1 .*: start must not be negative zero",
    f"{CLIP}fps = 30\nduration = 0": ", clip 1 .*: duration must be above 0",
    f"{CLIP}fps = 30\nformat = 'gif'": ", clip 1 .*: format must be one of png, jpg, not 'gif'",
    f"{CLIP}fps = 30\nidentity = 'name'": ", clip 1 .*: identity must be one of stat, content",
    f"{CLIP}fps = 30\ntransform = 'sepia'": ", clip 1 .*: .*sepia",
    f"{CLIP}fps = 30\nformat = 'jpg'\ntransform = 'sdr2hdr-smpte2084'": ", clip 1 .*: .* of jpg",
    f"{CLIP}fps = 30\nquality = 90": ", clip 1 .*: png is lossless: quality is for jpg alone",
    f"{CLIP}fps = 30\nformat = 'jpg'\nquality = 0": ", clip 1 .*: quality must be a whole number",
    f"quality = 101\nformat = 'jpg'\nfps = 30\n{CLIP}": ", clip 1 .*: quality must be a whole",
}


@pytest.mark.parametrize("text", MISTAKES, ids=lambda text: repr(text[:40]))
def test_mistake_is_one_line_with_its_place(text: str) -> None:
    assert re.match("c.toml" + MISTAKES[text], told(text))


def test_file_is_read_and_its_clips_start_at_its_directory(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(f"fps = 30\r\n{CLIP}")
    (request,) = read(tmp_path / "c.toml").requests
    assert request.clip == str(tmp_path / "a")


def test_relative_file_is_read_from_where_we_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "c.toml").write_text(f"fps = 30\n{CLIP}")
    monkeypatch.chdir(tmp_path)
    assert read("c.toml").requests[0].clip == str(tmp_path / "a")


def missing(_: Path) -> None:
    """Nothing is made."""


def not_utf8(path: Path) -> None:
    path.write_bytes(b"fps = 30\n# \xff\n")


def too_large(path: Path) -> None:
    path.touch()
    os.truncate(path, MAX_BYTES + 1)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (missing, "No such file or directory"),
        (Path.mkdir, "Is a directory"),
        (not_utf8, "line 2: not UTF-8"),
        (too_large, "is larger than"),
    ],
)
def test_file_that_cannot_be_read_is_named(tmp_path: Path, make: object, says: str) -> None:
    assert callable(make)
    make(tmp_path / "a\nb.toml")
    with pytest.raises(CompositionError, match=says) as caught:
        read(tmp_path / "a\nb.toml")
    assert str(caught.value).isprintable()
    assert "b.toml" in str(caught.value)
