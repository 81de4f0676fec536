"""How long something is to take, as a person types it: 40s, 10m, 8h, 1h30m.

A number always carries its unit, so that nobody asks for eight seconds who meant eight hours.
"""

from __future__ import annotations

import re
from typing import Final

MAX_S: Final = 30 * 86_400.0
"""The longest duration, in seconds: a month."""

_UNITS: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_FORM: Final = re.compile(
    r"(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9}(?:\.[0-9]{1,6})?)s)?"
)


class DurationError(ValueError):
    """A text is no duration; the message quotes it and says what one looks like."""


def parse(text: str) -> float:
    """Read a duration; returns seconds, more than 0. Raises DurationError."""
    match = _FORM.fullmatch(text) if text else None
    if match is None:
        raise DurationError(f"{text!a} is no duration; one is written 40s, 10m, 8h or 1h30m")
    numbers = zip(match.groups(default="0"), _UNITS.values(), strict=True)
    seconds = sum(float(number) * unit for number, unit in numbers)
    if seconds <= 0:
        raise DurationError(f"{text!a} is no time at all; give at least a second, such as 40s")
    if seconds > MAX_S:
        raise DurationError(f"{text!a} is more than {told(MAX_S)}, the longest there is")
    return seconds


def told(seconds: float) -> str:
    """Write whole seconds in the same form, its zero parts left out; at least 0s."""
    left, parts = max(0, round(seconds)), ""
    for unit, size in _UNITS.items():
        number, left = divmod(left, size)
        parts += f"{number}{unit}" if number else ""
    return parts or "0s"
