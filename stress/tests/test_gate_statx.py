"""A statx that asks for little is told no more, and is to the letter what the kernel does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from untorn_stress.gate import abi, statx
from untorn_stress.gate.calls import FORMS, Call, CallKind

Watching = Callable[..., Any]

ASK = f"""
def ask(path, mask, fd=-100, flags=0x100, room=None):
    room = room or ctypes.create_string_buffer(b"\\xff" * 256, 256)
    value = libc.syscall({abi.NUMBER["statx"]}, fd, path, flags, mask, room)
    return value if value < 0 else room.raw
def field(told, at, size):
    return int.from_bytes(told[at:at + size], "little")
def shown(path, mask, fd=-100, flags=0x100):
    told = ask(path, mask, fd, flags)
    if told == -1:
        return tell_raw(told)
    modes = (0o170000 if mask & 1 else 0) | (0o7777 if mask & 2 else 0)
    print(oct(field(told, 28, 2) & modes), end=" ")
    for bit, at in ((8, 20), (0x10, 24), (0x1000, 144)):
        print(field(told, at, 4) if mask & bit else "", end=" ")
    if mask & 0x900:
        print(mask & field(told, 0, 4), sep=" ", end=" ")
    print([field(told, at, 4) for at in range(128, 144, 4)], field(told, 4, 4))
"""

TREE = """
os.mkdir("d", 0o750); os.mkdir("d/s"); os.symlink("d", "l"); os.symlink("nowhere", "m")
os.close(os.open("f", os.O_CREAT | os.O_WRONLY, 0o604)); os.mkfifo("p", 0o602)
"""

PROGRAMS = {
    "what is asked for": """
for path in (b"d", b"f", b"l", b"m", b"p", b"/dev/null", root.encode(), b"/"):
    for mask in (0, 1, 2, 3, 0x101, 0x818, 0x1001, 0x193B):
        shown(path, mask)
""",
    "numbers and births": """
for path in ("d", "f", "l", "d/s", ".."):
    status = os.lstat(path)
    told, much = ask(path.encode(), 0x921), ask(path.encode(), 0xFFF)
    tell(lambda: field(told, 32, 8) == status.st_ino)
    tell(lambda: (told[80:92] == much[80:92], told[64:72] == much[64:72]))
""",
    "links": """
shown(b"l", 3, flags=0); shown(b"l/", 3); shown(b"l/s", 3); shown(b"m", 3, flags=0)
os.symlink("loop", "loop"); shown(b"loop", 1); shown(b"loop", 1, flags=0)
""",
    "descriptors": """
fd, file, path = os.open("d", 0), os.open("f", 0), os.open("l", os.O_PATH | os.O_NOFOLLOW)
shown(b"s", 3, fd); shown(b"../f", 3, fd); shown(b"", 3, fd, 0x1000); shown(b"", 3, fd, 0)
shown(b"", 3, path, 0x1000); shown(b"", 3, file, 0x1000); shown(b"s", 3, file)
shown(b"", 3, flags=0x1000)
shown(b"f", 3, 99); shown(b"", 3, 99, 0x1000); shown(os.path.join(root, "f").encode(), 3, 99)
shown(f"/proc/self/fd/{fd}/s".encode(), 3); shown(None, 3, fd, 0x1000); shown(None, 3, fd)
os.chdir("d"); shown(b"", 3, flags=0x1100); shown(b"s", 3); shown(b".", 3)
""",
    "what fails": """
for path in (b"none", b"f/x", b"none/x", b"", b"n" * 256, b"./" * 2100 + b"d", None):
    shown(path, 1)
shown(ctypes.c_void_p(8), 1); shown(ctypes.c_void_p(-1), 1)
shown(b"d", 1, flags=0x80000); shown(b"d", 0x80000001); shown(b"d", 1, flags=0x6000)
""",
    "where there is no room": """
libc.mmap.restype = ctypes.c_void_p
libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
page = libc.mmap(None, ctypes.c_size_t(8192), 3, 0x22, -1, ctypes.c_size_t(0))
libc.munmap(page + 4096, 4096)
for room in (8, -1, page + 4096, page + 4000):
    tell_raw(ask(b"d", 0x101, room=ctypes.c_void_p(room)))
tell_raw(libc.syscall(332, -100, b"d", 0, 1, None))
tell_raw(ask(b"none", 1, room=ctypes.c_void_p(8)))
""".replace("332", str(abi.NUMBER["statx"])),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_tells_to_the_letter_what_was_asked_for(bench: Any, name: str) -> None:
    text = ASK + TREE + PROGRAMS[name]
    run = bench.run(text)
    assert run.ends == ("exit 0",), bench.stderr()
    for path in sorted(bench.root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    assert [line.decode() for line in run.printed[0]] == bench.bare(text)


LEAK = """
os.mkdir("d"); os.mkdir("d/s")
told = ask(b"d", 0x101)
for name, at, size in (("nlink", 16, 4), ("size", 40, 8), ("blocks", 48, 8), ("uid", 20, 8)):
    print(name, field(told, at, size))
for name, at in (("atime", 64), ("btime", 80), ("ctime", 96), ("mtime", 112)):
    print(name, field(told, at, 8), field(told, at + 8, 4))
print("mode", oct(field(told, 28, 2)), "mask", hex(field(told, 0, 4)), "rest", any(told[144:]))
"""


def test_what_was_not_asked_for_is_blank(bench: Any) -> None:
    bare = bench.bare(ASK + LEAK)
    assert "nlink 3" in bare, "the kernel fills in more"
    (bench.root / "d/s").rmdir()
    (bench.root / "d").rmdir()
    assert [line.decode() for line in bench.run(ASK + LEAK).printed[0]] == [
        *("nlink 0", "size 0", "blocks 0", "uid 0"),
        *("atime 0 0", "btime 0 0", "ctime 0 0", "mtime 0 0"),
        "mode 0o40000 mask 0x101 rest False",
    ]


def test_its_result_is_known(bench: Any) -> None:
    text = 'os.mkdir("d"); ask(b"d", 0x101); ask(b"e", 0x101); ask(b"d", 0x7FF)'
    assert bench.steps(ASK + text)[:-1] == [
        "A mkdir d = 0",
        "A statx d = 0",
        "A statx e = ENOENT",
        "A statx d = ?",
    ]


@pytest.mark.parametrize("name", ["statx", "newfstatat"])
def test_no_path_at_all_is_held_as_its_descriptor(bench: Any, name: str) -> None:
    """From Linux 6.11 on it is one; before, EFAULT."""
    rest = "0x1000, 0x101, room" if name == "statx" else "room, 0x1000"
    text = f"""
fd, room = os.open(".", 0), ctypes.create_string_buffer(256)
libc.syscall({abi.NUMBER[name]}, fd, None, {rest})
"""
    assert [each.split()[1] for each in bench.steps(text)[:-1]] == ["openat", name]


OUT_OF_HERE = """
if libc.unshare(0x20000) and libc.unshare(0x10020000):
    sys.exit("no namespaces here")
"""


def make_d(root: Path) -> None:
    (root / "d").mkdir()


def reads(bench: Any, watch: Watching, text: str) -> set[str]:
    """What the program's one statx reads of the directory d, and nothing that it writes."""
    watched = watch()
    run = bench.run(ASK + text, watch=watched, prepare=make_d)
    assert run.ends == ("exit 0",), bench.stderr()
    line = next(each for each in run.log if " statx " in each)
    footprint = watched.touched(run, line).footprint
    assert not footprint.writes
    return {name for name in footprint.reads if name.endswith(":d")}


@pytest.mark.parametrize("bit", [0x4, 0x40, 0x80, 0x200, 0x400, 0x2000, 0x80000000])
def test_who_asks_for_more_reads_all_and_is_told_all(bench: Any, watch: Watching, bit: int) -> None:
    text = f'told = ask(b"d", {0x101 | bit})'
    assert reads(bench, watch, text) == {"i:d", "t:d", "d:d"}


def test_the_basic_mask_is_told_what_stat_tells(bench: Any) -> None:
    text = """
os.mkdir("d"); os.mkdir("d/s"); status = os.stat("d"); told = ask(b"d", 0x7FF)
print(field(told, 16, 4) == status.st_nlink, field(told, 112, 8) == status.st_mtime_ns // 10**9)
"""
    assert bench.run(ASK + text).printed[0] == (b"True True",)


@pytest.mark.parametrize(("mask", "objects"), [(0x101, {"i:d"}), (2, {"i:d", "d:d"})])
def test_who_asks_for_little_reads_no_stat(
    bench: Any, watch: Watching, mask: int, objects: set[str]
) -> None:
    """A mode is changed by who writes to the file, too."""
    assert reads(bench, watch, f'ask(b"d", {mask})') == objects


@pytest.mark.parametrize("before", ["", OUT_OF_HERE], ids=["here", "elsewhere"])
def test_what_is_expected_is_what_was_touched(bench: Any, watch: Watching, before: str) -> None:
    text = before + 'ask(b"d", 0x101); ask(b"d", 0x7FF)'
    expected = []

    def choose(moment: Any) -> Any:
        expected.append(moment.options[0].footprint)
        return watched.choose(moment)

    watched = watch()
    run = bench.system(ASK + text, prepare=make_d).run(choose)
    executed = [*(each.footprint for each in watched.executed), run.ending.executed.footprint]
    assert run.ends == ("exit 0",), bench.stderr()
    assert expected == executed


@pytest.mark.parametrize(
    "text",
    [OUT_OF_HERE + 'ask(b"d", 0x101)', 'ask(b"d", 0x101, room=ctypes.c_void_p(8))'],
    ids=["in another mount namespace", "where there is no room"],
)
def test_what_the_kernel_performs_is_told_all(bench: Any, watch: Watching, text: str) -> None:
    assert reads(bench, watch, text) == {"i:d", "t:d", "d:d"}


def test_no_later_kernel_makes_little_much() -> None:
    """What is unknown to us may follow from entries."""
    known = [bit for bit in range(32) if statx.asks_little(1 << bit)]
    assert known == [0, 1, 3, 4, 5, 8, 11, 12]


def test_only_a_statx_asks_for_little() -> None:
    calls = [Call(name, form, ()) for name, form in FORMS.items() if form.kind is CallKind.STAT]
    assert {call.name for call in calls if call.form.twin} == {"statx"}
