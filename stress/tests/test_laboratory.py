"""A laboratory: what runs find around the root, what they begin from, and how long it may take."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from untorn_conformance.backend import BytesMeaning, Limits
from untorn_conformance.contract import Capability
from untorn_conformance.errors import BackendError
from untorn_stress.ensemble import Cast
from untorn_stress.explore import Budget
from untorn_stress.explorer import Exploration, Explored, bounded, leaves_open
from untorn_stress.gate.availability import probe
from untorn_stress.gate.hosting import HostingError, HostingTimeoutError
from untorn_stress.gate.supervisor import UndecidedError
from untorn_stress.laboratory import Laboratory, Patience, Subject, TreeUnavailableError
from untorn_stress.payloads import Payloads
from untorn_stress.run import FindingKind
from untorn_stress.scenario import Start
from untorn_stress.scenarios import scenario, starts_of
from untorn_stress.schedulers.protocol import Moment, Option
from untorn_stress.schedulers.replay import Replay
from untorn_stress.surroundings import Surroundings

pytestmark = pytest.mark.skipif(not probe().ok, reason=f"no gate here: {probe().reason}")

GOOD = """
import os
from pathlib import Path
from untorn_conformance.specimens.after_review import AfterReview
from untorn_conformance.specimens.removal import DeletionOrder

class Cache(AfterReview):
    def __init__(self):
        super().__init__(DeletionOrder.SORTED)
    {method}

factory = Cache
"""
Make = Callable[..., Laboratory]


@pytest.fixture
def laboratory_of(tmp_path: Path) -> Iterator[Make]:
    """Makes the laboratory of a good cache with one method of its own."""
    made: list[Laboratory] = []

    def make(
        method: str = "pass",
        *,
        capabilities: frozenset[Capability] = frozenset(),
        limits: Limits | None = None,
        clip: str = "",
        base: Path | None = None,
        **patience: Any,
    ) -> Laboratory:
        (tmp_path / "cache_of_a_test.py").write_text(
            GOOD.format(method=textwrap.indent(textwrap.dedent(method), "    ").strip())
        )
        path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
        cast = Cast(
            name="test",
            identity="test@1",
            env={**os.environ, "PYTHONPATH": path},
            zygote=(
                *(sys.executable, "-m", "untorn_conformance.zygote"),
                "cache_of_a_test:factory",
            ),
        )
        subject = Subject(
            spec="test", identity="test@1", cast=cast, capabilities=capabilities, limits=limits
        )
        made.append(
            Laboratory(subject, base=base or tmp_path, clip=clip, patience=Patience(**patience))
        )
        return made[-1]

    yield make
    for each in made:
        each.close()


def explore(laboratory: Laboratory, name: str, tree: str = "", runs: int = 3) -> Explored:
    played = scenario(name)
    scheduler, described = bounded(1)
    start = laboratory.start(tree or played.tree)
    budget = Budget(runs=runs)
    return Exploration(
        laboratory, played, start, scheduler, described=described, budget=budget
    ).run()


# --- around the root ------------------------------------------------------------------------------


def test_what_a_cache_writes_beside_its_root_is_a_finding_that_comes_again(
    laboratory_of: Make,
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
    laboratory_of: Make, deed: str
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


def test_a_cache_may_use_its_root_and_its_temporary_directory(laboratory_of: Make) -> None:
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
    laboratory_of: Make,
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
    laboratory_of: Make, tmp_path: Path, meeting: str
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


def test_who_reads_elsewhere_and_writes_to_a_device_meets_nobody(laboratory_of: Make) -> None:
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
    laboratory_of: Make,
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


def test_a_search_of_a_cache_that_takes_no_step_is_not_exhaustive(laboratory_of: Make) -> None:
    explored = explore(
        laboratory_of("""
        def collect(self, *, budget_bytes, min_age_s, dry_run):
            from untorn_conformance.backend import Skipped
            return Skipped()
        """),
        "collector-collector",
    )
    assert (explored.runs, explored.exhaustive) == (1, False)


# --- when an operation began ----------------------------------------------------------------------


def test_a_cache_that_looks_only_when_it_is_opened_misses_what_was_published_since(
    laboratory_of: Make,
) -> None:
    explored = explore(
        laboratory_of("""
        def open(self, *, root, env, clock_offset_s):
            super().open(root=root, env=env, clock_offset_s=clock_offset_s)
            self._seen = os.listdir(root)

        def lookup(self, *, key):
            from untorn_conformance.backend import Miss, MissReason
            os.stat(self._root)
            return super().lookup(key=key) if self._seen else Miss(reason=MissReason.ABSENT)
        """),
        "reader-writer",
        runs=100,
    )
    assert ("R2", "not-found") in {
        (each.finding.requirement, each.finding.rule) for each in explored.found
    }


def test_a_lookup_may_have_read_an_open_file_before_its_first_step(laboratory_of: Make) -> None:
    explored = explore(
        laboratory_of("""
        def open(self, *, root, env, clock_offset_s):
            super().open(root=root, env=env, clock_offset_s=clock_offset_s)
            self._index = os.open(Path(root, "index"), os.O_RDWR | os.O_CREAT | os.O_APPEND)

        def lookup(self, *, key):
            from untorn_conformance.backend import Miss, MissReason
            is_there = os.pread(self._index, 1, 0)
            os.stat(self._root)
            return super().lookup(key=key) if is_there else Miss(reason=MissReason.ABSENT)

        def publish(self, *, handle):
            published = super().publish(handle=handle)
            os.write(self._index, b"+")
            return published
        """),
        "reader-writer",
        runs=100,
    )
    assert (explored.found, explored.undecided) == ((), "")


# --- who is held ----------------------------------------------------------------------------------

COMPANY = {
    "a thread": """
        import threading
        asked, answered = os.pipe(), os.pipe()
        def work():
            while os.read(asked[0], 1):
                os.stat(root)
                os.write(answered[1], b"1")
        threading.Thread(target=work, daemon=True).start()
    """,
    "a child": """
        asked, answered = os.pipe(), os.pipe()
        if not os.fork():
            os.close(asked[1])
            while os.read(asked[0], 1):
                os.stat(root)
                os.write(answered[1], b"1")
            os._exit(0)
    """,
    "a daemon": """
        asked, answered = os.pipe(), os.pipe()
        child = os.fork()
        if not child:
            if os.fork():
                os._exit(0)
            os.close(asked[1])
            while os.read(asked[0], 1):
                os.stat(root)
                os.write(answered[1], b"1")
            os._exit(0)
        os.waitpid(child, 0)
    """,
}


@pytest.mark.parametrize("company", COMPANY)
def test_whom_a_cache_starts_when_it_is_opened_is_held(laboratory_of: Make, company: str) -> None:
    laboratory = laboratory_of(f"""
    def open(self, *, root, env, clock_offset_s):
        super().open(root=root, env=env, clock_offset_s=clock_offset_s)
        {textwrap.indent(textwrap.dedent(COMPANY[company]), " " * 8).strip()}
        self._pipes = asked[1], answered[0]

    def lookup(self, *, key):
        os.write(self._pipes[0], b"1")
        os.read(self._pipes[1], 1)
        return super().lookup(key=key)
    """)
    played = scenario("reader-writer")
    system = laboratory.system(played, laboratory.natural("empty"))
    system.record = True
    run = system.run(Replay(()).choose).run
    assert any(each.actor.startswith("At") for each in run.steps)


# --- foreign workers ------------------------------------------------------------------------------

ADAPTER = """
import os, sys
from untorn_conformance import serve
backend = serve.build("cache_of_a_test:factory")
for line in sys.stdin.buffer:
    sys.stdout.buffer.write(serve.answer(backend, line))
    sys.stdout.buffer.flush()
    if b'"release"' in line:
        sum(range(300_000))
        os.mkdir(os.path.join(backend._root, f"late{os.getpid()}"))
        os.rmdir(os.path.join(backend._root, f"late{os.getpid()}"))
"""


def foreign(laboratory_of: Make, tmp_path: Path, method: str) -> Laboratory:
    """The cache of a method as a program of its own, that works on after a release."""
    hosted = laboratory_of(method)
    cast = replace(
        hosted.subject.cast,
        zygote=(),
        argv=(sys.executable, "-c", ADAPTER),
    )
    return Laboratory(replace(hosted.subject, cast=cast), base=tmp_path)


def test_who_works_on_after_its_last_answer_is_waited_for(
    laboratory_of: Make, tmp_path: Path
) -> None:
    with foreign(laboratory_of, tmp_path, "pass") as laboratory:
        system = laboratory.system(scenario("reader-writer"), laboratory.natural("empty"))
        lengths = [len(system.run(Replay(()).choose).run.choices) for _ in range(6)]
        system.record = True
        calls = [each.call for each in system.run(Replay(()).choose).run.steps]
    assert len(set(lengths)) == 1, lengths
    assert calls[-2:] == ["mkdir", "rmdir"]


def test_a_foreign_worker_s_children_are_numbered_anew_in_each_run(
    laboratory_of: Make, tmp_path: Path
) -> None:
    forks = """
    def lookup(self, *, key):
        child = os.fork()
        if not child:
            os.stat(self._root)
            os._exit(0)
        os.waitpid(child, 0)
        return super().lookup(key=key)
    """
    with foreign(laboratory_of, tmp_path, forks) as laboratory:
        system = laboratory.system(scenario("reader-writer"), laboratory.natural("empty"))
        first, second = (system.run(Replay(()).choose).run.choices for _ in range(2))
    assert first == second
    assert "At1" in first


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


def test_a_cache_that_never_rests_is_undecided(laboratory_of: Make) -> None:
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


def test_a_cache_that_works_without_end_is_undecided(laboratory_of: Make) -> None:
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


def test_a_worker_that_ends_is_dead_and_no_deadlock(laboratory_of: Make) -> None:
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


def test_a_cache_that_dies_of_what_a_run_left_is_found(laboratory_of: Make) -> None:
    (found, *more) = explore(laboratory_of(DIES_OF_WHAT_IT_FINDS), "writer-writer").found
    told = (found.finding.kind, found.finding.requirement, found.finding.rule)
    assert (told, more) == ((FindingKind.DIED, "L2", "died"), [])
    assert found.finding.message == "the run is over, and a fresh worker died in lookup"


def test_every_key_of_the_tree_is_looked_at_when_a_run_is_over(laboratory_of: Make) -> None:
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


# --- what a run is judged by ----------------------------------------------------------------------


def limits(flight_wait_s: float = 0.0, meaning: BytesMeaning = BytesMeaning.ST_SIZE) -> Limits:
    return Limits(
        reap_grace_s=0.0,
        recency_resolution_s=0.0,
        flight_wait_s=flight_wait_s,
        bytes_meaning=meaning,
    )


def rules(explored: Explored) -> set[tuple[str, str]]:
    return {(each.finding.requirement, each.finding.rule) for each in explored.found}


COUNTS_ONE_BYTE_MORE = """
def collect(self, **orders):
    from dataclasses import replace
    done = super().collect(**orders)
    return replace(done, freed_bytes=done.freed_bytes + 1)
"""


def test_freed_bytes_are_compared_with_what_left_the_tree(laboratory_of: Make) -> None:
    right = explore(laboratory_of(limits=limits()), "collector-collector", runs=1)
    wrong = explore(laboratory_of(COUNTS_ONE_BYTE_MORE, limits=limits()), "collector-collector")
    assert (rules(right), ("G8", "bytes") in rules(wrong)) == (set(), True)


def test_freed_bytes_in_a_meaning_that_a_tree_does_not_tell_are_not_judged(
    laboratory_of: Make,
) -> None:
    allocated = limits(meaning=BytesMeaning.ALLOCATED)
    laboratory = laboratory_of(COUNTS_ONE_BYTE_MORE, limits=allocated)
    assert rules(explore(laboratory, "collector-collector", runs=1)) == set()


SKIPS = """
def collect(self, **orders):
    from untorn_conformance.backend import Skipped
    Path(self._root, "collector-" + str(os.getpid())).touch()
    if len(list(Path(self._root).glob("collector-*"))) > {others}:
        return Skipped(reason="in-use")
    return super().collect(**orders)
"""


@pytest.mark.parametrize(("others", "found"), [(0, set()), (1, {("G8", "all-skipped")})])
def test_where_every_collect_is_skipped_collectors_are_not_in_each_other_s_way(
    laboratory_of: Make, others: int, found: set[tuple[str, str]]
) -> None:
    laboratory = laboratory_of(SKIPS.format(others=others))
    skipped = rules(explore(laboratory, "collector-collector", runs=200))
    assert skipped & {("G8", "all-skipped")} == found


WORKS_EACH_TIME = """
def extract(self, *, inputs):
    from untorn_conformance.backend import Extracted, ExtractOutcome
    return Extracted(handle="h", files=(), outcome=ExtractOutcome.PUBLISHED)

def release(self, *, handle):
    pass
"""


@pytest.mark.parametrize(
    ("flight_wait_s", "found"), [(0.0, set()), (3600.0, {("P7", "worked-twice")})]
)
def test_a_second_worker_is_right_when_the_run_outlasts_the_wait(
    laboratory_of: Make, flight_wait_s: float, found: set[tuple[str, str]]
) -> None:
    laboratory = laboratory_of(
        WORKS_EACH_TIME,
        capabilities=frozenset({Capability.EXTRACT, Capability.SINGLE_FLIGHT}),
        limits=limits(flight_wait_s),
        clip="/no/clip",
    )
    assert rules(explore(laboratory, "single-flight", runs=1)) == found


# --- trees ----------------------------------------------------------------------------------------


def test_a_harvest_is_the_same_in_another_laboratory(laboratory_of: Make) -> None:
    first, second = (list(laboratory_of().harvest()) for _ in range(2))
    assert (first, len(set(first))) == (second, len(first))
    assert len(first) > 1


def test_a_tree_that_there_is_not_is_said_to_be_unavailable(laboratory_of: Make) -> None:
    with pytest.raises(TreeUnavailableError, match=r"natural are empty.*harvested here were harv"):
        laboratory_of().start("harvest-00000000")


def test_a_tree_whose_maker_dies_is_said_to_be_unavailable(laboratory_of: Make) -> None:
    laboratory = laboratory_of("def publish(self, *, handle): os._exit(3)")
    with pytest.raises(TreeUnavailableError, match="the worker that was to make it died in pub"):
        laboratory.natural("published")


TAKES_FRAMES_FIRST = """
def collect(self, *, budget_bytes, min_age_s, dry_run):
    for frame in sorted(Path(self._root).rglob("frame_*")):
        frame.unlink()
    return super().collect(budget_bytes=budget_bytes, min_age_s=min_age_s, dry_run=dry_run)
"""


def test_what_a_crash_left_is_a_crash_state_though_an_outsider_may_leave_the_same(
    laboratory_of: Make,
) -> None:
    laboratory = laboratory_of(TAKES_FRAMES_FIRST)
    thinned = set(laboratory.natural("damaged").tree.nodes)
    assert thinned in [
        set(start.tree.nodes)
        for name, start in laboratory.harvest().items()
        if starts_of(name)["k"] is Start.CRASHED
    ]


def test_a_torn_hit_after_a_crash_is_found(laboratory_of: Make) -> None:
    laboratory = laboratory_of(TAKES_FRAMES_FIRST)
    rules = {
        (each.finding.requirement, each.finding.rule)
        for name in laboratory.harvest()
        for each in explore(laboratory, "reader-writer", name).found
        if starts_of(name)["k"] is Start.CRASHED
    }
    assert ("C1", "in-part") in rules


def test_a_finding_says_after_how_many_runs_it_came(laboratory_of: Make) -> None:
    explored = explore(laboratory_of("def publish(self, *, handle): os._exit(3)"), "writer-writer")
    assert [each.runs for each in explored.found] == [1]


@pytest.mark.parametrize(
    ("name", "are_seen"),
    [
        ("writer-writer", True),
        ("adopt-collector", True),
        ("repair", True),
        ("reader-writer", False),
    ],
)
def test_inode_numbers_count_where_one_makes_and_another_removes(
    laboratory_of: Make, name: str, are_seen: bool
) -> None:
    laboratory = laboratory_of()
    played = scenario(name)
    system = laboratory.system(played, laboratory.natural("empty"))
    touched: set[str] = set()

    def choose(moment: Moment) -> Option:
        touched.update(*(each.footprint.reads for each in moment.options))
        return moment.options[0]

    system.run(choose)
    assert ("#inodes" in touched) is are_seen


# --- what is only seen with two frames, and how names are foreseen --------------------------------


def test_a_publish_frame_by_frame_mixes_two_writers(laboratory_of: Make) -> None:
    explored = explore(
        laboratory_of("""
        def _land(self, work):
            os.makedirs(work.entry, exist_ok=True)
            first = False
            for index, name in enumerate(sorted(os.listdir(work.partial))):
                try:
                    os.link(os.path.join(work.partial, name), os.path.join(work.entry, name))
                    first = first or index == 0
                except FileExistsError:
                    pass
            Path(work.entry, ".hf-complete").touch()
            self._discard(work.partial)
            from untorn_conformance.specimens.seed_algorithm import Landing
            return Landing.PUBLISHED if first else Landing.ADOPTED
        """),
        "writer-writer",
        "empty",
        runs=100,
    )
    assert "two-writers" in {each.finding.rule for each in explored.found}


@pytest.mark.parametrize(
    ("name", "is_foreseeable"),
    [
        ('f"{os.getpid()}-{name}"', True),
        ('f"{hash(os.getpid()) * 7919:x}-{name}"', False),
    ],
    ids=["a process id", "drawn from a process id"],
)
def test_runs_are_foreseen_where_names_are_the_same_in_each(
    laboratory_of: Make, name: str, is_foreseeable: bool
) -> None:
    explored = explore(
        laboratory_of(f"""
        def stage(self, *, key, files):
            name = "scratch"
            Path(self._root, {name}).touch()
            return super().stage(key=key, files=files)
        """),
        "writer-writer",
        "empty",
        runs=200,
    )
    assert explored.exhaustive, explored
    assert (explored.made < explored.runs) is is_foreseeable
