"""Extract with a decoder that fails, falls short or is interrupted (D5, C5)."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from untorn import (
    Cache,
    DecoderError,
    Delivery,
    Frames,
    Request,
)

Child = Callable[..., Any]


def short(path: Path | str) -> Request:
    """Six frames."""
    return Request(clip=path, fps=30, duration="0.2")


def data_of(frames: Frames) -> list[bytes]:
    return [frames.read(index) for index in range(len(frames))]


@pytest.mark.parametrize("name", ["/nowhere/ffmpeg", "no-such-command", "/", "/etc/passwd"])
def test_decoder_that_does_not_run_is_named(
    cache: Cache, sdr: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("UNTORN_FFMPEG", name)
    with pytest.raises(DecoderError, match=name):
        cache.extract(short(sdr))


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "exits": ({"before": "echo went wrong >&2; exit 3"}, "exit code 3.*went wrong"),
    "killed": ({"before": "kill -9 $$"}, "signal SIGKILL"),
    "killed by a real-time signal": ({"before": "kill -40 $$"}, "signal 40"),
    "silent": ({"decode": False}, "no frame"),
    "fails behind its frames": ({"after": "code=1"}, "exit code 1"),
    "falls short": ({"after": "rm frame_00004.* frame_00005.* frame_00006.*"}, "fell short"),
    "leaves a gap": ({"after": "rm frame_00003.png"}, "gap"),
    "leaves an empty frame": ({"after": "rm -f frame_00003.png; : > frame_00003.png"}, "empty"),
    "leaves something else": ({"after": "umask 0; mkdir frame_00007.png"}, "regular"),
}


@pytest.mark.parametrize("how", list(BROKEN))
def test_decoder_that_fails_publishes_nothing(
    cache: Cache, sdr: Path, decoder: Any, empty: Callable[[], bool], how: str
) -> None:
    script, message = BROKEN[how]
    decoder.script(**script)
    with pytest.raises(DecoderError, match=message):
        cache.extract(short(sdr))
    assert empty()


@pytest.mark.parametrize("how", list(BROKEN))
def test_decoder_that_fails_uncached_fails_the_same_way(
    sdr: Path, decoder: Any, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, message = BROKEN[how]
    decoder.script(**script)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    off = Cache.open(environ={"UNTORN_CACHE_DIR": "off"})
    with pytest.raises(DecoderError, match=message):
        off.extract(short(sdr))
    assert list((tmp_path / "tmp").iterdir()) == []


def test_extract_works_when_the_decoder_does_again(
    cache: Cache, sdr: Path, decoder: Any, expected: list[bytes]
) -> None:
    decoder.script(before="exit 1")
    with pytest.raises(DecoderError):
        cache.extract(short(sdr))
    decoder.script()
    with cache.extract(short(sdr)) as frames:
        assert (frames.delivery, data_of(frames)) == (Delivery.PUBLISHED, expected)


def test_another_decoder_has_another_key(cache: Cache, sdr: Path, decoder: Any) -> None:
    with cache.extract(short(sdr)) as before:
        decoder.script(after="# a newer release")
        with cache.extract(short(sdr)) as after:
            assert before.key != after.key


@pytest.mark.parametrize("memory", ["", "{", "[]", "[" * 60000, "damaged"])
def test_damaged_memory_of_decoders_costs_a_hash_and_no_key(
    cache: Cache, root: Path, sdr: Path, decoder: Any, child: Child, memory: str
) -> None:
    with cache.extract(short(sdr)) as frames:
        key = frames.key
    remembered = root / "ctl" / "decoders"
    if memory == "damaged":
        memory = remembered.read_text().replace('": "', '": "x')
    remembered.write_text(memory)
    other = child(
        """
from untorn import Request
cache = Cache.open(sys.argv[1])
with cache.extract(Request(clip=sys.argv[2], fps=30, duration="0.2")) as frames: say(frames.key)
""",
        root,
        sdr,
        UNTORN_FFMPEG=str(decoder.path),
    )
    assert other.heard() == key


def test_decoder_inherits_the_staging_and_no_other_descriptor(
    cache: Cache, sdr: Path, decoder: Any, root: Path, tmp_path: Path
) -> None:
    decoder.script(before=f"ls -l /proc/$$/fd > '{tmp_path}/fds'")
    cache.extract(short(sdr)).release()
    lines = (tmp_path / "fds").read_text().splitlines()
    inherited = [line.split(" -> ")[1] for line in lines if " -> " in line]
    ours = [target for target in inherited if target.startswith(str(root))]
    assert [Path(target).parent for target in ours] == [root / "staging"]


def test_interrupt_ends_the_decoder_and_leaves_nothing(
    root: Path, sdr: Path, decoder: Any, child: Child, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "started")
    decoder.script(before=f"echo $$ > '{tmp_path}/started'; exec sleep 1000")
    one = child(
        """
from untorn import Request
cache = Cache.open(sys.argv[1])
try: cache.extract(Request(clip=sys.argv[2], fps=30))
except KeyboardInterrupt: say("interrupted")
say(*os.listdir(os.path.join(sys.argv[1], "staging")), *os.listdir(sys.argv[1] + "/trash"))
""",
        root,
        sdr,
        UNTORN_FFMPEG=str(decoder.path),
    )
    pid = int((tmp_path / "started").read_text())
    os.kill(one.pid, signal.SIGINT)
    assert one.heard() == "interrupted"
    assert one.heard() == ""
    assert one.ended() == 0
    assert not Path(f"/proc/{pid}").exists()


def test_interrupt_inside_the_start_ends_the_decoder_too(
    root: Path, sdr: Path, decoder: Any, child: Child
) -> None:
    decoder.script(before="exec sleep 1000")
    one = child(
        """
real, pids = subprocess._fork_exec, []
def fork_exec(*arguments):
    pids.append(real(*arguments))
    if "-version" not in map(os.fsdecode, arguments[0]): signal.raise_signal(signal.SIGINT)
    return pids[-1]
subprocess._fork_exec = fork_exec
cache = Cache.open(sys.argv[1])
try: cache.extract(untorn.Request(clip=sys.argv[2], fps=30))
except KeyboardInterrupt: say("interrupted")
say(os.path.exists(f"/proc/{pids[-1]}"), os.listdir(sys.argv[1] + "/staging"))
if os.path.exists(f"/proc/{pids[-1]}"): os.kill(pids[-1], signal.SIGKILL)
""",
        root,
        sdr,
        UNTORN_FFMPEG=str(decoder.path),
    )
    assert one.heard() == "interrupted"
    assert one.heard() == "False []"


def test_progress_that_raises_ends_the_decoder_and_leaves_nothing(
    cache: Cache, sdr: Path, empty: Callable[[], bool], decoder: Any
) -> None:
    def stop(*_progress: object) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        cache.extract(short(sdr), stop)
    assert (decoder.decodes(), empty()) == (1, True)
