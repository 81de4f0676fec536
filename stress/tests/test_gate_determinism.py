"""The engine is in control: real programs, replayed, give one trace.

Each program runs under a uniform scheduler of one seed again and again. Equal choices must give
equal logs: the steps, their order, what they said of names and results, and how programs ended.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest
from untorn_stress.gated_programs import ProgramsRun
from untorn_stress.schedulers.replay import Replay
from untorn_stress.schedulers.uniform import Uniform

PROGRAMS = Path(__file__).parent / "programs"
SEED = 5
REPLAYS = 50
TIMERS_LINES = [
    f"A {call} = 0"
    for number in range(10)
    for call in (f"mkdir new-{number}", f"rename new-{number} -> d{number}")
]


def compiled(folder: Path, name: str) -> str:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: cc is not on the path")
    program = str(folder / name)
    subprocess.run(
        [compiler, "-O1", "-pthread", "-o", program, str(PROGRAMS / f"{name}.c")], check=True
    )
    return program


def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("no Node: node is not on the path")
    return found


def replays(bench: Any, *programs: Sequence[str], count: int = REPLAYS, **how: Any) -> ProgramsRun:
    """Run under one seed so many times; the logs are equal. Returns one of the runs."""
    system = bench.system(*([*each, str(bench.root)] for each in programs), **how)
    logs: Counter[tuple[str, ...]] = Counter()
    for _ in range(count):
        scheduler = Uniform(seed=SEED, runs=1)
        scheduler.begin()
        run: ProgramsRun = system.run(scheduler.choose)
        logs[run.log] += 1
    assert len(logs) == 1, "\n\n".join("\n".join(log) for log in logs) + bench.stderr()
    assert set(run.ends) == {"exit 0"}, bench.stderr()
    return run


def test_three_threads_of_one_interpreter(bench: Any) -> None:
    run = replays(bench, [sys.executable, "-S", str(PROGRAMS / "three_threads.py")], count=60)
    assert {each.actor for each in run.steps} == {"A", "At1", "At2", "At3"}


def test_threads_that_only_compute_until_they_come_to_a_call(bench: Any) -> None:
    text = """
turns = []
def work(number):
    for _ in range(100):
        sum(each for each in range(4_000))
        turns.append(number)
    os.mkdir(f"{number} {hash(tuple(turns))}")
threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    run = replays(bench, bench.python(text)[:-1], count=20)
    assert [each.call for each in run.steps].count("mkdir") == 3


def test_two_threads_without_an_interpreter(bench: Any, tmp_path: Path) -> None:
    run = replays(bench, [compiled(tmp_path, "two_threads")])
    assert {each.actor for each in run.steps} == {"A", "At1", "At2"}


def test_two_programs_of_two_threads_each(bench: Any, tmp_path: Path) -> None:
    program = compiled(tmp_path, "two_threads")
    system = bench.system(*[[program, str(bench.root)]] * 2)
    logs = set()
    for _ in range(20):
        scheduler = Uniform(seed=SEED, runs=1)
        scheduler.begin()
        logs.add(system.run(scheduler.choose).log)
    assert len(logs) == 1


def test_other_seeds_give_other_traces(bench: Any, tmp_path: Path) -> None:
    system = bench.system([compiled(tmp_path, "two_threads"), str(bench.root)])
    scheduler = Uniform(seed=SEED, runs=10)
    logs = set()
    while scheduler.begin():
        logs.add(system.run(scheduler.choose).log)
    assert len(logs) > 5


def test_the_choices_of_a_run_give_the_run_again(bench: Any, tmp_path: Path) -> None:
    system = bench.system([compiled(tmp_path, "two_threads"), str(bench.root)])
    scheduler = Uniform(seed=SEED, runs=10)
    while scheduler.begin():
        run = system.run(scheduler.choose)
        assert system.run(Replay(run.choices).choose).log == run.log


def test_a_timer_that_interrupts_an_interpreter(bench: Any) -> None:
    run = replays(bench, [sys.executable, "-S", str(PROGRAMS / "interval_timer.py")])
    assert list(run.log[:-1]) == TIMERS_LINES


def test_a_timer_that_interrupts_calls(bench: Any, tmp_path: Path) -> None:
    run = replays(bench, [compiled(tmp_path, "interval_timer")])
    assert list(run.log[1:-1]) == TIMERS_LINES


def test_node_with_one_thread_in_its_pool(bench: Any) -> None:
    program = [node(), str(PROGRAMS / "node_steps.mjs")]
    run = replays(bench, program, env={"UV_THREADPOOL_SIZE": "1"})
    assert any(each.actor != "A" for each in run.steps)


def test_node_does_the_same_whichever_thread_of_its_pool_it_takes(bench: Any) -> None:
    """NONDETERMINISTIC in names only: an idle thread of libuv's pool may come back from its work
    before or after the main thread, which runs meanwhile, has more for it; no call tells which."""
    system = bench.system([node(), str(PROGRAMS / "node_steps.mjs"), str(bench.root)])
    traces = set()
    for _ in range(5):
        run = system.run(Replay(()).choose)
        traces.add(tuple((each.call, each.detail) for each in run.steps if each.call != "clone3"))
    assert len({frozenset(trace) for trace in traces}) == 1


def test_ffmpeg_started_by_a_program(bench: Any) -> None:
    run = replays(
        bench,
        [sys.executable, str(PROGRAMS / "ffmpeg_grandchild.py")],
        env={"IMAGEIO_FFMPEG_EXE": imageio_ffmpeg.get_ffmpeg_exe()},
    )
    made = [each.detail for each in run.steps if each.call == "openat"]
    assert [each.split()[0] for each in made] == [f"frame_0000{n}.png" for n in (1, 2, 3)]
