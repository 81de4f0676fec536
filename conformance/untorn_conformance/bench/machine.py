"""What the numbers were measured on, and what else it was doing."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

from untorn_conformance.provenance import file_systems

_PACKAGES = ("diskcache", "joblib")


def describe(directory: Path) -> dict[str, object]:
    """CPU, cores, memory, kernel, file system of `directory`, Python, peers and load average."""
    mount = file_systems([directory])[0]
    return {
        "cpu": _field(Path("/proc/cpuinfo"), "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory": _field(Path("/proc/meminfo"), "MemTotal"),
        "kernel": platform.release(),
        "fs": mount.type,
        "fs_options": list(mount.options),
        "python": platform.python_version(),
        "peers": {package: _version(package) for package in _PACKAGES},
        "loadavg": load_average(),
    }


def load_average() -> list[float]:
    """Runnable processes over 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]


def _field(file: Path, name: str) -> str:
    for line in file.read_text("utf-8", "replace").splitlines():
        field, _, value = line.partition(":")
        if field.strip() == name:
            return value.strip()
    return "unknown"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
