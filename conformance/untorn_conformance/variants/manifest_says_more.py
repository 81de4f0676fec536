"""The reference whose manifests say more: a key in the header that no reader asks for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from untorn import manifest

from untorn_conformance.backends.reference import Reference

NEAR: Final = frozenset({"K7", "T1", "T2"})

_render = manifest.render


def factory() -> Reference:
    """The variant, in a process of its own."""
    manifest.render = _render_more
    return Reference()


def _render_more(key: str, frames: Sequence[tuple[str, int, str | None]], boot_id: str) -> bytes:
    header, rest = _render(key, frames, boot_id).split(b"\n", 1)
    more = {**json.loads(header), "made_by": "a variant"}
    return json.dumps(more, separators=(",", ":")).encode("ascii") + b"\n" + rest
