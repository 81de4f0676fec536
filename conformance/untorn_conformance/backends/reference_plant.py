"""States that no user of the reference can bring about, put in the place of an entry."""

from __future__ import annotations

import os
import shutil
import tempfile

from untorn import layout
from untorn.access import Access

from untorn_conformance.backend import PlantKind


def plant(access: Access, key: str, kind: PlantKind) -> str:
    """Put the state in place of the entry; the path of what was put there."""
    assert access.settings.root is not None, "nothing can be planted in a cache that is off"
    root = access.settings.root
    generation = "v0" if kind is PlantKind.OLD_GENERATION else layout.ENTRIES
    path = os.path.join(root, generation, key)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    _remove(path)
    if kind is PlantKind.STRAY_FILE:
        _write(path, b"stray")
    elif kind is PlantKind.STRAY_SYMLINK:
        os.symlink(tempfile.gettempdir(), path)
    elif kind is PlantKind.STRAY_DIRECTORY:
        os.mkdir(path, 0o700)
    else:
        _plant_entry(path, key, kind)
    return path


def _plant_entry(path: str, key: str, kind: PlantKind) -> None:
    os.mkdir(path, 0o700)
    _write(os.path.join(path, "frame_00001.png"), b"planted")
    sealed_as = key[::-1] if kind is PlantKind.WRONG_KEY else key
    version = 0 if kind is PlantKind.OLD_GENERATION else layout.GENERATION
    size = 4096 if kind is PlantKind.DAMAGED else 7  # a frame that was cut since it was sealed
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip()
    header = (
        f'{{"v":{version},"key":"{sealed_as}","n":1,"bytes":{size},"boot":"{boot}","digest":null}}'
    )
    text = f"{header}\nframe_00001.png\n[{size}]\n"
    _write(os.path.join(path, layout.MANIFEST), text.encode("ascii"))


def _write(path: str, data: bytes) -> None:
    with open(path, "xb") as file:
        file.write(data)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
