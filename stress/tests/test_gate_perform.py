"""Calls that the supervisor performs: to the letter what the kernel would have done itself.

Each program runs twice, bare and at the gate, and must print the same and leave the same tree.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = {
    "the umask of the caller": """
os.umask(0o027)
os.mkdir("d"); os.close(os.open("f", os.O_CREAT | os.O_WRONLY, 0o666))
os.umask(0)
os.mkdir("e", 0o777); os.mknod("p", 0o644 | 0o010000)
""",
    "names below the current directory": """
os.mkdir("d"); os.chdir("d"); os.mkdir("e"); os.rename("e", "../f"); tell(os.rmdir, "e")
""",
    "names below a descriptor": """
os.mkdir("d")
fd = os.open("d", os.O_RDONLY)
os.mkdir("e", dir_fd=fd)
os.rename("e", "g", src_dir_fd=fd)
tell(os.mkdir, "h", dir_fd=99)
tell(os.mkdir, os.path.join(root, "i"), dir_fd=99)
""",
    "a rename without replacement": """
os.mkdir("d"); os.mkdir("e"); os.mkdir("e/x"); os.mkdir("f")
rename = lambda one, other, flags: libc.renameat2(-100, one, -100, other, flags)
tell_raw(rename(b"d", b"f", 1)); tell_raw(rename(b"d", b"e", 0)); tell_raw(rename(b"d", b"f", 0))
tell_raw(rename(b"e", b"f", 2)); tell_raw(rename(b"e", b"g", 3))
""",
    "links": """
os.mkdir("d"); os.symlink("d", "l"); os.mkdir("l/x"); os.mkdir("l/../y")
tell(os.rmdir, "l"); tell(os.mkdir, "l"); os.symlink("nowhere", "m"); tell(os.mkdir, "m")
os.close(os.open("m", os.O_CREAT | os.O_WRONLY, 0o600)); tell(os.open, "l", os.O_NOFOLLOW)
os.symlink("loop", "loop"); tell(os.open, "loop", os.O_RDONLY); os.rename("l", "k")
os.link("m", "n", follow_symlinks=False); tell(os.readlink, "n")
""",
    "what fails": """
tell(os.mkdir, ""); tell(os.mkdir, "a/b"); os.mkdir("a"); tell(os.mkdir, "a"); tell(os.rmdir, "b")
tell(os.unlink, "a"); os.mkdir("a/x"); tell(os.rmdir, "a"); tell(os.mkdir, "n" * 256)
tell(os.rename, "a", "a/x/y"); os.close(os.open("f", os.O_CREAT)); tell(os.mkdir, "f/x")
tell(os.open, "f", os.O_CREAT | os.O_EXCL); tell(os.open, "a", os.O_WRONLY)
tell(os.open, "f", os.O_DIRECTORY); tell(os.ftruncate, 99, 0); tell(os.rmdir, "a/x/..")
tell_raw(libc.mkdir(ctypes.c_void_p(8), 0)); tell_raw(libc.mkdir(None, 0))
""",
    "a file without a name that gets one": """
fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o640)
os.write(fd, b"text")
tell_raw(libc.linkat(-100, f"/proc/self/fd/{fd}".encode(), -100, b"named", 0x400))
fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600)
tell_raw(libc.linkat(fd, b"", -100, b"empty", 0x1000))
""",
    "times and sizes by descriptor": """
fd = os.open("f", os.O_CREAT | os.O_RDWR)
os.utime(fd, ns=(5, 7)); tell(lambda: os.stat("f").st_mtime_ns)
os.ftruncate(fd, 10); os.posix_fallocate(fd, 0, 20); os.fchmod(fd, 0o604); os.fsync(fd)
os.symlink("f", "l"); os.utime("l", ns=(1, 2), follow_symlinks=False)
tell(lambda: (os.stat("l").st_size, os.lstat("l").st_mtime_ns))
""",
    "a path at the end of its page": """
libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
libc.mmap.restype = ctypes.c_void_p
page = libc.mmap(None, ctypes.c_size_t(8192), 3, 0x22, -1, ctypes.c_size_t(0))
ctypes.memmove(page + 4096, b"ed\\0", 3)
ctypes.memmove(page + 4086, b"both-pages", 10)
tell_raw(libc.mkdir(ctypes.c_void_p(page + 4086), 0o700))
libc.munmap(page + 4096, 4096)
for path in (b"edge\\0", b"loose"):
    ctypes.memmove(page + 4096 - len(path), path, len(path))
    tell_raw(libc.mkdir(ctypes.c_void_p(page + 4096 - len(path)), 0o700))
""",
    "very long paths": """
tell(os.mkdir, "./" * 2000 + "d"); tell(os.mkdir, "./" * 2100 + "e")
for length in (4094, 4095, 4096, 4097):
    tell(os.mkdir, "." + "/" * (length - 2) + "x")
""",
    "more descriptors than it may have": """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (10, 10))
for number in range(9):
    tell(lambda: os.close(os.dup(os.open(f"f{number}", os.O_CREAT))))
""",
    "a program that it becomes": """
if not os.fork():
    os.execv("/bin/mkdir", ["mkdir", "a", "b"])
os.wait(); tell(lambda: sorted(os.listdir()))
""",
}


def tree_of(root: Path) -> dict[str, tuple[Any, ...]]:
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
        where = os.readlink(path) if path.is_symlink() else ""
        found[str(path.relative_to(root))] = (status.st_mode, size, status.st_nlink, where)
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_gate_does_to_the_letter_what_the_kernel_does(bench: Any, name: str) -> None:
    said, left = bench.bare(PROGRAMS[name]), tree_of(bench.root)
    shutil.rmtree(bench.root)
    bench.root.mkdir()
    run = bench.run(PROGRAMS[name])
    assert run.ends == ("exit 0",), bench.stderr()
    assert [line.decode() for line in run.printed[0]] == said
    assert tree_of(bench.root) == left


def test_a_refused_call_is_told_with_its_errno(bench: Any) -> None:
    assert bench.steps('tell(os.rmdir, "d"); os.mkdir("d"); tell(os.mkdir, "d")')[:3] == [
        "A rmdir d DIR = ENOENT",
        "A mkdir d = 0",
        "A mkdir d = EEXIST",
    ]


def test_an_open_that_finds_no_room_for_its_descriptor_answers_emfile(bench: Any) -> None:
    text = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
tell(os.open, "f", os.O_CREAT)
"""
    assert "A openat f CREAT = EMFILE" in bench.steps(text)


def test_both_names_of_a_rename_are_told(bench: Any) -> None:
    assert "A rename d -> e = 0" in bench.steps('os.mkdir("d"); os.rename("d", "e")')


def test_a_path_is_read_to_the_end_of_its_page_and_no_further(bench: Any) -> None:
    text = """
libc.mmap.restype = ctypes.c_void_p
libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
page = libc.mmap(None, ctypes.c_size_t(8192), 3, 0x22, -1, ctypes.c_size_t(0))
libc.munmap(page + 4096, 4096)
ctypes.memmove(page + 4091, b"edge\\0", 5)
libc.mkdir(ctypes.c_void_p(page + 4091), 0o700)
"""
    assert "A mkdir edge = 0" in bench.steps(text), "the kernel's own result would be ?"
