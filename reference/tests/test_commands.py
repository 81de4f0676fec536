"""The command line as a user meets it: one line a mistake, its exit code, and no traceback."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from untorn import cli
from untorn.exit_codes import MEANINGS, ExitCode
from untorn.transform import Transform
from untorn_fixtures.clips import clip

REFERENCE = Path(__file__).resolve().parents[1]
LIMIT_S = 120

Run = Callable[..., subprocess.CompletedProcess[bytes]]


def environment(root: Path, **variables: str) -> dict[str, str]:
    path = {"PYTHONPATH": str(REFERENCE), "UNTORN_CACHE_DIR": str(root)}
    return {**os.environ, **path, **variables}


def command(*arguments: str | bytes) -> list[str | bytes]:
    return [sys.executable, "-W", "error", "-m", "untorn", *arguments]


@pytest.fixture
def untorn(tmp_path: Path) -> Run:
    """Run a command on a fresh root to its end."""

    def run(*arguments: str | bytes, **variables: str) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            command(*arguments),
            env={**environment(tmp_path / "root", TMPDIR=str(tmp_path)), **variables},
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert b"Traceback" not in done.stderr, done.stderr.decode("utf-8", "replace")
        return done

    return run


def test_a_miss_and_then_a_hit_print_one_directory(untorn: Run) -> None:
    first = untorn("extract", str(clip("sdr")), "--fps", "30")
    again = untorn("extract", str(clip("sdr")), "--fps", "30")
    assert (first.returncode, again.returncode) == (0, 0)
    assert first.stdout == again.stdout
    assert len(list(Path(os.fsdecode(first.stdout.strip())).glob("frame_*.png"))) == 60
    assert first.stderr.startswith(b"miss (absent): 60 frames extracted in ")
    assert again.stderr.startswith(b"hit: 60 frames in ")


def test_json_is_one_object_on_stdout(untorn: Run) -> None:
    done = untorn("extract", str(clip("sdr")), "--fps", "30", "--json")
    told = json.loads(done.stdout)
    assert (told["delivery"], told["miss"], len(told["frames"])) == ("published", "absent", 60)


BAD_VALUES = {
    "fps 0": ("--fps", "0"),
    "fps negative": ("--fps", "-1"),
    "fps nan": ("--fps", "nan"),
    "fps inf": ("--fps", "inf"),
    "fps 1/0": ("--fps", "1/0"),
    "fps text": ("--fps", "fast"),
    "format": ("--fps", "30", "--format", "gif"),
    "start negative": ("--fps", "30", "--start", "-1"),
    "duration 0": ("--fps", "30", "--duration", "0"),
    "quality of png": ("--fps", "30", "--quality", "90"),
    "transform": ("--fps", "30", "--transform", "hdr"),
    "HDR in jpg": ("--fps", "30", "--format", "jpg", "--transform", "sdr2hdr-smpte2084"),
    "quality 0": ("--fps", "30", "--format", "jpg", "--quality", "0"),
    "no fps": (),
    "unknown option": ("--fps", "30", "--sideways"),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """Run a command in this process, on a fresh root, to its exit code."""
    monkeypatch.setenv("UNTORN_CACHE_DIR", str(tmp_path / "root"))
    taken = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in taken]
    yield lambda *arguments: cli.run(cli.cli, [*arguments])
    for number, handler in zip(taken, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("name", BAD_VALUES)
def test_a_bad_value_is_a_usage_error_and_writes_nothing(
    here: Callable[..., int], name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert here("extract", str(clip("sdr")), *BAD_VALUES[name]) == ExitCode.USAGE
    out, errors = capfd.readouterr()
    assert (out, bool(errors.strip())) == ("", True)
    assert not list((tmp_path / "root").glob("v1/*"))


@pytest.mark.parametrize("name", ["fps 0", "unknown option"])
def test_a_usage_error_is_how_the_process_ends(untorn: Run, name: str, tmp_path: Path) -> None:
    done = untorn("extract", str(clip("sdr")), *BAD_VALUES[name])
    assert done.returncode == ExitCode.USAGE
    assert done.stderr.strip()
    assert not list((tmp_path / "root").glob("v1/*"))


@pytest.mark.parametrize("name", ["truncated", "headless", "audio_only", "not_a_video", "empty"])
def test_a_broken_clip_is_named_and_nothing_is_published(
    untorn: Run, name: str, tmp_path: Path
) -> None:
    done = untorn("extract", str(clip(name)), "--fps", "30")
    expected = ExitCode.DECODER if name == "truncated" else ExitCode.CLIP
    assert done.returncode == expected, done.stderr
    assert done.stderr.startswith(b"untorn: ")
    assert not list((tmp_path / "root").glob("v1/*"))
    assert not list((tmp_path / "root").glob("staging/*"))


def test_a_conversion_has_an_entry_of_its_own(untorn: Run) -> None:
    short = ("extract", str(clip("hdr10")), "--fps", "5", "--duration", "0.2")
    plain, mapped = untorn(*short), untorn(*short, "--transform", "hdr2sdr")
    again = untorn(*short, "--transform", "hdr2sdr")
    assert mapped.stderr.startswith(b"miss (absent): ")
    assert again.stderr.startswith(b"hit: ")
    assert mapped.stdout == again.stdout != plain.stdout


def test_a_conversion_that_does_not_fit_is_a_mistake_of_the_clip(untorn: Run) -> None:
    done = untorn("extract", str(clip("sdr")), "--fps", "5", "--transform", "hdr2sdr")
    assert done.returncode == ExitCode.CLIP
    assert done.stderr.strip().endswith(b"is SDR already: hdr2sdr is for PQ and HLG")


def test_help_names_every_conversion(untorn: Run) -> None:
    text = untorn("extract", "--help", COLUMNS="200").stdout.decode()
    assert all(name in text for name in Transform)


def test_a_missing_clip_a_directory_and_a_range_past_the_end(untorn: Run, tmp_path: Path) -> None:
    missing = untorn("extract", str(tmp_path / "missing.mp4"), "--fps", "30")
    directory = untorn("extract", str(tmp_path), "--fps", "30")
    past = untorn("extract", str(clip("sdr")), "--fps", "30", "--start", "3600")
    assert [done.returncode for done in (missing, directory, past)] == [ExitCode.CLIP] * 3
    assert b"No such file" in missing.stderr
    assert b"is a directory" in directory.stderr
    assert b"the clip ends at" in past.stderr


@pytest.mark.parametrize(
    "name", [b"new\nline.mp4", b"not-utf8-\xff.mp4", b"-i.mp4", b"a%05d:b.mp4"]
)
def test_any_name_of_a_clip_works(untorn: Run, name: bytes, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/" + name
    os.link(clip("sdr"), path) if _same_device(tmp_path) else _copy(clip("sdr"), path)
    done = untorn("extract", path, "--fps", "30", "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["frames"]) == 60


def _same_device(folder: Path) -> bool:
    return clip("sdr").stat().st_dev == folder.stat().st_dev


def _copy(source: Path, target: bytes) -> None:
    with open(target, "xb") as file:
        file.write(source.read_bytes())


def test_an_error_message_is_one_line_whatever_the_name_holds(untorn: Run, tmp_path: Path) -> None:
    done = untorn("extract", os.fsencode(tmp_path) + b"/a\nb\x1b[31m\xff.mp4", "--fps", "30")
    assert done.returncode == ExitCode.CLIP
    assert done.stderr.count(b"\n") == 1
    assert b"\x1b" not in done.stderr


def test_a_root_with_any_bytes_in_its_name_is_printed_as_it_is(untorn: Run, tmp_path: Path) -> None:
    root = os.fsencode(tmp_path) + b"/root\xff"
    done = untorn("extract", str(clip("sdr")), "--fps", "30", "--cache-dir", root)
    assert done.returncode == 0
    assert done.stdout.startswith(root + b"/v1/")
    assert untorn("stats", "--cache-dir", root).returncode == 0


def test_a_root_that_is_unsafe_is_refused(untorn: Run, tmp_path: Path) -> None:
    file, link, open_to_all = tmp_path / "file", tmp_path / "link", tmp_path / "open"
    file.write_bytes(b"")
    link.symlink_to(tmp_path)
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    for root in (file, link, open_to_all):
        done = untorn("extract", str(clip("sdr")), "--fps", "30", UNTORN_CACHE_DIR=str(root))
        assert done.returncode == ExitCode.ROOT, (root, done.stderr)
    assert list(open_to_all.iterdir()) == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("UNTORN_CACHE_MAX_MB", "-1"),
        ("UNTORN_CACHE_MAX_MB", "nan"),
        ("UNTORN_CACHE_MAX_MB", "much"),
        ("UNTORN_CACHE_MIN_AGE_S", "-1"),
        ("UNTORN_CACHE_DURABILITY", "forever"),
        ("UNTORN_CACHE_VERIFY", "maybe"),
    ],
)
def test_a_bad_variable_is_named(untorn: Run, variable: str, value: str) -> None:
    done = untorn("stats", **{variable: value})
    assert done.returncode == ExitCode.USAGE
    assert variable.encode() in done.stderr


def test_no_decoder_is_named(untorn: Run) -> None:
    done = untorn("extract", str(clip("sdr")), "--fps", "30", UNTORN_FFMPEG="no-such-ffmpeg")
    assert done.returncode == ExitCode.DECODER
    assert b"UNTORN_FFMPEG" in done.stderr


def test_a_cache_that_is_off_keeps_the_frames_for_the_user(untorn: Run) -> None:
    done = untorn("extract", str(clip("sdr")), "--fps", "30", UNTORN_CACHE_DIR="off")
    assert done.returncode == 0
    assert b"uncached" in done.stderr
    assert len(os.listdir(done.stdout.strip())) == 60


def test_output_is_a_new_directory_of_the_users(untorn: Run, tmp_path: Path) -> None:
    target = tmp_path / "out"
    arguments = ("extract", str(clip("sdr")), "--fps", "30", "--output", str(target))
    assert untorn(*arguments).stdout.strip() == os.fsencode(target)
    assert len(os.listdir(target)) == 60
    assert untorn(*arguments).returncode == ExitCode.USAGE


OUTPUTS: dict[str, tuple[Callable[[Path], str], str]] = {
    "no name": (lambda _: "", "is no name"),
    "there already": (str, "exists already"),
    "a missing folder": (lambda here: f"{here}/missing/out", "missing is not a directory"),
    "a file": (lambda _: f"{clip('sdr')}/out", "Not a directory"),
    "too long": (lambda here: f"{here}/{'a' * 300}", "File name too long"),
    "a folder of the kernel's": (lambda _: "/proc/self/fd/out", "/proc/self/fd"),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_output_that_cannot_be_made_is_a_line_before_anything_is_decoded(
    untorn: Run, tmp_path: Path, name: str
) -> None:
    wanted, message = OUTPUTS[name]
    arguments = ("extract", str(clip("sdr")), "--fps", "30", "--output", wanted(tmp_path))
    done = untorn(*arguments)
    assert (done.returncode, done.stderr.count(b"\n")) == (ExitCode.USAGE, 1)
    assert message in done.stderr.decode()
    assert name.startswith("a folder of") or not (tmp_path / "root").exists()


def test_output_in_a_folder_of_somebody_elses_is_a_line(
    open_path: Path, nobody: int, child: Any
) -> None:
    """The folder can be seen and not written."""
    closed = open_path / "closed"
    closed.mkdir(mode=0o500)
    os.chown(closed, nobody, -1)
    one = child(
        """
from untorn.export import require_new
try: require_new(sys.argv[1], "--output")
except ConfigError as error: say(error)
""",
        closed / "out",
        uid=nobody,
    )
    assert one.heard() == f"--output: {closed} cannot be written"


@pytest.mark.parametrize("more", [[], ["--json"]], ids=["plain", "json"])
def test_stdout_that_is_full_is_a_line_and_an_exit_code(tmp_path: Path, more: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command("stats", *more),
            env=environment(tmp_path / "root"),
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=LIMIT_S,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        ExitCode.SYSTEM,
        b"untorn: No space left on device\n",
    )


def test_no_temporary_directory_is_a_line_and_an_exit_code(tmp_path: Path) -> None:
    """Frames that are in no cache have nowhere to go."""
    limits = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"
    done = subprocess.run(
        [
            *(sys.executable, "-c"),
            f"{limits}; sys.argv[0] = 'untorn'; runpy.run_module('untorn', run_name='__main__')",
            *("extract", str(clip("sdr")), "--fps", "30"),
        ],
        env=environment(tmp_path, UNTORN_CACHE_DIR="off"),
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == ExitCode.SYSTEM, done.stderr
    assert b"No usable temporary directory" in done.stderr
    assert b"Traceback" not in done.stderr


def test_gc_says_what_it_did_and_a_dry_run_what_it_would_do(untorn: Run) -> None:
    untorn("extract", str(clip("sdr")), "--fps", "30")
    arguments = ("gc", "--budget-mb", "0", "--min-age-s", "0", "--json")
    would = json.loads(untorn(*arguments, "--dry-run").stdout)
    did = json.loads(untorn(*arguments).stdout)
    assert (would["evicted"], did["evicted"]) == (1, 1)
    assert would["freed_bytes"] == did["freed_bytes"] > 0
    assert json.loads(untorn("stats", "--json").stdout)["entries"] == 0


def test_doctor_is_well_on_a_fresh_root_and_names_what_is_not(untorn: Run, tmp_path: Path) -> None:
    checks = json.loads(untorn("doctor", "--json").stdout)["checks"]
    assert [check["name"] for check in checks if not check["well"]] in ([], ["free space"])
    (tmp_path / "open").mkdir(mode=0o777)
    (tmp_path / "open").chmod(0o777)
    assert untorn("doctor", "--cache-dir", str(tmp_path / "open")).returncode == ExitCode.ROOT
    assert untorn("doctor", UNTORN_FFMPEG="nowhere").returncode == ExitCode.DECODER


def test_help_names_every_variable_and_every_exit_code(untorn: Run) -> None:
    text = untorn("--help").stdout.decode()
    for meaning in MEANINGS.values():
        assert meaning in text
    for name in ("DIR", "MAX_MB", "MIN_AGE_S", "DURABILITY", "VERIFY"):
        assert f"UNTORN_CACHE_{name}" in text
    assert "\x1b" not in text


SLOW_FFMPEG = """#!/bin/sh
case "$*" in *-version*) exec {ffmpeg} "$@";; esac
echo started > {fifo}
exec {ffmpeg} -re "$@"
"""


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)],
)
def test_being_told_to_stop_leaves_nothing_behind(
    number: signal.Signals, code: ExitCode, tmp_path: Path
) -> None:
    """The decoder is slowed to real time, so the signal comes while it writes."""
    from untorn_fixtures.clips import ffmpeg_exe  # noqa: PLC0415

    fifo, wrapper = tmp_path / "fifo", tmp_path / "ffmpeg"
    os.mkfifo(fifo)
    wrapper.write_text(SLOW_FFMPEG.format(ffmpeg=ffmpeg_exe(), fifo=fifo))
    wrapper.chmod(0o755)
    process = subprocess.Popen(
        command("extract", str(clip("sdr")), "--fps", "30"),
        env=environment(tmp_path / "root", UNTORN_FFMPEG=str(wrapper)),
        stderr=subprocess.PIPE,
    )
    assert fifo.read_text() == "started\n"
    process.send_signal(number)
    _, errors = process.communicate(timeout=LIMIT_S)
    assert process.returncode == code
    assert b"Traceback" not in errors
    assert not list((tmp_path / "root").glob("v1/*"))
    assert not list((tmp_path / "root").glob("staging/*"))
