"""A process at the gate, as the supervisor reaches into it: memory, descriptors, identity.

Rule 1: what a held process was cannot change while it is held; what another step may change is read
        at each call, or dropped by ``forget`` when a call changes it.
Rule 2: a descriptor taken from it is a duplicate of the same open file description, and is closed
        at once: our copy would keep a dead process' lock alive.

Sources: pidfd_getfd(2), proc_pid_mem(5), proc_pid_status(5); PTRACE_MODE_ATTACH is needed for both.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
from collections.abc import Iterator
from typing import Final

from untorn_stress.gate import abi

_PATH_BYTES: Final = 4096
_PAGE_BYTES: Final = 4096
_USUAL_BYTES: Final = 256
_OURSELVES: Final = ((b"/proc/self/", b""), (b"/proc/thread-self/", b""), (b"/dev/fd/", b"fd/"))
_GETFD: Final = abi.NUMBER["pidfd_getfd"]
AT_FDCWD: Final = -100


class TargetGoneError(Exception):
    """The process ended while it was held; whatever it asked for does not matter any more."""


class Target:
    """One process (thread group). Closed by its owner."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self.pidfd = os.pidfd_open(pid)
        except ProcessLookupError as error:
            raise TargetGoneError(f"process {pid} is gone") from error
        self._memory: int | None = None
        self._umask: int | None = None
        self._is_like_us: bool | None = None

    def close(self) -> None:
        """Close what we hold of it."""
        os.close(self.pidfd)
        self.forget_memory()

    # --- memory ----------------------------------------------------------------------------------

    def read(self, address: int, size: int) -> bytes:
        """Read memory; raises OSError (EIO or EFAULT) for an address that is not mapped."""
        try:
            data = os.pread(self._opened_memory(), size, address)
        except OverflowError:
            data = b""
        if len(data) < size:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
        return data

    def write(self, address: int, data: bytes) -> None:
        """Write memory; raises OSError (EIO or EFAULT) for an address that is not mapped."""
        try:
            written = os.pwrite(self._opened_memory(), data, address)
        except OverflowError:
            written = 0
        if written < len(data):
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))

    def text(self, address: int) -> bytes:
        """Read a path; raises OSError where the kernel would answer EFAULT or ENAMETOOLONG."""
        if not address:
            return b""
        found = b""
        size = _USUAL_BYTES  # most are short, and a whole page takes longer to copy
        while len(found) < _PATH_BYTES:
            at = address + len(found)
            chunk = self.read(at, min(size, _PAGE_BYTES - at % _PAGE_BYTES))
            end = chunk.find(b"\0")
            if end >= 0:
                return found + chunk[:end]
            found += chunk
            size = _PAGE_BYTES
        return found

    def path(self, address: int) -> bytes:
        """Read a path in a form that means the same to us: ``/proc/self`` is the target's."""
        text = self.text(address)
        if text.startswith((b"/proc/", b"/dev/f")):
            for prefix, below in _OURSELVES:
                if text.startswith(prefix):
                    return b"/proc/%d/%b%b" % (self.pid, below, text[len(prefix) :])
        return text

    def forget_memory(self) -> None:
        """An exec is about to replace it; what we have open stays the old one's."""
        if self._memory is not None:
            os.close(self._memory)
            self._memory = None

    def _opened_memory(self) -> int:
        if self._memory is None:
            self._memory = os.open(f"/proc/{self.pid}/mem", os.O_RDWR | os.O_CLOEXEC)
        return self._memory

    # --- descriptors and identity ----------------------------------------------------------------

    def duplicate(self, fd: int) -> int:
        """A duplicate of one of its descriptors, or of its current directory (AT_FDCWD).

        The caller closes it, at once. OSError as it comes.
        """
        if fd == AT_FDCWD:
            return os.open(f"/proc/{self.pid}/cwd", os.O_PATH | os.O_CLOEXEC)
        return abi.syscall(_GETFD, self.pidfd, fd, 0)

    @contextlib.contextmanager
    def descriptor(self, fd: int) -> Iterator[int]:
        """The same for a block, at whose end it is closed."""
        ours = self.duplicate(fd)
        try:
            yield ours
        finally:
            os.close(ours)

    def link(self, fd: int) -> str:
        """The path that a descriptor (or AT_FDCWD) stands for, as /proc says it; OSError."""
        return os.readlink(self.door(fd))

    def status_of(self, fd: int) -> os.stat_result:
        """The stat of what a descriptor (or AT_FDCWD) stands for; OSError."""
        return os.stat(self.door(fd))

    def door(self, fd: int) -> str:
        """The link in /proc that leads to what a descriptor (or AT_FDCWD) stands for."""
        return f"/proc/{self.pid}/cwd" if fd == AT_FDCWD else f"/proc/{self.pid}/fd/{fd}"

    @property
    def is_full(self) -> bool:
        """Whether it has as many descriptors as it may: an open then fails before it makes a file.

        Linux before 6.2 does not count them for us; there the file is made in vain.
        """
        try:
            count = os.stat(f"/proc/{self.pid}/fd").st_size
            limit = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)[0]
            return limit != resource.RLIM_INFINITY and count >= limit
        except OSError:
            return False

    @property
    def umask(self) -> int:
        """Its file mode creation mask."""
        if self._umask is None:
            self._read_status()
        assert self._umask is not None
        return self._umask

    @property
    def is_like_us(self) -> bool:
        """Whether a path call of ours means what it means there: same user, same file systems."""
        if self._is_like_us is None:
            self._read_status()
        assert self._is_like_us is not None
        return self._is_like_us

    def forget(self) -> None:
        """Drop what is remembered: a call may be about to change it."""
        self._umask = self._is_like_us = None

    def _read_status(self) -> None:
        with open(f"/proc/{self.pid}/status", "rb") as status:
            fields = dict(
                line.split(b":", 1) for line in status.read().splitlines() if b":" in line
            )
        with open("/proc/self/status", "rb") as status:
            ours = dict(line.split(b":", 1) for line in status.read().splitlines() if b":" in line)
        self._umask = int(fields.get(b"Umask", b"022"), 8)
        same = all(
            fields[each].split() == ours[each].split() for each in (b"Uid", b"Gid", b"Groups")
        )
        same = same and fields[b"CapEff"] == ours[b"CapEff"]
        for place in ("ns/mnt", "root"):
            same = same and _identity(self.pid, place) == _identity(os.getpid(), place)
        self._is_like_us = same


def _identity(pid: int, place: str) -> tuple[int, int]:
    status = os.stat(f"/proc/{pid}/{place}")
    return status.st_dev, status.st_ino
