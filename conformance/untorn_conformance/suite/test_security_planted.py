"""Chapter S: what is planted below the root is not followed, waited on, deleted through or run.

Each kind is put in the place of an entry, of each of its files, of every file of the root, and into
staging. Afterwards every verb is answered, and what the plants lead to is as it was.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from untorn_conformance import moves, probe
from untorn_conformance.backend import Hit, Miss, Verb
from untorn_conformance.contract import Capability
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_conformance.farm import Farm
from untorn_conformance.moves import digests, frames
from untorn_conformance.place import put_and_find
from untorn_conformance.plugin import requires, unknown
from untorn_stress.worker import Worker

DAY_S = 24 * 3600.0
DEADLINE_S = 20.0
PRECIOUS = b"precious"
HARMLESS = frozenset({"nlink"})  # a link that is removed is one link less, and no more


def symlink(path: Path, outside: Path) -> None:
    """A link to a file that is not the cache's."""
    path.symlink_to(outside / "precious")


def dangling_symlink(path: Path, outside: Path) -> None:
    """A link through which a file could be made."""
    path.symlink_to(outside / "new")


def hard_link(path: Path, outside: Path) -> None:
    """Another name of a file that is not the cache's."""
    path.hardlink_to(outside / "precious")


def fifo(path: Path, outside: Path) -> None:
    """Whoever opens it waits for a writer that never comes."""
    del outside
    os.mkfifo(path)


def socket(path: Path, outside: Path) -> None:
    """Nothing that can be opened."""
    del outside
    os.mknod(path, stat.S_IFSOCK | 0o600)


def executable(path: Path, outside: Path) -> None:
    """A program that leaves a mark when it is run."""
    path.write_text(f"#!/bin/sh\ntouch '{outside}/mark'\n")
    path.chmod(0o755)


class _Mark:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (f"{self._path}", "w")


def pickled(path: Path, outside: Path) -> None:
    """A Python object that leaves a mark when it is loaded (as CVE-2025-69872 of diskcache)."""
    path.write_bytes(pickle.dumps(_Mark(outside / "mark")))


Plant = Callable[[Path, Path], None]
PLANTS: list[Plant] = [symlink, dangling_symlink, hard_link, fifo, socket, executable, pickled]
each_plant = pytest.mark.parametrize("plant", PLANTS, ids=lambda each: str(each.__name__))
ONE_OF_EACH = "each kind of plant once, then lookups, publishes and collects under deadlines"


def precious(farm: Farm) -> probe.Snapshot:
    """Make what must not change, and take its picture."""
    (farm.outside / "precious").write_bytes(PRECIOUS)
    (farm.outside / "directory").mkdir()
    (farm.outside / "directory" / "precious").write_bytes(PRECIOUS * 2)
    return probe.take(farm.outside)


def assert_unharmed(farm: Farm, before: probe.Snapshot) -> None:
    """Everything outside is as it was, but for the number of links to it."""
    assert not probe.diff(before, probe.take(farm.outside), ignore=HARMLESS)


def ask(farm: Farm, worker: Worker, verb: Verb, **args: object) -> object:
    """A verb's answer, or the refusal of a root that is not safe any more.

    Where there is none for long, whoever waits on a planted pipe fails; else nothing is known.
    """
    try:
        return worker.call(verb, deadline_s=DEADLINE_S, **args)
    except BackendError as error:
        if error.code is ErrorCode.DEADLINE:
            assert not is_waited_for(farm), f"{verb} waits on a planted pipe"
        if error.code is not ErrorCode.ROOT_REFUSED:
            raise
        return error.code


def is_waited_for(farm: Farm) -> bool:
    """Whether somebody has opened a planted pipe to read: only then can it be opened to write."""
    for path, entry in farm.tree().entries.items():
        if entry.kind is probe.Kind.FIFO:
            with contextlib.suppress(OSError):
                os.close(os.open(farm.root / path, os.O_WRONLY | os.O_NONBLOCK))
                return True
    return False


def exercise(farm: Farm, worker: Worker, label: str) -> None:
    """Look up, read, publish the label and another, collect twice."""
    for name in (label, "another"):
        found = ask(farm, worker, Verb.LOOKUP, key=moves.key(name))
        if isinstance(found, Hit):
            for index in range(len(found.files)):
                ask(farm, worker, Verb.READ, handle=found.handle, index=index)
            ask(farm, worker, Verb.RELEASE, handle=found.handle)
        files = farm.files(frames(f"new {name}"))
        staged = ask(farm, worker, Verb.STAGE, key=moves.key(name), files=files)
        handle = getattr(staged, "handle", None)
        if handle is not None:
            answer = ask(farm, worker, Verb.PUBLISH, handle=handle)
            handle = getattr(answer, "handle", None)
        if handle is not None:
            ask(farm, worker, Verb.RELEASE, handle=handle)
    for _ in range(2):
        ask(farm, worker, Verb.COLLECT, budget_bytes=0, min_age_s=0.0, dry_run=False)


@requires("S3", evidence=f"in the place of an entry: {ONE_OF_EACH}")
@each_plant
def test_S3_planted_in_the_place_of_an_entry(farm: Farm, plant: Plant) -> None:
    """It is a miss; the verbs go on, and what it leads to is unharmed."""
    farm.needs(Capability.SHARED_ROOT)
    worker, before = farm.worker(), precious(farm)
    place = put_and_find(farm, worker, "a")
    shutil.rmtree(place.path)
    plant(place.path, farm.outside)
    assert isinstance(ask(farm, worker, Verb.LOOKUP, key=moves.key("a")), Miss)
    exercise(farm, worker, "a")
    assert_unharmed(farm, before)


@requires("S3", evidence="a link to the entry itself, moved out of the root; then as the others")
def test_S3_a_link_to_a_whole_entry_is_not_followed(farm: Farm) -> None:
    """Not though every byte of it is right: whoever owns that directory could change it."""
    farm.needs(Capability.SHARED_ROOT)
    worker = farm.worker()
    place = put_and_find(farm, worker, "a")
    shutil.move(place.path, farm.outside / "entry")
    place.path.symlink_to(farm.outside / "entry")
    before = probe.take(farm.outside)
    assert isinstance(ask(farm, worker, Verb.LOOKUP, key=moves.key("a")), Miss)
    exercise(farm, worker, "a")
    assert_unharmed(farm, before)


@requires("S3", evidence=f"in the place of each frame: {ONE_OF_EACH}")
@each_plant
def test_S3_planted_in_the_place_of_frames(farm: Farm, plant: Plant) -> None:
    """Whatever the first lookup says, no verb waits and nothing outside is harmed."""
    farm.needs(Capability.SHARED_ROOT)
    worker, before = farm.worker(), precious(farm)
    for path in put_and_find(farm, worker, "a").frames.values():
        path.unlink()
        plant(path, farm.outside)
    exercise(farm, worker, "a")
    assert_unharmed(farm, before)


@requires("S3", evidence="a link to a file in the place of each frame, one lookup and its reads")
def test_S3_a_linked_frame_is_not_served(farm: Farm) -> None:
    """No read gives the bytes of a file outside the root."""
    farm.needs(Capability.SHARED_ROOT)
    worker = farm.worker()
    precious(farm)
    place = put_and_find(farm, worker, "a")
    for path in place.frames.values():
        path.unlink()
        symlink(path, farm.outside)
    found = moves.look(worker, "a")
    served = []
    if isinstance(found, Hit):
        for index in range(len(found.files)):
            answer = ask(farm, worker, Verb.READ, handle=found.handle, index=index)
            served.append(getattr(answer, "sha256", None))
    assert digests([PRECIOUS])[0] not in served


@requires("S3", evidence=f"in the place of every file of the root: {ONE_OF_EACH}")
@pytest.mark.parametrize("is_open", [True, False], ids=["open", "opened-later"])
@each_plant
def test_S3_planted_in_the_place_of_every_file(farm: Farm, plant: Plant, is_open: bool) -> None:
    """Locks, indexes, counters and frames alike, under a process that is at work or a new one."""
    farm.needs(Capability.SHARED_ROOT)
    worker, before = farm.worker(), precious(farm)
    moves.put(farm, worker, "a")
    if not is_open:
        worker.call(Verb.CLOSE)
    for path in farm.tree().files():
        (farm.root / path).unlink()
        plant(farm.root / path, farm.outside)
    if not is_open:
        ask(farm, worker, Verb.OPEN, root=str(farm.root), env={}, clock_offset_s=0.0)
    exercise(farm, worker, "a")
    assert_unharmed(farm, before)


@requires("S3", evidence="every directory of the root replaced by a link to a copy, 2 processes")
def test_S3_links_in_the_place_of_every_directory(farm: Farm) -> None:
    """Nothing is written, changed or removed where they lead."""
    farm.needs(Capability.SHARED_ROOT)
    worker, newcomer = farm.worker(), farm.worker(open_root=False)
    moves.put(farm, worker, "a")
    farm.age(DAY_S)
    for folder in [each for each in farm.root.iterdir() if each.is_dir()]:
        shutil.move(folder, farm.outside / folder.name)
        folder.symlink_to(farm.outside / folder.name)
    before = probe.take(farm.outside)
    root = str(farm.root)
    refusal = ask(farm, newcomer, Verb.OPEN, root=root, env={}, clock_offset_s=0.0)
    if refusal is None:
        exercise(farm, newcomer, "a")
    exercise(farm, worker, "a")
    assert not probe.diff(before, probe.take(farm.outside))


def staged_folder(farm: Farm, worker: Worker) -> tuple[str, list[Path]]:
    """Stage an entry: the handle, and the files that it was staged in."""
    before = farm.tree()
    handle = moves.stage(farm, worker, "a", frames("a"))
    after = farm.tree()
    added = probe.diff(before, after).added
    wanted = set(digests(frames("a").values()))
    files = [farm.root / path for path in sorted(added) if after.entries[path].sha256 in wanted]
    if len(files) != len(wanted):
        unknown("the backend does not stage its frames as plain files")
    return handle, files


@requires(
    "S3", evidence=f"{len(PLANTS)} kinds of plants beside a dead writer's frames, one collect"
)
def test_S3_planted_in_dead_staging(farm: Farm) -> None:
    """They are reaped with it, and what they lead to stays."""
    farm.needs(Capability.SHARED_ROOT)
    worker, writer, before = farm.worker(), farm.worker(), precious(farm)
    _, files = staged_folder(farm, writer)
    writer.kill()
    folder = files[0].parent
    for number, plant in enumerate(PLANTS, start=9):
        plant(folder / f"frame_{number:05}.png", farm.outside)
    (folder / "folder").symlink_to(farm.outside / "directory")
    farm.age(DAY_S)
    moves.collect(worker)
    assert not os.path.lexists(folder / "folder")
    # A hard link shares its times with what it leads to, and we have just made it older.
    after = probe.take(farm.outside)
    assert not probe.diff(before, after, ignore=HARMLESS | {"mtime_ns"})


@requires("S3", evidence="in the place of a live writer's frame: each kind once, a publish")
@each_plant
def test_S3_planted_in_live_staging(farm: Farm, plant: Plant) -> None:
    """The publish is answered, whatever it says, and what the plant leads to stays."""
    farm.needs(Capability.SHARED_ROOT)
    worker, before = farm.worker(), precious(farm)
    handle, files = staged_folder(farm, worker)
    files[0].unlink()
    plant(files[0], farm.outside)
    try:
        ask(farm, worker, Verb.PUBLISH, handle=handle)
    except BackendError as error:
        if error.code is not ErrorCode.INVALID_ENTRY:
            raise
    exercise(farm, worker, "a")
    after = probe.take(farm.outside)
    assert not probe.diff(before, after, ignore=HARMLESS | {"mode"})
