"""The memory of clips: what was found is not looked for again, and nothing wrong is believed."""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from untorn import Cache, ClipError, Identity, Origin, Request, SourceChangedError, memory, probes
from untorn import clip as clips
from untorn.clip import ClipInfo, SourceState
from untorn.memory import Memory
from untorn.root import Root
from untorn_fixtures.clips import clip

PATH = "/shots/a.mp4"
STATE = SourceState(device=1, inode=2, size=3, mtime_ns=4, ctime_ns=5)
INFO = ClipInfo(
    width=640, height=360, rate=Fraction(30), duration_s=None, pixel_format="yuv420p",
    transfer=clips.Transfer.SDR, codec="h264",
)  # fmt: skip
TODAY = int(time.time()) // 86400


def two(path: Path | str, **changes: Any) -> Request:
    """Two frames."""
    return Request(**{"clip": path, "fps": 30, "duration": "1/15", **changes})


def data(result: Any) -> list[list[bytes]]:
    return [[item.frames.read(n) for n in range(len(item.frames))] for item in result]


def about(path: str = PATH, state: SourceState = STATE) -> bytes:
    found = memory.about(path, state)
    assert found is not None
    return found


def line(told: str, day: object = TODAY) -> bytes:
    """A line that is whole, whatever it says."""
    words = b"%s %s %s" % (about(), str(day).encode(), told.encode())
    return words + b" " + memory._digest(words)


def told() -> list[bytes]:
    """What a sound line says, word by word."""
    words = memory._line(about(), TODAY, INFO).split(b" ")[2]
    return words.strip(b"[]").split(b",")


def counted(name: str, calls: list[str]) -> Callable[..., Any]:
    """A function of the memory that says that it was called."""
    real = getattr(memory, name)

    def call(*arguments: Any) -> Any:
        calls.append(name)
        return real(*arguments)

    return call


@pytest.fixture
def opened_root(cache: Cache) -> Root:
    root = cache.access.root()
    assert root is not None
    return root


@pytest.fixture
def file(root: Path) -> Path:
    return root / "ctl" / "probes"


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every clip had lain there for long."""
    monkeypatch.setattr(memory, "SETTLED_NS", 0)


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the clips that were opened, by a process that knew of none."""
    names: list[str] = []
    real = clips.probe

    def noted(path: str) -> ClipInfo:
        names.append(Path(path).name)
        return real(path)

    monkeypatch.setattr(clips, "probe", noted)
    probes.forget()
    return names


# --- renders


@pytest.mark.usefixtures("settled")
def test_new_process_serves_a_warm_render_without_opening_a_clip(
    render: Any, root: Path, sdr: Path, decoder: Any, child: Any
) -> None:
    probes.forget()
    first = render(two(sdr), two(clip("alpha_vp9")))
    other = child(
        """
from untorn import clip
def looked(path): raise AssertionError(path)
clip.probe = looked
with Cache.open(sys.argv[1]) as cache, \\
        cache.render([Request(clip=one, fps=30, duration="1/15") for one in sys.argv[2:]]) as done:
    say(*[item.origin for item in done])
    say(*[item.frames.key for item in done])
    say(cache.stats().counters["probes_remembered"])
""",
        *(root, sdr, clip("alpha_vp9")),
        UNTORN_FFMPEG=str(decoder.path),
    )
    assert other.heard() == "hit hit"
    assert other.heard().split() == [item.frames.key for item in first]
    assert other.heard() == "2"


@pytest.mark.usefixtures("settled", "decoder")
def test_render_reads_once_what_is_new_to_the_process_and_writes_once_what_was_opened(
    render: Any, sdr: Path, monkeypatch: pytest.MonkeyPatch, looked: list[str]
) -> None:
    calls: list[str] = []
    for name in ("read", "add"):
        monkeypatch.setattr(memory, name, counted(name, calls))
    wanted = [two(sdr), two(clip("vfr")), two(clip("sdr"))]
    for _ in range(2):
        render(*wanted)
    assert (calls, len(looked)) == (["read", "add"], 3)


@pytest.mark.usefixtures("settled", "decoder")
def test_warm_render_of_a_new_process_writes_nothing(
    render: Any, sdr: Path, file: Path, looked: list[str]
) -> None:
    render(two(sdr))
    before = file.stat()
    probes.forget()
    result = render(two(sdr))
    after = file.stat()
    assert (before.st_mtime_ns, before.st_ctime_ns) == (after.st_mtime_ns, after.st_ctime_ns)
    assert (looked, result[0].origin) == (["sdr.mp4"], Origin.HIT)


@pytest.mark.usefixtures("settled", "decoder")
@pytest.mark.parametrize("in_place", [True, False])
def test_clip_that_was_rewritten_with_size_and_mtime_restored_is_opened_again(
    render: Any, apart: Any, tmp_path: Path, in_place: bool
) -> None:
    """It has become HDR: the other clip of the render is converted, or else is wrong (K3, K5)."""
    sizes = [clip(name).stat().st_size for name in ("sdr", "hdr10")]
    content = {name: clip(name).read_bytes().ljust(max(sizes), b"\0") for name in ("sdr", "hdr10")}
    changing, other = tmp_path / "changing.mp4", two(clip("sdr"), start="0.5")
    changing.write_bytes(content["sdr"])
    status = changing.stat()
    probes.forget()
    assert data(render(two(changing), other))[1] == apart(other)
    written = changing if in_place else tmp_path / "new"
    written.write_bytes(content["hdr10"])
    os.utime(written, ns=(status.st_atime_ns, status.st_mtime_ns))
    written.rename(changing)
    probes.forget()
    assert data(render(two(changing), other))[1] == apart(
        replace(other, transform="sdr2hdr-smpte2084")
    )


@pytest.mark.usefixtures("decoder")
@pytest.mark.parametrize(("settled_ns", "opened"), [(0, 1), (1 << 62, 2)])
def test_clip_that_may_change_again_under_its_time_stamps_is_not_remembered(
    render: Any,
    sdr: Path,
    looked: list[str],
    monkeypatch: pytest.MonkeyPatch,
    settled_ns: int,
    opened: int,
) -> None:
    monkeypatch.setattr(memory, "SETTLED_NS", settled_ns)
    for _ in range(2):
        probes.forget()
        render(two(sdr))
    assert len(looked) == opened


@pytest.mark.usefixtures("settled", "decoder")
def test_clip_that_changes_while_it_is_opened_is_not_remembered(
    render: Any, sdr: Path, looked: list[str], just_before: Callable[..., None], file: Path
) -> None:
    just_before(clips, "require_unchanged", lambda: os.utime(sdr, ns=(1, 1)))
    assert [type(item.error) for item in render(two(sdr))] == [SourceChangedError]
    assert (looked, file.exists()) == (["sdr.mp4"], False)


@pytest.mark.usefixtures("settled", "decoder")
def test_clip_that_counts_by_its_content_is_opened_by_each_process(
    render: Any, sdr: Path, looked: list[str], file: Path
) -> None:
    for _ in range(2):
        probes.forget()
        render(two(sdr, identity=Identity.CONTENT))
    assert (looked, file.exists()) == (["sdr.mp4"] * 2, False)


@pytest.mark.usefixtures("settled", "decoder")
def test_what_is_no_clip_is_opened_by_each_process(
    render: Any, tmp_path: Path, looked: list[str]
) -> None:
    (tmp_path / "text.mp4").write_text("no clip")
    for _ in range(2):
        probes.forget()
        assert isinstance(render(two(tmp_path / "text.mp4"))[0].error, ClipError)
    assert len(looked) == 2


@pytest.mark.usefixtures("settled", "decoder")
@pytest.mark.parametrize(
    "plant",
    [
        lambda file, _: file.mkdir(),
        lambda file, outside: file.symlink_to(outside),
        lambda file, outside: os.link(outside, file),
        lambda file, _: os.mkfifo(file),
    ],
    ids=["directory", "symlink", "hard link", "FIFO"],
)
def test_memory_that_cannot_be_used_costs_an_opening_and_is_counted(
    render: Any,
    cache: Cache,
    sdr: Path,
    file: Path,
    tmp_path: Path,
    looked: list[str],
    plant: Callable[[Path, Path], None],
) -> None:
    (tmp_path / "outside").write_bytes(b"precious")
    plant(file, tmp_path / "outside")
    for _ in range(2):
        probes.forget()
        assert render(two(sdr))[0].error is None
    assert (tmp_path / "outside").read_bytes() == b"precious"
    assert len(looked) == 2
    assert cache.stats().counters["probes_unremembered"] >= 2


def test_render_without_a_cache_remembers_in_the_process_alone(
    sdr: Path, looked: list[str], decoder: Any
) -> None:
    assert decoder
    with Cache.open(environ={"UNTORN_CACHE_DIR": "off"}) as off:
        for _ in range(2):
            off.render([two(sdr)]).release()
    assert looked == ["sdr.mp4"]


# --- lines


@pytest.mark.parametrize(
    "name",
    [
        "sdr", "odd", "ntsc", "hdr10", "hlg", "vfr", "vfr_matroska", "vp8", "alpha_vp9", "prores",
        "alpha_prores", "hevc", "rotated", "anamorphic", "bt601", "truncated",
    ],
)  # fmt: skip
def test_what_is_recalled_is_what_was_found(opened_root: Root, name: str) -> None:
    info = clips.probe(str(clip(name)))
    memory.add(opened_root.ctl_fd, Memory(), {about(): info})
    assert memory.read(opened_root.ctl_fd).recall(about()) == info


def test_nothing_is_recalled_where_there_is_nothing(opened_root: Root) -> None:
    assert memory.read(opened_root.ctl_fd).recall(about()) is None


@pytest.mark.parametrize("name", ["device", "inode", "size", "mtime_ns", "ctime_ns"])
def test_other_state_is_another_subject(name: str) -> None:
    changed = replace(STATE, **{name: getattr(STATE, name) + 1})
    assert about(state=changed) != about()


def test_other_path_is_another_subject() -> None:
    assert len({about(), about("/shots/a.png"), about("/shots/\udcff"), about("5 /shots/a")}) == 4


def test_other_libraries_have_other_subjects(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = about()
    monkeypatch.setattr("av.library_versions", {"libavcodec": (1, 2, 3)})
    monkeypatch.setattr(memory, "_OURSELVES", memory._ourselves())
    assert about() != ours


def test_code_that_cannot_be_read_remembers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips, "__file__", "/nowhere/clip.py")
    monkeypatch.setattr(memory, "_OURSELVES", memory._ourselves())
    assert memory.about(PATH, STATE) is None


def test_clip_is_settled_once_its_stamps_are_older_than_any_file_system_counts() -> None:
    state = replace(STATE, mtime_ns=10**18, ctime_ns=2 * 10**18)
    assert not memory.is_settled(state, 2 * 10**18 + memory.SETTLED_NS - 1)
    assert memory.is_settled(state, 2 * 10**18 + memory.SETTLED_NS)
    assert not memory.is_settled(replace(state, mtime_ns=3 * 10**18), 2 * 10**18 + 10**12)
    assert memory.SETTLED_NS >= 2 * 10**9


@pytest.mark.parametrize("offset", range(0, len(memory._line(about(), TODAY, INFO)), 3))
def test_altered_line_is_none(opened_root: Root, file: Path, offset: int) -> None:
    memory.add(opened_root.ctl_fd, Memory(), {about(): INFO})
    altered = bytearray(file.read_bytes())
    altered[offset] ^= 1
    file.write_bytes(altered)
    assert memory.read(opened_root.ctl_fd).recall(about()) is None


@pytest.mark.parametrize("missing", [2, 3, 34, 35, 100])
def test_cut_line_is_none(opened_root: Root, file: Path, missing: int) -> None:
    memory.add(opened_root.ctl_fd, Memory(), {about(): INFO})
    os.truncate(file, file.stat().st_size - missing)
    assert memory.read(opened_root.ctl_fd).recall(about()) is None


def test_sound_line_is_believed() -> None:
    """The control of what follows."""
    sound = line(f"[{b','.join(told()).decode()}]")
    assert Memory(lines={about(): sound}).recall(about()) == INFO


@pytest.mark.parametrize("place", range(len(told())))
def test_word_that_is_none_of_ours_makes_a_line_none(place: int) -> None:
    strange = ["-1", "1e9", "NaN", '"x y"', '"1/0"', '"-1/2"', "[]", "{}", '"\\u0000"', "9" * 20]
    words = told()
    may_be_true = words[place] in (b"true", b"false", b"null")
    for word in strange if may_be_true else [*strange, "true"]:
        words[place] = word.encode()
        made = line(f"[{b','.join(words).decode()}]")
        assert Memory(lines={about(): made}).recall(about()) is None, word


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", "7", '"text"', "[" * 90_000, "[1]", "9" * 9999, "\x00"]
)
def test_line_made_by_hand_is_none(text: str) -> None:
    assert Memory(lines={about(): line(text)}).recall(about()) is None


@pytest.mark.parametrize(
    ("day", "believed"),
    [
        (TODAY - memory.MOST_DAYS + 1, True),
        (TODAY - memory.MOST_DAYS - 2, False),
        (TODAY + 2, False),
        ("soon", False),
        ("-1", False),
    ],
)
def test_line_is_believed_for_a_month(day: object, believed: bool) -> None:
    words = line(f"[{b','.join(told()).decode()}]", day)
    assert (Memory(lines={about(): words}).recall(about()) == INFO) is believed


# --- the file


def test_old_and_damaged_lines_go_with_the_next_write(opened_root: Root, file: Path) -> None:
    sound = f"[{b','.join(told()).decode()}]"
    file.write_bytes(line(sound, TODAY - memory.MOST_DAYS - 2) + b"\n" + b"junk of any kind\n")
    memory.add(opened_root.ctl_fd, memory.read(opened_root.ctl_fd), {about("/b"): INFO})
    assert file.read_bytes().strip(b"\n") == memory._line(about("/b"), TODAY, INFO)


def test_file_is_bounded_and_keeps_the_latest(opened_root: Root, file: Path) -> None:
    names = [f"/shots/{number}.mp4" for number in range(3000)]
    for first in range(0, len(names), 250):
        memory.add(
            opened_root.ctl_fd,
            memory.read(opened_root.ctl_fd),
            {about(name): INFO for name in names[first : first + 250]},
        )
    assert file.stat().st_size <= memory.MOST_BYTES
    held = memory.read(opened_root.ctl_fd)
    known = [held.recall(about(name)) is not None for name in names]
    assert (sum(known) > 900, all(known[-250:]), any(known[:1000])) == (True, True, False)


def test_two_writers_at_once_leave_whole_lines(opened_root: Root) -> None:
    fd = opened_root.ctl_fd
    both = memory.read(fd)
    infos = {about(f"/shots/{width}"): replace(INFO, width=width) for width in range(1, 50)}
    memory.add(fd, both, infos)
    memory.add(fd, both, {about(): INFO})
    held = memory.read(fd)
    assert held.recall(about()) == INFO
    found = [(held.recall(each), info) for each, info in infos.items()]
    assert all(got in (None, info) for got, info in found)
    assert sum(got is None for got, _ in found) <= 2


def test_what_would_be_taken_otherwise_than_it_is_meant_is_not_noted(
    opened_root: Root, file: Path
) -> None:
    strange = replace(INFO, rate=Fraction(1, 10**30))
    memory.add(opened_root.ctl_fd, Memory(), {about(): strange, about("/b"): INFO})
    assert file.read_bytes().count(b"\n") == 1
    assert memory.read(opened_root.ctl_fd).recall(about("/b")) == INFO


def test_copy_of_a_clip_is_another_clip(
    render: Any, sdr: Path, tmp_path: Path, looked: list[str], decoder: Any
) -> None:
    assert decoder
    render(two(sdr))
    probes.forget()
    render(two(shutil.copy2(sdr, tmp_path / "copy.mp4")))
    assert looked == ["sdr.mp4", "copy.mp4"]
