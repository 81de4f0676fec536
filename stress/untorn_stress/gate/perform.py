"""Performing a held call in its target's place, so that its result is known to the letter.

The kernel tells a supervisor nothing about a call that it lets go. So what changes names or
attributes is done here, through duplicates of the target's own descriptors and with its umask, and
the target is answered; so is a statx that asks for little, lest it be told more. That is possible
where the target is the same user in the same mount namespace (``Target.is_like_us``); elsewhere the
kernel performs it and the log says so.

Source: gate_rules T4; seccomp_unotify(2) on pointers: they are read once, so there is no window
between check and use.
"""

from __future__ import annotations

import contextlib
import ctypes
import os

from untorn_stress.gate import abi, statx
from untorn_stress.gate.calls import Call, signed
from untorn_stress.gate.target import AT_FDCWD, Target


def perform(call: Call, target: Target) -> int:
    """Make the call's twin with our own hands; returns its value.

    An open's value is a descriptor of ours. Raises OSError with the errno to answer.
    """
    with contextlib.ExitStack() as taken:
        arguments = _arguments(call, target, taken)
        mask = os.umask(target.umask)
        try:
            return abi.syscall(abi.NUMBER[call.form.twin], *arguments)
        finally:
            os.umask(mask)


def perform_statx(call: Call, target: Target) -> bytes:
    """Make a statx's twin: all that the kernel fills in. Raises OSError as ``perform``."""
    room = ctypes.create_string_buffer(statx.BYTES)
    with contextlib.ExitStack() as taken:
        abi.syscall(abi.NUMBER[call.form.twin], *_arguments(call, target, taken), room)
    return room.raw


def _arguments(call: Call, target: Target, taken: contextlib.ExitStack) -> list[int | bytes | None]:
    layout = call.form.layout
    return [
        _argument(item, after, call, target, taken)
        for item, after in zip(layout, (*layout[1:], ""), strict=True)
    ]


def _argument(
    item: str, after: str, call: Call, target: Target, taken: contextlib.ExitStack
) -> int | bytes | None:
    if item[0] == "=":
        return int(item[1:])
    if item == "cw" or item[0] == "d":
        if after[:1] == "p" and target.text(call.arguments[int(after[1])])[:1] == b"/":
            return AT_FDCWD  # whatever it is, it is not looked at
        fd = AT_FDCWD if item == "cw" else signed(call.arguments[int(item[1])])
        return taken.enter_context(target.descriptor(fd))
    position, _, size = item[1:].partition(":")
    value = call.arguments[int(position)]
    if item[0] == "f":
        return taken.enter_context(target.descriptor(signed(value)))
    if item[0] == "t":
        return target.text(value) if value else None
    if item[0] == "p":
        return target.path(value) if value else None
    if item[0] == "b":
        return target.read(value, int(size)) if value else None
    return value if value < 1 << 63 else value - (1 << 64)
