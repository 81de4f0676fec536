"""Timed waits: the worker says that it waits for time to pass, so somebody else may move.

Rule 1: a wait with a timeout is held, and its actor has *yielded*: it is offered again only when
        another has moved since, or when nothing else can move.
Rule 2: where another has moved, the wait is over at once: a sleep has slept, a poll has timed out,
        unless what it waits for is there already; then the kernel tells.
Rule 3: where nothing else can move, real time passes: the kernel performs the wait, and until its
        thread is through with it nothing stands still.
Rule 4: a futex with a timeout of at most MOMENT_S is an *inner* wait and no step: so CPython waits
        for its interpreter lock. It is held, and goes on when all stands still and its word has
        changed. Which thread gets the lock then depends on their names and not on the kernel.

Clocks are read without a system call and cannot be moved from here.
Sources: gate_rules T7; clock_nanosleep(2), poll(2), epoll_wait(2), futex(2).
"""

from __future__ import annotations

import errno
import select
import struct
import time
from collections.abc import Iterator
from typing import Final

from untorn_stress.gate.calls import Call, signed
from untorn_stress.gate.target import Target

MOMENT_S: Final = 0.01
_INSTANT_S: Final = 1e-9
_TIMESPEC: Final = struct.Struct("=qq")
_FUTEX_WAIT: Final = 0
_FUTEX_CLOCK_REALTIME: Final = 256
_TIMER_ABSTIME: Final = 1
_POLLFD: Final = struct.Struct("=ihh")
_SELECTED: Final = (select.POLLIN | select.POLLHUP, select.POLLOUT, select.POLLPRI)


def length_s(call: Call, target: Target) -> float:
    """How long the call means to wait, in seconds; 0 for what is over already."""
    arguments = call.arguments
    match call.name:
        case "poll":
            return signed(arguments[2]) / 1000
        case "epoll_wait" | "epoll_pwait":
            return signed(arguments[3]) / 1000
        case "nanosleep":
            return _seconds(target, arguments[0])
        case "clock_nanosleep":
            return _clock_sleep(call, target)
        case "ppoll":
            return _seconds(target, arguments[2])
        case "epoll_pwait2":
            return _seconds(target, arguments[3])
        case "select" | "pselect6":
            unit = 1e6 if call.name == "select" else 1e9
            whole, part = _TIMESPEC.unpack(target.read(arguments[4], _TIMESPEC.size))
            return float(whole + part / unit)
        case _:
            return _futex(call, target)


def _seconds(target: Target, address: int) -> float:
    whole, part = _TIMESPEC.unpack(target.read(address, _TIMESPEC.size))
    return float(whole + part / 1e9)


def _clock_sleep(call: Call, target: Target) -> float:
    clock, flags, address = signed(call.arguments[0]), call.arguments[1], call.arguments[2]
    until_s = _seconds(target, address)
    if flags & _TIMER_ABSTIME:
        # Never 0: whether a short sleep is over by now depends on how fast we looked.
        return max(_INSTANT_S, until_s - time.clock_gettime(clock))
    return until_s


def _futex(call: Call, target: Target) -> float:
    operation = call.arguments[1]
    timeout_s = _seconds(target, call.arguments[3])
    if operation & 0x7F == _FUTEX_WAIT:
        return timeout_s
    real = operation & _FUTEX_CLOCK_REALTIME
    clock = time.CLOCK_REALTIME if real else time.CLOCK_MONOTONIC
    return max(_INSTANT_S, timeout_s - time.clock_gettime(clock))


def is_moment(call: Call, wait_s: float) -> bool:
    """Whether it is an inner wait (Rule 4)."""
    return call.name == "futex" and wait_s <= MOMENT_S


def is_over(call: Call, target: Target) -> bool:
    """Whether what is waited for is there already: then the kernel's answer comes at once."""
    try:
        if call.name == "futex":
            word = int.from_bytes(target.read(call.arguments[0], 4), "little")
            return word != call.arguments[2] & 0xFFFFFFFF
        return any(_is_ready(target, fd, events) for fd, events in _awaited(call, target))
    except OSError:
        return True  # a bad descriptor or pointer: the kernel says so at once


def _is_ready(target: Target, fd: int, events: int) -> bool:
    with target.descriptor(fd) as ours:
        poller = select.poll()
        poller.register(ours, events)
        return bool(poller.poll(0))


def _awaited(call: Call, target: Target) -> Iterator[tuple[int, int]]:
    """What a call waits for: descriptors with poll's events."""
    name, arguments = call.name, call.arguments
    if name.startswith("epoll"):
        yield signed(arguments[0]), select.POLLIN
    elif name in ("poll", "ppoll"):
        for fd, events, _ in _POLLFD.iter_unpack(_polled(call, target)):
            if fd >= 0:
                yield fd, events & 0xFFFF
    elif name in ("select", "pselect6"):
        for address, events in zip(arguments[1:4], _SELECTED, strict=True):
            raw = target.read(address, _set_bytes(call)) if address else b""
            bits = int.from_bytes(raw, "little")
            for fd in range(signed(arguments[0])):
                if bits >> fd & 1:
                    yield fd, events


def _polled(call: Call, target: Target) -> bytes:
    count = call.arguments[1] & 0xFFFFFFFF
    return target.read(call.arguments[0], count * _POLLFD.size) if count else b""


def _set_bytes(call: Call) -> int:
    return (signed(call.arguments[0]) + 63) // 64 * 8


def expire(call: Call, target: Target) -> tuple[int, int]:
    """Leave the target what a wait leaves whose time has passed; its value and errno."""
    if call.name == "futex":
        return 0, errno.ETIMEDOUT
    if call.name in ("poll", "ppoll"):
        asked = _POLLFD.iter_unpack(_polled(call, target))
        target.write(
            call.arguments[0], b"".join(_POLLFD.pack(fd, events, 0) for fd, events, _ in asked)
        )
    elif call.name in ("select", "pselect6"):
        for address in call.arguments[1:4]:
            if address:
                target.write(address, bytes(_set_bytes(call)))
    return 0, 0
