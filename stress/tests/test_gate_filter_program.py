"""The filter as a program: what it answers for a call, its architecture and its arguments.

An interpreter of the few instructions that it uses, after linux/filter.h.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence

import pytest
from untorn_stress.gate import abi
from untorn_stress.gate.filter import DATA_CALLS, Instruction, program
from untorn_stress.grain import Grain

HELD, PASSED = abi.RET_USER_NOTIF, abi.RET_ALLOW
MISSING = abi.RET_ERRNO | errno.ENOSYS
POINTER = 0x7FFF_0000_0000  # its lower half is 0
X86, ARM = abi.MACHINES["x86_64"], abi.MACHINES["aarch64"]
FUTEX_WAIT, FUTEX_WAKE, FUTEX_WAIT_BITSET, PRIVATE = 0, 1, 9, 128


def answer(
    code: Sequence[Instruction], arch: int, number: int, arguments: Sequence[int] = ()
) -> int:
    """What the kernel would do."""
    padded = [each & (1 << 64) - 1 for each in (*arguments, *[0] * 6)][:6]
    data = struct.pack("=IIQ6Q", number & 0xFFFFFFFF, arch, 0, *padded)
    at, value = 0, 0
    while True:
        instruction = code[at]
        at += 1
        match instruction.code:
            case 0x20:
                (value,) = struct.unpack_from("=I", data, instruction.value)
            case 0x54:
                value &= instruction.value
            case 0x06:
                return instruction.value
            case jump:
                holds = {
                    0x15: value == instruction.value,
                    0x35: value >= instruction.value,
                    0x45: bool(value & instruction.value),
                }[jump]
                at += instruction.if_true if holds else instruction.if_false


def ask(name: str, *arguments: int, grain: Grain = Grain.METADATA) -> int:
    code = program(X86, grain)
    return answer(code, X86.audit_arch, abi.numbers(X86)[name], arguments)


@pytest.mark.parametrize("command", [0, 5, 6, 7, 36, 37, 38, 1030])
def test_fcntl_is_held_for_duplicates_and_locks(command: int) -> None:
    assert ask("fcntl", 3, command) == HELD


@pytest.mark.parametrize("command", [1, 2, 3, 4, 8, 1024, 1031, 1033])
def test_fcntl_passes_otherwise(command: int) -> None:
    assert ask("fcntl", 3, command) == PASSED


@pytest.mark.parametrize("operation", [FUTEX_WAIT, FUTEX_WAIT_BITSET])
@pytest.mark.parametrize("flags", [0, PRIVATE, PRIVATE | 256])
def test_a_futex_is_held_when_it_waits_with_a_timeout(operation: int, flags: int) -> None:
    assert ask("futex", 1, operation | flags, 0, POINTER) == HELD
    assert ask("futex", 1, operation | flags, 0, 0x1000) == HELD
    assert ask("futex", 1, operation | flags, 0, 0) == PASSED


def test_a_futex_that_wakes_passes() -> None:
    assert ask("futex", 1, FUTEX_WAKE | PRIVATE, 0, POINTER) == PASSED


@pytest.mark.parametrize(("name", "at"), [("poll", 2), ("epoll_wait", 3), ("epoll_pwait", 3)])
@pytest.mark.parametrize(
    ("timeout_ms", "wanted"),
    [(0, PASSED), (-1, PASSED), (-(1 << 31), PASSED), (1, HELD), (0x7FFFFFFF, HELD)],
)
def test_milliseconds_decide(name: str, at: int, timeout_ms: int, wanted: int) -> None:
    assert ask(name, *[0] * at, timeout_ms) == wanted


@pytest.mark.parametrize(
    ("name", "at"),
    [("ppoll", 2), ("select", 4), ("pselect6", 4), ("epoll_pwait2", 3), ("rt_sigaction", 1)],
)
def test_a_pointer_decides(name: str, at: int) -> None:
    assert ask(name, *[0] * at, POINTER) == HELD
    assert ask(name, *[0] * at, 0x1000) == HELD
    assert ask(name, *[0] * at, 0) == PASSED


@pytest.mark.parametrize(
    ("protection", "flags", "wanted"),
    [(3, 0x01, HELD), (3, 0x03, HELD), (1, 0x01, PASSED), (3, 0x02, PASSED), (3, 0x21, PASSED)],
)
def test_mmap_is_held_for_writable_shared_files(protection: int, flags: int, wanted: int) -> None:
    assert ask("mmap", 0, 4096, protection, flags, 3) == wanted


@pytest.mark.parametrize("name", DATA_CALLS)
def test_data_is_held_in_its_own_grain(name: str) -> None:
    assert ask(name) == PASSED
    assert ask(name, grain=Grain.DATA) == HELD


@pytest.mark.parametrize("name", ["io_uring_setup", "io_uring_enter", "io_uring_register"])
def test_io_uring_is_missing(name: str) -> None:
    assert ask(name) == MISSING


def test_other_architectures_and_x32_are_missing() -> None:
    code = program(X86, Grain.METADATA)
    mkdir = abi.numbers(X86)["mkdir"]
    assert answer(code, 0x40000003, mkdir) == MISSING
    assert answer(code, X86.audit_arch, mkdir | abi.X32_BIT) == MISSING
    assert answer(code, X86.audit_arch, mkdir) == HELD


def test_a_number_that_is_not_in_the_table_passes() -> None:
    assert answer(program(X86, Grain.METADATA), X86.audit_arch, 39) == PASSED


def test_the_other_machine_holds_by_its_own_numbers() -> None:
    code = program(ARM, Grain.METADATA)
    assert answer(code, ARM.audit_arch, 34) == HELD  # mkdirat
    assert answer(code, ARM.audit_arch, 258) == PASSED  # x86-64's number of it
    assert answer(code, X86.audit_arch, 34) == MISSING
