"""What is planted in a root and beside it: nemeses leave it, and what is gone is told."""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import cast

import pytest
from untorn_stress.storm.foreign import NAMES, Foreign
from untorn_stress.storm.nemesis.cleaner import Cleaner
from untorn_stress.storm.nemesis.protocol import Field


@pytest.fixture
def foreign(tmp_path: Path) -> Foreign:
    (tmp_path / "outside").mkdir()
    (tmp_path / "cache").mkdir()
    planted = Foreign(tmp_path / "outside", None)
    planted.plant({"in the root": tmp_path / "cache"})
    return planted


def test_what_was_planted_is_not_harmed(foreign: Foreign, tmp_path: Path) -> None:
    assert set(NAMES) == {each.name for each in (tmp_path / "cache").iterdir()}
    assert list(foreign.harmed()) == []


@pytest.mark.parametrize("name", sorted(NAMES))
def test_what_is_gone_is_told_and_planted_again(
    foreign: Foreign, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "cache" / name
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
    (told,) = foreign.harmed()
    assert told.startswith(f"in the root: {name}")
    foreign.plant({"in the root": tmp_path / "cache"})
    assert list(foreign.harmed()) == []


def test_what_a_link_points_to_is_told_when_it_changes(foreign: Foreign, tmp_path: Path) -> None:
    (tmp_path / "outside" / "precious").write_bytes(b"")
    assert list(foreign.harmed()) == ["what a link out of the root points to"]


def test_where_nothing_could_be_planted_nothing_is_judged(foreign: Foreign, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "cache")
    foreign.plant({"in the root": tmp_path / "cache"})
    assert list(foreign.harmed()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's driver has workers of another user")
def test_what_could_not_be_filled_for_want_of_room_is_the_workers_own(tmp_path: Path) -> None:
    for name in ("outside", "cache"):
        (tmp_path / name).mkdir()
    planted = Foreign(tmp_path / "outside", (65534, 65534))
    (tmp_path / "outside" / "precious").write_bytes(b"what a link points to")
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, most[1]))
    try:
        planted.plant({"in the root": tmp_path / "cache"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
    left = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert [(path.stat().st_size, path.stat().st_uid) for path in left] == [(0, 65534)]
    assert list(planted.harmed()) == []  # what could not be planted is not judged


def test_the_cleaner_leaves_what_is_foreign(foreign: Foreign, tmp_path: Path) -> None:
    root = tmp_path / "cache"
    entry = root / "v1" / "key"
    entry.mkdir(parents=True)
    for number in range(20):
        (entry / f"frame_{number:05d}.png").write_bytes(b"a frame")
    for seed in range(40):
        Cleaner().strike(cast(Field, SimpleNamespace(root=root)), Random(seed))
    assert list(entry.iterdir()) == []
    assert list(foreign.harmed()) == []
