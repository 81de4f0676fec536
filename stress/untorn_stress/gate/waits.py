"""Timed waits: the worker says that it waits for time to pass, so somebody else may move.

Rule 1: a wait with a timeout is held, and its actor has *yielded*: it is offered again only when
        another has moved since, or when nothing else can move.
Rule 2: where another has moved, the wait is over at once: a sleep has slept, a poll has timed out,
        unless what it waits for is there already; then the kernel tells.
Rule 3: where nothing else can move, real time passes: the kernel performs the wait.
Rule 4: a futex that is waited for at most MOMENT_S is no wait: CPython waits for its own
        interpreter lock in such steps, and the kernel performs them.

Clocks are read without a system call and cannot be moved from here.
Sources: gate_rules T7; clock_nanosleep(2), poll(2), epoll_wait(2), futex(2).
"""

from __future__ import annotations

import errno
import select
import struct
import time
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


def is_wait(call: Call, target: Target) -> bool:
    """Whether the call waits for time to pass, and does not only look or hand a lock over."""
    return length_s(call, target) > (MOMENT_S if call.name == "futex" else 0.0)


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
    return max(0.0, timeout_s - time.clock_gettime(clock))


def is_over(call: Call, target: Target) -> bool:
    """Whether what is waited for is there already: then the kernel's answer comes at once."""
    name = call.name
    if name.startswith("epoll"):
        with target.descriptor(signed(call.arguments[0])) as fd:
            return bool(select.select([fd], [], [], 0)[0])
    if name in ("poll", "ppoll"):
        return _any_ready(call, target)
    if name == "futex":
        word = int.from_bytes(target.read(call.arguments[0], 4), "little")
        return word != call.arguments[2] & 0xFFFFFFFF
    return name in ("select", "pselect6")  # three bit sets: let the kernel look at them


def _any_ready(call: Call, target: Target) -> bool:
    count = call.arguments[1] & 0xFFFF
    raw = target.read(call.arguments[0], count * _POLLFD.size) if count else b""
    for fd, events, _ in _POLLFD.iter_unpack(raw):
        if fd < 0:
            continue
        with target.descriptor(fd) as ours:
            poller = select.poll()
            poller.register(ours, events)
            if poller.poll(0):
                return True
    return False


def outcome(call: Call) -> tuple[int, int]:
    """What a wait answers whose time has passed: value and errno."""
    return (0, errno.ETIMEDOUT) if call.name == "futex" else (0, 0)
