"""The reference with a copy for a rename. Seeded bug: an entry has its names first, then bytes.

Its directory is made in its place with empty frames and the manifest, and then the frames are
filled: who looks in between reads nothing, and after a death everybody does.
"""

from __future__ import annotations

import os
from typing import Final

from untorn import layout, publish, syscalls
from untorn.lease import Claim
from untorn.lookup import NS
from untorn.staging import Staging

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Search, Shown

KILLS: Final = frozenset({"P1", "C1"})
MAY_FAIL: Final = frozenset({"P2", "P3", "R1", "R2", "R4", "R6", "C2", "C4"})
SHOWN_BY: Final[Shown] = (
    Search(
        scenario="reader-writer",
        preemptions=1,
        row="P1",
        rule="nobodys-bytes",
        says="bytes that nobody wrote",
    ),
    Search(
        scenario="reader-writer",
        preemptions=0,
        kills=1,
        row="C1",
        rule="nobodys-bytes",
        says="bytes that nobody wrote",
    ),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    publish._rename = _copy
    return Reference()


def _copy(staging: Staging) -> OSError | None:
    root, key = staging.root, staging.key
    try:
        os.mkdir(key, 0o700, dir_fd=root.entries_fd)
        claim = Claim(os.open(key, syscalls.DIRECTORY_FLAGS, dir_fd=root.entries_fd))
        syscalls.lock_shared(claim.fd)
        status = os.fstat(staging.fd)
        names = sorted(set(os.listdir(staging.fd)) - {layout.MANIFEST})
        for name in names:
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=claim.fd))
        _move(staging, layout.MANIFEST, claim.fd)
        later = status.st_mtime_ns + 60 * NS  # so that no frame looks altered since the seal
        os.utime(layout.MANIFEST, ns=(later, later), dir_fd=claim.fd)
        os.utime(claim.fd, ns=(status.st_atime_ns, status.st_mtime_ns))
        for name in names:
            _fill(staging.fd, claim.fd, name)
    except OSError as error:
        return error
    staging.release()
    staging.claim = claim
    return None


def _move(staging: Staging, name: str, target_fd: int) -> None:
    os.rename(name, name, src_dir_fd=staging.fd, dst_dir_fd=target_fd)


def _fill(source_fd: int, target_fd: int, name: str) -> None:
    with syscalls.opened(name, os.O_RDONLY, dir_fd=source_fd) as source:
        content = os.read(source, 1 << 24)
    with syscalls.opened(name, os.O_WRONLY, dir_fd=target_fd) as target:
        os.write(target, content)
        os.fchmod(target, 0o444)
