"""Chapter S: a root that others could write is not used, and nothing leads out of one that is.

Whoever plants something here has the harness' own rights, as a careless tool or another program of
the user has; what strangers may do to a root is what S1 refuses. Devices are not planted.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from untorn_conformance import moves, probe
from untorn_conformance.backend import Miss, Unpublished, Verb
from untorn_conformance.contract import Capability
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_conformance.farm import Farm
from untorn_conformance.moves import assert_gives, frames
from untorn_conformance.plugin import requires, unknown
from untorn_stress.worker import Worker


def open_at(worker: Worker, root: Path | None) -> None:
    """Open a root, or the default one."""
    worker.call(Verb.OPEN, root=None if root is None else str(root), env={}, clock_offset_s=0.0)


@requires("S1", evidence="one new root under umask 0, sequential")
def test_S1_a_new_root_is_closed_to_others(farm: Farm) -> None:
    """Mode 0700, whatever the umask."""
    farm.needs(Capability.SHARED_ROOT)
    inside = ["sh", "-c", 'umask 0 && exec "$@"', "sh"]
    worker = farm.worker(open_root=False, inside=inside)
    root = farm.outside / "cache"
    open_at(worker, root)
    moves.put(farm, worker, "a")
    assert f"{root.stat().st_mode & 0o7777:o}" == "700"


def symlink_to_a_directory(path: Path, uid: int | None) -> None:
    """A link to a directory that would do by itself."""
    del uid
    target = path.with_name("target of the link")
    target.mkdir(mode=0o700)
    path.symlink_to(target)


def symlink_to_nothing(path: Path, uid: int | None) -> None:
    """A link through which a directory could be made."""
    del uid
    path.symlink_to(path.with_name("target of the link"))


def writable_by_group(path: Path, uid: int | None) -> None:
    """A directory whose group may write."""
    del uid
    path.mkdir()
    path.chmod(0o770)


def writable_by_others(path: Path, uid: int | None) -> None:
    """A directory like /tmp."""
    del uid
    path.mkdir()
    path.chmod(0o1777)


def another_users(path: Path, uid: int | None) -> None:
    """A directory of somebody else; only root can make one."""
    assert uid is not None
    path.mkdir(mode=0o755)
    os.chown(path, uid, -1)


Plant = Callable[[Path, int | None], None]
HOSTILE: list[Plant] = [
    symlink_to_a_directory,
    symlink_to_nothing,
    writable_by_group,
    writable_by_others,
]
if os.getuid() == 0:
    HOSTILE.append(another_users)
each_hostile = pytest.mark.parametrize("plant", HOSTILE, ids=lambda each: str(each.__name__))
BY_ROOT = "another user's root is tried where the harness is root"


def around(path: Path) -> probe.Snapshot:
    """The directory that a root was planted in, with all that the root leads to."""
    return probe.take(path.parent)


@requires("S1", evidence=f"each hostile root once, given explicitly; {BY_ROOT}")
@each_hostile
def test_S1_refuses_an_explicit_root(farm: Farm, plant: Plant) -> None:
    """Whoever chose it is told, and nothing is written there."""
    farm.needs(Capability.SHARED_ROOT)
    worker, root = farm.worker(open_root=False), farm.outside / "cache"
    plant(root, farm.unprivileged_uid)
    before = around(root)
    assert is_refused(worker, root)
    assert not probe.diff(before, around(root))


@requires("S1", evidence="the root directory of the system, or one given away where we own that")
def test_S1_refuses_a_root_that_another_user_owns(farm: Farm) -> None:
    """An ordinary user is not even tempted by what root owns."""
    farm.needs(Capability.SHARED_ROOT)
    uid, root = farm.unprivileged_uid, Path("/")
    if uid is not None:
        root = farm.outside / "cache"
        another_users(root, uid)
    assert is_refused(farm.worker(open_root=False), root)


def is_refused(worker: Worker, root: Path) -> bool:
    """Whether open says that the root is not safe."""
    try:
        open_at(worker, root)
    except BackendError as error:
        return error.code is ErrorCode.ROOT_REFUSED
    return False


@requires("S1", evidence=f"each hostile root once, where the default root belongs; {BY_ROOT}")
@each_hostile
def test_S1_does_without_a_default_root(farm: Farm, plant: Plant) -> None:
    """Nobody chose it, so the render goes on uncached, and nothing is written there."""
    farm.needs(Capability.SHARED_ROOT, Capability.CONFIG)
    root = default_root(farm)
    plant(root, farm.unprivileged_uid)
    before = around(root)
    worker = farm.worker(open_root=False)
    open_at(worker, None)
    assert isinstance(moves.look(worker, "a"), Miss)
    answer = moves.publish(farm, worker, "a", frames("a"))
    assert isinstance(answer, Unpublished), answer
    assert_gives(worker, answer, frames("a"))
    worker.call(Verb.RELEASE, handle=answer.handle)
    assert not probe.diff(before, around(root))


@requires("S1", evidence="one default root that is a symlink, one open and one publish")
def test_S1_warns_about_a_default_root(farm: Farm) -> None:
    """Going without is not silent."""
    farm.needs(Capability.SHARED_ROOT, Capability.CONFIG, Capability.LOG)
    symlink_to_a_directory(default_root(farm), None)
    worker = farm.worker(open_root=False)
    open_at(worker, None)
    moves.publish(farm, worker, "a")
    assert [event for event in worker.call(Verb.LOG).events if event.level == "warning"]


def default_root(farm: Farm) -> Path:
    """Where the default root is made; it is removed again."""
    worker = farm.worker(open_root=False)
    open_at(worker, None)
    moves.put(farm, worker, "a")
    worker.call(Verb.CLOSE)
    made = list(farm.tmp.iterdir())
    if len(made) != 1:
        unknown(f"the default root is not the one new directory of {made}")
    shutil.rmtree(made[0])
    return made[0]


@requires("S1", evidence=f"each hostile root once, put in place of one in use; {BY_ROOT}")
@each_hostile
def test_S1_refuses_a_root_that_was_replaced(farm: Farm, plant: Plant) -> None:
    """It is checked again when its path has come to lead elsewhere; nothing is written there."""
    farm.needs(Capability.SHARED_ROOT)
    worker, root = farm.worker(open_root=False), farm.outside / "cache"
    open_at(worker, root)
    moves.put(farm, worker, "a")
    shutil.rmtree(root)
    plant(root, farm.unprivileged_uid)
    before = around(root)
    try:
        answer = moves.publish(farm, worker, "b", frames("b"))
    except BackendError as error:
        if error.code is not ErrorCode.ROOT_REFUSED:
            raise
    else:
        assert isinstance(answer, Unpublished), answer
    assert not probe.diff(before, around(root))


UP = tuple("../" * levels for levels in (1, 2, 3, 4))
ODD_NAMES = ("..", ".", "", "a/b", "a\0b", "a\nb", "-rf", "~", "a" * 300, "a\udcff", "con.")
REFUSALS = {ErrorCode.INVALID_KEY, ErrorCode.INVALID_ENTRY, ErrorCode.BAD_REQUEST}


def outside_of(farm: Farm) -> probe.Snapshot:
    """Everything around the root but the payload and what workers wrote to stderr."""
    everything = probe.take(farm.root.parent).entries
    return probe.Snapshot(
        entries={
            path: entry
            for path, entry in everything.items()
            if Path(path).parts[0] not in {farm.root.name, "payload"}
            and not path.endswith(".stderr")
        }
    )


def escapes(farm: Farm, ending: str) -> list[str]:
    """Names that lead out of a root, to something that is there and to something that is not."""
    (farm.outside / f"there{ending}").write_bytes(b"precious")
    names = [f"there{ending}", f"new{ending}"]
    relative = [f"{up}outside/{name}" for up in UP for name in names]
    return [*relative, *(str(farm.outside / name) for name in names)]


def try_to_publish(farm: Farm, worker: Worker, key: str, name: str) -> str:
    """Look up, stage, publish and let go: "done", or the code of a refusal."""
    try:
        found = worker.call(Verb.LOOKUP, key=key)
        assert isinstance(found, Miss), found
        staged = worker.call(Verb.STAGE, key=key, files=farm.files({name: b"payload"}))
        answer = worker.call(Verb.PUBLISH, handle=staged.handle)
        worker.call(Verb.RELEASE, handle=answer.handle)
    except BackendError as error:
        if error.code not in REFUSALS:
            raise
        return error.code
    return "done"


@requires("S2", evidence="20 keys that lead out of the root or that no file can be named by")
def test_S2_no_key_escapes(farm: Farm) -> None:
    """Each is refused, or becomes an entry inside the root."""
    farm.needs(Capability.SHARED_ROOT)
    worker = farm.worker()
    keys = [*escapes(farm, ""), *ODD_NAMES, f"{moves.key('a')}/../../../outside/new"]
    before = outside_of(farm)
    for key in keys:
        try_to_publish(farm, worker, key, "frame_00001.png")
        difference = probe.diff(before, outside_of(farm), ignore=frozenset({"mtime_ns"}))
        assert not difference, (key, difference)


@requires("S2", evidence="20 frame names that lead out of the entry or that no file can have")
def test_S2_no_frame_name_escapes(farm: Farm) -> None:
    """The same for what a publish calls its frames."""
    farm.needs(Capability.SHARED_ROOT)
    worker = farm.worker()
    before_all = escapes(farm, "_00001.png")
    names = [*before_all, *ODD_NAMES, *(f"{odd}_00001.png" for odd in ODD_NAMES)]
    before = outside_of(farm)
    for number, name in enumerate(names):
        try_to_publish(farm, worker, moves.key(f"{number}"), name)
        difference = probe.diff(before, outside_of(farm), ignore=frozenset({"mtime_ns"}))
        assert not difference, (name, difference)
