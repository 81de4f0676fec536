"""A laboratory's workers: when they begin, whom they bring along, and how they rest."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from untorn_stress.explorer import Explored
from untorn_stress.gate.availability import probe
from untorn_stress.laboratory import Laboratory
from untorn_stress.scenarios import scenario
from untorn_stress.schedulers.replay import Replay

pytestmark = pytest.mark.skipif(not probe().ok, reason=f"no gate here: {probe().reason}")


Make = Callable[..., Laboratory]
Explore = Callable[..., Explored]


# --- when an operation began ----------------------------------------------------------------------


def test_a_cache_that_looks_only_when_it_is_opened_misses_what_was_published_since(
    laboratory_of: Make, explore: Explore
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


def test_a_lookup_may_have_read_an_open_file_before_its_first_step(
    laboratory_of: Make, explore: Explore
) -> None:
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


# --- who serves another run -----------------------------------------------------------------------

TELLS = """
def open(self, *, root, env, clock_offset_s):
    super().open(root=root, env=env, clock_offset_s=clock_offset_s)
    os.urandom(8)

def lookup(self, *, key):
    from untorn_conformance.backend import Miss, MissReason
    import tempfile
    os.stat(self._root)
    LEAK
    drawn = os.urandom(8).hex() + next(tempfile._get_candidate_names())
    return Miss(reason=MissReason.ABSENT, detail=f"{os.getpid()} {drawn}")
"""
RENEWS = """
def renew(self):
    return IS_NEW
"""


def three_runs(laboratory: Laboratory) -> tuple[int, int]:
    """How many workers served three runs, and how many different things they drew."""
    system = laboratory.system(scenario("lookup-alone"), laboratory.natural("empty"))
    runs = [system.run(Replay(()).choose).run for _ in range(3)]
    told = [run.operations[0].answer.detail.split() for run in runs]  # type: ignore[attr-defined]
    return len({pid for pid, _ in told}), len({drawn for _, drawn in told})


def test_who_is_as_new_serves_the_next_run_and_draws_as_a_new_one(laboratory_of: Make) -> None:
    method = TELLS.replace("LEAK", "") + RENEWS.replace("IS_NEW", "True")
    assert three_runs(laboratory_of(method)) == (1, 1)


NOT_AS_NEW = {
    "it does not renew itself": TELLS.replace("LEAK", ""),
    "it says that it is not": TELLS.replace("LEAK", "") + RENEWS.replace("IS_NEW", "False"),
    "it has a directory open": TELLS.replace("LEAK", "os.open(self._root, os.O_DIRECTORY)")
    + RENEWS.replace("IS_NEW", "True"),
}


@pytest.mark.parametrize("method", NOT_AS_NEW.values(), ids=NOT_AS_NEW)
def test_who_is_not_as_new_is_followed_by_another(laboratory_of: Make, method: str) -> None:
    assert three_runs(laboratory_of(method)) == (3, 1)


def test_what_a_foreign_worker_draws_at_its_start_is_not_taken_from_its_first_run(
    laboratory_of: Make, tmp_path: Path
) -> None:
    begins = """
def open(self, *, root, env, clock_offset_s):
    super().open(root=root, env=env, clock_offset_s=clock_offset_s)
    type(self)._begun = getattr(type(self), "_begun", None) or os.urandom(8)
"""
    tells = TELLS.replace("LEAK", "").replace(" + next(tempfile._get_candidate_names())", "")
    method = begins + tells[tells.index("\ndef lookup") :]
    with foreign(laboratory_of, tmp_path, method) as laboratory:
        assert three_runs(laboratory) == (1, 1)
