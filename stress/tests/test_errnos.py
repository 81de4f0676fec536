"""Which errnos a call may be made to fail with, and how a fault is written."""

from __future__ import annotations

import errno
import fcntl
import os

import pytest
from untorn_stress.faults import Lasts, Refusal
from untorn_stress.gate.calls import FORMS, Call
from untorn_stress.gate.errnos import TABLE, errnos_of
from untorn_stress.run import KILL, KILL_WITHIN, is_kill


def call(name: str, *arguments: int, flags: int = 0) -> Call:
    padded = (*arguments, *[0] * (6 - len(arguments)))
    return Call(name, FORMS[name], padded, flags=flags)


def test_the_table_names_calls_and_errnos_that_there_are() -> None:
    twins = {form.twin for form in FORMS.values()}
    assert TABLE.keys() <= FORMS.keys() | twins
    assert all(hasattr(errno, name) for line in TABLE.values() for name in line.split())


CONTRACT_D2 = (
    "ENOSPC EDQUOT EACCES EPERM EROFS EIO EMFILE ENFILE ENOMEM EXDEV ESTALE ENOLCK EOPNOTSUPP EINTR"
)
CONTRACT_N2 = "EEXIST ENOTEMPTY EXDEV EPERM ESTALE"


def test_every_errno_of_the_contract_is_returned_by_some_call() -> None:
    returned = {name for line in TABLE.values() for name in line.split()} | {"EROFS"}
    assert returned >= set(CONTRACT_D2.split())


def test_the_publishing_rename_can_fail_in_every_way_of_the_contract() -> None:
    for name in ("rename", "renameat", "renameat2"):
        assert set(errnos_of(call(name))) >= set(CONTRACT_N2.split())


def test_an_open_runs_out_of_space_only_where_it_makes_something() -> None:
    read = errnos_of(call("openat"))
    written = errnos_of(call("openat", flags=os.O_WRONLY))
    made = errnos_of(call("openat", flags=os.O_WRONLY | os.O_CREAT))
    assert "EMFILE" in read
    assert {"ENOSPC", "EROFS"}.isdisjoint(read)
    assert "EROFS" in written
    assert "ENOSPC" not in written
    assert {"ENOSPC", "EDQUOT", "EROFS"} <= set(made)


def test_only_a_lock_that_waits_is_interrupted() -> None:
    assert "EINTR" in errnos_of(call("flock", 3, fcntl.LOCK_EX))
    assert "EINTR" not in errnos_of(call("flock", 3, fcntl.LOCK_EX | fcntl.LOCK_NB))
    assert "EINTR" in errnos_of(call("fcntl", 3, 38))  # F_OFD_SETLKW
    assert errnos_of(call("fcntl", 3, 37)) == ("ENOLCK", "EOPNOTSUPP")  # F_OFD_SETLK


def test_letting_a_lock_go_never_fails() -> None:
    assert errnos_of(call("flock", 3, fcntl.LOCK_UN)) == ()


@pytest.mark.parametrize("name", ["execve", "clone", "exit_group", "futex", "getrandom"])
def test_what_is_no_call_on_files_does_not_fail(name: str) -> None:
    assert errnos_of(call(name)) == ()


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("EIO", Refusal("EIO", Lasts.ONCE)),
        ("EIO+", Refusal("EIO", Lasts.ON)),
        ("EINTRx2", Refusal("EINTR", Lasts.TWICE)),
    ],
)
def test_a_refusal_is_read_as_it_is_written(text: str, refusal: Refusal) -> None:
    assert Refusal.of(text) == refusal
    assert str(refusal) == text


@pytest.mark.parametrize("fault", ["", KILL, KILL_WITHIN, "short"])
def test_other_faults_are_no_refusal(fault: str) -> None:
    assert Refusal.of(fault) is None


def test_a_death_is_told_from_an_errno() -> None:
    assert [is_kill(label) for label in ("A!kill", "A!kill.within", "A!EIO", "A")] == [
        *(True, True),
        *(False, False),
    ]
