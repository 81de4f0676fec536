"""Runs a command where the gate, or a part of it, is refused: ``no_gate.py REFUSAL COMMAND ...``

    listener=EPERM        seccomp(2) with a listener fails so, as below a container's profile
    pidfd_getfd=EPERM     the same for pidfd_getfd(2)
    addfd=EINVAL          the same for an ioctl of listeners: receive, addfd, send or wake_up
    taken                 the command has a filter with a listener already, as in a nested gate

Any errno's name will do. The refusal holds for all that the command starts, and nobody has to be
root for it.

Rule 1: the listener of ``taken`` is never asked: its filter holds nothing. It stays open in the
        command, since a listener that nobody has open is forgotten by the kernel.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Sequence
from typing import Final

from untorn_stress.gate import abi
from untorn_stress.gate.filter import Instruction

_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _SECOND_ARGUMENT = 0, 4, 24
_IOCTL: Final = {"x86_64": 16, "aarch64": 29}
_REQUESTS: Final = {
    "receive": abi.NOTIF_RECV,
    "send": abi.NOTIF_SEND,
    "addfd": abi.NOTIF_ADDFD,
    "wake_up": abi.NOTIF_SET_FLAGS,
}


def refusing(what: str, error: int) -> list[Instruction]:
    """Assemble a filter that answers one kind of call with an errno and lets all others pass."""
    machine = abi.machine()
    assert machine is not None, "the machine is in the table"
    if what == "listener":
        number = abi.NUMBER["seccomp"]
        test = Instruction(_ANY_BIT, 0, 1, abi.FILTER_FLAG_NEW_LISTENER)
    elif what in _REQUESTS:
        number = _IOCTL[machine.name]
        test = Instruction(_EQUAL, 0, 1, _REQUESTS[what])
    else:
        number = abi.NUMBER[what]
        test = Instruction(_EQUAL, 0, 0, 0)
    return [
        Instruction(_LOAD, 0, 0, _ARCHITECTURE),
        Instruction(_EQUAL, 0, 5, machine.audit_arch),
        Instruction(_LOAD, 0, 0, _NUMBER),
        Instruction(_EQUAL, 0, 3, number),
        Instruction(_LOAD, 0, 0, _SECOND_ARGUMENT),
        test,
        Instruction(_RETURN, 0, 0, abi.RET_ERRNO | error),
        Instruction(_RETURN, 0, 0, abi.RET_ALLOW),
    ]


def install(code: Sequence[Instruction], flags: int) -> int:
    """Put the filter over this process and all that it will start."""
    abi.prctl(abi.PR_SET_NO_NEW_PRIVS, 1)
    instructions = ctypes.create_string_buffer(
        b"".join(
            struct.pack("=HBBI", each.code, each.if_true, each.if_false, each.value)
            for each in code
        )
    )
    program = ctypes.create_string_buffer(
        struct.pack("@HP", len(code), ctypes.addressof(instructions))
    )
    return abi.syscall(abi.NUMBER["seccomp"], abi.SECCOMP_SET_MODE_FILTER, flags, program)


def main(arguments: Sequence[str]) -> None:
    """Refuse, then become the command."""
    refusal, *command = arguments
    if refusal == "taken":
        listener = install(
            [Instruction(_RETURN, 0, 0, abi.RET_ALLOW)], abi.FILTER_FLAG_NEW_LISTENER
        )
        os.set_inheritable(listener, True)
    else:
        what, _, name = refusal.partition("=")
        install(refusing(what, getattr(errno, name)), 0)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
