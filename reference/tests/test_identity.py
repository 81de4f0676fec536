"""What tells one inode from all others: as os.lstat has it, and nothing else is asked for."""

import errno
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from untorn import syscalls

STATX = {"x86_64": 332, "aarch64": 291}.get(platform.machine())


def identity(path: str | Path, *fd: int) -> syscalls.Identity:
    return syscalls.identity_at(os.fsencode(path), *fd)


def lstat(path: str | Path, dir_fd: int | None = None) -> syscalls.Identity:
    status = os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
    return status.st_ino, os.major(status.st_dev), os.minor(status.st_dev)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("directory")
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / os.fsdecode(b"\xff")).touch()
    return tmp_path


def test_it_is_that_of_lstat(tree: Path) -> None:
    paths = [tree, *tree.iterdir(), tree / "link" / ".", Path("."), Path("/dev/null")]
    assert [identity(each) for each in paths] == [lstat(each) for each in paths]


def test_names_below_a_descriptor(tree: Path) -> None:
    with syscalls.opened(str(tree), syscalls.DIRECTORY_FLAGS) as fd:
        names = [*os.listdir(tree), ".", "..", str(tree)]
        assert [identity(each, fd) for each in names] == [lstat(each, fd) for each in names]


def test_a_link_is_no_other_than_itself(tree: Path) -> None:
    assert identity(tree / "link") != identity(tree / "directory")


@pytest.mark.parametrize("path", ["/proc", "/proc/self", "/dev", "/sys"])
def test_other_devices_are_told_apart(tree: Path, path: str) -> None:
    assert identity(path) == lstat(path)
    assert identity(path)[1:] != identity(tree)[1:]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("missing", FileNotFoundError),
        ("dangling/x", FileNotFoundError),
        ("file/x", NotADirectoryError),
        ("n" * 256, OSError),
    ],
)
def test_what_is_not_there_is_an_error_that_names_it(
    tree: Path, name: str, error: type[OSError]
) -> None:
    with (
        syscalls.opened(str(tree), syscalls.DIRECTORY_FLAGS) as fd,
        pytest.raises(error) as raised,
    ):
        identity(name, fd)
    with pytest.raises(error) as asked:
        lstat(tree / name)
    assert (raised.value.errno, raised.value.filename) == (asked.value.errno, name)


REFUSED = """
import ctypes, os, struct, sys
from untorn import syscalls
number, refusal, path = int(sys.argv[1]), int(sys.argv[2]), os.fsencode(sys.argv[3])
def instruction(code, if_true, if_false, value):
    return struct.pack("=HBBI", code, if_true, if_false, value)
code = b"".join((
    instruction(0x20, 0, 0, 0),  # load the call's number
    instruction(0x15, 0, 1, number),
    instruction(0x06, 0, 0, 0x00050000 | refusal),
    instruction(0x06, 0, 0, 0x7FFF0000),
))
room = ctypes.create_string_buffer(code)
program = ctypes.create_string_buffer(struct.pack("@HP", 4, ctypes.addressof(room)))
libc = ctypes.CDLL(None, use_errno=True)
assert not libc.prctl(38, 1, 0, 0, 0)
assert not libc.prctl(22, 2, ctypes.c_void_p(ctypes.addressof(program)))
assert libc.syscall(number, -100, b".", 0, 0, ctypes.create_string_buffer(256)) == -1
assert ctypes.get_errno() == refusal
print(*syscalls.identity_at(path))
try:
    syscalls.identity_at(path + b"/missing")
except FileNotFoundError:
    print("missing")
"""


@pytest.mark.skipif(STATX is None, reason="the number of statx is not known for this machine")
@pytest.mark.parametrize("refusal", [errno.EPERM, errno.ENOSYS], ids=errno.errorcode.get)
def test_where_statx_is_refused_stat_is_asked(tree: Path, refusal: int) -> None:
    """As the system call filters of containers do that are older than the call."""
    command = [sys.executable, "-c", REFUSED, str(STATX), str(refusal), str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [*map(str, lstat(tree)), "missing"], done.stderr


def test_where_there_is_no_statx_stat_is_asked(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syscalls, "_statx", None)
    with syscalls.opened(str(tree), syscalls.DIRECTORY_FLAGS) as fd:
        assert identity("link", fd) == lstat(tree / "link")
    assert identity(tree) == lstat(tree)
    with pytest.raises(FileNotFoundError):
        identity(tree / "missing")
