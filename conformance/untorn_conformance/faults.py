"""Faults that the harness brings about for real: permissions, descriptors, namespaces.

Each is undone at the end of its block, so that a case can go on to see that all is well again.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import stat
import subprocess
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from untorn_conformance.cases import unknown

_WRITE_BITS: Final = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


@contextlib.contextmanager
def write_protected(root: Path, *, spare: Collection[Path] = ()) -> Iterator[None]:
    """Let nobody create, rename or remove anything in a directory of the tree for the block.

    Directories at or below those in ``spare`` stay as they are. Root is not kept from anything:
    the process that this is meant for must be another user's.
    """
    modes = {}
    for folder, _, _ in os.walk(root):
        path = Path(folder)
        if not any(path.is_relative_to(each) for each in spare):
            modes[path] = stat.S_IMODE(path.stat().st_mode)
    try:
        for path, mode in modes.items():
            path.chmod(mode & ~_WRITE_BITS)
        yield
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


def open_descriptors(pid: int) -> int:
    """How many descriptors the process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


@contextlib.contextmanager
def descriptor_limit(pid: int, *, spare: int) -> Iterator[None]:
    """Let the process open only ``spare`` descriptors more than it has open now, for the block.

    The limit is on numbers, not on their count (getrlimit(2)): free numbers below count as spare.
    """
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = sorted(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
    limit = used[-1] + 1
    free_below = limit - len(used)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (max(limit + spare - free_below, 0), hard))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


def new_pid_namespace() -> list[str]:
    """The start of a command line that gives the program process ids of its own (unshare(1)).

    Ends the case as unknown where this machine does not allow it.
    """
    program = shutil.which("unshare")
    if program is None:
        unknown("there is no unshare(1) to make a process-id namespace with")
    command = [program, "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.getuid() != 0:
        command[1:1] = ["--user", "--map-root-user"]
    tried = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        unknown(f"no process-id namespace can be made here: {tried.stderr.strip()}")
    return command


def small_file_system(mount_point: Path, *, size_bytes: int, inodes: int) -> list[str]:
    """The start of a command line that gives the program a file system of its own at a directory.

    It is a tmpfs in a mount namespace (unshare(1)), so nobody else sees it, and it ends with the
    program. Ends the case as unknown where this machine does not allow it.
    """
    mount = 'mount -t tmpfs -o "size=$1,nr_inodes=$2,mode=0700" tmpfs "$0" && shift 2 && exec "$@"'
    within = ["sh", "-c", mount, str(mount_point), str(size_bytes), str(inodes)]
    said = "there is no unshare(1)"
    for flags in (["--mount"], ["--user", "--map-root-user", "--mount"]):
        command = [shutil.which("unshare") or "false", *flags, *within]
        tried = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
        if tried.returncode == 0:
            return command
        said = tried.stderr.strip() or said
    return unknown(f"no small file system can be mounted here: {said}")
