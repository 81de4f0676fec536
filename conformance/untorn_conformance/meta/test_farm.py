from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from untorn_conformance import moves
from untorn_conformance.backend import Hit, Verb
from untorn_conformance.contract import Capability
from untorn_conformance.errors import BackendError
from untorn_conformance.farm import Farm
from untorn_conformance.registry import parse
from untorn_conformance.trial import Trial
from untorn_conformance.warmth import Warmth
from untorn_stress import supervise

PLAIN = "py:untorn_conformance.meta.demo.directory:DirectoryCache"

only_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can start another user's worker")


Grow = Callable[[str, Path], Farm]


@pytest.fixture
def grow() -> Iterator[Grow]:
    def of_trial(spec: str, directory: Path) -> Farm:
        trial = Trial(
            spec=parse(spec),
            directories=(directory,),
            selected=(),
            require_evidence=False,
            warmth=warmth,
        )
        return trial.farm(directory)

    with Warmth() as warmth:
        yield of_trial


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user may pass: pytest's own is closed to others."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def own_farm(grow: Grow, open_directory: Path) -> Iterator[Farm]:
    farm = grow(PLAIN, open_directory)
    yield farm
    farm.close()


def test_a_worker_at_home_is_there_and_it_is_its_home(grow: Grow, open_directory: Path) -> None:
    home, ours = open_directory / "home", Path.cwd()
    home.mkdir()
    farm = grow("py:untorn_conformance.meta.demo.warming:Telling", open_directory)
    try:
        told = [farm.worker(open_root=False, home=home) for _ in range(2)]
        says = {each.call(Verb.LOOKUP, key="home").detail for each in told}
    finally:
        farm.close()
    assert (says, Path.cwd()) == ({f"{home} {home}"}, ours)


def publish(farm: Farm, contents: Mapping[str, bytes]) -> None:
    worker = farm.worker()
    staged = worker.call(Verb.STAGE, key="k", files=farm.files(contents))
    worker.call(Verb.PUBLISH, handle=staged.handle)


def test_a_worker_has_said_hello_and_opened_the_root(own_farm: Farm) -> None:
    publish(own_farm, {"frame_00001.png": b"a"})
    assert "entries/k/frame_00001.png" in own_farm.tree().entries


def test_a_worker_may_be_left_to_open_its_root_itself(own_farm: Farm) -> None:
    own_farm.worker(open_root=False)
    assert not own_farm.tree().entries


def test_the_configuration_reaches_open(own_farm: Farm) -> None:
    with pytest.raises(BackendError, match="only an explicit root can be configured"):
        own_farm.worker(env={"SETTING": "value"})


def test_a_backend_that_changes_its_mind_about_itself_is_a_protocol_error(
    own_farm: Farm,
) -> None:
    own_farm._spec = parse("py:untorn_conformance.meta.demo.fickle:FickleCache")
    with pytest.raises(BackendError, match="not what it was at the start of the run"):
        own_farm.worker()


def test_the_root_is_closed_to_others_whatever_the_umask(open_directory: Path, grow: Grow) -> None:
    before = os.umask(0)
    try:
        farm = grow(PLAIN, open_directory)
    finally:
        os.umask(before)
    assert farm.root.stat().st_mode & 0o777 == 0o700
    farm.close()


def test_payload_names_may_be_anything(own_farm: Farm) -> None:
    (payload,) = own_farm.files({"../../\udcff": b"x"})
    assert payload["name"] == "../../\udcff"
    assert Path(payload["path"]).read_bytes() == b"x"


def test_aging_makes_everything_under_the_root_older(own_farm: Farm) -> None:
    publish(own_farm, {"frame_00001.png": b"a"})
    before = own_farm.tree()
    own_farm.age(60)
    after = own_farm.tree()
    assert {
        entry.mtime_ns - after.entries[path].mtime_ns for path, entry in before.entries.items()
    } == {60 * 10**9}


def test_a_backend_with_a_clock_of_its_own_is_told_its_age(
    open_directory: Path, grow: Grow
) -> None:
    farm = grow("py:untorn_conformance.meta.demo.clocked:ClockedCache", open_directory)
    worker = farm.worker()
    farm.age(60)
    assert worker.call(Verb.STATS).counters["age_s"] == 60
    farm.close()


def test_an_undeclared_capability_ends_the_case_as_not_applicable(own_farm: Farm) -> None:
    own_farm.needs(Capability.STATS)
    with pytest.raises(pytest.skip.Exception, match="NOT_APPLICABLE: capability lease"):
        own_farm.needs(Capability.STATS, Capability.LEASE)


def test_workers_keep_their_temporary_files_in_the_farm(grow: Grow, open_directory: Path) -> None:
    farm = grow("py:untorn_conformance.meta.demo.warming:Telling", open_directory)
    told = farm.worker().call(Verb.LOOKUP, key="where").detail.split()
    farm.close()
    assert told[1:] == [str(farm.tmp)] * 2


def test_closing_leaves_no_process_and_no_file(open_directory: Path, grow: Grow) -> None:
    farm = grow(PLAIN, open_directory)
    stopped, busy, idle = farm.worker(), farm.worker(), farm.worker()
    stopped.stop()
    busy.send(Verb.STATS)
    home = farm.root.parent
    farm.close()
    assert all(supervise.is_gone(worker.pid) for worker in (stopped, busy, idle))
    assert not home.exists()


@only_root
def test_closing_removes_directories_that_nobody_may_write(
    open_directory: Path, grow: Grow
) -> None:
    # As root every directory may be written, so another user closes the farm.
    farm = grow(PLAIN, open_directory)
    locked = farm.root / "locked"
    locked.mkdir()
    (locked / "file").touch()
    nobody = farm.unprivileged_uid
    assert nobody is not None
    base = farm.root.parents[1]
    for path in (base, farm.root.parent, *farm.root.parent.rglob("*")):
        os.chown(path, nobody, nobody)
    locked.chmod(0o500)
    os.seteuid(nobody)
    try:
        farm.close()
    finally:
        os.seteuid(0)
    assert os.listdir(base) == []


@only_root
def test_an_unprivileged_worker_owns_what_it_publishes(own_farm: Farm) -> None:
    worker = own_farm.worker(uid=own_farm.unprivileged_uid)
    staged = worker.call(Verb.STAGE, key="k", files=own_farm.files({"frame_00001.png": b"a"}))
    worker.call(Verb.PUBLISH, handle=staged.handle)
    assert {entry.uid for entry in own_farm.tree().entries.values()} == {65534}


@only_root
def test_permissions_mean_something_to_an_unprivileged_worker(own_farm: Farm) -> None:
    own_farm.root.chmod(0o000)
    with pytest.raises(BackendError, match="PermissionError"):
        own_farm.worker(uid=own_farm.unprivileged_uid)


@only_root
def test_a_root_in_use_keeps_its_owner(own_farm: Farm) -> None:
    publish(own_farm, {"frame_00001.png": b"a"})
    own_farm.worker(uid=own_farm.unprivileged_uid, open_root=False)
    assert own_farm.root.stat().st_uid == 0


@only_root
def test_a_directory_that_nobody_may_pass_makes_the_case_unknown(
    tmp_path: Path, grow: Grow
) -> None:
    tmp_path.chmod(0o700)
    farm = grow(PLAIN, tmp_path)
    with pytest.raises(pytest.skip.Exception, match="UNKNOWN: an unprivileged worker"):
        _ = farm.unprivileged_uid
    farm.close()


@pytest.mark.skipif(os.getuid() == 0, reason="for root this is another user")
def test_without_privileges_a_worker_is_our_own_user(own_farm: Farm) -> None:
    assert own_farm.unprivileged_uid is None


def test_the_moves_of_cases_work_on_a_farm(own_farm: Farm) -> None:
    worker = own_farm.worker()
    moves.put(own_farm, worker, "label")
    assert isinstance(moves.look(worker, "label"), Hit)
