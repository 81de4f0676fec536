"""Locks at the gate: taken on the target's own open file description, waited for, lied about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from untorn_stress.gate.supervisor import Rules
from untorn_stress.schedulers.protocol import Moment, Option

LOCKED = """
fd = os.open("f", os.O_CREAT | os.O_RDWR)
def take(operation):
    tell(fcntl.flock, fd, operation)
"""
RECORD = """
fd = os.open("f", os.O_CREAT | os.O_RDWR)
def take(command, kind, start, length):
    asked = struct.pack("hhqqixxxx", kind, 0, start, length, 0)
    tell(lambda: fcntl.fcntl(fd, command, asked) and 0)
"""
Watching = Callable[..., Any]


def test_two_shared_locks_are_taken_and_an_exclusive_one_is_refused(
    bench: Any, watch: Watching
) -> None:
    share = LOCKED + 'take(fcntl.LOCK_SH); os.stat("f")'
    exclude = LOCKED + "take(fcntl.LOCK_EX | fcntl.LOCK_NB)"
    run = bench.run(share, share, exclude, watch=watch("3A 3B 3C"))
    assert run.log[2] == "A flock SH f = 0"
    assert run.log[5] == "B flock SH f = 0"
    assert run.log[8] == "C flock EX f = EAGAIN"


def test_who_waits_is_offered_again_when_the_lock_was_let_go(bench: Any, watch: Watching) -> None:
    holds = (
        LOCKED
        + """
take(fcntl.LOCK_EX); os.mkdir("d"); os.mkdir("e"); os.close(fd); os.mkdir("g")
"""
    )
    waits = LOCKED + 'take(fcntl.LOCK_EX); os.mkdir("h")'
    watched = watch("3A 3B 3A 2B")
    run = bench.run(holds, waits, watch=watched)
    assert run.log[5:9] == (
        "B flock EX f = waits",
        "A mkdir d = 0",
        "A mkdir e = 0",
        "A close f = ?",
    )
    assert watched.offers[6] == watched.offers[7] == watched.offers[8] == ("A",)
    assert watched.offers[9] == ("A", "B")
    assert run.log[9] == "B flock EX f = 0"


DOWNGRADES = {
    "flock": (LOCKED, "take(fcntl.LOCK_EX)", "take(fcntl.LOCK_SH)"),
    "open file description": (
        RECORD,
        "take(37, fcntl.F_WRLCK, 0, 0)",
        "take(38, fcntl.F_RDLCK, 0, 0)",
    ),
}


@pytest.mark.parametrize("kind", DOWNGRADES)
def test_who_waits_to_share_is_offered_again_when_the_holder_shares(
    bench: Any, watch: Watching, kind: str
) -> None:
    opens, excludes, shares = DOWNGRADES[kind]
    watched = watch("3A 3B 2A B")
    run = bench.run(
        f'{opens}{excludes}; {shares}; os.mkdir("d"); os.mkdir("e")',
        f"{opens}{shares}",
        watch=watched,
    )
    assert [each.split()[-1] for each in run.log[5:9]] == ["waits", "0", "0", "0"]
    assert watched.offers[6:8] == [("A",), ("A", "B")]


def test_who_shares_and_goes_on_sharing_wakes_nobody_who_excludes(
    bench: Any, watch: Watching
) -> None:
    shares = LOCKED + 'take(fcntl.LOCK_SH); os.mkdir(f"{os.getpid()}")'
    excludes = LOCKED + "take(fcntl.LOCK_EX)"
    watched = watch("3A 3B 3C")
    run = bench.run(shares, excludes, shares, watch=watched)
    assert (run.log[5], run.log[8]) == ("B flock EX f = waits", "C flock SH f = 0")
    assert watched.offers[9] == ("A", "C")


def test_two_who_wait_for_one_lock_leave_the_choice_to_its_holder(
    bench: Any, watch: Watching
) -> None:
    waits = LOCKED + "take(fcntl.LOCK_EX)"
    watched = watch("3C 3A 3B")
    holds = LOCKED + 'take(fcntl.LOCK_EX); os.mkdir("d")'

    def choose(moment: Moment) -> Option | None:
        option = watched.choose(moment)
        return None if moment.step > 9 else option

    bench.system(waits, waits, holds).run(choose)
    assert watched.offers[9] == ("C",)


@pytest.mark.parametrize("kind", DOWNGRADES)
def test_two_who_wait_for_a_lock_that_nobody_lets_go_are_stuck(bench: Any, kind: str) -> None:
    opens, excludes, _ = DOWNGRADES[kind]
    excludes = excludes.replace("37", "38")
    leaks = f"{opens}{excludes}\nfd = os.open('f', os.O_RDWR)\n{excludes}"

    def choose(moment: Moment) -> Option:
        assert moment.step < 20, "they wake each other for ever"
        return moment.options[-1 if moment.step % 2 else 0]

    run = bench.system(leaks, f"{opens}{excludes}").run(choose)
    assert run.ends == ("stuck", "stuck")


def test_who_waits_and_has_dropped_its_own_lock_lets_others_in(bench: Any, watch: Watching) -> None:
    converts = LOCKED + "take(fcntl.LOCK_SH); take(fcntl.LOCK_EX)"
    watched = watch("3A 3B B A B")
    run = bench.run(converts, converts, watch=watched)
    assert run.log[6:9] == ("B flock EX f = waits", "A flock EX f = 0", "B flock EX f = waits")
    assert run.ends == ("exit 0", "exit 0")


def test_an_exit_lets_go_what_was_locked(bench: Any, watch: Watching) -> None:
    holds = LOCKED + "take(fcntl.LOCK_EX)\nos._exit(3)"
    waits = LOCKED + "take(fcntl.LOCK_EX)"
    run = bench.run(holds, waits, watch=watch("3A 3B A B"))
    assert run.log[6:8] == ("A exit_group  = ?", "B flock EX f = 0")
    assert run.ends[0] == "exit 3"


def test_an_exec_lets_go_what_it_closes(bench: Any, watch: Watching) -> None:
    holds = LOCKED + 'take(fcntl.LOCK_EX)\nos.execv("/bin/true", ["true"])'
    waits = LOCKED + "take(fcntl.LOCK_EX)"
    run = bench.run(holds, waits, watch=watch("3A 3B A B"))
    assert run.log[6:8] == ("A execve  = ?", "B flock EX f = 0")


def test_a_refused_conversion_has_dropped_the_shared_lock(bench: Any, watch: Watching) -> None:
    converts = LOCKED + 'take(fcntl.LOCK_SH); take(fcntl.LOCK_EX | fcntl.LOCK_NB); os.stat("f")'
    shares = LOCKED + 'take(fcntl.LOCK_SH); take(fcntl.LOCK_EX | fcntl.LOCK_NB); os.stat("f")'
    run = bench.run(converts, shares, watch=watch("3A 3B A B"))
    assert run.log[6:8] == ("A flock EX f = EAGAIN", "B flock EX f = 0")


def test_a_lock_lives_as_long_as_any_duplicate(bench: Any, watch: Watching) -> None:
    holds = LOCKED + "take(fcntl.LOCK_EX); second = os.dup(fd); os.close(fd); os.close(second)"
    asks = LOCKED + "[take(fcntl.LOCK_EX | fcntl.LOCK_NB) for _ in range(2)]"
    run = bench.run(holds, asks, watch=watch("3A 2B A B A B"))
    assert run.log[5:9] == (
        "A close f = ?",
        "B flock EX f = EAGAIN",
        "A close f = ?",
        "B flock EX f = 0",
    )


def test_two_who_wait_for_each_other_are_stuck(bench: Any, watch: Watching) -> None:
    text = """
fds = [os.open(name, os.O_CREAT) for name in NAMES]
for fd in fds:
    fcntl.flock(fd, fcntl.LOCK_EX)
"""
    one, other = text.replace("NAMES", '"fg"'), text.replace("NAMES", '"gf"')
    assert bench.run(one, other, watch=watch("4A 4B")).ends == ("stuck", "stuck")


def test_byte_ranges_of_open_files_exclude_where_they_overlap(bench: Any, watch: Watching) -> None:
    holds = RECORD + 'take(37, fcntl.F_WRLCK, 0, 10); os.mkdir("d"); take(37, fcntl.F_UNLCK, 0, 10)'
    asks = (
        RECORD
        + """
take(37, fcntl.F_WRLCK, 10, 5); take(37, fcntl.F_WRLCK, 9, 5); take(38, fcntl.F_RDLCK, 0, 1)
"""
    )
    run = bench.run(holds, asks, watch=watch("3A 5B 2A B"))
    assert run.log[5:11] == (
        "B fcntl EX f = 0",
        "B fcntl EX f = EAGAIN",
        "B fcntl SH f = waits",
        "A mkdir d = 0",
        "A fcntl UN f = 0",
        "B fcntl SH f = 0",
    )


def test_record_locks_of_processes_are_the_kernels_and_their_wait_ends(
    bench: Any, watch: Watching
) -> None:
    holds = (
        RECORD
        + """
take(fcntl.F_SETLK, fcntl.F_WRLCK, 0, 0); os.mkdir("d"); os.close(fd); os.mkdir("e")
"""
    )
    waits = (
        RECORD
        + """
take(fcntl.F_SETLKW, fcntl.F_WRLCK, 0, 0)
sum(range(3_000_000))  # whoever does not look again chooses meanwhile
os.mkdir("g")
"""
    )
    watched = watch("3A 3B 2A B A")
    run = bench.run(holds, waits, watch=watched)
    assert watched.offers[6] == ("A",)
    assert watched.offers[8] == ("A", "B")
    assert run.ends == ("exit 0", "exit 0")


@pytest.mark.parametrize(("lie", "said"), [("noop", b"None"), ("ENOLCK", b"ENOLCK")])
def test_locks_may_be_lied_about(bench: Any, watch: Watching, lie: str, said: bytes) -> None:
    text = LOCKED + "take(fcntl.LOCK_EX | fcntl.LOCK_NB)"
    run = bench.run(text, text, watch=watch("3A 3B"), rules=Rules(locks=lie))
    assert run.printed == ((said,), (said,))


def test_closing_many_at_once_lets_go_every_lock_among_them(bench: Any, watch: Watching) -> None:
    holds = """
fds = [os.open(name, os.O_CREAT) for name in "fg"]
for fd in fds: fcntl.flock(fd, fcntl.LOCK_EX)
os.closerange(fds[0], fds[1] + 1)
os.mkdir("d")
"""
    watched = watch("6A")
    run = bench.run(holds, watch=watched)
    assert {"l:A1", "l:A2"} <= watched.touched(run, "A close_range  = ?").footprint.writes
