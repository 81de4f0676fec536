"""A verdict without what two runs of one seed cannot share: times, process ids, addresses, paths.

Rule 1: what is judged stays; of measurements, which are not, the names stay.
Rule 2: paths become numbers by first appearance, so that what named one thing still does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from untorn_conformance.verdict import from_json

_TIMES: Final = frozenset({"duration_s", "started_utc"})
_PATH: Final = re.compile(r"(?<![\w.~<>/])/[\w.@%+~-]+(?:/[\w.@%+~-]*)*")
_PID: Final = re.compile(r"\b(pid|process)([ =:]+)[0-9]+\b")
_ABSENT: Final = "(absent)"
_ADDRESS: Final = re.compile(r"\b0x[0-9a-f]{6,}\b")


def canonical(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a ``verdict.json`` without them. Raises ValueError for another document."""
    from_json(document)
    neutral: dict[str, Any] = _Neutral().of(document)
    neutral["measurements"] = sorted(
        [
            {"name": each["name"], "numbers": sorted(each["numbers"])}
            for each in neutral["measurements"]
        ],
        key=lambda each: str(each["name"]),
    )
    return neutral


def text(document: Mapping[str, Any]) -> str:
    """Write it as canonical JSON: sorted, compact, ASCII."""
    return json.dumps(canonical(document), sort_keys=True, separators=(",", ":"), allow_nan=False)


def differences(one: Any, other: Any, where: str = "") -> Iterator[str]:
    """Name the places in which two canonical documents differ, and both values."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            left, right = (each.get(key, _ABSENT) for each in (one, other))
            yield from differences(left, right, f"{where}.{key}".lstrip("."))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from differences(left, right, f"{where}[{number}]")
    elif one != other:
        yield f"{where}: {json.dumps(one)} and {json.dumps(other)}"


class _Neutral:
    """Replaces what differs from run to run; numbers each path as it appears."""

    def __init__(self) -> None:
        self._paths: dict[str, str] = {}

    def of(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            kept = sorted(key for key in value if key not in _TIMES)
            return {self._of_text(key): self.of(value[key]) for key in kept}
        if isinstance(value, list | tuple):
            return [self.of(each) for each in value]
        return self._of_text(value) if isinstance(value, str) else value

    def _of_text(self, text: str) -> str:
        text = _PATH.sub(self._path, text)
        text = _PID.sub(r"\1\2<n>", text)
        return _ADDRESS.sub("<address>", text)

    def _path(self, match: re.Match[str]) -> str:
        return self._paths.setdefault(match.group(), f"<path {len(self._paths) + 1}>")
