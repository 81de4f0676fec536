"""`untorn render` as a user meets it: what it prints, where the frames are, and what it leaves."""

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from untorn import Cache, ConfigError, Frames
from untorn.exit_codes import ExitCode
from untorn.export import export
from untorn_fixtures.clips import clip, ffmpeg_exe

REFERENCE = Path(__file__).resolve().parents[1]
LIMIT_S = 120
HEAD = "fps = 30\n"
ITEM_KEYS = {
    "name", "clip", "origin", "leader", "error", "key", "delivery", "miss", "failure", "directory",
    "frames", "frame_bytes",
}  # fmt: skip
PHASE_KEYS = {
    "seconds", "total_s", "hits", "misses", "deduplicated", "extracted", "re_extracted",
    "supersets", "sliced", "waited", "published", "adopted", "uncached", "publish_failures",
    "evicted", "freed_bytes", "reaped", "degraded",
}  # fmt: skip

Render = Callable[..., subprocess.CompletedProcess[str]]


def table(path: Path | str, **values: object) -> str:
    lines = [
        f"[[clip]]\npath = '{path}'",
        *(f"{key} = {json.dumps(values[key])}" for key in values),
    ]
    return "\n".join(lines) + "\n"


def short(start: float = 0, **values: object) -> str:
    """A fifth of a second of the plain clip: six frames."""
    return table(clip("sdr"), start=start, duration="0.2", **values)


def environment(place: Path) -> dict[str, str]:
    """The root, and temporary files, below `place`."""
    (place / "tmp").mkdir(exist_ok=True)
    settings = {"UNTORN_CACHE_DIR": str(place / "root"), "TMPDIR": str(place / "tmp")}
    return {**os.environ, "PYTHONPATH": str(REFERENCE), **settings}


def command(place: Path, text: str, *options: str) -> list[str]:
    (place / "c.toml").write_text(text)
    program = [sys.executable, "-W", "error", "-m", "untorn", "render"]
    return [*program, str(place / "c.toml"), *options]


@pytest.fixture
def render(tmp_path: Path) -> Render:
    """Render a composition's text with options, to its end."""

    def run(text: str, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command(tmp_path, text, *options),
            env={**environment(tmp_path), **variables},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


def told(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def frames_in(directory: str | Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(Path(directory).iterdir()) if path.suffix]


def entry_frames(directory: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(directory).glob("frame_*")}


def test_each_clip_has_its_directory_and_its_line(render: Render) -> None:
    text = HEAD + short() + short(1) + short() + short(format="jpg", quality=80)
    done = render(text)
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert len(lines) == 4
    assert (lines[0] == lines[2], len(set(lines))) == (True, 3)
    assert [len(list(Path(line).glob("frame_*"))) for line in lines] == [6] * 4
    assert "clip 3 (line 10), sdr.mp4: 6 frames, the same as clip 1 (line 2)\n" in done.stderr
    assert "clip 4 (line 14), sdr.mp4: 6 frames, extracted (miss: absent)\n" in done.stderr
    assert "missed 3, extracted 3, equal to others 1\n" in done.stderr


def test_json_says_what_happened_and_again_when_all_is_there(render: Render) -> None:
    text = HEAD + short() + short(1) + short()
    first, second = told(render(text, "--json")), told(render(text, "--json"))
    assert (first["schema"], first["failed"]) == ("untorn/render/1", 0)
    assert all(set(item) == ITEM_KEYS for item in first["items"])
    assert set(first["phases"]) == PHASE_KEYS
    assert [item["origin"] for item in first["items"]] == ["extracted", "extracted", "shared"]
    assert [item["leader"] for item in first["items"]] == [None, None, 0]
    assert first["phases"]["misses"] == {"absent": 2}
    assert [item["origin"] for item in second["items"]] == ["hit", "hit", "shared"]
    assert (second["phases"]["hits"], second["phases"]["extracted"]) == (2, 0)
    assert [item["directory"] for item in first["items"]] == [
        item["directory"] for item in second["items"]
    ]


def test_range_of_a_longer_one_that_is_there_is_cut_out_of_it(render: Render) -> None:
    render(HEAD + table(clip("sdr")))
    done = render(HEAD + short(1) + short(1))
    assert "clip 1 (line 2), sdr.mp4: 6 frames, cut out of a longer range (miss: absent)\n" in (
        done.stderr
    )
    assert "missed 1, equal to others 1, cut out of longer ranges 1\n" in done.stderr


def test_ranges_that_overlap_are_decoded_once_and_that_is_told(render: Render) -> None:
    done = render(HEAD + short(0) + short(0.1) + short(1.5))
    for line in ("clip 1 (line 2)", "clip 2 (line 6)"):
        assert f"{line}, sdr.mp4: 6 frames, cut out of a longer range" in done.stderr
    assert "clip 3 (line 10), sdr.mp4: 6 frames, extracted" in done.stderr
    assert "missed 3, extracted 2, cut out of longer ranges 2\n" in done.stderr


def keys(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return [item["key"] for item in told(done)["items"]]


def test_option_and_file_say_whether_hdr_clips_become_sdr(render: Render) -> None:
    """The option has the last word; without either, SDR clips become what the HDR ones are."""
    hdr = {"duration": "0.1", "format": "png"}
    both = table(clip("hdr10"), **hdr) + short()
    plain = keys(render(f"{HEAD}{both}", "--json"))
    mapped = keys(render(f"{HEAD}tone_map = true\n{both}", "--json"))
    assert keys(render(f"{HEAD}{both}", "--json", "--tone-map")) == mapped
    assert keys(render(f"{HEAD}tone_map = true\n{both}", "--json", "--no-tone-map")) == plain
    named = table(clip("hdr10"), **hdr, transform="hdr2sdr"), short(transform="sdr2hdr-smpte2084")
    assert keys(render(HEAD + "".join(named), "--json")) == [mapped[0], plain[1]]
    assert not set(plain) & set(mapped)


def test_out_has_a_directory_a_clip_with_the_very_frames(render: Render, tmp_path: Path) -> None:
    text = HEAD + short() + short(1) + short()
    plain, out = told(render(text, "--json")), tmp_path / "out"
    done = told(render(text, "--json", "--out", str(out)))
    assert sorted(os.listdir(out)) == ["clip_001", "clip_002", "clip_003"]
    for item, cached in zip(done["items"], plain["items"], strict=True):
        assert entry_frames(item["directory"]) == entry_frames(cached["directory"])
        assert len(item["frames"]) == 6
    linked = (out / "clip_002" / "frame_00001.png").stat()
    assert linked.st_ino == Path(plain["items"][1]["directory"], "frame_00001.png").stat().st_ino


def test_copies_are_the_users_to_change(render: Render, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert render(HEAD + short(), "--out", str(out), "--copy").returncode == 0
    for frame in (out / "clip_001").iterdir():
        status = frame.stat()
        assert (status.st_nlink, bool(status.st_mode & 0o200)) == (1, True)


def test_out_outlives_the_entry(render: Render, tmp_path: Path) -> None:
    out, entry = tmp_path / "out", told(render(HEAD + short(), "--json"))["items"][0]["directory"]
    expected = frames_in(entry)
    render(HEAD + short(), "--out", str(out))
    subprocess.run(["rm", "-rf", str(tmp_path / "root")], check=True)
    assert frames_in(out / "clip_001") == [data for data in expected if data[:4] == b"\x89PNG"]


def test_what_is_in_the_way_of_out_is_left_and_nothing_is_rendered(
    render: Render, tmp_path: Path
) -> None:
    mine = tmp_path / "out" / "clip_002"
    mine.mkdir(parents=True)
    done = render(HEAD + short() + short(1), "--out", str(tmp_path / "out"))
    assert done.returncode == ExitCode.USAGE
    assert "clip_002 exists already" in done.stderr
    assert os.listdir(tmp_path / "out") == ["clip_002"]
    assert not (tmp_path / "root").exists()


def test_out_may_hold_other_things(render: Render, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    assert render(HEAD + short(), "--out", str(tmp_path / "out")).returncode == 0
    assert sorted(os.listdir(tmp_path / "out")) == ["clip_001", "notes.txt"]


@pytest.mark.parametrize("out", ["no/where", "c.toml", "c.toml/below", ""])
def test_out_that_cannot_be_made_is_one_line(render: Render, tmp_path: Path, out: str) -> None:
    done = render(HEAD + short(), "--out", out and str(tmp_path / out))
    assert done.returncode == ExitCode.USAGE
    (line,) = done.stderr.splitlines()
    assert line.startswith("untorn: --out: ")
    assert not (tmp_path / "root").exists()


def test_bad_clips_are_named_and_the_others_delivered(render: Render, tmp_path: Path) -> None:
    out = tmp_path / "out"
    text = HEAD + short() + table("missing.mp4") + table(clip("not_a_video")) + short(1)
    done = render(text, "--out", str(out))
    assert done.returncode == ExitCode.SOME_FAILED
    assert "clip 2 (line 6), missing.mp4: FAILED: " in done.stderr
    assert "No such file or directory" in done.stderr
    assert "clip 3 (line 8)" in done.stderr
    assert sorted(os.listdir(out)) == ["clip_001", "clip_004"]
    assert [bool(line) for line in done.stdout.splitlines()] == [True, False, False, True]
    items = told(render(text, "--json"))["items"]
    assert [item["error"] and item["error"]["error"] for item in items] == [
        None, "ClipError", "ClipError", None,
    ]  # fmt: skip
    assert [item["directory"] is None for item in items] == [False, True, True, False]


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_bad_composition_is_one_line_and_nothing_is_made(
    render: Render, tmp_path: Path, options: tuple[str, ...]
) -> None:
    done = render(f"{HEAD}{short()}[[clip]]\npth = 'a'\n", *options)
    assert done.returncode == ExitCode.USAGE
    (line,) = done.stderr.splitlines()
    assert line.endswith("c.toml, clip 2 (line 6): unknown key pth; did you mean path?")
    assert not (tmp_path / "root").exists()
    if options:
        assert told(done)["error"] == "CompositionError"


@pytest.mark.parametrize("options", [("--slots", "0"), ("--slots", "x"), ("--sideways",)])
def test_bad_option_is_a_usage_error(render: Render, options: tuple[str, ...]) -> None:
    assert render(HEAD + short(), *options).returncode == ExitCode.USAGE


def test_frames_that_are_in_no_entry_are_kept_for_the_user(render: Render) -> None:
    done = render(HEAD + short() + short() + short(1), UNTORN_CACHE_DIR="off")
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert lines[0] == lines[1]
    assert [len(os.listdir(line)) for line in lines] == [6, 6, 6]


def test_plain_progress_has_no_colours_and_one_line_a_clip_that_is_made(render: Render) -> None:
    text = HEAD + short() + short(1)
    render(HEAD + short())
    done = render(text)
    lines = [line for line in done.stderr.splitlines() if line.endswith(": extracting")]
    assert "\x1b" not in done.stderr
    assert lines in ([], ["clip 2 (line 6), sdr.mp4: extracting"])


def read_all(terminal: int) -> bytes:
    """What was written to the other end, until that is closed."""
    seen = b""
    while select.select([terminal], [], [], LIMIT_S)[0]:
        try:
            seen += os.read(terminal, 65536)
        except OSError:  # how Linux says that the other end of a terminal is closed
            return seen
    raise AssertionError("the terminal stayed open")


@pytest.mark.parametrize("verb", ["render", "extract"])
def test_terminal_shows_the_frames_that_ffmpeg_tells_of(tmp_path: Path, verb: str) -> None:
    """Slowed to real time, so that ffmpeg reports while it works; names are no markup."""
    (tmp_path / "ffmpeg").write_text(SLOW_FFMPEG.format(ffmpeg=ffmpeg_exe(), before=""))
    (tmp_path / "ffmpeg").chmod(0o755)
    video = shutil.copyfile(clip("sdr"), tmp_path / "[bold]its[.mp4")
    arguments = command(tmp_path, HEAD + table(os.path.basename(video)))
    if verb == "extract":
        arguments = [*arguments[:-2], verb, str(video), "--fps", "30"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        arguments,
        env={
            **environment(tmp_path),
            "UNTORN_FFMPEG": str(tmp_path / "ffmpeg"),
            "TERM": "xterm",
            "COLUMNS": "100",
        },
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        seen = read_all(ours).decode()
    os.close(ours)
    assert process.returncode == 0
    bars = [line for line in re.split(r"[\r\n]|\x1b\[2K", seen) if re.search(r"\d/60", line)]
    assert any(f"{done}/60" in line for line in bars for done in range(1, 60))
    assert all("[bold]its[.mp4" in line for line in bars)


SLOW_FFMPEG = """#!/bin/sh
case "$*" in *-version*) exec {ffmpeg} "$@";; esac
{before}
exec {ffmpeg} -re "$@"
"""


def processes_that_name(text: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = process.read_text("utf-8", "replace")
        except OSError:
            continue  # it has ended in between
        if text in line:
            found.append(line)
    return found


@pytest.fixture
def hears_hang_ups() -> Iterator[None]:
    """What we start is told of a hang-up, also where nohup keeps them from us."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, ExitCode.INTERRUPTED),
        (signal.SIGTERM, ExitCode.TERMINATED),
        (signal.SIGHUP, ExitCode.TERMINATED),
    ],
)
@pytest.mark.usefixtures("hears_hang_ups")
def test_being_told_to_stop_leaves_nothing_behind(
    number: signal.Signals, code: ExitCode, tmp_path: Path
) -> None:
    """Decoders are slowed to real time, so the signal comes while they write."""
    fifo, wrapper, place = tmp_path / "fifo", tmp_path / "ffmpeg", tmp_path / "place"
    os.mkfifo(fifo)
    place.mkdir()
    wrapper.write_text(SLOW_FFMPEG.format(ffmpeg=ffmpeg_exe(), before=f"echo started > {fifo}"))
    wrapper.chmod(0o755)
    video = shutil.copyfile(clip("sdr"), place / "a.mp4")
    text = HEAD + table(video) + table(video, fps=25)
    with subprocess.Popen(
        command(place, text, "--slots", "2", "--out", str(place / "out")),
        env={**environment(place), "UNTORN_FFMPEG": str(wrapper)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert fifo.read_text().startswith("started\n")
        process.send_signal(number)
        out, errors = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, out) == (code, b"")
    assert b"Traceback" not in errors
    assert processes_that_name(str(place)) == []
    assert not (place / "out").exists()
    assert os.listdir(place / "tmp") == []
    for name in ("v1", "staging", "trash"):
        assert os.listdir(place / "root" / name) == []


# --- export


@pytest.fixture
def held(cache: Cache, put: Callable[..., Frames], key_of: Callable[[int], str]) -> Any:
    """Two clips' frames, in hand."""
    clips = {f"clip_{number}": put(cache, key_of(number), hold=True) for number in (1, 2)}
    yield clips
    for frames in clips.values():
        frames.release()


@pytest.mark.parametrize("call", [("link", 1), ("link", 5), ("rename", 1), ("rename", 2)])
@pytest.mark.parametrize("there", [True, False])
def test_export_that_is_interrupted_takes_all_back(
    held: Mapping[str, Frames],
    tmp_path: Path,
    just_before: Any,
    call: tuple[str, int],
    there: bool,
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    target = tmp_path / "out"
    if there:
        target.mkdir()
    just_before(os, call[0], interrupt, call=call[1])
    with pytest.raises(KeyboardInterrupt):
        export(str(target), held, link=True)
    assert target.exists() is there
    assert not there or os.listdir(target) == []


def test_device_without_links_gets_copies(
    held: Mapping[str, Frames], tmp_path: Path, just_before: Any
) -> None:
    def refuse() -> None:
        raise PermissionError(1, "Operation not permitted")

    just_before(os, "link", refuse)
    export(str(tmp_path / "out"), held, link=True)
    links = {
        name: [path.stat().st_nlink for path in (tmp_path / "out" / name).iterdir()]
        for name in held
    }
    assert links == {"clip_1": [1, 1, 1], "clip_2": [2, 2, 2]}
    assert frames_in(tmp_path / "out" / "clip_1") == [b"frame 1", b"frame 2", b"frame 3"]


def test_export_that_fails_says_why_and_takes_all_back(
    held: Mapping[str, Frames], tmp_path: Path, just_before: Any
) -> None:
    def fill_the_disk() -> None:
        raise OSError(28, "No space left on device")

    just_before(os, "mkdir", fill_the_disk, call=4)
    with pytest.raises(ConfigError, match="No space left on device"):
        export(str(tmp_path / "out"), held, link=False)
    assert not (tmp_path / "out").exists()


def test_no_directory_is_seen_before_it_is_whole(
    held: Mapping[str, Frames], tmp_path: Path, just_before: Any
) -> None:
    seen: list[list[str]] = []
    just_before(os, "rename", lambda: seen.append(os.listdir(tmp_path / "out")))
    export(str(tmp_path / "out"), held, link=True)
    assert [[name for name in names if not name.startswith(".")] for names in seen] == [[]]
    assert sorted(os.listdir(tmp_path / "out")) == ["clip_1", "clip_2"]
