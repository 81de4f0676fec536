"""The reference that evicts frame by frame. Seeded bug: an entry is made shorter before it goes.

Its last frame is removed and its manifest written anew, and nothing keeps readers out until the
rest is renamed away: who comes in between is served what is left.
"""

from __future__ import annotations

import os
from typing import Final

from untorn import collect, layout, manifest, staging, syscalls
from untorn.collect import Listed, Tally
from untorn.lookup import read_manifest
from untorn.root import Root

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Search, Shown

KILLS: Final = frozenset({"G9"})
MAY_FAIL: Final = frozenset({"C1", "C2", "C4", "G7", "P1", "R1", "R4"})
SHOWN_BY: Final[Shown] = (
    Search(scenario="reader-collector", preemptions=1, row="G9", rule="in-part", says="listed"),
)

_set_entry_aside = collect._set_entry_aside


def factory() -> Reference:
    """The mutant, in a process of its own."""
    collect._set_entry_aside = _shorten_first
    return Reference()


def _shorten_first(root: Root, entry: Listed, tally: Tally) -> str | None:
    with syscalls.opened(entry.key, syscalls.DIRECTORY_FLAGS, dir_fd=root.entries_fd) as fd:
        if syscalls.lock_exclusive(fd):
            sealed = manifest.parse(read_manifest(fd), entry.key)
            *rest, last = zip(sealed.names, sealed.sizes(), strict=True)
            if rest:
                os.unlink(layout.MANIFEST, dir_fd=fd)
                os.unlink(last[0], dir_fd=fd)
                kept = [(name, size, None) for name, size in rest]
                text = manifest.render(entry.key, kept, root.boot_id)
                staging._write_manifest(fd, text)
                os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
                tally.freed_bytes += last[1] + len(sealed.text) - len(text)
    return _set_entry_aside(root, entry, tally)
