"""A laboratory: what runs find around the root, what is evidence, and how long it may take."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from untorn_conformance.errors import BackendError
from untorn_stress.explorer import Explored, leaves_open
from untorn_stress.gate.availability import probe
from untorn_stress.gate.hosting import HostingError, HostingTimeoutError
from untorn_stress.gate.supervisor import UndecidedError
from untorn_stress.laboratory import Laboratory
from untorn_stress.payloads import Payloads
from untorn_stress.run import FindingKind
from untorn_stress.scenarios import scenario
from untorn_stress.schedulers.replay import Replay
from untorn_stress.surroundings import Surroundings

pytestmark = pytest.mark.skipif(not probe().ok, reason=f"no gate here: {probe().reason}")


Make = Callable[..., Laboratory]
Explore = Callable[..., Explored]


# --- around the root ------------------------------------------------------------------------------


def test_what_a_cache_writes_beside_its_root_is_a_finding_that_comes_again(
    laboratory_of: Make, explore: Explore
) -> None:
    explored = explore(
        laboratory_of("""
        def publish(self, *, handle):
            Path(self._root).with_name("cache.lock").write_bytes(b"")
            return super().publish(handle=handle)
        """),
        "reader-writer",
    )
    assert [
        (each.finding.kind, each.finding.requirement, each.finding.rule, each.finding.message)
        for each in explored.found
    ] == [(FindingKind.VIOLATION, "G5", "outside", "outside the root was changed: cache.lock")]
    assert explored.nondeterministic == ""


@pytest.mark.parametrize("deed", ["unlink()", "write_bytes(b'')", "chmod(0o777)"])
def test_what_a_cache_does_to_somebody_else_s_file_is_a_finding(
    laboratory_of: Make, deed: str, explore: Explore
) -> None:
    explored = explore(
        laboratory_of(f"""
        def lookup(self, *, key):
            (Path(self._root).parent / "outside/photo.jpg").{deed}
            return super().lookup(key=key)
        """),
        "reader-writer",
    )
    assert "outside the root was changed: outside/photo.jpg" in [
        each.finding.message for each in explored.found
    ]


def test_a_cache_may_use_its_root_and_its_temporary_directory(
    laboratory_of: Make, explore: Explore
) -> None:
    explored = explore(
        laboratory_of("""
        def publish(self, *, handle):
            Path(os.environ["TMPDIR"], f"scratch-{os.getpid()}").write_bytes(b"")
            return super().publish(handle=handle)
        """),
        "reader-writer",
    )
    assert (explored.runs, explored.found) == (3, ())


def test_each_worker_has_a_temporary_directory_that_is_empty_at_first(
    laboratory_of: Make, explore: Explore
) -> None:
    laboratory = laboratory_of("""
        def publish(self, *, handle):
            import tempfile
            assert os.listdir(tempfile.gettempdir()) == []
            Path(tempfile.gettempdir(), "scratch").write_bytes(b"")
            return super().publish(handle=handle)
        """)
    explored = explore(laboratory, "writer-writer")
    assert (explored.found, explored.unobserved, explored.broken) == ((), (), False)


MEETINGS = {
    "a lock beside the root": "fcntl.flock(os.open(Path(self._root).parent, 0), fcntl.LOCK_SH)",
    "a record lock": 'fcntl.lockf(os.open(Path(__file__).with_name("meet"), 0), fcntl.LOCK_SH)',
    "a file that is there": 'os.open(Path(__file__).with_name("meet"), os.O_WRONLY)',
    "shared memory": "shared_memory.SharedMemory('untorn-test', create=True, size=1).unlink()",
}


@pytest.mark.parametrize("meeting", MEETINGS)
def test_where_workers_may_meet_unseen_is_noted(
    laboratory_of: Make, tmp_path: Path, meeting: str, explore: Explore
) -> None:
    (tmp_path / "meet").touch()
    explored = explore(
        laboratory_of(f"""
        def lookup(self, *, key):
            import fcntl
            from multiprocessing import shared_memory
            {MEETINGS[meeting]}
            return super().lookup(key=key)
        """),
        "reader-collector",
    )
    assert any("where nobody looks" in each for each in explored.unobserved)
    assert not explored.exhaustive


def test_who_reads_elsewhere_and_writes_to_a_device_meets_nobody(
    laboratory_of: Make, explore: Explore
) -> None:
    explored = explore(
        laboratory_of("""
        def lookup(self, *, key):
            Path(__file__).read_bytes()
            Path(os.devnull).write_bytes(b"")
            return super().lookup(key=key)
        """),
        "reader-collector",
    )
    assert explored.unobserved == ()


def test_one_run_is_not_blamed_for_another_s_strays(tmp_path: Path) -> None:
    around = Surroundings(tmp_path, ours=frozenset({"cache"}))
    (tmp_path / "stray").mkdir()
    (tmp_path / "stray" / "file").write_bytes(b"")
    (tmp_path / "outside" / "photo.jpg").unlink()
    assert around.changed() == ("outside/photo.jpg", "stray", "stray/file")
    around.restore()
    assert (around.changed(), os.listdir(tmp_path)) == ((), ["outside"])


def test_a_cache_that_strays_once_and_not_again_is_called_nondeterministic(
    laboratory_of: Make, explore: Explore
) -> None:
    explored = explore(
        laboratory_of("""
        def publish(self, *, handle):
            once = Path(__file__).with_name("once")
            if not once.exists():
                once.write_bytes(b"")
                Path(self._root).with_name("cache.lock").write_bytes(b"")
            return super().publish(handle=handle)
        """),
        "reader-writer",
    )
    assert [each.finding.kind for each in explored.found] == [FindingKind.NONDETERMINISTIC]
    assert explored.nondeterministic.endswith("not so when it was replayed")


# --- what is evidence -----------------------------------------------------------------------------


def test_a_root_below_a_link_is_held(laboratory_of: Make, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(tmp_path)
    resolves = """
    def open(self, *, root, env, clock_offset_s):
        super().open(root=os.path.realpath(root), env=env, clock_offset_s=clock_offset_s)
    """
    laboratory = laboratory_of(resolves, base=tmp_path / "way")
    system = laboratory.system(scenario("reader-collector"), laboratory.natural("published"))
    system.record = True
    run = system.run(Replay(()).choose).run
    assert "utimensat" in {each.call for each in run.steps}


def test_a_search_of_a_cache_that_takes_no_step_is_not_exhaustive(
    laboratory_of: Make, explore: Explore
) -> None:
    explored = explore(
        laboratory_of("""
        def collect(self, *, budget_bytes, min_age_s, dry_run):
            from untorn_conformance.backend import Skipped
            return Skipped()
        """),
        "collector-collector",
    )
    assert (explored.runs, explored.exhaustive) == (1, False)


def test_a_search_whose_first_run_is_not_made_again_says_where_it_parted(
    laboratory_of: Make, explore: Explore
) -> None:
    explored = explore(
        laboratory_of("""
        def lookup(self, *, key):
            once = Path(__file__).with_name("once")
            if once.exists():
                os.stat(Path(self._root))
            once.write_bytes(b"")
            return super().lookup(key=key)
        """),
        "failing-lookup",
    )
    assert explored.runs == 1
    assert explored.nondeterministic == "the same schedule, made twice, parts at step 0: access"


def test_a_path_that_begins_at_a_descriptor_is_told_by_where_it_leads(
    laboratory_of: Make, explore: Explore
) -> None:
    laboratory = laboratory_of("""
    def lookup(self, *, key):
        fd = os.open(self._root, os.O_RDONLY)
        os.utime(f"/proc/self/fd/{fd}")
        os.close(fd)
        return super().lookup(key=key)
    """)
    system = laboratory.system(scenario("failing-lookup"), laboratory.natural("published"))
    system.record = True
    run = system.run(Replay(()).choose).run
    assert next(each.detail for each in run.steps if each.call == "utimensat") == "."
    assert explore(laboratory, "failing-lookup").nondeterministic == ""


# --- deadlines ------------------------------------------------------------------------------------

BLOCKS = "os.read(os.pipe()[0], 1)"


def test_a_cache_that_hangs_in_open_is_undecided_after_the_deadline(laboratory_of: Make) -> None:
    laboratory = laboratory_of(
        f"def open(self, *, root, env, clock_offset_s): {BLOCKS}", step_deadline_s=0.5
    )
    with pytest.raises(HostingTimeoutError, match=r"no worker in 0\.5 s"):
        laboratory.natural("empty")


def test_a_cache_that_hangs_while_its_tree_is_made_is_undecided(laboratory_of: Make) -> None:
    laboratory = laboratory_of(f"def publish(self, *, handle): {BLOCKS}", step_deadline_s=0.5)
    with pytest.raises(UndecidedError, match=r"no answer in 0\.5 s"):
        laboratory.natural("published")


def test_a_cache_that_never_rests_is_undecided(laboratory_of: Make, explore: Explore) -> None:
    laboratory = laboratory_of(
        """
        def lookup(self, *, key):
            while True:
                pass
        """,
        step_deadline_s=0.5,
    )
    explored = explore(laboratory, "reader-writer")
    assert (explored.undecided, explored.broken) == ("A did not stand still in 0.5 s", False)


def test_a_cache_that_works_without_end_is_undecided(laboratory_of: Make, explore: Explore) -> None:
    laboratory = laboratory_of(
        """
        def lookup(self, *, key):
            while True:
                os.listdir(self._root)
        """,
        most_steps=50,
    )
    explored = explore(laboratory, "reader-writer")
    assert (explored.undecided, explored.broken) == ("no end of the run after 50 steps", False)


def test_a_cache_that_cannot_be_made_is_broken_and_quoted(laboratory_of: Make) -> None:
    laboratory = laboratory_of("def open(self, *, root, env, clock_offset_s): os._exit(3)")
    with pytest.raises(HostingError, match="died at its start") as caught:
        laboratory.natural("empty")
    assert not leaves_open(caught.value)


def test_a_cache_that_refuses_its_root_is_broken(laboratory_of: Make) -> None:
    laboratory = laboratory_of(
        """
        def open(self, *, root, env, clock_offset_s):
            from untorn_conformance.errors import BackendError, ErrorCode
            raise BackendError(ErrorCode.ROOT_REFUSED, "not this one")
        """
    )
    with pytest.raises(BackendError, match="not this one") as caught:
        laboratory.natural("empty")
    assert not leaves_open(caught.value)


def test_a_worker_that_ends_is_dead_and_no_deadlock(laboratory_of: Make, explore: Explore) -> None:
    laboratory = laboratory_of("def publish(self, *, handle): os._exit(3)")
    explored = explore(laboratory, "writer-writer", runs=10)
    assert {each.finding.kind for each in explored.found} == {FindingKind.DIED}


DIES_OF_WHAT_IT_FINDS = """
def lookup(self, *, key):
    found = super().lookup(key=key)
    if hasattr(found, "files"):
        os._exit(3)
    return found
"""


def test_a_cache_that_dies_of_what_a_run_left_is_found(
    laboratory_of: Make, explore: Explore
) -> None:
    (found, *more) = explore(laboratory_of(DIES_OF_WHAT_IT_FINDS), "writer-writer").found
    told = (found.finding.kind, found.finding.requirement, found.finding.rule)
    assert (told, more) == ((FindingKind.DIED, "L2", "died"), [])
    assert found.finding.message == "the run is over, and a fresh worker died in lookup"


def test_every_key_of_the_tree_is_looked_at_when_a_run_is_over(
    laboratory_of: Make, explore: Explore
) -> None:
    laboratory = laboratory_of(
        """
    def lookup(self, *, key):
        if key == KEY:
            os._exit(3)
        return super().lookup(key=key)
    """.replace("KEY", repr(Payloads(Path("/nowhere")).key("l")))
    )
    explored = explore(laboratory, "reader-collector", "two-published", runs=1)
    assert ("L2", "died") in [
        (each.finding.requirement, each.finding.rule) for each in explored.found
    ]
