"""Threads, children, randomness, signals and death at the gate."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from pathlib import Path
from typing import Any

import pytest
from untorn_stress.gate.supervisor import Rules
from untorn_stress.schedulers.protocol import Moment, Option


def test_children_are_held_and_numbered_as_they_are_born(bench: Any) -> None:
    text = """
for name in ("d", "e"):
    if not os.fork():
        os.mkdir(name)
        os._exit(0)
os.wait(); os.wait(); os.mkdir("f")
"""
    assert bench.steps(text) == [
        "A clone  = ?",
        "A clone  = ?",
        "At1 mkdir d = 0",
        "At2 mkdir e = 0",
        "A mkdir f = 0",
        "exit 0",
    ]


def test_a_number_is_spent_on_a_child_that_does_not_live_to_be_held(bench: Any) -> None:
    text = """
for name in ("", "e"):
    if not os.fork():
        if name: os.mkdir(name)
        os._exit(0)
    os.wait()
"""
    assert bench.steps(text)[2] == "At2 mkdir e = 0"


def test_a_child_of_a_child_whose_parent_has_gone_is_still_held(bench: Any) -> None:
    text = """
if not os.fork():
    if not os.fork():
        os.mkdir("d")
    os._exit(0)
os.wait()
os._exit(0)
"""
    run = bench.run(text)
    assert "At2 mkdir d = 0" in run.log
    assert run.ends == ("exit 0",)


def test_a_child_may_use_the_files_that_its_parent_had_open(bench: Any, watch: Any) -> None:
    text = """
fd = os.open("f", os.O_CREAT | os.O_RDWR)
if not os.fork():
    os.mkdir("d")
    os.write(fd, b"late")
    os._exit(0)
os.close(fd)
os.wait()
"""
    watched = watch()
    run = bench.run(text, watch=watched)
    assert "d:A1" in watched.touched(run, "At1 mkdir d = 0").footprint.writes


def test_programs_that_a_program_becomes_or_starts_are_held(bench: Any) -> None:
    text = """
import subprocess
subprocess.run(["/bin/mkdir", "d"]); os.execv("/bin/mkdir", ["mkdir", "e"])
"""
    steps = [each for each in bench.steps(text) if " mkdir " in each]
    assert steps == ["At1 mkdir d = 0", "A mkdir e = 0"], bench.stderr()


def test_chance_comes_from_the_seed_and_each_thread_has_its_own(bench: Any) -> None:
    text = """
def draw(): print(os.urandom(8).hex(), flush=True)
threads = [threading.Thread(target=draw) for _ in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
draw(); draw()
"""
    one, again, other = (bench.run(text, seed=seed).printed[0] for seed in (1, 1, 2))
    assert one == again
    assert len({*one, *other}) == 8


def test_two_programs_draw_differently(bench: Any) -> None:
    first, second = bench.run(*["print(os.urandom(8))"] * 2).printed
    assert first != second


def test_a_signal_leaves_a_held_call_whole(bench: Any) -> None:
    text = """
handled = []
signal.signal(signal.SIGUSR1, lambda *_: handled.append(1))
print(os.getpid(), flush=True)
os.mkdir("d")
print(len(handled), flush=True)
"""
    system = bench.system(text)
    pids = []

    def choose(moment: Moment) -> Option:
        if moment.step == 1:
            pids.extend(find_children(bench.keeper.pid))
            for _ in range(3):
                os.kill(pids[0], signal.SIGUSR1)
        return moment.options[0]

    run = system.run(choose)
    assert run.log[1] == "A mkdir d = 0"
    assert run.printed[0] == (b"%d" % pids[0], b"1")


def find_children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def ends(pid: int) -> bool:
    """Whether the process has ended or does so now."""
    with contextlib.suppress(ProcessLookupError):
        process = os.pidfd_open(pid)
        poller = select.poll()
        poller.register(process, select.POLLIN)
        has_ended = bool(poller.poll(10_000))
        os.close(process)
        return has_ended
    return True


def test_a_program_that_is_killed_at_the_gate_has_ended(bench: Any) -> None:
    system = bench.system('os.mkdir("d"); os.mkdir("e")', 'os.mkdir("f")')

    def choose(moment: Moment) -> Option:
        if moment.step == 2:
            os.kill(find_children(bench.keeper.pid)[0], signal.SIGKILL)
        return moment.options[-1]

    run = system.run(choose)
    assert "signal 9" in run.ends


def test_a_thread_that_ends_its_process_takes_with_it_who_is_held(bench: Any) -> None:
    text = """
threading.Thread(target=os.mkdir, args=("never",)).start()
tell(os.stat, "none")
os._exit(0)
"""

    def choose(moment: Moment) -> Option:
        return next(each for each in moment.options if each.actor == "A")

    run = bench.system(text).run(choose)
    assert run.ends == ("exit 0",)
    assert "A newfstatat none = ?" in run.log
    assert list(bench.root.iterdir()) == []


def test_a_failing_program_is_told_by_its_code(bench: Any) -> None:
    assert bench.run("sys.exit(7)").ends == ("exit 7",)


def test_a_program_that_is_missing_ends_as_such(bench: Any) -> None:
    assert bench.run(["/nonexistent/program"]).ends == ("exit 70",)


def test_a_run_that_is_cut_leaves_no_process(bench: Any) -> None:
    run = bench.system("os.fork(); os.fork()", 'os.mkdir("d")').run(
        lambda moment: moment.options[0] if moment.step < 4 else None
    )
    assert run.ending.cut
    assert run.ends == ()
    assert all(ends(pid) for pid in find_children(bench.keeper.pid))


@pytest.mark.parametrize("programs", [1, 2])
def test_every_run_begins_with_an_empty_directory(bench: Any, programs: int) -> None:
    text = 'tell(os.listdir); os.mkdir(f"d{os.getpid()}")'
    system = bench.system(*[text] * programs, rules=Rules())
    for _ in range(2):
        run = system.run(lambda moment: moment.options[0])
        assert run.printed[0] == (b"[]",)
