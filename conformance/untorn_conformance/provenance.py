"""What was run, where and how: what a reader needs to judge a verdict and to repeat the run."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from untorn_conformance.backend import PROTOCOL_VERSION
from untorn_conformance.contract import CONTRACT_VERSION

_TOOLS = ("pytest", "pytest-xdist", "pytest-timeout", "hypothesis", "psutil")


@dataclass(frozen=True, kw_only=True, slots=True)
class FileSystem:
    """The mount that a directory is on; ``options`` are its own and its super block's."""

    path: str
    mount_point: str
    type: str
    options: tuple[str, ...]


def of_machine() -> dict[str, object]:
    """Describe the software and the machine of this process."""
    return {
        "untorn": _version("untorn"),
        "contract": CONTRACT_VERSION,
        "protocol": PROTOCOL_VERSION,
        "python": platform.python_version(),
        "python_executable": sys.executable,
        "tools": {tool: _version(tool) for tool in _TOOLS},
        "system": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpu_count": os.cpu_count(),
        "usable_cpu_count": len(os.sched_getaffinity(0)),
        "uid": os.getuid(),
    }


def file_systems(directories: Iterable[Path]) -> list[FileSystem]:
    """Describe the file system of each directory."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mountinfo:
        text = mountinfo.read()
    return [file_system_of(directory, text) for directory in directories]


def file_system_of(directory: Path, mountinfo: str) -> FileSystem:
    """Find a directory's mount in the text of /proc/self/mountinfo (proc_pid_mountinfo(5)).

    Of several mounts on one another the last one listed is on top.
    """
    real = directory.resolve()
    best: FileSystem | None = None
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        mount_point = _unescape(before.split()[4])
        if not real.is_relative_to(mount_point):
            continue
        if best is None or len(mount_point) >= len(best.mount_point):
            kind, _, super_options = after.split()[:3]
            options = (*before.split()[5].split(","), *super_options.split(","))
            best = FileSystem(
                path=str(directory),
                mount_point=mount_point,
                type=kind,
                options=tuple(dict.fromkeys(options)),
            )
    assert best is not None, f"no mount holds {directory}: is /proc/self/mountinfo complete?"
    return best


def worker_count(tx: Iterable[str] | None) -> int:
    """Return how many processes run cases, given pytest-xdist's ``tx`` option; without it, one."""
    return max(1, len(list(tx or ())))


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _unescape(field: str) -> str:
    """Undo mountinfo's octal escapes of space, tab, newline and backslash."""
    for escaped, plain in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(escaped, plain)
    return field
