"""The filter that holds a process at the gate, and its installation in the process itself.

A held call waits in the kernel until the supervisor answers. Every thread and child inherits the
filter; a second listener below it is refused (EBUSY), so whoever forks gated workers stays ungated.

Rule 1: calls of another architecture do not exist (ENOSYS): their numbers mean other calls.
Rule 2: io_uring does not exist (ENOSYS): its operations are not system calls and pass every gate.
Rule 3: waits without a timeout are not held: the kernel says when they end.
Rule 4: WAIT_KILLABLE_RECV: without it a held call is cancelled and held anew at each signal. Until
        the supervisor has received it, it still is, and answers EINTR unless the handler restarts
        calls; so handlers are held when they are set, and made to (SA_RESTART).

Sources: seccomp(2), seccomp_unotify(2); linux/filter.h for the instructions.
"""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from untorn_stress.gate import abi
from untorn_stress.grain import Grain

DATA_CALLS: Final = (
    "read", "write", "pread64", "pwrite64", "readv", "writev", "preadv", "pwritev", "preadv2",
    "pwritev2", "copy_file_range", "sendfile", "splice",
)  # fmt: skip
_ARGUMENT_TESTED: Final = (
    "fcntl", "futex", "mmap", "poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait",
    "epoll_pwait2", "rt_sigaction",
)  # fmt: skip
_POINTER_AT: Final[Mapping[str, int]] = {
    "ppoll": 2, "epoll_pwait2": 3, "select": 4, "pselect6": 4, "rt_sigaction": 1,
}  # fmt: skip
"""Held when this argument is no null pointer: a timeout, an action to be set."""
_REFUSED: Final = ("io_uring_setup", "io_uring_enter", "io_uring_register")
_PASSED: Final = ("seccomp", "pidfd_getfd", "restart_syscall")
"""In the table for the supervisor's own use; nobody's affair in a target."""
FCNTL_HELD: Final = (0, 5, 6, 7, 36, 37, 38, 1030)
"""F_DUPFD, F_GETLK, F_SETLK, F_SETLKW, their F_OFD_ twins, F_DUPFD_CLOEXEC."""

_LOAD, _JUMP_EQUAL, _JUMP_ABOVE, _JUMP_SET, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16


class Instruction(NamedTuple):
    """One instruction of the classic BPF machine; jumps are relative to the next instruction."""

    code: int
    if_true: int
    if_false: int
    value: int


class _SockFilter(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("jt", ctypes.c_uint8),
        ("jf", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    )


class _SockFprog(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.POINTER(_SockFilter)))


def program(machine: abi.Machine, grain: Grain) -> list[Instruction]:
    """Assemble the filter: every call that a scheduler may want to hold is a notification."""
    numbers = abi.numbers(machine)
    left_out = {*_ARGUMENT_TESTED, *_REFUSED, *_PASSED}
    if grain is Grain.METADATA:
        left_out.update(DATA_CALLS)
    code = [
        Instruction(_LOAD, 0, 0, _ARCH_AT),
        Instruction(_JUMP_EQUAL, 1, 0, machine.audit_arch),
        Instruction(_RETURN, 0, 0, abi.RET_ERRNO | errno.ENOSYS),
        Instruction(_LOAD, 0, 0, _NUMBER_AT),
        Instruction(_JUMP_ABOVE, 0, 1, abi.X32_BIT),
        Instruction(_RETURN, 0, 0, abi.RET_ERRNO | errno.ENOSYS),
    ]
    for name, number in numbers.items():
        if name in _REFUSED:
            code += _when(number, [_answer(abi.RET_ERRNO | errno.ENOSYS)])
        elif name not in left_out:
            code += _when(number, [_answer(abi.RET_USER_NOTIF)])
    for name in _ARGUMENT_TESTED:
        if name in numbers:
            code += _when(numbers[name], _test(name))
    return [*code, _answer(abi.RET_ALLOW)]


def _answer(action: int) -> Instruction:
    return Instruction(_RETURN, 0, 0, action)


def _when(number: int, body: Sequence[Instruction]) -> list[Instruction]:
    return [Instruction(_JUMP_EQUAL, 0, len(body), number), *body]


def _load_argument(index: int, *, high: bool = False) -> Instruction:
    return Instruction(_LOAD, 0, 0, _ARGUMENTS_AT + 8 * index + (4 if high else 0))


def _test(name: str) -> list[Instruction]:
    """The instructions that decide by a call's arguments; each path returns."""
    held, passed = _answer(abi.RET_USER_NOTIF), _answer(abi.RET_ALLOW)
    if name == "fcntl":
        tests = [
            each
            for command in FCNTL_HELD
            for each in (Instruction(_JUMP_EQUAL, 0, 1, command), held)
        ]
        return [_load_argument(1), *tests, passed]
    if name == "mmap":  # writable, shared and of a file: stores to it pass every gate
        return [
            _load_argument(2),
            Instruction(_JUMP_SET, 1, 0, 0x2),  # PROT_WRITE
            passed,
            _load_argument(3),
            Instruction(_JUMP_SET, 1, 0, 0x20),  # MAP_ANONYMOUS
            Instruction(_JUMP_SET, 1, 0, 0x1),  # MAP_SHARED
            passed,
            held,
        ]
    if name == "futex":  # FUTEX_WAIT or FUTEX_WAIT_BITSET with a timeout
        pointer = _pointer_or_pass(3, passed)
        return [
            *pointer,
            _load_argument(1),
            Instruction(_AND, 0, 0, 0x7F),
            Instruction(_JUMP_EQUAL, 1, 0, 0),
            Instruction(_JUMP_EQUAL, 0, 1, 9),
            held,
            passed,
        ]
    if name in _POINTER_AT:
        return [*_pointer_or_pass(_POINTER_AT[name], passed), held]
    index = 2 if name == "poll" else 3  # milliseconds: 0 does not wait, negative has no timeout
    return [
        _load_argument(index),
        Instruction(_JUMP_EQUAL, 1, 0, 0),
        Instruction(_JUMP_ABOVE, 0, 1, 0x80000000),
        passed,
        held,
    ]


def _pointer_or_pass(index: int, passed: Instruction) -> list[Instruction]:
    return [
        _load_argument(index),
        Instruction(_JUMP_EQUAL, 0, 3, 0),
        _load_argument(index, high=True),
        Instruction(_JUMP_EQUAL, 0, 1, 0),
        passed,
    ]


class Prepared:
    """A filter in the form that the kernel takes; made once, installed by many."""

    def __init__(self, code: Sequence[Instruction]) -> None:
        self._array = (_SockFilter * len(code))(*[_SockFilter(*each) for each in code])
        self._prog = _SockFprog(len(code), self._array)

    def install(self) -> int:
        """Hold the calling thread (and all it will start) at the gate; returns the listener.

        Cannot be undone. Raises OSError: EINVAL (an old kernel), EBUSY (held already), EACCES.
        """
        abi.prctl(abi.PR_SET_NO_NEW_PRIVS, 1)
        flags = abi.FILTER_FLAG_NEW_LISTENER | abi.FILTER_FLAG_WAIT_KILLABLE_RECV
        prog = ctypes.addressof(self._prog)
        return abi.syscall(abi.NUMBER["seccomp"], abi.SECCOMP_SET_MODE_FILTER, flags, prog)
