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

import ctypes
import os
from typing import Final, NamedTuple

from untorn_stress.gate import abi, statx
from untorn_stress.gate.calls import FORMS, Call, CallKind, signed
from untorn_stress.gate.target import AT_FDCWD, Target


class _Item(NamedTuple):
    """One argument of a twin.

    ``value`` is a position among the call's arguments (-1: the current directory), or a constant's
    value, ``size`` that of what is pointed to. ``text`` is the position of a path among the call's
    texts: of its own, or of that which follows the directory descriptor (-1: none does).
    """

    what: str
    value: int
    size: int
    text: int


def _items(layout: tuple[str, ...]) -> tuple[_Item, ...]:
    found: list[_Item] = []
    texts = 0
    for item, after in zip(layout, (*layout[1:], ""), strict=True):
        position, _, size = item[1:].partition(":")
        if item == "cw":
            found.append(_Item("d", -1, 0, texts if after[:1] == "p" else -1))
        elif item[0] == "d":
            found.append(_Item("d", int(position), 0, texts if after[:1] == "p" else -1))
        else:
            found.append(_Item(item[0], int(position), int(size or 0), texts))
        texts += item[0] == "p"
    return tuple(found)


_ITEMS: Final = {name: _items(form.layout) for name, form in FORMS.items() if form.twin}


def perform(call: Call, target: Target) -> int:
    """Make the call's twin with our own hands; returns its value.

    An open's value is a descriptor of ours. Raises OSError with the errno to answer.
    """
    number = abi.NUMBER[call.form.twin]
    taken: list[int] = []
    try:
        arguments = [_argument(item, call, target, taken) for item in _ITEMS[call.name]]
        if not (call.kind is CallKind.CREATE or (call.kind is CallKind.OPEN and call.creates)):
            return abi.syscall(number, *arguments)
        mask = os.umask(target.umask)
        try:
            return abi.syscall(number, *arguments)
        finally:
            os.umask(mask)
    finally:
        for fd in taken:
            os.close(fd)


def perform_statx(call: Call, target: Target) -> bytes:
    """Make a statx's twin: all that the kernel fills in. Raises OSError as ``perform``."""
    room = ctypes.create_string_buffer(statx.BYTES)
    taken: list[int] = []
    try:
        arguments = [_argument(item, call, target, taken) for item in _ITEMS[call.name]]
        abi.syscall(abi.NUMBER[call.form.twin], *arguments, room)
    finally:
        for fd in taken:
            os.close(fd)
    return room.raw


def _argument(item: _Item, call: Call, target: Target, taken: list[int]) -> int | bytes | None:
    what, at, size, text = item
    if what == "p":
        return call.texts[text]
    if what == "=":
        return at
    if what == "d":
        if text >= 0 and (call.texts[text] or b"")[:1] == b"/":
            return AT_FDCWD  # whatever it is, it is not looked at
        taken.append(target.duplicate(AT_FDCWD if at < 0 else signed(call.arguments[at])))
        return taken[-1]
    value = call.arguments[at]
    if what == "f":
        taken.append(target.duplicate(signed(value)))
        return taken[-1]
    if what == "t":
        return target.text(value) if value else None
    if what == "b":
        return target.read(value, size) if value else None
    return value
